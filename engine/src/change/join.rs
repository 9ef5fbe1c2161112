//! Joins without a bound in time, which answer by turns.
//!
//! All rows of both sides are held, by the hash of their key. At the end of a turn the rows of the left side
//! are looked up among those that the right side held before it, and taken in; then those of the right
//! side among what the left one holds now. A pair comes or goes with either of its rows. Of the rows that
//! leave without a partner, or for having one, the number of partners is kept: only its first and its last
//! one change anything.
//!
//! Where the other side has ended, rows are looked up and not held. With a time to live
//! ([`crate::plan::changes::Join::keep`]) a row is forgotten when the watermark is so far behind its time; pairs that it
//! was in stay.

use std::collections::VecDeque;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::cancel::Signed;
use super::store::Store;
use super::{DELETE, INSERT, goes, split};
use crate::batch::{BATCH_ROWS, Chunk, Data, Vector};
use crate::error::Result;
use crate::expr::evaluate_predicate;
use crate::join::{NONE, Order, Stored, equal};
use crate::operator::{Column, Context, Next, Operator, TIME_MIN, Time};
use crate::plan::JoinKind;
use crate::plan::changes::Join as Plan;
use crate::stage::{Copied, Stage};
use crate::state::{Saved, State, damaged};
use crate::types::Physical;

/// Candidates looked up at a time, if those of one row are not more.
const CANDIDATES: usize = 32 * BATCH_ROWS;

/// What the join is told of an input.
pub(crate) struct Side {
    /// Shapes of its columns, without operations.
    pub(crate) layout: Vec<Physical>,
    /// Its rows carry operations.
    pub(crate) has_operations: bool,
}

/// The operator.
pub(crate) struct Join {
    plan: Plan,
    seed: u64,
    gives_operations: bool,
    sides: [Held; 2],
    work: Option<Work>,
    /// The least watermark at the end of the turn being worked on.
    reached: Time,
    passed: Time,
    finished: bool,
}

/// One side.
struct Held {
    stored: Stored,
    has_operations: bool,
    store: Store,
    /// Where it matters: partners of each row, by number.
    partners: Vec<u32>,
    counts_partners: bool,
    /// Rows of the turn that has not ended; and of those that have, but not on the other side, each with the
    /// watermark at its end.
    open: Signed,
    turns: VecDeque<(Signed, Time)>,
    finished: bool,
    watermark: Time,
    /// Rows up to this time have made room.
    removed: Time,
}

/// A turn being worked on.
struct Work {
    turns: [Signed; 2],
    /// Which side's rows are looked up.
    side: usize,
    /// Rows of that side that are left of the turn, and how many of them were looked up.
    rows: Vec<u32>,
    done: usize,
    piece: Piece,
}

/// Some rows being looked up.
#[derive(Default)]
struct Piece {
    rows: Vec<u32>,
    hashes: Vec<u64>,
    is_null: Vec<bool>,
    /// Which row of the piece, with which of the other side.
    own: Vec<u16>,
    other: Vec<u32>,
    /// Candidates compared.
    at: usize,
    partners: Vec<u32>,
}

/// Rows that leave: row of the turn, number of the other side, operation.
type Leaving = Vec<(u32, u32, i64)>;

impl Join {
    pub(crate) fn new(plan: Plan, inputs: [Side; 2], gives_operations: bool, seed: u64) -> Self {
        let kind = plan.join.kind;
        let mut inputs = inputs.into_iter();
        let mut side = |number: usize| {
            let Side { layout, has_operations } = inputs.next().expect("a join has two inputs");
            let keys: Vec<_> = plan.join.keys.iter().map(|key| if number == 0 { &key.0 } else { &key.1 }).collect();
            let time = plan.keep[number].as_ref().map(|keep| &keep.time);
            let stored = Stored::new(layout, keys.into_iter(), time, Order::Arrival);
            Held {
                store: Store::new(stored.layout.clone()),
                stored,
                has_operations,
                partners: Vec::new(),
                counts_partners: if number == 0 {
                    kind.keeps_left() || kind.is_left_only()
                } else {
                    kind.keeps_right()
                },
                open: Signed::default(),
                turns: VecDeque::new(),
                finished: false,
                watermark: TIME_MIN,
                removed: TIME_MIN,
            }
        };
        let sides = [side(0), side(1)];
        Join { plan, seed, gives_operations, sides, work: None, reached: TIME_MIN, passed: TIME_MIN, finished: false }
    }

    /// Begins to work on a turn that both sides have ended.
    fn begin(&mut self) {
        let has_come = |side: &Held| !side.turns.is_empty() || side.finished;
        let is_there = self.sides.iter().any(|side| !side.turns.is_empty());
        if self.work.is_some() || !is_there || !self.sides.iter().all(has_come) {
            return;
        }
        let ended = self.sides.each_mut().map(|side| side.turns.pop_front().unwrap_or((Signed::default(), Time::MAX)));
        self.reached = ended[0].1.min(ended[1].1);
        let turns = ended.map(|(turn, _)| turn);
        let rows = turns[0].left(&self.sides[0].stored.layout);
        self.work = Some(Work { turns, side: 0, rows, done: 0, piece: Piece::default() });
    }

    /// Time up to which rows of a side that is kept for so long are forgotten.
    fn forgotten(&self, side: usize) -> Option<Time> {
        let keep = self.plan.keep[side].as_ref()?;
        (self.reached != TIME_MIN).then(|| self.reached.saturating_sub(keep.micros))
    }

    /// Looks up and compares some candidates; whether the turn is done.
    fn step(&mut self, work: &mut Work, leaving: &mut Leaving, context: &Context<'_>) -> Result<bool> {
        if work.piece.rows.is_empty() {
            if work.done == work.rows.len() {
                if work.side == 1 {
                    return Ok(true);
                }
                work.side = 1;
                work.rows = work.turns[1].left(&self.sides[1].stored.layout);
                work.done = 0;
                return Ok(false);
            }
            self.load(work);
        }
        self.compare(work, leaving, context)?;
        if work.piece.at == work.piece.own.len() {
            self.settle(work, leaving, context)?;
            work.piece = Piece::default();
        }
        Ok(false)
    }

    /// Finds the candidates of the next rows.
    fn load(&self, work: &mut Work) {
        let Work { turns, side, rows, done, piece } = work;
        let (own, other) = (&self.sides[*side], &self.sides[1 - *side]);
        let from = *done;
        // Rows of one batch, so that their keys are columns.
        let batch_of = |row: u32| row as usize / BATCH_ROWS;
        let first = batch_of(rows[from]);
        let batch = &turns[*side].rows().batches()[first];
        let scratch = Bump::new();
        let chunk = batch.chunk(&scratch);
        let hashes = own.stored.hashes(&chunk, self.seed, &scratch);
        let nulls = own.stored.null_keys(&chunk, &scratch);
        let wanted = rows[from..].iter().take_while(|&&row| batch_of(row) == first).count();
        let wanted = &rows[from..from + wanted];
        let at = |row: u32| row as usize % BATCH_ROWS;
        let picked: Vec<u64> = wanted.iter().map(|&row| hashes[at(row)]).collect();
        let mut heads = Vec::new();
        other.store.heads(&picked, &mut heads);
        for (&row, (hash, head)) in wanted.iter().zip(picked.into_iter().zip(heads)) {
            if piece.other.len() >= CANDIDATES {
                break;
            }
            let is_null = nulls.is_some_and(|nulls| nulls[at(row) / 64] >> (at(row) % 64) & 1 == 1);
            if !is_null && head != NONE {
                other.store.candidates(head, hash, &mut piece.other);
            }
            piece.own.resize(piece.other.len(), piece.rows.len() as u16);
            piece.rows.push(row);
            piece.hashes.push(hash);
            piece.is_null.push(is_null);
        }
        piece.partners = vec![0; piece.rows.len()];
        *done += piece.rows.len();
    }

    /// Compares at most a chunk of candidates.
    fn compare(&mut self, work: &mut Work, leaving: &mut Leaving, context: &Context<'_>) -> Result<()> {
        let Work { turns, side, piece, .. } = work;
        let part = piece.at..(piece.at + BATCH_ROWS).min(piece.own.len());
        piece.at = part.end;
        let turn = &turns[*side];
        let rows = BumpVec::from_iter_in(
            piece.own[part.clone()].iter().map(|&own| piece.rows[usize::from(own)]),
            context.scratch,
        );
        let others = &piece.other[part.clone()];
        let keep = self.matches(turn, *side, &rows, others, context)?;
        let kind = self.plan.join.kind;
        for (pair, _) in keep.iter().enumerate().filter(|(_, keep)| **keep) {
            let (row, other) = (rows[pair], others[pair]);
            let row_goes = turn.goes(row);
            piece.partners[usize::from(piece.own[part.start + pair])] += 1;
            if !kind.is_left_only() {
                leaving.push((row, other, if row_goes { DELETE } else { INSERT }));
            }
            let far = &mut self.sides[1 - *side];
            if !far.counts_partners {
                continue;
            }
            let partners = &mut far.partners[other as usize];
            let is_end = if row_goes {
                *partners = partners.saturating_sub(1);
                *partners == 0
            } else {
                *partners += 1;
                *partners == 1
            };
            if is_end {
                // A row alone leaves while it has no partner, but for SEMI while it has one.
                let comes = row_goes != (kind == JoinKind::Semi);
                leaving.push((NONE, other, if comes { INSERT } else { DELETE }));
            }
        }
        Ok(())
    }

    /// Which rows of the turn go with the rows of the other side beside them.
    fn matches<'a>(
        &self,
        turn: &Signed,
        side: usize,
        rows: &[u32],
        others: &[u32],
        context: &Context<'a>,
    ) -> Result<&'a [bool]> {
        let scratch = context.scratch;
        let keep = scratch.alloc_slice_fill_copy(rows.len(), true);
        let (own, other) = (&self.sides[side], &self.sides[1 - side]);
        for (&own_key, &other_key) in own.stored.keys.iter().zip(&other.stored.keys) {
            let left = gather(turn, own_key, own.stored.layout[own_key], rows, scratch);
            let right = other.store.gather(other_key, others, scratch);
            keep.iter_mut().enumerate().for_each(|(pair, keep)| *keep &= equal(&left, pair, &right, pair));
        }
        if let (Some(until), Some(time)) = (self.forgotten(1 - side), other.stored.time) {
            let times = other.store.gather(time, others, scratch);
            for (pair, keep) in keep.iter_mut().enumerate() {
                *keep &= times.is_null(pair) || times.i64s()[pair] > until;
            }
        }
        let Some(condition) = &self.plan.join.condition else { return Ok(keep) };
        let pairs: Vec<usize> = (0..rows.len()).filter(|&pair| keep[pair]).collect();
        if pairs.is_empty() {
            return Ok(keep);
        }
        let rows: Vec<u32> = pairs.iter().map(|&pair| rows[pair]).collect();
        let others: Vec<u32> = pairs.iter().map(|&pair| others[pair]).collect();
        let left_width = self.sides[0].stored.width;
        let width = left_width + self.sides[1].stored.width;
        let mut reads = vec![false; width];
        condition.visit_columns(&mut |column| reads[column] = true);
        let nothing = Vector::new(Data::I64(scratch.alloc_slice_fill_copy(pairs.len(), 0)));
        let mut columns = BumpVec::with_capacity_in(width, scratch);
        for (column, reads) in reads.iter().enumerate() {
            columns.push(if *reads { self.column(turn, side, column, &rows, &others, scratch) } else { nothing });
        }
        let columns = columns.into_bump_slice();
        let chunk = Chunk { rows: pairs.len(), columns, positions: None, ordinals: None, floors: None, stamp: 0 };
        if let Some(holds) = evaluate_predicate(condition, &chunk, context)? {
            pairs.iter().for_each(|&pair| keep[pair] = false);
            holds.iter().for_each(|&held| keep[pairs[usize::from(held)]] = true);
        }
        Ok(keep)
    }

    /// Column `column` of the left input's columns followed by the right one's, for rows of the turn of `side` and
    /// rows of the other side.
    fn column<'a>(
        &self,
        turn: &Signed,
        side: usize,
        column: usize,
        rows: &[u32],
        others: &[u32],
        scratch: &'a Bump,
    ) -> Vector<'a> {
        let left_width = self.sides[0].stored.width;
        let (of, column) = if column < left_width { (0, column) } else { (1, column - left_width) };
        if of == side {
            gather(turn, column, self.sides[of].stored.layout[column], rows, scratch)
        } else {
            copied(&self.sides[of].store.gather(column, others, scratch), scratch)
        }
    }

    /// The rows of the piece are looked up: those that leave by themselves do, and all are taken in or out.
    fn settle(&mut self, work: &mut Work, leaving: &mut Leaving, context: &Context<'_>) -> Result<()> {
        let Work { turns, side, piece, .. } = work;
        let turn = &turns[*side];
        let kind = self.plan.join.kind;
        let leaves_alone = match (*side, kind) {
            (0, JoinKind::Semi) => Some(true),
            (0, JoinKind::Anti | JoinKind::Left | JoinKind::Full) | (1, JoinKind::Right | JoinKind::Full) => {
                Some(false)
            }
            _ => None,
        };
        for (&row, &partners) in piece.rows.iter().zip(&piece.partners) {
            if leaves_alone.is_some_and(|with| (partners > 0) == with) {
                leaving.push((row, NONE, if turn.goes(row) { DELETE } else { INSERT }));
            }
        }
        // The other side's rows of this turn are yet to be looked up where this is the left one.
        let far = &self.sides[1 - *side];
        let is_last = far.finished && far.turns.is_empty() && (*side == 1 || turns[1].is_empty());
        let own = &mut self.sides[*side];
        let Some(&first) = piece.rows.first() else { return Ok(()) };
        let batch = &turn.rows().batches()[first as usize / BATCH_ROWS];
        let chunk = batch.chunk(context.scratch);
        let mut hashes = vec![0; batch.rows()];
        piece.rows.iter().zip(&piece.hashes).for_each(|(&row, &hash)| hashes[row as usize % BATCH_ROWS] = hash);
        let mut coming: Vec<u16> = Vec::with_capacity(piece.rows.len());
        let mut found = Vec::new();
        // What comes is taken in before a row that goes is looked for: it may be the one.
        for (number, &row) in piece.rows.iter().enumerate() {
            let at = (row as usize % BATCH_ROWS) as u16;
            if piece.is_null[number] {
                continue;
            }
            if !turn.goes(row) {
                if !is_last {
                    coming.push(at);
                    if own.counts_partners {
                        own.partners.push(piece.partners[number]);
                    }
                }
                continue;
            }
            own.store.insert(&chunk, &coming, &hashes, context.scratch)?;
            coming.clear();
            if let Some(held) = own.store.find(chunk.columns, usize::from(at), piece.hashes[number], &mut found) {
                own.store.remove(held);
            }
        }
        own.store.insert(&chunk, &coming, &hashes, context.scratch)
    }

    /// Behind a turn: rows that are kept no longer, and those that are gone, make room.
    fn tidy(&mut self) -> Result<()> {
        for number in 0..2 {
            let until = self.forgotten(number);
            let side = &mut self.sides[number];
            // Rows that are forgotten are not found; that they make room can wait.
            let far = self.plan.keep[number].as_ref().map_or(0, |keep| keep.micros / 8);
            if let (Some(until), Some(time)) = (until, side.stored.time)
                && until.saturating_sub(side.removed) >= far
            {
                side.store.remove_until(time, until);
                side.removed = until;
            }
            if let Some(kept) = side.store.tidy()?
                && side.counts_partners
            {
                side.partners = kept.iter().map(|&former| side.partners[former as usize]).collect();
            }
        }
        Ok(())
    }

    /// Hands on what leaves.
    fn give(&self, work: &Work, leaving: &Leaving, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        for part in leaving.chunks(BATCH_ROWS) {
            let rows: Vec<u32> = part.iter().map(|leaves| leaves.0).collect();
            let others: Vec<u32> = part.iter().map(|leaves| leaves.1).collect();
            let turn = &work.turns[work.side];
            let mut columns = BumpVec::with_capacity_in(self.plan.join.columns.len() + 1, context.scratch);
            for &column in &self.plan.join.columns {
                columns.push(self.column(turn, work.side, column, &rows, &others, context.scratch));
            }
            if self.gives_operations {
                let operations = context.scratch.alloc_slice_fill_iter(part.iter().map(|leaves| leaves.2));
                columns.push(Vector::new(Data::I64(operations)));
            }
            let stamp = turn.rows().batches().iter().map(|batch| batch.stamp).max().unwrap_or(0);
            let columns = columns.into_bump_slice();
            let chunk = Chunk { rows: part.len(), columns, positions: None, ordinals: None, floors: None, stamp };
            next.push(&chunk, context)?;
        }
        Ok(())
    }

    /// Goes on with the next turn, or ends with the last.
    fn go_on(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.begin();
        let is_over = self.sides.iter().all(|side| side.finished && side.turns.is_empty());
        if self.work.is_none() && is_over && !self.finished {
            self.finished = true;
            next.finish(context)?;
        }
        Ok(())
    }
}

/// A vector that lives as long as the scratch memory.
fn copied<'a>(vector: &Vector<'_>, scratch: &'a Bump) -> Vector<'a> {
    let mut column = Column::new(vector.physical(), scratch);
    (0..vector.len()).for_each(|row| column.copy(row, vector, row));
    column.finish(vector.len())
}

/// Column `column` of rows of a turn; NULL for [`NONE`].
fn gather<'a>(turn: &Signed, column: usize, physical: Physical, rows: &[u32], scratch: &'a Bump) -> Vector<'a> {
    let mut gathered = Column::new(physical, scratch);
    // Rows that follow each other are mostly of one batch.
    let mut last = (u32::MAX, Vector::new(Data::I64(&[])));
    for (to, &row) in rows.iter().enumerate() {
        if row == NONE {
            gathered.set_null(to);
            continue;
        }
        let (batch, at) = Signed::at(row);
        if last.0 != batch {
            last = (batch, turn.rows().batches()[batch as usize].vector(column));
        }
        gathered.copy(to, &last.1, usize::from(at));
    }
    gathered.finish(rows.len())
}

impl Operator for Join {
    fn push(&mut self, input: usize, chunk: &Chunk<'_>, context: &Context<'_>, _: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Join);
        let side = &mut self.sides[input];
        let (rows, operations) = split(chunk, side.has_operations);
        let rows = side.stored.rows(&Chunk { positions: None, ordinals: None, ..rows }, context)?;
        let goes = |row: usize| operations.is_some_and(|operations| goes(operations[row]));
        let copied = side.open.push(&rows, goes, &side.stored.layout, context.scratch);
        context.ledger.copied(Copied::Held, copied);
        context.ledger.enter(caller);
        Ok(())
    }

    fn watermark(&mut self, input: usize, watermark: Time, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.sides[input].watermark = watermark;
        let least = self.sides[0].watermark.min(self.sides[1].watermark);
        if least > self.passed {
            self.passed = least;
            next.watermark(least, context)?;
        }
        Ok(())
    }

    fn turn(&mut self, input: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let side = &mut self.sides[input];
        side.turns.push_back((std::mem::take(&mut side.open), side.watermark));
        self.go_on(context, next)
    }

    fn finish(&mut self, input: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let side = &mut self.sides[input];
        side.finished = true;
        if !side.open.is_empty() {
            side.turns.push_back((std::mem::take(&mut side.open), side.watermark));
        }
        side.watermark = Time::MAX;
        self.go_on(context, next)
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        let Some(mut work) = self.work.take() else { return Ok(false) };
        let caller = context.ledger.enter(Stage::Join);
        let mut leaving = Leaving::new();
        let done = self.step(&mut work, &mut leaving, context)?;
        context.ledger.enter(caller);
        self.give(&work, &leaving, context, next)?;
        if done {
            self.tidy()?;
            next.turn(context)?;
        } else {
            self.work = Some(work);
        }
        self.go_on(context, next)?;
        Ok(self.due())
    }

    fn due(&self) -> bool {
        self.work.is_some()
    }

    fn state_bytes(&self) -> usize {
        let side = |side: &Held| {
            let turns: usize = side.turns.iter().map(|(turn, _)| turn.memory()).sum();
            side.store.memory() + side.partners.capacity() * 4 + side.open.memory() + turns
        };
        self.sides.iter().map(side).sum()
    }

    fn save(&self, state: &mut State) -> Result<()> {
        let to = state.whole();
        to.word(self.passed as u64);
        to.flag(self.finished);
        for side in &self.sides {
            to.flag(side.finished);
            to.word(side.watermark as u64);
            side.store.save(to);
            if side.counts_partners {
                side.store.live().into_iter().for_each(|row| to.word(u64::from(side.partners[row as usize])));
            }
            side.open.save(to);
            to.count(side.turns.len());
            for (turn, watermark) in &side.turns {
                turn.save(to);
                to.word(*watermark as u64);
            }
        }
        Ok(())
    }

    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        let mut from = saved.whole();
        self.passed = from.word()? as Time;
        self.finished = from.flag()?;
        for side in &mut self.sides {
            side.finished = from.flag()?;
            side.watermark = from.word()? as Time;
            let (stored, seed) = (&side.stored, self.seed);
            side.store.load(&mut from, |chunk, scratch| Ok(stored.hashes(chunk, seed, scratch).to_vec()))?;
            if side.counts_partners {
                for _ in 0..side.store.numbered() {
                    let partners = u32::try_from(from.word()?);
                    side.partners.push(partners.map_err(|_| damaged("a row has too many partners"))?);
                }
            }
            side.open = Signed::load(&mut from, &side.stored.layout)?;
            for _ in 0..from.count(1)? {
                let turn = Signed::load(&mut from, &side.stored.layout)?;
                side.turns.push_back((turn, from.word()? as Time));
            }
        }
        from.end()
    }
}
