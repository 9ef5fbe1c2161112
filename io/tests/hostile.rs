//! Files that nobody would write on purpose, each with what must become of it.
//!
//! Every one is read with blocks of 1, 2, 3, 7 and 4096 bytes, cut into pieces at every byte, and by
//! every kernel; the outcome must be the stated one each time.

use std::fmt::Write;

use corelane_engine::batch::{Chunk, Data};
use corelane_engine::operator::Context;
use corelane_engine::plan::{Needs, ReadOrder, Scan, ScanColumn};
use corelane_engine::scan::{Scanner, SplitTime};
use corelane_engine::sql::parse_type;
use corelane_engine::stage::Ledger;
use corelane_engine::types::DataType;
use corelane_io::csv::Kernel;
use corelane_io::fs::MemoryDisk;
use corelane_io::options::ReadOptions;
use corelane_io::reader::Scanned;
use corelane_io::source::Source;

/// What must become of a file.
enum Outcome {
    /// These rows (columns by `|`, NULL as `NULL`), and these bad ones, each as `line: reason`.
    Rows(&'static str, &'static [&'static str]),
    /// An error that says this, before or while rows are read.
    Refused(&'static str),
}
use Outcome::{Refused, Rows};

struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    /// `name TYPE, ..`
    columns: &'static str,
    options: &'static [(&'static str, &'static str)],
    outcome: Outcome,
}

fn case(name: &'static str, bytes: impl AsRef<[u8]>, columns: &'static str, outcome: Outcome) -> Case {
    Case { name, bytes: bytes.as_ref().to_vec(), columns, options: &[], outcome }
}

impl Case {
    fn with(self, options: &'static [(&'static str, &'static str)]) -> Case {
        Case { options, ..self }
    }
}

const AB: &str = "a INT, b STRING";

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    vec![
        // Nothing, or nearly.
        case("empty file", "", AB, Rows("", &[])),
        case("one line end", "\n", AB, Rows("NULL|NULL", &[])),
        case("byte-order mark alone", "\u{feff}", AB, Rows("", &[])),
        case("header alone", "a,b\n", AB, Rows("", &[])),
        case("header without a line end", "a,b", AB, Rows("", &[])),
        case("blank lines", "\n\na,b\n\n1,x\n\n\n2,y\n\n", AB, Rows("1|x\n2|y", &[])),
        case("blank lines of CRLF", "a,b\r\n\r\n1,x\r\n\r\n", AB, Rows("1|x", &[])),
        // Line ends.
        case("byte-order mark", "\u{feff}a,b\n1,x\n", AB, Rows("1|x", &[])),
        case("byte-order mark in the middle", "a,b\n\u{feff}1,x\n", AB, Rows("", &["2: is not a whole number"])),
        case("CRLF", "a,b\r\n1,x\r\n2,y\r\n", AB, Rows("1|x\n2|y", &[])),
        case("LF and CRLF", "a,b\n1,x\r\n2,y\n", AB, Rows("1|x\n2|y", &[])),
        case("CR alone", "a,b\r1,x\r2,y\r", AB, Refused("its lines end with CR alone")),
        case("CR within a field", "a,b\n1,x\ry\n", AB, Rows("1|x\ry", &[])),
        case("two CRs", "a,b\n1,x\r\r\n", AB, Rows("1|x\r", &[])),
        case("no last line end", "a,b\n1,x\n2,y", AB, Rows("1|x\n2|y", &[])),
        case("last line cut off within a number", "a,b\n1,x\n2", AB, Rows("1|x", &["3: the row has 1 fields instead of 2"])),
        case("last line cut off within CRLF", "a,b\r\n1,x\r", AB, Rows("1|x", &[])),
        case("control-Z at the end", "a,b\n1,x\n\x1a", AB, Rows("1|x", &["3: the row has 1 fields instead of 2"])),
        case("zeros at the end", b"a,b\n1,x\n\0\0\0\0", AB, Rows("1|x", &["3: the row has 1 fields instead of 2"])),
        // Shape.
        case("short row", "a,b\n1\n2,y\n", AB, Rows("2|y", &["2: the row has 1 fields instead of 2"])),
        case("long row", "a,b\n1,x,z\n2,y\n", AB, Rows("2|y", &["2: the row has 3 fields instead of 2"])),
        case("trailing delimiter", "a,b\n1,x,\n", AB, Rows("", &["2: the row has 3 fields instead of 2"])),
        case("delimiters alone", "a,b\n,\n1,\n", AB, Rows("NULL|NULL\n1|NULL", &[])),
        case("white space alone", "a,b\n  \n1,x\n", AB, Rows("1|x", &["2: the row has 1 fields instead of 2"])),
        case("long after short", "a,b\n1\n1,2,3\n4,z\n", AB, Rows("4|z", &["2: the row has 1 fields instead of 2", "3: the row has 3 fields instead of 2"])),
        // Headers.
        case("header in other case", "A,B\n1,x\n", AB, Rows("1|x", &[])),
        case("header with spaces", " a , b \n1,x\n", AB, Rows("1|x", &[])),
        case("quoted header", "\"a\",\"b\"\n1,x\n", AB, Rows("1|x", &[])),
        case("header in another order with more columns", "z,b,y,a\n0,x,0,1\n", AB, Rows("1|x", &[])),
        case("two columns of one name", "a,a,b\n1,2,x\n", AB, Rows("1|x", &[])),
        case("header lacks a column", "a,c\n1,x\n", AB, Refused("there is no column `b`")),
        case("header lacks a column that may be NULL", "a,c\n1,x\n", AB, Rows("1|NULL", &[])).with(&[("missing", "null")]),
        case("no header", "1,x\n2,y\n", AB, Rows("1|x\n2|y", &[])),
        case("no header and too few columns", "1\n2\n", AB, Refused("there is no column `b`")),
        case("header twice", "a,b\n1,x\na,b\n2,y\n", AB, Rows("1|x\n2|y", &["3: is not a whole number"])),
        // Quotes.
        case("line end in quotes", "a,b\n1,\"x\ny\"\n2,z\n", AB, Rows("1|x\ny\n2|z", &[])),
        case("CRLF in quotes", "a,b\r\n1,\"x\r\ny\"\r\n2,z\r\n", AB, Rows("1|x\r\ny\n2|z", &[])),
        case("doubled quotes", "a,b\n1,\"\"\"x\"\"\"\n2,\"\"\"\"\n", AB, Rows("1|\"x\"\n2|\"", &[])),
        case("quote in the middle", "a,b\n1,x\"y\n2,5\" disk\n", AB, Rows("1|x\"y\n2|5\" disk", &[])),
        case("text behind a closing quote", "a,b\n1,\"x\"y\n2,z\n", AB, Rows("2|z", &["2: has text behind its closing quote"])),
        case("space behind a closing quote", "a,b\n1,\"x\" \n2,z\n", AB, Rows("2|z", &["2: has text behind its closing quote"])),
        case("quote never closed", "a,b\n1,\"x\n2,y\n", AB, Refused("has a quote that is not closed")),
        case("quote as the last byte", "a,b\n1,x\n2,\"", AB, Refused("has a quote that is not closed")),
        case("empty in quotes is no NULL", "a,b\n1,\"\"\n2,\n", AB, Rows("1|\n2|NULL", &[])),
        case("quoted number", "a,b\n\"1\",x\n\"\",y\n", AB, Rows("1|x\nNULL|y", &[])),
        case("delimiter in quotes", "a,b\n1,\"x,y\"\n", AB, Rows("1|x,y", &[])),
        case("quotes taken as text", "a,b\n1,\"x\n2,y\"\n", AB, Rows("1|\"x\n2|y\"", &[])).with(&[("quote", "none")]),
        case("escaped quote", "a,b\n1,\"x\\\"y\"\n", AB, Rows("1|x\"y", &[])).with(&[("escape", "\\")]),
        // Bytes.
        case("NUL in text", b"a,b\n1,x\0y\n", AB, Rows("1|x\0y", &[])),
        case("NUL in a number", b"a,b\n1\0,x\n2,y\n", AB, Rows("2|y", &["2: is not a whole number"])),
        case("not UTF-8", b"a,b\n1,\xff\n2,y\n", AB, Rows("2|y", &["2: is not UTF-8"])),
        case("UTF-8 cut off", b"a,b\n1,\xc3\n2,y\n", AB, Rows("2|y", &["2: is not UTF-8"])),
        case("overlong UTF-8", b"a,b\n1,\xc0\xaf\n2,y\n", AB, Rows("2|y", &["2: is not UTF-8"])),
        case("surrogate as UTF-8", b"a,b\n1,\xed\xa0\x80\n2,y\n", AB, Rows("2|y", &["2: is not UTF-8"])),
        case("latin-1", b"a,b\n1,caf\xe9\n2,y\n", AB, Rows("2|y", &["2: is not UTF-8"])),
        case("not UTF-8 where nobody reads", b"a,c,b\n1,\xff\xfe,x\n", AB, Rows("1|x", &[])),
        case("controls", "a,b\n1,\x01\x02\x07\x08\x0b\x0c\x1b[31m\x7f\n", AB, Rows("1|\x01\x02\x07\x08\x0b\x0c\x1b[31m\x7f", &[])),
        case("right to left, joiners, no width", "a,b\n1,\u{202e}x\u{200d}\u{200b}\u{feff}\n", AB, Rows("1|\u{202e}x\u{200d}\u{200b}\u{feff}", &[])),
        case("a spreadsheet's formula", "a,b\n1,=cmd|' /C calc'!A0\n", AB, Rows("1|=cmd|' /C calc'!A0", &[])).with(&[("delimiter", ",")]),
        case("text of 13 bytes and more", "a,b\n1,0123456789ab\n2,0123456789abc\n3,äöüäöüä\n", AB, Rows("1|0123456789ab\n2|0123456789abc\n3|äöüäöüä", &[])),
        // Not csv at all.
        case("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03", AB, Refused("compressed with gzip")),
        case("zstd", b"\x28\xb5\x2f\xfd\x04\x00", AB, Refused("compressed with zstd")),
        case("bzip2", b"BZh91AY&SY\x01\xff", AB, Refused("compressed with bzip2")),
        case("Parquet", b"PAR1\x15\x04\x15\0", AB, Refused("a Parquet file")),
        case("UTF-16, little end first", b"\xff\xfea\0,\0b\0\n\0", AB, Refused("UTF-16")),
        case("UTF-16, big end first", b"\xfe\xff\0a\0,\0b\0\n", AB, Refused("UTF-16")),
        case("text that begins like bzip2", "BZh,b\n1,x\n", "BZh INT, b STRING", Rows("1|x", &[])),
        case("other delimiter", "a;b\n1;x,y\n", AB, Rows("1|x,y", &[])),
        case("tabs", "a\tb\n1\tx y\n", AB, Rows("1|x y", &[])),
        // Numbers.
        case("ends of BIGINT", "a\n9223372036854775807\n-9223372036854775808\n", "a BIGINT", Rows("9223372036854775807\n-9223372036854775808", &[])),
        case("past the ends of BIGINT", "a\n9223372036854775808\n-9223372036854775809\n18446744073709551616\n", "a BIGINT",
            Rows("", &["2: is out of range of BIGINT", "3: is out of range of BIGINT", "4: is out of range of BIGINT"])),
        case("past the ends of INT", "a\n2147483648\n-2147483649\n2147483647\n", "a INT", Rows("2147483647", &["2: is out of range of INT", "3: is out of range of INT"])),
        case("forty digits", "a\n1234567890123456789012345678901234567890\n1\n", "a BIGINT", Rows("1", &["2: is out of range of BIGINT"])),
        case("zeros in front", "a\n007\n000000000000000000000000000000005\n-0\n", "a BIGINT", Rows("7\n5\n0", &[])),
        case("what looks like a number", "a\n1e5\n0x10\n1_000\n1.0\n--1\n-\n+\n٣\n", "a INT",
            Rows("", &["2: is not a whole number", "3: is not a whole number", "4: is not a whole number", "5: is not a whole number",
                       "6: is not a whole number", "7: is not a whole number", "8: is not a whole number", "9: is not a whole number"])),
        case("spaces around numbers", "a,b\n 1,x\n2 ,y\n", AB, Rows("1|x\n2|y", &[])),
        case("decimals", "a\n1.5\n-.5\n1.\n.\n1.005\n12345678.00\n", "a DECIMAL(9, 2)",
            Rows("150\n-50\n100", &["5: is not a decimal number", "6: has more than 2 digits behind the point; declare a greater scale",
                         "7: does not fit DECIMAL(9, 2); declare a greater precision"])),
        case("the widest decimal", "a\n99999999999999999999999999999999999999\n999999999999999999999999999999999999990\n", "a DECIMAL(38, 0)",
            Rows("99999999999999999999999999999999999999", &["3: does not fit DECIMAL(38, 0); declare a greater precision"])),
        case("doubles", "a\nNaN\ninf\n-inf\n1e308\n1e400\n-0.0\n5e-324\nabc\n", "a DOUBLE",
            Rows("NaN\ninf\n-inf\n1e308\ninf\n-0\n5e-324", &["9: is not a number"])),
        case("truth", "a\ntrue\nF\n1\nyes\nTRUE\n", "a BOOLEAN", Rows("1\n0\n1\n1", &["5: is not TRUE or FALSE"])),
        // Times.
        case("dates", "a\n2024-02-29\n2026-02-29\n2026-13-01\n2026-1-1\n0000-01-01\n9999-12-31\n10000-01-01\n", "a DATE", Rows("19782\n-719528\n2932896", &["3: is not a date like 2026-01-31", "4: is not a date like 2026-01-31", "5: is not a date like 2026-01-31", "8: is not a date like 2026-01-31"])),
        case("timestamps", "a\n2026-01-01 00:00:00\n2026-01-01T00:00:60\n2026-01-01 24:00:00\n2026-01-01 00:00:00.123456789\n2026-01-01\n", "a TIMESTAMP(3)", Rows("1767225600000000\n1767225600123000\n1767225600000000", &["3: is not a timestamp like 2026-01-31 23:59:59.999", "4: is not a timestamp like 2026-01-31 23:59:59.999"])),
        case("timestamps out of range", "a\n99999-01-01 00:00:00\n-0001-01-01 00:00:00\n9999-12-31 23:59:59.999\n0001-01-01 00:00:00\n", "a TIMESTAMP(3)", Rows("253402300799999000\n-62135596800000000", &["2: is not a timestamp like 2026-01-31 23:59:59.999", "3: is not a timestamp like 2026-01-31 23:59:59.999"])),
        case("numbers for timestamps", "a\n1767225600000\n", "a TIMESTAMP(3)", Rows("", &["2: is a number, not a timestamp; declare the column BIGINT and use TO_TIMESTAMP_LTZ(column, 3)"])),
        case("offsets where there are none", "a\n2026-01-01 00:00:00+02:00\n2026-01-01 00:00:00Z\n", "a TIMESTAMP(3)", Rows("1767225600000000", &["2: has an offset from UTC; declare the column TIMESTAMP_LTZ"])),
    ]
}

fn scanner(columns: &[(String, DataType)]) -> Scanner {
    let columns = columns.iter().enumerate();
    let columns = columns.map(|(index, (name, data_type))| ScanColumn {
        name: name.clone(),
        index,
        data_type: *data_type,
        metadata: None,
    });
    Scanner::new(Scan {
        table: "t".to_owned(),
        columns: columns.collect(),
        eager: 1,
        event_time: None,
        late: None,
        clock: None,
        filter: None,
        read_order: ReadOrder::Position,
        turn: 0,
        needs: Needs { positions: false, ordinals: false },
    })
}

fn declared(columns: &str) -> Vec<(String, DataType)> {
    let mut found: Vec<(String, DataType)> = Vec::new();
    let mut rest = columns;
    while !rest.is_empty() {
        // A comma within parentheses belongs to the type.
        let mut depth = 0;
        let end = rest.find(|character| {
            depth += i32::from(character == '(') - i32::from(character == ')');
            character == ',' && depth == 0
        });
        let (column, behind) = end.map_or((rest, ""), |end| (&rest[..end], &rest[end + 1..]));
        let (name, data_type) = column.trim().split_once(' ').expect("a name and a type");
        found.push((name.to_owned(), parse_type(data_type).expect("a type")));
        rest = behind;
    }
    found
}

fn show(chunk: &Chunk<'_>, row: usize) -> String {
    let value = |column: &corelane_engine::batch::Vector<'_>| {
        if column.is_null(row) {
            return "NULL".to_owned();
        }
        match column.data {
            Data::I64(values) => values[row].to_string(),
            Data::I128(values) => values[row].to_string(),
            Data::F64(values) => format!("{:?}", values[row]).trim_end_matches(".0").to_owned(),
            Data::Text(values) => values[row].to_str_lossy().into_owned(),
        }
    };
    chunk.columns.iter().map(value).collect::<Vec<_>>().join("|")
}

/// The rows of a file and its bad ones, in the order of the file; or why it is refused.
fn read(case: &Case, block: usize, piece: u64, kernel: Kernel) -> Result<(String, Vec<String>), String> {
    let said = |error: corelane_engine::Error| error.to_string();
    let columns = declared(case.columns);
    let scanner = scanner(&columns);
    let disk = MemoryDisk::new().with("t.csv", case.bytes.as_slice());
    let options = ReadOptions::parse(case.options.iter().copied(), &[]).map_err(said)?;
    let names: Vec<&str> = columns.iter().map(|column| column.0.as_str()).collect();
    let source = Source::open_with(&disk, &["t.csv".to_owned()], &options, &names, piece, kernel).map_err(said)?;
    let source = source.with_block(block);
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for split in 0..source.splits.len() {
        let take = |scanned: &Scanned<'_>, _: &Context<'_>| {
            rows.extend((0..scanned.chunk.rows).map(|row| show(&scanned.chunk, row)));
            bad.extend(
                scanned.bad.iter().map(|bad| format!("{}: {}", bad.line().expect("it can be counted"), bad.reason)),
            );
            Ok(())
        };
        source.read_all(split, &scanner, &mut SplitTime::default(), &Ledger::idle(), take).map_err(said)?;
    }
    Ok((rows.join("\n"), bad))
}

fn check(case: &Case, block: usize, piece: u64, kernel: Kernel, problems: &mut String) {
    let found = read(case, block, piece, kernel);
    let is_right = match (&found, &case.outcome) {
        (Ok((rows, bad)), Rows(expected, expected_bad)) => rows == expected && bad == expected_bad,
        (Err(message), Refused(part)) => message.contains(part),
        _ => false,
    };
    if !is_right {
        writeln!(problems, "{} (blocks of {block}, pieces of {piece}, {kernel:?}): {found:?}", case.name).unwrap();
    }
}

#[test]
fn hostile_files_end_as_stated_whatever_reads_them() {
    let cases = cases();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let mut problems = String::new();
    for case in &cases {
        for kernel in Kernel::supported() {
            for block in [1, 2, 3, 7, 4096] {
                check(case, block, 1 << 30, kernel, &mut problems);
            }
        }
    }
    assert!(problems.is_empty(), "\n{problems}");
}

#[test]
fn hostile_files_may_be_cut_at_every_byte() {
    let mut problems = String::new();
    for case in &cases() {
        for piece in 1..=case.bytes.len() as u64 {
            let kernel = Kernel::detect().unwrap();
            check(case, 1 + (piece as usize * 7) % 40, piece, kernel, &mut problems);
        }
    }
    assert!(problems.is_empty(), "\n{problems}");
}
