//! Reader of HdrHistogram logs, of this program or any other that writes the format.

use super::Interval;
use base64::Engine as _;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use std::io::Read as _;
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
    let histogram = decode(&bytes, decoder).ok_or("the histogram is damaged or of an unknown version")?;
    Ok(Interval { tag, start: seconds(start)?, length: seconds(length)?, histogram })
}

/// The first word of a deflated histogram of version 2, and of what it holds.
const DEFLATED: [u8; 4] = 0x1c84_9314u32.to_be_bytes();
const PLAIN: [u8; 4] = 0x1c84_9313u32.to_be_bytes();

/// No histogram is larger once inflated: three digits up to the largest u64 take half of it.
const MAX_INFLATED: u64 = 4 << 20;

/// Decodes version 2, with or without deflate. JavaScript writers put 1 for an index offset of none, and an
/// integer for the ratio 1.0, which no reader uses; both are set to what the format says.
fn decode(bytes: &[u8], decoder: &mut Deserializer) -> Option<Histogram<u64>> {
    let mut plain = Vec::new();
    match bytes.split_at_checked(8)? {
        (head, deflated) if head[..4] == DEFLATED => {
            ZlibDecoder::new(deflated).take(MAX_INFLATED).read_to_end(&mut plain).ok()?;
        }
        _ => plain.extend_from_slice(bytes),
    }
    if plain.get(..4)? != PLAIN {
        return None;
    }
    let (offset, ratio) = (8..12, 32..40);
    if plain.get(offset.clone())? == 1u32.to_be_bytes() {
        plain[offset].fill(0);
    }
    if plain.get(ratio.clone())? == 1u64.to_be_bytes() {
        plain[ratio].copy_from_slice(&1f64.to_be_bytes());
    }
    decoder.deserialize(&mut &plain[..]).ok()
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
