"""Hours reported together are reported as one by one, and a deadline leaves the rest."""

from __future__ import annotations

from datetime import UTC, datetime

import boto3
import dagster as dg
import pytest

from retail_analytics.feeds import get_feed
from retail_analytics.lake import following, hours
from retail_analytics.lake.assets import raw_key
from retail_analytics.lake.following import Lake, report_until
from retail_analytics.lake.objects import RawHour, RawObject
from retail_analytics.lake.sensors import materialization, report_together, reported_digests
from retail_analytics.settings import Settings

FEED = get_feed("retail_trans")
HOUR = datetime(2010, 12, 1, 8, tzinfo=UTC)


def raw(count: int) -> RawHour:
    at = HOUR + count * hours.HOUR
    return RawHour(at, (RawObject(f"key-{count}", "etag", count, at),) if count % 2 else ())


def test_hours_reported_together_are_known_as_those_reported_one_by_one() -> None:
    several = [raw(count) for count in range(6)]
    told = []
    for together in (True, False):
        with dg.DagsterInstance.local_temp() as instance:
            if together:
                report_together(instance, FEED, several)
            else:
                for each in several:
                    instance.report_runless_asset_event(materialization(FEED, each))
            known = reported_digests(instance, FEED, [each.hour for each in several])
            assert known == {each.hour: each.digest for each in several}
            records = instance.fetch_materializations(raw_key(FEED), limit=10).records
            told.append([record.asset_materialization for record in records])
            assert instance.get_materialized_partitions(raw_key(FEED)) == {
                hours.partition_key(each.hour) for each in several
            }
            assert instance.has_asset_key(raw_key(FEED))
    assert told[0] == told[1]
    assert len(told[0]) == 6


def test_after_the_deadline_no_further_hours_are_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "TOGETHER", 4)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nobody")
    batches: list[list[RawHour]] = []

    region = "us-east-1"
    clients = boto3.client("s3", region_name=region), boto3.client("sqs", region_name=region)
    lake = Lake(*clients, FEED, Settings(), lambda _: {}, lambda several: batches.append(list(several)))
    changed = [raw(count) for count in range(10)]
    assert report_until(lake, changed, deadline=float("inf")) == ()
    assert [len(batch) for batch in batches] == [4, 4, 2]
    batches.clear()
    # The first ones whatever the time, so that every tick gets on.
    assert report_until(lake, changed, deadline=0.0) == changed[4:]
    assert batches == [changed[:4]]
