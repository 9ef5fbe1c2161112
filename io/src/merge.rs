//! Putting the output of several shards into one order.
//!
//! Every shard hands over its rows in order, as blocks of text with a key per row (see
//! [`crate::order`]), and *frontiers*: promises that no later row of it has a lesser key. A row goes
//! out as soon as no shard can still bring a lesser one; equal keys go by shard. Runs of rows of one
//! shard are passed on as one slice. Pure: no threads, no files.

use std::collections::VecDeque;

use corelane_engine::Result as EngineResult;
use corelane_engine::state::{Reader, Writer};
use corelane_engine::{Code, Error};

use crate::format::Buffer;

/// Text of one block of rows that were saved.
const RESTORED_BYTES: usize = 1 << 20;

/// Rows of one shard as text.
#[derive(Debug, Default)]
pub struct Block {
    /// The text.
    pub bytes: Buffer,
    /// Where each row ends in it. Empty when rows need not be told apart.
    pub ends: Vec<u32>,
    /// The rows' keys, one behind the other. Empty when the order is that of arrival.
    pub keys: Vec<u8>,
    /// Where each key ends in them.
    pub key_ends: Vec<u32>,
}

impl Block {
    /// Forgets its rows; keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.forget_order();
    }

    /// Forgets where its rows end and their keys, which are of no use where nothing is merged.
    pub fn forget_order(&mut self) {
        self.ends.clear();
        self.keys.clear();
        self.key_ends.clear();
    }

    fn rows(&self) -> usize {
        self.ends.len()
    }

    fn key(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.key_ends[row - 1] as usize };
        &self.keys[start..self.key_ends[row] as usize]
    }

    /// Text of rows `from..to`.
    fn text(&self, from: usize, to: usize) -> &[u8] {
        let start = if from == 0 { 0 } else { self.ends[from - 1] as usize };
        let end = if to == 0 { 0 } else { self.ends[to - 1] as usize };
        &self.bytes.bytes()[start..end]
    }
}

/// Merges blocks of several shards. `B` is a block with whatever its owner wants back with it.
#[derive(Debug)]
pub struct Merger<B> {
    queues: Vec<Queue<B>>,
    /// No order: blocks go out as they come.
    arrival: bool,
}

#[derive(Debug)]
struct Queue<B> {
    blocks: VecDeque<B>,
    /// Next row of the first block.
    next: usize,
    held: usize,
    frontier: Vec<u8>,
    finished: bool,
}

impl<B: AsRef<Block>> Merger<B> {
    /// A merger for `shards` shards; with `arrival` it keeps no order at all.
    pub fn new(shards: usize, arrival: bool) -> Self {
        Merger { queues: (0..shards).map(|_| Queue::new()).collect(), arrival }
    }

    /// Takes the next block of `shard`.
    pub fn push(&mut self, shard: usize, block: B) {
        self.queues[shard].held += block.as_ref().bytes.len();
        self.queues[shard].blocks.push_back(block);
    }

    /// No later row of `shard` has a key less than `key`.
    pub fn frontier(&mut self, shard: usize, key: Vec<u8>) {
        let queue = &mut self.queues[shard];
        if key > queue.frontier {
            queue.frontier = key;
        }
    }

    /// `shard` has no more rows.
    pub fn finish(&mut self, shard: usize) {
        self.queues[shard].finished = true;
    }

    /// Whether every shard has finished and every row is out.
    pub fn is_done(&self) -> bool {
        self.queues.iter().all(|queue| queue.finished && queue.blocks.is_empty())
    }

    /// Bytes of `shard` that wait for other shards.
    pub fn held(&self, shard: usize) -> usize {
        self.queues[shard].held
    }

    /// How many blocks of `shard` are held.
    pub fn blocks(&self, shard: usize) -> usize {
        self.queues[shard].blocks.len()
    }

    /// Whether `shard` has no more rows.
    pub fn is_finished(&self, shard: usize) -> bool {
        self.queues[shard].finished
    }

    /// Writes what is held and known. Only behind [`Merger::drain`].
    pub fn save(&self, to: &mut Writer) {
        to.count(self.queues.len());
        for queue in &self.queues {
            to.flag(queue.finished);
            to.text(&queue.frontier);
            let held =
                || queue.blocks.iter().enumerate().map(|(at, block)| (if at == 0 { queue.next } else { 0 }, block));
            to.count(held().map(|(first, block)| block.as_ref().rows() - first).sum());
            for (first, block) in held() {
                let block = block.as_ref();
                for row in first..block.rows() {
                    to.text(block.key(row));
                    to.text(block.text(row, row + 1));
                }
            }
        }
    }

    /// Takes over what another merger for as many shards wrote. Only on a new one. `own` makes of a block
    /// what is held.
    pub fn restore(&mut self, from: &mut Reader<'_>, mut own: impl FnMut(Block) -> B) -> EngineResult<()> {
        let count = from.count(17)?;
        if count < self.queues.len() {
            return Err(Error::new(Code::Io, "the checkpoint cannot be read: it has fewer queues than shards"));
        }
        // Behind those of the shards stand rows that shards of before have left.
        self.queues.resize_with(count, Queue::new);
        for queue in &mut self.queues {
            (queue.finished, queue.frontier) = (from.flag()?, from.text()?.to_vec());
            let rows =
                (0..from.count(16)?).map(|_| Ok((from.text()?, from.text()?))).collect::<EngineResult<Vec<_>>>()?;
            queue.hold(&rows, &mut own);
        }
        Ok(())
    }

    /// Takes over the rows that a merger for another number of shards held. Only on a new one.
    pub fn adopt(&mut self, from: &mut Reader<'_>, mut own: impl FnMut(Block) -> B) -> EngineResult<()> {
        let mut rows = Vec::new();
        for _ in 0..from.count(17)? {
            let _known = (from.flag()?, from.text()?);
            for _ in 0..from.count(16)? {
                rows.push((from.text()?, from.text()?));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        rows.sort_by_key(|row| row.0);
        let mut queue = Queue { finished: true, ..Queue::new() };
        queue.hold(&rows, &mut own);
        self.queues.push(queue);
        Ok(())
    }

    /// Gives all rows that may go now to `write`, and blocks that are used up to `done`, with their
    /// shard.
    pub fn drain<E>(
        &mut self,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
        mut done: impl FnMut(usize, B) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.arrival {
            for (shard, queue) in self.queues.iter_mut().enumerate() {
                while let Some(block) = queue.blocks.pop_front() {
                    write(block.as_ref().bytes.bytes())?;
                    queue.held -= block.as_ref().bytes.len();
                    done(shard, block)?;
                }
            }
            return Ok(());
        }
        loop {
            for (shard, queue) in self.queues.iter_mut().enumerate() {
                while queue.blocks.front().is_some_and(|block| queue.next == block.as_ref().rows()) {
                    let block = queue.blocks.pop_front().expect("it has a front");
                    queue.next = 0;
                    queue.held -= block.as_ref().bytes.len();
                    done(shard, block)?;
                }
            }
            let Some(least) = self.least() else { return Ok(()) };
            let queue = &self.queues[least];
            let block = queue.blocks[0].as_ref();
            let until = self.run_end(least, block, queue.next);
            if until == queue.next {
                return Ok(());
            }
            write(block.text(queue.next, until))?;
            self.queues[least].next = until;
        }
    }

    /// The shard whose next row is least; of equals the first.
    fn least(&self) -> Option<usize> {
        let heads = self.queues.iter().enumerate().filter(|(_, queue)| !queue.blocks.is_empty());
        heads.min_by(|(_, a), (_, b)| a.head().cmp(b.head())).map(|(shard, _)| shard)
    }

    /// One past the last row of `block`, from `from` on, that no other shard can precede.
    fn run_end(&self, shard: usize, block: &Block, from: usize) -> usize {
        let others = self.queues.iter().enumerate().filter(|(other, _)| *other != shard);
        let mut end = block.rows();
        for (other, queue) in others {
            let bound = if queue.blocks.is_empty() {
                if queue.finished {
                    continue;
                }
                &queue.frontier
            } else {
                queue.head()
            };
            // A row equal to what another shard has or may bring goes first if its shard is lower.
            let goes = |row: usize| if shard < other { block.key(row) <= bound } else { block.key(row) < bound };
            if goes(end.max(from + 1) - 1) {
                continue;
            }
            let (mut low, mut high) = (from, end);
            while low < high {
                let middle = (low + high) / 2;
                if goes(middle) { low = middle + 1 } else { high = middle }
            }
            end = low;
        }
        end
    }
}

impl<B> Queue<B> {
    fn new() -> Self {
        Queue { blocks: VecDeque::new(), next: 0, held: 0, frontier: Vec::new(), finished: false }
    }

    /// Holds rows, each its key and its text.
    fn hold(&mut self, rows: &[(&[u8], &[u8])], mut own: impl FnMut(Block) -> B) {
        let mut block = Block::default();
        for (number, (key, text)) in rows.iter().enumerate() {
            block.keys.extend_from_slice(key);
            block.key_ends.push(block.keys.len() as u32);
            block.bytes.extend(text);
            block.ends.push(block.bytes.len() as u32);
            if block.bytes.len() >= RESTORED_BYTES || number + 1 == rows.len() {
                self.held += block.bytes.len();
                self.blocks.push_back(own(std::mem::take(&mut block)));
            }
        }
    }
}

impl<B: AsRef<Block>> Queue<B> {
    /// Key of the next row. Only with a block at hand, whose rows are not used up.
    fn head(&self) -> &[u8] {
        self.blocks[0].as_ref().key(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Own(Block);

    impl AsRef<Block> for Own {
        fn as_ref(&self) -> &Block {
            &self.0
        }
    }

    fn block(shard: usize, keys: &[u8]) -> Own {
        let mut block = Block::default();
        for &key in keys {
            block.bytes.extend(format!("{key}@{shard}\n").as_bytes());
            block.ends.push(block.bytes.len() as u32);
            block.keys.extend([key, key]);
            block.key_ends.push(block.keys.len() as u32);
        }
        Own(block)
    }

    proptest! {
        /// However blocks, frontiers and ends of the shards come in, the rows go out sorted.
        #[test]
        fn the_output_is_the_sorted_input(
            mut rows in prop::collection::vec(prop::collection::vec(0u8..20, 0..30), 1..5),
            schedule in prop::collection::vec((0usize..5, 1usize..7, any::<bool>()), 0..60),
        ) {
            for rows in &mut rows {
                rows.sort_unstable();
            }
            let mut expected: Vec<(u8, usize)> =
                rows.iter().enumerate().flat_map(|(shard, rows)| rows.iter().map(move |&key| (key, shard))).collect();
            expected.sort_unstable();
            let expected: String = expected.iter().map(|(key, shard)| format!("{key}@{shard}\n")).collect();

            let mut merger = Merger::new(rows.len(), false);
            let mut next = vec![0; rows.len()];
            let mut out = Vec::new();
            let mut back = 0;
            let rest = (0..rows.len()).map(|shard| (shard, 100, true));
            for (shard, count, frontier) in schedule.into_iter().chain(rest) {
                let shard = shard % rows.len();
                let end = (next[shard] + count).min(rows[shard].len());
                if end > next[shard] {
                    merger.push(shard, block(shard, &rows[shard][next[shard]..end]));
                    next[shard] = end;
                } else if count == 100 {
                    merger.finish(shard);
                }
                if frontier {
                    match rows[shard].get(next[shard]) {
                        Some(&key) => merger.frontier(shard, vec![key, key]),
                        None => merger.finish(shard),
                    }
                }
                merger.drain(|text| { out.extend_from_slice(text); Ok::<_, ()>(()) }, |_, _| { back += 1; Ok(()) }).unwrap();
            }
            prop_assert!(merger.is_done());
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
            prop_assert!((0..rows.len()).all(|shard| merger.held(shard) == 0));
        }
    }
}
