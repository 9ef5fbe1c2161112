//! A file of tests, cut at its `--@test:` lines, and the scripts that its statements become.

use corelane_engine::sql::{Rows, Statement, StatementKind, split};
use corelane_engine::types::DataType;
use corelane_engine::{Code, Error, Result};

use super::quoted;
use crate::clock::{self, Choice};

/// One test of a file.
#[derive(Clone, Debug)]
pub struct Test {
    /// The file it stands in.
    pub file: String,
    /// What it is called; the file's name where it has no name.
    pub name: String,
    /// Its text, with what stands before the first test.
    pub script: String,
    /// Part of the message of the error that it ends with.
    pub fails: Option<String>,
    /// The time it is, in microseconds since the epoch.
    pub now_us: i64,
    /// By how much each row read moves the clock on, in microseconds.
    pub step_us: i64,
    statements: Vec<Statement>,
}

/// Microseconds from the epoch to 2026-01-01, the time of a test that says none.
const NOW_US: i64 = 1_767_225_600_000_000;

/// The tests in `text`, the content of `file`.
pub fn tests(file: &str, text: &str) -> Result<Vec<Test>> {
    let mut common = String::new();
    let mut parts: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        if let Some(name) = annotation(line, "test") {
            parts.push((name.to_owned(), String::new()));
        }
        match parts.last_mut() {
            Some((_, part)) => part.push_str(line),
            None => common.push_str(line),
        }
    }
    if parts.is_empty() {
        parts.push((String::new(), String::new()));
    }
    let one = |(name, part): (String, String)| {
        let mut test = Test {
            file: file.to_owned(),
            name: if name.is_empty() { file.to_owned() } else { name },
            script: format!("{common}{part}"),
            fails: None,
            now_us: NOW_US,
            step_us: 0,
            statements: Vec::new(),
        };
        test.read_annotations()?;
        match split(&test.script) {
            Ok(statements) => test.statements = statements,
            Err(error) => return Err(told(&test, &error)),
        }
        Ok(test)
    };
    parts.into_iter().map(one).collect()
}

fn told(test: &Test, error: &Error) -> Error {
    let text = corelane_engine::sql::render(error, &test.script, &test.file, false);
    Error::new(error.code(), format!("{}\n{text}", test.name))
}

/// What stands behind `--@name:`.
fn annotation<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let rest = line.trim_start().strip_prefix("--@")?;
    let (found, value) = rest.split_once(':')?;
    (found.trim() == name).then(|| value.trim())
}

impl Test {
    fn read_annotations(&mut self) -> Result<()> {
        for line in self.script.lines() {
            for name in ["expected.message", "expected.error"] {
                if let Some(text) = annotation(line, name) {
                    // A message says more than a kind of error.
                    if name == "expected.message" || self.fails.is_none() {
                        let is_class = name == "expected.error" && text.contains('.') && !text.contains(' ');
                        self.fails = Some(if is_class { String::new() } else { text.to_owned() });
                    }
                }
            }
            if let Some(text) = annotation(line, "now") {
                let Ok(moment) = format!("{text}Z").parse::<jiff::Timestamp>() else {
                    return Err(Error::new(Code::Syntax, format!("`--@now: {text}` is not a time"))
                        .help("for example --@now: 2026-01-01 12:00:00"));
                };
                self.now_us = moment.as_microsecond();
            }
            if let Some(text) = annotation(line, "clock") {
                match clock::parse(text) {
                    Ok(Choice::Scheduled { start_us, step_us }) => (self.now_us, self.step_us) = (start_us, step_us),
                    Ok(Choice::Wall) => {
                        let error = Error::new(Code::Syntax, "a test does not go by the clock on the wall");
                        return Err(error.help("for example --@clock: 2026-01-01 12:00:00, 1s"));
                    }
                    Err(why) => return Err(Error::new(Code::Syntax, format!("`--@clock: {text}`: {why}"))),
                }
            }
        }
        Ok(())
    }

    fn text(&self, statement: &Statement) -> &str {
        &self.script[statement.span.start as usize..statement.span.end as usize]
    }

    /// The statements that are neither rows nor assertions.
    pub fn declared(&self) -> String {
        self.declared_but(None)
    }

    fn declared_but(&self, name: Option<&str>) -> String {
        let mut script = String::new();
        for statement in &self.statements {
            let keep = match &statement.kind {
                StatementKind::Other => true,
                StatementKind::Query(target, _) => name.is_none_or(|name| !target.eq_ignore_ascii_case(name)),
                _ => false,
            };
            if keep {
                script += self.text(statement);
                script += ";\n";
            }
        }
        script
    }

    /// Rows inserted, by table.
    pub fn inserted(&self) -> Vec<(String, Vec<&Rows>)> {
        by_name(self.statements.iter().filter_map(|statement| match &statement.kind {
            StatementKind::Values(rows) => Some(rows),
            _ => None,
        }))
    }

    /// Rows asserted, by name.
    pub fn asserted(&self) -> Vec<(String, Vec<&Rows>)> {
        by_name(self.statements.iter().filter_map(|statement| match &statement.kind {
            StatementKind::AssertValues(rows) => Some(rows),
            _ => None,
        }))
    }

    /// Files asserted: of what, and the path.
    pub fn files(&self) -> Vec<(String, String)> {
        let file = |statement: &Statement| match &statement.kind {
            StatementKind::AssertFile(name, path) => Some((name.clone(), path.clone())),
            _ => None,
        };
        self.statements.iter().filter_map(file).collect()
    }

    /// A script that ends with the rows of `name`: a view, or a table that a query is inserted into.
    pub fn query_of(&self, name: &str, columns: &[String]) -> String {
        let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
        let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
        let filled = self.statements.iter().find_map(|statement| match &statement.kind {
            StatementKind::Query(target, at) if target.eq_ignore_ascii_case(name) => {
                Some(&self.script[*at as usize..statement.span.end as usize])
            }
            _ => None,
        });
        match filled {
            None => format!("{}SELECT {columns} FROM {};", self.declared(), quoted(name)),
            Some(query) => {
                let before = self.declared_but(Some(name));
                format!("{before}CREATE VIEW asserted AS {query};\nSELECT {columns} FROM asserted;")
            }
        }
    }

    /// A script that ends with rows that stand in the test, with the columns and types `wanted`.
    pub fn of_values(&self, rows: &Rows, wanted: &[(String, DataType)]) -> Result<String, String> {
        let statement = self.statements.iter().find(|statement| match &statement.kind {
            StatementKind::Values(found) | StatementKind::AssertValues(found) => std::ptr::eq(found, rows),
            _ => false,
        });
        let end = statement.map_or(0, |statement| statement.span.end as usize);
        let values = &self.script[rows.values as usize..end];
        let given = if rows.columns.is_empty() { wanted.len() } else { rows.columns.len() };
        if given != rows.width {
            let text = statement.map_or("", |statement| self.text(statement));
            return Err(format!(
                "`{}` has {given} columns, the first row of VALUES {}:\n{text}\n",
                rows.name, rows.width
            ));
        }
        let of = |number: usize, (name, data_type): &(String, DataType)| {
            let at = match rows.columns.is_empty() {
                true => Some(number),
                false => rows.columns.iter().position(|column| column.eq_ignore_ascii_case(name)),
            };
            let value = at.map_or("NULL".to_owned(), |at| format!("v{at}"));
            format!("CAST({value} AS {data_type}) AS {}", quoted(name))
        };
        let items: Vec<String> = wanted.iter().enumerate().map(|(number, column)| of(number, column)).collect();
        let names: Vec<String> = (0..rows.width).map(|number| format!("v{number}")).collect();
        Ok(format!("SELECT {} FROM ({values}) AS v ({});", items.join(", "), names.join(", ")))
    }
}

fn by_name<'r>(rows: impl Iterator<Item = &'r Rows>) -> Vec<(String, Vec<&'r Rows>)> {
    let mut names: Vec<(String, Vec<&Rows>)> = Vec::new();
    for rows in rows {
        match names.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(&rows.name)) {
            Some((_, all)) => all.push(rows),
            None => names.push((rows.name.clone(), vec![rows])),
        }
    }
    names
}
