//! Files that must be there after a power cut: one trait for the real disk and a simulated one.
//!
//! What is written is safe only once two things are synced: the file's bytes ([`Durable::sync`]) and
//! its name ([`Durable::sync_names`] of its folder). A failed sync may have lost bytes for good and is
//! never tried again: whoever sees one has failed. Names are paths with `/`.

mod simulated;
mod tree;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::sync::Arc;

pub use simulated::SimulatedDisk;
pub use tree::{Found, RealTree, Tree};

/// Ends a lock when it is dropped.
pub trait Lock: Send + Sync + std::fmt::Debug {}

/// A file that grows at its end.
pub trait Growing: Send + Sync + std::fmt::Debug {
    /// Writes behind what is there.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Keeps the first `length` bytes. The others may come back after a power cut until the next sync.
    fn cut(&self, length: u64) -> io::Result<()>;

    /// What was written is on the disk when this returns.
    fn sync(&self) -> io::Result<()>;

    /// What the disk knows the file by, whatever its name (the inode).
    fn number(&self) -> io::Result<u64>;
}

/// The first bytes of a file, summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// How many were there, of those asked for.
    pub length: u64,
    /// Their CRC32C.
    pub sum: u32,
}

/// A disk to which files are written.
pub trait Durable: Send + Sync + std::fmt::Debug {
    /// Makes a folder for its owner alone; one that is there is no error.
    fn make_folder(&self, name: &str) -> io::Result<()>;

    /// Makes a file of `bytes`; one of that name is an error.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// The file's bytes are on the disk when this returns.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// The names in a folder are on the disk when this returns.
    fn sync_names(&self, folder: &str) -> io::Result<()>;

    /// Gives a file another name; a file of that name is an error and stays as it is.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Removes an empty folder.
    fn remove_folder(&self, name: &str) -> io::Result<()>;

    /// All bytes of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Names in a folder, without its own, sorted.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Locks a file (made if need be) against other processes; `None` when one has locked it.
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>>;

    /// Whether there is something of that name, or that cannot be known.
    fn exists(&self, name: &str) -> bool;

    /// Gives a file another name; a file of that name is gone then.
    fn replace(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes an empty file to be appended to; one of that name is an error.
    fn grow(&self, name: &str) -> io::Result<Arc<dyn Growing>>;

    /// Opens a file to be appended to.
    fn grow_on(&self, name: &str) -> io::Result<Arc<dyn Growing>>;

    /// Sums up the first `length` bytes of a file, or what there is of them.
    fn prefix(&self, name: &str, length: u64) -> io::Result<Prefix>;

    /// The folder `root`, made if need be, with all below it.
    fn tree(&self, root: &str) -> io::Result<Arc<dyn Tree>>;
}

/// The folder that a name is in.
pub fn folder(name: &str) -> &str {
    match name.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None => ".",
    }
}

/// The machine's own disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Lock for File {}

impl Durable for RealDisk {
    fn make_folder(&self, name: &str) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(name) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && std::path::Path::new(name).is_dir() => Ok(()),
            done => done,
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(name)?.write_all(bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        File::open(name)?.sync_data()
    }

    fn sync_names(&self, folder: &str) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        // A link, unlike a rename, does not replace.
        std::fs::hard_link(from, to)?;
        std::fs::remove_file(from)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(name)
    }

    fn remove_folder(&self, name: &str) -> io::Result<()> {
        std::fs::remove_dir(name)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(name)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(cause)) => Err(cause),
        }
    }

    fn exists(&self, name: &str) -> bool {
        !matches!(std::fs::symlink_metadata(name), Err(cause) if cause.kind() == io::ErrorKind::NotFound)
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn grow(&self, name: &str) -> io::Result<Arc<dyn Growing>> {
        Ok(Arc::new(OpenOptions::new().append(true).create_new(true).open(name)?))
    }

    fn grow_on(&self, name: &str) -> io::Result<Arc<dyn Growing>> {
        Ok(Arc::new(OpenOptions::new().append(true).open(name)?))
    }

    fn prefix(&self, name: &str, length: u64) -> io::Result<Prefix> {
        prefix(File::open(name)?, length)
    }

    fn tree(&self, root: &str) -> io::Result<Arc<dyn Tree>> {
        std::fs::create_dir_all(root)?;
        Ok(Arc::new(RealTree::open(root)?))
    }
}

/// Sums up the first `length` bytes of `file`, or what there is of them.
fn prefix(file: File, length: u64) -> io::Result<Prefix> {
    let mut file = file.take(length);
    let mut bytes = vec![0; 1 << 20];
    let mut prefix = Prefix { length: 0, sum: 0 };
    loop {
        match file.read(&mut bytes) {
            Ok(0) => return Ok(prefix),
            Ok(count) => {
                prefix.length += count as u64;
                prefix.sum = crc32c::crc32c_append(prefix.sum, &bytes[..count]);
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
}

impl Growing for File {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn number(&self) -> io::Result<u64> {
        Ok(self.metadata()?.ino())
    }
}
