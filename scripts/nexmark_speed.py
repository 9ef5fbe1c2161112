"""How many rows of Nexmark a second of CPU time takes.

Every query runs on one shard over files in the page cache; its rows are formatted as CSV and thrown away.
CPU time is that of the whole process, start and plan included, by the kernel's account; the median of a few
runs is shown. Rows are those that the query's tables have, which is less than all events: a query over bids
does not read people.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import tempfile

from check_nexmark import QUERIES, tables_of

# Flink SQL in streaming mode with its own generator and a sink that drops rows, on two Zen 4 vCPU: thousand
# events a second of CPU time.
FLINK = {"q0": 258, "q1": 216, "q3": 239, "q4": 104, "q5": 152, "q7": 95, "q8": 164, "q12": 168}


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--corelane", required=True)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--query", action="append")
    parser.add_argument("--keep", help="folder for the generated files; else a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        files = pathlib.Path(options.keep or temporary) / f"nexmark-speed-{options.events}"
        if not (files / "manifest.json").exists():
            command = [options.corelane, "gen", "nexmark", "--rows", str(options.events), "--shards", "2", "-o", str(files)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            (files / "side_input0.csv").write_text("key,value\n" + "".join(f"{key},value of {key}\n" for key in range(10_000)))
        print("| query | rows read | rows out | M rows a CPU-second | Flink SQL, M events | times |")
        print("|---|---|---|---|---|---|")
        for number in range(23):
            query = f"q{number}"
            if options.query and query not in options.query:
                continue
            script = QUERIES / f"{query}.sql"
            stats = files / "stats.json"
            command = [options.corelane, "run", "-f", str(script), "-o", "/dev/null", "--format", "csv", "--quiet", "--shards", "1", "--stats-json", str(stats)]
            for table in tables_of(script.read_text()):
                command += ["--input", f"{table}={files}/{table}*.csv"]
            spent = []
            for _ in range(options.runs):
                before = cpu_seconds()
                done = subprocess.run(command, capture_output=True, text=True)
                spent.append(cpu_seconds() - before)
                if done.returncode:
                    break
            if done.returncode:
                print(f"| {query} | refused: {done.stderr.strip().splitlines()[0].partition(': ')[2]} | | | | |")
                continue
            totals = json.loads(stats.read_text())["totals"]
            rate = totals["rows_in"] / statistics.median(spent) / 1e6
            flink = FLINK.get(query)
            beside = f"{flink / 1000:.3f} | {rate / flink * 1000:.0f}" if flink else "- | -"
            print(f"| {query} | {totals['rows_in']:,} | {totals['rows_out']:,} | {rate:.2f} | {beside} |", flush=True)


if __name__ == "__main__":
    main()
