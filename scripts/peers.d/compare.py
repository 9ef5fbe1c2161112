"""Whether two results hold the same rows, in any order: read and joined by DuckDB."""

import duckdb

from case_list import KEYS, VALUES

RELATIVE = 1e-9
# Averages are written with six places; half of the last, and the error of a double.
ROUNDING = 0.51e-6

ORDERS = {"order_id": "INT", "customer_id": "INT", "order_date": "VARCHAR", "total_amount": "DECIMAL(10,2)"}
TYPES = {"whole": "BIGINT", "decimal": "DECIMAL(10,2)", "mean": "DOUBLE"}


def columns(query, exact):
    keys = {key: "BIGINT" if key == "trade_time" else "VARCHAR" for key in KEYS[query]}
    values = {name: TYPES.get(kind, "DECIMAL(38,2)" if exact else "DOUBLE") for name, kind in VALUES[query].items()}
    return keys | values


def rows_of(folder, types, header):
    """The rows in `folder`, times as `YYYY-MM-DD HH:MM:SS`."""
    stamps = [name for name in types if name.startswith("window_")]
    replaced = f" REPLACE ({', '.join(f'''replace(left({name}, 19), 'T', ' ') AS {name}''' for name in stamps)})" if stamps else ""
    return f"(SELECT *{replaced} FROM read_csv('{folder}/*', header={str(header).lower()}, quote='\"', columns={types}))"


def verdict(case, engine, threads, reference, actual, tally):
    """`same`, or what differs from Corelane's result in the folder `reference`."""
    base = duckdb.connect()
    if engine.name == "corelane":
        return "reference"
    if tally:
        return tallied(base, case.query, threads, reference, tally)
    if case.query.startswith("S0"):
        mark = lambda folder, header: base.execute(f"SELECT count(*), sum(hash(order_id, customer_id, order_date, total_amount)::HUGEINT) FROM {rows_of(folder, ORDERS, header)}").fetchone()
        ours, theirs = mark(reference, True), mark(actual, engine.header)
        return "same" if ours == theirs else f"{theirs[0]} rows for {ours[0]}, or other values"
    keys, values = KEYS[case.query], dict(VALUES[case.query])
    ours = rows_of(reference, columns(case.query, engine.exact), True)
    theirs = rows_of(actual, columns(case.query, engine.exact), engine.header)
    if case.query == "S3b":
        ours, theirs = last(ours), last(theirs)
        values |= {"updates": "whole", "numbers": "whole"}
    differs = " OR ".join(different(name, kind, engine.exact) for name, kind in values.items())
    missing, extra, wrong, joined, rows = base.execute(
        f"WITH r AS MATERIALIZED {ours}"
        f" SELECT count(*) FILTER (r.{keys[0]} IS NOT NULL AND p.{keys[0]} IS NULL), count(*) FILTER (r.{keys[0]} IS NULL),"
        f" count(*) FILTER (r.{keys[0]} = p.{keys[0]} AND ({differs})), count(*), (SELECT count(*) FROM r)"
        f" FROM r FULL JOIN {theirs} p USING ({', '.join(keys)})"
    ).fetchone()
    if rows == 0:
        return "no rows"
    extra = max(extra, joined - rows)  # A key that comes twice joins twice.
    return "same" if missing == extra == wrong == 0 else f"{missing} rows missing, {extra} too many, {wrong} with other values"


def different(name, kind, exact):
    if kind in ("whole", "decimal") or (kind == "sum" and exact):
        return f"r.{name} IS DISTINCT FROM p.{name}"
    slack = ROUNDING if kind == "mean" else 0
    return f"NOT coalesce(abs(r.{name} - p.{name}) <= {RELATIVE} * abs(r.{name}) + {slack}, false)"


def last(rows):
    """Running totals: of each group the last row, how many there were, and that they count 1, 2, .."""
    return (
        "(SELECT trader_id, symbol, window_start, window_end, max(trades) AS trades, arg_max(avg_price, trades) AS avg_price,"
        " arg_max(volume, trades) AS volume, arg_max(turnover, trades) AS turnover, count(*) AS updates, sum(trades)::BIGINT AS numbers"
        f" FROM {rows} GROUP BY ALL)"
    )


def tallied(base, query, threads, reference, tally):
    """Holds counts and sums of a result that was not written against those of ours."""
    types = columns(query, True)
    rows = rows_of(reference, types, True)
    names = list(VALUES[query])
    # Which totals the rows of a group show on their way depends on how two files are interleaved.
    if query == "S3b" and threads > 1:
        names = ["trades"]
    count, *sums = base.execute(f"SELECT count(*), {', '.join(f'sum({name})::DOUBLE' for name in names)} FROM {rows}").fetchone()
    if tally["rows"] != count:
        return f"{tally['rows']} rows for {count}"
    for name, ours in zip(names, sums):
        theirs = tally["sums"][name]
        slack = RELATIVE * abs(ours) + (ROUNDING * count if VALUES[query][name] == "mean" else 0)
        if abs(ours - theirs) > slack:
            return f"{name} adds up to {theirs}, not {ours}"
    return "same sums"
