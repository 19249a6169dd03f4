"""Delivery of one Firehose stream: buffer by size and by seconds, then one S3 object.

A delivery is a thread that sleeps until a record comes or its buffer is due. What is buffered is let go of
only after its object is in S3; a delivery that fails is tried again with backoff, its records kept, so that
what was acknowledged arrives at least once, over a restart too: :meth:`Delivery.saved` says what is not in S3
yet.
Not here: what feeds it (``delivery_sources.py``), the wire and what is refused there (``firehose.py``).
"""

from __future__ import annotations

import gzip
import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from retail_analytics.embedded import prefixes
from retail_analytics.embedded.delivery_sources import LOOKUP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from retail_analytics.embedded.delivery_sources import Source

LOG = logging.getLogger(__name__)
MEBIBYTE = 1024 * 1024
# A put that wakes a delivery is followed by others; reading them together costs less.
GATHER_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 10.0
MAX_UNDELIVERED_BYTES = 64 * MEBIBYTE


@dataclass(frozen=True)
class Destination:
    """Where and how a delivery stream writes, read anew for each object."""

    bucket: str
    prefix: str
    version: str
    interval_seconds: float = 300.0
    size_bytes: int = 5 * MEBIBYTE
    gzip: bool = False
    extension: str = ""
    delimiter: bytes = b""
    time_zone: str = "UTC"


@dataclass
class Counters:
    """What a delivery did so far."""

    records: int = 0
    bytes: int = 0
    objects: int = 0
    failures: int = 0
    last_error: str | None = None


@dataclass
class Buffer:
    """Records that are not in S3 yet."""

    records: list[bytes] = field(default_factory=list)
    size: int = 0
    oldest_arrival: float | None = None
    since: float | None = None

    def add(self, data: bytes, arrival: float) -> None:
        """Add a record that arrived at ``arrival`` (epoch seconds)."""
        if self.since is None:
            self.since = time.monotonic()
        if self.oldest_arrival is None or arrival < self.oldest_arrival:
            self.oldest_arrival = arrival
        self.records.append(data)
        self.size += len(data)

    def due_in(self, destination: Destination) -> float | None:
        """Seconds until the buffer must be written; None while it is empty."""
        if self.since is None:
            return None
        if self.size >= destination.size_bytes:
            return 0.0
        return max(0.0, self.since + destination.interval_seconds - time.monotonic())


class Delivery:
    """The delivery of one Firehose stream, in a thread of its own."""

    def __init__(
        self,
        name: str,
        source: Source,
        destination: Callable[[], Destination],
        write: Callable[[str, str, bytes], None],
    ) -> None:
        """Make a delivery; it runs after :meth:`start`.

        Args:
            name: The delivery stream's name.
            source: What feeds it.
            destination: Answers the destination as it is configured now.
            write: Puts (bucket, key, bytes) into S3.
        """
        self.name = name
        self.source = source
        self.counters = Counters()
        self.buffer = Buffer()
        self._destination = destination
        self._write = write
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"firehose-{name}", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def saved(self) -> dict[str, Any]:
        """What is not in S3 yet, and the counters: plain data. Takes no lock.

        A record that is in S3 by the time that this is used is delivered once more, none is lost.
        """
        buffer = self.buffer
        kept = [] if self.source.gives_again else list(buffer.records)
        return {
            "source": self.source.saved(),
            "buffered": kept,
            "oldest_arrival": buffer.oldest_arrival if kept else None,
            "counters": {**vars(self.counters)},
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over what :meth:`saved` said, the source's part excepted; to be called before the start."""
        self.counters = Counters(**saved["counters"])
        for data in saved["buffered"]:
            self.buffer.add(data, saved["oldest_arrival"])

    def stop(self, timeout: float = 10.0) -> None:
        """Deliver what is buffered, then end; waits at most ``timeout`` seconds."""
        self._stop.set()
        self.source.wake()
        if self._thread is not threading.current_thread() and self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def overfull(self) -> bool:
        """Whether so much waits for a destination that fails that no more may be taken in."""
        pending = getattr(self.source, "pending_bytes", 0)
        return self.counters.last_error is not None and pending + self.buffer.size > MAX_UNDELIVERED_BYTES

    def _run(self) -> None:
        failures = 0
        while True:
            destination = self._destination()
            self.source.pull(self.buffer, destination.size_bytes)
            due = self.buffer.due_in(destination)
            if due == 0.0 or (due is not None and self._stop.is_set()):
                if self._flush(destination):
                    failures = 0
                    continue
                if self._stop.is_set():
                    return
                failures += 1
                self._stop.wait(min(MAX_BACKOFF_SECONDS, 0.5 * 2**failures))
                continue
            if self._stop.is_set():
                return
            self.source.wait(LOOKUP_SECONDS if due is None else min(due, LOOKUP_SECONDS))
            if due is None or due > GATHER_SECONDS:
                self._stop.wait(GATHER_SECONDS)

    def _flush(self, destination: Destination) -> bool:
        buffer = self.buffer
        assert buffer.oldest_arrival is not None  # noqa: S101
        zone = UTC if destination.time_zone == "UTC" else ZoneInfo(destination.time_zone)
        moment = datetime.fromtimestamp(buffer.oldest_arrival, zone)
        body = b"".join(record + destination.delimiter for record in buffer.records)
        if destination.gzip:
            body = gzip.compress(body, compresslevel=6)
        name = prefixes.object_name(self.name, destination.version, moment, destination.extension)
        try:
            self._write(destination.bucket, prefixes.evaluate(destination.prefix, moment) + name, body)
        except Exception as error:
            self.counters.failures += 1
            self.counters.last_error = f"{type(error).__name__}: {error}"
            LOG.exception(
                "delivery stream %s cannot write to %s; it will try again", self.name, destination.bucket
            )
            return False
        self.counters.records += len(buffer.records)
        self.counters.bytes += buffer.size
        self.counters.objects += 1
        self.counters.last_error = None
        self.buffer = Buffer()
        self.source.commit()
        return True
