//! Owned rows: the arena batch that a shard fills, sends, and gets back.
//!
//! A [`Batch`] owns its columns, all carved from one arena, and the long text they point to. It is
//! `Send` (a ring carries it to another core), neither `Sync` nor `Clone`, and is emptied only
//! through `&mut`, which only the shard that owns it has. Readers see it as a [`Chunk`] of borrowed
//! [`Vector`]s, which is also what operators hand to each other, so a column is a slice everywhere.
//!
//! Columns may be *absent*: what crosses between shards comes in forms that share some columns and not others
//! (see `agg::raw`). An absent column has no values, in the chunk as in the batch, and all rows of a batch are
//! of one form: [`Batch::takes`].

#![allow(unsafe_code, reason = "columns live in one arena")]

mod select;
mod store;
mod text;
mod vector;

use bumpalo::Bump;
use std::ops::Range;
use std::ptr::NonNull;

use select::{Selection, as_range};
use store::Store;

pub use text::{INLINE_MAX, Text};
pub use vector::{BATCH_ROWS, BITMAP_WORDS, Chunk, Data, Nulls, Vector, count_nulls, gather, is_null, slice};

use crate::operator::TIME_MIN;
use crate::types::Physical;

/// Up to [`BATCH_ROWS`] rows, columnar, in memory of its own.
pub struct Batch {
    columns: Vec<Column>,
    positions: NonNull<[u64]>,
    ordinals: NonNull<[u64]>,
    floors: NonNull<[i64]>,
    has_positions: bool,
    has_ordinals: bool,
    has_floors: bool,
    rows: usize,
    /// Rows there is room for.
    room: usize,
    /// Time-stamp counter when the newest row's bytes had been read; 0 if not measured.
    pub stamp: u64,
    /// Long text; reset with the batch.
    heap: Bump,
    /// The columns; lives as long as the batch and is never reset. `columns` points into it.
    arena: Bump,
}

struct Column {
    values: Values,
    nulls: NonNull<[u64]>,
    has_nulls: bool,
    /// The batch's rows have no values here.
    is_absent: bool,
}

#[derive(Clone, Copy)]
enum Values {
    I64(NonNull<[i64]>),
    I128(NonNull<[i128]>),
    F64(NonNull<[f64]>),
    // Really `Text<'heap>`: points into `Batch::heap`.
    Text(NonNull<[Text<'static>]>),
}

// SAFETY: the pointers lead into `arena` and `heap`, which the batch owns and which move with it.
unsafe impl Send for Batch {}

impl Batch {
    /// An empty batch with room for [`BATCH_ROWS`] rows of these columns.
    pub fn new(layout: &[Physical]) -> Self {
        Batch::with_room(layout, BATCH_ROWS)
    }

    /// An empty batch with room for `room` rows of these columns, [`BATCH_ROWS`] at most.
    pub fn with_room(layout: &[Physical], room: usize) -> Self {
        assert!(room <= BATCH_ROWS);
        let arena = Bump::new();
        let words = || NonNull::from(arena.alloc_slice_fill_copy(BITMAP_WORDS, 0u64));
        let columns = layout.iter().map(|physical| {
            let values = match physical {
                Physical::I64 => Values::I64(NonNull::from(arena.alloc_slice_fill_copy(room, 0i64))),
                Physical::I128 => Values::I128(NonNull::from(arena.alloc_slice_fill_copy(room, 0i128))),
                Physical::F64 => Values::F64(NonNull::from(arena.alloc_slice_fill_copy(room, 0f64))),
                Physical::Text => Values::Text(NonNull::from(arena.alloc_slice_fill_copy(room, Text::EMPTY))),
            };
            Column { values, nulls: words(), has_nulls: false, is_absent: false }
        });
        let columns = columns.collect();
        let positions = NonNull::from(arena.alloc_slice_fill_copy(room, 0u64));
        let ordinals = NonNull::from(arena.alloc_slice_fill_copy(room, 0u64));
        let floors = NonNull::from(arena.alloc_slice_fill_copy(room, TIME_MIN));
        Batch {
            columns,
            positions,
            ordinals,
            floors,
            has_positions: false,
            has_ordinals: false,
            has_floors: false,
            rows: 0,
            room,
            stamp: 0,
            heap: Bump::new(),
            arena,
        }
    }

    /// Number of rows.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Says that the first `rows` rows of every column are filled.
    #[inline]
    pub fn set_rows(&mut self, rows: usize) {
        assert!(rows <= self.room);
        self.rows = rows;
    }

    /// Bytes the batch holds, long text included.
    pub fn bytes(&self) -> usize {
        self.arena.allocated_bytes() + self.heap.allocated_bytes()
    }

    /// Bytes its rows take in the columns, long text and side columns included.
    pub fn column_bytes(&self) -> usize {
        let width = |column: &Column| match column.values {
            Values::I64(_) | Values::F64(_) => 8,
            Values::I128(_) | Values::Text(_) => 16,
        };
        let side = 8 * [self.has_positions, self.has_ordinals, self.has_floors].map(usize::from).iter().sum::<usize>();
        let row: usize = side + self.columns.iter().filter(|column| !column.is_absent).map(width).sum::<usize>();
        self.rows * row + self.heap.allocated_bytes()
    }

    /// Empties the batch for its next use; only its home shard does this.
    pub fn reset(&mut self) {
        self.rows = 0;
        self.stamp = 0;
        self.has_positions = false;
        self.has_ordinals = false;
        if std::mem::take(&mut self.has_floors) {
            // SAFETY: as in `i64s_mut`.
            unsafe { self.floors.as_mut() }.fill(TIME_MIN);
        }
        let long_text = self.heap.allocated_bytes() > 0;
        for column in &mut self.columns {
            column.is_absent = false;
            if column.has_nulls {
                column.has_nulls = false;
                // SAFETY: points into `self.arena`, borrowed mutably through `&mut self`.
                unsafe { column.nulls.as_mut() }.fill(0);
            }
            if let (true, Values::Text(mut values)) = (long_text, column.values) {
                // No view may outlive the text it points to.
                // SAFETY: points into `self.arena`, borrowed mutably through `&mut self`.
                unsafe { values.as_mut() }.fill(Text::EMPTY);
            }
        }
        if long_text {
            self.heap.reset();
        }
    }

    /// The `i64` column at `column`, all there is room for, to be filled.
    #[inline]
    pub fn i64s_mut(&mut self, column: usize) -> &mut [i64] {
        let Values::I64(mut values) = self.columns[column].values else { panic!("the plan promised an i64 column") };
        // SAFETY: points into `self.arena`, borrowed mutably through `&mut self`.
        unsafe { values.as_mut() }
    }

    /// The `i128` column at `column`, to be filled.
    #[inline]
    pub fn i128s_mut(&mut self, column: usize) -> &mut [i128] {
        let Values::I128(mut values) = self.columns[column].values else { panic!("the plan promised an i128 column") };
        // SAFETY: as in `i64s_mut`.
        unsafe { values.as_mut() }
    }

    /// The `f64` column at `column`, to be filled.
    #[inline]
    pub fn f64s_mut(&mut self, column: usize) -> &mut [f64] {
        let Values::F64(mut values) = self.columns[column].values else { panic!("the plan promised an f64 column") };
        // SAFETY: as in `i64s_mut`.
        unsafe { values.as_mut() }
    }

    /// The text column at `column`, to be filled; long text is copied into the batch.
    #[inline]
    pub fn texts_mut(&mut self, column: usize) -> TextsMut<'_> {
        let Values::Text(mut values) = self.columns[column].values else { panic!("the plan promised a text column") };
        // SAFETY: as in `i64s_mut`; `heap` is a field of its own, so the two borrows are apart.
        TextsMut { slots: unsafe { values.as_mut() }, heap: &self.heap }
    }

    /// Where each row came from (see [`Chunk::positions`]), to be filled.
    #[inline]
    pub fn positions_mut(&mut self) -> &mut [u64] {
        self.has_positions = true;
        // SAFETY: as in `i64s_mut`.
        unsafe { self.positions.as_mut() }
    }

    /// Which row each is (see [`Chunk::ordinals`]), to be filled.
    #[inline]
    pub fn ordinals_mut(&mut self) -> &mut [u64] {
        self.has_ordinals = true;
        // SAFETY: as in `i64s_mut`.
        unsafe { self.ordinals.as_mut() }
    }

    /// Makes `row` of `column` NULL.
    #[inline]
    pub fn set_null(&mut self, column: usize, row: usize) {
        self.nulls_mut(column)[row / 64] |= 1 << (row % 64);
    }

    /// The NULL bitmap of `column` as [`BITMAP_WORDS`] words, to be written; marks the column as
    /// having NULLs.
    #[inline]
    pub fn nulls_mut(&mut self, column: usize) -> &mut [u64] {
        let column = &mut self.columns[column];
        column.has_nulls = true;
        // SAFETY: as in `i64s_mut`.
        unsafe { column.nulls.as_mut() }
    }

    /// One column, up to the number of rows.
    #[inline]
    pub fn vector(&self, column: usize) -> Vector<'_> {
        let column = &self.columns[column];
        let rows = if column.is_absent { 0 } else { self.rows };
        // SAFETY: every pointer leads into `self.arena`, shared through `&self`; long text is in
        // `self.heap`, which is only reset through `&mut self`.
        unsafe {
            let data = match &column.values {
                Values::I64(values) => Data::I64(&values.as_ref()[..rows]),
                Values::I128(values) => Data::I128(&values.as_ref()[..rows]),
                Values::F64(values) => Data::F64(&values.as_ref()[..rows]),
                Values::Text(values) => Data::Text(&values.as_ref()[..rows]),
            };
            Vector { data, nulls: column.has_nulls.then_some(column.nulls.as_ref()) }
        }
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// All rows as a [`Chunk`]; only the list of columns is put into `scratch`.
    #[inline]
    pub fn chunk<'a>(&'a self, scratch: &'a Bump) -> Chunk<'a> {
        let columns = scratch.alloc_slice_fill_iter((0..self.width()).map(|column| self.vector(column)));
        Chunk {
            rows: self.rows,
            columns,
            positions: self.positions(),
            ordinals: self.ordinals(),
            floors: self.floors(),
            stamp: self.stamp,
        }
    }

    /// Where each row came from, if it was filled.
    pub fn positions(&self) -> Option<&[u64]> {
        // SAFETY: as in `vector`.
        self.has_positions.then(|| unsafe { &self.positions.as_ref()[..self.rows] })
    }

    /// Which row each is, if it was filled.
    pub fn ordinals(&self) -> Option<&[u64]> {
        // SAFETY: as in `vector`.
        self.has_ordinals.then(|| unsafe { &self.ordinals.as_ref()[..self.rows] })
    }

    /// By when a row's windows may have ended (see [`Chunk::floors`]), if some row has one.
    pub fn floors(&self) -> Option<&[i64]> {
        // SAFETY: as in `vector`.
        self.has_floors.then(|| unsafe { &self.floors.as_ref()[..self.rows] })
    }

    /// Whether rows of `chunk` can be appended: none are here yet, or they lack the same columns.
    pub fn takes(&self, chunk: &Chunk<'_>) -> bool {
        let mut both = self.columns.iter().zip(chunk.columns);
        self.rows == 0 || both.all(|(column, source)| column.is_absent == source.is_absent(chunk.rows))
    }

    /// Notes which columns `chunk` lacks.
    fn note_absent(&mut self, chunk: &Chunk<'_>) {
        debug_assert!(self.takes(chunk), "rows of one batch lack the same columns");
        if self.rows == 0 {
            for (column, source) in self.columns.iter_mut().zip(chunk.columns) {
                column.is_absent = source.is_absent(chunk.rows);
            }
        }
    }

    /// Appends the rows of `chunk` from `first` on, copying long text; returns how many fit.
    pub fn append_from(&mut self, chunk: &Chunk<'_>, first: usize) -> usize {
        self.append_range(chunk, first..chunk.rows, Store::Near)
    }

    fn append_range(&mut self, chunk: &Chunk<'_>, rows: Range<usize>, store: Store) -> usize {
        self.note_absent(chunk);
        let start = self.rows;
        let count = rows.len().min(self.room - start);
        let (from, to) = (rows.start..rows.start + count, start..start + count);
        for (index, source) in chunk.columns.iter().enumerate() {
            if self.columns[index].is_absent {
                continue;
            }
            match source.data {
                Data::I64(values) => store.copy(&values[from.clone()], &mut self.i64s_mut(index)[to.clone()]),
                Data::I128(values) => store.copy(&values[from.clone()], &mut self.i128s_mut(index)[to.clone()]),
                Data::F64(values) => store.copy(&values[from.clone()], &mut self.f64s_mut(index)[to.clone()]),
                Data::Text(values) => self.texts_mut(index).set_all(start, &values[from.clone()], store),
            }
            if source.nulls.is_some() {
                let nulls = to.clone().zip(from.clone()).filter(|&(_, row)| source.is_null(row));
                nulls.for_each(|(to, _)| self.set_null(index, to));
            }
        }
        if let Some(positions) = chunk.positions {
            store.copy(&positions[from.clone()], &mut self.positions_mut()[to.clone()]);
        }
        if let Some(ordinals) = chunk.ordinals {
            store.copy(&ordinals[from.clone()], &mut self.ordinals_mut()[to.clone()]);
        }
        if let Some(floors) = chunk.floors {
            self.floors_mut()[to].copy_from_slice(&floors[from]);
        }
        store.end();
        self.stamp = self.stamp.max(chunk.stamp);
        self.rows = start + count;
        count
    }

    /// Appends the rows of `chunk` named by `selection`, copying long text; returns how many fit.
    pub fn append(&mut self, chunk: &Chunk<'_>, selection: &[u16]) -> usize {
        self.append_by(chunk, selection, Store::Near)
    }

    /// The same for a batch that another core will read, and has read before: past the caches, for to take
    /// the lines back from that core costs several times as much as to write them to memory.
    pub fn append_away(&mut self, chunk: &Chunk<'_>, selection: &[u16]) -> usize {
        self.append_by(chunk, selection, Store::Away)
    }

    fn append_by(&mut self, chunk: &Chunk<'_>, selection: &[u16], store: Store) -> usize {
        if let Some(rows) = as_range(selection) {
            return self.append_range(chunk, rows, store);
        }
        self.note_absent(chunk);
        let start = self.rows;
        let count = selection.len().min(self.room - start);
        let selection = Selection::new(&selection[..count]);
        for (index, source) in chunk.columns.iter().enumerate() {
            if self.columns[index].is_absent {
                continue;
            }
            match source.data {
                Data::I64(from) => store.fill(selection.of(from), &mut self.i64s_mut(index)[start..]),
                Data::I128(from) => store.fill(selection.of(from), &mut self.i128s_mut(index)[start..]),
                Data::F64(from) => store.fill(selection.of(from), &mut self.f64s_mut(index)[start..]),
                Data::Text(from) => self.texts_mut(index).set_selected(start, from, &selection, store),
            }
            if source.nulls.is_some() {
                for (to, &row) in selection.rows.iter().enumerate() {
                    if source.is_null(usize::from(row)) {
                        self.set_null(index, start + to);
                    }
                }
            }
        }
        if let Some(from) = chunk.positions {
            store.fill(selection.of(from), &mut self.positions_mut()[start..]);
        }
        if let Some(from) = chunk.ordinals {
            store.fill(selection.of(from), &mut self.ordinals_mut()[start..]);
        }
        if let Some(from) = chunk.floors {
            store.fill(selection.of(from), &mut self.floors_mut()[start..]);
        }
        store.end();
        self.stamp = self.stamp.max(chunk.stamp);
        self.rows = start + count;
        count
    }

    /// By when windows may have ended, to be filled. Rows without one keep the least of all times, with which
    /// the batch began.
    fn floors_mut(&mut self) -> &mut [i64] {
        self.has_floors = true;
        // SAFETY: as in `i64s_mut`.
        unsafe { self.floors.as_mut() }
    }
}

/// A text column of a [`Batch`] that is being filled.
pub struct TextsMut<'b> {
    slots: &'b mut [Text<'static>],
    heap: &'b Bump,
}

impl TextsMut<'_> {
    /// Puts `bytes` at `row`.
    #[inline]
    pub fn set(&mut self, row: usize, bytes: &[u8]) {
        self.set_view(row, Text::new(bytes));
    }

    /// Puts `text` at `row`, copying it into the batch when it is long.
    #[inline]
    pub fn set_view(&mut self, row: usize, text: Text<'_>) {
        let text = text.copy_to(self.heap);
        // SAFETY: the view points into the batch's own heap, and every way to read it back
        // (`Batch::vector`) ties it to a borrow of the batch; `reset` clears it with the heap.
        self.slots[row] = unsafe { std::mem::transmute::<Text<'_>, Text<'static>>(text) };
    }

    /// Puts `texts` at `start` and behind.
    fn set_all(&mut self, start: usize, texts: &[Text<'_>], store: Store) {
        if !texts.iter().fold(true, |all, text| all & text.is_inline()) {
            return texts.iter().zip(start..).for_each(|(&text, to)| self.set_view(to, text));
        }
        // SAFETY: the views hold their texts themselves, so they borrow nothing.
        let inline = texts.iter().map(|&text| unsafe { std::mem::transmute::<Text<'_>, Text<'static>>(text) });
        store.fill(inline, &mut self.slots[start..start + texts.len()]);
    }

    /// Puts the selected ones of `texts` at `start` and behind.
    fn set_selected(&mut self, start: usize, texts: &[Text<'_>], selection: &Selection<'_>, store: Store) {
        if !selection.of(texts).fold(true, |all, text| all & text.is_inline()) {
            return selection.of(texts).zip(start..).for_each(|(text, to)| self.set_view(to, text));
        }
        // SAFETY: the views hold their texts themselves, so they borrow nothing.
        let inline = selection.of(texts).map(|text| unsafe { std::mem::transmute::<Text<'_>, Text<'static>>(text) });
        store.fill(inline, &mut self.slots[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_batch_shows_nothing_of_its_last_use() {
        let mut batch = Batch::new(&[Physical::I64, Physical::Text]);
        batch.i64s_mut(0)[0] = 7;
        batch.texts_mut(1).set(0, b"longer than twelve bytes");
        batch.set_null(0, 0);
        batch.positions_mut()[0] = 9;
        batch.set_rows(1);
        assert_eq!(batch.vector(1).texts()[0].as_bytes(), b"longer than twelve bytes");
        assert!(batch.vector(0).is_null(0));
        batch.reset();
        batch.set_rows(1);
        assert_eq!(batch.vector(1).texts()[0], Text::EMPTY);
        assert!(!batch.vector(0).is_null(0));
        assert!(batch.positions().is_none());
    }

    #[test]
    fn a_smaller_batch_takes_less() {
        let mut home = Batch::new(&[Physical::I64, Physical::Text]);
        home.i64s_mut(0)[..100].copy_from_slice(&[3; 100]);
        home.set_rows(100);
        let mut away = Batch::with_room(&[Physical::I64, Physical::Text], 64);
        assert!(away.bytes() < home.bytes() / 4);
        let scratch = Bump::new();
        let selection: Vec<u16> = (0..100).collect();
        assert_eq!(away.append(&home.chunk(&scratch), &selection), 64);
        assert_eq!(away.append(&home.chunk(&scratch), &selection), 0);
        assert_eq!(away.vector(0).i64s(), [3; 64]);
    }

    #[test]
    fn a_batch_takes_rows_of_one_form() {
        let scratch = Bump::new();
        let (whole, none) = (Vector::new(Data::I64(&[1, 2])), Vector::new(Data::I64(&[])));
        let text = Vector::new(Data::Text(&[]));
        let chunk = |columns| Chunk { rows: 2, columns, positions: None, ordinals: None, floors: None, stamp: 0 };
        let (first, second) = ([whole, none, text], [whole, whole, text]);
        let (first, second) = (chunk(&first), chunk(&second));
        let mut batch = Batch::new(&[Physical::I64, Physical::I64, Physical::Text]);
        assert!(batch.takes(&first) && batch.takes(&second));
        batch.append(&first, &[1, 0]);
        assert!(batch.takes(&first) && !batch.takes(&second));
        batch.append_from(&first, 1);
        let seen = batch.chunk(&scratch);
        assert_eq!((seen.rows, seen.columns[0].i64s()), (3, &[2, 1, 2][..]));
        assert!(seen.columns[1].is_absent(3) && seen.columns[2].is_absent(3));
        assert_eq!(batch.column_bytes(), 24);
        batch.reset();
        batch.append(&second, &[1]);
        assert_eq!(batch.vector(1).i64s(), [2]);
    }

    #[test]
    fn append_takes_what_fits_and_copies_long_text() {
        let mut home = Batch::new(&[Physical::Text]);
        for row in 0..1000 {
            home.texts_mut(0).set(row, format!("a rather long text {row}").as_bytes());
        }
        home.set_null(0, 3);
        home.set_rows(1000);
        let mut away = Batch::new(&[Physical::Text]);
        let scratch = Bump::new();
        let selection: Vec<u16> = (0..1000).collect();
        assert_eq!(away.append(&home.chunk(&scratch), &selection), 1000);
        assert_eq!(away.append(&home.chunk(&scratch), &selection), 24);
        let mut whole = Batch::new(&[Physical::Text]);
        assert_eq!(whole.append_from(&home.chunk(&scratch), 0), 1000);
        assert_eq!(whole.append_from(&home.chunk(&scratch), 0), 24);
        assert_eq!(whole.append_from(&home.chunk(&scratch), 24), 0);
        drop(scratch);
        home.reset();
        for row in 0..BATCH_ROWS {
            assert_eq!(whole.vector(0).texts()[row], away.vector(0).texts()[row]);
            assert_eq!(whole.vector(0).is_null(row), away.vector(0).is_null(row));
        }
        assert_eq!(away.vector(0).texts()[1023].as_bytes(), b"a rather long text 23");
        assert!(away.vector(0).is_null(3) && away.vector(0).is_null(1003) && !away.vector(0).is_null(4));
    }
}
