"""Whole queries on the engine alone: aggregates, windows, UNNEST, names of columns, errors with their
places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from retail_analytics_tests.embedded.coverage import covers, refuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from retail_analytics_tests.embedded.athena.conftest import Answer

T = "(VALUES (1, 'a', DECIMAL '2.50'), (2, 'b', DECIMAL '3.50'), (3, 'b', NULL)) AS t(n, s, d)"

QUERIES = [
    (f"SELECT count(*), count(d), count(DISTINCT s) FROM {T}", [("3", "2", "2")], ["bigint"] * 3),
    (
        f"SELECT sum(n), avg(n), sum(d), avg(d) FROM {T}",
        [("6", "2.0", "6.00", "3.00")],
        ["bigint", "double", "decimal", "decimal"],
    ),
    (
        f"SELECT sum(n) / count(*), sum(d) / 2, max(n) / 2e0 FROM {T}",
        [("2", "3.00", "1.5")],
        ["bigint", "decimal", "double"],
    ),
    (f"SELECT avg(DISTINCT d), avg(d) FILTER (WHERE n = 1) FROM {T}", [("3.00", "2.50")], None),
    (
        f"SELECT n, avg(d) OVER (PARTITION BY s) FROM {T} ORDER BY n",
        [("1", "2.50"), ("2", "3.50"), ("3", "3.50")],
        None,
    ),
    (f"SELECT count_if(n > 1), count(*) FILTER (WHERE n > 1) FROM {T}", [("2", "2")], ["bigint", "bigint"]),
    (f"SELECT max_by(s, n), min_by(s, n), max_by(d, n) FROM {T}", [("b", "a", None)], None),
    (
        f"SELECT array_agg(s ORDER BY n DESC), array_agg(DISTINCT s ORDER BY s) FROM {T}",
        [("[b, b, a]", "[a, b]")],
        None,
    ),
    (f"SELECT array_join(array_agg(s ORDER BY n), '') FROM {T}", [("abb",)], None),
    (f"SELECT listagg(s, ',') WITHIN GROUP (ORDER BY n) FROM {T}", [("a,b,b",)], ["varchar"]),
    (f"SELECT approx_distinct(s) FROM {T}", [("2",)], ["bigint"]),
    (f"SELECT approx_percentile(n, 0.5) FROM {T}", [("2",)], ["integer"]),
    (f"SELECT map_agg(s, n) FROM {T} WHERE n < 3", [("{a=1, b=2}",)], ["map"]),
    (f"SELECT histogram(s) FROM {T}", [("{a=1, b=2}",)], ["map"]),
    (f"SELECT bool_and(n > 0), bool_or(n > 2), every(n > 1) FROM {T}", [("true", "true", "false")], None),
    (f"SELECT arbitrary(s) FROM {T} WHERE n = 1", [("a",)], None),
    (f"SELECT s, sum(n) FROM {T} GROUP BY 1 ORDER BY 1", [("a", "1"), ("b", "5")], None),
    (
        f"SELECT s, sum(n) FROM {T} GROUP BY ROLLUP (s) ORDER BY 1",
        [("a", "1"), ("b", "5"), (None, "6")],
        None,
    ),
    (f"SELECT s FROM {T} GROUP BY s HAVING count(*) > 1", [("b",)], None),
    (
        f"SELECT n, row_number() OVER (PARTITION BY s ORDER BY n DESC) FROM {T} ORDER BY n",
        [("1", "1"), ("2", "2"), ("3", "1")],
        None,
    ),
    (
        f"SELECT n, lag(n) OVER (ORDER BY n), lead(n, 1, 0) OVER (ORDER BY n) FROM {T} ORDER BY n",
        [("1", None, "2"), ("2", "1", "3"), ("3", "2", "0")],
        None,
    ),
    (
        f"SELECT n, sum(n) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM {T} ORDER BY n",
        [("1", "1"), ("2", "3"), ("3", "5")],
        ["integer", "bigint"],
    ),
    (
        (
            f"SELECT n, last_value(d) IGNORE NULLS OVER (ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND "
            f"CURRENT ROW) FROM {T} ORDER BY n"
        ),
        [("1", "2.50"), ("2", "3.50"), ("3", "3.50")],
        None,
    ),
    ("SELECT x FROM UNNEST(ARRAY[1, 2]) AS t(x)", [("1",), ("2",)], ["integer"]),
    (
        "SELECT x, i FROM UNNEST(ARRAY['a', 'b']) WITH ORDINALITY AS t(x, i)",
        [("a", "1"), ("b", "2")],
        ["varchar", "bigint"],
    ),
    ("SELECT a, b FROM UNNEST(ARRAY[1, 2], ARRAY['x']) AS t(a, b)", [("1", "x"), ("2", None)], None),
    ("SELECT k, v FROM UNNEST(map(ARRAY['a'], ARRAY[1])) AS t(k, v)", [("a", "1")], None),
    (
        "SELECT n, x FROM (VALUES (1, ARRAY[7, 8]), (2, ARRAY[])) AS t(n, xs) CROSS JOIN UNNEST(xs) AS u(x)",
        [("1", "7"), ("1", "8")],
        None,
    ),
    (
        (
            "SELECT n, x FROM (VALUES (1, ARRAY[7]), (2, NULL)) AS t(n, xs) LEFT JOIN UNNEST(xs) AS u(x) ON "
            "true ORDER BY n"
        ),
        [("1", "7"), ("2", None)],
        None,
    ),
    (
        "SELECT a, b FROM UNNEST(ARRAY[CAST(ROW(1, 'x') AS ROW(p integer, q varchar))]) AS t(a, b)",
        [("1", "x")],
        None,
    ),
    (
        "WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT x, y FROM a CROSS JOIN b",
        [("1", "2")],
        None,
    ),
    (
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) SELECT sum(n) FROM t",
        [("6",)],
        ["bigint"],
    ),
    ("SELECT 1 UNION ALL SELECT 2 ORDER BY 1 DESC", [("2",), ("1",)], None),
    ("SELECT 1 INTERSECT SELECT 1", [("1",)], None),
    ("SELECT 1 EXCEPT SELECT 1", [], None),
    ("VALUES (1, 'a'), (2, 'b')", [("1", "a"), ("2", "b")], None),
    (f"SELECT n FROM {T} ORDER BY n OFFSET 1 LIMIT 1", [("2",)], None),
    (f"SELECT n FROM {T} ORDER BY d DESC", [("2",), ("1",), ("3",)], None),
    (f"SELECT n FROM {T} WHERE n IN (SELECT max(n) FROM {T})", [("3",)], None),
    (f"SELECT n FROM {T} WHERE EXISTS (SELECT 1 FROM (VALUES 2) AS u(m) WHERE m = n)", [("2",)], None),
    ("SELECT t.a FROM (VALUES (1, 2)) AS t(a, b) JOIN (VALUES 1) AS u(a) USING (a)", None, None),
    ("SELECT CAST(ROW(1, 'x') AS ROW(a integer, b varchar)).a", [("1",)], None),
    (
        "SELECT transform(filter(ARRAY[1, 2, 3], x -> x > 1), x -> transform(ARRAY[10], y -> x + y))",
        [("[[12], [13]]",)],
        None,
    ),
    (
        "SELECT TIMESTAMP '2010-12-01 00:00:00 UTC' AT TIME ZONE 'UTC'",
        [("2010-12-01 00:00:00.000 UTC",)],
        None,
    ),
    ('SELECT "MiXeD" FROM (VALUES 1) AS t(mixed)', [("1",)], None),
    (
        (
            "SELECT date_diff('second', min(x), max(x)) FROM (VALUES TIMESTAMP '2010-12-01 00:00:00', "
            "TIMESTAMP '2010-12-01 00:01:00') AS t(x)"
        ),
        [("60",)],
        None,
    ),
    ("SELECT x FROM (VALUES 'a;b') AS t(x) -- a comment;\n;", [("a;b",)], None),
]


@covers(
    "Queries",
    "aggregates with DISTINCT, FILTER and ORDER BY; ROLLUP; HAVING",
    "windows with frames, IGNORE NULLS",
    "UNNEST of arrays, of maps and of arrays of rows, WITH ORDINALITY, LEFT JOIN UNNEST",
    "WITH, WITH RECURSIVE, UNION, INTERSECT, EXCEPT, VALUES, OFFSET and LIMIT",
    "subqueries in IN and EXISTS; lambdas, also one in another",
)
@pytest.mark.parametrize(("sql", "rows", "kinds"), QUERIES, ids=[case[0][:70] for case in QUERIES])
def test_a_query_returns(
    evaluate: Callable[..., Answer],
    sql: str,
    rows: list[tuple[str | None, ...]] | None,
    kinds: list[str] | None,
) -> None:
    answer = evaluate(sql)
    assert answer.reason is None
    assert answer.rows == (rows if rows is not None else [("1",)])
    if kinds is not None:
        assert answer.types == kinds


@covers("Queries", "names of nameless columns (`_col0`), twofold names")
@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT 1, 2 AS b, n, n + 1 FROM (VALUES 1) AS t(n)", ["_col0", "b", "n", "_col3"]),
        ("SELECT *, 1 FROM (VALUES (1, 2)) AS t(a, b)", ["a", "b", "_col2"]),
        ("SELECT a, a FROM (VALUES 1) AS t(a)", ["a", "a"]),
        ("SELECT t.*, u.a FROM (VALUES 1) AS t(a) CROSS JOIN (VALUES 2) AS u(a)", ["a", "a"]),
        ("SELECT 1 AS Foo", ["foo"]),
        ("SELECT count(*) FROM (VALUES 1) UNION ALL SELECT 2", ["_col0"]),
        ("VALUES (1, 2)", ["_col0", "_col1"]),
    ],
)
def test_columns_are_named(evaluate: Callable[..., Answer], sql: str, names: list[str]) -> None:
    answer = evaluate(sql)
    assert answer.reason is None
    assert answer.columns == names


@refuses(
    "Queries",
    "malformed SQL (`line L:C: mismatched input …`), unknown tables, columns, functions: by name and place",
)
@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELEC 1", "line 1:1: mismatched input 'SELEC'."),
        ("SELECT 1 FROM", "line 1:14: mismatched input '<EOF>'"),
        ("SELECT (1", "line 1:10: mismatched input '<EOF>'"),
        ("SELECT 1 +\n FROM t", "line 2:2: mismatched input 'FROM'"),
        ("SELECT 1; SELECT 2", "Only one sql statement is allowed"),
        ("SELECT nope(1)", "FUNCTION_NOT_FOUND: line 1:8: Function 'nope' not registered"),
        ("SELECT upper()", "FUNCTION_NOT_FOUND: line 1:8: Unexpected parameters for function upper"),
        ("SELECT\n  x\nFROM (VALUES 1) AS t(y)", "COLUMN_NOT_FOUND: line 2:3: Column 'x' cannot be resolved"),
        ("SELECT t.x FROM (VALUES 1) AS t(y)", "COLUMN_NOT_FOUND: line 1:10: Column 'x' cannot be resolved"),
        ("SELECT * FROM nope", ("TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.default.nope' does "
                               "not exist")),
        ("SELECT * FROM nope.t", "SCHEMA_NOT_FOUND: line 1:15: Schema 'nope' does not exist"),
        ("SELECT * FROM other.default.t", "CATALOG_NOT_FOUND:"),
        ("SELECT 1 / 0", "DIVISION_BY_ZERO: Division by zero"),
        ("SELECT 1 % 0", "DIVISION_BY_ZERO: Division by zero"),
        ("SELECT DECIMAL '1.0' / 0", "DIVISION_BY_ZERO: Division by zero"),
        ("SELECT CAST('a' AS integer)", "INVALID_CAST_ARGUMENT: Cannot cast 'a' to INT"),
        ("SELECT CAST('6.5' AS integer)", "INVALID_CAST_ARGUMENT: Cannot cast '6.5' to INT"),
        ("SELECT n, count(*) FROM (VALUES 1) AS t(n)",
        "EXPRESSION_NOT_AGGREGATE: line 1:8: 'n' must be an aggregate"),
        ("SELECT a FROM (VALUES 1) AS t(a), (VALUES 2) AS u(a)", "AMBIGUOUS_NAME: "),
        ("SELECT json_parse('{bad')", "INVALID_FUNCTION_ARGUMENT: Cannot convert value to JSON"),
        ("SELECT CAST(300 AS tinyint)", ""),
        ("SELECT ?", "INVALID_PARAMETER_USAGE: "),
        ("SELECT 'unterminated", "line 1:"),
    ],
)  # fmt: skip
def test_an_error_is_named_and_placed(evaluate: Callable[..., Answer], sql: str, reason: str) -> None:
    answer = evaluate(sql)
    assert answer.state == "FAILED"
    assert (answer.reason or "").startswith(reason)


@refuses("Queries", "whatever is DuckDB's and not Athena's; files and network of the host")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        'SELECT * FROM "/etc/passwd"',
        "SELECT read_text('/etc/passwd')",
        "SELECT getenv('HOME')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM sqlite_master",
        "COPY (SELECT 1) TO '/tmp/x'",
        "ATTACH '/tmp/x.db'",
        "INSTALL httpfs",
        "SET memory_limit = '100GB'",
        "PRAGMA database_list",
        "SELECT athena_div(1, 2)",
        "SELECT current_setting('memory_limit')",
    ],
)
def test_nothing_of_duckdb_or_the_host_is_reachable(evaluate: Callable[..., Answer], sql: str) -> None:
    answer = evaluate(sql)
    assert answer.state == "FAILED"
    assert answer.rows == []


# a statement, and the construct that its refusal names
NOT_COVERED = [
    ("SELECT * FROM (VALUES 1) AS t(a) TABLESAMPLE BERNOULLI (10)", "TABLESAMPLE"),
    ("VACUUM t", "VACUUM"),
    ("OPTIMIZE t REWRITE DATA USING BIN_PACK", "OPTIMIZE"),
    ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "MERGE"),
    ("DELETE FROM t", "DELETE"),
    ("UPDATE t SET a = 1", "UPDATE"),
    ("GRANT SELECT ON t TO u", "GRANT"),
    (
        "CREATE TABLE t (a int) LOCATION 's3://lake/t/' TBLPROPERTIES ('table_type' = 'ICEBERG')",
        "CREATE TABLE",
    ),
    ("SHOW FUNCTIONS", "SHOW FUNCTIONS"),
    ("CREATE ROLE r", "CREATE ROLE"),
    ("SELECT date_format(TIMESTAMP '2010-12-01 00:00:00', x) FROM (VALUES '%Y') AS t(x)", "date_format"),
    ("EXPLAIN ANALYZE SELECT 1", "EXPLAIN ANALYZE"),
    ("SELECT typeof(1)", "typeof"),
    ("SELECT regexp_like('a', '(?=a)')", "(?="),
    ("SELECT t FROM (SELECT TIMESTAMP '2010-12-01 00:00:00' AT TIME ZONE 'Asia/Tokyo' AS t)", "a zone other"),
    ("SELECT CAST('a' AS char(5))", "char(n)"),
    ("SELECT INTERVAL '3' MONTH", "an interval of months"),
    ("SELECT DATE '2010-12-02' - DATE '2010-12-01'", "an interval"),
    ("SELECT approx_percentile(1, 1, 0.5)", "approx_percentile with 3 arguments"),
    ("SELECT 3 > ALL (VALUES 1, 2)", "ALL (VALUES"),
    ("SELECT a FROM (VALUES 1) AS t(a) ORDER BY a FETCH FIRST 1 ROW WITH TIES", "WITH TIES"),
]


@pytest.mark.parametrize(("sql", "construct"), NOT_COVERED)
def test_what_is_not_covered_is_refused_by_name(
    evaluate: Callable[..., Answer], sql: str, construct: str
) -> None:
    answer = evaluate(sql)
    assert answer.state == "FAILED"
    assert (answer.reason or "").startswith("NOT_SUPPORTED: ")
    assert construct in (answer.reason or "")


@covers("Queries", "`?` parameters")
def test_parameters_are_bound_as_literals(evaluate: Callable[..., Answer]) -> None:
    answer = evaluate("SELECT ?, ? + 1, ? = '?'", "'it''s'", "41", "'x'")
    assert answer.rows == [("it's", "42", "false")]


def test_a_parameter_cannot_carry_a_query(evaluate: Callable[..., Answer]) -> None:
    answer = evaluate("SELECT ?", "(SELECT 1)")
    assert (answer.reason or "").startswith("NOT_SUPPORTED: the parameter")
