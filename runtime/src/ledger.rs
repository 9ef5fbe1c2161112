//! Turns a shard's ticks into nanoseconds that add up to its wall clock.
//!
//! Stages are timed by the wall, so time off the core lies inside them: it is taken out of the
//! working stages pro rata and shown as `descheduled`. What the stages leave of the wall is
//! `unexplained`.

use corelane_engine::stage::{Ledger, Stage};

/// One shard's time, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Books {
    /// Time in each stage, by its number.
    pub stages: [f64; Stage::ALL.len()],
    /// Ready to run, or held by the kernel, without the core.
    pub descheduled: f64,
    /// Wall time that nothing accounts for; negative if stages were booked beyond it.
    pub unexplained: f64,
    /// The wall clock, measured apart.
    pub wall: f64,
}

impl Books {
    /// Closes `ledger` over `wall_ns` of wall time of which the thread ran `cpu_ns`.
    pub fn close(ledger: &Ledger, ns_per_tick: f64, wall_ns: u64, cpu_ns: u64) -> Books {
        Books::balance(Stage::ALL.map(|stage| ledger.spent(stage) as f64 * ns_per_tick), wall_ns as f64, cpu_ns as f64)
    }

    fn balance(mut stages: [f64; Stage::ALL.len()], wall: f64, cpu: f64) -> Books {
        let sum = |wait: bool| -> f64 {
            Stage::ALL.iter().filter(|stage| stage.is_wait() == wait).map(|&stage| stages[stage as usize]).sum()
        };
        let (work, waits) = (sum(false), sum(true));
        let descheduled = (wall - cpu - waits).clamp(0.0, work);
        let kept = if work > 0.0 { 1.0 - descheduled / work } else { 1.0 };
        for stage in Stage::ALL.into_iter().filter(|stage| !stage.is_wait()) {
            stages[stage as usize] *= kept;
        }
        Books { stages, descheduled, unexplained: wall - work - waits, wall }
    }

    /// Every entry by name, for JSON and tables.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        let stages = Stage::ALL.into_iter().map(|stage| (stage.name(), self.stages[stage as usize]));
        stages.chain([("descheduled", self.descheduled), ("unexplained", self.unexplained)])
    }
}

/// A table of per cent of wall time: stages down, shards across, rows of nothing left out.
pub fn table(shards: &[Books]) -> String {
    let columns: Vec<Vec<(&str, f64)>> = shards.iter().map(|books| books.entries().collect()).collect();
    let mut text = format!("{:<14}", "ledger");
    text.extend((0..shards.len()).map(|shard| format!("{:>9}", format!("shard {shard}"))));
    text.push('\n');
    for row in 0..columns.first().map_or(0, Vec::len) {
        if columns.iter().all(|column| column[row].1 == 0.0) {
            continue;
        }
        text.push_str(&format!("{:<14}", columns[0][row].0));
        for (column, books) in columns.iter().zip(shards) {
            text.push_str(&format!("{:>8.1}%", 100.0 * column[row].1 / books.wall.max(1.0)));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_add_up_to_the_wall() {
        let mut stages = [0.0; Stage::ALL.len()];
        stages[Stage::Read as usize] = 300.0;
        stages[Stage::Aggregate as usize] = 500.0;
        stages[Stage::WaitInput as usize] = 100.0;
        let books = Books::balance(stages, 1000.0, 820.0);
        assert_eq!((books.descheduled, books.unexplained), (80.0, 100.0));
        assert!((books.stages[Stage::Read as usize] - 270.0).abs() < 1e-9);
        assert!((books.entries().map(|(_, ns)| ns).sum::<f64>() - 1000.0).abs() < 1e-9);
        let text = table(&[books]);
        assert_eq!(text.lines().nth(1), Some("read              27.0%"));
        assert!(!text.contains("join"));
    }
}
