//! What the fuzzer feeds: each function takes any bytes and panics only on a bug.
//!
//! Run one with `cargo +nightly fuzz run csv_scan` in this folder. The same functions run over the kept
//! corpus and seeded changes of it in `io/tests/fuzz.rs`, with any compiler.

use std::sync::Arc;

use corelane_engine::batch::{Chunk, Data};
use corelane_engine::operator::Context;
use corelane_engine::plan::{Needs, ReadOrder, Scan, ScanColumn};
use corelane_engine::scan::{Scanner, SplitTime};
use corelane_engine::stage::Ledger;
use corelane_engine::state::{Scope, Section};
use corelane_engine::types::DataType;
use corelane_engine::zone::Zone;
use corelane_io::checkpoint::Store;
use corelane_io::csv::Kernel;
use corelane_io::durable::{Durable, SimulatedDisk};
use corelane_io::fs::MemoryDisk;
use corelane_io::options::ReadOptions;
use corelane_io::reader::Scanned;
use corelane_io::source::Source;

/// Any bytes as csv: every kernel, block and piece gives the same rows and the same bad rows.
///
/// The first two bytes pick types and options.
pub fn csv_scan(bytes: &[u8]) {
    let [types, options, text @ ..] = bytes else { return };
    let all = [
        DataType::Text,
        DataType::Int,
        DataType::BigInt,
        DataType::Double,
        DataType::Decimal { precision: 9, scale: 2 },
        DataType::Decimal { precision: 30, scale: 5 },
        DataType::Date,
        DataType::Timestamp { precision: 3, zone: None },
        DataType::Timestamp { precision: 6, zone: Some(Zone::UTC) },
        DataType::Boolean,
    ];
    let column = |index: usize| {
        let data_type = all[(usize::from(*types) * (index + 1) + index) % all.len()];
        ScanColumn { name: ["a", "b", "c"][index].to_owned(), index, data_type, metadata: None }
    };
    let scanner = Scanner::new(Scan {
        table: "t".to_owned(),
        columns: (0..1 + usize::from(types % 3)).map(column).collect(),
        eager: usize::from(options >> 7),
        event_time: None,
        late: None,
        clock: None,
        filter: None,
        read_order: ReadOrder::Position,
        turn: 0,
        needs: Needs { positions: true, ordinals: false },
    });
    let pairs = [
        ("delimiter", if options & 1 == 0 { "," } else { ";" }),
        ("header", if options & 2 == 0 { "auto" } else { "false" }),
        ("quote", if options & 4 == 0 { "\"" } else { "none" }),
        ("null.literal", if options & 16 == 0 { "" } else { "\\N" }),
        ("missing", "null"),
        ("escape", if options & 32 == 0 { "none" } else { "\\" }),
    ];
    let options = ReadOptions::parse(pairs, &[]).expect("the options are right");
    let expected = read(text, &options, &scanner, 4096, 1 << 30, Kernel::named("scalar").expect("it is always there"));
    for kernel in Kernel::supported() {
        for block in [1, 7, 64, 4096] {
            assert_eq!(
                read(text, &options, &scanner, block, 1 << 30, kernel),
                expected,
                "{kernel:?}, blocks of {block}"
            );
        }
    }
    // Pieces give the same rows wherever the file can be cut; an error may name another place.
    let piece = 1 + text.len() as u64 / 3;
    let cut = read(text, &options, &scanner, 64, piece, Kernel::detect().expect("there is one"));
    if let (Ok(cut), Ok(expected)) = (cut, expected) {
        assert_eq!(cut, expected, "pieces of {piece}");
    }
}

/// Rows and bad rows in order, or the error.
type Read = Result<(Vec<String>, Vec<String>), String>;

fn read(text: &[u8], options: &ReadOptions, scanner: &Scanner, block: usize, piece: u64, kernel: Kernel) -> Read {
    let said = |error: corelane_engine::Error| error.to_string();
    let disk = MemoryDisk::new().with("t", text);
    let source = Source::open_with(&disk, &["t".to_owned()], options, &["a", "b", "c"], piece, kernel).map_err(said)?;
    let source = source.with_block(block);
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for split in 0..source.splits.len() {
        let start = source.splits[split].start;
        let take = |scanned: &Scanned<'_>, _: &Context<'_>| {
            rows.extend((0..scanned.chunk.rows).map(|row| show(&scanned.chunk, row, start)));
            bad.extend(scanned.bad.iter().map(|bad| format!("{} {:?} {}", bad.offset, bad.line(), bad.reason)));
            Ok(())
        };
        source.read_all(split, scanner, &mut SplitTime::default(), &Ledger::idle(), take).map_err(said)?;
    }
    Ok((rows, bad))
}

fn show(chunk: &Chunk<'_>, row: usize, start: u64) -> String {
    let mut text =
        chunk.positions.map_or(String::new(), |positions| ((positions[row] & 0xffff_ffff) + start).to_string());
    for column in chunk.columns {
        text += &match column.data {
            _ if column.is_null(row) => "|NULL".to_owned(),
            Data::I64(values) => format!("|{}", values[row]),
            Data::I128(values) => format!("|{}", values[row]),
            Data::F64(values) => format!("|{:x}", values[row].to_bits()),
            Data::Text(values) => format!("|{}", values[row].as_bytes().escape_ascii()),
        };
    }
    text
}

const PATH: &str = "ck";

/// Sections as `bytes` say: node, key group, length, content.
fn sections(mut bytes: &[u8]) -> Vec<Section> {
    let mut sections = Vec::new();
    while let [node, group, length, rest @ ..] = bytes {
        let (content, behind) = rest.split_at(usize::from(*length).min(rest.len()));
        // One long section now and then, so that there is more than one block.
        let content = if *group == 255 { content.repeat(2000) } else { content.to_vec() };
        let number = u16::from(*group) << 4 | u16::from(*node & 15);
        let scope = [Scope::Whole, Scope::KeyGroup(number), Scope::Part(u32::from(number))][usize::from(group % 3)];
        sections.push(Section { node: usize::from(*node), scope, bytes: content });
        bytes = behind;
    }
    sections
}

/// What a store is given it gives back, of every shard and epoch.
pub fn ckpt_roundtrip(bytes: &[u8]) {
    let [shards, rest @ ..] = bytes else { return };
    let shards = 1 + usize::from(shards % 3);
    let disk: Arc<dyn Durable> = Arc::new(SimulatedDisk::new());
    let store = Store::create(Arc::clone(&disk), PATH, rest).expect("the disk is new");
    let mut states = Vec::new();
    for epoch in 1..=2u64 {
        let part = |shard: usize| sections(&rest[(rest.len() * shard / shards)..]);
        states = (0..shards).map(part).collect::<Vec<_>>();
        let written = states.iter().zip(0u32..).map(|(state, shard)| store.write(epoch, shard, state));
        let written: Vec<_> = written.collect::<Result<_, _>>().expect("it can be written");
        store.commit(epoch, &written, rest).expect("it can be committed");
        store.settle(epoch).expect("it can be settled");
    }
    drop(store);
    let (store, job) = Store::open(disk, PATH).expect("it is there");
    let newest = store.newest().expect("it is whole").expect("there is one");
    assert_eq!((job, newest.number, newest.job, newest.shards), (rest.to_vec(), 2, rest.to_vec(), states));
}

/// A store in which a file was changed is refused, or gives back what was written; a file of any bytes
/// at all never panics.
///
/// The first byte picks the file, the second how it changes.
pub fn ckpt_read(bytes: &[u8]) {
    let [file, how, rest @ ..] = bytes else { return };
    let disk: Arc<dyn Durable> = Arc::new(SimulatedDisk::new());
    let state = sections(&[&[1, 1, 5][..], b"state", &[2, 255, 40], &[7; 40], rest].concat());
    let store = Store::create(Arc::clone(&disk), PATH, b"a job").expect("the disk is new");
    let written = store.write(1, 0, &state).expect("it can be written");
    store.commit(1, &[written], b"at the end").expect("it can be committed");
    drop(store);
    let names = ["ck/JOB", "ck/1/MANIFEST", "ck/1/shard-0.ck"];
    let name = names[usize::from(*file) % names.len()];
    let before = disk.read(name).expect("it was written");
    let mut after = before.clone();
    match how % 4 {
        0 => after = rest.to_vec(),
        1 => after.truncate(rest.iter().map(|&byte| usize::from(byte)).sum::<usize>() % before.len().max(1)),
        2 => after.extend_from_slice(rest),
        _ => {
            for change in rest.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % after.len();
                after[at] ^= change[2];
            }
        }
    }
    disk.remove(name).expect("it is there");
    disk.write(name, &after).expect("there is none");
    let read = Store::open(disk, PATH).and_then(|(store, job)| Ok((job, store.newest()?)));
    if let Ok((job, Some(epoch))) = read {
        assert_eq!(
            (job.as_slice(), epoch.shards.as_slice(), epoch.job.as_slice()),
            (&b"a job"[..], &[state][..], &b"at the end"[..])
        );
        assert!(after == before || after.len() >= before.len(), "damage was believed");
    }
}
