//! Lanes: what crosses from shard to shard, and the batches it crosses in.
//!
//! Every exchange has a lane from each shard to each shard (to itself as well): a ring for
//! [`Message`]s and a reverse ring on which the emptied batches come home. A shard's [`Outbox`]
//! deals rows to batches by owner and sends full ones; its [`Inbox`] takes what others sent.
//!
//! Invariants. Messages of a lane arrive in order, and a partial batch is sent before any watermark
//! or end that follows its rows. Sending never blocks: what does not fit in a ring waits in the
//! outbox, and [`Outbox::ready`] says when the operator that feeds it should stop. A batch is reset
//! only by the shard that made it. The reverse ring has room for every batch its home may lend, so
//! giving back cannot fail. No lane is shared by two exchanges.

mod deal;
mod inbox;
mod merge;
mod outbox;
mod saved;

use std::sync::Arc;

use corelane_engine::batch::{BATCH_ROWS, Batch};
use corelane_engine::operator::Time;
use corelane_engine::owners::Owners;
use corelane_engine::types::Physical;

use crate::checkpoint::Call;
use crate::doorbell::Doorbell;
use crate::ring::ring;

use deal::Deal;
use inbox::WayIn;
pub use inbox::{Arrival, Inbox};
pub use outbox::Outbox;
use outbox::{Size, WayOut};

/// The most shards of one process.
pub const MAX_SHARDS: usize = 256;

/// What a lane carries, in order.
pub enum Message {
    /// Rows.
    Batch(Box<Batch>),
    /// Every later row of this sender has a greater event time.
    Watermark(Time),
    /// No later row of this sender has a lesser ordinal (`--ordered`).
    Progress(u64),
    /// A turn of this sender's rows has ended; sent only where operators answer by turns.
    Turn,
    /// What came before belongs to this epoch, what follows does not.
    Barrier(Call),
    /// This sender has no more rows.
    Finished,
}

/// Messages that fit in a lane's ring.
const RING_MESSAGES: usize = 64;
/// Batches one outbox lends per destination before it says that it has no credit: one that is being
/// filled and two on their way.
const BATCHES_PER_DESTINATION: usize = 3;
/// Bytes of rows in all the batches of an outbox: no more than stay in a core's own cache, next to
/// what else it needs. With more destinations each gets smaller batches.
const POOL_BYTES: usize = 512 << 10;
/// Rows that a batch takes at least before it leaves: below, messages cost more than memory.
const FULL_ROWS_MIN: usize = 128;

/// How far ahead of the last sender, in event time, a receiver takes rows of another. A sender that
/// is further ahead finds its ring full and waits; the last one is always heard, so it never does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Skew {
    /// What is behind holds rows until every sender has passed them.
    pub held: bool,
    /// The most event time (`--max-skew`).
    pub most: Option<Time>,
}

/// What an outbox has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages pushed into rings.
    pub messages: u64,
    /// Those that were batches, which come home through another ring.
    pub batches: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of their columns.
    pub bytes: u64,
}

/// Rows of this layout with which a batch leaves.
fn full_rows(layout: &[Physical], shards: usize) -> usize {
    let row_bytes: usize = layout.iter().copied().map(Physical::bytes).sum();
    let rows = POOL_BYTES / (row_bytes.max(1) * BATCHES_PER_DESTINATION * shards);
    rows.next_multiple_of(64).clamp(FULL_ROWS_MIN, BATCH_ROWS)
}

/// The lanes of one exchange on one shard.
pub struct Lanes {
    /// Towards every shard.
    pub outbox: Outbox,
    /// From every shard.
    pub inbox: Inbox,
}

/// Lays the lanes of one exchange between all shards; element `s` is for shard `s`.
pub fn lay(layout: &[Physical], owners: &Owners, bells: &Arc<[Doorbell]>, ordered: bool, skew: Skew) -> Vec<Lanes> {
    let shards = bells.len();
    let full = full_rows(layout, shards);
    let credit = BATCHES_PER_DESTINATION * shards + BATCH_ROWS.div_ceil(full);
    let lent = credit + 2 * shards + RING_MESSAGES;
    let mut ways_out: Vec<Vec<WayOut>> = (0..shards).map(|_| Vec::with_capacity(shards)).collect();
    let mut ways_in: Vec<Vec<WayIn>> = (0..shards).map(|_| Vec::with_capacity(shards)).collect();
    for out in &mut ways_out {
        for into in &mut ways_in {
            let (sender, receiver) = ring(RING_MESSAGES);
            let (give_back, home) = ring(lent);
            out.push(WayOut::new(sender, home));
            into.push(WayIn::new(receiver, give_back));
        }
    }
    let boxes = ways_out.into_iter().zip(ways_in).enumerate();
    let lanes = boxes.map(|(shard, (ways_out, ways_in))| Lanes {
        outbox: Outbox::new(shard, ways_out, Deal::new(owners, shards), bells, layout, Size { full, credit }, ordered),
        inbox: Inbox::new(ways_in, bells, layout, skew, ordered),
    });
    lanes.collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use corelane_engine::batch::{Chunk, Data, Vector};

    use super::*;

    #[test]
    fn batches_are_the_smaller_the_more_destinations_there_are() {
        let layout = [Physical::I64, Physical::Text, Physical::I128];
        let full: Vec<usize> = [1, 2, 4, 8, 16, 64].map(|shards| full_rows(&layout, shards)).to_vec();
        assert_eq!(full, [1024, 1024, 1024, 576, 320, 128]);
        assert_eq!(full_rows(&[], 1), BATCH_ROWS);
    }

    #[test]
    fn credit_is_always_enough_for_one_more_chunk_once_all_is_home() {
        for shards in [1, 3, 8, 40] {
            let bells: Arc<[Doorbell]> = (0..shards).map(|_| Doorbell::new().expect("an eventfd")).collect();
            let mut lanes = lay(&[Physical::Text; 4], &Owners::default(), &bells, false, Skew::default());
            let times = [corelane_engine::batch::Text::EMPTY; BATCH_ROWS];
            let columns = [Vector { data: Data::Text(&times), nulls: None }; 4];
            let chunk =
                Chunk { rows: BATCH_ROWS, columns: &columns, positions: None, ordinals: None, floors: None, stamp: 0 };
            let hashes: Vec<u64> = (0..BATCH_ROWS as u64).map(|row| row << 54).collect();
            for _ in 0..20 {
                assert!(lanes[0].outbox.ready(), "{shards} shards");
                while lanes[0].outbox.ready() {
                    lanes[0].outbox.scatter(&chunk, &hashes);
                }
                for lanes in &mut lanes {
                    while let Some(Arrival::Batch { from, batch }) = lanes.inbox.pop() {
                        lanes.inbox.give_back(from, batch);
                    }
                }
            }
        }
    }
}
