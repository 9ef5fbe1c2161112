//! S2, S3a and S3b as one would write them by hand on timely dataflow.
//!
//!     timely-peer CASE --threads N --out FOLDER FILE...
//!
//! Each worker reads its files ([`read`]), rows go to the worker that owns their key, and one
//! operator ([`totals`]) adds them up and writes a file of its own ([`write`]). Time in the dataflow
//! is the minute up to which a worker's watermark (greatest time seen, less two seconds) has come.

mod read;
mod totals;
mod write;

use std::path::PathBuf;
use std::process::exit;
use std::time::Instant;

use timely::dataflow::InputHandle;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;

use read::{Reader, Trade};

/// Milliseconds of a window.
const WINDOW_MS: u64 = 60_000;
/// How far the watermark stays behind.
const LATE_MS: u64 = 2_000;
/// Rows taken up between two steps of the dataflow.
const ROWS_PER_STEP: usize = 4096;

#[derive(Clone, Copy, PartialEq)]
enum Case {
    Totals,
    Windows,
    Changes,
}

struct Request {
    case: Case,
    threads: usize,
    out: PathBuf,
    files: Vec<PathBuf>,
}

fn request() -> Option<Request> {
    let mut words = std::env::args().skip(1);
    let case = match words.next()?.as_str() {
        "S2" => Case::Totals,
        "S3a" => Case::Windows,
        "S3b" => Case::Changes,
        _ => return None,
    };
    let mut request = Request { case, threads: 1, out: PathBuf::from("."), files: Vec::new() };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--threads" => request.threads = words.next()?.parse().ok()?,
            "--out" => request.out = words.next()?.into(),
            file => request.files.push(file.into()),
        }
    }
    Some(request)
}

fn main() {
    let Some(Request { case, threads, out, files }) = request() else {
        eprintln!("usage: timely-peer S2|S3a|S3b --threads N --out FOLDER FILE...");
        exit(2);
    };
    let start = Instant::now();
    let config = if threads == 1 { timely::Config::thread() } else { timely::Config::process(threads) };
    let workers = timely::execute(config, move |worker| {
        let mut input: InputHandle<u64, _> = InputHandle::new();
        let to = out.join(format!("worker{}.csv", worker.index()));
        worker.dataflow::<u64, _, _>(|scope| {
            let rows = input.to_stream(scope);
            let by_key = Exchange::new(|trade: &Trade| totals::place(trade));
            match case {
                Case::Totals => rows.sink(by_key, "totals", totals::whole(&to)),
                Case::Windows => rows.sink(by_key, "windows", totals::windows(&to)),
                Case::Changes => rows.sink(by_key, "changes", totals::changes(&to)),
            }
        });
        let mut batch: Vec<Trade> = Vec::with_capacity(ROWS_PER_STEP);
        let (mine, all) = (worker.index(), worker.peers());
        let (mut greatest, mut minute) = (0, 0);
        for file in files.iter().skip(mine).step_by(all) {
            let mut reader = Reader::open(file).unwrap_or_else(|error| {
                eprintln!("{}: {error}", file.display());
                exit(1)
            });
            while reader.fill(&mut batch, ROWS_PER_STEP) {
                if case != Case::Totals {
                    greatest = batch.iter().fold(greatest, |greatest, trade| greatest.max(trade.time_ms));
                }
                input.send_batch(&mut batch);
                batch.clear();
                batch.reserve(ROWS_PER_STEP);
                let reached = greatest.saturating_sub(LATE_MS) / WINDOW_MS;
                if reached > minute {
                    minute = reached;
                    input.advance_to(minute);
                }
                worker.step();
            }
        }
    });
    drop(workers.expect("workers start")); // Joins them.
    println!("{{\"seconds\": {}, \"version\": \"0.32\"}}", start.elapsed().as_secs_f64());
}
