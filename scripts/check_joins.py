"""Random queries with joins, for check_queries.py.

Two tables of the same columns, `t` and the small `u`. Joins are of every kind, on keys of every type,
several at once, with what else must hold, over tables, subqueries and views, two and three of them; by
nearness in time; and of the results of windows.
"""

INT, DBL, TEXT, BOOL, DATE, TS = ("int",), ("dbl",), ("text",), ("bool",), ("date",), ("ts",)
D10, D30 = ("dec", 10, 2), ("dec", 30, 6)

KEYS = ["k", "k", "g", "g", "s", "d", "w", "x", "f", "dt", "i", "b", "huge", "n", "id"]
KINDS = {"k": INT, "g": TEXT, "s": TEXT, "d": D10, "w": D30, "x": DBL, "f": BOOL, "dt": DATE, "i": INT, "b": INT, "huge": INT, "n": TEXT, "id": INT, "ts": TS}


class Joins:
    """What the generator of queries has besides, to write joins. `E`, `both` and `Query` are given."""

    def columns_of(self, *tables):
        return [self.both(f"{table}.{name}", kind) for table in tables for name, kind in KINDS.items()]

    def part(self, table, most):
        """A table with an alias, or a part of one."""
        r = self.r
        if most is None and r.random() < 0.5:
            return table
        modulus = r.choice([2, 3, 7]) if most is None else most
        where = f"id % {modulus} = {r.randrange(modulus)}" if modulus > 1 else "id >= 0"
        if r.random() < 0.3:
            where += f" AND k = {r.randint(0, 4)}"
        return f"(SELECT * FROM {table} WHERE {where})"

    def equal(self, left, right):
        """An equality of columns of both sides, of the same type or of two that can be compared."""
        r = self.r
        key = r.choice(KEYS)
        self.mark(f"key {key}")
        pairs = {"k": ["i", "b", "d", "id"], "d": ["w", "k"], "w": ["d"], "g": ["s"], "s": ["g", "n"], "i": ["k", "b"], "id": ["k", "i", "b"]}
        other = r.choice(pairs[key]) if key in pairs and r.random() < 0.2 else key
        if r.random() < 0.1:
            self.mark("key of an expression")
            return r.choice([f"{left}.k + 1 = {right}.k", f"{left}.k = {right}.k % 3", f"UPPER({left}.g) = UPPER({right}.g)", f"{left}.d * 2 = {right}.d", f"{left}.k + {left}.i = {right}.k + {right}.i"])
        sides = [f"{left}.{key}", f"{right}.{other}"]
        if r.random() < 0.2:
            sides.reverse()
        return " = ".join(sides)

    def rest(self, left, right):
        """What else must hold: corelane's and DuckDB's text."""
        r = self.r
        self.mark("join with a condition")
        if r.random() < 0.4:
            test = self.a_bool(1)
            return test.c, test.d
        return (r.choice([
            f"{left}.i < {right}.i", f"{left}.id <> {right}.id", f"{left}.d >= {right}.d", f"{left}.b + {right}.b > 0", f"({left}.f OR {right}.f)",
            f"{left}.g <= {right}.s", f"{right}.i > 0", f"{left}.k IS NOT NULL", f"{left}.id > {right}.id", f"{left}.g IS NOT DISTINCT FROM {right}.g",
        ]),) * 2

    def on(self, left, right, keys=None):
        r = self.r
        keys = keys if keys is not None else r.choice([1, 1, 1, 2, 2, 3])
        texts = [(self.equal(left, right),) * 2 for _ in range(keys)]
        if r.random() < 0.4 or not keys:
            texts.append(self.rest(left, right))
        r.shuffle(texts)
        return " AND ".join(text[0] for text in texts), " AND ".join(text[1] for text in texts)

    def joined(self):
        """FROM and WHERE of a join, in both dialects."""
        r = self.r
        kind = r.choice(["JOIN", "INNER JOIN", "LEFT JOIN", "LEFT OUTER JOIN", "RIGHT JOIN", "FULL JOIN", "FULL OUTER JOIN", "comma", "CROSS JOIN", "no key"])
        self.mark(kind)
        self.columns = self.columns_of("a", "b")
        left, right = self.part("t", None), self.part("u", None)
        if r.random() < 0.3:
            left, right = right, left
        if kind in ("CROSS JOIN", "no key"):
            left, right = self.part("t", 37), self.part("u", 5)
        where = self.where(1, 0.4)
        if kind == "comma":
            on = self.on("a", "b")
            more = [f" AND ({text[7:]})" if text else "" for text in where]
            return f"{left} a, {right} AS b WHERE {on[0]}{more[0]}", f"{left} a, {right} AS b WHERE {on[1]}{more[1]}"
        if kind == "CROSS JOIN":
            return f"{left} a CROSS JOIN {right} b{where[0]}", f"{left} a CROSS JOIN {right} b{where[1]}"
        if kind == "no key":
            kind = r.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
            on = self.rest("a", "b") if kind == "JOIN" else (r.choice(["a.i < b.i", "a.id = 3", "b.id = 2", "a.d >= b.d"]),) * 2
        else:
            on = self.on("a", "b")
        return f"{left} a {kind} {right} b ON {on[0]}{where[0]}", f"{left} a {kind} {right} b ON {on[1]}{where[1]}"

    def some(self, count=(1, 2, 4), tables=("a", "b")):
        picked = [self.r.choice(self.columns_of(table)) for table in tables]
        return picked + [self.expression(self.any_kind(), 1) for _ in range(self.r.choice(count))]

    def q_join(self):
        source = self.joined()
        expressions = self.some()
        c, d = self.items(expressions)
        return self.Query(f"SELECT {c} FROM {source[0]}", f"SELECT {d} FROM {source[1]}", [e.t for e in expressions])

    def q_join_group(self):
        source = self.joined()
        keys = [self.r.choice(self.columns_of("a", "b")) for _ in range(self.r.choice([0, 1, 2]))]
        keys = list({key.c: key for key in keys if key.t != DBL}.values())
        calls = [self.both(f"COUNT({self.r.choice(['*', 'a.id', 'b.k', 'DISTINCT b.k'])})", INT), self.both("SUM(a.i)", ("dec", 38, 0)), self.both("MAX(b.d)", D10), self.both("MIN(b.g)", TEXT)]
        expressions = keys + self.r.sample(calls, 3)
        c, d = self.items(expressions)
        by = f" GROUP BY {', '.join(key.c for key in keys)}" if keys else ""
        return self.Query(f"SELECT {c} FROM {source[0]}{by}", f"SELECT {d} FROM {source[1]}{by}", [e.t for e in expressions])

    def q_join_order(self):
        source = self.joined()
        expressions = [self.both("a.id", INT), self.both("b.id", INT)] + self.some((0, 1))
        c, d = self.items(expressions)
        tail = " ORDER BY c0, c1 DESC" + self.limit()
        return self.Query(f"SELECT {c} FROM {source[0]}{tail}", f"SELECT {d} FROM {source[1]}{tail}", [e.t for e in expressions], True)

    def q_join_using(self):
        r = self.r
        kind = r.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        keys = r.choice([["k"], ["g"], ["k", "g"], ["dt"], ["d", "k"]])
        self.mark("USING")
        left, right = self.part("t", None), self.part("u", None)
        named = [self.both(key, KINDS[key]) for key in keys]
        expressions = named + [self.both("a.id", INT), self.both("b.id", INT), self.both(f"a.{keys[0]}", KINDS[keys[0]])]
        text = ", ".join(e.c for e in expressions)
        if r.random() < 0.3:
            columns = ", ".join(dict.fromkeys(["id"] + keys))
            left, right = f"(SELECT {columns} FROM {left})", f"(SELECT {', '.join(keys)}, i FROM {right})"
            text = "*"
            names = ["id"] + [key for key in keys]
            expressions = [self.both(name, KINDS[name]) for name in names] + [self.both("i", INT)]
        sql = f"SELECT {text} FROM {left} a {kind} {right} b USING ({', '.join(keys)})"
        return self.Query(sql, sql, [e.t for e in expressions])

    def q_join_three(self):
        r = self.r
        self.columns = self.columns_of("a", "b", "c")
        tables = [self.part("u", None), self.part("t", r.choice([7, 19])), self.part("u", r.choice([3, 5]))]
        r.shuffle(tables)
        if r.random() < 0.3:
            self.mark("comma of three")
            where = f"a.k = b.k AND {r.choice(['b', 'a'])}.g = c.g AND {self.equal('a', 'c')}"
            source = (f"{tables[0]} a, {tables[1]} b, {tables[2]} c WHERE {where}",) * 2
        else:
            kinds = [r.choice(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]) for _ in range(2)]
            self.mark("three")
            one, two = self.equal("a", "b"), self.equal(r.choice(["a", "b"]), "c")
            more = r.choice(["", " AND a.id <> c.id", " AND b.id < c.id"])
            where = r.choice(["", " WHERE b.i > 0", " WHERE a.k = 1", " WHERE c.id IS NULL", " WHERE c.k < 3 AND a.g <> 'red'"])
            source = (f"{tables[0]} a {kinds[0]} {tables[1]} b ON {one} {kinds[1]} {tables[2]} c ON {two}{more}{where}",) * 2
        expressions = self.some((0, 1), ("a", "b", "c"))
        c, d = self.items(expressions)
        return self.Query(f"SELECT {c} FROM {source[0]}", f"SELECT {d} FROM {source[1]}", [e.t for e in expressions])

    def q_join_near(self):
        """By nearness in time, with and without a key."""
        r = self.r
        self.columns = self.columns_of("a", "b")
        kind = r.choice(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        self.mark("near " + kind)
        lengths = ["INTERVAL '0' SECOND", "INTERVAL '1' SECOND", "INTERVAL '1' MINUTE", "INTERVAL '30' MINUTE", "INTERVAL '5' HOUR"]
        i, j = r.choice(lengths), r.choice(lengths)
        bound = r.choice([
            f"a.ts BETWEEN b.ts - {i} AND b.ts + {j}", f"b.ts BETWEEN a.ts - {i} AND a.ts", f"b.ts >= a.ts AND b.ts < a.ts + {j}",
            f"a.ts = b.ts", f"b.ts + {i} > a.ts AND a.ts >= b.ts - {j}", f"b.ts BETWEEN a.ts + {i} AND a.ts + {i} + {j}",
        ])
        terms = [(bound,) * 2]
        if r.random() < 0.8:
            terms.append((f"a.{r.choice(['k', 'g'])} = b.{r.choice(['k', 'g'])}",) * 2)
            if terms[1][0][2] != terms[1][0][-1]:
                terms[1] = ("a.k = b.k",) * 2
        if r.random() < 0.3:
            terms.append(self.rest("a", "b"))
        where = self.where(1, 0.2) if kind == "JOIN" else ("", "")
        on = [" AND ".join(term[side] for term in terms) for side in (0, 1)]
        left, right = (self.part("t", r.choice([None, 3])), self.part("u", None))
        if r.random() < 0.4:
            left, right = right, left
        expressions = self.some()
        c, d = self.items(expressions)
        return self.Query(f"SELECT {c} FROM {left} a {kind} {right} b ON {on[0]}{where[0]}", f"SELECT {d} FROM {left} a {kind} {right} b ON {on[1]}{where[1]}",
                          [e.t for e in expressions], delay=r.choice([(), ("INTERVAL '1' SECOND",)]))

    def q_join_windows(self):
        """Results of windows, joined by their bounds."""
        r = self.r
        size = r.choice([1, 10])
        tumble = lambda table: f"TUMBLE({table}, ts, INTERVAL '{size}' MINUTE)"
        start = self.bucket("ts", size * 60_000, 0)
        duck = lambda table: f"(SELECT *, {start} AS window_start, {start} + INTERVAL {size} MINUTE AS window_end FROM {table})"
        kind = r.choice(["JOIN", "LEFT JOIN", "FULL JOIN", "RIGHT JOIN"])
        key = r.choice([None, "k", "g"])
        self.mark("windows joined")
        columns = f"window_start, window_end, {key + ', ' if key else ''}COUNT(*) AS n, MAX(i) AS m"
        by = f"window_start, window_end{', ' + key if key else ''}"
        grouped = lambda source: f"(SELECT {columns} FROM {source} GROUP BY {by})"
        on = "a.window_start = b.window_start AND a.window_end = b.window_end" + (f" AND a.{key} = b.{key}" if key else "")
        if r.random() < 0.3:
            on += " AND a.n >= b.n"
        items = "a.window_start, b.window_end, a.n, b.m" + (f", a.{key}" if key else "")
        kinds = [TS, TS, INT, INT] + ([KINDS[key]] if key else [])
        return self.Query(f"SELECT {items} FROM {grouped(tumble('t'))} a {kind} {grouped(tumble('u'))} b ON {on}",
                          f"SELECT {items} FROM {grouped(duck('t'))} a {kind} {grouped(duck('u'))} b ON {on}", kinds, delay=r.choice([(), ("INTERVAL '1' SECOND",)]))

    def q_partner(self):
        """IN and EXISTS, with and without NOT."""
        r = self.r
        table, other = r.choice([("t", "u"), ("u", "t"), ("u", "u")])
        self.columns = self.columns_of("a")
        key = r.choice(KEYS)
        no = r.choice(["", "NOT "])
        sign = r.choice(["=", "<>", "<", "<=", ">", ">="])
        where = r.choice(["", " WHERE b.i > 0", " WHERE b.k IS NOT NULL", f" WHERE b.{key} IS NOT NULL", " WHERE b.id < 0"])
        forms = {
            "IN": f"a.{key} {no}IN (SELECT {key} FROM {other} b{where})",
            "IN grouped": f"a.k {no}IN (SELECT k FROM {other} GROUP BY k HAVING COUNT(*) > 2)",
            "IN expression": f"a.k + 1 {no}IN (SELECT b.k * 2 FROM {other} b{where})",
            "EXISTS": f"{no}EXISTS (SELECT 1 FROM {other} b WHERE b.{key} = a.{key}{r.choice(['', ' AND b.id <> a.id', ' AND b.i > a.i', ' AND b.i > 0', ' AND a.i > 0'])})",
            "EXISTS two": f"{no}EXISTS (SELECT * FROM {other} b WHERE {self.equal('b', 'a')} AND {self.equal('a', 'b')})",
            "EXISTS alone": f"{no}EXISTS (SELECT 1 FROM {other} b{where})",
            "ANY": f"{no}a.{key} {sign} ANY (SELECT b.{key} FROM {other} b{where})",
            "ALL": f"{no}a.{key} {sign} ALL (SELECT b.{key} FROM {other} b{where})",
            "related ALL": f"{no}a.k {sign} ALL (SELECT b.k FROM {other} b WHERE b.g = a.g)",
            "rows IN": f"(a.{key}, a.f) IN (SELECT b.{key}, b.f FROM {other} b{where})",
            "related IN": f"a.{key} IN (SELECT b.{key} FROM {other} b WHERE b.k = a.k)",
        }
        names = r.sample(list(forms), r.choice([1, 1, 2]))
        for name in names:
            self.mark(no + name)
        plain = self.where(1, 0.3)
        terms = [" AND ".join([forms[name] for name in names] + ([f"({text[7:]})"] if text else [])) for text in plain]
        expressions = [self.both("a.id", INT)] + [self.expression(self.any_kind(), 1)]
        c, d = self.items(expressions)
        return self.Query(f"SELECT {c} FROM {table} a WHERE {terms[0]}", f"SELECT {d} FROM {table} a WHERE {terms[1]}", [e.t for e in expressions])

    def q_nearest(self):
        """ASOF, in both spellings."""
        r = self.r
        left = r.choice(["", "LEFT "])
        sign = r.choice([">=", ">=", ">", "<=", "<"])
        key = r.choice(["k", "g"])
        order = r.choice(["ts", "ts", "i", "d"])
        self.mark("ASOF")
        # Of equals either may be taken, so the value alone is asked for.
        items = f"a.id, a.{key}, b.{order}"
        source, kinds = f"t a ASOF {left}JOIN u b", [INT, KINDS[key], KINDS[order]]
        duck = f"SELECT {items} FROM {source} ON a.{key} = b.{key} AND a.{order} {sign} b.{order}"
        spell = r.choice([duck, f"SELECT {items} FROM t a {left}ASOF JOIN u b ON a.{key} = b.{key} AND b.{order} {sign.translate(str.maketrans('<>', '><'))} a.{order}",
                          f"SELECT {items} FROM {source} MATCH_CONDITION (a.{order} {sign} b.{order}) ON a.{key} = b.{key}"])
        return self.Query(spell, duck, kinds, delay=r.choice([(), ("INTERVAL '1' SECOND",)]))

    def q_within(self):
        """WITHIN, as ksqlDB and Velostream write it."""
        r = self.r
        kind = r.choice(["JOIN", "LEFT JOIN", "FULL JOIN"])
        self.mark("WITHIN")
        spell, bound = r.choice([
            (f"t a {kind} u b WITHIN 1 MINUTE ON a.k = b.k", "b.ts BETWEEN a.ts - INTERVAL 1 MINUTE AND a.ts + INTERVAL 1 MINUTE"),
            (f"t a {kind} u b WITHIN (5 SECONDS, 2 HOURS) ON a.k = b.k", "b.ts BETWEEN a.ts - INTERVAL 5 SECOND AND a.ts + INTERVAL 2 HOUR"),
            (f"t a {kind} u b ON a.k = b.k WITHIN INTERVAL '7' MINUTES", "b.ts BETWEEN a.ts - INTERVAL 7 MINUTE AND a.ts + INTERVAL 7 MINUTE"),
        ])
        return self.Query(f"SELECT a.id, b.id FROM {spell}", f"SELECT a.id, b.id FROM t a {kind} u b ON a.k = b.k AND {bound}", [INT, INT], delay=r.choice([(), ("INTERVAL '1' SECOND",)]))

    def q_value(self):
        """Subqueries that give one value."""
        r = self.r
        table, other = r.choice([("t", "u"), ("u", "t"), ("u", "u")])
        self.mark("subquery as a value")
        call = r.choice(["MAX(i)", "COUNT(*)", "MIN(k)", "SUM(k)", "COUNT(g)"])
        value = f"(SELECT {call} FROM {other}{r.choice(['', ' WHERE k = 1', ' WHERE id < 0', ' WHERE k IN (SELECT k FROM u)'])})"
        kind = ("dec", 38, 0) if call == "SUM(k)" else INT
        sql, kinds = r.choice([
            (f"SELECT id, {value} AS v FROM {table}", [INT, kind]),
            (f"SELECT id FROM {table} WHERE i < {value}", [INT]),
            (f"SELECT a.id, b.id FROM {table} a JOIN u b ON a.k = b.k AND a.g = b.g WHERE a.id + b.id > {value} AND a.k > 0", [INT, INT]),
            (f"SELECT g, COUNT(*) AS n FROM {table} GROUP BY g HAVING COUNT(*) > {value} - 3", [TEXT, INT]),
            (f"SELECT k, COUNT(*) + {value} AS n FROM {table} GROUP BY k", [INT, kind]),
        ])
        return self.Query(sql, sql, kinds)

    def q_shared(self):
        """The same part twice, and an order over a join."""
        r = self.r
        self.mark("shared")
        sql, kinds = r.choice([
            ("WITH c AS (SELECT k, g, COUNT(*) AS n FROM u GROUP BY k, g) SELECT a.k, a.g, b.n FROM c a JOIN c b ON a.k = b.k AND a.n <= b.n", [INT, TEXT, INT]),
            ("SELECT a.id, b.id FROM u a JOIN u b ON a.k = b.k", [INT, INT]),
            ("SELECT a.id, b.id FROM u a LEFT JOIN u b ON a.k = b.k AND a.id < b.id", [INT, INT]),
            ("SELECT id, r FROM (SELECT a.id, ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY b.id DESC, b.i) AS r FROM u a JOIN u b ON a.g = b.g) WHERE r <= 2", [INT, INT]),
        ])
        return self.Query(sql, sql, kinds)

    def q_hot_items(self):
        """The largest groups of each window, by a join of the windows with themselves."""
        self.mark("hot items")
        size = self.r.choice([1, 30])
        start = self.bucket("ts", size * 60_000, 0)
        duck = f"(SELECT *, {start} AS window_start, {start} + INTERVAL {size} MINUTE AS window_end FROM t)"
        query = ("WITH c AS (SELECT g, window_start AS s, window_end AS e, COUNT(*) AS n FROM {} GROUP BY g, window_start, window_end) "
                 "SELECT g, n, e FROM c JOIN (SELECT s, e, MAX(n) AS m FROM c GROUP BY s, e) x USING (s, e) WHERE n >= m")
        return self.Query(query.format(f"TUMBLE(t, ts, INTERVAL '{size}' MINUTE)"), query.format(duck), [TEXT, INT, TS])


SHAPES = ["join"] * 6 + ["join group"] * 2 + ["join order", "join using", "join three", "join three", "join near", "join near", "join near", "join windows", "hot items", "partner", "partner", "nearest", "within", "value", "value", "shared"]
