//! What a run says on standard error when it has ended, written from its [`Stats`] and nothing
//! else.

use crate::ledger;
use crate::stats::{Costs, HeldBy, Source, Stats};
use jiff::Timestamp;
use std::fmt::Write;

/// Bad rows shown per source; the number of the others is said.
const SHOWN: usize = 5;
/// Characters before what a line says.
const LABEL: usize = 9;

/// The report, in lines of about `columns` characters. `full` adds nanoseconds per row and a bar per shard to
/// the ledger, and what a row has cost beside time.
pub fn report(stats: &Stats, full: bool, columns: usize) -> String {
    let mut out = String::new();
    let totals = &stats.totals;
    line(
        &mut out,
        format_args!(
            "rows     {} in, {} out in {:.3} s: {} rows/s, {:.1} MB/s, {} {} ({})",
            grouped(totals.rows_in),
            grouped(totals.rows_out),
            stats.seconds,
            grouped(totals.rows_per_second.round() as u64),
            totals.bytes_per_second / 1e6,
            stats.shards.len(),
            if stats.shards.len() == 1 { "shard" } else { "shards" },
            stats.executor,
        ),
    );
    for source in &stats.sources {
        write_source(&mut out, source);
        if totals.rows_out == 0 {
            write_why_nothing(&mut out, source);
        }
    }
    write_latency(&mut out, stats, columns);
    write_ledger(&mut out, stats, full, columns);
    line(
        &mut out,
        format_args!(
            "machine  {} involuntary switches, {} voluntary, {:.2} s stolen, {:.1} MB at most",
            grouped(stats.involuntary_switches),
            grouped(stats.voluntary_switches),
            stats.steal_seconds,
            stats.max_rss_bytes as f64 / 1e6,
        ),
    );
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a string takes everything");
}

fn write_source(out: &mut String, source: &Source) {
    let Source { name, rows, bad, filtered, late, delivered, .. } = source;
    let counts = [rows, bad, filtered, late, delivered].map(|&count| grouped(count));
    let [rows, bad_rows, filtered, late_rows, delivered] = counts;
    match source.mismatch() {
        None => line(
            out,
            format_args!(
                "source   {name}: {rows} read = {bad_rows} bad + {filtered} filtered + {late_rows} late + {delivered} delivered"
            ),
        ),
        Some(mismatch) => line(out, format_args!("source   {mismatch}")),
    }
    if let Some(watermark) = source.watermark {
        line(out, format_args!("         watermark {}", moment(watermark)));
    }
    if source.leaps > 0 {
        let leaps = grouped(source.leaps);
        line(
            out,
            format_args!(
                "         {leaps} rows lead all others by more than an hour: time does not follow one row alone"
            ),
        );
    }
    if *late > 0
        && let Some(first) = &source.first_late
    {
        line(out, format_args!("         first late row: {first}"));
    }
    if let (1.., Some(file)) = (source.late_kept, &source.late_file) {
        line(out, format_args!("         {} late rows are in {file}", grouped(source.late_kept)));
    }
    for bad in source.first_bad.iter().take(SHOWN) {
        line(out, format_args!("         bad row: {bad}"));
    }
    let shown = source.first_bad.len().min(SHOWN) as u64;
    if shown > 0 && *bad > shown {
        line(out, format_args!("         and {} more bad rows", grouped(bad - shown)));
    }
    if let (1.., Some(file)) = (source.rejected, &source.reject_file) {
        line(out, format_args!("         {} bad rows are in {file}", grouped(source.rejected)));
    }
}

/// Why there is no output, where the source knows.
fn write_why_nothing(out: &mut String, source: &Source) {
    let Source { name, rows, bad, filtered, late, delivered, held_by, .. } = source;
    let why = match held_by {
        _ if *rows == 0 => format!("`{name}` has no rows"),
        _ if bad == rows => "every row is bad".to_owned(),
        _ if *late > 0 && bad + filtered + late == *rows => "every row that passed WHERE came late".to_owned(),
        _ if *delivered == 0 => "no row passed WHERE".to_owned(),
        Some(HeldBy { split, watermark, .. }) if moment(*watermark) == "none yet" => {
            format!("no window has closed: {split} has not been read yet")
        }
        Some(HeldBy { split, watermark, window_end }) => format!(
            "no window has closed: {split} holds the watermark at {}, {:.3} s before the end of the next window at {}",
            moment(*watermark),
            (window_end - watermark) as f64 / 1e3,
            moment(*window_end),
        ),
        None => return,
    };
    line(out, format_args!("         no output: {why}"));
}

fn write_latency(out: &mut String, stats: &Stats, columns: usize) {
    let latency = &stats.latency;
    let lines = match stats.rate {
        Some(_) => {
            vec![latency.scheduled.line("scheduled, corrected"), latency.uncorrected.line("scheduled, uncorrected")]
        }
        None if latency.engine.count == 0 => Vec::new(),
        None => vec![latency.engine.line("engine (closed loop, throughput-bound)")],
    };
    for text in lines {
        folded(out, &text, "  ", columns);
    }
    if latency.window_close.count > 0 {
        folded(out, &latency.window_close.line("window close"), "  ", columns);
    }
}

fn write_ledger(out: &mut String, stats: &Stats, full: bool, columns: usize) {
    let books: Vec<_> = stats.shards.iter().map(|shard| shard.books.clone()).collect();
    if books.is_empty() {
        return;
    }
    out.push_str(&ledger::table(&books, full.then_some(stats.totals.rows_in), columns));
    if full {
        out.push_str(&ledger::bars(&books, columns));
        write_costs(out, &stats.costs, columns);
    }
}

fn write_costs(out: &mut String, costs: &Costs, columns: usize) {
    let percent = |share: f64| ledger::unsigned_zero(format!("{:.1}%", 100.0 * share));
    let rows = format!(
        "costs    per 1,000 rows {:.3} switches, {:.2} messages between shards ({:.2} operations on rings)",
        costs.switches_per_1000_rows, costs.ring_messages_per_1000_rows, costs.ring_operations_per_1000_rows,
    );
    folded(out, &rows, " ", columns);
    // In the order in which a row meets them.
    let causes = ["read", "carry", "exchange", "keys", "held", "format", "merge", "write"];
    let copied = causes.iter().filter_map(|cause| Some((cause, *costs.copied_bytes_per_row.get(cause)?)));
    let copied: Vec<String> =
        copied.filter(|(_, bytes)| *bytes >= 0.05).map(|(cause, bytes)| format!("{cause} {bytes:.1}")).collect();
    folded(out, &format!("         bytes copied per row: {}", copied.join(", ")), ", ", columns);
    let (readers, writers) = (percent(costs.reader_share), percent(costs.writer_share));
    let thread = match costs.writer_cpu_seconds {
        0.0 => String::new(),
        seconds => format!(", and {seconds:.3} s on the merging thread"),
    };
    let both = format!("         readers (read, index, convert) {readers}; writers (format, write) {writers}{thread}");
    folded(out, &both, " ", columns);
    let left = format!(
        "         left: control {}, unexplained {}; the ledger itself {:.2}% ({} marks of {:.0} ns)",
        percent(costs.control_share),
        percent(costs.unexplained_share),
        100.0 * costs.ledger_share,
        grouped(costs.ledger_marks),
        costs.ledger_mark_ns,
    );
    folded(out, &left, " ", columns);
}

/// Writes `text` in lines of `columns` characters, as far as it can be broken at a `separator` behind its label;
/// further lines begin where the first goes on behind the label.
fn folded(out: &mut String, text: &str, separator: &str, columns: usize) {
    let (label, rest) = text.split_at(LABEL);
    let (mut text, mut width) = (label.to_owned(), LABEL);
    for (number, part) in rest.split(separator).enumerate() {
        let more = part.chars().count() + separator.len();
        if number > 0 && width + more > columns {
            text.push_str(separator.trim_end());
            line(out, format_args!("{text}"));
            (text, width) = (" ".repeat(LABEL), LABEL);
        } else if number > 0 {
            text.push_str(separator);
        }
        text.push_str(part);
        width += more;
    }
    line(out, format_args!("{text}"));
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds since the epoch as a date and time in UTC; one outside the calendar by its side.
fn moment(millis: i64) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(moment) => moment.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string(),
        Err(_) if millis > 0 => "at the end of time".into(),
        Err(_) => "none yet".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Clocks;
    use crate::ledger::Books;
    use crate::stats::{Latency, Shard, Totals};
    use corelane_engine::stage::Stage;

    fn stats() -> Stats {
        let mut books = Books { wall: 1000.0, unexplained: 250.0, ..Books::default() };
        books.stages[Stage::Read as usize] = 750.0;
        let shard = Shard { rows_in: 1500, bytes_in: 3_000_000, rows_out: 7, books, ..Shard::default() };
        let source = Source {
            name: "bid".into(),
            rows: 1500,
            bad: 6,
            filtered: 90,
            late: 4,
            delivered: 1400,
            watermark: Some(951_827_696_789),
            first_late: Some("bid.csv:9".into()),
            first_bad: (1..=6).map(|line| format!("bid.csv:{line}: no number")).collect(),
            ..Source::default()
        };
        let mut clocks = Clocks::default();
        clocks.engine.record(100, 10);
        clocks.scheduled.record(2000, 10);
        clocks.uncorrected.record(50, 10);
        Stats {
            executor: "threads".into(),
            seconds: 2.0,
            totals: Totals::of(std::slice::from_ref(&shard), 2.0),
            shards: vec![shard],
            sources: vec![source],
            latency: Latency::from(&clocks),
            involuntary_switches: 1234,
            steal_seconds: 0.5,
            max_rss_bytes: 5_000_000,
            costs: Costs {
                copied_bytes_per_row: [("write", 3.0), ("read", 12.0), ("keys", 0.01)].into(),
                ..Costs::default()
            },
            ..Stats::default()
        }
    }

    #[test]
    fn the_report_is_golden() {
        let golden = "\
rows     1,500 in, 7 out in 2.000 s: 750 rows/s, 1.5 MB/s, 1 shard (threads)
source   bid: 1,500 read = 6 bad + 90 filtered + 4 late + 1,400 delivered
         watermark 2000-02-29 12:34:56.789
         first late row: bid.csv:9
         bad row: bid.csv:1: no number
         bad row: bid.csv:2: no number
         bad row: bid.csv:3: no number
         bad row: bid.csv:4: no number
         bad row: bid.csv:5: no number
         and 1 more bad rows
latency  engine (closed loop, throughput-bound)  p50 100 ns  p90 100 ns
         p99 100 ns  p99.9 100 ns  p99.99 100 ns  max 100 ns
         mean 100 ns ± 0 ns
ledger          shard 0
read              75.0%
unexplained       25.0%
machine  1,234 involuntary switches, 0 voluntary, 0.50 s stolen, 5.0 MB at most
";
        assert_eq!(report(&stats(), false, 80), golden);
    }

    #[test]
    fn a_rate_shows_both_clocks_and_the_full_ledger_time_per_row() {
        let mut stats = stats();
        stats.rate = Some(1e3);
        stats.sources[0].delivered = 1399;
        let text = report(&stats, true, 80);
        for part in [
            "corrected  p50 2.0",
            "uncorrected  p50 50 ns",
            "ROWS DO NOT ADD UP in `bid`",
            "read               0.50    75.0%",
            "shard 0 |read===",
            "bytes copied per row: read 12.0, write 3.0\n",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains("closed loop"));
        let mut folded = text.lines().skip_while(|line| !line.starts_with("latency"));
        assert!(folded.all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn a_run_without_output_says_why() {
        let mut stats = stats();
        stats.totals.rows_out = 0;
        let held_by = HeldBy { split: "a.csv".into(), watermark: 38_184, window_end: 3_600_000 };
        let whole = stats.sources[0].clone();
        for (source, why) in [
            (
                Source { held_by: Some(held_by), ..whole.clone() },
                "a.csv holds the watermark at 1970-01-01 00:00:38.184, 3561.816 s before the end of the next window at 1970-01-01 01:00:00.000",
            ),
            (Source { rows: 5, bad: 0, filtered: 5, late: 0, delivered: 0, ..whole.clone() }, "no row passed WHERE"),
            (Source { rows: 5, bad: 0, filtered: 3, late: 2, delivered: 0, ..whole.clone() }, "came late"),
            (Source { rows: 5, bad: 5, filtered: 0, late: 0, delivered: 0, ..whole.clone() }, "every row is bad"),
            (Source { rows: 0, bad: 0, filtered: 0, late: 0, delivered: 0, ..whole.clone() }, "`bid` has no rows"),
        ] {
            stats.sources = vec![source];
            let text = report(&stats, false, 80);
            assert!(text.contains("no output: ") && text.contains(why), "{why} in\n{text}");
        }
        stats.sources = vec![whole];
        assert!(!report(&stats, false, 80).contains("no output"), "HAVING may have taken all groups");
    }

    #[test]
    fn moments_are_civil() {
        for (millis, text) in
            [(0, "1970-01-01 00:00:00.000"), (-1, "1969-12-31 23:59:59.999"), (i64::MAX, "at the end of time")]
        {
            assert_eq!(moment(millis), text);
        }
        assert_eq!([0, 999, 1000, u64::MAX].map(grouped), ["0", "999", "1,000", "18,446,744,073,709,551,615"]);
    }
}
