//! Partitioned directories on one shard: each row goes to the folder that its values name.
//!
//! Files are `dt=2026-01-01/hm=12-30/part-<shard>-<n>.csv`; `n` counts all files of the shard, so no
//! name is ever given twice. A file is written as `.part-<shard>-<n>.csv.tmp` and takes its name when
//! it is whole; it never changes after. Only so many files are open at a time: the one that has
//! waited longest for a row is finished when another is needed, and rows that come for its folder
//! later go to a new file.
//!
//! The root is opened once. Each folder below it is opened from its parent, by a name that has no
//! slash, and is never followed when it is a link: what others do to the tree meanwhile may make a
//! run fail, but cannot make it write elsewhere.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bumpalo::Bump;
use corelane_engine::batch::{Chunk, Data, Vector};
use corelane_engine::operator::Context;
use corelane_engine::types::{DataType, Schema};
use corelane_engine::{Code, Error, Result};
use corelane_io::format::value::{self, Dates};
use corelane_io::format::{Buffer, Format, Formatter};
use corelane_io::partition;

use crate::sys;

/// Text of one file is written in pieces of this many bytes.
const WRITE_BYTES: usize = 128 << 10;
/// Files open at a time on one shard, unless `'open.files'` says otherwise.
pub const OPEN_MOST: usize = 64;

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

/// The files of one shard.
pub struct Partitions {
    how: Partitioning,
    root: Option<File>,
    shard: usize,
    /// Files begun so far.
    begun: u64,
    format: Format,
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
}

/// One folder that rows may come for.
struct Folder {
    /// Its names below the root, outermost first.
    names: Vec<String>,
    file: Option<Part>,
    used: u64,
}

/// A file that is being written.
struct Part {
    folder: File,
    file: File,
    /// The name it takes when it is whole, and the one it has.
    name: String,
    temporary: String,
    /// Below the root, for errors.
    path: PathBuf,
    formatter: Formatter,
    text: Buffer,
    rows: u64,
    /// Rows it still takes.
    room: u64,
    bytes: u64,
    is_whole: bool,
}

impl Partitions {
    /// The files that `shard` writes of rows with `schema`, of which the first `visible` columns count.
    pub fn new(how: Partitioning, format: Format, schema: &Schema, visible: usize, shard: usize) -> Self {
        let written: Vec<usize> = (0..visible).filter(|column| !how.columns.contains(column)).collect();
        let fields = written.iter().map(|&column| schema.fields[column].clone()).collect();
        let named = how.columns.iter().map(|&column| &schema.fields[column]);
        Partitions {
            named: named.map(|field| (field.name.clone(), field.data_type)).collect(),
            how,
            root: None,
            shard,
            begun: 0,
            format,
            written,
            schema: Schema { fields },
            places: HashMap::new(),
            folders: Vec::new(),
            now: 0,
            key: Vec::new(),
        }
    }

    /// Takes rows; returns how many bytes of text they made.
    pub fn rows(&mut self, chunk: &Chunk<'_>, context: &Context<'_>) -> Result<u64> {
        let scratch = context.scratch;
        let assigned: &mut [u32] = scratch.alloc_slice_fill_copy(chunk.rows, 0);
        let (mut from, mut bytes) = (0, 0);
        for row in 0..chunk.rows {
            self.now += 1;
            let mut key = std::mem::take(&mut self.key);
            key.clear();
            self.how.columns.iter().for_each(|&column| encode(&chunk.columns[column], row, &mut key));
            let known = self.places.get(&key).copied();
            let place = match known {
                Some(place) => place,
                None => {
                    if self.places.len() >= self.how.open_most {
                        // Whichever folder gives way, its rows are in its file by then.
                        bytes += self.write(chunk, from..row, assigned, scratch)?;
                        from = row;
                        self.give_way()?;
                    }
                    self.expect(&key, chunk, row)?
                }
            };
            self.key = key;
            self.folders[place].as_mut().expect("it was just found or made").used = self.now;
            assigned[row] = place as u32;
        }
        Ok(bytes + self.write(chunk, from..chunk.rows, assigned, scratch)?)
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

    /// Ends every file; each takes its name.
    pub fn finish(&mut self) -> Result<()> {
        let parts = self.folders.iter_mut().flatten().filter_map(|folder| folder.file.take());
        parts.into_iter().try_for_each(Part::finish)
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        self.parts().map(|part| part.text.capacity()).sum()
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.folders.iter().flatten().filter_map(|folder| folder.file.as_ref())
    }

    /// A place for rows of another folder, that of `row`.
    fn expect(&mut self, key: &[u8], chunk: &Chunk<'_>, row: usize) -> Result<usize> {
        let mut names = Vec::with_capacity(self.named.len());
        for ((name, data_type), &column) in self.named.iter().zip(&self.how.columns) {
            let value = text(&chunk.columns[column], *data_type, row);
            names.push(partition::folder(name, value.as_deref())?);
        }
        let folder = Some(Folder { names, file: None, used: 0 });
        let place = match self.folders.iter().position(Option::is_none) {
            Some(free) => {
                self.folders[free] = folder;
                free
            }
            None => {
                self.folders.push(folder);
                self.folders.len() - 1
            }
        };
        self.places.insert(key.to_vec(), place);
        Ok(place)
    }

    /// Ends the file of the folder that has waited longest.
    fn give_way(&mut self) -> Result<()> {
        let used = |place: &usize| self.folders[*place].as_ref().map_or(0, |folder| folder.used);
        let Some(place) = self.places.values().copied().min_by_key(used) else { return Ok(()) };
        self.places.retain(|_, known| *known != place);
        let folder = self.folders[place].take();
        folder.and_then(|folder| folder.file).map_or(Ok(()), Part::finish)
    }

    /// Writes rows `range` of `chunk` to the files they are `assigned` to.
    fn write<'a>(
        &mut self,
        chunk: &Chunk<'a>,
        range: Range<usize>,
        assigned: &[u32],
        scratch: &'a Bump,
    ) -> Result<u64> {
        let order = scratch.alloc_slice_fill_iter(range.map(|row| u64::from(assigned[row]) << 16 | row as u64));
        order.sort_unstable();
        let columns = scratch.alloc_slice_fill_iter(self.written.iter().map(|&column| chunk.columns[column]));
        let plain = Chunk { columns, positions: None, ordinals: None, floors: None, ..*chunk };
        let mut bytes = 0;
        for group in order.chunk_by(|left, right| left >> 16 == right >> 16) {
            let place = (group[0] >> 16) as usize;
            let rows: &[u16] = scratch.alloc_slice_fill_iter(group.iter().map(|&entry| entry as u16));
            let mut rest = rows;
            while !rest.is_empty() {
                let part = self.part(place)?;
                let before = part.text.len();
                let (now, later) = rest.split_at(rest.len().min(usize::try_from(part.room).unwrap_or(usize::MAX)));
                if now.len() == chunk.rows {
                    part.formatter.rows(&plain, &mut part.text, None);
                } else {
                    part.formatter.rows(&plain.gather(now, scratch), &mut part.text, None);
                }
                bytes += (part.text.len() - before) as u64;
                part.rows += now.len() as u64;
                part.room -= now.len() as u64;
                if part.text.len() >= WRITE_BYTES {
                    part.flush()?;
                }
                let is_full = part.room == 0 || part.bytes + part.text.len() as u64 >= self.how.roll_bytes;
                if is_full && let Some(full) = self.folders[place].as_mut().and_then(|folder| folder.file.take()) {
                    full.finish()?;
                }
                rest = later;
            }
        }
        Ok(bytes)
    }

    /// The file of the folder at `place`, begun if there is none.
    fn part(&mut self, place: usize) -> Result<&mut Part> {
        let folder = self.folders[place].as_mut().expect("rows are assigned to folders that are there");
        if folder.file.is_none() {
            let name = format!("part-{}-{}.{}", self.shard, self.begun, self.format.extension());
            self.begun += 1;
            let path: PathBuf = folder.names.iter().chain([&name]).collect();
            let failed = |cause: io::Error| cannot_write(&self.how.root.join(&path), &cause);
            let root = match &self.root {
                Some(root) => root,
                None => self.root.insert(File::open(&self.how.root).map_err(failed)?),
            };
            let mut inside = sys::make_folder(root, &folder.names[0]).map_err(failed)?;
            for name in &folder.names[1..] {
                inside = sys::make_folder(&inside, name).map_err(failed)?;
            }
            let temporary = format!(".{name}.tmp");
            let file = sys::create_in(&inside, &temporary).map_err(failed)?;
            let mut text = Buffer::default();
            let mut formatter = Formatter::new(self.format, &self.schema, self.schema.fields.len());
            formatter.header(&mut text);
            let path = self.how.root.join(path);
            let room = self.how.roll_rows;
            let part = Part {
                folder: inside,
                file,
                name,
                temporary,
                path,
                formatter,
                text,
                rows: 0,
                room,
                bytes: 0,
                is_whole: false,
            };
            folder.file = Some(part);
        }
        Ok(folder.file.as_mut().expect("it was just begun"))
    }
}

impl Part {
    fn flush(&mut self) -> Result<()> {
        self.file.write_all(self.text.bytes()).map_err(|cause| cannot_write(&self.path, &cause))?;
        self.bytes += self.text.len() as u64;
        self.text.clear();
        Ok(())
    }

    /// Writes the rest; the file takes its name.
    fn finish(mut self) -> Result<()> {
        self.formatter.footer(self.rows, &mut self.text);
        self.flush()?;
        sys::rename_new(&self.folder, &self.temporary, &self.name).map_err(|cause| cannot_write(&self.path, &cause))?;
        self.is_whole = true;
        Ok(())
    }
}

impl Drop for Part {
    /// A file that was not finished is none.
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = sys::remove_in(&self.folder, &self.temporary);
        }
    }
}

fn cannot_write(path: &Path, cause: &io::Error) -> Error {
    let error = Error::new(Code::Io, format!("cannot write `{}`: {cause}", path.display()));
    match cause.raw_os_error() {
        Some(libc::ELOOP | libc::ENOTDIR) => {
            error.help("a folder of the path is a link or a file; links below the root are not followed")
        }
        Some(libc::EEXIST) => error.help("something of that name is there already, and nothing is replaced"),
        _ => error,
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
    use super::*;
    use corelane_engine::stage::Ledger;
    use corelane_engine::types::Field;

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
        Partitions::new(partitioning, Format::Csv, &schema(), 2, 3)
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
        assert!(tree(root.path()).iter().all(|(name, _)| name.contains("/.part-3-") && name.ends_with(".csv.tmp")));
        partitions.finish().unwrap();
        let expected = [
            ("day=-3/part-3-2.csv", "n\n30\n"),
            ("day=1/part-3-0.csv", "n\n10\n11\n"),
            ("day=2/part-3-1.csv", "n\n20\n21\n"),
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
            error.to_string().contains("day=1/part-3-0.csv") && error.to_string().contains("not followed"),
            "{error}"
        );
        assert!(outside.path().read_dir().unwrap().next().is_none());

        std::fs::create_dir(root.path().join("day=2")).unwrap();
        std::fs::write(root.path().join("day=2/part-3-0.csv"), "theirs").unwrap();
        let mut taken = partitions(root.path(), |_| {});
        push(&mut taken, &[(2, 20)]).unwrap();
        assert!(taken.finish().unwrap_err().to_string().contains("nothing is replaced"));
        assert_eq!(std::fs::read_to_string(root.path().join("day=2/part-3-0.csv")).unwrap(), "theirs");
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
