//! The figures of one case on one number of cores.

use serde::Serialize;

/// What the pairs of a case have shown, as it goes to standard output. Where there are several
/// values, each field is their median on its own.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Name of the case.
    pub case: &'static str,
    /// Cores, and so shards and copies.
    pub cores: usize,
    /// Rows read in each run.
    pub rows: u64,
    /// Of all copies of the direct run together.
    pub direct_rows_per_s: f64,
    /// Of the job.
    pub rows_per_s: f64,
    /// The job's rate over that of the copies, pair by pair.
    pub ratio: f64,
    /// The least of any pair.
    pub ratio_min: f64,
    /// The greatest of any pair.
    pub ratio_max: f64,
    /// The same for each second on a CPU instead of each second.
    pub ratio_cpu: f64,
    /// Share of the shards' time that the ledger does not explain.
    pub unexplained: f64,
    /// Rows of the result.
    pub rows_out: u64,
    /// Sum of the hashes of those rows, in hexadecimal.
    pub checksum: String,
    /// On one core: the ratio with exchanges although there is only one shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_exchange_ratio: Option<f64>,
    /// Pairs that count.
    #[serde(skip)]
    pub pairs: usize,
    /// Pairs that were repeated because of the neighbours.
    #[serde(skip)]
    pub repeated: usize,
    /// Pairs that count although they were disturbed, since there were no undisturbed ones.
    #[serde(skip)]
    pub disturbed: usize,
    /// Share of the time that was lost to neighbours in the pairs that count.
    #[serde(skip)]
    pub lost: f64,
    /// Times a core was taken away in all pairs that count.
    #[serde(skip)]
    pub involuntary_switches: u64,
    /// Times that the job's shards gave their cores up, for every 1,000 batches read.
    #[serde(skip)]
    pub switches_per_1000_batches: f64,
}

impl Figures {
    /// The object that stands for them on standard output.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("plain fields are JSON")
    }

    /// A line of the table.
    pub fn line(&self) -> String {
        let percent = |share: f64| format!("{:.1}%", 100.0 * share);
        let forced = self.force_exchange_ratio.map_or("-".to_owned(), percent);
        let mut line = format!(
            "{:<11}{:>6}{:>9.1}{:>9.2}{:>9.2}{:>8}{:>16}{:>8}{:>9}{:>9}{:>9.2}{:>10}  ",
            self.case,
            self.cores,
            self.rows as f64 / 1e6,
            self.direct_rows_per_s / 1e6,
            self.rows_per_s / 1e6,
            percent(self.ratio),
            format!("{}..{}", percent(self.ratio_min), percent(self.ratio_max)),
            percent(self.ratio_cpu),
            forced,
            percent(self.unexplained),
            self.switches_per_1000_batches,
            self.rows_out,
        );
        line += &format!("{} pairs", self.pairs);
        if self.repeated > 0 {
            line += &format!(", {} repeated", self.repeated);
        }
        if self.disturbed > 0 {
            let Figures { disturbed, involuntary_switches, .. } = self;
            line += &format!(
                ", {disturbed} DISTURBED ({} lost, {involuntary_switches} involuntary switches)",
                percent(self.lost)
            );
        }
        line
    }
}

/// The table's first line.
pub fn heading() -> String {
    format!(
        "{:<11}{:>6}{:>9}{:>9}{:>9}{:>8}{:>16}{:>8}{:>9}{:>9}{:>9}{:>10}  pairs",
        "case",
        "cores",
        "M rows",
        "direct/s",
        "coord/s",
        "ratio",
        "min..max",
        "cpu",
        "forced",
        "unexpl",
        "switches",
        "rows out",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_the_agreed_fields_and_no_others() {
        let mut figures = Figures {
            case: "S2 seed",
            cores: 2,
            rows: 10,
            direct_rows_per_s: 4.0,
            rows_per_s: 3.0,
            ratio: 0.75,
            ratio_min: 0.5,
            ratio_max: 1.0,
            ratio_cpu: 0.8,
            unexplained: 0.01,
            rows_out: 2,
            checksum: "00ff".to_owned(),
            force_exchange_ratio: None,
            pairs: 3,
            repeated: 1,
            disturbed: 0,
            lost: 0.0,
            involuntary_switches: 0,
            switches_per_1000_batches: 0.25,
        };
        let agreed = r#"{"case":"S2 seed","cores":2,"rows":10,"direct_rows_per_s":4.0,"rows_per_s":3.0,"ratio":0.75,"ratio_min":0.5,"ratio_max":1.0,"ratio_cpu":0.8,"unexplained":0.01,"rows_out":2,"checksum":"00ff"}"#;
        assert_eq!(figures.json(), agreed);
        figures.force_exchange_ratio = Some(0.6);
        assert_eq!(figures.json(), agreed.replace('}', r#","force_exchange_ratio":0.6}"#));
        assert!(figures.line().ends_with("3 pairs, 1 repeated"));
    }
}
