//! A disk in memory that forgets what was not synced.
//!
//! A power cut keeps of each file what was synced and a part, drawn from a seed, of what was not,
//! the last bytes of it torn. Of the names made, changed and removed since the last sync of their
//! folder each survives or not, drawn as well. Operations can be made to fail from the N-th on (the
//! process is dead) or once (the disk had an error).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corelane_engine::hash;

use super::{Durable, Found, Growing, Lock, Prefix, Tree, tree};

/// Bytes at the end of what survives unsynced that hold anything.
const TORN: usize = 512;

/// The disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Bytes>,
    /// As processes see it.
    names: BTreeMap<String, Entry>,
    /// As it is on the disk.
    synced: BTreeMap<String, Entry>,
    /// What is between the two.
    changes: Vec<Change>,
    locked: BTreeSet<String>,
    operations: u64,
    dies_at: Option<u64>,
    fails_at: Option<u64>,
    panics_at: Option<u64>,
}

#[derive(Debug)]
struct Bytes {
    bytes: Vec<u8>,
    /// So many of them are on the disk.
    synced: usize,
    /// What was on the disk behind them and has been cut off since the last sync.
    cut: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Folder,
    File(usize),
}

#[derive(Clone, Debug)]
enum Change {
    Add(String, Entry),
    Rename(String, String),
    Remove(String),
}

impl Change {
    fn folder(&self) -> &str {
        let (Change::Add(name, _) | Change::Rename(name, _) | Change::Remove(name)) = self;
        folder(name)
    }

    fn apply(self, names: &mut BTreeMap<String, Entry>) {
        match self {
            Change::Add(name, entry) => {
                names.insert(name, entry);
            }
            Change::Rename(from, to) => {
                if let Some(entry) = names.remove(&from) {
                    names.insert(to, entry);
                }
            }
            Change::Remove(name) => {
                names.remove(&name);
            }
        }
    }
}

fn folder(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Bytes {
    fn sync(&mut self) {
        self.synced = self.bytes.len();
        self.cut.clear();
    }

    fn cut(&mut self, length: usize) {
        if length < self.synced {
            let gone = self.bytes[length..self.synced].to_vec();
            self.cut.splice(..0, gone);
            self.synced = length;
        }
        self.bytes.truncate(length);
    }
}

impl State {
    fn operation(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.panics_at == Some(self.operations) {
            panic!("the disk panicked on thread {}", std::thread::current().name().unwrap_or("-"));
        }
        if self.dies_at.is_some_and(|at| self.operations >= at) || self.fails_at == Some(self.operations) {
            return Err(io::Error::other("the disk failed"));
        }
        Ok(())
    }

    fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.names);
        self.changes.push(change);
    }

    fn file(&mut self, name: &str) -> io::Result<&mut Bytes> {
        match self.names.get(name) {
            Some(&Entry::File(file)) => Ok(&mut self.files[file]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn is_folder(&self, name: &str) -> bool {
        name.is_empty() || self.names.get(name) == Some(&Entry::Folder)
    }
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new() -> Self {
        SimulatedDisk::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// From the `operation`-th on, counted from 1, all fail.
    pub fn die_at(&self, operation: u64) {
        self.state().dies_at = Some(operation);
    }

    /// The `operation`-th, counted from 1, fails.
    pub fn fail_at(&self, operation: u64) {
        self.state().fails_at = Some(operation);
    }

    /// Whoever asks for the `operation`-th, counted from 1, panics.
    pub fn panic_at(&self, operation: u64) {
        self.state().panics_at = Some(operation);
    }

    /// The power goes and comes back: locks are gone, and so is what was not synced, but for parts
    /// drawn from `seed`.
    pub fn power_cut(&self, seed: u64) {
        let mut state = self.state();
        let mut drawn = seed;
        let mut draw = |below: usize| {
            drawn = drawn.wrapping_add(1);
            (hash::end(hash::end(drawn)) % below as u64) as usize
        };
        let changes = std::mem::take(&mut state.changes);
        for change in changes {
            if draw(2) == 0 {
                change.apply(&mut state.synced);
            }
        }
        let known = state.synced.clone();
        let is_reached =
            |name: &str| name.match_indices('/').all(|(at, _)| known.get(&name[..at]) == Some(&Entry::Folder));
        state.synced.retain(|name, _| is_reached(name));
        for file in &mut state.files {
            let cut = std::mem::take(&mut file.cut);
            if !cut.is_empty() && draw(2) == 0 {
                file.bytes.truncate(file.synced);
                file.bytes.extend_from_slice(&cut);
                file.synced = file.bytes.len();
            }
            let unsynced = file.bytes.len() - file.synced;
            let kept = file.synced + draw(unsynced + 1);
            file.bytes.truncate(kept);
            let torn = file.synced.max(kept.saturating_sub(TORN));
            file.bytes[torn..].iter_mut().for_each(|byte| *byte ^= draw(256) as u8);
            file.synced = kept;
        }
        state.names = state.synced.clone();
        state.locked.clear();
        (state.dies_at, state.fails_at, state.panics_at) = (None, None, None);
    }

    /// Changes the bytes of a file behind everybody's back.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.state();
        let file = state.file(name)?;
        change(&mut file.bytes);
        file.sync();
        Ok(())
    }
}

#[derive(Debug)]
struct Held {
    state: Arc<Mutex<State>>,
    name: String,
}

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).locked.remove(&self.name);
    }
}

impl Durable for SimulatedDisk {
    fn make_folder(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        match state.names.get(name) {
            Some(Entry::Folder) => Ok(()),
            Some(Entry::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            None if !state.is_folder(folder(name)) => Err(io::ErrorKind::NotFound.into()),
            None => {
                state.change(Change::Add(name.to_owned(), Entry::Folder));
                Ok(())
            }
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !state.is_folder(folder(name)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        // A write that fails may have written half.
        let done = state.operation();
        let written = if done.is_ok() { bytes.len() } else { bytes.len() / 2 };
        let file = Entry::File(state.files.len());
        state.files.push(Bytes { bytes: bytes[..written].to_vec(), synced: 0, cut: Vec::new() });
        state.change(Change::Add(name.to_owned(), file));
        done
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        state.file(name)?.sync();
        Ok(())
    }

    fn sync_names(&self, folder: &str) -> io::Result<()> {
        let folder = if folder == "." { "" } else { folder };
        let mut state = self.state();
        state.operation()?;
        let (synced, rest) =
            std::mem::take(&mut state.changes).into_iter().partition(|change: &Change| change.folder() == folder);
        state.changes = rest;
        let synced: Vec<Change> = synced;
        synced.into_iter().for_each(|change| change.apply(&mut state.synced));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        if state.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.file(from)?;
        state.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        state.file(name)?;
        state.change(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn remove_folder(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if state.names.keys().any(|other| folder(other) == name) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.change(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.operation()?;
        state.file(name).map(|file| file.bytes.clone())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let folder = if folder == "." { "" } else { folder };
        let mut state = self.state();
        state.operation()?;
        if !state.is_folder(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = state.names.keys().filter(|name| self::folder(name) == folder);
        Ok(inside.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect())
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        let mut state = self.state();
        state.operation()?;
        if !state.locked.insert(name.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(Held { state: Arc::clone(&self.state), name: name.to_owned() })))
    }

    fn exists(&self, name: &str) -> bool {
        self.state().names.contains_key(name)
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        state.file(from)?;
        state.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn grow(&self, name: &str) -> io::Result<Arc<dyn Growing>> {
        self.write(name, b"")?;
        self.grow_on(name)
    }

    fn grow_on(&self, name: &str) -> io::Result<Arc<dyn Growing>> {
        let mut state = self.state();
        state.operation()?;
        match state.names.get(name) {
            Some(&Entry::File(file)) => Ok(Arc::new(Open { state: Arc::clone(&self.state), file })),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn prefix(&self, name: &str, length: u64) -> io::Result<Prefix> {
        let bytes = self.read(name)?;
        let length = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(Prefix { length: length as u64, sum: crc32c::crc32c(&bytes[..length]) })
    }

    fn tree(&self, root: &str) -> io::Result<Arc<dyn Tree>> {
        let root = root.trim_end_matches('/').to_owned();
        self.make_folder(&root)?;
        Ok(Arc::new(SimulatedTree { disk: self.clone(), root }))
    }
}

/// A folder of the disk with all below it. There are no links.
#[derive(Debug)]
struct SimulatedTree {
    disk: SimulatedDisk,
    root: String,
}

impl SimulatedTree {
    fn place(&self, path: &str) -> io::Result<String> {
        tree::names(path)?;
        Ok(if path.is_empty() { self.root.clone() } else { format!("{}/{path}", self.root) })
    }
}

impl Tree for SimulatedTree {
    fn root(&self) -> &str {
        &self.root
    }

    fn make_folders(&self, path: &str) -> io::Result<()> {
        for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
            self.disk.make_folder(&self.place(&path[..at])?)?;
        }
        Ok(())
    }

    fn grow(&self, path: &str) -> io::Result<Arc<dyn Growing>> {
        self.disk.grow(&self.place(path)?)
    }

    fn grow_on(&self, path: &str) -> io::Result<Arc<dyn Growing>> {
        self.disk.grow_on(&self.place(path)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(&self.place(from)?, &self.place(to)?)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(&self.place(path)?)
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        self.disk.remove_folder(&self.place(path)?)
    }

    fn sync_names(&self, path: &str) -> io::Result<()> {
        self.disk.sync_names(&self.place(path)?)
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        Ok(self.disk.exists(&self.place(path)?))
    }

    fn prefix(&self, path: &str, length: u64) -> io::Result<Prefix> {
        self.disk.prefix(&self.place(path)?, length)
    }

    fn copy(&self, from: &str, to: &str, length: u64) -> io::Result<()> {
        let bytes = self.disk.read(&self.place(from)?)?;
        let length = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        self.disk.write(&self.place(to)?, &bytes[..length])
    }

    fn list(&self, path: &str) -> io::Result<Vec<Found>> {
        let place = self.place(path)?;
        let names = self.disk.list(&place)?;
        let state = self.disk.state();
        let is_folder = |name: &String| state.is_folder(&format!("{place}/{name}"));
        Ok(names.into_iter().map(|name| Found { is_folder: is_folder(&name), name }).collect())
    }
}

/// A file that is appended to.
#[derive(Debug)]
struct Open {
    state: Arc<Mutex<State>>,
    file: usize,
}

impl Open {
    fn act(&self, act: impl FnOnce(&mut Bytes)) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.operation()?;
        act(&mut state.files[self.file]);
        Ok(())
    }
}

impl Growing for Open {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.act(|file| file.bytes.extend_from_slice(bytes))
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.act(|file| file.cut(usize::try_from(length).unwrap_or(usize::MAX)))
    }

    fn sync(&self) -> io::Result<()> {
        self.act(Bytes::sync)
    }

    fn number(&self) -> io::Result<u64> {
        Ok(self.file as u64 + 1)
    }
}
