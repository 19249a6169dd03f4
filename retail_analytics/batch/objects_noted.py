"""The objects that published hours were made from, noted beside what was made of them.

One small object a batch, in the folder that its CTAS wrote: its name begins with ``_``, which Athena and
crawlers do not read, and the sweep removes it with the folder. It answers why an hour is stale (which
objects are new, rewritten or gone); nothing that is published depends on it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from retail_analytics.lake import hours as hours_

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from mypy_boto3_s3 import S3Client

    from retail_analytics.lake.objects import RawHour

NAME = "_objects.json"

Objects = dict[str, tuple[str, int]]
"""The objects of an hour: (etag, size) by name, without the hour's prefix."""


@dataclass(frozen=True)
class Changes:
    """How many objects of an hour differ from those that it was made from before."""

    added: int = 0
    rewritten: int = 0
    removed: int = 0

    def __str__(self) -> str:
        return f"objects: {self.added} added, {self.rewritten} rewritten, {self.removed} removed"

    def dumps(self) -> str:
        """As it is noted on a partition."""
        return f"{self.added},{self.rewritten},{self.removed}"

    @classmethod
    def loads(cls, text: str) -> Changes:
        """The inverse of :meth:`dumps`."""
        added, rewritten, removed = (int(number) for number in text.split(","))
        return cls(added, rewritten, removed)


@dataclass(frozen=True)
class Difference:
    """The names of the objects that differ, sorted."""

    added: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def changes(self) -> Changes:
        """How many they are."""
        return Changes(len(self.added), len(self.rewritten), len(self.removed))


def objects_of(raw: RawHour) -> Objects:
    """The objects of a raw hour as they are noted."""
    return {hours_.name_in_hour(item.key): (item.etag, item.size) for item in raw.objects}


def difference(before: Objects, now: Objects) -> Difference:
    """What differs between two sets of objects of one hour."""
    return Difference(
        added=tuple(sorted(now.keys() - before.keys())),
        rewritten=tuple(sorted(name for name in now.keys() & before.keys() if now[name] != before[name])),
        removed=tuple(sorted(before.keys() - now.keys())),
    )


def note(s3: S3Client, location: str, batch: Iterable[RawHour]) -> None:
    """Note in a written location the objects that each hour of its batch was made from: one PUT."""
    bucket, key = _place(location)
    document = {hours_.part(raw.hour): objects_of(raw) for raw in batch}
    body = json.dumps(document, separators=(",", ":")).encode()
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")


def read(s3: S3Client, places: Mapping[datetime, str]) -> dict[datetime, Objects]:
    """The objects that hours were made from, given where they are published: one GET for each folder.

    Hours whose objects were not noted are left out.

    Args:
        s3: A client for the lake.
        places: Hour to the location of its published partition.
    """
    hours_in: dict[tuple[str, str], list[datetime]] = {}
    for hour, location in places.items():
        hours_in.setdefault(_place(location.rstrip("/").rsplit("/", 1)[0]), []).append(hour)
    found: dict[datetime, Objects] = {}
    for (bucket, key), hours in sorted(hours_in.items()):
        document = _read_one(s3, bucket, key)
        for hour in hours:
            listed = document.get(hours_.part(hour))
            if listed is not None:
                found[hour] = {name: (etag, size) for name, (etag, size) in listed.items()}
    return found


def _read_one(s3: S3Client, bucket: str, key: str) -> dict[str, dict[str, tuple[str, int]]]:
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        # Published before objects were noted; what differs is then not known, which is no fault.
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return {}
    document: dict[str, dict[str, tuple[str, int]]] = json.loads(body)
    return document


def _place(location: str) -> tuple[str, str]:
    """(bucket, key) of the note in a written location."""
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    return bucket, f"{prefix.rstrip('/')}/{NAME}"
