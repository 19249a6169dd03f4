"""The assets and checks, through Dagster's own API, over a real search server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from retail_analytics.batch.assets import event_days_key
from retail_analytics.lake import windows
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import GlueResource
from retail_analytics.resources.opensearch import OpenSearchResource
from retail_analytics.search.assets import (
    build_search_assets,
    index_health_key,
    index_template_key,
    search_index_key,
)
from retail_analytics.search.checks import build_search_checks, judge_days, nothing_to_examine
from retail_analytics.search.indexed_hours import News
from retail_analytics.search.reconcile import DayCount, settled_before
from retail_analytics.search.schedules import build_search_schedules

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from opensearchpy import OpenSearch

    from retail_analytics.feeds import Feed
    from retail_analytics.search.dead_letters import DeadLetterStore
    from retail_analytics.settings import Settings

NODE = "retail_trans__search_index"
FROM_TO = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def row(number: int, day: int, **changes: Any) -> dict[str, Any]:
    return {
        "invoice": "536365",
        "stockcode": "85123A",
        "description": "HEART",
        "quantity": 6,
        "invoicedate": datetime(2025, 12, day, 8, 26),
        "price": Decimal("2.5500"),
        "customer_id": None,
        "country": "France",
        "record_id": f"{number:032x}",
        "event_day": date(2025, 12, day),
        **changes,
    }


class Lake:
    """Compacted rows, by event day, as the batch stage would give them."""

    def __init__(self) -> None:
        self.rows = [row(n, 1 + n % 3) for n in range(30)]

    def of_days(self, pipeline: Any, days: Sequence[date]) -> Iterator[dict[str, Any]]:
        return (each for each in self.rows if each["event_day"] in days)

    def news(self, pipeline: Any, days: Sequence[date], index_of: Any) -> News:
        return News(self.of_days(pipeline, days), len(days), 0, lambda: None)

    def counts(self, pipeline: Any, days: Sequence[date]) -> dict[date, int]:
        found: dict[date, set[str]] = {}
        for each in self.of_days(pipeline, days):
            found.setdefault(each["event_day"], set()).add(each["record_id"])
        return {day: len(ids) for day, ids in found.items()}

    def ids(self, pipeline: Any, days: Sequence[date], ids: Collection[str]) -> set[str]:
        return {each["record_id"] for each in self.of_days(pipeline, days)} & set(ids)


@pytest.fixture
def lake() -> Lake:
    return Lake()


@pytest.fixture
def settings(settings: Settings, feed: Feed) -> Settings:
    return replace(settings, first_hours={feed.name: datetime(2025, 12, 1, tzinfo=UTC)})


@pytest.fixture
def definitions(
    feed: Feed, settings: Settings, lake: Lake, s3: Any, empty_search: OpenSearch
) -> dg.Definitions:
    return with_search_at(settings.opensearch_url, feed, settings, lake)


def with_search_at(url: str, feed: Feed, settings: Settings, lake: Lake) -> dg.Definitions:
    days = dg.AssetSpec(event_days_key(feed), partitions_def=windows.daily(feed, settings))
    return dg.Definitions(
        assets=[days, *build_search_assets(feed, settings, lake.of_days, lake.news)],
        asset_checks=build_search_checks(feed, settings, lake.counts, lake.ids),
        schedules=build_search_schedules(feed),
        resources={
            "opensearch": OpenSearchResource(url=url, region="us-east-1", timeout_seconds=60),
            "s3": S3Resource(region_name="us-east-1"),
            "glue": GlueResource(region="us-east-1"),
            "athena": AthenaResource(
                region="us-east-1", workgroup="w", database="d", results_location="s3://b/"
            ),
        },
    )


def run(definitions: dg.Definitions, *keys: dg.AssetKey, **arguments: Any) -> dg.ExecuteInProcessResult:
    job = definitions.resolve_implicit_global_asset_job_def()
    selection = [*keys]
    return job.execute_in_process(asset_selection=selection, **arguments)


def checks(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def test_definitions_load(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_a_range_of_days_is_indexed_in_one_run(
    definitions: dg.Definitions, feed: Feed, empty_search: OpenSearch
) -> None:
    tags = dict(zip(FROM_TO, ("2025-12-01", "2025-12-05"), strict=True))
    result = run(definitions, search_index_key(feed), tags=tags)
    assert result.success
    assert empty_search.count(index="retail_trans")["count"] == 30
    told = {each.partition: each.metadata for each in result.asset_materializations_for_node(NODE)}
    assert {day: metadata["rows"].value for day, metadata in told.items()} == {
        **{f"2025-12-0{day}": 10 for day in (1, 2, 3)},
        **{f"2025-12-0{day}": 0 for day in (4, 5)},
    }
    assert {metadata["whole run: created"].value for metadata in told.values()} == {30}
    assert {metadata["whole run: dead letters"].value for metadata in told.values()} == {0}
    assert checks(result)["documents_reconcile"].passed


def test_a_day_indexed_again_changes_nothing(
    definitions: dg.Definitions, feed: Feed, empty_search: OpenSearch
) -> None:
    for created in (10, 0):
        result = run(definitions, search_index_key(feed), partition_key="2025-12-02")
        metadata = result.asset_materializations_for_node(NODE)[0].metadata
        assert metadata["whole run: created"].value == created
        assert metadata["rows"].value == 10
        reconciled = checks(result)["documents_reconcile"]
        assert reconciled.passed
        assert reconciled.metadata["documents"].value == 10


def test_a_document_that_is_gone_is_missed(
    definitions: dg.Definitions, feed: Feed, empty_search: OpenSearch, lake: Lake
) -> None:
    lake.rows, kept = lake.rows[:-1], lake.rows[-1]
    tags = dict(zip(FROM_TO, ("2025-12-01", "2025-12-03"), strict=True))
    assert run(definitions, search_index_key(feed), tags=tags).success
    lake.rows.append(kept)
    selection = dg.AssetSelection.checks_for_assets(search_index_key(feed))
    checking = dg.define_asset_job("checking", selection=selection)
    job = dg.Definitions.merge(definitions, dg.Definitions(jobs=[checking])).resolve_job_def("checking")
    (evaluation,) = job.execute_in_process(tags=tags, raise_on_error=False).get_asset_check_evaluations()
    assert not evaluation.passed
    assert evaluation.metadata["missing"].value == 1
    assert "2025-12-03" in str(evaluation.metadata["different_days"].value)


def test_days_without_records_are_nothing_to_examine(
    definitions: dg.Definitions, feed: Feed, lake: Lake
) -> None:
    lake.rows = []
    result = run(definitions, search_index_key(feed), partition_key="2025-12-02")
    assert result.success
    assert checks(result)["documents_reconcile"].metadata["days"].value == 0
    assert not nothing_to_examine(in_run=False).passed


def test_what_can_never_be_a_document_is_set_aside_and_counted(
    definitions: dg.Definitions, feed: Feed, lake: Lake, store: DeadLetterStore
) -> None:
    lake.rows.append(row(99, 2, invoice=""))
    tags = dict(zip(FROM_TO, ("2025-12-01", "2025-12-03"), strict=True))
    result = run(definitions, search_index_key(feed), tags=tags)
    assert [letter.name for letter in store.list()] == [f"{99:032x}"]
    reconciled = checks(result)["documents_reconcile"]
    assert reconciled.passed
    assert reconciled.metadata["dead_letters"].value == 1


def test_the_template_asset_and_health(
    real_server: bool, definitions: dg.Definitions, feed: Feed, empty_search: OpenSearch
) -> None:
    health = run(definitions, index_health_key(feed))
    assert health.success
    before = checks(health)["healthy"]
    assert not before.passed
    assert "template: missing" in (before.description or "")

    assert run(definitions, index_template_key(feed)).success
    assert run(definitions, search_index_key(feed), partition_key="2025-12-02").success
    after = checks(run(definitions, index_health_key(feed)))["healthy"]
    assert after.passed, after.description
    assert after.metadata["status"].value == "green"
    assert ("nodes" in after.metadata["not_offered"].value) is not real_server


def test_a_new_template_alone_asks_for_no_day_again(definitions: dg.Definitions, feed: Feed) -> None:
    instance = dg.DagsterInstance.ephemeral()
    first = dg.evaluate_automation_conditions(definitions, instance)
    assert run(definitions, index_template_key(feed), instance=instance).success
    second = dg.evaluate_automation_conditions(definitions, instance, cursor=first.cursor)
    assert second.total_requested == 0


def test_a_changed_day_asks_for_its_documents(definitions: dg.Definitions, feed: Feed) -> None:
    instance = dg.DagsterInstance.ephemeral()
    first = dg.evaluate_automation_conditions(definitions, instance)
    day = "2025-12-02"
    instance.report_runless_asset_event(dg.AssetMaterialization(event_days_key(feed), partition=day))
    second = dg.evaluate_automation_conditions(definitions, instance, cursor=first.cursor)
    assert second.get_requested_partitions(search_index_key(feed)) == {day}


def test_a_server_that_is_down_fails_the_check(feed: Feed, settings: Settings, lake: Lake, s3: Any) -> None:
    result = run(with_search_at("http://127.0.0.1:9", feed, settings, lake), index_health_key(feed))
    assert result.success
    evaluation = checks(result)["healthy"]
    assert not evaluation.passed
    assert "no answer" in (evaluation.description or "")


@pytest.mark.parametrize(
    ("count", "passed", "word"),
    [
        (DayCount(date(2025, 12, 1), lake=5, documents=5, dead_letters=0), True, "missing"),
        (DayCount(date(2025, 12, 1), lake=5, documents=4, dead_letters=1), True, "missing"),
        (DayCount(date(2025, 12, 1), lake=5, documents=4, dead_letters=0), False, "missing"),
        (DayCount(date(2025, 12, 1), lake=5, documents=6, dead_letters=0), False, "surplus"),
        (DayCount(date(2025, 12, 20), lake=5, documents=6, dead_letters=0), True, "ahead_of_the_lake"),
        (DayCount(date(2025, 12, 20), lake=5, documents=4, dead_letters=0), False, "missing"),
    ],
)
def test_days_are_judged(count: DayCount, passed: bool, word: str) -> None:
    result = judge_days([count], date(2025, 12, 10))
    assert result.passed is passed
    counted = result.metadata[word].value
    assert counted == (0 if passed and word == "missing" else 1)


def test_a_day_settles_when_nothing_can_be_delivered_to_it_any_more(feed: Feed) -> None:
    assert settled_before(feed, datetime(2026, 1, 3, 0, 30, tzinfo=UTC)) == date(2026, 1, 1)
