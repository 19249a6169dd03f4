"""What every declaration must hold for the rest to be made from it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from retail_analytics.feeds import FEEDS, Feed, get_feed
from retail_analytics.feeds.declaration import EventTime

each_feed = pytest.mark.parametrize("feed", FEEDS, ids=[feed.name for feed in FEEDS])


def test_feeds_have_names_streams_and_roots_of_their_own() -> None:
    for attribute in ("name", "stream", "raw_root"):
        values = [getattr(feed, attribute) for feed in FEEDS]
        assert len(set(values)) == len(values), attribute


def test_a_feed_is_found_by_its_name_and_no_other() -> None:
    assert [get_feed(feed.name) for feed in FEEDS] == list(FEEDS)
    with pytest.raises(KeyError, match="no feed is called 'sales'; there are: .*retail_trans"):
        get_feed("sales")


@each_feed
def test_columns_are_named_once_and_as_athena_stores_them(feed: Feed) -> None:
    names = [column.name for column in feed.columns]
    sources = [column.source for column in feed.columns]
    assert len(set(names)) == len(names)
    assert len(set(sources)) == len(sources)
    assert all(re.fullmatch("[a-z_][a-z0-9_]*", name) for name in names)
    assert all(column.comment for column in feed.columns)
    assert not {"record_id", "extra", "event_day", "part", "year", "month", "day", "hour"} & set(names)


@each_feed
def test_the_event_time_is_a_column_that_may_not_be_empty(feed: Feed) -> None:
    column = feed.event_time_column
    assert column.stored_type in ("timestamp", "date")
    assert not column.nullable


@each_feed
def test_the_prefix_files_by_the_hour_and_the_first_hour_is_one(feed: Feed) -> None:
    assert feed.prefix == feed.raw_root + (
        "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/"
    )
    assert feed.first_hour.utcoffset() == timedelta(0)
    assert (feed.first_hour.minute, feed.first_hour.second, feed.first_hour.microsecond) == (0, 0, 0)


@each_feed
def test_processed_tables_follow_what_they_read_and_their_sql_is_there(feed: Feed) -> None:
    seen: list[str | None] = [None]
    for table in feed.processed:
        assert table.source in seen
        assert table.name not in seen
        seen.append(table.name)
        text = table.sql.read_text()
        assert "{source}" in text
        assert "{days}" in text
        assert table.measures


@each_feed
def test_the_event_times_pattern_is_the_same_in_python(feed: Feed) -> None:
    moment = datetime(2010, 12, 1, 8, 26, 59, tzinfo=UTC)
    written = moment.strftime(feed.event_time.strptime_format)
    assert "%" not in written
    read = datetime.strptime(written, feed.event_time.strptime_format).replace(tzinfo=UTC)
    assert read.date() == moment.date()


def test_minutes_and_seconds_are_not_confused_with_months() -> None:
    # MySQL's %i is the minute and its %M a month's name; Python's %M is the minute.
    assert EventTime("t", "%Y-%m-%d %H:%i:%s").strptime_format == "%Y-%m-%d %H:%M:%S"


def test_unknown_columns_and_tables_are_named() -> None:
    feed = get_feed("retail_trans")
    with pytest.raises(KeyError, match="no column nothing"):
        feed.column("nothing")
    with pytest.raises(KeyError, match="no processed table nothing"):
        feed.processed_table("nothing")


def test_retail_transactions_carry_the_notes_keys_and_names() -> None:
    feed = get_feed("retail_trans")
    assert [column.source for column in feed.columns] == [
        "Invoice",
        "StockCode",
        "Description",
        "Quantity",
        "InvoiceDate",
        "Price",
        "Customer_ID",
        "Country",
    ]
    assert feed.stream == "uk-online-retail-trans"
    assert feed.raw_root == "00-retail-trans/"
    assert feed.error_prefix.startswith("00-error/year=")
    assert feed.error_prefix.endswith("!{firehose:error-output-type}")
    assert (feed.buffer_seconds, feed.buffer_mebibytes) == (60, 1)
    assert set(feed.nullable_fields) == {"Description", "Customer_ID"}
    assert set(feed.required_fields) == {column.source for column in feed.columns}
