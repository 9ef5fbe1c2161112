"""A case's files: as many as threads, made once, read before every run so that they are in memory."""

import itertools
import json
import subprocess

SEED = 1
# Rows in all over which Flink warms up.
WARM_ROWS = 500_000


class Dataset:
    def __init__(self, corelane, root, case, rows, files):
        self.rows = rows
        self.table = case.table
        self.folder = root / f"{case.table}{'-' + case.flavour if case.flavour else ''}-{rows}x{files}"
        self.files = [self.folder / f"shard{shard}.csv" for shard in range(files)]
        if not self.made():
            words = [corelane, "gen", case.table, "--rows", str(rows), "--shards", str(files), "--seed", str(SEED), "-o", str(self.folder)]
            subprocess.run(words + (["--flavour", case.flavour] if case.flavour else []), check=True, capture_output=True)
            if not self.made():
                raise SystemExit(f"{self.folder} is not what its manifest says")
        self.bytes = sum(file.stat().st_size for file in self.files)

    def made(self):
        manifest = self.folder / "manifest.json"
        if not manifest.exists():
            return False
        told = json.loads(manifest.read_text())
        sizes = [file.stat().st_size if file.exists() else 0 for file in self.files]
        return told["rows"] == self.rows and [file["bytes"] for file in told["files"]] == sizes

    def without_header(self):
        """Folders with the same rows without header, and with the first of them to warm up on."""
        plain, warm = self.folder / "plain", self.folder / "warm"
        if not warm.exists():
            for folder in [plain, warm.with_suffix(".part")]:
                folder.mkdir(exist_ok=True)
            for file in self.files:
                with open(file, "rb") as source:
                    if self.table != "measurements":
                        source.readline()
                    start = source.tell()
                    with open(warm.with_suffix(".part") / file.name, "wb") as part:
                        part.writelines(itertools.islice(source, WARM_ROWS // len(self.files)))
                    source.seek(start)
                    with open(plain / file.name, "wb") as whole:
                        while block := source.read(1 << 20):
                            whole.write(block)
            warm.with_suffix(".part").rename(warm)
        return plain, warm

    def touch(self, engine):
        """Reads what `engine` is going to read."""
        files = self.files if engine != "flink" else [self.folder / "plain" / file.name for file in self.files]
        for file in files:
            with open(file, "rb", buffering=0) as source:
                while source.read(1 << 20):
                    pass
