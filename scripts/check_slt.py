"""Runs SQL logic tests against a corelane binary.

The tests are those of the package `datafusion-sqllogictest` (not copied here): files of records, each a
statement that must succeed or fail, or a query with its rows. A corelane process keeps no tables, so the
tables of a file are kept here: what is put into one lies in a file of CSV, and a query runs as a script
that declares the tables and views it names. Every record ends as one of

- passed: the same rows, or an error where one is expected;
- skipped, for one of the reasons in `REASONS`;
- differs as intended: its text or place stands in `check_slt_known.py`, with the reason;
- WRONG: other rows, a crash, an internal error, or a run that does not end.

Numbers are compared by value. A decimal of ours, which holds fewer digits than the other engine's
double, is compared in the digits it has. Rows without ORDER BY are compared without regard to order,
and behind ORDER BY rows that the order does not tell apart may change places.
"""

import argparse
import collections
import concurrent.futures
import csv
import decimal
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

import check_slt_known
import slt_format
from slt_compare import cell, same

D = decimal.Decimal

REASONS = {
    "setup": "kept by this script: DROP, and tables that records after it read",
    "plan": "EXPLAIN: the other engine's plans",
    "settings": "settings, catalogs and prepared statements of the other engine",
    "changes tables": "UPDATE, DELETE, COPY, ALTER and the like",
    "spark": "the files of another dialect (spark/)",
    "own types": "functions about the other engine's own types (arrow_typeof, arrow_cast, ..)",
    "own functions": "functions of the other engine that stand in no list of ours",
    "nested": "arrays, maps and structs",
    "formats": "tables of Parquet, Avro, Arrow and JSON files",
    "data": "files that the package does not hold",
    "table": "its table or view is among the skipped",
    "answered": "an error there; Corelane has an answer",
    "syntax": "refused: not read by the parser",
    "unsupported": "refused by name: not supported",
    "types": "refused: the types do not fit here",
    "names": "refused: names resolve otherwise",
    "values": "refused at run time: overflow, division by zero, a cast",
    "test": "what the other test runner does itself (control, other engines, values it leaves open)",
}
CODES = {"E0101": "syntax", "E0201": "names", "E0203": "names", "E0204": "names", "E0205": "own functions", "E0206": "settings", "E0207": "settings",
         "E0301": "types", "E0302": "unsupported", "E0401": "unsupported", "E0501": "values", "E0502": "values", "E0503": "values", "E0601": "unsupported",
         "E0701": "values", "E0702": "data"}
NESTED = re.compile(r"\b(array|make_array|list|struct|named_struct|map|unnest|row|arrays?_\w+|list_\w+|map_\w+|array_agg|get_field|flatten|cardinality|"
                    r"make_list|string_to_array|range|generate_series)\s*[(\[<]|\[|\bARRAY\b|\bSTRUCT\b|\bMAP\b", re.I)
OWN_TYPES = re.compile(r"\b(arrow_\w+|union_\w+|version|cast_to_type|get_metadata|encode|decode)\s*\(", re.I)
# Columns of the test data and casts that are FLOAT or REAL.
FLOAT = re.compile(r"\bc11\b|\b(float|float16|float32|real)\b", re.I)
# Types that are not there, as what holds their values.
COLUMN_TYPES = [(re.compile(rf"\b{name}\s+UNSIGNED\b", re.I), wider) for name, wider in [("(?:TINYINT|SMALLINT)", "INT"), ("INT(?:EGER)?", "BIGINT"), ("BIGINT", "DECIMAL(20, 0)")]]
COLUMN_TYPES.append((re.compile(r"\bTIMESTAMP\b(?!\s*(\(|WITH))", re.I), "TIMESTAMP(6)"))  # without a precision all digits there are
ZONE = re.compile(r"SET\s+(?:datafusion\.execution\.time_zone|TIME\s+ZONE|TIMEZONE)\s*(?:=|TO)?\s*'?([^';]*)", re.I)


class Refused(Exception):
    """Corelane's error: its code and message."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


class Crash(Exception):
    pass


class Skip(Exception):
    def __init__(self, reason, message=""):
        super().__init__(reason)
        self.reason, self.message = reason, message


class Engine:
    def __init__(self, corelane, folder, data):
        self.corelane, self.folder, self.data = corelane, folder, data

    def run(self, script, form="ndjson"):
        command = [self.corelane, "-f", "-", "--quiet", "--format", form, "--shards", "1", "--executor", "threads", "--color", "never"]
        try:
            done = subprocess.run(command, input=script.encode(), capture_output=True, timeout=60, cwd=self.folder)
        except subprocess.TimeoutExpired:
            raise Crash("still running after a minute") from None
        err = done.stderr.decode(errors="replace")
        if done.returncode == 0:
            return done.stdout.decode(errors="replace")
        found = re.search(r"error\[(E\d+)\]: (.*)", err)
        if done.returncode < 0 or done.returncode > 4 or "panicked" in err or not found or found[1] == "E0901":
            raise Crash(f"status {done.returncode}: {err[:2000]}")
        raise Refused(found[1], found[2])


class File:
    """One file of tests, and the tables it has made so far."""

    def __init__(self, engine, path):
        self.engine, self.path = engine, path
        self.objects = {}  # name -> (statement, names it reads, folder of a table) or a reason to skip
        self.made = 0
        self.zone = ""  # a statement that sets it

    def declared(self, text):
        """The statements that `text` needs, in order."""
        needed, rest = set(), [text]
        while rest:
            words = {word.lower() for word in re.findall(r"[\w$]+", strip_texts(rest.pop()))}
            for name in words & self.objects.keys() - needed:
                needed.add(name)
                known = self.objects[name]
                if isinstance(known, Skip):
                    raise Skip(known.reason if known.reason in ("data", "formats", "nested") else "table", known.message)
                rest.append(known[0])
        return self.zone + "".join(known[0] + ";\n" for name, known in self.objects.items() if name in needed)

    def query(self, sql):
        text = self.engine.run(self.declared(sql) + sql)
        return [[cell(value) for _, value in json.loads(line, parse_float=D, parse_int=D, object_pairs_hook=list)] for line in text.splitlines()]

    # Tables.

    def put(self, name, columns, query, file):
        """Runs `query` into a file of CSV; more rows are put behind those it holds. How many came."""
        new = self.engine.folder / f"new{self.made}.csv"
        new.unlink(missing_ok=True)
        into = f"CREATE TABLE __into ({columns}) WITH ('path' = '{new}', 'format' = 'csv');\n"
        self.engine.run(self.declared(query) + into + query)
        text = new.read_text() if new.exists() else ""
        header, _, rows = text.partition("\n")
        if not file.exists():
            file.write_text(header + "\n")
        with file.open("a") as out:
            out.write(rows)
        new.unlink(missing_ok=True)
        return len(list(csv.reader(io.StringIO(rows))))

    def create_table(self, name, columns, query):
        self.made += 1
        if not columns:
            view = f"CREATE VIEW __view AS {query};\n"
            columns = self.engine.run(self.declared(query) + view + "DESCRIBE __view")
            columns = [re.split(r" {2,}", line, maxsplit=1) for line in columns.splitlines()]
            columns = ", ".join(f'"{column}" {kind}' for column, kind in columns)
        file = self.engine.folder / f"table{self.made}.csv"
        file.unlink(missing_ok=True)
        count = None
        try:
            if query:
                count = self.put(name, columns, f"INSERT INTO __into {query}", file)
            else:
                names = [column.split('"')[1] if '"' in column else column.split()[0] for column in slt_format.split_commas(columns)]
                file.write_text(",".join(names) + "\n")
                # The columns are read once, so that a type that is not known shows here.
                self.engine.run(f"CREATE TABLE {name} ({columns}) WITH ('path' = '{file}', 'format' = 'csv');\nSELECT * FROM {name}")
        except Refused:
            if not query:
                raise
            # Values that no file of CSV holds: the table is a view.
            names = [column.strip().split()[0] for column in slt_format.split_commas(columns)]
            casts = ", ".join(f"CAST({n} AS {' '.join(column.split()[1:])}) AS {n}" for n, column in zip(names, slt_format.split_commas(columns)))
            view = f"CREATE VIEW {name} AS SELECT {casts} FROM ({query}) AS __q ({', '.join(names)})"
            self.engine.run(self.declared(query) + view + f";\nSELECT * FROM {name}")
            self.objects[name.lower()] = (view, None)
            return
        self.objects[name.lower()] = (f"CREATE TABLE {name} ({columns}) WITH ('path' = '{file}', 'format' = 'csv')", (columns, file, name))
        return count

    def external(self, name, columns, rest):
        kind = re.search(r"STORED\s+AS\s+(\w+)", rest, re.I)
        if kind and kind[1].upper() != "CSV":
            raise Skip("formats")
        location = re.search(r"LOCATION\s+'([^']*)'", rest, re.I)
        if not location:
            raise Refused("E0101", "no LOCATION")
        found = None
        for root in [self.engine.data / "datafusion" / "sqllogictest" if self.engine.data else None, self.engine.folder / "package"]:
            path = root and pathlib.Path(os.path.normpath(root / location[1]))
            if path and path.exists():
                found = path
        if self.engine.data and not found and "/testing/" in location[1]:
            path = self.engine.data / location[1][location[1].index("testing/"):]
            found = path if path.exists() else None
        if not found:
            raise Skip("data", location[1])
        if found.suffix not in ("", ".csv", ".tbl"):
            raise Skip("formats")
        options = dict(re.findall(r"'([^']*)'\s+'([^']*)'", rest))
        options |= dict(re.findall(r"'?([\w.]+)'?\s+(true|false)\b", rest))
        options = {key.lower().removeprefix("format."): value for key, value in options.items()}
        with_ = {"path": f"{found}/*.csv" if found.is_dir() else str(found), "format": "csv"}
        if options.get("has_header", "true") == "false":
            with_["header"] = "false"
        if "delimiter" in options:
            with_["delimiter"] = options["delimiter"]
        if set(options) - {"has_header", "delimiter", "quote", "null_regex"} or options.get("quote", '"') != '"':
            raise Skip("formats", str(options))
        columns = re.sub(r"\bNOT\s+NULL\b|\bNULL\b", "", columns or "", flags=re.I).strip().rstrip(",").strip()
        with_ = ", ".join(f"'{key}' = '{value}'" for key, value in with_.items())
        statement = f"CREATE TABLE {name} ({columns}) WITH ({with_})" if columns else f"CREATE TABLE {name} WITH ({with_})"
        self.engine.run(f"{statement};\nSELECT * FROM {name} LIMIT 1")
        self.objects[name.lower()] = (statement, None)

    def statement(self, sql):
        """Runs a statement; rows that came, where it says."""
        create = re.match(r"CREATE\s+(OR\s+REPLACE\s+)?(TEMPORARY\s+|TEMP\s+|UNBOUNDED\s+)*(EXTERNAL\s+TABLE|TABLE|VIEW)\s+(IF\s+NOT\s+EXISTS\s+)?([\w.\"]+)", sql, re.I)
        if create:
            name = create[5].replace('"', "").split(".")[-1]
            kind, rest = create[3].upper().split()[0], sql[create.end():].strip()
            try:
                if name.lower() in self.objects and create[4]:
                    return
                if name.lower() in self.objects and not create[1] and not isinstance(self.objects[name.lower()], Skip):
                    raise Refused("E0201", "the table is there already")
                self.objects.pop(name.lower(), None)
                if kind == "VIEW":
                    statement = f"CREATE VIEW {name} {rest}"
                    self.engine.run(self.declared(rest) + statement + f";\nDESCRIBE {name}")
                    self.objects[name.lower()] = (statement, None)
                    return
                columns, behind = slt_format.parenthesized(rest)
                for other, wider in COLUMN_TYPES:
                    columns = columns and other.sub(wider, columns)
                if columns and re.match(r"SELECT|VALUES|WITH", columns.strip(), re.I):
                    columns, behind = None, rest
                if kind == "EXTERNAL":
                    self.external(name, columns, behind)
                    return
                if columns:
                    columns = re.sub(r"\bNOT\s+NULL\b|\bNULL\b|\bPRIMARY\s+KEY\b(?!\s*\()|\bUNIQUE\b(?!\s*\()", "", columns, flags=re.I)
                    columns = ", ".join(c for c in slt_format.split_commas(columns) if not re.match(r"\s*(PRIMARY\s+KEY|UNIQUE|CONSTRAINT)\b|\s*$", c, re.I))
                query = re.sub(r"^AS\b", "", behind, flags=re.I).strip()
                if not columns and not query:
                    raise Skip("unsupported")
                return self.create_table(name, columns, query)
            except (Refused, Skip, Crash) as error:
                if isinstance(error, Refused):
                    error_ = Skip(reason(error, sql), f"{name}: {error.message}")
                else:
                    error_ = error if isinstance(error, Skip) else Skip("table", name)
                self.objects[name.lower()] = error_
                raise
        insert = re.match(r"INSERT\s+INTO\s+(TABLE\s+)?([\w.\"]+)\s*", sql, re.I)
        if insert:
            name = insert[2].replace('"', "").split(".")[-1].lower()
            known = self.objects.get(name)
            if known is None:
                raise Refused("E0201", f"no table {name}")
            if isinstance(known, Skip):
                raise Skip("table", known.message)
            if not known[1]:
                self.objects[name] = Skip("changes tables", name)
                raise Skip("changes tables")
            columns, file, _ = known[1]
            try:
                return self.put(name, columns, f"INSERT INTO __into {sql[insert.end():]}", file)
            except Refused as error:
                self.objects[name] = Skip(reason(error, sql), f"{name}: {error.message}")
                raise
        drop = re.match(r"DROP\s+(TABLE|VIEW)\s+(IF\s+EXISTS\s+)?([\w.\"]+)", sql, re.I)
        if drop:
            if self.objects.pop(drop[3].replace('"', "").split(".")[-1].lower(), None) is None and not drop[2]:
                raise Refused("E0201", "no such table")
            raise Skip("setup")
        self.query(sql)


def reason(refused, sql):
    if NESTED.search(strip_texts(sql)) and refused.code in ("E0101", "E0205", "E0301", "E0401"):
        return "nested"
    if OWN_TYPES.search(sql):
        return "own types"
    return CODES.get(refused.code, "unsupported")


def strip_texts(sql):
    return re.sub(r"'(?:[^']|'')*'", "''", sql)


def judge(file, record):
    """What becomes of a record: (outcome, reason, more)."""
    sql = slt_format.plain_casts(record.sql.strip().rstrip(";").strip())
    plain = slt_format.without_comments(sql).strip()
    first = (re.match(r"\(*\s*(\w+)", plain) or [""] * 2)[1].upper()
    known = check_slt_known.find(file.path, record.sql)
    try:
        if record.foreign:
            raise Skip("test")
        if first in ("EXPLAIN", "DESCRIBE", "DESC"):
            raise Skip("plan")
        if zone := ZONE.match(plain):
            file.zone = f"SET time_zone = '{zone[1]}';\n" if zone[1].strip() else ""
            file.engine.run(file.zone + "SELECT 1")
            raise Skip("settings")
        if first in ("SET", "RESET", "SHOW", "PREPARE", "EXECUTE", "DEALLOCATE", "USE", "START", "COMMIT", "ROLLBACK", "BEGIN") or "information_schema" in plain.lower():
            raise Skip("settings")
        if re.match(r"CREATE\s+(OR\s+REPLACE\s+)?(SCHEMA|DATABASE|CATALOG|FUNCTION|INDEX)|DROP\s+(SCHEMA|FUNCTION)", plain, re.I):
            raise Skip("settings")
        if first in ("UPDATE", "DELETE", "COPY", "ALTER", "MERGE", "TRUNCATE", "ANALYZE", "INSERT") and not re.match(r"INSERT\s+INTO", plain, re.I):
            for name in re.findall(r"[\w$]+", plain.lower())[:4]:
                if name in file.objects:
                    file.objects[name] = Skip("changes tables", name)
            raise Skip("changes tables")
        if OWN_TYPES.search(plain):
            if first == "CREATE":
                name = re.findall(r"(?:TABLE|VIEW)\s+(?:IF\s+NOT\s+EXISTS\s+)?([\w.\"]+)", plain, re.I)
                if name:
                    file.objects[name[0].lower().replace('"', "")] = Skip("own types", name[0])
            raise Skip("own types")
        if first in ("CREATE", "INSERT", "DROP"):
            rows = file.statement(plain)
            ours = [] if rows is None else [[str(rows)]]
        else:
            ours = file.query(sql)
    except Skip as skip:
        return ("skipped", skip.reason, skip.message)
    except Crash as crash:
        return ("WRONG", "crash", str(crash))
    except Refused as refused:
        if record.error:
            return ("passed", "refused", "")
        return ("skipped", reason(refused, plain), f"{refused.code} {refused.message}")
    if record.error:
        if insert := re.match(r"INSERT\s+INTO\s+([\w.]+)", plain, re.I):
            file.objects[insert[1].lower()] = Skip("answered", insert[1])  # its rows are others now
        return ("skipped", "answered", record.error)
    if not record.rows_told:
        return ("passed", "", "")
    if first in ("CREATE", "INSERT"):
        return ("passed", "", "")
    if any("<slt:ignore>" in line for line in record.rows):
        return ("skipped", "test", "values left open")
    different = same(ours, record.rows, sql, record.sort)
    if not different:
        return ("passed", "", "")
    lines = [" ".join(row) for row in ours]
    if different == "other rows" and slt_format.is_limited(sql) and not slt_format.is_ordered(sql):
        return ("skipped", "test", "LIMIT takes any rows where nothing orders them")
    if FLOAT.search(record.sql + file.declared(sql)) and not same(ours, record.rows, sql, record.sort, digits=6):
        return ("known", check_slt_known.FLOAT, different)
    if known:
        return ("known", known, different)
    return ("WRONG", different, "\n".join(["ours:", *lines[:40], "theirs:", *record.rows[:40]]))


def run_file(job):
    path, corelane, package, data = job
    results = []
    with tempfile.TemporaryDirectory(prefix="corelane-slt-") as folder:
        folder = pathlib.Path(folder)
        (folder / "package").symlink_to(package)
        name = str(path.relative_to(package / "test_files"))
        file = File(Engine(corelane, folder, data), name)
        for record in slt_format.records(path, package / "test_files"):
            if name.startswith("spark/"):
                outcome = ("skipped", "spark", "")
            else:
                outcome = judge(file, record)
            results.append((f"{name}:{record.line}", record.sql, *outcome))
    return name, results


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--corelane", required=True)
    parser.add_argument("--package", required=True, help="the package as it was fetched")
    parser.add_argument("--data", type=pathlib.Path, help="a checkout of the project that the package is of")
    parser.add_argument("--only", default="", help="files whose path holds this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--details", type=pathlib.Path, help="every record and what became of it, as JSON lines")
    parser.add_argument("--page", type=pathlib.Path, help="writes the counts there")
    arguments = parser.parse_args()
    corelane = str(pathlib.Path(arguments.corelane).resolve())
    data = arguments.data and arguments.data.resolve()
    root = pathlib.Path(tempfile.mkdtemp(prefix="corelane-slt-package-"))
    try:
        with tarfile.open(arguments.package) as package:
            package.extractall(root, filter="data")
        package = next(root.iterdir())
        paths = sorted(path for path in (package / "test_files").rglob("*.slt") if arguments.only in str(path.relative_to(package)))
        jobs = [(path, corelane, package, data) for path in paths]
        with concurrent.futures.ProcessPoolExecutor(arguments.jobs) as pool:
            results = list(pool.map(run_file, jobs))
    finally:
        shutil.rmtree(root)
    report(results, arguments)


def report(results, arguments):
    everything = [record for _, records in results for record in records]
    if arguments.details:
        with arguments.details.open("w") as out:
            for place, sql, outcome, why, more in everything:
                out.write(json.dumps({"place": place, "sql": sql, "outcome": outcome, "reason": why, "more": more}) + "\n")
    wrong = [record for record in everything if record[2] == "WRONG"]
    for place, sql, _, why, more in wrong:
        print(f"WRONG {place}: {why}\n{sql}\n{more}\n")
    outcomes = collections.Counter(outcome for _, _, outcome, _, _ in everything)
    reasons = collections.Counter(why for _, _, outcome, why, _ in everything if outcome == "skipped")
    print(f"{len(results)} files, {len(everything)} records: {outcomes['passed']} passed, {outcomes['known']} differ as intended, "
          f"{outcomes['skipped']} skipped, {outcomes['WRONG']} WRONG")
    for why, count in reasons.most_common():
        print(f"  {count:6} skipped, {why}: {REASONS[why]}")
    if arguments.page:
        arguments.page.write_text(check_slt_known.page(results, REASONS, os.path.basename(arguments.package), arguments.data))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
