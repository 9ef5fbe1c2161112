//! A case's data: generated once, checked against its manifest, and in the page cache.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use corelane_io::generate::{Generator, Request, write_files};
use serde_json::Value;

use crate::case::Case;

/// What all data is generated with.
const SEED: u64 = 1;
/// Bytes read at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// One data set on disk.
#[derive(Debug)]
pub struct Dataset {
    directory: PathBuf,
    /// Its files and their rows.
    files: Vec<(String, u64)>,
}

impl Dataset {
    /// `rows` rows of `generator` in `files` files a table somewhere under `root`: the files that are
    /// there, if their manifest says that they are the ones, else new ones. All are read once.
    pub fn prepare(root: &Path, generator: Generator, rows: u64, files: usize) -> Result<Dataset> {
        let (name, flavour) = generator.name();
        let flavour = flavour.map_or_else(String::new, |flavour| format!("-{flavour}"));
        let directory = root.join(format!("{name}{flavour}-{rows}x{files}"));
        let request = Request { generator, rows, shards: files as u64, seed: SEED, directory: directory.clone() };
        let files = match fitting(&request) {
            Some(files) => files,
            None => {
                write_files(&request)?;
                fitting(&request).with_context(|| format!("`{}` is not what its manifest says", directory.display()))?
            }
        };
        Ok(Dataset { directory, files })
    }

    /// Rows of the tables that `case` reads.
    pub fn rows(&self, case: &Case) -> u64 {
        let read = |name: &str| case.tables.iter().any(|table| name.starts_with(stem(case.generator, table)));
        self.files.iter().filter(|(name, _)| read(name)).map(|(_, rows)| rows).sum()
    }

    /// The tables that `case` reads, as `NAME=PATTERN`.
    pub fn inputs(&self, case: &Case) -> Vec<String> {
        let pattern = |table: &&str| self.directory.join(format!("{}*.csv", stem(case.generator, table)));
        case.tables.iter().map(|table| format!("{table}={}", pattern(table).display())).collect()
    }
}

/// What the files of `table` are called, before their number.
fn stem(generator: Generator, table: &str) -> &str {
    match generator.files() {
        [only] => only,
        _ => table,
    }
}

/// The files of `request` and their rows, if they are all there, byte for byte. Reading them to find
/// out is also what brings them into the page cache.
fn fitting(request: &Request) -> Option<Vec<(String, u64)>> {
    let text = fs::read_to_string(request.directory.join("manifest.json")).ok()?;
    let manifest: Value = serde_json::from_str(&text).ok()?;
    let (name, flavour) = request.generator.name();
    let same = manifest["name"] == name
        && manifest["flavour"].as_str() == flavour
        && manifest["rows"] == request.rows
        && manifest["shards"] == request.shards
        && manifest["seed"] == request.seed;
    let intact = |file: &Value| {
        let name = file["path"].as_str()?;
        let (bytes, checksum) = read_once(&request.directory.join(name)).ok()?;
        let good = file["bytes"] == bytes && file["crc32c"] == format!("{checksum:08x}");
        good.then_some((name.to_owned(), file["rows"].as_u64()?))
    };
    let files = manifest["files"].as_array()?;
    let expected = request.shards as usize * request.generator.files().len();
    if same && files.len() == expected { files.iter().map(intact).collect() } else { None }
}

/// Length and CRC-32C of a file.
fn read_once(path: &Path) -> Result<(u64, u32)> {
    let mut file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
    let mut block = vec![0; BLOCK_BYTES];
    let (mut bytes, mut checksum) = (0, 0);
    loop {
        match file.read(&mut block).with_context(|| format!("cannot read `{}`", path.display()))? {
            0 => return Ok((bytes, checksum)),
            count => {
                bytes += count as u64;
                checksum = crc32c::crc32c_append(checksum, &block[..count]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn files_are_made_again_only_when_they_do_not_fit() {
        let root = tempfile::tempdir().unwrap();
        let prepare = || Dataset::prepare(root.path(), Generator::Orders, 100, 2).unwrap();
        let first = prepare().directory.join("shard1.csv");
        let made = fs::metadata(&first).unwrap().ctime_nsec();
        prepare();
        assert_eq!(fs::metadata(&first).unwrap().ctime_nsec(), made);
        let good = fs::read(&first).unwrap();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() = b'x';
        fs::write(&first, bad).unwrap();
        prepare();
        assert_eq!(fs::read(&first).unwrap(), good);
    }
}
