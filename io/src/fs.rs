//! Files: one trait for the real disk and for one in memory, so that a whole run can be simulated.
//!
//! A file is read by offset and shared freely. Pipes and standard input are files too, of unknown
//! length: they are read once, front to back, except that their head is kept, so that a schema can
//! be inferred before the rows are read.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use corelane_engine::{Code, Error, Result};

/// Bytes at the start of a stream that can be read again.
pub const STREAM_HEAD: usize = 1 << 20;

/// Something that can be read by offset.
pub trait File: Send + Sync + fmt::Debug {
    /// Its name, as the user knows it.
    fn name(&self) -> &str;

    /// Length in bytes when it was opened; `None` for a stream.
    fn len(&self) -> Option<u64>;

    /// Whether it is known to hold nothing.
    fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Reads up to `into.len()` bytes at `offset`; 0 only at the end. A stream can be read only
    /// where it stands, or within its first [`STREAM_HEAD`] bytes.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The open file, where there is one that can be read by offset, for those who have other ways
    /// to read it.
    fn open_file(&self) -> Option<&Arc<std::fs::File>> {
        None
    }

    /// What a read at `offset` may have to wait for, where it is a stream's: readable when there is
    /// something to read.
    fn waits_on(&self, offset: u64) -> Option<BorrowedFd<'_>> {
        let _ = offset;
        None
    }
}

/// Where files are found.
pub trait Disk: Send + Sync {
    /// Opens a file for reading.
    fn open(&self, path: &str) -> Result<Arc<dyn File>>;

    /// Names of the files that match one pattern, sorted. A name that exists is its own pattern.
    fn list(&self, pattern: &str) -> Result<Vec<String>>;
}

/// Names of the files of `GLOB[,GLOB]`, sorted, each once. A pattern that matches nothing is an
/// error, as is an empty list.
pub fn expand(disk: &dyn Disk, patterns: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for pattern in patterns.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()) {
        let found = disk.list(pattern)?;
        if found.is_empty() {
            let message = if is_pattern(pattern) {
                format!("no file matches `{pattern}`")
            } else {
                format!("there is no file `{pattern}`")
            };
            return Err(
                Error::new(Code::Io, message).help("check the path; it is relative to where corelane was started")
            );
        }
        names.extend(found);
    }
    if names.is_empty() {
        return Err(
            Error::new(Code::Io, "an input needs at least one file").help("write NAME=FILE or NAME='dir/*.csv'")
        );
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Reads what there is at `offset`, at least one byte unless the file ends there.
pub fn read_some(file: &dyn File, into: &mut [u8], offset: u64) -> Result<usize> {
    loop {
        match file.read_at(into, offset) {
            Ok(count) => return Ok(count),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(read_failed(file.name(), offset, &cause)),
        }
    }
}

/// Reads at `offset` until `into` is full or the file ends; returns how much was read.
pub fn read_full(file: &dyn File, into: &mut [u8], offset: u64) -> Result<usize> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(read_failed(file.name(), offset + done as u64, &cause)),
        }
    }
    Ok(done)
}

/// The error for a read that failed.
pub fn read_failed(name: &str, offset: u64, cause: &io::Error) -> Error {
    Error::new(Code::Io, format!("cannot read `{name}` at byte {offset}: {}", reason(cause)))
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// What the operating system says, without its number.
fn reason(cause: &io::Error) -> String {
    let text = cause.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// The machine's own files. A stream is opened once and kept, so that the schema inferred from its
/// head and its rows come from the same bytes.
#[derive(Debug, Default)]
pub struct RealDisk {
    streams: Mutex<BTreeMap<String, Arc<Stream>>>,
}

impl Disk for RealDisk {
    fn open(&self, path: &str) -> Result<Arc<dyn File>> {
        let cannot = |cause: io::Error| {
            let error = Error::new(Code::Io, format!("cannot open `{path}`: {}", reason(&cause)));
            match cause.kind() {
                io::ErrorKind::PermissionDenied => error.help("make it readable for the user that runs corelane"),
                io::ErrorKind::NotFound => error.help("check the path; it is relative to where corelane was started"),
                _ => error,
            }
        };
        let standard_input = path == "-" || path == "/dev/stdin";
        let name = if standard_input { "standard input" } else { path };
        let mut streams = self.streams.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(stream) = streams.get(name) {
            return Ok(stream.clone());
        }
        let file = if standard_input {
            std::fs::File::from(io::stdin().as_fd().try_clone_to_owned().map_err(cannot)?)
        } else {
            std::fs::File::open(path).map_err(cannot)?
        };
        let kind = file.metadata().map_err(cannot)?;
        if kind.is_dir() {
            let error = Error::new(Code::Io, format!("`{path}` is a directory"));
            return Err(error.help(format!("name its files: '{}/*.csv'", path.trim_end_matches('/'))));
        }
        if kind.is_file() {
            return Ok(Arc::new(RealFile { name: name.to_owned(), len: kind.len(), file: Arc::new(file) }));
        }
        let waits_on = file.try_clone().map_err(cannot)?;
        let stream = Arc::new(Stream { waits_on: Some(waits_on), ..Stream::new(name, file) });
        streams.insert(name.to_owned(), Arc::clone(&stream));
        Ok(stream)
    }

    fn list(&self, pattern: &str) -> Result<Vec<String>> {
        if pattern == "-" || std::fs::symlink_metadata(pattern).is_ok() {
            return Ok(vec![pattern.to_owned()]);
        }
        if !is_pattern(pattern) {
            return Ok(Vec::new());
        }
        let bad = |cause: glob::PatternError| {
            Error::new(Code::BadOption, format!("`{pattern}` is not a file pattern: {}", cause.msg))
        };
        let mut names = Vec::new();
        for entry in glob::glob(pattern).map_err(bad)? {
            let path = entry.map_err(|cause| {
                let place = cause.path().display().to_string();
                Error::new(Code::Io, format!("cannot look into `{place}`: {}", reason(cause.error())))
            })?;
            if path.is_dir() {
                continue;
            }
            let name = path
                .to_str()
                .ok_or_else(|| Error::new(Code::Io, format!("the name of file `{}` is not UTF-8", path.display())))?;
            names.push(name.to_owned());
        }
        names.sort();
        Ok(names)
    }
}

#[derive(Debug)]
struct RealFile {
    name: String,
    len: u64,
    file: Arc<std::fs::File>,
}

impl File for RealFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> Option<u64> {
        Some(self.len)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(into, offset)
    }

    fn open_file(&self) -> Option<&Arc<std::fs::File>> {
        Some(&self.file)
    }
}

/// A pipe, terminal or socket: read front to back, its head kept.
pub struct Stream {
    name: String,
    /// The same stream, to ask whether it is readable.
    waits_on: Option<std::fs::File>,
    state: Mutex<StreamState>,
}

struct StreamState {
    source: Box<dyn Read + Send>,
    head: Vec<u8>,
    at: u64,
}

impl Stream {
    /// A stream of what `source` gives.
    pub fn new(name: impl Into<String>, source: impl Read + Send + 'static) -> Self {
        let state = StreamState { source: Box::new(source), head: Vec::new(), at: 0 };
        Stream { name: name.into(), waits_on: None, state: Mutex::new(state) }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).finish_non_exhaustive()
    }
}

impl File for Stream {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> Option<u64> {
        None
    }

    fn waits_on(&self, offset: u64) -> Option<BorrowedFd<'_>> {
        let state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.waits_on.as_ref().filter(|_| offset >= state.head.len() as u64).map(AsFd::as_fd)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        // A poisoned lock means a reader of this stream panicked; the bytes are still in order.
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if offset < state.head.len() as u64 {
            let kept = &state.head[offset as usize..];
            let count = kept.len().min(into.len());
            into[..count].copy_from_slice(&kept[..count]);
            return Ok(count);
        }
        if offset != state.at {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a stream can be read only once"));
        }
        let head_left = STREAM_HEAD - state.head.len();
        if head_left == 0 {
            let count = state.source.read(into)?;
            state.at += count as u64;
            return Ok(count);
        }
        // Never across the end of the head, so that all of it can be read again.
        let most = into.len().min(head_left);
        let count = state.source.read(&mut into[..most])?;
        state.head.extend_from_slice(&into[..count]);
        state.at += count as u64;
        Ok(count)
    }
}

/// Named files in memory, for tests and simulation.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    files: BTreeMap<String, Arc<[u8]>>,
}

impl MemoryDisk {
    /// A disk without files.
    pub fn new() -> Self {
        MemoryDisk::default()
    }

    /// The same disk with one more file, in place of one of that name.
    pub fn with(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.into(), bytes.into().into());
        self
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &str) -> Result<Arc<dyn File>> {
        let bytes = self.files.get(path);
        let bytes = bytes.ok_or_else(|| Error::new(Code::Io, format!("there is no file `{path}`")))?;
        Ok(Arc::new(MemoryFile { name: path.to_owned(), bytes: bytes.clone() }))
    }

    fn list(&self, pattern: &str) -> Result<Vec<String>> {
        if self.files.contains_key(pattern) {
            return Ok(vec![pattern.to_owned()]);
        }
        let compiled = glob::Pattern::new(pattern).map_err(|cause| {
            Error::new(Code::BadOption, format!("`{pattern}` is not a file pattern: {}", cause.msg))
        })?;
        Ok(self.files.keys().filter(|name| compiled.matches(name)).cloned().collect())
    }
}

#[derive(Debug)]
struct MemoryFile {
    name: String,
    bytes: Arc<[u8]>,
}

impl File for MemoryFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> Option<u64> {
        Some(self.bytes.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = (offset.min(self.bytes.len() as u64)) as usize;
        let count = (self.bytes.len() - start).min(into.len());
        into[..count].copy_from_slice(&self.bytes[start..start + count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_expand_sorted_and_once() {
        let disk = MemoryDisk::new().with("b.csv", "").with("a.csv", "").with("c.txt", "");
        assert_eq!(expand(&disk, "*.csv, a.csv").unwrap(), ["a.csv", "b.csv"]);
        let error = expand(&disk, "a.csv,*.json").unwrap_err();
        assert_eq!((error.code(), error.report().message.as_str()), (Code::Io, "no file matches `*.json`"));
        assert!(expand(&disk, " ").is_err());
    }

    #[test]
    fn the_real_disk_says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("2.csv"), "two").unwrap();
        std::fs::write(path("1.csv"), "one").unwrap();
        assert_eq!(expand(&RealDisk::default(), &path("*.csv")).unwrap(), [path("1.csv"), path("2.csv")]);
        let mut bytes = [0; 8];
        let file = RealDisk::default().open(&path("2.csv")).unwrap();
        assert_eq!((read_full(&*file, &mut bytes, 1).unwrap(), &bytes[..2]), (2, &b"wo"[..]));
        assert!(RealDisk::default().open(&path("3.csv")).unwrap_err().report().message.contains("no such file"));
        assert!(
            RealDisk::default()
                .open(folder.path().to_str().unwrap())
                .unwrap_err()
                .report()
                .message
                .contains("is a directory")
        );
        assert!(expand(&RealDisk::default(), &path("3.csv")).is_err());
    }

    #[test]
    fn the_head_of_a_stream_can_be_read_again() {
        let stream = Stream::new("pipe", io::Cursor::new(vec![7u8; STREAM_HEAD + 10]));
        let mut bytes = vec![0; STREAM_HEAD];
        assert_eq!(read_full(&stream, &mut bytes, 0).unwrap(), STREAM_HEAD);
        assert_eq!(read_full(&stream, &mut bytes[..100], 50).unwrap(), 100);
        assert_eq!(read_full(&stream, &mut bytes, STREAM_HEAD as u64).unwrap(), 10);
        assert!(stream.read_at(&mut bytes, STREAM_HEAD as u64).is_err());
    }
}
