//! Output that grows at the end of a file, and up to where it is committed.
//!
//! What is written is summed up on the way. A [`Cut`] names a file and what of it belongs to an epoch:
//! so many bytes with this checksum. Once the file is synced and the cut stands in a manifest, these
//! bytes are committed; a run that goes on holds the file against the cut, and cuts off what follows.

use std::io;
use std::sync::Arc;

use corelane_engine::state::{Reader, Writer};
use corelane_engine::{Code, Error, Result};

use crate::durable::{Durable, Growing, Prefix, folder};
use crate::fault;

/// A file at the end of which output is written.
#[derive(Debug)]
pub struct Appended {
    file: Arc<dyn Growing>,
    cut: Cut,
    /// What stands there already, if that is more.
    told: Option<Prefix>,
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
    /// Bytes that readers were told of.
    told: u64,
}

impl OpenCut {
    /// The bytes are on the disk when this returns.
    pub fn sync(&self) -> Result<()> {
        fault!("output.before-sync");
        self.file.sync().map_err(|cause| failed("sync", &self.cut.name, &cause))?;
        fault!("output.after-sync");
        Ok(())
    }

    /// Refuses an end before what readers were told of.
    pub fn end(&self) -> Result<()> {
        if self.cut.length < self.told { Err(not_repeated(&self.cut.name, self.told)) } else { Ok(()) }
    }
}

fn not_repeated(name: &str, told: u64) -> Error {
    let message = format!("`{name}`: the run did not repeat the {told} bytes that were committed before");
    Error::new(Code::Io, message).help("they stay as they are; begin again with --from-scratch")
}

/// How many bytes of the file `name` readers were told of.
fn told(disk: &dyn Durable, name: &str) -> Result<u64> {
    let length_file = format!("{name}.committed");
    let bytes = match disk.read(&length_file) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(0),
        bytes => bytes.map_err(|cause| failed("read", &length_file, &cause))?,
    };
    let told = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok());
    told.ok_or_else(|| Error::new(Code::Io, format!("`{length_file}` is damaged: it says no length")))
}

impl Appended {
    /// Makes the file `name`. One that is there is refused, since nobody knows whose it is, unless
    /// `is_own` says that an earlier start of the same job may have made it: then it is emptied.
    pub fn make(disk: &dyn Durable, name: &str, is_own: bool) -> Result<Appended> {
        fault!("output.before-make");
        let told = if is_own { told(disk, name)? } else { 0 };
        if told > 0 {
            let message = format!("{told} bytes of `{name}` are committed, but no checkpoint knows of them");
            return Err(Error::new(Code::Io, message).help("bring it back, or begin again with --from-scratch"));
        }
        let length_file = format!("{name}.committed");
        if disk.exists(&length_file) {
            // Of a file that is no more.
            disk.remove(&length_file).map_err(|cause| failed("remove", &length_file, &cause))?;
        }
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
        Ok(Appended { file, cut: Cut { name: name.to_owned(), number, length: 0, sum: 0 }, told: None })
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
        let told = told(disk, name)?;
        let told = match told > cut.length {
            true => Some(disk.prefix(name, told).map_err(|cause| failed("read", name, &cause))?),
            false => None,
        };
        let file = disk.grow_on(name).map_err(|cause| failed("open", name, &cause))?;
        fault!("resume.before-cut");
        file.cut(told.map_or(cut.length, |told| told.length))
            .and_then(|()| file.sync())
            .map_err(|cause| failed("cut", name, &cause))?;
        fault!("resume.after-cut");
        let number = file.number().map_err(|cause| failed("look at", name, &cause))?;
        Ok(Appended { file, cut: Cut { number, ..cut.clone() }, told })
    }

    /// Writes behind what is there.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        fault!("output.before-append");
        let mut rest = bytes;
        if let Some(told) = self.told {
            let there = (told.length - self.cut.length).min(bytes.len() as u64) as usize;
            rest = &bytes[there..];
            self.count(&bytes[..there]);
            if self.cut.length == told.length {
                if self.cut.sum != told.sum {
                    return Err(io::Error::other("the run does not repeat what was committed before"));
                }
                self.told = None;
            }
        }
        if !rest.is_empty() {
            self.file.append(rest)?;
            self.count(rest);
        }
        fault!("output.after-append");
        Ok(())
    }

    fn count(&mut self, bytes: &[u8]) {
        self.cut.length += bytes.len() as u64;
        self.cut.sum = crc32c::crc32c_append(self.cut.sum, bytes);
    }

    /// The file's path.
    pub fn name(&self) -> &str {
        &self.cut.name
    }

    /// All that was written so far.
    pub fn cut(&self) -> OpenCut {
        let told = self.told.map_or(0, |told| told.length);
        OpenCut { cut: self.cut.clone(), file: Arc::clone(&self.file), told }
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
        if told(disk, &self.name)? > self.length {
            return Ok(());
        }
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
