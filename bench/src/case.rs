//! The cases: a query, the data it reads, and how its answers are compared.

use corelane_io::generate::{Flavour, Generator};

/// Which rows two runs must have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All of them, in any order.
    Rows,
    /// Running totals: the state in a row depends on the order in which rows came, which several
    /// shards do not settle. Common are the first `keys` columns, the count behind them (1, 2, ..
    /// in every group), and all columns of each group's last row, the one with its highest count.
    Running {
        /// Columns that name the group.
        keys: usize,
    },
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// As reports call it.
    pub name: &'static str,
    /// Its script.
    pub sql: &'static str,
    /// The tables the script reads.
    pub tables: &'static [&'static str],
    /// What is in those tables, and in others that it makes with them.
    pub generator: Generator,
    /// Thousands of rows in all tables of a quick run: enough for a tenth of a second and more, against which the
    /// millisecond or two that a job takes to start counts for little.
    pub quick_krows: u64,
    /// How its answers are compared between different numbers of shards.
    pub answer: Answer,
}

const S0N: &str = include_str!("../cases/S0n.sql");
const S0W: &str = include_str!("../cases/S0w.sql");
const S0A: &str = include_str!("../cases/S0a.sql");
const S1: &str = include_str!("../cases/S1.sql");
const S2: &str = include_str!("../cases/S2.sql");
const S3A: &str = include_str!("../cases/S3a.sql");
const S3B: &str = include_str!("../cases/S3b.sql");
const ONE_BILLION_ROWS: &str = include_str!("../cases/1BRC.sql");

const Q0: &str = include_str!("../nexmark/q0.sql");
const Q1: &str = include_str!("../nexmark/q1.sql");
const Q2: &str = include_str!("../nexmark/q2.sql");
const Q5: &str = include_str!("../nexmark/q5.sql");
const Q7: &str = include_str!("../nexmark/q7.sql");

const fn orders(name: &'static str, sql: &'static str) -> Case {
    let generator = Generator::Orders;
    Case { name, sql, tables: &["orders"], generator, quick_krows: 6000, answer: Answer::Rows }
}

const fn market(name: &'static str, sql: &'static str, flavour: Flavour, quick_krows: u64) -> Case {
    let generator = Generator::MarketData(flavour);
    Case { name, sql, tables: &["market_data"], generator, quick_krows, answer: Answer::Rows }
}

const fn bids(name: &'static str, sql: &'static str, quick_krows: u64) -> Case {
    Case { name, sql, tables: &["bid"], generator: Generator::Nexmark, quick_krows, answer: Answer::Rows }
}

/// Every case, those on the same data together.
pub const ALL: [Case; 17] = [
    Case { quick_krows: 16_000, ..orders("S0n", S0N) },
    orders("S0w", S0W),
    orders("S0a", S0A),
    market("S2 seed", S2, Flavour::Seed, 6000),
    market("S3a seed", S3A, Flavour::Seed, 6000),
    market("S1", S1, Flavour::Seed, 2000),
    Case { answer: Answer::Running { keys: 4 }, ..market("S3b", S3B, Flavour::Seed, 2000) },
    market("S2 mid", S2, Flavour::Mid, 4000),
    market("S3a mid", S3A, Flavour::Mid, 2000),
    market("S2 high", S2, Flavour::High, 2000),
    market("S3a sparse", S3A, Flavour::Sparse, 2000),
    Case {
        name: "1BRC",
        sql: ONE_BILLION_ROWS,
        tables: &["measurements"],
        generator: Generator::Measurements,
        quick_krows: 8000,
        answer: Answer::Rows,
    },
    bids("q0", Q0, 1500),
    bids("q1", Q1, 1500),
    bids("q2", Q2, 1500),
    bids("q5", Q5, 1500),
    bids("q7", Q7, 1500),
];

/// Rows of a full run for each row of a quick one.
pub const FULL: u64 = 4;

/// The cases called `names`, or all where none is named.
pub fn select(names: &[String]) -> Result<Vec<&'static Case>, String> {
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|case| !case.name.eq_ignore_ascii_case(name))) {
        let known: Vec<&str> = ALL.iter().map(|case| case.name).collect();
        return Err(format!("there is no case `{unknown}`; cases: {}", known.join(", ")));
    }
    let wanted = |case: &&Case| names.is_empty() || names.iter().any(|name| case.name.eq_ignore_ascii_case(name));
    Ok(ALL.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_found_by_name_in_the_order_of_the_list() {
        let names = |asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
            select(&asked).map(|cases| cases.iter().map(|case| case.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["s3A Mid", "S0n"]).unwrap(), ["S0n", "S3a mid"]);
        assert_eq!(names(&[]).unwrap().len(), ALL.len());
        assert!(names(&["S0n", "S9"]).unwrap_err().contains("`S9`; cases: S0n, S0w"));
    }
}
