//! ORDER BY on bounded input: holds all rows, sorts them at the end.
//!
//! Ties break by position in the input where rows carry one, else by arrival. With a limit only the
//! best rows are kept: whenever a good deal more than needed are held, the rest is dropped.

use std::cmp::Ordering;

use bumpalo::Bump;

use super::held::{At, Held, order};
use super::{Context, Next, Operator};
use crate::batch::{BATCH_ROWS, Chunk, Data, Vector};
use crate::error::Result;
use crate::plan::SortKey;
use crate::stage::{Copied, Stage};
use crate::state::{Moved, Saved, State};
use crate::types::Physical;

/// Rows held at least before any are dropped for a limit.
const KEEP_MIN: usize = 64 * BATCH_ROWS;

/// The operator.
pub(crate) struct Sort {
    keys: Vec<SortKey>,
    limit: Option<u64>,
    layout: Vec<Physical>,
    held: Held,
    /// The rows in order, once the input has ended.
    order: Vec<At>,
    given: usize,
    finishing: bool,
}

impl Sort {
    pub(crate) fn new(keys: Vec<SortKey>, limit: Option<u64>, layout: Vec<Physical>) -> Self {
        Sort { keys, limit, layout, held: Held::default(), order: Vec::new(), given: 0, finishing: false }
    }

    fn sorted(&self) -> Vec<At> {
        let columns = self.held.columns(&self.keys);
        let mut rows = self.held.all();
        rows.sort_unstable_by(|&left, &right| {
            let ties = || (self.held.position(left), left).cmp(&(self.held.position(right), right));
            order(&self.keys, &columns, left, right).then_with(ties)
        });
        if let Some(limit) = self.limit {
            rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        rows
    }
}

/// Every row of a chunk.
pub(super) fn all_rows<'s>(chunk: &Chunk<'s>, scratch: &'s Bump) -> &'s [u16] {
    scratch.alloc_slice_fill_iter(0..chunk.rows as u16)
}

/// Orders two values of one column by `key`.
pub(crate) fn compare(key: &SortKey, left: (&Vector<'_>, usize), right: (&Vector<'_>, usize)) -> Ordering {
    let ((a, i), (b, j)) = (left, right);
    match (a.is_null(i), b.is_null(j)) {
        (true, true) => return Ordering::Equal,
        (true, false) => return if key.nulls_first { Ordering::Less } else { Ordering::Greater },
        (false, true) => return if key.nulls_first { Ordering::Greater } else { Ordering::Less },
        (false, false) => {}
    }
    let ordering = match (a.data, b.data) {
        (Data::I64(a), Data::I64(b)) => a[i].cmp(&b[j]),
        (Data::I128(a), Data::I128(b)) => a[i].cmp(&b[j]),
        (Data::F64(a), Data::F64(b)) => crate::agg::order_bits(a[i]).cmp(&crate::agg::order_bits(b[j])),
        (Data::Text(a), Data::Text(b)) => a[i].cmp(&b[j]),
        _ => panic!("one column has one shape"),
    };
    if key.descending { ordering.reverse() } else { ordering }
}

impl Operator for Sort {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, _: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Over);
        let rows = context.scratch.alloc_slice_fill_iter(0..chunk.rows as u16);
        context.ledger.copied(Copied::Held, self.held.push(chunk, rows, &self.layout));
        if let Some(limit) = self.limit {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            if self.held.room() > limit.saturating_mul(2).max(KEEP_MIN) {
                let kept = self.sorted();
                self.held.retain(&kept, &self.layout);
            }
        }
        context.ledger.enter(caller);
        Ok(())
    }

    fn watermark(&mut self, _: usize, _: super::Time, _: &Context<'_>, _: &mut Next<'_>) -> Result<()> {
        // Nothing has left yet, so nothing can be promised about what will.
        Ok(())
    }

    fn finish(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Over);
        self.order = self.sorted();
        context.ledger.enter(caller);
        self.finishing = true;
        if self.order.is_empty() {
            self.drain(context, next)?;
        }
        Ok(())
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        if !self.finishing {
            return Ok(false);
        }
        let part = &self.order[self.given..(self.given + BATCH_ROWS).min(self.order.len())];
        if !part.is_empty() {
            let caller = context.ledger.enter(Stage::Over);
            let chunk = self.held.chunk(part, &self.layout, &[], context.scratch);
            context.ledger.enter(caller);
            next.push(&chunk, context)?;
            self.given += part.len();
        }
        if self.given < self.order.len() {
            return Ok(true);
        }
        self.finishing = false;
        self.held = Held::default();
        next.finish(context)?;
        Ok(false)
    }

    fn due(&self) -> bool {
        self.finishing
    }

    fn state_bytes(&self) -> usize {
        self.held.memory()
    }

    fn save(&self, state: &mut State) -> Result<()> {
        self.held.save(state.whole());
        Ok(())
    }

    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        let mut from = saved.whole();
        self.held = Held::load(&mut from, &self.layout)?;
        from.end()
    }

    fn adopt(&mut self, moved: &Moved<'_>) -> Result<()> {
        let from: Vec<&Saved<'_>> = if moved.is_local() { moved.local().collect() } else { moved.gathered().collect() };
        for saved in from {
            let mut from = saved.whole();
            let held = Held::load(&mut from, &self.layout)?;
            self.held.take_over(&held, &self.layout, all_rows);
            from.end()?;
        }
        Ok(())
    }
}
