//! Rows that wait for their values, taken over from another number of shards.
//!
//! Each shard had its rows in order of (time, position). Those that this shard takes are put into one
//! order again, in new batches, and whoever refers to one by its old place is told the new one.

use std::collections::HashMap;

use bumpalo::Bump;

use super::{Leads, Waiting};
use crate::batch::{BATCH_ROWS, Batch, Chunk};
use crate::error::{Code, Error, Result};
use crate::operator::Time;
use crate::state::{Reader, columns};

/// The rows of all shards.
#[derive(Default)]
pub(in crate::over) struct Merged {
    /// Shards read.
    shards: usize,
    batches: Vec<Batch>,
    rows: Vec<Row>,
    /// From where a row stood to where it stands: its batch, and which row of it.
    places: HashMap<Stood, (u64, u64)>,
}

/// Where a row stood: shard, batch, row.
type Stood = (usize, u64, u64);

/// A row, by what orders it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    time: Time,
    position: u64,
    /// Its batch among those read, and its row there.
    batch: usize,
    row: u16,
    stood: Stood,
}

impl Merged {
    /// Where a row of the `shard`-th shard stands now: its batch, and which row of it.
    pub(in crate::over) fn place(&self, shard: usize, (batch, row): (u64, u64)) -> Option<(u64, u64)> {
        self.places.get(&(shard, batch, row)).copied()
    }
}

impl Leads {
    /// Reads the rows that waited on the next shard, of which `owned` come here.
    pub(in crate::over) fn read_rows(
        &self,
        time: Option<usize>,
        owned: impl Fn(&Chunk<'_>, &Bump) -> Result<Vec<u16>>,
        from: &mut Reader<'_>,
        merged: &mut Merged,
    ) -> Result<()> {
        // The time of the last rows, which have all been answered.
        from.word()?;
        for number in 0..from.count(1)? as u64 {
            // The time of its first row.
            from.flag()?;
            from.word()?;
            let batch = columns::read_batch(from, &self.layout)?;
            let scratch = Bump::new();
            let chunk = batch.chunk(&scratch);
            let owned = owned(&chunk, &scratch)?;
            let times = time.map(|time| chunk.columns[time].i64s());
            for row in owned {
                let at = usize::from(row);
                let time = times.map_or(0, |times| times[at]);
                let position = chunk.positions.map_or(0, |positions| positions[at]);
                let stood = (merged.shards, number, u64::from(row));
                merged.rows.push(Row { time, position, batch: merged.batches.len(), row, stood });
            }
            merged.batches.push(batch);
        }
        merged.shards += 1;
        Ok(())
    }

    /// Takes over what was read, in order. Only on new ones.
    pub(in crate::over) fn merge(&mut self, merged: &mut Merged, time: Option<usize>) -> Result<()> {
        if !self.waiting.is_empty() {
            return Err(Error::new(Code::Internal, "rows were to be taken over while others waited"));
        }
        let mut rows = std::mem::take(&mut merged.rows);
        rows.sort_unstable();
        let scratch = Bump::new();
        for (number, part) in (0..).zip(rows.chunks(BATCH_ROWS)) {
            let mut batch = Batch::new(&self.layout);
            for (at, row) in (0..).zip(part) {
                batch.append(&merged.batches[row.batch].chunk(&scratch), &[row.row]);
                merged.places.insert(row.stood, (number, at));
            }
            let time = time.map(|_| part[0].time);
            self.waiting.push_back(Waiting { batch, open: 0, time });
        }
        Ok(())
    }
}
