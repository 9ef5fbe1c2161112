"""Holds instants in many time zones against Python's zoneinfo.

Random instants of 1900 to 2100, one in three within a few hours of a change of clocks, are read, written,
cast, cut, taken apart and moved a month in each of several zones; each value is computed here with zoneinfo
(of the package tzdata, not of this machine), and the lines must be equal.
"""

import argparse
import calendar
import datetime
import pathlib
import random
import subprocess
import sys
import tempfile
import zoneinfo

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1)
SECOND, HOUR = 10**6, 3600 * 10**6
FIRST, LAST = ((datetime.datetime(year, 1, 1) - EPOCH) // datetime.timedelta(microseconds=1) for year in (1900, 2100))
USUAL = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca", "America/St_Johns",
         "Pacific/Apia", "Asia/Tehran", "Europe/Dublin", "Antarctica/Troll", "America/Sao_Paulo", "Asia/Tokyo"]


def plain(reading):
    return (EPOCH + datetime.timedelta(microseconds=reading)).strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")


class Zone:
    def __init__(self, name):
        self.name, self.info = name, zoneinfo.ZoneInfo(name)
        self.changes = self.find_changes()
        self.is_utc = not self.changes and self.offset(FIRST) == 0

    def offset(self, instant):
        moment = (EPOCH + datetime.timedelta(microseconds=instant)).replace(tzinfo=UTC)
        return moment.astimezone(self.info).utcoffset() // datetime.timedelta(microseconds=1)

    def find_changes(self):
        changes, step = [], 21 * 24 * HOUR
        for start in range(FIRST, LAST, step):
            low, high = start, start + step
            if self.offset(low) != self.offset(high):
                while high - low > SECOND:
                    middle = (low + high) // 2
                    low, high = (middle, high) if self.offset(middle) == self.offset(low) else (low, middle)
                changes.append(high)
        return changes

    def reading(self, instant):
        return instant + self.offset(instant)

    def instant(self, reading):
        """Of two instants the first; of none, the one with the offset before: fold = 0."""
        local = (EPOCH + datetime.timedelta(microseconds=reading)).replace(tzinfo=self.info)
        return reading - local.utcoffset() // datetime.timedelta(microseconds=1)

    def shown(self, instant):
        offset = self.offset(instant)
        if self.is_utc:
            return plain(instant) + "Z"
        seconds = abs(offset) // SECOND
        text = f"{'-' if offset < 0 else '+'}{seconds // 3600:02}:{seconds // 60 % 60:02}"
        return plain(instant + offset) + text + (f":{seconds % 60:02}" if seconds % 60 else "")


def cut(reading, unit):
    time = EPOCH + datetime.timedelta(microseconds=reading)
    time = time.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "week":
        time -= datetime.timedelta(days=time.weekday())
    if unit in ("month", "year"):
        time = time.replace(day=1)
    if unit == "year":
        time = time.replace(month=1)
    return (time - EPOCH) // datetime.timedelta(microseconds=1)


def months_later(reading, months):
    time = EPOCH + datetime.timedelta(microseconds=reading)
    year, month = divmod(time.year * 12 + time.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return (time.replace(year=year, month=month + 1, day=min(time.day, last)) - EPOCH) // datetime.timedelta(microseconds=1)


def columns(zone, other):
    """SQL over the instant `u`, the reading `w` and the reading `l` that is read as an instant; and what it gives."""
    reading = zone.reading
    parts = lambda u: EPOCH + datetime.timedelta(microseconds=reading(u))
    yield "u", lambda u, w: zone.shown(u)
    yield "l", lambda u, w: zone.shown(zone.instant(w))
    yield "CAST(u AS STRING)", lambda u, w: zone.shown(u)
    yield "CAST(u AS TIMESTAMP(6))", lambda u, w: plain(reading(u))
    yield "CAST(w AS TIMESTAMP_LTZ(6))", lambda u, w: zone.shown(zone.instant(w))
    yield "CAST(CAST(w AS STRING) AS TIMESTAMP_LTZ(6))", lambda u, w: zone.shown(zone.instant(w))
    yield "CAST(u AS DATE)", lambda u, w: plain(reading(u))[:10]
    yield "CAST(CAST(w AS DATE) AS TIMESTAMP_LTZ(6))", lambda u, w: zone.shown(zone.instant(cut(w, "day")))
    for name, part in [("YEAR", "year"), ("MONTH", "month"), ("DAY", "day"), ("HOUR", "hour"), ("MINUTE", "minute"), ("SECOND", "second")]:
        yield f"{name}(u)", lambda u, w, part=part: str(getattr(parts(u), part))
    yield "EXTRACT(ISODOW FROM u)", lambda u, w: str(parts(u).isoweekday())
    yield "DATE_FORMAT(u, 'yyyy-MM-dd HH:mm:ss.SSSSSS')", lambda u, w: plain(reading(u))
    for unit in ("day", "week", "month", "year"):
        yield f"DATE_TRUNC('{unit}', u)", lambda u, w, unit=unit: zone.shown(zone.instant(cut(reading(u), unit)))
    yield "DATE_TRUNC('hour', u)", lambda u, w: zone.shown(u - reading(u) % HOUR)
    yield "u + INTERVAL '1' MONTH", lambda u, w: zone.shown(zone.instant(months_later(reading(u), 1)))
    yield "w - INTERVAL '1-1' YEAR TO MONTH", lambda u, w: plain(months_later(w, -13))
    yield "u + INTERVAL '1' DAY", lambda u, w: zone.shown(u + 24 * HOUR)
    yield "u = CAST(w AS TIMESTAMP_LTZ(6))", lambda u, w: str(u == zone.instant(w)).lower()
    yield "u < w", lambda u, w: str(u < zone.instant(w)).lower()
    yield "u - w > INTERVAL '0' SECOND", lambda u, w: str(u > zone.instant(w)).lower()
    yield f"u AT TIME ZONE '{other.name}'", lambda u, w: plain(other.reading(u))
    yield f"w AT TIME ZONE '{other.name}'", lambda u, w: zone.shown(other.instant(w))
    yield f"CONVERT_TZ(w, '{zone.name}', '{other.name}')", lambda u, w: plain(other.reading(zone.instant(w)))
    yield "UNIX_TIMESTAMP(w)", lambda u, w: str(zone.instant(w) // SECOND)
    yield "FROM_UNIXTIME(UNIX_TIMESTAMP(u))", lambda u, w: plain(reading(u // SECOND * SECOND))[:19]


def check(corelane, zone, other, times, folder, shards):
    asked = list(columns(zone, other))
    half = len(times) // 2
    for part, some in enumerate([times[:half], times[half:]]):
        lines = [f"{number},{plain(u)}Z,{plain(w)},{plain(w)}" for number, u, w in some]
        (folder / f"part{part}.csv").write_text("\n".join(["id,u,w,l", *lines]) + "\n")
    script = (f"CREATE TABLE t (id BIGINT, u TIMESTAMP_LTZ(6), w TIMESTAMP(6), l TIMESTAMP_LTZ(6)) WITH ('path' = '{folder}/part*.csv'); "
              f"SELECT id, {', '.join(sql for sql, _ in asked)} FROM t")
    command = [corelane, "--quiet", "--format", "csv", "--shards", str(shards), "--executor", "threads", "--time-zone", zone.name, script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        return 0, [f"{zone.name}: status {done.returncode}: {done.stderr}"]
    rows = {int(line.split(",")[0]): line.split(",")[1:] for line in done.stdout.splitlines()[1:]}
    wrong = []
    for number, u, w in times:
        expected = [value(u, w) for _, value in asked]
        for (sql, _), found, value in zip(asked, rows.get(number, [None] * len(asked)), expected, strict=True):
            if found != value:
                wrong.append(f"{zone.name}: {sql} of u = {plain(u)}Z, w = {plain(w)} is {found}, not {value}")
    return len(times) * len(asked), wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corelane", required=True)
    parser.add_argument("--instants", type=int, default=1000)
    parser.add_argument("--zones", type=int, default=20, help="this many, beside the usual ones")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    r = random.Random(arguments.seed)
    others = sorted(set(zoneinfo.available_timezones()) - {"localtime", "Factory"})
    zones = [Zone(name) for name in USUAL + r.sample(others, arguments.zones)]
    values, wrong = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for number, zone in enumerate(zones):
            near = lambda: r.choice(zone.changes) + r.randint(-3 * HOUR, 3 * HOUR) if zone.changes and r.random() < 0.33 else r.randint(FIRST, LAST)
            times = [(n, near(), near()) for n in range(arguments.instants)]
            # Beside each other, as both clocks may show it.
            times = [(n, u, zone.reading(u) if r.random() < 0.3 else w) for n, u, w in times]
            count, problems = check(arguments.corelane, zone, r.choice(zones), times, pathlib.Path(folder), [1, 2, 7][number % 3])
            values += count
            wrong += problems
    for line in wrong[:20]:
        print(line)
    print(f"{len(zones)} zones, {values} values, {len(wrong)} wrong")
    return 1 if wrong or not values else 0


if __name__ == "__main__":
    sys.exit(main())
