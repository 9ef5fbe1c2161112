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

/// Cells of a name, and of each shard's column, in the table.
const NAME: usize = 14;
const COLUMN: usize = 9;

/// A table of per cent of wall time: stages down, shards across, rows of nothing left out. `rows` are those of
/// all shards, where nanoseconds per row are wanted. Shards that do not fit into a line of `columns`
/// characters follow below.
pub fn table(shards: &[Books], rows: Option<u64>, columns: usize) -> String {
    let entries: Vec<Vec<(&str, f64)>> = shards.iter().map(|books| books.entries().collect()).collect();
    let used = NAME + rows.map_or(0, |_| COLUMN);
    let most = (columns.saturating_sub(used) / COLUMN).max(1);
    let mut text = String::new();
    for first in (0..shards.len()).step_by(most) {
        let block = first..(first + most).min(shards.len());
        text.push_str(&format!("{:<NAME$}", "ledger"));
        text.push_str(&rows.map_or(String::new(), |_| format!("{:>COLUMN$}", "ns/row")));
        text.extend(block.clone().map(|shard| format!("{:>COLUMN$}", format!("shard {shard}"))));
        text.push('\n');
        for (row, &(name, _)) in entries[0].iter().enumerate() {
            if entries.iter().all(|column| column[row].1 == 0.0) {
                continue;
            }
            text.push_str(&format!("{name:<NAME$}"));
            if let Some(rows) = rows {
                let all: f64 = entries.iter().map(|column| column[row].1).sum();
                text.push_str(&format!("{:>COLUMN$}", unsigned_zero(format!("{:.2}", all / rows.max(1) as f64))));
            }
            for shard in block.clone() {
                let share = format!("{:.1}%", 100.0 * entries[shard][row].1 / shards[shard].wall.max(1.0));
                text.push_str(&format!("{:>COLUMN$}", unsigned_zero(share)));
            }
            text.push('\n');
        }
    }
    text
}

/// `number` as it is, but for the sign of a nought: what is a little less than nothing is nothing.
pub fn unsigned_zero(number: String) -> String {
    if number.starts_with("-0.0") && !number.contains(|digit| matches!(digit, '1'..='9')) {
        number[1..].to_owned()
    } else {
        number
    }
}

/// A bar per shard, `columns` characters wide: its wall time from left to right, in order of the table. Work is
/// filled with `=`, waiting with dots, and a stage has its name in it where there is room.
pub fn bars(shards: &[Books], columns: usize) -> String {
    let label = format!("shard {} ", shards.len().saturating_sub(1)).len();
    let width = columns.saturating_sub(label + 1).max(20);
    let mut text = String::new();
    for (number, books) in shards.iter().enumerate() {
        text.push_str(&format!("{:<label$}", format!("shard {number}")));
        for ((name, _), cells) in books.entries().zip(cells(books, width)) {
            let Some(inside) = cells.checked_sub(1) else { continue };
            let fill = if Stage::ALL.iter().any(|stage| stage.name() == name && !stage.is_wait()) { '=' } else { '.' };
            // Two letters could be anything.
            let shown = if inside >= name.len().min(3) { &name[..inside.min(name.len())] } else { "" };
            text.push('|');
            text.push_str(shown);
            text.extend(std::iter::repeat_n(fill, inside - shown.len()));
        }
        text.push_str("|\n");
    }
    text
}

/// Cells of each entry of a bar: as many as its share rounds to, and `width` in all.
fn cells(books: &Books, width: usize) -> Vec<usize> {
    let total: f64 = books.entries().map(|(_, ns)| ns.max(0.0)).sum();
    let (mut passed, mut drawn) = (0.0, 0);
    let cells = books.entries().map(|(_, ns)| {
        passed += ns.max(0.0);
        let until = (passed / total.max(1.0) * width as f64).round() as usize;
        let own = until - drawn;
        drawn = until;
        own
    });
    cells.collect()
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
        let text = table(std::slice::from_ref(&books), None, 80);
        assert_eq!(text.lines().nth(1), Some("read              27.0%"));
        assert!(!text.contains("join"));
        let (nothing, little) = (unsigned_zero("-0.00%".to_owned()), unsigned_zero("-0.02%".to_owned()));
        assert_eq!((&*nothing, &*little), ("0.00%", "-0.02%"));
        let text = table(&[books.clone(), books], Some(100), 80);
        assert_eq!(text.lines().nth(1), Some("read               5.40    27.0%    27.0%"));
    }

    #[test]
    fn a_table_of_many_shards_goes_on_below() {
        let books = Books { wall: 1000.0, unexplained: 10.0, ..Books::default() };
        let text = table(&vec![books; 10], None, 80);
        assert_eq!(text.lines().count(), 4);
        assert!(text.lines().all(|line| line.len() <= 80));
        assert_eq!(text.lines().nth(2), Some("ledger          shard 7  shard 8  shard 9"));
    }

    #[test]
    fn bars_are_as_wide_as_the_terminal_and_name_what_has_room() {
        let mut stages = [0.0; Stage::ALL.len()];
        for (stage, ns) in
            [(Stage::Read, 250.0), (Stage::Filter, 20.0), (Stage::Aggregate, 480.0), (Stage::Parked, 250.0)]
        {
            stages[stage as usize] = ns;
        }
        let books = Books { stages, wall: 1000.0, ..Books::default() };
        let text = bars(&[books.clone(), books], 60);
        let bar = "shard 1 |read========||aggregate==============|parked......|";
        assert_eq!(text.lines().nth(1), Some(bar));
        assert!(text.lines().all(|line| line.len() == 60), "{text}");
    }
}
