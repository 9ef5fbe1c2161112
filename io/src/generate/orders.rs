//! `orders`: an order a row, uniform amounts, for filters and projections.

use super::Rows;
use super::random::{Stream, below};
use crate::format::Buffer;
use crate::format::value::{self, Dates};

/// Days from 1970-01-01 to 2026-01-01, the first day of an order.
const FIRST_DAY: i64 = 20_454;

pub(super) struct Orders {
    shard: u64,
    shards: u64,
    values: Stream,
    dates: Vec<[u8; 10]>,
}

impl Orders {
    pub(super) fn new(seed: u64, shard: u64, shards: u64) -> Self {
        let date = |day| {
            let mut out = Buffer::default();
            Dates::default().date(&mut out, FIRST_DAY + day);
            out.bytes().try_into().expect("a date has ten characters")
        };
        Orders { shard, shards, values: Stream::new(seed, shard), dates: (0..365).map(date).collect() }
    }
}

impl Rows for Orders {
    fn header(&self) -> Option<&'static str> {
        Some("order_id,customer_id,order_date,total_amount\n")
    }

    fn row(&mut self, row: u64, out: &mut Buffer) {
        let (who, how_much) = (self.values.at(2 * row), self.values.at(2 * row + 1));
        value::integer(out, (row * self.shards + self.shard + 1) as i64);
        out.push(b',');
        value::integer(out, i64::from(below(who as u32, 1_000)) + 1);
        out.push(b',');
        out.extend(&self.dates[below((who >> 32) as u32, 365) as usize]);
        out.push(b',');
        value::decimal(out, i64::from(below(how_much as u32, 40_001)), 2);
        out.push(b'\n');
    }
}
