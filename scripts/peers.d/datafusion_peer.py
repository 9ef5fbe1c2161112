"""DataFusion: external CSV tables with declared columns, `COPY .. TO` a folder.

Numbers are of the quicker type: amounts that are only compared and written DECIMAL, those that are
added up DOUBLE.
"""

import datafusion
import pyarrow as pa

from in_process import time_one

ORDERS = pa.schema([("order_id", pa.int32()), ("customer_id", pa.int32()), ("order_date", pa.string_view()), ("total_amount", pa.decimal128(10, 2))])
MARKET = pa.schema([("trade_time", pa.int64()), ("trader_id", pa.string_view()), ("symbol", pa.string_view()), ("price", pa.float64()), ("quantity", pa.int32())])
STATIONS = pa.schema([("station", pa.string_view()), ("temp", pa.float64())])

TABLES = {"orders": (ORDERS, ",", True), "market_data": (MARKET, ",", True), "measurements": (STATIONS, ";", False)}

ALL_ORDERS = "SELECT order_id, customer_id, order_date, total_amount FROM orders"
TOTALS = "count(*) AS trades, avg(price) AS avg_price, sum(quantity) AS volume, sum(price * quantity) AS turnover"

QUERIES = {
    "S0n": ("orders", f"{ALL_ORDERS} WHERE total_amount > 396"),
    "S0w": ("orders", f"{ALL_ORDERS} WHERE total_amount > 200"),
    "S0a": ("orders", ALL_ORDERS),
    "S1": (
        "market_data",
        """SELECT symbol, trade_time, price, avg(price) OVER w AS avg_price, min(price) OVER w AS min_price,
           max(price) OVER w AS max_price FROM market_data
           WINDOW w AS (PARTITION BY symbol ORDER BY trade_time ROWS BETWEEN 99 PRECEDING AND CURRENT ROW)""",
    ),
    "S2": (
        "market_data",
        f"SELECT trader_id, symbol, {TOTALS}, min(price) AS min_price, max(price) AS max_price FROM market_data GROUP BY trader_id, symbol",
    ),
    "S3a": (
        "market_data",
        f"""SELECT trader_id, symbol, to_timestamp_millis(minute * 60000) AS window_start,
            to_timestamp_millis((minute + 1) * 60000) AS window_end, trades, avg_price, volume, turnover
            FROM (SELECT trader_id, symbol, trade_time / 60000 AS minute, {TOTALS} FROM market_data
                  GROUP BY trader_id, symbol, trade_time / 60000)""",
    ),
    "1BRC": ("measurements", "SELECT station, min(temp) AS min_temp, avg(temp) AS avg_temp, max(temp) AS max_temp FROM measurements GROUP BY station"),
}


def run(case, files, out, threads):
    config = datafusion.SessionConfig().with_target_partitions(threads)
    context = datafusion.SessionContext(config)
    table, query = QUERIES[case]
    schema, delimiter, header = TABLES[table]
    folder = files[0].rsplit("/", 1)[0] + "/"
    context.register_csv(table, folder, schema=schema, has_header=header, delimiter=delimiter, file_extension=".csv")
    context.sql(f"COPY ({query}) TO '{out}/' STORED AS CSV OPTIONS ('format.has_header' 'true')").collect()


if __name__ == "__main__":
    time_one(datafusion.__version__, run)
