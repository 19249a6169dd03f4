"""What counts as stale and overdue, and which assets have a pulse."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

from retail_analytics.definitions import build_definitions
from retail_analytics.feeds import get_feed
from retail_analytics.lake import freshness
from retail_analytics.lake.hours import HOUR
from retail_analytics.lake.objects import RawHour, RawObject
from retail_analytics.settings import Settings

FEED = get_feed("retail_trans")
SETTINGS = Settings(compaction_target_minutes=30, grace_seconds=120)
START = datetime(2010, 12, 1, 8, tzinfo=UTC)
CLOSED = START + HOUR + timedelta(seconds=180)


def raw(*arrivals: datetime) -> RawHour:
    return RawHour(START, tuple(RawObject(f"k{n}", "e", 1, at) for n, at in enumerate(arrivals)))


def test_an_hour_is_stale_that_is_not_published_as_it_is() -> None:
    full = raw(START)
    assert freshness.stale([full], {}) == [full]
    assert freshness.stale([full], {START: "other"}) == [full]
    assert freshness.stale([full], {START: full.digest}) == []


def test_an_empty_hour_is_stale_only_where_something_else_is_published() -> None:
    assert freshness.stale([raw()], {}) == []
    assert freshness.stale([raw()], {START: "empty"}) == []
    assert freshness.stale([raw()], {START: "other"}) == [raw()]


def overdue(hour: RawHour, now: datetime) -> list[datetime]:
    return [each.since for each in freshness.overdue([hour], {}, FEED, SETTINGS, now)]


def test_waiting_counts_from_the_close_of_the_hour() -> None:
    assert overdue(raw(START), CLOSED + timedelta(minutes=30)) == []
    assert overdue(raw(START), CLOSED + timedelta(minutes=31)) == [CLOSED]


def test_waiting_begins_again_with_a_late_object() -> None:
    late = CLOSED + timedelta(hours=5)
    assert overdue(raw(START, late), late + timedelta(minutes=30)) == []
    assert overdue(raw(START, late), late + timedelta(minutes=31)) == [late]


def test_assets_that_are_made_every_hour_have_a_policy_and_files_have_none() -> None:
    known = freshness.policies(FEED, SETTINGS)
    assert {key.path[-1] for key in known} == {"raw", "compacted"}
    assert freshness.policies(dataclasses.replace(FEED, source="files"), SETTINGS) == {}


def test_an_hour_on_time_is_fresh_and_a_missed_one_is_not() -> None:
    # Reports come an hour apart; so much may pass before the next one is due.
    policy = freshness.policies(FEED, SETTINGS)[dg.AssetKey(["retail_trans", "raw"])]
    assert isinstance(policy, TimeWindowFreshnessPolicy)
    assert policy.warn_window is not None
    assert HOUR < policy.warn_window.to_timedelta() < 2 * HOUR
    assert 2 * HOUR < policy.fail_window.to_timedelta() < 3 * HOUR


def test_the_policies_are_on_the_assets_that_dagster_loads() -> None:
    graph = build_definitions(SETTINGS).resolve_asset_graph()
    for key, policy in freshness.policies(FEED, SETTINGS).items():
        assert graph.get(key).freshness_policy == policy
    # No news makes none of these, and that is no alarm.
    for name in ("crawler", "transactions"):
        assert graph.get(dg.AssetKey(["retail_trans", name])).freshness_policy is None


def test_a_report_without_a_run_counts_as_a_pulse() -> None:
    # Dagster judges by the last materialisation of an asset; raw hours are reported, never run.
    key = dg.AssetKey(["retail_trans", "raw"])
    before = datetime.now(UTC)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition="2010-12-01-08:00"))
        (record,) = instance.get_asset_records([key])
        last = record.asset_entry.last_materialization
    assert last is not None
    assert last.timestamp >= before.timestamp()
