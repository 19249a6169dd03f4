"""Indexing from the lake costs what was published since: unchanged hours of a day are not read again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from retail_analytics.batch.assets import event_days_key
from retail_analytics.lake import hours, tables, windows
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import GlueResource
from retail_analytics.resources.opensearch import OpenSearchResource
from retail_analytics.search.assets import build_search_assets, search_index_key
from retail_analytics.search.checks import build_search_checks
from retail_analytics.search.index_days import DayIndexer
from retail_analytics.search.indexed_hours import NOTE, index_of_days
from retail_analytics_tests.search.records import line
from retail_analytics_tests.search.test_assets import FROM_TO, NODE, checks, run
from retail_analytics_tests.search.test_lake_and_stream import (
    FIRST,
    HOUR,
    NEXT,
    SECOND,
    client,
    compacted,
    counted,
    documents,
    indices,
    land,
    pipeline,
)

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from retail_analytics.batch.staging import Pipeline
    from retail_analytics.feeds import Feed

__all__ = ["client", "pipeline"]

DAYS = dict(zip(FROM_TO, ("2010-12-01", "2010-12-02"), strict=True))
AUTOMATED = {"dagster/from_automation_condition": "true"}


@pytest.fixture
def definitions(pipeline: Pipeline) -> dg.Definitions:
    feed = pipeline.feed
    settings = replace(pipeline.settings, first_hours={feed.name: datetime(2010, 12, 1, tzinfo=UTC)})
    days = dg.AssetSpec(event_days_key(feed), partitions_def=windows.daily(feed, settings))
    return dg.Definitions(
        assets=[days, *build_search_assets(feed, settings)],
        asset_checks=build_search_checks(feed, settings),
        resources={
            "opensearch": OpenSearchResource(url=settings.opensearch_url, region=settings.region),
            "s3": S3Resource(region_name=settings.region),
            "glue": GlueResource(region=settings.region),
            "athena": AthenaResource(
                region=settings.region,
                workgroup=settings.workgroup,
                database=settings.database,
                results_location=settings.results_location,
            ),
        },
    )


def indexed(definitions: dg.Definitions, pipeline: Pipeline, **tags: str) -> dict[str, Any]:
    """What a run over both days, automation's unless the tags say otherwise, tells of itself."""
    result = run(definitions, search_index_key(pipeline.feed), tags={**DAYS, **(tags or AUTOMATED)})
    told = result.asset_materializations_for_node(NODE)[0].metadata
    whole = "whole run: "
    numbers = {name.removeprefix(whole): told[name].value for name in told if name.startswith(whole)}
    return {**numbers, "passed": checks(result)["documents_reconcile"].passed}


def late(pipeline: Pipeline, hour: datetime, *lines: bytes) -> None:
    """Another object in an hour that was compacted already."""
    key = f"{hours.prefix(pipeline.feed, hour)}{pipeline.feed.stream}-1-2010-12-01-00-59-59-late"
    pipeline.s3.put_object(Bucket=pipeline.settings.bucket, Key=key, Body=b"".join(lines))
    compacted(pipeline, hour)


def test_only_what_was_published_since_is_read(
    definitions: dg.Definitions, pipeline: Pipeline, client: OpenSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(pipeline, HOUR, [line(n, InvoiceDate=f"2010-12-0{1 + n % 2} 08:26:00") for n in range(6)])
    land(pipeline, NEXT, [line(n) for n in range(10, 18)])
    compacted(pipeline, HOUR, NEXT)

    # What breaks down is not noted.
    with monkeypatch.context() as broken:
        broken.setattr(DayIndexer, "add", lambda *_: 1 / 0)
        with pytest.raises(dg.Failure, match="division"):
            indexed(definitions, pipeline)
    first = indexed(definitions, pipeline)
    assert (first["hours of news"], first["hours known"]) == (3, 0)
    assert (first["rows"], first["created"], first["passed"]) == (14, 14, True)

    again = indexed(definitions, pipeline)
    assert (again["hours of news"], again["hours known"], again["rows"]) == (0, 3, 0)
    assert again["passed"]

    # The second hour alone gets a late object; the first one, and its records of both days, stay unread.
    late(pipeline, NEXT, line(20), line(21))
    news = indexed(definitions, pipeline)
    assert (news["hours of news"], news["hours known"]) == (1, 2)
    assert (news["rows"], news["created"], news["passed"]) == (10, 2, True)

    # Another index knows nothing: all of it is read again.
    before = documents(pipeline, client)
    client.indices.delete(index=f"{indices(pipeline)}-2010.12")
    anew = indexed(definitions, pipeline)
    assert (anew["hours of news"], anew["rows"], anew["created"], anew["passed"]) == (3, 16, 16, True)
    assert documents(pipeline, client) == before

    # And so it is where a note is lost.
    table = tables.event_days_table(pipeline.feed, pipeline.settings)
    values = ("2010-12-01", hours.part(NEXT))
    (noted,) = pipeline.catalog.get(table, [values]).values()
    assert noted.parameters[NOTE].endswith("/")
    pipeline.catalog.put(table, [replace(noted, parameters={})], existing=[values])
    lost = indexed(definitions, pipeline)
    assert (lost["hours of news"], lost["rows"], lost["created"]) == (1, 10, 0)


def test_a_record_that_vanished_is_found_and_removed_by_a_repair(
    definitions: dg.Definitions, pipeline: Pipeline, client: OpenSearch
) -> None:
    land(pipeline, HOUR, [line(1), line(2, InvoiceDate="2010-12-02 08:26:00")])
    land(pipeline, NEXT, [line(3)])
    compacted(pipeline, HOUR, NEXT)
    assert indexed(definitions, pipeline)["passed"]
    land(pipeline, HOUR, [line(1)])
    compacted(pipeline, HOUR)

    added = indexed(definitions, pipeline)
    assert (added["rows"], added["created"], added["removed"]) == (1, 0, 0)
    assert not added["passed"]
    # A person's run: it compares the days whole, whatever is noted.
    repaired = indexed(definitions, pipeline, **{"dagster/backfill": "by-hand"})
    assert (repaired["rows"], repaired["removed"], repaired["passed"]) == (2, 1, True)
    assert counted(pipeline, client) == 2
    assert indexed(definitions, pipeline)["rows"] == 0


def test_an_index_is_told_from_any_other(search: OpenSearch, feed: Feed) -> None:
    first = index_of_days(search, feed, [FIRST, SECOND, date(2011, 1, 1)])
    assert first[FIRST] == first[SECOND] != first[date(2011, 1, 1)]
    assert index_of_days(search, feed, [FIRST]) == {FIRST: first[FIRST]}
    search.indices.delete(index="retail_trans-2010.12")
    assert index_of_days(search, feed, [FIRST])[FIRST] != first[FIRST]
    assert feed.columns[0].nullable is False
    other = replace(feed, columns=(*feed.columns[1:],))
    assert index_of_days(search, other, [date(2011, 1, 1)]) != {date(2011, 1, 1): first[date(2011, 1, 1)]}, (
        "other rules make other documents"
    )
