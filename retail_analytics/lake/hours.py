"""Hours and days: how they are named everywhere, and when an hour is closed.

One place makes partition keys (Dagster), partition values (Glue) and prefixes (S3) from an hour, so that
no two of them can disagree. Not here: what lies in an hour (``objects.py``).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

KEY_FORMAT = "%Y-%m-%d-%H:%M"
"""Dagster's format of an hourly partition key."""

DAY_KEY_FORMAT = "%Y-%m-%d"

PART_FORMAT = "%Y-%m-%d-%H"
"""An hour as one value, where it names a folder or a partition of a temporary table."""

HOUR_KEYS: tuple[tuple[str, str], ...] = (("year", "int"), ("month", "int"), ("day", "int"), ("hour", "int"))
"""The partition columns of every table by hour, with their Athena types."""

_HOUR_IN_KEY = re.compile(r"year=(\d{4})/month=(\d{2})/day=(\d{2})/hour=(\d{2})/")
_TIMESTAMP = re.compile(r"!\{timestamp:(\w+)\}")
_JAVA_TO_STRFTIME = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H"}


def floor_hour(moment: datetime) -> datetime:
    """The hour that an aware moment lies in."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def partition_key(hour: datetime) -> str:
    """The hour as Dagster's partition key, ``2010-12-01-08:00``."""
    return hour.strftime(KEY_FORMAT)


def from_partition_key(key: str) -> datetime:
    """The inverse of :func:`partition_key`."""
    return datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC)


def partition_values(hour: datetime) -> list[str]:
    """The hour as Glue's partition values, zero-padded as in the prefix: ``['2010', '12', '01', '08']``.

    Glue knows a partition by these strings, so they are made here only, and never read back from what
    Athena writes (where the int 8 becomes ``8``).
    """
    return [hour.strftime(pattern) for pattern in ("%Y", "%m", "%d", "%H")]


def from_partition_values(values: list[str]) -> datetime:
    """The inverse of :func:`partition_values`."""
    year, month, day_of_month, hour = (int(value) for value in values)
    return datetime(year, month, day_of_month, hour, tzinfo=UTC)


def part(hour: datetime) -> str:
    """The hour as one value, ``2010-12-01-08``."""
    return hour.strftime(PART_FORMAT)


def from_part(value: str) -> datetime:
    """The inverse of :func:`part`."""
    return datetime.strptime(value, PART_FORMAT).replace(tzinfo=UTC)


def day_key(day: date) -> str:
    """The day as Dagster's partition key and as Glue's partition value, ``2010-12-01``."""
    return day.strftime(DAY_KEY_FORMAT)


def from_day_key(key: str) -> date:
    """The inverse of :func:`day_key`."""
    return date.fromisoformat(key)


def prefix(feed: Feed, hour: datetime) -> str:
    """The S3 prefix of a raw hour: the feed's prefix with its expressions evaluated."""
    return _TIMESTAMP.sub(lambda match: hour.strftime(_JAVA_TO_STRFTIME[match[1]]), feed.prefix)


def hour_of_key(feed: Feed, key: str) -> datetime | None:
    """The hour that an object's key lies in, or None for a key that is no raw object of the feed.

    Firehose writes no folders into an hour; if somebody does, what is in them is the hour's, since Athena
    reads it. Both leave out what lies behind a name that begins with ``_`` or ``.``, and folders themselves.
    """
    if not key.startswith(feed.raw_root):
        return None
    match = _HOUR_IN_KEY.match(key, len(feed.raw_root))
    if (
        match is None
        or key.endswith("/")
        or any(part[:1] in ("_", ".") for part in name_in_hour(key).split("/"))
    ):
        return None
    try:
        return from_partition_values(list(match.groups()))
    except ValueError:
        return None


def name_in_hour(key: str) -> str:
    """What an object is called in its hour: what follows the hour in its key."""
    match = _HOUR_IN_KEY.search(key)
    return key[match.end() :] if match else key.rsplit("/", 1)[-1]


def hour_named_in(key: str) -> datetime | None:
    """The hour that a key of a delivery stream names, an error object's too; None where it names none."""
    match = _HOUR_IN_KEY.search(key)
    return from_partition_values(list(match.groups())) if match else None


def hours_between(start: datetime, end: datetime) -> Iterator[datetime]:
    """The hours of ``[start, end)``."""
    while start < end:
        yield start
        start += HOUR


def first_hour(feed: Feed, settings: Settings) -> datetime:
    """The first hour that the feed has in this deployment."""
    return settings.first_hours.get(feed.name, feed.first_hour)


def closed_until(feed: Feed, settings: Settings, now: datetime) -> datetime:
    """The end of the last closed hour.

    An hour is closed when its end, plus Firehose's buffer, plus a grace, has passed: until then an
    object may still be on its way to it in the ordinary course of things.
    """
    return floor_hour(now - timedelta(seconds=feed.buffer_seconds + settings.grace_seconds))


Moment = TypeVar("Moment", date, datetime)


def contiguous(hours: Iterable[datetime]) -> list[tuple[datetime, datetime]]:
    """Group sorted hours into runs without a gap, each as (first, last), both included."""
    return _runs(hours, HOUR)


def contiguous_days(days: Iterable[date]) -> list[tuple[date, date]]:
    """Group sorted days into runs without a gap, each as (first, last), both included."""
    return _runs(days, DAY)


def _runs(moments: Iterable[Moment], step: timedelta) -> list[tuple[Moment, Moment]]:
    runs: list[tuple[Moment, Moment]] = []
    for moment in moments:
        if runs and runs[-1][1] + step == moment:
            runs[-1] = (runs[-1][0], moment)
        else:
            runs.append((moment, moment))
    return runs


def hours_predicate(hours: Iterable[datetime]) -> str:
    """An SQL predicate on year, month, day and hour that is true of these hours and no others.

    Plain comparisons of partition columns with constants, which Athena prunes by.
    """
    by_day: dict[date, list[int]] = {}
    for hour in sorted(set(hours)):
        by_day.setdefault(hour.date(), []).append(hour.hour)
    if not by_day:
        return "false"
    return "(" + " OR ".join(_day_predicate(day, day_hours) for day, day_hours in by_day.items()) + ")"


def _day_predicate(day: date, hours: list[int]) -> str:
    listed = ", ".join(str(hour) for hour in hours)
    return f"(year = {day.year} AND month = {day.month} AND day = {day.day} AND hour IN ({listed}))"
