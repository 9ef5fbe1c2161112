"""Kills corelane at random, resumes it until it is done, and compares its outputs byte for byte.

    torture.py CORELANE [--kills N] [--seed S] [--rows N] [--points] [--hits N] [--moves] [--keep DIR]

Every run begins with --checkpoint and goes on with --resume. A kill is either an abort at one of the places
that `io/src/fault.rs` lists, at a drawn visit, or SIGKILL after a drawn part of the time that the whole run
takes. With --points every place is walked as well, at its first visits (--hits, 1 by default): a place that
no run comes to is an error. With --moves every run goes on on another number of shards each time, 2, 4, 2, ..
or 1, 3, 1, .., and must write the same rows. The report says what was done with which seed; status 1 if anything was wrong.
"""

import argparse
import collections
import json
import os
import pathlib
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOP = """
SELECT trader_id, symbol, window_start, COUNT(*) AS trades, SUM(quantity) AS volume, MAX(price) AS top
FROM HOP(market_data, ts, INTERVAL '20' SECOND, INTERVAL '1' MINUTE)
GROUP BY trader_id, symbol, window_start, window_end;
"""
SESSION = """
SELECT trader_id, window_start, window_end, COUNT(*) AS trades, SUM(quantity) AS volume
FROM SESSION(market_data, ts, INTERVAL '4' SECOND)
GROUP BY trader_id, window_start, window_end;
"""
CUMULATE = """
SELECT symbol, window_start, window_end, COUNT(*) AS trades, MAX(price) AS top
FROM CUMULATE(market_data, ts, INTERVAL '10' SECOND, INTERVAL '1' MINUTE)
GROUP BY symbol, window_start, window_end;
"""
RANGE = """
SELECT ts, trader_id, price, COUNT(*) OVER w AS trades, MAX(price) OVER w AS top,
       LEAD(price) OVER (PARTITION BY trader_id ORDER BY ts) AS following
FROM market_data
WINDOW w AS (PARTITION BY trader_id ORDER BY ts RANGE BETWEEN INTERVAL '30' SECOND PRECEDING AND CURRENT ROW);
"""
INTERVAL_JOIN = """
SELECT a.ts, a.trader_id, a.symbol, b.ts AS other_ts, b.quantity
FROM market_data a LEFT JOIN market_data b
  ON a.trader_id = b.trader_id AND a.symbol = b.symbol
 AND b.ts BETWEEN a.ts - INTERVAL '1' SECOND AND a.ts + INTERVAL '2' SECOND AND b.quantity > a.quantity;
"""
JOIN = """
SELECT a.ts, a.trader_id, m.top
FROM market_data a JOIN (SELECT symbol, MAX(price) AS top FROM market_data GROUP BY symbol) m
  ON a.symbol = m.symbol WHERE a.price >= m.top * 0.99;
"""
FOLDERS = """
CREATE TABLE o (symbol STRING, window_start TIMESTAMP_LTZ(3), trader_id STRING, trades BIGINT, volume BIGINT)
  PARTITIONED BY (symbol) WITH ('path' = '{out}', 'format' = 'csv', 'roll.rows' = '20', 'open.files' = '6');
INSERT INTO o SELECT symbol, window_start, trader_id, COUNT(*), SUM(quantity)
FROM TUMBLE(market_data, ts, INTERVAL '20' SECOND) GROUP BY trader_id, symbol, window_start, window_end;
"""
FOLDERS_OF_ROWS = """
CREATE TABLE o (trade_time BIGINT, trader_id STRING, quantity INT)
  PARTITIONED BY (trader_id) WITH ('path' = '{out}', 'format' = 'ndjson', 'roll.bytes' = '4k');
INSERT INTO o SELECT trade_time, trader_id, quantity FROM market_data WHERE quantity < 400;
"""
HANG_SECONDS = 120
PACED_SECONDS = 0.1


def cases():
    """Name, script, table, flags, format, and whether the output is a file or a directory."""
    case = lambda name: (ROOT / "bench" / "cases" / f"{name}.sql").read_text()
    table = case("S3a")[: case("S3a").index("SELECT")]
    return [
        ("S0w", case("S0w"), "orders", [], "csv", False),
        ("S0w parts", case("S0w"), "orders", [], "csv", True),
        ("S1", case("S1"), "market_data", [], "csv", False),
        ("S2", case("S2"), "market_data", [], "ndjson", False),
        ("S3a", case("S3a"), "market_data", [], "json", False),
        ("S3a parts", case("S3a"), "market_data", [], "json", True),
        ("S3b ordered", case("S3b"), "market_data", ["--ordered"], "csv", False),
        ("HOP", table + HOP, "market_data", [], "csv", False),
        ("SESSION", table + SESSION, "market_data", [], "csv", False),
        ("CUMULATE", table + CUMULATE, "market_data", [], "ndjson", False),
        ("RANGE", table + RANGE, "market_data", [], "csv", False),
        ("INTERVAL JOIN", table + INTERVAL_JOIN, "market_data", [], "csv", False),
        ("JOIN", table + JOIN, "market_data", [], "csv", False),
        ("FOLDERS", table + FOLDERS, "market_data", [], "csv", True),
        ("FOLDERS of rows", table + FOLDERS_OF_ROWS, "market_data", [], "ndjson", True),
    ]


def in_folders(case):
    """Whether its files take their names when they are whole, in folders that rows name."""
    return case[0].startswith("FOLDERS")


class Torture:
    def __init__(self, corelane, folder, arguments):
        self.corelane, self.folder, self.arguments = str(pathlib.Path(corelane).resolve()), folder, arguments
        self.random = random.Random(arguments.seed)
        text = (ROOT / "io" / "src" / "fault.rs").read_text()
        table = text[text.index("POINTS: &[&str] = &[") : text.index("];")]
        self.points = re.findall(r'"([a-z.-]+)"', table)
        self.wrong, self.visited = [], collections.Counter()
        self.kills = collections.Counter()
        self.resumes, self.walked = [], {}
        self.expected, self.seconds = {}, {}
        self.inputs = pathlib.Path(tempfile.mkdtemp())
        for name, generator in [("orders", "orders"), ("market_data", "market_data")]:
            where = self.inputs / name
            where.mkdir()
            flags = ["--rows", str(arguments.rows), "--shards", "3", "--seed", "1", "-o", str(where)]
            subprocess.run([self.corelane, "gen", generator, *flags], check=True, stdout=subprocess.DEVNULL)

    def command(self, case, shards, executor, where):
        name, script, table, flags, form, parts = case
        out = where / ("out" if parts else f"out.{form}")
        path = f"{out}/" if parts else str(out)
        given = ["--input", f"{table}={self.inputs / table}/*.csv"]
        if in_folders(case):
            script = script.replace("{out}", path)
        else:
            given += ["--format", form, "-o", path]
        (self.folder / f"{name}.sql").write_text(script)
        return [self.corelane, "-f", str(self.folder / f"{name}.sql"), *given, *flags, "--shards", str(shards), "--executor", executor, "--quiet"]

    def output(self, where):
        files = [p for p in where.rglob("out*") if p.is_file()] + [p for p in where.rglob("*part-*") if p.is_file()]
        return {str(p.relative_to(where)): p.read_bytes() for p in files if not p.name.endswith(".committed")}

    def reference(self, case, shards, executor):
        key = (case[0], shards)
        if key not in self.expected:
            where = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
            began = time.monotonic()
            subprocess.run(self.command(case, shards, executor, where), check=True, stdout=subprocess.DEVNULL)
            self.seconds[key] = time.monotonic() - began
            self.expected[key] = self.output(where)
            assert any(self.expected[key].values()), f"{key} writes nothing"
            shutil.rmtree(where)
        return self.expected[key], self.seconds[key]

    def start(self, command, fault=None, after=None):
        """One run; returns its status (None: it hung) and what it said."""
        environment = {**os.environ, **({"CORELANE_FAULT": fault} if fault else {})}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        try:
            said = process.communicate(timeout=after if after is not None else HANG_SECONDS)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[1]
            if after is None:
                return None, said.decode(errors="replace")
        return process.returncode, said.decode(errors="replace")

    @staticmethod
    def rows(files):
        """The rows of all files together, in any order; an array's brackets and commas are none."""
        lines = [line.strip().rstrip(b",") for text in files.values() for line in text.splitlines()]
        return collections.Counter(line for line in lines if line not in (b"", b"[", b"]", b"[]"))

    def is_right(self, case, got, expected, moves):
        if not moves:
            return got == expected
        header = {line for text in expected.values() for line in text.splitlines()[:1] if case[4] == "csv"}
        got, expected = self.rows(got), self.rows(expected)
        for line in header:
            got.pop(line, None), expected.pop(line, None)
        return got == expected

    def one(self, case, shards, executor, faults, paced=False, moves=None):
        """A run that is killed as `faults` say, in turn, and goes on until it is done. A fault is a place with
        its visit, or a part of the whole time. A paced run has time for many checkpoints. Returns how many of
        the faults have killed. With `moves` each start takes the next of those numbers of shards."""
        expected, seconds = self.reference(case, shards, executor)
        seconds = PACED_SECONDS if paced else seconds
        where = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        base = self.command(case, shards, executor, where)
        base += ["--rate", f"{self.arguments.rows / PACED_SECONDS:.0f}/s"] if paced else []
        every = ["--checkpoint-every", f"{max(1, self.arguments.rows // 40)}rows"]
        begin, resume = [*base, "--checkpoint", str(where / "ck"), *every], [*base, "--resume", str(where / "ck")]
        label = f"{case[0]}, {moves or shards} shards, {executor}, {faults}"
        starts = 0
        killed, began, faults = 0, time.monotonic(), list(faults)
        while True:
            is_resumed = (where / "ck" / "JOB").exists()
            fault = faults.pop(0) if faults else None
            at = fault if isinstance(fault, str) else None
            after = fault * seconds * 2 if isinstance(fault, float) else None
            started = time.monotonic()
            command = resume if is_resumed else begin
            if moves:
                command = list(command)
                command[command.index("--shards") + 1] = str(moves[starts % len(moves)])
                starts += 1
            status, said = self.start(command, at, after)
            if status == 0:
                if is_resumed and not fault:
                    self.resumes.append(time.monotonic() - started)
                break
            if in_folders(case) and not moves:
                named = {name: text for name, text in self.output(where).items() if not name.split("/")[-1].startswith(".")}
                if any(expected.get(name) != text for name, text in named.items()):
                    self.wrong.append(f"{label}: a file has its name and is not whole")
            if status in (-signal.SIGABRT, -signal.SIGKILL) and fault:
                killed += 1
                self.kills["at a place" if at else "at a time"] += 1
                self.kills["while resuming"] += is_resumed
                if at:
                    self.visited[at.split(":")[0]] += 1
                continue
            what = "hung" if status is None else f"ended with status {status}"
            self.wrong.append(f"{label}: {what}: {said.strip()[-500:]}")
            return killed
        got = self.output(where)
        if in_folders(case):
            # What has a name must have been right at every kill, and unfinished files must be gone.
            hidden = [name for name in got if name.split("/")[-1].startswith(".")]
            if hidden:
                self.wrong.append(f"{label}: unfinished files are left: {hidden[:3]}")
        if not self.is_right(case, got, expected, moves):
            sizes = {name: (len(got.get(name, b"")), len(text)) for name, text in expected.items()}
            self.wrong.append(f"{label}: the output differs; bytes written and expected: {sizes}")
            if self.arguments.keep:
                shutil.copytree(where, pathlib.Path(self.arguments.keep) / where.name)
        status, said = self.start(resume)
        if status != 0 or self.output(where) != got:
            self.wrong.append(f"{label}: a resume of what is done: status {status}: {said.strip()[-300:]}")
        files = {} if in_folders(case) else got
        lengths = {f"{name}.committed": f"{len(text)}\n".encode() for name, text in files.items()}
        for name, text in lengths.items():
            if (where / name).read_bytes() != text:
                self.wrong.append(f"{label}: {name} does not say the whole length at the end")
        shutil.rmtree(where)
        return killed

    def walk(self):
        """Every place at its first visits, on a run that begins or else on one that goes on."""
        all_cases = cases()
        for number, point in enumerate(self.points):
            self.walked[point] = 0
            # Lengths are told of files that grow, and those are cut.
            grows = point.startswith(("output.", "length.", "writer.")) or point in ("resume.before-cut", "resume.after-cut")
            for hit in range(1, self.arguments.hits + 1):
                # A file that was just made is known to no epoch.
                before = "part.after-make:9" if "orphan" in point else "epoch.after-call:3"
                faults = [before] if point.startswith("resume.") else []
                faults.append(f"{point}:{hit}")
                cases_here = [case for case in all_cases if in_folders(case) or not ("part" in point or "orphan" in point)]
                cases_here = [case for case in cases_here if not (grows and in_folders(case))]
                for attempt in range(number, number + (8 if hit == 1 else 2)):
                    case = cases_here[attempt % len(cases_here)]
                    # A run whose end comes just with a checkpoint passes by the places of an end of its own.
                    if self.one(case, 2 - attempt % 2, "threads", faults, paced=True) == len(faults):
                        self.walked[point] += 1
                        break
                else:
                    if hit == 1:
                        self.wrong.append(f"{point}: no run came to this place")

    def loop(self):
        draw, all_cases = self.random, cases()
        places = [p for p in self.points if not p.startswith(("job.", "end."))]
        while sum(self.kills[k] for k in ("at a place", "at a time")) < self.arguments.kills and len(self.wrong) < 10:
            faults = []
            for _ in range(draw.randint(1, 4)):
                if draw.random() < 0.5:
                    faults.append(f"{draw.choice(places)}:{draw.choice([1, 1, 2, 3, 5, 8, 13, 20])}")
                else:
                    faults.append(draw.random())
            executor, paced = draw.choice(["threads", "auto"]), draw.random() < 0.5
            case, shards, moves = draw.choice(all_cases), draw.randint(1, 2), None
            if self.arguments.moves:
                if "ordered" in case[0]:
                    continue
                moves = draw.choice([[2, 4], [1, 3]])
            self.one(case, shards, executor, faults, paced, moves)

    def report(self, seconds):
        kills = sum(self.kills[k] for k in ("at a place", "at a time"))
        resumes = sorted(self.resumes)
        return {
            "seed": self.arguments.seed,
            "rows": self.arguments.rows,
            "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}",
            "seconds": round(seconds, 1),
            "moves": self.arguments.moves,
            "cases": [case[0] for case in cases()],
            "kills": kills,
            **{f"kills {how}": count for how, count in sorted(self.kills.items())},
            "places": len(self.points),
            "places visited": len(self.visited),
            "visits that killed, of those walked": self.walked or None,
            "resume to the end, median s": round(resumes[len(resumes) // 2], 3) if resumes else None,
            "wrong": self.wrong,
        }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("corelane")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--points", action="store_true")
    parser.add_argument("--hits", type=int, default=1)
    parser.add_argument("--moves", action="store_true")
    parser.add_argument("--keep")
    arguments = parser.parse_args()
    began = time.monotonic()
    # Where a sync costs nothing there are more checkpoints in a run, and more kills in an hour.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        torture = Torture(arguments.corelane, pathlib.Path(folder), arguments)
        if arguments.points:
            torture.walk()
        torture.loop()
        shutil.rmtree(torture.inputs)
        print(json.dumps(torture.report(time.monotonic() - began), indent=2))
    sys.exit(bool(torture.wrong))


if __name__ == "__main__":
    main()
