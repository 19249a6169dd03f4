"""One hour at length: what it was made from, what raw holds now, what differs, and what happens next.

Costs one LIST of the hour, a catalog call and a GET, and a few queries of Dagster's event log where there is
one. Not here: how it is printed (``commands/why.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from retail_analytics.batch import objects_noted, overview
from retail_analytics.batch.results import read_noted
from retail_analytics.batch.state import HourState
from retail_analytics.lake import hours as hours_
from retail_analytics.lake import objects, tables
from retail_analytics.lake.objects import EMPTY
from retail_analytics.lake.sensors import reported_digests

if TYPE_CHECKING:
    from datetime import datetime

    import dagster as dg
    from mypy_boto3_s3 import S3Client

    from retail_analytics.batch.objects_noted import Difference
    from retail_analytics.batch.overview import Kind
    from retail_analytics.batch.results import HourResult
    from retail_analytics.feeds import Feed
    from retail_analytics.lake.failed_runs import Attempts
    from retail_analytics.lake.holds import Hold
    from retail_analytics.lake.objects import RawHour
    from retail_analytics.lake.partitions import Catalog, Partition
    from retail_analytics.settings import Settings


@dataclass(frozen=True)
class Explanation:
    """Why an hour is as it is.

    Attributes:
        feed: The feed.
        kind: Its state.
        raw: What raw holds now.
        published: What readers find, or None.
        older_rules: Whether that was made by rules that are not today's.
        difference: The objects that differ from those it was made from; None where these were not noted.
        reported: Whether Dagster has been told of what raw holds now; None where it cannot be asked.
        hold: The hold on its feed, if there is one.
        attempts: How often it failed, and why, if it did.
        next: What happens next, or what to do, in a sentence or two.
    """

    feed: str
    kind: Kind
    raw: RawHour
    published: HourResult | None
    older_rules: bool
    difference: Difference | None
    reported: bool | None
    hold: Hold | None
    attempts: Attempts | None
    next: str


def explain(
    s3: S3Client,
    catalog: Catalog,
    feed: Feed,
    settings: Settings,
    hour: datetime,
    now: datetime,
    instance: dg.DagsterInstance | None = None,
) -> Explanation:
    """Explain an hour of a feed.

    Args:
        s3: A client for the lake.
        catalog: The catalog.
        feed: The feed.
        settings: Where it flows.
        hour: The hour, aware and whole.
        now: The present, aware.
        instance: Dagster's memory, which alone knows of failures and holds; None where it cannot be asked.
    """
    raw = objects.list_hours(s3, settings.bucket, feed, hour, hour + hours_.HOUR)[hour]
    partition = _partition(catalog, feed, settings, hour)
    published = read_noted(hour, partition.parameters, "published") if partition else None
    state = HourState(raw, published)
    known = overview.surroundings(feed, settings, now, instance).of(hour)
    kind = overview.view(state, known).kind
    older_rules = state.current and not state.done
    if hour < hours_.first_hour(feed, settings):
        kind = "before"
    reported = None if instance is None else reported_digests(instance, feed, [hour]).get(hour) == raw.digest
    return Explanation(
        feed.name,
        kind,
        raw,
        published,
        older_rules,
        _difference(s3, raw, partition),
        reported,
        known.hold,
        known.attempts,
        _next(feed, settings, raw, kind, now, older_rules=older_rules, reported=reported),
    )


def _partition(catalog: Catalog, feed: Feed, settings: Settings, hour: datetime) -> Partition | None:
    values = tuple(hours_.partition_values(hour))
    try:
        return catalog.get(tables.compacted_table(feed, settings), [values]).get(values)
    except catalog.glue.exceptions.EntityNotFoundException:
        return None  # before the first run there is no table


def _difference(s3: S3Client, raw: RawHour, partition: Partition | None) -> Difference | None:
    if partition is None or partition.parameters.get("digest") == EMPTY:
        return objects_noted.difference({}, objects_noted.objects_of(raw))
    before = objects_noted.read(s3, {raw.hour: partition.location}).get(raw.hour)
    return None if before is None else objects_noted.difference(before, objects_noted.objects_of(raw))


def _next(
    feed: Feed,
    settings: Settings,
    raw: RawHour,
    kind: Kind,
    now: datetime,
    *,
    older_rules: bool,
    reported: bool | None,
) -> str:
    """What happens next, or what to do."""
    at = f"{raw.hour:%Y-%m-%dT%H}"
    by_hand = f"`retail-analytics backfill --feed {feed.name} --from {at} --to {at}`"
    match kind:
        case "before":
            first = f"{hours_.first_hour(feed, settings):%Y-%m-%d %H}:00"
            return f"Nothing: the feed begins at {first} UTC here. RETAIL_FIRST_HOUR moves that."
        case "open":
            after = timedelta(seconds=feed.buffer_seconds + settings.grace_seconds)
            return f"It closes at {raw.hour + hours_.HOUR + after:%H:%M:%S} UTC and is compacted then."
        case "held":
            return (
                f"Nothing, until `retail-analytics release {feed.name}`; then it is made by itself."
                f" By hand, in spite of the hold: {by_hand}."
            )
        case "failed":
            return (
                "If a run failed, read why, and make it again once its cause is gone; if none was asked for,"
                f" see that Dagster's daemon runs. By hand: {by_hand}."
            )
        case "waiting":
            return f"{_waits(settings, raw, now, reported=reported)} By hand: {by_hand}."
        case _ if older_rules:
            return f"Nothing by itself, but {by_hand} makes it anew by today's rules."
        case _:
            return "Nothing: readers find what raw holds. If an object comes late, it is made again."


def _waits(settings: Settings, raw: RawHour, now: datetime, *, reported: bool | None) -> str:
    if reported is None:
        return "Dagster makes it, if its daemon runs (it could not be asked: DAGSTER_HOME is not set)."
    if reported:
        return "Dagster knows of it: automation asks for a run within seconds, if its daemon runs."
    if raw.hour >= now - settings.lookback_hours * hours_.HOUR:
        return "The arrivals sensor reports it at its next look, and automation then asks for a run."
    return (
        f"It is older than the look-back of {settings.lookback_hours} hours and nothing has announced the"
        " change yet: the slow sweep of the whole lake will."
    )
