"""Values and errors that Trino's documentation and source give, where DuckDB's own would differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from retail_analytics_tests.embedded.coverage import covers, refuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from retail_analytics_tests.embedded.athena.conftest import Answer

Rows = list[tuple[str | None, ...]]


@covers("Queries", "rows without names print as `{field0=…, field1=…}`; UNNEST without names")
@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT ROW(1, 'a')", [("{field0=1, field1=a}",)]),
        ("SELECT (1, NULL)", [("{field0=1, field1=null}",)]),
        ("SELECT array_agg(ROW(a, b)) FROM (VALUES (1, 'x')) AS t(a, b)", [("[{field0=1, field1=x}]",)]),
        ("SELECT map_entries(map(ARRAY['a'], ARRAY[1]))", [("[{field0=a, field1=1}]",)]),
        ("SELECT zip(ARRAY[1], ARRAY['a', 'b'])", [("[{field0=1, field1=a}, {field0=null, field1=b}]",)]),
        ("SELECT k, v FROM UNNEST(map_entries(map(ARRAY['k'], ARRAY[1]))) AS t(k, v)", [("k", "1")]),
        ("SELECT * FROM UNNEST(ARRAY[5, 6])", [("5",), ("6",)]),
        ("SELECT * FROM UNNEST(ARRAY[5]) AS t(n)", [("5",)]),
        ("SELECT * FROM UNNEST(map(ARRAY['k'], ARRAY[1]))", [("k", "1")]),
        ("SELECT * FROM (VALUES 7) AS s(x) CROSS JOIN UNNEST(ARRAY[1, 2]) AS t(n)", [("7", "1"), ("7", "2")]),
        ("SELECT * FROM UNNEST(ARRAY['a']) WITH ORDINALITY AS t(x, i)", [("a", "1")]),
    ],
)
def test_rows_and_unnesting(evaluate: Callable[..., Answer], sql: str, rows: Rows) -> None:
    answer = evaluate(sql)
    assert (answer.reason, answer.rows) == (None, rows)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        # half away from zero
        ("CAST(2.5e0 AS integer)", "3"),
        ("CAST(-2.5e0 AS bigint)", "-3"),
        ("CAST(REAL '0.5' AS integer)", "1"),
        ("try_cast(1e10 AS integer)", None),
        # one digit before the point, and an exponent
        ("CAST(0e0 AS varchar)", "0E0"),
        ("CAST(-0.00012e0 AS varchar)", "-1.2E-4"),
        ("CAST(100e0 AS varchar)", "1.0E2"),
        ("CAST(10.5e0 AS varchar)", "1.05E1"),
        ("CAST(REAL '2.55' AS varchar)", "2.55E0"),
        ("CAST(nan() AS varchar)", "NaN"),
        # an item that nobody knows
        ("contains(ARRAY[1, NULL], 2)", None),
        ("contains(ARRAY[1, NULL], 1)", "true"),
        ("any_match(ARRAY[1, NULL], x -> x > 1)", None),
        ("none_match(ARRAY[1, NULL], x -> x > 1)", None),
        ("all_match(ARRAY[1, NULL], x -> x > 0)", None),
        ("all_match(ARRAY[1, NULL], x -> x > 1)", "false"),
        ("any_match(ARRAY[], x -> x > 0)", "false"),
        # Java's formats
        ("format('%.2f', 2.345e0)", "2.35"),
        ("format('%5.1f', 2.25e0)", "  2.3"),
        ("format('%,.2f', 1234567.891)", "1,234,567.89"),
        ("format('%,d', 1234567)", "1,234,567"),
        # dates
        ("try_cast('2020-01-02 03:04:05' AS date)", None),
        ("try_cast('2020-01-02T03:04:05' AS timestamp)", None),
        ("CAST(' 2020-1-2 ' AS date)", "2020-01-02"),
        ("CAST('2020-01-02 03:04' AS timestamp)", "2020-01-02 03:04:00.000"),
        ("try_cast('yes' AS boolean)", None),
        ("CAST('T' AS boolean)", "true"),
        ("listagg(x) WITHIN GROUP (ORDER BY x) FROM (VALUES 'b', 'a') AS t(x)", "ab"),
    ],
)
def test_a_value(evaluate: Callable[..., Answer], expression: str, value: str | None) -> None:
    answer = evaluate(f"SELECT {expression}")
    assert (answer.reason, answer.rows) == (None, [(value,)])


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (
            "SELECT CAST('2020-02-30' AS date)",
            "INVALID_CAST_ARGUMENT: Value cannot be cast to date: 2020-02-30",
        ),
        ("SELECT CAST('x' AS timestamp)", "INVALID_CAST_ARGUMENT: Value cannot be cast to timestamp: x"),
        (
            "SELECT date('2020-01-02 03:04')",
            "INVALID_CAST_ARGUMENT: Value cannot be cast to date: 2020-01-02 ",
        ),
        ("SELECT CAST('x' AS boolean)", "INVALID_CAST_ARGUMENT: Cannot cast 'x' to BOOLEAN"),
        (
            "SELECT CAST('x' AS decimal(5, 2))",
            "INVALID_CAST_ARGUMENT: Cannot cast VARCHAR 'x' to DECIMAL(5, 2)",
        ),
        ("SELECT CAST(300 AS tinyint)", "NUMERIC_VALUE_OUT_OF_RANGE: Out of range for tinyint: 300"),
        ("SELECT 2147483647 + 1", "NUMERIC_VALUE_OUT_OF_RANGE: integer addition overflow: 2147483647 + 1"),
        ("SELECT (SELECT x FROM (VALUES 1, 2) AS t(x))", "SUBQUERY_MULTIPLE_ROWS: Scalar sub-query"),
        ("SELECT map(ARRAY[1, 1], ARRAY[1, 2])", "INVALID_FUNCTION_ARGUMENT: Duplicate map keys"),
        ("SELECT date_parse('2022', '%Y-%m')", 'INVALID_FUNCTION_ARGUMENT: Invalid format: "2022"'),
        ("SELECT element_at(ARRAY[1], 0)", "INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1"),
        ("SELECT slice(ARRAY[1], 0, 1)", "INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1"),
        ("SELECT split_part('a', ',', 0)", "INVALID_FUNCTION_ARGUMENT: Index must be greater than zero"),
        (
            "SELECT date_add('hour', 1, DATE '2020-01-31')",
            "INVALID_FUNCTION_ARGUMENT: 'hour' is not a valid DATE",
        ),
        (
            "SELECT date_trunc('hour', current_date)",
            "INVALID_FUNCTION_ARGUMENT: 'hour' is not a valid DATE field",
        ),
        ("SELECT length(5)", "FUNCTION_NOT_FOUND: Unexpected parameters (integer) for function length"),
        (
            "SELECT split(5, ',')",
            "FUNCTION_NOT_FOUND: Unexpected parameters (integer, varchar) for function split",
        ),
        ("SELECT '1' + 1", "TYPE_MISMATCH: Cannot apply operator: varchar + integer"),
        (
            "SELECT date_format(d, '%Y') FROM (VALUES '2020-01-31') AS t(d)",
            "FUNCTION_NOT_FOUND: Unexpected parameters (varchar) for function date_format",
        ),
        (
            "SELECT date_diff('day', d, current_date) FROM (VALUES '2020-01-31') AS t(d)",
            "FUNCTION_NOT_FOUND: Unexpected parameters (varchar) for function date_diff",
        ),
        (
            "SELECT NOT 1",
            "TYPE_MISMATCH: Logical expression term must evaluate to a boolean (actual: integer)",
        ),
        ("SELECT 1 AND true", "TYPE_MISMATCH: Logical expression term must evaluate to a boolean"),
        (
            "SELECT DISTINCT a FROM (VALUES (1, 2)) AS t(a, b) ORDER BY b",
            "EXPRESSION_NOT_IN_DISTINCT: line 1:60: For SELECT DISTINCT, ORDER BY expressions must appear",
        ),
    ],
)
def test_an_error(evaluate: Callable[..., Answer], sql: str, reason: str) -> None:
    assert (evaluate(sql).reason or "").startswith(reason)


@pytest.mark.parametrize(
    ("order", "rows"), [("a", ["1", "2"]), ("x DESC", ["2", "1"]), ("1", ["1", "2"]), ("t.a", ["1", "2"])]
)
def test_distinct_rows_are_sorted_by_what_is_shown(
    evaluate: Callable[..., Answer], order: str, rows: list[str]
) -> None:
    answer = evaluate(f"SELECT DISTINCT a AS x FROM (VALUES 2, 1, 2) AS t(a) ORDER BY {order}")
    assert (answer.reason, answer.rows) == (None, [(row,) for row in rows])


@refuses("Queries", "syntax of other dialects: `::`, `==`, `[1]`, `{…}`, ILIKE, DIV, LIMIT before OFFSET")
@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT 1::bigint", "line 1:9: mismatched input '::'"),
        ("SELECT a == 1 FROM (VALUES 1) AS t(a)", "line 1:10: mismatched input '=='"),
        ("SELECT [1, 2]", "line 1:8: mismatched input '['"),
        ("SELECT {'a': 1}", "line 1:8: mismatched input '{'"),
        ("SELECT 'a' ILIKE 'A'", "line 1:12: mismatched input 'ILIKE'"),
        ("SELECT 7 DIV 2", "line 1:10: mismatched input 'DIV'"),
        ("SELECT DISTINCT ON (a) a FROM (VALUES 1) AS t(a)", "line 1:17: mismatched input 'ON'"),
        ("SELECT FROM t", "line 1:8: mismatched input 'FROM'"),
        ("SELECT a FROM (VALUES 1) AS t(a) LIMIT 1 OFFSET 1", "line 1:42: mismatched input 'OFFSET'"),
        ("SELECT * EXCLUDE (a) FROM (VALUES (1, 2)) AS t(a, b)", "mismatched input"),
        ("SELECT a FROM (VALUES 1) AS t(a) GROUP BY ALL", "mismatched input 'ALL'"),
    ],
)
def test_syntax_of_other_dialects_is_refused(evaluate: Callable[..., Answer], sql: str, reason: str) -> None:
    assert (evaluate(sql).reason or "").startswith(reason)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT limit, offset FROM (VALUES (1, 2)) AS t(limit, offset)", [("1", "2")]),
        ("SELECT * FROM (SELECT 1 AS x LIMIT 1) OFFSET 0 LIMIT 1", [("1",)]),
        ("SELECT 1; -- that was all", [("1",)]),
        ("SELECT ARRAY[1][1], m['k'] FROM (VALUES map(ARRAY['k'], ARRAY[6])) AS t(m)", [("1", "6")]),
        ("SELECT trim(BOTH FROM ' a ')", [("a",)]),
    ],
)
def test_what_looks_alike_is_right(evaluate: Callable[..., Answer], sql: str, rows: Rows) -> None:
    answer = evaluate(sql)
    assert (answer.reason, answer.rows) == (None, rows)
