"""The last hours of a feed at a glance: a state an hour, and a sentence for those that want somebody.

Costs one LIST a thousand objects of the window (and of the error prefix), one catalog call, and a query or
two of Dagster's event log where there is one; never history. Not here: how it is drawn
(``commands/status.py``), and one hour at length (``why.py``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from retail_analytics.batch.assets import compacted_key
from retail_analytics.batch.state import hour_states
from retail_analytics.lake import delivery_errors, failed_runs
from retail_analytics.lake import hours as hours_
from retail_analytics.lake.holds import read_hold

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import dagster as dg
    from mypy_boto3_s3 import S3Client

    from retail_analytics.batch.state import HourState
    from retail_analytics.feeds import Feed
    from retail_analytics.lake.failed_runs import Attempts
    from retail_analytics.lake.holds import Hold
    from retail_analytics.lake.partitions import Catalog
    from retail_analytics.settings import Settings

Kind = Literal["before", "open", "empty", "waiting", "held", "compacted", "failed", "errors"]

_IN_MINUTES, _IN_HOURS = timedelta(hours=3), timedelta(days=3)


@dataclass(frozen=True)
class Circumstances:
    """What is known of an hour beside the lake.

    Attributes:
        now: The present, aware.
        closed: Whether the hour is closed.
        target: How long its news may wait for compaction; what waits longer is stuck.
        hold: The hold on its feed, if there is one.
        attempts: How often it failed, and why, if it did.
        errors: Objects of it under the error prefix.
    """

    now: datetime
    closed: bool
    target: timedelta
    hold: Hold | None = None
    attempts: Attempts | None = None
    errors: int = 0


@dataclass(frozen=True)
class Surroundings:
    """What is known of a feed beside the lake, gathered once for any of its hours.

    Attributes:
        now: The present, aware.
        closed_until: The end of the last closed hour.
        target: How long news may wait for compaction.
        hold: The hold on the feed, if there is one.
        attempts: Hours that failed.
    """

    now: datetime
    closed_until: datetime
    target: timedelta
    hold: Hold | None = None
    attempts: Mapping[datetime, Attempts] = field(default_factory=dict)

    def of(self, hour: datetime, errors: int = 0) -> Circumstances:
        """What is known of one hour, and so many objects of it under the error prefix."""
        closed = hour < self.closed_until
        return Circumstances(self.now, closed, self.target, self.hold, self.attempts.get(hour), errors)


def surroundings(
    feed: Feed, settings: Settings, now: datetime, instance: dg.DagsterInstance | None
) -> Surroundings:
    """Gather them; ``instance`` is Dagster's memory, which alone knows of failures and holds, or None."""
    failures = failed_runs.recent(instance, compacted_key(feed), now) if instance else []
    return Surroundings(
        now,
        hours_.closed_until(feed, settings, now),
        timedelta(minutes=settings.compaction_target_minutes),
        read_hold(instance, feed) if instance else None,
        failed_runs.attempts_by_hour(failures, now),
    )


@dataclass(frozen=True)
class HourView:
    """An hour at a glance.

    Attributes:
        hour: Its start.
        kind: Its state.
        note: A sentence where somebody should know more, or an empty string.
        objects: Objects in raw.
        bytes: Their bytes.
        errors: Objects under the error prefix.
    """

    hour: datetime
    kind: Kind
    note: str = ""
    objects: int = 0
    bytes: int = 0
    errors: int = 0


@dataclass(frozen=True)
class FeedView:
    """The hours of a window of a feed, in order, and the hold on it."""

    feed: str
    hours: tuple[HourView, ...]
    hold: Hold | None = None
    counts: Mapping[Kind, int] = field(default_factory=dict)


def look(
    s3: S3Client,
    catalog: Catalog,
    feed: Feed,
    settings: Settings,
    now: datetime,
    hours: int,
    instance: dg.DagsterInstance | None = None,
) -> FeedView:
    """The last ``hours`` hours of a feed, the open one included.

    Args:
        s3: A client for the lake.
        catalog: The catalog.
        feed: The feed.
        settings: Where it flows.
        now: The present, aware.
        hours: How many.
        instance: Dagster's memory, which alone knows of failures and holds; None where it cannot be asked.
    """
    end = hours_.floor_hour(now) + hours_.HOUR
    window = end - hours * hours_.HOUR
    start = max(window, min(hours_.first_hour(feed, settings), end))
    around = surroundings(feed, settings, now, instance)
    errors = _delivery_errors(s3, feed, settings, now, window)
    views = [HourView(hour, "before") for hour in hours_.hours_between(window, start)]
    views += [
        view(state, around.of(state.raw.hour, errors[state.raw.hour]))
        for state in hour_states(s3, catalog, feed, settings, start, end)
    ]
    return FeedView(feed.name, tuple(views), around.hold, Counter(each.kind for each in views))


def view(state: HourState, known: Circumstances) -> HourView:
    """An hour at a glance; what wants somebody goes before what does not."""
    raw = state.raw
    made = HourView(raw.hour, "open", objects=len(raw.objects), bytes=raw.size, errors=known.errors)
    behind = known.closed and not state.current
    if behind and known.attempts is not None:
        times = "once" if known.attempts.count == 1 else f"{known.attempts.count} times"
        return replace(made, kind="failed", note=f"failed {times}: {known.attempts.failure.reason}")
    if known.errors:
        note = f"Firehose could not deliver {known.errors} object(s), kept under its error prefix"
        return replace(made, kind="errors", note=note)
    if not known.closed:
        return made
    if not behind:
        return replace(made, kind="compacted" if raw.objects else "empty")
    if known.hold is not None:
        return replace(made, kind="held")
    waits = known.now - max(raw.last_arrival or raw.hour, raw.hour + hours_.HOUR)
    if waits > known.target:
        return replace(made, kind="failed", note=f"stuck: its news have waited for {_long(waits)}")
    return replace(made, kind="waiting")


def _long(time: timedelta) -> str:
    if time < _IN_MINUTES:
        return f"{int(time.total_seconds() / 60)} minutes"
    hours = int(time / hours_.HOUR)
    return f"{hours} hours" if time < _IN_HOURS else f"{time.days} days"


def _delivery_errors(
    s3: S3Client, feed: Feed, settings: Settings, now: datetime, start: datetime
) -> Counter[datetime]:
    """How many objects each hour of the window has under the error prefix."""
    if not feed.error_prefix:
        return Counter()
    window = -(-(now - start) // hours_.HOUR)
    found = delivery_errors.look(s3, feed, replace(settings, lookback_hours=window), now).found
    return Counter(_hour_of(each) for each in found)


def _hour_of(error: delivery_errors.ErrorObject) -> datetime:
    return hours_.hour_named_in(error.key) or hours_.floor_hour(error.modified)
