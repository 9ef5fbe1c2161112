//! What reading promises: the same rows whatever the block, the pieces or the kernel; every row
//! accounted for; errors that say where.

use corelane_engine::batch::{Chunk, Data};
use corelane_engine::plan::{Needs, ReadOrder, Scan, ScanColumn};
use corelane_engine::scan::{Scanner, SplitTime};
use corelane_engine::stage::Ledger;
use corelane_engine::types::DataType;
use corelane_io::csv::Kernel;
use corelane_io::fs::{Disk, File, MemoryDisk, Stream};
use corelane_io::options::ReadOptions;
use corelane_io::reader::Counts;
use corelane_io::source::Source;
use proptest::prelude::*;

const TEXT: DataType = DataType::Text;

fn scalar() -> Kernel {
    Kernel::named("scalar").unwrap()
}

fn scanner(columns: &[(&str, DataType)], eager: usize) -> Scanner {
    let columns = columns.iter().enumerate();
    let columns = columns.map(|(index, &(name, data_type))| ScanColumn {
        name: name.to_owned(),
        index,
        data_type,
        metadata: None,
    });
    Scanner::new(Scan {
        table: "t".to_owned(),
        columns: columns.collect(),
        eager,
        event_time: None,
        late: None,
        clock: None,
        filter: None,
        read_order: ReadOrder::Position,
        turn: 0,
        needs: Needs { positions: true, ordinals: false },
    })
}

fn show(chunk: &Chunk<'_>, row: usize) -> Vec<Option<String>> {
    let value = |column: &corelane_engine::batch::Vector<'_>| {
        (!column.is_null(row)).then(|| match column.data {
            Data::I64(values) => values[row].to_string(),
            Data::I128(values) => values[row].to_string(),
            Data::F64(values) => values[row].to_string(),
            Data::Text(values) => values[row].to_str_lossy().into_owned(),
        })
    };
    chunk.columns.iter().map(value).collect()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    rows: Vec<Vec<Option<String>>>,
    /// Offset in the file of every row.
    offsets: Vec<u64>,
    bad: Vec<String>,
    counts: Counts,
}

fn try_read(source: &Source, scanner: &Scanner) -> corelane_engine::Result<Read> {
    let mut read = Read::default();
    for (number, split) in source.splits.iter().enumerate() {
        let take = |scanned: &corelane_io::reader::Scanned<'_>, _: &corelane_engine::operator::Context<'_>| {
            read.rows.extend((0..scanned.chunk.rows).map(|row| show(&scanned.chunk, row)));
            let positions = scanned.chunk.positions.expect("asked for");
            assert!(positions.iter().all(|position| position >> 32 == u64::from(split.id)));
            read.offsets.extend(positions.iter().map(|position| (position & 0xffff_ffff) + split.start));
            read.bad.extend(scanned.bad.iter().map(|bad| bad.to_error().report().message.clone()));
            read.counts += scanned.counts;
            Ok(())
        };
        source.read_all(number, scanner, &mut SplitTime::default(), &Ledger::idle(), take)?;
    }
    let Counts { read: all, bad, filtered, late, delivered } = read.counts;
    assert_eq!(all, bad + filtered + late + delivered);
    assert_eq!(delivered, read.rows.len() as u64);
    Ok(read)
}

fn open(text: &[u8], options: &[(&str, &str)], block: usize, piece: u64, kernel: Kernel) -> Source {
    let disk = MemoryDisk::new().with("t.csv", text);
    let options = ReadOptions::parse(options.iter().copied(), &[]).unwrap();
    let names = ["t.csv".to_owned()];
    Source::open_with(&disk, &names, &options, &[], piece, kernel).unwrap().with_block(block)
}

fn read(text: &str, columns: &[(&str, DataType)], options: &[(&str, &str)]) -> Read {
    let source = open(text.as_bytes(), options, 4096, 1 << 30, scalar());
    try_read(&source, &scanner(columns, 1)).unwrap()
}

fn shown(read: &Read) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".to_owned());
    let rows = read.rows.iter().map(|row| row.iter().map(value).collect::<Vec<_>>().join("|"));
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn columns_bind_by_name_and_types_convert() {
    let text = "\u{feff}b,A,c,d\r\n1.5,x,2026-01-02,true\r\n,\"\",,F\r\n-2,a rather long text,1969-12-31,\r\n";
    let decimal = DataType::Decimal { precision: 9, scale: 2 };
    let columns = [("a", TEXT), ("b", decimal), ("d", DataType::Boolean), ("c", DataType::Date)];
    let read = read(text, &columns, &[]);
    assert_eq!(shown(&read), "x|150|1|20455\n|NULL|0|NULL\na rather long text|-200|NULL|-1");
    assert_eq!(read.counts.bad, 0);
}

#[test]
fn quotes_null_literals_and_escapes() {
    let columns = [("a", TEXT), ("b", TEXT)];
    let text = "a,b\n\"x,\"\"y\"\"\nz\",5\" disk\n\\N,\"\\N\"\n,\"\"\n";
    assert_eq!(shown(&read(text, &columns, &[])), "x,\"y\"\nz|5\" disk\n\\N|\\N\nNULL|");
    assert_eq!(shown(&read(text, &columns, &[("null.literal", "\\N")])), "x,\"y\"\nz|5\" disk\nNULL|\\N\n|");
    let text = "a;b\n'x\\';y';\"\n";
    let options = [("quote", "'"), ("escape", "\\"), ("delimiter", ";")];
    assert_eq!(shown(&read(text, &columns, &options)), "x';y|\"");
    assert_eq!(shown(&read("a,b\n\"x,y\n", &columns, &[("quote", "none")])), "\"x|y");
}

#[test]
fn bad_rows_say_where_and_why_and_others_go_on() {
    let text =
        "id,price,name\n1,1.50,a\n2,1.505,b\nx,1,c\n4,2\n\n5,3,d,e\n6,1,\u{fffd}\n7,123456789,g\n8,2,\"h\"i\n9,9,z\n";
    let text = text.replace('\u{fffd}', "\u{1}").into_bytes();
    let text: Vec<u8> = text.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    let columns = [("id", DataType::Int), ("price", DataType::Decimal { precision: 5, scale: 2 }), ("name", TEXT)];
    let expected = [
        "t.csv:3: column `price` (DECIMAL(5, 2)): '1.505' has more than 2 digits behind the point; declare a greater scale",
        "t.csv:4: column `id` (INT): 'x' is not a whole number",
        "t.csv:5: the row has 2 fields instead of 3",
        "t.csv:7: the row has 4 fields instead of 3",
        "t.csv:8: column `name` (STRING): '\u{fffd}' is not UTF-8",
        "t.csv:9: column `price` (DECIMAL(5, 2)): '123456789' does not fit DECIMAL(5, 2); declare a greater precision",
        "t.csv:10: column `name` (STRING): '\"h\"i' has text behind its closing quote",
    ];
    for eager in 0..=3 {
        for block in [16, 64, 4096] {
            let source = open(&text, &[], block, 1 << 30, scalar());
            let read = try_read(&source, &scanner(&columns, eager)).unwrap();
            assert_eq!(read.bad, expected, "{eager} {block}");
            assert_eq!(shown(&read), "1|150|a\n9|900|z");
            assert_eq!(read.counts.read, 9);
        }
    }
}

#[test]
fn missing_columns_are_an_error_or_null() {
    let source = open(b"a,b\n1,2\n", &[], 64, 1 << 30, scalar());
    let error = source.reader(0, scanner(&[("c", TEXT)], 0).scan()).unwrap_err();
    assert_eq!(error.report().message, "t.csv: there is no column `c`");
    assert_eq!(error.report().notes[0], "its header has: a, b");
    let columns = [("c", TEXT), ("b", DataType::Int)];
    assert_eq!(shown(&read("a,b\n1,2\n", &columns, &[("missing", "null")])), "NULL|2");
    let columns = [("x", TEXT), ("y", DataType::Double)];
    assert_eq!(shown(&read("A;1.5\nB;-2\n", &columns, &[])), "A|1.5\nB|-2");
}

#[test]
fn what_cannot_be_read_on_is_an_error() {
    let source = open(b"a,b\n1,\"2\n3,4\n", &[], 64, 1 << 30, scalar());
    let error = try_read(&source, &scanner(&[("a", TEXT)], 0)).unwrap_err();
    assert_eq!(error.report().message, "t.csv: the row at byte 4 has a quote that is not closed");
    let long = format!("a,b\n1,{}\n", "x".repeat(300_000));
    let source = open(long.as_bytes(), &[("line.limit", "1000")], 64, 1 << 30, scalar());
    let error = try_read(&source, &scanner(&[("a", TEXT)], 0)).unwrap_err();
    assert!(error.report().message.contains("the row at byte 4 is longer than 1000 bytes"), "{error}");
    assert!(error.to_string().contains("'line.limit'"));
    let source = open(long.as_bytes(), &[], 64, 1 << 30, scalar());
    let read = try_read(&source, &scanner(&[("b", TEXT)], 0)).unwrap();
    assert_eq!(read.rows[0][0].as_ref().unwrap().len(), 300_000);
}

#[test]
fn files_that_are_not_text_are_refused_by_name() {
    let disk = MemoryDisk::new().with("a.gz", b"\x1f\x8b\x08\0".to_vec()).with("b.csv", "PAR1,BZh\n1,2\n");
    let open = |name: &str| Source::open(&disk, &[name.to_owned()], &ReadOptions::default(), &[]);
    let error = open("a.gz").unwrap_err().to_string();
    assert!(error.starts_with("`a.gz` is compressed with gzip") && error.contains("zcat"), "{error}");
    assert_eq!(open("b.csv").unwrap().files[0].header.as_deref().unwrap(), ["PAR1", "BZh"]);
}

#[test]
fn a_stream_is_read_once_and_knows_its_lines() {
    #[derive(Debug)]
    struct Pipes;
    impl Disk for Pipes {
        fn open(&self, path: &str) -> corelane_engine::Result<std::sync::Arc<dyn File>> {
            let text = format!("a,b\n{}x,2\n3,4", "1,2\n".repeat(700_000));
            Ok(std::sync::Arc::new(Stream::new(path, std::io::Cursor::new(text))))
        }
        fn list(&self, pattern: &str) -> corelane_engine::Result<Vec<String>> {
            Ok(vec![pattern.to_owned()])
        }
    }
    let source = Source::open(&Pipes, &["pipe".to_owned()], &ReadOptions::default(), &[]).unwrap();
    let scanner = scanner(&[("a", DataType::Int)], 0);
    assert_eq!(source.splits[0].end, None);
    let read = try_read(&source, &scanner).unwrap();
    assert_eq!((read.counts.delivered, read.offsets.last()), (700_001, Some(&(4 + 4 * 700_000 + 4))));
    assert_eq!(read.bad, ["pipe:700002: column `a` (INT): 'x' is not a whole number"]);
}

/// A piece cut at a quoted line end that the head did not warn of.
#[test]
fn a_wrong_cut_is_noticed() {
    let mut text = String::from("a,b\n");
    while text.len() < 300_000 {
        text.push_str("1,2\n");
    }
    text.push_str(&format!("1,\"{}\"\n3,4\n", "x\n".repeat(50_000)));
    let columns = [("a", TEXT)];
    let source = open(text.as_bytes(), &[], 4096, 100_000, scalar());
    let error = try_read(&source, &scanner(&columns, 0)).unwrap_err();
    assert!(error.report().notes[0].contains("'split' = 'file'"), "{error}");
    let source = open(text.as_bytes(), &[("split", "file")], 4096, 100_000, scalar());
    assert_eq!(try_read(&source, &scanner(&columns, 0)).unwrap().counts.read, 74_999 + 2);
}

#[test]
fn long_and_short_batches_keep_every_row() {
    for rows in [0usize, 1, 1023, 1024, 1025, 2048, 5000] {
        let mut text = String::from("id,v\n");
        for row in 0..rows {
            text.push_str(&format!("{row},{}.25\n", row * 7));
        }
        let columns = [("id", DataType::BigInt), ("v", DataType::Decimal { precision: 18, scale: 2 })];
        for kernel in Kernel::supported() {
            let source = open(text.as_bytes(), &[("header", "true")], 1000, 1 << 30, kernel);
            let read = try_read(&source, &scanner(&columns, 2)).unwrap();
            assert_eq!(read.rows.len(), rows);
            for (row, values) in read.rows.iter().enumerate() {
                assert_eq!(*values, [Some(row.to_string()), Some((row * 700 + 25).to_string())]);
            }
        }
    }
}

/// The plain way to read RFC 4180, byte by byte: rows of fields, with offsets.
fn reference(text: &[u8]) -> Option<Vec<(u64, Vec<Option<String>>)>> {
    let (mut rows, mut row, mut start, mut at) = (Vec::new(), Vec::new(), 0, 0);
    while at < text.len() {
        let mut field = Vec::new();
        let quoted = text[at] == b'"';
        if quoted {
            at += 1;
            loop {
                match (text.get(at)?, text.get(at + 1)) {
                    (b'"', Some(b'"')) => at += 1,
                    (b'"', _) => break,
                    _ => {}
                }
                field.push(text[at]);
                at += 1;
            }
            at += 1;
        }
        let unquoted = at;
        while at < text.len() && text[at] != b',' && text[at] != b'\n' {
            at += 1;
        }
        let rest = &text[unquoted..at];
        let rest = if text.get(at) != Some(&b',') { rest.strip_suffix(b"\r").unwrap_or(rest) } else { rest };
        if quoted && !rest.is_empty() {
            return None;
        }
        field.extend_from_slice(rest);
        row.push((quoted || !field.is_empty()).then(|| String::from_utf8_lossy(&field).into_owned()));
        let more = text.get(at) == Some(&b',');
        at += 1;
        if !more || at > text.len() {
            rows.push((start as u64, std::mem::take(&mut row)));
            start = at;
        } else if at == text.len() {
            row.push(None);
            rows.push((start as u64, std::mem::take(&mut row)));
        }
    }
    Some(rows)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_kernel_block_and_piece_gives_the_same_rows(
        fields in prop::collection::vec("[a\",\n é\r]{0,9}|[a-c]{0,40}|\"[a-c,\n]{0,90}\"", 0..120),
        piece in 1u64..200,
        crlf in any::<bool>(),
    ) {
        // Three fields a row, some of them quoted by the generator itself, some broken.
        let end = if crlf { "\r\n" } else { "\n" };
        let text: String = fields.chunks(3).map(|row| row.join(",") + end).collect();
        let text = text.as_bytes();
        let columns = [("x", TEXT), ("y", TEXT), ("z", TEXT)];
        let options = [("header", "false"), ("missing", "null"), ("delimiter", ",")];
        let width = reference(text).and_then(|rows| rows.first().map(|row| row.1.len()));
        let expected = reference(text).filter(|_| width == Some(3)).map(|rows| {
            let blank = |row: &&(u64, Vec<Option<String>>)| row.1 == [None];
            let good = |row: &&(u64, Vec<Option<String>>)| row.1.len() == 3;
            let kept: Vec<_> = rows.iter().filter(good).cloned().collect();
            (kept, rows.iter().filter(|row| !blank(row)).count() as u64)
        });
        let mut first: Option<Result<Read, String>> = None;
        for kernel in Kernel::supported() {
            for block in [1, 2, 3, 7, 64, 4096] {
                let source = open(text, &options, block, 1 << 30, kernel);
                let read = try_read(&source, &scanner(&columns, 1)).map_err(|error| error.to_string());
                if let Some((rows, count)) = &expected {
                    let read = read.as_ref().expect("well-formed");
                    prop_assert_eq!(read.counts.read, *count);
                    let got: Vec<_> = read.offsets.iter().copied().zip(read.rows.iter().cloned()).collect();
                    prop_assert_eq!(&got, rows);
                }
                match &first {
                    Some(first) => prop_assert_eq!(&read, first),
                    None => first = Some(read),
                }
            }
            let source = open(text, &options, 64, piece, kernel);
            let read = try_read(&source, &scanner(&columns, 3)).map_err(|error| error.to_string());
            match &first {
                Some(Ok(first)) => prop_assert_eq!(read.as_ref(), Ok(first)),
                _ => prop_assert!(read.is_err()),
            }
        }
    }
}
