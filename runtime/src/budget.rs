//! The memory a run may hold, and who holds it when that is too much.
//!
//! `--memory` is for the whole run. Each shard adds up what its operators, readers, batches and sinks
//! hold, and shows the sum to the others; a run is over its budget when all sums together are, so a
//! key that makes one shard large does not end a run that has room elsewhere. A shard adds up now and
//! then: at most one part in twenty of its time goes into it, and never more often than every millisecond.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use corelane_engine::{Code, Error};

use crate::sys;

/// Shortest time between two looks, in nanoseconds.
const PAUSE_NS: f64 = 1_000_000.0;
/// A look costs at most one part in this many of the time.
const SHARE: u64 = 20;
/// Holders named in the error.
const NAMED: usize = 3;

/// What all shards of a run may hold.
#[derive(Debug)]
pub struct Budget {
    most: u64,
    /// Bytes by shard, as each last said.
    held: Vec<AtomicU64>,
}

impl Budget {
    /// A budget of `most` bytes for `shards` shards.
    pub fn new(most: u64, shards: usize) -> Arc<Self> {
        Arc::new(Budget { most, held: (0..shards).map(|_| AtomicU64::new(0)).collect() })
    }

    /// A budget that is never used up.
    pub fn unlimited(shards: usize) -> Arc<Self> {
        Budget::new(u64::MAX, shards)
    }

    fn held(&self) -> u64 {
        self.held.iter().map(|held| held.load(Ordering::Relaxed)).sum()
    }
}

/// One shard's view of the budget.
#[derive(Debug)]
pub struct Account {
    budget: Arc<Budget>,
    shard: usize,
    /// When to look again, in ticks.
    next: u64,
}

impl Account {
    /// The account of `shard`.
    pub fn new(budget: Arc<Budget>, shard: usize) -> Self {
        Account { budget, shard, next: 0 }
    }

    /// Whether it is time to look.
    pub fn is_due(&self, now: u64) -> bool {
        now >= self.next
    }

    /// Takes what the shard holds, by holder. `began` and `now` are the ticks at which adding up began
    /// and ended.
    pub fn settle(&mut self, holders: &[(String, u64)], began: u64, now: u64) -> Result<(), Error> {
        let pause = (PAUSE_NS / sys::ns_per_tick()) as u64;
        self.next = now.saturating_add(pause.max(now.saturating_sub(began).saturating_mul(SHARE)));
        let mine: u64 = holders.iter().map(|holder| holder.1).sum();
        self.budget.held[self.shard].store(mine, Ordering::Relaxed);
        let all = self.budget.held();
        if all <= self.budget.most { Ok(()) } else { Err(self.exceeded(holders, mine, all)) }
    }

    fn exceeded(&self, holders: &[(String, u64)], mine: u64, all: u64) -> Error {
        let message = format!("the run holds {} of memory, more than --memory {}", size(all), size(self.budget.most));
        let mut largest: Vec<_> = holders.iter().filter(|holder| holder.1 > 0).collect();
        largest.sort_by_key(|holder| std::cmp::Reverse(holder.1));
        let named = largest.iter().take(NAMED).map(|(name, bytes)| format!("{name} {}", size(*bytes)));
        let named = named.collect::<Vec<_>>().join(", ");
        Error::new(Code::Limit, message)
            .note(format!("shard {} holds {}: {named}", self.shard, size(mine)))
            .help("allow more with --memory; or keep less: shorter windows, fewer groups, a LIMIT (explain shows what each operator keeps)")
    }
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{:.0} KB", bytes as f64 / 1e3),
        _ => format!("{:.0} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holders(sizes: [u64; 4]) -> Vec<(String, u64)> {
        ["scan 0", "aggregate 2", "sort 3", "batches"].iter().map(|name| (*name).to_owned()).zip(sizes).collect()
    }

    #[test]
    fn the_largest_holders_are_named_when_all_shards_hold_too_much() {
        let budget = Budget::new(100_000_000, 2);
        let mut accounts = [0, 1].map(|shard| Account::new(Arc::clone(&budget), shard));
        assert!(accounts[0].settle(&holders([0, 70_000_000, 0, 0]), 0, 0).is_ok(), "more than a half is no fault");
        assert!(accounts[1].settle(&holders([0, 30_000_000, 0, 0]), 0, 0).is_ok());
        let error = accounts[1].settle(&holders([1, 20_000_000, 2_000_000, 9_000_000]), 0, 0).unwrap_err();
        let report = error.report();
        assert_eq!(report.message, "the run holds 101 MB of memory, more than --memory 100 MB");
        assert_eq!(report.notes[0], "shard 1 holds 31 MB: aggregate 2 20 MB, batches 9000 KB, sort 3 2000 KB");
    }

    #[test]
    fn a_look_that_takes_long_is_rare() {
        let mut account = Account::new(Budget::unlimited(1), 0);
        assert!(account.is_due(0));
        account.settle(&[], 1_000_000, 3_000_000_000).unwrap();
        assert!(!account.is_due(3_000_000_000 + 19 * 2_999_000_000) && account.is_due(u64::MAX));
    }
}
