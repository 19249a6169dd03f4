"""The event source mapping: hands a Kinesis stream's records to a function, shard by shard, in order.

One thread a mapping finds shards, one thread a shard reads, calls and checkpoints; all sleep until the
stream says that there is news. Honoured are batch size and window, partial-batch answers, bisecting, limits
on retries and record age, and the on-failure destination; a child shard waits for its parents. Not here: the
function's process (``worker.py``), events and answers (``batches.py``), failure documents (``failures.py``).
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from retail_analytics.embedded import failures
from retail_analytics.embedded.batches import first_failure, kinesis_event, within_bytes
from retail_analytics.embedded.failures import GivenUp
from retail_analytics.embedded.streams import find_stream
from retail_analytics.embedded.worker import FunctionError, Worker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from retail_analytics.embedded.functions import FunctionSpec
    from retail_analytics.embedded.shards import OrderedShard, StreamRecord
    from retail_analytics.embedded.streams import OrderedStream

LOG = logging.getLogger(__name__)
DISCOVERY_SECONDS = 0.5
IDLE_SECONDS = 1.0
FIRST_BACKOFF_SECONDS = 0.2
# AWS waits up to a minute; here somebody is watching.
MAX_BACKOFF_SECONDS = 5.0


@dataclass(frozen=True)
class Batch:
    """Records to hand over together, and how often that was tried."""

    records: list[StreamRecord]
    calls: int = 0
    error: str = ""


@dataclass
class Counters:
    """What a mapping did so far."""

    calls: int = 0
    records_done: int = 0
    failed_calls: int = 0
    records_given_up: int = 0
    last_error: str | None = None


class ShardReader:
    """Reads one shard for one mapping."""

    def __init__(
        self, mapping: EventSourceMapping, stream: OrderedStream, shard: OrderedShard, position: int
    ) -> None:
        self.mapping = mapping
        self.stream = stream
        self.shard = shard
        self.position = position
        self.finished = False
        self._stop = mapping.stopping
        self._spec = mapping.spec
        self._worker = mapping.new_worker()
        self.thread = threading.Thread(
            target=self._run, name=f"{self._spec.name}-{shard.shard_id}", daemon=True
        )

    def _run(self) -> None:
        while not self.finished:
            try:
                records = self._gather()
                if records is None:
                    self.finished = True
                else:
                    self._process(Batch(records))
            except Exception:
                # A fault of ours must not stall the shard for good: what was not checkpointed comes again.
                LOG.exception("function %s: shard %s is read again", self._spec.name, self.shard.shard_id)
                self._stop.wait(IDLE_SECONDS)
        self._worker.stop()

    def _gather(self) -> list[StreamRecord] | None:
        """Wait for a batch; None when the shard has ended, the stream is gone or the mapping stops."""
        first_seen: float | None = None
        with self.stream.changed:
            while not self._stop.is_set() and not self.stream.deleted:
                records = within_bytes(self.shard.after(self.position, self._spec.batch_size))
                if records:
                    first_seen = first_seen or time.monotonic()
                    waited = time.monotonic() - first_seen
                    full = len(records) >= self._spec.batch_size
                    if full or waited >= self._spec.batch_window_seconds or not self.shard.is_open:
                        return records
                    self.stream.changed.wait(min(IDLE_SECONDS, self._spec.batch_window_seconds - waited))
                elif not self.shard.is_open:
                    return None
                else:
                    self.stream.changed.wait(IDLE_SECONDS)
        return None

    def _process(self, batch: Batch) -> None:
        pending = [batch]
        while pending and not self._stop.is_set():
            current = self._drop_expired(pending.pop())
            if not current.records:
                continue
            failed_from, error = self._call(current.records)
            if failed_from is None:
                self._done(current.records)
                continue
            self._done(current.records[:failed_from])
            rest = current.records[failed_from:]
            # Progress starts the count anew: it is the record at the head that is tried again.
            calls = 1 if failed_from else current.calls + 1
            if self._spec.bisect_batch_on_error and failed_from == 0 and len(rest) > 1:
                # Bisecting uses up no retries.
                middle = len(rest) // 2
                pending += [Batch(rest[middle:]), Batch(rest[:middle])]
                continue
            limit = self._spec.maximum_retry_attempts
            if limit != -1 and calls > limit:
                self._give_up(GivenUp(rest, "RetryAttemptsExhausted", calls, error))
                continue
            pending.append(Batch(rest, calls, error))
            self._stop.wait(min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(calls, 10)))

    def _drop_expired(self, batch: Batch) -> Batch:
        age = self._spec.maximum_record_age_seconds
        if age == -1:
            return batch
        oldest = time.time() - age
        expired = [record for record in batch.records if record.created_at < oldest]
        if expired:
            self._give_up(GivenUp(expired, "RecordAgeExceeded", batch.calls, batch.error))
        return replace(batch, records=batch.records[len(expired) :])

    def _call(self, records: list[StreamRecord]) -> tuple[int | None, str]:
        """Call the function; answers where the failed records begin (None: nowhere) and the error."""
        counters = self.mapping.counters
        event = kinesis_event(self.stream, self.shard.shard_id, records, self._spec.name)
        counters.calls += 1
        try:
            answer = self._worker.invoke(event)
        except FunctionError as error:
            failed_from: int | None = 0
            message = str(error)
        else:
            failed_from = first_failure(answer, records) if self._spec.report_batch_item_failures else None
            message = f"its answer names failed records, from number {failed_from}; see its log"
        if failed_from is not None:
            counters.failed_calls += 1
            counters.last_error = message
            LOG.warning(
                "function %s failed from record %d of %d: %s",
                self._spec.name,
                failed_from,
                len(records),
                message,
            )
        return failed_from, message

    def _done(self, records: list[StreamRecord]) -> None:
        if records:
            self.mapping.counters.records_done += len(records)
            self._checkpoint(records)

    def _give_up(self, batch: GivenUp) -> None:
        payload = kinesis_event(self.stream, self.shard.shard_id, list(batch.records), self._spec.name)
        try:
            failures.send(self._spec, self.stream, self.shard.shard_id, batch, payload)
        except Exception:
            LOG.exception(
                "function %s: the on-failure destination %s failed", self._spec.name, self._spec.on_failure
            )
        self.mapping.counters.records_given_up += len(batch.records)
        self._checkpoint(list(batch.records))

    def _checkpoint(self, records: list[StreamRecord]) -> None:
        self.position = records[-1].sequence_number
        self.mapping.checkpoints[self.shard.shard_id] = self.position

    def iterator_age_ms(self) -> int:
        """The age of the oldest record that is not done, in milliseconds."""
        with self.stream.changed:
            waiting = self.shard.after(self.position, 1)
        return int((time.time() - waiting[0].created_at) * 1000) if waiting else 0


class EventSourceMapping:
    """One function on one stream."""

    def __init__(
        self,
        spec: FunctionSpec,
        region: str,
        environment: Mapping[str, str],
        log_dir: Path,
        positions: Mapping[str, int] | None = None,
    ) -> None:
        """Describe a mapping; it works after :meth:`start`.

        Args:
            spec: The function.
            region: The stream's region.
            environment: What every function has beside its own variables.
            log_dir: Where the functions' logs go.
            positions: Where an earlier mapping had come in each shard, as :meth:`positions` said.
        """
        self.spec = spec
        self.counters = Counters()
        self.checkpoints: dict[str, int] = dict(positions or {})
        self.stopping = threading.Event()
        self._region = region
        self._environment = environment
        self._log_dir = log_dir
        self._stream: OrderedStream | None = None
        self._readers: dict[str, ShardReader] = {}
        self._thread = threading.Thread(target=self._run, name=f"mapping-{spec.name}", daemon=True)

    def start(self) -> None:
        """Begin to look for the stream and its shards."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """End the mapping and its processes; a call under way has ``timeout`` seconds to finish."""
        self.stopping.set()
        if self._stream is not None:
            with self._stream.changed:
                self._stream.changed.notify_all()
        deadline = time.monotonic() + timeout
        for reader in self._readers.values():
            reader.thread.join(max(0.0, deadline - time.monotonic()))
        self._thread.join(1.0)

    def positions(self) -> dict[str, int]:
        """For each shard the last record that is done, or where reading began. Takes no lock."""
        return {
            **self.checkpoints,
            **{shard: reader.position for shard, reader in list(self._readers.items())},
        }

    def new_worker(self) -> Worker:
        """A process of the function, for one shard."""
        return Worker(self.spec, self._region, self._environment, self._log_dir)

    def status(self) -> dict[str, Any]:
        """Counters and iterator age, as plain JSON."""
        return {
            "function": self.spec.name,
            "stream": self.spec.stream,
            "shards": len(self._readers),
            "iterator_age_ms": max((r.iterator_age_ms() for r in self._readers.values()), default=0),
            **vars(self.counters),
        }

    def _run(self) -> None:
        while not self.stopping.is_set():
            stream = find_stream(self._region, self.spec.stream)
            if stream is not self._stream:
                # The readers of a stream that is gone end by themselves.
                self._readers = {}
                self.checkpoints = {} if self._stream is not None else self.checkpoints
                self._stream = stream
                # A shard of a stream that an earlier mapping read is no new sight, whichever it had come to.
                first_sight = not self.checkpoints
            if stream is not None:
                self._read_new_shards(stream, first_sight=first_sight)
                first_sight = False
            self.stopping.wait(DISCOVERY_SECONDS)

    def _read_new_shards(self, stream: OrderedStream, *, first_sight: bool) -> None:
        with stream.changed:
            shards = list(stream.shards.values())
        for shard in shards:
            if shard.shard_id in self._readers or not self._parents_done(shard, stream):
                continue
            latest = first_sight and self.spec.starting_position == "LATEST"
            start = shard.get_max_sequence_number() if latest else 0
            position = self.checkpoints.get(shard.shard_id, start)
            reader = ShardReader(self, stream, shard, position)  # type: ignore[arg-type]
            self._readers[shard.shard_id] = reader
            reader.thread.start()

    def _parents_done(self, shard: OrderedShard | Any, stream: OrderedStream) -> bool:
        for parent in filter(None, (shard.parent, shard.adjacent_parent)):
            reader = self._readers.get(parent)
            if parent in stream.shards and (reader is None or not reader.finished):
                return False
        return True
