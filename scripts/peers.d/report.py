"""What was measured, kept as JSON lines, and the tables made of it."""

import json

from case_list import CASES, ENGINES

BATCH = [engine.name for engine in ENGINES.values() if engine.kind == "batch"]
PEERS = [name for name in ENGINES if name != "corelane"]
# What is said of values that are right.
AGREE = ("same", "same sums", "reference")
BATCH_TARGET = 2.0
HAND_TARGET = 2.0
STREAM_TARGET = {"S3a": 10.0, "S3b": 10.0}


class Kept:
    def __init__(self, folder):
        self.path = folder / "peers.ndjson"
        self.page = folder / "peers.md"
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.lines = {self.key(line): line for line in map(json.loads, lines)}

    @staticmethod
    def key(line):
        return (line["case"], line["threads"], line["engine"])

    def replace(self, lines):
        """Takes `lines` in place of those of the same case, threads and engine, and writes all."""
        self.lines |= {self.key(line): line for line in lines}
        order = lambda line: (list(CASES).index(line["case"]), line["threads"], list(ENGINES).index(line["engine"]))
        self.path.write_text("".join(json.dumps(line) + "\n" for line in sorted(self.lines.values(), key=order)))
        self.page.write_text(self.tables() + "\n")

    def disagreements(self):
        return [line for line in self.lines.values() if line.get("values") not in AGREE]

    def agrees(self, case, threads, engine):
        return self.get(case, threads, engine, "values") in AGREE

    def get(self, case, threads, engine, what):
        return self.lines.get((case, threads, engine), {}).get(what)

    def measured(self):
        """Cases and threads that Corelane was measured on, in order."""
        threads = sorted({key[1] for key in self.lines})
        return [(case, n) for case in CASES for n in threads if self.get(case, n, "corelane", "seconds")]

    def tables(self):
        parts = [self.speed(), self.memory(), self.seconds(), self.versions()]
        return "\n\n".join(part for part in parts if part)

    def ratio(self, case, threads, engines):
        """The quickest of `engines` that gave the right values, and how many times as many rows a second Corelane takes."""
        rates = {engine: self.get(case, threads, engine, "rows_per_s") for engine in engines if self.agrees(case, threads, engine)}
        rates = {engine: rate for engine, rate in rates.items() if rate}
        if not rates:
            return None
        best = max(rates, key=rates.get)
        return best, self.get(case, threads, "corelane", "rows_per_s") / rates[best]

    def judged(self, case, threads, engines, target, named=False):
        found = self.ratio(case, threads, engines)
        if not found:
            return "-"
        best, ratio = found
        holds = "yes" if ratio >= target else "**no, the peer wins**" if ratio < 1 else "**no**"
        return f"{best + ', ' if named else ''}{ratio:.1f}x: {holds}"

    def speed(self):
        head = ["case", "threads", *ENGINES, "best batch peer: at least 2x?", "timely: at least 2x?", "Flink: quicker, S3 at least 10x?"]
        rows = []
        for case, threads in self.measured():
            rates = [self.rate(case, threads, engine) for engine in ENGINES]
            stream = STREAM_TARGET.get(CASES[case].query, 1.0)
            rows.append([
                case, threads, *rates, self.judged(case, threads, BATCH, BATCH_TARGET, named=True),
                self.judged(case, threads, ["timely"], HAND_TARGET), self.judged(case, threads, ["flink"], stream),
            ])  # fmt: skip
        return "Million rows a second (the most in bold), and how many times a peer's Corelane's are:\n\n" + table(head, rows)

    def rate(self, case, threads, engine):
        rate = self.get(case, threads, engine, "rows_per_s")
        if not rate:
            return "failed" if self.get(case, threads, engine, "failed") else "-"
        most = max(self.get(case, threads, other, "rows_per_s") or 0 for other in ENGINES if self.agrees(case, threads, other))
        wrong = not self.agrees(case, threads, engine)
        text = f"{rate / 1e6:.2f}" if rate < 1e7 else f"{rate / 1e6:.1f}"
        return (f"**{text}**" if rate == most else text) + (" (other values)" if wrong else "")

    def memory(self):
        rows = []
        for case, threads in self.measured():
            peaks = {engine: self.get(case, threads, engine, "peak_bytes") for engine in ENGINES}
            ours = peaks["corelane"]
            below = [engine for engine in PEERS if peaks[engine] and peaks[engine] <= ours]
            verdict = f"**no**: {', '.join(below)}" if below else "yes"
            rows.append([case, threads, *(f"{peak / 1e6:.0f}" if peak else "-" for peak in peaks.values()), verdict])
        return "Peak memory of the process, MB:\n\n" + table(["case", "threads", *ENGINES, "Corelane's below every peer's?"], rows)

    def seconds(self):
        rows = []
        for case, threads in self.measured():
            cells = []
            rows_of_all = self.get(case, threads, "corelane", "rows")
            for engine in ENGINES:
                line = self.lines.get((case, threads, engine), {})
                if "seconds" not in line:
                    cells.append("-")
                    continue
                spread = f" ({line['seconds_min']:.2f}..{line['seconds_max']:.2f})" if line["runs"] > 1 else ""
                startup = "" if engine == "corelane" else f" + {line['startup_seconds']:.1f}"
                rows_read = "" if line["rows"] == rows_of_all else f", {line['rows'] / 1e6:g} M rows"
                cells.append(f"{line['seconds']:.2f}{spread}{startup}{rows_read}")
            rows.append([case, threads, f"{rows_of_all / 1e6:g} M", *cells])
        head = ["case", "threads", "rows", *ENGINES]
        return "Seconds, median (least..most) of the runs, and behind the + what a peer's process took besides (loading, ending):\n\n" + table(head, rows)

    def versions(self):
        seen = {}
        for line in self.lines.values():
            if line.get("version"):
                seen.setdefault(line["engine"], set()).add(line["version"])
        texts = [f"{engine} {', '.join(sorted(seen[engine]))}" for engine in ENGINES if engine in seen]
        same = [line for line in self.lines.values() if line.get("values") in ("same", "same sums")]
        wrong = "".join(
            f"\n- {line['case']}, {line['threads']} threads, {line['engine']}: {line.get('values') or line.get('failed')}"
            for line in self.disagreements()
        )
        found = f"Values: {len(same)} results of peers are Corelane's" + (f"; these are not:{wrong}" if wrong else ", all of them.")
        return f"Versions: {'; '.join(texts)}.\n\n{found}"


def table(head, rows):
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines)
