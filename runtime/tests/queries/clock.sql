-- By a clock that each row moves on by a second.
--@clock: 2026-01-01 00:00:00, 1s
CREATE TABLE t (a INT, p AS PROCTIME());
INSERT INTO t VALUES (1), (2), (3), (4), (5), (6), (7);

--@test: windows of the clock
CREATE VIEW w AS SELECT window_start, COUNT(*) AS n, SUM(a) AS s
  FROM TUMBLE(TABLE t, DESCRIPTOR(p), INTERVAL '3' SECOND) GROUP BY window_start, window_end;
ASSERT VALUES w VALUES ('2026-01-01 00:00:00', 3, 6), ('2026-01-01 00:00:03', 3, 15), ('2026-01-01 00:00:06', 1, 7);

--@test: windows named in GROUP BY
CREATE VIEW l AS SELECT window_end, COUNT(*) AS n, MAX(p) AS m FROM t GROUP BY TUMBLE(PROCTIME(), INTERVAL '5' SECOND);
ASSERT VALUES l VALUES ('2026-01-01 00:00:05', 5, '2026-01-01 00:00:04'), ('2026-01-01 00:00:10', 2, '2026-01-01 00:00:06');

--@test: windows that overlap, of a view
CREATE VIEW v AS SELECT a * 10 AS b, now64() AS q FROM t WHERE a > 2;
CREATE VIEW h AS SELECT window_end, SUM(b) AS s FROM HOP(v, q, INTERVAL '2' SECOND, INTERVAL '4' SECOND) GROUP BY window_end;
ASSERT VALUES h VALUES ('2026-01-01 00:00:04', 70), ('2026-01-01 00:00:06', 180), ('2026-01-01 00:00:08', 180), ('2026-01-01 00:00:10', 70);

--@test: the time as a value
CREATE VIEW v AS SELECT a, proctime() AS q FROM t WHERE a > 5;
ASSERT VALUES v VALUES (6, '2026-01-01 00:00:05'), (7, '2026-01-01 00:00:06');

--@test: frames and numbers in order of the clock
CREATE VIEW f AS SELECT a, SUM(a) OVER (ORDER BY p RANGE BETWEEN INTERVAL '2' SECOND PRECEDING AND CURRENT ROW) AS s,
  ROW_NUMBER() OVER (ORDER BY p) AS n FROM t;
ASSERT VALUES f VALUES (1, 1, 1), (2, 3, 2), (3, 6, 3), (4, 9, 4), (5, 12, 5), (6, 15, 6), (7, 18, 7);

--@test: sessions of the clock
CREATE VIEW s AS SELECT a % 4 AS k, COUNT(*) AS n, window_end FROM t GROUP BY SESSION(p, INTERVAL '5' SECOND), a % 4;
ASSERT VALUES s VALUES (0, 1, '2026-01-01 00:00:08'), (1, 2, '2026-01-01 00:00:09'), (2, 2, '2026-01-01 00:00:10'), (3, 2, '2026-01-01 00:00:11');

--@test: each table has its own clock
CREATE VIEW u AS SELECT window_end, COUNT(*) AS n FROM TUMBLE((SELECT a, PROCTIME() AS q FROM t UNION ALL SELECT a + 1, PROCTIME() FROM t),
  q, INTERVAL '5' SECOND) GROUP BY window_end;
ASSERT VALUES u VALUES ('2026-01-01 00:00:05', 10), ('2026-01-01 00:00:10', 4);

--@test: the run begins when the clock does
CREATE VIEW n AS SELECT a, NOW() AS now, PROCTIME() >= NOW() AS later FROM t WHERE a = 2;
ASSERT VALUES n VALUES (2, '2026-01-01 00:00:00', TRUE);

--@test: what has changed between ticks
CREATE VIEW c AS SELECT a % 2 AS k, COUNT(*) AS n FROM t GROUP BY a % 2 EMIT PERIODIC 3s;
ASSERT VALUES c VALUES (1, 2), (0, 1), (0, 3), (1, 3), (1, 4);

--@test: changes in batches
CREATE VIEW c AS SELECT COUNT(*) AS n, MAX(a) AS m FROM t EMIT ON UPDATE WITH BATCH 4s;
ASSERT VALUES c VALUES (4, 4), (7, 7);

--@test: windows that wait longer
CREATE STREAM e (ts TIMESTAMP(3), v INT, WATERMARK FOR ts AS ts);
INSERT INTO e VALUES ('2026-01-01 00:00:00', 1), ('2026-01-01 00:00:11', 2), ('2026-01-01 00:00:05', 4);
CREATE VIEW d AS SELECT window_end, SUM(v) AS s FROM TUMBLE(e, ts, INTERVAL '10' SECOND) GROUP BY window_end
  EMIT AFTER WINDOW CLOSE WITH DELAY 5s;
ASSERT VALUES d VALUES ('2026-01-01 00:00:10', 5), ('2026-01-01 00:00:20', 2);

--@test: a view waits wherever it is read
CREATE STREAM e (ts TIMESTAMP(3), v INT, WATERMARK FOR ts AS ts);
INSERT INTO e VALUES ('2026-01-01 00:00:00', 1), ('2026-01-01 00:00:11', 2), ('2026-01-01 00:00:05', 4);
CREATE VIEW d AS SELECT window_end, SUM(v) AS s FROM TUMBLE(e, ts, INTERVAL '10' SECOND) GROUP BY window_end
  EMIT AFTER WATERMARK AND DELAY INTERVAL '5' SECOND;
CREATE VIEW m AS SELECT MAX(s) AS m FROM d;
ASSERT VALUES m VALUES (5);

--@test: windows that do not wait
CREATE STREAM e (ts TIMESTAMP(3), v INT, WATERMARK FOR ts AS ts);
INSERT INTO e VALUES ('2026-01-01 00:00:00', 1), ('2026-01-01 00:00:11', 2), ('2026-01-01 00:00:05', 4);
CREATE VIEW d AS SELECT window_end, SUM(v) AS s FROM TUMBLE(e, ts, INTERVAL '10' SECOND) GROUP BY window_end EMIT AFTER WATERMARK;
ASSERT VALUES d VALUES ('2026-01-01 00:00:10', 1), ('2026-01-01 00:00:20', 2);

--@test: a clock of no rows is refused
--@expected.message: PROCTIME() is when a row of a table is read
CREATE VIEW n AS SELECT PROCTIME() AS q, n FROM (SELECT COUNT(*) AS n FROM t);
ASSERT VALUES n VALUES ('2026-01-01 00:00:00', 7);

--@test: a watermark of the clock is refused
--@expected.message: a watermark of PROCTIME() is the clock itself
CREATE TABLE x (a INT, q AS PROCTIME(), WATERMARK FOR q AS q - INTERVAL '1' SECOND);
INSERT INTO x VALUES (1);
ASSERT VALUES x VALUES (1);

--@test: a delay of what does not wait is refused
--@expected.message: a DELAY is for results that wait for a watermark
CREATE VIEW d AS SELECT COUNT(*) AS n FROM t EMIT AFTER WINDOW CLOSE WITH DELAY 5s;
ASSERT VALUES d VALUES (7);
