"""Holds every case of the benchmark against DuckDB.

For each case: generate two shards, run Corelane as 1 shard, 2 shards on glommio, 2 and 7 shards on
threads, and compare every value with DuckDB's answer over the same files. Runs with the same number
of shards must also give the same bytes. S3b promises less (every row's update appears once, a key's
rows in order, the last one final); `--ordered` adds the bytes.
"""

import argparse
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import time

import duckdb

CASES = pathlib.Path(__file__).resolve().parent.parent / "bench" / "cases"



def average(column, unit):
    """AVG as Corelane defines it: exact, rounded half up at six digits; `unit` is 10^(6 - scale)."""
    cents = f"(({column}) * {10 ** 6 // unit})::HUGEINT"
    return (
        f"CASE WHEN sum({cents}) >= 0 THEN (2 * sum({cents}) * {unit} + count(*)) // (2 * count(*)) "
        f"ELSE -((2 * -sum({cents}) * {unit} + count(*)) // (2 * count(*))) END"
    )


ORDERS = "read_csv({files}, header=true, columns={{'order_id':'INT','customer_id':'INT','order_date':'VARCHAR','total_amount':'DECIMAL(10,2)'}})"
MARKET = "read_csv({files}, header=true, columns={{'trade_time':'BIGINT','trader_id':'VARCHAR','symbol':'VARCHAR','price':'DECIMAL(10,2)','quantity':'INT'}})"
STATIONS = "read_csv({files}, header=false, delim=';', quote='', columns={{'station':'VARCHAR','temp':'DECIMAL(4,1)'}})"

ORDERS_OUT = "{'order_id':'INT','customer_id':'INT','order_date':'VARCHAR','total_amount':'DECIMAL(10,2)'}"
TOTALS_OUT = "'trades':'BIGINT','avg_price':'DECIMAL(38,6)','volume':'HUGEINT','turnover':'DECIMAL(38,2)'"
S2_OUT = "{'trader_id':'VARCHAR','symbol':'VARCHAR'," + TOTALS_OUT + ",'min_price':'DECIMAL(10,2)','max_price':'DECIMAL(10,2)'}"
S3_OUT = "{'trader_id':'VARCHAR','symbol':'VARCHAR','window_start':'VARCHAR','window_end':'VARCHAR'," + TOTALS_OUT + "}"
S1_OUT = "{'symbol':'VARCHAR','trade_time':'BIGINT','price':'DECIMAL(10,2)','avg_price':'DECIMAL(38,6)','min_price':'DECIMAL(10,2)','max_price':'DECIMAL(10,2)'}"
BRC_OUT = "{'station':'VARCHAR','min_temp':'DECIMAL(4,1)','avg_temp':'DECIMAL(38,6)','max_temp':'DECIMAL(4,1)'}"

STAMP = "strftime(make_timestamp(({0}) * 1000), '%Y-%m-%d %H:%M:%S.000Z')"
MINUTE = "(trade_time // 60000) * 60000"
TOTALS = f"count(*), (({average('price', 10_000)})::DECIMAL(38,0) / 1000000)::DECIMAL(38,6), sum(quantity)::HUGEINT, sum(price * quantity)::DECIMAL(38,2)"


def over(column):
    return (
        f"(((2 * sum(({column} * 100)::HUGEINT) OVER w * 10000 + count(*) OVER w) // (2 * count(*) OVER w))::DECIMAL(38,0) / 1000000)::DECIMAL(38,6)"
    )


S0 = lambda bound: f"SELECT order_id, customer_id, order_date, total_amount FROM {ORDERS}" + (f" WHERE total_amount > {bound}" if bound else "")
S2 = f"SELECT trader_id, symbol, {TOTALS}, min(price), max(price) FROM {MARKET} GROUP BY trader_id, symbol"
S3 = (
    f"SELECT trader_id, symbol, {STAMP.format(MINUTE)}, {STAMP.format(MINUTE + ' + 60000')}, {TOTALS} "
    f"FROM {MARKET} GROUP BY trader_id, symbol, {MINUTE}"
)
S1 = (
    f"SELECT symbol, trade_time, price, {over('price')}, min(price) OVER w, max(price) OVER w FROM {MARKET} "
    "WINDOW w AS (PARTITION BY symbol ORDER BY trade_time ROWS BETWEEN 99 PRECEDING AND CURRENT ROW)"
)
BRC = f"SELECT station, min(temp), (({average('temp', 100_000)})::DECIMAL(38,0) / 1000000)::DECIMAL(38,6), max(temp) FROM {STATIONS} GROUP BY station"

TABLE = [
    ("S0n", "S0n", "orders", None, ORDERS_OUT, S0(396)),
    ("S0w", "S0w", "orders", None, ORDERS_OUT, S0(200)),
    ("S0a", "S0a", "orders", None, ORDERS_OUT, S0(None)),
    ("S1", "S1", "market_data", "seed", S1_OUT, S1),
    ("S2 seed", "S2", "market_data", "seed", S2_OUT, S2),
    ("S2 mid", "S2", "market_data", "mid", S2_OUT, S2),
    ("S2 high", "S2", "market_data", "high", S2_OUT, S2),
    ("S3a seed", "S3a", "market_data", "seed", S3_OUT, S3),
    ("S3a mid", "S3a", "market_data", "mid", S3_OUT, S3),
    ("S3a sparse", "S3a", "market_data", "sparse", S3_OUT, S3),
    ("S3b", "S3b", "market_data", "seed", S3_OUT, S3),
    ("1BRC", "1BRC", "measurements", None, BRC_OUT, BRC),
]

RUNS = [
    ("1 shard", ["--shards", "1"]),
    ("2 shards, glommio", ["--shards", "2", "--executor", "glommio"]),
    ("2 shards, threads", ["--shards", "2", "--executor", "threads"]),
    ("7 shards, threads", ["--shards", "7", "--executor", "threads"]),
]


def digest(path):
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            total.update(piece)
    return total.hexdigest()[:16]


class Checker:
    def __init__(self, corelane, rows, folder):
        self.corelane = corelane
        self.rows = rows
        self.folder = pathlib.Path(folder)
        self.wrong = 0
        self.checked = 0

    def say(self, good, case, run, text):
        self.checked += 1
        self.wrong += not good
        print(f"{'ok   ' if good else 'WRONG'} {case:<11} {run:<32} {text}", flush=True)

    def generate(self, name, flavour):
        folder = self.folder / (name + (f"-{flavour}" if flavour else ""))
        if not (folder / "manifest.json").exists():
            command = [self.corelane, "gen", name, "--rows", str(self.rows), "--shards", "2", "--seed", "1", "-o", str(folder)]
            subprocess.run(command + (["--flavour", flavour] if flavour else []), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return folder

    def run(self, query, name, folder, out, flags):
        command = [self.corelane, "run", "-f", str(CASES / f"{query}.sql"), "--input", f"{name}={folder}/shard*.csv", "-o", str(out), "--format", "csv", "--quiet", *flags]
        start = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True)
        return done, time.monotonic() - start

    def case(self, case, query, name, flavour, columns, expected):
        folder = self.generate(name, flavour)
        base = duckdb.connect()
        base.execute("SET preserve_insertion_order = true")
        files = f"['{folder}/shard0.csv', '{folder}/shard1.csv']"
        base.execute(f"CREATE TABLE expected AS {expected.format(files=files)}")
        rows = base.execute("SELECT count(*) FROM expected").fetchone()[0]
        seen = {}
        runs = RUNS + ([(run + ", ordered", flags + ["--ordered"]) for run, flags in RUNS] if case == "S3b" else [])
        for run, flags in runs:
            out = self.folder / "out.csv"
            done, seconds = self.run(query, name, folder, out, flags)
            if done.returncode != 0:
                self.say(False, case, run, f"status {done.returncode}: {done.stderr.strip()[-300:]}")
                continue
            actual = f"read_csv('{out}', header=true, quote='\"', columns={columns}, null_padding=false)"
            if case == "S3b":
                problem = self.changes(base, actual)
            else:
                base.execute(f"CREATE OR REPLACE TEMP TABLE actual AS SELECT * FROM {actual}")
                missing = base.execute("SELECT count(*) FROM (SELECT * FROM expected EXCEPT ALL SELECT * FROM actual)").fetchone()[0]
                extra = base.execute("SELECT count(*) FROM (SELECT * FROM actual EXCEPT ALL SELECT * FROM expected)").fetchone()[0]
                problem = f"{missing} rows missing, {extra} rows too many" if missing or extra else None
            bytes_promised = case != "S3b" or "--ordered" in flags or flags[1] == "1"
            shards = flags[1]
            key = (shards, "--ordered" in flags)
            mark = digest(out)
            if not problem and bytes_promised and seen.setdefault(key, mark) != mark:
                problem = "same number of shards, other bytes"
            self.say(not problem, case, run, problem or f"{rows} rows, {seconds:.2f} s, {mark}")

    @staticmethod
    def changes(base, actual):
        base.execute(
            f"CREATE OR REPLACE TEMP TABLE changes AS SELECT *, row_number() OVER () AS place FROM {actual}"
        )
        updates, total = base.execute("SELECT (SELECT count(*) FROM changes), (SELECT sum(column4) FROM (SELECT * FROM expected) e(c0,c1,c2,c3,column4,c5,c6,c7))").fetchone()
        if updates != total:
            return f"{updates} rows out, {total} rows in"
        disorder = base.execute(
            "SELECT count(*) FROM (SELECT trades, row_number() OVER (PARTITION BY trader_id, symbol, window_start ORDER BY place) n FROM changes) WHERE n <> trades"
        ).fetchone()[0]
        if disorder:
            return f"{disorder} updates out of order"
        base.execute(
            "CREATE OR REPLACE TEMP TABLE last AS SELECT * EXCLUDE (place, n) FROM (SELECT *, row_number() OVER (PARTITION BY trader_id, symbol, window_start ORDER BY place DESC) n FROM changes) WHERE n = 1"
        )
        wrong = base.execute("SELECT count(*) FROM (SELECT * FROM expected EXCEPT ALL SELECT * FROM last)").fetchone()[0]
        return f"{wrong} last rows differ from FINAL" if wrong else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--corelane", required=True)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--case", action="append")
    parser.add_argument("--keep", help="folder for the generated files; else a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checker = Checker(options.corelane, options.rows, options.keep or folder)
        for row in TABLE:
            if not options.case or row[0] in options.case:
                checker.case(*row)
        print(f"{checker.checked - checker.wrong} passed, {checker.wrong} failed")
        sys.exit(1 if checker.wrong else 0)


if __name__ == "__main__":
    main()
