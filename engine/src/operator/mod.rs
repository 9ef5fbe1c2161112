//! What every operator is: rows in, rows out, time passing, the end.
//!
//! An operator is pushed chunks and watermarks and hands its own on through [`Next`]. It answers a
//! chunk with at most a few chunks; whatever may be large (the groups of a closed window) it keeps
//! and gives out chunk by chunk in [`Operator::drain`], so that a shard never holds more output
//! than it has room for. While an operator has something to drain, its stage is fed nothing.

mod columns;
pub(crate) mod evaluate;
mod exchange;
mod filter;
pub(crate) mod held;
mod limit;
mod owed;
mod project;
mod rank;
mod repeat;
mod sink;
mod sort;
mod turns;
mod union;
mod unnest;

use bumpalo::Bump;

pub(crate) use columns::{Column, Values};
pub(crate) use exchange::ExchangeOut;
pub(crate) use filter::Filter;
pub(crate) use limit::Limit;
pub(crate) use owed::Owed;
pub(crate) use project::Project;
pub(crate) use rank::Rank;
pub(crate) use repeat::Repeat;
pub(crate) use sink::Sink;
pub(crate) use sort::{Sort, compare};
pub(crate) use turns::Turns;
pub(crate) use union::{Order as UnionOrder, Union};
pub(crate) use unnest::Unnest;

use crate::agg::Taken;
use crate::batch::Chunk;
use crate::error::{Code, Error, Result};
use crate::plan::NodeId;
use crate::stage::Ledger;
use crate::state::{Moved, Saved, State, damaged};

/// A point in event time, in microseconds since the epoch.
pub type Time = i64;

/// The watermark before anything is known.
pub const TIME_MIN: Time = i64::MIN;

/// What an operator may use while it works on one chunk.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Memory for columns made on the way; emptied by the caller after the call.
    pub scratch: &'a Bump,
    /// Where the time is booked.
    pub ledger: &'a Ledger,
}

/// One node of the plan at work on one shard.
///
/// The caller's promises: `input` counts the node's inputs from 0; a watermark never falls; no row
/// at or before the watermark follows it except where the plan has no lateness; `finish` comes once
/// per input, after its last chunk; nothing is pushed while `drain` has said `true`.
pub trait Operator: Send {
    /// Takes rows.
    fn push(&mut self, input: usize, chunk: &Chunk<'_>, context: &Context<'_>, next: &mut Next<'_>) -> Result<()>;

    /// Time has passed: every later row of `input` has a greater event time. Operators that hold
    /// nothing back pass it on at once; those with something to drain pass it on when that is done.
    fn watermark(&mut self, input: usize, watermark: Time, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let _ = input;
        next.watermark(watermark, context)
    }

    /// A turn of `input` has ended: what came before is one consistent piece of the input, on which
    /// operators of changes answer. Passed on behind what is due; operators of several inputs pass on
    /// what all of them have ended (see [`Turns`]).
    fn turn(&mut self, input: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let _ = input;
        next.turn(context)
    }

    /// The input has ended. Passed on as [`Operator::watermark`] is.
    fn finish(&mut self, input: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let _ = input;
        next.finish(context)
    }

    /// Gives out at most one more chunk of what is due; `true` while there is more.
    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        let _ = (context, next);
        Ok(false)
    }

    /// Whether [`Operator::drain`] has anything to give out or to pass on.
    fn due(&self) -> bool {
        false
    }

    /// Bytes of state held.
    fn state_bytes(&self) -> usize {
        0
    }

    /// Writes what is held. Only while nothing is due.
    fn save(&self, state: &mut State) -> Result<()> {
        let _ = state;
        if self.state_bytes() == 0 {
            return Ok(());
        }
        Err(Error::new(Code::Unsupported, "the state of this operator cannot be saved"))
    }

    /// Begins to save: writes what [`Operator::save`] writes, or leaves some or all of it to
    /// [`Operator::save_part`], of about `part_bytes` bytes each. Only while nothing is due, and everything that
    /// was begun before is taken.
    fn begin_save(&mut self, state: &mut State, part_bytes: usize) -> Result<()> {
        let _ = part_bytes;
        self.save(state)
    }

    /// Takes the next part of what was held when saving began; rows may have come
    /// since. `None` when all is taken.
    fn save_part(&mut self) -> Option<Taken> {
        None
    }

    /// Takes over what another such operator wrote. Only on a new operator, which after an error is
    /// of no use.
    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        if saved.is_empty() { Ok(()) } else { Err(damaged("it belongs to an operator that holds nothing")) }
    }

    /// Takes over this shard's part of what such operators wrote on another number of shards. Only on a new
    /// operator, which after an error is of no use. What is of no key may be due then.
    fn adopt(&mut self, moved: &Moved<'_>) -> Result<()> {
        if moved.is_empty() {
            return Ok(());
        }
        let message = "--resume: operators that answer changes with changes do so in an order that the number of \
                       shards decides, which cannot change";
        Err(Error::new(Code::Unsupported, message).help("take as many --shards as before"))
    }
}

/// What leaves the engine on one shard: towards other shards, and towards sinks.
///
/// Called with everything of one exchange or sink in order. `Err` stops the shard. What is not said here is
/// right for who takes the rows of a plan without exchanges and nothing else.
pub trait Outlets {
    /// Rows for exchange `exchange`; `hashes` are the routing hashes of [`crate::hash`].
    fn exchange(&mut self, _exchange: usize, _: &Chunk<'_>, _hashes: &[u64], _: &Context<'_>) -> Result<()> {
        nobody_receives()
    }
    /// A watermark for every receiver of `exchange`.
    fn exchange_watermark(&mut self, _exchange: usize, _watermark: Time, _: &Context<'_>) -> Result<()> {
        nobody_receives()
    }
    /// The end of a turn for every receiver of `exchange`.
    fn exchange_turn(&mut self, _exchange: usize, _: &Context<'_>) -> Result<()> {
        nobody_receives()
    }
    /// The end of this shard's rows in `exchange`.
    fn exchange_finish(&mut self, _exchange: usize, _: &Context<'_>) -> Result<()> {
        nobody_receives()
    }
    /// Rows for sink `sink`.
    fn sink(&mut self, sink: usize, chunk: &Chunk<'_>, context: &Context<'_>) -> Result<()>;
    /// No later row of this shard for `sink` has a time at or before `watermark`.
    fn sink_watermark(&mut self, _sink: usize, _watermark: Time, _: &Context<'_>) -> Result<()> {
        Ok(())
    }
    /// This shard has no more rows for `sink`.
    fn sink_finish(&mut self, _sink: usize, _: &Context<'_>) -> Result<()> {
        Ok(())
    }
    /// The query needs no more input (LIMIT is reached on this shard).
    fn satisfied(&mut self, _sink: usize) {}
}

fn nobody_receives() -> Result<()> {
    Err(Error::new(Code::Internal, "a plan with an exchange is run where nobody receives rows"))
}

/// What follows an operator: the rest of the pipeline, and the outlets at its end.
pub struct Next<'n> {
    /// The operators behind the current one in the plan's order.
    pub(crate) later: &'n mut [Slot],
    /// Node id of `later[0]`.
    pub(crate) base: NodeId,
    /// The current node's users, as (node, which of its inputs).
    pub(crate) users: &'n [(NodeId, usize)],
    /// Rows the current node has given.
    pub(crate) given: &'n mut u64,
    /// Where rows leave.
    pub outlets: &'n mut dyn Outlets,
}

/// An operator in its pipeline.
pub(crate) struct Slot {
    pub(crate) operator: Box<dyn Operator>,
    pub(crate) users: Vec<(NodeId, usize)>,
    /// Rows it has given to them.
    pub(crate) given: u64,
}

impl Next<'_> {
    /// Hands `chunk` to every user of the current node.
    pub fn push(&mut self, chunk: &Chunk<'_>, context: &Context<'_>) -> Result<()> {
        if chunk.rows == 0 {
            return Ok(());
        }
        *self.given += chunk.rows as u64;
        self.each_user(|operator, input, next| operator.push(input, chunk, context, next))
    }

    /// Passes a watermark on.
    pub fn watermark(&mut self, watermark: Time, context: &Context<'_>) -> Result<()> {
        self.each_user(|operator, input, next| operator.watermark(input, watermark, context, next))
    }

    /// Passes the end of a turn on.
    pub fn turn(&mut self, context: &Context<'_>) -> Result<()> {
        self.each_user(|operator, input, next| operator.turn(input, context, next))
    }

    /// Passes the end on.
    pub fn finish(&mut self, context: &Context<'_>) -> Result<()> {
        self.each_user(|operator, input, next| operator.finish(input, context, next))
    }

    fn each_user(
        &mut self,
        mut visit: impl FnMut(&mut dyn Operator, usize, &mut Next<'_>) -> Result<()>,
    ) -> Result<()> {
        for &(user, input) in self.users {
            let (slot, later) = self.later[user - self.base..].split_first_mut().expect("users are later nodes");
            let Slot { operator, users, given } = slot;
            let mut next = Next { later, base: user + 1, users, given, outlets: &mut *self.outlets };
            visit(&mut **operator, input, &mut next)?;
        }
        Ok(())
    }
}
