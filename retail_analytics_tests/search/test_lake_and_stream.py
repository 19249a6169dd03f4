"""Lake and stream make one index: raw lines, compaction, history and the handler on the embedded cloud."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from retail_analytics.batch.compaction import compact
from retail_analytics.batch.staging import Pipeline
from retail_analytics.embedded.functions import FunctionSpec
from retail_analytics.lake import hours
from retail_analytics.lake.catalog import register
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.opensearch import OpenSearchResource
from retail_analytics.search import lake_source
from retail_analytics.search.bulk import BulkWriter
from retail_analytics.search.dead_letters import DeadLetterStore
from retail_analytics.search.environment import (
    HANDLER_FUNCTION,
    HANDLER_MODULE,
    dead_letter_prefix,
    handler_environment,
)
from retail_analytics.search.history import HistoryIndexer
from retail_analytics.search.reconcile import DayCount, reconcile
from retail_analytics.search.templates import ensure_template
from retail_analytics_tests.search.records import line
from retail_analytics_tests.waiting import until

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from retail_analytics.embedded.pytest_plugin import FreshLake

HOUR = datetime(2010, 12, 1, 8, tzinfo=UTC)
NEXT = datetime(2010, 12, 1, 9, tzinfo=UTC)
FIRST, SECOND = date(2010, 12, 1), date(2010, 12, 2)


@pytest.fixture
def pipeline(fresh_lake: FreshLake) -> Pipeline:
    settings = fresh_lake.settings
    athena = AthenaResource(
        region=settings.region,
        workgroup=settings.workgroup,
        database=settings.database,
        results_location=settings.results_location,
    )
    catalog = Catalog(boto3.client("glue"), settings.database)
    return Pipeline(fresh_lake.feed, settings, boto3.client("s3"), athena, catalog)


@pytest.fixture
def client(fresh_lake: FreshLake) -> OpenSearch:
    made = OpenSearchResource(url=fresh_lake.settings.opensearch_url, region="us-east-1").client()
    ensure_template(made, fresh_lake.feed)
    return made


def land(pipeline: Pipeline, hour: datetime, lines: list[bytes]) -> None:
    key = f"{hours.prefix(pipeline.feed, hour)}{pipeline.feed.stream}-1-2010-12-01-00-00-00-x"
    pipeline.s3.put_object(Bucket=pipeline.settings.bucket, Key=key, Body=b"".join(lines))


def compacted(pipeline: Pipeline, *wanted: datetime) -> None:
    register(pipeline.catalog, pipeline.feed, pipeline.settings, wanted)
    assert {result.state for result in compact(pipeline, wanted)} == {"published"}


def dead_letters(pipeline: Pipeline) -> DeadLetterStore:
    return DeadLetterStore(pipeline.s3, pipeline.settings.bucket, dead_letter_prefix(pipeline.feed))


def reconciled(pipeline: Pipeline, client: OpenSearch) -> list[DayCount]:
    days = [FIRST, SECOND]
    lake = lake_source.ids_by_day(pipeline, days)
    client.indices.refresh(index=f"{pipeline.feed.name}*")
    return reconcile(
        client,
        pipeline.feed,
        dead_letters(pipeline),
        lake,
        lambda ids: lake_source.ids_present(pipeline, days, ids),
    )


def test_rows_of_days_are_the_compacted_records(pipeline: Pipeline) -> None:
    twice = line(1)
    land(pipeline, HOUR, [twice, line(2, InvoiceDate="2010-12-02 00:00:00"), line(3, Customer_ID="")])
    land(pipeline, NEXT, [twice, b"no json\n", line(4, record_id=...)])
    compacted(pipeline, HOUR, NEXT)
    first = list(lake_source.rows_of_days(pipeline, [FIRST]))
    assert sorted(str(row["record_id"]) for row in first) == [f"{1:032x}", f"{1:032x}", f"{3:032x}", "None"]
    assert lake_source.ids_by_day(pipeline, [FIRST, SECOND, date(2010, 12, 3)]) == {FIRST: 2, SECOND: 1}
    ids = [f"{n:032x}" for n in (1, 2, 7)] + ["it's"]
    assert lake_source.ids_present(pipeline, [FIRST, SECOND], ids) == set(ids[:2])
    assert lake_source.ids_present(pipeline, [SECOND], ids) == {ids[1]}
    assert list(lake_source.rows_of_days(pipeline, [date(2011, 1, 1)])) == []


def test_stream_and_lake_make_the_same_documents(
    pipeline: Pipeline, client: OpenSearch, fresh_lake: FreshLake
) -> None:
    """Some records come by the stream only so far, some by the lake only, most by both."""
    feed, settings = pipeline.feed, pipeline.settings
    odd = [
        line(10, Description='A "quoted", £ ラ name '),
        line(11, Price=0.1 + 0.2, Quantity="-7"),
        line(12, Customer_ID=None, Description=""),
        line(13, Price="12345678901234.5678"),
    ]
    usual = [line(n, InvoiceDate=f"2010-12-0{1 + n % 2} 08:26:00") for n in range(6)]
    land(pipeline, HOUR, [*odd, *usual])
    compacted(pipeline, HOUR)

    specification = FunctionSpec(
        name=f"upsert-{settings.bucket}",
        handler=f"{HANDLER_MODULE}.{HANDLER_FUNCTION}",
        stream=feed.stream,
        environment=handler_environment(feed, settings),
        batch_size=500,
    )
    fresh_lake.cloud.add_function(specification)
    put(pipeline, [*odd, *usual[:3], line(20, Country=""), b"no json\n"])
    until(lambda: len(list(dead_letters(pipeline).list())) == 2 and counted(pipeline, client) == 7)
    live = documents(pipeline, client)

    indexer = HistoryIndexer(feed, BulkWriter(client), dead_letters(pipeline))
    done = indexer.index(lake_source.rows_of_days(pipeline, [FIRST, SECOND]))
    assert (done.rows, done.created, done.unchanged, done.dead) == (10, 3, 7, 0)
    everything = documents(pipeline, client)
    assert {name: everything[name] for name in live} == live

    # The lake alone, into an index that the stream never wrote, makes the same documents.
    client.indices.delete(index=f"{indices(pipeline)}-*")
    assert indexer.index(lake_source.rows_of_days(pipeline, [FIRST, SECOND])).created == 10
    assert documents(pipeline, client) == everything
    # The two dead letters were rejected by compaction as well: they belong to neither side.
    assert reconciled(pipeline, client) == [DayCount(FIRST, 7, 7, 0), DayCount(SECOND, 3, 3, 0)]

    client.delete(index=f"{indices(pipeline)}-2010.12", id=f"{0:032x}")
    assert [count.missing for count in reconciled(pipeline, client)] == [1, 0]


def put(pipeline: Pipeline, lines: list[bytes]) -> None:
    records = [{"Data": data, "PartitionKey": str(ordinal)} for ordinal, data in enumerate(lines)]
    answer = boto3.client("kinesis").put_records(StreamName=pipeline.feed.stream, Records=records)  # type: ignore[arg-type]
    assert answer["FailedRecordCount"] == 0


def indices(pipeline: Pipeline) -> str:
    assert pipeline.feed.search is not None
    return pipeline.feed.search.alias


def counted(pipeline: Pipeline, client: OpenSearch) -> int:
    return int(client.count(index=f"{indices(pipeline)}-*")["count"])


def documents(pipeline: Pipeline, client: OpenSearch) -> dict[str, Any]:
    client.indices.refresh(index=f"{indices(pipeline)}-*")
    hits = client.search(index=f"{indices(pipeline)}-*", body={"size": 100})["hits"]["hits"]
    return {hit["_id"]: (hit["_index"], json.dumps(hit["_source"])) for hit in hits}
