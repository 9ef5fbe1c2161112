//! Writers: the HdrHistogram log and the percentile spectrum, laid out as the Java tools do.

use super::{Clock, Interval};
use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
use std::io::{Error, Result, Write};

/// Nanoseconds in the unit people read.
pub fn human(ns: f64) -> String {
    let (scaled, unit) = match ns {
        _ if ns < 1e3 => return format!("{ns:.0} ns"),
        _ if ns < 1e6 => (ns / 1e3, "µs"),
        _ if ns < 1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    if scaled < 10.0 { format!("{scaled:.2} {unit}") } else { format!("{scaled:.0} {unit}") }
}

/// Writes an HdrHistogram log, format 1.3; `began` is seconds since the epoch. Values stay in
/// nanoseconds, the column of maxima is in milliseconds as readers expect.
pub fn write_hlog(out: &mut dyn Write, began: f64, intervals: &[Interval]) -> Result<()> {
    writeln!(out, "#[Histogram log format version 1.3]")?;
    writeln!(out, "#[StartTime: {began:.3} (seconds since epoch)]")?;
    writeln!(out, "#[BaseTime: {began:.3} (seconds since epoch)]")?;
    writeln!(out, "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"")?;
    let mut serializer = V2DeflateSerializer::new();
    for Interval { tag, start, length, histogram } in intervals {
        let mut bytes = Vec::new();
        serializer.serialize(histogram, &mut bytes).map_err(Error::other)?;
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        let max = histogram.max() as f64 / 1e6;
        let (start, length) = (start.as_secs_f64(), length.as_secs_f64());
        writeln!(out, "Tag={tag},{start:.3},{length:.3},{max:.3},{text}")?;
    }
    Ok(())
}

/// Writes the percentile spectrum in nanoseconds, five steps per half distance.
pub fn write_hgrm(out: &mut dyn Write, histogram: &Histogram<u64>) -> Result<()> {
    let digits = usize::from(histogram.sigfig());
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let mut total = 0;
    for step in histogram.iter_quantiles(5) {
        total += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let value = step.value_iterated_to() as f64;
        write!(out, "{value:12.digits$} {quantile:2.12} {total:10}")?;
        if quantile < 1.0 {
            writeln!(out, " {:14.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out, " {:>14}", "inf")?;
        }
    }
    let (mean, deviation) = (histogram.mean(), histogram.stdev());
    writeln!(out, "#[Mean    = {mean:12.digits$}, StdDeviation   = {deviation:12.digits$}]")?;
    writeln!(out, "#[Max     = {:12.digits$}, Total count    = {:12}]", histogram.max() as f64, histogram.len())?;
    let sub = (2 * 10u64.pow(digits as u32)).next_power_of_two();
    let (mut buckets, mut reach) = (1, sub);
    while reach <= histogram.high() {
        (buckets, reach) = (buckets + 1, reach << 1);
    }
    writeln!(out, "#[Buckets = {buckets:12}, SubBuckets     = {sub:12}]")
}

/// Writes each clock by name: its figures, deviation, clipped rows and every bin that counted
/// something, `[highest value, count]`, all in nanoseconds.
pub fn write_json(out: &mut dyn Write, clocks: &[(&str, &Clock)]) -> Result<()> {
    let mut all = serde_json::Map::new();
    for (name, clock) in clocks {
        let summary = clock.summary();
        let bins: Vec<(u64, u64)> =
            clock.histogram().iter_recorded().map(|bin| (bin.value_iterated_to(), bin.count_at_value())).collect();
        let entry = serde_json::json!({
            "summary": summary, "stdev": summary.stdev, "clipped": summary.clipped, "bins": bins,
        });
        all.insert((*name).to_owned(), entry);
    }
    serde_json::to_writer_pretty(&mut *out, &all)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use std::time::Duration;

    #[test]
    fn a_log_line_decodes_to_what_was_recorded() {
        let mut histogram = Clock::default().histogram;
        histogram.record_n(1000, 7).unwrap();
        let second = Duration::from_secs(1);
        let interval = Interval { tag: "engine-shard0".into(), start: second, length: second, histogram };
        let mut log = Vec::new();
        write_hlog(&mut log, 12.5, std::slice::from_ref(&interval)).unwrap();
        let log = String::from_utf8(log).unwrap();
        let fields: Vec<&str> = log.lines().nth(4).unwrap().split(',').collect();
        assert_eq!(fields[..4], ["Tag=engine-shard0", "1.000", "1.000", "0.001"]);
        let bytes = base64::engine::general_purpose::STANDARD.decode(fields[4]).unwrap();
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
        assert_eq!(read, interval.histogram);
    }

    #[test]
    fn the_spectrum_ends_in_ascii_inf_and_the_whole_count() {
        let mut histogram = Clock::default().histogram;
        histogram.record_n(100, 3).unwrap();
        let mut text = Vec::new();
        write_hgrm(&mut text, &histogram).unwrap();
        let text = String::from_utf8(text).unwrap();
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        assert_eq!(last.split_whitespace().collect::<Vec<_>>(), ["100.00", "1.000000000000", "3", "inf"]);
    }

    #[test]
    fn units_follow_size() {
        assert_eq!([9.0, 1310.0, 41e3, 5.02e6, 2e9].map(human), ["9 ns", "1.31 µs", "41 µs", "5.02 ms", "2.00 s"]);
    }

    #[test]
    fn json_has_every_bin() {
        let mut clock = Clock::default();
        clock.record(5, 3);
        clock.record(7, 4);
        let mut text = Vec::new();
        write_json(&mut text, &[("engine", &clock)]).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(json["engine"]["bins"], serde_json::json!([[5, 3], [7, 4]]));
        assert_eq!(json["engine"]["summary"]["count"], 7);
    }
}
