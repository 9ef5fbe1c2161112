-- Tests of queries, as `corelane test` runs them. What stands here belongs to all of them.
CREATE STREAM trades (ts TIMESTAMP(3), symbol STRING, price BIGINT, WATERMARK FOR ts AS ts - INTERVAL '1' SECOND);

--@test: sums of a minute
CREATE VIEW sums AS SELECT window_end, SUM(price) AS total FROM TUMBLE(trades, ts, INTERVAL '1' MINUTE) GROUP BY window_end;
INSERT INTO trades VALUES ('2026-01-01 10:00:00', 'A', 5), ('2026-01-01 10:00:30', 'B', 7);
INSERT INTO trades (price, ts) VALUES (1, '2026-01-01 10:01:00');
ASSERT VALUES sums VALUES ('2026-01-01 10:01:00', 12);
ASSERT VALUES sums VALUES ('2026-01-01 10:02:00', 1);

--@test: a query that is inserted
CREATE TABLE big (symbol STRING, price DOUBLE) WITH ('path' = 'big.csv');
INSERT INTO big SELECT symbol, price * 1.5 FROM trades WHERE price > 5;
INSERT INTO trades VALUES ('2026-01-01 10:00:00', 'A', 5), ('2026-01-01 10:00:30', 'B', 7);
ASSERT VALUES big VALUES ('B', 10.5);

--@test: an error
--@expected.error: io.confluent.ksql.util.KsqlException
--@expected.message: column `pricee` not found
CREATE VIEW v AS SELECT pricee FROM trades;
ASSERT VALUES v VALUES (1);

--@test: golden
CREATE VIEW v AS SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol;
INSERT INTO trades VALUES ('2026-01-01 10:00:00', 'A', 5), ('2026-01-01 10:00:30', 'B', 7), ('2026-01-01 10:01:30', 'B', 8);
ASSERT FILE v 'counts.csv';

--@test: the clock
--@now: 2020-02-02 03:04:05
CREATE VIEW v AS SELECT LOCALTIMESTAMP AS t, symbol FROM trades;
INSERT INTO trades VALUES ('2026-01-01 10:00:00', 'A', 5);
ASSERT VALUES v VALUES ('2020-02-02 03:04:05', 'A');

--@test: changes
CREATE VIEW v AS SELECT symbol, SUM(price) AS s FROM trades GROUP BY symbol EMIT CHANGES;
INSERT INTO trades VALUES ('2026-01-01 10:00:00', 'A', 5), ('2026-01-01 10:00:30', 'A', 7);
ASSERT VALUES v VALUES ('A', 5), ('A', 12);

--@test: late rows are left out of a window that has ended
CREATE VIEW v AS SELECT window_end, COUNT(*) AS n FROM TUMBLE(trades, ts, INTERVAL '10' SECOND) GROUP BY window_end;
INSERT INTO trades VALUES ('2026-01-01 10:00:01', 'A', 1), ('2026-01-01 10:00:21', 'A', 1), ('2026-01-01 10:00:09', 'A', 1), ('2026-01-01 10:00:20', 'A', 1);
ASSERT VALUES v VALUES ('2026-01-01 10:00:10', 1), ('2026-01-01 10:00:30', 2);

--@test: a number that is no number
--@expected.message: 'x' cannot be read as BIGINT
INSERT INTO trades (ts, price) VALUES ('2026-01-01 10:00:01', CAST('x' AS BIGINT));
CREATE VIEW v AS SELECT price FROM trades;
ASSERT VALUES v VALUES (1);
