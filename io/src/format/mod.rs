//! Rows to text: CSV, TSV, NDJSON, JSON, changes as Debezium writes them, and a table for people.
//!
//! A [`Formatter`] belongs to one sink on one shard and appends rows to a [`Buffer`]. Headers and
//! footers are asked for apart, since the output of several shards has one of each.

mod buffer;
mod cells;
mod debezium;
mod digits;
mod json;
mod nested;
mod separated;
mod table;
pub mod value;

use corelane_engine::batch::{Chunk, Data};
use corelane_engine::types::{DataType, Schema};

pub use buffer::Buffer;
pub(crate) use json::string as json_string;

/// A format of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header (RFC 4180).
    Csv,
    /// Tab-separated values with a header, quoted like CSV.
    Tsv,
    /// One JSON object a line.
    Ndjson,
    /// One JSON array of objects.
    Json,
    /// Changes, one JSON object a line.
    Debezium,
    /// Aligned columns with borders.
    Table,
}

impl Format {
    /// Every format and its name.
    pub const ALL: [(&'static str, Format); 6] = [
        ("csv", Format::Csv),
        ("tsv", Format::Tsv),
        ("ndjson", Format::Ndjson),
        ("json", Format::Json),
        ("debezium-json", Format::Debezium),
        ("table", Format::Table),
    ];

    /// The format called `name`.
    pub fn parse(name: &str) -> Option<Format> {
        let name = if name.eq_ignore_ascii_case("jsonl") { "ndjson" } else { name };
        Format::ALL.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, format)| format)
    }

    /// The format that a file name's extension says.
    pub fn of_path(path: &str) -> Option<Format> {
        let extension = std::path::Path::new(path).extension()?.to_str()?;
        if extension == "txt" { Some(Format::Table) } else { Format::parse(extension) }
    }

    /// The extension of its files.
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Ndjson | Format::Debezium => "ndjson",
            Format::Json => "json",
            Format::Table => "txt",
        }
    }
}

/// Writes the rows of one sink.
#[derive(Debug)]
pub struct Formatter {
    names: Vec<String>,
    types: Vec<DataType>,
    kind: Kind,
    /// An assembler puts its rows together.
    is_part: bool,
    begun: bool,
}

#[derive(Debug)]
enum Kind {
    Separated(separated::Separated),
    Json(json::Json),
    Debezium(debezium::Debezium),
    Table(table::Table),
}

impl Formatter {
    /// A formatter for the first `visible` columns of `schema`, that writes an output by itself.
    pub fn new(format: Format, schema: &Schema, visible: usize) -> Self {
        Formatter::with(format, schema, visible, false)
    }

    /// One that writes a part of an output, for an [`Assembler`].
    pub fn of_part(format: Format, schema: &Schema, visible: usize) -> Self {
        Formatter::with(format, schema, visible, true)
    }

    fn with(format: Format, schema: &Schema, visible: usize, is_part: bool) -> Self {
        let fields = &schema.fields[..visible];
        let types: Vec<DataType> = fields.iter().map(|field| field.data_type).collect();
        let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
        let kind = match format {
            Format::Csv => Kind::Separated(separated::Separated::new(b',', types.clone())),
            Format::Tsv => Kind::Separated(separated::Separated::new(b'\t', types.clone())),
            Format::Ndjson => Kind::Json(json::Json::new(fields, true)),
            Format::Json => Kind::Json(json::Json::new(fields, false)),
            Format::Debezium => Kind::Debezium(debezium::Debezium::new(fields)),
            Format::Table => {
                let layout = (!is_part).then(|| table::Layout::new(&names, &types));
                Kind::Table(table::Table::new(types.clone(), layout))
            }
        };
        Formatter { names, types, kind, is_part, begun: false }
    }

    /// Appends what stands before the first row.
    pub fn header(&mut self, out: &mut Buffer) {
        match &mut self.kind {
            Kind::Separated(separated) => separated.header(&self.names, out),
            Kind::Json(json) => json.header(out),
            Kind::Debezium(_) | Kind::Table(_) => {}
        }
    }

    /// Appends the rows of `chunk`; `ends`, if given, gets where each row ends in `out`.
    pub fn rows(&mut self, chunk: &Chunk<'_>, out: &mut Buffer, ends: Option<&mut Vec<u32>>) {
        match &mut self.kind {
            Kind::Separated(separated) => separated.rows(chunk, out, ends),
            Kind::Json(json) => {
                let start = out.len();
                json.rows(&self.types, chunk, out, ends);
                let is_first = chunk.rows > 0 && !self.begun;
                if is_first && json.is_array() && !self.is_part {
                    // Nothing stands before the first row.
                    out.replace(start, b' ');
                }
                self.begun |= chunk.rows > 0;
            }
            Kind::Debezium(debezium) => {
                debezium.rows(&self.types, chunk, out, ends);
                self.begun |= chunk.rows > 0;
            }
            Kind::Table(table) => table.rows(chunk, out, ends),
        }
    }

    /// Whether rows were written, which what follows depends on.
    pub fn is_begun(&self) -> bool {
        self.begun
    }

    /// Goes on with an output of which rows may have been written before. Not for a table.
    pub fn go_on(&mut self, begun: bool) {
        self.begun = begun;
    }

    /// Appends what stands behind the last row. `rows` is how many there were in all.
    pub fn footer(&mut self, rows: u64, out: &mut Buffer) {
        match &mut self.kind {
            Kind::Separated(_) | Kind::Debezium(_) => {}
            Kind::Json(json) => json.footer(rows, out),
            Kind::Table(table) => table.footer(out),
        }
    }
}

/// Text of one value that is not NULL and needs no quotes in any format: everything but STRING.
#[inline]
fn plain(dates: &mut value::Dates, data_type: DataType, data: &Data<'_>, row: usize, out: &mut Buffer) {
    match data {
        Data::I64(values) => dates.i64(out, data_type, values[row]),
        Data::I128(values) => value::wide_decimal(out, values[row], data_type.scale()),
        Data::F64(values) => value::double(out, values[row]),
        Data::Text(_) => unreachable!("text is written by its format"),
    }
}

/// Puts the text of rows, as [`Formatter`]s make it, together into one output: header, what stands
/// between rows, footer.
#[derive(Debug)]
pub struct Assembler {
    formatter: Formatter,
    /// Makes a table of lines.
    layout: Option<table::Layout>,
    begun: bool,
    rows: u64,
}

impl Assembler {
    /// An assembler for the first `visible` columns of `schema`.
    pub fn new(format: Format, schema: &Schema, visible: usize) -> Self {
        let formatter = Formatter::of_part(format, schema, visible);
        let layout = (format == Format::Table).then(|| table::Layout::new(&formatter.names, &formatter.types));
        Assembler { formatter, layout, begun: false, rows: 0 }
    }

    /// Appends text of whole rows.
    pub fn rows(&mut self, mut text: &[u8], out: &mut Buffer) {
        let is_first = !std::mem::replace(&mut self.begun, true);
        if let Some(layout) = &mut self.layout {
            return layout.lines(text, out);
        }
        if is_first {
            self.formatter.header(out);
            if let (Kind::Json(json), Some(rest)) = (&self.formatter.kind, text.strip_prefix(b","))
                && json.is_array()
            {
                text = rest;
            }
        }
        self.rows += 1;
        out.extend(text);
    }

    /// Whether a row was appended.
    pub fn is_begun(&self) -> bool {
        self.begun
    }

    /// Goes on with an output of which rows may have been written before. Not for a table, which is
    /// laid out anew.
    pub fn go_on(&mut self, begun: bool) {
        self.begun = begun;
        self.rows = u64::from(begun);
    }

    /// Appends what stands at the end.
    pub fn footer(&mut self, out: &mut Buffer) {
        if let Some(layout) = &mut self.layout {
            return layout.finish(out);
        }
        if !self.begun {
            self.formatter.header(out);
        }
        self.formatter.footer(self.rows, out);
    }
}
