"""A feed whose raw tables are projected: nothing is registered, and everything is found."""

from __future__ import annotations

import dataclasses
import uuid
from typing import TYPE_CHECKING

import pyathena
import pytest

from retail_analytics.feeds import get_feed
from retail_analytics.lake import hours, tables
from retail_analytics.lake.catalog import register
from retail_analytics.settings import Settings
from retail_analytics_tests.integration.lakes import HOUR, Lake, later, line

if TYPE_CHECKING:
    from retail_analytics.embedded.cloud import EmbeddedCloud


@pytest.fixture
def projected(embedded_cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake whose feed asks for projection, its tables made by the catalog's own registration."""
    suffix = uuid.uuid4().hex[:10]
    monkeypatch.setenv("RETAIL_BUCKET", f"lake-{suffix}")
    monkeypatch.setenv("RETAIL_DATABASE", f"lake_{suffix}")
    feed = dataclasses.replace(get_feed("retail_trans"), project_raw=True)
    made = Lake.of(Settings.from_env(), feed)
    made.s3.create_bucket(Bucket=made.settings.bucket)
    made.glue.create_database(DatabaseInput={"Name": made.settings.database})
    return made


def read(lake: Lake, sql: str) -> list[tuple[object, ...]]:
    """Rows, as somebody else's client gets them."""
    with pyathena.connect(
        s3_staging_dir=lake.settings.results_location,
        schema_name=lake.settings.database,
        region_name=lake.settings.region,
        poll_interval=0.02,
    ) as connection:
        return list(connection.cursor().execute(sql).fetchall())


def test_projected_hours_are_read_compacted_and_published(projected: Lake) -> None:
    lake = projected
    feed, settings = lake.feed, lake.settings
    for count in (0, 1, 26):
        lake.put(later(count), [line(10 * count + number) for number in range(3)])
    register(lake.catalog, feed, settings, [later(0), later(1), later(26)])
    assert list(lake.catalog.every(tables.raw_table(feed, settings))) == []

    at = hours.hours_predicate([later(0), later(26)])
    assert read(lake, f"SELECT count(*), count(DISTINCT day) FROM retail_trans WHERE {at}") == [(6, 2)]
    (where,) = read(lake, f'SELECT DISTINCT "$path" FROM retail_trans WHERE {hours.hours_predicate([HOUR])}')
    assert str(where[0]).startswith(f"s3://{settings.bucket}/{hours.prefix(feed, HOUR)}")
    # A query without a predicate projects all of history, and still finds every hour once.
    assert read(lake, "SELECT count(*) FROM retail_trans") == [(9,)]

    assert [result.state for result in lake.compact(later(0), later(1), later(26))] == ["published"] * 3
    assert list(lake.catalog.every(tables.lines_table(feed, settings))) == []
    assert len(lake.compacted_ids(later(0), later(1), later(26))) == 9


def test_a_late_and_a_deleted_object_are_seen_without_registering(projected: Lake) -> None:
    lake = projected
    key = lake.put(HOUR, [line(1)])
    register(lake.catalog, lake.feed, lake.settings, [HOUR])
    lake.compact_one()
    lake.put(HOUR, [line(2)])
    assert lake.compact_one().state == "published"
    assert len(lake.compacted_ids()) == 2
    lake.delete(key)
    assert lake.compact_one().state == "published"
    assert len(lake.compacted_ids()) == 1
    assert read(lake, f"SELECT count(*) FROM retail_trans WHERE {hours.hours_predicate([HOUR])}") == [(1,)]
