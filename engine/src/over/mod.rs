//! OVER with ROWS and RANGE frames.
//!
//! Rows come out of order by less than the watermark's delay, so they are held (`reorder`) until it
//! has passed them, and then taken in order of (time, position): that is the order of the output,
//! and the one in which each partition's frames (`frame`) see their rows. Calls that share argument
//! and frame share a *track*. LEAD holds finished rows back until the row it looks at is there
//! (`lead`), and so do RANGE frames until all rows of a time are (`range`).
//!
//! Without a time column the order is that of the input. On one shard rows come in it; on several
//! they are held until the end, since no position is ever known to be the last.

mod frame;
mod lead;
pub(crate) mod range;
pub(crate) mod reorder;
pub(crate) mod runs;
#[cfg(test)]
mod tests;
mod track;
mod whole;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use crate::agg::{KEY_COLUMNS_MAX, KeyLayout, Keys, SavedKeys, Table, by_key_group, make_tags, without_spans};
use crate::batch::{BATCH_ROWS, Chunk};
use crate::error::{Code, Error, Result};
use crate::expr::Expr;
use crate::hash;
use crate::join::contents;
use crate::operator::evaluate as expr;
use crate::operator::{Column, Context, Next, Operator, Owed, Time};
use crate::pipeline::Place;
use crate::plan::{self, OverFunction};
use crate::stage::{Copied, Stage};
use crate::state::{Moved, Saved, State};
use crate::types::Physical;

use lead::moved::Merged;
use lead::{From, Leads};
use range::Range;
pub(crate) use reorder::Reorder;
use track::Track;

/// The operator.
pub(crate) struct Over {
    over: plan::Over,
    place: Place,
    /// Rows leave as they come.
    immediate: bool,
    reorder: Reorder,
    /// Several rows may have one position: what is in them orders those.
    ties: bool,
    layout: KeyLayout,
    partitions: Table,
    arguments: Vec<Expr>,
    tracks: Vec<Track>,
    leads: Leads,
    owed: Owed,
}

impl Over {
    /// The same for rows of which several may have one position.
    pub(crate) fn with_ties(mut self, ties: bool) -> Self {
        self.ties = ties;
        self
    }

    /// The operator of `over`, whose input columns have the shapes `input`.
    pub(crate) fn new(over: &plan::Over, input: Vec<Physical>, place: Place) -> Result<Self> {
        if over.partition.len() > KEY_COLUMNS_MAX {
            let message = format!("PARTITION BY with more than {KEY_COLUMNS_MAX} columns is not supported");
            return Err(Error::new(Code::Unsupported, message).help("combine columns with CONCAT"));
        }
        let physicals: Vec<Physical> = over.partition.iter().map(|key| key.data_type.physical()).collect();
        let layout = KeyLayout::new(&physicals);
        let mut output = input.clone();
        output.extend(over.calls.iter().map(|call| call.data_type.physical()));
        let mut arguments: Vec<Expr> = Vec::new();
        let mut tracks: Vec<Track> = Vec::new();
        let mut leads = Leads::new(output);
        for (number, call) in over.calls.iter().enumerate() {
            let argument = call.arguments.first().map(|argument| {
                let same = |known: &Expr| without_spans(known) == without_spans(argument);
                arguments.iter().position(same).unwrap_or_else(|| {
                    arguments.push(argument.clone());
                    arguments.len() - 1
                })
            });
            if let OverFunction::Lead { offset, default } = &call.function {
                let argument = argument.ok_or_else(|| Error::new(Code::Internal, "LEAD has no argument"))?;
                leads.add(input.len() + number, From::Argument(argument), *offset, default.clone());
                continue;
            }
            let shape = argument.map(|at| (at, arguments[at].data_type.physical()));
            if call.range.is_some() {
                leads.add_range(input.len() + number, Range::new(call, shape)?);
                continue;
            }
            if call.following > 0 {
                leads.add(input.len() + number, From::Answer(number), call.following, None);
            }
            let track = Track::of(call, shape, over.buffer_rows).map_err(|error| error.at(call.span))?;
            match tracks.iter_mut().find(|known| known.shares(&track)) {
                Some(known) => known.join(number, track),
                None => tracks.push(track.begin(number)),
            }
        }
        let immediate = over.time.is_none() && !place.is_spread;
        Ok(Over {
            over: over.clone(),
            place,
            immediate,
            ties: false,
            reorder: Reorder::new(input),
            partitions: Table::new(layout.words()),
            layout,
            arguments,
            tracks,
            leads,
            owed: Owed::default(),
        })
    }

    /// Puts ordered rows through all calls: input columns and results.
    fn process<'a>(&mut self, chunk: &Chunk<'a>, context: &Context<'a>) -> Result<Chunk<'a>> {
        let scratch = context.scratch;
        let keys = expr::evaluate_all(&self.over.partition, chunk, context)?;
        let arguments = expr::evaluate_all(&self.arguments, chunk, context)?;
        let tags = scratch.alloc_slice_fill_copy(chunk.rows, 0);
        hash::hash_rows(keys, self.place.hash_seed, tags);
        make_tags(keys, tags);
        let partitions = scratch.alloc_slice_fill_copy(chunk.rows, 0u32);
        self.partitions.locate(&self.layout, &Keys { columns: keys, tags }, &[], partitions, scratch)?;
        context.ledger.copied(Copied::Keys, self.partitions.take_copied());
        self.partitions.number_all(partitions);
        let calls = self.over.calls.iter();
        let mut results =
            BumpVec::from_iter_in(calls.map(|call| Column::new(call.data_type.physical(), scratch)), scratch);
        let times = self.over.time.map(|time| reorder::times(&chunk.columns[time], scratch));
        for track in &mut self.tracks {
            track.run(
                (self.partitions.groups(), partitions),
                arguments,
                times,
                &self.over.calls,
                &mut results,
                scratch,
            )?;
        }
        let mut columns = BumpVec::with_capacity_in(chunk.columns.len() + results.len(), scratch);
        columns.extend_from_slice(chunk.columns);
        let answers = BumpVec::from_iter_in(results.into_iter().map(|column| column.finish(chunk.rows)), scratch)
            .into_bump_slice();
        for (call, &answer) in self.over.calls.iter().zip(answers) {
            // The answer is for a row before; this one's comes later.
            let later = || Column::new(call.data_type.physical(), scratch).finish(chunk.rows);
            columns.push(if call.following > 0 { later() } else { answer });
        }
        let done = Chunk { columns: columns.into_bump_slice(), ..*chunk };
        if !self.leads.is_empty() {
            // Without a time all rows are of one.
            let time = self.over.time.map(|time| reorder::times(&done.columns[time], scratch));
            let time = time.unwrap_or_else(|| scratch.alloc_slice_fill_copy(done.rows, 0));
            self.leads.push(&done, time, self.partitions.groups(), partitions, (arguments, answers), scratch)?;
        }
        Ok(done)
    }

    /// No more rows come: what waits for later ones gets what there is.
    fn finish_leads(&mut self) -> Result<()> {
        let Over { tracks, leads, over, partitions, .. } = self;
        let first_call = leads.columns() - over.calls.len();
        let mut scratch = Bump::new();
        for track in tracks.iter_mut().filter(|track| track.following() > 0) {
            let calls: Vec<usize> = track.calls().collect();
            let following = track.following() as usize;
            for partition in 0..partitions.groups() {
                let lacking = leads.lacking(first_call + calls[0], partition);
                let mut padded = 0;
                while lacking > 0 && padded < following {
                    scratch.reset();
                    let rows = (following - padded).min(BATCH_ROWS);
                    let columns = over.calls.iter().map(|call| Column::new(call.data_type.physical(), &scratch));
                    let mut out = BumpVec::from_iter_in(columns, &scratch);
                    track.pad((partition, partitions.groups()), rows, &over.calls, &mut out, &scratch)?;
                    // Where fewer rows than that came, those before the first are behind no row.
                    let from = (following - lacking).saturating_sub(padded);
                    for (call, column) in out.into_iter().enumerate().filter(|(call, _)| calls.contains(call)) {
                        leads.fill(first_call + call, partition, &column.finish(rows), from);
                    }
                    padded += rows;
                }
            }
        }
        leads.finish();
        Ok(())
    }

    /// Passes on the watermark and the end once nothing is due before them.
    fn pass(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if self.due() {
            return Ok(());
        }
        if let (Some(watermark), Some(time)) = (&mut self.owed.watermark, self.leads.oldest()) {
            // Rows that wait for LEAD come later than the watermark that released them.
            *watermark = (*watermark).min(time.saturating_sub(1));
        }
        self.owed.pass(context, next)
    }
}

impl Operator for Over {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Over);
        if self.immediate {
            let done = self.process(chunk, context);
            context.ledger.enter(caller);
            let done = done?;
            return if self.leads.is_empty() { next.push(&done, context) } else { Ok(()) };
        }
        let times = self.over.time.map(|time| reorder::times(&chunk.columns[time], context.scratch));
        let ties = self.ties.then(|| contents(chunk.columns, chunk.rows, context.scratch));
        context.ledger.copied(Copied::Held, self.reorder.push(chunk, times, ties));
        context.ledger.enter(caller);
        Ok(())
    }

    fn watermark(&mut self, _: usize, watermark: Time, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if self.over.time.is_some() {
            let caller = context.ledger.enter(Stage::Over);
            self.reorder.release(watermark);
            context.ledger.enter(caller);
            self.owed.watermark = Some(watermark);
        } else if self.immediate && self.leads.is_empty() {
            self.owed.watermark = Some(watermark);
        }
        self.pass(context, next)
    }

    fn finish(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.reorder.release(Time::MAX);
        self.owed.finish = true;
        if !self.reorder.has_ready() {
            self.leads.end_time()?;
            self.finish_leads()?;
        }
        self.pass(context, next)
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        let caller = context.ledger.enter(Stage::Over);
        let done = if self.leads.has_ready() {
            Some(self.leads.take(context.scratch))
        } else if self.reorder.has_ready() {
            let chunk = self.reorder.take(context.scratch);
            let done = self.process(&chunk, context)?;
            if !self.reorder.has_ready() {
                // What was held has passed the watermark: no row of its times is to come.
                self.leads.end_time()?;
                if self.owed.finish {
                    self.finish_leads()?;
                }
            }
            self.leads.is_empty().then_some(done)
        } else {
            None
        };
        context.ledger.enter(caller);
        if let Some(done) = done {
            next.push(&done, context)?;
        }
        self.pass(context, next)?;
        Ok(self.due())
    }

    fn due(&self) -> bool {
        self.reorder.has_ready() || self.leads.has_ready()
    }

    fn state_bytes(&self) -> usize {
        let tracks: usize = self.tracks.iter().map(Track::memory).sum();
        self.reorder.memory() + self.partitions.memory() + self.leads.memory() + tracks
    }

    fn save(&self, state: &mut State) -> Result<()> {
        self.reorder.save(state.whole());
        self.leads.save(state.whole());
        by_key_group(&self.layout, &self.partitions, self.place.hash_seed, |group, bases| {
            let to = state.group(group);
            SavedKeys::write(&self.layout, &self.partitions, bases, to);
            for partition in bases.iter().map(|&base| self.partitions.number(base)) {
                self.tracks.iter().for_each(|track| track.save(partition, to));
                self.leads.save_open(partition, to);
            }
        });
        Ok(())
    }

    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        let mut from = saved.whole();
        let ties = self.ties;
        self.reorder.load(
            self.over.time,
            |rows, scratch| ties.then(|| contents(rows.columns, rows.rows, scratch)),
            |chunk, _| Ok(chunk),
            &mut from,
        )?;
        self.leads.load(&mut from)?;
        from.end()?;
        for (group, mut from) in saved.groups() {
            let place = (group, self.place.hash_seed);
            while !from.is_empty() {
                for base in SavedKeys::read(&self.layout, &mut self.partitions, &[], place, &mut from)? {
                    self.tracks.iter_mut().try_for_each(|track| track.load(&mut from))?;
                    self.leads.load_open(self.partitions.number(base), Some, &mut from)?;
                }
            }
        }
        Ok(())
    }

    fn adopt(&mut self, moved: &Moved<'_>) -> Result<()> {
        let mut merged = Merged::default();
        for saved in moved.all() {
            let mut from = saved.whole();
            let (ties, place, keys) = (self.ties, self.place, &self.over.partition);
            self.reorder.load(
                self.over.time,
                |rows, scratch| ties.then(|| contents(rows.columns, rows.rows, scratch)),
                |chunk, scratch| Ok(chunk.gather(place.owned_by_keys(keys, &chunk, scratch)?, scratch)),
                &mut from,
            )?;
            let owned = |chunk: &Chunk<'_>, scratch: &_| place.owned_by_keys(keys, chunk, scratch).map(<[u16]>::to_vec);
            self.leads.read_rows(self.over.time, owned, &mut from, &mut merged)?;
            from.end()?;
        }
        self.leads.merge(&mut merged, self.over.time)?;
        for (number, saved) in moved.all().enumerate() {
            for (group, mut from) in saved.groups().filter(|&(group, _)| self.place.owns_group(group)) {
                let place = (group, self.place.hash_seed);
                while !from.is_empty() {
                    for base in SavedKeys::read(&self.layout, &mut self.partitions, &[], place, &mut from)? {
                        self.tracks.iter_mut().try_for_each(|track| track.load(&mut from))?;
                        let partition = self.partitions.number(base);
                        self.leads.load_open(partition, |at| merged.place(number, at), &mut from)?;
                    }
                }
            }
        }
        Ok(())
    }
}
