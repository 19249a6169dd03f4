"""The partitions of a feed's assets in Dagster: hours of arrival and days of events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from retail_analytics.lake import hours as hours_

if TYPE_CHECKING:
    from datetime import date, datetime

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"
_PARTITION = "dagster/partition"


def hourly(feed: Feed, settings: Settings) -> dg.HourlyPartitionsDefinition:
    """Hours of arrival. The open hour is no partition yet."""
    return dg.HourlyPartitionsDefinition(
        start_date=hours_.first_hour(feed, settings), timezone="UTC", fmt=hours_.KEY_FORMAT
    )


def daily(feed: Feed, settings: Settings) -> dg.DailyPartitionsDefinition:
    """Days of events. Today is one already: its closed hours are worth seeing."""
    first = hours_.first_hour(feed, settings).replace(hour=0)
    return dg.DailyPartitionsDefinition(
        start_date=first, timezone="UTC", fmt=hours_.DAY_KEY_FORMAT, end_offset=1
    )


def range_tags(first: datetime, last: datetime) -> dict[str, str]:
    """The tags that make one run of a stretch of hours, both ends included."""
    return {_RANGE_START: hours_.partition_key(first), _RANGE_END: hours_.partition_key(last)}


def day_range_tags(first: date, last: date) -> dict[str, str]:
    """The tags that make one run of a stretch of days, both ends included."""
    return {_RANGE_START: hours_.day_key(first), _RANGE_END: hours_.day_key(last)}


def run_range(run: dg.DagsterRun) -> tuple[str, str] | None:
    """The first and last partition key that a run is about, or None for a run about none."""
    tags = run.tags
    if _PARTITION in tags:
        return tags[_PARTITION], tags[_PARTITION]
    if _RANGE_START in tags and _RANGE_END in tags:
        return tags[_RANGE_START], tags[_RANGE_END]
    return None
