//! Left rows looked up, chunk by chunk: rows that may go together, found by hash; those that do, found
//! by comparing whole columns of pairs; and the rows that leave because they have no partner.
//!
//! What leaves must leave in order, but whether a row has a partner is known only when its pairs were
//! compared. So a *mark* stands in the sequence of pairs where a row would leave without a partner, and
//! is decided when its turn comes.

use bumpalo::Bump;

use super::index::NONE;
use super::right::Right;
use super::stored::equal;
use crate::batch::{BATCH_ROWS, Batch, Chunk, Data, Vector, gather};
use crate::error::Result;
use crate::expr::{Expr, evaluate_predicate};
use crate::operator::{Column, Context, Time};
use crate::plan;
use crate::types::Physical;

/// No left row.
const NO_LEFT: u16 = u16::MAX;
/// The bit that marks the position of a row without a left side.
const RIGHT_ONLY: u64 = 1 << 63;

/// The left rows being looked up.
pub(crate) struct Probe {
    rows: Batch,
    /// Columns of the left input.
    width: usize,
    hashes: Vec<u64>,
    heads: Vec<u32>,
    /// Where the rows' times stand, if they have one.
    times: Option<usize>,
    /// The row whose candidates these are.
    row: usize,
    candidates: Vec<u32>,
    next: usize,
    /// Whether the current row's candidates were looked up.
    begun: bool,
    /// The current row has a partner among the pairs compared so far.
    matched: bool,
}

/// A place where a row may leave without a partner.
struct Mark {
    /// How many pairs come before it.
    pairs: usize,
    left: u16,
    right: u32,
}

/// Pairs that may go together, of one probe.
#[derive(Default)]
pub(crate) struct Pairs {
    left: Vec<u16>,
    right: Vec<u32>,
    marks: Vec<Mark>,
    /// Rows that may leave, at most.
    weight: usize,
    /// Only the right row with the greatest (or least) value of this column goes with a left row.
    pick: Option<(usize, bool)>,
    /// The best one of the left row at hand.
    best: u32,
    /// Pairs and marks that do.
    out_left: Vec<u16>,
    out_right: Vec<u32>,
}

impl Probe {
    /// For rows of these shapes, the first `width` of which are the left input's.
    pub(crate) fn new(layout: &[Physical], width: usize, times: Option<usize>) -> Self {
        Probe {
            rows: Batch::new(layout),
            width,
            hashes: Vec::new(),
            heads: Vec::new(),
            times,
            row: 0,
            candidates: Vec::new(),
            next: 0,
            begun: false,
            matched: false,
        }
    }

    /// Whether every row has been looked up.
    pub(crate) fn is_done(&self) -> bool {
        self.row == self.rows.rows()
    }

    /// Takes the next rows; `null_keys` marks those that equal nothing.
    pub(crate) fn load(
        &mut self,
        chunk: &Chunk<'_>,
        hashes: &[u64],
        null_keys: Option<&[u64]>,
        right: &Right,
        scratch: &Bump,
    ) {
        self.rows.reset();
        let all: &[u16] = scratch.alloc_slice_fill_iter(0..chunk.rows as u16);
        self.rows.append(chunk, all);
        self.hashes.clear();
        self.hashes.extend_from_slice(hashes);
        right.heads(hashes, &mut self.heads);
        if let Some(nulls) = null_keys {
            for (row, head) in self.heads.iter_mut().enumerate() {
                if nulls[row / 64] >> (row % 64) & 1 == 1 {
                    *head = NONE;
                }
            }
        }
        (self.row, self.next, self.begun, self.matched) = (0, 0, false, false);
    }

    /// Puts what the next rows may go with into `pairs`, until it is full. `marks`: left rows leave
    /// once their pairs were compared.
    pub(crate) fn fill(&mut self, right: &mut Right, marks: bool, pairs: &mut Pairs) {
        let rows = self.rows.rows();
        while self.row < rows && pairs.weight < BATCH_ROWS {
            if !self.begun {
                let time = self.times.map(|times| self.rows.vector(times).i64s()[self.row]);
                if right.has_leaving() && !pairs.mark_right(right, time.or(Some(Time::MAX))) {
                    return;
                }
                right.candidates(self.heads[self.row], self.hashes[self.row], &mut self.candidates);
                (self.begun, self.next) = (true, 0);
            }
            let room = BATCH_ROWS - pairs.weight;
            let part = &self.candidates[self.next..self.candidates.len().min(self.next + room)];
            pairs.left.resize(pairs.left.len() + part.len(), self.row as u16);
            pairs.right.extend_from_slice(part);
            pairs.weight += part.len();
            self.next += part.len();
            if self.next < self.candidates.len() {
                return;
            }
            if marks {
                pairs.weight += usize::from(part.is_empty());
                pairs.marks.push(Mark { pairs: pairs.left.len(), left: self.row as u16, right: NONE });
            }
            self.row += 1;
            self.begun = false;
        }
    }
}

impl Pairs {
    /// No pairs; `pick` says which column of the right side is compared, and whether the greatest wins.
    pub(crate) fn new(pick: Option<(usize, bool)>) -> Self {
        Pairs { pick, best: NONE, ..Pairs::default() }
    }

    /// Forgets all pairs.
    pub(crate) fn clear(&mut self) {
        self.left.clear();
        self.right.clear();
        self.marks.clear();
        self.weight = 0;
    }

    /// Whether there is nothing to compare.
    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty() && self.marks.is_empty()
    }

    /// Marks the right rows that leave before `time` if they have no partner, all that may where there
    /// is none; false when there was no room for all.
    pub(crate) fn mark_right(&mut self, right: &mut Right, time: Option<Time>) -> bool {
        while self.weight < BATCH_ROWS {
            let Some(row) = right.next_leaving(time) else { return true };
            self.marks.push(Mark { pairs: self.left.len(), left: NO_LEFT, right: row });
            self.weight += 1;
        }
        false
    }

    /// Compares the pairs and decides what leaves.
    pub(crate) fn decide(
        &mut self,
        join: &plan::Join,
        keys: &[usize],
        probe: &mut Probe,
        right: &mut Right,
        context: &Context<'_>,
    ) -> Result<()> {
        let mut keep = [true; BATCH_ROWS];
        let keep = &mut keep[..self.left.len()];
        self.compare_keys(keys, probe, right, keep, context.scratch);
        if let Some(within) = &join.within {
            self.compare_times(within, probe, right, keep, context.scratch);
        }
        if let Some(condition) = &join.condition {
            self.hold_against(condition, probe, right, keep, context)?;
        }
        self.out_left.clear();
        self.out_right.clear();
        let kind = join.kind;
        let mut marks = self.marks.iter().peekable();
        for pair in 0..=self.left.len() {
            while let Some(mark) = marks.next_if(|mark| mark.pairs == pair) {
                let best = std::mem::replace(&mut self.best, NONE);
                let leaves = match (mark.left, kind) {
                    (NO_LEFT, _) => !right.is_matched(mark.right),
                    (_, plan::JoinKind::Semi) => probe.matched,
                    (_, plan::JoinKind::Inner) => best != NONE,
                    _ => !probe.matched || best != NONE,
                };
                if leaves {
                    self.out_left.push(mark.left);
                    self.out_right.push(if best == NONE { mark.right } else { best });
                }
                if mark.left != NO_LEFT {
                    probe.matched = false;
                }
            }
            if pair < keep.len() && keep[pair] {
                probe.matched = true;
                if kind.keeps_right() {
                    right.match_row(self.right[pair]);
                }
                if let Some((column, greatest)) = self.pick {
                    if self.best == NONE || !right.is_behind(column, self.right[pair], self.best, greatest) {
                        self.best = self.right[pair];
                    }
                } else if !kind.is_left_only() {
                    self.out_left.push(self.left[pair]);
                    self.out_right.push(self.right[pair]);
                }
            }
        }
        Ok(())
    }

    fn compare_keys(&self, keys: &[usize], probe: &Probe, right: &Right, keep: &mut [bool], scratch: &Bump) {
        for (&left_key, &right_key) in keys.iter().zip(&right.stored.keys) {
            let left = probe.rows.vector(left_key);
            let right = right.gather(right_key, &self.right, scratch);
            match (left.data, right.data) {
                (Data::I64(left), Data::I64(right)) => {
                    for ((keep, &row), right) in keep.iter_mut().zip(&self.left).zip(right) {
                        *keep &= left[usize::from(row)] == *right;
                    }
                }
                _ => {
                    for (pair, (keep, &row)) in keep.iter_mut().zip(&self.left).enumerate() {
                        *keep &= equal(&left, usize::from(row), &right, pair);
                    }
                }
            }
        }
    }

    fn compare_times(&self, within: &plan::Within, probe: &Probe, right: &Right, keep: &mut [bool], scratch: &Bump) {
        let (Some(left), Some(time)) = (probe.times, right.stored.time) else { return };
        let left = probe.rows.vector(left).i64s();
        let right = right.gather(time, &self.right, scratch).i64s();
        for ((keep, &row), right) in keep.iter_mut().zip(&self.left).zip(right) {
            let apart = right.saturating_sub(left[usize::from(row)]);
            *keep &= (within.lower..=within.upper).contains(&apart);
        }
    }

    /// Evaluates the condition for the pairs kept so far, over the columns that it reads.
    fn hold_against(
        &self,
        condition: &Expr,
        probe: &Probe,
        right: &Right,
        keep: &mut [bool],
        context: &Context<'_>,
    ) -> Result<()> {
        let scratch = context.scratch;
        let kept = || keep.iter().enumerate().filter(|(_, keep)| **keep).map(|(pair, _)| pair);
        let pairs = bumpalo::collections::Vec::from_iter_in(kept().map(|pair| pair as u16), scratch);
        if pairs.is_empty() {
            return Ok(());
        }
        let left = bumpalo::collections::Vec::from_iter_in(kept().map(|pair| self.left[pair]), scratch);
        let rights = bumpalo::collections::Vec::from_iter_in(kept().map(|pair| self.right[pair]), scratch);
        let left_width = probe.width;
        let mut reads = bumpalo::vec![in scratch; false; left_width + right.stored.width];
        condition.visit_columns(&mut |column| reads[column] = true);
        let nothing = Vector::new(Data::I64(scratch.alloc_slice_fill_copy(pairs.len(), 0)));
        let mut columns = bumpalo::collections::Vec::with_capacity_in(reads.len(), scratch);
        for (column, reads) in reads.iter().enumerate() {
            columns.push(match column.checked_sub(left_width) {
                _ if !reads => nothing,
                None => probe.gather(column, &left, scratch),
                Some(column) => right.gather(column, &rights, scratch),
            });
        }
        let chunk =
            Chunk { rows: pairs.len(), columns: &columns, positions: None, ordinals: None, floors: None, stamp: 0 };
        if let Some(holds) = evaluate_predicate(condition, &chunk, context)? {
            pairs.iter().for_each(|&pair| keep[usize::from(pair)] = false);
            holds.iter().for_each(|&held| keep[usize::from(pairs[usize::from(held)])] = true);
        }
        Ok(())
    }

    /// What leaves, as rows of the join's output.
    pub(crate) fn rows<'a>(
        &self,
        join: &plan::Join,
        probe: &'a Probe,
        right: &'a Right,
        scratch: &'a Bump,
    ) -> Chunk<'a> {
        let rows = self.out_left.len();
        let left_width = probe.width;
        let mut columns = bumpalo::collections::Vec::with_capacity_in(join.columns.len() + 1, scratch);
        for &column in &join.columns {
            columns.push(match column.checked_sub(left_width) {
                None => probe.gather(column, &self.out_left, scratch),
                Some(column) => right.gather(column, &self.out_right, scratch),
            });
        }
        let each = || self.out_left.iter().zip(&self.out_right);
        if let (true, Some(times)) = (join.adds_time(), probe.times) {
            let times = probe.rows.vector(times).i64s();
            let values = each().map(|(&left, &row)| match left {
                NO_LEFT => right.leaves_at(row),
                left => times[usize::from(left)],
            });
            columns.push(Vector::new(Data::I64(scratch.alloc_slice_fill_iter(values))));
        }
        let known = probe.rows.positions();
        let positions = each().map(|(&left, &row)| match left {
            NO_LEFT => RIGHT_ONLY | right.position(row),
            left => known.map_or(0, |known| known[usize::from(left)]),
        });
        let positions = Some(&*scratch.alloc_slice_fill_iter(positions));
        let stamp = probe.rows.stamp;
        Chunk { rows, columns: columns.into_bump_slice(), positions, ordinals: None, floors: None, stamp }
    }
}

impl Probe {
    /// Column `column` of these rows, NULL for [`NO_LEFT`].
    fn gather<'a>(&'a self, column: usize, rows: &[u16], scratch: &'a Bump) -> Vector<'a> {
        let vector = self.rows.vector(column);
        if !rows.contains(&NO_LEFT) {
            return gather(&vector, rows, scratch);
        }
        let mut gathered = Column::new(vector.physical(), scratch);
        for (to, &row) in rows.iter().enumerate() {
            match row {
                NO_LEFT => gathered.set_null(to),
                row => gathered.copy(to, &vector, usize::from(row)),
            }
        }
        gathered.finish(rows.len())
    }
}
