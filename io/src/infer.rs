//! The schema of files, from the first rows of every one of them.
//!
//! Each column takes the narrowest type that every value seen fits, over all files: BOOLEAN, INT,
//! BIGINT, DECIMAL(18, most digits seen behind the point), DOUBLE, DATE, TIMESTAMP, else STRING.
//! Columns of several files unite by name.

use corelane_engine::types::{DataType, Field, Schema};
use corelane_engine::zone::Zone;
use corelane_engine::{Code, Error, Result};

use crate::csv::{Dialect, Kernel, value};
use crate::fs::Disk;
use crate::options::ReadOptions;
use crate::source::{Head, looks_like_header};

/// Digits of an inferred decimal.
const PRECISION: u8 = 18;

/// What the heads of a table's files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// The columns of all files, in order of first appearance.
    pub schema: Schema,
    /// What separates the fields of the first file that has rows.
    pub dialect: Dialect,
    /// Whether that file has a header.
    pub header: bool,
}

/// Infers the schema of the files called `names`. A table without any row has a schema only if it
/// has a header; its columns are STRING then.
pub fn infer(disk: &dyn Disk, names: &[String], options: &ReadOptions) -> Result<Inferred> {
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        files.push(disk.open(name)?);
    }
    infer_files(&files, options)
}

/// The same for files that are open already.
pub fn infer_files(files: &[std::sync::Arc<dyn crate::fs::File>], options: &ReadOptions) -> Result<Inferred> {
    let kernel = Kernel::detect()?;
    let mut columns: Vec<(String, Guess)> = Vec::new();
    let mut found: Option<(Dialect, bool)> = None;
    for file in files {
        let head = Head::read(&**file, options, kernel, false)?;
        let Some(first) = head.rows.first() else { continue };
        let header = options.header.unwrap_or_else(|| looks_like_header(first, &[]));
        found.get_or_insert((head.dialect, header));
        let name = |at: usize| if header { first[at].text.trim().to_owned() } else { format!("column{at}") };
        let places: Vec<usize> = (0..first.len()).map(|at| place(&mut columns, name(at))).collect();
        for row in head.rows.iter().skip(usize::from(header)).filter(|row| row.len() == places.len()) {
            for (field, &place) in row.iter().zip(&places) {
                let is_null = !field.quoted && field.text == options.null;
                if !is_null {
                    columns[place].1.see(&field.text);
                }
            }
        }
    }
    let Some((dialect, header)) = found else {
        let error = Error::new(Code::Input, "cannot infer a schema: the files are empty");
        return Err(error.help("declare the table's columns with CREATE TABLE"));
    };
    let fields = columns.into_iter().map(|(name, guess)| Field { name, data_type: guess.data_type() });
    Ok(Inferred { schema: Schema { fields: fields.collect() }, dialect, header })
}

/// Position of the column called `name`, added if there is none.
fn place(columns: &mut Vec<(String, Guess)>, name: String) -> usize {
    columns.iter().position(|(other, _)| *other == name).unwrap_or_else(|| {
        columns.push((name, Guess::default()));
        columns.len() - 1
    })
}

/// Whether `text` reads as something other than a word.
pub(crate) fn is_value(text: &str) -> bool {
    let mut guess = Guess::default();
    guess.see(text);
    guess.data_type() != DataType::Text
}

/// The types that every value seen so far fits.
#[derive(Clone, Copy, Debug)]
struct Guess {
    any: bool,
    boolean: bool,
    int: bool,
    bigint: bool,
    decimal: bool,
    double: bool,
    date: bool,
    timestamp: bool,
    zoned: bool,
    /// Digits behind the point, and before it, at most.
    scale: u8,
    whole: u8,
    /// Digits of a second, at most.
    second: u8,
}

impl Default for Guess {
    fn default() -> Self {
        Guess {
            any: false,
            boolean: true,
            int: true,
            bigint: true,
            decimal: true,
            double: true,
            date: true,
            timestamp: true,
            zoned: false,
            scale: 0,
            whole: 0,
            second: 0,
        }
    }
}

impl Guess {
    fn see(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.any = true;
        self.boolean &= matches!(text.to_ascii_lowercase().as_str(), "true" | "false");
        self.int &= value::integer(bytes, DataType::Int).is_ok();
        self.bigint &= value::integer(bytes, DataType::BigInt).is_ok();
        self.double &= value::double(bytes).is_ok();
        self.date &= value::date(bytes).is_ok();
        self.see_decimal(text.trim());
        self.see_timestamp(text.trim());
    }

    fn see_decimal(&mut self, text: &str) {
        let digits = text.trim_start_matches(['+', '-']);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        self.decimal &= whole.len() <= 38
            && fraction.len() <= 38
            && value::decimal(text.as_bytes(), 38, 38u8.min(fraction.len() as u8)).is_ok();
        self.scale = self.scale.max(fraction.len().min(38) as u8);
        self.whole = self.whole.max(whole.trim_start_matches('0').len().min(38) as u8);
    }

    fn see_timestamp(&mut self, text: &str) {
        self.timestamp &= value::timestamp(text.as_bytes(), 6, Some(Zone::UTC)).is_ok();
        if let (true, Some((_, time))) = (self.timestamp, text.split_once(['T', 't', ' '])) {
            self.zoned |= time.contains(['Z', 'z', '+', '-']);
            let digits =
                time.split_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
            // What a TIMESTAMP has no room for stays text, lest it be lost.
            self.timestamp &= digits <= 6;
            self.second = self.second.max(digits as u8);
        }
    }

    /// The narrowest type; STRING for a column without a value.
    fn data_type(&self) -> DataType {
        let fits_decimal = self.decimal && self.whole + self.scale <= 38;
        match self {
            _ if !self.any => DataType::Text,
            _ if self.boolean => DataType::Boolean,
            _ if self.int => DataType::Int,
            _ if self.bigint => DataType::BigInt,
            _ if fits_decimal && self.whole + self.scale <= PRECISION => {
                DataType::Decimal { precision: PRECISION, scale: self.scale }
            }
            _ if fits_decimal => DataType::Decimal { precision: 38, scale: self.scale },
            _ if self.double => DataType::Double,
            _ if self.date => DataType::Date,
            _ if self.timestamp => DataType::Timestamp {
                precision: if self.second > 3 { 6 } else { 3 },
                zone: self.zoned.then_some(Zone::UTC),
            },
            _ => DataType::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::MemoryDisk;

    fn types(files: &[&str]) -> String {
        let mut disk = MemoryDisk::new();
        let mut names = Vec::new();
        for (number, text) in files.iter().enumerate() {
            names.push(format!("{number}.csv"));
            disk = disk.with(format!("{number}.csv"), *text);
        }
        let inferred = infer(&disk, &names, &ReadOptions::default()).unwrap();
        let shown = inferred.schema.fields.iter().map(|field| format!("{} {}", field.name, field.data_type));
        format!(
            "{} header={} {}",
            char::from(inferred.dialect.delimiter),
            inferred.header,
            shown.collect::<Vec<_>>().join("; ")
        )
    }

    #[test]
    fn every_type_is_recognized_and_files_unite() {
        let cases: [(&[&str], &str); 8] = [
            (&["a,b,c\n1,1.5,x\n,2.25,\n"], ", header=true a INT; b DECIMAL(18, 2); c STRING"),
            (&["Hamburg;12.0\nWashington, D.C.;-3.5\n"], "; header=false column0 STRING; column1 DECIMAL(18, 1)"),
            (&["a,b\n1,true\n", "b,a,z\nfalse,3000000000,1e3\n"], ", header=true a BIGINT; b BOOLEAN; z DOUBLE"),
            (&["d\tt\n2026-01-02\t2026-01-02 03:04:05.678\n"], "\t header=true d DATE; t TIMESTAMP(3)"),
            (&["d,t\n2026-01-02,2026-01-02T03:04:05.678901Z\nx,\n"], ", header=true d STRING; t TIMESTAMP_LTZ(6)"),
            (&["k|v\nn|nan\ni|inf\n"], "| header=true k STRING; v DOUBLE"),
            (&["", "\u{feff}a,\"b,c\"\n\"1\",\"x\ny\"\n"], ", header=true a INT; b,c STRING"),
            (&["v\n12345678901234567890.5\n"], ", header=true v DECIMAL(38, 1)"),
        ];
        for (files, expected) in cases {
            assert_eq!(types(files), expected, "{files:?}");
        }
    }

    #[test]
    fn nothing_to_infer_from_is_an_error() {
        let disk = MemoryDisk::new().with("e.csv", "");
        assert!(infer(&disk, &["e.csv".to_owned()], &ReadOptions::default()).is_err());
    }
}
