//! `nexmark`: people, auctions and bids of an auction house, as the crate `nexmark` makes them.
//!
//! Event `n` is a person, an auction or a bid by its place among 50: one person, then three
//! auctions, then 46 bids. Ten thousand events are a second of event time, in order. Shards take
//! turns at runs of 50, so the events of a data set do not depend on how many shards it has.
//!
//! The crate derives an event from its number alone and has no seed. Seed 0 is its own sequence;
//! another seed starts far behind in it, with numbers and times counted anew from there. The first
//! bids of such a stretch may then name auctions and people from before it.

use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use nexmark::event::{Auction, Bid, Event, Person};

use super::Rows;
use crate::format::Buffer;
use crate::format::value::{Dates, integer};

/// The tables, in the order of their events.
pub(super) const TABLES: [&str; 3] = ["person", "auction", "bid"];
/// Events of each table in a run.
const MIX: [u64; 3] = [1, 3, 46];
/// Events in a run.
const RUN: u64 = MIX[0] + MIX[1] + MIX[2];
/// 2026-01-01 00:00:00 UTC, in milliseconds: the first event.
const START_MS: u64 = 1_767_225_600_000;
/// Events in a second of event time.
const EVENTS_PER_SECOND: usize = 10_000;
/// Seeds that differ; others repeat them.
const SEEDS: u64 = 1 << 20;
/// Runs between the starts of two seeds. Hot people and auctions are every hundredth: a multiple of
/// 100 keeps them in place.
const RUNS_PER_SEED: u64 = 100 << 20;

pub(super) struct Nexmark {
    table: usize,
    shard: u64,
    shards: u64,
    /// Runs that lie before this seed's first event.
    skipped: u64,
    /// There but while it is moved to another place.
    events: Option<EventGenerator>,
    dates: Dates,
}

/// Rows of table `table` among the first `events` events that belong to `shard` of `shards`.
pub(super) fn rows(table: usize, events: u64, shard: u64, shards: u64) -> u64 {
    let (runs, rest) = (events / RUN, events % RUN);
    let whole = runs / shards + u64::from(shard < runs % shards);
    let before = MIX[..table].iter().sum::<u64>();
    let begun = if runs % shards == shard { rest.saturating_sub(before).min(MIX[table]) } else { 0 };
    whole * MIX[table] + begun
}

impl Nexmark {
    pub(super) fn new(table: usize, seed: u64, shard: u64, shards: u64) -> Self {
        let skipped = seed % SEEDS * RUNS_PER_SEED;
        let names = |list: &str| list.split(',').map(str::to_owned).collect();
        let events = EventGenerator::new(NexmarkConfig {
            base_time: START_MS,
            first_event_id: (skipped * RUN) as usize,
            first_rate: EVENTS_PER_SECOND,
            next_rate: EVENTS_PER_SECOND,
            // Written as the queries of the benchmark expect them.
            us_states: names("AZ,CA,ID,OR,WA,WY"),
            us_cities: names("Phoenix,Los Angeles,San Francisco,Boise,Portland,Bend,Redmond,Seattle,Kent,Cheyenne"),
            first_names: names("Peter,Paul,Luke,John,Saul,Vicky,Kate,Julie,Sarah,Deiter,Walter"),
            last_names: names("Shultz,Abrams,Spencer,White,Bartels,Walton,Smith,Jones,Noris"),
            ..NexmarkConfig::default()
        });
        Nexmark { table, shard, shards, skipped, events: Some(events), dates: Dates::default() }
    }

    /// Event `number` of the data set.
    fn event(&mut self, number: u64) -> Event {
        let events = self.events.take().expect("it is always put back").with_offset(number);
        self.events.insert(events).next().expect("the sequence has no end")
    }

    fn person_id(&self, id: usize) -> i64 {
        id as i64 - (self.skipped * MIX[0]) as i64
    }

    fn auction_id(&self, id: usize) -> i64 {
        id as i64 - (self.skipped * MIX[1]) as i64
    }

    fn person(&mut self, person: &Person, out: &mut Buffer) {
        integer(out, self.person_id(person.id));
        for text in [&person.name, &person.email_address, &person.credit_card, &person.city, &person.state] {
            texts(out, text);
        }
        self.time(out, person.date_time);
        texts(out, &person.extra);
    }

    fn auction(&mut self, auction: &Auction, out: &mut Buffer) {
        integer(out, self.auction_id(auction.id));
        texts(out, &auction.item_name);
        texts(out, &auction.description);
        number(out, auction.initial_bid as i64);
        number(out, auction.reserve as i64);
        self.time(out, auction.date_time);
        self.time(out, auction.expires);
        number(out, self.person_id(auction.seller));
        number(out, auction.category as i64);
        texts(out, &auction.extra);
    }

    fn bid(&mut self, bid: &Bid, out: &mut Buffer) {
        integer(out, self.auction_id(bid.auction));
        number(out, self.person_id(bid.bidder));
        number(out, bid.price as i64);
        texts(out, &bid.channel);
        texts(out, &bid.url);
        self.time(out, bid.date_time);
        texts(out, &bid.extra);
    }

    fn time(&mut self, out: &mut Buffer, millis: u64) {
        out.push(b',');
        self.dates.timestamp(out, millis as i64 * 1000, 3, None);
    }
}

fn texts(out: &mut Buffer, text: &str) {
    out.push(b',');
    out.extend(text.as_bytes());
}

fn number(out: &mut Buffer, value: i64) {
    out.push(b',');
    integer(out, value);
}

impl Rows for Nexmark {
    fn header(&self) -> Option<&'static str> {
        Some(match self.table {
            0 => "id,name,emailAddress,creditCard,city,state,dateTime,extra\n",
            1 => "id,itemName,description,initialBid,reserve,dateTime,expires,seller,category,extra\n",
            _ => "auction,bidder,price,channel,url,dateTime,extra\n",
        })
    }

    fn row(&mut self, row: u64, out: &mut Buffer) {
        let (run, within) = (row / MIX[self.table], row % MIX[self.table]);
        let before = MIX[..self.table].iter().sum::<u64>();
        match self.event((run * self.shards + self.shard) * RUN + before + within) {
            Event::Person(person) => self.person(&person, out),
            Event::Auction(auction) => self.auction(&auction, out),
            Event::Bid(bid) => self.bid(&bid, out),
        }
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn lines(table: usize, seed: u64, rows: u64, shard: u64, shards: u64) -> Vec<String> {
        let mut made = Nexmark::new(table, seed, shard, shards);
        let mut out = Buffer::default();
        (0..rows).for_each(|row| made.row(row, &mut out));
        std::str::from_utf8(out.bytes()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn any_number_of_shards_has_the_same_events() {
        for events in [0, 3, 50, 53, 1234, 5000] {
            for (table, _) in TABLES.iter().enumerate() {
                let all: BTreeSet<String> = lines(table, 0, rows(table, events, 0, 1), 0, 1).into_iter().collect();
                for shards in [2, 3, 7] {
                    let mut dealt = BTreeSet::new();
                    for shard in 0..shards {
                        let rows = rows(table, events, shard, shards);
                        dealt.extend(lines(table, 0, rows, shard, shards));
                    }
                    assert_eq!(dealt, all, "{events} events on {shards} shards");
                }
            }
            let counts = [0, 1, 2].map(|table| rows(table, events, 0, 1));
            assert_eq!(counts.iter().sum::<u64>(), events);
        }
    }

    #[test]
    fn rows_have_their_fields_and_names_of_the_queries() {
        for (table, fields) in [8, 10, 7].into_iter().enumerate() {
            let header = Nexmark::new(table, 0, 0, 1).header().unwrap().trim().split(',').count();
            assert_eq!(header, fields);
            for line in lines(table, 0, 500, 0, 1) {
                assert_eq!(line.split(',').count(), fields, "{line}");
            }
        }
        let states: BTreeSet<String> =
            lines(0, 0, 500, 0, 1).iter().map(|line| line.split(',').nth(5).unwrap().to_owned()).collect();
        assert_eq!(states.into_iter().collect::<Vec<_>>(), ["AZ", "CA", "ID", "OR", "WA", "WY"]);
        assert!(lines(2, 0, 1, 0, 1)[0].contains(",2026-01-01 00:00:00.000,"));
    }

    #[test]
    fn another_seed_has_other_events_with_the_same_numbers_and_times() {
        for table in 0..3 {
            let (one, other) = (lines(table, 0, 300, 0, 1), lines(table, 7, 300, 0, 1));
            assert_ne!(one, other);
            let place = [6, 5, 5][table];
            for (one, other) in one.iter().zip(&other) {
                let (one, other): (Vec<&str>, Vec<&str>) = (one.split(',').collect(), other.split(',').collect());
                assert_eq!(one[place], other[place]);
                // People and auctions are numbered by their place; a bid names one of either.
                let within: i64 = other[0].parse().unwrap();
                assert!(if table == 2 { (900..2000).contains(&within) } else { one[0] == other[0] }, "{other:?}");
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_bytes_for_ever() {
        let found = [0, 1, 2].map(|table| crc32c::crc32c(lines(table, 0, 2000, 1, 2).concat().as_bytes()));
        assert_eq!(found, [0x354f_99e9, 0x90ca_81ec, 0x5fd8_aa8d], "{found:#010x?}");
    }
}
