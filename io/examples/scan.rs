//! How fast rows are read from memory: `scan market|stations [ROWS] [REPEATS]`.
//!
//! Prints nanoseconds a row, in all and by stage, for the best repeat.

use std::time::Instant;

use corelane_engine::plan::{Needs, ReadOrder, Scan, ScanColumn};
use corelane_engine::scan::{Scanner, SplitTime};
use corelane_engine::stage::{Ledger, Stage};
use corelane_engine::types::DataType;
use corelane_io::fs::MemoryDisk;
use corelane_io::options::ReadOptions;
use corelane_io::source::Source;

fn tick() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let stations = arguments.get(1).is_some_and(|name| name == "stations");
    let rows: u64 = arguments.get(2).map_or(Ok(2_000_000), |rows| rows.parse())?;
    let repeats: u32 = arguments.get(3).map_or(Ok(7), |repeats| repeats.parse())?;
    let mut text = String::from(if stations { "" } else { "trade_time,trader_id,symbol,price,quantity\n" });
    let mut state = 1u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for row in 0..rows {
        text += &if stations {
            let sign = if random(5) == 0 { "-" } else { "" };
            let name = &"abcdefghijklmnopqrstuvwxyz"[..3 + random(10) as usize];
            format!("{name};{sign}{}.{}\n", random(40), random(10))
        } else {
            let time = 1_700_000_000_000 + row;
            let price = 10_000 + random(6_000);
            let quantity = 100 + random(1_000);
            format!("{time},TRADER{},SYM{},{}.{:02},{quantity}\n", random(20), random(10), price / 100, price % 100)
        };
    }
    let decimal = |scale| DataType::Decimal { precision: 18, scale };
    let columns = if stations {
        vec![("station", 0, DataType::Text), ("temp", 1, decimal(1))]
    } else {
        let text = DataType::Text;
        vec![("trader_id", 1, text), ("symbol", 2, text), ("price", 3, decimal(2)), ("quantity", 4, DataType::Int)]
    };
    let columns = columns.into_iter().map(|(name, index, data_type)| ScanColumn {
        name: name.to_owned(),
        index,
        data_type,
        metadata: None,
    });
    let scanner = Scanner::new(Scan {
        table: "t".to_owned(),
        columns: columns.collect(),
        eager: 0,
        event_time: None,
        late: None,
        clock: None,
        filter: None,
        read_order: ReadOrder::Position,
        turn: 0,
        needs: Needs::default(),
    });
    let bytes = text.len() as u64;
    let disk = MemoryDisk::new().with("t", text);
    let source = Source::open(&disk, &["t".to_owned()], &ReadOptions::default(), &[])?;
    let mut best: Option<(u64, [u64; 3])> = None;
    for _ in 0..repeats {
        let ledger = Ledger::new(tick);
        let (begin, mut delivered) = (tick(), 0);
        for split in 0..source.splits.len() {
            source.read_all(split, &scanner, &mut SplitTime::default(), &ledger, |scanned, _| {
                delivered += scanned.counts.delivered;
                std::hint::black_box(scanned.chunk.columns);
                Ok(())
            })?;
        }
        let all = tick() - begin;
        assert_eq!(delivered, rows);
        let stages = [Stage::Read, Stage::Index, Stage::Convert].map(|stage| ledger.spent(stage));
        if best.is_none_or(|(least, _)| all < least) {
            best = Some((all, stages));
        }
    }
    let (all, [read, index, convert]) = best.expect("at least one repeat");
    let ns = |time: u64| time as f64 / rows as f64;
    println!(
        "{:.2} ns/row ({:.1} bytes/row): read {:.2}, index {:.2}, convert {:.2}",
        ns(all),
        bytes as f64 / rows as f64,
        ns(read),
        ns(index),
        ns(convert)
    );
    Ok(())
}
