"""Random queries with UNION, INTERSECT and EXCEPT, GROUPING SETS, DISTINCT ON, ranks of whole partitions and
subqueries that name columns from outside, for check_queries.py.

Over `t` and the small `u`, which have the same columns, and the same rows now and then.
"""

INT, DBL, TEXT, BOOL, DATE, TS = ("int",), ("dbl",), ("text",), ("bool",), ("date",), ("ts",)
D10, D30 = ("dec", 10, 2), ("dec", 30, 6)
SUM = ("dec", 38, 0)

# Few values each, so that sides share rows.
SHARED = [("k", INT), ("g", TEXT), ("f", BOOL), ("k % 2", INT), ("UPPER(g)", TEXT), ("i > 0", BOOL), ("dt", DATE), ("d", D10), ("NULL", INT), ("1", INT)]
# Columns of different types that have one in common.
MIXED = [(["i", "d"], ("dec", 12, 2)), (["k", "x"], DBL), (["d", "w"], ("dec", 30, 6)), (["i", "b"], INT), (["dt", "ts"], TS), (["k", "NULL"], INT), (["NULL", "g"], TEXT)]


class Sets:
    """What the generator of queries has besides. `both`, `Query` and `arrival` are given."""

    def part_of(self, table=None):
        """FROM and WHERE of one side."""
        r = self.r
        table = table or r.choice(["t", "t", "u"])
        where = r.choice(["", "", " WHERE k > 1", " WHERE id % 3 = 1", " WHERE g = 'red'", " WHERE i > 0 OR k = 2", " WHERE k IS NULL", " WHERE id < 0"])
        if r.random() < 0.2:
            return f"(SELECT * FROM {table}{where}) AS q"
        return table + where

    def side(self, columns):
        """One SELECT of `columns`; the text is of both dialects."""
        r = self.r
        what = r.choice(["plain", "plain", "plain", "DISTINCT", "GROUP BY"])
        self.mark(f"side {what}")
        names = ", ".join(f"{name} AS c{number}" for number, name in enumerate(columns))
        if what == "GROUP BY":
            keys = [f"c{number}" for number in range(len(columns))]
            return f"SELECT {', '.join(keys)} FROM (SELECT {names} FROM {self.part_of()}) AS s GROUP BY {', '.join(keys)}"
        return f"SELECT {'DISTINCT ' if what == 'DISTINCT' else ''}{names} FROM {self.part_of()}"

    def sets(self, depth=2):
        """A set operation: its text and the types of its columns."""
        r = self.r
        operations = ["UNION ALL", "UNION ALL", "UNION", "UNION DISTINCT", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL"]
        picked = r.sample(SHARED, r.choice([1, 1, 2, 3]))
        if picked[0][0] in ("NULL", "1"):
            picked.append(("k", INT))
        names, kinds = [name for name, _ in picked], [kind for _, kind in picked]
        mixed = r.choice(MIXED) if r.random() < 0.3 else None
        if mixed:
            kinds.append(mixed[1])

        turn = iter(range(100))

        def tree(depth):
            if depth == 0 or r.random() < 0.2:
                return self.side(names + ([mixed[0][next(turn) % 2]] if mixed else []))
            op = r.choice(operations)
            self.mark(op)
            left, right = tree(depth - 1), tree(depth - 1)
            inside = lambda text: f"({text})" if r.random() < 0.4 else text
            # Without parentheses INTERSECT comes first, in both alike.
            return f"{inside(left)} {op} {inside(right)}"

        text = f"{tree(depth)} {r.choice(operations)} {tree(0)}"
        return text, kinds

    def q_sets(self):
        text, kinds = self.sets(self.r.choice([0, 1, 1, 2]))
        return self.Query(text, text, kinds)

    def q_sets_order(self):
        text, kinds = self.sets(self.r.choice([0, 1]))
        keys = ", ".join(f"{n + 1}{self.r.choice(['', ' DESC', ' NULLS FIRST'])}" if self.r.random() < 0.5 else f"c{n}{self.r.choice(['', ' DESC'])}" for n in range(len(kinds)))
        tail = f" ORDER BY {keys}{self.r.choice(['', ' LIMIT 5', ' LIMIT 3 OFFSET 2'])}"
        return self.Query(text + tail, text + tail, kinds, True)

    def q_sets_above(self):
        """Groups, joins, ranks and conditions above a set operation."""
        r = self.r
        text, kinds = self.sets(r.choice([0, 1]))
        form = r.choice(["group", "total", "where", "join", "rank", "in", "cte twice"])
        self.mark(f"above sets: {form}")
        match form:
            case "group":
                sql = f"SELECT c0, COUNT(*) AS n FROM ({text}) AS q GROUP BY c0"
                return self.Query(sql, sql, [kinds[0], INT])
            case "total":
                sql = f"SELECT COUNT(*) AS n, COUNT(c0) AS m, COUNT(DISTINCT c0) AS o FROM ({text}) AS q"
                return self.Query(sql, sql, [INT, INT, INT])
            case "where":
                sql = f"WITH q AS ({text}) SELECT * FROM q WHERE c0 IS NOT NULL"
                return self.Query(sql, sql, kinds)
            case "join":
                sql = f"SELECT q.c0 AS c, COUNT(*) AS n, SUM(u.i) AS s FROM ({text}) AS q JOIN u ON {'q.c0 = u.k' if kinds[0] == INT else 'q.c0 IS NULL AND u.k = 1'} GROUP BY q.c0"
                return self.Query(sql, sql, [kinds[0], INT, SUM])
            case "rank":
                sql = f"SELECT * FROM (SELECT c0, RANK() OVER (ORDER BY c0 DESC) AS r FROM ({text}) AS q) AS s WHERE r <= 4"
                return self.Query(sql, sql, [kinds[0], INT])
            case "in":
                inner = f"SELECT k FROM {self.part_of()} {r.choice(['UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT'])} SELECT k FROM {self.part_of()}"
                sql = f"SELECT id FROM t WHERE k IN ({inner})"
                return self.Query(sql, sql, [INT])
        sql = f"WITH q AS ({text}) SELECT c0 FROM q UNION ALL SELECT c0 FROM q"
        return self.Query(sql, sql, [kinds[0]])

    def q_sets_window(self):
        """Windows over the rows of several tables."""
        r = self.r
        columns = ["ts", "k", "i", "g"]
        names = ", ".join(columns)
        sides = [f"SELECT {names} FROM {self.part_of(table)}" for table in r.sample(["t", "u", "t", "u"], r.choice([2, 2, 3]))]
        union = " UNION ALL ".join(sides)
        amount, unit, ms = r.choice([(1, "SECOND", 1000), (1, "MINUTE", 60_000), (1, "HOUR", 3_600_000)])
        start = self.bucket("ts", ms, 0)
        form = r.choice(["window", "window", "over", "windows united", "windows distinct", "again"])
        self.mark(f"window over sets: {form}")
        interval = f"INTERVAL '{amount}' {unit}"
        own = r.choice([f"TUMBLE(({union}), ts, {interval})", f"TUMBLE(q, ts, {interval})", f"TABLE(TUMBLE(TABLE q, DESCRIPTOR(ts), {interval}))"])
        head = "" if "UNION" in own else f"CREATE VIEW q AS {union};\n"
        delay = r.choice([(), ("INTERVAL '0' SECOND",)])
        duck = f"(SELECT *, {start} AS window_start, {start} + {interval} AS window_end FROM ({union}) AS q)"
        if form == "over":
            ordered = "OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW)"
            sql = f"SELECT k, ts, COUNT(*) {ordered} AS n, SUM(i) {ordered} AS s FROM ({union}) AS q"
            return self.Query(sql, sql, [INT, TS, INT, SUM])
        one = lambda table, text: f"SELECT window_start, window_end, {text} AS c, COUNT(*) AS n FROM {table} GROUP BY window_start, window_end, {text}"
        if form in ("window", "again"):
            inner = one("{}", "k")
            c, d = head + inner.format(own), inner.format(duck)
            if form == "again":
                outer = "SELECT window_end, COUNT(*) AS a, MAX(n) AS b FROM ({}) AS z GROUP BY window_start, window_end"
                return self.Query(head + outer.format(inner.format(own)), outer.format(d), [TS, INT, INT], delay=delay)
            return self.Query(c, d, [TS, TS, INT, INT], delay=delay)
        each = [f"TUMBLE({table}, ts, {interval})" for table in ("t", "u")]
        ducks = [f"(SELECT *, {start} AS window_start, {start} + {interval} AS window_end FROM {table})" for table in ("t", "u")]
        op = {"windows united": "UNION ALL", "windows distinct": r.choice(["UNION", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"])}[form]
        c, d = (f" {op} ".join(one(table, "k % 3") for table in tables) for tables in (each, ducks))
        if r.random() < 0.5:
            outer = "SELECT window_end, SUM(n) AS a FROM ({}) AS z GROUP BY window_start, window_end"
            return self.Query(outer.format(c), outer.format(d), [TS, SUM], delay=delay)
        return self.Query(c, d, [TS, TS, INT, INT], delay=delay)

    def q_grouping(self):
        """GROUPING SETS, ROLLUP and CUBE, also with windows."""
        r = self.r
        keys = r.sample(["k", "g", "f", "dt", "k % 2"], r.choice([1, 2, 2, 3]))
        kinds = {"k": INT, "g": TEXT, "f": BOOL, "dt": DATE, "k % 2": INT}
        some = lambda: "(" + ", ".join(r.sample(keys, r.randint(0, len(keys)))) + ")"
        form = r.choice(["ROLLUP", "ROLLUP", "CUBE", "GROUPING SETS", "GROUPING SETS", "with a key", "two"])
        self.mark(f"grouping {form}")
        listed = ", ".join(keys)
        # Every key must be in one set at least.
        sets = f"GROUPING SETS (({listed}), {some()}, {some()})"
        match form:
            case "ROLLUP" | "CUBE":
                by = f"{form} ({listed})"
            case "GROUPING SETS":
                by = sets
            case "with a key":
                by = f"i > 0, {r.choice([f'ROLLUP ({listed})', f'CUBE ({listed})', sets])}"
            case "two":
                by = f"ROLLUP (f, g), CUBE ({listed})" if "f" not in keys and "g" not in keys else f"ROLLUP ({listed}), CUBE (i > 0)"
        calls = [("COUNT(*)", INT), ("SUM(i)", SUM), ("MAX(d)", D10), ("COUNT(DISTINCT s)", INT), ("MIN(g)", TEXT)]
        told = [(f"GROUPING({key})", INT) for key in keys[:1]] + [(f"GROUPING({listed})", INT)]
        items = [(key, kinds[key]) for key in keys] + r.sample(calls, 2) + r.sample(told, r.choice([0, 1, 2]))
        names = ", ".join(f"{text} AS c{number}" for number, (text, _) in enumerate(items))
        tail = r.choice(["", "", " HAVING COUNT(*) > 1", f" HAVING GROUPING({keys[0]}) = 0"])
        where = r.choice(["", "", " WHERE k > 1", " WHERE id < 0"])
        kinds = [kind for _, kind in items]
        if r.random() < 0.3 and form != "two":
            self.mark("grouping in windows")
            start = self.bucket("ts", 3_600_000, 0)
            hour = "INTERVAL '1' HOUR"
            select = f"SELECT window_start AS w, {names} FROM {{}}{where} GROUP BY window_start, window_end, {by}{tail}"
            duck = f"(SELECT *, {start} AS window_start, {start} + {hour} AS window_end FROM t) AS t"
            return self.Query(select.format(f"TUMBLE(t, ts, {hour})"), select.format(duck), [TS] + kinds, delay=r.choice([(), ("INTERVAL '0' SECOND",)]))
        sql = f"SELECT {names} FROM {r.choice(['t', 'u'])}{where} GROUP BY {by}{tail}"
        if r.random() < 0.2:
            sql = f"SELECT c0, COUNT(*) AS n FROM ({sql}) AS q GROUP BY c0"
            kinds = [kinds[0], INT]
        return self.Query(sql, sql, kinds)

    def q_distinct_on(self):
        r = self.r
        keys = r.sample(["k", "g", "f", "i % 3"], r.choice([1, 1, 2]))
        order = r.sample(["d", "s", "ts", "x"], r.choice([0, 1, 2])) + ["id"]
        down = [r.choice(["", " DESC", " DESC NULLS FIRST"]) for _ in order]
        listed = ", ".join(keys)
        by = ", ".join(keys + [key + tail for key, tail in zip(order, down)])
        where = r.choice(["", " WHERE k > 1", " WHERE id < 0"])
        sql = f"SELECT DISTINCT ON ({listed}) id, g, d FROM t{where} ORDER BY {by}"
        if r.random() < 0.3:
            self.mark("DISTINCT ON in a subquery")
            sql = f"SELECT id, d FROM ({sql}) AS q WHERE id > 3"
            return self.Query(sql, sql, [INT, D10])
        # Rows of the last key have no order among themselves, so all are compared but that.
        return self.Query(sql, sql, [INT, TEXT, D10])

    def q_parts(self):
        """NTILE, PERCENT_RANK and CUME_DIST."""
        r = self.r
        by = r.choice(["", "PARTITION BY k ", "PARTITION BY g, f "])
        order = r.choice(["id", "i, id", "d DESC, id", "ts, id"])
        loose = r.choice(["i", "d DESC", "g", "ts", "k, f"])
        calls = [(f"NTILE({r.choice([1, 2, 3, 4, 100])}) OVER ({by}ORDER BY {order})", INT), (f"PERCENT_RANK() OVER ({by}ORDER BY {loose})", DBL),
                 (f"CUME_DIST() OVER ({by}ORDER BY {loose})", DBL), (f"RANK() OVER ({by}ORDER BY {loose})", INT)]
        picked = [("id", INT)] + r.sample(calls, r.choice([1, 2, 3]))
        names = ", ".join(f"{text} AS c{number}" for number, (text, _) in enumerate(picked))
        kinds = [kind for _, kind in picked]
        sql = f"SELECT {names} FROM t{r.choice(['', ' WHERE k > 1'])}"
        form = r.choice(["plain", "group", "QUALIFY"])
        self.mark(f"parts {form}")
        if form == "group":
            sql = f"SELECT c1, COUNT(*) AS n, MAX(c0) AS m FROM ({sql}) AS q GROUP BY c1"
            return self.Query(sql, sql, [kinds[1], INT, INT])
        if form == "QUALIFY":
            sql = f"{sql} QUALIFY c1 <= {r.choice(['0.5', '1', '2'])}"
        return self.Query(sql, sql, kinds)

    def q_correlated(self):
        """Values of subqueries that name columns from outside."""
        r = self.r
        on = lambda: r.choice(["v.k = t.k", "v.g = t.g", "v.k = t.k AND v.f = t.f", "t.i = v.i", "v.k = t.k AND v.id > 3", "v.k = t.k % 3 AND v.d > 0", "v.id = t.id", "v.k + 1 = t.k"])
        value = lambda: r.choice([("COUNT(*)", INT), ("MAX(v.id)", INT), ("SUM(v.i)", SUM), ("MIN(v.g)", TEXT), ("COUNT(v.k)", INT), ("COUNT(DISTINCT v.g) + 1", INT), ("COALESCE(MAX(v.id), -1)", INT)])
        sub = lambda text: f"(SELECT {text} FROM u AS v WHERE {on()})"
        form = r.choice(["select", "where", "both", "having", "above"])
        self.mark(f"correlated {form}")
        first, second = value(), value()
        match form:
            case "select":
                sql = f"SELECT id, {sub(first[0])} AS a, {sub(second[0])} AS b FROM t"
                return self.Query(sql, sql, [INT, first[1], second[1]])
            case "where":
                sql = f"SELECT id FROM t WHERE {r.choice(['t.id', 't.i', 't.k'])} {r.choice(['<', '=', '>='])} {sub(r.choice(['COUNT(*)', 'MAX(v.id)', 'MAX(v.k)']))} AND t.id > 1"
                return self.Query(sql, sql, [INT])
            case "both":
                sql = f"SELECT id, {sub(first[0])} AS a FROM t WHERE {sub('COUNT(*)')} > 1"
                return self.Query(sql, sql, [INT, first[1]])
            case "having":
                inner = r.choice(["(SELECT COUNT(*) FROM u AS v WHERE v.k = t.k)", "(SELECT MAX(v.id) FROM u AS v WHERE v.k = t.k AND v.f)"])
                sql = f"SELECT t.k, COUNT(*) AS n, {inner} AS a FROM t GROUP BY t.k HAVING COUNT(*) > {inner}"
                return self.Query(sql, sql, [INT, INT, INT])
        sql = f"SELECT a, COUNT(*) AS n FROM (SELECT id, {sub(first[0])} AS a FROM t) AS q GROUP BY a"
        return self.Query(sql, sql, [first[1], INT])


SHAPES = ["grouping", "distinct_on", "parts", "correlated", "sets", "sets_order", "sets_above", "sets_window"]
