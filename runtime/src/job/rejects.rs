//! Where rows go that do not go on: `--reject FILE` for bad ones, `--late-file FILE` for late ones.

use std::path::{Path, PathBuf};

use corelane_engine::{Code, Error, Result};
use corelane_io::durable::Durable;
use corelane_io::options::OnError;
use corelane_io::reject::{self, RejectPart};

use super::outputs::{self, Output};
use crate::checkpoint::Recovery;
use crate::options::{Late, Options};
use crate::source::Aside;

/// The files asked for.
#[derive(Clone, Debug, Default)]
pub struct Rejects {
    bad: Option<PathBuf>,
    late: Option<PathBuf>,
    /// They are committed with checkpoints.
    is_kept: bool,
}

impl Rejects {
    /// Checks what `options` ask for; `tables` say what becomes of each table's bad rows.
    pub fn new(
        options: &Options,
        tables: impl Iterator<Item = OnError>,
        files: &[&Path],
        results: &[(Output, corelane_io::format::Format)],
    ) -> Result<Self> {
        let bad_option = |message: &str, help: &str| Error::new(Code::BadOption, message).help(help);
        let rejects = tables.into_iter().any(|on_error| on_error == OnError::Reject);
        match (&options.reject, rejects) {
            (None, true) => return Err(bad_option("bad rows are to be kept, but not where", "add --reject FILE")),
            (Some(_), false) => {
                let help = "add --on-error reject, or say 'on-error' = 'reject' in a table";
                return Err(bad_option("--reject names a file, but no bad row goes there", help));
            }
            _ => {}
        }
        match (&options.late_file, options.late) {
            (_, Late::Update) => {
                // Their groups are gone when a window has closed.
                let error = Error::new(Code::Unsupported, "late rows cannot correct windows that have closed");
                return Err(
                    error.help("take a greater delay in WATERMARK, or keep late rows: --late side --late-file FILE")
                );
            }
            (None, Late::Side) => {
                return Err(bad_option("late rows are to be kept, but not where", "add --late-file FILE"));
            }
            (Some(_), late) if late != Late::Side => {
                return Err(bad_option("--late-file names a file, but no late row goes there", "add --late side"));
            }
            _ => {}
        }
        let is_kept = options.is_checkpointed();
        let rejects = Rejects { bad: options.reject.clone(), late: options.late_file.clone(), is_kept };
        if rejects.bad.is_some() && rejects.bad == rejects.late {
            let help = "give each a file of its own";
            return Err(bad_option("--reject and --late-file name the same file", help));
        }
        for target in rejects.targets() {
            outputs::check_file(target)?;
            if target.is_dir() {
                let message = format!("`{}` is a directory", target.display());
                return Err(Error::new(Code::BadOption, message).help("name a file"));
            }
            let is_same = |other: &Path| other == target || outputs::is_same_file(other, target);
            if files.iter().any(|file| is_same(file)) {
                let message = format!("`{}` is read and would be replaced", target.display());
                return Err(Error::new(Code::BadOption, message).help("write to another file"));
            }
            if results.iter().any(|(output, _)| matches!(output, Output::File(file) if is_same(file))) {
                let message = format!("results and rows left out both go to `{}`", target.display());
                return Err(Error::new(Code::BadOption, message).help("write to another file"));
            }
        }
        Ok(rejects)
    }

    fn targets(&self) -> impl Iterator<Item = &PathBuf> {
        self.bad.iter().chain(&self.late)
    }

    /// What the sources of each of `shards` shards write, by shard and source; `on_errors` by source. With
    /// checkpoints `recovery` opens the files.
    pub fn asides(
        &self,
        on_errors: &[OnError],
        shards: usize,
        mut recovery: Option<&mut Recovery>,
    ) -> Result<Vec<Vec<Aside>>> {
        let mut part = |target: &PathBuf, source, shard| -> Result<RejectPart> {
            let path = reject::part(target, source, shard);
            match &mut recovery {
                None => Ok(RejectPart::new(path)),
                Some(recovery) => recovery.aside(utf8(&path)?.to_owned()).map(RejectPart::kept),
            }
        };
        let mut asides = Vec::with_capacity(shards);
        for shard in 0..shards {
            let mut of_shard = Vec::with_capacity(on_errors.len());
            for (source, &on_error) in on_errors.iter().enumerate() {
                let bad = self.bad.as_ref().filter(|_| on_error == OnError::Reject);
                let bad = bad.map(|target| part(target, source, shard)).transpose()?;
                let late = self.late.as_ref().map(|target| part(target, source, shard)).transpose()?;
                of_shard.push(Aside { bad, late });
            }
            asides.push(of_shard);
        }
        if let Some(recovery) = recovery {
            self.committed()?.iter().try_for_each(|target| recovery.close_aside(target))?;
        }
        Ok(asides)
    }

    /// The files that are committed with checkpoints.
    pub fn committed(&self) -> Result<Vec<String>> {
        self.targets().filter(|_| self.is_kept).map(|target| utf8(target).map(str::to_owned)).collect()
    }

    /// Removes what earlier runs have left.
    pub fn begin(&self) -> Result<()> {
        self.targets().filter(|_| !self.is_kept).try_for_each(|target| reject::remove_parts(target))
    }

    /// Puts the shards' parts together.
    pub fn finish(&self, sources: usize, shards: usize) -> Result<()> {
        self.targets().filter(|_| !self.is_kept).try_for_each(|target| reject::merge(target, sources, shards))
    }

    /// Puts committed parts together, once the end is committed.
    pub fn settle(&self, disk: &dyn Durable) -> Result<()> {
        self.committed()?.iter().try_for_each(|target| reject::settle(disk, target))
    }

    /// The files, as statistics name them: of bad rows, of late ones.
    pub fn names(&self) -> (Option<String>, Option<String>) {
        let name = |path: &PathBuf| path.display().to_string();
        (self.bad.as_ref().map(name), self.late.as_ref().map(name))
    }
}

fn utf8(path: &Path) -> Result<&str> {
    let unknown = || Error::new(Code::BadOption, format!("the name of `{}` is not UTF-8", path.display()));
    path.to_str().ok_or_else(unknown)
}
