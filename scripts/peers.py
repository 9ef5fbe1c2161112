"""Runs the cases on Corelane and its peers, in turns, and compares values: see scripts/peers.

Every run is a process of its own, pinned to as many CPUs as it has threads. Its seconds count from
when the engine is loaded to when the result is written, Corelane's from the start of its process to
the end of it; the rest of a peer's process is told apart as start-up. Peak memory is the most that
the process held in memory. With N threads the input is N files, so that each thread has one.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers.d"))

import compare  # noqa: E402
import report  # noqa: E402
from case_list import CASES, ENGINES  # noqa: E402
from dataset import Dataset  # noqa: E402

ROOT = HERE.parent
JAVA_PACKAGES = ["lang", "util", "net", "io", "nio", "time", "text", "lang.reflect", "util.concurrent", "util.concurrent.atomic", "util.concurrent.locks"]
JAVA_OPENS = [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in JAVA_PACKAGES]
JAVA_HEAP = "4g"


def command(options, engine, case, dataset, threads, cpus, out):
    """What to run; the last of its standard output is a line of JSON, except for Corelane."""
    if engine == "corelane":
        return [
            options.corelane, "run", "--cores", cpus, "--input", f"{case.table}={dataset.folder}/shard*.csv",
            "-f", str(ROOT / "bench" / "cases" / f"{case.query}.sql"), "--format", "csv", "--quiet", "-o", f"{out}/",
        ]  # fmt: skip
    files = [str(file) for file in dataset.files]
    if engine == "timely":
        return [options.timely, case.query, "--threads", str(threads), "--out", str(out), *files]
    if engine == "flink":
        path = f"{options.flink_classes}:{options.flink_jars}/*"
        plain, warm = dataset.without_header()
        return ["java", f"-Xmx{JAVA_HEAP}", *JAVA_OPENS, "-Dlog4j2.level=OFF", "-cp", path, "FlinkPeer",
                case.query, str(threads), str(plain), str(warm), str(out)]  # fmt: skip
    return [sys.executable, str(HERE / "peers.d" / f"{engine}_peer.py"), case.query, "--threads", str(threads), "--out", str(out), *files]


def run_once(options, engine, case, dataset, threads, out):
    """One run, or the reason why there is none."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    cpus = ",".join(str(cpu) for cpu in sorted(os.sched_getaffinity(0))[:threads])
    words = command(options, engine, case, dataset, threads, cpus, out)
    dataset.touch(engine)
    with tempfile.NamedTemporaryFile("r") as usage:
        start = time.perf_counter()
        done = subprocess.run(
            ["taskset", "-c", cpus, "/usr/bin/time", "-q", "-f", "%M %U %S", "-o", usage.name, *words], capture_output=True, text=True
        )
        wall = time.perf_counter() - start
        used = usage.read().split()
    if done.returncode != 0:
        return {"failed": f"status {done.returncode}: {done.stderr.strip()[-300:]}"}
    told = json.loads(done.stdout.strip().splitlines()[-1]) if engine != "corelane" else {"seconds": wall}
    peak_kib, user, system = used[-3:]
    return told | {"wall": wall, "peak_bytes": int(peak_kib) * 1024, "cpu_seconds": float(user) + float(system)}


def summary(case, threads, engine, dataset, runs, verdict, version):
    good = [run for run in runs if "failed" not in run]
    line = {
        "case": case.name, "threads": threads, "engine": engine, "version": version, "rows": dataset.rows, "bytes": dataset.bytes,
        "started": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M"),
    }  # fmt: skip
    if not good:
        return line | {"failed": runs[0]["failed"]}
    seconds = [run["seconds"] for run in good]
    median = statistics.median(seconds)
    return line | {
        "runs": len(good),
        "seconds": round(median, 4),
        "seconds_min": round(min(seconds), 4),
        "seconds_max": round(max(seconds), 4),
        "startup_seconds": round(statistics.median(run["wall"] - run["seconds"] for run in good), 3),
        "cpu_seconds": round(statistics.median(run["cpu_seconds"] for run in good), 3),
        "rows_per_s": round(dataset.rows / median),
        "peak_bytes": round(statistics.median(run["peak_bytes"] for run in good)),
        "base_bytes": good[0].get("base_bytes"),
        "values": verdict,
        "machine": f"{cpu_name()}, {os.cpu_count()} CPUs, Linux {platform.release().split('-')[0]}",
    }


def cpu_name():
    with open("/proc/cpuinfo") as text:
        return next((line.split(":")[1].strip() for line in text if line.startswith("model name")), platform.machine())


def measure(options, case, threads):
    """All engines in turns; a line for each."""
    dataset = Dataset(options.corelane, options.data, case, options.rows or case.rows(options.quick), threads)
    engines = ["corelane"] + [engine for engine in options.engines if engine != "corelane" and case.query in ENGINES[engine].queries]
    work = options.data / "results"
    timed = {engine: [] for engine in engines if engine in options.engines}
    verdicts = {}
    for turn in range(options.runs):
        for engine in engines:
            if turn > 0 and (engine not in timed or ENGINES[engine].kind == "stream" and not options.runs_given):
                continue  # Only there to compare with; or a minute long.
            out = work / engine
            run = run_once(options, engine, case, dataset, threads, out)
            if engine in timed:
                timed[engine].append(run)
            if turn == 0:
                good = "failed" not in run
                verdicts[engine] = compare.verdict(case, ENGINES[engine], threads, work / "corelane", out, run.get("tally")) if good else None
            seconds = f"{run['seconds']:.2f} s" if "failed" not in run else run["failed"]
            print(f"{case.name}, {threads} threads, {engine}: {seconds}, {verdicts[engine]}", file=sys.stderr, flush=True)
            if engine != "corelane":
                shutil.rmtree(out)
    shutil.rmtree(work)
    version = subprocess.run([options.corelane, "--version"], capture_output=True, text=True).stdout.split()[-1]
    return [
        summary(case, threads, engine, dataset, runs, verdicts[engine], version if engine == "corelane" else runs[0].get("version"))
        for engine, runs in timed.items()
    ]


def names(text, known):
    chosen = [word.strip() for word in text.split(",")]
    for word in chosen:
        if word not in known:
            raise argparse.ArgumentTypeError(f"there is no `{word}`; there are {', '.join(known)}")
    return chosen


def main():
    parser = argparse.ArgumentParser(prog="scripts/peers")
    for path in ["corelane", "timely", "flink-classes", "flink-jars"]:
        parser.add_argument(f"--{path}", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="a fifth of the rows, one run")
    parser.add_argument("--rows", type=int, help="of every case")
    parser.add_argument("--runs", type=int, help="of every engine, in turns (3, Flink 1)")
    parser.add_argument("--cases", type=lambda text: names(text, list(CASES)), default=list(CASES))
    parser.add_argument("--engines", type=lambda text: names(text, list(ENGINES)), default=list(ENGINES))
    parser.add_argument("--threads", type=lambda text: [int(word) for word in text.split(",")], default=[1, 2])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="where generated files are kept")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="where peers.ndjson and peers.md are kept")
    parser.add_argument("--prepare", action="store_true", help="only make the files")
    parser.add_argument("--report", action="store_true", help="only print the tables from what was measured before")
    options = parser.parse_args()
    options.runs_given = options.runs is not None
    options.runs = options.runs or (1 if options.quick else 3)
    options.data, options.out = options.data.resolve(), options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    if max(options.threads) > len(os.sched_getaffinity(0)):
        parser.error(f"{max(options.threads)} threads need as many CPUs")
    kept = report.Kept(options.out)
    if not options.report:
        for name in options.cases:
            for threads in options.threads:
                if options.prepare:
                    dataset = Dataset(options.corelane, options.data, CASES[name], options.rows or CASES[name].rows(options.quick), threads)
                    if "flink" in options.engines:
                        dataset.without_header()
                else:
                    kept.replace(measure(options, CASES[name], threads))
    if not options.prepare:
        print(kept.tables())
        sys.exit(1 if kept.disagreements() else 0)


if __name__ == "__main__":
    main()
