"""Holds the queries of Nexmark against DuckDB.

Each query is written a second time here, for an engine that knows no windows of time and no
watermarks, and every value is compared on 1, 2 and 7 shards. What Corelane refuses is told with its
reason; it fails the check unless it is among REFUSED. Queries whose results change are run with EMIT
CHANGELOG as well, and what their changes add up to is held against the same answer.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import duckdb

QUERIES = pathlib.Path(__file__).resolve().parent.parent / "bench" / "nexmark"
# Which of two rows of one time comes first is not settled there: only keys (the first column) without such are compared.
TIED = {"q6"}
# Queries whose results change while rows come.
CHANGING = {"q3", "q4", "q6", "q9", "q15", "q16", "q17", "q18", "q19", "q20"}
# Queries that ask for what is not there yet.
REFUSED = set()
# Windows of the clock: each bid moves it on by so many milliseconds. One shard reads
# them all then, so that this is the same on any number of shards.
STEP_MS = 10
BY_CLOCK = {"q12": ["--clock", f"2026-01-01 00:00:00,{STEP_MS}ms"]}

COLUMNS = {
    "person": "{'id':'BIGINT','name':'VARCHAR','emailAddress':'VARCHAR','creditCard':'VARCHAR','city':'VARCHAR','state':'VARCHAR','dateTime':'TIMESTAMP','extra':'VARCHAR'}",
    "auction": "{'id':'BIGINT','itemName':'VARCHAR','description':'VARCHAR','initialBid':'BIGINT','reserve':'BIGINT','dateTime':'TIMESTAMP','expires':'TIMESTAMP','seller':'BIGINT','category':'BIGINT','extra':'VARCHAR'}",
    "bid": "{'auction':'BIGINT','bidder':'BIGINT','price':'BIGINT','channel':'VARCHAR','url':'VARCHAR','dateTime':'TIMESTAMP','extra':'VARCHAR'}",
    "side_input": "{'key':'BIGINT','value':'VARCHAR'}",
}


def ms(expression):
    """A time as Corelane prints it."""
    return f"strftime({expression}, '%Y-%m-%d %H:%M:%S.%g')"


def bucket(expression, seconds):
    """The start of the window that a time is in."""
    return f"make_timestamp((epoch_us({expression}) // {seconds}000000) * {seconds}000000)"


RANKS = "price < 10000", "price >= 10000 AND price < 1000000", "price >= 1000000"
REPORT = ", ".join(
    ["count(*)"]
    + [f"count(*) FILTER (WHERE {rank})" for rank in RANKS]
    + ["count(DISTINCT bidder)"]
    + [f"count(DISTINCT bidder) FILTER (WHERE {rank})" for rank in RANKS]
    + ["count(DISTINCT auction)"]
    + [f"count(DISTINCT auction) FILTER (WHERE {rank})" for rank in RANKS]
)
DAY = "strftime(dateTime, '%Y-%m-%d')"
# Rows that tie come in the order of the files and their lines: `place`.
WINNING = (
    "SELECT a.*, b.auction, b.bidder, b.price, b.dateTime AS bid_dateTime, b.extra AS bid_extra, "
    "row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.dateTime, b.place) AS n "
    "FROM auction a JOIN bid b ON a.id = b.auction AND b.dateTime BETWEEN a.dateTime AND a.expires"
)
HOPS = f"SELECT *, {bucket('dateTime', 2)} - INTERVAL 2 SECOND * hop AS s FROM bid, (SELECT unnest(range(5)) AS hop)"

# Query, its answer in DuckDB's SQL, and the places of its columns that are DOUBLE.
EXPECTED = {
    "q0": (f"SELECT auction, bidder, price, {ms('dateTime')}, extra FROM bid", []),
    "q1": (f"SELECT auction, bidder, (0.908 * price)::DECIMAL(23, 3), {ms('dateTime')}, extra FROM bid", []),
    "q2": ("SELECT auction, price FROM bid WHERE auction % 123 = 0", []),
    "q3": ("SELECT p.name, p.city, p.state, a.id FROM auction a JOIN person p ON a.seller = p.id WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')", []),
    "q4": ("SELECT category, avg(final) FROM (SELECT a.id, a.category, max(b.price) AS final FROM auction a JOIN bid b ON a.id = b.auction AND b.dateTime BETWEEN a.dateTime AND a.expires GROUP BY ALL) GROUP BY category", [1]),
    "q5": (f"SELECT auction, num, {ms('s')}, {ms('s + INTERVAL 10 SECOND')} FROM (SELECT *, max(num) OVER (PARTITION BY s) AS most FROM (SELECT auction, s, count(*) AS num FROM ({HOPS}) GROUP BY auction, s)) WHERE num >= most", []),
    "q6": (f"SELECT seller, avg(price) OVER (PARTITION BY seller ORDER BY bid_dateTime, id ROWS BETWEEN 9 PRECEDING AND CURRENT ROW) FROM ({WINNING}) WHERE n = 1 AND seller NOT IN "
           f"(SELECT seller FROM ({WINNING}) WHERE n = 1 GROUP BY seller, bid_dateTime HAVING count(*) > 1)", [1]),
    "q7": (f"SELECT auction, price, bidder, {ms('dateTime')}, extra FROM (SELECT *, max(price) OVER (PARTITION BY {bucket('dateTime', 10)}) AS most FROM bid) WHERE price = most", []),
    "q8": (f"SELECT DISTINCT p.id, p.name, {ms(bucket('p.dateTime', 10))} FROM person p JOIN auction a ON p.id = a.seller AND {bucket('p.dateTime', 10)} = {bucket('a.dateTime', 10)}", []),
    "q9": (f"SELECT id, itemName, description, initialBid, reserve, {ms('dateTime')}, {ms('expires')}, seller, category, extra, auction, bidder, price, {ms('bid_dateTime')}, bid_extra FROM ({WINNING}) WHERE n = 1", []),
    "q10": (f"SELECT auction, bidder, price, {ms('dateTime')}, extra, {DAY}, strftime(dateTime, '%H:%M') FROM bid", []),
    "q11": (f"SELECT bidder, count(*), {ms('min(dateTime)')}, {ms('max(dateTime) + INTERVAL 10 SECOND')} FROM (SELECT *, sum(fresh) OVER (PARTITION BY bidder ORDER BY dateTime ROWS UNBOUNDED PRECEDING) AS session FROM (SELECT *, CASE WHEN dateTime - lag(dateTime) OVER (PARTITION BY bidder ORDER BY dateTime) <= INTERVAL 10 SECOND THEN 0 ELSE 1 END AS fresh FROM bid)) GROUP BY bidder, session", []),
    "q12": (f"SELECT bidder, count(*), strftime(s, '%Y-%m-%d %H:%M:%S.%gZ'), strftime(s + INTERVAL 10 SECOND, '%Y-%m-%d %H:%M:%S.%gZ') FROM (SELECT bidder, TIMESTAMP '2026-01-01' + INTERVAL 10 SECOND * ((place - 1) * {STEP_MS} // 10000) AS s FROM bid) GROUP BY bidder, s", []),
    "q13": (f"SELECT b.auction, b.bidder, b.price, {ms('b.dateTime')}, s.value FROM bid b JOIN side_input s ON b.auction % 10000 = s.key", []),
    "q14": (
        "SELECT auction, bidder, (0.908 * price)::DECIMAL(23, 3), CASE WHEN hour(dateTime) BETWEEN 8 AND 18 THEN 'dayTime' WHEN hour(dateTime) <= 6 OR hour(dateTime) >= 20 THEN 'nightTime' ELSE 'otherTime' END, "
        f"{ms('dateTime')}, extra, length(extra) - length(replace(extra, 'c', '')) FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000", []),
    "q15": (f"SELECT {DAY}, {REPORT} FROM bid GROUP BY {DAY}", []),
    "q16": (f"SELECT channel, {DAY}, max(strftime(dateTime, '%H:%M')), {REPORT} FROM bid GROUP BY channel, {DAY}", []),
    "q17": (f"SELECT auction, {DAY}, count(*), " + ", ".join(f"count(*) FILTER (WHERE {rank})" for rank in RANKS) + f", min(price), max(price), avg(price), sum(price) FROM bid GROUP BY auction, {DAY}", [8]),
    "q18": (f"SELECT auction, bidder, price, channel, url, {ms('dateTime')}, extra FROM (SELECT *, row_number() OVER (PARTITION BY bidder, auction ORDER BY dateTime DESC, place) AS n FROM bid) WHERE n = 1", []),
    "q19": (f"SELECT auction, bidder, price, channel, url, {ms('dateTime')}, extra, n FROM (SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC, place) AS n FROM bid) WHERE n <= 10", []),
    "q20": (f"SELECT b.auction, b.bidder, b.price, b.channel, b.url, {ms('b.dateTime')}, b.extra, a.itemName, a.description, a.initialBid, a.reserve, {ms('a.dateTime')}, {ms('a.expires')}, a.seller, a.category, a.extra FROM bid b JOIN auction a ON b.auction = a.id WHERE a.category = 10", []),
    "q21": (
        "SELECT auction, bidder, price, channel, CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3' ELSE regexp_extract(url, '(&|^)channel_id=([^&]*)', 2) END "
        "FROM bid WHERE regexp_matches(url, '(&|^)channel_id=([^&]*)') OR lower(channel) IN ('apple', 'google', 'facebook', 'baidu')", []),
    "q22": ("SELECT auction, bidder, price, channel, split_part(url, '/', 4), split_part(url, '/', 5), split_part(url, '/', 6) FROM bid", []),
}

RUNS = [
    ("1", ["--shards", "1"]),
    ("2", ["--shards", "2", "--executor", "threads"]),
    ("7", ["--shards", "7", "--executor", "threads"]),
]


def tables_of(script):
    return re.findall(r"^CREATE TABLE (\w+)", script, re.MULTILINE)


class Checker:
    def __init__(self, corelane, folder, events):
        self.corelane, self.folder = corelane, pathlib.Path(folder)
        self.files = self.folder / f"nexmark-{events}"
        if not (self.files / "manifest.json").exists():
            command = [corelane, "gen", "nexmark", "--rows", str(events), "--shards", "2", "--seed", "0", "-o", str(self.files)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            rows = "".join(f"{key},value of {key}\n" for key in range(10_000))
            (self.files / "side_input0.csv").write_text("key,value\n" + rows)
        self.base = duckdb.connect()
        self.base.execute("SET preserve_insertion_order = true")
        for name, columns in COLUMNS.items():
            paths = sorted(str(path) for path in self.files.glob(f"{name}[0-9]*.csv"))
            read = f"read_csv({paths}, header=true, columns={columns})"
            self.base.execute(f"CREATE TABLE {name} AS SELECT *, row_number() OVER () AS place FROM {read}")
            if name != "bid":
                self.base.execute(f"ALTER TABLE {name} DROP place")

    def in_one_file(self, table):
        """The files of a table one behind the other."""
        whole = self.files / f"all_{table}.csv"
        if not whole.exists():
            with whole.open("w") as out:
                for number, path in enumerate(sorted(self.files.glob(f"{table}[0-9]*.csv"))):
                    with path.open() as part:
                        header = part.readline()
                        out.write(header if number == 0 else "")
                        shutil.copyfileobj(part, out)
        return whole

    def run(self, query, tables, out, flags, changes=False):
        script = QUERIES / f"{query}.sql"
        if changes:
            text = script.read_text().rstrip().removesuffix(";") + "\nEMIT CHANGELOG;\n"
            script = self.folder / "changes.sql"
            script.write_text(text)
        if query in BY_CLOCK:
            script = self.folder / "clock.sql"
            script.write_text((QUERIES / f"{query}.sql").read_text().replace("\n);", "\n) WITH ('split' = 'file');", 1))
            flags = [*flags, *BY_CLOCK[query]]
        command = [self.corelane, "run", "-f", str(script), "-o", str(out), "--format", "csv", "--quiet", *flags]
        for table in tables:
            files = f"{self.in_one_file(table)}" if query in BY_CLOCK else f"{self.files}/{table}*.csv"
            command += ["--input", f"{table}={files}"]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True)
        return done, time.monotonic() - began

    def difference(self, query, doubles, out, changes=False):
        """How the rows of `out`, or what its changes add up to, differ from those of the table `expected`; None if they do not."""
        shown = self.base.execute("SELECT * FROM expected LIMIT 0").description
        names = [f"c{place}" for place in range(len(shown))]
        # Means are held to nine digits: they are DOUBLE.
        value = lambda place: f"format('{{:.9g}}', {names[place]}::DOUBLE)" if place in doubles else f"{names[place]}::VARCHAR"
        pick = ", ".join(value(place) for place in range(len(names)))
        declared = "{" + ", ".join(f"'{name}': 'VARCHAR'" for name in ["op"] * changes + names) + "}"
        read = f"read_csv('{out}', header=true, columns={declared}, quote='\"', allow_quoted_nulls=false)"
        self.base.execute(f"CREATE OR REPLACE TEMP TABLE one AS SELECT {pick} FROM expected e({', '.join(names)})")
        if changes:
            # Rows that came and did not go, as often as they are there; what went more often is there too often.
            signed = f"SELECT {', '.join(names)}, sum(CASE WHEN op IN ('+I', '+U') THEN 1 ELSE -1 END)::BIGINT AS times FROM {read} GROUP BY ALL"
            read = f"(SELECT *, unnest(range(abs(times))) FROM ({signed}))"
        self.base.execute(f"CREATE OR REPLACE TEMP TABLE other AS SELECT {pick} FROM {read}")
        if query in TIED:
            key = lambda table: self.base.execute(f"SELECT * FROM {table} LIMIT 0").description[0][0]
            self.base.execute(f'DELETE FROM other WHERE "{key("other")}" NOT IN (SELECT "{key("one")}" FROM one)')
        count = lambda one, other: self.base.execute(f"SELECT count(*) FROM (FROM {one} EXCEPT ALL FROM {other})").fetchone()[0]
        missing, extra = count("one", "other"), count("other", "one")
        if missing or extra:
            first = lambda one, other: self.base.execute(f"FROM {one} EXCEPT ALL FROM {other} ORDER BY ALL LIMIT 1").fetchall()
            return f"{missing} rows missing, {extra} too many; first {first('one', 'other')}, {first('other', 'one')}"
        return None

    def check(self, query):
        """The verdict on one query and what is to be said of it."""
        tables = tables_of((QUERIES / f"{query}.sql").read_text())
        spent, answer = [], None
        runs = [(shards, flags, changes) for changes in [False] + [True] * (query in CHANGING) for shards, flags in RUNS]
        for shards, flags, changes in runs:
            out = self.folder / "out.csv"
            done, seconds = self.run(query, tables, out, flags, changes)
            shards += " shards" + ", changes" * changes
            if done.returncode == 2:
                return "refused", done.stderr.strip().splitlines()[0]
            if done.returncode != 0:
                return "WRONG", f"{shards}: status {done.returncode}: {done.stderr.strip()[:300]}"
            if answer is None:
                answer = EXPECTED.get(query)
                if answer is None:
                    return "WRONG", "there is nothing to hold it against"
                self.base.execute(f"CREATE OR REPLACE TEMP TABLE expected AS {answer[0]}")
            problem = self.difference(query, answer[1], out, changes)
            if problem:
                return "WRONG", f"{shards}: {problem}"
            spent.append(f"{seconds:.2f}")
        rows = self.base.execute("SELECT count(*) FROM expected").fetchone()[0]
        return ("ok" if rows else "WRONG"), f"{rows} rows; {', '.join(spent)} s on {', '.join(shards for shards, _ in RUNS)} shards{', twice' * (query in CHANGING)}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--corelane", required=True)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--query", action="append")
    parser.add_argument("--keep", help="folder for the generated files; else a temporary one")
    options = parser.parse_args()
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        checker = Checker(options.corelane, options.keep or folder, options.events)
        for number in range(23):
            query = f"q{number}"
            if options.query and query not in options.query:
                continue
            verdict, words = checker.check(query)
            if verdict == "refused" and query not in REFUSED:
                verdict = "REFUSED"
            verdicts.append(verdict)
            print(f"{query:<4} {verdict:<8} {words}", flush=True)
    counts = [f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts)]
    print(", ".join(counts))
    sys.exit(1 if "WRONG" in verdicts or "REFUSED" in verdicts else 0)


if __name__ == "__main__":
    main()
