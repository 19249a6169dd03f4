"""Every statement that is made from a declaration is one of Athena's language, and says what it must."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter

import pytest
import sqlglot
from sqlglot import exp

import retail_analytics
from retail_analytics.batch import compaction_sql, processed_sql
from retail_analytics.feeds import FEEDS, Feed, get_feed
from retail_analytics.feeds.declaration import Column
from retail_analytics.lake import hours, tables
from retail_analytics.resources import sql
from retail_analytics.settings import Settings

SETTINGS = Settings()
FEED = get_feed("retail_trans")
HOURS = [datetime(2010, 12, 1, 8, tzinfo=UTC) + count * hours.HOUR for count in (0, 1, 40)]
MOST_BYTES = 262_144

# Other shapes of a feed, so that what is made does not lean on the first one's columns.
WITHOUT_ID = dataclasses.replace(FEED, record_id=None)
OTHER_TYPES = dataclasses.replace(
    FEED,
    columns=(
        Column("region", "string", "Region", "Region"),
        Column("net_loss", "double", "Loss", "NetLoss", nullable=True),
        Column("status", "bigint", "Status", "Status", required=False, nullable=True),
        Column("discovered", "string", "Day", "DiscoveryDate", stored="date"),
    ),
    event_time=dataclasses.replace(FEED.event_time, column="discovered", format="%Y-%m-%d"),
)
each_feed = pytest.mark.parametrize(
    "feed", [*FEEDS, WITHOUT_ID, OTHER_TYPES], ids=[*(feed.name for feed in FEEDS), "no id", "other types"]
)


def parsed(statement: str) -> exp.Expression:
    (found,) = sqlglot.parse(statement, dialect="athena")
    assert found is not None
    assert not list(found.find_all(exp.Command)), "sqlglot took it as text that it does not understand"
    return found


@each_feed
def test_the_write_selects_the_compacted_tables_columns_and_then_the_hour(feed: Feed) -> None:
    found = parsed(compaction_sql.write_select(feed, SETTINGS, HOURS))
    assert isinstance(found, exp.Select)
    declared = [name for name, *_ in tables.compacted_table(feed, SETTINGS).columns]
    assert found.named_selects == [*declared, "part"]


@each_feed
def test_the_rejects_select_is_the_rejects_tables_columns_and_then_the_hour(feed: Feed) -> None:
    found = parsed(compaction_sql.rejects_select(feed, SETTINGS, HOURS))
    assert isinstance(found, exp.Select)
    declared = [name for name, *_ in tables.rejects_table(feed, SETTINGS).columns]
    assert found.named_selects == [*declared, "part"]


@each_feed
def test_the_audit_compares_every_column_and_sums_every_number(feed: Feed) -> None:
    found = parsed(compaction_sql.audit_select(feed, SETTINGS, HOURS, '"db"."tmp"'))
    assert isinstance(found, exp.Select)
    names = set(found.named_selects)
    for index, column in enumerate(feed.columns):
        assert {f"raw_count_{index}", f"written_count_{index}"} <= names
        is_summed = compaction_sql.is_number(column.stored_type)
        assert ({f"raw_sum_{index}", f"written_sum_{index}"} <= names) is is_summed
    assert {"part", "lines", "compacted", "rejected", "duplicates", "without_id", "event_days"} <= names


@each_feed
def test_a_full_batch_stays_below_athenas_longest_statement(feed: Feed) -> None:
    batch = [HOURS[0] + count * 25 * hours.HOUR for count in range(100)]  # on as many days as can be
    for statement in (
        compaction_sql.write_select(feed, SETTINGS, batch),
        compaction_sql.rejects_select(feed, SETTINGS, batch),
        compaction_sql.audit_select(feed, SETTINGS, batch, '"db"."tmp"'),
    ):
        assert len(statement.encode()) < MOST_BYTES / 2


@each_feed
def test_all_three_judge_by_the_same_words(feed: Feed) -> None:
    ranked = compaction_sql.write_select(feed, SETTINGS, HOURS).rsplit("\nSELECT", 1)[0]
    assert compaction_sql.rejects_select(feed, SETTINGS, HOURS).startswith(ranked)
    assert compaction_sql.audit_select(feed, SETTINGS, HOURS, '"db"."tmp"').startswith(ranked)


@each_feed
def test_only_these_hours_are_read(feed: Feed) -> None:
    found = parsed(compaction_sql.write_select(feed, SETTINGS, HOURS))
    (lines,) = [table for table in found.find_all(exp.Table) if table.name == f"{feed.name}_lines"]
    where = lines.find_ancestor(exp.Select).args["where"].sql("athena")
    expected = parsed(f"SELECT 1 WHERE {hours.hours_predicate(HOURS)}").args["where"].sql("athena")
    assert where == expected


def test_a_key_that_cannot_stand_in_a_path_is_refused() -> None:
    odd = dataclasses.replace(FEED, columns=(Column("a", "string", "A", "Customer ID"), *FEED.columns))
    with pytest.raises(ValueError, match="'Customer ID'.*rename it in the producer"):
        compaction_sql.write_select(odd, SETTINGS, HOURS)


def test_types_of_ddl_have_names_of_queries() -> None:
    assert [
        compaction_sql.query_type(name) for name in ("string", "int", "float", "decimal(18,4)", "date")
    ] == [
        "varchar",
        "integer",
        "real",
        "decimal(18,4)",
        "date",
    ]


SQL_FILES = sorted(Path(retail_analytics.__file__).parent.rglob("*.sql"))


@pytest.mark.parametrize("file", SQL_FILES, ids=lambda file: file.stem)
def test_every_file_of_sql_says_what_a_row_means(file: Path) -> None:
    assert file.read_text().startswith("-- One row")
    assert "--" not in sql.statement(file, **dict.fromkeys(places(file), "x"))


def places(file: Path) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(file.read_text()) if name}


def test_statements_are_made_of_files_and_nothing_else() -> None:
    assert len(SQL_FILES) >= 12
    for module in (compaction_sql, processed_sql):
        assert not re.search(r"\b(GROUP BY|LEFT JOIN|WITH \w+ AS)\b", Path(str(module.__file__)).read_text())
