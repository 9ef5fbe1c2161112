//! A folder and all below it, reached by names that cannot lead anywhere else.
//!
//! Names may come from the rows of a table or from a checkpoint, and others may change the tree meanwhile. So
//! the root is opened once; each folder below it is opened from its parent by one name without a slash that
//! is neither `.` nor `..`, and a link is never followed: it is an error.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{Growing, Prefix, prefix};

/// A folder and what is below it. Paths are names with `/`, below the root; its own is empty.
pub trait Tree: Send + Sync + std::fmt::Debug {
    /// The root's path, for records and errors.
    fn root(&self) -> &str;

    /// Makes the folder `path` and those above it, as far as they are not there.
    fn make_folders(&self, path: &str) -> io::Result<()>;

    /// Makes an empty file to be appended to; whatever has that name is an error.
    fn grow(&self, path: &str) -> io::Result<Arc<dyn Growing>>;

    /// Opens a file to be appended to.
    fn grow_on(&self, path: &str) -> io::Result<Arc<dyn Growing>>;

    /// Gives a file another name in its folder; whatever has that name is an error and stays as it is.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Removes an empty folder.
    fn remove_folder(&self, path: &str) -> io::Result<()>;

    /// The names in a folder are on the disk when this returns.
    fn sync_names(&self, path: &str) -> io::Result<()>;

    /// Whether there is something of that name.
    fn exists(&self, path: &str) -> io::Result<bool>;

    /// Sums up the first `length` bytes of a file, or what there is of them.
    fn prefix(&self, path: &str, length: u64) -> io::Result<Prefix>;

    /// Makes the file `to` of the first `length` bytes of `from`; whatever has that name is an error.
    fn copy(&self, from: &str, to: &str, length: u64) -> io::Result<()>;

    /// What is in a folder, sorted by name; a name that is not UTF-8 is none of ours.
    fn list(&self, path: &str) -> io::Result<Vec<Found>>;
}

/// Something in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its name, without the folder's.
    pub name: String,
    /// It is a folder, and no link to one.
    pub is_folder: bool,
}

/// The names that a path consists of; an error for one that could lead out.
pub(super) fn names(path: &str) -> io::Result<Vec<&str>> {
    let is_inside = |name: &&str| !name.is_empty() && *name != "." && *name != ".." && !name.contains('\0');
    let names: Vec<&str> = path.split('/').filter(|_| !path.is_empty()).collect();
    if names.iter().all(is_inside) { Ok(names) } else { Err(Errno::INVAL.into()) }
}

/// A folder of the machine's own disk.
#[derive(Debug)]
pub struct RealTree {
    root: OwnedFd,
    path: String,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);
/// Files are read by their owner's group and written by their owner.
const FILE_MODE: Mode = Mode::from_bits_retain(0o640);
const FOLDER_MODE: Mode = Mode::from_bits_retain(0o750);

fn open(folder: BorrowedFd<'_>, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, FILE_MODE)?)
}

impl RealTree {
    /// Opens the folder at `path`, where links are followed: it is the user's to name.
    pub fn open(path: &str) -> io::Result<RealTree> {
        let root = rustix::fs::open(path, FOLDER | OFlags::CLOEXEC, Mode::empty())?;
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        Ok(RealTree { root, path: path.to_owned() })
    }

    /// Opens the folder of `names`, each of which `reach` has a chance to make first.
    fn descend(&self, names: &[&str], reach: impl Fn(BorrowedFd<'_>, &str) -> io::Result<()>) -> io::Result<OwnedFd> {
        let mut folder = self.root.try_clone()?;
        for name in names {
            reach(folder.as_fd(), name)?;
            folder = open(folder.as_fd(), name, FOLDER)?;
        }
        Ok(folder)
    }

    fn folder(&self, path: &str) -> io::Result<OwnedFd> {
        self.descend(&names(path)?, |_, _| Ok(()))
    }

    /// The folder that `path` is in, and its name there.
    fn parent<'p>(&self, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
        let names = names(path)?;
        let (name, folders) = names.split_last().ok_or(Errno::INVAL)?;
        Ok((self.descend(folders, |_, _| Ok(()))?, name))
    }

    fn file(&self, path: &str, flags: OFlags) -> io::Result<File> {
        let (folder, name) = self.parent(path)?;
        open(folder.as_fd(), name, flags).map(File::from)
    }
}

impl Tree for RealTree {
    fn root(&self) -> &str {
        &self.path
    }

    fn make_folders(&self, path: &str) -> io::Result<()> {
        let make = |folder: BorrowedFd<'_>, name: &str| match rustix::fs::mkdirat(folder, name, FOLDER_MODE) {
            Err(cause) if cause != Errno::EXIST => Err(cause.into()),
            _ => Ok(()),
        };
        self.descend(&names(path)?, make).map(drop)
    }

    fn grow(&self, path: &str) -> io::Result<Arc<dyn Growing>> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL;
        Ok(Arc::new(self.file(path, flags)?))
    }

    fn grow_on(&self, path: &str) -> io::Result<Arc<dyn Growing>> {
        // What is no file may have been put there: a pipe without a reader must not hang the run.
        Ok(Arc::new(self.file(path, OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let ((folder, from), (_, to)) = (self.parent(from)?, self.parent(to)?);
        match rustix::fs::renameat_with(&folder, from, &folder, to, RenameFlags::NOREPLACE) {
            // Not all file systems can; a link does not replace either.
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(&folder, from, &folder, to, AtFlags::empty())?;
                Ok(rustix::fs::unlinkat(&folder, from, AtFlags::empty())?)
            }
            done => Ok(done?),
        }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?)
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        Ok(rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?)
    }

    fn sync_names(&self, path: &str) -> io::Result<()> {
        File::from(self.folder(path)?).sync_all()
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        let (folder, name) = self.parent(path)?;
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(false),
            found => Ok(found.map(|_| true)?),
        }
    }

    fn prefix(&self, path: &str, length: u64) -> io::Result<Prefix> {
        prefix(self.file(path, OFlags::RDONLY | OFlags::NONBLOCK)?, length)
    }

    fn copy(&self, from: &str, to: &str, length: u64) -> io::Result<()> {
        let from = self.file(from, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let mut to = self.file(to, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
        io::copy(&mut from.take(length), &mut to).map(drop)
    }

    fn list(&self, path: &str) -> io::Result<Vec<Found>> {
        let folder = self.folder(path)?;
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(&folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode)
                }
                kind => kind,
            };
            found.push(Found { name: name.to_owned(), is_folder: kind == FileType::Directory });
        }
        found.sort();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::{Durable, RealDisk, SimulatedDisk};

    #[test]
    fn names_do_not_lead_out_and_links_are_not_followed() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        std::fs::write(outside.path().join("f"), "theirs").unwrap();
        std::os::unix::fs::symlink(outside.path().join("f"), folder.path().join("file")).unwrap();
        let tree = RealDisk.tree(folder.path().to_str().unwrap()).unwrap();
        for path in ["..", ".", "/", "a//b", "../x", "a/../b", "a/", "/abs", "a\0b", "link/x"] {
            assert!(tree.make_folders(path).is_err(), "{path:?}");
            assert!(tree.grow(path).is_err() && tree.grow_on(path).is_err(), "{path:?}");
            assert!(tree.prefix(path, 1).is_err() && tree.remove(path).is_err(), "{path:?}");
        }
        assert!(tree.grow("").is_err() && tree.grow("link").is_err() && tree.grow_on("file").is_err());
        assert!(tree.list("link").is_err() && tree.prefix("file", 9).is_err() && tree.sync_names("link").is_err());
        assert!(tree.list("").unwrap().iter().all(|found| !found.is_folder));
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read(outside.path().join("f")).unwrap(), b"theirs");
    }

    #[test]
    fn both_disks_do_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let real = format!("{}/new/root/", folder.path().display());
        let disks: [(Arc<dyn Durable>, &str); 2] =
            [(Arc::new(RealDisk), &real), (Arc::new(SimulatedDisk::new()), "root/")];
        for (disk, root) in disks {
            let tree = disk.tree(root).unwrap();
            assert_eq!(tree.root(), root.trim_end_matches('/'));
            assert!(tree.grow("a=1/b=2/t").is_err());
            tree.make_folders("a=1/b=2").unwrap();
            tree.make_folders("a=1/b=2").unwrap();
            let file = tree.grow("a=1/b=2/t").unwrap();
            file.append(b"123").unwrap();
            assert!(tree.grow("a=1/b=2/t").is_err());
            tree.grow_on("a=1/b=2/t").unwrap().append(b"45").unwrap();
            assert_eq!(tree.prefix("a=1/b=2/t", 9).unwrap().length, 5);
            tree.rename("a=1/b=2/t", "a=1/b=2/f").unwrap();
            tree.grow("a=1/b=2/t").unwrap();
            assert_eq!(tree.rename("a=1/b=2/t", "a=1/b=2/f").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert!(tree.exists("a=1/b=2/t").unwrap() && !tree.exists("a=1/b=2/x").unwrap());
            tree.remove("a=1/b=2/t").unwrap();
            tree.copy("a=1/b=2/f", "a=1/b=2/c", 2).unwrap();
            assert_eq!(tree.prefix("a=1/b=2/c", 9).unwrap().sum, crc32c::crc32c(b"12"));
            let found = |name: &str, is_folder| Found { name: name.to_owned(), is_folder };
            assert_eq!(tree.list("a=1/b=2").unwrap(), [found("c", false), found("f", false)]);
            assert_eq!(tree.list("").unwrap(), [found("a=1", true)]);
            tree.sync_names("a=1/b=2").unwrap();
            tree.sync_names("").unwrap();
            assert!(tree.remove_folder("a=1").is_err());
            tree.remove("a=1/b=2/c").unwrap();
            tree.remove("a=1/b=2/f").unwrap();
            tree.remove_folder("a=1/b=2").unwrap();
            tree.remove_folder("a=1").unwrap();
            assert_eq!(tree.list("").unwrap(), []);
        }
    }
}
