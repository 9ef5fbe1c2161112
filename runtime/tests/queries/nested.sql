-- Arrays, maps, rows and JSON: made, read, taken apart, put together. What stands here belongs to all tests.
CREATE STREAM orders (
  ts TIMESTAMP(3), id BIGINT, tags ARRAY<STRING>, prices MAP<STRING, DECIMAL(10, 2)>,
  buyer ROW<name STRING, home STRUCT<city VARCHAR, zip INT>>, note JSONB,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
);
INSERT INTO orders VALUES
  ('2026-01-01 10:00:00', 1, '["a", "b", "a"]', '{"x": 1.5, "y": 2}', '{"name": "Ann", "home": {"city": "Ulm", "zip": 89073}}', '{"k": [1, {"z": "q"}]}'),
  ('2026-01-01 10:00:30', 2, '[]', NULL, '{"name": "Bo", "other": [1]}', '[10, 20]'),
  ('2026-01-01 10:01:00', 3, NULL, '{"y": 7}', NULL, NULL),
  ('2026-01-01 10:01:10', 4, '["b", null]', '{"x": 0.25}', '{"home": {"city": "Bonn"}}', '"text"');

--@test: access
CREATE VIEW v AS SELECT id, tags[1] AS first, tags[9] AS none, prices['y'] AS y, buyer.name, buyer.home.zip AS zip,
  (buyer).home['city'] AS city, orders.buyer.home.city AS again, tags[2:3] AS part, CARDINALITY(prices) AS n FROM orders;
ASSERT VALUES v VALUES (1, 'a', NULL, 2.00, 'Ann', 89073, 'Ulm', 'Ulm', ['b', 'a'], 2), (2, NULL, NULL, NULL, 'Bo', NULL, NULL, NULL, [], NULL),
  (3, NULL, NULL, 7.00, NULL, NULL, NULL, NULL, NULL, 1), (4, 'b', NULL, NULL, NULL, NULL, 'Bonn', 'Bonn', [CAST(NULL AS STRING)], 1);

--@test: rows spread out
CREATE VIEW v AS SELECT id, buyer.* FROM orders WHERE id = 1;
ASSERT VALUES v (id, name, home) VALUES (1, 'Ann', '{"city":"Ulm","zip":89073}');

--@test: conditions over arrays
CREATE VIEW v AS SELECT id, 'b' = ANY(tags) AS some, 'b' <> ALL(tags) AS none, ARRAY_CONTAINS(tags, 'a') AS a, tags = ['a', 'b', 'a'] AS same,
  tags < ['b'] AS less FROM orders WHERE tags IS NOT NULL;
ASSERT VALUES v VALUES (1, TRUE, FALSE, TRUE, TRUE, TRUE), (2, FALSE, TRUE, FALSE, FALSE, TRUE), (4, TRUE, FALSE, FALSE, FALSE, FALSE);

--@test: JSON
CREATE VIEW v AS SELECT id, note -> 'k' AS k, note ->> 'k' AS t, note.k[1].z AS z, CAST(note AS STRING) AS s, note[1] AS second,
  TRY_CAST(note AS ARRAY<INT>) AS ints FROM orders WHERE note IS NOT NULL;
ASSERT VALUES v VALUES (1, '[1,{"z":"q"}]', '[1,{"z":"q"}]', '"q"', '{"k":[1,{"z":"q"}]}', NULL, NULL),
  (2, NULL, NULL, NULL, '[10,20]', '20', [10, 20]), (4, NULL, NULL, NULL, '"text"', NULL, NULL);

--@test: UNNEST in FROM
CREATE VIEW v AS SELECT id, t.tag, n FROM orders, UNNEST(tags) WITH ORDINALITY AS t (tag, n) WHERE id <> 4;
ASSERT VALUES v VALUES (1, 'a', 1), (1, 'b', 2), (1, 'a', 3);

--@test: UNNEST of maps, and rows that stay
CREATE VIEW v AS SELECT id, k, p FROM orders LEFT JOIN UNNEST(prices) AS t (k, p) ON TRUE;
ASSERT VALUES v VALUES (1, 'x', 1.50), (1, 'y', 2.00), (2, NULL, NULL), (3, 'y', 7.00), (4, 'x', 0.25);

--@test: UNNEST of rows, several tables, a condition
CREATE VIEW v AS SELECT o.id, u.a, u.b, p.id AS other FROM orders o CROSS JOIN UNNEST([ROW(1, 'x'), ROW(2, 'y')]) AS u (a, b)
  JOIN orders p ON p.id = o.id + u.a WHERE o.id < 3;
ASSERT VALUES v VALUES (1, 1, 'x', 2), (1, 2, 'y', 3), (2, 1, 'x', 3), (2, 2, 'y', 4);

--@test: UNNEST in SELECT, side by side
CREATE VIEW v AS SELECT id, UNNEST(tags) AS tag, UNNEST([7, 8]) AS n FROM orders WHERE id < 3;
ASSERT VALUES v VALUES (1, 'a', 7), (1, 'b', 8), (1, 'a', NULL), (2, NULL, 7), (2, NULL, 8);

--@test: UNNEST under windows
CREATE VIEW tagged AS SELECT ts, id, tag FROM orders, UNNEST(tags) AS t (tag);
CREATE VIEW v AS SELECT window_end, tag, COUNT(*) AS n, SUM(id) AS ids FROM TUMBLE(tagged, ts, INTERVAL '1' MINUTE) GROUP BY window_end, tag;
ASSERT VALUES v VALUES ('2026-01-01 10:01:00', 'a', 2, 2), ('2026-01-01 10:01:00', 'b', 1, 1), ('2026-01-01 10:02:00', 'b', 1, 4), ('2026-01-01 10:02:00', NULL, 1, 4);

--@test: a window beside UNNEST
CREATE VIEW v AS SELECT window_end, tag, COUNT(*) AS n FROM TUMBLE(orders, ts, INTERVAL '1' MINUTE), UNNEST(tags) AS t (tag) WHERE tag = 'b' GROUP BY window_end, tag;
ASSERT VALUES v VALUES ('2026-01-01 10:01:00', 'b', 1), ('2026-01-01 10:02:00', 'b', 1);

--@test: more elements than a batch has rows
CREATE VIEW v AS SELECT id, COUNT(*) AS n, SUM(x) AS total, MIN(x) AS first FROM orders, UNNEST(GENERATE_SERIES(id, 5000)) AS t (x) GROUP BY id;
ASSERT VALUES v VALUES (1, 5000, 12502500, 1), (2, 4999, 12502499, 2), (3, 4998, 12502497, 3), (4, 4997, 12502494, 4);

--@test: arrays of groups
CREATE VIEW v AS SELECT id % 2 AS odd, ARRAY_AGG(id) AS ids, COLLECT_LIST(tags[1] ORDER BY id DESC) AS firsts, ARRAY_AGG(DISTINCT CARDINALITY(tags)) AS counts,
  MAP_AGG(id, tags[1]) AS by_id, TOPK(id, 1) AS top, STRING_AGG(tags[1], '/' ORDER BY id DESC) AS text, ARRAY_AGG(id) FILTER (WHERE id > 3) AS late FROM orders GROUP BY id % 2;
ASSERT VALUES v VALUES (0, [2, 4], ['b', NULL], [0, 2], '{"2":null,"4":"b"}', [4], 'b', [4]), (1, [1, 3], [NULL, 'a'], [3, NULL], '{"1":"a","3":null}', [3], 'a', NULL);

--@test: arrays of windows, and of nested values
CREATE VIEW v AS SELECT window_end, ARRAY_AGG(ROW(id, tags)) AS r FROM TUMBLE(orders, ts, INTERVAL '1' MINUTE) GROUP BY window_end;
ASSERT VALUES v VALUES ('2026-01-01 10:01:00', '[{"f1":1,"f2":["a","b","a"]},{"f1":2,"f2":[]}]'), ('2026-01-01 10:02:00', '[{"f1":3,"f2":null},{"f1":4,"f2":["b",null]}]');

--@test: nested values as keys
CREATE VIEW v AS SELECT tags, COUNT(*) AS n, MAX(id) AS id FROM (SELECT tags, id FROM orders UNION ALL SELECT tags, id + 10 FROM orders) GROUP BY tags;
ASSERT VALUES v VALUES ([], 2, 12), (['a', 'b', 'a'], 2, 11), (['b', NULL], 2, 14), (NULL, 2, 13);

--@test: least and greatest
CREATE VIEW v AS SELECT MIN(tags) AS least, MAX(tags) AS greatest, MAX(buyer) AS buyer FROM orders;
ASSERT VALUES v VALUES ([], ['b', NULL], '{"name":null,"home":{"city":"Bonn","zip":null}}');

--@test: casts
CREATE VIEW v AS SELECT CAST([1, 2] AS ARRAY<STRING>) AS texts, CAST(ROW(1, '2') AS ROW<a BIGINT, b INT>) AS r, ROW<x INT>(5) AS typed, CAST('[[1],[]]' AS INT[][]) AS deep,
  STRUCT(id AS a, tags) AS s, {'k': id} AS d, CAST(MAP {'2': 1, '10': 2} AS MAP<INT, INT>) AS m FROM orders WHERE id = 2;
ASSERT VALUES v VALUES ('["1","2"]', '{"a":1,"b":2}', '{"x":5}', '[[1],[]]', '{"a":2,"tags":[]}', '{"k":2}', '{"2":1,"10":2}');

--@test: functions over arrays
CREATE VIEW v AS SELECT ARRAY_SORT(tags) AS sorted, ARRAY_DISTINCT(tags) AS once, tags || 'z' AS more, 'y' || tags AS before, tags || ['q'] AS joined, ARRAY_REMOVE(tags, 'a') AS rest,
  ARRAY_JOIN(tags, '+') AS text, ARRAY_REVERSE(tags) AS backwards, LEN(tags) AS n FROM orders WHERE id = 1;
ASSERT VALUES v VALUES (['a', 'a', 'b'], ['a', 'b'], ['a', 'b', 'a', 'z'], ['y', 'a', 'b', 'a'], ['a', 'b', 'a', 'q'], ['b'], 'a+b+a', ['a', 'b', 'a'], 3);

--@test: a field that is not there
--@expected.message: field `nmae` not found in ROW
CREATE VIEW v AS SELECT buyer.nmae FROM orders;
ASSERT VALUES v VALUES (1);

--@test: elements of two types
--@expected.message: the elements of an array are of one type
CREATE VIEW v AS SELECT [1, 'a'] AS x FROM orders;
ASSERT VALUES v VALUES (1);

--@test: a key twice
--@expected.message: a map has a key twice
CREATE VIEW v AS SELECT MAP[tags[1], 1, tags[3], 2] AS m FROM orders WHERE id = 1;
ASSERT VALUES v VALUES (1);

--@test: changes through UNNEST
CREATE TABLE out (tag STRING, n BIGINT, PRIMARY KEY (tag) NOT ENFORCED) WITH ('path' = 'out.ndjson', 'changelog' = 'upsert');
CREATE VIEW latest AS SELECT id % 2 AS odd, MAX(ts) AS ts, MAX(id) AS id FROM orders GROUP BY id % 2;
CREATE VIEW spread AS SELECT odd, x FROM latest, UNNEST(GENERATE_SERIES(1, id)) AS u (x);
CREATE VIEW v AS SELECT x, COUNT(*) AS n FROM spread GROUP BY x;
ASSERT VALUES v VALUES (1, 2), (2, 2), (3, 2), (4, 1);
