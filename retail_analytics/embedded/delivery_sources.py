"""What feeds a Firehose delivery: records put into it, or a Kinesis stream read inside this process.

A source says what a source of its kind is made with after a restart, so that what was acknowledged arrives.
Not here: buffering and writing (``delivery.py``).
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from retail_analytics.embedded.delivery import Buffer
    from retail_analytics.embedded.streams import OrderedStream

# A stream that was deleted and made again is another object: look it up again this often.
LOOKUP_SECONDS = 1.0


class Source(Protocol):
    """What feeds a delivery."""

    def wait(self, timeout: float) -> None:
        """Sleep until there may be something new, at most ``timeout`` seconds."""

    def pull(self, buffer: Buffer, limit_bytes: int) -> None:
        """Move records into the buffer until it holds ``limit_bytes`` or the source is empty."""

    def wake(self) -> None:
        """End a wait."""

    def commit(self) -> None:
        """Note that all that was pulled is in S3."""

    def saved(self) -> dict[str, Any]:
        """What a source of this kind is made with after a restart. Takes no lock."""

    @property
    def gives_again(self) -> bool:
        """Whether it will give again, after a restart, what was pulled and not committed."""


class DirectSource:
    """Records that were put into the delivery stream itself."""

    gives_again = False

    def __init__(self, pending: Iterable[tuple[bytes, float]] = ()) -> None:
        """Begin with records, and the times of their arrival, that an earlier process had taken in."""
        self._condition = threading.Condition()
        self._pending: list[tuple[bytes, float]] = list(pending)
        self._woken = False
        self.pending_bytes = sum(len(data) for data, _ in self._pending)

    def put(self, records: Iterable[bytes]) -> None:
        """Take records in; they are buffered from now on."""
        now = time.time()
        with self._condition:
            for data in records:
                self._pending.append((data, now))
                self.pending_bytes += len(data)
            self._condition.notify_all()

    def wait(self, timeout: float) -> None:
        """Sleep until a record is put."""
        with self._condition:
            if not self._pending and not self._woken:
                self._condition.wait(timeout)
            self._woken = False

    def pull(self, buffer: Buffer, limit_bytes: int) -> None:
        """Move what was put into the buffer."""
        with self._condition:
            taken = 0
            for data, arrival in self._pending:
                if buffer.size >= limit_bytes:
                    break
                buffer.add(data, arrival)
                self.pending_bytes -= len(data)
                taken += 1
            del self._pending[:taken]

    def wake(self) -> None:
        """End a wait."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def commit(self) -> None:
        """Nothing: what is pulled is the buffer's from then on."""

    def saved(self) -> dict[str, Any]:
        """What no buffer has taken yet."""
        return {"pending": list(self._pending)}


class StreamSource:
    """Records of a Kinesis stream, from where it stood when the delivery stream was made, as AWS does it.

    Attributes:
        positions: For each shard the last record that was pulled.
        committed: For each shard the last record that is in S3.
        gives_again: Whether the stream still holds what was pulled and not committed.
    """

    def __init__(
        self, find: Callable[[], OrderedStream | None], positions: dict[str, int] | None = None
    ) -> None:
        """Read from the stream's end, or from where an earlier process had come."""
        self._find = find
        self._stream: OrderedStream | None = find()
        self.positions: dict[str, int] = dict(positions or {})
        self.gives_again = True
        self._woken = False
        if self._stream is not None and positions is None:
            with self._stream.changed:
                for shard_id, shard in self._stream.shards.items():
                    self.positions[shard_id] = shard.get_max_sequence_number()
        self.committed = dict(self.positions)

    def _current(self) -> OrderedStream | None:
        stream = self._find()
        if stream is not self._stream:
            # Deleted, or made again under the same name: a new stream is read from its beginning.
            self._stream = stream
            self.positions = {}
            self.committed = {}
            self.gives_again = False
        return stream

    def wait(self, timeout: float) -> None:
        """Sleep until a record is put into the stream."""
        stream = self._current()
        if stream is None:
            time.sleep(min(timeout, LOOKUP_SECONDS))
            return
        with stream.changed:
            if not self._woken and not self._has_news(stream):
                stream.changed.wait(timeout)
            self._woken = False

    def _has_news(self, stream: OrderedStream) -> bool:
        return any(
            shard.get_max_sequence_number() > self.positions.get(shard_id, 0) and shard.records
            for shard_id, shard in stream.shards.items()
        )

    def pull(self, buffer: Buffer, limit_bytes: int) -> None:
        """Move new records of every shard into the buffer."""
        stream = self._current()
        if stream is None:
            return
        with stream.changed:
            for shard_id, shard in stream.shards.items():
                for record in shard.after(self.positions.get(shard_id, 0), len(shard.records)):  # type: ignore[attr-defined]
                    if buffer.size >= limit_bytes:
                        return
                    buffer.add(record.data, record.created_at)
                    self.positions[shard_id] = record.sequence_number

    def wake(self) -> None:
        """End a wait."""
        stream = self._stream
        if stream is not None:
            with stream.changed:
                self._woken = True
                stream.changed.notify_all()

    def commit(self) -> None:
        """Note that all that was pulled is in S3."""
        self.committed = dict(self.positions)
        self.gives_again = True

    def saved(self) -> dict[str, Any]:
        """Where to read on: after what is in S3."""
        return {"positions": dict(self.committed)}
