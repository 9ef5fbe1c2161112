//! Totals per key: whole, per closed minute, or after every row.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;

use hashbrown::HashMap;
use timely::communication::Pull;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::LogPuller;
use timely::dataflow::operators::generic::InputHandleCore;
use timely::progress::frontier::MutableAntichain;

use crate::WINDOW_MS;
use crate::read::{Name, Trade};
use crate::write::Writer;

/// What a name is multiplied with to hash it.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// What comes to the operator: rows, and how far time has come.
type Rows = InputHandleCore<u64, Vec<Trade>, LogPuller<Box<dyn Pull<Message<u64, Vec<Trade>>>>>>;
type Frontier = MutableAntichain<u64>;

type Groups = HashMap<(Name, Name), Totals, Folding>;

/// The hash of [`fold`] as the map's: the key is mixed once, not byte by byte.
#[derive(Clone, Copy, Default)]
struct Folding(u64);

impl BuildHasher for Folding {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding(0)
    }
}

impl Hasher for Folding {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are made of names alone");
    }

    #[inline(always)]
    fn write_u128(&mut self, name: Name) {
        self.0 = (self.0 ^ fold(name)).wrapping_mul(SEED);
    }

    #[inline(always)]
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

#[inline(always)]
fn fold(name: Name) -> u64 {
    (name as u64) ^ ((name >> 64) as u64).rotate_left(29)
}

/// What is known of a group.
#[derive(Clone, Copy)]
pub struct Totals {
    pub trades: i64,
    pub price_cents: i64,
    pub volume: i64,
    pub turnover_cents: i64,
    pub least_cents: i32,
    pub greatest_cents: i32,
}

impl Totals {
    const NONE: Totals = Totals {
        trades: 0,
        price_cents: 0,
        volume: 0,
        turnover_cents: 0,
        least_cents: i32::MAX,
        greatest_cents: i32::MIN,
    };

    #[inline(always)]
    fn add(&mut self, trade: &Trade) {
        self.trades += 1;
        self.price_cents += i64::from(trade.price_cents);
        self.volume += i64::from(trade.quantity);
        self.turnover_cents += i64::from(trade.price_cents) * i64::from(trade.quantity);
        self.least_cents = self.least_cents.min(trade.price_cents);
        self.greatest_cents = self.greatest_cents.max(trade.price_cents);
    }
}

/// Which worker owns a row: other bits of its key's hash than the map uses.
#[inline(always)]
pub fn place(trade: &Trade) -> u64 {
    let mut hash = Folding(0);
    hash.write_u128(trade.trader);
    hash.write_u128(trade.symbol);
    hash.finish() >> 20
}

fn group<'a>(groups: &'a mut Groups, trade: &Trade) -> &'a mut Totals {
    groups.entry((trade.trader, trade.symbol)).or_insert(Totals::NONE)
}

/// S2: one line per key, at the end.
pub fn whole(to: &Path) -> impl FnMut((&mut Rows, &Frontier)) + 'static {
    let mut writer = Some(Writer::create(to, "trader_id,symbol,trades,avg_price,volume,turnover,min_price,max_price"));
    let mut groups = Groups::default();
    move |(input, frontier)| {
        input.for_each(|_, rows| rows.drain(..).for_each(|trade| group(&mut groups, &trade).add(&trade)));
        if frontier.is_empty()
            && let Some(mut writer) = writer.take()
        {
            for (&(trader, symbol), totals) in &groups {
                writer.names(trader, symbol);
                writer.totals(totals);
                writer.range(totals);
                writer.end();
            }
            writer.finish();
        }
    }
}

const WINDOW_HEADER: &str = "trader_id,symbol,window_start,window_end,trades,avg_price,volume,turnover";

/// S3a: one line per key and minute, when the minute is over.
pub fn windows(to: &Path) -> impl FnMut((&mut Rows, &Frontier)) + 'static {
    let mut writer = Some(Writer::create(to, WINDOW_HEADER));
    let mut open: BTreeMap<u64, Groups> = BTreeMap::new();
    move |(input, frontier)| {
        input.for_each(|_, rows| {
            let mut rows = rows.drain(..).peekable();
            while let Some(first) = rows.peek() {
                let minute = first.time_ms / WINDOW_MS;
                let groups = open.entry(minute).or_default();
                while let Some(trade) = rows.next_if(|trade| trade.time_ms / WINDOW_MS == minute) {
                    group(groups, &trade).add(&trade);
                }
            }
        });
        while let Some(oldest) = open.first_entry().filter(|oldest| !frontier.less_equal(oldest.key())) {
            let (minute, groups) = oldest.remove_entry();
            let writer = writer.as_mut().expect("open while there are windows");
            for (&(trader, symbol), totals) in &groups {
                writer.names(trader, symbol);
                writer.window(minute);
                writer.totals(totals);
                writer.end();
            }
        }
        if frontier.is_empty()
            && let Some(writer) = writer.take()
        {
            writer.finish();
        }
    }
}

/// S3b: a line per row, the totals of its key and minute so far.
pub fn changes(to: &Path) -> impl FnMut((&mut Rows, &Frontier)) + 'static {
    let mut writer = Some(Writer::create(to, WINDOW_HEADER));
    let mut open: BTreeMap<u64, Groups> = BTreeMap::new();
    move |(input, frontier)| {
        input.for_each(|_, rows| {
            let writer = writer.as_mut().expect("open while there are rows");
            let mut rows = rows.drain(..).peekable();
            while let Some(first) = rows.peek() {
                let minute = first.time_ms / WINDOW_MS;
                let groups = open.entry(minute).or_default();
                while let Some(trade) = rows.next_if(|trade| trade.time_ms / WINDOW_MS == minute) {
                    let totals = group(groups, &trade);
                    totals.add(&trade);
                    writer.names(trade.trader, trade.symbol);
                    writer.window(minute);
                    writer.totals(totals);
                    writer.end();
                }
            }
        });
        while open
            .first_entry()
            .filter(|oldest| !frontier.less_equal(oldest.key()))
            .map(|oldest| oldest.remove())
            .is_some()
        {}
        if frontier.is_empty()
            && let Some(writer) = writer.take()
        {
            writer.finish();
        }
    }
}
