//! `--checkpoint`, `--resume` and `--from-scratch` carried out, and what is said of them.

use std::path::Path;
use std::sync::Arc;

use corelane_engine::{Code, Error, Result};
use corelane_io::durable::{Durable, RealDisk};

use crate::checkpoint::Kept;
use crate::checkpoint::recovery::{self, Opened};
use crate::job::Prepared;
use crate::options::Options;

/// What a run goes on with, if it goes on.
pub struct Resumed {
    disk: Arc<dyn Durable>,
    /// The checkpoints of the run before.
    pub opened: Option<Opened>,
}

fn name(path: &Path) -> Result<&str> {
    let name = path.to_str().map(|name| if name.len() > 1 { name.trim_end_matches('/') } else { name });
    let unknown = || Error::new(Code::BadOption, format!("the name of `{}` is not UTF-8", path.display()));
    name.filter(|name| !name.is_empty()).ok_or_else(unknown)
}

impl Resumed {
    /// Opens the checkpoints that `options` name, or removes them.
    pub fn open(options: &Options) -> Result<Resumed> {
        let disk: Arc<dyn Durable> = Arc::new(RealDisk);
        let path = options.checkpoint.as_deref().or(options.resume.as_deref());
        let opened = match path {
            None if options.from_scratch => {
                let error = Error::new(Code::BadOption, "--from-scratch begins a run with checkpoints again");
                return Err(error.help("say where they are with --checkpoint"));
            }
            None if options.checkpoint_every.is_some() => {
                let error = Error::new(Code::BadOption, "--checkpoint-every: there is no place for checkpoints");
                return Err(error.help("say where with --checkpoint"));
            }
            Some(path) if !options.from_scratch && options.resume.is_some() => Some(Opened::open(&disk, name(path)?)?),
            _ => None,
        };
        Ok(Resumed { disk, opened })
    }

    /// The options of this run: as many shards as then, unless it says how many.
    pub fn options(&self, options: &Options) -> Options {
        let then = self.opened.as_ref().filter(|_| options.shards.is_none() && options.cores.is_none());
        let shards = then.map(Opened::shards).or(options.shards);
        let is_spread = self.opened.as_ref().is_some_and(Opened::is_spread);
        Options { shards, is_spread, ..options.clone() }
    }

    /// Has the run begin with checkpoints or go on with them; says why there is nothing to do, if so.
    pub fn prepare(&mut self, prepared: &mut Prepared, options: &Options, now_us: i64) -> Result<Option<String>> {
        let Some(path) = options.checkpoint.as_deref().or(options.resume.as_deref()) else { return Ok(None) };
        let path = name(path)?;
        let Some(opened) = self.opened.take() else {
            // What would be refused is refused before anything is removed.
            prepared.asked(options, now_us)?;
            if options.from_scratch {
                recovery::clear(&self.disk, path)?;
            }
            prepared.begin(Arc::clone(&self.disk), path, options, now_us)?;
            return Ok(None);
        };
        let every = opened.job.every;
        let recovery = prepared.go_on(Arc::clone(&self.disk), opened, options)?;
        if recovery.is_finished() {
            return Ok(Some(format!("the run in `{path}` has come to its end; there is nothing to do")));
        }
        let from = match (recovery.epoch(), recovery.shards_before()) {
            (0, _) => "there is no checkpoint yet: beginning again".to_owned(),
            (epoch, None) => format!("going on from checkpoint {epoch}"),
            (epoch, Some(before)) => format!("going on from checkpoint {epoch}, which {before} shards have made"),
        };
        let damage =
            recovery.damage().map(|damage| format!("{}; an older checkpoint takes its place", damage.report().message));
        prepared.notes.extend(damage);
        prepared.notes.push(format!("{from} (--checkpoint-every {every}, as the run began with)"));
        Ok(None)
    }
}

/// What is said of checkpoints at the end of a run.
pub fn kept(kept: &Kept) -> String {
    let ms = |ns: u64| ns as f64 / 1e6;
    let end = if kept.is_finished { "; the end is committed" } else { "; --resume goes on from the last" };
    format!(
        "checkpoints: {} (the last is {}), {} bytes of state at most, a shard stood still {:.1} ms at most, committed after {:.1} ms at most{end}",
        kept.epochs,
        kept.newest,
        kept.bytes_max,
        ms(kept.pause_ns_max),
        ms(kept.commit_ns_max)
    )
}
