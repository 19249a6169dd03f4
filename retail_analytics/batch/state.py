"""What the lake says of a feed's hours: raw beside published, without running a query.

For checks, the catch-up schedule and people's ``status``. Costs one LIST a thousand objects of the window
and one catalog call a thousand hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retail_analytics.batch.compaction import read_noted
from retail_analytics.lake import hours as hours_
from retail_analytics.lake import objects, tables

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_s3 import S3Client

    from retail_analytics.batch.compaction import HourResult
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


def hour_states(
    s3: S3Client, catalog: Catalog, feed: Feed, settings: Settings, start: datetime, end: datetime
) -> list[HourState]:
    """The states of the hours ``[start, end)``, in order."""
    listed = objects.list_hours(s3, settings.bucket, feed, start, end)
    table = tables.compacted_table(feed, settings)
    found = catalog.get(table, [tuple(hours_.partition_values(hour)) for hour in listed])
    states = []
    for hour, raw in sorted(listed.items()):
        partition = found.get(tuple(hours_.partition_values(hour)))
        states.append(
            HourState(raw, read_noted(hour, partition.parameters, "published") if partition else None)
        )
    return states
