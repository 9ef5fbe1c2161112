//! Whole statements: what they mean, on one shard and on several.

mod common;

use common::options;
use corelane::job::Grain;
use corelane::simulate;

const ORDERS: &str = "id,who,at,amount,note\n\
    1,ann,2026-01-01 10:00:00,10.50,first\n\
    2,bob,2026-01-01 10:00:30,20.00,\n\
    3,ann,2026-01-01 10:01:10,5.25,\"a, b\"\n\
    4,cid,2026-01-01 10:01:10,7.00,\"\"\n\
    5,ann,2026-01-01 10:01:10,1.00,last\n";

/// The lines of the result, in order of their bytes; the same on any number of shards.
fn rows(script: &str) -> Vec<String> {
    let run = |shards, seed| {
        let grain = Grain { piece: 64, block: 100, turn_rows: 2 };
        let files = [("orders.csv", ORDERS.as_bytes())];
        let outcome = simulate::run(script, &files, &options(&[]), grain, shards, seed).unwrap();
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
        let text = String::from_utf8(outcome.outputs[0].1.clone()).unwrap();
        let mut rows: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
        rows.sort();
        rows
    };
    let expected = run(1, 0);
    for (shards, seed) in [(1, 1), (2, 2), (3, 3), (7, 4)] {
        assert_eq!(run(shards, seed), expected, "{shards} shards, seed {seed}");
    }
    expected
}

#[test]
fn a_star_leaves_out_replaces_and_renames() {
    assert_eq!(rows("SELECT * EXCLUDE (at, note) FROM 'orders.csv' WHERE id < 3"), ["1,ann,10.50", "2,bob,20.00"]);
    assert_eq!(
        rows(
            "SELECT * EXCEPT (at, note) REPLACE (amount * 2 AS amount) RENAME (who AS name) FROM 'orders.csv' WHERE id = 3"
        ),
        ["3,ann,10.50"]
    );
    assert_eq!(
        rows("SELECT o.* EXCLUDE at, p.id FROM 'orders.csv' o JOIN 'orders.csv' p ON o.id = p.id WHERE o.id = 1"),
        ["1,ann,10.50,first,1"]
    );
}

#[test]
fn rows_may_stand_in_the_script() {
    assert_eq!(rows("SELECT 1 + 1, 'x' || 'y', CAST(NULL AS INT), ''"), ["2,xy,,\"\""]);
    assert_eq!(rows("VALUES (1), (NULL), (3)"), ["", "1", "3"]);
    let mixed = "SELECT n, word, part FROM (VALUES (1, 'a, \"b\"', 0.5), (2, NULL, 12), (NULL, '', -3.25)) AS t (n, word, part)";
    assert_eq!(rows(mixed), [",\"\",-3.25", "1,\"a, \"\"b\"\"\",0.50", "2,,12.00"]);
    let joined = "WITH rate(who, times) AS (VALUES ('ann', 2), ('bob', 3)) \
        SELECT o.id, o.amount * r.times FROM 'orders.csv' o JOIN rate r ON o.who = r.who WHERE o.id < 4";
    assert_eq!(rows(joined), ["1,21.00", "2,60.00", "3,10.50"]);
    assert_eq!(
        rows("SELECT k, SUM(v) FROM (VALUES ('a', 1), ('b', 2), ('a', 3)) t(k, v) GROUP BY ALL"),
        ["a,4", "b,2"]
    );
}

#[test]
fn without_a_frame_rows_of_one_time_count_together() {
    assert_eq!(
        rows("SELECT id, SUM(amount) OVER (PARTITION BY who ORDER BY at) FROM 'orders.csv'"),
        ["1,10.50", "2,20.00", "3,16.75", "4,7.00", "5,16.75"]
    );
    assert_eq!(
        rows("SELECT id, COUNT(*) OVER (ORDER BY at), FIRST_VALUE(id) OVER (ORDER BY at) FROM 'orders.csv'"),
        ["1,1,1", "2,2,1", "3,5,1", "4,5,1", "5,5,1"]
    );
}

#[test]
fn without_an_order_a_frame_is_the_whole_partition() {
    let whole = ["1,16.75,5,20.00", "2,20.00,5,20.00", "3,16.75,5,20.00", "4,7.00,5,20.00", "5,16.75,5,20.00"];
    assert_eq!(
        rows(
            "SELECT id, SUM(amount) OVER (PARTITION BY who), COUNT(*) OVER (), \
            MAX(amount) OVER (ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM 'orders.csv'"
        ),
        whole
    );
    // Beside running ones.
    assert_eq!(
        rows(
            "SELECT id, SUM(amount) OVER (PARTITION BY who) - SUM(amount) OVER (PARTITION BY who ORDER BY at) FROM 'orders.csv'"
        ),
        ["1,6.25", "2,0.00", "3,0.00", "4,0.00", "5,0.00"]
    );
}

#[test]
fn an_insert_fills_the_columns_it_lists() {
    let table = "CREATE TABLE t (a BIGINT, b STRING, c DOUBLE) WITH ('path' = 't.csv'); ";
    assert_eq!(
        rows(&format!("{table}INSERT INTO t (b, a) SELECT who, id FROM 'orders.csv' WHERE id < 3")),
        ["1,ann,", "2,bob,"]
    );
    assert_eq!(rows(&format!("{table}INSERT INTO t (c, b) VALUES (1.5, 'x'), (NULL, 'y')")), [",x,1.5", ",y,"]);
}

#[test]
fn fetch_is_limit() {
    assert_eq!(rows("SELECT id FROM 'orders.csv' ORDER BY id DESC OFFSET 1 ROWS FETCH FIRST 2 ROWS ONLY"), ["3", "4"]);
}

#[test]
fn functions_of_the_script_are_written_out() {
    let functions = "CREATE FUNCTION tax(amount DECIMAL(18, 2), rate DECIMAL(4, 2)) RETURNS DECIMAL(18, 2) RETURN amount * rate; \
        CREATE FUNCTION shout(text STRING) RETURNS STRING LANGUAGE SQL AS $$ SELECT UPPER(text) || '!' $$; \
        CREATE OR REPLACE MACRO between_(x, a, b) AS x >= a AND x <= b; \
        CREATE FUNCTION twice_taxed(n DECIMAL(18, 2)) RETURNS DECIMAL(18, 2) AS 'tax(tax(n, 0.5), 0.5)'; ";
    assert_eq!(
        rows(&format!(
            "{functions} SELECT shout(who), tax(amount, 0.1), twice_taxed(amount) FROM 'orders.csv' WHERE between_(id, 1, 2) AND NOT between_(id, 2, 3)"
        )),
        ["ANN!,1.05,2.63"]
    );
    assert_eq!(
        rows(&format!(
            "{functions} SELECT shout(who) AS s, COUNT(*) FROM 'orders.csv' GROUP BY shout(who) HAVING COUNT(*) > 2"
        )),
        ["ANN!,3"]
    );
}

#[test]
fn rows_are_compared_value_by_value() {
    assert_eq!(rows("SELECT id FROM 'orders.csv' WHERE (who, id) = ('ann', 3)"), ["3"]);
    assert_eq!(rows("SELECT id FROM 'orders.csv' WHERE (who, id) IN (('ann', 1), ('bob', 2), ('cid', 5))"), ["1", "2"]);
    assert_eq!(rows("SELECT id FROM 'orders.csv' WHERE (id, who) <> (1, 'ann') AND id < 3"), ["2"]);
    // Unknown where a value is NULL, unless another settles it.
    assert_eq!(rows("SELECT id FROM 'orders.csv' WHERE (note, id) <> ('x', 2)"), ["1", "3", "4", "5"]);
}

#[test]
fn instants_are_read_and_written_in_the_zone_of_the_session() {
    let script = "SET time_zone = 'Europe/Berlin'; \
        CREATE TABLE t (id INT, who STRING, at TIMESTAMP_LTZ(0), amount DOUBLE, note STRING) WITH ('path' = 'orders.csv'); \
        SELECT id, at, CAST(at AS TIMESTAMP(0)), at AT TIME ZONE 'UTC', HOUR(at), DATE_TRUNC('day', at) FROM t WHERE id = 1";
    assert_eq!(
        rows(script),
        ["1,2026-01-01 10:00:00+01:00,2026-01-01 10:00:00,2026-01-01 09:00:00,10,2026-01-01 00:00:00+01:00"]
    );
    let utc =
        "SELECT id, TIMESTAMP '2026-07-01 12:00:00' AT TIME ZONE 'America/New_York' FROM 'orders.csv' WHERE id = 1";
    assert_eq!(rows(utc), ["1,2026-07-01 16:00:00.000Z"]);
}

#[test]
fn months_are_added_to_times() {
    assert_eq!(
        rows(
            "SELECT at + INTERVAL '1-1' YEAR TO MONTH, INTERVAL '1' MONTH + TIMESTAMP '2026-01-31 00:00:00', \
            DATE '2024-03-31' - INTERVAL '1' MONTH FROM 'orders.csv' WHERE id = 1"
        ),
        ["2027-02-01 10:00:00.000,2026-02-28 00:00:00.000,2024-02-29 00:00:00.000"]
    );
}

#[test]
fn columns_say_where_a_row_comes_from() {
    let table = "CREATE TABLE o (id INT, n BIGINT METADATA FROM 'line', who STRING, \
        begins BIGINT METADATA FROM 'offset', src STRING METADATA FROM 'file' VIRTUAL) WITH ('path' = 'orders.csv');";
    let found = rows(&format!("{table} SELECT * FROM o"));
    let begins = |id: usize| ORDERS.find(&format!("\n{id},")).expect("the row is there") + 1;
    let who = ["ann", "bob", "ann", "cid", "ann"];
    let expected = (1..=5).map(|id| format!("{id},{},{},{},orders.csv", id + 1, who[id - 1], begins(id)));
    assert_eq!(found, expected.collect::<Vec<_>>());
    assert_eq!(rows(&format!("{table} SELECT src, COUNT(*) FROM o GROUP BY src")), ["orders.csv,5"]);
    assert_eq!(rows(&format!("{table} SELECT id FROM o WHERE n = 4 OR begins < 40")), ["1", "3"]);
}
