//! Aligned columns with borders, for people.
//!
//! Widths are those of the first [`HELD`] rows, which are held until there are that many or the input
//! ends; a later value that is wider pushes its row's border out and is shown whole. Formatting has two
//! halves, since rows of several shards make one table: a shard writes *lines* (one row, its cells
//! separated and escaped), and a [`Layout`], behind the merge, makes the table of them. Line ends and
//! other control characters are shown as escapes, NULL as `NULL`, and an empty text as nothing.

use corelane_engine::batch::{Chunk, Data};
use corelane_engine::types::DataType;
use unicode_width::UnicodeWidthStr;

use super::buffer::Buffer;
use super::value::Dates;

/// Rows whose values decide how wide columns are.
const HELD: usize = 1000;
/// Between the cells of a line; in a value it is escaped.
const SEPARATOR: u8 = 0x1F;
/// Stands for NULL in a line; in a value it is escaped.
const NULL: u8 = 0;

#[derive(Debug)]
pub(super) struct Table {
    types: Vec<DataType>,
    dates: Dates,
    /// Where this formatter's rows are laid out, unless an assembler does it.
    layout: Option<(Layout, Buffer)>,
}

impl Table {
    /// Writes lines, or the table itself if it has the `layout`.
    pub(super) fn new(types: Vec<DataType>, layout: Option<Layout>) -> Self {
        let layout = layout.map(|layout| (layout, Buffer::default()));
        Table { types, dates: Dates::default(), layout }
    }

    pub(super) fn rows(&mut self, chunk: &Chunk<'_>, out: &mut Buffer, mut ends: Option<&mut Vec<u32>>) {
        for row in 0..chunk.rows {
            match &mut self.layout {
                None => line(&self.types, &mut self.dates, chunk, row, out),
                Some((layout, buffer)) => {
                    buffer.clear();
                    line(&self.types, &mut self.dates, chunk, row, buffer);
                    layout.lines(buffer.bytes(), out);
                }
            }
            if let Some(ends) = &mut ends {
                ends.push(out.len() as u32);
            }
        }
    }

    pub(super) fn footer(&mut self, out: &mut Buffer) {
        if let Some((layout, _)) = &mut self.layout {
            layout.finish(out);
        }
    }
}

fn line(types: &[DataType], dates: &mut Dates, chunk: &Chunk<'_>, row: usize, out: &mut Buffer) {
    for (number, (column, data_type)) in chunk.columns.iter().zip(types).enumerate() {
        if number > 0 {
            out.push(SEPARATOR);
        }
        match &column.data {
            _ if column.is_null(row) => out.push(NULL),
            Data::Text(values) if data_type.is_nested() => {
                let mut json = Buffer::default();
                super::nested::write(dates, *data_type, values[row].as_bytes(), &mut json);
                escape(json.bytes(), out);
            }
            Data::Text(values) => escape(values[row].as_bytes(), out),
            other => super::plain(dates, *data_type, other, row, out),
        }
    }
    out.push(b'\n');
}

fn escape(text: &[u8], out: &mut Buffer) {
    if !text.iter().any(u8::is_ascii_control) {
        return out.extend(text);
    }
    for &byte in text {
        match byte {
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            byte if byte.is_ascii_control() => out.extend(format!("\\x{byte:02x}").as_bytes()),
            byte => out.push(byte),
        }
    }
}

/// The table made of lines.
#[derive(Debug)]
pub(super) struct Layout {
    names: Vec<String>,
    is_number: Vec<bool>,
    widths: Vec<usize>,
    held: Vec<u8>,
    rows: usize,
    is_begun: bool,
}

impl Layout {
    pub(super) fn new(names: &[String], types: &[DataType]) -> Self {
        let mut shown = Vec::new();
        for name in names {
            let mut text = Buffer::default();
            escape(name.as_bytes(), &mut text);
            shown.push(String::from_utf8_lossy(text.bytes()).into_owned());
        }
        let number = |data_type: &DataType| {
            matches!(data_type, DataType::Int | DataType::BigInt | DataType::Decimal { .. } | DataType::Double)
        };
        Layout {
            widths: shown.iter().map(|name| name.width()).collect(),
            names: shown,
            is_number: types.iter().map(number).collect(),
            held: Vec::new(),
            rows: 0,
            is_begun: false,
        }
    }

    /// Takes whole lines.
    pub(super) fn lines(&mut self, lines: &[u8], out: &mut Buffer) {
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            self.rows += 1;
            if self.is_begun {
                self.row(&line[..line.len() - 1], out);
                continue;
            }
            for (cell, width) in cells(&line[..line.len() - 1]).zip(&mut self.widths) {
                *width = (*width).max(cell.width());
            }
            self.held.extend_from_slice(line);
            if self.rows == HELD {
                self.begin(out);
            }
        }
    }

    /// Ends the table.
    pub(super) fn finish(&mut self, out: &mut Buffer) {
        if !self.is_begun {
            self.begin(out);
        }
        self.border(["└", "┴", "┘"], out);
        let rows = if self.rows == 1 { "row" } else { "rows" };
        out.extend(format!("{} {rows}\n", self.rows).as_bytes());
    }

    fn begin(&mut self, out: &mut Buffer) {
        self.is_begun = true;
        self.border(["┌", "┬", "┐"], out);
        let names = self.names.clone();
        self.cells(names.iter().map(String::as_str), out);
        self.border(["├", "┼", "┤"], out);
        let held = std::mem::take(&mut self.held);
        for line in held.split_inclusive(|&byte| byte == b'\n') {
            self.row(&line[..line.len() - 1], out);
        }
    }

    fn border(&self, [left, middle, right]: [&str; 3], out: &mut Buffer) {
        for (number, width) in self.widths.iter().enumerate() {
            out.extend(if number == 0 { left } else { middle }.as_bytes());
            (0..width + 2).for_each(|_| out.extend("─".as_bytes()));
        }
        out.extend(right.as_bytes());
        out.push(b'\n');
    }

    fn row(&self, line: &[u8], out: &mut Buffer) {
        self.cells(cells(line), out);
    }

    fn cells<'c>(&self, cells: impl Iterator<Item = &'c str>, out: &mut Buffer) {
        for ((cell, &width), &is_number) in cells.zip(&self.widths).zip(&self.is_number) {
            let gap = width.saturating_sub(cell.width());
            out.extend("│ ".as_bytes());
            let (before, behind) = if is_number { (gap, 0) } else { (0, gap) };
            (0..before).for_each(|_| out.push(b' '));
            out.extend(cell.as_bytes());
            (0..behind + 1).for_each(|_| out.push(b' '));
        }
        out.extend("│\n".as_bytes());
    }
}

/// The cells of a line, NULL by its name.
fn cells(line: &[u8]) -> impl Iterator<Item = &str> {
    line.split(|&byte| byte == SEPARATOR).map(|cell| match cell {
        [NULL] => "NULL",
        cell => std::str::from_utf8(cell).unwrap_or("\u{FFFD}"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Assembler, Format, Formatter};
    use super::*;
    use corelane_engine::batch::{Text, Vector};
    use corelane_engine::types::{Field, Schema};

    fn schema() -> Schema {
        let field = |name: &str, data_type| Field { name: name.into(), data_type };
        Schema { fields: vec![field("name", DataType::Text), field("n", DataType::BigInt)] }
    }

    fn chunk<'a>(texts: &'a [Text<'a>], numbers: &'a [i64], columns: &'a mut Vec<Vector<'a>>) -> Chunk<'a> {
        columns.push(Vector { data: Data::Text(texts), nulls: Some(&[2]) });
        columns.push(Vector { data: Data::I64(numbers), nulls: Some(&[4]) });
        Chunk { rows: texts.len(), columns, positions: None, ordinals: None, floors: None, stamp: 0 }
    }

    fn shown(out: &Buffer) -> &str {
        std::str::from_utf8(out.bytes()).unwrap()
    }

    #[test]
    fn values_are_aligned_escaped_and_told_from_null() {
        let texts = ["two\nlines", "", "", "日本", "é\x1f"].map(|text| Text::new(text.as_bytes()));
        let mut columns = Vec::new();
        let chunk = chunk(&texts, &[1, -20, 0, 300, 4], &mut columns);
        let expected = "\
┌────────────┬──────┐
│ name       │    n │
├────────────┼──────┤
│ two\\nlines │    1 │
│ NULL       │  -20 │
│            │ NULL │
│ 日本       │  300 │
│ é\\x1f      │    4 │
└────────────┴──────┘
5 rows
";
        let mut out = Buffer::default();
        let mut own = Formatter::new(Format::Table, &schema(), 2);
        own.header(&mut out);
        own.rows(&chunk, &mut out, None);
        own.footer(5, &mut out);
        assert_eq!(shown(&out), expected);

        // The same of two shards, by way of lines.
        let (mut lines, mut ends, mut merged) = (Buffer::default(), Vec::new(), Buffer::default());
        Formatter::of_part(Format::Table, &schema(), 2).rows(&chunk, &mut lines, Some(&mut ends));
        let mut assembler = Assembler::new(Format::Table, &schema(), 2);
        let (first, second) = lines.bytes().split_at(ends[1] as usize);
        assembler.rows(first, &mut merged);
        assembler.rows(second, &mut merged);
        assembler.footer(&mut merged);
        assert_eq!(shown(&merged), expected);
    }

    #[test]
    fn no_rows_are_a_table_too() {
        let mut out = Buffer::default();
        Assembler::new(Format::Table, &schema(), 2).footer(&mut out);
        assert!(shown(&out).contains("│ name │ n │\n") && shown(&out).ends_with("0 rows\n"), "{}", shown(&out));
    }

    #[test]
    fn rows_behind_the_held_ones_follow_at_once_and_are_never_cut() {
        let mut layout = Layout::new(&["n".into()], &[DataType::Text]);
        let mut out = Buffer::default();
        for _ in 0..HELD - 1 {
            layout.lines(b"a\n", &mut out);
        }
        assert!(out.is_empty());
        layout.lines(b"bb\nlonger than all\n", &mut out);
        assert_eq!(shown(&out).lines().count(), 3 + HELD + 1);
        assert!(shown(&out).ends_with("│ bb │\n│ longer than all │\n"));
    }
}
