"""Runs queries whose state does not fit into a memory limit of the kernel's, and expects their own error.

    check_memory.py CORELANE [--rows N] [--limits 64,128,256]

Every query holds at least four times the limit if it is let. In a cgroup (v1 or v2) of each limit it must end with
status 1 and an error that names what holds the memory, never with status 137 or -9, and stay within its budget (three
quarters of the limit) and 15 percent of it. Without a cgroup to be had (no root, no
mount) it says so and is counted as skipped. Prints a table; status 1 if anything was wrong.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

TABLE = "CREATE TABLE t (ts TIMESTAMP(3), k BIGINT, s STRING, n BIGINT, WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('path' = 't.csv', 'format' = 'csv', 'header' = 'true'); "
# Name, query, what its error must name.
QUERIES = [
    ("group by", "SELECT k, s, COUNT(*), SUM(n) FROM t GROUP BY k, s", "aggregate"),
    ("distinct", "SELECT DISTINCT k, s FROM t", "aggregate"),
    ("median", "SELECT k, MEDIAN(n), COUNT(DISTINCT s) FROM t GROUP BY k", "aggregate"),
    ("window", "SELECT window_start, k, s, COUNT(*) FROM TUMBLE(t, ts, INTERVAL '10' DAY) GROUP BY window_start, window_end, k, s", "aggregate"),
    ("sessions", "SELECT window_start, k, s, COUNT(*) FROM SESSION(t, ts, INTERVAL '10' DAY) GROUP BY window_start, window_end, k, s", "aggregate"),
    ("sort", "SELECT * FROM t ORDER BY s, n", "sort"),
    ("rank", "SELECT k, n, ROW_NUMBER() OVER (PARTITION BY k ORDER BY n) AS r FROM t", "rank"),
    ("over", "SELECT ts, k, s, SUM(n) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '10' DAY PRECEDING AND CURRENT ROW) FROM t", "over"),
    ("join", "SELECT a.k, b.s FROM t a JOIN t b ON a.k = b.k AND a.n = b.n", "join"),
    ("interval join", "SELECT a.k, b.s FROM t a JOIN t b ON a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '10' DAY AND a.ts AND b.n = a.n + 1", "join"),
    ("changes", "SELECT c, COUNT(*) FROM (SELECT k, s, COUNT(*) AS c FROM t GROUP BY k, s) GROUP BY c EMIT CHANGES", ""),
    ("changes of a join", "SELECT a.k, b.s FROM t a JOIN t b ON a.k = b.k AND a.n = b.n EMIT CHANGES", "join"),
]


class Group:
    """A cgroup with a memory limit; none where the machine does not let us."""

    def __init__(self, limit):
        self.path = None
        for root, file, swap in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes", None), ("/sys/fs/cgroup", "memory.max", "memory.swap.max")]:
            path = pathlib.Path(root) / f"corelane-{os.getpid()}"
            if not (pathlib.Path(root) / "cgroup.procs").exists():
                continue
            try:
                path.mkdir()
                (path / file).write_text(str(limit))
                if swap and (path / swap).exists():
                    (path / swap).write_text("0")
                self.path = path
                return
            except OSError:
                if path.exists():
                    path.rmdir()

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def close(self):
        self.path.rmdir()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("corelane")
    parser.add_argument("--rows", type=int, default=0, help="as many as the largest limit needs, unless said")
    parser.add_argument("--limits", default="64,128,256")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    corelane = str(pathlib.Path(arguments.corelane).resolve())
    limits = [int(limit) for limit in arguments.limits.split(",")]
    wrong, skipped = [], 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        # A row holds some 100 bytes of state at least where all of them are different.
        rows = arguments.rows or (4 * max(limits) << 20) // 90
        with open("t.csv", "w") as out:
            out.write("ts,k,s,n\n")
            for row in range(rows):
                at = row // 100
                out.write(f"2026-01-{1 + at // 86400:02} {at // 3600 % 24:02}:{at // 60 % 60:02}:{at % 60:02}.000,{row * 7919 % rows},a text of its own {row:020},{row}\n")
        for limit in limits:
            for name, query, holder in QUERIES:
                if arguments.only not in name:
                    continue
                group = Group(limit << 20)
                if group.path is None:
                    skipped += 1
                    continue
                command = [corelane, TABLE + query, "--shards", "2", "-o", "/dev/null", "--quiet"]
                run = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, preexec_fn=group.enter)
                said = run.stderr.read().decode(errors="replace")
                _, status, usage = os.wait4(run.pid, 0)
                run.returncode = status = os.waitstatus_to_exitcode(status)
                group.close()
                most = limit * 3 / 4 * 1.15
                held = usage.ru_maxrss / 1024
                faults = []
                if status != 1:
                    faults.append(f"status {status}")
                if "more than --memory" not in said or holder not in said:
                    faults.append(f"said {said.strip()[-400:]!r}")
                if held > most:
                    faults.append(f"{held:.0f} MiB resident, more than {most:.0f}")
                print(f"{limit:4} MiB  {name:20} status {status:4}  {held:6.0f} MiB  {'; '.join(faults) or 'ok'}", flush=True)
                wrong += [f"{limit} MiB, {name}"] if faults else []
    print(f"{len(wrong)} wrong, {skipped} skipped (no cgroup to be had)")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
