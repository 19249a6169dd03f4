"""Groups records into the objects of raw hours, in bounded memory.

Here belongs which records share an object. Not here: names (``naming.py``) and uploads (``history.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from retail_analytics.ingest.batching import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from retail_analytics.ingest.records import Record


@dataclass(frozen=True)
class ObjectSizes:
    """How records are cut into objects.

    Attributes:
        objects_per_hour: Into how many objects an hour is cut (into fewer only where it has fewer records):
            small ones, as Firehose's 60-second buffer leaves behind.
        object_bytes: The size that an object may reach: Firehose's 1 MB buffer.
        open_hours: How many hours may be unfinished at a time. An input that is sorted needs two.
        open_bytes: How many bytes of unfinished hours are held.
    """

    objects_per_hour: int = 4
    object_bytes: int = MIB
    open_hours: int = 48
    open_bytes: int = 64 * MIB


@dataclass(frozen=True)
class RawObject:
    """Records that share an object.

    Attributes:
        hour: The start of their hour, aware.
        oldest: The time of the oldest of them, aware; the hour's start where none has a time.
        content: Their bytes, one line each.
        records: How many there are.
    """

    hour: datetime
    oldest: datetime
    content: bytes
    records: int


@dataclass
class _Hour:
    """The records of an unfinished hour."""

    records: list[Record] = field(default_factory=list)
    bytes: int = 0


def group(records: Iterable[Record], fallback: datetime, sizes: ObjectSizes) -> Iterator[RawObject]:
    """Cut records into objects, each within one hour.

    An hour is finished when too many others are open or too many bytes are held: then the one that waited
    longest for a record goes. Of an unsorted input an hour may therefore come in several groups. What comes
    out depends on the records and the sizes alone, never on time: a second run makes the same objects.

    Args:
        records: In the input's order.
        fallback: The hour, aware, of records without a time that come before the first one with a time;
            later ones go with the record before them.
        sizes: How to cut.
    """
    open_hours: dict[datetime, _Hour] = {}
    held = 0
    hour = _start(fallback)
    for record in records:
        if record.event_time is not None:
            hour = _start(record.event_time)
        current = open_hours.pop(hour, None) or _Hour()
        open_hours[hour] = current  # last in the dict's order: most recently written
        current.records.append(record)
        current.bytes += len(record.data)
        held += len(record.data)
        while len(open_hours) > sizes.open_hours or held > sizes.open_bytes:
            oldest = next(iter(open_hours))
            finished = open_hours.pop(oldest)
            held -= finished.bytes
            yield from _cut(oldest, finished, sizes)
    for start, rest in open_hours.items():
        yield from _cut(start, rest, sizes)


def _start(when: datetime) -> datetime:
    return when.replace(minute=0, second=0, microsecond=0)


def _cut(hour: datetime, group: _Hour, sizes: ObjectSizes) -> Iterator[RawObject]:
    """Contiguous runs of about equal size."""
    count = max(sizes.objects_per_hour, -(-group.bytes // sizes.object_bytes))
    target = group.bytes / min(count, len(group.records))
    chunk: list[Record] = []
    done = 0
    written = 0
    for position, record in enumerate(group.records):
        chunk.append(record)
        written += len(record.data)
        left = len(group.records) - position - 1
        missing = min(count, len(group.records)) - done - 1
        if left and (written >= target * (done + 1) or left <= missing):
            yield _object(hour, chunk)
            chunk, done = [], done + 1
    yield _object(hour, chunk)


def _object(hour: datetime, records: list[Record]) -> RawObject:
    times = [record.event_time for record in records if record.event_time is not None]
    content = b"".join(record.data for record in records)
    return RawObject(hour, min(times, default=hour), content, len(records))
