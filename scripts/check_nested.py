"""Holds arrays, maps, rows and UNNEST against DuckDB.

A seeded generator writes one to four files of nested values as JSON in CSV: NULLs, empty arrays, NULL elements,
duplicates, limits of BIGINT, texts with quotes, commas and line ends, NaN and -0.0. Every expression, UNNEST and
aggregate below runs as 1, 2 and 7 shards, and each value is compared as what its JSON says, doubles to a relative
1e-9. The same seed gives the same files.

Where the two mean different things the DuckDB side is written so that it means ours: NULLs of an array sort last,
an element before the first is NULL, TOPK and STRING_AGG leave NULLs out, MAP_AGG keeps the last of a key.
"""

import argparse
import csv
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

import duckdb

TYPES = [
    ("id", "BIGINT", "BIGINT"),
    ("ts", "TIMESTAMP(3)", "TIMESTAMP"),
    ("g", "INT", "INTEGER"),
    ("n", "BIGINT", "BIGINT"),
    ("w", "STRING", "VARCHAR"),
    ("a", "ARRAY<BIGINT>", "BIGINT[]"),
    ("b", "BIGINT[]", "BIGINT[]"),
    ("s", "ARRAY<STRING>", "VARCHAR[]"),
    ("f", "DOUBLE ARRAY", "DOUBLE[]"),
    ("d", "ARRAY<DECIMAL(10, 2)>", "DECIMAL(10,2)[]"),
    ("m", "MAP<STRING, BIGINT>", "MAP(VARCHAR, BIGINT)"),
    ("r", "ROW<x BIGINT, y STRING, z ARRAY<STRING>>", "STRUCT(x BIGINT, y VARCHAR, z VARCHAR[])"),
    ("l", "ARRAY<ROW<p BIGINT, q STRING>>", "STRUCT(p BIGINT, q VARCHAR)[]"),
    ("t", "STRING", "VARCHAR"),
]

# Ours, DuckDB's (the same where it is left out).
VALUES = [
    ("a",), ("s",), ("f",), ("d",), ("r",), ("l",), ("m",),
    ("a[1]",), ("a[2]",), ("a[n]", "CASE WHEN n >= 1 THEN a[n] END"), ("s[1]",), ("d[2]",), ("l[1]",), ("l[1].q",), ("l[2].p",),
    ("r.x",), ("r.z[1]",), ("(r).y",), ("r['y']", "r.y"),
    ("m['k1']",), ("m[w]",), ("CARDINALITY(m)",), ("MAP_KEYS(m)", "list_sort(map_keys(m))"),
    ("MAP_CONTAINS(m, w)", "CASE WHEN m IS NULL OR w IS NULL THEN NULL ELSE list_contains(map_keys(m), w) END"),
    ("LEN(a)",), ("CARDINALITY(s)", "len(s)"), ("ARRAY_LENGTH(l)", "len(l)"),
    ("a = b",), ("a < b",), ("a >= b",), ("a <> b",), ("s < [w]",), ("r = ROW(n, w, s)", "r = {'x': n, 'y': w, 'z': s}"),
    ("a IS NULL",), ("a IS NOT DISTINCT FROM b",), ("f < [0.0e0]", "f < [0.0::DOUBLE]"),
    ("ARRAY_CONTAINS(a, n)", "CASE WHEN n IS NOT NULL THEN list_contains(a, n) END"), ("n = ANY(a)", "CASE WHEN n IS NULL OR a IS NULL THEN NULL WHEN list_contains(a, n) THEN true WHEN len(list_filter(a, lambda e: e IS NULL)) > 0 THEN NULL ELSE false END"),
    ("ARRAY_POSITION(a, n)", "CASE WHEN n IS NOT NULL AND list_contains(a, n) THEN list_position(a, n) END"),
    ("ARRAY_CONCAT(a, b)", "CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN a || b END"), ("a || b", "CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN a || b END"),
    ("ARRAY_APPEND(a, n)", "CASE WHEN a IS NOT NULL THEN list_append(a, n) END"), ("ARRAY_PREPEND(n, a)", "CASE WHEN a IS NOT NULL THEN list_prepend(n, a) END"),
    ("ARRAY_SORT(a)", "list_sort(a, 'ASC', 'NULLS LAST')"), ("ARRAY_SORT(s, 'DESC')", "list_sort(s, 'DESC', 'NULLS LAST')"), ("ARRAY_SORT(f)", "list_sort(f, 'ASC', 'NULLS LAST')"),
    ("ARRAY_REVERSE(s)", "list_reverse(s)"), ("ARRAY_SORT(ARRAY_DISTINCT(ARRAY_REMOVE(a, NULL)))", "list_sort(list_distinct(a))"),
    ("ARRAY_MIN(a)", "list_min(a)"), ("ARRAY_MAX(d)", "list_max(d)"), ("ARRAY_MAX(s)", "list_max(s)"), ("ARRAY_SUM(d)", "list_sum(d)"),
    ("ARRAY_SLICE(a, 2, 3)", "a[2:3]"), ("a[1:2]",), ("s[2:]",),
    ("ARRAY_JOIN(s, '|')", "CASE WHEN s IS NOT NULL THEN coalesce(array_to_string(s, '|'), '') END"), ("SPLIT(t, ',')", "string_split(t, ',')"),
    ("ARRAY_HAS_ANY(a, b)", "list_has_any(a, b)"), ("ARRAY_HAS_ALL(a, b)", "list_has_all(a, b)"),
    ("ARRAY[n, id, NULL]", "[n, id, NULL]"), ("[[n], a]",), ("MAP['u', n, 'v', id]", "map(['u', 'v'], [n, id])"), ("MAP {w: n}", "CASE WHEN w IS NOT NULL THEN MAP {w: n} END"),
    ("STRUCT(n AS x, s AS y)", "{'x': n, 'y': s}"), ("{'x': n, 'y': a}",), ("NAMED_STRUCT('k', w)", "{'k': w}"),
    ("CAST(a AS ARRAY<STRING>)", "a::VARCHAR[]"), ("CAST(d AS ARRAY<DOUBLE>)", "d::DOUBLE[]"), ("GENERATE_SERIES(g, 3)", "generate_series(g, 3)"),
    ("FLATTEN([a, b])", "flatten([a, b])"), ("a IN ([1], [2, 3])",), ("COALESCE(a, b)",), ("CASE WHEN g > 1 THEN a ELSE b END",),
]
NOT_NULL = {"MAP {w: n}": "w IS NOT NULL"}

QUERIES = [
    ("SELECT id, x FROM t, UNNEST(a) AS u (x)", "SELECT id, x FROM t, UNNEST(a) AS u (x)"),
    ("SELECT id, x, o FROM t CROSS JOIN UNNEST(s) WITH ORDINALITY AS u (x, o)", "SELECT id, UNNEST(s) AS x, generate_subscripts(s, 1) AS o FROM t"),
    ("SELECT id, x FROM t LEFT JOIN UNNEST(a) AS u (x) ON TRUE", "SELECT id, x FROM t LEFT JOIN UNNEST(a) AS u (x) ON TRUE"),
    ("SELECT id, k, v FROM t, UNNEST(m) AS u (k, v)", "SELECT id, e.key AS k, e.value AS v FROM t, UNNEST(map_entries(m)) AS u (e)"),
    ("SELECT id, p, q FROM t, UNNEST(l) AS u (p, q)", "SELECT id, e.p, e.q FROM t, UNNEST(l) AS u (e)"),
    ("SELECT id, UNNEST(a) AS x, UNNEST(s) AS y FROM t", "SELECT id, UNNEST(a) AS x, UNNEST(s) AS y FROM t"),
    ("SELECT id, x, y FROM t, UNNEST(a) AS u (x), UNNEST(s) AS v (y) WHERE x > 0 AND y <> 'zz'", "SELECT id, x, y FROM t, UNNEST(a) AS u (x), UNNEST(s) AS v (y) WHERE x > 0 AND y <> 'zz'"),
    ("SELECT x, COUNT(*) AS n, MIN(id) AS i FROM t, UNNEST(a) AS u (x) GROUP BY x", "SELECT x, COUNT(*) AS n, MIN(id) AS i FROM t, UNNEST(a) AS u (x) GROUP BY x"),
    ("SELECT x.y AS y, COUNT(*) AS n FROM (SELECT r AS x FROM t, UNNEST(GENERATE_SERIES(1, 40)) AS u (k)) GROUP BY x.y", "SELECT x.y AS y, COUNT(*) AS n FROM (SELECT r AS x FROM t, UNNEST(generate_series(1, 40)) AS u (k)) GROUP BY x.y"),
    ("SELECT a, COUNT(*) AS n FROM t GROUP BY a", "SELECT a, COUNT(*) AS n FROM t GROUP BY a"),
    ("SELECT DISTINCT r FROM t", "SELECT DISTINCT r FROM t"),
    ("SELECT COUNT(DISTINCT s) AS n, MIN(a) AS lo, MAX(a) AS hi FROM t", "SELECT COUNT(DISTINCT s) AS n, MIN(a) AS lo, MAX(a) AS hi FROM t"),
    ("SELECT p.id, q.id AS other FROM t p JOIN t q ON p.a = q.b AND p.id <> q.id", "SELECT p.id, q.id AS other FROM t p JOIN t q ON p.a = q.b AND p.id <> q.id"),
    ("SELECT g, ARRAY_AGG(n) AS l FROM t GROUP BY g", "SELECT g, list(n ORDER BY id) AS l FROM t GROUP BY g"),
    ("SELECT g, ARRAY_AGG(s ORDER BY n DESC, id) AS l FROM t GROUP BY g", "SELECT g, list(s ORDER BY n DESC NULLS LAST, id) AS l FROM t GROUP BY g"),
    ("SELECT g, ARRAY_AGG(w ORDER BY a NULLS FIRST, w DESC NULLS FIRST, id DESC) AS l FROM t GROUP BY g", "SELECT g, list(w ORDER BY a NULLS FIRST, w DESC NULLS FIRST, id DESC) AS l FROM t GROUP BY g"),
    ("SELECT g, ARRAY_SORT(ARRAY_AGG(DISTINCT n)) AS l FROM t GROUP BY g", "SELECT g, list_sort(list(DISTINCT n), 'ASC', 'NULLS LAST') AS l FROM t GROUP BY g"),
    ("SELECT g, ARRAY_AGG(id) FILTER (WHERE n > 0) AS l FROM t GROUP BY g", "SELECT g, list(id ORDER BY id) FILTER (WHERE n > 0) AS l FROM t GROUP BY g"),
    ("SELECT g, TOPK(n, 3) AS l, STRING_AGG(w, '-' ORDER BY id DESC) AS s FROM t GROUP BY g", "SELECT g, max(n, 3) AS l, string_agg(w, '-' ORDER BY id DESC) AS s FROM t GROUP BY g"),
    ("SELECT g, MAP_AGG(w, id) AS l FROM t GROUP BY g", "SELECT g, CASE WHEN count(w) > 0 THEN map_from_entries(list((w, i) ORDER BY w)) END AS l FROM (SELECT g, w, max(id) AS i FROM t WHERE w IS NOT NULL GROUP BY g, w) GROUP BY g UNION ALL SELECT g, NULL FROM t GROUP BY g HAVING count(w) = 0"),
    ("SELECT window_end AS e, ARRAY_AGG(id) AS l, COUNT(*) AS n FROM TUMBLE(t, ts, INTERVAL '1' MINUTE) GROUP BY window_end", "SELECT time_bucket(INTERVAL '1' MINUTE, ts) + INTERVAL '1' MINUTE AS e, list(id ORDER BY id) AS l, COUNT(*) AS n FROM t GROUP BY 1"),
    ("SELECT window_end AS e, x, COUNT(*) AS n FROM TUMBLE((SELECT ts, x FROM t, UNNEST(s) AS u (x)), ts, INTERVAL '1' MINUTE) GROUP BY window_end, x", "SELECT time_bucket(INTERVAL '1' MINUTE, ts) + INTERVAL '1' MINUTE AS e, x, COUNT(*) AS n FROM t, UNNEST(s) AS u (x) GROUP BY 1, 2"),
    ("SELECT id, ROW_NUMBER() OVER (PARTITION BY a ORDER BY n, id) AS k FROM t", "SELECT id, ROW_NUMBER() OVER (PARTITION BY a ORDER BY n NULLS LAST, id) AS k FROM t"),
    ("SELECT id, a FROM t ORDER BY a, id LIMIT 20", "SELECT id, a FROM t ORDER BY a NULLS LAST, id LIMIT 20"),
]

WORDS = ["", "a", "b,c", 'q"uote', "line\nend", "ü", "zz", "k1", "k2"]


def value_of(random, name):
    if random.random() < 0.12:
        return None
    number = lambda: random.choice([None, 0, 1, 2, 3, -1, 7, 2**63 - 1, -(2**63)] if random.random() < 0.3 else [0, 1, 2, 3, None])
    word = lambda: random.choice(WORDS + [None])
    some = lambda make: [make() for _ in range(random.choice([0, 1, 1, 2, 3, 5]))]
    match name:
        case "g":
            return random.randrange(4)
        case "n":
            return number()
        case "w" | "t":
            return word()
        case "a" | "b":
            return some(lambda: random.choice([0, 1, 2, 3, None]) if random.random() < 0.9 else number())
        case "s":
            return some(word)
        case "f":
            return some(lambda: random.choice([None, 0.0, -0.0, 1.5, -2.25, 1e300, "NaN", "inf", "-inf"]))
        case "d":
            return some(lambda: random.choice([None, 0, 1.25, -3.5, 99999999.99]))
        case "m":
            return {key: number() for key in random.sample(["k1", "k2", "", "ü", "zz"], random.randrange(4))}
        case "r":
            return {"x": number(), "y": word(), "z": random.choice([None, some(word)])}
        case "l":
            return some(lambda: random.choice([None, {"p": number(), "q": word()}]))


def rows_of(random, count):
    rows = []
    for number in range(count):
        seconds = number // 3
        row = {"id": number, "ts": f"2026-01-01 10:{seconds // 60:02}:{seconds % 60:02}.000"}
        for name, _, _ in TYPES[2:]:
            value = value_of(random, name)
            row[name] = 0 if name == "g" and value is None else value
        rows.append(row)
    return rows


def field(name, value):
    if value is None:
        return ""
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else str(value)
    return '"' + text.replace('"', '""') + '"' if isinstance(value, (list, dict)) else text


def plain(value):
    """A value as lists, dictionaries, numbers and texts, whichever side it is of."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if value in ("NaN", "inf", "-inf"):
        return float(value)
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if hasattr(value, "isoformat"):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")[:23]
    return float(value)


def same(left, right):
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, bool) or isinstance(right, bool) or isinstance(left, str) or isinstance(right, str) or left is None or right is None:
        return left == right
    return left == right or math.isnan(left) and math.isnan(right) or math.isclose(left, right, rel_tol=1e-9)


def order(row):
    return json.dumps([[type(value).__name__, value] for value in row], sort_keys=True, default=str)


def ours(corelane, declared, query, shards):
    command = [corelane, "--quiet", "--format", "ndjson", "--shards", str(shards), "--executor", "threads", declared + query]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        return None, done.stderr
    return [[plain(value) for value in json.loads(line).values()] for line in done.stdout.splitlines()], None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--corelane", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--only", help="queries of ours that hold this text")
    given = parser.parse_args()
    wrong = compared = 0
    for seed in range(given.seed, given.seed + given.rounds):
        dice = random.Random(seed)
        rows = rows_of(dice, given.rows)
        with tempfile.TemporaryDirectory() as folder:
            folder, names = pathlib.Path(folder), [name for name, _, _ in TYPES]
            files = dice.randrange(1, 5)
            for number in range(files):
                part = rows[len(rows) * number // files:len(rows) * (number + 1) // files]
                lines = [",".join(field(name, row[name]) for name in names) for row in part]
                (folder / f"part{number}.csv").write_text("\n".join([",".join(names), *lines]) + "\n")
            columns = ", ".join(f"{name} {ours}" for name, ours, _ in TYPES)
            declared = f"CREATE TABLE t ({columns}, WATERMARK FOR ts AS ts - INTERVAL '1' HOUR) WITH ('path' = '{folder}/part*.csv'); "
            duck = duckdb.connect()
            duck.execute("SET default_null_order = 'nulls_last'")
            duck.execute("CREATE TABLE t (" + ", ".join(f"{name} {theirs}" for name, _, theirs in TYPES) + ")")
            place = {"m": "map(?::VARCHAR[], ?::BIGINT[])"}
            insert = "INSERT INTO t VALUES (" + ", ".join(place.get(name, "?") for name in names) + ")"
            for row in rows:
                values = []
                for name in names:
                    value = row[name]
                    if name == "m":
                        values += [None, None] if value is None else [list(value), list(value.values())]
                    else:
                        values.append(value)
                duck.execute(insert, values)
            queries = [(f"SELECT id, {pair[0]} AS v FROM t" + (f" WHERE {NOT_NULL[pair[0]]}" if pair[0] in NOT_NULL else ""),
                        f"SELECT id, {pair[-1]} AS v FROM t" + (f" WHERE {NOT_NULL[pair[0]]}" if pair[0] in NOT_NULL else "")) for pair in VALUES]
            for query, theirs in queries + QUERIES:
                if given.only and given.only not in query:
                    continue
                try:
                    expected = [[plain(value) for value in row] for row in duck.execute(theirs).fetchall()]
                except duckdb.Error as error:
                    wrong += 1
                    print(f"DuckDB: {theirs}: {error}")
                    continue
                for shards in (1, 2, 7):
                    found, error = ours(given.corelane, declared, query, shards)
                    compared += 1
                    if found is None:
                        wrong += 1
                        print(f"seed {seed}, {shards} shards: {query}\n{error}")
                        break
                    left, right = sorted(found, key=order), sorted(expected, key=order)
                    if len(left) != len(right) or not all(map(same, left, right)):
                        wrong += 1
                        differ = [pair for pair in zip(left, right) if not same(*pair)][:3]
                        print(f"seed {seed}, {shards} shards: {query}\n  {len(left)} rows, {len(right)} expected; {differ}")
                        break
    print(f"{compared} results compared, {wrong} wrong")
    sys.exit(wrong > 0)


main()
