//! Output that grows at the end of a file, and up to where it is committed.
//!
//! What is written is summed up on the way. A [`Cut`] names a file and what of it belongs to an epoch:
//! so many bytes with this checksum. Once the file is synced and the cut stands in a manifest, these
//! bytes are committed; a run that goes on holds the file against the cut, and cuts off what follows.

use std::io;
use std::sync::Arc;

use corelane_engine::state::{Reader, Writer};
use corelane_engine::{Code, Error, Result};

use crate::durable::{Durable, Growing, folder};
use crate::fault;

/// A file at the end of which output is written.
#[derive(Debug)]
pub struct Appended {
    file: Arc<dyn Growing>,
    cut: Cut,
}

/// What of a file belongs to an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file's path.
    pub name: String,
    /// What its disk knows it by.
    pub number: u64,
    /// Bytes.
    pub length: u64,
    /// Their CRC32C.
    pub sum: u32,
}

/// A [`Cut`] with the file, to be synced.
#[derive(Clone, Debug)]
pub struct OpenCut {
    /// What belongs to the epoch.
    pub cut: Cut,
    file: Arc<dyn Growing>,
}

impl OpenCut {
    /// The bytes are on the disk when this returns.
    pub fn sync(&self) -> Result<()> {
        fault!("output.before-sync");
        self.file.sync().map_err(|cause| failed("sync", &self.cut.name, &cause))?;
        fault!("output.after-sync");
        Ok(())
    }
}

impl Appended {
    /// Makes the file `name`. One that is there is refused, since nobody knows whose it is, unless
    /// `is_own` says that an earlier start of the same job may have made it: then it is emptied.
    pub fn make(disk: &dyn Durable, name: &str, is_own: bool) -> Result<Appended> {
        fault!("output.before-make");
        let file = match disk.grow(name) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && is_own => {
                let file = disk.grow_on(name).map_err(|cause| failed("open", name, &cause))?;
                file.cut(0).map_err(|cause| failed("empty", name, &cause))?;
                file
            }
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => return Err(not_ours(name)),
            Err(cause) => return Err(failed("make", name, &cause)),
            Ok(file) => file,
        };
        let sync = || file.sync().and_then(|()| disk.sync_names(folder(name)));
        sync().map_err(|cause| failed("sync", name, &cause))?;
        fault!("output.after-make");
        let number = file.number().map_err(|cause| failed("look at", name, &cause))?;
        Ok(Appended { file, cut: Cut { name: name.to_owned(), number, length: 0, sum: 0 } })
    }

    /// Goes on behind `cut`, which must be the beginning of the file. What follows is cut off.
    pub fn go_on(disk: &dyn Durable, cut: &Cut) -> Result<Appended> {
        let name = &cut.name;
        let found = disk.prefix(name, cut.length).map_err(|cause| {
            let error = failed("read", name, &cause);
            error.note(format!("{} bytes of it are committed", cut.length))
        })?;
        if found.length < cut.length {
            let message = format!("`{name}` has {} bytes, and {} were committed", found.length, cut.length);
            return Err(Error::new(Code::Io, message).help("bring the file back, or begin again with --from-scratch"));
        }
        if found.sum != cut.sum {
            let message = format!("`{name}` was changed: its first {} bytes are not those committed", cut.length);
            return Err(Error::new(Code::Io, message).help("bring the file back, or begin again with --from-scratch"));
        }
        let file = disk.grow_on(name).map_err(|cause| failed("open", name, &cause))?;
        fault!("resume.before-cut");
        file.cut(cut.length).and_then(|()| file.sync()).map_err(|cause| failed("cut", name, &cause))?;
        fault!("resume.after-cut");
        let number = file.number().map_err(|cause| failed("look at", name, &cause))?;
        Ok(Appended { file, cut: Cut { number, ..cut.clone() } })
    }

    /// Writes behind what is there.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        fault!("output.before-append");
        self.file.append(bytes)?;
        self.cut.length += bytes.len() as u64;
        self.cut.sum = crc32c::crc32c_append(self.cut.sum, bytes);
        fault!("output.after-append");
        Ok(())
    }

    /// The file's path.
    pub fn name(&self) -> &str {
        &self.cut.name
    }

    /// All that was written so far.
    pub fn cut(&self) -> OpenCut {
        OpenCut { cut: self.cut.clone(), file: Arc::clone(&self.file) }
    }
}

impl Cut {
    /// Writes it.
    pub fn save(&self, to: &mut Writer) {
        to.text(self.name.as_bytes());
        to.word(self.number);
        to.word(self.length);
        to.word(u64::from(self.sum));
    }

    /// Reads one.
    pub fn load(from: &mut Reader<'_>) -> Result<Cut> {
        let name = from.text()?.to_vec();
        let bad = |_| Error::new(Code::Io, "the name of an output file is not UTF-8");
        let name = String::from_utf8(name).map_err(bad)?;
        let (number, length, sum) = (from.word()?, from.word()?, from.word()?);
        let sum = u32::try_from(sum).map_err(|_| Error::new(Code::Io, "a checksum is too long"))?;
        Ok(Cut { name, number, length, sum })
    }

    /// Name of the file that tells readers how much is committed.
    pub fn length_file(&self) -> String {
        format!("{}.committed", self.name)
    }

    /// Tells readers of the file how much of it is committed: a number and a line end, in a file that is
    /// replaced as a whole.
    pub fn tell(&self, disk: &dyn Durable) -> Result<()> {
        let (name, new) = (self.length_file(), format!("{}.committed.new", self.name));
        let told = || -> io::Result<()> {
            fault!("length.before-write");
            match disk.write(&new, format!("{}\n", self.length).as_bytes()) {
                // A run that died just here has left it.
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                    disk.remove(&new)?;
                    disk.write(&new, format!("{}\n", self.length).as_bytes())?;
                }
                done => done?,
            }
            fault!("length.after-write");
            disk.sync(&new)?;
            fault!("length.after-sync");
            disk.replace(&new, &name)?;
            fault!("length.after-rename");
            disk.sync_names(folder(&name))
        };
        told().map_err(|cause| failed("write", &name, &cause))
    }
}

fn not_ours(name: &str) -> Error {
    let error = Error::new(Code::Io, format!("`{name}` is there and was not made by this job"));
    error.help("with --checkpoint output is never replaced: remove the file or write to another")
}

fn failed(what: &str, name: &str, cause: &io::Error) -> Error {
    let text = cause.to_string();
    let reason = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
    Error::new(Code::Io, format!("cannot {what} `{name}`: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::{RealDisk, SimulatedDisk};

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().report().message.clone()
    }

    #[test]
    fn a_file_goes_on_behind_its_cut_and_only_if_that_is_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("out.csv").to_str().unwrap().to_owned();
        let disks: [(Arc<dyn Durable>, &str); 2] =
            [(Arc::new(SimulatedDisk::new()), "out.csv"), (Arc::new(RealDisk), &real)];
        for (disk, name) in disks {
            let mut file = Appended::make(&*disk, name, false).unwrap();
            file.append(b"one,").unwrap();
            let cut = file.cut();
            cut.sync().unwrap();
            cut.cut.tell(&*disk).unwrap();
            assert_eq!(disk.read(&cut.cut.length_file()).unwrap(), b"4\n");
            file.append(b"two").unwrap();
            assert!(message(Appended::make(&*disk, name, false)).contains("not made by this job"));
            let mut file = Appended::go_on(&*disk, &cut.cut).unwrap();
            file.append(b"three").unwrap();
            assert_eq!(disk.read(name).unwrap(), b"one,three");
            let longer = Cut { length: 100, ..cut.cut.clone() };
            assert!(message(Appended::go_on(&*disk, &longer)).contains("has 9 bytes, and 100 were committed"));
            let other = Cut { sum: 7, ..cut.cut.clone() };
            assert!(message(Appended::go_on(&*disk, &other)).contains("was changed"));
            let mut written = Writer::default();
            cut.cut.save(&mut written);
            let bytes = written.into_bytes();
            assert_eq!(Cut::load(&mut Reader::new(&bytes)).unwrap(), cut.cut);
            assert_eq!(Appended::make(&*disk, name, true).unwrap().cut().cut.length, 0);
            assert_eq!(disk.read(name).unwrap(), b"");
        }
    }

    #[test]
    fn what_is_synced_survives_a_power_cut_and_a_cut_that_is_not_may_not() {
        let mut came_back = 0;
        for seed in 0..40 {
            let disk = SimulatedDisk::new();
            let mut file = Appended::make(&disk, "out", false).unwrap();
            file.append(b"committed").unwrap();
            let cut = file.cut();
            file.append(b" and more").unwrap();
            file.cut().sync().unwrap();
            cut.file.cut(cut.cut.length).unwrap();
            disk.power_cut(seed);
            let left = disk.read("out").unwrap();
            assert!(left.starts_with(b"committed"), "seed {seed}");
            came_back += usize::from(left.ends_with(b"more"));
            let file = Appended::go_on(&disk, &cut.cut).unwrap();
            drop(file);
            disk.power_cut(seed);
            assert_eq!(disk.read("out").unwrap(), b"committed", "seed {seed}");
        }
        assert!((1..40).contains(&came_back));
    }
}
