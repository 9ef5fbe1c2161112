//! A case's data: generated once, checked against its manifest, and in the page cache.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use corelane_io::generate::{Generator, Request, write_files};
use serde_json::Value;

/// What all data is generated with.
const SEED: u64 = 1;
/// Bytes read at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// One data set on disk.
#[derive(Debug)]
pub struct Dataset {
    directory: PathBuf,
    /// Rows in all files.
    pub rows: u64,
}

impl Dataset {
    /// `rows` rows of `generator` in `files` files somewhere under `root`: the files that are there,
    /// if their manifest says that they are the ones, else new ones. All are read once.
    pub fn prepare(root: &Path, generator: Generator, rows: u64, files: usize) -> Result<Dataset> {
        let (name, flavour) = generator.name();
        let flavour = flavour.map_or_else(String::new, |flavour| format!("-{flavour}"));
        let directory = root.join(format!("{name}{flavour}-{rows}x{files}"));
        let request = Request { generator, rows, shards: files as u64, seed: SEED, directory: directory.clone() };
        if !fits(&request) {
            write_files(&request)?;
            ensure!(fits(&request), "`{}` is not what its manifest says", directory.display());
        }
        Ok(Dataset { directory, rows })
    }

    /// The pattern that names its files.
    pub fn pattern(&self) -> String {
        self.directory.join("shard*.csv").display().to_string()
    }
}

/// Whether the files of `request` are all there, byte for byte. Reading them to find out is also
/// what brings them into the page cache.
fn fits(request: &Request) -> bool {
    let Ok(text) = fs::read_to_string(request.directory.join("manifest.json")) else { return false };
    let Ok(manifest) = serde_json::from_str::<Value>(&text) else { return false };
    let (name, flavour) = request.generator.name();
    let same = manifest["name"] == name
        && manifest["flavour"].as_str() == flavour
        && manifest["rows"] == request.rows
        && manifest["shards"] == request.shards
        && manifest["seed"] == request.seed;
    let intact = |file: &Value| {
        let path = request.directory.join(file["path"].as_str().unwrap_or_default());
        read_once(&path)
            .is_ok_and(|(bytes, checksum)| file["bytes"] == bytes && file["crc32c"] == format!("{checksum:08x}"))
    };
    let files = manifest["files"].as_array();
    same && files.is_some_and(|files| files.len() as u64 == request.shards && files.iter().all(intact))
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
