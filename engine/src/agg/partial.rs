//! Partial states as columns: what a source shard ships, and how the owner takes it in.
//!
//! A partial state is a row `[window_start,] keys.., accumulators.. [, source]`. The last column,
//! the shard that made the state, is there when doubles are summed: they are kept apart per source
//! and added in order of shard, so that no sum depends on which state arrived first.

use bumpalo::Bump;

use super::add::{add_i128, add_i192, merge_end, merge_extreme, merge_moments};
use super::answer::{Source, put_value};
use super::key::{Keys, get_i128};
use super::pair::{self, MOMENT_WORDS};
use super::shape::{Accumulator, Kind, Shape};
use super::update::{Ahead, Groups, Picked, Target, tags};
use crate::batch::Chunk;
use crate::error::Result;
use crate::operator::Column;
use crate::types::{DataType, Field, Physical};

const WIDE: DataType = DataType::Decimal { precision: 38, scale: 0 };

impl Shape {
    /// A partial state names its source shard.
    pub(crate) fn has_source(&self) -> bool {
        self.accumulators.iter().any(|accumulator| accumulator.kind.by_source())
    }

    /// Types of an accumulator's columns.
    fn partial_types(&self, accumulator: &Accumulator) -> Vec<DataType> {
        let argument = accumulator.argument.map_or(DataType::BigInt, |at| self.arguments[at].expression.data_type);
        match accumulator.kind {
            Kind::Rows | Kind::Nulls => vec![DataType::BigInt],
            Kind::Sum => vec![WIDE],
            Kind::WideSum | Kind::WideSquares => vec![WIDE, DataType::BigInt],
            Kind::FloatSum => vec![DataType::Double],
            Kind::Moments => vec![DataType::Double; 3],
            // In order-preserving form, in which "no value yet" needs no NULL.
            Kind::Min(Physical::F64) | Kind::Max(Physical::F64) => vec![DataType::BigInt],
            Kind::Min(_) | Kind::Max(_) => vec![argument],
            Kind::First(_) | Kind::Last(_) => vec![DataType::BigInt, argument],
            Kind::CoMoments => vec![DataType::Double; MOMENT_WORDS],
            Kind::Beside(_) => {
                let second = accumulator.argument.and_then(|at| self.arguments[at].second.as_ref());
                let by = second.map_or(DataType::BigInt, |second| second.data_type);
                // In order-preserving form, as of MIN and MAX.
                vec![DataType::BigInt, if by == DataType::Double { DataType::BigInt } else { by }, argument]
            }
            Kind::List => unreachable!("lists do not cross"),
        }
    }

    /// The accumulator columns of a partial state, the source included.
    pub(crate) fn partial_fields(&self) -> Vec<Field> {
        let mut fields = Vec::new();
        for accumulator in &self.accumulators {
            for data_type in self.partial_types(accumulator) {
                fields.push(Field { name: format!("state_{}", fields.len()), data_type });
            }
        }
        if self.has_source() {
            fields.push(Field { name: "source".to_owned(), data_type: DataType::BigInt });
        }
        fields
    }

    /// Writes the accumulators of `source`'s groups to their columns.
    pub(crate) fn write_partial(&self, source: &Source<'_>, shard: usize, out: &mut [Column<'_>]) {
        let mut out = out.iter_mut();
        let mut next = || out.next().expect("one column per field of the partial schema");
        let rows = || (source.start..).zip(source.bases.iter().map(|&base| base as usize));
        for accumulator in &self.accumulators {
            let at = accumulator.offset;
            match accumulator.kind {
                Kind::Nulls => {
                    let out = next().i64s();
                    for (row, &base) in (source.start..).zip(source.bases) {
                        out[row] = source.nulls.get(base, at) as i64;
                    }
                }
                Kind::Rows | Kind::Min(Physical::F64) | Kind::Max(Physical::F64) => {
                    let out = next().i64s();
                    rows().for_each(|(row, base)| out[row] = source.state[base + at] as i64);
                }
                Kind::Sum => {
                    let out = next().i128s();
                    rows().for_each(|(row, base)| out[row] = get_i128(source.state, base + at));
                }
                Kind::WideSum | Kind::WideSquares => {
                    let (low, high) = (next().i128s(), next().i64s());
                    for (row, base) in rows() {
                        low[row] = get_i128(source.state, base + at);
                        high[row] = source.state[base + at + 2] as i64;
                    }
                }
                Kind::FloatSum => {
                    let out = next().f64s();
                    rows().for_each(|(row, base)| out[row] = f64::from_bits(source.state[base + at]));
                }
                Kind::Moments => {
                    for part in 0..3 {
                        let out = next().f64s();
                        rows().for_each(|(row, base)| out[row] = f64::from_bits(source.state[base + at + part]));
                    }
                }
                Kind::Min(physical) | Kind::Max(physical) => {
                    let out = next();
                    rows().for_each(|(row, base)| put_value(physical, source, base + at, out, row));
                }
                Kind::CoMoments => {
                    for part in 0..MOMENT_WORDS {
                        let out = next().f64s();
                        rows().for_each(|(row, base)| out[row] = f64::from_bits(source.state[base + at + part]));
                    }
                }
                Kind::Beside(beside) => {
                    let out = next().i64s();
                    rows().for_each(|(row, base)| out[row] = source.state[base + at] as i64);
                    let by = if beside.by == Physical::F64 { Physical::I64 } else { beside.by };
                    for (physical, offset) in [(by, 1), (beside.value, beside.value_at())] {
                        let out = next();
                        rows().for_each(|(row, base)| put_value(physical, source, base + at + offset, out, row));
                    }
                }
                Kind::List => unreachable!("lists do not cross"),
                Kind::First(physical) | Kind::Last(physical) => {
                    let out = next().i64s();
                    rows().for_each(|(row, base)| out[row] = source.state[base + at] as i64);
                    let out = next();
                    rows().for_each(|(row, base)| put_value(physical, source, base + at + 1, out, row));
                }
            }
        }
        if self.has_source() {
            let out = next().i64s();
            rows().for_each(|(row, _)| out[row] = shard as i64);
        }
    }
}

impl Groups {
    /// Takes in partial states whose key columns begin at `first`.
    pub(crate) fn merge<'a>(
        &mut self,
        shape: &Shape,
        chunk: &Chunk<'a>,
        first: usize,
        hash_seed: u64,
        scratch: &'a Bump,
    ) -> Result<()> {
        let keys = &chunk.columns[first..first + shape.key.width()];
        let tags = tags(keys, chunk.rows, hash_seed, scratch);
        let bases = scratch.alloc_slice_fill_copy(chunk.rows, 0u32);
        if self.table.is_large() && shape.key.width() > 0 {
            let mut ahead = Ahead::new(&self.table, tags, bases);
            while let Some((piece, bases)) = ahead.next(&self.table) {
                let chunk = chunk.slice(piece.clone(), scratch);
                let columns = &chunk.columns[first..first + shape.key.width()];
                self.table.settle(&shape.key, &Keys { columns, tags: &tags[piece] }, &shape.initial, bases, scratch)?;
                self.merge_found(shape, &chunk, first, bases);
            }
        } else {
            self.table.locate(&shape.key, &Keys { columns: keys, tags }, &shape.initial, bases, scratch)?;
            self.merge_found(shape, chunk, first, bases);
        }
        self.texts.end_chunk();
        Ok(())
    }

    /// Takes in partial states of the groups at `bases`.
    fn merge_found(&mut self, shape: &Shape, chunk: &Chunk<'_>, first: usize, bases: &[u32]) {
        self.keep(bases);
        let states = &chunk.columns[first + shape.key.width()..];
        let picked = Picked { bases, values: None, positions: None, seen: None };
        let nulls = &mut self.nulls;
        let mut target = Target { stride: shape.stride, state: &mut self.table.state, nulls, snapshot: None };
        let sources = shape.has_source().then(|| states[states.len() - 1].i64s());
        let mut states = states.iter();
        let mut next = || states.next().expect("one column per field of the partial schema");
        for accumulator in &shape.accumulators {
            let at = accumulator.offset;
            match accumulator.kind {
                Kind::Nulls => {
                    let counts = next().i64s();
                    bases.iter().zip(counts).for_each(|(&base, &count)| target.nulls.add(base, at, count as u64));
                }
                Kind::Rows => {
                    let counts = next().i64s();
                    target.each(at, &picked, |row, [word]: &mut [u64; 1]| *word += counts[row] as u64);
                }
                Kind::Sum => {
                    let sums = next().i128s();
                    target.each(at, &picked, |row, words| add_i128(words, sums[row]));
                }
                Kind::WideSum | Kind::WideSquares => {
                    let (low, high) = (next().i128s(), next().i64s());
                    target.each(at, &picked, |row, words| add_i192(words, low[row] as u128, high[row] as u64));
                }
                Kind::FloatSum => {
                    let sums = next().f64s();
                    add_per_source(&mut target, at, &picked, sources, 1, |row, words: &mut [u64; 1]| {
                        words[0] = (f64::from_bits(words[0]) + sums[row]).to_bits();
                    });
                }
                Kind::Moments => {
                    let parts = [next().f64s(), next().f64s(), next().f64s()];
                    add_per_source(&mut target, at, &picked, sources, 3, |row, words: &mut [u64; 3]| {
                        let merged = merge_moments(words.map(f64::from_bits), parts.map(|part| part[row]));
                        *words = merged.map(f64::to_bits);
                    });
                }
                Kind::Min(_) | Kind::Max(_) => {
                    merge_extreme(accumulator, next(), &picked, &mut target, &mut self.texts)
                }
                Kind::CoMoments => {
                    let parts: [&[f64]; MOMENT_WORDS] = std::array::from_fn(|_| next().f64s());
                    add_per_source(&mut target, at, &picked, sources, MOMENT_WORDS, |row, words| {
                        pair::merge_moments(words, parts.map(|part| part[row]));
                    });
                }
                Kind::Beside(beside) => {
                    let (marks, by, value) = (next().i64s(), next(), next());
                    let values = [value, by];
                    beside.add(accumulator, values, Some(marks), &picked, &mut target, &mut self.texts);
                }
                Kind::List => unreachable!("lists do not cross"),
                Kind::First(_) | Kind::Last(_) => {
                    let (marks, values) = (next().i64s(), next());
                    merge_end(accumulator, marks, values, &picked, &mut target, &mut self.texts);
                }
            }
        }
    }
}

fn add_per_source<const W: usize>(
    target: &mut Target<'_>,
    at: usize,
    picked: &Picked<'_>,
    sources: Option<&[i64]>,
    width: usize,
    mut add: impl FnMut(usize, &mut [u64; W]),
) {
    let sources = sources.expect("partial states of doubles name their source");
    for (row, &base) in picked.bases.iter().enumerate() {
        let at = base as usize + at + sources[row] as usize * width;
        add(row, (&mut target.state[at..at + W]).try_into().expect("the slice has W words"));
    }
}
