"""Sends records: full batches, several at a time, and only what was refused goes again.

At least once: a batch whose answer was lost is sent again as a whole, and record ids remove the copies
downstream. Here belong the order of events, backoff, pace and the accounting. Not here: what a service's
call looks like (``services.py``), where records come from, and anything about a terminal.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from retail_analytics.ingest.batching import Batcher, Waiting
from retail_analytics.ingest.errors import IngestError
from retail_analytics.ingest.remote import TRANSIENT_CODES, code_of, is_transient
from retail_analytics.ingest.services import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from retail_analytics.ingest.records import Record
    from retail_analytics.ingest.services import Service

_EXAMPLES = 10
_PACED_BATCHES_A_SECOND = 4


@dataclass(frozen=True)
class Options:
    """How a producer sends.

    Attributes:
        workers: How many batches are in flight at a time.
        rate: Records per second at most; None for as many as go.
        patience: Seconds for which a record is tried again before sending ends.
        first_backoff: Seconds of the first pause after a refusal; it doubles with each refusal in a row.
        longest_backoff: Seconds of the longest pause.
    """

    workers: int = 4
    rate: float | None = None
    patience: float = 120.0
    first_backoff: float = 0.1
    longest_backoff: float = 5.0


@dataclass(frozen=True)
class Sent:
    """What became of the records that a producer was given.

    Attributes:
        sent: Records that the service took.
        bytes: Their bytes as the service counts them.
        batches: Calls that were made.
        retried: Records sent again, counted each time.
        failed: Records that were read and did not get in.
        seconds: How long it took.
        interrupted: Whether it was told to stop.
        problem: Why it ended early, one sentence; None where it did not.
        failures: The first few of what failed, as ``line 17: …``.
    """

    sent: int
    bytes: int
    batches: int
    retried: int
    failed: int
    seconds: float
    interrupted: bool = False
    problem: str | None = None
    failures: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything was read and everything got in."""
        return not (self.failed or self.interrupted or self.problem)


@dataclass
class _Tally:
    """The accounts while sending."""

    sent: int = 0
    bytes: int = 0
    batches: int = 0
    retried: int = 0
    failed: int = 0
    problem: str | None = None
    failures: list[str] = field(default_factory=list)

    def lose(self, line: int, reason: str) -> None:
        """Account for a record that did not get in."""
        self.failed += 1
        if len(self.failures) < _EXAMPLES:
            self.failures.append(f"line {line}: {reason}")


@dataclass(frozen=True, slots=True)
class _Flight:
    """A batch on its way."""

    batch: list[Waiting]
    level: int


class Producer:
    """Sends records to a service.

    Args:
        service: Where to.
        options: How.
        progress: Told after each call how many records have got in so far.
        clock: Seconds that never go back; tests give their own.
        rng: Source of the jitter.
    """

    def __init__(
        self,
        service: Service,
        options: Options | None = None,
        *,
        progress: Callable[[int], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._service = service
        self._options = options or Options()
        self._progress = progress
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 -- jitter
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End soon: batches in flight are finished, nothing more is read. Safe in a signal handler."""
        self._stopped.set()

    def send(self, records: Iterable[Record]) -> Sent:
        """Send all records, or as many as go before something ends it.

        What goes wrong with a record, with the service or with the input (an ``IngestError`` of ``records``
        itself) is told in the result and raises nothing.
        """
        return _Sending(
            self._service, self._options, records, self._progress, self._clock, self._rng, self._stopped
        ).run()


class _Sending:
    """One call of :meth:`Producer.send`: its state, which only the calling thread touches."""

    def __init__(
        self,
        service: Service,
        options: Options,
        records: Iterable[Record],
        progress: Callable[[int], None] | None,
        clock: Callable[[], float],
        rng: random.Random,
        stopped: threading.Event,
    ) -> None:
        self.service = service
        self.options = options
        self.progress = progress
        self.clock = clock
        self.rng = rng
        self.stopped = stopped
        self.tally = _Tally()
        self.flights: dict[Future[list[Refused]], _Flight] = {}
        self.level = 0
        self.resume_at = 0.0
        limits = service.limits
        if options.rate is not None:
            # Small batches at a low rate: records flow evenly rather than in bursts.
            limits = limits.with_records(int(options.rate / _PACED_BATCHES_A_SECOND))
        self.batcher = Batcher(records, limits, service.size, self._too_large)

    def run(self) -> Sent:
        started = self.clock()
        with ThreadPoolExecutor(self.options.workers, thread_name_prefix="put") as pool:
            try:
                while not self._over() and ((batch := self.batcher.next()) or self.flights):
                    if batch:
                        self._launch(pool, batch)
                    else:
                        self._land()
            except IngestError as error:
                self.tally.problem = str(error)
            finally:
                while self.flights:
                    self._land()
        for waiting in self.batcher.abandon():
            self.tally.lose(waiting.record.line, self.tally.problem or "interrupted before it was sent")
        tally = self.tally
        return Sent(
            sent=tally.sent,
            bytes=tally.bytes,
            batches=tally.batches,
            retried=tally.retried,
            failed=tally.failed,
            seconds=self.clock() - started,
            interrupted=self.stopped.is_set() and tally.problem is None,
            problem=tally.problem,
            failures=tuple(tally.failures),
        )

    def _over(self) -> bool:
        return self.stopped.is_set() or self.tally.problem is not None

    def _launch(self, pool: ThreadPoolExecutor, batch: list[Waiting]) -> None:
        """Send a batch as soon as there is a free worker, the backoff is over and the pace allows it."""
        while len(self.flights) >= self.options.workers:
            self._land()
        self._pause()
        if self._over():
            self.batcher.put_back(batch)
            return
        if self.options.rate is not None:
            self.resume_at = max(self.resume_at, self.clock()) + len(batch) / self.options.rate
        self.tally.batches += 1
        self.tally.retried += sum(waiting.refused_at is not None for waiting in batch)
        future = pool.submit(self.service.put, [waiting.record for waiting in batch])
        self.flights[future] = _Flight(batch, self.level)

    def _pause(self) -> None:
        while (seconds := self.resume_at - self.clock()) > 0 and not self.stopped.wait(seconds):
            pass

    def _land(self) -> None:
        """Wait until a batch is back and account for it."""
        done, _ = wait(self.flights, return_when=FIRST_COMPLETED)
        for future in done:
            flight = self.flights.pop(future)
            self._settle(flight, self._refusals(future, flight.batch))
        if self.progress is not None:
            self.progress(self.tally.sent)

    def _refusals(self, future: Future[list[Refused]], batch: list[Waiting]) -> list[Refused]:
        """What of a batch was refused: by the service one by one, or all of it where the call failed."""
        try:
            refused = future.result()
        except (ClientError, BotoCoreError) as error:
            if not is_transient(error):
                self.tally.problem = self.tally.problem or str(self.service.explain(error))
            return [Refused(index, code_of(error), str(error)) for index in range(len(batch))]
        for one in refused:
            if one.code not in TRANSIENT_CODES and self.tally.problem is None:
                self.tally.problem = f"The service refuses records for good ({one.code}: {one.message})."
        return refused

    def _settle(self, flight: _Flight, refused: list[Refused]) -> None:
        out = {one.position: one for one in refused}
        taken = [waiting for index, waiting in enumerate(flight.batch) if index not in out]
        self.tally.sent += len(taken)
        self.tally.bytes += sum(waiting.size for waiting in taken)
        self._adjust_backoff(flight, len(taken), len(out))
        now = self.clock()
        again: list[Waiting] = []
        for index in sorted(out):
            waiting = flight.batch[index]
            since = now if waiting.refused_at is None else waiting.refused_at
            again.append(Waiting(waiting.record, waiting.size, since))
            if now - since >= self.options.patience and self.tally.problem is None:
                codes = ", ".join(sorted(Counter(one.code for one in refused)))
                self.tally.problem = (
                    f"Records are still refused ({codes}) after {self.options.patience:g} s; run the same "
                    "command again later: record ids keep what was sent already from counting twice."
                )
        self.batcher.put_back(again)

    def _adjust_backoff(self, flight: _Flight, taken: int, refused: int) -> None:
        """Pause after a refusal: longer each time a whole batch is refused, not while some records get in."""
        if not refused:
            self.level = 0
            return
        if not self.level or (flight.level == self.level and not taken):
            self.level += 1  # once for all batches that were in flight together
        longest = min(self.options.longest_backoff, self.options.first_backoff * 2 ** (self.level - 1))
        self.resume_at = max(self.resume_at, self.clock() + longest * self.rng.uniform(0.5, 1.0))

    def _too_large(self, record: Record, size: int) -> None:
        limit = self.service.limits.record_bytes
        self.tally.lose(record.line, f"its {size:,} bytes are more than the {limit:,} of a record")
