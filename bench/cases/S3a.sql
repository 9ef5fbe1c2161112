-- Totals per trader, symbol and minute.
CREATE TABLE market_data (
  trade_time BIGINT,
  trader_id STRING,
  symbol STRING,
  price DECIMAL(10, 2),
  quantity INT,
  ts AS TO_TIMESTAMP_LTZ(trade_time, 3),
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
);
SELECT trader_id, symbol, window_start, window_end, COUNT(*) AS trades, AVG(price) AS avg_price,
       SUM(quantity) AS volume, SUM(price * quantity) AS turnover
FROM TUMBLE(market_data, ts, INTERVAL '1' MINUTE)
GROUP BY trader_id, symbol, window_start, window_end;
