//! Reader of HdrHistogram logs, of this program or any other that writes the format.

use super::Interval;
use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use std::time::Duration;

/// Reads the intervals of a log; a line that cannot be read is an error with its number.
pub fn read_hlog(text: &str) -> Result<Vec<Interval>, String> {
    let mut intervals = Vec::new();
    let mut decoder = Deserializer::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') || line.starts_with('"') {
            continue;
        }
        intervals.push(interval(line, &mut decoder).map_err(|reason| format!("line {}: {reason}", number + 1))?);
    }
    Ok(intervals)
}

fn interval(line: &str, decoder: &mut Deserializer) -> Result<Interval, String> {
    let mut fields: Vec<&str> = line.split(',').collect();
    let tag = match fields[0].strip_prefix("Tag=") {
        Some(tag) => {
            fields.remove(0);
            tag.to_owned()
        }
        None => String::new(),
    };
    let [start, length, _max, histogram] = fields[..] else {
        return Err("not [Tag=NAME,]START,LENGTH,MAX,HISTOGRAM".into());
    };
    let seconds = |text: &str| {
        let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        seconds.ok_or_else(|| format!("`{text}` is not a time in seconds"))
    };
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(histogram)
        .map_err(|error| format!("the histogram is not base64: {error}"))?;
    let histogram: Histogram<u64> =
        decoder.deserialize(&mut &bytes[..]).map_err(|_| "the histogram is damaged or of an unknown version")?;
    Ok(Interval { tag, start: seconds(start)?, length: seconds(length)?, histogram })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: [(&str, u64, u64, u64, u64); 2] =
        [("engine-shard0", 1000, 501, 991, 1003), ("window-shard1", 1000, 501_759, 991_231, 1_003_519)];

    #[test]
    fn a_log_of_another_implementation_reads_exactly() {
        let intervals = read_hlog(include_str!("testdata/other.hlog")).unwrap();
        let seen: Vec<_> = intervals
            .iter()
            .map(|interval| {
                let histogram = &interval.histogram;
                let at = |quantile| histogram.value_at_quantile(quantile);
                (interval.tag.as_str(), histogram.len(), at(0.5), at(0.99), histogram.max())
            })
            .collect();
        assert_eq!(seen, EXPECTED);
        assert_eq!(intervals[0].length, Duration::from_secs(1));
    }

    #[test]
    fn damage_is_named_with_its_line() {
        for (text, reason) in [
            ("#c\n1,2,3", "line 2: not"),
            ("x,1,1,AAAA", "line 1: the histogram is damaged"),
            ("1,1,1,!", "line 1: the histogram is not base64"),
        ] {
            let error = read_hlog(text).unwrap_err();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
