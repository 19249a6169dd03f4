"""The lake's health over real servers: each check passes where all is well, and fails for its own reason."""

from __future__ import annotations

import contextlib
import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from retail_analytics.commands import jobs
from retail_analytics.feeds.declaration import SchemaPolicy
from retail_analytics.lake import (
    delivery_errors,
    drift,
    failed_runs,
    findings,
    freshness,
    hours,
    judgements,
)
from retail_analytics.lake.drift import Drift
from retail_analytics.lake.failed_runs import Failure
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources.clients import s3_client
from retail_analytics_tests.integration.lakes import Deployment, line

HEALTH = "retail_trans_health"
LAST = 29


def checks(deployment: Deployment, job: str = HEALTH) -> dict[str, Any]:
    """The evaluations of a job's checks by their name."""
    result = jobs.run_job(deployment.definitions, job, deployment.instance)
    assert result.success, jobs.failures_of(result)
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def values(evaluation: Any) -> dict[str, Any]:
    return {name: value.value for name, value in evaluation.metadata.items()}


def with_job(deployment: Deployment, job: str, check: str) -> Deployment:
    """The deployment with a job that runs one check of raw hours alone."""
    selection = dg.AssetSelection.checks(dg.AssetCheckKey(deployment.key("raw"), check))
    jobs_ = dg.Definitions(jobs=[dg.define_asset_job(job, selection=selection)])
    merged = dg.Definitions.merge(deployment.definitions, jobs_)
    return dataclasses.replace(deployment, definitions=merged)


def test_a_lake_that_is_well_passes_and_one_without_tables_says_what_waits(deployment: Deployment) -> None:
    deployment.put(LAST - 1, 1)
    before = checks(deployment)
    ours = {"raw_arrives", "compaction_follows", "no_stuck_hours", "no_delivery_errors"}
    assert ours <= set(before)
    assert {name for name in ours if not before[name].passed} == set()
    assert values(before["compaction_follows"])["hours not published as they are"] == 1

    deployment.lake.make_tables()
    deployment.lake.compact(deployment.hour(LAST - 1))
    after = checks(deployment)
    assert {name for name in ours if not after[name].passed} == set()
    assert values(after["compaction_follows"])["hours not published as they are"] == 0
    assert values(after["raw_arrives"])["hours with objects"] == 1
    assert values(after["raw_arrives"])["hours with too little history"] == 25


def test_silence_without_a_history_is_a_warning(deployment: Deployment) -> None:
    found = checks(deployment)["raw_arrives"]
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert "Nothing arrived in 25 hours" in found.description


def test_what_is_expected_is_learnt_from_published_hours(deployment: Deployment) -> None:
    lake = deployment.lake
    lake.make_tables()
    now = datetime.now(UTC)
    closed = hours.closed_until(lake.feed, lake.settings, now)
    quiet, open_ = closed - 3 * hours.HOUR, closed - 2 * hours.HOUR
    weeks = [timedelta(weeks=week) for week in (1, 2, 3)]
    for ago in weeks:
        lake.put(open_ - ago, [line(1)])
    lake.compact(*(open_ - ago for ago in weeks))
    settings = dataclasses.replace(
        lake.settings, first_hours={lake.feed.name: closed - timedelta(weeks=3, hours=10)}
    )
    s3, catalog = s3_client(settings.region), Catalog(lake.glue, settings.database)

    found = freshness.read_arrivals(s3, catalog, lake.feed, settings, now)
    assert found.missing == [open_]
    assert quiet not in found.expected.hours | found.expected.unknown
    ended = dataclasses.replace(settings, last_hours={lake.feed.name: open_ - hours.HOUR})
    found = freshness.read_arrivals(s3, catalog, lake.feed, ended, now)
    assert found.missing == []
    assert judgements.of_arrivals(found, now).metadata["nothing is expected after"].value == (
        hours.partition_key(open_ - hours.HOUR)
    )
    ends = dataclasses.replace(settings, last_hours={lake.feed.name: open_})
    assert freshness.read_arrivals(s3, catalog, lake.feed, ends, now).missing == [open_]
    lake.put(open_, [line(2)])
    assert freshness.read_arrivals(s3, catalog, lake.feed, settings, now).missing == []


def test_an_hour_that_waits_longer_than_the_target_is_overdue(deployment: Deployment) -> None:
    lake = deployment.lake
    lake.make_tables()
    deployment.put(20, 1)
    soon = datetime.now(UTC) + timedelta(minutes=59)
    late = datetime.now(UTC) + timedelta(minutes=61)

    def overdue(now: datetime) -> list[datetime]:
        window = freshness.read_window(lake.s3, lake.feed, lake.settings, now).closed
        digests = freshness.published_digests(
            lake.catalog, lake.feed, lake.settings, [raw.hour for raw in window]
        )
        return [each.hour for each in freshness.overdue(window, digests, lake.feed, lake.settings, now)]

    assert overdue(soon) == []
    assert overdue(late) == [deployment.hour(20)]
    lake.compact(deployment.hour(20))
    assert overdue(late) == []
    deployment.put(20, 2)
    assert overdue(late) == [deployment.hour(20)]


def test_hours_that_keep_failing_are_named_until_they_are_published(deployment: Deployment) -> None:
    lake = deployment.lake
    lake.make_tables()
    for count in (3, 4):
        deployment.put(count, count)
    lake.compact(deployment.hour(3))
    keys = [hours.partition_key(deployment.hour(count)) for count in (3, 4)]
    compacted = deployment.key("compacted")

    def stuck() -> Any:
        return checks(deployment, "stuck_hours")["no_stuck_hours"]

    deployment = with_job(deployment, "stuck_hours", "no_stuck_hours")
    note = Failure("11111111", keys[0], keys[1], "1 of 2 hours | were not published").note(compacted)
    deployment.instance.report_runless_asset_event(note)
    once = stuck()
    assert (once.passed, once.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert values(once)["stuck hours"] == 1
    assert keys[1] in once.description
    assert "1 of 2 hours" in once.description

    again = Failure("22222222", keys[1], keys[1], "the audit saw nothing").note(compacted)
    deployment.instance.report_runless_asset_event(again)
    twice = stuck()
    assert (twice.passed, twice.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert values(twice)["most attempts"] == 2
    assert "22222222" in values(twice)["which hours"]
    assert "the audit saw nothing" in twice.description
    failures = failed_runs.recent(deployment.instance, compacted, datetime.now(UTC))
    assert [failure.run_id for failure in failures] == ["22222222", "11111111"]

    lake.compact(deployment.hour(4))
    healed = stuck()
    assert healed.passed
    assert values(healed)["failed runs examined"] == 2


@pytest.fixture
def error_keys(deployment: Deployment) -> list[str]:
    """Error objects: two of the feed's, one of another stream, one from before the window."""
    feed, now = deployment.lake.feed, datetime.now(UTC)
    keys = []
    for ago, stream in ((2, feed.stream), (1, feed.stream), (1, "another"), (24 * 3, feed.stream)):
        moment = now - timedelta(hours=ago)
        keys.append(
            f"00-error/{moment:year=%Y/month=%m/day=%d/hour=%H/}processing-failed"
            f"{stream}-1-{moment:%Y-%m-%d-%H-%M-%S}-{len(keys)}"
        )
        body = b'{"errorCode": "Lambda.FunctionError", "errorMessage": "It broke.", "rawData": "c2VjcmV0"}\n'
        deployment.lake.s3.put_object(Bucket=deployment.lake.settings.bucket, Key=keys[-1], Body=body)
    return keys


def test_what_firehose_could_not_deliver_is_counted_and_said(
    deployment: Deployment, error_keys: list[str]
) -> None:
    lake = deployment.lake
    found = delivery_errors.look(lake.s3, lake.feed, lake.settings, datetime.now(UTC))
    result = judgements.of_delivery(found)
    assert not result.passed
    told = {name: value.value for name, value in result.metadata.items()}
    assert (told["error objects"], told["keys examined"]) == (2, 3)
    assert told["by kind"] == "2 processing-failed"
    assert told["what the newest says"] == "Lambda.FunctionError: It broke."
    assert [key in str(told["newest objects"]) for key in error_keys] == [True, True, False, False]
    assert "c2VjcmV0" not in str(result)
    for key in error_keys[:2]:
        lake.delete(key)
    left = delivery_errors.look(lake.s3, lake.feed, lake.settings, datetime.now(UTC))
    assert judgements.of_delivery(left).passed


@pytest.fixture
def crawled(deployment: Deployment) -> Deployment:
    """A deployment with a crawler and an hour that is as declared."""
    lake = deployment.lake
    lake.make_tables()
    deployment.put(LAST - 1, *range(20))
    lake.compact(deployment.hour(LAST - 1))
    name = lake.settings.crawler(lake.feed.name)
    targets = {"CatalogTargets": [{"DatabaseName": lake.settings.database, "Tables": [lake.feed.name]}]}
    policy = {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"}
    with contextlib.suppress(lake.glue.exceptions.EntityNotFoundException):
        lake.glue.delete_crawler(Name=name)
    lake.glue.create_crawler(
        Name=name, Role="arn:aws:iam::123456789012:role/c", Targets=targets, SchemaChangePolicy=policy
    )
    return deployment


def crawl(deployment: Deployment) -> tuple[dict[str, Any], Any]:
    """Materialise the crawler: its metadata and its check."""
    result = deployment.run("crawler", tags={})
    assert result.success, jobs.failures_of(result)
    (check,) = result.get_asset_check_evaluations()
    return deployment.metadata("crawler")[""], check


def examined(deployment: Deployment) -> Drift:
    lake = deployment.lake
    window = freshness.window_hours(lake.feed, lake.settings, datetime.now(UTC))
    return drift.examine(lake.glue, lake.athena, lake.feed, lake.settings, window)


def test_a_change_of_the_schema_is_an_event_and_a_verdict_by_policy(crawled: Deployment) -> None:
    lake, hour = crawled.lake, crawled.hour(LAST - 1)
    declared = examined(crawled)
    assert (declared.changes, declared.columns, declared.records) == ((), len(lake.feed.columns), 20)
    assert judgements.of_schema(declared, lake.feed).passed

    lake.put(
        hour, [crawled.line(100, hour, Discount=0.1, Channel="web"), crawled.line(101, hour, Discount=1)]
    )
    lake.compact(hour)
    metadata, check = crawl(crawled)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (metadata["schema differences"], metadata["records examined"]) == (2, 22)
    assert metadata["status"] == "SUCCEEDED"
    assert (metadata["tables added"], metadata["tables updated"]) == ("none", "none")
    assert metadata["partitions added"] == 1  # the crawler was quicker than the catalog
    rows = metadata["differences"].splitlines()
    assert rows[0] == "| column | declared | found | kind of change | where |"
    assert sorted(rows[2:]) == [
        "| Channel | — | string | added | 1 records |",
        "| Discount | — | number | added | 2 records |",
    ]
    assert any("new column discount" in said for said in metadata["what its log says"].splitlines())
    assert len(observed(crawled)) == 1
    # Known differences are no event.
    assert not findings.is_news(examined(crawled), crawled.instance, crawled.key("crawler"))

    changed = [crawled.line(200 + n, hour, Price="a lot") for n in range(3)]
    lake.put(hour, [*changed, *(crawled.line(300 + n, hour, Country=...) for n in range(2))])
    lake.compact(hour)
    found = examined(crawled)
    assert findings.is_news(found, crawled.instance, crawled.key("crawler"))
    assert judgements.of_schema(found, lake.feed).severity == dg.AssetCheckSeverity.ERROR
    rows = findings.markdown(found.changes).splitlines()
    assert '| Price | decimal(18,4) | string, as in "a lot" | changed | 3 records |' in rows
    assert "| Country | string | — | removed | 2 records |" in rows

    few = dataclasses.replace(lake.feed, schema_policy=SchemaPolicy(tolerated_share=0.12))
    window = freshness.window_hours(few, lake.settings, datetime.now(UTC))
    tolerant = drift.examine(lake.glue, lake.athena, few, lake.settings, window)
    assert {change.kind for change in tolerant.changes} == {"added"}


def test_a_changed_table_is_told_column_by_column(crawled: Deployment) -> None:
    lake = crawled.lake
    table = lake.glue.get_table(DatabaseName=lake.settings.database, Name=lake.feed.name)["Table"]
    columns = table["StorageDescriptor"]["Columns"]
    columns = [{**each, "Type": "double"} if each["Name"] == "price" else each for each in columns[1:]]
    kept = ("Name", "StorageDescriptor", "PartitionKeys", "TableType", "Parameters")
    wanted: Any = {name: table[name] for name in kept}  # type: ignore[literal-required]
    wanted["StorageDescriptor"]["Columns"] = [*columns, {"Name": "channel", "Type": "string"}]
    lake.glue.update_table(DatabaseName=lake.settings.database, TableInput=wanted)
    found = examined(crawled)
    assert judgements.of_schema(found, lake.feed).severity == dg.AssetCheckSeverity.ERROR
    assert sorted(findings.markdown(found.changes).splitlines()[2:]) == [
        "| channel | — | string | added | catalog |",
        "| invoice | string | — | removed | catalog |",
        "| price | float | double | changed | catalog |",
    ]


def observed(deployment: Deployment) -> list[dg.AssetObservation]:
    records = deployment.instance.fetch_observations(deployment.key("raw"), limit=10).records
    return [record.asset_observation for record in records if record.asset_observation]
