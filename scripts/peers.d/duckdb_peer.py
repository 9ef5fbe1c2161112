"""DuckDB: `read_csv` with declared columns, `COPY .. TO` with a file per thread, order not kept.

The window's start stays a number until after the grouping, which is quicker than grouping by a
timestamp. Numbers are of the quicker type: amounts that are only compared and written DECIMAL, those
that are added up DOUBLE.
"""

import duckdb

from in_process import time_one

ORDERS = "read_csv({files}, header=true, columns={{'order_id':'INT','customer_id':'INT','order_date':'VARCHAR','total_amount':'DECIMAL(10,2)'}})"
MARKET = "read_csv({files}, header=true, columns={{'trade_time':'BIGINT','trader_id':'VARCHAR','symbol':'VARCHAR','price':'DOUBLE','quantity':'INT'}})"
STATIONS = "read_csv({files}, header=false, delim=';', quote='', columns={{'station':'VARCHAR','temp':'DOUBLE'}})"

ALL_ORDERS = f"SELECT order_id, customer_id, order_date, total_amount FROM {ORDERS}"
TOTALS = "count(*) AS trades, avg(price) AS avg_price, sum(quantity) AS volume, sum(price * quantity) AS turnover"

QUERIES = {
    "S0n": f"{ALL_ORDERS} WHERE total_amount > 396",
    "S0w": f"{ALL_ORDERS} WHERE total_amount > 200",
    "S0a": ALL_ORDERS,
    "S1": f"""SELECT symbol, trade_time, price, avg(price) OVER w AS avg_price, min(price) OVER w AS min_price,
              max(price) OVER w AS max_price FROM {MARKET}
              WINDOW w AS (PARTITION BY symbol ORDER BY trade_time ROWS BETWEEN 99 PRECEDING AND CURRENT ROW)""",
    "S2": f"SELECT trader_id, symbol, {TOTALS}, min(price) AS min_price, max(price) AS max_price FROM {MARKET} GROUP BY trader_id, symbol",
    "S3a": f"""SELECT trader_id, symbol, make_timestamp(minute * 60000000) AS window_start,
               make_timestamp((minute + 1) * 60000000) AS window_end, trades, avg_price, volume, turnover
               FROM (SELECT trader_id, symbol, trade_time // 60000 AS minute, {TOTALS} FROM {MARKET} GROUP BY ALL)""",
    "1BRC": f"SELECT station, min(temp) AS min_temp, avg(temp) AS avg_temp, max(temp) AS max_temp FROM {STATIONS} GROUP BY station",
}


def run(case, files, out, threads):
    base = duckdb.connect()
    base.execute(f"SET threads = {threads}")
    base.execute("SET preserve_insertion_order = false")
    query = QUERIES[case].format(files=files)
    per_thread = ", PER_THREAD_OUTPUT" if threads > 1 else ""
    to = out if threads > 1 else out / "result.csv"
    base.execute(f"COPY ({query}) TO '{to}' (FORMAT csv, HEADER{per_thread})")


if __name__ == "__main__":
    time_one(duckdb.__version__, run)
