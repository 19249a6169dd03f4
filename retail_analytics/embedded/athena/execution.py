"""The life of a query: queued, running, and one of three ends.

Belongs here: states, times, the pool of slots. Does not belong here: the wire (`backend.py`).
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import duckdb

from retail_analytics.embedded.athena import statements
from retail_analytics.embedded.athena.errors import (
    SYSTEM_ERROR,
    QueryCancelledError,
    QueryFailedError,
)
from retail_analytics.embedded.athena.results import Result
from retail_analytics.embedded.athena.session import Session

if TYPE_CHECKING:
    from retail_analytics.embedded.athena.engine import Engine
    from retail_analytics.embedded.athena.session import Prepared, Request

logger = logging.getLogger(__name__)

FINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
_ERROR_TYPES = {
    "TABLE_NOT_FOUND": 1006,
    "SCHEMA_NOT_FOUND": 1006,
    "COLUMN_NOT_FOUND": 1006,
    "NOT_SUPPORTED": 1010,
}
_GENERIC_ERROR_TYPE = 1001
_CLOSE_SECONDS = 5.0


@dataclass
class Execution:
    """One StartQueryExecution, from its submission to the process's end; times in seconds since 1970."""

    query: str
    request: Request
    workgroup: str
    kind: str
    detail: str
    output_location: str | None
    asked: dict[str, Any]
    id: str = field(default_factory=lambda: str(uuid4()))
    state: str = "QUEUED"
    reason: str | None = None
    error: dict[str, Any] | None = None
    result: Result = field(default_factory=Result)
    submitted: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    scanned_bytes: int = 0
    manifest: str | None = None
    done: threading.Event = field(default_factory=threading.Event)
    _session: Session | None = None
    _stopped: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def stop(self) -> None:
        """Cancels the query; one that has ended stays as it is."""
        with self._lock:
            self._stopped = True
            session = self._session
            if self.state == "QUEUED":
                self._end("CANCELLED", "Query cancelled by user")
        if session is not None:
            threading.Thread(target=self._interrupt, args=(session,), daemon=True).start()

    def _interrupt(self, session: Session) -> None:
        """Again and again until it has ended: DuckDB forgets an interrupt that comes between statements."""
        pause = 0.01
        while not self.done.is_set() and session is self._session:
            session.cancel()
            self.done.wait(pause)
            pause = min(pause * 2, 1.0)

    def run(self, engine: Engine, prepared: Prepared) -> None:
        """Runs the query to one of its ends; never raises."""
        with self._lock:
            if self.state != "QUEUED":
                return
            self.state, self.started = "RUNNING", time.time()
        try:
            with Session(engine, self.request, self.id, prepared) as session:
                self._session = session
                if self._stopped:
                    session.cancel()
                try:
                    self._perform(session)
                finally:
                    self.scanned_bytes = session.scanned_bytes
        except QueryCancelledError:
            self._finish("CANCELLED", "Query cancelled by user")
        except QueryFailedError as error:
            self._fail(error)
        except duckdb.Error as error:
            self._fail(QueryFailedError("GENERIC_INTERNAL_ERROR", str(error), category=SYSTEM_ERROR))
        except Exception as error:  # the state must say what happened, whatever it was
            logger.exception("query %s broke", self.id)
            message = f"the embedded Athena broke on this query: {type(error).__name__}: {error}"
            self._fail(QueryFailedError("GENERIC_INTERNAL_ERROR", message, category=SYSTEM_ERROR))
        finally:
            self._session = None
            shutil.rmtree(engine.folder / "out" / self.id, ignore_errors=True)

    def _perform(self, session: Session) -> None:
        statement, sql = statements.resolve(session, self.query)
        self.kind, self.detail = statement.kind, statement.detail
        result, body = statement.run(session, sql)
        session.check()
        self.result = result
        self._store(session, statement.suffix, body)
        self._finish("SUCCEEDED", None)

    def _store(self, session: Session, suffix: str, body: bytes | None) -> None:
        if not self.output_location or body is None:
            return
        if suffix:
            session.store.put(session.account, self.output_location, body)
        else:
            self.manifest = f"{self.output_location}-manifest.csv"
            session.store.put(session.account, self.manifest, body)

    def _fail(self, error: QueryFailedError) -> None:
        self.error = {
            "ErrorCategory": error.category,
            "ErrorType": _ERROR_TYPES.get(error.name or "", _GENERIC_ERROR_TYPE),
            "Retryable": False,
            "ErrorMessage": str(error),
        }
        self._finish("FAILED", str(error))

    def _finish(self, state: str, reason: str | None) -> None:
        with self._lock:
            self._end(state, reason)

    def _end(self, state: str, reason: str | None) -> None:
        self.state, self.reason, self.ended = state, reason, time.time()
        self.done.set()

    def statistics(self) -> dict[str, Any]:
        """GetQueryExecution's Statistics; times in milliseconds."""
        end = self.ended or time.time()
        start = self.started or end
        found = {
            "EngineExecutionTimeInMillis": max(0, round((end - start) * 1000)),
            "DataScannedInBytes": self.scanned_bytes,
            "TotalExecutionTimeInMillis": max(0, round((end - self.submitted) * 1000)),
            "QueryQueueTimeInMillis": max(0, round((start - self.submitted) * 1000)),
            "ServicePreProcessingTimeInMillis": 0,
            "QueryPlanningTimeInMillis": 0,
            "ServiceProcessingTimeInMillis": 0,
            "ResultReuseInformation": {"ReusedPreviousResult": False},
        }
        if self.manifest:
            found["DataManifestLocation"] = self.manifest
        return found


class Runner:
    """Slots in which queries run; queries beyond them wait their turn.

    Its threads are daemons, so that a query in mid-work does not keep the process from ending; call `close`
    before that, because DuckDB must not be torn down under them.
    """

    def __init__(self, engine: Engine, concurrency: int) -> None:
        self.engine = engine
        self._queue: SimpleQueue[tuple[Execution, Prepared] | None] = SimpleQueue()
        self._running: dict[str, Execution] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"athena-{index}", daemon=True)
            for index in range(concurrency)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, execution: Execution, prepared: Prepared) -> None:
        """Queues a query."""
        self._queue.put((execution, prepared))

    def close(self) -> None:
        """Stops what runs, within seconds, and lets go of DuckDB; queries that waited stay QUEUED."""
        for execution in list(self._running.values()):
            execution.stop()
        for _ in self._threads:
            self._queue.put(None)
        deadline = time.monotonic() + _CLOSE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.engine.close()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            execution, prepared = item
            self._running[execution.id] = execution
            try:
                execution.run(self.engine, prepared)
            finally:
                del self._running[execution.id]
