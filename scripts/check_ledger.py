"""Holds the ledger against a profiler.

Each case runs on one shard under `perf record`, which takes the stack a few thousand times a second. A
sample belongs to the stage of the innermost frame that is named below, inlined frames included; the line
tables of the binary know them. The ledger times the same thread by its own marks. Both are summed over
several runs, and no stage may differ by more than three points of the shard's time on its CPU.
"""

import argparse
import collections
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

BENCH = pathlib.Path(__file__).resolve().parent.parent / "bench"
HERTZ = 2000
# Of each stack: batch-sized arrays lie in some frames.
STACK_BYTES = 24576
POINTS = 3.0

# Where a stage's work is: its file, and the functions in it that are entered when the stage begins. What they
# call is theirs unless it is named too. Partial and final aggregation are the same functions.
WORK = [
    ("read", "io/src/reader.rs", r"^(fill|filled|want|compact)$"),
    ("read", "runtime/src/source.rs", r"^read_block$"),
    ("index", "io/src/reader.rs", r"^(find_rows|find_irregular)$"),
    ("convert", "io/src/reader.rs", r"^convert$"),
    ("convert", "io/src/pass.rs", r""),
    ("filter", "engine/src/scan.rs", r""),
    ("filter", "engine/src/scan/", r""),
    ("filter", "engine/src/operator/filter.rs", r""),
    ("expression", "engine/src/operator/project.rs", r"^push$"),
    ("window_close", "engine/src/agg/aggregation.rs", r"^(fill|drain)$"),
    ("aggregate", "engine/src/agg/aggregation.rs", r"^(push|add|merge|change|change_plainly|run_plainly|pass_single|turn)$"),
    ("aggregate", "engine/src/agg/changes.rs", r""),
    ("window_close", "engine/src/agg/session.rs", r"^page$"),
    ("aggregate", "engine/src/agg/session.rs", r"^(push|watermark|drain|absorb|close|until)$"),
    # Held rows are put in order for whoever holds them: sessions and joins as well.
    ("over", "engine/src/over/mod.rs", r""),
    ("over", "engine/src/operator/rank.rs", r""),
    ("over", "engine/src/operator/sort.rs", r"^(push|drain|finish)$"),
    ("join", "engine/src/join/", r""),
    ("changes", "engine/src/change/", r""),
    ("exchange_out", "engine/src/operator/exchange.rs", r"^push$"),
    ("exchange_out", "runtime/src/lane/outbox.rs", r"^(scatter|flush|send)$"),
    ("exchange_in", "runtime/src/lane/inbox.rs", r"^pop\w*$"),
    ("exchange_in", "runtime/src/lane/merge.rs", r"^pop\w*$"),
    ("format", "io/src/format/", r""),
    ("format", "io/src/order.rs", r""),
    ("format", "runtime/src/sink.rs", r"^rows$"),
    ("write", "runtime/src/sink.rs", r"^(flush|write_own|record)$"),
]
WORK = [(stage, path, re.compile(pattern)) for stage, path, pattern in WORK]
TOGETHER = {"partial": "aggregate"}

# Case, query, data set, millions of rows for about half a second, flags.
RUNS = [
    ("S0w", "cases/S0w", "orders", 8, []),
    ("S1", "cases/S1", "market_data", 2, []),
    ("S2 seed", "cases/S2", "market_data", 8, []),
    ("S3a seed", "cases/S3a", "market_data", 8, []),
    ("S3b", "cases/S3b", "market_data", 2, []),
    ("1BRC", "cases/1BRC", "measurements", 8, []),
    ("S2 seed forced", "cases/S2", "market_data", 8, ["--force-exchange"]),
    ("S3b forced", "cases/S3b", "market_data", 2, ["--force-exchange"]),
    ("join (q20)", "nexmark/q20", "nexmark", 1, []),
    ("session (q11)", "nexmark/q11", "nexmark", 1, []),
    ("changes (q4)", "nexmark/q4", "nexmark", 1, []),
    ("changes (q18)", "nexmark/q18", "nexmark", 1, []),
]


class Lines:
    """What stands behind an address of the binary: its function and those it was inlined into, innermost first."""

    def __init__(self, binary):
        self.binary, self.known = binary, {}
        headers = subprocess.run(["readelf", "-lW", binary], check=True, capture_output=True, text=True).stdout
        found = re.findall(r"LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x\w+ R E", headers)
        self.segments = [tuple(int(number, 16) for number in segment) for segment in found]

    def address(self, offset):
        for start, address, size in self.segments:
            if start <= offset < start + size:
                return offset - start + address
        return None

    def resolve(self, offsets):
        wanted = [(offset, self.address(offset)) for offset in offsets if offset not in self.known]
        wanted = [(offset, address) for offset, address in wanted if address is not None]
        text = "".join(f"0x{address:x}\n" for _, address in wanted)
        if shutil.which("llvm-symbolizer"):
            command = ["llvm-symbolizer", "--inlines", "--output-style=GNU", "--addresses", f"--obj={self.binary}"]
        else:
            command = ["addr2line", "-aifC", "-e", self.binary]
        shown = subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout
        frames = {}
        for line in shown.splitlines():
            if line.startswith("0x"):
                place = frames.setdefault(int(line, 16), [])
            elif line:
                place.append(line)
        for offset, address in wanted:
            lines = frames.get(address, [])
            self.known[offset] = list(zip(lines[::2], lines[1::2]))

    def frames(self, offset):
        return self.known.get(offset, [])


def plain(function):
    """The last name of a function: without its path, its types, and what the linker adds."""
    function = re.sub(r"::h[0-9a-f]{16}$", "", function)
    while re.search(r"<[^<>]*>", function):
        function = re.sub(r"<[^<>]*>", "", function)
    names = [name for name in function.split("::") if name and not name.startswith("{")]
    return names[-1] if names else function


def inputs(name, data, sql):
    """The flags that give the tables of `sql` their files of the data set `name`."""
    if name != "nexmark":
        return ["--input", f"{name}={data}/shard*.csv"]
    tables = [table for table in ("person", "auction", "bid") if f"CREATE TABLE {table} " in sql]
    return [word for table in tables for word in ("--input", f"{table}={data}/{table}*.csv")]


def stage_of(frames):
    for function, place in frames:
        for stage, path, pattern in WORK:
            if f"/{path}" in place and pattern.search(plain(function)):
                return stage
    return "control"


def samples(profile, lines):
    """Samples of the shard's thread by stage, and those of `control` by function."""
    command = ["perf", "script", "-i", profile, "--no-inline", "-F", "comm,ip,sym,dso"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    stacks = []
    for block in text.split("\n\n"):
        head, *rest = block.strip("\n").split("\n")
        if not head.startswith("shard") or not rest:
            continue
        stack = []
        for depth, line in enumerate(rest):
            found = re.match(r"\s*([0-9a-f]+) (.*) \((.*)\)$", line)
            if found and found[3].endswith(pathlib.Path(lines.binary).name):
                # A caller's address is that of the instruction behind the call.
                stack.append(int(found[1], 16) - (depth > 0))
        stacks.append(stack)
    lines.resolve({offset for stack in stacks for offset in stack})
    stages, others = collections.Counter(), collections.Counter()
    for stack in stacks:
        frames = [frame for offset in stack for frame in lines.frames(offset)]
        stage = stage_of(frames)
        stages[stage] += 1
        if stage == "control":
            named = (f"{plain(function)} {place.rsplit('/', 1)[-1]}" for function, place in frames if "/.cargo/" not in place and "/rustc/" not in place)
            others[next(named, "?")] += 1
    return stages, others


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--corelane", required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="times the usual rows")
    parser.add_argument("--runs", type=int, default=6, help="runs of each case, summed")
    parser.add_argument("--case", action="append")
    parser.add_argument("--control", action="store_true", help="show what the samples of control are")
    options = parser.parse_args()
    lines, wrong = Lines(options.corelane), 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for case, query, name, millions, flags in RUNS:
            if options.case and case not in options.case:
                continue
            rows, sql = int(millions * 1e6 * options.scale), BENCH / f"{query}.sql"
            data = folder / f"{name}-{rows}"
            if not data.exists():
                command = [options.corelane, "gen", name, "--rows", str(rows), "--shards", "1", "-o", str(data)]
                subprocess.run(command, check=True, capture_output=True)
            sampled, booked, others = collections.Counter(), collections.Counter(), collections.Counter()
            for _ in range(options.runs):
                profile, stats = folder / "perf.data", folder / "stats.json"
                command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(HERTZ), "--call-graph", f"dwarf,{STACK_BYTES}", "-o", str(profile), "--"]
                command += [options.corelane, "run", "--quiet", "--shards", "1", *inputs(name, data, sql.read_text()), "-f", str(sql)]
                command += ["--format", "csv", "-o", str(folder / "out") + "/", "--stats-json", str(stats), *flags]
                subprocess.run(command, check=True, capture_output=True)
                stages, control = samples(str(profile), lines)
                sampled += stages
                others += control
                [shard] = json.loads(stats.read_text())["shards"]
                for stage, ns in shard["ledger"].items():
                    if not stage.startswith("wait_") and stage not in ("parked", "descheduled", "unexplained"):
                        booked[TOGETHER.get(stage, stage)] += ns
            shares = lambda counts: {stage: 100 * count / max(sum(counts.values()), 1) for stage, count in counts.items()}
            by_perf, by_ledger = shares(sampled), shares(booked)
            names = [stage for stage in sorted(by_perf | by_ledger, key=lambda stage: -by_ledger.get(stage, 0)) if by_perf.get(stage, 0) + by_ledger.get(stage, 0) >= 0.05]
            print(f"{case}: {sum(sampled.values())} samples")
            for stage in names:
                perf, ledger = by_perf.get(stage, 0), by_ledger.get(stage, 0)
                good = abs(perf - ledger) <= POINTS
                wrong += not good
                print(f"  {stage:<14}{ledger:>6.1f}% ledger {perf:>6.1f}% perf {ledger - perf:>+6.1f}{'' if good else '  DIFFERS'}")
            if options.control:
                print("  control by perf:", ", ".join(f"{name} {count}" for name, count in others.most_common(12)))
    print("the ledger is within three points of the profiler" if not wrong else f"{wrong} stages differ by more than three points")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
