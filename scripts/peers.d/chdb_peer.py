"""chDB (ClickHouse in a process): `file()` with declared columns, `INSERT INTO FUNCTION file()`.

Prices are Float64, quicker than Decimal here.
"""

import chdb

from in_process import time_one

ORDERS = "file('{files}', 'CSVWithNames', 'order_id Int32, customer_id Int32, order_date String, total_amount Float64')"
MARKET = "file('{files}', 'CSVWithNames', 'trade_time Int64, trader_id String, symbol String, price Float64, quantity Int32')"
STATIONS = "file('{files}', 'CSV', 'station String, temp Float64')"

ALL_ORDERS = f"SELECT order_id, customer_id, order_date, total_amount FROM {ORDERS}"
TOTALS = "count() AS trades, avg(price) AS avg_price, sum(quantity) AS volume, sum(price * quantity) AS turnover"
STAMP = "toDateTime64(minute * 60, 3, 'UTC')"

QUERIES = {
    "S0n": f"{ALL_ORDERS} WHERE total_amount > 396",
    "S0w": f"{ALL_ORDERS} WHERE total_amount > 200",
    "S0a": ALL_ORDERS,
    "S1": f"""SELECT symbol, trade_time, price, avg(price) OVER w AS avg_price, min(price) OVER w AS min_price,
              max(price) OVER w AS max_price FROM {MARKET}
              WINDOW w AS (PARTITION BY symbol ORDER BY trade_time ROWS BETWEEN 99 PRECEDING AND CURRENT ROW)""",
    "S2": f"SELECT trader_id, symbol, {TOTALS}, min(price) AS min_price, max(price) AS max_price FROM {MARKET} GROUP BY trader_id, symbol",
    "S3a": f"""SELECT trader_id, symbol, {STAMP} AS window_start, {STAMP} + 60 AS window_end, trades, avg_price, volume, turnover
               FROM (SELECT trader_id, symbol, intDiv(trade_time, 60000) AS minute, {TOTALS} FROM {MARKET}
                     GROUP BY trader_id, symbol, minute)""",
    "1BRC": f"SELECT station, min(temp) AS min_temp, avg(temp) AS avg_temp, max(temp) AS max_temp FROM {STATIONS} GROUP BY station",
}


def run(case, files, out, threads):
    pattern = files[0] if len(files) == 1 else files[0].rsplit("/", 1)[0] + "/shard*.csv"
    settings = f"max_threads = {threads}"
    if case == "1BRC":
        settings += ", format_csv_delimiter = ';', format_csv_allow_double_quotes = 0"
    query = QUERIES[case].format(files=pattern)
    chdb.query(f"INSERT INTO FUNCTION file('{out}/result.csv', 'CSVWithNames') {query} SETTINGS {settings}")


if __name__ == "__main__":
    time_one(chdb.__version__, run)
