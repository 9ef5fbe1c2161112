//! Files that take their names when they are whole, and then never change.
//!
//! A file is written under a temporary name that says whose it is, `.part-s0-3.csv.<job>.tmp`. When it is
//! whole it is synced and listed as a [`Whole`]: temporary name, name, length, CRC32C. Once that list stands
//! in a manifest the file is committed, and [`Whole::settle`] gives it its name: never over another file,
//! and again by every run that goes on until it is done. What is not listed and has a temporary name of the
//! job is an orphan ([`remove_orphans`]); what others have put into the tree is left alone.
//!
//! | found | then |
//! |---|---|
//! | its name, same length and CRC | done; a temporary file besides is removed |
//! | the temporary file, same length and CRC | takes its name |
//! | neither, or others | an error: what was committed is gone |

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use corelane_engine::state::{Reader, Writer};
use corelane_engine::{Code, Error, Result};

use crate::durable::{Growing, Prefix, Tree};
use crate::fault;

/// What begins the names of all files in a tree.
const STEM: &str = "part-s";

/// The name of the file of number `number` that `shard` writes.
pub fn name(shard: usize, number: u64, extension: &str) -> String {
    format!("{STEM}{shard}-{number}.{extension}")
}

/// The name under which the file `name` is written; `job` says whose it is, where it outlives the process.
fn temporary(name: &str, job: Option<&str>) -> String {
    match job {
        Some(job) => format!(".{name}.{job}.tmp"),
        None => format!(".{name}.tmp"),
    }
}

fn is_temporary_of(name: &str, job: &str) -> bool {
    name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp")).is_some_and(|name| {
        name.starts_with(STEM) && name.strip_suffix(".new").unwrap_or(name).ends_with(&format!(".{job}"))
    })
}

fn is_ours(name: &str, extension: &str) -> bool {
    let numbers = name.strip_prefix(STEM).and_then(|name| name.strip_suffix(extension)?.strip_suffix('.'));
    let is_number = |text: &str| text.parse().is_ok_and(|number: u64| number.to_string() == text);
    numbers.and_then(|numbers| numbers.split_once('-')).is_some_and(|(a, b)| is_number(a) && is_number(b))
}

fn within(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A file as far as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The tree's root.
    pub root: String,
    /// Below it, what it is called until it has its name.
    pub temporary: String,
    /// Below it, its name.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// Their CRC32C.
    pub sum: u32,
}

impl Whole {
    /// Writes it.
    pub fn save(&self, to: &mut Writer) {
        [&self.root, &self.temporary, &self.name].into_iter().for_each(|text| to.text(text.as_bytes()));
        to.word(self.length);
        to.word(u64::from(self.sum));
    }

    /// Reads one.
    pub fn load(from: &mut Reader<'_>) -> Result<Whole> {
        let mut text = || -> Result<String> {
            let bad = |_| Error::new(Code::Io, "the name of an output file is not UTF-8");
            String::from_utf8(from.text()?.to_vec()).map_err(bad)
        };
        let (root, temporary, name) = (text()?, text()?, text()?);
        let (length, sum) = (from.word()?, from.word()?);
        let sum = u32::try_from(sum).map_err(|_| Error::new(Code::Io, "a checksum is too long"))?;
        Ok(Whole { root, temporary, name, length, sum })
    }

    /// The folder that it is in, below the root.
    pub fn folder(&self) -> &str {
        within(&self.name)
    }

    /// Where it is or will be, for errors.
    fn path(&self) -> String {
        join(&self.root, &self.name)
    }

    /// Whether the file at `path` is this one and no longer.
    fn is_at(&self, tree: &dyn Tree, path: &str) -> Result<bool> {
        if !tree.exists(path).map_err(|cause| failed("look at", &self.path(), &cause))? {
            return Ok(false);
        }
        // One byte more than there may be.
        let found = tree.prefix(path, self.length.saturating_add(1));
        let found = found.map_err(|cause| failed("read", &self.path(), &cause))?;
        Ok(found == Prefix { length: self.length, sum: self.sum })
    }

    /// Gives the file its name, unless it has it. The names of its folder are then to be synced. What this
    /// process `has_written` is not read again.
    pub fn settle(&self, tree: &dyn Tree, has_written: bool) -> Result<()> {
        let failed = |what: &str, cause: io::Error| failed(what, &self.path(), &cause);
        let exists = |path: &str| tree.exists(path).map_err(|cause| failed("look at", cause));
        if has_written && !exists(&self.name)? {
            return self.rename(tree);
        }
        if self.is_at(tree, &self.name)? {
            if exists(&self.temporary)? {
                tree.remove(&self.temporary).map_err(|cause| failed("remove what is left of", cause))?;
            }
            return Ok(());
        }
        if exists(&self.name)? {
            let error = Error::new(Code::Io, format!("`{}` is there and is another file", self.path()));
            let note = format!("{} bytes that are committed wait for that name; nothing is replaced", self.length);
            return Err(error.note(note).help("move the other file away, then --resume"));
        }
        if !self.is_at(tree, &self.temporary)? {
            let there = if exists(&self.temporary)? { "was changed" } else { "is gone" };
            let error = Error::new(Code::Io, format!("`{}` is committed and {there}", self.path()));
            return Err(error.help("bring the file back, or begin again with --from-scratch"));
        }
        self.rename(tree)
    }

    fn rename(&self, tree: &dyn Tree) -> Result<()> {
        fault!("part.before-rename");
        tree.rename(&self.temporary, &self.name).map_err(|cause| failed("name", &self.path(), &cause))?;
        fault!("part.after-rename");
        Ok(())
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct Part {
    tree: Arc<dyn Tree>,
    file: Arc<dyn Growing>,
    whole: Whole,
}

/// A file with what of it belongs to an epoch, to be synced.
#[derive(Clone, Debug)]
pub struct OpenWhole {
    /// What belongs to the epoch.
    pub whole: Whole,
    /// Nothing if it is synced.
    file: Option<Arc<dyn Growing>>,
}

impl OpenWhole {
    /// The bytes are on the disk when this returns.
    pub fn sync(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        fault!("part.before-sync");
        file.sync().map_err(|cause| failed("sync", &self.whole.path(), &cause))?;
        fault!("part.after-sync");
        Ok(())
    }

    /// The same, and the file is closed.
    pub fn sync_and_close(mut self) -> Result<OpenWhole> {
        self.sync()?;
        self.file = None;
        Ok(self)
    }
}

impl Part {
    /// Begins the file `name` in `folder`, which is made if need be. It outlives the process if `job` says
    /// whose it is.
    pub fn begin(tree: &Arc<dyn Tree>, folder: &str, name: &str, job: Option<&str>) -> Result<Part> {
        let whole = Whole {
            root: tree.root().to_owned(),
            temporary: join(folder, &temporary(name, job)),
            name: join(folder, name),
            length: 0,
            sum: 0,
        };
        fault!("part.before-make");
        let made = tree.make_folders(folder).and_then(|()| tree.grow(&whole.temporary));
        let file = made.map_err(|cause| failed("write", &whole.path(), &cause))?;
        fault!("part.after-make");
        Ok(Part { tree: Arc::clone(tree), file, whole })
    }

    /// Goes on with a file of which so much is committed. What follows is cut off. If `is_repeated`, a newer
    /// epoch may have given it its name already: then its beginning is written once more, and must come to
    /// the same file.
    pub fn go_on(tree: &Arc<dyn Tree>, whole: &Whole, is_repeated: bool) -> Result<Part> {
        let failed = |what: &str, cause: io::Error| failed(what, &whole.path(), &cause);
        let exists = |path: &str| tree.exists(path).map_err(|cause| failed("look at", cause));
        if is_repeated && !exists(&whole.temporary)? && exists(&whole.name)? {
            let new = format!("{}.new.tmp", whole.temporary.strip_suffix(".tmp").unwrap_or(&whole.temporary));
            let copy = || {
                if tree.exists(&new)? {
                    tree.remove(&new)?;
                }
                tree.copy(&whole.name, &new, whole.length)?;
                tree.grow_on(&new)?.sync()?;
                tree.rename(&new, &whole.temporary)
            };
            copy().map_err(|cause| failed("copy", cause))?;
        }
        if !exists(&whole.temporary)? {
            let message = format!("`{}` has {} bytes that are committed, and is gone", whole.path(), whole.length);
            let note = format!("it was called `{}` until it was whole", join(&whole.root, &whole.temporary));
            let help = "bring the file back, or begin again with --from-scratch";
            return Err(Error::new(Code::Io, message).note(note).help(help));
        }
        let found = tree.prefix(&whole.temporary, whole.length).map_err(|cause| failed("read", cause))?;
        if found != (Prefix { length: whole.length, sum: whole.sum }) {
            let what = if found.length < whole.length { "has lost some of" } else { "was changed in" };
            let message = format!("`{}` {what} the {} bytes that are committed", whole.path(), whole.length);
            return Err(Error::new(Code::Io, message).help("bring the file back, or begin again with --from-scratch"));
        }
        let file = tree.grow_on(&whole.temporary).map_err(|cause| failed("open", cause))?;
        fault!("resume.before-part");
        file.cut(whole.length).and_then(|()| file.sync()).map_err(|cause| failed("cut", cause))?;
        fault!("resume.after-part");
        Ok(Part { tree: Arc::clone(tree), file, whole: whole.clone() })
    }

    /// Writes behind what is there.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        fault!("part.before-append");
        self.file.append(bytes).map_err(|cause| failed("write", &self.whole.path(), &cause))?;
        self.whole.length += bytes.len() as u64;
        self.whole.sum = crc32c::crc32c_append(self.whole.sum, bytes);
        fault!("part.after-append");
        Ok(())
    }

    /// Bytes so far.
    pub fn length(&self) -> u64 {
        self.whole.length
    }

    /// The file as it is now.
    pub fn cut(&self) -> OpenWhole {
        OpenWhole { whole: self.whole.clone(), file: Some(Arc::clone(&self.file)) }
    }

    /// Gives the file its name at once; nothing is committed with it.
    pub fn name(self) -> Result<()> {
        let named = self.tree.rename(&self.whole.temporary, &self.whole.name);
        let named = named.map_err(|cause| failed("write", &self.whole.path(), &cause));
        if named.is_err() {
            self.discard();
        }
        named
    }

    /// Removes the file.
    pub fn discard(self) {
        let _ = self.tree.remove(&self.whole.temporary);
    }
}

/// Does `act` with every file of the tree, those of its root first; folders are looked into if their names
/// are such as partitions have.
fn walk(tree: &dyn Tree, act: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for found in tree.list(&folder)? {
            let path = join(&folder, &found.name);
            match found.is_folder {
                true if found.name.contains('=') => folders.push(path),
                true => {}
                false => act(&path)?,
            }
        }
    }
    Ok(())
}

fn last(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Removes what `job` has begun and nobody knows of any more; `known` are paths of temporary files.
pub fn remove_orphans(tree: &dyn Tree, job: &str, known: &BTreeSet<&str>) -> Result<()> {
    let mut touched = BTreeSet::new();
    let removed = walk(tree, &mut |path| {
        if is_temporary_of(last(path), job) && !known.contains(path) {
            fault!("resume.before-orphan");
            tree.remove(path)?;
            touched.insert(within(path).to_owned());
            fault!("resume.after-orphan");
        }
        Ok(())
    });
    let synced = removed.and_then(|()| touched.iter().try_for_each(|folder| tree.sync_names(folder)));
    synced.map_err(|cause| failed("tidy up", tree.root(), &cause))
}

/// Removes all files that `job` has made, and the folders that are empty then.
pub fn remove_all(tree: &dyn Tree, job: &str, extension: &str) -> Result<()> {
    let mut touched = BTreeSet::new();
    let removed = walk(tree, &mut |path| {
        if is_temporary_of(last(path), job) || is_ours(last(path), extension) {
            tree.remove(path)?;
            touched.insert(within(path).to_owned());
        }
        Ok(())
    });
    removed.map_err(|cause| failed("remove", tree.root(), &cause))?;
    for path in touched {
        let mut path = &*path;
        while !path.is_empty() && tree.remove_folder(path).is_ok() {
            path = within(path);
        }
        // Whatever is still there.
        let _ = tree.sync_names(path);
    }
    tree.sync_names("").map_err(|cause| failed("sync", tree.root(), &cause))
}

/// Which names of a tree's folders are on the disk.
#[derive(Debug)]
pub struct Names {
    tree: Arc<dyn Tree>,
    /// Folders whose own names are.
    folders: BTreeSet<String>,
    /// Temporary files whose names are, of those still written to.
    files: BTreeSet<String>,
}

impl Names {
    /// Of a tree of which nothing is known.
    pub fn new(tree: Arc<dyn Tree>) -> Names {
        Names { tree, folders: BTreeSet::new(), files: BTreeSet::new() }
    }

    /// The tree.
    pub fn tree(&self) -> &Arc<dyn Tree> {
        &self.tree
    }

    /// Has the temporary names of `files`, all that there are now, be on the disk.
    pub fn keep(&mut self, files: &[&Whole]) -> Result<()> {
        let mut folders = BTreeSet::new();
        for file in files.iter().filter(|file| !self.files.contains(&file.temporary)) {
            let mut folder = file.folder();
            folders.insert(folder.to_owned());
            while self.folders.insert(folder.to_owned()) && !folder.is_empty() {
                folder = within(folder);
                folders.insert(folder.to_owned());
            }
        }
        if !folders.is_empty() {
            fault!("part.before-names");
            self.sync(&folders)?;
            fault!("part.after-names");
        }
        self.files = files.iter().map(|file| file.temporary.clone()).collect();
        Ok(())
    }

    /// Gives `files`, which this process `has_written` or not, their names, and has those be on the disk.
    pub fn settle(&mut self, files: &[&Whole], has_written: bool) -> Result<()> {
        let mut folders = BTreeSet::new();
        for file in files {
            file.settle(&*self.tree, has_written)?;
            self.files.remove(&file.temporary);
            folders.insert(file.folder().to_owned());
        }
        if !folders.is_empty() {
            fault!("part.before-settle");
            self.sync(&folders)?;
            fault!("part.after-settle");
        }
        Ok(())
    }

    fn sync(&self, folders: &BTreeSet<String>) -> Result<()> {
        let synced = folders.iter().try_for_each(|folder| self.tree.sync_names(folder));
        synced.map_err(|cause| failed("sync the names of", self.tree.root(), &cause))
    }
}

fn failed(what: &str, name: &str, cause: &io::Error) -> Error {
    let text = cause.to_string();
    let reason = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
    let error = Error::new(Code::Io, format!("cannot {what} `{name}`: {reason}"));
    match cause.raw_os_error() {
        Some(libc::ELOOP | libc::ENOTDIR) => {
            error.help("a folder of the path is a link or a file; links below the root are not followed")
        }
        Some(libc::EEXIST) => error.help("something of that name is there already, and nothing is replaced"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::{Durable, SimulatedDisk};

    fn written(tree: &Arc<dyn Tree>, name: &str, text: &[u8]) -> Whole {
        let mut part = Part::begin(tree, "k=1", name, Some("ab")).unwrap();
        part.append(text).unwrap();
        part.cut().sync().unwrap();
        part.cut().whole
    }

    fn bytes(disk: &SimulatedDisk, name: &str) -> Vec<u8> {
        disk.read(&format!("out/k=1/{name}")).unwrap()
    }

    #[test]
    fn a_file_takes_its_name_once_and_over_nothing() {
        let disk = SimulatedDisk::new();
        let tree = disk.tree("out").unwrap();
        let whole = written(&tree, "part-s0-0.csv", b"one");
        assert_eq!(whole.temporary, "k=1/.part-s0-0.csv.ab.tmp");
        let mut saved = Writer::default();
        whole.save(&mut saved);
        assert_eq!(Whole::load(&mut Reader::new(&saved.into_bytes())).unwrap(), whole);
        whole.settle(&*tree, false).unwrap();
        assert!(!tree.exists(&whole.temporary).unwrap());
        whole.settle(&*tree, false).unwrap();
        // A stop between a link and the removal of the other name.
        tree.copy(&whole.name, &whole.temporary, 9).unwrap();
        whole.settle(&*tree, false).unwrap();
        assert!(!tree.exists(&whole.temporary).unwrap());
        assert_eq!(bytes(&disk, "part-s0-0.csv"), b"one");

        let other = written(&tree, "part-s0-1.csv", b"mine");
        tree.grow(&other.name).unwrap().append(b"theirs").unwrap();
        assert!(other.settle(&*tree, false).unwrap_err().to_string().contains("another file"));
        assert_eq!(bytes(&disk, "part-s0-1.csv"), b"theirs");
        assert!(tree.exists(&other.temporary).unwrap());

        let changed = written(&tree, "part-s0-2.csv", b"mine");
        disk.damage("out/k=1/.part-s0-2.csv.ab.tmp", |bytes| bytes.push(b'!')).unwrap();
        assert!(changed.settle(&*tree, false).unwrap_err().to_string().contains("was changed"));
        tree.remove(&changed.temporary).unwrap();
        assert!(changed.settle(&*tree, false).unwrap_err().to_string().contains("is gone"));
    }

    #[test]
    fn a_file_goes_on_behind_what_is_committed() {
        let disk = SimulatedDisk::new();
        let tree = disk.tree("out").unwrap();
        let mut part = Part::begin(&tree, "k=1", "part-s0-0.csv", Some("ab")).unwrap();
        part.append(b"one,").unwrap();
        let whole = part.cut().whole;
        part.append(b"two").unwrap();
        let named = part.cut().whole;
        let mut part = Part::go_on(&tree, &whole, false).unwrap();
        assert_eq!(bytes(&disk, ".part-s0-0.csv.ab.tmp"), b"one,");
        part.append(b"two").unwrap();
        assert_eq!(part.cut().whole, named);
        named.settle(&*tree, false).unwrap();
        assert!(Part::go_on(&tree, &whole, false).is_err());
        // What a damaged epoch has named is written once more.
        let mut part = Part::go_on(&tree, &whole, true).unwrap();
        assert_eq!(bytes(&disk, ".part-s0-0.csv.ab.tmp"), b"one,");
        part.append(b"two").unwrap();
        part.cut().whole.settle(&*tree, false).unwrap();
        let longer = Whole { length: 100, ..whole.clone() };
        assert!(Part::go_on(&tree, &longer, true).unwrap_err().to_string().contains("has lost"));
        let other = Whole { sum: 7, ..whole };
        assert!(Part::go_on(&tree, &other, true).unwrap_err().to_string().contains("was changed"));
    }

    #[test]
    fn only_orphans_of_the_job_are_removed() {
        let disk = SimulatedDisk::new();
        let tree = disk.tree("out").unwrap();
        tree.make_folders("k=1/l=2").unwrap();
        tree.make_folders("theirs").unwrap();
        let others =
            ["k=1/.part-s0-0.csv.cd.tmp", "k=1/.part-s0-0.csv.tmp", "k=1/x.ab.tmp", "theirs/.part-s0-0.csv.ab.tmp"];
        let ours = ["k=1/.part-s0-0.csv.ab.tmp", "k=1/l=2/.part-s1-7.csv.ab.new.tmp", ".part-s0-9.csv.ab.tmp"];
        let named = ["k=1/part-s0-0.csv", "k=1/l=2/part-s12-3.csv"];
        let not_ours = ["k=1/part-s0-0.csv.gz", "k=1/part-0-0.csv", "k=1/part-s00-1.csv", "k=1/part-s1-.csv"];
        for path in others.iter().chain(&ours).chain(&named).chain(&not_ours) {
            tree.grow(path).unwrap();
        }
        remove_orphans(&*tree, "ab", &[ours[0]].into()).unwrap();
        for path in others.iter().chain(&ours[..1]).chain(&named).chain(&not_ours) {
            assert!(tree.exists(path).unwrap(), "{path}");
        }
        assert!(ours[1..].iter().all(|path| !tree.exists(path).unwrap()));
        remove_all(&*tree, "ab", "csv").unwrap();
        for path in others.iter().chain(&not_ours) {
            assert!(tree.exists(path).unwrap(), "{path}");
        }
        assert!(named.iter().chain(&ours).all(|path| !tree.exists(path).unwrap()));
        assert!(!tree.exists("k=1/l=2").unwrap() && tree.exists("k=1").unwrap());
    }
}
