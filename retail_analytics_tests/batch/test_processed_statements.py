"""The statements of processed tables: Athena's language, the declared columns, from the declared columns."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import sqlglot
from sqlglot import exp
from sqlglot.lineage import lineage

from retail_analytics.batch import processed_inputs, processed_sql
from retail_analytics.batch.compaction_sql import query_type
from retail_analytics.batch.processed_inputs import Inputs
from retail_analytics.batch.processed_sql import Reading
from retail_analytics.feeds import FEEDS, Feed
from retail_analytics.feeds.declaration import ProcessedTable
from retail_analytics.lake import tables
from retail_analytics.lake.partitions import Partition
from retail_analytics.settings import Settings

SETTINGS = Settings()
MOST_BYTES = 262_144
PROCESSED = [(feed, table) for feed in FEEDS for table in feed.processed]
each_table = pytest.mark.parametrize(
    ("feed", "table"), PROCESSED, ids=[f"{feed.name}.{table.name}" for feed, table in PROCESSED]
)
DAYS = (date(2010, 12, 1), date(2010, 12, 3))
OWN = processed_sql.days_predicate(DAYS)
READING = Reading('"db"."source"', DAYS, OWN, OWN)


def parsed(statement: str) -> exp.Select:
    (found,) = sqlglot.parse(statement, dialect="athena")
    assert isinstance(found, exp.Select)
    assert not list(found.find_all(exp.Command)), "sqlglot took it as text that it does not understand"
    return found


def source_columns(feed: Feed, table: ProcessedTable) -> dict[str, str]:
    """Name to type of everything that the table's SELECT may read."""
    if table.source is None:
        read = tables.compacted_table(feed, SETTINGS)
        keys = read.partitioned_by
    else:
        read = tables.processed_table(feed, SETTINGS, table.source)
        keys = (("event_day", "date"),)
    return {name: query_type(type_) for name, type_, *_ in (*read.columns, *keys)}


@each_table
def test_the_select_has_the_declared_columns_and_then_the_day(feed: Feed, table: ProcessedTable) -> None:
    found = parsed(processed_sql.processed_select(table, READING))
    assert found.named_selects == [*(name for name, *_ in table.columns), "event_day"]
    assert "--" in table.sql.read_text().split("\n")[0], "its file begins with what a row means"


@each_table
def test_the_audit_compares_every_measure(feed: Feed, table: ProcessedTable) -> None:
    found = parsed(processed_sql.audit_select(table, READING, '"db"."tmp"'))
    for index, _ in enumerate(table.measures):
        assert {f"source_{index}", f"target_{index}"} <= set(found.named_selects)
    assert {"event_day", "rows", "repeated", "content"} <= set(found.named_selects)


@each_table
def test_every_measure_is_over_columns_that_there_are(feed: Feed, table: ProcessedTable) -> None:
    for measure in table.measures:
        for expression, columns in (
            (measure.source, set(source_columns(feed, table))),
            (measure.target, {name for name, *_ in table.columns}),
        ):
            used = {column.name for column in parsed(f"SELECT {expression}").find_all(exp.Column)}
            assert used <= columns, measure.name


@each_table
def test_the_declared_lineage_is_what_the_select_does(feed: Feed, table: ProcessedTable) -> None:
    """Followed through the SELECT by sqlglot: what stands in the declaration is not a second opinion."""
    statement = processed_sql.processed_select(table, READING)
    schema = {"db": {"source": source_columns(feed, table)}}
    assert set(table.made_from) == {name for name, *_ in table.columns}
    for name, declared in table.made_from.items():
        root = lineage(name, statement, schema=schema, dialect="athena")
        leaves = {node.name.rsplit(".", 1)[-1].strip('"') for node in root.walk() if is_of_source(node)}
        assert leaves == set(declared), name


def is_of_source(node: object) -> bool:
    read = getattr(node, "source", None)
    return isinstance(read, exp.Table) and read.name == "source" and not getattr(node, "downstream", None)


@each_table
def test_a_full_batch_stays_below_athenas_longest_statement(feed: Feed, table: ProcessedTable) -> None:
    days = [DAYS[0] + timedelta(days=2 * count) for count in range(100)]  # no two in a row
    window = sorted({each for day in days for each in processed_inputs.window_of(table, day)})
    every_hour = [
        Partition((f"{day:%Y}", f"{day:%m}", f"{day:%d}", f"{hour:02}"), "s3://lake/")
        for day in window
        for hour in range(24)
    ]
    own, read = processed_sql.days_predicate(days), processed_sql.ranges_predicate(window)
    if table.source is None:
        own, read = (processed_sql.hours_and_days(every_hour, days) for days in (own, read))
    reading = Reading('"db"."source"', tuple(days), read, own)
    for statement in (
        processed_sql.processed_select(table, reading),
        processed_sql.audit_select(table, reading, '"db"."tmp"'),
    ):
        assert len(statement.encode()) < MOST_BYTES / 2


def test_days_are_dates_in_order_and_stretches_between_their_ends() -> None:
    assert processed_sql.days_predicate(DAYS[::-1]) == "event_day IN (DATE '2010-12-01', DATE '2010-12-03')"
    stretch = [*DAYS, date(2010, 12, 4)]
    assert processed_sql.ranges_predicate(stretch) == (
        "(event_day BETWEEN DATE '2010-12-01' AND DATE '2010-12-01'"
        " OR event_day BETWEEN DATE '2010-12-03' AND DATE '2010-12-04')"
    )
    assert processed_sql.ranges_predicate([]) == "false"


@each_table
def test_a_day_reads_its_window_and_is_stale_with_every_day_of_it(feed: Feed, table: ProcessedTable) -> None:
    day, last = date(2010, 12, 1), date(2012, 12, 31)
    window = processed_inputs.window_of(table, day)
    assert len(window) == table.lookback_days + 1
    assert (window[0], window[-1]) == (day - timedelta(days=table.lookback_days), day)
    stale = processed_inputs.dependants(table, [day], last)
    assert stale == [each for each in every_day(day, last) if day in processed_inputs.window_of(table, each)]
    assert processed_inputs.dependants(table, [day], day) == [day]


def every_day(first: date, last: date) -> list[date]:
    return [first + timedelta(days=count) for count in range((last - first).days + 1)]


@each_table
def test_the_fingerprint_goes_by_the_locations_and_not_by_their_order(
    feed: Feed, table: ProcessedTable
) -> None:
    one, two, three = (Partition((str(number),), f"s3://lake/{number}/") for number in range(3))
    same = processed_inputs.fingerprint(table, Inputs((one, two), (three,)))
    assert processed_inputs.fingerprint(table, Inputs((two, one), (three, three))) == same
    assert processed_inputs.fingerprint(table, Inputs((one, two))) != same
