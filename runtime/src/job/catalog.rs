//! Where tables come from: `--input NAME=GLOB`, `FROM 'glob'`, and what the script declares.

use std::collections::BTreeMap;

use corelane_engine::sql::{Catalog, NULL_FIELD, Program, Table, TableOption, TableReference};
use corelane_engine::{Code, Error, Result, Span};
use corelane_io::csv::Kernel;
use corelane_io::fs::{Disk, MemoryDisk, expand};
use corelane_io::generate::{self, Made};
use corelane_io::infer::infer;
use corelane_io::options::ReadOptions;
use corelane_io::source::Source;

use crate::options::Options;

/// Options of a table that are not about reading its bytes.
const OTHER_OPTIONS: &[&str] = &["connector", "path", "type"];
/// What `'connector'` says of files.
const CONNECTORS: &[&str] = &["filesystem", "single_file", "file_source", "file", "file://"];

/// The tables a script can read.
pub struct Inputs<'d> {
    disk: &'d dyn Disk,
    line_limit: Option<usize>,
    column_limit: Option<usize>,
    /// Patterns by table name.
    given: BTreeMap<String, String>,
}

impl<'d> Inputs<'d> {
    /// The inputs given on the command line, found on `disk`.
    pub fn new(disk: &'d dyn Disk, options: &Options) -> Self {
        let mut given: BTreeMap<String, String> = BTreeMap::new();
        for input in &options.inputs {
            let globs = given.entry(input.name.clone()).or_default();
            if !globs.is_empty() {
                globs.push(',');
            }
            globs.push_str(&input.globs.join(","));
        }
        let limit = |limit: Option<u64>| limit.and_then(|limit| usize::try_from(limit).ok());
        Inputs { disk, line_limit: limit(options.line_limit), column_limit: limit(options.column_limit), given }
    }

    fn globs(&self, name: &str) -> Option<&str> {
        let exact = self.given.get(name);
        let found = exact
            .or_else(|| self.given.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, globs)| globs));
        found.map(String::as_str)
    }

    /// The patterns of `table`'s files: what the command line says, else its `'path'`, else, for
    /// `FROM 'glob'`, its name.
    fn patterns<'t>(&'t self, table: &'t Table) -> Result<&'t str> {
        if let Some(globs) = self.globs(&table.name) {
            return Ok(globs);
        }
        if let Some(path) = table.option("path") {
            return Ok(&path.value);
        }
        if table.span == Span::NONE {
            return Ok(&table.name);
        }
        refuse_kafka(&table.options)?;
        let error = Error::new(Code::UnknownTable, format!("table `{}` has no files", table.name)).at(table.span);
        Err(error
            .help(format!("give them with --input {}=FILES, or in the statement with 'path' = 'FILES'", table.name)))
    }

    /// What a table says about reading it, within the limits that the command line says.
    fn read_options(&self, options: &[TableOption]) -> Result<ReadOptions> {
        let mut read = read_options(options)?;
        if let (Some(limit), true) = (self.line_limit, options.iter().all(|option| option.key != "line.limit")) {
            read.line_limit = limit;
        }
        read.column_limit = self.column_limit.unwrap_or(read.column_limit);
        Ok(read)
    }

    /// Opens the files of a table that a plan scans, cut into splits of `piece` bytes.
    pub fn open(&self, table: &Table, piece: u64) -> Result<Source> {
        let declared: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        if let Some(made) = made(&table.options)? {
            let options = self.read_options(&table.options)?;
            return Source::open_with(&made, &made.names(), &options, &declared, piece, Kernel::detect()?);
        }
        if let Some(text) = &table.text {
            let disk = MemoryDisk::new().with(&table.name, text.as_bytes());
            let null = NULL_FIELD.to_owned();
            let options = ReadOptions { header: Some(false), delimiter: Some(b','), null, ..ReadOptions::default() };
            let names = [table.name.clone()];
            return Source::open_with(&disk, &names, &options, &[], piece, Kernel::detect()?);
        }
        let names = expand(self.disk, self.patterns(table)?).map_err(|error| error.at(table.span))?;
        let options = self.read_options(&table.options)?;
        Source::open_with(self.disk, &names, &options, &declared, piece, Kernel::detect()?)
    }

    /// What a user may not expect of `program`'s inputs.
    pub fn notes(&self, program: &Program) -> Vec<String> {
        let unread = self.given.keys().filter(|name| program.table(name).is_none());
        let unread = unread.map(|name| format!("--input {name}: the script reads no table `{name}`"));
        let guessed = |table: &&Table| {
            table.option("header").is_some_and(|option| option.value == "false" && option.span == Span::NONE)
        };
        let headless = program.tables.iter().filter(guessed);
        let headless = headless.map(|table| {
            let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).take(3).collect();
            let (name, names) = (&table.name, names.join(", "));
            format!("{name}: the first row was taken as values, not as a header; the columns are called {names}, ... ('header' = 'true' in CREATE TABLE makes it the header)")
        });
        program.warnings.iter().cloned().chain(unread).chain(headless).collect()
    }

    fn inferred(&self, name: &str, patterns: &str, options: &[TableOption]) -> Result<Table> {
        self.inferred_on(self.disk, &expand(self.disk, patterns)?, name, options)
    }

    fn inferred_on(&self, disk: &dyn Disk, names: &[String], name: &str, options: &[TableOption]) -> Result<Table> {
        let inferred = infer(disk, names, &self.read_options(options)?)?;
        let columns = inferred.schema.fields.into_iter().map(|field| (field.name, field.data_type));
        let mut table = Table::of(name, columns);
        table.options = options.to_vec();
        if options.iter().all(|option| option.key != "header") {
            let value = inferred.header.to_string();
            table.options.push(TableOption { key: "header".into(), value, span: Span::NONE });
        }
        Ok(table)
    }
}

impl Catalog for Inputs<'_> {
    fn table(&mut self, reference: &TableReference<'_>) -> Result<Table> {
        match *reference {
            TableReference::Name(name) => match self.globs(name) {
                Some(globs) => self.inferred(name, globs, &[]),
                None => Err(Error::new(Code::UnknownTable, format!("table `{name}` not found"))
                    .help(format!("declare it with CREATE TABLE, or give its files with --input {name}=FILES"))),
            },
            TableReference::Path(path) => self.inferred(path, path, &[]),
            TableReference::Declared { name, options } => {
                if let Some(made) = made(options)? {
                    return self.inferred_on(&made, &made.names(), name, options);
                }
                let path = options.iter().rev().find(|option| option.key.eq_ignore_ascii_case("path"));
                let patterns = self.globs(name).or(path.map(|path| path.value.as_str()));
                let Some(patterns) = patterns else {
                    let error = Error::new(Code::UnknownTable, format!("table `{name}` has neither columns nor files"));
                    return Err(error.help(format!("declare columns, or give its files with --input {name}=FILES")));
                };
                self.inferred(name, patterns, options)
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.given.keys().cloned().collect()
    }
}

/// The data set that a table is, if its options say that it is made.
fn made(options: &[TableOption]) -> Result<Option<Made>> {
    let connector = options.iter().rev().find(|option| option.key.eq_ignore_ascii_case("connector"));
    let span = connector.map_or(Span::NONE, |option| option.span);
    Made::parse(options.iter().map(|option| (&option.key[..], &option.value[..]))).map_err(|error| error.at(span))
}

/// Options of a broker mean a table that is not made of files.
fn refuse_kafka(options: &[TableOption]) -> Result<()> {
    let of_kafka = |option: &&TableOption| {
        let (key, value) = (option.key.to_lowercase(), option.value.to_lowercase());
        ["kafka", "topic", "properties.", "value_format"].iter().any(|start| key.starts_with(start))
            || (key == "connector" && value.contains("kafka"))
    };
    let Some(option) = options.iter().find(of_kafka) else { return Ok(()) };
    let error = Error::new(Code::BadOption, format!("'{}' = '{}': Kafka is not built in", option.key, option.value))
        .at(option.span);
    Err(error.help("read files: WITH ('path' = 'data/*.csv', 'format' = 'csv')"))
}

/// What a table's options say about reading it.
pub fn read_options(options: &[TableOption]) -> Result<ReadOptions> {
    refuse_kafka(options)?;
    if let Some(connector) = options.iter().rev().find(|option| option.key.eq_ignore_ascii_case("connector"))
        && !CONNECTORS.iter().chain(&generate::CONNECTORS).any(|known| known.eq_ignore_ascii_case(&connector.value))
    {
        let message = format!("connector `{}` is not built in", connector.value);
        let error = Error::new(Code::BadOption, message).at(connector.span);
        return Err(error.help("'filesystem' reads and writes files; 'datagen' and 'nexmark' make rows"));
    }
    let is_made = made(options)?.is_some();
    let other: Vec<&str> =
        OTHER_OPTIONS.iter().chain(is_made.then_some(&generate::OPTIONS).into_iter().flatten()).copied().collect();
    let parse = |options: &[TableOption]| {
        ReadOptions::parse(options.iter().map(|option| (option.key.as_str(), option.value.as_str())), &other)
    };
    parse(options).map_err(|error| {
        let wrong = options.iter().find(|option| parse(std::slice::from_ref(option)).is_err());
        error.at(wrong.map_or(Span::NONE, |option| option.span))
    })
}
