"""Lookups of several paths in one document: gathered or not, they find the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlglot import exp

from retail_analytics.embedded.athena import grammar
from retail_analytics.embedded.athena.calls import call
from retail_analytics.embedded.athena.lookups import gather_lookups

if TYPE_CHECKING:
    from collections.abc import Callable

    from retail_analytics_tests.embedded.athena.conftest import Answer

DOCUMENTS = (
    """WITH texts(n, t) AS (VALUES (1, '{"a": 1, "b": "x", "c": null, "d": {"e": [2]}}'), (2, '[3]'), """
    """(3, 'broken'), (4, '7'), (5, NULL)), docs AS (SELECT n, t, try(json_parse(t)) AS doc FROM texts) """
)
PATHS = ("a", "b", "c", "d", "d.e", "d.e[0]", "f", "a")


def looked_up(document: str) -> str:
    return ", ".join(f"json_format(json_extract({document}, '$.{path}'))" for path in PATHS)


@pytest.mark.parametrize("document", ["doc", "t"])
def test_they_find_what_single_lookups_find(evaluate: Callable[..., Answer], document: str) -> None:
    gathered = evaluate(f"{DOCUMENTS} SELECT {looked_up(document)} FROM docs ORDER BY n")
    singles = [
        evaluate(f"{DOCUMENTS} SELECT json_format(json_extract({document}, '$.{path}')) FROM docs ORDER BY n")
        for path in PATHS
    ]
    assert gathered.reason is None
    assert gathered.rows == [
        tuple(row[0] for row in rows) for rows in zip(*(one.rows for one in singles), strict=True)
    ]
    assert gathered.rows[0] == ("1", '"x"', "null", '{"e":[2]}', "[2]", "2", None, "1")
    assert set(gathered.rows[1:]) == {(None,) * len(PATHS)}


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT *, json_extract(doc, '$.a') AS a, json_extract(doc, '$.b') AS b FROM docs", 5),
        ("SELECT d.*, json_extract(d.doc, '$.a'), json_extract(doc, '$.b') FROM docs AS d", 5),
        ("SELECT json_extract(doc, '$.a'), json_extract(doc, '$.b') FROM docs GROUP BY doc", 2),
        ("SELECT n, max(json_extract_scalar(doc, '$.b')) FROM docs WHERE n > 0 GROUP BY n", 2),
    ],
)
def test_the_columns_of_a_select_stay_what_they_were(
    evaluate: Callable[..., Answer], sql: str, columns: int
) -> None:
    answer = evaluate(DOCUMENTS + sql + " LIMIT 1")
    assert answer.reason is None
    assert len(answer.rows[0]) == columns


@pytest.mark.parametrize(
    ("sql", "gathers"),
    [
        ("WITH t AS (SELECT 1 AS d) SELECT F(d, '$.a'), F(d, '$.b') FROM t", True),
        ("WITH t AS (SELECT 1 AS d) SELECT F(d, '$.a') FROM t", False),
        ("WITH t AS (SELECT 1 AS d) SELECT F(d, '$.a'), F(d, '$.a') FROM t", False),
        ("WITH t AS (SELECT 1 AS d) SELECT F(d, '$.a'), F(e, '$.b') FROM t", False),
        ("WITH t AS (SELECT 1 AS d) SELECT F(d, '$.a'), F(d, '$.b') FROM t, t AS u", False),
        # of a table of the catalog, partitions are pruned by the predicate beside it
        ("SELECT F(d, '$.a'), F(d, '$.b') FROM lake.t WHERE day = 1", False),
        ("SELECT F(d, '$.a'), F(d, '$.b') FROM t WHERE day = 1", False),
        ("WITH t AS (SELECT 1 AS d) SELECT F(d, '$.a'), (SELECT F(d, '$.b')) FROM t", False),
    ],
)
def test_only_several_paths_of_one_column_of_a_cte_are_gathered(sql: str, gathers: bool) -> None:
    tree = grammar.parse(sql)
    for found in list(tree.find_all(exp.Anonymous)):
        found.replace(call("athena_json_extract", *found.expressions))
    before = tree.sql()
    gather_lookups(tree)
    assert (tree.sql() != before) is gathers


def test_the_scalar_of_a_whole_document(evaluate: Callable[..., Answer]) -> None:
    texts = """(VALUES '"a\\n\\u00e9"', '1.5', 'true', 'null', ' {"a": 1}', ' [2]', NULL) AS v(t)"""
    as_text = evaluate(f"SELECT json_extract_scalar(t, '$') FROM {texts}").rows
    as_json = evaluate(f"SELECT json_extract_scalar(json_parse(t), '$') FROM {texts}").rows
    assert as_text == as_json
    assert [row[0] for row in as_text] == ["a\né", "1.5", "true", None, None, None, None]
