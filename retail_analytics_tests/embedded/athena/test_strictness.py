"""What Athena refuses and DuckDB would do, and beside it what looks alike and is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from retail_analytics.embedded.athena.strictness import Verdicts
from retail_analytics_tests.embedded.coverage import refuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from retail_analytics_tests.embedded.athena.conftest import Answer, Cloud

T = "FROM (VALUES (1, 'a', DATE '2010-12-01', true)) AS t(n, s, d, b)"
OPERATOR = "TYPE_MISMATCH: line 1:{}: Cannot apply operator: {}"
UNKNOWN = "COLUMN_NOT_FOUND: line 1:{}: Column '{}' cannot be resolved"
SUBSCRIPT = "INVALID_FUNCTION_ARGUMENT: Array subscript must be less than or equal to array length: 5 > 2"
REFUSED = [
    (f"SELECT n = '1' {T}", OPERATOR.format(8, "integer = varchar")),
    ("SELECT 1 = '1'", "TYPE_MISMATCH: Cannot apply operator: integer = varchar"),
    (f"SELECT 1 {T} WHERE d >= '2010-12-01'", OPERATOR.format(81, "date >= varchar")),
    (f"SELECT 1 {T} JOIN (VALUES '1') AS u(k) ON t.n = u.k", "TYPE_MISMATCH: "),
    (f"SELECT count(*) {T} GROUP BY s HAVING count(*) > '0'", "TYPE_MISMATCH: "),
    (f"SELECT filter(ARRAY['a'], x -> x = 1) {T}", "TYPE_MISMATCH: "),
    (f"SELECT n IN (1, '2') {T}", "TYPE_MISMATCH: line 1:8: IN value and list items"),
    (f"SELECT n BETWEEN '0' AND '2' {T}", "TYPE_MISMATCH: line 1:8: Cannot check if integer is"),
    (f"SELECT CASE WHEN b THEN 1 ELSE 'x' END {T}", "TYPE_MISMATCH: line 1:18: All CASE results"),
    (f"SELECT if(b, 1, 'x') {T}", "TYPE_MISMATCH: line 1:11: All IF results"),
    (f"SELECT coalesce(n, s) {T}", "TYPE_MISMATCH: "),
    ("SELECT coalesce(1, 'x')", "TYPE_MISMATCH: All COALESCE operands must be the same type"),
    (f"SELECT 1 {T} WHERE n", "TYPE_MISMATCH: line 1:81: WHERE clause must evaluate to a boolean"),
    (f"SELECT s || n {T}", "FUNCTION_NOT_FOUND: line 1:8: Unexpected parameters (varchar, integer)"),
    (f"SELECT concat(s, d) {T}", "FUNCTION_NOT_FOUND: "),
    (f"SELECT n AS k, count(*) {T} GROUP BY k", UNKNOWN.format(13, "k")),
    (f"SELECT n AS k {T} WHERE k = 1", UNKNOWN.format(13, "k")),
    (f"SELECT n AS k, k + 1 {T}", UNKNOWN.format(13, "k")),
    (f"SELECT s, count(*) AS k {T} GROUP BY s HAVING k > 0", UNKNOWN.format(23, "k")),
    (f"SELECT n AS k {T}, (VALUES 1) AS u(m) WHERE k = m", UNKNOWN.format(13, "k")),
    ("SELECT ARRAY[1, 2][5]", SUBSCRIPT),
    ("SELECT ARRAY[1][0]", "INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1"),
    ("SELECT ARRAY[1][-1]", "INVALID_FUNCTION_ARGUMENT: Array subscript is negative: -1"),
    ("SELECT split('a b', ' ')[3]", "INVALID_FUNCTION_ARGUMENT: Array subscript must be"),
    ("SELECT map(ARRAY['a'], ARRAY[1])['z']", "INVALID_FUNCTION_ARGUMENT: Key not present in map: z"),
]  # fmt: skip
DONE = [
    f"SELECT n = 1e0, n < 2.5, n <> CAST(3 AS bigint) {T}",
    f"SELECT n = NULL, s = NULL, NULL || s, coalesce(NULL, s), s IN ('a', NULL) {T}",
    f"SELECT d < TIMESTAMP '2010-12-01 08:00:00', d < from_iso8601_timestamp('2010-12-01T00:00:00Z') {T}",
    f"SELECT k FROM (SELECT NULL AS k {T}) WHERE k = 'a' OR k = 1",
    f"SELECT n + 1 AS n, count(*) {T} GROUP BY n HAVING max(n) > 0 ORDER BY n",
    f"SELECT n AS k {T} ORDER BY k",
    f"SELECT k FROM (SELECT n AS k {T}) WHERE k = 1 GROUP BY k",
    f"WITH q AS (SELECT n AS k {T}) SELECT k AS k, k + 1 AS m FROM q WHERE k = 1",
    f"SELECT t.n AS n, u.m AS m {T}, (VALUES 1) AS u(m) WHERE n = 1 AND m = 1",
    f"SELECT n AS n {T} JOIN (VALUES 1) AS u(n) USING (n) GROUP BY n",
    f"SELECT s AS x, transform(ARRAY[1], x -> x + 1) {T} WHERE b",
    f"SELECT y AS y {T} CROSS JOIN UNNEST(ARRAY[n]) AS u(y) WHERE y = 1",
    f"SELECT (SELECT max(m) AS o FROM (VALUES 1) AS u(m) WHERE m = n) AS k {T}",
    f"SELECT CASE n WHEN 1 THEN s ELSE CAST(n AS varchar) END || 'x' {T} WHERE NOT b OR s LIKE 'a%'",
    "SELECT ARRAY[1] || ARRAY[2], to_utf8('a') || to_utf8('b')",
]


@refuses(
    "Types and names",
    "comparing, joining, choosing among values of different types",
    "`||` of what is no text",
)
@pytest.mark.parametrize(("sql", "reason"), REFUSED, ids=[case[0] for case in REFUSED])
def test_it_is_refused_as_by_athena(evaluate: Callable[..., Answer], sql: str, reason: str) -> None:
    answer = evaluate(sql)
    assert answer.state == "FAILED"
    assert (answer.reason or "").startswith(reason)


@refuses(
    "Types and names",
    "aliases in WHERE, GROUP BY, HAVING",
    "`array[n]` out of range, `map[key]` without the key",
)
@pytest.mark.parametrize("sql", DONE)
def test_what_looks_alike_runs(evaluate: Callable[..., Answer], sql: str) -> None:
    answer = evaluate(sql)
    assert answer.reason is None
    assert answer.state == "SUCCEEDED"


SHAPES = (("retail_table_0", (("n", "int"),)),)


@pytest.mark.parametrize(
    ("other", "known"),
    [
        ("SELECT 7 FROM retail_table_0 WHERE n = 88 AND s = 'it''s another'", True),
        ("SELECT 7 FROM retail_table_0 WHERE n = '8' AND s = 'a'", False),
        ("SELECT 7 FROM retail_table_0 WHERE n = 8.5 AND s = 'a'", False),
        ("SELECT 7 FROM retail_table_0 WHERE n = 8e0 AND s = 'a'", False),
        ("SELECT 7 FROM retail_table_1 WHERE n = 8 AND s = 'a'", False),
        ("""SELECT 7 FROM retail_table_0 WHERE "n" = 8 AND s = 'a'""", False),
    ],
)
def test_a_verdict_is_of_queries_that_differ_in_values_alone(other: str, known: bool) -> None:
    verdicts = Verdicts()
    verdicts.note("SELECT 1 FROM retail_table_0 WHERE n = 8 AND s = 'a'", SHAPES)
    assert verdicts.knows(other, SHAPES) is known
    assert not verdicts.knows(other, (("retail_table_0", (("n", "string"),)),))
    assert not verdicts.knows(other, None)


LISTS = "SELECT 1 FROM t WHERE ((d = 1 AND h IN (1, 2)) OR (d = 2 AND h IN (0)))"
ROWS = "SELECT 1 FROM (VALUES ('x', 2025, 9), ('y', 2025, 10)) AS t(a, b, c)"


@pytest.mark.parametrize(
    ("noted", "other", "known"),
    [
        (LISTS, "SELECT 1 FROM t WHERE ((d = 7 AND h IN (1, 2, 3)))", True),
        (
            LISTS,
            "SELECT 1 FROM t WHERE ((d = 7 AND h IN (1)) OR (d = 8 AND h IN (2, 3)) OR (d = 9 AND h IN (4)))",
            True,
        ),
        (LISTS, "SELECT 1 FROM t WHERE ((d = 7 AND h IN (1, '2')) OR (d = 8 AND h IN (2)))", False),
        (LISTS, "SELECT 1 FROM t WHERE ((d = 7 AND h IN (1)) OR (e = 8 AND h IN (2)))", False),
        (ROWS, "SELECT 1 FROM (VALUES ('a', 2026, 1)) AS t(a, b, c)", True),
        (ROWS, "SELECT 1 FROM (VALUES ('a', 6, 1), ('b', 6, 2), ('c', 6, 3)) AS t(a, b, c)", True),
        (ROWS, "SELECT 1 FROM (VALUES ('a', 2026, 1), (2026, 'b', 2)) AS t(a, b, c)", False),
    ],
)
def test_a_verdict_is_of_lists_ors_and_values_of_whatever_length(noted: str, other: str, known: bool) -> None:
    verdicts = Verdicts()
    verdicts.note(noted, SHAPES)
    assert verdicts.knows(other, SHAPES) is known


def test_names_in_quotes_are_no_literals_whatever_they_hold() -> None:
    verdicts = Verdicts()
    verdicts.note("""SELECT "it's" FROM t WHERE "a" = 'x'""", SHAPES)
    assert not verdicts.knows("""SELECT "it's other" FROM t WHERE "a" = 'x'""", SHAPES)


def test_the_same_query_over_another_type_is_refused(cloud: Cloud) -> None:
    for name, kind in (("whole", "int"), ("text", "string")):
        cloud.put(f"{name}/one.json", '{"n": 1}')
        cloud.rows(
            f"CREATE EXTERNAL TABLE {name} (n {kind}) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
            f" LOCATION 's3://lake/{name}/'"
        )
    assert cloud.rows("SELECT n FROM whole WHERE n = 1") == [("1",)]
    assert cloud.rows("SELECT n FROM whole WHERE n = 2") == []
    assert "varchar = integer" in cloud.fails("SELECT n FROM text WHERE n = 1")
    assert "integer = varchar" in cloud.fails("SELECT n FROM whole WHERE n = '1'")
