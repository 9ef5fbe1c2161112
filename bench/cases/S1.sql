-- Average, least and greatest of a symbol's last 100 prices, for every trade.
CREATE TABLE market_data (
  trade_time BIGINT,
  trader_id STRING,
  symbol STRING,
  price DECIMAL(10, 2),
  quantity INT,
  ts AS TO_TIMESTAMP_LTZ(trade_time, 3),
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
);
SELECT symbol, trade_time, price, AVG(price) OVER w AS avg_price, MIN(price) OVER w AS min_price, MAX(price) OVER w AS max_price
FROM market_data
WINDOW w AS (PARTITION BY symbol ORDER BY ts ROWS BETWEEN 99 PRECEDING AND CURRENT ROW);
