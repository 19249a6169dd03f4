"""The slow sweep over all of a feed's history, for what no hint told and no look-back saw.

A late object in an old hour, one that was written again under the same key, a deletion: their notifications
may be lost, and the look-back ends after a day. A sweep lists everything, which costs history: so it begins
once a day, and goes in slices, each bounded in hours and in keys. Its state is one position. Not here: recent
hours, which ``arrivals.py`` lists all the time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from retail_analytics.lake import arrivals, objects
from retail_analytics.lake import hours as hours_

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mypy_boto3_s3 import S3Client

    from retail_analytics.feeds import Feed
    from retail_analytics.lake.objects import RawHour
    from retail_analytics.settings import Settings

SLICE_HOURS = 1500
"""Hours of a slice, at the most: each costs Dagster's event log a look, and if it changed a report."""

SLICE_KEYS = 20_000
"""Keys of a slice, about: it ends with the hour in which it has read so many. Twenty LISTs."""


@dataclass(frozen=True)
class Sweep:
    """How far a sweep has come: all the state there is.

    Attributes:
        lake: The identity of the lake that this is about.
        begun: When the sweep began; the next begins so much later.
        next: The hour at which it goes on; None once it is through.
        hours: How many hours it has looked at.
        found: How many of these were news.
    """

    lake: str
    begun: datetime
    next: datetime | None
    hours: int = 0
    found: int = 0

    def dumps(self) -> str:
        """As a sensor's cursor."""
        return json.dumps(
            {
                "lake": self.lake,
                "begun": self.begun.isoformat(),
                "next": hours_.part(self.next) if self.next else None,
                "hours": self.hours,
                "found": self.found,
            }
        )

    @classmethod
    def loads(cls, cursor: str) -> Sweep:
        """The inverse of :meth:`dumps`."""
        fields = json.loads(cursor)
        return cls(
            fields["lake"],
            datetime.fromisoformat(fields["begun"]),
            hours_.from_part(fields["next"]) if fields["next"] else None,
            fields["hours"],
            fields["found"],
        )


@dataclass(frozen=True)
class Slice:
    """What a slice found.

    Attributes:
        changed: The hours whose digest is news, in order.
        sweep: Where the next slice goes on.
        start: The first hour that was looked at; None where none was.
        hours: How many were.
    """

    changed: tuple[RawHour, ...]
    sweep: Sweep
    start: datetime | None = None
    hours: int = 0

    def up_to(self, hour: datetime) -> Slice:
        """The part of it before an hour, where the next slice goes on."""
        changed = tuple(raw for raw in self.changed if raw.hour < hour)
        unreported = len(self.changed) - len(changed)
        hours = (hour - self.start) // hours_.HOUR if self.start else 0
        sweep = replace(
            self.sweep,
            next=hour,
            hours=self.sweep.hours - self.hours + hours,
            found=self.sweep.found - unreported,
        )
        return Slice(changed, sweep, self.start, hours)


def first_waits(s3: S3Client, settings: Settings, now: datetime) -> Sweep:
    """In place of a first sweep: as if one had just been through.

    Whoever comes to a history first looks at all of it; were it two at once, they would report it twice, in
    other slices, and twice the runs would come of it.

    Raises:
        ClientError: The bucket does not answer.
    """
    return Sweep(arrivals.lake_identity(s3, settings.bucket), begun=now, next=None)


def current_sweep(
    s3: S3Client, feed: Feed, settings: Settings, cursor: str | None, now: datetime
) -> Sweep | None:
    """The sweep to go on with: the one under way, else a new one if it is time; None if it is not.

    Raises:
        DeploymentMismatchError: The cursor is about another lake.
    """
    sweep = Sweep.loads(cursor) if cursor else None
    lake = arrivals.same_lake(s3, settings, sweep.lake if sweep else None)
    if sweep is not None and sweep.next is not None:
        return sweep
    if not settings.full_sweep_hours:
        return None
    if sweep is not None and now < sweep.begun + timedelta(hours=settings.full_sweep_hours):
        return None
    return Sweep(lake, begun=now, next=hours_.first_hour(feed, settings))


def sweep_slice(
    s3: S3Client,
    feed: Feed,
    settings: Settings,
    sweep: Sweep,
    now: datetime,
    known_digests: Callable[[Sequence[datetime]], Mapping[datetime, str]],
    slice_hours: int = SLICE_HOURS,
    slice_keys: int = SLICE_KEYS,
) -> Slice:
    """Look at the next hours of a sweep; it is through when it meets the look-back window."""
    closed = hours_.closed_until(feed, settings, now)
    end = closed - timedelta(hours=settings.lookback_hours)
    start = max(sweep.next or end, hours_.first_hour(feed, settings))
    if start >= end:
        return Slice((), replace(sweep, next=None))
    until = min(end, start + timedelta(hours=slice_hours))
    listed = objects.list_until(s3, settings.bucket, feed, start, until, slice_keys)
    changed = arrivals.find_changed(listed, known_digests)
    reached = start + hours_.HOUR * len(listed)
    return Slice(
        changed,
        replace(
            sweep,
            next=reached if reached < end else None,
            hours=sweep.hours + len(listed),
            found=sweep.found + len(changed),
        ),
        start,
        len(listed),
    )
