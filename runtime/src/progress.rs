//! The progress line on standard error, drawn by the main thread from counters the shards add to.

use crate::options::When;
use crate::report::grouped;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Redraws a second.
const RATE: u8 = 5;

/// One line that says how far a run is; nothing at all where it is not wanted.
#[derive(Debug)]
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// A line if `when` wants one; `auto` does on a terminal that can move its cursor.
    pub fn new(when: When, quiet: bool) -> Progress {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Progress(wanted(when, quiet, terminal).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(RATE));
            bar.set_style(ProgressStyle::with_template("{msg}").expect("the template is constant and sound"));
            bar
        }))
    }

    /// Shows what was read so far; called by the main thread a few times a second.
    pub fn show(&self, rows: u64, bytes: u64, elapsed: Duration) {
        let Some(bar) = &self.0 else { return };
        let text = text(rows, bytes, elapsed);
        if bar.is_hidden() {
            // `always` without a terminal: plain lines, since there is no cursor to move.
            crate::cli::execute::talk(&format!("{text}\n"));
        } else {
            bar.set_message(text);
            bar.tick();
        }
    }

    /// Takes the line away, so that the report begins on a clean one.
    pub fn clear(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}

fn wanted(when: When, quiet: bool, terminal: bool) -> bool {
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => terminal && !quiet,
    }
}

fn text(rows: u64, bytes: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let per_second = if seconds > 0.0 { rows as f64 / seconds } else { 0.0 };
    format!(
        "{} rows, {:.1} MB, {} rows/s, {seconds:.1} s",
        grouped(rows),
        bytes as f64 / 1e6,
        grouped(per_second as u64)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_rates_and_only_where_wanted() {
        assert_eq!(text(3000, 2_500_000, Duration::from_secs(2)), "3,000 rows, 2.5 MB, 1,500 rows/s, 2.0 s");
        assert_eq!(text(0, 0, Duration::ZERO), "0 rows, 0.0 MB, 0 rows/s, 0.0 s");
        assert!(wanted(When::Always, true, false) && !wanted(When::Never, false, true));
        assert!(
            wanted(When::Auto, false, true) && !wanted(When::Auto, true, true) && !wanted(When::Auto, false, false)
        );
    }
}
