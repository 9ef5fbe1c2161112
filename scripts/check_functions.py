"""Random calls of the functions that stand in no dialect's core, for check_queries.py: angles, bits, divisors,
measures of text, and patterns that come from columns."""

INT, DBL, TEXT, BOOL = ("int",), ("dbl",), ("text",), ("bool",)


class Functions:
    """What the generator of queries has besides. `E` is given, and makes an expression of both dialects."""

    def more_int(self, depth):
        r = self.r
        which = r.choice(["&", "|", "<<", ">>", "gcd", "lcm", "factorial", "octet_length", "bit_length", "levenshtein", "regexp_count", "regexp_instr", "find_in_set"])
        self.mark(which)
        one, two = self.expression(INT, depth), self.expression(INT, depth)
        text, other = self.expression(TEXT, depth), self.column(TEXT)
        whole = lambda c, d: self.E(c, f"({d})::BIGINT", INT)
        match which:
            case "&" | "|":
                return whole(f"({one.c} {which} {two.c})", f"{one.d} {which} {two.d}")
            case "<<" | ">>":
                # Only numbers that have room are moved upwards there.
                bits = r.choice([0, 1, 5, 31])
                inner = (f"ABS({one.c} % 1000)", f"abs({one.d} % 1000)") if which == "<<" else (one.c, one.d)
                return whole(f"({inner[0]} {which} {bits})", f"({inner[1]})::BIGINT {which} {bits}")
            case "gcd" | "lcm":
                return whole(f"{which.upper()}({one.c} % 1000, {two.c} % 1000)", f"{which}({one.d} % 1000, {two.d} % 1000)")
            case "factorial":
                return whole(f"FACTORIAL(ABS({one.c} % 15))", f"factorial((abs({one.d} % 15))::INT)")
            case "octet_length":
                return whole(f"OCTET_LENGTH({text.c})", f"strlen({text.d})")
            case "bit_length":
                return whole(f"BIT_LENGTH({text.c})", f"bit_length({text.d})")
            case "levenshtein":
                # Counted in bytes there.
                plain = "regexp_replace({}, '[^ -~]', '.', 'g')"
                return whole(f"LEVENSHTEIN(REGEXP_REPLACE({text.c}, '[^ -~]', '.'), REGEXP_REPLACE({other.c}, '[^ -~]', '.'))",
                             f"levenshtein({plain.format(text.d)}, {plain.format(other.d)})")
            case "regexp_count":
                pattern = r.choice(["a", "[aeiou]", "an", "[0-9]+", "ü"])
                return whole(f"REGEXP_COUNT({text.c}, '{pattern}')", f"CASE WHEN {text.d} IS NOT NULL THEN len(regexp_extract_all({text.d}, '{pattern}')) END")
            case "regexp_instr":
                pattern = r.choice(["n", "[aeiou]", "an", "[0-9]", "ü", "漢"])
                return whole(f"REGEXP_INSTR({text.c}, '{pattern}')",
                             f"CASE WHEN regexp_matches({text.d}, '{pattern}') THEN strpos({text.d}, regexp_extract({text.d}, '{pattern}')) WHEN {text.d} IS NOT NULL THEN 0 END")
            case "find_in_set":
                return whole(f"FIND_IN_SET({text.c}, 'a,b,,abc,banana')",
                             f"CASE WHEN {text.d} IS NOT NULL THEN coalesce(list_position(['a', 'b', '', 'abc', 'banana'], {text.d}), 0) END")

    def more_dbl(self, depth):
        r = self.r
        which = r.choice(["sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "degrees", "radians", "cbrt", "log2", "nanvl", "pi"])
        self.mark(which)
        # Few digits, so that what two libraries give is near.
        one = self.E(f"(x / 1000)", f"(x / 1000)", DBL) if self.has("x") else self.constant(DBL)
        small = (f"(LEAST(ABS({one.c}), 1e3) / 1e3)", f"(CASE WHEN {one.d} IS NOT NULL THEN least(abs({one.d}), 1e3) END / 1e3)")
        bounded = (f"LEAST({one.c}, 5e0)", f"CASE WHEN {one.d} IS NOT NULL THEN least({one.d}, 5e0) END")
        match which:
            case "asin" | "acos":
                c, d = small
                return self.E(f"{which.upper()}({c})", f"{which}({d})", DBL)
            case "atanh":
                c, d = small
                return self.E(f"ATANH({c} * 0.5e0)", f"atanh({d} * 0.5e0)", DBL)
            case "acosh":
                return self.E(f"ACOSH(ABS({one.c}) + 1e0)", f"acosh(abs({one.d}) + 1e0)", DBL)
            case "log2":
                return self.E(f"LOG2(ABS({one.c}) + 1e0)", f"log2(abs({one.d}) + 1e0)", DBL)
            case "sinh" | "cosh":
                c, d = bounded
                c, d = (f"GREATEST({c}, -5e0)", f"CASE WHEN {one.d} IS NOT NULL THEN greatest(least({one.d}, 5e0), -5e0) END")
                return self.E(f"{which.upper()}({c})", f"{which}({d})", DBL)
            case "atan2":
                return self.E(f"ATAN2({one.c}, 2e0)", f"atan2({one.d}, 2e0)", DBL)
            case "nanvl":
                return self.E(f"NANVL({one.c}, 1e0)", one.d, DBL)
            case "pi":
                return self.E("PI()", "pi()", DBL)
            case _:
                return self.E(f"{which.upper()}({one.c})", f"{which}({one.d})", DBL)

    def more_text(self, depth):
        r = self.r
        which = r.choice(["left below zero", "right below zero", "split_part from the end", "translate", "to_hex", "overlay", "regexp_replace flags", "regexp_replace groups", "sha512", "substring_index", "nvl2"])
        self.mark(which)
        one = self.expression(TEXT, depth)
        small = r.randint(1, 6)
        match which:
            case "left below zero" | "right below zero":
                name = which.split()[0]
                return self.E(f"{name.upper()}({one.c}, -{small})", f"{name}({one.d}, -{small})", TEXT)
            case "split_part from the end":
                separator = r.choice([",", " ", "an", "ü"])
                return self.E(f"SPLIT_PART({one.c}, '{separator}', -{small})", f"split_part({one.d}, '{separator}', -{small})", TEXT)
            case "translate":
                return self.E(f"TRANSLATE({one.c}, 'anü,', 'xy')", f"translate({one.d}, 'anü,', 'xy')", TEXT)
            case "to_hex":
                number = self.expression(INT, depth)
                return self.E(f"TO_HEX({number.c})", f"lower(to_hex({number.d}))", TEXT)
            case "overlay":
                c = r.choice([f"OVERLAY({one.c} PLACING 'xü' FROM {small} FOR 3)", f"OVERLAY({one.c}, 'xü', {small}, 3)"])
                return self.E(c, f"(left({one.d}, {small - 1}) || 'xü' || substring({one.d}, {small + 3}))", TEXT)
            case "regexp_replace flags":
                flags, theirs = r.choice([("g", "g"), ("i", "i"), ("gi", "gi"), ("m", "")])
                theirs = f", '{theirs}'" if theirs else ""
                return self.E(f"REGEXP_REPLACE({one.c}, '[AB]n?', '#', '{flags}')", f"regexp_replace({one.d}, '[AB]n?', '#'{theirs})", TEXT)
            case "regexp_replace groups":
                return self.E(f"REGEXP_REPLACE({one.c}, '([a-z])([a-z])', '\\2\\1')", f"regexp_replace({one.d}, '([a-z])([a-z])', '\\2\\1', 'g')", TEXT)
            case "sha512":
                return self.E(f"LEFT(SHA256({one.c}), 10)", f"left(sha256({one.d}), 10)", TEXT)
            case "substring_index":
                cut = f"CASE WHEN strpos({one.d}, 'a') = 0 THEN {one.d} ELSE left({one.d}, strpos({one.d}, 'a') - 1) END"
                return self.E(f"SUBSTRING_INDEX({one.c}, 'a', 1)", cut, TEXT)
            case "nvl2":
                two, three = self.column(TEXT), self.constant(TEXT)
                return self.E(f"NVL2({one.c}, {two.c}, {three.c})", f"CASE WHEN {one.d} IS NOT NULL THEN {two.d} ELSE {three.d} END", TEXT)

    def more_bool(self, depth):
        r = self.r
        which = r.choice(["contains", "isnan", "LIKE column", "ILIKE column", "~*", "SIMILAR TO"])
        self.mark(which)
        one, two = self.expression(TEXT, depth), self.column(TEXT)
        match which:
            case "contains":
                return self.E(f"CONTAINS({one.c}, {two.c})", f"contains({one.d}, {two.d})", BOOL)
            case "isnan":
                number = self.column(DBL)
                return self.E(f"ISNAN({number.c})", f"isnan({number.d})", BOOL)
            case "LIKE column" | "ILIKE column":
                word = r.choice(["", "NOT "]) + which.split()[0]
                return self.E(f"({one.c} {word} {two.c})", f"({one.d} {word} {two.d})", BOOL)
            case "~*":
                pattern = r.choice(["^a", "B.N", "[0-9]", "Ü"])
                return self.E(f"({one.c} ~* '{pattern}')", f"regexp_matches({one.d}, '{pattern}', 'i')", BOOL)
            case "SIMILAR TO":
                pattern, theirs = r.choice([("(a|b)%", "^(?s:(a|b).*)$"), ("%an%", "^(?s:.*an.*)$"), ("_{3}", "^(?s:.{3})$"), ("[a-c]+", "^(?s:[a-c]+)$"), ("a.c", "^a\\.c$")])
                return self.E(f"({one.c} SIMILAR TO '{pattern}')", f"regexp_matches({one.d}, '{theirs}')", BOOL)
