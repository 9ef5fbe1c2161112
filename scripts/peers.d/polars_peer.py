"""Polars: `scan_csv` with declared columns, the streaming engine, `sink_csv`.

Prices are Float64, quicker than Decimal here.
"""

import os
import sys

# Read when the library is loaded.
os.environ["POLARS_MAX_THREADS"] = sys.argv[sys.argv.index("--threads") + 1]

import polars as pl  # noqa: E402

from in_process import time_one  # noqa: E402

ORDERS = {"order_id": pl.Int32, "customer_id": pl.Int32, "order_date": pl.String, "total_amount": pl.Float64}
MARKET = {"trade_time": pl.Int64, "trader_id": pl.String, "symbol": pl.String, "price": pl.Float64, "quantity": pl.Int32}
STATIONS = {"station": pl.String, "temp": pl.Float64}

MINUTE_MS = 60_000


def orders(files, bound=None):
    rows = pl.scan_csv(files, schema=ORDERS)
    return rows.filter(pl.col("total_amount") > bound) if bound else rows


def market(files):
    return pl.scan_csv(files, schema=MARKET)


def totals():
    price, quantity = pl.col("price"), pl.col("quantity")
    return [
        pl.len().alias("trades"),
        price.mean().alias("avg_price"),
        quantity.cast(pl.Int64).sum().alias("volume"),
        (price * quantity).sum().alias("turnover"),
    ]


def rolling(files):
    price = pl.col("price")

    def over(values, name):
        return values.over("symbol", order_by="trade_time").alias(name)

    return market(files).select(
        "symbol",
        "trade_time",
        "price",
        over(price.rolling_mean(100, min_samples=1), "avg_price"),
        over(price.rolling_min(100, min_samples=1), "min_price"),
        over(price.rolling_max(100, min_samples=1), "max_price"),
    )


def per_minute(files):
    stamp = pl.from_epoch(pl.col("minute") * MINUTE_MS, time_unit="ms")
    return (
        market(files)
        .group_by("trader_id", "symbol", (pl.col("trade_time") // MINUTE_MS).alias("minute"))
        .agg(totals())
        .select(
            "trader_id", "symbol", stamp.alias("window_start"), (stamp + pl.duration(minutes=1)).alias("window_end"),
            "trades", "avg_price", "volume", "turnover",
        )
    )


def stations(files):
    temp = pl.col("temp")
    rows = pl.scan_csv(files, schema=STATIONS, separator=";", has_header=False, quote_char=None)
    return rows.group_by("station").agg(temp.min().alias("min_temp"), temp.mean().alias("avg_temp"), temp.max().alias("max_temp"))


QUERIES = {
    "S0n": lambda files: orders(files, 396),
    "S0w": lambda files: orders(files, 200),
    "S0a": orders,
    "S1": rolling,
    "S2": lambda files: market(files).group_by("trader_id", "symbol").agg(
        *totals(), pl.col("price").min().alias("min_price"), pl.col("price").max().alias("max_price")
    ),
    "S3a": per_minute,
    "1BRC": stations,
}


def run(case, files, out, threads):
    QUERIES[case](files).sink_csv(out / "result.csv", engine="streaming", maintain_order=False)


if __name__ == "__main__":
    time_one(pl.__version__, run)
