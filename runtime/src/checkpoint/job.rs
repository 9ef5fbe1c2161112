//! What a run was asked to do, as lines of text that can be compared.
//!
//! The record is written before anything else and never changed. A run that goes on makes the same lines
//! of what it was asked now; lines that differ are shown, and refuse it. Some lines are only for the run
//! that goes on, which takes them over: how many shards, how often, what time it was.

use corelane_engine::plan::{self, Plan};
use corelane_engine::{Code, Error, Result};
use corelane_io::durable::Durable;
use corelane_io::fs::read_full;
use corelane_io::reject;
use corelane_io::source::Source as Input;

use super::Every;
use super::every::parse_every;

/// Version of the record and of everything that is kept with it.
const FORMAT: &str = "corelane-checkpoint 3";
/// Bytes at the start of an input file that are summed up.
const HEAD_BYTES: usize = 64 << 10;
/// Begins the line of a file that is committed.
const FILE: &str = "file ";
/// Begins the line of a folder whose parts are committed: their extension, and its path.
const FOLDER: &str = "parts ";
/// Begins the line of a file with rows that are kept apart.
const ASIDE: &str = "aside ";
/// Lines that differ and are shown, at most.
const SHOWN: usize = 8;

/// What a run was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// When epochs are due.
    pub every: Every,
    /// Shards that it began with.
    pub shards: usize,
    /// The time that the query takes for now, in microseconds since the epoch.
    pub now_us: i64,
    /// What must be the same.
    pub lines: Vec<String>,
}

/// The options that decide what is written.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The plan before it is distributed.
    pub plan: &'a Plan,
    /// Inputs, with the names of their tables.
    pub inputs: Vec<(&'a str, &'a Input)>,
    /// Outputs and their formats.
    pub outputs: Vec<String>,
    /// What is committed.
    pub places: Places,
    /// Seed of the hash that deals rows to shards.
    pub hash_seed: u64,
    /// Other options, a line each.
    pub options: Vec<String>,
}

/// The outputs that are committed with the checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Files, each under its name.
    pub files: Vec<String>,
    /// Folders with a file per shard.
    pub folders: Vec<Parts>,
    /// Files with rows that are kept apart, each in parts until the end.
    pub asides: Vec<String>,
}

/// A folder in which each shard has a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The folder.
    pub folder: String,
    /// The files' extension.
    pub extension: String,
}

impl Parts {
    /// The file of number `number`.
    pub fn name(&self, number: usize) -> String {
        format!("{}/part-{number}.{}", self.folder.trim_end_matches('/'), self.extension)
    }

    /// The files that are there, whoever made them.
    fn found(&self, disk: &dyn Durable) -> Vec<String> {
        let number = |name: &String| {
            let number = name.strip_prefix("part-")?.strip_suffix(&format!(".{}", self.extension))?;
            number.parse().ok().filter(|parsed: &usize| parsed.to_string() == number)
        };
        let names = disk.list(&self.folder).unwrap_or_default();
        names.iter().filter_map(number).map(|number| self.name(number)).collect()
    }
}

impl Places {
    /// The files that are there.
    pub fn found(&self, disk: &dyn Durable) -> Vec<String> {
        let files = self.files.iter().chain(&self.asides).filter(|file| disk.exists(file)).cloned();
        files.chain(self.parts_found(disk)).collect()
    }

    /// Those of them that are a shard's own.
    pub fn parts_found(&self, disk: &dyn Durable) -> Vec<String> {
        let asides = self.asides.iter().flat_map(|file| reject::parts(disk, file).unwrap_or_default());
        self.folders.iter().flat_map(|parts| parts.found(disk)).chain(asides).collect()
    }
}

impl Asked<'_> {
    /// The lines that must be the same.
    pub fn lines(&self) -> Result<Vec<String>> {
        let mut lines = vec![format!("engine {}", env!("CARGO_PKG_VERSION"))];
        lines.extend(self.options.iter().cloned());
        lines.extend(plan::explain(self.plan).lines().map(|line| format!("plan {line}")));
        let plan = without_spans(&format!("{:?}", self.plan));
        lines.push(format!("plan in full, summed up: {:08x}", crc32c::crc32c(plan.as_bytes())));
        lines.push(format!("hash seed {:#x}", self.hash_seed));
        lines.extend(self.outputs.iter().map(|output| format!("output {output}")));
        lines.extend(self.places.files.iter().map(|file| format!("{FILE}{file}")));
        lines.extend(self.places.asides.iter().map(|file| format!("{ASIDE}{file}")));
        let folders = self.places.folders.iter();
        lines.extend(folders.map(|Parts { folder, extension }| format!("{FOLDER}{extension} {folder}")));
        for (table, input) in &self.inputs {
            for file in &input.files {
                let (name, mut head) = (file.file.name(), vec![0; HEAD_BYTES]);
                let count = read_full(&*file.file, &mut head, 0)?;
                let length = file.file.len().ok_or_else(|| not_replayable(table, name))?;
                let sum = crc32c::crc32c(&head[..count]);
                lines.push(format!("input {table} `{name}`, {length} bytes, beginning summed up: {sum:08x}"));
            }
            lines.push(format!("input {table} in {} splits", input.splits.len()));
        }
        Ok(lines)
    }
}

/// The error for an input that cannot be read twice.
pub fn not_replayable(table: &str, name: &str) -> Error {
    let message = format!("--checkpoint: table `{table}` reads {name}, which cannot be read again after a stop");
    Error::new(Code::BadOption, message).help("read from files, or leave --checkpoint out")
}

/// Where things stand in the script is no part of what they mean.
fn without_spans(text: &str) -> String {
    let mut parts = text.split("Span {");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(part.split_once('}').map_or(part, |(_, rest)| rest));
    }
    out
}

impl Job {
    /// As bytes.
    pub fn save(&self) -> Vec<u8> {
        let own = [
            FORMAT.to_owned(),
            format!("every {}", self.every),
            format!("shards {}", self.shards),
            format!("now {}", self.now_us),
        ];
        let lines: Vec<&str> = own.iter().chain(&self.lines).map(String::as_str).collect();
        lines.join("\n").into_bytes()
    }

    /// From bytes.
    pub fn load(bytes: &[u8]) -> Result<Job> {
        let damaged = || super::damaged("the record of the job is not understood");
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        let mut lines = text.split('\n');
        match lines.next() {
            Some(FORMAT) => {}
            Some(other) if other.starts_with("corelane-checkpoint ") => {
                let error = Error::new(Code::Io, "these checkpoints were made by another version");
                return Err(error.note(format!("theirs is `{other}`, this one's `{FORMAT}`")));
            }
            _ => return Err(damaged()),
        }
        let mut own = |name: &str| lines.next().and_then(|line| line.strip_prefix(name)).ok_or_else(damaged);
        let every = parse_every(own("every ")?).map_err(|_| damaged())?;
        let shards = own("shards ")?.parse().map_err(|_| damaged())?;
        let now_us = own("now ")?.parse().map_err(|_| damaged())?;
        Ok(Job { every, shards, now_us, lines: lines.map(str::to_owned).collect() })
    }

    /// What was to be committed.
    pub fn places(&self) -> Places {
        let with = |prefix| self.lines.iter().filter_map(move |line| line.strip_prefix(prefix));
        let folders = with(FOLDER).filter_map(|line| line.split_once(' '));
        let folders = folders.map(|(extension, folder)| Parts { folder: folder.into(), extension: extension.into() });
        let files = |prefix| with(prefix).map(str::to_owned).collect();
        Places { files: files(FILE), folders: folders.collect(), asides: files(ASIDE) }
    }

    /// An error that shows what `now` asks otherwise.
    pub fn check(&self, now: &Job, path: &str) -> Result<()> {
        let (then, other) = (&self.lines, &now.lines);
        let only = |lines: &[String], others: &[String]| -> Vec<String> {
            lines.iter().filter(|line| !others.contains(line)).cloned().collect()
        };
        let (gone, new) = (only(then, other), only(other, then));
        if gone.is_empty() && new.is_empty() && then.len() == other.len() {
            return Ok(());
        }
        let message = format!("the checkpoints in `{path}` belong to another query, other options or other inputs");
        let mut error = Error::new(Code::BadOption, message);
        for (what, lines) in [("then", &gone), ("now ", &new)] {
            for line in lines.iter().take(SHOWN) {
                error = error.note(format!("{what}: {line}"));
            }
            if lines.len() > SHOWN {
                error = error.note(format!("{what}: and {} lines more", lines.len() - SHOWN));
            }
        }
        Err(error.help("run what was run then, or begin again with --from-scratch"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(lines: &[&str]) -> Job {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Job { every: Every::Rows(5), shards: 2, now_us: -7, lines }
    }

    #[test]
    fn a_record_is_read_back_and_differences_are_shown() {
        let then = job(&["plan Scan a", "plan Sink", "file out.csv"]);
        assert_eq!(then.places().files, ["out.csv"]);
        let parts = Parts { folder: "a folder".into(), extension: "csv".into() };
        assert_eq!(job(&["parts csv a folder"]).places().folders, [parts]);
        let then = job(&["plan Scan a", "plan Sink"]);
        assert_eq!(Job::load(&then.save()).unwrap(), then);
        assert!(then.check(&Job { every: Every::default(), now_us: 0, ..then.clone() }, "ck").is_ok());
        let error = then.check(&job(&["plan Scan b", "plan Sink"]), "ck").unwrap_err();
        assert_eq!(error.report().notes, ["then: plan Scan a", "now : plan Scan b"]);
        assert!(then.check(&job(&["plan Sink", "plan Scan a"]), "ck").is_ok(), "order is no difference here");
        assert!(then.check(&job(&["plan Scan a", "plan Sink", "plan Sink"]), "ck").is_err());
        assert!(then.check(&Job { shards: 3, ..then.clone() }, "ck").is_ok(), "it may go on on more shards");
        let mut newer = then.save();
        newer[FORMAT.len() - 1] = b'9';
        assert!(Job::load(&newer).unwrap_err().report().message.contains("another version"));
        assert!(Job::load(b"x").is_err() && Job::load(&[0xFF]).is_err() && Job::load(FORMAT.as_bytes()).is_err());
    }

    #[test]
    fn places_in_the_script_are_left_out() {
        assert_eq!(without_spans("a(Span { start: 1, end: 2 }, 3)"), "a(, 3)");
    }
}
