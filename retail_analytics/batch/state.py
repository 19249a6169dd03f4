"""What the lake says of a feed's hours: raw beside published, without running a query.

For checks, the catch-up schedule and people's ``status``. Costs one LIST a thousand objects of the window
and two catalog calls a thousand hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retail_analytics.batch.publishing import read_published
from retail_analytics.batch.results import read_noted, rules
from retail_analytics.lake import objects

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_s3 import S3Client

    from retail_analytics.batch.results import HourResult
    from retail_analytics.feeds import Feed
    from retail_analytics.lake.objects import RawHour
    from retail_analytics.lake.partitions import Catalog
    from retail_analytics.settings import Settings


@dataclass(frozen=True)
class HourState:
    """An hour as raw holds it and as it is published."""

    raw: RawHour
    published: HourResult | None

    @property
    def current(self) -> bool:
        """Whether what is published was made from what raw holds now."""
        if self.published is None:
            return not self.raw.objects
        return self.published.digest == self.raw.digest

    @property
    def done(self) -> bool:
        """Whether compaction would leave it alone: current, and made by today's rules if by any."""
        by_todays = self.published is None or not self.raw.objects or self.published.rules == rules()
        return self.current and by_todays


def hour_states(
    s3: S3Client, catalog: Catalog, feed: Feed, settings: Settings, start: datetime, end: datetime
) -> list[HourState]:
    """The states of the hours ``[start, end)``, in order."""
    listed = objects.list_hours(s3, settings.bucket, feed, start, end)
    try:
        found = read_published(catalog, feed, settings, listed)
    except catalog.glue.exceptions.EntityNotFoundException:
        found = {}  # before the first run there is no table: nothing is published
    states = []
    for hour, raw in sorted(listed.items()):
        partition = found.get(hour)
        states.append(
            HourState(raw, read_noted(hour, partition.parameters, "published") if partition else None)
        )
    return states
