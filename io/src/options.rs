//! What `WITH (...)` says about reading a table's files.

use corelane_engine::{Code, Error, Result};

/// The options of [`ReadOptions`], as written.
pub const READ_OPTIONS: [&str; 10] =
    ["format", "delimiter", "header", "quote", "escape", "null.literal", "missing", "split", "line.limit", "on-error"];

/// Bytes of one row, at most, unless `'line.limit'` says otherwise.
pub const LINE_LIMIT: usize = 16 << 20;

/// Columns of a file, at most, unless said otherwise.
pub const COLUMN_LIMIT: usize = 16 << 10;

/// How a table's files are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// `'delimiter'`; found out when not given.
    pub delimiter: Option<u8>,
    /// `'header'`: whether the first row holds names; found out when `None` (`'auto'`).
    pub header: Option<bool>,
    /// `'quote'`; `None` (`'none'`) takes quotes as text.
    pub quote: Option<u8>,
    /// `'escape'`: takes the meaning from the next byte of a quoted field.
    pub escape: Option<u8>,
    /// `'null.literal'`: the unquoted field that is NULL; the empty one unless said.
    pub null: String,
    /// `'missing'`: what a column is that a file does not have.
    pub missing: Missing,
    /// `'split'`: whether large files are cut into pieces.
    pub split: SplitBy,
    /// `'line.limit'`: bytes of one row, at most; checked for rows that do not fit in a block.
    pub line_limit: usize,
    /// Columns of a file, at most.
    pub column_limit: usize,
    /// `'on-error'`: what becomes of bad rows; the job's own choice when not given.
    pub on_error: Option<OnError>,
}

/// What a column is that a file does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// An error that names the file.
    Error,
    /// NULL in every row.
    Null,
}

/// How files become splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitBy {
    /// Large files are cut into pieces.
    Piece,
    /// A file is never cut.
    File,
}

/// What becomes of bad rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The first one ends the run.
    Fail,
    /// They are counted and left out.
    Skip,
    /// The same, and they are written to a file with their place and the reason.
    Reject,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            delimiter: None,
            header: None,
            quote: Some(b'"'),
            escape: None,
            null: String::new(),
            missing: Missing::Error,
            split: SplitBy::Piece,
            line_limit: LINE_LIMIT,
            column_limit: COLUMN_LIMIT,
            on_error: None,
        }
    }
}

impl ReadOptions {
    /// Reads the options of a table. `others` are keys that someone else understands; any further
    /// one is an error that names the nearest known.
    pub fn parse<'o>(options: impl IntoIterator<Item = (&'o str, &'o str)>, others: &[&str]) -> Result<Self> {
        let mut parsed = ReadOptions::default();
        for (key, value) in options {
            if !others.iter().any(|other| other.eq_ignore_ascii_case(key)) {
                parsed.set(&key.to_ascii_lowercase(), value, others)?;
            }
        }
        let quotes = [parsed.quote, parsed.escape];
        if parsed.delimiter.is_some() && quotes.contains(&parsed.delimiter) {
            return Err(Error::new(Code::BadOption, "'delimiter' must differ from 'quote' and 'escape'"));
        }
        Ok(parsed)
    }

    fn set(&mut self, key: &str, value: &str, others: &[&str]) -> Result<()> {
        let bad = |wanted: &str| {
            Error::new(Code::BadOption, format!("'{key}' cannot be '{value}'")).help(format!("it takes {wanted}"))
        };
        let word = value.to_ascii_lowercase();
        match key {
            "format" => match word.as_str() {
                "csv" => {}
                "tsv" => self.delimiter = self.delimiter.or(Some(b'\t')),
                _ => return Err(bad("csv or tsv")),
            },
            "delimiter" => {
                self.delimiter = Some(byte(value).ok_or_else(|| bad("one ASCII character, as ';' or '\\t'"))?)
            }
            "header" => {
                self.header = match word.as_str() {
                    "auto" => None,
                    "true" => Some(true),
                    "false" => Some(false),
                    _ => return Err(bad("true, false or auto")),
                }
            }
            "quote" | "escape" => {
                let wanted = "one ASCII character, or none";
                let byte = match word.as_str() {
                    "none" | "" => None,
                    _ => Some(byte(value).ok_or_else(|| bad(wanted))?),
                };
                if key == "quote" {
                    self.quote = byte;
                } else {
                    // Doubling is understood anyhow.
                    self.escape = byte.filter(|&byte| Some(byte) != self.quote);
                }
            }
            "null.literal" => self.null = value.to_owned(),
            "missing" => {
                self.missing = match word.as_str() {
                    "error" => Missing::Error,
                    "null" => Missing::Null,
                    _ => return Err(bad("error or null")),
                }
            }
            "split" => {
                self.split = match word.as_str() {
                    "auto" => SplitBy::Piece,
                    "file" => SplitBy::File,
                    _ => return Err(bad("auto or file")),
                }
            }
            "line.limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=1 << 30).contains(limit));
                self.line_limit = limit.ok_or_else(|| bad("a number of bytes from 1 to 1073741824"))?;
            }
            "on-error" => {
                self.on_error = Some(match word.as_str() {
                    "fail" => OnError::Fail,
                    "skip" => OnError::Skip,
                    "reject" => OnError::Reject,
                    _ => return Err(bad("fail, skip or reject")),
                })
            }
            _ => return Err(unknown(key, READ_OPTIONS.iter().chain(others))),
        }
        Ok(())
    }
}

/// One ASCII character, also written as `\t` or `tab`; neither a line end nor NUL.
fn byte(value: &str) -> Option<u8> {
    let byte = match value {
        "\\t" | "tab" => b'\t',
        _ => *value.as_bytes().first().filter(|_| value.len() == 1)?,
    };
    (byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0)).then_some(byte)
}

/// The error for an option that is not known.
fn unknown<'k>(key: &str, known: impl Iterator<Item = &'k &'k str>) -> Error {
    let error = Error::new(Code::UnknownOption, format!("there is no option '{key}'"));
    let nearest = known.map(|known| (distance(key, known), *known)).min();
    match nearest {
        Some((distance, known)) if distance <= 1 + key.len() / 3 => error.help(format!("did you mean '{known}'?")),
        _ => error.help(format!("a table of files knows {}", READ_OPTIONS.join(", "))),
    }
}

/// How many letters must be added, dropped or changed to make one word the other.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.bytes().enumerate() {
            let best = (diagonal + usize::from(a != b)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_understood_and_others_get_a_suggestion() {
        let options = [
            ("Format", "tsv"),
            ("header", "false"),
            ("quote", "'"),
            ("escape", "\\"),
            ("null.literal", "\\N"),
            ("missing", "null"),
            ("split", "file"),
            ("line.limit", "100"),
            ("on-error", "skip"),
            ("connector", "file"),
        ];
        let parsed = ReadOptions::parse(options, &["connector", "path"]).unwrap();
        let expected = ReadOptions {
            delimiter: Some(b'\t'),
            header: Some(false),
            quote: Some(b'\''),
            escape: Some(b'\\'),
            null: "\\N".to_owned(),
            missing: Missing::Null,
            split: SplitBy::File,
            line_limit: 100,
            column_limit: COLUMN_LIMIT,
            on_error: Some(OnError::Skip),
        };
        assert_eq!(parsed, expected);
        let error = ReadOptions::parse([("delimeter", ";")], &[]).unwrap_err();
        assert_eq!(error.to_string(), "there is no option 'delimeter' (did you mean 'delimiter'?)");
        assert!(ReadOptions::parse([("delimiter", "\"")], &[]).is_err());
        assert!(ReadOptions::parse([("delimiter", "ab")], &[]).is_err());
        assert!(ReadOptions::parse([("header", "maybe")], &[]).is_err());
    }
}
