//! Beginning a run with checkpoints, going on with one, and refusing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use corelane_engine::plan::{NodeId, Operator, Plan, SinkOrder};
use corelane_engine::state::Section;
use corelane_engine::{Code, Error, Result};
use corelane_io::append::{Appended, Cut};
use corelane_io::checkpoint::{Epoch, Found, Store};
use corelane_io::durable::{Durable, Tree, folder};
use corelane_io::fault;
use corelane_io::whole::{self, Names, Whole};

use super::job::{Job, Parts, Places};
use super::keeper::{self, Keeper};
use super::moving::Moving;
use super::record::{Committed, SinkStanding, Standing};
use super::report::Notes;
use super::{Call, Every, Member, Reporter, damaged};
use crate::doorbell::Doorbell;
use crate::partitions::{Partitions, Place, Stood};
use crate::ring::Sender;

/// A folder of checkpoints, opened to go on with.
pub struct Opened {
    store: Store,
    path: String,
    /// What was asked then.
    pub job: Job,
    /// The newest committed epoch, and what its manifest says.
    newest: Option<(Epoch, Committed)>,
    /// The newest epoch's number, whole or not.
    highest: u64,
    /// What is wrong with the newest epoch, if an older one takes its place.
    damage: Option<Error>,
}

impl Opened {
    /// Opens what an earlier run has left in `path`, and reads all of its newest epoch.
    pub fn open(disk: &Arc<dyn Durable>, path: &str) -> Result<Opened> {
        let (store, job) = Store::open(Arc::clone(disk), path)?;
        fault!("resume.after-open");
        let job = Job::load(&job)?;
        let Found { epoch, damage, highest } = store.find()?;
        let newest = match epoch {
            None => None,
            Some(epoch) => {
                let committed = Committed::load(&epoch.job)?;
                let files = [0, 1].map(|writer| committed.shards + writer);
                if !files.contains(&epoch.shards.len()) {
                    return Err(damaged("it holds another number of shards"));
                }
                Some((epoch, committed))
            }
        };
        fault!("resume.after-read");
        Ok(Opened { store, path: path.to_owned(), job, newest, highest, damage: damage.into_iter().next() })
    }

    /// Shards of the run before.
    pub fn shards(&self) -> usize {
        self.newest.as_ref().map_or(self.job.shards, |(_, committed)| committed.shards)
    }

    /// What is wrong with the newest epoch, if an older one takes its place.
    pub fn damage(&self) -> Option<&Error> {
        self.damage.as_ref()
    }

    /// Whether the plan of the run before was one for several shards.
    pub fn is_spread(&self) -> bool {
        self.newest.as_ref().is_some_and(|(_, committed)| committed.is_spread)
    }
}

/// The run that begins or goes on.
pub struct Here<'a> {
    /// What it was asked to do.
    pub job: &'a Job,
    /// Its plan.
    pub plan: &'a Plan,
    /// Its plan is one for several shards.
    pub is_spread: bool,
    /// For each node of the plan for one shard the one of `plan` that stands in for it, where those differ.
    pub places: Option<Vec<NodeId>>,
    /// What it commits.
    pub outputs: &'a Places,
}

impl Here<'_> {
    /// Whether the run writes the same bytes when it is repeated: its rows do not leave in the order in which
    /// they come from several shards.
    fn repeats(&self) -> bool {
        !self.is_spread
            || self.plan.nodes.iter().all(|node| match &node.operator {
                Operator::Sink(sink) => sink.order != SinkOrder::Arrival,
                _ => true,
            })
    }
}

/// A run with checkpoints, before it begins.
pub struct Recovery {
    store: Store,
    disk: Arc<dyn Durable>,
    every: Every,
    shards: usize,
    is_spread: bool,
    /// The newest committed epoch's number, state and outputs.
    epoch: u64,
    /// The newest epoch's number, and what is wrong with it, if that is another.
    highest: u64,
    damage: Option<Error>,
    states: Vec<Vec<Section>>,
    writer: Option<Vec<Section>>,
    committed: Committed,
    /// Where each shard of the run before stood.
    standings: Vec<Standing>,
    /// If there were more or fewer of them.
    moving: Option<Arc<Moving>>,
    /// Files of shards of before.
    closed: Vec<Cut>,
    /// Files in folders that rows name, of shards of before; to be named with the first epoch.
    ended: Vec<Whole>,
    /// What the job is called in names of unfinished files, and the trees they are in.
    id: String,
    trees: BTreeMap<String, Names>,
    /// Names of files that were given to shards.
    given: BTreeSet<String>,
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

fn remove(disk: &dyn Durable, file: &str) -> Result<()> {
    for file in [format!("{file}.committed"), file.to_owned()].iter().filter(|file| disk.exists(file)) {
        disk.remove(file).map_err(|cause| Error::new(Code::Io, format!("cannot remove `{file}`: {cause}")))?;
    }
    Ok(())
}

fn open(disk: &dyn Durable, root: &str) -> Result<Arc<dyn Tree>> {
    disk.tree(root).map_err(|cause| Error::new(Code::Io, format!("cannot write to `{root}`: {cause}")))
}

/// Removes the checkpoints in `path`, if there are any, and the outputs that were committed with them.
pub fn clear(disk: &Arc<dyn Durable>, path: &str) -> Result<()> {
    Store::clear(disk, path, |job| {
        let places = Job::load(job).map_or(Places::default(), |job| job.places());
        places.found(&**disk).iter().try_for_each(|file| remove(&**disk, file))?;
        let id = Job::load(job).map_or_else(|_| String::new(), |job| job.id());
        for Parts { folder, extension } in places.trees.iter().filter(|tree| disk.exists(&tree.folder)) {
            whole::remove_all(&*open(&**disk, folder)?, &id, extension)?;
        }
        Ok(())
    })
}

impl Recovery {
    /// Begins: nothing of the outputs may be there.
    pub fn begin(disk: Arc<dyn Durable>, path: &str, here: &Here<'_>) -> Result<Recovery> {
        if let Some(output) = here.outputs.found(&*disk).first() {
            let error = Error::new(Code::Io, format!("`{output}` is there and was not made by this job"));
            return Err(error.help("with --checkpoint output is never replaced: remove it or write elsewhere"));
        }
        for Parts { folder, .. } in &here.outputs.trees {
            let tree = open(&*disk, folder)?;
            if !tree.list("").map_err(|cause| crate::sink::cannot_write(folder, &cause))?.is_empty() {
                let error = Error::new(Code::BadOption, format!("`{folder}` is not empty"));
                return Err(error.help("write to an empty directory: a partitioned one is never written over"));
            }
        }
        let folders = here.outputs.folders.iter().chain(&here.outputs.trees).map(|parts| parts.name(0));
        sync_folders(&*disk, &here.outputs.files.iter().cloned().chain(folders).collect::<Vec<_>>())?;
        let store = Store::create(Arc::clone(&disk), path, &here.job.save())?;
        Recovery::new(store, disk, here.job.every, here.job.id(), here)
    }

    /// Goes on with what was `opened`, if `here` is asked the same; with the epoch's number, and whether the
    /// run had come to its end.
    pub fn go_on(opened: Opened, disk: Arc<dyn Durable>, here: &Here<'_>) -> Result<Recovery> {
        let Opened { store, path, job, newest, highest, damage } = opened;
        job.check(here.job, &path)?;
        let mut recovery = Recovery::new(store, disk, job.every, job.id(), here)?;
        (recovery.is_resumed, recovery.highest) = (true, highest);
        if let (Some(damage), Some((_, committed))) = (damage, &newest) {
            // What the damaged epoch has committed will be written once more, and must come to the same.
            if committed.shards != here.job.shards {
                let note = "an older checkpoint is whole, but only as many shards as made it write the same bytes";
                return Err(damage.note(note).help(format!("take --shards {}", committed.shards)));
            }
            if !here.repeats() {
                let note = "an older checkpoint is whole, but rows that leave as they come are not written again alike";
                return Err(damage.note(note).help("bring the file back, or begin again with --from-scratch"));
            }
            recovery.damage = Some(damage);
        }
        if let Some((epoch, committed)) = newest {
            recovery.take(epoch, committed, here)?;
        }
        // What was made behind the last commit.
        let known: BTreeSet<&str> = recovery.committed.files().map(|cut| cut.name.as_str()).collect();
        for file in here.outputs.parts_found(&*recovery.disk) {
            if !known.contains(file.as_str()) {
                remove(&*recovery.disk, &file)?;
            }
        }
        let stood = || recovery.standings.iter().flat_map(|standing| &standing.sinks);
        for (root, names) in &recovery.trees {
            let known = stood().flat_map(|sink| sink.parts.files()).filter(|file| file.root == *root);
            whole::remove_orphans(&**names.tree(), &recovery.id, &known.map(|file| &*file.temporary).collect())?;
        }
        Ok(recovery)
    }

    fn new(store: Store, disk: Arc<dyn Durable>, every: Every, id: String, here: &Here<'_>) -> Result<Recovery> {
        let mut trees = BTreeMap::new();
        for Parts { folder, .. } in &here.outputs.trees {
            let tree = open(&*disk, folder)?;
            trees.insert(tree.root().to_owned(), Names::new(tree));
        }
        Ok(Recovery {
            store,
            disk,
            every,
            shards: here.job.shards,
            is_spread: here.is_spread,
            epoch: 0,
            highest: 0,
            damage: None,
            states: Vec::new(),
            writer: None,
            committed: Committed::default(),
            standings: Vec::new(),
            moving: None,
            closed: Vec::new(),
            ended: Vec::new(),
            id,
            trees,
            given: BTreeSet::new(),
            is_resumed: false,
            last_asked: Arc::new(AtomicBool::new(false)),
            calls: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Takes over a committed epoch.
    fn take(&mut self, epoch: Epoch, committed: Committed, here: &Here<'_>) -> Result<()> {
        if !epoch.is_settled {
            // The run before died between its commit and what follows it.
            committed.files().try_for_each(|cut| cut.tell(&*self.disk))?;
            for file in &committed.whole {
                let names = self.trees.get_mut(&file.root);
                names.ok_or_else(|| damaged(&format!("it knows `{}` in no output", file.name)))?;
            }
            for (root, names) in &mut self.trees {
                let whole = committed.whole.iter().filter(|file| file.root == *root);
                names.settle(&whole.collect::<Vec<_>>(), false)?;
            }
            self.store.settle(epoch.number)?;
        }
        (self.epoch, self.states) = (epoch.number, epoch.shards);
        self.writer = if self.states.len() > committed.shards { self.states.pop() } else { None };
        if committed.is_finished {
            self.committed = committed;
            return Ok(());
        }
        if committed.shards == self.shards {
            let standings: Result<_> = self.states.iter().map(|sections| Ok(Standing::of(sections)?.0)).collect();
            self.standings = standings?;
        } else {
            let places = here.places.as_deref().filter(|_| !committed.is_spread);
            let moving = Moving::new(&self.states, here.plan, places)?;
            self.standings.clone_from(&moving.standings);
            self.moving = Some(Arc::new(moving));
        }
        for cut in &committed.closed {
            self.closed.push(Appended::go_on(&*self.disk, cut)?.cut().cut);
        }
        self.committed = committed;
        Ok(())
    }

    /// The epoch from which the run goes on; 0 is the beginning.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What is wrong with a newer epoch, in whose place this one is gone on with.
    pub fn damage(&self) -> Option<&Error> {
        self.damage.as_ref()
    }

    /// Whether an earlier run has come to the end of the input and committed everything.
    pub fn is_finished(&self) -> bool {
        self.committed.is_finished
    }

    /// Whether the plan is one for several shards, however many there are.
    pub fn is_spread(&self) -> bool {
        self.is_spread
    }

    /// Shards of the run before, if those are not as many as now.
    pub fn shards_before(&self) -> Option<usize> {
        self.moving.as_ref().map(|moving| moving.standings.len())
    }

    /// What another number of shards has left.
    pub fn moving(&self) -> Option<Arc<Moving>> {
        self.moving.clone()
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

    /// Opens the file of one shard's sink among `parts`; none where that sink had come to its end before.
    pub fn part(&mut self, parts: &Parts, sink: usize, shard: usize) -> Result<Option<Appended>> {
        let stood = self.standings.get(shard).and_then(|standing| standing.sinks.get(sink));
        match stood {
            None if self.epoch == 0 => return self.output(&parts.name(shard)).map(Some),
            Some(stood) if self.moving.is_none() || !stood.finished => {
                return if stood.file.is_empty() { Ok(None) } else { self.output(&stood.file.clone()).map(Some) };
            }
            _ => {}
        }
        if self.standings.iter().all(|standing| standing.sinks.get(sink).is_some_and(|stood| stood.finished)) {
            return Ok(None);
        }
        let is_free =
            |name: &String| !self.given.contains(name) && !self.committed.files().any(|cut| cut.name == *name);
        let name = (0..).map(|number| parts.name(number)).find(is_free).expect("there are more numbers than files");
        self.given.insert(name.clone());
        Appended::make(&*self.disk, &name, true).map(Some)
    }

    /// Closes the files of one sink to which no shard writes any more: `end` says what stands behind the rows
    /// of a shard that had not come to its end.
    pub fn close_parts(&mut self, sink: usize, mut end: impl FnMut(&SinkStanding) -> Vec<u8>) -> Result<()> {
        if self.moving.is_none() {
            return Ok(());
        }
        for (shard, standing) in self.standings.iter().enumerate() {
            let Some(stood) = standing.sinks.get(sink).filter(|stood| !stood.file.is_empty()) else { continue };
            if shard < self.shards && !stood.finished {
                continue;
            }
            let mut file = self.output(&stood.file)?;
            if !stood.finished {
                let failed = |cause| crate::sink::cannot_write(&stood.file, &cause);
                file.append(&end(stood)).map_err(failed)?;
            }
            let cut = file.cut();
            cut.sync()?;
            self.closed.push(cut.cut);
        }
        Ok(())
    }

    /// The files of one shard's sink among folders that rows name, begun or gone on with. `make` makes them
    /// where they belong.
    pub fn partitions(
        &mut self,
        root: &str,
        sink: usize,
        shard: usize,
        make: impl FnOnce(Place) -> Partitions,
    ) -> Result<Partitions> {
        let names = self.trees.get(root).ok_or_else(|| damaged(&format!("it does not know the output `{root}`")))?;
        let mut made = make(Place { tree: Arc::clone(names.tree()), job: Some(self.id.clone()), shard });
        let stood = |standing: &'_ Standing| standing.sinks.get(sink).map(|sink| sink.parts.clone());
        if self.moving.is_none() {
            if let Some(stood) = self.standings.get(shard).and_then(stood) {
                made.go_on(&stood, self.damage.is_some())?;
            }
            return Ok(made);
        }
        let stood: Vec<Stood> = self.standings.iter().filter_map(stood).collect();
        // A shard of that number may have been there before those of the last run.
        made.count_from(stood.iter().map(|stood| stood.begun).max().unwrap_or(0));
        if shard == 0 {
            for stood in &stood {
                self.ended.extend(made.close(stood)?);
            }
        }
        Ok(made)
    }

    /// Opens the part `name` of a file with rows that are kept apart.
    pub fn aside(&mut self, name: String) -> Result<Appended> {
        let is_known = self.epoch == 0 || self.committed.cuts.iter().any(|cut| cut.name == name);
        let file = match self.closed.iter().position(|cut| cut.name == name) {
            _ if is_known => self.output(&name),
            // Of a shard that is there again.
            Some(at) => Appended::go_on(&*self.disk, &self.closed.swap_remove(at)),
            None => Appended::make(&*self.disk, &name, true),
        };
        self.given.insert(name);
        file
    }

    /// Closes the parts of the file `target` to which no shard writes any more. Behind [`Recovery::aside`].
    pub fn close_aside(&mut self, target: &str) -> Result<()> {
        let is_part = |cut: &&Cut| cut.name.strip_prefix(target).is_some_and(|rest| rest.starts_with(".part-"));
        for cut in self.committed.cuts.iter().filter(is_part).filter(|cut| !self.given.contains(&cut.name)) {
            self.closed.push(Appended::go_on(&*self.disk, cut)?.cut().cut);
        }
        Ok(())
    }

    /// The part of the next shard, and what it held.
    pub fn member(&mut self, bell: &Arc<[Doorbell]>) -> Result<(Member, Option<Vec<Section>>)> {
        let shard = self.calls.len();
        let (member, call, notes) = Member::new(self.every, self.shards, self.highest, bell);
        self.calls.push(call);
        self.notes.push(notes);
        if self.epoch == 0 || self.moving.is_some() {
            return Ok((member, None));
        }
        let state = self.states.get_mut(shard).map(std::mem::take);
        Ok((member, Some(state.ok_or_else(|| damaged("it holds fewer shards than it should"))?)))
    }

    /// The writer's part, and what it held. Behind the parts of all shards.
    pub fn writer(&mut self, bell: &Arc<[Doorbell]>) -> Result<(Reporter, Option<Vec<Section>>)> {
        let (reporter, notes) = Reporter::new(bell);
        self.notes.push(notes);
        if self.epoch == 0 {
            return Ok((reporter, None));
        }
        let held = self.writer.take().ok_or_else(|| damaged("it does not hold what the writer should"))?;
        Ok((reporter, Some(held)))
    }

    /// The keeper of the run, when everybody has their part.
    pub fn keeper(self, bells: &Arc<[Doorbell]>, clock: fn() -> u64) -> Keeper {
        fault!("resume.after-restore");
        let committed =
            Committed { shards: self.shards, is_spread: self.is_spread, closed: self.closed, ..Committed::default() };
        Keeper::new(keeper::Parts {
            store: self.store,
            disk: self.disk,
            every: self.every,
            epoch: self.highest,
            committed,
            trees: self.trees,
            ended: self.ended,
            shards: self.calls,
            bells: Arc::clone(bells),
            notes: self.notes,
            clock,
            last_asked: self.last_asked,
        })
    }
}
