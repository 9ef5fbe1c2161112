//! `market_data`: trades of some traders in some symbols, one a millisecond, a few of them late.
//!
//! Shard `s` of `K` owns the milliseconds equal to `s` modulo `K`, each used once, so a symbol and a
//! time name a row. One row in a hundred is put off by less than two seconds and comes behind rows
//! with later times. Rows are put in order block by block, so that any block can be made alone.

use super::random::{Stream, Zipf, below};
use super::{Flavour, Rows};
use crate::format::Buffer;
use crate::format::value;

/// 2026-01-01 00:00:00 UTC, in milliseconds.
const START_MS: u64 = 1_767_225_600_000;
/// Rows that are put in order together: no row leaves its block.
const BLOCK_ROWS: u64 = 4096;
/// Late rows are behind by less than this.
const LATE_MS: u64 = 2_000;
/// One row in so many is late.
const LATE_ONE_IN: u32 = 100;

pub(super) struct Market {
    shard: u64,
    shards: u64,
    rows: u64,
    spacing_ms: u64,
    traders: Names,
    symbols: Names,
    values: Stream,
    lateness: Stream,
    order: Vec<(u64, u64)>,
    block: u64,
}

/// How many names there are, and how they are drawn.
struct Names {
    count: u32,
    zipf: Option<Zipf>,
}

impl Names {
    #[inline]
    fn draw(&self, bits: u32) -> u32 {
        match &self.zipf {
            Some(zipf) => zipf.rank((bits >> 16) as u16),
            None => below(bits, self.count),
        }
    }
}

impl Market {
    pub(super) fn new(flavour: Flavour, seed: u64, rows: u64, shard: u64, shards: u64) -> Self {
        let (traders, symbols) = match flavour {
            Flavour::Seed | Flavour::Sparse => (20, 10),
            Flavour::Mid => (1_000, 100),
            Flavour::High => (1_000_000, 1_000),
        };
        let names = |count| Names { count, zipf: (flavour == Flavour::Mid).then(|| Zipf::new(count)) };
        Market {
            shard,
            shards,
            rows,
            spacing_ms: if flavour == Flavour::Sparse { 1_000 } else { 1 },
            traders: names(traders),
            symbols: names(symbols),
            values: Stream::new(seed, 2 * shard),
            lateness: Stream::new(seed, 2 * shard + 1),
            order: Vec::new(),
            block: u64::MAX,
        }
    }

    /// The millisecond of slot `slot` of this shard: equal to the shard's number modulo the shards.
    fn time_ms(&self, slot: u64) -> u64 {
        let start = START_MS - START_MS % self.shards;
        let within = (slot * self.shards + self.shard) * self.spacing_ms;
        start + within - within % self.shards + self.shard
    }

    /// Puts block `block` in order: slots sorted by slot plus delay.
    fn arrange(&mut self, block: u64) {
        let first = block * BLOCK_ROWS;
        let end = (first + BLOCK_ROWS).min(self.rows);
        let most = (LATE_MS - 1) / (self.shards * self.spacing_ms);
        self.order.clear();
        for slot in first..end {
            let bits = self.lateness.at(slot);
            let late = below(bits as u32, LATE_ONE_IN) == 0 && most > 0 && slot + 1 < end;
            // A late row is put behind the row `delay` slots on; doubling leaves room for "behind".
            let delay = if late { 1 + (bits >> 32) % most.min(end - 1 - slot) } else { 0 };
            self.order.push(((slot + delay) * 2 + u64::from(late), slot));
        }
        self.order.sort_unstable();
        self.block = block;
    }
}

impl Rows for Market {
    fn header(&self) -> Option<&'static str> {
        Some("trade_time,trader_id,symbol,price,quantity\n")
    }

    fn row(&mut self, row: u64, out: &mut Buffer) {
        if row / BLOCK_ROWS != self.block {
            self.arrange(row / BLOCK_ROWS);
        }
        let (_, slot) = self.order[(row % BLOCK_ROWS) as usize];
        let (names, amounts) = (self.values.at(2 * slot), self.values.at(2 * slot + 1));
        value::integer(out, self.time_ms(slot) as i64);
        out.extend(b",TRADER");
        value::integer(out, i64::from(self.traders.draw(names as u32)));
        out.extend(b",SYM");
        value::integer(out, i64::from(self.symbols.draw((names >> 32) as u32)));
        out.push(b',');
        value::decimal(out, 10_000 + i64::from(below(amounts as u32, 6_001)), 2);
        out.push(b',');
        value::integer(out, 100 + i64::from(below((amounts >> 32) as u32, 1_000)));
        out.push(b'\n');
    }
}
