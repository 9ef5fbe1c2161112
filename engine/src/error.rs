//! One error type for everything a query can get wrong, with its place and the next step.

use std::fmt;

/// A stretch of the SQL script, in bytes from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte. `start == end` means "no place known" at 0, else an empty caret.
    pub end: u32,
}

impl Span {
    /// No place known.
    pub const NONE: Span = Span { start: 0, end: 0 };

    /// The smallest span that holds both; [`Span::NONE`] counts as nothing.
    pub fn to(self, other: Span) -> Span {
        match (self == Span::NONE, other == Span::NONE) {
            (true, _) => other,
            (_, true) => self,
            _ => Span { start: self.start.min(other.start), end: self.end.max(other.end) },
        }
    }
}

/// What went wrong, as a stable code a user can look up. The first digit tells the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// E0101: the text is not SQL.
    Syntax,
    /// E0201: no such table.
    UnknownTable,
    /// E0203: no such column.
    UnknownColumn,
    /// E0204: the name fits several columns.
    AmbiguousColumn,
    /// E0205: no such function.
    UnknownFunction,
    /// E0206: no such option or hint.
    UnknownOption,
    /// E0207: an option's value cannot be used.
    BadOption,
    /// E0301: types do not fit.
    Type,
    /// E0302: an aggregate or window function where none may stand.
    Misplaced,
    /// E0401: valid SQL that Corelane does not support.
    Unsupported,
    /// E0501: arithmetic left the range of its type.
    Overflow,
    /// E0502: division by zero.
    DivisionByZero,
    /// E0503: a value cannot be converted.
    Cast,
    /// E0601: a limit was reached.
    Limit,
    /// E0701: input data that cannot be read as declared.
    Input,
    /// E0702: reading or writing failed.
    Io,
    /// E0901: a promise of the engine itself is broken: a bug.
    Internal,
}

impl Code {
    /// The code as shown: `E0203`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::Syntax => "E0101",
            Code::UnknownTable => "E0201",
            Code::UnknownColumn => "E0203",
            Code::AmbiguousColumn => "E0204",
            Code::UnknownFunction => "E0205",
            Code::UnknownOption => "E0206",
            Code::BadOption => "E0207",
            Code::Type => "E0301",
            Code::Misplaced => "E0302",
            Code::Unsupported => "E0401",
            Code::Overflow => "E0501",
            Code::DivisionByZero => "E0502",
            Code::Cast => "E0503",
            Code::Limit => "E0601",
            Code::Input => "E0701",
            Code::Io => "E0702",
            Code::Internal => "E0901",
        }
    }
}

/// An error of the engine. Boxed inside, so that a `Result` stays small on the hot path.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Error(Box<Report>);

/// What an [`Error`] says.
#[derive(Clone, Debug)]
pub struct Report {
    /// What kind of error.
    pub code: Code,
    /// One line, without a final stop: "column `pricee` not found".
    pub message: String,
    /// Where in the script.
    pub span: Span,
    /// Beside the caret: "did you mean `price`?".
    pub help: Option<String>,
    /// Lines under the excerpt, each printed as `= note: ...`.
    pub notes: Vec<String>,
}

/// Result of everything in the engine that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with a message, its place still unknown.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error(Box::new(Report { code, message: message.into(), span: Span::NONE, help: None, notes: Vec::new() }))
    }

    /// The same error at a place, unless it has one already.
    pub fn at(mut self, span: Span) -> Self {
        if self.0.span == Span::NONE {
            self.0.span = span;
        }
        self
    }

    /// The same error with advice beside the caret.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// The same error with one more note under the excerpt.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.0.notes.push(note.into());
        self
    }

    /// What it says.
    pub fn report(&self) -> &Report {
        &self.0
    }

    /// What kind of error it is.
    pub fn code(&self) -> Code {
        self.0.code
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.message)?;
        if let Some(help) = &self.0.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}
