"""Where Corelane's answers differ from those of the tests, and are meant to; and the page of counts."""

import collections
import datetime
import re

FLOAT = "FLOAT and REAL are held as DOUBLE: numbers agree to the six digits that a FLOAT has"

# (part of the file's path, pattern of the query, why)
KNOWN = [
    ("", r"\b(least|greatest)\s*\(", "LEAST and GREATEST are NULL where one argument is, as in Flink and MySQL"),
    ("", r"\bconcat\s*\(", "CONCAT is NULL where one argument is, as in Flink, MySQL and Spark"),
    ("", r"\blog\s*\(", "LOG of one number is the natural logarithm, as in Flink, MySQL and Spark"),
    ("", r"\b(sqrt|log10|log2)\(.*/3", "a number with a point is a DECIMAL, and its quotient has six digits"),
    ("", r"date\b.*[+-]\s*interval|interval.*\+.*date\b", "a DATE and an INTERVAL make a TIMESTAMP, as in PostgreSQL and DuckDB"),
    ("aggregate.slt", r"\b(first|last)_value\s*\(", "FIRST_VALUE and LAST_VALUE with GROUP BY leave NULLs out, as in Flink and ksqlDB"),
    ("", r"regexp_replace\((ascii_1|'foobarbaz', 'b(\.\.', 'X'|\(\.\.\)', 'X\\\\))", "REGEXP_REPLACE without flags replaces every match, as in Flink and Spark; of two backslashes the first lets the second be one"),
    ("string/", r"\bI?LIKE\b", "LIKE has an escape character only where ESCAPE says one, as the standard has it"),
    ("aggregate.slt", r"\bcorr\s*\(", "CORR of one pair is NULL, as the standard has it"),
    ("aggregate", r"percentile_cont|approx_|median", "percentiles are between numbers, as DOUBLE; APPROX_ functions are exact"),
    ("aggregates_topk.slt", r"order by .*desc", "NULL comes last in either order unless NULLS FIRST is said"),
    ("order.slt", r"order by num", "NULL comes last in either order unless NULLS FIRST is said"),
    ("select.slt", r"window_null_string_table", "NULL comes last in either order unless NULLS FIRST is said"),
    ("string_literal.slt", r"substring_index", "NULL comes last in either order unless NULLS FIRST is said"),
    ("strings.slt", r"SIMILAR TO", "SIMILAR TO has the patterns of the standard, not regular expressions"),
    ("", r"float_table|Float16|sqrt\(column9\)", FLOAT),
    ("", r"test_float|'-NaN'", "all NaN are equal, whatever their sign"),
    ("functional_dependencies.slt", r"t_uniq", "the other engine trusts UNIQUE, which its file calls a bug"),
    ("", r"timestampmicrosecond|c[45]_ts|\.123456789'|3000-01-01", "times are microseconds, in columns three digits unless more are said, and have no end in 2262"),
    ("", r"to_timestamp\(|00Z' = TIMESTAMP", "TO_TIMESTAMP and TIMESTAMP are no instants: the zone of the session says which instant they mean"),
    ("", r"t1\.d = t2\.d\s+ORDER BY a2, t2\.b|d desc OFFSET 1 LIMIT 4", "rows that ORDER BY does not tell apart; LIMIT takes other ones of them"),
    ("pwmj.slt", r"ORDER BY 1,\s*2", "rows are ordered by both columns; the expected ones are not"),
]


def find(path, sql):
    for part, pattern, why in KNOWN:
        if part in path and re.search(pattern, sql, re.I | re.S):
            return why
    return None


def page(results, reasons, package, data):
    """The counts as a page."""
    everything = [record for _, records in results for record in records]
    outcome = collections.Counter(record[2] for record in everything)
    why = collections.Counter(record[3] for record in everything if record[2] == "skipped")
    known = collections.Counter(record[3] for record in everything if record[2] == "known")
    lines = [
        "# SQL logic tests",
        "",
        f"`scripts/check-slt{' --data DIR' if data else ''}`, {datetime.date.today():%Y-%m-%d}: the {len(results)} `.slt` files of "
        f"`{package.removesuffix('.crate')}`{', with a checkout of its testing data' if data else ''}.",
        "",
        "| records | passed | differ as intended | skipped | wrong |",
        "|---|---|---|---|---|",
        f"| {len(everything):,} | {outcome['passed']:,} | {outcome['known']:,} | {outcome['skipped']:,} | {outcome['WRONG']:,} |",
        "",
        "Skipped, by reason:",
        "",
        "| records | reason |",
        "|---|---|",
        *(f"| {count:,} | {reasons[reason]} |" for reason, count in why.most_common()),
        "",
        "Different as intended:",
        "",
        "| records | reason |",
        "|---|---|",
        *(f"| {count:,} | {reason} |" for reason, count in known.most_common()),
        "",
        "By file, where any record passed or is wrong:",
        "",
        "| file | passed | intended | skipped | wrong |",
        "|---|---|---|---|---|",
    ]
    for name, records in results:
        of = collections.Counter(record[2] for record in records)
        if of["passed"] or of["known"] or of["WRONG"]:
            lines.append(f"| {name} | {of['passed']:,} | {of['known']:,} | {of['skipped']:,} | {of['WRONG']:,} |")
    return "\n".join(lines) + "\n"
