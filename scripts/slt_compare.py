"""Rows of SQL logic tests: as text, and whether they are those expected."""

import datetime
import decimal
import json
import re

import slt_format

D = decimal.Decimal
decimal.getcontext().prec = 400
TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?")
SPAN = re.compile(r"(?:(-?\d+) years? ?)?(?:(-?\d+) mons? ?)?(?:(-?\d+) days? ?)?(?:(-?\d+) hours? ?)?(?:(-?\d+) mins? ?)?(?:(-?\d+(?:\.\d+)?) secs?)?")
OUR_SPAN = re.compile(r"(-?)(?:(\d+) (?:days? )?)?(\d+):(\d\d):(\d\d(?:\.\d+)?)")


def cell(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, D):
        return format(value, "f") if abs(value.adjusted()) < 350 else str(value)
    if isinstance(value, str):
        return value.rstrip("\n").replace("\0", "\\0") if value else "(empty)"
    return json.dumps(value, default=str)


def unspan(match):
    if not match[0] or not any(match.groups()):
        return match[0]
    years, months, days, hours, minutes = (int(part or 0) for part in match.groups()[:5])
    if years or months:
        return match[0]
    micros = ((days * 24 + hours) * 60 + minutes) * 60 * D(10) ** 6 + D(match[6] or 0) * 10 ** 6
    return f"{int(micros)}us "


def our_unspan(match):
    micros = ((int(match[2] or 0) * 24 + int(match[3])) * 60 + int(match[4])) * 60 * D(10) ** 6 + D(match[5]) * 10 ** 6
    return f"{int(micros) * (-1 if match[1] else 1)}us"


def moment(match):
    """A time as one without an offset: an instant as clocks in UTC show it."""
    day, clock, fraction, offset = match.groups()
    if offset and offset != "Z":
        try:
            away = datetime.timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6])) * (-1 if offset[0] == "-" else 1)
            moved = datetime.datetime.fromisoformat(f"{day} {clock}") - away
            day, clock = f"{moved.year:04}-{moved:%m-%d}", f"{moved:%H:%M:%S}"
        except (ValueError, OverflowError):
            return match[0]
    return f"{day}T{clock}" + (fraction or "").rstrip("0").rstrip(".")


def tidy(line, ours):
    line = TIME.sub(moment, line)
    if not ours and re.search(r"\d (years?|mons?|days?|hours?|mins?|secs?|)\b", line):
        line = SPAN.sub(unspan, line)
    return " ".join(line.split())


def near(ours, theirs, digits=9):
    """One word of a row against one of another."""
    if ours == theirs:
        return True
    try:
        left, right = D(ours), D(theirs)
    except decimal.InvalidOperation:
        match = OUR_SPAN.fullmatch(ours)
        return bool(match) and our_unspan(match) == theirs
    if left.is_nan() or right.is_nan() or left.is_infinite() or right.is_infinite():
        return str(left) == str(right)
    off = abs(left - right)
    if off <= D("5.1e-13") or off <= max(abs(left), abs(right)) * D(10) ** -digits:
        return True
    places = -left.as_tuple().exponent
    return places >= 6 and off <= D(10) ** -places


def same_row(ours, theirs, digits=9):
    if ours == theirs:
        return True
    left, right = ours.split(" "), theirs.split(" ")
    if len(left) != len(right):
        joined = OUR_SPAN.sub(our_unspan, ours)
        if joined == ours:
            return False
        left = joined.split(" ")
    return len(left) == len(right) and all(near(one, other, digits) for one, other in zip(left, right))


def same(ours, theirs, sql, sort, digits=9):
    """Whether the rows are those expected: "" if so, else what is different."""
    theirs = [tidy(line, False) for line in theirs]
    ours = [tidy(" ".join(row), True) for row in ours]
    if sort == "valuesort":
        ours, theirs = ([word for line in lines for word in line.split(" ")] for lines in (ours, theirs))
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, not {len(theirs)}"
    if not sort and all(same_row(left, right, digits) for left, right in zip(ours, theirs)):
        return ""
    pairs = zip(sorted(ours, key=loose), sorted(theirs, key=loose))
    if not all(same_row(left, right, digits) for left, right in pairs):
        return "other rows"
    return "" if sort or not slt_format.is_ordered(sql) else "order"


def loose(line):
    """An order in which nearly equal numbers stand alike."""
    words = []
    for word in line.split(" "):
        try:
            words.append((0, float(f"{float(word):.5g}"), ""))
        except ValueError:
            words.append((1, 0.0, word))
    return [(kind, -1e308 if number != number else number, text) for kind, number, text in words]
