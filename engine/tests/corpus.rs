//! Queries and what becomes of them: the plan as EXPLAIN shows it, or the error as a person sees it.
//!
//! `corpus/*.txt` and `paste/*.txt` hold cases separated by lines of `====`: SQL, a line `----`, the
//! expected text. A first line `-- shards N` spreads the plan. `paste` has statements as people who come
//! from other engines write them, a file for each; of their plans only the operators are kept.
//! `CORELANE_UPDATE=1` rewrites the expectations.

use corelane_engine::error::{Code, Error, Result};
use corelane_engine::plan::{Distribution, distribute, explain};
use corelane_engine::sql::{Catalog, Options, Table, TableReference, Watermark, compile, parse_type, render};

struct Tables;

const TABLES: [(&str, &str); 4] = [
    ("orders", "order_id INT, customer_id INT, order_date STRING, total_amount DECIMAL(10;2)"),
    ("measurements", "station STRING, temp DECIMAL(4;1)"),
    (
        "bid",
        "auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, dateTime TIMESTAMP(3), extra STRING",
    ),
    ("ticks", "ts TIMESTAMP(3), symbol STRING, price DOUBLE"),
];

impl Catalog for Tables {
    fn table(&mut self, reference: &TableReference<'_>) -> Result<Table> {
        let stem = reference.name().rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default();
        let found = TABLES.iter().find(|(name, _)| name.eq_ignore_ascii_case(stem));
        let unknown = || Error::new(Code::UnknownTable, format!("table `{}` not found", reference.name()));
        let (_, columns) = found.ok_or_else(unknown)?;
        let column = |text: &str| {
            let (name, data_type) = text.trim().split_once(' ').expect("name and type");
            (name.to_owned(), parse_type(&data_type.replace(';', ",")).expect("a type"))
        };
        let mut table = Table::of(reference.name(), columns.split(',').map(column));
        if stem == "bid" {
            let span = corelane_engine::error::Span::NONE;
            table.watermark = Some(Watermark { column: "dateTime".to_owned(), delay_us: 4_000_000, span });
        }
        Ok(table)
    }

    fn names(&self) -> Vec<String> {
        TABLES.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    fn is_bounded(&self, table: &Table) -> bool {
        table.option("bounded").is_none_or(|option| option.value != "false")
    }
}

const MARKET_DATA: &str = "CREATE TABLE market_data (trade_time BIGINT, trader_id STRING, symbol STRING, price DECIMAL(10,2), \
quantity INT, ts AS TO_TIMESTAMP_LTZ(trade_time, 3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);\n";

fn outcome(sql: &str) -> String {
    let shards: usize = sql.strip_prefix("-- shards ").and_then(|rest| rest.lines().next()?.parse().ok()).unwrap_or(1);
    let script = sql.replace("<market_data>", MARKET_DATA);
    let spread = |plan| distribute(plan, &Distribution { shards, force_exchange: false, ordered: false });
    let plan = compile(&script, &mut Tables, &Options::default())
        .and_then(|program| Ok(format!("{}{}", program.shown.unwrap_or_default(), explain(&spread(program.plan)?))));
    match plan {
        Ok(plan) => plan,
        Err(error) => render(&error, &script, "q.sql", false),
    }
}

/// The operators of a plan, a line each; an error as it is.
fn operators(sql: &str) -> String {
    let outcome = outcome(sql);
    if outcome.starts_with("error") {
        return outcome;
    }
    let is_operator = |line: &&str| !line.trim_start().starts_with(|first: char| first.is_lowercase());
    outcome.lines().filter(is_operator).map(|line| format!("{line}\n")).collect()
}

/// Holds every case in `folder` against `outcome`; returns how many there are.
fn hold(folder: &str, outcome: fn(&str) -> String) -> usize {
    let folder = format!("{}/tests/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut cases, mut wrong) = (0, Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut rewritten = Vec::new();
        for case in text.split("====\n") {
            let (sql, expected) = case.split_once("----\n").unwrap_or((case, ""));
            let found = outcome(sql.trim_end());
            if found.trim_end() != expected.trim_end() {
                wrong.push(format!("{}\nexpected:\n{expected}\nfound:\n{found}", sql.trim_end()));
            }
            rewritten.push(format!("{}\n----\n{}\n", sql.trim_end(), found.trim_end()));
            cases += 1;
        }
        if std::env::var_os("CORELANE_UPDATE").is_some() {
            std::fs::write(&file, rewritten.join("====\n")).unwrap();
        }
    }
    assert!(wrong.is_empty() || std::env::var_os("CORELANE_UPDATE").is_some(), "{}", wrong.join("\n====\n"));
    cases
}

#[test]
fn corpus() {
    let cases = hold("corpus", outcome);
    assert!(cases >= 60, "only {cases} cases");
}

#[test]
fn statements_of_other_engines() {
    let cases = hold("paste", operators);
    assert!(cases >= 150, "only {cases} cases");
}

/// What EXPLAIN (CANONICAL) prints of a script's last statement, and the statements before it; none for
/// what is no query.
fn canonical(sql: &str) -> Option<(String, String)> {
    let script = sql.replace("<market_data>", MARKET_DATA);
    let script = script.trim_end().trim_end_matches(';');
    let (before, last) = script.rsplit_once(";\n").map_or(("", script), |(before, last)| (before, last));
    let before = if before.is_empty() { String::new() } else { format!("{before};\n") };
    let is_query =
        ["SELECT", "INSERT", "WITH", "("].iter().any(|word| last.trim_start().to_uppercase().starts_with(word));
    let explained = format!("{before}EXPLAIN (CANONICAL) {last}");
    let shown = is_query.then(|| compile(&explained, &mut Tables, &Options::default()).map(|program| program.shown));
    match shown? {
        Ok(text) => Some((before, text.unwrap_or_default())),
        Err(error) => panic!("{}", render(&error, &explained, "q.sql", false)),
    }
}

#[test]
fn canonical_text_plans_the_same() {
    let (mut queries, mut wrong) = (0, Vec::new());
    for folder in ["paste", "corpus"] {
        let folder = format!("{}/tests/{folder}", env!("CARGO_MANIFEST_DIR"));
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for case in text.split("====\n") {
                let sql = case.split_once("----\n").map_or(case, |(sql, _)| sql).trim_end();
                let plan = outcome(sql);
                if plan.starts_with("error") || sql.to_uppercase().contains("EXPLAIN") {
                    continue;
                }
                let Some((before, canonical)) = canonical(sql) else { continue };
                queries += 1;
                let again = outcome(&format!("{before}{canonical}"));
                let shards = sql.starts_with("-- shards ");
                if !shards && again != plan {
                    wrong.push(format!("{sql}\ncanonical:\n{canonical}\nexpected:\n{plan}\nfound:\n{again}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {queries}\n{}", wrong.len(), wrong.join("\n====\n"));
    assert!(queries >= 150, "only {queries} queries");
}

#[test]
fn hostile_scripts_are_refused_not_followed() {
    let deep = |text: &str, count: usize| format!("SELECT {}order_id FROM orders", text.repeat(count));
    let closed = format!("SELECT {}order_id{} FROM orders", "(".repeat(100), ")".repeat(100));
    assert!(compile(&closed, &mut Tables, &Options::default()).is_ok());
    let sum = format!("SELECT order_id{} FROM orders", " + 1".repeat(1_000));
    let any = format!("SELECT 1 FROM orders WHERE order_id = 1{}", " OR order_id = 2".repeat(500));
    assert!(compile(&any, &mut Tables, &Options::default()).is_ok());
    for script in
        [deep("(", 1_000_000 / 2), deep("- ", 100_000), deep("NOT ", 100_000), deep("CASE WHEN ", 50_000), sum]
    {
        let error = compile(&script, &mut Tables, &Options::default()).unwrap_err();
        assert!(matches!(error.code(), Code::Limit | Code::Syntax), "{error}");
    }
}
