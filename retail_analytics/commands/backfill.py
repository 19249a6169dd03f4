"""``retail-analytics backfill``: a stretch of hours through Dagster, from a shell, in one run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from retail_analytics.batch.assets import compacted_key, processed_key
from retail_analytics.commands import jobs
from retail_analytics.lake import hours, windows
from retail_analytics.lake.assets import catalog_key
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from retail_analytics.feeds import Feed


class RangeError(ValueError):
    """Hours that are no partitions; the message says which there are."""


def parse_hour(text: str) -> datetime:
    """An hour from ``YYYY-MM-DDTHH``, UTC.

    Raises:
        ValueError: It is not of that form.
    """
    return datetime.strptime(text, "%Y-%m-%dT%H").replace(tzinfo=UTC)


def run_backfill(feed: Feed, first: datetime, last: datetime) -> int:
    """Compact the hours from ``first`` to ``last``, both included, then make their days.

    Raises:
        RangeError: The hours are not all partitions of the feed in this deployment.
    """
    settings = Settings.from_env()
    there = hours.first_hour(feed, settings), hours.floor_hour(datetime.now(UTC)) - hours.HOUR
    if not there[0] <= first <= last <= there[1]:
        raise RangeError(
            f"{feed.name} has the hours from {there[0]:%Y-%m-%dT%H} to {there[1]:%Y-%m-%dT%H} (UTC):"
            " give --from and --to within them, in that order. RETAIL_FIRST_HOUR moves the first."
        )
    definitions = jobs.load_definitions(settings)
    with dg.DagsterInstance.get() as instance:
        steps = (
            ([catalog_key(feed), compacted_key(feed)], windows.range_tags(first, last)),
            (
                [processed_key(feed, table.name) for table in feed.processed],
                windows.day_range_tags(first.date(), last.date()),
            ),
        )
        for keys, tags in steps:
            result = jobs.run_assets(definitions, keys, instance, tags)
            if not result.success:
                print(f"Failed: {jobs.failure_of(result)}")
                return 1
    count = int((last - first) / hours.HOUR) + 1
    print(f"{count} hours of {feed.name} are compacted, and their days made.")
    return 0
