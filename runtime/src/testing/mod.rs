//! Tests of queries: rows in, rows asserted, no files and no clock.
//!
//! ```sql
//! --@test: sums of a minute
//! CREATE STREAM trades (ts TIMESTAMP(3), price BIGINT, WATERMARK FOR ts AS ts - INTERVAL '1' SECOND);
//! CREATE VIEW sums AS SELECT window_end, SUM(price) AS total FROM TUMBLE(trades, ts, INTERVAL '1' MINUTE) GROUP BY window_end;
//! INSERT INTO trades VALUES ('2026-01-01 10:00:00', 5), ('2026-01-01 10:00:30', 7), ('2026-01-01 10:01:00', 1);
//! ASSERT VALUES sums VALUES ('2026-01-01 10:01:00', 12), ('2026-01-01 10:02:00', 1);
//! ```
//!
//! A file holds several tests, each from its `--@test:` line to the next; what stands before the first
//! belongs to all. Tables without files get the rows that are inserted into them, in that order. What is
//! asserted of a view (or of a table that a query is inserted into) must be all of its rows, in order; the
//! query then runs again on two and three shards under several schedules, and must give the same rows.
//! `ASSERT FILE name 'expected.csv'` holds the result against a file, which `--update` writes.
//! `--@expected.error: TEXT` (or `--@expected.message:`) says that the test fails, with this in its message;
//! `--@now: 2026-01-01 00:00:00` says what time it is, and `--@clock: 2026-01-01 00:00:00, 1s` that each row of
//! a table that is read moves the clock of PROCTIME() on by so much; without, that clock stands still.

mod cut;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corelane_engine::plan::{Emit, Operator};
use corelane_engine::sql::{Program, Rows};
use corelane_engine::types::DataType;
use corelane_engine::{Error, Result};
use corelane_io::fs::{Disk, File, MemoryDisk, RealDisk};

use crate::clock::Choice;
use crate::job::{self, Grain};
use crate::options::{Input, Options};
use crate::simulate;

pub use cut::{Test, tests};

/// Shards and seeds that a query runs under again.
const AGAIN: [(usize, u64); 4] = [(2, 1), (2, 4), (3, 2), (3, 3)];

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As asserted.
    Passed,
    /// Not as asserted: what was found.
    Failed(String),
}

/// Where the expected files of a test lie, and whether to write them.
#[derive(Clone, Debug)]
pub struct Golden {
    /// The folder that their paths are relative to.
    pub folder: PathBuf,
    /// Write what was found.
    pub update: bool,
}

/// Runs one test.
pub fn run(test: &Test, options: &Options, golden: &Golden) -> Verdict {
    let outcome = Bench::new(test, options, golden).and_then(|bench| bench.run());
    match (&test.fails, outcome) {
        (None, Ok(None)) => Verdict::Passed,
        (None, Ok(Some(difference))) => Verdict::Failed(difference),
        (None, Err(error)) => Verdict::Failed(error),
        (Some(text), Err(error)) if error.contains(text) => Verdict::Passed,
        (Some(text), Err(error)) => Verdict::Failed(format!("expected an error with `{text}`, found\n{}", error)),
        (Some(text), Ok(_)) => Verdict::Failed(format!("expected an error with `{text}`, and there was none\n")),
    }
}

/// A disk in memory before the real one.
struct Overlay {
    memory: MemoryDisk,
    real: RealDisk,
}

impl Disk for Overlay {
    fn open(&self, path: &str) -> Result<Arc<dyn File>> {
        self.memory.open(path).or_else(|_| self.real.open(path))
    }

    fn list(&self, pattern: &str) -> Result<Vec<String>> {
        match self.memory.list(pattern)? {
            found if !found.is_empty() => Ok(found),
            _ => self.real.list(pattern),
        }
    }
}

/// One test under way.
struct Bench<'t> {
    test: &'t Test,
    golden: &'t Golden,
    options: Options,
    disk: Overlay,
}

/// A query's result: its columns, and its rows as lines of CSV.
struct Found {
    columns: Vec<(String, DataType)>,
    header: String,
    rows: Vec<String>,
    /// They say what has changed, step by step.
    gives_changes: bool,
}

/// A result, or an error as it is told, with the part of the script that it is about.
type Told<T> = std::result::Result<T, String>;

fn told(error: &Error, script: &str) -> String {
    corelane_engine::sql::render(error, script, "test", false)
}

impl<'t> Bench<'t> {
    fn new(test: &'t Test, options: &Options, golden: &'t Golden) -> Told<Self> {
        let clock = Choice::Scheduled { start_us: test.now_us, step_us: test.step_us };
        let options = Options { format: Some("csv".to_owned()), output: None, quiet: true, clock, ..options.clone() };
        let disk = Overlay { memory: MemoryDisk::new(), real: RealDisk::default() };
        let mut bench = Bench { test, golden, options, disk };
        for (name, rows) in test.inserted() {
            let mut text = String::new();
            for rows in rows {
                let found = bench.inserted(&name, rows)?;
                if text.is_empty() {
                    text = found.header + "\n";
                }
                found.rows.iter().for_each(|row| text += &format!("{row}\n"));
            }
            let file = format!("{name}.csv");
            bench.disk.memory = bench.disk.memory.with(&file, text.into_bytes());
            bench.options.inputs.push(Input { name, globs: vec![file] });
        }
        Ok(bench)
    }

    fn compile(&self, script: &str) -> Told<Program> {
        let program = job::compile_at(script, &self.disk, &self.options, self.test.now_us);
        program.map_err(|error| told(&error, script))
    }

    /// The rows of an INSERT as the table's file has them.
    fn inserted(&self, name: &str, rows: &Rows) -> Told<Found> {
        let program = self.compile(&format!("{}SELECT * FROM {}", self.test.declared(), quoted(name)))?;
        let table = program.table(name).ok_or_else(|| {
            format!("rows are inserted into `{name}`, which is no table that is declared with its columns\n")
        })?;
        let wanted: Vec<(String, DataType)> =
            table.columns.iter().map(|column| (column.name.clone(), column.data_type)).collect();
        self.select(&self.test.of_values(rows, &wanted)?, (1, 0))
    }

    /// What is different from what is asserted, if anything is.
    fn run(&self) -> Told<Option<String>> {
        for (name, asserted) in self.test.asserted() {
            let columns = asserted.first().map_or(&[][..], |rows| &rows.columns[..]);
            let query = self.test.query_of(&name, columns);
            let found = self.select(&query, (1, 0))?;
            let mut expected = Vec::new();
            for rows in &asserted {
                expected.extend(self.select(&self.test.of_values(rows, &found.columns)?, (1, 0))?.rows);
            }
            if found.rows != expected {
                return Ok(Some(difference(&format!("rows of `{name}`"), &expected, &found.rows)));
            }
            if let Some(what) = self.again(&name, &query, &found)? {
                return Ok(Some(what));
            }
        }
        for (name, path) in self.test.files() {
            let query = self.test.query_of(&name, &[]);
            let found = self.select(&query, (1, 0))?;
            if let Some(what) = self.hold(&found, &self.golden.folder.join(&path))? {
                return Ok(Some(what));
            }
            if let Some(what) = self.again(&name, &query, &found)? {
                return Ok(Some(what));
            }
        }
        // A test that asserts nothing still runs its queries.
        if self.test.asserted().is_empty() && self.test.files().is_empty() {
            let script = self.test.declared();
            self.simulated(self.compile(&script)?, &script, (1, 0))?;
        }
        Ok(None)
    }

    fn hold(&self, found: &Found, path: &Path) -> Told<Option<String>> {
        let mut text = found.header.clone() + "\n";
        found.rows.iter().for_each(|row| text += &format!("{row}\n"));
        let failed = |what: &str, cause: std::io::Error| {
            format!("cannot {what} `{}`: {cause}; --update writes it from what the query gives\n", path.display())
        };
        if self.golden.update {
            std::fs::write(path, text).map_err(|cause| failed("write", cause))?;
            return Ok(None);
        }
        let expected = std::fs::read_to_string(path).map_err(|cause| failed("read", cause))?;
        if expected == text {
            return Ok(None);
        }
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        Ok(Some(difference(&format!("`{}`", path.display()), &lines(&expected), &lines(&text))))
    }

    /// Whether the query gives the same rows on several shards, in any order of their steps.
    fn again(&self, name: &str, query: &str, found: &Found) -> Told<Option<String>> {
        if found.gives_changes {
            // Which states a group passes through depends on who reads which file.
            return Ok(None);
        }
        let mut expected = found.rows.clone();
        expected.sort();
        for on in AGAIN {
            let mut rows = self.select(query, on)?.rows;
            rows.sort();
            if rows != expected {
                let what = format!("rows of `{name}` on {} shards (seed {})", on.0, on.1);
                return Ok(Some(difference(&what, &expected, &rows)));
            }
        }
        Ok(None)
    }

    /// The result of a script's SELECT on so many shards, under a seed.
    fn select(&self, script: &str, on: (usize, u64)) -> Told<Found> {
        let program = self.compile(script)?;
        let mut sinks = program.plan.nodes.iter().filter_map(|node| match &node.operator {
            Operator::Sink(sink) if sink.table.is_none() => Some((node, sink.visible)),
            _ => None,
        });
        let fields = sinks.next_back().map_or(&[][..], |(node, visible)| &node.schema.fields[..visible]);
        let columns = fields.iter().map(|field| (field.name.clone(), field.data_type)).collect();
        let gives_changes = program.emits.contains(&Some(Emit::Changes));
        let text = self.simulated(program, script, on)?;
        let mut lines = lines_of(&text);
        let header = if lines.is_empty() { String::new() } else { lines.remove(0) };
        Ok(Found { columns, header, rows: lines, gives_changes })
    }

    /// What is shown when `program`, compiled of `script`, has run.
    fn simulated(&self, program: Program, script: &str, (shards, seed): (usize, u64)) -> Told<String> {
        let outcome = simulate::run_program(program, &self.disk, &self.options, Grain::default(), shards, seed);
        let outcome = outcome.map_err(|error| told(&error, script))?;
        match outcome.error {
            Some(error) => Err(told(&error, script)),
            None => {
                let shown = outcome.outputs.into_iter().rfind(|(name, _)| name == "-");
                Ok(shown.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default())
            }
        }
    }
}

/// Lines of CSV; a line end inside quotes ends none.
fn lines_of(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => {
                lines.push(text[start..at].to_owned());
                start = at + 1;
            }
            _ => {}
        }
    }
    lines
}

/// A name as SQL takes it, whatever is in it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The rows that are missing and those that are too many, in order.
fn difference(what: &str, expected: &[String], found: &[String]) -> String {
    let mut text = format!("{what}: {} expected, {} found\n", expected.len(), found.len());
    let same = expected.iter().zip(found).take_while(|(expected, found)| expected == found).count();
    if same > 0 {
        let _ = writeln!(text, "    the first {same} are as expected");
    }
    for (sign, rows) in [('-', expected), ('+', found)] {
        for row in rows.iter().skip(same).take(10) {
            let _ = writeln!(text, "  {sign} {row}");
        }
        let more = rows.len().saturating_sub(same + 10);
        if more > 0 {
            let _ = writeln!(text, "  {sign} and {more} more");
        }
    }
    text
}
