"""The cases and the engines: what is read, what comes out, what is promised of the values."""

import dataclasses

BATCH_QUERIES = {"S0n", "S0w", "S0a", "S1", "S2", "S3a", "1BRC"}


@dataclasses.dataclass(frozen=True)
class Engine:
    name: str
    queries: set
    # Whether sums are of decimals and exact; else they are of doubles and agree to 1 in 10^9.
    exact: bool
    # "batch" engines see all rows before they answer, "hand" is a program and "stream" a system.
    kind: str
    header: bool = True


ENGINES = {
    engine.name: engine
    for engine in [
        Engine("corelane", BATCH_QUERIES | {"S3b"}, True, "corelane"),
        Engine("duckdb", BATCH_QUERIES, False, "batch"),
        Engine("polars", BATCH_QUERIES, False, "batch"),
        Engine("datafusion", BATCH_QUERIES, False, "batch"),
        Engine("chdb", BATCH_QUERIES, False, "batch"),
        Engine("timely", {"S2", "S3a", "S3b"}, True, "hand"),
        Engine("flink", BATCH_QUERIES | {"S3b"}, False, "stream", header=False),
    ]
}


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    query: str
    table: str
    flavour: str | None
    full_krows: int

    def rows(self, quick):
        return self.full_krows * (200 if quick else 1000)


CASES = {
    case.name: case
    for case in [
        Case("S0n", "S0n", "orders", None, 10_000),
        Case("S0w", "S0w", "orders", None, 10_000),
        Case("S0a", "S0a", "orders", None, 10_000),
        Case("S1", "S1", "market_data", "seed", 4_000),
        Case("S2 seed", "S2", "market_data", "seed", 10_000),
        Case("S2 mid", "S2", "market_data", "mid", 4_000),
        Case("S2 high", "S2", "market_data", "high", 4_000),
        Case("S3a seed", "S3a", "market_data", "seed", 10_000),
        Case("S3a mid", "S3a", "market_data", "mid", 4_000),
        Case("S3b", "S3b", "market_data", "seed", 4_000),
        Case("1BRC", "1BRC", "measurements", None, 20_000),
    ]
}

# Columns of a result: those that name a row, and how the others are compared: `whole` and `decimal`
# exactly, `sum` exactly by engines that add decimals, `mean` to 1 in 10^9 and the six places written.
KEYS = {
    "S1": ["symbol", "trade_time"],
    "S2": ["trader_id", "symbol"],
    "S3a": ["trader_id", "symbol", "window_start", "window_end"],
    "S3b": ["trader_id", "symbol", "window_start", "window_end"],
    "1BRC": ["station"],
}
TOTALS = {"trades": "whole", "avg_price": "mean", "volume": "whole", "turnover": "sum"}
VALUES = {
    "S1": {"price": "decimal", "avg_price": "mean", "min_price": "decimal", "max_price": "decimal"},
    "S2": TOTALS | {"min_price": "decimal", "max_price": "decimal"},
    "S3a": TOTALS,
    "S3b": TOTALS,
    "1BRC": {"min_temp": "decimal", "avg_temp": "mean", "max_temp": "decimal"},
}
