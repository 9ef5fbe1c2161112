"""Runs a corelane binary on good and broken inputs, and compares rows, messages and exit statuses.

Every run must end within a minute, and may never show a panic or a backtrace.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

corelane = str(pathlib.Path(sys.argv[1]).resolve())
failed = []
count = 0

FILES = {
    "plain.csv": "a,b\n1,x\n2,y\n3,z\n",
    "empty.csv": "",
    "header.csv": "a,b\n",
    "no_last_newline.csv": "a,b\n1,x\n2,y",
    "crlf.csv": "a,b\r\n1,x\r\n2,y\r\n",
    "bom.csv": "\ufeffa,b\n1,x\n",
    "quoted.csv": 'a,b\n1,"two\nlines"\n2,"with ""quotes"", and comma"\n',
    "ragged.csv": "a,b\n1,2\n3\n4,5\n",
    "bad_number.csv": "a,b\n1,2\nx,4\n5,6\n",
    "semicolon.csv": "a;b\n1;x\n",
    "cr.csv": "a,b\r1,x\r2,y\r",
    "headless.csv": "1,2\n3,4\n",
    "times.csv": "a\n1000\n99999999999999999\n3000\n",
    "late.csv": "a\n1000\n5000\n500\n5100\n",
    "null.csv": 'a,b\n1,\n2,""\n',
    "q.sql": "SELECT a, b FROM 'plain.csv' WHERE a > 1",
}
SINK = "CREATE TABLE s (a INT, b STRING) WITH ('path' = 'sink.csv', 'format' = 'csv'{}); "
NUMBERS = "CREATE TABLE t (a INT, b INT) WITH ('path' = '{}', 'format' = 'csv'); "
TIMES = (
    "CREATE TABLE t (a BIGINT, ts AS TO_TIMESTAMP_LTZ(a, 3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) "
    "WITH ('path' = '{}'); SELECT COUNT(*) FROM TUMBLE(t, ts, INTERVAL '1' SECOND) GROUP BY window_start, window_end"
)
PACED = TIMES.format("long.csv")


def run(arguments, status=0, out=None, err=None, name=None, stdin="", env=None, before=(), runs=((),)):
    """One case. `out` is all of standard output, `err` a part of standard error."""
    global count
    for more in runs:
        command = [*before, corelane, *more, *arguments]
        count += 1
        try:
            done = subprocess.run(
                command, input=stdin.encode(), capture_output=True, timeout=60, env={**os.environ, **(env or {})}
            )
        except subprocess.TimeoutExpired:
            failed.append(f"{name or command}: still running after a minute")
            continue
        said, talk = done.stdout.decode(), done.stderr.decode()
        problems = []
        if done.returncode != status:
            problems.append(f"status {done.returncode} instead of {status}")
        if out is not None and said != out:
            problems.append(f"printed {said!r} instead of {out!r}")
        if err is not None and err not in talk:
            problems.append(f"no {err!r} on standard error")
        if status == 0 and err is None and "error" in talk:
            problems.append("an error on standard error")
        problems += [f"{word} on standard error" for word in ("panicked", "backtrace", "RUST_") if word in talk]
        for problem in problems:
            failed.append(f"{name or ' '.join(command[len(before):])}: {problem}\n    {talk.strip()}")


EVERYWHERE = [
    ("--shards", "1"),
    ("--shards", "2", "--executor", "threads"),
    ("--shards", "7", "--executor", "threads"),
    ("--executor", "auto"),
]


def rows():
    csv = ("--quiet", "--format", "csv")
    for file, text in [
        ("plain.csv", "a,b\n1,x\n2,y\n3,z\n"),
        ("header.csv", "a,b\n"),
        ("no_last_newline.csv", "a,b\n1,x\n2,y\n"),
        ("crlf.csv", "a,b\n1,x\n2,y\n"),
        ("bom.csv", "a,b\n1,x\n"),
        ("quoted.csv", FILES["quoted.csv"]),
        ("semicolon.csv", "a,b\n1,x\n"),
        ("null.csv", 'a,b\n1,\n2,""\n'),
    ]:
        run([*csv, f"SELECT * FROM '{file}'"], out=text, runs=EVERYWHERE)
        for kernel in ("avx2", "scalar"):
            run([*csv, f"SELECT * FROM '{file}'"], out=text, env={"CORELANE_SIMD": kernel})
        run([*csv, "SELECT * FROM '-'"], out=text, stdin=FILES[file])
    run([*csv, "SELECT COUNT(*) AS n FROM 'header.csv'"], out="n\n0\n", runs=EVERYWHERE)
    run([*csv, NUMBERS.format("empty.csv") + "SELECT COUNT(*) AS n, SUM(a) AS s FROM t"], out="n,s\n0,\n", runs=EVERYWHERE)
    run([*csv, "--on-error", "skip", "SELECT * FROM 'ragged.csv'"], out="a,b\n1,2\n4,5\n", runs=EVERYWHERE)
    times = TIMES.format("times.csv")
    run([*csv, "--on-error", "skip", times], out="COUNT(*)\n1\n1\n", runs=EVERYWHERE)
    run([times], status=1, err="times.csv:3: the row has no event time", runs=EVERYWHERE)
    several = "SELECT a FROM 'plain.csv' UNION ALL SELECT a FROM 'semicolon.csv'"
    run([*csv, several], out="a\n1\n2\n3\n1\n", runs=EVERYWHERE)
    run([*csv, f"SELECT a FROM 'plain.csv' EXCEPT ALL ({several})"], out="a\n", runs=EVERYWHERE)
    rollup = "SELECT a, COUNT(*) AS n, GROUPING(a) AS g FROM 'plain.csv' GROUP BY ROLLUP (a)"
    run([*csv, rollup], out="a,n,g\n1,1,0\n2,1,0\n3,1,0\n,3,1\n", runs=EVERYWHERE)
    run(["SELECT (SELECT a FROM 'plain.csv') FROM 'plain.csv'"], status=1, err="a subquery that is used as a value gives 3 rows", runs=EVERYWHERE)
    run(["EXPLAIN (CANONICAL) SELECT a FROM 'plain.csv' p EMIT FINAL"], out="SELECT a FROM 'plain.csv' p EMIT FINAL\n")
    run(["--input", "typo=plain.csv", "SELECT COUNT(*) FROM 'plain.csv'"], err="the script reads no table `typo`")
    run(["SELECT * FROM 'headless.csv'"], err="headless.csv: the first row was taken as values")
    run(["--quiet", "SELECT a, b FROM 'plain.csv' LIMIT 1"], out='{"a":1,"b":"x"}\n', runs=EVERYWHERE)
    counted = "SELECT COUNT(*) AS n FROM 'plain.csv'"
    run([*csv, counted], out="n\n3\n", runs=EVERYWHERE)
    for asked, script in [(["--dialect", "risingwave"], counted), ([], f"SET dialect = 'risingwave'; {counted}")]:
        run([*csv, *asked, script], out="n\n1\n2\n3\n")
    run([*csv, counted], out="n\n1\n2\n3\n", env={"CORELANE_DIALECT": "ksql"})
    run([*csv, "--dialect", "ksql", f"SET dialect = 'flink'; {counted}"], out="n\n3\n")
    noon = "SELECT TO_TIMESTAMP_LTZ(1767268800, 0) AS noon FROM 'plain.csv' LIMIT 1"
    run([*csv, noon], out="noon\n2026-01-01 12:00:00Z\n", env={"TZ": "Asia/Tokyo"})
    run([*csv, "--time-zone", "-03:30", noon], out="noon\n2026-01-01 08:30:00-03:30\n", runs=EVERYWHERE)
    run([*csv, noon], out="noon\n2026-01-01 21:00:00+09:00\n", env={"CORELANE_TIME_ZONE": "asia/tokyo"})
    run(["--quiet", "--time-zone", "Europe/Berlin", noon], out='{"noon":"2026-01-01 13:00:00+01:00"}\n')
    run(["--quiet", "-f", "q.sql"], out='{"a":2,"b":"y"}\n{"a":3,"b":"z"}\n', runs=EVERYWHERE)
    run(["--quiet", "-f", "-"], out='{"a":2,"b":"y"}\n{"a":3,"b":"z"}\n', stdin=FILES["q.sql"])
    run(["run", *csv, "--input", "m=plain.csv", "SELECT COUNT(*) AS n FROM m"], out="n\n3\n")
    run([*csv, "--max-errors", "1", NUMBERS.format("bad_number.csv") + "SELECT SUM(a) AS s FROM t"], out="s\n6\n")
    run([*csv, "SELECT SUM(a) AS s FROM 'long.csv'"], out="s\n2000001000000\n", runs=EVERYWHERE)
    run([*csv, "SELECT SUM(a) AS s FROM '-'"], out="s\n2000001000000\n", stdin=LONG)


def refusals():
    for arguments, err in [
        (["SELECT * FROM 'empty.csv'"], "the files are empty"),
        (["SELECT * FROM 'cr.csv'"], "its lines end with CR alone"),
        (["--error-format", "json", "--nonsense"], '{"code":"E0207"'),
        (["SELECT * FROM 'missing.csv'"], "there is no file `missing.csv`"),
        (["SELECT * FROM 'no*.txt'"], "no file matches"),
        (["SELECT * FROM '.'"], "is a directory"),
        (["SELECT nope FROM 'plain.csv'"], "1 | SELECT nope FROM 'plain.csv'\n  |        ^^^^"),
        (["SELEC a FROM 'plain.csv'"], "did you mean `SELECT`?"),
        (["SELECT SUM(b) FROM 'plain.csv'"], "does not take STRING"),
        (["SELECT * FROM nowhere"], "--input nowhere=FILES"),
        (["-f", "missing.sql"], "cannot read `missing.sql`"),
        (["--nonsense"], "--nonsense"),
        (["--rate", "fast", "SELECT 1"], "--rate"),
        (["--time-zone", "Mars/Olympus", "SELECT 1"], "there is no time zone `Mars/Olympus`"),
        (["SET time_zone = 'Europe/Brelin'; SELECT 1"], "did you mean `Europe/Berlin`?"),
        (["--dialect", "oracle", "SELECT 1"], "known are corelane, flink"),
        (["--cores", "4000-4001", "SELECT * FROM 'plain.csv'"], "not allowed here; allowed are"),
        (["-o", "nowhere/x.csv", "SELECT * FROM 'plain.csv'"], "there is no directory"),
        (["--format", "parquet", "SELECT * FROM 'plain.csv'"], "parquet"),
        (["--input", "m=missing.csv", "SELECT * FROM m"], "there is no file"),
        ([], ""),
        (["gen", "nothing", "-o", "x"], "nothing"),
        (["schema", "missing.csv"], "cannot open `missing.csv`"),
        (["latency", "plain.csv"], "line 1"),
        (["-o", "plain.csv", "SELECT * FROM 'plain.csv'"], "is read and would be replaced"),
        (["-o", "linked.csv", "SELECT * FROM 'plain.csv'"], "is read and would be replaced"),
        (["-o", "parts/", "--format", "csv", "SELECT * FROM 'parts/*.csv'"], "is read and would be replaced"),
        ([SINK.format("") + "INSERT INTO s SELECT * FROM 'plain.csv'; INSERT INTO s SELECT * FROM 'plain.csv'"], "two queries write"),
        ([SINK.format(", 'delimiter' = '|'") + "INSERT INTO s SELECT * FROM 'plain.csv'"], "not supported for writing"),
        ([SINK.format(", 'delimitre' = '|'") + "INSERT INTO s SELECT * FROM 'plain.csv'"], "delimitre"),
        (["SELECT window_start, MAX(window_end) FROM TUMBLE(t, ts, INTERVAL '1' MINUTE) GROUP BY window_start"], ""),
    ]:
        run(arguments, status=2, out="", err=err)
    if os.geteuid() != 0:
        pathlib.Path("locked.csv").write_text("a\n1\n")
        os.chmod("locked.csv", 0)
        run(["SELECT * FROM 'locked.csv'"], status=2, out="", err="cannot open `locked.csv`")


def failures():
    numbers = NUMBERS.format("bad_number.csv") + "SELECT a FROM t"
    run([numbers], status=1, err="bad_number.csv:3: column `a` (INT): 'x' is not a whole number", runs=EVERYWHERE)
    run(["SELECT * FROM 'ragged.csv'"], status=1, err="ragged.csv:3: the row has 1 fields instead of 2", runs=EVERYWHERE)
    run(["--max-errors", "0", numbers], status=3, err="bad_number.csv:3")
    run(["--max-errors", "10%", numbers], status=3, err="bad rows: 1 of 3, more than --max-errors 10%")
    skipping = numbers.replace("'format' = 'csv'", "'format' = 'csv', 'on-error' = 'skip'")
    run(["--format", "csv", skipping], out="a\n1\n5\n", err="1 bad", runs=EVERYWHERE)
    failing = numbers.replace("'format' = 'csv'", "'format' = 'csv', 'on-error' = 'fail'")
    run(["--on-error", "skip", failing], status=1, err="bad_number.csv:3")
    aside()
    run(["SELECT a / (a - 2) FROM 'plain.csv'"], status=1, err="is divided by zero", runs=EVERYWHERE)
    run(["SELECT a FROM 'plain.csv' WHERE 1 / (a - 2) > 0"], status=1, err="is divided by zero", runs=EVERYWHERE)
    run(["--stats-json", "nowhere/s.json", "SELECT a FROM 'plain.csv'"], status=1, err="cannot write `nowhere/s.json`")
    if os.path.exists("/dev/full"):
        run(["--quiet", "-o", "/dev/full", "--format", "csv", "SELECT * FROM 'long.csv'"], status=1, err="cannot write")


def aside():
    """Rows that are left out and kept."""
    numbers = NUMBERS.format("bad_number.csv") + "SELECT a FROM t"
    bad = '{"kind":"bad","table":"t","file":"bad_number.csv","line":3,"offset":8,"column":"a","reason":"is not a whole number","raw":"x,4"}\n'
    rejecting = numbers.replace("'format' = 'csv'", "'format' = 'csv', 'on-error' = 'reject'")
    for flags, sql in ((["--on-error", "reject"], numbers), ([], rejecting)):
        for more in EVERYWHERE:
            run(["--format", "csv", *flags, "--reject", "bad.ndjson", *more, sql], out="a\n1\n5\n", err="1 bad rows are in bad.ndjson")
            holds("bad.ndjson", bad)
    run(["--on-error", "reject", "--reject", "bad.ndjson", "--max-errors", "0", numbers], status=3, err="bad_number.csv:3")
    holds("bad.ndjson", bad)
    late = TIMES.format("late.csv")
    late_row = (
        '{"kind":"late","table":"t","file":"late.csv","line":4,"offset":12,"time":"1970-01-01 00:00:00.500000",'
        '"watermark":"1970-01-01 00:00:04.000000","late_us":3500000,"raw":"500"}\n'
    )
    for more in EVERYWHERE:
        run(["--format", "csv", "--late", "side", "--late-file", "late.ndjson", *more, late], out="COUNT(*)\n1\n2\n", err="1 late rows are in late.ndjson")
        holds("late.ndjson", late_row)
    run(["--on-error", "reject", numbers], status=2, err="add --reject FILE")
    run(["--late", "side", late], status=2, err="add --late-file FILE")
    run(["--on-error", "reject", "--reject", "plain.csv", "SELECT * FROM 'plain.csv'"], status=2, err="is read and would be replaced")


def tree(root):
    """Every file below `root`, with its rows."""
    return {str(path.relative_to(root)): path.read_text().splitlines() for path in sorted(pathlib.Path(root).rglob("*")) if path.is_file()}


def changes():
    """Results in changes, in every form."""
    csv = ("--quiet", "--format", "csv")
    groups = "(SELECT b, COUNT(*) AS n FROM 'plain.csv' GROUP BY b)"
    run([*csv, f"SELECT COUNT(*) AS c, SUM(n) AS s FROM {groups} EMIT CHANGELOG"], out="op,c,s\n+I,3,3\n", runs=EVERYWHERE)
    run([*csv, f"SELECT MAX(b) AS m FROM {groups} EMIT CHANGES"], out="m\nz\n", runs=EVERYWHERE)
    run([*csv, "SELECT a, b FROM 'plain.csv' QUALIFY ROW_NUMBER() OVER (ORDER BY a DESC) = 1 EMIT CHANGELOG"], out="op,a,b\n+I,3,z\n", runs=EVERYWHERE)
    run([*csv, "SELECT p.a, q.b FROM 'plain.csv' p LEFT JOIN 'header.csv' q ON p.b = q.b WHERE p.a = 2 EMIT CHANGELOG"], out="op,a,b\n+I,2,\n", runs=EVERYWHERE)
    sink = "CREATE TABLE o (m STRING, c BIGINT, PRIMARY KEY (m) NOT ENFORCED) WITH ('path' = '-', {}); INSERT INTO o SELECT MAX(b), COUNT(*) FROM " + groups
    run(["--quiet", sink.format("'format' = 'csv', 'changelog' = 'upsert'")], out="op,m,c\n+U,z,3\n", runs=EVERYWHERE)
    object_ = '{"before":null,"after":{"m":"z","c":3},"op":"c"}\n'
    run(["--quiet", sink.format("'format' = 'debezium-json'")], out=object_, runs=EVERYWHERE)
    run(["--quiet", sink.format("'format' = 'ndjson', 'changelog' = 'debezium'")], out=object_)
    run([sink.format("'format' = 'csv', 'changelog' = 'debezium'")], status=2, err="is written as JSON objects")
    run([sink.format("'format' = 'csv', 'changelog' = 'updates'")], status=2, err="there is no changelog `updates`")
    run([sink.format("'format' = 'csv', 'changelog' = 'op'") + " EMIT FINAL"], status=2, err="EMIT FINAL gives no changes")
    keyless = sink.replace(", PRIMARY KEY (m) NOT ENFORCED", "").replace("MAX(b), COUNT(*) FROM ", "b, n FROM 'plain.csv' JOIN ") + " USING (b)"
    run([keyless.format("'format' = 'csv', 'changelog' = 'upsert'")], status=2, err="'upsert' needs a key")
    run([f"SELECT LAST_VALUE(n) FROM {groups} EMIT CHANGES"], status=2, err="depends on the order of its rows")
    run(["SELECT /*+ STATE_TTL('x' = '1h') */ p.a FROM 'plain.csv' p JOIN 'header.csv' q ON p.b = q.b EMIT CHANGES"], status=2, err="STATE_TTL names `x`")
    run(["SELECT /*+ BROADCAST('p') */ p.a FROM 'plain.csv' p"], status=2, err="there is no hint `BROADCAST`")
    run([*csv, "SELECT p.b FROM 'plain.csv' p JOIN 'plain.csv' q ON p.a = q.a WHERE p.a = 1 EMIT CHANGES"], out="b\nx\n", runs=EVERYWHERE)


def folders():
    """Tables that are written to folders named by values."""
    values = ["2026-01-01", "../../up", "/abs", "..", "", "a b", "ä", None]
    rows = [(number, values[number % len(values)]) for number in range(4000)]
    text = "n,d\n" + "".join(f"{n},{'' if d is None else chr(34) + d + chr(34)}\n" for n, d in rows)
    pathlib.Path("folders.csv").write_text(text)
    names = {"2026-01-01": "d=2026-01-01", "../../up": "d=..%2F..%2Fup", "/abs": "d=%2Fabs", "..": "d=..", "": "d=", "a b": "d=a%20b", "ä": "d=%C3%A4", None: "d=__HIVE_DEFAULT_PARTITION__"}
    script = (
        "CREATE TABLE f (n INT, d STRING) WITH ('path' = 'folders.csv', 'split' = 'auto'); "
        "CREATE TABLE o (n INT, d STRING) PARTITIONED BY (d) WITH ('connector' = 'filesystem', 'path' = '{}/', 'format' = 'csv'{}); INSERT INTO o SELECT n, d FROM f"
    )
    for number, (options, more) in enumerate(
        [("", ()), (", 'open.files' = '2'", ("--shards", "1")), (", 'roll.rows' = '100'", ("--shards", "3", "--executor", "threads")), (", 'roll.bytes' = '1k'", ())]
    ):
        root = f"folders{number}"
        run(["--quiet", *more, script.format(root, options)], out="")
        found = tree(root)
        got = sorted((int(line), name.split("/")[0]) for name, lines in found.items() for line in lines[1:])
        if got != sorted((n, names[d]) for n, d in rows):
            failed.append(f"{root} has other rows")
        if any(lines[0] != "n" or not name.split("/")[1].startswith("part-") for name, lines in found.items()):
            failed.append(f"{root} has {sorted(found)[:5]}")
        if "roll.rows" in options and max(map(len, found.values())) > 101:
            failed.append(f"{root}: a file has more than 100 rows")
    run(["--quiet", script.format("folders0", "")], status=2, err="`folders0/` is not empty")
    run(["--quiet", script.format("other", ", 'roll.rows' = '0'")], status=2, err="'roll.rows' cannot be '0'")
    run(["--quiet", script.replace("PARTITIONED BY (d)", "PARTITIONED BY (e)").format("other", "")], status=2, err="column `e` not found")
    run(["--quiet", script.replace("PARTITIONED BY (d)", "PARTITIONED BY (d, n)").format("other", "")], status=2, err="leaves no column")
    run(["--quiet", "CREATE TABLE f (n INT, d STRING) PARTITIONED BY (d) WITH ('path' = 'folders.csv'); SELECT n FROM f"], status=2, err="reading partitioned directories is not supported")
    wide = "CREATE TABLE o (n INT, d STRING) PARTITIONED BY (d) WITH ('path' = 'wide/', 'format' = 'csv'); INSERT INTO o SELECT a, REPEAT('x', 300) FROM 'plain.csv'"
    run(["--quiet", wide], status=1, err="has a name of 302 bytes")
    if tree("wide") != {} or pathlib.Path("up").exists() or pathlib.Path("../up").exists():
        failed.append("something was written outside")


def rss(arguments, status, err, most_mb):
    """One case whose memory is measured (or this process's, if that is more)."""
    global count
    count += 1
    process = subprocess.Popen([corelane, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    talk = process.stderr.read().decode()
    _, ended, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(ended)
    if process.returncode != status or err not in talk or "panicked" in talk:
        failed.append(f"{arguments}: status {process.returncode}, {talk}")
    if usage.ru_maxrss > most_mb << 10:
        failed.append(f"{arguments}: {usage.ru_maxrss >> 10} MiB of memory, more than {most_mb}")


def limits():
    """Bombs, and what a run may hold."""
    two = ("--shards", "2", "--executor", "threads")
    with open("line.csv", "wb") as bomb:
        bomb.truncate(1 << 30)
    with open("line2.csv", "wb") as bomb:
        bomb.write(b"a,b\n1,x\n")
        bomb.truncate(1 << 30)
    with open("field.csv", "wb") as bomb:
        bomb.write(b'a,b\n1,"')
        bomb.seek(256 << 20)
        bomb.write(b'"\n2,y\n')
    table = "CREATE TABLE t (a INT, b STRING) WITH ('path' = '{}', 'format' = 'csv'); SELECT a, b FROM t"
    for file in ("line.csv", "line2.csv", "field.csv"):
        rss([*two, table.format(file)], 2 if file == "line.csv" else 1, "raise the limit with --line-limit", 256)
    for file in ("line.csv", "line2.csv", "field.csv"):
        os.remove(file)
    run(["--line-limit", "2g", "SELECT 1"], status=2, err="--line-limit")
    pathlib.Path("wide.csv").write_text(",".join(f"c{number}" for number in range(50)) + "\n")
    run(["--column-limit", "49", "SELECT COUNT(*) FROM 'wide.csv'"], status=2, err="--column-limit allows more")
    groups = "SELECT a, COUNT(*) AS n FROM 'long.csv' GROUP BY a"
    run([*two, "--memory", "40m", groups, "-o", "/dev/null"], status=1, err="more than --memory 42 MB")
    talk = subprocess.run([corelane, *two, "--memory", "40m", groups, "-o", "/dev/null"], capture_output=True, text=True).stderr
    peak = float(re.search(r"([0-9.]+) MB at most", talk)[1])
    if "aggregate" not in talk or peak > 100:
        failed.append(f"--memory 40m: {talk}")
    run([*two, "--memory", "40m", "-o", "/dev/null", "SELECT a FROM 'long.csv' ORDER BY a DESC"], status=1, err="sort")
    run([*two, "--quiet", "--memory", "2g", "--format", "csv", "SELECT COUNT(*) AS n FROM (" + groups + ")"], out="n\n2000000\n")
    began = time.monotonic()
    for sql in ("SELECT " + "(" * 1_000_000 + "1", "SELECT a FROM 'plain.csv' WHERE " + "a = 1 OR " * 50_000 + "a = 1", "SELECT " + "CASE WHEN a = 1 THEN " * 20_000 + "1" + " END" * 20_000 + " FROM 'plain.csv'"):
        run(["-f", "-"], stdin=sql, status=2, err="limit: ", name=sql[:40])
    run(["SELECT repeat('x', 1000000000) FROM 'plain.csv'"], status=1, err="too long")
    if time.monotonic() - began > 20:
        failed.append(f"hostile SQL took {time.monotonic() - began:.0f} s")


def holds(file, text):
    found = pathlib.Path(file).read_text()
    if found != text:
        failed.append(f"{file} holds {found!r}")


def machines():
    csv = ("--format", "csv", "SELECT COUNT(*) AS n FROM 'long.csv'")
    run(csv, out="n\n2000000\n", err="io_uring is blocked", env={"CORELANE_FORCE_NO_IO_URING": "1"})
    run(["--executor", "glommio", *csv], status=2, err="io_uring is blocked", env={"CORELANE_FORCE_NO_IO_URING": "1"})
    one = str(min(os.sched_getaffinity(0)))
    run(csv, out="n\n2000000\n", before=("taskset", "-c", one))
    run(["cores"], err="")
    run(["explain", "-f", "q.sql"], err="")
    run(["check", "-f", "q.sql"], out="")


def streams():
    """A run that waits for a pipe ends at the first signal, and passes on what has come."""
    global count
    for executor in ("threads", "auto"):
        count += 1
        process = subprocess.Popen(
            [corelane, "--quiet", "--executor", executor, "--input", "t=-", "--format", "csv",
             "CREATE TABLE t (a INT, b STRING); SELECT a FROM t"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        process.stdin.write(b"a,b\n1,x\n")
        process.stdin.flush()
        first = process.stdout.readline() + process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            status = "still running"
        if (first, status) != (b"a\n1\n", 143):
            failed.append(f"a pipe on {executor}: {first!r}, status {status}")
    if os.path.exists("/dev/full"):
        for arguments, expected in ((["--format", "csv", "SELECT a FROM 'plain.csv'"], 0), (["SELECT * FROM 'nope.csv'"], 2)):
            count += 1
            with open("/dev/full", "w") as full:
                done = subprocess.run([corelane, *arguments], stdout=subprocess.DEVNULL, stderr=full)
            if done.returncode != expected:
                failed.append(f"{arguments} with a full standard error: status {done.returncode}")


def readers_that_go_away():
    """A closed pipe ends the run with status 0."""
    global count
    count += 1
    process = subprocess.Popen(
        [corelane, "--format", "csv", "SELECT a FROM 'long.csv'"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    first = process.stdout.readline()
    process.stdout.close()
    talk = process.stderr.read().decode()
    status = process.wait(60)
    if (first, status) != (b"a\n", 0) or "panicked" in talk or "rror" in talk:
        failed.append(f"reader that goes away: {first!r}, status {status}, {talk}")


def signals():
    """A signal stops cleanly: 130 and 143, with the report."""
    global count
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        shutil.rmtree("k3", ignore_errors=True)
        pathlib.Path("steps-out.csv").unlink(missing_ok=True)
        for executor in ("threads", "auto"):
            count += 1
            process = subprocess.Popen(
                [corelane, "--executor", executor, "--rate", "10/s", PACED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "CORELANE_PROGRESS": "always"}
            )
            process.stderr.read(1)  # the progress line: it runs
            process.send_signal(number)
            try:
                _, talk = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                failed.append(f"{number!r} on {executor}: does not end")
                continue
            if process.returncode != status or b"rows " not in talk or b"panicked" in talk:
                failed.append(f"{number!r} on {executor}: status {process.returncode}, {talk.decode()}")


def statements():
    """Statements around the query."""
    csv = ("--quiet", "--format", "csv")
    made = "AS SELECT a, b FROM 'plain.csv' WHERE a > 1"
    run([*csv, f"CREATE MATERIALIZED VIEW v {made}; DESCRIBE v; SHOW VIEWS; SELECT b FROM v"], out="a  INT\nb  STRING\nv\nb\ny\nz\n")
    run(["SHOW TABLES"], out="")
    run([*csv, f"CREATE TABLE made WITH ('path' = 'made.csv') {made}; SELECT COUNT(*) AS n FROM made"], out="n\n2\n")
    run([*csv, f"CREATE SINK k {made} WITH (path = 'made.json') FORMAT PLAIN ENCODE JSON"], out="")
    run([*csv, "SET dialect = 'flink'; DROP TABLE IF EXISTS x; SELECT a FROM 'plain.csv' LIMIT 1"], out="a\n1\n")
    run([f"CREATE TABLE s (a INT, b STRING) WITH ('path' = 'set.ndjson', 'format' = 'ndjson'); BEGIN STATEMENT SET; "
         "INSERT INTO s SELECT a, b FROM 'plain.csv'; END"], out="")
    for file, text in [
        ("made.csv", "a,b\n2,y\n3,z\n"),
        ("made.json", '[\n{"a":2,"b":"y"},\n{"a":3,"b":"z"}\n]\n'),
        ("set.ndjson", '{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n{"a":3,"b":"z"}\n'),
    ]:
        found = pathlib.Path(file).read_text()
        if found != text:
            failed.append(f"{file} holds {found!r}")
    run(["CREATE TABLE t (a INT) WITH ('connector' = 'kafka'); SELECT a FROM t"], status=2, err="Kafka is not built in")
    run(["CREATE TABLE t (a INT) WITH ('topic' = 't'); SELECT a FROM t"], status=2, err="Kafka is not built in")
    run(["SET parallelism = 4; SELECT a FROM 'plain.csv'"], status=2, err="there is no setting")


def files():
    """The files that a run writes."""
    global count
    count += 1
    subprocess.run([corelane, "gen", "market_data", "--rows", "20000", "--shards", "2", "-o", "market"], check=True, capture_output=True)
    select = (
        "CREATE TABLE m (trade_time BIGINT, symbol STRING, price DECIMAL(10,2), ts AS TO_TIMESTAMP_LTZ(trade_time, 3), "
        "WATERMARK FOR ts AS ts - INTERVAL '2' SECOND); SELECT symbol, window_start, COUNT(*) AS n, SUM(price) AS p "
        "FROM TUMBLE(m, ts, INTERVAL '1' SECOND) GROUP BY symbol, window_start, window_end"
    )
    common = ["--quiet", "--input", "m=market/shard*.csv"]
    run([*common, "-o", "one.csv", select])
    run([*common, "-o", "many/", "--format", "csv", select])
    whole = sorted(pathlib.Path("one.csv").read_text().splitlines()[1:])
    parts = sorted(row for part in pathlib.Path("many").iterdir() for row in part.read_text().splitlines()[1:])
    if whole != parts or len(whole) < 100:
        failed.append(f"-o FILE has {len(whole)} rows, -o DIR/ {len(parts)}")
    run([*common, "-o", "x.ndjson", "--rate", "100k/s", "--stats-json", "s.json", "--latency-json", "l.json",
         "--latency-hlog", "l.hlog", "--latency-hgrm", "l.hgrm", select])
    stats = json.loads(pathlib.Path("s.json").read_text())
    source = stats["sources"][0]
    if source["rows"] != source["bad"] + source["filtered"] + source["late"] + source["delivered"] or source["rows"] != 20000:
        failed.append(f"the row equation: {source}")
    for key in ("format", "version", "sql", "cores", "seconds", "sources", "jobs", "shards", "totals", "latency"):
        if key not in stats:
            failed.append(f"--stats-json lacks {key}")
    for clock in ("engine", "window_close", "scheduled"):
        for figure in ("count", "min", "mean", "p50", "p90", "p99", "p99_9", "p99_99", "max"):
            if figure not in stats["latency"][clock]:
                failed.append(f"--stats-json lacks latency.{clock}.{figure}")
    run(["latency", "l.hlog"], err="")
    if "inf" not in pathlib.Path("l.hgrm").read_text() or json.loads(pathlib.Path("l.json").read_text()) == {}:
        failed.append("no latencies in .hgrm or json")
    run([*common, "-o", "json/", "--format", "json", "--shards", "2", select])
    for part in pathlib.Path("json").iterdir():
        rows_in_json = json.loads(part.read_text())
        if not isinstance(rows_in_json, list):
            failed.append(f"{part} is no array")
    ddl = subprocess.run([corelane, "schema", "market/shard0.csv"], capture_output=True, text=True).stdout
    run(["--quiet", "--format", "csv", ddl + "SELECT COUNT(*) AS n FROM shard0"], out="n\n10000\n")


def checkpoints():
    """Begun, refused, stopped, gone on with, and to the same bytes."""
    query = TIMES.format("steps.csv")
    pathlib.Path("steps.csv").write_text("a\n" + "".join(f"{number * 10}\n" for number in range(100_000)))
    kept = lambda name, *more: ["--quiet", "--format", "csv", "--checkpoint", name, *more]
    run(kept("k1", "SELECT a FROM '-'"), status=2, err="cannot be read again", stdin="a\n1\n")
    run(["--checkpoint-every", "5", query], status=2, err="has no unit")
    run(["--checkpoint-every", "5s", query], status=2, err="no place for checkpoints")
    run(["--from-scratch", query], status=2, err="begins a run with checkpoints again")
    run(["--resume", "k1", query], status=2, err="k1")
    run(["--checkpoint", "k1", "-o", "steps.txt", "--format", "table", query], status=2, err="a table for people")
    pathlib.Path("mine.csv").write_text("mine\n")
    run(kept("k1", "-o", "mine.csv", query), status=2, err="not made by this job")
    if pathlib.Path("mine.csv").read_text() != "mine\n" or pathlib.Path("k1").exists():
        failed.append("a refused run has touched something")
    run(["--quiet", "--format", "csv", "-o", "undisturbed.csv", query])
    expected = pathlib.Path("undisturbed.csv").read_bytes()

    def same(name, file="steps-out.csv"):
        if pathlib.Path(file).read_bytes() != expected:
            failed.append(f"checkpoints: {name}: the output is not that of an undisturbed run")

    output = ["-o", "steps-out.csv"]
    run(kept("k2", *output, query))
    same("to the end")
    run(["--resume", "k2", "--format", "csv", *output, query], err="nothing to do")
    run(kept("k2", *output, query), status=2, err="steps-out.csv")
    run(kept("k2", "--from-scratch", *output, query))
    same("from scratch")
    run(["--format", "csv", "--resume", "k2", *output, query.replace("COUNT(*)", "SUM(a)")], status=2, err="then: plan")
    run(["--format", "csv", "--resume", "k2", *output, "--shards", "5", query], err="nothing to do")
    run(["--format", "csv", "--resume", "k2", *output, "--rate", "1k/s", query], status=2, err="then: --rate not given")
    pathlib.Path("steps-out.csv").unlink()
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        shutil.rmtree("k3", ignore_errors=True)
        pathlib.Path("steps-out.csv").unlink(missing_ok=True)
        paced = [corelane, *kept("k3", "--from-scratch", "--checkpoint-every", "1000rows", "--rate", "20k/s"), *output, query]
        process = subprocess.Popen(paced, stderr=subprocess.PIPE)
        while process.poll() is None and not pathlib.Path("k3/1/MANIFEST").exists():
            pass
        run(["--format", "csv", "--resume", "k3", *output, query], status=2, err="another process")
        process.send_signal(number)
        said = process.communicate()[1].decode()
        if process.returncode != status:
            failed.append(f"checkpoints: status {process.returncode} after signal {number}: {said}")
        length = int(pathlib.Path("steps-out.csv.committed").read_text())
        if pathlib.Path("steps-out.csv").read_bytes()[:length] != expected[:length]:
            failed.append("checkpoints: what is committed after a signal is not right")
        run(["--format", "csv", "--resume", "k3", "--rate", "100M/s", *output, query], err="going on from checkpoint")
        same(f"signal {number}")


def folders_kept():
    """Folders named by rows, under checkpoints: signals, errors, links, beginning again."""
    pathlib.Path("kept-in.csv").write_text("n,d\n" + "".join(f"{number},{number % 5}\n" for number in range(20_000)))
    script = (
        "CREATE TABLE f (n INT, d INT) WITH ('path' = 'kept-in.csv', 'format' = 'csv'); "
        "CREATE TABLE o (n INT, d INT) PARTITIONED BY (d) WITH ('path' = '{}/', 'format' = 'csv', 'roll.rows' = '700'); INSERT INTO o SELECT n, d FROM f{}"
    )
    plain = lambda root, more="": script.format(root, more)
    run(["--quiet", plain("kept-plain")], out="")
    expected = tree("kept-plain")
    hidden = lambda root: [name for name in tree(root) if "/." in name]
    every = ["--quiet", "--shards", "1", "--checkpoint-every", "1000rows"]
    run([*every, "--checkpoint", "kf1", plain("kept1")], out="")
    if tree("kept1") != expected:
        failed.append(f"folders_kept: other files: {sorted(tree('kept1'))[:5]}")
    run([*every, "--checkpoint", "kf1", plain("kept1")], status=2, err="is not empty")
    pathlib.Path("kept1/theirs").write_text("x")
    run([*every, "--checkpoint", "kf1", "--from-scratch", plain("kept1")], status=2, err="is not empty")
    if list(tree("kept1")) != ["theirs"]:
        failed.append(f"folders_kept: --from-scratch left {sorted(tree('kept1'))[:5]}")
    # A signal leaves what is not whole under temporary names, and the next run goes on with it.
    for number, status in [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]:
        root, kept = f"kept-{status}", f"kf{status}"
        command = [corelane, *every, "--rate", "20k/s", "--checkpoint", kept, plain(root)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and len(tree(root)) < 8:
            pass
        process.send_signal(number)
        said = process.communicate()[1].decode()
        if process.returncode != status:
            failed.append(f"folders_kept: status {process.returncode} after signal {number}: {said}")
        found = tree(root)
        # On a busy machine the run may have come to its end before.
        if not (hidden(root) or found == expected) or any(expected.get(name) != lines for name, lines in found.items() if "/." not in name):
            failed.append(f"folders_kept: after signal {number} there is {sorted(found)[:9]}")
        run(["--quiet", "--resume", kept, "--rate", "100M/s", plain(root)], out="")
        if tree(root) != expected:
            failed.append(f"folders_kept: after signal {number} other files came of it")
    # An error names nothing that is not committed.
    run([*every, "--checkpoint", "kf5", plain("kept5", " WHERE 10 / (n - 15000) < 100")], status=1, err="divided by zero")
    if any(lines != expected.get(name) for name, lines in tree("kept5").items() if "/." not in name):
        failed.append("folders_kept: an error has left a file that is not whole")
    # A folder that became a link is not followed.
    pathlib.Path("elsewhere").mkdir()
    run([*every, "--rate", "10k/s", "--checkpoint", "kf6", plain("kept6")], status=-6, env={"CORELANE_FAULT": "epoch.after-call:3"})
    for path in pathlib.Path("kept6").glob("d=3"):
        path.rename("moved-away")
        path.symlink_to("../elsewhere")
    run(["--quiet", "--resume", "kf6", "--rate", "100M/s", plain("kept6")], status=2, err="not followed")
    if tree("elsewhere"):
        failed.append("folders_kept: something was written behind a link")


LONG = "a\n" + "".join(f"{number}\n" for number in range(1, 2_000_001))

with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for file, text in FILES.items():
        pathlib.Path(file).write_bytes(text.encode())
    pathlib.Path("long.csv").write_text(LONG)
    os.symlink("plain.csv", "linked.csv")
    pathlib.Path("parts").mkdir()
    pathlib.Path("parts/part-0.csv").write_text(FILES["plain.csv"])
    for part in (rows, changes, statements, refusals, failures, machines, readers_that_go_away, signals, streams, files, checkpoints, folders, folders_kept, limits):
        part()
    os.chdir("/")
for failure in failed:
    print("FAILED", failure)
print(f"{count} runs, {len(failed)} problems")
sys.exit(1 if failed else 0)
