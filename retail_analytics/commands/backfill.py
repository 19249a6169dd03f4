"""``retail-analytics backfill``: a stretch of hours through Dagster, from a shell, in one run."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from retail_analytics.batch.assets import compacted_key, event_days_key, processed_key
from retail_analytics.commands import jobs
from retail_analytics.lake import hours, windows
from retail_analytics.lake.assets import catalog_key
from retail_analytics.search.assets import search_index_key
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from datetime import date

    from retail_analytics.feeds import Feed


class BackfillError(ValueError):
    """A backfill that cannot begin; the message says why, and what to give instead."""


def parse_hour(text: str) -> datetime:
    """An hour from ``YYYY-MM-DDTHH``, UTC.

    Raises:
        ValueError: It is not of that form.
    """
    return datetime.strptime(text, "%Y-%m-%dT%H").replace(tzinfo=UTC)


def run_backfill(feed: Feed, first: datetime, last: datetime) -> int:
    """Compact the hours from ``first`` to ``last``, both included, then make and index the days they touch.

    Raises:
        BackfillError: DAGSTER_HOME is not set, or the hours are not all partitions of the feed here.
    """
    if not os.environ.get("DAGSTER_HOME"):
        raise BackfillError(
            "DAGSTER_HOME is not set, and a backfill is Dagster's to remember: set it to the deployment's"
            ' (`eval "$(retail-analytics env --export)"` for the embedded cloud).'
        )
    settings = Settings.from_env()
    there = hours.first_hour(feed, settings), hours.floor_hour(datetime.now(UTC)) - hours.HOUR
    if not there[0] <= first <= last <= there[1]:
        raise BackfillError(
            f"{feed.name} has the hours from {there[0]:%Y-%m-%dT%H} to {there[1]:%Y-%m-%dT%H} (UTC):"
            " give --from and --to within them, in that order. RETAIL_FIRST_HOUR moves the first."
        )
    definitions = jobs.load_definitions(settings)
    with dg.DagsterInstance.get() as instance:
        keys = [catalog_key(feed), compacted_key(feed)]
        compacted = jobs.run_assets(definitions, keys, instance, windows.range_tags(first, last))
        results = [compacted]
        keys = [processed_key(feed, table.name) for table in feed.processed]
        keys += [search_index_key(feed)] if feed.search else []
        # Late records are of other days than their hours: compaction tells which.
        for begin, end in hours.contiguous_days(told_days(feed, compacted)):
            tags = windows.day_range_tags(begin, end)
            results.append(jobs.run_assets(definitions, keys, instance, tags))
    failures = [failure for result in results if not result.success for failure in jobs.failures_of(result)]
    for failure in failures:
        print(f"Failed: {failure}")
    if not failures:
        count = int((last - first) / hours.HOUR) + 1
        print(f"{count} hours of {feed.name} are compacted, and the days that they touch are made.")
    return 1 if failures else 0


def told_days(feed: Feed, result: dg.ExecuteInProcessResult) -> list[date]:
    """The event days that a run of compaction told, in order."""
    told = {
        event.partition
        for event in result.all_events
        if event.is_step_materialization and event.asset_key == event_days_key(feed) and event.partition
    }
    return sorted(hours.from_day_key(key) for key in told)
