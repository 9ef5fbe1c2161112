-- The auctions with most bids in the last ten seconds, every two seconds.
CREATE TABLE bid (
  auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, dateTime TIMESTAMP(3), extra STRING,
  WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND
);
WITH counts AS (
  SELECT auction, COUNT(*) AS num, window_start, window_end
  FROM HOP(bid, dateTime, INTERVAL '2' SECOND, INTERVAL '10' SECOND)
  GROUP BY auction, window_start, window_end
)
SELECT auction, num, window_start, window_end
FROM (SELECT *, RANK() OVER (PARTITION BY window_start, window_end ORDER BY num DESC) AS place FROM counts)
WHERE place = 1;
