//! One batch on its way from entries of the index to a chunk.
//!
//! Eager columns are converted for every row; then the scan decides which rows go on, and only for
//! those the lazy columns are converted. When all rows go on nothing is copied. A row that cannot be
//! converted is taken out where that is noticed: before the decision when an eager column is at
//! fault, after it for a lazy one.

use std::ops::Range;

use corelane_engine::batch::{Chunk, Data, Text, Vector, gather};
use corelane_engine::operator::{Context, Time};
use corelane_engine::plan::{Metadata, Scan};
use corelane_engine::scan::Selected;
use corelane_engine::stage::Stage;
use corelane_engine::types::DataType;
use corelane_engine::{Code, Error, Result};

use crate::bad::{BadRow, LateRow, Origin};
use crate::csv::Reason;
use crate::csv::convert::{self, Fault, Listed, Rows, Stretch};
use crate::csv::index::Index;
use crate::reader::{Counts, Found, Layout, Scanned, Stamps};

/// Which rows of the eager columns go on: `Scanner::select`, or its stand-in in tests.
pub(crate) type Decide<'d, 'a> = dyn FnMut(&Chunk<'a>) -> Result<Selected<'a>> + 'd;

/// How the stretch of the rows found is to be converted.
pub(crate) fn stretch<'a, 'i>(layout: &'i Layout, bytes: &'a [u8], index: &'i Index, found: &Found) -> Stretch<'a, 'i> {
    let mut check_utf8 = false;
    if index.high && layout.columns.iter().any(|column| column.data_type == DataType::Text) {
        let last = index.entries[found.consumed] as usize;
        check_utf8 = !layout.kernel.is_utf8(&bytes[index.first..last]);
    }
    Stretch {
        bytes,
        entries: &index.entries,
        dialect: layout.dialect,
        null: &layout.null,
        careful: index.quoted || !layout.null.is_empty(),
        check_utf8,
        fields: layout.fields,
        kernel: layout.kernel,
    }
}

/// One batch on its way from entries to a chunk.
pub(crate) struct Pass<'a, 'i> {
    pub layout: &'a Layout,
    pub stretch: Stretch<'a, 'i>,
    pub entries: &'i [u32],
    pub origin: Origin<'a>,
    pub scan: &'i Scan,
    pub context: &'i Context<'a>,
    pub stamp: u64,
    pub stamps: Stamps,
}

impl<'a> Pass<'a, '_> {
    /// Converts `rows`; those that cannot be are added to `bad`. `kept` and `faults` are room to work in.
    pub(crate) fn run(
        &self,
        rows: impl Rows,
        kept: &mut Vec<u32>,
        faults: &mut Vec<Fault>,
        bad: &mut Vec<BadRow<'a>>,
        decide: &mut Decide<'_, 'a>,
    ) -> Result<Scanned<'a>> {
        let eager = self.scan.eager;
        let columns = self.columns(&rows, 0..eager, faults);
        if faults.is_empty() {
            return self.select(rows, columns, faults, bad, decide);
        }
        self.leave_out(&rows, kept, faults, bad);
        let good = Listed(kept);
        let columns = self.columns(&good, 0..eager, faults);
        self.select(good, columns, faults, bad, decide)
    }

    /// Moves the rows with faults to `bad`, the first fault of each, and keeps the others.
    fn leave_out(&self, rows: &impl Rows, kept: &mut Vec<u32>, faults: &mut Vec<Fault>, bad: &mut Vec<BadRow<'a>>) {
        faults.sort_by_key(|fault| (fault.row, fault.column));
        faults.dedup_by_key(|fault| fault.row);
        kept.clear();
        let mut next = 0;
        for row in 0..rows.len() {
            let entry = rows.entry(row);
            match faults.get(next) {
                Some(fault) if fault.row == row => {
                    bad.push(self.bad_row(entry, fault));
                    next += 1;
                }
                _ => kept.push(entry as u32),
            }
        }
        faults.clear();
    }

    fn columns(&self, rows: &impl Rows, range: Range<usize>, faults: &mut Vec<Fault>) -> &'a [Vector<'a>] {
        let vectors = range.map(|column| {
            let (field, data_type) = (self.layout.bound[column], self.layout.columns[column].data_type);
            if let Some(metadata) = self.layout.columns[column].metadata {
                return self.metadata(metadata, rows);
            }
            convert::column(&self.stretch, rows, field, (column, data_type), self.context.scratch, faults)
        });
        let vectors: bumpalo::collections::Vec<'a, _> =
            bumpalo::collections::CollectIn::collect_in(vectors, self.context.scratch);
        vectors.into_bump_slice()
    }

    /// Where `rows` come from.
    fn metadata(&self, metadata: Metadata, rows: &impl Rows) -> Vector<'a> {
        let scratch = self.context.scratch;
        let offsets = (0..rows.len()).map(|row| self.offset(rows.entry(row)));
        Vector::new(match metadata {
            Metadata::File => {
                let name = Text::new(scratch.alloc_slice_copy(self.origin.file.name().as_bytes()));
                Data::Text(scratch.alloc_slice_fill_copy(rows.len(), name))
            }
            Metadata::Clock => Data::I64(self.stamps.column(rows.len(), scratch)),
            Metadata::Offset => Data::I64(scratch.alloc_slice_fill_iter(offsets.map(|offset| offset as i64))),
            Metadata::Line => {
                let line = |offset| self.origin.line(offset).map_or(0, |line| line as i64);
                Data::I64(scratch.alloc_slice_fill_iter(offsets.map(line)))
            }
        })
    }

    /// Asks which rows go on, and converts the rest of their columns.
    fn select(
        &self,
        rows: impl Rows,
        eager: &'a [Vector<'a>],
        faults: &mut Vec<Fault>,
        bad: &mut Vec<BadRow<'a>>,
        decide: &mut Decide<'_, 'a>,
    ) -> Result<Scanned<'a>> {
        let chunk = Chunk {
            rows: rows.len(),
            columns: eager,
            positions: None,
            ordinals: None,
            floors: None,
            stamp: self.stamp,
        };
        self.context.ledger.enter(Stage::Filter);
        let selected = decide(&chunk)?;
        self.context.ledger.enter(Stage::Convert);
        let times = match (selected.times, &self.scan.event_time) {
            (None, Some(_)) => return Err(Error::new(Code::Internal, "the scan's selection gave no event times")),
            (times, _) => times,
        };
        for &row in selected.timeless {
            let fault = Fault { row: usize::from(row), column: None, reason: Reason::Timeless };
            bad.push(self.bad_row(rows.entry(fault.row), &fault));
        }
        let late = selected.late.iter().zip(selected.late_watermarks).map(|(&row, &watermark)| {
            let time = times.map_or(0, |times| times.i64s()[usize::from(row)]);
            self.late_row(rows.entry(usize::from(row)), time, watermark)
        });
        let late = self.context.scratch.alloc_slice_fill_iter(late);
        let first_time = times.and_then(|times| {
            let first = (0..times.len()).find(|&row| !times.is_null(row))?;
            Some(times.i64s()[first])
        });
        let lazy = eager.len()..self.layout.columns.len();
        let (vectors, positions) = match selected.rows {
            None => (
                self.assemble(eager, times, None, &rows, lazy, faults),
                self.positions(&rows, self.scan.needs.positions),
            ),
            Some(chosen) => {
                let entries = chosen.iter().map(|&row| rows.entry(usize::from(row)) as u32);
                let entries = Listed(self.context.scratch.alloc_slice_fill_iter(entries));
                let vectors = self.assemble(eager, times, Some(chosen), &entries, lazy, faults);
                (vectors, self.positions(&entries, self.scan.needs.positions))
            }
        };
        let count = selected.rows.map_or(rows.len(), <[u16]>::len);
        let ordinals = self.scan.needs.ordinals.then(|| match selected.rows {
            None => &*self.context.scratch.alloc_slice_fill_iter((0..count as u16).map(u64::from)),
            Some(chosen) => self.context.scratch.alloc_slice_fill_iter(chosen.iter().map(|&row| u64::from(row))),
        });
        let floors = selected.floors.map(|floors| match selected.rows {
            None => floors,
            Some(chosen) => {
                self.context.scratch.alloc_slice_fill_iter(chosen.iter().map(|&row| floors[usize::from(row)]))
            }
        });
        let mut chunk = Chunk { rows: count, columns: vectors, positions, ordinals, floors, stamp: self.stamp };
        if !faults.is_empty() {
            chunk = self.without_faults(&chunk, &rows, selected.rows, faults, bad);
        }
        let counts = Counts { filtered: selected.filtered as u64, late: late.len() as u64, ..Counts::default() };
        Ok(Scanned { chunk, counts, late, bad: &[], first_time, stamped: rows.len() })
    }

    /// The chunk's columns: eager ones and time narrowed to `chosen`, lazy ones converted for `rows`.
    fn assemble(
        &self,
        eager: &'a [Vector<'a>],
        times: Option<Vector<'a>>,
        chosen: Option<&[u16]>,
        rows: &impl Rows,
        lazy: Range<usize>,
        faults: &mut Vec<Fault>,
    ) -> &'a [Vector<'a>] {
        let lazy = self.columns(rows, lazy, faults);
        let narrow = |vector: &Vector<'a>| match chosen {
            None => *vector,
            Some(chosen) => gather(vector, chosen, self.context.scratch),
        };
        let mut all = bumpalo::collections::Vec::with_capacity_in(eager.len() + lazy.len() + 1, self.context.scratch);
        all.extend(eager.iter().map(narrow));
        all.extend_from_slice(lazy);
        all.extend(times.as_ref().map(narrow));
        all.into_bump_slice()
    }

    /// Takes the rows out whose lazy columns could not be converted.
    fn without_faults(
        &self,
        chunk: &Chunk<'a>,
        rows: &impl Rows,
        chosen: Option<&[u16]>,
        faults: &mut Vec<Fault>,
        bad: &mut Vec<BadRow<'a>>,
    ) -> Chunk<'a> {
        faults.sort_by_key(|fault| (fault.row, fault.column));
        faults.dedup_by_key(|fault| fault.row);
        for fault in faults.iter() {
            let row = chosen.map_or(fault.row, |chosen| usize::from(chosen[fault.row]));
            bad.push(self.bad_row(rows.entry(row), fault));
        }
        let is_good = |row: &u16| faults.binary_search_by_key(&usize::from(*row), |fault| fault.row).is_err();
        let good: Vec<u16> = (0..chunk.rows as u16).filter(is_good).collect();
        faults.clear();
        chunk.gather(&good, self.context.scratch)
    }

    /// Offset in the file of the first byte of the row at `entry`.
    fn offset(&self, entry: usize) -> u64 {
        self.origin.block.base.wrapping_add(u64::from(self.entries[entry]) + 1)
    }

    fn positions(&self, rows: &impl Rows, needed: bool) -> Option<&'a [u64]> {
        let base = (u64::from(self.layout.split.id) << 32).wrapping_sub(self.layout.split.start);
        let position = |row| base.wrapping_add(self.offset(rows.entry(row)));
        needed.then(|| &*self.context.scratch.alloc_slice_fill_iter((0..rows.len()).map(position)))
    }

    /// The bytes of the row at `entry` without its line end.
    fn raw(&self, entry: usize) -> &'a [u8] {
        let start = self.entries[entry] as usize + 1;
        let ends = self.entries[entry + 1..].iter().map(|&end| end as usize);
        let bytes = self.stretch.bytes;
        let end = ends.into_iter().find(|&end| bytes[end] == b'\n').expect("a row has a line end");
        let line = &bytes[start..end];
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    pub(crate) fn bad_row(&self, entry: usize, fault: &Fault) -> BadRow<'a> {
        let field = fault.column.and_then(|column| self.layout.bound[column]);
        let value = field.map(|field| {
            let (start, end) = self.stretch.span(entry, field);
            &self.stretch.bytes[start..end]
        });
        let column = fault.column.map(|column| &self.layout.columns[column]);
        BadRow {
            origin: self.origin,
            offset: self.offset(entry),
            raw: self.raw(entry),
            column,
            value,
            reason: fault.reason,
        }
    }

    fn late_row(&self, entry: usize, time: Time, watermark: Time) -> LateRow<'a> {
        LateRow { origin: self.origin, offset: self.offset(entry), raw: self.raw(entry), time, watermark }
    }
}

#[cfg(test)]
mod tests {
    use bumpalo::Bump;
    use corelane_engine::batch::Data;
    use corelane_engine::expr::Expr;
    use corelane_engine::plan::{EventTime, Needs, ReadOrder, ScanColumn};
    use corelane_engine::stage::Ledger;

    use super::*;
    use crate::csv::Kernel;
    use crate::fs::MemoryDisk;
    use crate::options::ReadOptions;
    use crate::reader::Step;
    use crate::source::Source;

    /// Rows, late rows by offset, bad rows, counts.
    type Read = (Vec<String>, Vec<(u64, String)>, Vec<String>, Counts);

    const TIME: DataType = DataType::Timestamp { precision: 3, zone: None };

    /// Reads `text` with a decision by the number in the first column: its value modulo 4 makes a
    /// row timeless (0), late (1), filtered (2) or delivered (3).
    fn read(text: &str, kernel: Kernel, block: usize) -> Read {
        let column = |index: usize, name: &str, data_type| ScanColumn {
            name: name.to_owned(),
            index,
            data_type,
            metadata: None,
        };
        let scan = Scan {
            table: "t".to_owned(),
            columns: vec![
                column(0, "n", DataType::BigInt),
                column(2, "text", DataType::Text),
                column(1, "v", DataType::Int),
            ],
            eager: 1,
            event_time: Some(EventTime { expression: Expr::column(0, TIME), delay_us: 0 }),
            late: None,
            clock: None,
            filter: None,
            read_order: ReadOrder::EventTime,
            turn: 0,
            needs: Needs { positions: true, ordinals: false },
        };
        let disk = MemoryDisk::new().with("t", text);
        let source =
            Source::open_with(&disk, &["t".to_owned()], &ReadOptions::default(), &[], 1 << 30, kernel).unwrap();
        let mut reader = source.with_block(block).reader(0, &scan).unwrap();
        let ledger = Ledger::idle();
        let (mut rows, mut late, mut bad, mut counts) = (Vec::new(), Vec::new(), Vec::new(), Counts::default());
        loop {
            let scratch = Bump::new();
            let context = Context { scratch: &scratch, ledger: &ledger };
            let step = reader.next_decided(&scan, &context, |eager| {
                let numbers = eager.columns[0].i64s();
                let of = |kind: i64| {
                    let rows = (0..eager.rows as u16).filter(|&row| numbers[usize::from(row)] % 4 == kind);
                    &*scratch.alloc_slice_fill_iter(rows.collect::<Vec<_>>())
                };
                let times = Vector::new(Data::I64(scratch.alloc_slice_fill_iter(numbers.iter().map(|n| n * 1000))));
                let rows = Some(of(3)).filter(|rows| rows.len() < eager.rows);
                Ok(Selected {
                    rows,
                    times: Some(times),
                    late: of(1),
                    late_watermarks: scratch.alloc_slice_fill_copy(of(1).len(), 0),
                    filtered: of(2).len(),
                    timeless: of(0),
                    floors: None,
                })
            });
            match step.unwrap() {
                Step::End => return (rows, late, bad, counts),
                Step::NeedBytes => {}
                Step::Rows(scanned) => {
                    let [n, texts, v, times] = scanned.chunk.columns else { panic!("three columns and time") };
                    let positions = scanned.chunk.positions.unwrap();
                    for (row, position) in positions.iter().enumerate() {
                        assert_eq!(n.i64s()[row] * 1000, times.i64s()[row]);
                        let v = if v.is_null(row) { "NULL".to_owned() } else { v.i64s()[row].to_string() };
                        rows.push(format!("{}:{} {} {v}", position, n.i64s()[row], texts.texts()[row].to_str_lossy()));
                    }
                    late.extend(
                        scanned
                            .late
                            .iter()
                            .map(|late| (late.offset, format!("{} {}", late.raw.escape_ascii(), late.time))),
                    );
                    bad.extend(scanned.bad.iter().map(|bad| format!("{} {}", bad.offset, bad.reason)));
                    counts += scanned.counts;
                    continue;
                }
            }
            reader.fill(&ledger).unwrap();
        }
    }

    #[test]
    fn every_row_is_delivered_late_filtered_or_bad() {
        let text = "n,v,text\n3,1,a\n1,x,b\n7,y,c\n2,,d\n4,,e\nz,1,f\n11,,rather a long text\r\n15,5\n5,5,g\n";
        for kernel in Kernel::supported() {
            for block in [1, 10, 1000] {
                let (rows, late, bad, counts) = read(text, kernel, block);
                assert_eq!(rows, ["0:3 a 1", "34:11 rather a long text NULL"]);
                assert_eq!(late, [(15, "1,x,b 1000".to_owned()), (72, "5,5,g 5000".to_owned())]);
                let reasons = [
                    "21 is not a whole number",
                    "32 the row has no event time: it is NULL or out of range",
                    "37 is not a whole number",
                    "67 the row has 2 fields instead of 3",
                ];
                assert_eq!(bad, reasons);
                assert_eq!(counts, Counts { read: 9, bad: 4, filtered: 1, late: 2, delivered: 2 });
            }
        }
    }

    #[test]
    fn selections_of_full_batches_keep_rows_and_columns_together() {
        for step in [1, 4] {
            let numbers: Vec<i64> = (0..3000).map(|row| 3 + row * step).collect();
            let lines = numbers.iter().map(|n| format!("{n},{},text of row {n}\n", n * 2));
            let text = format!("n,v,text\n{}", lines.collect::<String>());
            for kernel in Kernel::supported() {
                let (rows, _, _, counts) = read(&text, kernel, 64 << 10);
                let expected = numbers.iter().filter(|n| *n % 4 == 3);
                let expected: Vec<_> = expected.map(|n| format!("{n} text of row {n} {}", n * 2)).collect();
                let rows: Vec<_> = rows.iter().map(|row| row.split_once(':').unwrap().1.to_owned()).collect();
                assert_eq!(rows, expected);
                assert_eq!(counts.read, 3000);
            }
        }
    }
}
