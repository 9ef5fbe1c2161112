"""The format of SQL logic tests: records of statements and queries with their rows."""

import dataclasses
import re


@dataclasses.dataclass
class Record:
    line: int
    sql: str
    error: str = ""  # what the error says, or "any"; empty where none is expected
    rows: list = dataclasses.field(default_factory=list)
    rows_told: bool = False
    sort: str = ""  # rowsort or valuesort
    foreign: bool = False  # for other engines, or more than this reader knows


def records(path, root):
    """The records of a file, with those of the files it includes."""
    lines = path.read_text().split("\n")
    at, foreign = 0, False
    while at < len(lines):
        line = lines[at].strip()
        number = at + 1
        at += 1
        if not line or line.startswith("#"):
            continue
        words = line.split()
        match words[0]:
            case "include":
                for included in sorted(path.parent.glob(words[1])):
                    yield from records(included, root)
            case "onlyif" | "skipif":
                foreign |= (words[1].lower() == "datafusion") == (words[0] == "skipif")
            case "statement" | "query":
                record, at = read(lines, at, words, number)
                record.foreign = foreign
                foreign = False
                yield record
            case "halt":
                return
            case _:  # control, hash-threshold, subtest, sleep, let, system
                while words[0] == "system" and at < len(lines) and lines[at].strip():
                    at += 1


def read(lines, at, words, number):
    record = Record(number, "")
    expects = words[1] if len(words) > 1 else ""
    if expects == "error":
        record.error = " ".join(words[2:]) or "any"
    elif words[0] == "query":
        record.sort = next((word for word in words[2:] if word in ("rowsort", "valuesort")), "")
    sql = []
    while at < len(lines) and lines[at].strip() and lines[at].strip() != "----":
        sql.append(lines[at])
        at += 1
    record.sql = "\n".join(sql)
    if at < len(lines) and lines[at].strip() == "----":
        at += 1
        if at < len(lines) and lines[at].strip() == "----":
            at += 1
        while at < len(lines) and lines[at]:
            record.rows.append(lines[at])
            at += 1
        if record.error:
            record.error = " ".join(record.rows)
            # The text of an error may hold one blank line, two end it.
            while at + 1 < len(lines) and record.rows and lines[at + 1].strip() and not is_start(lines[at + 1]):
                at += 1
        record.rows_told = not record.error
    elif words[0] == "query" and not record.error:
        record.rows_told = True
    return record, at


def is_start(line):
    return line.startswith("#") or line.split()[0] in ("statement", "query", "include", "onlyif", "skipif", "halt", "control", "system", "hash-threshold", "subtest")


def without_comments(sql):
    return re.sub(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", lambda m: " " if m[0][0] in "-/" else m[0], sql, flags=re.S)


def outer(sql):
    """The words of a statement that stand in no parentheses and no text."""
    sql = re.sub(r"'(?:[^']|'')*'|\"[^\"]*\"", "''", without_comments(sql))
    out, depth = [], 0
    for character in sql:
        depth += (character == "(") - (character == ")")
        out.append(character if depth == 0 else " ")
    return "".join(out)


def is_ordered(sql):
    return bool(re.search(r"\bORDER\s+BY\b", outer(sql), re.I))


def is_limited(sql):
    return bool(re.search(r"\b(LIMIT|FETCH)\b", outer(sql), re.I))


def parenthesized(text):
    """What stands in the parentheses that `text` begins with, and what follows them."""
    if not text.startswith("("):
        return None, text
    depth = 0
    for place, token in ((m.start(), m[0]) for m in re.finditer(r"'(?:[^']|'')*'|[()]", text)):
        depth += (token == "(") - (token == ")")
        if depth == 0:
            return text[1:place], text[place + 1:].strip()
    return None, text


def split_commas(text):
    parts, depth, last = [], 0, 0
    for m in re.finditer(r"'(?:[^']|'')*'|\"[^\"]*\"|[()<>,]", text):
        depth += (m[0] in "(<") - (m[0] in ")>")
        if m[0] == "," and depth == 0:
            parts.append(text[last:m.start()])
            last = m.end()
    return [part.strip() for part in [*parts, text[last:]] if part.strip()]


# Types of the other engine, and what holds their values here.
ARROW = [
    (r"(Large)?Utf8(View)?|Dictionary\(\s*U?Int\d+\s*,\s*(Large)?Utf8(View)?\s*\)", "STRING"),
    (r"U?Int8|U?Int16|Int32", "INT"),
    (r"Int64|UInt32", "BIGINT"),
    (r"UInt64", "DECIMAL(20, 0)"),
    (r"Float(16|32|64)", "DOUBLE"),
    (r"Boolean", "BOOLEAN"),
    (r"Date32", "DATE"),
    (r"Timestamp\(Second, None\)|Timestamp\(s\)", "TIMESTAMP(0)"),
    (r"Timestamp\(Millisecond, None\)|Timestamp\(ms\)", "TIMESTAMP(3)"),
    (r"Timestamp\((Microsecond|Nanosecond), None\)|Timestamp\([µn]s\)", "TIMESTAMP(6)"),
    (r"Decimal(?:32|64|128)\(\s*(\d+)\s*,\s*(\d+)\s*\)", r"DECIMAL(\1, \2)"),
]


def plain_casts(sql):
    """`arrow_cast(x, 'Utf8')` as `CAST(x AS STRING)`, where the type has an equal."""
    out, at = [], 0
    for found in re.finditer(r"\barrow_cast\s*(?=\()", sql, re.I):
        if found.start() < at:
            continue
        inner, _ = parenthesized(sql[found.end():])
        parts = split_commas(inner or "")
        name = parts[-1].strip().strip("'") if len(parts) == 2 else ""
        for pattern, ours in ARROW:
            if re.fullmatch(pattern, name):
                kind = re.sub(pattern, ours, name)
                out += [sql[at:found.start()], f"CAST({plain_casts(parts[0])} AS {kind})"]
                at = found.end() + len(inner) + 2
                break
    return "".join(out) + sql[at:]
