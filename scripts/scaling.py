"""Runs cases on 1, 2, 4, .. shards over the same files and prints what a row costs.

Every run is made twice, over N rows and over 3 N rows, and a row costs the difference of the two
divided by 2 N: what a run takes to start and to end is in both. Instructions are those of all
threads. Where the processor's counters cannot be read, valgrind counts; it runs one thread at a time,
so that shards wait for each other more than on cores of their own, and knows no AVX-512.
"""

import argparse, json, os, pathlib, re, shutil, subprocess, sys, tempfile

CASES = {
    "S2 seed": ("S2", "seed"),
    "S2 mid": ("S2", "mid"),
    "S3a seed": ("S3a", "seed"),
    "S3a mid": ("S3a", "mid"),
    "S3b": ("S3b", "seed"),
    "S1": ("S1", "seed"),
}
FILES = 16
# Valgrind counts every byte that `rep stosb` and `rep movsb` write; loops over vectors count as what they are.
NEVER = str(1 << 40)
LOOPS = {"GLIBC_TUNABLES": f"glibc.cpu.x86_rep_stosb_threshold={NEVER}:glibc.cpu.x86_rep_movsb_threshold={NEVER}"}


def options():
    parser = argparse.ArgumentParser(prog="scaling", description=__doc__.split("\n")[0])
    parser.add_argument("--corelane", required=True)
    parser.add_argument("--rows", type=int, default=160_000, help="N; files should be longer than what is read of each before the start")
    parser.add_argument("--shards", default="1,2,4,8,16")
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this case; may be repeated")
    parser.add_argument("--count", choices=["valgrind", "perf"], help="who counts; perf where it can, unless said")
    parser.add_argument("--keep", help="keeps the files here, and uses what is there")
    return parser.parse_args()


def perf_counts():
    probe = ["perf", "stat", "-x,", "-e", "instructions:u", "true"]
    if shutil.which("perf") is None:
        return False
    counted = subprocess.run(probe, capture_output=True, text=True)
    return re.search(r"^\d+,", counted.stderr, re.MULTILINE) is not None


def counted(counter, command):
    """Runs `command`; returns the instructions it took."""
    if counter == "perf":
        words, pattern = ["perf", "stat", "-x,", "-e", "instructions:u"], r"^(\d+),.*instructions"
    else:
        words, pattern = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"], r"Collected : (\d+)"
    run = subprocess.run(words + command, capture_output=True, text=True, env=os.environ | LOOPS)
    found = re.search(pattern, run.stderr, re.MULTILINE)
    if run.returncode != 0 or found is None:
        sys.exit(f"{' '.join(words + command)}\nended with {run.returncode}:\n{run.stderr}")
    return int(found[1])


def files(corelane, home, flavour, rows):
    directory = home / f"{flavour}-{rows}"
    if not directory.exists():
        made = directory.with_suffix(".new")
        shutil.rmtree(made, ignore_errors=True)
        name = f"market_data:{flavour}"
        words = [corelane, "gen", name, "--rows", str(rows), "--shards", str(FILES), "-o", str(made)]
        subprocess.run(words, check=True, capture_output=True)
        made.rename(directory)
    return directory


def measured(counter, corelane, directory, sql, shards, work):
    """Instructions, messages and bytes between shards of one run, and bytes of batches at its end."""
    stats, output = work / "stats.json", work / "out"
    shutil.rmtree(output, ignore_errors=True)
    command = [corelane, "run", "--quiet", "--executor", "threads", "--shards", str(shards)]
    command += ["--input", f"market_data={directory}/shard*.csv", "-f", f"bench/cases/{sql}.sql"]
    command += ["--format", "csv", "-o", f"{output}/", "--stats-json", str(stats)]
    instructions = counted(counter, command)
    told = json.loads(stats.read_text())["shards"]
    ring = lambda field: sum(shard["ring"][field] for shard in told)
    return {
        "instructions": instructions,
        "rows": sum(shard["rows_in"] for shard in told),
        "messages": ring("messages"),
        "crossed": ring("rows"),
        "bytes": ring("bytes"),
        "pool": max(shard["memory"]["batches"] for shard in told),
    }


def main():
    asked = options()
    counter = asked.count or ("perf" if perf_counts() else "valgrind")
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        home = pathlib.Path(asked.keep) if asked.keep else work / "data"
        home.mkdir(parents=True, exist_ok=True)
        print(f"instructions counted by {counter}; {asked.rows} rows and {3 * asked.rows} rows in {FILES} files")
        print(f"{'case':9} {'shards':>6} {'instr/row':>10} {'rows sent/row':>13} {'bytes/row':>9} "
              f"{'messages/1000 rows':>18} {'rows/message':>12} {'pool KiB a shard':>16} {'in flight KiB':>13}")
        for case in asked.case or CASES:
            sql, flavour = CASES[case]
            for shards in map(int, asked.shards.split(",")):
                few, many = (
                    measured(counter, asked.corelane, files(asked.corelane, home, flavour, rows), sql, shards, work)
                    for rows in (asked.rows, 3 * asked.rows)
                )
                rows = many["rows"] - few["rows"]
                if rows != 2 * asked.rows:
                    sys.exit(f"{case} on {shards} shards has read {few['rows']} and {many['rows']} rows")
                more = {name: many[name] - few[name] for name in many}
                print(f"{case:9} {shards:6} {more['instructions'] / rows:10.1f} {more['crossed'] / rows:13.3f} "
                      f"{more['bytes'] / rows:9.1f} {1000 * many['messages'] / many['rows']:18.2f} "
                      f"{many['crossed'] / max(many['messages'], 1):12.1f} {many['pool'] / 1024:16.0f} "
                      f"{shards * many['pool'] / 1024:13.0f}", flush=True)


main()
