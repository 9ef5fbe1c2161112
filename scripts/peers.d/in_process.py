"""What the peers that live in a Python process have in common: arguments, the clock, one line of JSON.

    python duckdb_peer.py CASE --threads N --out FOLDER FILE...

The clock runs from after the import to the last byte of the result; `base_bytes` is what the
process held by then without having read anything.
"""

import argparse
import json
import pathlib
import time


def resident_bytes():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def time_one(version, run):
    """`run(case, files, out, threads)` writes the answer into the folder `out`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("case")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    base = resident_bytes()
    start = time.perf_counter()
    run(options.case, options.files, options.out, options.threads)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "base_bytes": base, "version": version}))
