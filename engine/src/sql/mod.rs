//! The dialect: a script in, a [`Plan`] out.
//!
//! Four steps, one file or two each: [`token`] cuts the script into tokens whose places are bytes;
//! [`prepass`] takes out what no SQL parser reads (EMIT, WINDOW TUMBLING, `10s`); the parser or
//! [`ddl`] makes a tree ([`function`] has written out the calls of the script's own functions; what hints say is kept
//! apart, see [`hint`]); [`query`] and [`expression`] bind names and types and build the plan, which
//! [`crate::plan::optimize`] then tidies.
//!
//! Invariants: nothing is guessed. What is valid SQL but cannot be done is an error with its place
//! and the nearest form that can be ([`Code::Unsupported`]); an option that is not read does not
//! exist ([`Code::UnknownOption`]). No script can exhaust the stack: see [`token`].

mod aggregate;
mod canonical;
mod ddl;
mod event_time;
mod expression;
mod function;
mod functions;
mod hint;
mod literal;
mod over;
mod prepass;
mod query;
mod render;
mod scope;
mod show;
mod split;
mod statement;
mod suggest;
mod token;
mod types;
mod window;

pub(crate) use expression::{call, compare};
pub use functions::{Family, families, nearest_function};
pub(crate) use query::conjunction;
pub use render::{render, render_json};
pub use split::{Rows, Statement, StatementKind, split};
pub(crate) use suggest::nearest;
pub use token::{MAX_NESTING, MAX_SCRIPT_BYTES};
pub use types::parse_type;

use std::sync::Arc;

use crate::error::{Code, Error, Result, Span};
use crate::plan::{Emit, Metadata, Plan};
use crate::types::DataType;
use crate::zone::Zone;

/// Most columns of a table or a result.
pub const MAX_COLUMNS: usize = 1_024;

/// Whose habits decide where two engines give the same words different meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Corelane's own.
    #[default]
    Corelane,
    /// Flink SQL.
    Flink,
    /// Arroyo.
    Arroyo,
    /// RisingWave: without EMIT, aggregates update.
    RisingWave,
    /// ksqlDB: without EMIT, aggregates update.
    Ksql,
    /// Velostream.
    Velostream,
    /// Timeplus Proton.
    Proton,
}

impl Dialect {
    /// Every dialect, with its name.
    pub const ALL: [(&'static str, Dialect); 7] = [
        ("corelane", Dialect::Corelane),
        ("flink", Dialect::Flink),
        ("arroyo", Dialect::Arroyo),
        ("risingwave", Dialect::RisingWave),
        ("ksql", Dialect::Ksql),
        ("velostream", Dialect::Velostream),
        ("proton", Dialect::Proton),
    ];

    /// The dialect called `name`, without regard to case.
    pub fn parse(name: &str) -> Option<Dialect> {
        Self::ALL.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, dialect)| dialect)
    }
}

/// What decides the meaning of a script besides its text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whose habits to follow.
    pub dialect: Dialect,
    /// When aggregates without EMIT give out results; `None` follows the rule: FINAL when every
    /// input is bounded or the query is windowed, else CHANGES.
    pub emit: Option<Emit>,
    /// Rows carry the number of their arrival (`--rate`).
    pub ordinals: bool,
    /// EMIT CHANGES behind an exchange comes in the order of arrival (`--ordered`).
    pub ordered: bool,
    /// NOW() and the zone of the session.
    pub clock: Clock,
}

/// What time it is for a query, and where.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// NOW() and CURRENT_TIMESTAMP, in microseconds since the epoch.
    pub now_us: i64,
    /// The zone whose clocks instants are read from and written as.
    pub zone: Zone,
}

/// Where table schemas come from that the script does not declare.
pub trait Catalog {
    /// The table meant by `reference`, with its columns. An error of kind [`Code::UnknownTable`]
    /// gets its place and a suggestion here.
    fn table(&mut self, reference: &TableReference<'_>) -> Result<Table>;

    /// Names of the tables there are, for suggestions.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether a table declared with columns ends some day; files do.
    fn is_bounded(&self, table: &Table) -> bool {
        let _ = table;
        true
    }
}

/// What stands for NULL in a table's rows that the script itself holds.
pub const NULL_FIELD: &str = "\\N";

/// A table that a script reads.
#[derive(Clone, Copy, Debug)]
pub enum TableReference<'a> {
    /// `FROM name`, not declared in the script: `--input name=..`.
    Name(&'a str),
    /// `FROM 'glob'`.
    Path(&'a str),
    /// Declared in the script with options but without columns: they are inferred.
    Declared {
        /// Its name.
        name: &'a str,
        /// Its WITH options.
        options: &'a [TableOption],
    },
}

impl TableReference<'_> {
    /// The name that the plan's scan refers to.
    pub fn name(&self) -> &str {
        match self {
            TableReference::Name(name) | TableReference::Path(name) | TableReference::Declared { name, .. } => name,
        }
    }
}

/// A table as declared or inferred.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name; for `FROM 'glob'` the glob.
    pub name: String,
    /// Its physical columns, as in the files, in order.
    pub columns: Vec<TableColumn>,
    /// Columns that say where a row comes from.
    pub metadata: Vec<MetadataColumn>,
    /// Computed columns, in order; each sees the physical ones and those before it.
    pub computed: Vec<ComputedColumn>,
    /// WATERMARK FOR .., or its equal.
    pub watermark: Option<Watermark>,
    /// WITH (..).
    pub options: Vec<TableOption>,
    /// PARTITIONED BY: columns that name folders when the table is written, outermost first.
    pub partitioned_by: Vec<(String, Span)>,
    /// PRIMARY KEY (..) NOT ENFORCED: columns that tell its rows apart.
    pub primary_key: Vec<(String, Span)>,
    /// Whether its input ends.
    pub bounded: bool,
    /// Rows that stand in the script: CSV without a header, with [`NULL_FIELD`] for NULL.
    pub text: Option<Arc<str>>,
    /// Where it is declared.
    pub span: Span,
}

/// A column that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name in the header.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// How many columns (physical and computed) stand before it in the declaration; orders `*`.
    pub ordinal: usize,
}

/// A column that says where a row comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataColumn {
    /// Its name.
    pub name: String,
    /// What it says, and with which type.
    pub kind: Metadata,
    /// Its type.
    pub data_type: DataType,
    /// As [`TableColumn::ordinal`].
    pub ordinal: usize,
}

/// A column that is computed.
#[derive(Clone, Debug)]
pub struct ComputedColumn {
    /// Its name.
    pub name: String,
    /// What it is, as parsed.
    pub expression: sqlparser::ast::Expr,
    /// The type it is cast to, if one was said.
    pub data_type: Option<DataType>,
    /// As [`TableColumn::ordinal`].
    pub ordinal: usize,
    /// Where it is declared.
    pub span: Span,
}

/// Event time of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The column that is the event time, physical or computed.
    pub column: String,
    /// How far the watermark stays behind the highest time seen, in microseconds.
    pub delay_us: i64,
    /// Where it is declared.
    pub span: Span,
}

/// One `'key' = 'value'` of WITH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOption {
    /// The key, as written.
    pub key: String,
    /// The value, without quotes.
    pub value: String,
    /// Where the pair stands.
    pub span: Span,
}

impl Table {
    /// Names of the columns that are read and of those that are computed.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> + Clone {
        self.columns.iter().map(|column| &column.name).chain(self.computed.iter().map(|column| &column.name))
    }

    /// A table of physical columns only, as a catalog infers it.
    pub fn of(name: impl Into<String>, columns: impl IntoIterator<Item = (String, DataType)>) -> Self {
        let columns = columns.into_iter().enumerate();
        let columns = columns.map(|(ordinal, (name, data_type))| TableColumn { name, data_type, ordinal }).collect();
        Table {
            name: name.into(),
            columns,
            metadata: Vec::new(),
            computed: Vec::new(),
            watermark: None,
            options: Vec::new(),
            partitioned_by: Vec::new(),
            primary_key: Vec::new(),
            bounded: true,
            text: None,
            span: Span::NONE,
        }
    }

    /// The value of option `key`, without regard to case; the last one said wins.
    pub fn option(&self, key: &str) -> Option<&TableOption> {
        self.options.iter().rev().find(|option| option.key.eq_ignore_ascii_case(key))
    }
}

/// What EXPLAIN shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explain {
    /// The plan; nothing runs.
    Plan,
    /// ANALYZE: the plan after a run whose rows go nowhere, with the rows of each node.
    Analyze,
}

/// What a script runs.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Everything that runs, as one plan with a sink per INSERT and SELECT. No exchanges yet: see
    /// [`crate::plan::distribute()`].
    pub plan: Plan,
    /// The tables that the plan's scans and sinks name, each once.
    pub tables: Vec<Table>,
    /// What EXPLAIN asks for, if the script ends with it.
    pub explain: Option<Explain>,
    /// Per sink, when its results leave; `None` where nothing is aggregated.
    pub emits: Vec<Option<Emit>>,
    /// What a user may not expect of it.
    pub warnings: Vec<String>,
    /// The time that it is, in microseconds since the epoch.
    pub now_us: i64,
    /// What SHOW and DESCRIBE say, if there are any; ends with a new line unless empty.
    pub shown: Option<String>,
}

impl Program {
    /// The table called `name`.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name.eq_ignore_ascii_case(name))
    }
}

/// Reads `script`, asks `catalog` for tables it does not declare, and plans what it runs: every
/// INSERT, and the last SELECT.
pub fn compile(script: &str, catalog: &mut dyn Catalog, options: &Options) -> Result<Program> {
    let statements = token::statements(script)?;
    let hints = hint::all(script, &statements)?;
    let mut planner = query::Planner::new(catalog, *options, hints);
    let last = statements.len().saturating_sub(1);
    for (number, tokens) in statements.iter().enumerate() {
        statement::run(&mut planner, tokens, number == last)?;
    }
    planner.finish()
}

/// "Valid, but not here".
fn unsupported(what: impl Into<String>, span: Span) -> Error {
    Error::new(Code::Unsupported, what).at(span)
}
