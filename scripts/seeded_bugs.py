"""Plants known bugs one at a time into a copy of the tree and runs the tests, which must find every one.

A bug is a place in a file and what stands there instead: the ways in which engines have lost or doubled
rows. The tests run until one fails; a bug that none finds is the report's last word and status 1. A place that is
not there any more, or there twice, is an error: the bug must be planted anew.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

# A run of all tests that takes longer is one that hangs.
HANG_SECONDS = 1800

# What is wrong, the file, what stands there, what stands there instead.
BUGS = [
    (
        "an output is committed without a sync",
        "runtime/src/checkpoint/keeper.rs",
        "        cuts().try_for_each(|cut| cut.sync())?;\n",
        "",
    ),
    (
        "a checkpoint's file is committed without a sync",
        "io/src/checkpoint/mod.rs",
        'self.act("sync", &name, |disk, name| disk.sync(name))?;',
        "",
    ),
    (
        "names are committed without a sync of their folder",
        "io/src/checkpoint/mod.rs",
        'self.act("sync", folder, |disk, folder| disk.sync_names(folder))',
        "let _ = folder;\n        Ok(())",
    ),
    (
        "the commit ends at the first output",
        "runtime/src/checkpoint/keeper.rs",
        "let cuts = || states().flat_map(|state| &state.cuts);",
        "let cuts = || states().flat_map(|state| &state.cuts).take(1);",
    ),
    (
        "the last partial batch is not sent",
        "runtime/src/lane/outbox.rs",
        "    pub fn finish(&mut self) {\n        self.flush();",
        "    pub fn finish(&mut self) {",
    ),
    (
        "rows behind a barrier are taken before it is complete",
        "runtime/src/lane/inbox.rs",
        "if self.ways[from].barrier.is_some() || self.ways[from].turned",
        "if self.ways[from].turned",
    ),
    (
        "a wake-up is lost: armed, and not looked again",
        "runtime/src/checkpoint/keeper.rs",
        "        match self.round()? {\n            None if !is_over()",
        "        match None {\n            None if !is_over()",
    ),
    (
        "a shard is not woken when a batch comes home",
        "runtime/src/lane/inbox.rs",
        '        assert!(given.is_ok(), "the way home has room for every batch that was lent");\n        self.bells[from].ring();',
        '        assert!(given.is_ok(), "the way home has room for every batch that was lent");',
    ),
    (
        "a session that ends at the watermark is held back",
        "engine/src/agg/session.rs",
        "            if end > watermark {",
        "            if end >= watermark {",
    ),
    (
        "a resumed source has forgotten how far time had come",
        "runtime/src/source/saved.rs",
        "(split.time, split.ended, split.begin) = (stand.time,",
        "(_, split.ended, split.begin) = (stand.time,",
    ),
    (
        "a resumed source begins one row early",
        "runtime/src/source/saved.rs",
        "stand.begin.map(|(at, _)| at));",
        "stand.begin.map(|(at, _)| at.saturating_sub(1)));",
    ),
    (
        "a watermark is told before the rows it stands behind",
        "runtime/src/lane/outbox.rs",
        "            if let Some(batch) = self.ways[owner].partial.take() {\n                self.send(owner, batch);\n            }\n            self.tell_watermark(owner);",
        "            self.tell_watermark(owner);\n            if let Some(batch) = self.ways[owner].partial.take() {\n                self.send(owner, batch);\n            }",
    ),
]


def copy_of_tree(folder):
    """The tracked files, those that have not changed left alone so that little is compiled again."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.splitlines() if (ROOT / name).is_file()]
    for name in names:
        source, target = ROOT / name, folder / name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    for path in folder.rglob("*"):
        if path.is_file() and str(path.relative_to(folder)) not in names:
            path.unlink()


def tests(folder, build):
    """Whether the tests pass, and what fails first."""
    command = ["cargo", "nextest", "run", "--workspace", "--locked", "--target-dir", str(build)]
    run = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        text, _ = run.communicate(timeout=HANG_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        text, _ = run.communicate()
        return False, [f"a run of more than {HANG_SECONDS} s"]
    failed = list(dict.fromkeys(re.findall(r"(?:FAIL|TIMEOUT|ABORT|SIG\w+) \[.*?\] (?:\(.*?\) )?(\S+ \S+)", text)))
    if run.returncode and not failed:
        sys.exit(f"the tests do not build:\n{text[-3000:]}")
    return run.returncode == 0, failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", required=True, type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, help="where cargo builds, if elsewhere")
    parser.add_argument("--only", default="")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    folder, build = options.target / "tree", (options.build or options.target / "build").resolve()
    missed, found = [], 0
    for name, file, old, new in BUGS:
        count = (ROOT / file).read_text().count(old)
        if count != 1:
            sys.exit(f"{name}: its place stands {count} times in {file}")
    if options.list:
        print("\n".join(name for name, *_ in BUGS))
        return
    for name, file, old, new in BUGS:
        if options.only not in name:
            continue
        copy_of_tree(folder)
        place = folder / file
        place.write_text(place.read_text().replace(old, new))
        began = time.monotonic()
        passed, failed = tests(folder, build)
        told = "NOT FOUND" if passed else "found by " + ", ".join(failed[:3])
        print(f"{name}: {told} ({time.monotonic() - began:.0f} s)", flush=True)
        found += not passed
        missed += [name] if passed else []
    copy_of_tree(folder)
    print(f"{found} found, {len(missed)} not found")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
