-- Forms of SQL that are not about streams, with their answers.
CREATE TABLE t (k STRING, a BIGINT, b BIGINT);
CREATE TABLE u (x BIGINT, y BIGINT);

--@test: a limit below a join bounds its own side alone
INSERT INTO t VALUES ('a', 1, 10), ('b', 2, 20), ('c', 3, 30), ('d', 4, 40);
INSERT INTO u VALUES (1, 7), (2, 7), (3, 7);
CREATE VIEW v AS SELECT l.a, l.b, u.x FROM (SELECT * FROM t ORDER BY b LIMIT 3) AS l LEFT JOIN u ON l.a = u.x;
ASSERT VALUES v VALUES (1, 10, 1), (2, 20, 2), (3, 30, 3);

--@test: a limit on one side of a union bounds that side alone
INSERT INTO t VALUES ('a', 1, 10), ('b', 2, 20);
INSERT INTO u VALUES (1, 7), (2, 7), (3, 7);
CREATE VIEW v AS SELECT COUNT(*) AS n FROM ((SELECT a FROM t LIMIT 1) UNION ALL SELECT x FROM u) AS z;
ASSERT VALUES v VALUES (4);

--@test: grouping of keys that all rows are grouped by
INSERT INTO t VALUES ('a', 1, 10), ('b', 2, 20);
CREATE VIEW v AS SELECT k, GROUPING(k) AS g, GROUPING(k) + COUNT(*) AS n FROM t GROUP BY k;
ASSERT VALUES v VALUES ('a', 0, 1), ('b', 0, 1);

--@test: rows without a time come last
INSERT INTO t VALUES ('a', 10, 1), ('a', NULL, 2), ('a', 30, 3), ('b', NULL, 4), ('b', 5, 5);
CREATE VIEW v AS SELECT k, a, ROW_NUMBER() OVER (PARTITION BY k ORDER BY a) AS n, SUM(b) OVER (PARTITION BY k ORDER BY a) AS s FROM t;
ASSERT VALUES v VALUES ('b', 5, 1, 5), ('a', 10, 1, 1), ('a', 30, 2, 4), ('a', NULL, 3, 6), ('b', NULL, 2, 9);

--@test: rows without a time are behind all others for LEAD and LAG, too
INSERT INTO t VALUES ('a', 10, 1), ('a', NULL, 2), ('a', 30, 3);
CREATE VIEW v AS SELECT b, LEAD(b) OVER (PARTITION BY k ORDER BY a) AS after, LAG(b) OVER (PARTITION BY k ORDER BY a) AS before FROM t;
ASSERT VALUES v VALUES (1, 3, NULL), (3, 2, 1), (2, NULL, 3);

--@test: NULLS FIRST is not taken for NULLS LAST
--@expected.message: NULLS FIRST before OVER is not supported
CREATE VIEW v AS SELECT SUM(b) OVER (PARTITION BY k ORDER BY a NULLS FIRST) AS s FROM t;
ASSERT VALUES v VALUES (1);

--@test: a literal time keeps its digits
INSERT INTO u VALUES (1, 1);
CREATE VIEW v AS SELECT TIMESTAMP '2022-08-03 14:38:50.000006' AS micros, TIMESTAMP '2022-08-03 14:38:50' AS millis FROM u;
ASSERT VALUES v VALUES ('2022-08-03 14:38:50.000006', '2022-08-03 14:38:50.000');

--@test: union by name
INSERT INTO t VALUES ('a', 1, 10);
INSERT INTO u VALUES (2, 7);
CREATE VIEW v AS SELECT a, b FROM t UNION ALL BY NAME SELECT y AS b, x AS c FROM u;
ASSERT VALUES v VALUES (1, 10, NULL), (NULL, 7, 2);

--@test: union by name, without doubles
INSERT INTO t VALUES ('a', 1, 10), ('b', 1, 10);
INSERT INTO u VALUES (10, 1);
CREATE VIEW v AS SELECT a, b FROM t UNION BY NAME SELECT x AS b, y AS a FROM u;
ASSERT VALUES v VALUES (1, 10);

--@test: a row of values in a subquery
INSERT INTO t VALUES ('a', 1, 10), ('b', 2, 20), ('c', NULL, 30);
INSERT INTO u VALUES (1, 10), (2, 10), (NULL, 30);
CREATE VIEW v AS SELECT k FROM t WHERE (a, b) IN (SELECT x, y FROM u);
ASSERT VALUES v VALUES ('a');

--@test: a row of values in a subquery that names columns from outside
INSERT INTO t VALUES ('a', 1, 10), ('b', 2, 20);
INSERT INTO u VALUES (1, 10), (2, 20);
CREATE VIEW v AS SELECT k FROM t WHERE (a, b) IN (SELECT x, y FROM u WHERE u.y > t.a * 5 + 6);
ASSERT VALUES v VALUES ('b');

--@test: aggregates that say what they do anyway
INSERT INTO t VALUES ('a', NULL, 1), ('a', 2, 2), ('a', 3, 3);
CREATE VIEW v AS SELECT FIRST_VALUE(a) IGNORE NULLS AS f, LAST_VALUE(a IGNORE NULLS) AS l, ANY_VALUE(a) AS n, APPROX_MEDIAN(b) AS m,
  PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY b DESC) AS p FROM t;
ASSERT VALUES v VALUES (2, 3, 2, 2, 2.5);

--@test: patterns in a column
INSERT INTO t VALUES ('a%', 1, 10), ('%b', 2, 20), (NULL, 3, 30);
CREATE VIEW v AS SELECT a, 'ab' LIKE k AS l, 'AB' ILIKE k AS i, 'ba' NOT LIKE k AS n, 'AB' ~* k AS r FROM t;
ASSERT VALUES v VALUES (1, TRUE, TRUE, TRUE, FALSE), (2, TRUE, TRUE, TRUE, FALSE), (3, NULL, NULL, NULL, NULL);

--@test: forms of text
INSERT INTO t VALUES ('banana', 1, 10);
CREATE VIEW v AS SELECT k SIMILAR TO '(b|c)%a' AS s, k NOT SIMILAR TO 'b' AS n, OVERLAY(k PLACING 'oo' FROM 2 FOR 3) AS o, LEFT(k, -2) AS l,
  RIGHT(k, -2) AS r, SPLIT_PART('a.b.c', '.', -1) AS p, SPLIT_PART('a.b.c', '.', -4) AS none, REGEXP_REPLACE(k, '(b)(a)', '\2\1') AS swapped,
  REGEXP_REPLACE(k, 'A', 'o', 'i') AS one, REGEXP_REPLACE(k, 'A', 'o', 'gi') AS every, NVL2(a, 'some', 'none') AS given FROM t;
ASSERT VALUES v VALUES (TRUE, TRUE, 'boona', 'bana', 'nana', 'c', '', 'abnana', 'bonana', 'bonono', 'some');

--@test: bits
INSERT INTO u VALUES (12, 10), (-16, 2), (NULL, 1);
CREATE VIEW v AS SELECT x & y AS both, x | y AS any_of, x << y AS up, x >> y AS down FROM u;
ASSERT VALUES v VALUES (8, 14, 12288, 0), (0, -14, -64, -4), (NULL, NULL, NULL, NULL);

--@test: compared with any and with all of a subquery
INSERT INTO t VALUES ('a', 1, 10), ('b', 2, 20), ('c', 3, 30), ('n', NULL, 40);
INSERT INTO u VALUES (1, 1), (2, 1), (2, 2), (NULL, 2);
CREATE VIEW is_one AS SELECT k FROM t WHERE a = ANY (SELECT x FROM u WHERE y = 1);
CREATE VIEW above_one AS SELECT k FROM t WHERE a > ANY (SELECT x FROM u WHERE y = 1);
CREATE VIEW above_none AS SELECT k FROM t WHERE NOT a > ANY (SELECT x FROM u WHERE y = 1);
CREATE VIEW from_all AS SELECT k FROM t WHERE a >= ALL (SELECT x FROM u WHERE y = 1);
CREATE VIEW not_from_all AS SELECT k FROM t WHERE NOT a >= ALL (SELECT x FROM u WHERE y = 2);
CREATE VIEW of_none AS SELECT k FROM t WHERE a < ALL (SELECT x FROM u WHERE y = 3);
CREATE VIEW of_others AS SELECT k FROM t WHERE a <> ALL (SELECT x FROM u WHERE y = 1);
CREATE VIEW of_own AS SELECT k FROM t WHERE a < ANY (SELECT x FROM u WHERE u.y = t.a);
ASSERT VALUES is_one VALUES ('a'), ('b');
ASSERT VALUES above_one VALUES ('b'), ('c');
ASSERT VALUES above_none VALUES ('a');
ASSERT VALUES from_all VALUES ('b'), ('c');
ASSERT VALUES not_from_all VALUES ('a');
ASSERT VALUES of_none VALUES ('a'), ('b'), ('c'), ('n');
ASSERT VALUES of_others VALUES ('c');
ASSERT VALUES of_own VALUES ('a');
