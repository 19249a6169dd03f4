"""What arrived: the closed hours whose objects differ from what Dagster was last told of them.

Two ways to look, with one comparison: at hours that a hint names, and at a window by listing. The window goes
forward from the feed's first hour, a bounded slice a tick, then over each hour as it closes, and over the
look-back every now and then. Its state is one position, whatever the history. Not here: what makes a tick
of these (``following.py``), and hours older than the look-back that no hint names (``reconciliation.py``).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from retail_analytics.lake import hours as hours_
from retail_analytics.lake import objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mypy_boto3_s3 import S3Client

    from retail_analytics.feeds import Feed
    from retail_analytics.lake.objects import RawHour
    from retail_analytics.settings import Settings

SLICE_HOURS = 1500
"""Hours that one tick reports at most: SQLite takes some 150 events a second, a tick has 60 s."""

SLICE_KEYS = 100_000
"""Keys that one tick reads of hours that it has never looked at, about: a hundred LISTs."""

_IDENTITY_KEY = "_deployment/id"
_EVERY_TICK = timedelta(0)


class DeploymentMismatchError(RuntimeError):
    """Dagster's state is about another lake than the one that answers."""


@dataclass(frozen=True)
class Position:
    """How far a feed's arrivals have been followed: all the state there is.

    Attributes:
        lake: The identity of the lake that this is about.
        first: The feed's first hour, as it was when this was written.
        reported_until: Hours before this one have been looked at, at least once.
        reconciled: When the look-back window was last listed; None for never.
    """

    lake: str
    first: datetime
    reported_until: datetime
    reconciled: datetime | None = None

    def dumps(self) -> str:
        """As a sensor's cursor."""
        return json.dumps(
            {
                "lake": self.lake,
                "first": hours_.part(self.first),
                "reported_until": hours_.part(self.reported_until),
                "reconciled": self.reconciled.isoformat() if self.reconciled else None,
            }
        )

    @classmethod
    def loads(cls, cursor: str) -> Position:
        """The inverse of :meth:`dumps`."""
        fields = json.loads(cursor)
        reconciled = fields.get("reconciled")
        return cls(
            fields["lake"],
            hours_.from_part(fields["first"]),
            hours_.from_part(fields["reported_until"]),
            datetime.fromisoformat(reconciled) if reconciled else None,
        )


@dataclass(frozen=True)
class News:
    """What a look at a window found.

    Attributes:
        changed: The hours whose digest is news, in order.
        position: Where the next look goes on.
        start: The first hour that was looked at.
        end: The end of the last hour that was looked at.
        behind: Whether closed hours are left that nobody has looked at yet.
    """

    changed: tuple[RawHour, ...]
    position: Position
    start: datetime
    end: datetime
    behind: bool

    def up_to(self, hour: datetime) -> News:
        """The part of it before an hour, where the next look goes on."""
        return replace(
            self,
            changed=tuple(raw for raw in self.changed if raw.hour < hour),
            position=replace(
                self.position, reported_until=min(self.position.reported_until, hour), reconciled=None
            ),
            end=hour,
            behind=True,
        )


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


def same_lake(s3: S3Client, settings: Settings, remembered: str | None) -> str:
    """The identity of the lake that answers, which is the one that is remembered, if any is.

    Raises:
        DeploymentMismatchError: Another lake answers.
    """
    lake = lake_identity(s3, settings.bucket)
    if remembered is not None and remembered != lake:
        raise DeploymentMismatchError(
            f"Dagster's state is about lake {remembered}, but {lake} answers: keep the two together"
            " or start both fresh (`make clean-state`, or a new DAGSTER_HOME)."
        )
    return lake


def take_up(s3: S3Client, feed: Feed, settings: Settings, cursor: str | None) -> Position:
    """The position that a cursor tells, or the beginning.

    Raises:
        DeploymentMismatchError: The cursor is about another lake.
    """
    position = Position.loads(cursor) if cursor else None
    lake = same_lake(s3, settings, position.lake if position else None)
    first = hours_.first_hour(feed, settings)
    # Without a position, or where the deployment's history was extended backwards, from the beginning.
    if position is None or first < position.first:
        return Position(lake, first, first)
    return position


def look(
    s3: S3Client,
    feed: Feed,
    settings: Settings,
    position: Position,
    now: datetime,
    known_digests: Callable[[Sequence[datetime]], Mapping[datetime, str]],
    slice_hours: int = SLICE_HOURS,
    slice_keys: int = SLICE_KEYS,
    look_back_every: timedelta = _EVERY_TICK,
) -> News:
    """Look at the next window of closed hours, by listing.

    Args:
        s3: A client for the lake.
        feed: The feed.
        settings: Where it flows.
        position: Where the look before ended; see :func:`take_up`.
        now: The present, aware.
        known_digests: Tells the digests that were last reported of these hours.
        slice_hours: How many hours to look at, at the most.
        slice_keys: How many keys to read of hours that were never looked at, about.
        look_back_every: How long the look-back may wait; hours that have closed never wait.
    """
    first = hours_.first_hour(feed, settings)
    closed = hours_.closed_until(feed, settings, now)
    due = position.reconciled is None or not _waits(position.reconciled, now, look_back_every)
    back = closed - timedelta(hours=settings.lookback_hours) if due else closed
    start = max(first, min(position.reported_until, back))
    stretch = timedelta(hours=max(slice_hours, settings.lookback_hours + 1))
    end = max(start, min(closed, start + stretch))
    # A look-back is listed to its end, since it begins anew each time; what is new goes on at the next tick.
    keys = slice_keys if start == position.reported_until else sys.maxsize
    listed = objects.list_until(s3, settings.bucket, feed, start, end, keys)
    end = start + hours_.HOUR * len(listed)
    changed = find_changed(listed, known_digests)
    reported_until = max(position.reported_until, end)
    behind = reported_until < closed
    reconciled = now if due and not behind else position.reconciled
    return News(changed, Position(position.lake, first, reported_until, reconciled), start, end, behind)


def _waits(reconciled: datetime, now: datetime, every: timedelta) -> bool:
    # A clock that was set back must not put the look-back off.
    return reconciled <= now < reconciled + every


def look_at(
    s3: S3Client,
    feed: Feed,
    settings: Settings,
    hours: Iterable[datetime],
    position: Position,
    known_digests: Callable[[Sequence[datetime]], Mapping[datetime, str]],
) -> tuple[RawHour, ...]:
    """Look at those of these hours that the window has left behind; to the others it comes by itself.

    So an hour is looked at when it is closed, also where the clock was set back meanwhile; and a history that
    appears at once is reported by the window in long stretches, not hint by hint as hours here and there, of
    which each would become a run.

    Returns:
        Those whose digest is news, in order.
    """
    first = hours_.first_hour(feed, settings)
    wanted = [hour for hour in hours if first <= hour < position.reported_until]
    return find_changed(objects.list_these(s3, settings.bucket, feed, wanted), known_digests)


def find_changed(
    listed: Mapping[datetime, RawHour],
    known_digests: Callable[[Sequence[datetime]], Mapping[datetime, str]],
) -> tuple[RawHour, ...]:
    """The listed hours whose digest differs from the one that was last reported, in order."""
    return tuple(objects.changed(listed, known_digests(sorted(listed)))) if listed else ()
