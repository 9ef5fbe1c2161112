//! Beginning a run with checkpoints, going on with one, and refusing.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use corelane_engine::state::Section;
use corelane_engine::{Code, Error, Result};
use corelane_io::append::Appended;
use corelane_io::checkpoint::{Epoch, Store};
use corelane_io::durable::{Durable, folder};
use corelane_io::fault;

use super::job::Job;
use super::keeper::{self, Keeper};
use super::record::Committed;
use super::report::Notes;
use super::{Call, Every, Member, Reporter, damaged};
use crate::doorbell::Doorbell;
use crate::ring::Sender;

/// A folder of checkpoints, opened to go on with.
pub struct Opened {
    store: Store,
    path: String,
    /// What was asked then.
    pub job: Job,
}

impl Opened {
    /// Opens what an earlier run has left in `path`.
    pub fn open(disk: &Arc<dyn Durable>, path: &str) -> Result<Opened> {
        let (store, job) = Store::open(Arc::clone(disk), path)?;
        fault!("resume.after-open");
        Ok(Opened { store, path: path.to_owned(), job: Job::load(&job)? })
    }
}

/// A run with checkpoints, before it begins.
pub struct Recovery {
    store: Store,
    disk: Arc<dyn Durable>,
    every: Every,
    /// The newest committed epoch's number, state and outputs.
    epoch: u64,
    states: Vec<Vec<Section>>,
    committed: Committed,
    /// Outputs may be there from an earlier start.
    is_resumed: bool,
    last_asked: Arc<AtomicBool>,
    calls: Vec<Sender<Call>>,
    notes: Vec<Notes>,
}

/// Has the disk keep the folders that `files` will be in, which may be new.
fn sync_folders(disk: &dyn Durable, files: &[String]) -> Result<()> {
    let mut folders = BTreeSet::new();
    for file in files {
        let mut name = folder(file);
        while folders.insert(name) {
            name = folder(name);
        }
    }
    for folder in folders {
        match disk.sync_names(folder) {
            // One that may not be looked into was not made by this run.
            Err(cause) if cause.kind() != io::ErrorKind::PermissionDenied => {
                return Err(Error::new(Code::Io, format!("cannot sync `{folder}`: {cause}")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes the checkpoints in `path`, if there are any, and the outputs that were committed with them.
pub fn clear(disk: &Arc<dyn Durable>, path: &str) -> Result<()> {
    Store::clear(disk, path, |job| {
        let job = Job::load(job).map_or(Vec::new(), |job| job.files().map(str::to_owned).collect());
        let all = job.into_iter().flat_map(|file| [format!("{file}.committed"), file]);
        for file in all.filter(|file| disk.exists(file)) {
            disk.remove(&file).map_err(|cause| Error::new(Code::Io, format!("cannot remove `{file}`: {cause}")))?;
        }
        Ok(())
    })
}

impl Recovery {
    /// Begins: nothing of the `outputs` may be there.
    pub fn begin(disk: Arc<dyn Durable>, path: &str, job: &Job, outputs: &[String]) -> Result<Recovery> {
        for output in outputs {
            if disk.exists(output) {
                let error = Error::new(Code::Io, format!("`{output}` is there and was not made by this job"));
                return Err(error.help("with --checkpoint output is never replaced: remove it or write elsewhere"));
            }
        }
        sync_folders(&*disk, outputs)?;
        let store = Store::create(Arc::clone(&disk), path, &job.save())?;
        Ok(Recovery::new(store, disk, job.every, None, Committed::default(), false))
    }

    /// Goes on with what was `opened`, if `now` is asked the same; with the epoch's number, and whether the
    /// run had come to its end.
    pub fn go_on(opened: Opened, disk: Arc<dyn Durable>, now: &Job) -> Result<Recovery> {
        let Opened { store, path, job } = opened;
        job.check(now, &path)?;
        let epoch = store.newest()?;
        fault!("resume.after-read");
        let committed = epoch.as_ref().map_or(Ok(Committed::default()), |epoch| Committed::load(&epoch.job))?;
        if let Some(epoch) = epoch.as_ref().filter(|epoch| !epoch.is_settled) {
            // The run before died between its commit and what follows it.
            committed.cuts.iter().try_for_each(|cut| cut.tell(&*disk))?;
            store.settle(epoch.number)?;
        }
        Ok(Recovery::new(store, disk, job.every, epoch, committed, true))
    }

    fn new(
        store: Store,
        disk: Arc<dyn Durable>,
        every: Every,
        epoch: Option<Epoch>,
        committed: Committed,
        is_resumed: bool,
    ) -> Recovery {
        let (epoch, states) = epoch.map_or((0, Vec::new()), |epoch| (epoch.number, epoch.shards));
        let last_asked = Arc::new(AtomicBool::new(false));
        let (calls, notes) = Default::default();
        Recovery { store, disk, every, epoch, states, committed, is_resumed, last_asked, calls, notes }
    }

    /// The epoch from which the run goes on; 0 is the beginning.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether an earlier run has come to the end of the input and committed everything.
    pub fn is_finished(&self) -> bool {
        self.committed.is_finished
    }

    /// Opens the output file `name`: a new one, or the committed part of one.
    pub fn output(&self, name: &str) -> Result<Appended> {
        if self.epoch == 0 {
            return Appended::make(&*self.disk, name, self.is_resumed);
        }
        match self.committed.cuts.iter().find(|cut| cut.name == name) {
            Some(cut) => Appended::go_on(&*self.disk, cut),
            None => Err(damaged(&format!("it does not know the output `{name}`"))),
        }
    }

    /// The part of the next of `shards` shards, and what it held.
    pub fn member(&mut self, shards: usize, bell: &Arc<[Doorbell]>) -> Result<(Member, Option<Vec<Section>>)> {
        let shard = self.calls.len();
        let (member, call, notes) = Member::new(self.every, shards, self.epoch, bell);
        self.calls.push(call);
        self.notes.push(notes);
        Ok((member, self.state(shard)?))
    }

    /// The writer's part, and what it held. Behind the parts of all shards.
    pub fn writer(&mut self, bell: &Arc<[Doorbell]>) -> Result<(Reporter, Option<Vec<Section>>)> {
        let (reporter, notes) = Reporter::new(bell);
        self.notes.push(notes);
        Ok((reporter, self.state(self.notes.len() - 1)?))
    }

    fn state(&mut self, number: usize) -> Result<Option<Vec<Section>>> {
        if self.epoch == 0 {
            return Ok(None);
        }
        let state = self.states.get_mut(number).map(std::mem::take);
        state.map(Some).ok_or_else(|| damaged("it holds fewer shards than it should"))
    }

    /// The keeper of the run, when everybody has their part.
    pub fn keeper(self, bells: &Arc<[Doorbell]>, clock: fn() -> u64) -> Keeper {
        fault!("resume.after-restore");
        Keeper::new(keeper::Parts {
            store: self.store,
            disk: self.disk,
            every: self.every,
            epoch: self.epoch,
            shards: self.calls,
            bells: Arc::clone(bells),
            notes: self.notes,
            clock,
            last_asked: self.last_asked,
        })
    }
}
