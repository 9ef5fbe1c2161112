"""Holds random queries against DuckDB.

A seeded generator writes small CSV files (a table is one to four of them) and typed random queries over
them: projections, conditions, groups, windows of time and of rows. Each query is written twice, once as
Corelane's SQL and once as what it means in DuckDB's; rules of Corelane's own (decimal division, AVG of
decimals, casts that cut off, NULL in LEAST) are spelled out on DuckDB's side. Every query runs as 1, 2
and 7 shards, and the rows are compared without regard to order, except behind ORDER BY: doubles to a
relative 1e-9 or 1e-8 apart (what is left of two large numbers), all else exactly. A crash, an internal error and a run that does not end count as wrong.

The same seed gives the same files and queries. `--only N` runs one query of the seed, `--keep DIR`
leaves each wrong query there with its files, and `--refusals` lists what one side did not accept.

Where the two may differ, and so what is never generated: doubles as text, characters whose case or
order changes their length, and sums of doubles that depend on their order.
"""

import argparse
import collections
import concurrent.futures
import datetime
import decimal
import math
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

import duckdb

import check_functions
import check_joins
import check_sets

D = decimal.Decimal
decimal.getcontext().prec = 80

INT, DBL, TEXT, BOOL, DATE, TS = ("int",), ("dbl",), ("text",), ("bool",), ("date",), ("ts",)
D10, D30 = ("dec", 10, 2), ("dec", 30, 6)

# name, type here, type in Corelane, type in DuckDB
COLUMNS = [
    ("id", INT, "BIGINT", "BIGINT"),
    ("ts", TS, "TIMESTAMP(3)", "TIMESTAMP"),
    ("k", INT, "INT", "BIGINT"),
    ("g", TEXT, "STRING", "VARCHAR"),
    ("i", INT, "INT", "BIGINT"),
    ("b", INT, "BIGINT", "BIGINT"),
    ("huge", INT, "BIGINT", "BIGINT"),
    ("d", D10, "DECIMAL(10, 2)", "DECIMAL(10,2)"),
    ("w", D30, "DECIMAL(30, 6)", "DECIMAL(30,6)"),
    ("x", DBL, "DOUBLE", "DOUBLE"),
    ("s", TEXT, "STRING", "VARCHAR"),
    ("n", TEXT, "STRING", "VARCHAR"),
    ("f", BOOL, "BOOLEAN", "BOOLEAN"),
    ("dt", DATE, "DATE", "DATE"),
    ("t2", TS, "TIMESTAMP(3)", "TIMESTAMP"),
]

WORDS = [
    "", "a", "A", "ab", "Abc", "abc", "b", "ba", "banana", "Banana", "twelve bytes", "thirteen bytes",
    "thirteen bytes and more", "thirteen bytes and less", "Zürich", "ZÜRICH", "Ünïcödé text of many bytes",
    "漢字", "漢字かな交じり文の長いもの", "emoji 🦀", "a,b,c", "x,,y", 'say "hi"', '"', "two\nlines", "line\r\nbreak",
    " padded ", "  ", "50%", "a_b", "a%b", "back\\slash", "NULL", "null", "it's", "0", "-1", "true", ",", "\ttab",
]
GROUPS = ["", "red", "green", "blue", "a group with a long name 1", "a group with a long name 2", "grün", "漢"]
NUMBERS = ["", "0", "1", "-1", "42", "3.75", "-3.75", "1e3", "007", "+5", "abc", "12 apples", "9223372036854775807",
           "9223372036854775808", "true", "2024-02-29", "2023-02-29", "2024-02-29 12:34:56", "2.5e-1", "1.005"]

MACROS = """
CREATE MACRO half(n, d) AS CASE WHEN (n < 0) = (d < 0) THEN (2 * abs(n) + abs(d)) // (2 * abs(d)) ELSE -((2 * abs(n) + abs(d)) // (2 * abs(d))) END;
CREATE MACRO pad_left(s, n, c) AS CASE WHEN s IS NOT NULL THEN lpad(s, n, c) END;
"""

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
EPOCH = datetime.datetime(1970, 1, 1)


def stamp(ms):
    return (EPOCH + datetime.timedelta(milliseconds=ms)).strftime("%Y-%m-%d %H:%M:%S.") + f"{ms % 1000:03}"


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


class Data:
    """The files of one table, and the same rows in DuckDB."""

    def __init__(self, seed, folder, rows=None):
        self.random = random.Random(f"data {seed}")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        r = self.random
        self.prefix = "part"
        self.rows = []
        files = r.choice([1, 2, 3, 4])
        size = rows or r.choice([0, 1, 3, 20, 20, 60, 60, 200, 200, 3000])
        self.start = r.choice([0, 1_700_000_000_000, 1_709_164_800_000 - HOUR, -3 * DAY])
        self.nulls = r.choice([0, 0.1, 0.1, 0.5])
        in_order = self.in_order = r.random() < 0.7
        number = 0
        for file in range(files):
            count = r.choice([size, size, 0 if r.random() < 0.3 else size // 2])
            time = self.start
            rows = []
            for _ in range(count):
                time += r.choice([0, 0, 1, 999, 1000, 30_000, 59_999, MINUTE, 7 * MINUTE, HOUR if count < 500 else 5])
                rows.append(self.row(number, time))
                number += 1
            if not in_order:
                r.shuffle(rows)
            self.rows += [(*row, file, line) for line, row in enumerate(rows)]
            self.write(file, rows)
        self.base = duckdb.connect()
        self.base.execute("SET threads = 1; SET TimeZone = 'UTC'; SET default_null_order = 'nulls_last'" + ";" + MACROS)
        self.fill("t", self.rows)
        self.others()

    def fill(self, table, rows):
        columns = ", ".join(f"{name} {duck}" for name, _, _, duck in COLUMNS)
        self.base.execute(f"CREATE TABLE {table} ({columns}, file_ INT, line_ INT)")
        for at in range(0, len(rows), 500):
            values = ", ".join("(" + ", ".join(map(self.literal, row)) + ")" for row in rows[at:at + 500])
            self.base.execute(f"INSERT INTO {table} VALUES {values}")

    def others(self):
        """The table `u`: two small files of the same columns, over the same time."""
        r = self.random = random.Random(f"others {self.start} {len(self.rows)}")
        self.prefix = "other"
        first = self.start
        last = int((datetime.datetime.strptime(max(row[1] for row in self.rows), "%Y-%m-%d %H:%M:%S.%f") - EPOCH) / datetime.timedelta(milliseconds=1)) if self.rows else first
        rows = []
        for file in range(2):
            count = r.choice([0, 5, 20, 40])
            times = sorted(r.choice([r.randint(first, last), r.choice(self.times(first))]) for _ in range(count))
            some = [self.row(len(rows) + n, time) for n, time in enumerate(times)]
            rows += [(*row, file, line) for line, row in enumerate(some)]
            self.write(file, some)
        self.fill("u", rows)

    def times(self, first):
        some = self.rows[:50] or [(0, stamp(first))]
        return [int((datetime.datetime.strptime(row[1], "%Y-%m-%d %H:%M:%S.%f") - EPOCH) / datetime.timedelta(milliseconds=1)) for row in some]

    def row(self, number, time):
        r = self.random
        maybe = lambda value: None if r.random() < self.nulls else value
        cents = lambda: r.choice([0, 1, -1, 5, 50, 150, -250, 99_999_999_99, r.randint(-100_000, 100_000)])
        wide = lambda: r.choice([0, 1, -500_000, 123_456_789_012_345_678, r.randint(-10**12, 10**12)])
        return (
            number,
            stamp(time),
            maybe(r.randint(0, 4)),
            maybe(r.choice(GROUPS)),
            maybe(r.choice([0, 1, -1, 2, 7, r.randint(-100, 100), r.randint(-2**31, 2**31 - 1)])),
            maybe(r.choice([0, 1, 2, 10, -7, r.randint(-10**6, 10**6)])),
            maybe(r.choice([2**63 - 1, -2**63, 2**53 + 1, -2**53 - 1, 0, r.randint(-2**63, 2**63 - 1)])),
            maybe(D(cents()).scaleb(-2) if r.random() < 0.95 else D(99999999).scaleb(-2)),
            maybe(D(wide()).scaleb(-6)),
            maybe(r.choice([0.0, -0.0, 0.25, -1.5, 1e6, r.randint(-4000, 4000) / 4])),
            maybe(r.choice(WORDS)),
            maybe(r.choice(NUMBERS)),
            maybe(r.random() < 0.5),
            maybe((EPOCH + datetime.timedelta(days=r.randint(-400, 20_000))).strftime("%Y-%m-%d")),
            maybe(stamp(r.choice([0, -1, DAY - 1, r.randint(-10**11, 2 * 10**12)]))),
        )

    def write(self, file, rows):
        r = self.random
        ending = r.choice(["\n", "\n", "\r\n"])
        eager = r.random() < 0.2

        def field(value):
            if value is None:
                return ""
            text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
            if isinstance(value, D):
                text = format(value, "f")
            if text == "" or eager or any(c in text for c in ',"\r\n'):
                return '"' + text.replace('"', '""') + '"'
            return text

        lines = [",".join(name for name, *_ in COLUMNS)] + [",".join(map(field, row)) for row in rows]
        text = ending.join(lines) + (ending if r.random() < 0.8 else "")
        (self.folder / f"{self.prefix}{file}.csv").write_bytes(text.encode())

    @staticmethod
    def literal(value):
        if value is None:
            return "NULL"
        if isinstance(value, bool):
            return str(value)
        if isinstance(value, str):
            return quoted(value)
        if isinstance(value, float):
            return f"'{value!r}'::DOUBLE"
        return format(value, "f") if isinstance(value, D) else str(value)

    def ddl(self, delay="INTERVAL '1000' DAY"):
        columns = ", ".join(f"{name} {corelane}" for name, _, corelane, _ in COLUMNS)
        return "".join(
            f"CREATE TABLE {table} ({columns}, WATERMARK FOR ts AS ts - {delay}) "
            f"WITH ('path' = '{self.folder}/{prefix}*.csv', 'format' = 'csv');\n"
            for table, prefix in [("t", "part"), ("u", "other")]
        )


class E:
    """An expression in both dialects."""

    def __init__(self, corelane, duck, kind):
        self.c, self.d, self.t = corelane, duck, kind


def both(text, kind):
    return E(text, text, kind)


class Query:
    def __init__(self, corelane, duck, kinds, ordered=False, delay=()):
        self.corelane, self.duck, self.kinds, self.ordered, self.shape = corelane, duck, kinds, ordered, ""
        self.delay = delay  # of the watermark, where files are in order of time; else a very long one


class Generator(check_joins.Joins, check_sets.Sets, check_functions.Functions):
    """Random expressions and queries; everything seen is counted in `seen`."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.seen = collections.Counter()
        self.columns = [both(name, kind) for name, kind, *_ in COLUMNS]
        self.both, self.Query, self.E = both, Query, E
        # In what order rows stand in the input.
        self.arrival = "file_, line_"

    def mark(self, name):
        self.seen[name] += 1

    # Expressions.

    def column(self, kind):
        fits = [column for column in self.columns if column.t[0] == kind[0] and column.c != "huge"]
        return self.r.choice(fits) if fits else self.constant(kind)

    def named(self, name):
        return next(column for column in self.columns if column.c.split(".")[-1] == name)

    def constant(self, kind):
        r = self.r
        match kind[0]:
            case "int":
                value = r.choice([0, 1, 2, 3, -1, 10, r.randint(-100, 100)])
                return E(str(value), f"({value})::BIGINT", INT)
            case "dec":
                value = r.choice(["0.5", "1.25", "-2.5", "0.01", "100.00", "3.333"])
                digits = value.lstrip("-").replace(".", "").lstrip("0") or "0"
                scale = len(value.split(".")[1])
                return both(value if value[0] != "-" else f"({value})", ("dec", max(len(digits), scale), scale))
            case "dbl":
                value = r.choice(["0e0", "1.5e0", "-2.5e-1", "1e3"])
                return both(value if value[0] != "-" else f"({value})", DBL)
            case "text":
                return both(quoted(r.choice(WORDS + GROUPS)), TEXT)
            case "bool":
                return both(r.choice(["TRUE", "FALSE"]), BOOL)
            case "date":
                return both(f"DATE '{r.choice(['2024-02-29', '1970-01-01', '2000-12-31'])}'", DATE)
            case "ts":
                return both(f"TIMESTAMP '{r.choice(['2024-02-29 12:34:56.789', '1970-01-01 00:00:00', '1969-12-31 23:59:59.999'])}'", TS)

    def expression(self, kind, depth):
        r = self.r
        if depth <= 0 or r.random() < 0.15:
            return self.column(kind) if r.random() < 0.8 else self.constant(kind)
        if r.random() < 0.22:
            return self.conditional(kind, depth - 1)
        if kind[0] in ("int", "dbl", "text", "bool") and r.random() < 0.15:
            return getattr(self, "more_" + kind[0])(depth - 1)
        return getattr(self, "a_" + kind[0])(depth - 1)

    def any_kind(self):
        return self.r.choice([INT, INT, D10, D10, DBL, TEXT, TEXT, BOOL, DATE, TS])

    def conditional(self, kind, depth):
        r = self.r
        which = r.choice(["CASE", "CASE operand", "COALESCE", "NULLIF", "IF", "guard"])
        self.mark(which)
        if which == "guard":
            return self.guard(kind, depth)
        one = self.expression(kind, depth)
        # All branches share one type, or else the digits of decimals are another story.
        two = self.cast_like(self.expression(kind, depth), one)
        match which:
            case "CASE":
                first, second = self.a_bool(depth), self.a_bool(depth)
                three = self.cast_like(self.column(kind), one)
                tail = r.choice([("", ""), (f" ELSE {three.c}", f" ELSE {three.d}")])
                return E(f"CASE WHEN {first.c} THEN {one.c} WHEN {second.c} THEN {two.c}{tail[0]} END",
                         f"CASE WHEN {first.d} THEN {one.d} WHEN {second.d} THEN {two.d}{tail[1]} END", one.t)
            case "CASE operand":
                operand = r.choice([INT, TEXT])
                tested, value = self.expression(operand, depth), self.constant(operand)
                return E(f"CASE {tested.c} WHEN {value.c} THEN {one.c} ELSE {two.c} END",
                         f"CASE {tested.d} WHEN {value.d} THEN {one.d} ELSE {two.d} END", one.t)
            case "COALESCE":
                return E(f"COALESCE({one.c}, {two.c})", f"COALESCE({one.d}, {two.d})", one.t)
            case "NULLIF":
                return E(f"NULLIF({one.c}, {two.c})", f"NULLIF({one.d}, {two.d})", one.t)
            case "IF":
                test = self.a_bool(depth)
                return E(f"IF({test.c}, {one.c}, {two.c})", f"CASE WHEN {test.d} THEN {one.d} ELSE {two.d} END", one.t)

    def guard(self, kind, depth):
        """A division that only CASE keeps from failing."""
        divisor = self.column(INT)
        one = self.expression(kind, depth)
        return E(f"CASE WHEN {divisor.c} <> 0 AND 100 / {divisor.c} > 3 THEN {one.c} END", f"CASE WHEN 100 // NULLIF({divisor.d}, 0) > 3 THEN {one.d} END", one.t)

    @staticmethod
    def cast_like(expression, model):
        if expression.t == model.t or model.t[0] != "dec":
            return expression
        name = f"DECIMAL({model.t[1]}, {model.t[2]})"
        return E(f"TRY_CAST({expression.c} AS {name})", f"TRY_CAST({expression.d} AS {name})", model.t)

    def number(self, depth):
        return self.expression(self.r.choice([INT, INT, D10, DBL]), depth)

    def a_int(self, depth):
        r = self.r
        which = r.choice(["+", "-", "*", "/", "%", "negate", "abs", "sign", "length", "position", "ascii", "count_char",
                          "extract", "extract", "year..", "timestampdiff", "datediff", "CAST int", "TRY_CAST int",
                          "floor int", "greatest", "unix_timestamp", "+", "date-date", "strpos", "quarter..", "datediff unit", "json int"])
        self.mark(which)
        one, two = self.expression(INT, depth), self.expression(INT, depth)
        whole = lambda c, d: E(c, f"({d})::BIGINT", INT)
        match which:
            case "+" | "-":
                return E(f"({one.c} {which} {two.c})", f"({one.d} {which} {two.d})", INT)
            case "*":
                two = self.constant(INT)
                return E(f"({one.c} * {two.c})", f"({one.d} * {two.d})", INT)
            case "/":
                return E(f"({one.c} / NULLIF({two.c}, 0))", f"({one.d} // NULLIF({two.d}, 0))", INT)
            case "%":
                forms = [f"({one.c} % NULLIF({two.c}, 0))", f"MOD({one.c}, NULLIF({two.c}, 0))"]
                return E(r.choice(forms), f"({one.d} % NULLIF({two.d}, 0))", INT)
            case "negate":
                return E(f"(- {one.c})", f"(- {one.d})", INT)
            case "abs":
                return E(f"ABS({one.c})", f"abs({one.d})", INT)
            case "sign":
                some = self.number(depth)
                return whole(f"SIGN({some.c})", f"sign({some.d})")
            case "length":
                text = self.expression(TEXT, depth)
                return whole(f"{r.choice(['LENGTH', 'CHAR_LENGTH', 'CHARACTER_LENGTH'])}({text.c})", f"length({text.d})")
            case "position":
                text, what = self.expression(TEXT, depth), both(quoted(r.choice(["a", "n", "an", "ü", ",", "漢", " ", ""])), TEXT)
                return whole(f"POSITION({what.c} IN {text.c})", f"position({what.d} IN {text.d})")
            case "ascii":
                text = self.expression(TEXT, depth)
                return whole(f"ASCII({text.c})", f"CASE WHEN {text.d} = '' THEN 0 ELSE unicode({text.d}) END")
            case "count_char":
                text = self.expression(TEXT, depth)
                return whole(f"COUNT_CHAR({text.c}, 'a')", f"length({text.d}) - length(replace({text.d}, 'a', ''))")
            case "extract":
                unit = r.choice(["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "DOW", "DOY", "EPOCH", "MILLISECOND"])
                self.mark("extract " + unit)
                time = self.expression(TS, depth)
                duck = f"floor(extract(epoch FROM {time.d}))" if unit == "EPOCH" else f"extract({unit} FROM {time.d})"
                return whole(f"EXTRACT({unit} FROM {time.c})", duck)
            case "year..":
                unit = r.choice(["YEAR", "MONTH", "DAY"])
                time = self.expression(r.choice([TS, DATE]), depth)
                return whole(f"{unit}({time.c})", f"{unit}({time.d})")
            case "timestampdiff":
                unit = r.choice(["second", "minute", "hour", "day"])
                a, b = self.expression(TS, depth), self.expression(TS, depth)
                return whole(f"TIMESTAMPDIFF('{unit}', {a.c}, {b.c})", f"date_sub('{unit}', {a.d}, {b.d})")
            case "datediff":
                a, b = self.expression(TS, depth), self.expression(TS, depth)
                return whole(f"DATEDIFF({a.c}, {b.c})", f"date_diff('day', {b.d}, {a.d})")
            case "unix_timestamp":
                time = self.expression(TS, depth)
                return whole(f"UNIX_TIMESTAMP({time.c})", f"floor(epoch({time.d}))")
            case "CAST int":
                value = self.expression(r.choice([D10, DBL, BOOL]), depth)
                name = r.choice(["BIGINT", "INT"])
                if value.t == BOOL:
                    return whole(f"CAST({value.c} AS {name})", f"CAST({value.d} AS {name})")
                return whole(f"TRY_CAST({value.c} AS {name})", f"TRY_CAST(trunc({value.d}) AS {name})")
            case "TRY_CAST int":
                text = r.choice([self.column(TEXT), self.named("n"), self.named("n")])
                name = r.choice(["BIGINT", "INT"])
                return whole(f"TRY_CAST({text.c} AS {name})", f"TRY_CAST(TRY_CAST({text.d} AS DECIMAL(38,3)) AS {name})")
            case "floor int":
                name = r.choice(["FLOOR", "CEIL", "ROUND"])
                return whole(f"{name}({one.c})", one.d)
            case "greatest":
                name = r.choice(["GREATEST", "LEAST"])
                return E(f"{name}({one.c}, {two.c})", f"CASE WHEN {one.d} IS NOT NULL AND {two.d} IS NOT NULL THEN {name}({one.d}, {two.d}) END", INT)
            case "strpos":
                text, what = self.expression(TEXT, depth), quoted(r.choice(["a", "an", "ü", "bytes", "n"]))
                return whole(f"{r.choice(['STRPOS', 'INSTR'])}({text.c}, {what})", f"strpos({text.d}, {what})")
            case "quarter..":
                unit = r.choice(["QUARTER", "WEEK", "DAYOFYEAR", "HOUR", "MINUTE", "SECOND"])
                self.mark(unit)
                time = self.expression(TS, depth)
                return whole(f"{unit}({time.c})", f"{unit}({time.d})")
            case "datediff unit":
                unit = r.choice(["second", "minute", "hour", "day", "week", "month", "quarter", "year"])
                a, b = self.expression(TS, depth), self.expression(TS, depth)
                duck = f"date_diff('{unit}', {a.d}, {b.d})"
                if unit == "week":  # DuckDB's own miscounts by one across 1970.
                    duck = f"date_diff('day', date_trunc('week', {a.d}), date_trunc('week', {b.d})) // 7"
                return whole(f"DATEDIFF({unit}, {a.c}, {b.c})", duck)
            case "json int":
                c, d = self.json()
                return whole(f"CAST(JSON_VALUE({c}, '$.k') AS BIGINT)", f"({d} ->> '$.k')::BIGINT")
            case "date-date":
                a, b = self.expression(DATE, depth), self.expression(DATE, depth)
                return whole(f"({a.c} - {b.c})", f"({a.d} - {b.d})")

    def json(self):
        """A document with a number k, which may be null, and a few more members."""
        k = self.column(INT)
        tail = r""", "l": [1, {"m": "x\"y\u00fc"}, [2.50, true]], "odd name": null}"""
        number = lambda text, cast: f"COALESCE(CAST({text} AS {cast}), 'null')"
        return [f"""('{{"k": ' || {number(text, cast)} || '{tail}')""" for text, cast in ((k.c, "STRING"), (k.d, "VARCHAR"))]

    def a_dec(self, depth):
        r = self.r
        which = r.choice(["dec +", "dec -", "dec *", "dec /", "dec %", "dec negate", "dec abs", "dec round", "dec trunc", "dec floor", "CAST dec", "TRY_CAST dec", "dec int"])
        self.mark(which)
        one = self.column(("dec",)) if r.random() < 0.6 else self.expression(D10, depth)
        two = r.choice([self.named("d"), self.constant(D10), self.constant(D10)])
        (_, p, s), (_, q, t) = one.t, two.t
        match which:
            case "dec +" | "dec -":
                scale = max(s, t)
                kind = ("dec", min(max(p - s, q - t) + scale + 1, 38), scale)
                sign = which[-1]
                return E(f"({one.c} {sign} {two.c})", f"({one.d} {sign} {two.d})", kind)
            case "dec *":
                if s + t > 18 or p + q > 38:
                    return one
                return E(f"({one.c} * {two.c})", f"({one.d} * {two.d})", ("dec", min(p + q + 1, 38), s + t))
            case "dec /":
                scale = max(s, 6)
                if p - s + t + scale > 38:
                    return one
                duck = self.scaled(f"half(({one.d} * {10**s})::HUGEINT * {10**(scale + t - s)}::HUGEINT, ({two.d} * {10**t})::HUGEINT)", scale)
                return E(f"({one.c} / NULLIF({two.c}, 0))", f"CASE WHEN {two.d} <> 0 THEN {duck} END", ("dec", p - s + t + scale, scale))
            case "dec %":
                scale = max(s, t)
                return E(f"({one.c} % NULLIF({two.c}, 0))", f"({one.d} % CASE WHEN {two.d} <> 0 THEN {two.d} END)", ("dec", max(p - s, q - t) + scale, scale))
            case "dec negate":
                return E(f"(- {one.c})", f"(- {one.d})", one.t)
            case "dec abs":
                return E(f"ABS({one.c})", f"abs({one.d})", one.t)
            case "dec round" | "dec trunc":
                n = r.randint(0, 3)
                kept = min(n, s)
                name = which[4:].upper()
                if name == "ROUND":
                    duck = self.scaled(f"half(({one.d} * {10**s})::HUGEINT, {10**(s - kept)}::HUGEINT)", kept)
                else:
                    duck = self.scaled(f"(({one.d} * {10**s})::HUGEINT // {10**(s - kept)}::HUGEINT)", kept)
                width = min(p - s + kept + 1, 38)
                # Narrow again: the remainder of a wide decimal is a double there.
                return E(f"{name}({one.c}, {n})", f"({duck})::DECIMAL({width},{kept})", ("dec", width, kept))
            case "dec floor":
                name = r.choice(["FLOOR", "CEIL"])
                return E(f"{name}({one.c})", f"{name}({one.d})", ("dec", p - s + 1, 0))
            case "dec int":
                value = self.expression(INT, depth)
                return E(f"({value.c} + {two.c})", f"({value.d} + {two.d})", ("dec", min(max(19, q - t) + t + 1, 38), t))
            case "CAST dec":
                value = self.expression(r.choice([INT, D10]), depth)
                return E(f"TRY_CAST({value.c} AS DECIMAL(20, 1))", f"TRY_CAST({value.d} AS DECIMAL(20,1))", ("dec", 20, 1))
            case "TRY_CAST dec":
                return both("TRY_CAST(n AS DECIMAL(12, 2))", ("dec", 12, 2))

    @staticmethod
    def scaled(units, scale):
        """DuckDB's decimal of so many units; a plain division would give a double."""
        if scale == 0:
            return f"({units})::DECIMAL(38,0)"
        return f"(({units})::DECIMAL({38 - scale - 1},0) * '{D(1).scaleb(-scale):f}'::DECIMAL({scale + 1},{scale}))"

    def a_dbl(self, depth):
        r = self.r
        which = r.choice(["dbl +", "dbl *", "dbl /", "sqrt", "power", "exp", "ln", "log10", "log", "dbl round", "dbl floor", "CAST dbl", "TRY_CAST dbl", "dbl abs", "dbl least", "dbl int"])
        self.mark(which)
        one, two = self.expression(DBL, depth), self.expression(DBL, depth)
        match which:
            case "dbl +":
                sign = r.choice("+-")
                return E(f"({one.c} {sign} {two.c})", f"({one.d} {sign} {two.d})", DBL)
            case "dbl *":
                return E(f"({one.c} * {two.c})", f"({one.d} * {two.d})", DBL)
            case "dbl /":
                return E(f"({one.c} / NULLIF({two.c}, 0e0))", f"({one.d} / NULLIF({two.d}, 0e0))", DBL)
            case "dbl int":
                other = self.expression(r.choice([INT, D10]), depth)
                return E(f"({one.c} + {other.c})", f"({one.d} + {other.d}::DOUBLE)", DBL)
            case "sqrt":
                return E(f"SQRT(ABS({one.c}))", f"sqrt(abs({one.d}))", DBL)
            case "power":
                exponent = r.choice(["2", "3", "0", "0.5"])
                return E(f"POWER(ABS({one.c}), {exponent})", f"power(abs({one.d}), {exponent})", DBL)
            case "exp":
                return E(f"EXP(LEAST(ABS({one.c}), 5e0))", f"CASE WHEN {one.d} IS NOT NULL THEN exp(least(abs({one.d}), 5e0)) END", DBL)
            case "ln" | "log10":
                return E(f"{which.upper()}(ABS({one.c}) + 1e0)", f"{which}(abs({one.d}) + 1e0)", DBL)
            case "log":
                return E(f"LOG(2, ABS({one.c}) + 1e0)", f"(ln(abs({one.d}) + 1e0) / ln(2))", DBL)
            case "dbl round":
                column = self.column(DBL)
                return both(f"ROUND({column.c}, {r.randint(0, 2)})", DBL)
            case "dbl floor":
                name = r.choice(["FLOOR", "CEIL"])
                return E(f"{name}({one.c})", f"{name}({one.d})", DBL)
            case "CAST dbl":
                value = self.expression(r.choice([INT, D10, BOOL]), depth)
                return E(f"CAST({value.c} AS DOUBLE)", f"CAST({value.d} AS DOUBLE)", DBL)
            case "TRY_CAST dbl":
                return both("TRY_CAST(n AS DOUBLE)", DBL)
            case "dbl abs":
                return E(f"ABS({one.c})", f"abs({one.d})", DBL)
            case "dbl least":
                name = r.choice(["GREATEST", "LEAST"])
                return E(f"{name}({one.c}, {two.c})", f"CASE WHEN {one.d} IS NOT NULL AND {two.d} IS NOT NULL THEN {name}({one.d}, {two.d}) END", DBL)

    def a_text(self, depth):
        r = self.r
        which = r.choice(["upper", "lower", "substring", "substring", "replace", "trim", "ltrim", "concat", "||", "||", "left", "right", "lpad", "rpad",
                          "reverse", "split_part", "split_index", "concat_ws", "regexp_extract", "regexp_replace", "CAST text", "CAST text", "date_format",
                          "text least", "chr", "from_unixtime", "md5", "sha256", "repeat", "json_value", "json_query", "->", "->>", "to_char"])
        self.mark(which)
        one, two = self.expression(TEXT, depth), self.expression(TEXT, depth)
        small = r.randint(0, 8)
        match which:
            case "upper" | "lower" | "reverse":
                return E(f"{which.upper()}({one.c})", f"{which}({one.d})", TEXT)
            case "substring":
                start = r.choice([1, 2, 5, 14])
                return E(r.choice([f"SUBSTRING({one.c}, {start}, {small})", f"SUBSTRING({one.c} FROM {start} FOR {small})", f"SUBSTR({one.c}, {start}, {small})"]),
                         f"substring({one.d}, {start}, {small})", TEXT) if r.random() < 0.7 else E(
                         f"SUBSTRING({one.c}, {start})", f"substring({one.d}, {start})", TEXT)
            case "replace":
                what, by = quoted(r.choice(["a", "an", ",", "ü", " ", "bytes"])), quoted(r.choice(["", "X", "long replacement text", "é"]))
                return E(f"REPLACE({one.c}, {what}, {by})", f"replace({one.d}, {what}, {by})", TEXT)
            case "trim":
                side = r.choice(["BOTH", "LEADING", "TRAILING"])
                what = quoted(r.choice([" ", "a", "ab"]))
                return r.choice([E(f"TRIM({one.c})", f"trim({one.d}, ' ')", TEXT),
                                 E(f"TRIM({side} {what} FROM {one.c})", f"{dict(BOTH='trim', LEADING='ltrim', TRAILING='rtrim')[side]}({one.d}, {what})", TEXT)])
            case "ltrim":
                name = r.choice(["LTRIM", "RTRIM"])
                return E(f"{name}({one.c})", f"{name}({one.d}, ' ')", TEXT)
            case "concat":
                return E(f"CONCAT({one.c}, '-', {two.c})", f"({one.d} || '-' || {two.d})", TEXT)
            case "||":
                return E(f"({one.c} || {two.c})", f"({one.d} || {two.d})", TEXT)
            case "concat_ws":
                return E(f"CONCAT_WS('-', {one.c}, {two.c})", f"concat_ws('-', {one.d}, {two.d})", TEXT)
            case "left" | "right":
                return E(f"{which.upper()}({one.c}, {small})", f"{which}({one.d}, {small})", TEXT)
            case "lpad" | "rpad":
                fill = quoted(r.choice(["*", "ab", "ü"]))
                return E(f"{which.upper()}({one.c}, {small}, {fill})", f"{which}({one.d}, {small}, {fill})", TEXT)
            case "split_part" | "split_index":
                separator, field = quoted(r.choice([",", " ", "an", "ü"])), r.randint(1, 4)
                return E(f"{which.upper()}({one.c}, {separator}, {field if which == 'split_part' else field - 1})", f"split_part({one.d}, {separator}, {field})", TEXT)
            case "regexp_extract":
                pattern, group = r.choice([("[a-z]+", 0), ("(a)(n|b)", 2), ("^.", 0), ("[0-9]+", 0)])
                return E(f"REGEXP_EXTRACT({one.c}, '{pattern}', {group})", f"CASE WHEN regexp_matches({one.d}, '{pattern}') THEN regexp_extract({one.d}, '{pattern}', {group}) END", TEXT)
            case "regexp_replace":
                pattern = r.choice(["[aeiou]", "[0-9]+", " "])
                return E(f"REGEXP_REPLACE({one.c}, '{pattern}', '#')", f"regexp_replace({one.d}, '{pattern}', '#', 'g')", TEXT)
            case "CAST text":
                value = self.expression(r.choice([INT, D10, BOOL, DATE, TS]), depth)
                name = r.choice(["STRING", "VARCHAR"])
                duck = {"bool": f"upper(({value.d})::VARCHAR)", "ts": f"strftime({value.d}, '%Y-%m-%d %H:%M:%S.%g')"}.get(value.t[0], f"({value.d})::VARCHAR")
                return E(f"CAST({value.c} AS {name})", duck, TEXT)
            case "date_format":
                time = self.expression(TS, depth)
                form, duck = r.choice([("yyyy-MM-dd", "%Y-%m-%d"), ("HH:mm:ss.SSS", "%H:%M:%S.%g"), ("yyyyMMdd", "%Y%m%d"), ("dd/MM/yyyy HH", "%d/%m/%Y %H")])
                return E(f"DATE_FORMAT({time.c}, '{form}')", f"strftime({time.d}, '{duck}')", TEXT)
            case "md5" | "sha256":
                return E(f"{which.upper()}({one.c})", f"{which}({one.d})", TEXT)
            case "repeat":
                return E(f"REPEAT({one.c}, {small % 4})", f"repeat({one.d}, {small % 4})", TEXT)
            case "json_value":
                c, d = self.json()
                path, duck = r.choice([("$.l[1].m", "$.l[1].m"), ("lax $.k", "$.k"), ("$.l[2][0]", "$.l[2][0]"), ("$.l[9]", "$.l[9]"), ("$.none", "$.none"), ("$.\"odd name\"", "$.\"odd name\""), ("$.l[2][1]", "$.l[2][1]")])
                # DuckDB writes numbers anew.
                duck = f"'2.50'" if path == "$.l[2][0]" else f"({d} ->> '{duck}')"
                return E(f"JSON_VALUE({c}, '{path}')", duck, TEXT)
            case "json_query":
                c, d = self.json()
                path = r.choice(["$.l[1]", "$.k", "$.none", "$.l[1].m"])
                return E(f"JSON_QUERY({c}, '{path}')", f"CASE WHEN json_type({d}, '{path}') IN ('OBJECT', 'ARRAY') THEN replace(replace(json_extract({d}, '{path}')::VARCHAR, '\":', '\": '), 'ü', '\\u00fc') END", TEXT)
            case "->":
                c, d = self.json()
                step = r.choice(["'k'", "'none'", "'odd name'"])
                return E(f"({c} -> {step})", f"(({d} -> {step})::VARCHAR)", TEXT)
            case "->>":
                c, d = self.json()
                return r.choice([E(f"({c} ->> 'k')", f"({d} ->> 'k')", TEXT), E(f"({c} -> 'l' -> 1 ->> 'm')", f"({d} -> 'l' -> 1 ->> 'm')", TEXT), E(f"({c} -> 'l' ->> 0)", f"({d} -> 'l' ->> 0)", TEXT)])
            case "to_char":
                time = self.expression(TS, depth)
                form, duck = r.choice([("YYYY-MM-DD HH24:MI:SS", "%Y-%m-%d %H:%M:%S"), ("DD Mon YYYY HH12:MI AM", "%d %b %Y %I:%M %p"), ("dd MMM yyyy EEE hh a", "%d %b %Y %a %I %p"), ("EEEE, MMMM d", "%A, %B %-d"), ("Dy DDD HH24", "%a %j %H")])
                return E(f"TO_CHAR({time.c}, '{form}')", f"strftime({time.d}, '{duck}')", TEXT)
            case "text least":
                name = r.choice(["GREATEST", "LEAST"])
                return E(f"{name}({one.c}, {two.c})", f"CASE WHEN {one.d} IS NOT NULL AND {two.d} IS NOT NULL THEN {name}({one.d}, {two.d}) END", TEXT)
            case "chr":
                return E("CHR(k + 65)", "chr((k + 65)::INT)", TEXT) if self.has("k") else one
            case "from_unixtime":
                return E("FROM_UNIXTIME(id * 100000)", "strftime(make_timestamp(id * 100000 * 1000000), '%Y-%m-%d %H:%M:%S')", TEXT) if self.has("id") else one

    def has(self, name):
        return any(column.c == name for column in self.columns)

    def a_bool(self, depth):
        r = self.r
        which = r.choice(["compare", "compare", "compare", "mixed", "AND", "OR", "NOT", "IN", "NOT IN", "BETWEEN", "LIKE", "ILIKE", "IS NULL", "DISTINCT",
                          "IS TRUE", "starts_with", "ends_with", "json_exists", "regexp_like", "CAST bool", "IN null", "huge", "literal", "IN mixed"])
        self.mark(which)
        kind = r.choice([INT, D10, DBL, TEXT, DATE, TS, BOOL])
        sign = r.choice(["=", "<>", "<", "<=", ">", ">="])
        match which:
            case "compare":
                one = self.expression(kind, depth)
                two = self.constant(kind) if r.random() < 0.5 else self.expression(kind, depth)
                if r.random() < 0.2:
                    one, two = two, one
                return E(f"({one.c} {sign} {two.c})", f"({one.d} {sign} {two.d})", BOOL)
            case "mixed":
                one, two = self.number(depth), self.number(depth)
                if DBL in (one.t, two.t):
                    return E(f"({one.c} {sign} {two.c})", f"({one.d}::DOUBLE {sign} {two.d}::DOUBLE)", BOOL)
                return E(f"({one.c} {sign} {two.c})", f"({one.d} {sign} {two.d})", BOOL)
            case "huge":
                if not self.has("huge"):
                    return self.column(BOOL)
                value = r.choice([2**63 - 1, -2**63, -2**63 + 1, 2**53 + 1, 0])
                return both(f"(huge {sign} {value})", BOOL)
            case "AND" | "OR":
                parts = [self.expression(BOOL, depth) for _ in range(r.choice([2, 2, 3]))]
                return E("(" + f" {which} ".join(part.c for part in parts) + ")", "(" + f" {which} ".join(part.d for part in parts) + ")", BOOL)
            case "NOT":
                one = self.expression(BOOL, depth)
                return E(f"(NOT {one.c})", f"(NOT {one.d})", BOOL)
            case "IN" | "NOT IN" | "IN null":
                kind = r.choice([INT, TEXT, TEXT, D10, DATE])
                one = self.expression(kind, depth)
                items = [self.constant(kind) for _ in range(r.choice([1, 2, 5, 12]))] + ([both("NULL", kind)] if which == "IN null" else [])
                if kind[0] == "int" and r.random() < 0.3 and self.has("k"):
                    items.append(both("k", INT))
                word = r.choice(["IN", "NOT IN"]) if which == "IN null" else which
                return E(f"({one.c} {word} ({', '.join(item.c for item in items)}))", f"({one.d} {word} ({', '.join(item.d for item in items)}))", BOOL)
            case "BETWEEN":
                one, low, high = (self.expression(kind, depth) for _ in range(3))
                word = r.choice(["BETWEEN", "NOT BETWEEN"])
                return E(f"({one.c} {word} {low.c} AND {high.c})", f"({one.d} {word} {low.d} AND {high.d})", BOOL)
            case "LIKE" | "ILIKE":
                one = self.expression(TEXT, depth)
                pattern = quoted(r.choice(["%", "a%", "%a", "%an%", "_", "__", "a_b", "%ü%", "B%", "", "%,%,%", "thirteen%less", "漢%", "%\n%", "b_n%", "%%a", "_%_"]))
                word = r.choice(["", "NOT "]) + which
                return E(f"({one.c} {word} {pattern})", f"({one.d} {word} {pattern})", BOOL) if r.random() < 0.8 else E(
                    f"({one.c} {word} '%!%%' ESCAPE '!')", f"({one.d} {word} '%!%%' ESCAPE '!')", BOOL)
            case "literal":
                # A literal of another type than what it is compared with.
                name, value = r.choice([("i", "0.5"), ("i", "2.0"), ("b", "1e0"), ("d", "1.005"), ("d", "1"), ("x", "0.25"), ("x", "1"), ("huge", "0.5"), ("w", "0.0000001"),
                                        ("dt", "'1999-12-31'"), ("t2", "'1970-01-01 00:00:00'"), ("k", "99999999999999999999")])
                if not self.has(name):
                    return self.column(BOOL)
                return both(f"({name} {sign} {value})" if r.random() < 0.5 else f"({value} {sign} {name})", BOOL)
            case "IN mixed":
                name, values = r.choice([("i", "1, 2.5, 7"), ("d", "1, 0.5, 0.005"), ("x", "1, 0.25"), ("k", "1, 2, 3000000000"), ("dt", "'1970-01-01', '1999-12-31'"), ("huge", "9223372036854775807, 0.5")])
                if not self.has(name):
                    return self.column(BOOL)
                return both(f"({name} {r.choice(['IN', 'NOT IN'])} ({values}))", BOOL)
            case "IS NULL":
                one = self.expression(kind, depth)
                word = r.choice(["IS NULL", "IS NOT NULL"])
                return E(f"({one.c} {word})", f"({one.d} {word})", BOOL)
            case "DISTINCT":
                one, two = self.expression(kind, depth), self.expression(kind, depth)
                word = r.choice(["IS DISTINCT FROM", "IS NOT DISTINCT FROM"])
                return E(f"({one.c} {word} {two.c})", f"({one.d} {word} {two.d})", BOOL)
            case "IS TRUE":
                one = self.expression(BOOL, depth)
                word = r.choice(["IS TRUE", "IS NOT TRUE", "IS FALSE", "IS NOT FALSE"])
                return E(f"({one.c} {word})", f"({one.d} {word})", BOOL)
            case "json_exists":
                c, d = self.json()
                path = r.choice(["$.l[1].m", "$.k", "$.l[3]", "$.none"])
                return E(f"JSON_EXISTS({c}, '{path}')", f"json_exists({d}, '{path}')", BOOL)
            case "ends_with":
                one, what = self.expression(TEXT, depth), quoted(r.choice(["a", "bytes", "", "漢字", "more"]))
                return E(f"ENDS_WITH({one.c}, {what})", f"suffix({one.d}, {what})", BOOL)
            case "starts_with":
                one, what = self.expression(TEXT, depth), quoted(r.choice(["a", "thirteen", "", "漢", "Z"]))
                return E(f"STARTS_WITH({one.c}, {what})", f"starts_with({one.d}, {what})", BOOL)
            case "regexp_like":
                one, pattern = self.expression(TEXT, depth), quoted(r.choice(["^a", "n.n", "[0-9]", "b$", "ü"]))
                return E(f"REGEXP_LIKE({one.c}, {pattern})", f"regexp_matches({one.d}, {pattern})", BOOL)
            case "CAST bool":
                one = self.expression(INT, depth)
                return E(f"CAST({one.c} AS BOOLEAN)", f"CAST({one.d} AS BOOLEAN)", BOOL)

    def a_date(self, depth):
        self.mark(which := self.r.choice(["CAST date", "TRY_CAST date", "last_day", "to_date"]))
        if which == "last_day":
            time = self.expression(TS, depth)
            return E(f"LAST_DAY({time.c})", f"last_day({time.d})", DATE)
        if which == "to_date":
            date = self.expression(DATE, depth)
            return E(f"TO_DATE(DATE_FORMAT({date.c}, 'dd.MM.yyyy'), 'dd.MM.yyyy')", date.d, DATE)
        if which == "CAST date":
            time = self.expression(TS, depth)
            return E(f"CAST({time.c} AS DATE)", f"CAST({time.d} AS DATE)", DATE)
        return both("TRY_CAST(n AS DATE)", DATE)

    def a_ts(self, depth):
        r = self.r
        which = r.choice(["date_trunc", "ts + interval", "ts - interval", "CAST ts", "date_bin", "TRY_CAST ts", "timestampadd", "to_timestamp", "ts + months", "ts - months"])
        self.mark(which)
        one = self.expression(TS, depth)
        amount, unit = r.randint(1, 90), r.choice(["SECOND", "MINUTE", "HOUR", "DAY"])
        match which:
            case "date_trunc":
                unit = r.choice(["year", "quarter", "month", "week", "day", "hour", "minute", "second"])
                self.mark("date_trunc " + unit)
                return E(f"DATE_TRUNC('{unit}', {one.c})", f"date_trunc('{unit}', {one.d})", TS)
            case "ts + interval" | "ts - interval":
                sign = which[3]
                return both(f"({one.c} {sign} INTERVAL '{amount}' {unit})", TS) if one.c == one.d else E(
                    f"({one.c} {sign} INTERVAL '{amount}' {unit})", f"({one.d} {sign} INTERVAL '{amount}' {unit})", TS)
            case "ts + months" | "ts - months":
                sign, count, unit = which[3], r.randint(-30, 30), r.choice(["MONTH", "YEAR", "QUARTER"])
                if r.random() < 0.3:
                    date = self.expression(DATE, depth)
                    one = E(date.c, f"CAST({date.d} AS TIMESTAMP)", TS)
                later = f"to_months({count * {'MONTH': 1, 'QUARTER': 3, 'YEAR': 12}[unit]})"
                turned = f"(INTERVAL '{count}' {unit} + {one.c})" if sign == "+" and r.random() < 0.3 else None
                return E(turned or f"({one.c} {sign} INTERVAL '{count}' {unit})", f"({one.d} {sign} {later})", TS)
            case "CAST ts":
                one = self.expression(DATE, depth)
                return E(f"CAST({one.c} AS TIMESTAMP(3))", f"CAST({one.d} AS TIMESTAMP)", TS)
            case "timestampadd":
                unit, count = r.choice(["second", "minute", "hour", "day", "week", "month", "quarter", "year"]), r.randint(-40, 40)
                self.mark("timestampadd " + unit)
                months = {"month": 1, "quarter": 3, "year": 12}.get(unit)
                later = f"to_months({months * count})" if months else f"INTERVAL ({count}) {unit}"
                return E(f"TIMESTAMPADD({unit}, {count}, {one.c})", f"({one.d} + {later})", TS)
            case "to_timestamp":
                form, unit = r.choice([("dd/MM/yyyy HH:mm:ss.SSS", "millisecond"), ("yyyyMMddHHmmss", "second"), ("MMM d, yyyy hh:mm a", "minute"), ("YYYY-MM-DD HH24:MI", "minute"), ("yyyy DDD", "day"), ("yyyy", "year")])
                return E(f"TO_TIMESTAMP(DATE_FORMAT({one.c}, '{form}'), '{form}')", f"date_trunc('{unit}', {one.d})", TS)
            case "TRY_CAST ts":
                return E("TRY_CAST(n AS TIMESTAMP(3))", "TRY_CAST(n AS TIMESTAMP)", TS)
            case "date_bin":
                size = amount * {"SECOND": 1000, "MINUTE": MINUTE, "HOUR": HOUR, "DAY": DAY}[unit]
                return E(f"DATE_BIN(INTERVAL '{amount}' {unit}, {one.c})", self.bucket(one.d, size, 0), TS)

    @staticmethod
    def bucket(time, size, offset):
        """Start of the bin of `size` milliseconds, aligned to the epoch."""
        micros = f"(epoch_us({time}) - {offset * 1000})"
        low = f"({micros} - ((({micros} % {size * 1000}) + {size * 1000}) % {size * 1000}) + {offset * 1000})"
        return f"make_timestamp({low})"

    # Aggregates.

    def aggregate(self, depth):
        r = self.r
        which = r.choice(["COUNT(*)", "COUNT", "COUNT DISTINCT", "SUM", "SUM", "AVG", "AVG", "MIN", "MAX", "MIN", "MAX", "SUM DISTINCT", "STDDEV", "BOOL_AND", "AVG DISTINCT", "CORR..", "REGR..", "ARG_MIN", "ARG_MAX", "MEDIAN", "PERCENTILE_CONT", "PERCENTILE_DISC",
                          "STRING_AGG", "FIRST_VALUE", "APPROX_COUNT_DISTINCT"])
        self.mark(which)
        condition = self.a_bool(depth) if r.random() < 0.25 else None
        if condition:
            self.mark("FILTER")
        c_tail = f" FILTER (WHERE {condition.c})" if condition else ""
        d_tail = f" FILTER (WHERE {condition.d})" if condition else ""
        plain = lambda c, d, kind: E(c + c_tail, d + d_tail, kind)
        match which:
            case "COUNT(*)":
                return plain("COUNT(*)", "count(*)", INT)
            case "COUNT":
                one = self.expression(self.any_kind(), depth)
                return plain(f"COUNT({one.c})", f"count({one.d})", INT)
            case "COUNT DISTINCT":
                one = self.expression(self.any_kind(), depth)
                # -0.0 equals 0.0 in a group, which DuckDB's DISTINCT agrees with.
                return plain(f"COUNT(DISTINCT {one.c})", f"count(DISTINCT {one.d})", INT)
            case "SUM" | "SUM DISTINCT" | "AVG" | "AVG DISTINCT":
                kind = r.choice([INT, INT, D10, D10, D30, DBL])
                one = self.column(kind) if kind == DBL else self.expression(kind, depth) if kind != D30 else self.column(kind)
                distinct = "DISTINCT " if which.endswith("DISTINCT") else ""
                name = which[:3]
                if name == "SUM":
                    result = {"int": ("dec", 38, 0), "dbl": DBL}.get(one.t[0], ("dec", 38, one.t[-1]))
                    return plain(f"SUM({distinct}{one.c})", f"sum({distinct}{one.d})", result)
                if one.t[0] != "dec":
                    return plain(f"AVG({distinct}{one.c})", f"avg({distinct}{one.d})", DBL)
                _, _, scale = one.t
                to = max(scale, 6)
                units = f"({one.d} * {10**scale})::HUGEINT"
                total, count = f"sum({distinct}{units}){d_tail}", f"count({distinct}{one.d}){d_tail}"
                duck = self.scaled(f"half({total} * {10**(to - scale)}::HUGEINT, nullif({count}, 0))", to)
                return E(f"AVG({distinct}{one.c}){c_tail}", duck, ("dec", 38, to))
            case "MIN" | "MAX":
                one = self.expression(r.choice([INT, D10, D30, DBL, TEXT, TEXT, DATE, TS]), depth)
                return plain(f"{which}({one.c})", f"{which}({one.d})", one.t)
            case "STDDEV":
                name = r.choice(["STDDEV_POP", "STDDEV_SAMP", "VAR_POP", "VAR_SAMP", "STDDEV", "VARIANCE"])
                column = r.choice([both("k", INT), both("x", DBL)]) if self.has("k") and self.has("x") else self.column(INT)
                return plain(f"{name}({column.c})", f"{name}({column.d}::DOUBLE)", DBL)
            case "CORR.." | "REGR..":
                name = r.choice(["CORR", "COVAR_POP", "COVAR_SAMP"] if which == "CORR.." else ["REGR_SLOPE", "REGR_INTERCEPT", "REGR_R2"])
                self.mark(name)
                y, x = (r.choice([self.column(INT), self.column(DBL), self.column(D10)]) for _ in range(2))
                if self.has("k") and self.has("x") and r.random() < 0.7:
                    y, x = r.sample([both("k", INT), both("x", DBL), both("id", INT)], 2)
                # Where a line has no slope the two round differently; a spread that is only rounding is none.
                pair = f"{y.d}::DOUBLE, {x.d}::DOUBLE"
                live = f"CASE WHEN {y.d} IS NOT NULL THEN {x.d} END"
                flat = f"min({live}){d_tail} = max({live}){d_tail}"
                other = f"CASE WHEN {x.d} IS NOT NULL THEN {y.d} END"
                duck = f"{name.lower()}({pair}){d_tail}"
                if name == "CORR":
                    duck = f"CASE WHEN NOT ({flat}) AND min({other}){d_tail} <> max({other}){d_tail} THEN {duck} END"
                elif which == "REGR..":
                    duck = f"CASE WHEN NOT ({flat}) THEN {duck} END"
                return E(f"{name}({y.c}, {x.c}){c_tail}", duck, DBL)
            case "ARG_MIN" | "ARG_MAX":
                value = self.expression(r.choice([INT, D10, D30, DBL, TEXT, TEXT, DATE, BOOL]), depth)
                by = self.expression(r.choice([INT, D10, DBL, TEXT, TS]), depth)
                by = self.column(D30) if r.random() < 0.15 else by
                # Of equal extremes the first in the files counts.
                if not self.has("id"):
                    return both("COUNT(*)", INT)
                name = r.choice([which, {"ARG_MIN": "MIN_BY", "ARG_MAX": "MAX_BY"}[which]])
                live = f"{value.d} IS NOT NULL AND {by.d} IS NOT NULL" + (f" AND ({condition.d})" if condition else "")
                direction = "ASC" if which == "ARG_MIN" else "DESC"
                return E(f"{name}({value.c}, {by.c}){c_tail}", f"first({value.d} ORDER BY {by.d} {direction}, {self.arrival}) FILTER (WHERE {live})", value.t)
            case "MEDIAN" | "PERCENTILE_CONT" | "PERCENTILE_DISC":
                one = self.expression(r.choice([INT, D10, DBL] + ([DATE, TS] if which == "PERCENTILE_DISC" else [])), depth)
                distinct = "DISTINCT " if r.random() < 0.1 else ""
                share = r.choice(["0", "0.1", "0.25", "0.5", "0.55", "0.95", "1"])
                name, kind = ("quantile_disc", one.t) if which == "PERCENTILE_DISC" else ("quantile_cont", DBL)
                value = one.d if which == "PERCENTILE_DISC" else f"({one.d})::DOUBLE"
                if which == "MEDIAN":
                    return plain(f"MEDIAN({distinct}{one.c})", f"quantile_cont({distinct}{value}, 0.5)", DBL)
                duck = f"{name}({distinct}{value}, {share})"
                if r.random() < 0.5 or distinct:
                    return plain(f"{which}({distinct}{one.c}, {share})", duck, kind)
                return plain(f"{which}({share}) WITHIN GROUP (ORDER BY {one.c})", duck, kind)
            case "STRING_AGG":
                one = self.expression(TEXT, depth)
                between = r.choice(["", ", '-'", ", ''", ", ' and then '"])
                name = r.choice(["STRING_AGG", "LISTAGG"])
                duck_between = between or ", ','"
                return plain(f"{name}({one.c}{between})", f"string_agg({one.d}{duck_between} ORDER BY {self.arrival})", TEXT)
            case "FIRST_VALUE":
                name = r.choice(["FIRST_VALUE", "LAST_VALUE"])
                one = self.expression(self.any_kind(), depth)
                live = f"{one.d} IS NOT NULL" + (f" AND ({condition.d})" if condition else "")
                return E(f"{name}({one.c}){c_tail}", f"{name[:-6].lower()}({one.d} ORDER BY {self.arrival}) FILTER (WHERE {live})", one.t)
            case "APPROX_COUNT_DISTINCT":
                one = self.expression(self.any_kind(), depth)
                return plain(f"APPROX_COUNT_DISTINCT({one.c})", f"count(DISTINCT {one.d})", INT)
            case "BOOL_AND":
                name = r.choice(["BOOL_AND", "BOOL_OR"])
                one = self.expression(BOOL, depth)
                return plain(f"{name}({one.c})", f"{name}({one.d})", BOOL)

    def aggregated(self, depth):
        """One aggregate, or something computed from several."""
        one = self.aggregate(depth)
        roll = self.r.random()
        if roll > 0.25:
            return one
        two = self.aggregate(depth)
        if roll < 0.1 and one.t[0] == two.t[0] == "int":
            return E(f"{one.c} - {two.c} * 2", f"{one.d} - {two.d} * 2", INT)
        if roll < 0.18:
            return E(f"CASE WHEN {two.c} IS NULL THEN NULL ELSE {one.c} END", f"CASE WHEN {two.d} IS NULL THEN NULL ELSE {one.d} END", one.t)
        return E(f"COALESCE({one.c}, {one.c})", f"COALESCE({one.d}, {one.d})", one.t)

    # Queries.

    def where(self, depth=2, chance=0.5):
        if self.r.random() > chance:
            return "", ""
        self.mark("WHERE")
        test = self.a_bool(depth)
        return f" WHERE {test.c}", f" WHERE {test.d}"

    def items(self, expressions):
        c = ", ".join(f"{e.c} AS c{n}" for n, e in enumerate(expressions))
        d = ", ".join(f"{e.d} AS c{n}" for n, e in enumerate(expressions))
        return c, d

    def query(self, shapes=None):
        shape = self.r.choice(shapes or check_joins.SHAPES[::2] + check_sets.SHAPES + ["project", "project", "project", "group", "group", "group", "total", "over", "over", "tumble", "tumble", "hop", "hop", "cumulate", "session",
                               "order", "order", "nested", "distinct", "group order", "view", "over nested", "rank", "rank", "again", "again"])
        self.mark("shape " + shape)
        query = getattr(self, "q_" + shape.replace(" ", "_"))()
        query.shape = shape
        return query

    def q_project(self):
        depth = self.r.choice([1, 2, 2, 3, 4])
        expressions = [self.expression(self.any_kind(), depth) for _ in range(self.r.choice([1, 2, 4, 8]))]
        if self.r.random() < 0.2:
            expressions += self.columns
        c, d = self.items(expressions)
        where = self.where()
        return Query(f"SELECT {c} FROM t{where[0]}", f"SELECT {d} FROM t{where[1]}", [e.t for e in expressions])

    def keys(self):
        r = self.r
        choices = [both("k", INT), both("g", TEXT), both("f", BOOL), both("d", D10), both("x", DBL), both("s", TEXT), both("dt", DATE), both("i", INT), both("w", D30), both("huge", INT)]
        keys = r.sample(choices[:2] * 3 + choices, r.choice([1, 1, 2, 3]))
        if r.random() < 0.35:
            keys[0] = self.expression(r.choice([INT, TEXT, BOOL, TS, D10]), 2)
            self.mark("GROUP BY expression")
        unique = {key.c: key for key in keys}
        return list(unique.values())

    def grouped(self, keys, aggregates, extra=("", ""), source="t", having=True):
        r = self.r
        c, d = self.items(keys + aggregates)
        where = self.where()
        by = r.choice(["text", "alias", "number"])
        self.mark("GROUP BY " + by)
        c_by = {"text": [key.c for key in keys], "alias": [f"c{n}" for n in range(len(keys))], "number": [str(n + 1) for n in range(len(keys))]}[by]
        d_by = [key.d for key in keys]
        c_by, d_by = ", ".join(c_by), ", ".join(str(n + 1) for n in range(len(d_by)))
        c = f"SELECT {c} FROM {source}{where[0]} GROUP BY {c_by}"
        d = f"SELECT {d} FROM {source}{where[1]} GROUP BY {d_by}"
        if having and r.random() < 0.3:
            self.mark("HAVING")
            test = r.choice([both("COUNT(*) > 1", BOOL), both("MIN(k) IS NOT NULL", BOOL), both("SUM(k) > 3 OR MAX(s) LIKE 'a%'", BOOL), both("COUNT(DISTINCT k) >= 2", BOOL)])
            c, d = f"{c} HAVING {test.c}", f"{d} HAVING {test.d}"
        return Query(c, d, [e.t for e in keys + aggregates])

    def q_group(self):
        return self.grouped(self.keys(), [self.aggregated(2) for _ in range(self.r.choice([1, 2, 4, 8]))])

    def q_group_order(self):
        keys = self.keys()
        query = self.grouped(keys, [self.aggregated(1) for _ in range(2)])
        order = ", ".join(f"{n + 1}{self.r.choice(['', ' ASC', ' DESC', ' DESC NULLS FIRST', ' NULLS FIRST'])}" for n in range(len(keys)))
        limit = self.limit()
        return Query(f"{query.corelane} ORDER BY {order}{limit}", f"{query.duck} ORDER BY {order}{limit}", query.kinds, True)

    def limit(self):
        r = self.r
        if r.random() < 0.3:
            return ""
        self.mark("LIMIT")
        return f" LIMIT {r.choice([0, 1, 3, 10, 100, 5000])}" + (f" OFFSET {r.choice([0, 1, 5])}" if r.random() < 0.3 and not self.mark("OFFSET") else "")

    def q_total(self):
        aggregates = [self.aggregated(2) for _ in range(self.r.choice([1, 3, 6]))]
        c, d = self.items(aggregates)
        where = self.where()
        return Query(f"SELECT {c} FROM t{where[0]}", f"SELECT {d} FROM t{where[1]}", [e.t for e in aggregates])

    def q_distinct(self):
        keys = self.keys()
        c, d = self.items(keys)
        where = self.where()
        return Query(f"SELECT DISTINCT {c} FROM t{where[0]}", f"SELECT DISTINCT {d} FROM t{where[1]}", [e.t for e in keys])

    def q_order(self):
        r = self.r
        expressions = [both("id", INT)] + [self.expression(self.any_kind(), 2) for _ in range(r.choice([1, 2, 3]))]
        c, d = self.items(expressions)
        where = self.where()
        keys = []
        for n in range(1, len(expressions)):
            tail = r.choice(["", " ASC", " DESC", " DESC NULLS FIRST", " NULLS FIRST", " DESC NULLS LAST"])
            what = r.choice([f"c{n}", str(n + 1)])
            keys.append(what + tail)
        keys.append(r.choice(["id", "c0 DESC", "1"]))
        order, limit = ", ".join(keys), self.limit()
        return Query(f"SELECT {c} FROM t{where[0]} ORDER BY {order}{limit}", f"SELECT {d} FROM t{where[1]} ORDER BY {order}{limit}", [e.t for e in expressions], True)

    def q_nested(self):
        r = self.r
        inner = [both("k", INT), both("id", INT)] + [self.expression(kind, 2) for kind in (INT, D10, TEXT, DBL, BOOL)]
        names = ["k", "id", "e1", "e2", "e3", "e4", "e5"]
        where = self.where()
        spell = lambda pick: "SELECT " + ", ".join(f"{pick(e)} AS {name}" for e, name in zip(inner, names)) + " FROM t"
        c, d = spell(lambda e: e.c) + where[0], spell(lambda e: e.d) + where[1]
        saved = self.columns
        self.columns = [both(name, e.t) for e, name in zip(inner, names)]
        try:
            keys = [self.column(r.choice([INT, TEXT, BOOL]))]
            outer = [key for key in keys] + [self.plain_aggregate() for _ in range(3)]
            oc, od = self.items(outer)
            form = r.choice(["subquery", "WITH", "project"])
            self.mark("nested " + form)
            if form == "project":
                outer = [self.column(kind) for kind in (INT, D10, TEXT)]
                oc, od = self.items(outer)
                return Query(f"SELECT {oc} FROM ({c}) q WHERE e1 > 0 OR e5", f"SELECT {od} FROM ({d}) q WHERE e1 > 0 OR e5", [e.t for e in outer])
            if form == "WITH":
                return Query(f"WITH q AS ({c}) SELECT {oc} FROM q GROUP BY 1", f"WITH q AS ({d}) SELECT {od} FROM q GROUP BY 1", [e.t for e in outer])
            return Query(f"SELECT {oc} FROM ({c}) AS q GROUP BY {keys[0].c}", f"SELECT {od} FROM ({d}) AS q GROUP BY 1", [e.t for e in outer])
        finally:
            self.columns = saved

    def plain_aggregate(self):
        one = self.column(self.r.choice([INT, TEXT, D10]))
        name = self.r.choice(["MIN", "MAX", "COUNT"])
        return E(f"{name}({one.c})", f"{name}({one.d})", INT if name == "COUNT" else one.t)

    def q_view(self):
        """A group of groups, through a view."""
        keys = [both("k", INT), both("g", TEXT)]
        query = self.grouped(keys, [self.aggregate(1), both("COUNT(*)", INT), both("SUM(b)", ("dec", 38, 0))], having=False)
        tail = "SELECT c0 AS c0, COUNT(*) AS c1, SUM(c3) AS c2, MAX(c4) AS c3, COUNT(c2) AS c4, MIN(c1) AS c5 FROM v GROUP BY c0"
        return Query(f"CREATE VIEW v AS {query.corelane};\n{tail}", f"WITH v AS ({query.duck}) {tail}", [INT, INT, ("dec", 38, 0), ("dec", 38, 0), INT, TEXT])

    def q_over(self):
        r = self.r
        partition = r.choice(["", "PARTITION BY k ", "PARTITION BY g ", "PARTITION BY k, g ", "PARTITION BY f ", "PARTITION BY UPPER(g) ", "PARTITION BY x "])
        frames = ["UNBOUNDED PRECEDING AND CURRENT ROW", "CURRENT ROW AND CURRENT ROW"] + [f"{n} PRECEDING AND CURRENT ROW" for n in (0, 1, 2, 5, 99)]
        named = r.random() < 0.3
        frame_of_name = r.choice(frames)
        calls = []
        where = self.where(1, 0.3)
        order_c, order_d = f"{partition}ORDER BY ts", f"{partition}ORDER BY ts, file_, line_"
        for _ in range(r.choice([1, 2, 4])):
            which = r.choice(["COUNT", "SUM", "AVG", "MIN", "MAX", "LAG", "LEAD", "ROW_NUMBER", "FIRST_VALUE", "LAST_VALUE", "COUNT(*)", "BOOL_OR", "RANK", "DENSE_RANK", "NTH_VALUE", "STDDEV"])
            self.mark("OVER " + which)
            frame = frame_of_name if named else r.choice(frames)
            c_over = " OVER w" if named else f" OVER ({order_c} ROWS BETWEEN {frame})"
            d_over = " OVER w" if named else f" OVER ({order_d} ROWS BETWEEN {frame})"
            if which in ("LAG", "LEAD", "ROW_NUMBER"):
                c_over, d_over = f" OVER ({order_c})", f" OVER ({order_d})"
            kind = r.choice([INT, D10, D30, DBL, TEXT, DATE, TS])
            if which in ("COUNT", "SUM", "AVG", "MIN", "MAX", "COUNT(*)", "BOOL_OR") and r.random() < 0.4:
                self.mark("OVER RANGE")
                start = r.choice(["UNBOUNDED", "INTERVAL '1' SECOND", "INTERVAL '10' MINUTE", "INTERVAL '2' HOUR", "INTERVAL '0' SECOND"])
                frame = f"RANGE BETWEEN {start} PRECEDING AND CURRENT ROW" if r.random() < 0.9 else "RANGE BETWEEN CURRENT ROW AND CURRENT ROW"
                c_over = d_over = f" OVER ({partition}ORDER BY ts {frame})"
            elif which in ("COUNT", "SUM", "AVG", "MIN", "MAX", "COUNT(*)", "BOOL_OR") and r.random() < 0.3:
                self.mark("OVER without a frame")
                whole = "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
                c_over = d_over = r.choice([f" OVER ({partition}ORDER BY ts)", f" OVER ({partition})", f" OVER ({partition}ORDER BY ts {whole})"])
            elif which in ("COUNT", "SUM", "AVG", "MIN", "MAX", "COUNT(*)", "BOOL_OR", "FIRST_VALUE", "NTH_VALUE", "STDDEV") and r.random() < 0.2:
                self.mark("OVER FOLLOWING")
                last = r.choice([1, 2, 7, 300])
                first = r.choice(["UNBOUNDED PRECEDING", "3 PRECEDING", "CURRENT ROW", "1 FOLLOWING", f"{last} FOLLOWING"])
                frame = f"ROWS BETWEEN {first} AND {last} FOLLOWING"
                c_over, d_over = f" OVER ({order_c} {frame})", f" OVER ({order_d} {frame})"
            if which in ("RANK", "DENSE_RANK"):
                c_over, d_over = f" OVER ({order_c})", f" OVER ({partition}ORDER BY ts)"
            condition = self.a_bool(1) if which in ("COUNT", "SUM", "MIN", "MAX", "COUNT(*)", "BOOL_OR", "STDDEV") and r.random() < 0.15 else None
            if condition:
                self.mark("FILTER OVER")
                c_over, d_over = f" FILTER (WHERE {condition.c}){c_over}", f" FILTER (WHERE {condition.d}){d_over}"
            if which in ("SUM", "AVG"):
                kind = r.choice([INT, D10, D30, DBL])
            one = self.column(kind) if kind == DBL or kind == D30 else self.expression(kind, r.choice([0, 1, 2]))
            match which:
                case "COUNT(*)":
                    call = E(f"COUNT(*){c_over}", f"count(*){d_over}", INT)
                case "RANK" | "DENSE_RANK":
                    call = E(f"{which}(){c_over}", f"{which}(){d_over}", INT)
                case "NTH_VALUE":
                    n = r.choice([1, 2, 3, 6, 100])
                    call = E(f"NTH_VALUE({one.c}, {n}){c_over}", f"nth_value({one.d}, {n}){d_over}", one.t)
                case "STDDEV":
                    name = r.choice(["STDDEV_POP", "STDDEV_SAMP", "VAR_POP", "VAR_SAMP", "STDDEV", "VARIANCE"])
                    column = r.choice(["k", "x", "id", "d"])
                    call = E(f"{name}({column}){c_over}", f"{name}({column}::DOUBLE){d_over}", DBL)
                case "ROW_NUMBER":
                    call = E(f"ROW_NUMBER(){c_over}", f"row_number(){d_over}", INT)
                case "LAG" | "LEAD":
                    tail = r.choice(["", ", 1", ", 2", ", 0", ", 40"])
                    call = E(f"{which}({one.c}{tail}){c_over}", f"{which}({one.d}{tail}){d_over}", one.t)
                    if tail and one.t == INT and r.random() < 0.5:
                        call = E(f"{which}({one.c}{tail}, -99){c_over}", f"{which}({one.d}{tail}, -99){d_over}", INT)
                case "SUM":
                    result = {"int": ("dec", 38, 0), "dbl": DBL}.get(one.t[0], ("dec", 38, one.t[-1]))
                    call = E(f"SUM({one.c}){c_over}", f"sum({one.d}){d_over}", result)
                case "AVG" if one.t[0] == "dec":
                    scale = one.t[2]
                    to = max(scale, 6)
                    duck = self.scaled(f"half(sum(({one.d} * {10**scale})::HUGEINT){d_over} * {10**(to - scale)}::HUGEINT, nullif(count({one.d}){d_over}, 0))", to)
                    call = E(f"AVG({one.c}){c_over}", duck, ("dec", 38, to))
                case "AVG":
                    call = E(f"AVG({one.c}){c_over}", f"avg({one.d}){d_over}", DBL)
                case "COUNT":
                    call = E(f"COUNT({one.c}){c_over}", f"count({one.d}){d_over}", INT)
                case "BOOL_OR":
                    call = E(f"BOOL_OR(f){c_over}", f"bool_or(f){d_over}", BOOL)
                case _:
                    call = E(f"{which}({one.c}){c_over}", f"{which}({one.d}){d_over}", one.t)
            calls.append(call)
        if r.random() < 0.2:
            call = calls[-1]
            calls[-1] = E(f"COALESCE({call.c}, {call.c})", f"COALESCE({call.d}, {call.d})", call.t)
        expressions = [both("id", INT)] + calls
        c, d = self.items(expressions)
        c, d = f"SELECT {c} FROM t{where[0]}", f"SELECT {d} FROM t{where[1]}"
        if named:
            self.mark("WINDOW w")
            c += f" WINDOW w AS ({order_c} ROWS BETWEEN {frame_of_name})"
            d += f" WINDOW w AS ({order_d} ROWS BETWEEN {frame_of_name})"
        # A row at the watermark is late for OVER.
        return Query(c, d, [e.t for e in expressions], delay=r.choice([(), ("INTERVAL '0.001' SECOND",)]))

    def q_over_nested(self):
        """A condition or a group above OVER, which must not move below it."""
        frame = self.r.choice(["ROWS BETWEEN 2 PRECEDING AND CURRENT ROW", "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"])
        value = self.expression(self.r.choice([INT, D10, TEXT, TS]), 1)
        spell = lambda pick, ties: (
            f"SELECT k, g, id, ts, MIN({pick(value)}) OVER (PARTITION BY k ORDER BY ts{ties} {frame}) AS m, LAG(id) OVER (PARTITION BY g ORDER BY ts{ties}) AS l, "
            f"ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts{ties}) AS r FROM t"
        )
        c, d = spell(lambda e: e.c, ""), spell(lambda e: e.d, ", file_, line_")
        head, tail, kinds = self.r.choice([
            ("SELECT k, id, m, r", "WHERE r <= 3 AND id > 2", [INT, INT, value.t, INT]),
            ("SELECT k, id, m, l", "WHERE k = 2 OR g = 'red'", [INT, INT, value.t, INT]),
            ("SELECT k, COUNT(*) AS n, MAX(m) AS m, SUM(l) AS l", "WHERE l IS NOT NULL GROUP BY k", [INT, INT, value.t, INT]),
            ("SELECT id, l", "WHERE m IS NOT NULL ORDER BY l DESC, id LIMIT 7", [INT, INT]),
        ])
        return Query(f"{head} FROM ({c}) AS q {tail}", f"{head} FROM ({d}) AS q {tail}", kinds)

    def q_rank(self):
        """The first rows per partition, by any order."""
        r = self.r
        function = r.choice(["ROW_NUMBER", "ROW_NUMBER", "RANK", "DENSE_RANK"])
        partition = r.choice([[], [both("k", INT)], [both("g", TEXT)], [both("k", INT), both("f", BOOL)], [self.expression(r.choice([INT, TEXT, BOOL]), 2)]])
        order = [self.expression(r.choice([INT, D10, TEXT, BOOL, DATE, TS]), r.choice([0, 1])) for _ in range(r.choice([1, 1, 2]))]
        tails = [r.choice(["", " ASC", " DESC", " DESC", " NULLS FIRST", " DESC NULLS FIRST"]) for _ in order]
        if r.random() < 0.3:
            order, tails = [both("ts", TS)], [r.choice([" DESC", " DESC", ""])]
        value = self.expression(self.any_kind(), 1)
        where = self.where()

        def call(pick, ties):
            by = f"PARTITION BY {', '.join(map(pick, partition))} " if partition else ""
            return f"{function}() OVER ({by}ORDER BY {', '.join(pick(e) + tail for e, tail in zip(order, tails))}{ties})"

        # Equal rows stand in order of the input.
        c, d = call(lambda e: e.c, ""), call(lambda e: e.d, ", file_, line_" if function == "ROW_NUMBER" else "")
        form = r.choice(["all", "QUALIFY", "QUALIFY alias", "subquery", "subquery"])
        self.mark(f"{function} {form}")
        test = r.choice(["<= 3", "= 1", "< 2", "<= 1", "<= 100", "= 2", "> 2"])
        kinds = [INT, value.t, INT]
        c_all, d_all = f"SELECT id, {value.c} AS v, {c} AS r FROM t{where[0]}", f"SELECT id, {value.d} AS v, {d} AS r FROM t{where[1]}"
        match form:
            case "all":
                return Query(c_all, d_all, kinds)
            case "QUALIFY":
                return Query(f"SELECT id, {value.c} AS v FROM t{where[0]} QUALIFY {c} {test}", f"SELECT id, v FROM ({d_all}) AS q WHERE r {test}", kinds[:2])
            case "QUALIFY alias":
                return Query(f"{c_all} QUALIFY r {test}", f"SELECT * FROM ({d_all}) AS q WHERE r {test}", kinds)
        return Query(f"SELECT id, v, r FROM ({c_all}) AS q WHERE r {test} AND id > 1", f"SELECT id, v, r FROM ({d_all}) AS q WHERE r {test} AND id > 1", kinds)

    def q_again(self):
        """What is made of windows' results: groups of the same windows, of wider ones, and ranks within them."""
        r = self.r
        hop, offset = r.random() < 0.5, r.choice([0, 0, 7])
        slide, factor = r.choice([1000, MINUTE, 10 * MINUTE, HOUR]), r.choice([2, 3]) if hop else 1
        seconds = lambda ms: f"INTERVAL '{ms // 1000}' SECOND"
        durations = f"{seconds(slide)}, {seconds(slide * factor)}" if hop else seconds(slide)
        where = self.where(1, 0.3)
        inner = "SELECT g, k, window_start, window_end, COUNT(*) AS n, MAX(b) AS m"
        behind = " GROUP BY g, k, window_start, window_end"
        shift = f", {seconds(offset * 1000)}" if offset else ""
        c = f"{inner} FROM {'HOP' if hop else 'TUMBLE'}(t, ts, {durations}{shift}){where[0]}{behind}"
        d = f"{inner} FROM {self.windows(slide, slide * factor, offset * 1000)} AS t{where[1]}{behind}"
        wider = self.bucket("(window_end - INTERVAL 1 MILLISECOND)", 2 * HOUR, 0)
        ranked = lambda by, order: f"RANK() OVER (PARTITION BY {by} ORDER BY {order}) AS r"
        forms = {
            "group": ("SELECT window_start, window_end, COUNT(*) AS a, MAX(n) AS b, SUM(m) AS c FROM q GROUP BY window_start, window_end", None, [TS, TS, INT, INT, INT]),
            "group by end": ("SELECT window_end, g, COUNT(*) AS a, MAX(m) AS b FROM q WHERE n > 1 GROUP BY window_end, g HAVING COUNT(*) > 0", None, [TS, TEXT, INT, INT]),
            "distinct": ("SELECT DISTINCT window_start, g FROM q", None, [TS, TEXT]),
            "wider": ("SELECT window_start, COUNT(*) AS a, SUM(n) AS b FROM TUMBLE(q, window_time, INTERVAL '2' HOUR) GROUP BY window_start, window_end",
                      f"SELECT {wider} AS s, COUNT(*) AS a, SUM(n) AS b FROM q GROUP BY 1", [TS, INT, INT]),
            "rank": (f"SELECT g, k, window_end, n, r FROM (SELECT *, {ranked('window_start, window_end', 'n DESC, m')} FROM q) WHERE r <= 2", None, [TEXT, INT, TS, INT, INT]),
            "rank by key": (f"SELECT g, k, window_end, n, r FROM (SELECT *, {ranked('g, window_end', 'm DESC')} FROM q) WHERE r = 1", None, [TEXT, INT, TS, INT, INT]),
            "rank of all": (f"SELECT g, k, window_start, r FROM (SELECT *, {ranked('k', 'n DESC, window_start, g')} FROM q) WHERE r < 4", None, [TEXT, INT, TS, INT]),
            "group, then rank": (f"SELECT s, a, r FROM (SELECT window_start AS s, g, COUNT(*) AS a, RANK() OVER (PARTITION BY window_end ORDER BY COUNT(*) DESC, g) AS r "
                                 "FROM q GROUP BY window_start, window_end, g) WHERE r <= 2", None, [TS, INT, INT]),
            "three": ("SELECT window_end, MAX(a) AS a FROM (SELECT window_start, window_end, g, SUM(n) AS a FROM q GROUP BY window_start, window_end, g) GROUP BY window_start, window_end",
                      None, [TS, INT]),
        }
        name = r.choice(list(forms))
        self.mark("again " + name)
        outer, other, kinds = forms[name]
        if name == "wider":
            c = c.replace("window_end, COUNT", "window_end, window_time, COUNT")
        return Query(f"WITH q AS ({c}) {outer}", f"WITH q AS ({d}) {other or outer}", kinds, delay=r.choice([(), ("INTERVAL '0' SECOND",)]))

    def windows(self, slide, size, offset):
        """Rows of `t` with the bounds of each window they are in, for DuckDB."""
        first = self.bucket("ts", slide, offset)
        return (
            f"(SELECT * FROM (SELECT t.*, {first} - step_ * INTERVAL {slide} MILLISECOND AS window_start, {first} - step_ * INTERVAL {slide} MILLISECOND + INTERVAL {size} MILLISECOND AS window_end "
            f"FROM t, (SELECT unnest(range({-(-size // slide)})) AS step_)) WHERE ts < window_end)"
        )

    def q_tumble(self):
        return self.windowed(False)

    def q_hop(self):
        return self.windowed(True)

    def q_cumulate(self):
        r = self.r
        step = r.choice([1000, MINUTE, 10 * MINUTE, HOUR])
        size = step * r.choice([1, 2, 3, 6])
        offset = r.choice([0, 0, 1000])
        keys = [] if r.random() < 0.3 else [r.choice([both("k", INT), both("g", TEXT), both("s", TEXT)])]
        expressions = [both("window_start", TS), both("window_end", TS)] + keys + [self.aggregated(1) for _ in range(r.choice([1, 3]))]
        where = self.where(2, 0.4)
        c, d = self.items(expressions)
        by = ", ".join(["window_start", "window_end"] + [key.c for key in keys])
        seconds = lambda ms: f"INTERVAL '{ms // 1000}' SECOND"
        durations = f"{seconds(step)}, {seconds(size)}" + (f", {seconds(offset)}" if offset else "")
        table = r.choice([f"CUMULATE(t, ts, {durations})", f"TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), {durations}))"])
        first = self.bucket("ts", size, offset)
        ends = (f"(SELECT * FROM (SELECT t.*, {first} AS window_start, {first} + (step_ + 1) * INTERVAL {step} MILLISECOND AS window_end "
                f"FROM t, (SELECT unnest(range({size // step})) AS step_)) WHERE ts < window_end)")
        return Query(f"SELECT {c} FROM {table}{where[0]} GROUP BY {by}", f"SELECT {d} FROM {ends} AS t{where[1]} GROUP BY {by}",
                     [e.t for e in expressions], delay=r.choice([(), ("INTERVAL '0' SECOND",)]))

    def q_session(self):
        r = self.r
        amount, unit = r.choice([(1, "SECOND"), (1, "MINUTE"), (10, "MINUTE"), (1, "HOUR"), (3, "HOUR")])
        gap = f"INTERVAL '{amount}' {unit}"
        keys = r.choice([[], [both("k", INT)], [both("g", TEXT)], [both("k", INT), both("g", TEXT)]])
        aggregates = [self.aggregated(1) for _ in range(r.choice([1, 3]))]
        where = self.where(2, 0.4)
        spell = r.choice(["table", "PARTITION BY", "GROUP BY", "ksql"])
        self.mark(f"SESSION {spell}")
        start, end = both("window_start", TS), both("window_end", TS)
        names = [key.c for key in keys]
        source = f"(SELECT * FROM t{where[0]})" if where[0] else "t"
        match spell:
            case "table":
                tail = f"FROM SESSION({source}, ts, {gap}) GROUP BY {', '.join(names + ['window_start', 'window_end'])}"
            case "PARTITION BY":
                of = f" PARTITION BY {names[0]}" if len(names) == 1 else f" PARTITION BY ({', '.join(names)})" if names else ""
                where = ("", "")
                tail = f"FROM TABLE(SESSION(TABLE t{of}, DESCRIPTOR(ts), {gap})) GROUP BY {', '.join(['window_start', 'window_end'] + names)}"
            case "GROUP BY":
                start = E(f"SESSION_START(ts, {gap})", "window_start", TS)
                tail = f"FROM t{where[0]} GROUP BY {', '.join([f'SESSION(ts, {gap})'] + names)}"
            case "ksql":
                tail = f"FROM t WINDOW SESSION ({amount} {unit}S){where[0]}" + (f" GROUP BY {', '.join(names)}" if names else "")
        expressions = [start, end] + keys + aggregates
        c, d = self.items(expressions)
        of = f"PARTITION BY {', '.join(names)} " if names else ""
        sessions = (f"(SELECT *, SUM(new_) OVER ({of}ORDER BY ts) AS session_ FROM (SELECT *, "
                    f"CASE WHEN ts - lag(ts) OVER ({of}ORDER BY ts) < {gap} THEN 0 ELSE 1 END AS new_ FROM t{where[1]}))")
        bounded = f"(SELECT *, MIN(ts) OVER w AS window_start, MAX(ts) OVER w + {gap} AS window_end FROM {sessions} WINDOW w AS (PARTITION BY {', '.join(names + ['session_'])}))"
        return Query(f"SELECT {c} {tail}", f"SELECT {d} FROM {bounded} AS t GROUP BY {', '.join(names + ['window_start', 'window_end'])}", [e.t for e in expressions], delay=r.choice([(), ("INTERVAL '0.001' SECOND",)]))

    def windowed(self, hop):
        r = self.r
        amount, unit = r.choice([(1, "SECOND"), (1, "MINUTE"), (10, "MINUTE"), (1, "HOUR"), (1, "DAY"), (7, "MINUTE")])
        slide = amount * {"SECOND": 1000, "MINUTE": MINUTE, "HOUR": HOUR, "DAY": DAY}[unit]
        factor = r.choice([1, 2, 3, 5]) if hop else 1
        wide = amount * factor
        size = slide * factor
        if hop and r.random() < 0.2 and unit == "MINUTE":
            # A size that is no multiple of the slide.
            wide, size = amount + 1, slide + MINUTE
        offset = r.choice([0, 0, 0, slide // 2000 * 1000, 1000])
        spell = r.choice(["table", "TABLE()", "named", "GROUP BY", "ksql", "behind"])
        self.mark(f"{'HOP' if hop else 'TUMBLE'} {spell}")
        if spell in ("ksql", "behind", "GROUP BY"):
            offset = 0
        keys = [] if r.random() < 0.3 else [r.choice([both("k", INT), both("g", TEXT), both("f", BOOL), both("s", TEXT)])]
        aggregates = [self.aggregated(1) for _ in range(r.choice([1, 3, 5]))]
        if spell in ("table", "TABLE()", "named") and r.random() < 0.2:
            self.mark("window's bounds in an aggregate")
            aggregates.append(r.choice([both("MAX(window_end)", TS), both("SUM(CASE WHEN ts >= window_start THEN 1 ELSE 0 END)", ("dec", 38, 0))]))
        where = self.where(2, 0.4)
        step, width = f"INTERVAL '{amount}' {unit}", f"INTERVAL '{wide}' {unit}"
        durations = f"{step}, {width}" if hop else width
        behind_offset = f", INTERVAL '{offset // 1000}' SECOND" if offset else ""
        name = "HOP" if hop else "TUMBLE"
        start, end = both("window_start", TS), both("window_end", TS)
        source, group, after, late = "t", ["window_start", "window_end"], "", ""
        match spell:
            case "table":
                source = f"{name}(t, ts, {durations}{behind_offset})"
            case "TABLE()":
                source = f"TABLE({name}(TABLE t, DESCRIPTOR(ts), {durations}{behind_offset}))"
            case "named":
                arguments = f"SLIDE => {step}, SIZE => {width}" if hop else f"SIZE => {width}"
                tail = f", OFFSET => INTERVAL '{offset // 1000}' SECOND" if offset else ""
                source = f"TABLE({name}(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), {arguments}{tail}))"
            case "GROUP BY":
                group = [f"{name}(ts, {durations})"]
                start, end = E(f"{name}_START(ts, {durations})", "window_start", TS), E(f"{name}_END(ts, {durations})", "window_end", TS)
            case "ksql":
                after = f" WINDOW HOPPING (SIZE {wide} {unit}, ADVANCE BY {amount} {unit})" if hop else f" WINDOW TUMBLING (SIZE {wide} {unit}S)"
                start, end = E("WINDOWSTART", "epoch_ms(window_start)", INT), E("WINDOWEND", "epoch_ms(window_end)", INT)
                group = []
            case "behind":
                late = f" WINDOW SLIDING(ts, {width}, {step})" if hop else f" WINDOW TUMBLING(ts, {width})"
                start, end = E("_window_start", "window_start", TS), E("_window_end", "window_end", TS)
                group = []
        having = ("", "")
        if r.random() < 0.2:
            having = (" HAVING COUNT(*) > 1",) * 2
        if not group and not keys:
            keys = [both("k", INT)]
        expressions = [start, end] + keys + aggregates
        c, d = self.items(expressions)
        c_by = ", ".join(group + [key.c for key in keys])
        d_by = ", ".join(["window_start", "window_end"] + [key.d for key in keys])
        windows = self.windows(slide, size, offset)
        return Query(
            f"SELECT {c} FROM {source}{after}{where[0]} GROUP BY {c_by}{having[0]}{late}",
            f"SELECT {d} FROM {windows} AS t{where[1]} GROUP BY {d_by}{having[1]}",
            [e.t for e in expressions],
            delay=r.choice([(), ("INTERVAL '0' SECOND",)]),
        )


# Answers.

def read_csv(text):
    """Rows of CSV; a field is None where it is empty and not in quotes."""
    rows, row, at = [], [], 0
    while at < len(text):
        if text[at] == '"':
            value, at = "", at + 1
            while True:
                stop = text.index('"', at)
                value, at = value + text[at:stop], stop + 1
                if at < len(text) and text[at] == '"':
                    value, at = value + '"', at + 1
                else:
                    break
        else:
            stop = at
            while stop < len(text) and text[stop] not in ",\n":
                stop += 1
            value, at = text[at:stop] or None, stop
        row.append(value)
        if at < len(text) and text[at] == ",":
            at += 1
            if at == len(text) or text[at] == "\n":
                row.append(None)
                rows.append(row)
                row, at = [], at + 1
            continue
        rows.append(row)
        row, at = [], at + 1
    return rows


def typed(text, kind):
    """A value Corelane wrote, as Python's."""
    if text is None:
        return None
    match kind[0]:
        case "int" | "dec":
            return D(text)
        case "dbl":
            return float(text)
        case "bool":
            return {"true": True, "false": False}[text.lower()]
        case "ts":
            return (text + ".000")[:23] if "." not in text else text
    return text


def expected(value, kind):
    if value is None:
        return None
    match kind[0]:
        case "int" | "dec":
            return D(value)
        case "dbl":
            return float(value)
        case "ts":
            return value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond:06}"[:3]
        case "date":
            return value.strftime("%Y-%m-%d")
    return value


def close(left, right):
    if left is None or right is None or not isinstance(left, float):
        return left == right
    return left == right or math.isnan(left) and math.isnan(right) or math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-8)


def order(row):
    return [(value is None, round(value, 5) + 0.0 if isinstance(value, float) and math.isfinite(value) else str(value) if value is not None else "") for value in row]


def compare(actual, wanted, ordered):
    """What differs, or None."""
    if len(actual) != len(wanted):
        note = f"{len(actual)} rows, expected {len(wanted)}"
    else:
        note = None
    if not ordered:
        actual, wanted = sorted(actual, key=order), sorted(wanted, key=order)
    for left, right in zip(actual, wanted):
        if len(left) != len(right) or not all(map(close, left, right)):
            columns = [n for n, (a, b) in enumerate(zip(left, right)) if not close(a, b)]
            return f"{note or 'values'}: columns {columns}\n    got      {[left[n] for n in columns]} in {left}\n    expected {[right[n] for n in columns]} in {right}"
    return note


def added_up(rows):
    """The rows that changes, each behind its operation, leave in the end."""
    counts = collections.Counter()
    for operation, *row in rows:
        counts[tuple(row)] += 1 if operation[0] == "+" else -1
    if any(count < 0 for count in counts.values()):
        raise ValueError("a row goes that was not there")
    return [list(row) for row in counts.elements()]


RUNS = [["--shards", "1"], ["--shards", "2"], ["--shards", "7"]]


class Checker:
    def __init__(self, options, folder):
        self.options = options
        self.folder = pathlib.Path(folder)
        self.pool = concurrent.futures.ThreadPoolExecutor(2)
        self.counts = collections.Counter()
        self.seen = collections.Counter()
        self.refused = collections.defaultdict(list)
        self.shapes = {None: None, "joins": check_joins.SHAPES, "sets": check_sets.SHAPES}.get(options.shape, [options.shape])

    def corelane(self, script, flags):
        command = [self.options.corelane, "-f", "-", "--format", "csv", "--quiet", "--executor", "threads", *flags]
        try:
            done = subprocess.run(command, input=script.encode(), capture_output=True, timeout=20)
        except subprocess.TimeoutExpired:
            return None, "", "no end within 20 s"
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def check(self, number):
        seed = f"{self.options.seed} {number}"
        data = self.data(number // 10)
        generator = Generator(seed)
        query = generator.query(self.shapes)
        self.seen.update(generator.seen)
        ddl = data.ddl(*query.delay if data.in_order else ())
        if self.options.changes:
            query.corelane += " EMIT CHANGELOG"
            query.ordered = False
        script = ddl + query.corelane + ";\n"
        runs = list(self.pool.map(lambda flags: self.corelane(script, flags), RUNS))
        try:
            wanted = [[expected(value, kind) for value, kind in zip(row, query.kinds)] for row in data.base.execute(query.duck).fetchall()]
            problem = None
        except Exception as error:
            wanted, problem = None, str(error).split("\n")[0]
        self.counts["queries"] += 1
        failures = [run for run in runs if run[0] != 0]
        for flags, (status, out, err) in zip(RUNS, runs):
            if status is None or "panicked" in err or "internal" in err.lower():
                return self.wrong(number, query, data, ddl, f"{flags}: {err.strip()[:300]}")
        if failures:
            if len(failures) < len(runs) and not (problem or "LIMIT" in query.corelane):
                return self.wrong(number, query, data, ddl, f"fails on some shards only: {failures[0][2].strip()}")
            if problem:
                self.counts["refused by both"] += 1
            else:
                self.counts["refused by Corelane"] += 1
            self.refused["Corelane: " + failures[0][2].strip().split("\n")[0][:120]].append(number)
            return
        if problem:
            self.counts["refused by DuckDB"] += 1
            self.refused["DuckDB: " + problem[:120]].append(number)
            return
        self.counts["accepted by both"] += 1
        for flags, (_, out, _) in zip(RUNS, runs):
            try:
                rows = added_up(read_csv(out)[1:]) if self.options.changes else read_csv(out)[1:]
                rows = [[typed(text, kind) for text, kind in zip(row, query.kinds, strict=True)] for row in rows]
            except (ValueError, KeyError, decimal.InvalidOperation) as error:
                return self.wrong(number, query, data, ddl, f"{flags}: unreadable output: {error!r}")
            difference = compare(rows, wanted, query.ordered)
            if difference:
                return self.wrong(number, query, data, ddl, f"{flags}: {difference}")

    def data(self, number):
        if getattr(self, "loaded", None) != number:
            self.loaded = number
            self.current = Data(f"{self.options.seed} {number}", self.folder / str(number), self.options.rows)
        return self.current

    def wrong(self, number, query, data, ddl, text):
        self.counts["wrong"] += 1
        print(f"WRONG {number} ({query.shape}, {len(data.rows)} rows) {text}\n  corelane: {query.corelane}\n  duckdb:   {query.duck}\n", flush=True)
        if self.options.keep:
            place = pathlib.Path(self.options.keep) / str(number)
            shutil.copytree(data.folder, place, dirs_exist_ok=True)
            (place / "query.sql").write_text(ddl.replace(str(data.folder), str(place)) + query.corelane + ";\n")
            (place / "expected.sql").write_text(query.duck + ";\n")

    def summary(self):
        share = 100 * self.counts["accepted by both"] / max(1, self.counts["queries"])
        print("seen: " + ", ".join(f"{name} {count}" for name, count in sorted(self.seen.items(), key=lambda item: -item[1])))
        if self.options.refusals:
            for reason, numbers in sorted(self.refused.items(), key=lambda item: -len(item[1])):
                print(f"{len(numbers):5} {reason}  (query {', '.join(map(str, numbers[:3]))})")
        print(", ".join(f"{name}: {count}" for name, count in self.counts.items()) + f" ({share:.1f} % accepted by both)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corelane", required=True)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", type=int, help="run this query of the seed only")
    parser.add_argument("--shape", help="only queries of this shape, or `joins` or `sets` for all of theirs")
    parser.add_argument("--rows", type=int, help="rows of a file, about; else 0 to 3000")
    parser.add_argument("--changes", action="store_true", help="ask for changes, and hold what they add up to against DuckDB")
    parser.add_argument("--keep", help="folder for wrong queries and their files")
    parser.add_argument("--refusals", action="store_true", help="list what was refused, and why")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checker = Checker(options, folder)
        numbers = range(options.queries) if options.only is None else [options.only]
        for number in numbers:
            checker.check(number)
        checker.summary()
        sys.exit(1 if checker.counts["wrong"] else 0)


if __name__ == "__main__":
    main()
