//! Files that must be there after a power cut: one trait for the real disk and a simulated one.
//!
//! What is written is safe only once two things are synced: the file's bytes ([`Durable::sync`]) and
//! its name ([`Durable::sync_names`] of its folder). A failed sync may have lost bytes for good and is
//! never tried again: whoever sees one has failed. Names are paths with `/`.

mod simulated;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

pub use simulated::SimulatedDisk;

/// Ends a lock when it is dropped.
pub trait Lock: Send + Sync + std::fmt::Debug {}

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
}
