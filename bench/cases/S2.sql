-- Totals per trader and symbol.
CREATE TABLE market_data (
  trade_time BIGINT,
  trader_id STRING,
  symbol STRING,
  price DECIMAL(10, 2),
  quantity INT,
  ts AS TO_TIMESTAMP_LTZ(trade_time, 3),
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
);
SELECT trader_id, symbol, COUNT(*) AS trades, AVG(price) AS avg_price, SUM(quantity) AS volume,
       SUM(price * quantity) AS turnover, MIN(price) AS min_price, MAX(price) AS max_price
FROM market_data
GROUP BY trader_id, symbol;
