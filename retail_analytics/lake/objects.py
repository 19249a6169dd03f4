"""What lies in a raw hour: its objects, and the digest that is its state.

Promise 1: a raw hour *is* its set of (key, etag, size); the digest of that set is the data version that
Dagster sees. Listing is by key range, so that a window of hours costs its own objects and no others.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retail_analytics.lake import hours as hours_

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from mypy_boto3_s3 import S3Client

    from retail_analytics.feeds import Feed

EMPTY = "empty"
"""The digest of an hour without an object."""

_DIGEST_BYTES = 16


@dataclass(frozen=True)
class RawObject:
    """One object of a raw hour, as a listing tells it."""

    key: str
    etag: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class RawHour:
    """A raw hour: its start and its objects, sorted by key."""

    hour: datetime
    objects: tuple[RawObject, ...] = ()

    @property
    def digest(self) -> str:
        """The digest of the set of (key, etag, size), 32 hex digits; ``empty`` for no object."""
        if not self.objects:
            return EMPTY
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        for item in sorted(self.objects, key=lambda item: item.key):
            digest.update(f"{item.key}\0{item.etag}\0{item.size}\n".encode())
        return digest.hexdigest()

    @property
    def size(self) -> int:
        """The bytes of all its objects."""
        return sum(item.size for item in self.objects)

    @property
    def first_arrival(self) -> datetime | None:
        """When its oldest object was written, or None."""
        return min((item.modified for item in self.objects), default=None)

    @property
    def last_arrival(self) -> datetime | None:
        """When its newest object was written, or None."""
        return max((item.modified for item in self.objects), default=None)


def list_objects(
    s3: S3Client, bucket: str, feed: Feed, start: datetime, end: datetime
) -> Iterator[tuple[datetime, RawObject]]:
    """The raw objects of the hours ``[start, end)``, in key order, each with its hour.

    One LIST a thousand objects of the window: keys sort as hours do, so the listing starts at the first
    hour's prefix and stops at the first key behind the last.
    """
    stop = hours_.prefix(feed, end)
    # StartAfter is exclusive; an hour's prefix itself is no object that Firehose writes.
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=feed.raw_root, StartAfter=hours_.prefix(feed, start)
    )
    for page in pages:
        for item in page.get("Contents", ()):
            if item["Key"] >= stop:
                return
            hour = hours_.hour_of_key(feed, item["Key"])
            if hour is not None:
                yield (
                    hour,
                    RawObject(item["Key"], item["ETag"].strip('"'), item["Size"], item["LastModified"]),
                )


def list_hours(
    s3: S3Client, bucket: str, feed: Feed, start: datetime, end: datetime
) -> dict[datetime, RawHour]:
    """Every hour of ``[start, end)`` with its objects; hours without one are there, and empty."""
    found: dict[datetime, list[RawObject]] = {hour: [] for hour in hours_.hours_between(start, end)}
    for hour, item in list_objects(s3, bucket, feed, start, end):
        found[hour].append(item)
    return {hour: RawHour(hour, tuple(items)) for hour, items in found.items()}


def list_until(
    s3: S3Client, bucket: str, feed: Feed, start: datetime, end: datetime, keys: int
) -> dict[datetime, RawHour]:
    """The hours of ``[start, end)``, but none behind the one in which so many keys were read.

    Returns:
        Hours without a gap, beginning with the first; at least that one.
    """
    found: dict[datetime, list[RawObject]] = {}
    reached = end
    for count, (hour, item) in enumerate(list_objects(s3, bucket, feed, start, end)):
        if count >= keys and hour not in found:
            reached = hour
            break
        found.setdefault(hour, []).append(item)
    return {hour: RawHour(hour, tuple(found.get(hour, ()))) for hour in hours_.hours_between(start, reached)}


def list_these(s3: S3Client, bucket: str, feed: Feed, hours: Iterable[datetime]) -> dict[datetime, RawHour]:
    """These hours with their objects: one key range for each stretch without a gap."""
    listed: dict[datetime, RawHour] = {}
    for first, last in hours_.contiguous(sorted(hours)):
        listed |= list_hours(s3, bucket, feed, first, last + hours_.HOUR)
    return listed


def changed(listed: Mapping[datetime, RawHour], known: Mapping[datetime, str]) -> list[RawHour]:
    """The hours whose digest differs from the one that is known of them, in order."""
    return [raw for hour, raw in sorted(listed.items()) if known.get(hour) != raw.digest]
