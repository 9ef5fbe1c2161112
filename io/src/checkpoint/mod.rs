//! Where checkpoints are kept, and how one of them becomes valid.
//!
//! ```text
//! JOB                    what runs: written before anything else, never changed
//! LOCK                   held while a process works here
//! <epoch>/shard-<i>.ck   the state of a shard
//! <epoch>/MANIFEST       names and hashes all of it: the only commit point
//! <epoch>/COMMITTED      outputs have been made final as well
//! ```
//!
//! An epoch is there from the moment its manifest has its name on the disk: first every shard's file
//! is written and synced, then names are synced, then the manifest is written under another name and
//! synced, gets its own name, and names are synced again. What has no manifest is removed when the
//! store is opened. After an error nothing more can be committed: the process has failed, and another
//! one resumes.
//!
//! `FORMAT.md` beside this module has every byte. Every file consists of [`block`]s, so that any damage is
//! found; all of an epoch is read and checked before any of it is given out. What is found of a damaged epoch
//! is an error that names the file, and the newest whole one ([`Store::find`]); whether that one may be gone
//! on with is not known here.

mod block;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use corelane_engine::state::{Reader, Scope, Section, Writer};
use corelane_engine::{Code, Error, Result};

use crate::durable::{Durable, Growing, Lock, folder};
use crate::fault;
use block::{Encoder, Kind, Label};

/// Bytes of a shard's file that are written at a time.
const WRITE_BYTES: usize = 512 << 10;

/// Epochs that are kept.
pub const KEPT: usize = 3;

const JOB: &str = "JOB";
const LOCK: &str = "LOCK";
const MANIFEST: &str = "MANIFEST";
const NEW_MANIFEST: &str = "MANIFEST.new";
const COMMITTED: &str = "COMMITTED";

/// Places around the steps in which a file gets its name.
struct Points([&'static str; 5]);

impl Points {
    const fn new(names: [&'static str; 5]) -> Points {
        let mut at = 0;
        while at < names.len() {
            assert!(fault::is_listed(names[at]), "the place is not in POINTS");
            at += 1;
        }
        Points(names)
    }
}

const JOB_POINTS: Points =
    Points::new(["job.before-write", "job.after-write", "job.after-sync", "job.after-rename", "job.after-names"]);
const MANIFEST_POINTS: Points = Points::new([
    "manifest.before-write",
    "manifest.after-write",
    "manifest.after-sync",
    "manifest.after-rename",
    "manifest.after-names",
]);

/// A folder of checkpoints, locked.
#[derive(Debug)]
pub struct Store {
    disk: Arc<dyn Durable>,
    path: String,
    failed: AtomicBool,
    _lock: Box<dyn Lock>,
}

/// A shard's file as its manifest knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    length: u64,
    digest: u128,
}

/// The file of a shard on its way.
pub struct ShardFile {
    name: String,
    file: Arc<dyn Growing>,
    encoder: Encoder,
    /// Bytes written.
    length: u64,
}

/// A committed epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Its number.
    pub number: u64,
    /// The state of each shard.
    pub shards: Vec<Vec<Section>>,
    /// What the manifest says besides: positions, outputs, counters.
    pub job: Vec<u8>,
    /// Outputs have been made final.
    pub is_settled: bool,
}

/// What an earlier process has left.
#[derive(Debug)]
pub struct Found {
    /// The newest whole epoch; `None` while none was ever committed.
    pub epoch: Option<Epoch>,
    /// What is wrong with newer ones, the newest first.
    pub damage: Vec<Error>,
    /// The number of the newest epoch, whole or not; 0 is none.
    pub highest: u64,
}

impl Store {
    /// A new store at `path`, whose folder is made if need be, for the job that `job` describes. One
    /// that is there already is an error.
    pub fn create(disk: Arc<dyn Durable>, path: &str, job: &[u8]) -> Result<Store> {
        disk.make_folder(path).map_err(|cause| failed("make", path, &cause))?;
        let store = Store::locked(disk, path)?;
        if store.names("")?.iter().any(|name| name == JOB) {
            let message = format!("`{path}` holds the checkpoints of another run");
            let error = Error::new(Code::Io, message);
            return Err(error.help("go on with --resume, begin again with --from-scratch, or choose another folder"));
        }
        let parent = folder(path);
        store.checked(|| {
            // A run that was stopped right here has left nothing to keep.
            if store.names("")?.iter().any(|name| name == "JOB.new") {
                store.act("remove", "JOB.new", |disk, name| disk.remove(name))?;
            }
            let label = Label { kind: Kind::Job, epoch: 0, shard: 0 };
            store.publish("JOB.new", JOB, "", &block::encode(label, job), &JOB_POINTS)?;
            store.disk.sync_names(parent).map_err(|cause| failed("sync", parent, &cause))
        })?;
        Ok(store)
    }

    /// Removes everything in the store at `path`, if there is one, so that another can be made there.
    /// `outputs`, told what the job was, removes what it has made. The job itself goes last, so that a run
    /// that dies on the way can do it again.
    pub fn clear(disk: &Arc<dyn Durable>, path: &str, outputs: impl FnOnce(&[u8]) -> Result<()>) -> Result<()> {
        if disk.list(path).map_or(true, |names| !names.iter().any(|name| name == JOB)) {
            return Ok(());
        }
        let store = Store::locked(Arc::clone(disk), path)?;
        // A record that cannot be read names no outputs, but must not stop anybody from beginning again.
        if let Ok((job, _)) = store.read(JOB, Label { kind: Kind::Job, epoch: 0, shard: 0 }) {
            outputs(&job)?;
        }
        for epoch in store.epochs()? {
            store.remove(epoch)?;
        }
        store.sync_names("")?;
        store.act("remove", JOB, |disk, name| disk.remove(name))?;
        store.sync_names("")
    }

    /// The store at `path`, and what its job is. What was not committed is removed.
    pub fn open(disk: Arc<dyn Durable>, path: &str) -> Result<(Store, Vec<u8>)> {
        if !disk.exists(&format!("{path}/{JOB}")) {
            let message = format!("there are no checkpoints in `{path}`");
            return Err(Error::new(Code::Io, message).help("start a run with --checkpoint"));
        }
        let store = Store::locked(disk, path)?;
        let job = store.read(JOB, Label { kind: Kind::Job, epoch: 0, shard: 0 })?.0;
        let mut is_newest = true;
        for epoch in store.epochs()?.into_iter().rev() {
            let names = store.names(&epoch.to_string())?;
            let has = |wanted: &str| names.iter().any(|name| name == wanted);
            // Of older ones the manifest goes first when they are removed; the newest has lost it.
            let is_damaged = is_newest && has(COMMITTED);
            if !has(MANIFEST) && !is_damaged {
                store.remove(epoch)?;
            } else {
                is_newest = false;
            }
        }
        Ok((store, job))
    }

    fn locked(disk: Arc<dyn Durable>, path: &str) -> Result<Store> {
        let name = format!("{path}/{LOCK}");
        let lock = disk.lock(&name).map_err(|cause| failed("lock", &name, &cause))?;
        let lock = lock.ok_or_else(|| {
            Error::new(Code::Io, format!("another process works with the checkpoints in `{path}`"))
                .help("wait for it to end, or choose another folder")
        })?;
        Ok(Store { disk, path: path.to_owned(), failed: AtomicBool::new(false), _lock: lock })
    }

    /// Writes the state of shard `shard`; counts only once [`Store::commit`] has it.
    pub fn write(&self, epoch: u64, shard: u32, sections: &[Section]) -> Result<Written> {
        let mut file = self.begin(epoch, shard)?;
        sections.iter().try_for_each(|section| self.add(&mut file, section))?;
        self.end(file)
    }

    /// Begins to write the state of shard `shard`, whose sections come one by one.
    pub fn begin(&self, epoch: u64, shard: u32) -> Result<ShardFile> {
        self.checked(|| {
            self.act("make", &epoch.to_string(), |disk, name| disk.make_folder(name))?;
            let name = shard_file(epoch, shard);
            fault!("state.before-write");
            self.act("write", &name, |disk, name| disk.write(name, b""))?;
            let place = self.place(&name);
            let file = self.disk.grow_on(&place).map_err(|cause| failed("write", &place, &cause))?;
            let encoder = Encoder::new(Label { kind: Kind::State, epoch, shard });
            Ok(ShardFile { name, file, encoder, length: 0 })
        })
    }

    /// Adds a section to a file that was begun.
    pub fn add(&self, file: &mut ShardFile, section: &Section) -> Result<()> {
        let mut head = Writer::default();
        head.flag(true);
        head.count(section.node);
        let (scope, number) = match section.scope {
            Scope::Whole => (0, 0),
            Scope::KeyGroup(group) => (1, u32::from(group)),
            Scope::Part(part) => (2, part),
        };
        head.byte(scope);
        head.word(u64::from(number));
        head.count(section.bytes.len());
        file.encoder.add(head.as_bytes());
        file.encoder.add(&section.bytes);
        self.checked(|| self.write_on(file, WRITE_BYTES))
    }

    /// Ends a file that was begun: it is on the disk when this returns.
    pub fn end(&self, mut file: ShardFile) -> Result<Written> {
        self.checked(|| {
            file.encoder.add(&[0]);
            let digest = file.encoder.end();
            self.write_on(&mut file, 0)?;
            fault!("state.after-write");
            self.act("sync", &file.name, |disk, name| disk.sync(name))?;
            fault!("state.after-sync");
            Ok(Written { length: file.length, digest })
        })
    }

    fn write_on(&self, file: &mut ShardFile, least: usize) -> Result<()> {
        let written = file.encoder.ready(least, |bytes| file.file.append(bytes));
        file.length += written.map_err(|cause| failed("write", &self.place(&file.name), &cause))?;
        Ok(())
    }

    /// Makes `epoch` valid: the files of all its shards in order, and `job`, what else is to be known.
    /// When this returns, no crash can lose it.
    pub fn commit(&self, epoch: u64, shards: &[Written], job: &[u8]) -> Result<()> {
        self.checked(|| {
            let folder = epoch.to_string();
            self.act("make", &folder, |disk, name| disk.make_folder(name))?;
            self.sync_names(&folder)?;
            self.sync_names("")?;
            let mut content = Writer::default();
            content.count(shards.len());
            for shard in shards {
                content.word(shard.length);
                content.long(shard.digest as i128);
            }
            content.text(job);
            let label = Label { kind: Kind::Manifest, epoch, shard: 0 };
            let bytes = block::encode(label, &content.into_bytes());
            let (new, name) = (format!("{folder}/{NEW_MANIFEST}"), format!("{folder}/{MANIFEST}"));
            self.publish(&new, &name, &folder, &bytes, &MANIFEST_POINTS)
        })
    }

    /// Notes that the outputs of `epoch`, which is committed, are final, and removes epochs that are
    /// not needed any more.
    pub fn settle(&self, epoch: u64) -> Result<()> {
        self.checked(|| {
            let folder = epoch.to_string();
            if !self.names(&folder)?.iter().any(|name| name == COMMITTED) {
                fault!("settle.before-write");
                self.act("write", &format!("{folder}/{COMMITTED}"), |disk, name| disk.write(name, b""))?;
                fault!("settle.after-write");
                self.sync_names(&folder)?;
                fault!("settle.after-names");
            }
            let epochs = self.epochs()?;
            let older = epochs.iter().filter(|&&other| other <= epoch).count().saturating_sub(KEPT);
            epochs[..older].iter().try_for_each(|&epoch| self.remove(epoch))
        })
    }

    /// The newest committed epoch, all of it checked; `None` while there is none.
    pub fn newest(&self) -> Result<Option<Epoch>> {
        let Found { epoch, damage, .. } = self.find()?;
        damage.into_iter().next().map_or(Ok(epoch), Err)
    }

    /// The newest epoch that is whole, and what is wrong with newer ones. It is an error if none of several
    /// is whole.
    pub fn find(&self) -> Result<Found> {
        let epochs = self.epochs()?;
        let mut found = Found { epoch: None, damage: Vec::new(), highest: epochs.last().copied().unwrap_or(0) };
        for &number in epochs.iter().rev() {
            let names = self.names(&number.to_string())?;
            let has = |wanted: &str| names.iter().any(|name| name == wanted);
            let epoch = match (has(MANIFEST), has(COMMITTED)) {
                (true, is_settled) => self.epoch(number, is_settled),
                (false, true) => Err(self.damaged(&format!("{number}/{MANIFEST}"), "it is missing")),
                (false, false) => continue,
            };
            match epoch {
                Ok(epoch) => {
                    found.epoch = Some(epoch);
                    return Ok(found);
                }
                Err(error) => found.damage.push(error),
            }
        }
        match found.damage.is_empty() {
            true => Ok(found),
            false => Err(found.damage.swap_remove(0)),
        }
    }

    fn epoch(&self, number: u64, is_settled: bool) -> Result<Epoch> {
        let name = format!("{number}/{MANIFEST}");
        let content = self.read(&name, Label { kind: Kind::Manifest, epoch: number, shard: 0 })?.0;
        let (written, job) = manifest(&content).map_err(|_| self.damaged(&name, "it cannot be meant"))?;
        let mut shards = Vec::with_capacity(written.len());
        for (shard, written) in (0u32..).zip(written) {
            let name = shard_file(number, shard);
            let (content, is) = self.read(&name, Label { kind: Kind::State, epoch: number, shard })?;
            if is != written {
                return Err(self.damaged(&name, "it is not the one that its manifest names"));
            }
            shards.push(sections(&content).map_err(|_| self.damaged(&name, "it cannot be meant"))?);
        }
        Ok(Epoch { number, shards, job, is_settled })
    }

    /// Numbers of all epochs, committed or not, in order.
    fn epochs(&self) -> Result<Vec<u64>> {
        let names = self.names("")?;
        let number = |name: &String| name.parse().ok().filter(|number: &u64| number.to_string() == *name);
        let mut epochs: Vec<u64> = names.iter().filter_map(number).collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    /// Removes an epoch, its manifest first, so that it is never there in part.
    fn remove(&self, epoch: u64) -> Result<()> {
        let folder = epoch.to_string();
        let mut names = self.names(&folder)?;
        names.sort_by_key(|name| name != MANIFEST);
        fault!("remove.before-manifest");
        for name in names {
            self.act("remove", &format!("{folder}/{name}"), |disk, name| disk.remove(name))?;
            if name == MANIFEST {
                fault!("remove.after-manifest");
                self.sync_names(&folder)?;
                fault!("remove.after-names");
            }
        }
        fault!("remove.before-folder");
        self.act("remove", &folder, |disk, name| disk.remove_folder(name))?;
        fault!("remove.after-folder");
        Ok(())
    }

    /// Writes a file so that it is there whole or not at all.
    fn publish(&self, new: &str, name: &str, folder: &str, bytes: &[u8], points: &Points) -> Result<()> {
        let [before_write, after_write, after_sync, after_rename, after_names] = points.0;
        fault::reach(before_write);
        self.act("write", new, |disk, new| disk.write(new, bytes))?;
        fault::reach(after_write);
        self.act("sync", new, |disk, new| disk.sync(new))?;
        fault::reach(after_sync);
        let target = self.place(name);
        self.act("rename", new, |disk, new| disk.rename(new, &target))?;
        fault::reach(after_rename);
        self.sync_names(folder)?;
        fault::reach(after_names);
        Ok(())
    }

    fn sync_names(&self, folder: &str) -> Result<()> {
        self.act("sync", folder, |disk, folder| disk.sync_names(folder))
    }

    /// Runs what must not be followed by anything if it fails.
    fn checked<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.failed.load(Ordering::Acquire) {
            return Err(Error::new(Code::Io, format!("writing to `{}` has failed before", self.path)));
        }
        let done = act();
        if done.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        done
    }

    fn act(&self, what: &str, name: &str, act: impl FnOnce(&dyn Durable, &str) -> io::Result<()>) -> Result<()> {
        let place = self.place(name);
        act(&*self.disk, &place).map_err(|cause| failed(what, &place, &cause))
    }

    fn names(&self, folder: &str) -> Result<Vec<String>> {
        let place = self.place(folder);
        self.disk.list(&place).map_err(|cause| failed("look into", &place, &cause))
    }

    /// The content of a file, and what a manifest would say of it.
    fn read(&self, name: &str, label: Label) -> Result<(Vec<u8>, Written)> {
        let place = self.place(name);
        let bytes = self.disk.read(&place).map_err(|cause| failed("read", &place, &cause))?;
        let (content, digest) = block::decode(label, &bytes).map_err(|what| self.damaged(name, &what))?;
        Ok((content, Written { length: bytes.len() as u64, digest }))
    }

    fn place(&self, name: &str) -> String {
        if name.is_empty() { self.path.clone() } else { format!("{}/{name}", self.path) }
    }

    fn damaged(&self, name: &str, what: &str) -> Error {
        Error::new(Code::Io, format!("`{}` is damaged: {what}", self.place(name)))
    }
}

fn shard_file(epoch: u64, shard: u32) -> String {
    format!("{epoch}/shard-{shard}.ck")
}

fn manifest(content: &[u8]) -> Result<(Vec<Written>, Vec<u8>)> {
    let mut from = Reader::new(content);
    let mut shards = Vec::new();
    for _ in 0..from.count(24)? {
        shards.push(Written { length: from.word()?, digest: from.long()? as u128 });
    }
    let job = from.text()?.to_vec();
    from.end()?;
    Ok((shards, job))
}

fn sections(content: &[u8]) -> Result<Vec<Section>> {
    let mut from = Reader::new(content);
    let mut sections = Vec::new();
    while from.flag()? {
        let node = usize::try_from(from.word()?).unwrap_or(usize::MAX);
        let (scope, number) = (from.byte()?, from.word()?);
        let scope = match scope {
            0 => Scope::Whole,
            1 => Scope::KeyGroup(u16::try_from(number).unwrap_or(u16::MAX)),
            2 => Scope::Part(u32::try_from(number).unwrap_or(u32::MAX)),
            _ => return Err(Error::new(Code::Io, "a section is of no known kind")),
        };
        sections.push(Section { node, scope, bytes: from.text()?.to_vec() });
    }
    from.end()?;
    Ok(sections)
}

fn failed(what: &str, name: &str, cause: &io::Error) -> Error {
    let text = cause.to_string();
    let reason = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
    Error::new(Code::Io, format!("cannot {what} `{name}`: {reason}"))
}
