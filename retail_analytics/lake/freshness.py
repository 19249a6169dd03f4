"""How late the lake is: raw hours that did not arrive, and hours that compaction has not followed yet.

Costs the objects of the look-back window and a catalog call or two, never history. Not here: what is expected
(``expectations.py``), which runs failed (``failed_runs.py``) and Dagster's checks (``checks.py``).

Dagster's own freshness policies say less, but say it everywhere in the UI: how long ago anything of an asset
was made. Since every hour is reported as it closes, an empty one too, that is the pipeline's own pulse and no
pretence; whether the right hours arrived is for the checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from retail_analytics.lake import expectations, objects, tables
from retail_analytics.lake import hours as hours_
from retail_analytics.lake.objects import EMPTY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_s3 import S3Client

    from retail_analytics.feeds import Feed
    from retail_analytics.lake.expectations import Expectation
    from retail_analytics.lake.objects import RawHour
    from retail_analytics.lake.partitions import Catalog
    from retail_analytics.settings import Settings

_MARGIN = timedelta(minutes=15)


@dataclass(frozen=True)
class Window:
    """The look-back window as raw holds it.

    Attributes:
        closed: Its closed hours, in order; empty ones are among them.
        open: The hours that are not closed yet.
    """

    closed: tuple[RawHour, ...]
    open: tuple[RawHour, ...]

    @property
    def newest(self) -> datetime | None:
        """When the newest object was written, or None where there is none."""
        arrivals = (raw.last_arrival for raw in (*self.closed, *self.open))
        return max((arrival for arrival in arrivals if arrival is not None), default=None)


@dataclass(frozen=True)
class Arrivals:
    """What arrived beside what was expected.

    Attributes:
        window: What arrived.
        expected: What was expected.
        last_hour: After which nothing was expected, by the settings; None where the feed goes on.
    """

    window: Window
    expected: Expectation
    last_hour: datetime | None = None

    @property
    def missing(self) -> list[datetime]:
        """Closed hours that should hold objects and hold none."""
        return [raw.hour for raw in self.window.closed if not raw.objects and raw.hour in self.expected.hours]

    @property
    def excusable(self) -> bool:
        """Whether all that is missing are first or last hours of a day, each beside one that did arrive."""
        arrived = {raw.hour for raw in (*self.window.closed, *self.window.open) if raw.objects}
        # What lies before the window was beside an hour when that was looked at first.
        arrived.update(raw.hour - hours_.HOUR for raw in self.window.closed[:1])
        return all(
            hour in self.expected.edges and not arrived.isdisjoint(expectations.beside(hour))
            for hour in self.missing
        )

    @property
    def silent(self) -> bool:
        """Whether nothing arrived at all while nothing says that this is right."""
        return self.window.newest is None and bool(self.expected.unknown)


@dataclass(frozen=True)
class Overdue:
    """An hour that is not published as raw holds it, for longer than the target allows."""

    hour: datetime
    since: datetime
    published: bool


def window_hours(feed: Feed, settings: Settings, now: datetime) -> list[datetime]:
    """The closed hours of the look-back window."""
    closed = hours_.closed_until(feed, settings, now)
    start = max(hours_.first_hour(feed, settings), closed - timedelta(hours=settings.lookback_hours))
    return list(hours_.hours_between(start, closed))


def read_window(s3: S3Client, feed: Feed, settings: Settings, now: datetime) -> Window:
    """List the look-back window and the open hours behind it: one LIST a thousand objects."""
    closed = hours_.closed_until(feed, settings, now)
    start = next(iter(window_hours(feed, settings, now)), closed)
    listed = objects.list_hours(s3, settings.bucket, feed, start, hours_.floor_hour(now) + hours_.HOUR)
    in_order = [raw for _, raw in sorted(listed.items())]
    return Window(
        tuple(raw for raw in in_order if raw.hour < closed),
        tuple(raw for raw in in_order if raw.hour >= closed),
    )


def read_arrivals(s3: S3Client, catalog: Catalog, feed: Feed, settings: Settings, now: datetime) -> Arrivals:
    """What arrived in the look-back window beside what was expected; see :mod:`expectations`."""
    window = read_window(s3, feed, settings, now)
    last = settings.last_hours.get(feed.name)
    hours = [raw.hour for raw in window.closed if last is None or raw.hour <= last]
    if feed.expected:
        return Arrivals(window, expectations.declared(feed.expected, hours), last)
    first = hours_.first_hour(feed, settings)
    digests = published_digests(catalog, feed, settings, expectations.samples(hours, first))
    filled = {hour for hour, digest in digests.items() if digest != EMPTY}
    return Arrivals(window, expectations.learnt(hours, filled, first), last)


def published_digests(
    catalog: Catalog, feed: Feed, settings: Settings, hours: Iterable[datetime]
) -> dict[datetime, str]:
    """The digests that published hours were made from: one catalog call a thousand hours.

    An hour that never held an object is not among them, nor is any before the catalog's first table.
    """
    table = tables.compacted_table(feed, settings)
    wanted = [tuple(hours_.partition_values(hour)) for hour in hours]
    try:
        found = catalog.get(table, wanted)
    except catalog.glue.exceptions.EntityNotFoundException:
        return {}  # nothing was ever compacted here
    return {
        hours_.from_partition_values(list(values)): partition.parameters.get("digest", "")
        for values, partition in found.items()
    }


def stale(listed: Iterable[RawHour], digests: Mapping[datetime, str]) -> list[RawHour]:
    """The hours that are not published as raw holds them."""
    return [raw for raw in listed if digests.get(raw.hour, EMPTY) != raw.digest]


def overdue(
    listed: Sequence[RawHour],
    digests: Mapping[datetime, str],
    feed: Feed,
    settings: Settings,
    now: datetime,
) -> list[Overdue]:
    """Closed hours that are stale for longer than the target, counted from their close or last arrival."""
    target = timedelta(minutes=settings.compaction_target_minutes)
    found = []
    for raw in stale(listed, digests):
        closed = raw.hour + hours_.HOUR + closing_delay(feed, settings)
        since = max(closed, raw.last_arrival or closed)
        if now - since > target:
            found.append(Overdue(raw.hour, since, published=raw.hour in digests))
    return found


def closing_delay(feed: Feed, settings: Settings) -> timedelta:
    """How long after its end an hour closes."""
    return timedelta(seconds=feed.buffer_seconds + settings.grace_seconds)


def policies(feed: Feed, settings: Settings) -> dict[dg.AssetKey, dg.FreshnessPolicy]:
    """Dagster's freshness policies of a feed's assets of which an hour is made every hour, an empty one too.

    Processed tables are made when a day holds news, at night for one never. Files of a feed without a stream
    come when somebody sends them. These have none.
    """
    if feed.source == "files":
        return {}
    pulse = hours_.HOUR + closing_delay(feed, settings)
    target = timedelta(minutes=settings.compaction_target_minutes)
    allowed = {"raw": pulse + _MARGIN, "compacted": pulse + target}
    return {
        dg.AssetKey([feed.name, name]): dg.FreshnessPolicy.time_window(
            warn_window=window, fail_window=window + hours_.HOUR
        )
        for name, window in allowed.items()
    }


def with_policies(
    assets: Iterable[dg.AssetSpec | dg.AssetsDefinition], feed: Feed, settings: Settings
) -> list[dg.AssetSpec | dg.AssetsDefinition]:
    """The same assets, those that are made every hour with a freshness policy."""
    known = policies(feed, settings)

    def with_policy(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(freshness_policy=known[spec.key]) if spec.key in known else spec

    return list(dg.map_asset_specs(with_policy, assets))
