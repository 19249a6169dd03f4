"""What arrived: the hours whose objects differ from what Dagster was last told of them.

A tick looks at a window of closed hours: first forward from the feed's first hour, a bounded slice a
tick, then the look-back window for ever. Its state is one position, whatever the history. Not here:
Dagster's side of it (``sensors.py``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from retail_analytics.lake import hours as hours_
from retail_analytics.lake import objects

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_s3 import S3Client

    from retail_analytics.feeds import Feed
    from retail_analytics.lake.objects import RawHour
    from retail_analytics.settings import Settings

SLICE_HOURS = 1500
"""Hours that one tick reports at most: SQLite takes some 150 events a second, a tick has 60 s."""

_IDENTITY_KEY = "_deployment/id"


class DeploymentMismatchError(RuntimeError):
    """Dagster's state is about another lake than the one that answers."""


@dataclass(frozen=True)
class Position:
    """How far a feed's arrivals have been followed: all the state there is.

    Attributes:
        lake: The identity of the lake that this is about.
        first: The feed's first hour, as it was when this was written.
        reported_until: Hours before this one have been looked at, at least once.
    """

    lake: str
    first: datetime
    reported_until: datetime

    def dumps(self) -> str:
        """As a sensor's cursor."""
        return json.dumps(
            {
                "lake": self.lake,
                "first": hours_.part(self.first),
                "reported_until": hours_.part(self.reported_until),
            }
        )

    @classmethod
    def loads(cls, cursor: str) -> Position:
        """The inverse of :meth:`dumps`."""
        fields = json.loads(cursor)
        return cls(
            fields["lake"], hours_.from_part(fields["first"]), hours_.from_part(fields["reported_until"])
        )


@dataclass(frozen=True)
class News:
    """What a tick found.

    Attributes:
        changed: The hours whose digest is news, in order.
        position: Where the next tick goes on.
        start: The first hour that was looked at.
        end: The end of the last hour that was looked at.
        behind: Whether closed hours are left that no tick has looked at yet.
    """

    changed: tuple[RawHour, ...]
    position: Position
    start: datetime
    end: datetime
    behind: bool


def lake_identity(s3: S3Client, bucket: str) -> str:
    """What tells this lake from another of the same name: an id that is written when it is made.

    A lake that has none (one on AWS, which outlives any process) is known by its bucket's name.

    Raises:
        ClientError: The bucket does not answer.
    """
    try:
        return s3.get_object(Bucket=bucket, Key=_IDENTITY_KEY)["Body"].read().decode().strip()
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return bucket


def look(
    s3: S3Client,
    feed: Feed,
    settings: Settings,
    cursor: str | None,
    now: datetime,
    known_digests: Callable[[Sequence[datetime]], Mapping[datetime, str]],
    slice_hours: int = SLICE_HOURS,
) -> News:
    """Look at the next window of closed hours.

    Args:
        s3: A client for the lake.
        feed: The feed.
        settings: Where it flows.
        cursor: What the tick before left, or None for the first.
        now: The present, aware.
        known_digests: Tells the digests that were last reported of these hours.
        slice_hours: How many hours to look at, at the most.

    Raises:
        DeploymentMismatchError: The cursor is about another lake.
    """
    lake = lake_identity(s3, settings.bucket)
    first = hours_.first_hour(feed, settings)
    position = Position.loads(cursor) if cursor else Position(lake, first, first)
    if position.lake != lake:
        raise DeploymentMismatchError(
            f"Dagster's state is about lake {position.lake}, but {lake} answers: keep the two together"
            " or start both fresh (`make clean-state`, or a new DAGSTER_HOME)."
        )
    if first < position.first:
        position = Position(lake, first, first)  # the deployment's history was extended backwards
    closed = hours_.closed_until(feed, settings, now)
    start = max(first, min(position.reported_until, closed - timedelta(hours=settings.lookback_hours)))
    stretch = timedelta(hours=max(slice_hours, settings.lookback_hours + 1))
    end = max(start, min(closed, start + stretch))
    listed = objects.list_hours(s3, settings.bucket, feed, start, end)
    changed = objects.changed(listed, known_digests(sorted(listed)))
    reported_until = max(position.reported_until, end)
    return News(
        tuple(changed), Position(lake, first, reported_until), start, end, behind=reported_until < closed
    )
