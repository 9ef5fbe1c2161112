-- The highest bids of every ten seconds.
CREATE TABLE bid (
  auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, dateTime TIMESTAMP(3), extra STRING,
  WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND
);
SELECT auction, price, bidder, dateTime, extra
FROM (
  SELECT *, RANK() OVER (PARTITION BY window_start, window_end ORDER BY price DESC) AS place
  FROM TUMBLE(bid, dateTime, INTERVAL '10' SECOND)
)
WHERE place = 1;
