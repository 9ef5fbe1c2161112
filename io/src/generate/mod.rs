//! Data to measure and test with: the same bytes for the same seed, for ever.
//!
//! | name | columns |
//! |---|---|
//! | `orders` | order_id, customer_id, order_date, total_amount |
//! | `market_data` | trade_time (epoch ms), trader_id, symbol, price, quantity |
//! | `measurements` | `station;temp`, without a header |
//! | `nexmark` | people, auctions and bids, a file each (with the feature `nexmark`) |
//!
//! Any row of any shard can be made without those before it (but for the order within a block of
//! `market_data`), so files of any size can be made in parts.

mod made;
mod market;
mod measurements;
#[cfg(feature = "nexmark")]
mod nexmark;
mod orders;
mod random;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use corelane_engine::{Code, Error, Result};

use crate::format::Buffer;

pub use made::{CONNECTORS, Made, OPTIONS};

/// Text is written in pieces of about this many bytes.
const WRITE_BYTES: usize = 1 << 20;

/// What is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generator {
    /// Orders with uniform amounts.
    Orders,
    /// Trades, one a millisecond.
    MarketData(Flavour),
    /// Temperatures at stations.
    Measurements,
    /// Three tables of an auction house.
    #[cfg(feature = "nexmark")]
    Nexmark,
}

/// How many groups `market_data` has, and how dense its rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// 20 traders, 10 symbols.
    Seed,
    /// 1,000 traders, 100 symbols, by Zipf's law.
    Mid,
    /// 1,000,000 traders, 1,000 symbols.
    High,
    /// As seed, but one trade a second.
    Sparse,
}

impl Flavour {
    /// Every flavour and its name.
    pub const ALL: [(&'static str, Flavour); 4] =
        [("seed", Flavour::Seed), ("mid", Flavour::Mid), ("high", Flavour::High), ("sparse", Flavour::Sparse)];

    fn name(self) -> &'static str {
        Flavour::ALL.iter().find(|(_, flavour)| *flavour == self).map_or("", |(name, _)| name)
    }
}

impl Generator {
    /// Names of the generators.
    pub const NAMES: &'static [&'static str] = if cfg!(feature = "nexmark") {
        &["orders", "market_data", "measurements", "nexmark"]
    } else {
        &["orders", "market_data", "measurements"]
    };

    /// The generator called `name`, with a flavour (`market_data` only; `seed` unless said).
    pub fn parse(name: &str, flavour: Option<&str>) -> Result<Self> {
        let generator = match name {
            "orders" => Generator::Orders,
            "measurements" => Generator::Measurements,
            #[cfg(feature = "nexmark")]
            "nexmark" => Generator::Nexmark,
            #[cfg(not(feature = "nexmark"))]
            "nexmark" => {
                let error = Error::new(Code::BadOption, "this binary was built without the generator `nexmark`");
                return Err(error.help("build it with `--features nexmark`"));
            }
            "market_data" => {
                let flavour = flavour.unwrap_or("seed");
                let Some((_, flavour)) = Flavour::ALL.into_iter().find(|(known, _)| *known == flavour) else {
                    let error = Error::new(Code::BadOption, format!("there is no flavour `{flavour}` of market_data"));
                    return Err(error.help("flavours: seed, mid, high, sparse"));
                };
                return Ok(Generator::MarketData(flavour));
            }
            _ => {
                let error = Error::new(Code::BadOption, format!("there is no generator `{name}`"));
                return Err(error.help(format!("generators: {}", Generator::NAMES.join(", "))));
            }
        };
        match flavour {
            None => Ok(generator),
            Some(_) => Err(Error::new(Code::BadOption, format!("`{name}` has no flavours"))),
        }
    }

    /// Its name and flavour.
    pub fn name(self) -> (&'static str, Option<&'static str>) {
        match self {
            Generator::Orders => ("orders", None),
            Generator::Measurements => ("measurements", None),
            Generator::MarketData(flavour) => ("market_data", Some(flavour.name())),
            #[cfg(feature = "nexmark")]
            Generator::Nexmark => ("nexmark", None),
        }
    }

    /// What the files of each of its tables are called, before their number.
    pub fn files(self) -> &'static [&'static str] {
        match self {
            #[cfg(feature = "nexmark")]
            Generator::Nexmark => &nexmark::TABLES,
            _ => &["shard"],
        }
    }
}

/// Rows of one shard, by number.
trait Rows {
    /// The first line, if there is one.
    fn header(&self) -> Option<&'static str>;
    /// Appends row `row` as a line.
    fn row(&mut self, row: u64, out: &mut Buffer);
}

/// Appends rows `from..to` of a share to `out`.
pub fn lines(of: &Share, from: u64, to: u64, out: &mut Buffer) {
    let mut rows = of.rows();
    for row in from..to {
        rows.row(row, out);
    }
}

/// One shard's part of a data set.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// What is generated.
    pub generator: Generator,
    /// Which of its tables, by their place in [`Generator::files`].
    pub table: usize,
    /// The seed.
    pub seed: u64,
    /// Rows of this shard's file.
    pub rows: u64,
    /// Which shard.
    pub shard: u64,
    /// Of how many.
    pub shards: u64,
}

impl Share {
    /// What `shard` has of table `table` of the data set that `request` asks for.
    fn of(request: &Request, table: usize, shard: u64) -> Share {
        let &Request { generator, rows, shards, seed, .. } = request;
        let rows = match generator {
            #[cfg(feature = "nexmark")]
            Generator::Nexmark => nexmark::rows(table, rows, shard, shards),
            _ => rows / shards + u64::from(shard < rows % shards),
        };
        Share { generator, table, seed, rows, shard, shards }
    }

    fn rows(&self) -> Box<dyn Rows + Send> {
        match self.generator {
            Generator::Orders => Box::new(orders::Orders::new(self.seed, self.shard, self.shards)),
            Generator::Measurements => Box::new(measurements::Measurements::new(self.seed, self.shard)),
            Generator::MarketData(flavour) => {
                Box::new(market::Market::new(flavour, self.seed, self.rows, self.shard, self.shards))
            }
            #[cfg(feature = "nexmark")]
            Generator::Nexmark => Box::new(nexmark::Nexmark::new(self.table, self.seed, self.shard, self.shards)),
        }
    }
}

/// Which files to write.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is generated.
    pub generator: Generator,
    /// Rows in all tables together; the first shards get one more where they do not divide.
    pub rows: u64,
    /// Files of each table.
    pub shards: u64,
    /// The seed.
    pub seed: u64,
    /// Where the files go; made if it is not there.
    pub directory: PathBuf,
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its name in the directory.
    pub name: String,
    /// Rows, the header not counted.
    pub rows: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// CRC-32C of all bytes.
    pub crc32c: u32,
}

/// Writes `shard0.csv`, ... (or a table's name and the number) and `manifest.json` with rows, bytes and checksums. Files that an earlier
/// manifest in the directory names are removed first; others are left alone.
pub fn write_files(request: &Request) -> Result<Vec<Written>> {
    let directory = &request.directory;
    let failed = |path: &Path, cause: std::io::Error| {
        Error::new(Code::Io, format!("cannot write `{}`: {cause}", path.display()))
    };
    fs::create_dir_all(directory).map_err(|cause| failed(directory, cause))?;
    let manifest = directory.join("manifest.json");
    remove_earlier(directory, &manifest);
    let mut files = Vec::new();
    for shard in 0..request.shards {
        for (table, stem) in request.generator.files().iter().enumerate() {
            let share = Share::of(request, table, shard);
            let name = format!("{stem}{shard}.csv");
            let path = directory.join(&name);
            let (bytes, crc32c) = write_share(&share, &path).map_err(|cause| failed(&path, cause))?;
            files.push(Written { name, rows: share.rows, bytes, crc32c });
        }
    }
    fs::write(&manifest, describe(request, &files)).map_err(|cause| failed(&manifest, cause))?;
    Ok(files)
}

fn write_share(share: &Share, path: &Path) -> std::io::Result<(u64, u32)> {
    let mut file = File::create(path)?;
    let mut rows = share.rows();
    let mut out = Buffer::default();
    let (mut bytes, mut checksum) = (0, 0);
    out.extend(rows.header().unwrap_or_default().as_bytes());
    for row in 0..share.rows {
        rows.row(row, &mut out);
        if out.len() >= WRITE_BYTES {
            checksum = crc32c::crc32c_append(checksum, out.bytes());
            bytes += out.len() as u64;
            file.write_all(out.bytes())?;
            out.clear();
        }
    }
    checksum = crc32c::crc32c_append(checksum, out.bytes());
    bytes += out.len() as u64;
    file.write_all(out.bytes())?;
    Ok((bytes, checksum))
}

/// Removes the files that the manifest of an earlier run names, so that `shard*.csv` is one data set.
/// A manifest names files beside itself only, whatever it says.
fn remove_earlier(directory: &Path, manifest: &Path) {
    let Ok(text) = fs::read_to_string(manifest) else { return };
    for name in text.split('"').filter(|name| name.ends_with(".csv") && !name.contains('/')) {
        let _ = fs::remove_file(directory.join(name));
    }
}

/// The manifest, as JSON.
fn describe(request: &Request, files: &[Written]) -> String {
    let (name, flavour) = request.generator.name();
    let flavour = flavour.map_or("null".to_owned(), |flavour| format!("\"{flavour}\""));
    let list: Vec<String> = files
        .iter()
        .map(|file| {
            let Written { name, rows, bytes, crc32c } = file;
            format!("    {{\"path\": \"{name}\", \"rows\": {rows}, \"bytes\": {bytes}, \"crc32c\": \"{crc32c:08x}\"}}")
        })
        .collect();
    format!(
        "{{\n  \"name\": \"{name}\",\n  \"flavour\": {flavour},\n  \"rows\": {},\n  \"shards\": {},\n  \"seed\": {},\n  \"files\": [\n{}\n  ]\n}}\n",
        request.rows,
        request.shards,
        request.seed,
        list.join(",\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn text(generator: Generator, rows: u64, shard: u64, shards: u64) -> String {
        let share = Share { generator, table: 0, seed: 1, rows, shard, shards };
        let mut out = Buffer::default();
        lines(&share, 0, rows, &mut out);
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_seed_gives_the_same_bytes_for_ever() {
        let all = Flavour::ALL.map(|(_, flavour)| Generator::MarketData(flavour));
        let generators = [Generator::Orders, Generator::Measurements].into_iter().chain(all);
        let found: Vec<u32> = generators.map(|of| crc32c::crc32c(text(of, 10_000, 1, 2).as_bytes())).collect();
        assert_eq!(found, CHECKSUMS, "{found:#010x?}");
    }

    #[test]
    fn every_millisecond_is_one_row_and_one_row_in_a_hundred_is_late_by_less_than_two_seconds() {
        for (shards, flavour) in [(1, Flavour::Seed), (2, Flavour::Seed), (3, Flavour::Sparse)] {
            let mut times = HashSet::new();
            for shard in 0..shards {
                let (mut highest, mut late) = (0, 0);
                for line in text(Generator::MarketData(flavour), 20_000, shard, shards).lines() {
                    let time: i64 = line.split(',').next().unwrap().parse().unwrap();
                    assert_eq!(time as u64 % shards, shard);
                    assert!(times.insert(time), "{time} twice");
                    assert!(time > highest - 2_000);
                    late += i32::from(time < highest);
                    highest = highest.max(time);
                }
                let expected = if flavour == Flavour::Sparse { 0..1 } else { 140..260 };
                assert!(expected.contains(&late), "{late} late rows");
            }
        }
    }

    #[test]
    fn there_are_413_stations_and_amounts_stay_in_their_range() {
        let lines = text(Generator::Measurements, 50_000, 0, 1);
        let stations: HashSet<&str> = lines.lines().map(|line| line.split(';').next().unwrap()).collect();
        assert_eq!(stations.len(), 413);
        for line in text(Generator::Orders, 50_000, 0, 1).lines() {
            let amount: f64 = line.split(',').next_back().unwrap().parse().unwrap();
            assert!((0.0..=400.0).contains(&amount));
        }
    }

    #[test]
    fn files_of_an_earlier_run_with_more_shards_go() {
        let directory = tempfile::tempdir().unwrap();
        let request = |shards| Request {
            generator: Generator::Orders,
            rows: 10,
            shards,
            seed: 1,
            directory: directory.path().to_owned(),
        };
        assert_eq!(write_files(&request(3)).unwrap().iter().map(|file| file.rows).collect::<Vec<_>>(), [4, 3, 3]);
        let files = write_files(&request(2)).unwrap();
        assert!(!directory.path().join("shard2.csv").exists());
        let bytes = fs::read(directory.path().join("shard1.csv")).unwrap();
        assert_eq!((bytes.len() as u64, crc32c::crc32c(&bytes)), (files[1].bytes, files[1].crc32c));
    }

    const CHECKSUMS: [u32; 6] = [0x59ac_017e, 0x3aee_87d9, 0x6e76_b3f7, 0x7870_8494, 0x935a_a7c5, 0x359b_0178];
}
