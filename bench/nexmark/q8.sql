-- Who has come and opened an auction in the same ten seconds.
CREATE TABLE auction (
  id BIGINT, itemName STRING, description STRING, initialBid BIGINT, reserve BIGINT, dateTime TIMESTAMP(3),
  expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra STRING,
  WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND
);
CREATE TABLE person (
  id BIGINT, name STRING, emailAddress STRING, creditCard STRING, city STRING, state STRING, dateTime TIMESTAMP(3),
  extra STRING,
  WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND
);
WITH people AS (
  SELECT id, name, window_start, window_end
  FROM TUMBLE(person, dateTime, INTERVAL '10' SECOND)
  GROUP BY id, name, window_start, window_end
), sellers AS (
  SELECT seller, window_start, window_end
  FROM TUMBLE(auction, dateTime, INTERVAL '10' SECOND)
  GROUP BY seller, window_start, window_end
)
SELECT p.id, p.name, p.window_start
FROM people AS p
JOIN sellers AS s ON p.id = s.seller AND p.window_start = s.window_start AND p.window_end = s.window_end;
