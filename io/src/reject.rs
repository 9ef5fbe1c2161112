//! Bad and late rows on their way to a file, a JSON object a line, so that they can be mended and
//! read again.
//!
//! A bad row and a late one (one line each; a row that is no valid UTF-8 has `raw_base64` instead of
//! `raw`):
//!
//! ```json
//! {"kind":"bad","table":"t","file":"a.csv","line":3,"offset":12,"column":"price","reason":"is not a number","raw":"5,x"}
//! {"kind":"late","table":"t","file":"a.csv","line":9,"offset":99,"time":"2026-01-01 00:00:01.000000","watermark":"2026-01-01 00:00:03.500000","late_us":2500000,"raw":"1000,a"}
//! ```
//!
//! | field | meaning |
//! |---|---|
//! | `kind` | `bad`: not as declared. `late`: behind its split's watermark |
//! | `table`, `file` | the table as the query names it, and the file as it was opened |
//! | `line` | the line the row begins in, from 1; `null` if it could not be counted |
//! | `offset` | the row's first byte in the file, from 0 |
//! | `column` | the column that cannot be read; `null` when it is the row itself |
//! | `reason` | why it cannot |
//! | `time`, `watermark` | the row's event time, and where its split's watermark stood |
//! | `late_us` | how far behind it was, in microseconds |
//! | `raw`, `raw_base64` | the row's bytes without its line end, as in the file |
//!
//! Each shard writes a file of its own per table; nothing is shared while rows are read. At the end
//! [`merge`] puts these parts together in order of table and shard, so the same number of shards
//! gives the same bytes. With checkpoints the parts are committed with each epoch, and [`settle`] puts them
//! together behind the last.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use corelane_engine::{Code, Error, Result};

use crate::append::{Appended, OpenCut};
use crate::bad::{BadRow, LateRow};
use crate::durable::{Durable, folder};
use crate::format::value::Dates;
use crate::format::{Buffer, json_string};

/// Text is written in pieces of this many bytes.
const WRITE_BYTES: usize = 64 << 10;

/// The part of one shard's source; its file is made when there is something to write.
#[derive(Debug)]
pub struct RejectPart {
    to: To,
    text: Buffer,
    /// Rows so far.
    pub rows: u64,
}

/// Where a part goes.
#[derive(Debug)]
enum To {
    /// A file that is made when there is something to write.
    File(PathBuf, Option<File>),
    /// A file that is committed with the checkpoints.
    Kept(Appended),
}

impl RejectPart {
    /// A part at `path`.
    pub fn new(path: PathBuf) -> Self {
        RejectPart { to: To::File(path, None), text: Buffer::default(), rows: 0 }
    }

    /// A part that is committed with the checkpoints.
    pub fn kept(file: Appended) -> Self {
        RejectPart { to: To::Kept(file), text: Buffer::default(), rows: 0 }
    }

    /// What of it belongs to an epoch, if it is committed. Only behind [`RejectPart::flush`].
    pub fn cut(&self) -> Option<OpenCut> {
        if let To::Kept(file) = &self.to { Some(file.cut()) } else { None }
    }

    /// Adds a bad row of `table`.
    pub fn bad(&mut self, table: &str, row: &BadRow<'_>) -> Result<()> {
        self.begin("bad", table, row.file(), row.line(), row.offset);
        self.text.extend(b",\"column\":");
        match row.column {
            Some(column) => json_string(column.name.as_bytes(), &mut self.text),
            None => self.text.extend(b"null"),
        }
        self.text.extend(b",\"reason\":");
        json_string(row.reason.to_string().as_bytes(), &mut self.text);
        self.end(row.raw)
    }

    /// Adds a late row of `table`.
    pub fn late(&mut self, table: &str, row: &LateRow<'_>) -> Result<()> {
        self.begin("late", table, row.file(), row.line(), row.offset);
        for (name, time) in [(",\"time\":\"", row.time), (",\"watermark\":\"", row.watermark)] {
            self.text.extend(name.as_bytes());
            Dates::default().timestamp(&mut self.text, time, 6, None);
            self.text.push(b'"');
        }
        let behind = row.watermark.saturating_sub(row.time);
        self.text.extend(format!(",\"late_us\":{behind}").as_bytes());
        self.end(row.raw)
    }

    fn begin(&mut self, kind: &str, table: &str, file: &str, line: Option<u64>, offset: u64) {
        self.text.extend(format!("{{\"kind\":\"{kind}\",\"table\":").as_bytes());
        json_string(table.as_bytes(), &mut self.text);
        self.text.extend(b",\"file\":");
        json_string(file.as_bytes(), &mut self.text);
        let line = line.map_or_else(|| "null".to_owned(), |line| line.to_string());
        self.text.extend(format!(",\"line\":{line},\"offset\":{offset}").as_bytes());
    }

    fn end(&mut self, raw: &[u8]) -> Result<()> {
        if std::str::from_utf8(raw).is_ok() {
            self.text.extend(b",\"raw\":");
            json_string(raw, &mut self.text);
        } else {
            self.text.extend(b",\"raw_base64\":\"");
            self.text.extend(STANDARD.encode(raw).as_bytes());
            self.text.push(b'"');
        }
        self.text.extend(b"}\n");
        self.rows += 1;
        if self.text.len() < WRITE_BYTES { Ok(()) } else { self.flush() }
    }

    /// Writes what is not written yet.
    pub fn flush(&mut self) -> Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        match &mut self.to {
            To::Kept(file) => {
                let done = file.append(self.text.bytes());
                done.map_err(|cause| cannot_write(Path::new(file.name()), &cause))?;
            }
            To::File(path, file) => {
                let failed = |cause| cannot_write(path, &cause);
                let file = match file {
                    Some(file) => file,
                    none => none.insert(File::create(&*path).map_err(failed)?),
                };
                file.write_all(self.text.bytes()).map_err(failed)?;
            }
        }
        self.text.clear();
        Ok(())
    }
}

fn cannot_write(path: &Path, cause: &io::Error) -> Error {
    Error::new(Code::Io, format!("cannot write `{}`: {cause}", path.display()))
}

/// The part that source `source` of shard `shard` writes for the file `target`.
pub fn part(target: &Path, source: usize, shard: usize) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".part-{source}-{shard}"));
    name.into()
}

/// Removes the parts that a run that was killed has left beside `target`.
pub fn remove_parts(target: &Path) -> Result<()> {
    let (folder, name) = (folder_of(target), target.file_name().unwrap_or_default().to_string_lossy().into_owned());
    let entries = std::fs::read_dir(folder).map_err(|cause| cannot_write(target, &cause))?;
    for entry in entries.flatten() {
        let is_part = entry.file_name().to_str().is_some_and(|entry| number_of(&name, entry).is_some());
        if is_part {
            std::fs::remove_file(entry.path()).map_err(|cause| cannot_write(&entry.path(), &cause))?;
        }
    }
    Ok(())
}

/// Source and shard of the part of `target` that is called `name`.
fn number_of(target: &str, name: &str) -> Option<(usize, usize)> {
    let (source, shard) = name.strip_prefix(target)?.strip_prefix(".part-")?.split_once('-')?;
    let number = |text: &str| text.parse().ok().filter(|number: &usize| number.to_string() == text);
    Some((number(source)?, number(shard)?))
}

/// The parts of the file `target` that are there, in order of source and shard.
pub fn parts(disk: &dyn Durable, target: &str) -> io::Result<Vec<String>> {
    let name = target.rsplit_once('/').map_or(target, |(_, name)| name);
    let found = disk.list(folder(target))?;
    let mut parts: Vec<(usize, usize)> = found.iter().filter_map(|found| number_of(name, found)).collect();
    parts.sort_unstable();
    Ok(parts.iter().map(|(source, shard)| format!("{target}.part-{source}-{shard}")).collect())
}

/// Puts the committed parts of `target` together, once the last epoch is committed. It can be done again
/// after a stop anywhere: the file takes its name when it is whole, and only then its parts go.
pub fn settle(disk: &dyn Durable, target: &str) -> Result<()> {
    let failed = |cause| cannot_write(Path::new(target), &cause);
    let parts = parts(disk, target).map_err(failed)?;
    if !disk.exists(target) {
        let new = format!("{target}.new");
        if disk.exists(&new) {
            disk.remove(&new).map_err(failed)?;
        }
        let mut all = Vec::new();
        for part in &parts {
            all.extend(disk.read(part).map_err(failed)?);
        }
        let written = disk.write(&new, &all).and_then(|()| disk.sync(&new)).and_then(|()| disk.rename(&new, target));
        written.and_then(|()| disk.sync_names(folder(target))).map_err(failed)?;
    }
    for part in parts.iter().flat_map(|part| [format!("{part}.committed"), part.clone()]) {
        if disk.exists(&part) {
            disk.remove(&part).map_err(failed)?;
        }
    }
    disk.sync_names(folder(target)).map_err(failed)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Puts the parts of `sources` x `shards` together in `target`, synced, and removes them. A part that
/// nothing was written to does not exist.
pub fn merge(target: &Path, sources: usize, shards: usize) -> Result<()> {
    let failed = |cause| cannot_write(target, &cause);
    let mut all = File::create(target).map_err(failed)?;
    for (source, shard) in (0..sources).flat_map(|source| (0..shards).map(move |shard| (source, shard))) {
        let path = part(target, source, shard);
        match File::open(&path) {
            Ok(mut part) => io::copy(&mut part, &mut all).map_err(failed)?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(cannot_write(&path, &cause)),
        };
        std::fs::remove_file(&path).map_err(|cause| cannot_write(&path, &cause))?;
    }
    // Something that cannot be synced, as a pipe, has nothing to lose either.
    let _ = all.sync_all();
    Ok(())
}
