"""What a person reads of an hour: numbers as numbers, and a preview that no record can break."""

from __future__ import annotations

import html
from datetime import UTC, date, datetime
from decimal import Decimal

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.batch import metadata
from retail_analytics.batch.objects_noted import Changes
from retail_analytics.batch.processed import DayResult
from retail_analytics.batch.results import Counts, HourResult
from retail_analytics.feeds import get_feed
from retail_analytics.settings import Settings

FEED = get_feed("retail_trans")
HOUR = datetime(2010, 12, 1, 8, tzinfo=UTC)

awkward = st.text(
    alphabet=st.one_of(
        st.sampled_from("|\n\r\\`*<>&\x85\u2028 a"),
        st.characters(exclude_characters="\x1e\x1f", exclude_categories=["Cs"]),
    )
)


def preview(rows: list[list[str]]) -> str:
    return "\x1e".join("\x1f".join(row) for row in rows)


def test_a_preview_is_a_markdown_table() -> None:
    rows = [["536365", "WHITE HANGING HEART T-LIGHT HOLDER"], ["536366", "HAND WARMER"]]
    assert metadata.markdown_table(["invoice", "description"], preview(rows)) == (
        "| invoice | description |\n"
        "| --- | --- |\n"
        "| 536365 | WHITE HANGING HEART T-LIGHT HOLDER |\n"
        "| 536366 | HAND WARMER |"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a&#124;b"),
        ("a\nb", "a b"),
        ("a\r\n\r\nb", "a b"),
        ("a\u2028b", "a b"),
        ("\\|", "&#92;&#124;"),
        ("<script>", "&#60;script&#62;"),
        ("[x](javascript:y)", "&#91;x&#93;(javascript:y)"),
        ("5 & 6 *", "5 &#38; 6 &#42;"),
        ("£ é 日本", "£ é 日本"),
    ],
)
def test_text_stays_in_its_cell(text: str, shown: str) -> None:
    made = metadata.markdown_table(["a", "b"], preview([[text, "next"]]))
    assert made.split("\n")[2:] == [f"| {shown} | next |"]


def test_rows_that_lack_cells_or_have_too_many_are_evened() -> None:
    made = metadata.markdown_table(["a", "b"], preview([["cut"], ["1", "2", "3"], ["1", "2"]]))
    assert made.split("\n")[2:] == ["| cut |  |", "| 1 | 2 |", "| 1 | 2 |"]


@given(st.lists(st.lists(awkward, min_size=3, max_size=3), min_size=1, max_size=3))
def test_any_text_leaves_the_table_whole(rows: list[list[str]]) -> None:
    lines = metadata.markdown_table(["a", "b", "c"], preview(rows)).splitlines()
    assert len(lines) == 2 + len(rows)
    for line, row in zip(lines[2:], rows, strict=True):
        shown = [html.unescape(cell) for cell in line[2:-2].split(" | ")]
        assert line.count("|") == 4
        assert len(shown) == len(row)


def of_hour(result: HourResult) -> dict[str, dg.MetadataValue]:
    return metadata.of_hour(result, FEED, Settings())


def test_an_hours_metadata_is_numbers_that_dagster_plots() -> None:
    counts = Counts(lines=10, compacted=6, rejected=3, duplicates=1, without_id=2)
    made = of_hour(
        HourResult(
            HOUR,
            "published",
            "d",
            counts,
            raw_objects=4,
            raw_bytes=4000,
            objects=1,
            bytes=900,
            query_id="q",
            scanned_bytes=1024**4 // 2,
            preview=preview([["x"] * len(FEED.columns)]),
        )
    )
    numbers = {name: value.value for name, value in made.items() if isinstance(value, dg.IntMetadataValue)}
    assert numbers == {
        "rows": 6,
        "rejected": 3,
        "duplicates": 1,
        "raw lines": 10,
        "raw objects": 4,
        "raw bytes": 4000,
        "objects": 1,
        "bytes": 900,
        "rows without id": 2,
        "data scanned (bytes)": 1024**4 // 2,
    }
    assert made["estimated cost (USD)"].value == 2.5
    assert made["Athena query"].value == "q"
    assert isinstance(made["preview"], dg.MarkdownMetadataValue)


def test_an_hour_that_cost_nothing_says_no_cost() -> None:
    made = of_hour(HourResult(HOUR, "unchanged", "d", Counts(1, 1), query_id="q"))
    assert "estimated cost (USD)" not in made
    assert made["Athena query"].value == "q"
    assert "preview" not in of_hour(HourResult(HOUR, "empty", "empty"))


def test_a_problem_is_told() -> None:
    assert of_hour(HourResult(HOUR, "failed", "d", problem="it is"))["problem"].value == "it is"


def test_a_days_metadata_holds_its_sums() -> None:
    day = DayResult(date(2010, 12, 1), "published", 5, 1, (("amount", Decimal("7.65")),), 90, "q", 1024**4)
    made = metadata.of_day(day, Settings(usd_per_tebibyte=4.0))
    assert (made["rows"].value, made["repeated across hours"].value, made["amount"].value) == (5, 1, 7.65)
    assert made["estimated cost (USD)"].value == 4.0
    assert set(metadata.of_day(DayResult(date(2010, 12, 1), "empty"), Settings())) == {"state", "rows"}


def test_declared_columns_are_dagsters_schema() -> None:
    schema = metadata.column_schema((("a", "int", "A number"),))
    assert [(column.name, column.type, column.description) for column in schema.columns] == [
        ("a", "int", "A number")
    ]


def test_what_a_publication_differed_by_is_told_and_who_made_it() -> None:
    first = of_hour(HourResult(HOUR, "published", "d", run_id="r", published_at=HOUR))
    assert "what differed" not in first
    assert "published by" not in first  # its own run is named beside it anyway
    assert first["published"] == dg.MetadataValue.timestamp(HOUR)
    again = of_hour(
        HourResult(HOUR, "unchanged", "d", changes=Changes(2, 0, 1), run_id="r", published_at=HOUR)
    )
    assert again["what differed"].value == "objects: 2 added, 0 rewritten, 1 removed"
    assert again["published by"] == dg.MetadataValue.dagster_run("r")
