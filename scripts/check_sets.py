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


SHAPES = ["sets", "sets_order", "sets_above", "sets_window"]
