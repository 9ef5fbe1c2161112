//! Partitioned directories on one shard: each row goes to the folder that its values name.
//!
//! Files are `dt=2026-01-01/hm=12-30/part-s<shard>-<n>.csv`; `n` counts all files of the shard in the
//! order of their first rows, so no name is ever given twice. A file is written as
//! `.part-s<shard>-<n>.csv.tmp` and takes its name when it is whole; it never changes after. Only so many
//! files are open at a time: the one that has waited longest for a row is finished when another is needed,
//! and rows that come for its folder later go to a new file. What is in which file follows from the order of
//! the rows alone, not from the chunks they come in.
//!
//! Without checkpoints a file takes its name as soon as it is whole. With them it waits, under a temporary
//! name that says whose it is, until an epoch is committed in which it was whole ([`corelane_io::whole`]);
//! files that are still written to are cut at the barrier and gone on with ([`saved`]).
//!
//! What others do to the tree meanwhile may make a run fail, but cannot make it write elsewhere: see
//! [`corelane_io::durable::Tree`].

mod saved;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use corelane_engine::Result;
use corelane_engine::batch::{Chunk, Data, Vector};
use corelane_engine::operator::Context;
use corelane_engine::types::{DataType, Schema};
use corelane_io::durable::Tree;
use corelane_io::format::value::{self, Dates};
use corelane_io::format::{Assembler, Buffer, Format, Formatter};
use corelane_io::partition;
use corelane_io::whole::{self, OpenWhole};

pub use saved::Stood;

/// Text of one file is written in pieces of this many bytes.
const WRITE_BYTES: usize = 128 << 10;
/// Files open at a time on one shard, unless `'open.files'` says otherwise.
pub const OPEN_MOST: usize = 64;
/// Whole files that stay open until they are committed; more are synced by the shard itself.
const HELD_OPEN: usize = 64;

/// How a directory is partitioned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitioning {
    /// The root of the tree.
    pub root: PathBuf,
    /// The columns that name folders, outermost first; they are not written to the files.
    pub columns: Vec<usize>,
    /// A file is finished when it has this many rows.
    pub roll_rows: u64,
    /// A file is finished when it has this many bytes.
    pub roll_bytes: u64,
    /// Files open at a time on one shard.
    pub open_most: usize,
}

/// Where the files of a shard go.
#[derive(Clone, Debug)]
pub struct Place {
    /// Below this.
    pub tree: Arc<dyn Tree>,
    /// The job that they are committed with, if they are.
    pub job: Option<String>,
    /// Whose they are.
    pub shard: usize,
}

/// The files of one shard.
pub struct Partitions {
    how: Partitioning,
    place: Place,
    /// Files begun so far.
    begun: u64,
    format: Format,
    formatter: Formatter,
    /// The columns that are written, by position and as a schema.
    written: Vec<usize>,
    schema: Schema,
    /// Name and type of each partition column.
    named: Vec<(String, DataType)>,
    /// From the values of the partition columns, as bytes, to a place in `folders`.
    places: HashMap<Vec<u8>, usize>,
    folders: Vec<Option<Folder>>,
    /// Counts rows, to tell which folder has waited longest.
    now: u64,
    key: Vec<u8>,
    /// The key and the place of the last row.
    last: Option<(Vec<u8>, usize)>,
    /// Rows of one chunk as text, and where each ends.
    text: Buffer,
    ends: Vec<u32>,
    /// Files that are whole and not committed.
    whole: Vec<OpenWhole>,
}

/// One folder that rows may come for.
struct Folder {
    /// Its path below the root.
    path: String,
    file: Option<Part>,
    used: u64,
}

/// A file that is being written.
struct Part {
    file: whole::Part,
    assembler: Assembler,
    text: Buffer,
    rows: u64,
}

impl Partitions {
    /// The files at `place` of rows with `schema`, of which the first `visible` columns count.
    pub fn new(how: Partitioning, format: Format, schema: &Schema, visible: usize, place: Place) -> Self {
        let written: Vec<usize> = (0..visible).filter(|column| !how.columns.contains(column)).collect();
        let fields = written.iter().map(|&column| schema.fields[column].clone()).collect();
        let named = how.columns.iter().map(|&column| &schema.fields[column]);
        let schema = Schema { fields };
        Partitions {
            named: named.map(|field| (field.name.clone(), field.data_type)).collect(),
            how,
            place,
            begun: 0,
            format,
            formatter: Formatter::of_part(format, &schema, schema.fields.len()),
            written,
            schema,
            places: HashMap::new(),
            folders: Vec::new(),
            now: 0,
            key: Vec::new(),
            last: None,
            text: Buffer::default(),
            ends: Vec::new(),
            whole: Vec::new(),
        }
    }

    /// Takes rows; returns how many bytes of text they made.
    pub fn rows(&mut self, chunk: &Chunk<'_>, context: &Context<'_>) -> Result<u64> {
        let columns = context.scratch.alloc_slice_fill_iter(self.written.iter().map(|&column| chunk.columns[column]));
        let plain = Chunk { columns, positions: None, ordinals: None, floors: None, ..*chunk };
        self.text.clear();
        self.ends.clear();
        self.formatter.rows(&plain, &mut self.text, Some(&mut self.ends));
        let mut start = 0;
        for row in 0..chunk.rows {
            let place = self.find(chunk, row)?;
            let end = self.ends[row] as usize;
            self.write(place, start, end)?;
            start = end;
        }
        Ok(self.text.len() as u64)
    }

    /// Whether text waits to be written.
    pub fn has_partial(&self) -> bool {
        self.parts().any(|part| !part.text.is_empty())
    }

    /// Writes what waits.
    pub fn flush(&mut self) -> Result<()> {
        let parts = self.folders.iter_mut().flatten().filter_map(|folder| folder.file.as_mut());
        parts.into_iter().try_for_each(Part::flush)
    }

    /// Ends every file.
    pub fn finish(&mut self) -> Result<()> {
        (0..self.folders.len()).try_for_each(|place| self.end(place))
    }

    /// The run stops before its end: files that would take their names at once do so, since what is in them
    /// is right, though not all. Those that are committed with epochs stay as they are.
    pub fn stop(&mut self) -> Result<()> {
        if self.place.job.is_some() { Ok(()) } else { self.finish() }
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        let texts: usize = self.parts().map(|part| part.text.capacity()).sum();
        texts + self.text.capacity() + self.ends.capacity() * 4 + self.whole.capacity() * size_of::<OpenWhole>()
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.folders.iter().flatten().filter_map(|folder| folder.file.as_ref())
    }

    /// The place of the folder of `row`.
    fn find(&mut self, chunk: &Chunk<'_>, row: usize) -> Result<usize> {
        self.now += 1;
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        self.how.columns.iter().for_each(|&column| encode(&chunk.columns[column], row, &mut key));
        let last = self.last.as_ref().filter(|(last, _)| *last == key).map(|(_, place)| *place);
        let place = match last.or_else(|| self.places.get(&key).copied()) {
            Some(place) => place,
            None => {
                if self.places.len() >= self.how.open_most {
                    self.give_way()?;
                }
                self.expect(&key, chunk, row)?
            }
        };
        if last.is_none() {
            let (last, at) = self.last.get_or_insert_default();
            last.clone_from(&key);
            *at = place;
        }
        self.key = key;
        self.folders[place].as_mut().expect("it was just found or made").used = self.now;
        Ok(place)
    }

    /// A place for rows of another folder, that of `row`.
    fn expect(&mut self, key: &[u8], chunk: &Chunk<'_>, row: usize) -> Result<usize> {
        let mut path = String::new();
        for ((name, data_type), &column) in self.named.iter().zip(&self.how.columns) {
            let value = text(&chunk.columns[column], *data_type, row);
            let name = partition::folder(name, value.as_deref())?;
            path += if path.is_empty() { "" } else { "/" };
            path += &name;
        }
        Ok(self.take_up(key, Folder { path, file: None, used: 0 }))
    }

    fn take_up(&mut self, key: &[u8], folder: Folder) -> usize {
        let place = self.folders.iter().position(Option::is_none).unwrap_or_else(|| {
            self.folders.push(None);
            self.folders.len() - 1
        });
        self.folders[place] = Some(folder);
        self.places.insert(key.to_vec(), place);
        place
    }

    /// Ends the file of the folder that has waited longest.
    fn give_way(&mut self) -> Result<()> {
        let used = |place: &usize| self.folders[*place].as_ref().map_or(0, |folder| folder.used);
        let Some(place) = self.places.values().copied().min_by_key(used) else { return Ok(()) };
        self.end(place)?;
        self.places.retain(|_, known| *known != place);
        self.last = None;
        self.folders[place] = None;
        Ok(())
    }

    /// Writes a row, which is the text from `start` to `end`, to the file of the folder at `place`.
    fn write(&mut self, place: usize, start: usize, end: usize) -> Result<()> {
        let folder = self.folders[place].as_mut().expect("rows come for folders that are there");
        let part = match &mut folder.file {
            Some(part) => part,
            none => {
                let Place { tree, job, shard } = &self.place;
                let name = whole::name(*shard, self.begun, self.format.extension());
                self.begun += 1;
                let file = whole::Part::begin(tree, &folder.path, &name, job.as_deref())?;
                none.insert(Part::new(file, self.format, &self.schema))
            }
        };
        part.assembler.rows(&self.text.bytes()[start..end], &mut part.text);
        part.rows += 1;
        if part.text.len() >= WRITE_BYTES {
            part.flush()?;
        }
        let is_full =
            part.rows >= self.how.roll_rows || part.file.length() + part.text.len() as u64 >= self.how.roll_bytes;
        if is_full { self.end(place) } else { Ok(()) }
    }

    /// Ends the file of the folder at `place`, if there is one.
    fn end(&mut self, place: usize) -> Result<()> {
        let Some(mut part) = self.folders[place].as_mut().and_then(|folder| folder.file.take()) else { return Ok(()) };
        part.assembler.footer(&mut part.text);
        if let Err(error) = part.flush() {
            self.discard(part);
            return Err(error);
        }
        if self.place.job.is_none() {
            return part.file.name();
        }
        let whole = part.file.cut();
        let is_held = self.whole.len() < HELD_OPEN;
        self.whole.push(if is_held { whole } else { whole.sync_and_close()? });
        Ok(())
    }

    /// A file that takes its name at once and does not come to its end is none.
    fn discard(&self, part: Part) {
        if self.place.job.is_none() {
            part.file.discard();
        }
    }
}

impl Drop for Partitions {
    fn drop(&mut self) {
        for part in std::mem::take(&mut self.folders).into_iter().flatten().filter_map(|folder| folder.file) {
            self.discard(part);
        }
    }
}

impl Part {
    fn new(file: whole::Part, format: Format, schema: &Schema) -> Part {
        let assembler = Assembler::new(format, schema, schema.fields.len());
        Part { file, assembler, text: Buffer::default(), rows: 0 }
    }

    fn flush(&mut self) -> Result<()> {
        if !self.text.is_empty() {
            self.file.append(self.text.bytes())?;
            self.text.clear();
        }
        Ok(())
    }
}

/// Appends one value so that different values have different bytes.
fn encode(vector: &Vector<'_>, row: usize, key: &mut Vec<u8>) {
    if vector.is_null(row) {
        return key.push(0);
    }
    key.push(1);
    match &vector.data {
        Data::I64(values) => key.extend(values[row].to_le_bytes()),
        Data::I128(values) => key.extend(values[row].to_le_bytes()),
        Data::F64(values) => key.extend(values[row].to_bits().to_le_bytes()),
        Data::Text(values) => {
            let bytes = values[row].as_bytes();
            key.extend((bytes.len() as u64).to_le_bytes());
            key.extend_from_slice(bytes);
        }
    }
}

/// One value as csv has it, without quotes; `None` is NULL.
fn text(vector: &Vector<'_>, data_type: DataType, row: usize) -> Option<Vec<u8>> {
    if vector.is_null(row) {
        return None;
    }
    let mut out = Buffer::default();
    match &vector.data {
        Data::I64(values) => Dates::default().i64(&mut out, data_type, values[row]),
        Data::I128(values) => value::wide_decimal(&mut out, values[row], data_type.scale()),
        Data::F64(values) => value::double(&mut out, values[row]),
        Data::Text(values) => out.extend(values[row].as_bytes()),
    }
    Some(out.bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bumpalo::Bump;
    use corelane_engine::stage::Ledger;
    use corelane_engine::types::Field;
    use corelane_io::durable::{Durable, RealDisk};

    use super::*;

    fn schema() -> Schema {
        let field = |name: &str| Field { name: name.to_owned(), data_type: DataType::BigInt };
        Schema { fields: vec![field("day"), field("n")] }
    }

    fn partitions(root: &Path, how: impl FnOnce(&mut Partitioning)) -> Partitions {
        let mut partitioning = Partitioning {
            root: root.to_owned(),
            columns: vec![0],
            roll_rows: u64::MAX,
            roll_bytes: u64::MAX,
            open_most: OPEN_MOST,
        };
        how(&mut partitioning);
        let tree = RealDisk.tree(root.to_str().unwrap()).unwrap();
        Partitions::new(partitioning, Format::Csv, &schema(), 2, Place { tree, job: None, shard: 3 })
    }

    fn push(partitions: &mut Partitions, rows: &[(i64, i64)]) -> Result<u64> {
        let scratch = Bump::new();
        let column =
            |pick: fn(&(i64, i64)) -> i64| Vector::new(Data::I64(scratch.alloc_slice_fill_iter(rows.iter().map(pick))));
        let columns = [column(|row| row.0), column(|row| row.1)];
        let chunk =
            Chunk { rows: rows.len(), columns: &columns, positions: None, ordinals: None, floors: None, stamp: 0 };
        partitions.rows(&chunk, &Context { scratch: &scratch, ledger: &Ledger::idle() })
    }

    /// Every file below `root` with its text, by path.
    fn tree(root: &Path) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                    found.push((name, std::fs::read_to_string(&path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn rows_go_to_the_folders_they_name_and_files_are_whole_when_they_have_a_name() {
        let root = tempfile::tempdir().unwrap();
        let mut partitions = partitions(root.path(), |_| {});
        push(&mut partitions, &[(1, 10), (2, 20), (1, 11)]).unwrap();
        push(&mut partitions, &[(2, 21), (-3, 30)]).unwrap();
        partitions.flush().unwrap();
        assert!(tree(root.path()).iter().all(|(name, _)| name.contains("/.part-s3-") && name.ends_with(".csv.tmp")));
        partitions.finish().unwrap();
        let expected = [
            ("day=-3/part-s3-2.csv", "n\n30\n"),
            ("day=1/part-s3-0.csv", "n\n10\n11\n"),
            ("day=2/part-s3-1.csv", "n\n20\n21\n"),
        ];
        assert_eq!(tree(root.path()), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[test]
    fn files_roll_by_rows_and_bytes_and_only_so_many_are_open() {
        let rows: Vec<(i64, i64)> = (0..1000).map(|row| (row % 7, row)).collect();
        for (most, roll_rows, roll_bytes) in [(1, u64::MAX, u64::MAX), (3, 5, u64::MAX), (7, 100, 64), (2, 1, u64::MAX)]
        {
            let root = tempfile::tempdir().unwrap();
            let mut partitions = partitions(root.path(), |how| {
                (how.open_most, how.roll_rows, how.roll_bytes) = (most, roll_rows, roll_bytes);
            });
            for rows in rows.chunks(300) {
                push(&mut partitions, rows).unwrap();
                assert!(partitions.places.len() <= most && partitions.parts().count() <= most);
            }
            partitions.finish().unwrap();
            let mut found = Vec::new();
            for (name, text) in tree(root.path()) {
                let day: i64 = name["day=".len()..name.find('/').unwrap()].parse().unwrap();
                let mut lines = text.lines();
                assert_eq!(lines.next(), Some("n"));
                let numbers: Vec<i64> = lines.map(|line| line.parse().unwrap()).collect();
                assert!(!numbers.is_empty() && numbers.len() as u64 <= roll_rows && numbers.is_sorted());
                found.extend(numbers.into_iter().map(|number| (day, number)));
            }
            found.sort_by_key(|row| row.1);
            assert_eq!(found, rows);
        }
    }

    #[test]
    fn a_link_in_the_tree_is_not_followed_and_nothing_is_replaced() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), root.path().join("day=1")).unwrap();
        let mut linked = partitions(root.path(), |_| {});
        let error = push(&mut linked, &[(1, 10)]).unwrap_err();
        assert!(
            error.to_string().contains("day=1/part-s3-0.csv") && error.to_string().contains("not followed"),
            "{error}"
        );
        assert!(outside.path().read_dir().unwrap().next().is_none());

        std::fs::create_dir(root.path().join("day=2")).unwrap();
        std::fs::write(root.path().join("day=2/part-s3-0.csv"), "theirs").unwrap();
        let mut taken = partitions(root.path(), |_| {});
        push(&mut taken, &[(2, 20)]).unwrap();
        assert!(taken.finish().unwrap_err().to_string().contains("nothing is replaced"));
        assert_eq!(std::fs::read_to_string(root.path().join("day=2/part-s3-0.csv")).unwrap(), "theirs");
    }

    #[test]
    fn an_unfinished_file_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let mut partitions = partitions(root.path(), |_| {});
        push(&mut partitions, &[(1, 10)]).unwrap();
        drop(partitions);
        assert_eq!(tree(root.path()), []);
    }
}
