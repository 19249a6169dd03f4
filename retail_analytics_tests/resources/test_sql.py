"""Names are quoted or refused, values are literals that mean themselves."""

from __future__ import annotations

from datetime import date

import duckdb
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.resources import sql


@pytest.mark.parametrize("name", ["a", "_a", "retail_trans", "Invoice", "$path", "a1"])
def test_a_plain_name_is_quoted(name: str) -> None:
    assert sql.identifier(name) == f'"{name}"'


@pytest.mark.parametrize(
    "name", ["", "1a", "a b", "a.b", 'a"b', "a'b", "a;b", "a--", "a\n", "é", "a\x00", "a`b", "(a)"]
)
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be an identifier"):
        sql.identifier(name)
    with pytest.raises(ValueError, match="cannot be an identifier"):
        sql.table("db", name)
    with pytest.raises(ValueError, match="cannot be an identifier"):
        sql.table(name, "t")


def test_a_table_is_qualified() -> None:
    assert sql.table("db", "t") == '"db"."t"'


@given(st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))
def test_a_text_means_itself(value: str) -> None:
    assert duckdb.sql(f"SELECT {sql.text(value)}").fetchall() == [(value,)]
    parsed = sqlglot.parse_one(f"SELECT {sql.text(value)}", dialect="athena")
    assert parsed.selects[0].this == value


@given(st.dates())
def test_a_day_means_itself(value: date) -> None:
    assert duckdb.sql(f"SELECT {sql.day(value)}").fetchall() == [(value,)]


def test_an_array_holds_its_texts() -> None:
    assert sql.array(["a", "b's"]) == "ARRAY['a', 'b''s']"
    assert sql.array([]) == "ARRAY[]"
