//! Data and queries that the simulated and the real runs share.

#![allow(dead_code, reason = "each test binary uses its part")]

use corelane::options::Options;
use corelane::simulate::Random;

/// One row of `trades`, as the model sees it.
#[derive(Clone, Debug)]
pub struct Trade {
    /// Milliseconds since the base of all times.
    pub ms: i64,
    pub symbol: Option<String>,
    pub trader: i64,
    /// In quarters, so that sums of doubles are exact.
    pub quarters: Option<i64>,
    pub quantity: Option<i64>,
}

/// Options as on the command line.
pub fn options(words: &[&str]) -> Options {
    let words = ["corelane", "SELECT 1", "--format", "csv"].iter().chain(words).map(|word| (*word).to_owned());
    corelane::cli::parse_run(words).expect("the flags of a test are right")
}

/// How many times as many seeds as usual are tried: `CORELANE_TRIALS`, 1 unless said.
pub fn trials() -> u64 {
    std::env::var("CORELANE_TRIALS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// 2026-01-01 plus `ms`, as in a file and in output.
pub fn timestamp(ms: i64) -> String {
    let (s, ms) = (3600 + ms.div_euclid(1000), ms.rem_euclid(1000));
    format!("2026-01-01 {:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

const SYMBOLS: [&str; 7] =
    ["A", "BB", "a symbol of more than twelve bytes", "with, comma", "a symbol of more than twelve bytes!", "Ä", ""];

/// `rows` trades: mostly in order, some early, some late, with NULLs.
pub fn trades(rows: usize, seed: u64) -> Vec<Trade> {
    let mut random = Random::new(seed);
    let mut at = random.below(3000) as i64;
    let row = |_| {
        at += random.below(600) as i64;
        let back = match random.below(20) {
            0 => random.below(90_000) as i64,
            1..5 => random.below(2500) as i64,
            _ => 0,
        };
        Trade {
            ms: (at - back).max(0),
            symbol: SYMBOLS.get(random.below(8) as usize).map(|&symbol| symbol.to_owned()),
            trader: random.below(5) as i64,
            quarters: (random.below(10) > 0).then_some(random.below(4000) as i64 - 1000),
            quantity: (random.below(10) > 0).then_some(random.below(1000) as i64),
        }
    };
    (0..rows).map(row).collect()
}

/// A field of CSV: NULL is empty, the empty text is quoted.
pub fn field(text: Option<&str>) -> String {
    match text {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains(',') => format!("\"{text}\""),
        Some(text) => text.to_owned(),
    }
}

pub const HEADER: &str = "ts,symbol,trader,price,quantity\n";

/// The rows as a file.
pub fn csv(trades: &[Trade]) -> String {
    let mut text = HEADER.to_owned();
    for trade in trades {
        let price = trade.quarters.map_or(String::new(), |quarters| (quarters as f64 / 4.0).to_string());
        let quantity = trade.quantity.map_or(String::new(), |quantity| quantity.to_string());
        text += &format!(
            "{},{},{},{price},{quantity}\n",
            timestamp(trade.ms),
            field(trade.symbol.as_deref()),
            trade.trader
        );
    }
    text
}

/// The files of the usual test: three with rows, one with a header only, one empty.
pub fn files() -> Vec<(String, Vec<Trade>)> {
    let file = |number: u64, rows| (format!("t{number}.csv"), trades(rows, 1000 + number));
    vec![file(1, 350), file(2, 500), file(3, 90), ("t4.csv".into(), Vec::new())]
}

/// The table over files that match `path`.
pub fn table(path: &str) -> String {
    format!(
        "CREATE TABLE trades (ts TIMESTAMP(3), symbol STRING, trader BIGINT, price DOUBLE, quantity BIGINT, \
         WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) WITH ('path' = '{path}', 'format' = 'csv', 'header' = 'true');\n"
    )
}

pub const S1: &str = "SELECT symbol, ts, price, AVG(price) OVER w, MIN(price) OVER w, MAX(price) OVER w FROM trades \
    WINDOW w AS (PARTITION BY symbol ORDER BY ts ROWS BETWEEN 9 PRECEDING AND CURRENT ROW)";
pub const S2: &str = "SELECT trader, symbol, COUNT(*), AVG(price), SUM(quantity), MIN(price), MAX(price) FROM trades \
    GROUP BY trader, symbol";
pub const S3A: &str = "SELECT window_start, trader, symbol, COUNT(*), SUM(quantity), AVG(price) \
    FROM TUMBLE(trades, ts, INTERVAL '10' SECOND) GROUP BY window_start, window_end, trader, symbol";
pub const S3B: &str = "SELECT window_start, trader, symbol, COUNT(*), SUM(quantity), AVG(price) \
    FROM TUMBLE(trades, ts, INTERVAL '10' SECOND) GROUP BY window_start, window_end, trader, symbol EMIT CHANGES";

/// Every query, by name, with its flags.
pub const QUERIES: &[(&str, &str, &[&str])] = &[
    ("stateless", "SELECT ts, symbol, quantity FROM trades WHERE trader > 1", &[]),
    ("projection", "SELECT trader + 1 AS t, price * 2 AS p FROM trades WHERE quantity > 10 OR symbol = 'A'", &[]),
    ("S2", S2, &[]),
    ("one group", "SELECT COUNT(*), SUM(quantity) FROM trades", &[]),
    ("no rows", "SELECT COUNT(*) FROM trades WHERE trader > 100", &[]),
    ("nothing", "SELECT symbol, COUNT(*) FROM trades WHERE trader > 100 GROUP BY symbol", &[]),
    ("S3a", S3A, &[]),
    (
        "hopping",
        "SELECT window_start, symbol, COUNT(*), MAX(price) FROM HOP(trades, ts, INTERVAL '2' SECOND, INTERVAL '10' SECOND) \
         GROUP BY window_start, window_end, symbol",
        &[],
    ),
    ("S3b", S3B, &[]),
    ("S3b ordered", S3B, &["--ordered"]),
    ("S1", S1, &[]),
    ("top", "SELECT ts, symbol, quantity FROM trades ORDER BY quantity DESC, ts LIMIT 17", &[]),
    ("sort", "SELECT trader, ts, quantity FROM trades ORDER BY trader, quantity", &[]),
    ("distinct", "SELECT DISTINCT symbol, trader FROM trades", &[]),
    (
        "top of each",
        "SELECT * FROM (SELECT trader, ts, quantity, ROW_NUMBER() OVER (PARTITION BY trader ORDER BY quantity DESC) AS r FROM trades) \
         WHERE r <= 4",
        &[],
    ),
    (
        "last of each",
        "SELECT symbol, ts, price FROM trades QUALIFY ROW_NUMBER() OVER (PARTITION BY symbol ORDER BY ts DESC) = 1",
        &[],
    ),
    (
        "hot items",
        "WITH c AS (SELECT symbol, window_start, window_end, COUNT(*) AS n \
         FROM HOP(trades, ts, INTERVAL '2' SECOND, INTERVAL '10' SECOND) GROUP BY symbol, window_start, window_end) \
         SELECT window_end, symbol, n FROM c QUALIFY RANK() OVER (PARTITION BY window_end ORDER BY n DESC) = 1",
        &[],
    ),
    (
        "best of windows",
        "SELECT window_end, ts, symbol, price FROM TUMBLE(trades, ts, INTERVAL '10' SECOND) \
         QUALIFY RANK() OVER (PARTITION BY window_start, window_end ORDER BY price DESC) <= 3",
        &[],
    ),
    (
        "windows of rows",
        "SELECT window_end, MAX(price), COUNT(*) FROM (SELECT * FROM TUMBLE(trades, ts, INTERVAL '10' SECOND) \
         WHERE quantity > 10) GROUP BY window_start, window_end",
        &[],
    ),
    (
        "windows again",
        "SELECT window_start, window_end, COUNT(*), MAX(n) FROM (SELECT symbol, window_start, window_end, COUNT(*) AS n \
         FROM HOP(trades, ts, INTERVAL '2' SECOND, INTERVAL '10' SECOND) GROUP BY symbol, window_start, window_end) \
         GROUP BY window_start, window_end",
        &[],
    ),
    (
        "join",
        "SELECT a.ts, a.symbol, b.ts, b.quantity FROM trades a JOIN trades b ON a.trader = b.trader AND a.symbol = b.symbol \
         WHERE a.quantity > 900 AND b.quantity < 60",
        &[],
    ),
    (
        "outer join",
        "SELECT a.ts, a.symbol, a.price, b.ts, b.price FROM (SELECT * FROM trades WHERE trader = 1) a \
         FULL JOIN (SELECT * FROM trades WHERE quantity > 900) b ON a.symbol = b.symbol AND a.price < b.price",
        &[],
    ),
    (
        "three tables",
        "SELECT a.ts, b.quantity, c.symbol FROM trades a JOIN trades b ON a.quantity = b.quantity AND a.ts < b.ts \
         LEFT JOIN (SELECT symbol, trader, COUNT(*) AS n FROM trades GROUP BY symbol, trader) c \
         ON c.trader = b.trader AND c.n > 30 WHERE a.trader = 2",
        &[],
    ),
    (
        "near in time",
        "SELECT a.ts, b.ts, a.symbol, b.quantity FROM (SELECT * FROM trades WHERE trader < 2) a \
         FULL JOIN (SELECT * FROM trades WHERE quantity > 600) b ON a.symbol = b.symbol \
         AND b.ts BETWEEN a.ts - INTERVAL '1' SECOND AND a.ts + INTERVAL '3' SECOND",
        &[],
    ),
    (
        "windows joined",
        "WITH c AS (SELECT symbol, window_start AS s, window_end AS e, COUNT(*) AS n \
         FROM HOP(trades, ts, INTERVAL '2' SECOND, INTERVAL '10' SECOND) GROUP BY symbol, window_start, window_end) \
         SELECT symbol, n, e FROM c JOIN (SELECT s, e, MAX(n) AS m FROM c GROUP BY s, e) x USING (s, e) WHERE n >= m",
        &[],
    ),
    (
        "nearest",
        "SELECT a.ts, a.symbol, b.ts, b.price FROM trades a ASOF LEFT JOIN (SELECT * FROM trades WHERE trader = 3) b \
         ON a.symbol = b.symbol AND a.ts > b.ts",
        &[],
    ),
    (
        "partners",
        "SELECT ts, symbol, trader FROM trades a WHERE quantity > 500 \
         AND symbol NOT IN (SELECT symbol FROM trades WHERE quantity = 7 AND symbol IS NOT NULL) \
         AND EXISTS (SELECT 1 FROM trades b WHERE b.trader = a.trader AND b.price = a.price AND b.quantity < a.quantity)",
        &[],
    ),
    (
        "over a join",
        "SELECT ts, symbol, LAG(bq) OVER (PARTITION BY symbol ORDER BY ts) FROM (SELECT a.ts, a.symbol, b.quantity AS bq \
         FROM trades a JOIN trades b ON a.trader = b.trader AND a.quantity = b.quantity JOIN trades c ON a.price = c.price)",
        &[],
    ),
    (
        "one value",
        "SELECT ts, quantity, (SELECT COUNT(*) FROM trades) FROM trades WHERE quantity > (SELECT AVG(quantity) * 1.5 FROM trades)",
        &[],
    ),
    (
        "all with all",
        "SELECT a.ts, a.quantity, b.n FROM trades a CROSS JOIN (SELECT COUNT(*) AS n FROM trades) b WHERE a.trader = 0",
        &[],
    ),
    ("stateless ordered", "SELECT ts, symbol FROM trades WHERE trader > 1", &["--ordered"]),
];
