"""Cuts a stream of records into full batches within a service's limits.

Not here: sending them, and what happens to those that are refused (``producer.py``).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from retail_analytics.ingest.records import Record

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class Limits:
    """What one request may hold.

    Attributes:
        records: How many records.
        request_bytes: How many bytes, all records together, counted as the service counts.
        record_bytes: How many bytes one record.
    """

    records: int
    request_bytes: int
    record_bytes: int

    def with_records(self, records: int) -> Limits:
        """The same with fewer records a request."""
        return replace(self, records=max(1, min(records, self.records)))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record that has not got in yet.

    Attributes:
        record: The record.
        size: Its size as the service counts it.
        refused_at: When it was first refused, on the producer's clock; None where it never was.
    """

    record: Record
    size: int
    refused_at: float | None = None


class Batcher:
    """Takes records from a source in order, refused ones first, in batches that are as full as they may be.

    Args:
        source: The records.
        limits: What a batch may hold.
        size: How the service counts a record's bytes.
        too_large: Told of each record that no request may hold; it is in no batch.
    """

    def __init__(
        self,
        source: Iterable[Record],
        limits: Limits,
        size: Callable[[Record], int],
        too_large: Callable[[Record, int], None],
    ) -> None:
        self._source: Iterator[Record] = iter(source)
        self._limits = limits
        self._size = size
        self._too_large = too_large
        self._again: deque[Waiting] = deque()

    def put_back(self, refused: Iterable[Waiting]) -> None:
        """Give refused records back: they go into the next batches, before new ones."""
        self._again.extend(refused)

    def abandon(self) -> list[Waiting]:
        """Take the records that were read and are not in any batch, and read no more."""
        left = list(self._again)
        self._again.clear()
        self._source = iter(())
        return left

    def next(self) -> list[Waiting]:
        """The next batch; empty where there is nothing left to send now."""
        batch: list[Waiting] = []
        room = self._limits.request_bytes
        try:
            while len(batch) < self._limits.records and (waiting := self._take()) is not None:
                if waiting.size > room:
                    self._again.appendleft(waiting)
                    break
                room -= waiting.size
                batch.append(waiting)
        except BaseException:
            self._again.extendleft(reversed(batch))  # a source that breaks takes no record with it
            raise
        return batch

    def _take(self) -> Waiting | None:
        if self._again:
            return self._again.popleft()
        for record in self._source:
            size = self._size(record)
            if size <= self._limits.record_bytes:
                return Waiting(record, size)
            self._too_large(record, size)
        return None
