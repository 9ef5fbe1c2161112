//! A data set as a table's files, made while they are read.
//!
//! A file is known by its share of the rows and read by offset like any other. What was made last is
//! kept, and where every [`STEP_ROWS`]th row begins, so that reading on costs nothing and going back
//! little. Its length is not known before its end.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use corelane_engine::{Code, Error, Result};

use super::{Generator, Request, Rows, Share};
use crate::format::Buffer;
use crate::fs::{self, Disk};

/// Rows made at a time.
const STEP_ROWS: u64 = 4096;
/// Rows of a data set, unless said.
const ROWS: u64 = 1_000_000;

/// A disk that holds one table of a data set.
#[derive(Clone, Debug)]
pub struct Made {
    shares: Vec<(String, Share)>,
}

impl Made {
    /// What a table's options say of a data set; nothing unless `'connector'` is `datagen` or `nexmark`.
    ///
    /// Options: `'dataset'` (a name, or `name:flavour`; for nexmark one of its tables, also as
    /// `'nexmark.table.type'`), `'rows'` (`'nexmark.event.num'`), `'shards'` (`'nexmark.split.num'`), `'seed'`.
    pub fn parse<'o>(options: impl IntoIterator<Item = (&'o str, &'o str)> + Clone) -> Result<Option<Made>> {
        let said = |names: &[&str]| {
            let found =
                options.clone().into_iter().filter(|(key, _)| names.iter().any(|n| key.eq_ignore_ascii_case(n)));
            found.last().map(|(_, value)| value)
        };
        let number = |names: &[&str], default: u64| match said(names) {
            None => Ok(default),
            Some(text) => text
                .replace('_', "")
                .parse()
                .map_err(|_| Error::new(Code::BadOption, format!("'{}' = '{text}' is not a number", names[0]))),
        };
        let connector = said(&["connector"]).unwrap_or_default().to_ascii_lowercase();
        if !CONNECTORS.contains(&connector.as_str()) {
            return Ok(None);
        }
        let dataset = said(&["dataset", "nexmark.table.type", "table"]).map(str::to_ascii_lowercase);
        let is_nexmark = connector == "nexmark";
        let Some(dataset) = dataset else {
            let what = if is_nexmark { "person, auction or bid" } else { "orders, market_data or measurements" };
            return Err(Error::new(Code::BadOption, format!("'connector' = '{connector}' needs 'dataset': {what}")));
        };
        let (name, flavour) = match dataset.split_once(':') {
            Some((name, flavour)) => (name, Some(flavour)),
            None => (&dataset[..], None),
        };
        let (generator, table) = if is_nexmark {
            let generator = Generator::parse("nexmark", None)?;
            match generator.files().iter().position(|file| *file == name) {
                Some(table) if flavour.is_none() => (generator, table),
                _ => {
                    let error = Error::new(Code::BadOption, format!("nexmark has no table `{dataset}`"));
                    return Err(error.help("tables: person, auction, bid"));
                }
            }
        } else {
            (Generator::parse(name, flavour)?, 0)
        };
        if !is_nexmark && generator.files().len() > 1 {
            let error = Error::new(Code::BadOption, format!("`{name}` is several tables"));
            return Err(error.help("write 'connector' = 'nexmark', 'dataset' = 'bid'"));
        }
        let shards = number(&["shards", "nexmark.split.num"], 1)?;
        if !(1..=4096).contains(&shards) {
            return Err(Error::new(Code::BadOption, format!("'shards' = '{shards}' is not from 1 to 4096")));
        }
        let request = Request {
            generator,
            rows: number(&["rows", "nexmark.event.num", "number-of-rows"], ROWS)?,
            shards,
            seed: number(&["seed"], 0)?,
            directory: Default::default(),
        };
        let named = |shard| (format!("{dataset}-{shard:04}"), Share::of(&request, table, shard));
        Ok(Some(Made { shares: (0..shards).map(named).collect() }))
    }

    /// Names of its files.
    pub fn names(&self) -> Vec<String> {
        self.shares.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// What `'connector'` says of tables that are made.
pub const CONNECTORS: [&str; 2] = ["datagen", "nexmark"];
/// The options of such a table.
pub const OPTIONS: [&str; 9] = [
    "dataset",
    "table",
    "rows",
    "shards",
    "seed",
    "number-of-rows",
    "nexmark.table.type",
    "nexmark.event.num",
    "nexmark.split.num",
];

impl Disk for Made {
    fn open(&self, path: &str) -> Result<Arc<dyn fs::File>> {
        match self.shares.iter().find(|(name, _)| name == path) {
            Some((name, share)) => {
                Ok(Arc::new(MadeFile { name: name.clone(), share: *share, state: Mutex::default() }))
            }
            None => Err(Error::new(Code::Io, format!("there is no file `{path}`"))),
        }
    }

    fn list(&self, pattern: &str) -> Result<Vec<String>> {
        Ok(self.names().into_iter().filter(|name| name == pattern).collect())
    }
}

struct MadeFile {
    name: String,
    share: Share,
    state: Mutex<State>,
}

/// What was made last.
#[derive(Default)]
struct State {
    rows: Option<Box<dyn Rows + Send>>,
    /// Where each step of rows begins; the header is before the first.
    steps: Vec<u64>,
    /// The step whose bytes these are.
    made: Option<usize>,
    bytes: Buffer,
}

impl fmt::Debug for MadeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeFile").field("name", &self.name).field("share", &self.share).finish_non_exhaustive()
    }
}

impl State {
    /// Makes step `step`; false behind the last one.
    fn make(&mut self, step: usize, share: &Share) -> bool {
        let from = step as u64 * STEP_ROWS;
        if from >= share.rows && step > 0 {
            return false;
        }
        let rows = self.rows.get_or_insert_with(|| share.rows());
        self.bytes.clear();
        if step == 0 {
            self.bytes.extend(rows.header().unwrap_or_default().as_bytes());
        }
        (from..share.rows.min(from + STEP_ROWS)).for_each(|row| rows.row(row, &mut self.bytes));
        self.made = Some(step);
        if self.steps.len() == step + 1 {
            self.steps.push(self.steps[step] + self.bytes.len() as u64);
        }
        true
    }
}

impl fs::File for MadeFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> Option<u64> {
        None
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        // What was made before a panic is made anew when it is not whole.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.steps.is_empty() {
            state.steps.push(0);
        }
        loop {
            let known = state.steps.partition_point(|&start| start <= offset) - 1;
            if state.made != Some(known) && !state.make(known, &self.share) {
                return Ok(0);
            }
            let at = (offset - state.steps[known]) as usize;
            let bytes = state.bytes.bytes();
            if at < bytes.len() {
                let count = into.len().min(bytes.len() - at);
                into[..count].copy_from_slice(&bytes[at..at + count]);
                return Ok(count);
            }
            if bytes.is_empty() {
                return Ok(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::lines;

    fn read(file: &dyn fs::File, offset: u64, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut piece = vec![0; most];
        loop {
            let count = file.read_at(&mut piece, offset + bytes.len() as u64).unwrap();
            if count == 0 {
                return bytes;
            }
            bytes.extend_from_slice(&piece[..count]);
        }
    }

    #[test]
    fn a_made_file_reads_as_the_written_one_from_any_place() {
        let options = [("connector", "datagen"), ("dataset", "market_data:mid"), ("rows", "10_000"), ("seed", "7")];
        let made = Made::parse(options).unwrap().unwrap();
        let names = made.names();
        let file = made.open(&names[0]).unwrap();
        let whole = read(&*file, 0, 1000);
        let mut expected = Buffer::default();
        expected.extend(b"trade_time,trader_id,symbol,price,quantity\n");
        lines(&made.shares[0].1, 0, 10_000, &mut expected);
        assert_eq!(whole, expected.bytes());
        for offset in [0, 1, whole.len() - 1, 40, whole.len() / 2, whole.len()] {
            assert_eq!(read(&*file, offset as u64, 1 << 20), &whole[offset..], "from {offset}");
        }
    }

    #[test]
    fn a_data_set_has_a_name_and_numbers() {
        let parse = |options: &[(&str, &str)]| {
            Made::parse(options.iter().copied()).map(|made| made.map(|made| made.names().len()))
        };
        assert_eq!(parse(&[("connector", "filesystem")]).unwrap(), None);
        assert_eq!(parse(&[("connector", "datagen"), ("dataset", "orders"), ("shards", "3")]).unwrap(), Some(3));
        for wrong in [
            &[("connector", "datagen")][..],
            &[("connector", "datagen"), ("dataset", "nothing")],
            &[("connector", "datagen"), ("dataset", "orders:mid")],
            &[("connector", "datagen"), ("dataset", "orders"), ("rows", "many")],
            &[("connector", "datagen"), ("dataset", "orders"), ("shards", "0")],
            &[("connector", "nexmark"), ("dataset", "bids")],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
