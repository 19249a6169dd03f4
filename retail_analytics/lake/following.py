"""A tick of a feed's arrivals: act upon hints, then look at the window; report what changed.

The order is what makes it safe to end anywhere: an hour is reported before the messages about it are deleted,
and before the cursor moves. What was reported and is looked at again is no news. Not here: Dagster's side
(``sensors.py``).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from retail_analytics.lake import arrivals, notifications

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

    from retail_analytics.feeds import Feed
    from retail_analytics.lake.arrivals import Position
    from retail_analytics.lake.objects import RawHour
    from retail_analytics.settings import Settings

HINTS_SECONDS = 15.0
"""After this long a tick begins no further round of hints."""

TICK_SECONDS = 35.0
"""After this long a tick reports no further hour: Dagster gives it 60 s in all, and goes on without it."""


TOGETHER = 500
"""Hours that are reported together, at the most."""


@dataclass(frozen=True)
class Lake:
    """A feed's raw hours, and what Dagster knows of them.

    Attributes:
        s3: A client for the objects.
        sqs: A client for the queue of hints.
        feed: The feed.
        settings: Where it flows.
        known_digests: Tells the digests that were last reported of these hours.
        report: Reports raw hours as they are now; once it returns, that is known.
    """

    s3: S3Client
    sqs: SQSClient
    feed: Feed
    settings: Settings
    known_digests: Callable[[Sequence[datetime]], Mapping[datetime, str]]
    report: Callable[[Sequence[RawHour]], None]


@dataclass(frozen=True)
class Hinted:
    """What the hints of a tick came to.

    Attributes:
        messages: How many were read.
        foreign: How many of these were about nothing of the feed's.
        unreadable: Why each of the others was not understood.
        reported: How many hours were news.
    """

    messages: int = 0
    foreign: int = 0
    unreadable: tuple[str, ...] = ()
    reported: int = 0


@dataclass(frozen=True)
class Tick:
    """What a tick did.

    Attributes:
        cursor: Where the next one goes on.
        hinted: What the hints came to.
        listed: How many hours the listing found to be news.
        end: The end of the last hour that was listed.
        behind: Whether closed hours are left that no tick has looked at yet.
    """

    cursor: str
    hinted: Hinted
    listed: int
    end: datetime
    behind: bool

    @property
    def reported(self) -> int:
        """How many reports were made."""
        return self.hinted.reported + self.listed


def follow(lake: Lake, cursor: str | None, now: datetime) -> Tick:
    """One tick.

    Raises:
        DeploymentMismatchError: The cursor is about another lake.
        MissingQueueError: S3 is to tell of objects, and there is no queue.
    """
    settings = lake.settings
    deadline = time.monotonic() + TICK_SECONDS
    # First of all: nothing is to be reported of another lake.
    position = arrivals.take_up(lake.s3, lake.feed, settings, cursor)
    hinted = follow_hints(lake, position, deadline) if settings.notifications else Hinted()
    every = timedelta(seconds=settings.reconcile_seconds if settings.notifications else 0)
    news = arrivals.look(
        lake.s3, lake.feed, settings, position, now, lake.known_digests, look_back_every=every
    )
    left = report_until(lake, news.changed, deadline)
    if left:
        news = news.up_to(left[0].hour)
    return Tick(news.position.dumps(), hinted, len(news.changed), news.end, behind=news.behind or bool(left))


def report_until(lake: Lake, changed: Sequence[RawHour], deadline: float) -> Sequence[RawHour]:
    """Report hours in order until the deadline, the first batch whatever the time; returns those left.

    As many together as may be: automation looks every few seconds, and asks for what it finds. Were a burst
    reported hour by hour, it would become a run for each look.
    """
    for start in range(0, len(changed), TOGETHER):
        if start and time.monotonic() > deadline:
            return changed[start:]
        lake.report(changed[start : start + TOGETHER])
    return ()


def follow_hints(lake: Lake, position: Position, deadline: float) -> Hinted:
    """Act upon the messages of the feed's queue, round by round until it is empty or the time is up.

    Messages of a round that was not reported to its end come again, when they have been hidden long enough.
    """
    url = notifications.queue_url(lake.sqs, lake.settings.arrivals_queue(lake.feed.name))
    last_round = time.monotonic() + HINTS_SECONDS
    total = Hinted()
    while True:
        hints = notifications.receive(lake.sqs, url, lake.feed, lake.settings)
        changed = arrivals.look_at(
            lake.s3, lake.feed, lake.settings, hints.hours, position, lake.known_digests
        )
        left = report_until(lake, changed, deadline)
        if not left:
            notifications.acknowledge(lake.sqs, url, hints)
        total = Hinted(
            total.messages + hints.messages,
            total.foreign + hints.foreign,
            total.unreadable + hints.unreadable,
            total.reported + len(changed) - len(left),
        )
        if left or hints.messages < notifications.ROUND_MESSAGES or time.monotonic() > last_round:
            return total
