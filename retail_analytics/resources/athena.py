"""Athena over pyathena: statements with a deadline, cancelled when interrupted, and typed rows.

dagster-aws' AthenaClientResource takes no endpoint, region or result location, does not cancel and has no
deadline, hence this one. Not here: the SQL (``batch/``, ``feeds/``) and its quoting (``sql.py``).
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pyathena
from dagster import ConfigurableResource
from pyathena.cursor import Cursor
from pyathena.error import DatabaseError, OperationalError
from pyathena.model import AthenaQueryExecution
from pyathena.util import RetryConfig

from retail_analytics.resources.clients import CONFIG, session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyathena.connection import Connection

    from retail_analytics.settings import Settings

# The service's names for "ask again later"; anything else is permanent and is not retried.
THROTTLING_CODES = ("ThrottlingException", "TooManyRequestsException")

# pyathena logs a failed call with its whole trace, and raises it; once is enough.
logging.getLogger("pyathena").setLevel(logging.CRITICAL)

_WAIT_SHARE = 0.1  # of the time so far: an end is heard of at most so much late
_SHORTEST_WAIT_SECONDS = 0.02
_LONGEST_WAIT_SECONDS = 2.0
_PENDING = ("QUEUED", "RUNNING")


class AthenaError(RuntimeError):
    """A statement failed, was cancelled, or did not end in time; the message holds Athena's reason."""


@dataclass(frozen=True)
class Execution:
    """What one statement did.

    Attributes:
        query_id: Athena's id of it.
        scanned_bytes: Bytes of the objects that it read.
        seconds: Its wall-clock time in Athena, with queueing.
    """

    query_id: str
    scanned_bytes: int
    seconds: float


@dataclass(frozen=True)
class QueryResult:
    """A statement's execution and its rows, each a mapping from column name to typed value."""

    execution: Execution
    rows: list[dict[str, Any]]

    @property
    def query_id(self) -> str:
        """Athena's id of the statement."""
        return self.execution.query_id


class AthenaResource(ConfigurableResource):  # type: ignore[type-arg]
    """Athena in one workgroup and database.

    Attributes:
        region: The AWS region.
        workgroup: The workgroup; it must not enforce its result location (CTAS then refuses
            ``external_location``).
        database: The database that unqualified names mean.
        results_location: ``s3://…/`` for results.
        timeout_seconds: How long a statement may take, queueing included, before it is cancelled.
    """

    region: str
    workgroup: str
    database: str
    results_location: str
    timeout_seconds: float = 1800.0

    @classmethod
    def of(cls, settings: Settings) -> AthenaResource:
        """The resource of a deployment."""
        return cls(
            region=settings.region,
            workgroup=settings.workgroup,
            database=settings.database,
            results_location=settings.results_location,
            timeout_seconds=settings.query_timeout_seconds,
        )

    def query(self, sql: str, parameters: Sequence[str] = ()) -> QueryResult:
        """Run a statement and fetch all of its rows; meant for results that a person could read.

        Raises:
            AthenaError: It failed, was cancelled, or took longer than ``timeout_seconds``.
        """
        with self._executed(sql, parameters) as cursor:
            return QueryResult(_execution(cursor), list(_rows(cursor)))

    def execute(self, sql: str) -> Execution:
        """Run a statement for its effect.

        Raises:
            AthenaError: It failed, was cancelled, or took longer than ``timeout_seconds``.
        """
        with self.begun(sql) as ended:
            return ended()

    @contextmanager
    def begun(self, sql: str) -> Iterator[Callable[[], Execution]]:
        """Start a statement for its effect; what this gives waits for its end.

        The statement runs beside what the ``with`` block does until then. One that nobody has waited for when
        the block ends is cancelled.

        Raises:
            AthenaError: From the start or the wait: it failed, was cancelled, or took longer than
                ``timeout_seconds``.
        """
        with self._connected() as connection:
            cursor: _Begun = connection.cursor(_Begun)
            with _explained(cursor):
                query_id = cursor.begin(sql)

            def ended() -> Execution:
                with _explained(cursor):
                    return cursor.end(query_id)

            try:
                yield ended
            finally:
                _cancel(cursor)

    def rows(self, sql: str, parameters: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """Run a statement and stream its rows, page by page.

        Raises:
            AthenaError: It failed, was cancelled, or took longer than ``timeout_seconds``.
        """
        with self._executed(sql, parameters) as cursor:
            yield from _rows(cursor)

    @contextmanager
    def _executed(self, sql: str, parameters: Sequence[str]) -> Iterator[Cursor]:
        with self._connected() as connection:
            cursor = connection.cursor()
            try:
                with _explained(cursor):
                    cursor.execute(
                        sql,
                        parameters=list(parameters) or None,
                        paramstyle="qmark" if parameters else None,
                    )
            except BaseException:
                # Dagster's interrupt is no KeyboardInterrupt, so pyathena would leave the query running.
                _cancel(cursor)
                raise
            yield cursor

    def _connected(self) -> Connection[Cursor]:
        return pyathena.connect(
            session=session(self.region),
            region_name=self.region,
            work_group=self.workgroup,
            schema_name=self.database,
            s3_staging_dir=self.results_location,
            poll_interval=0,  # _Patience waits
            config=CONFIG,
            on_poll=_Patience(self.timeout_seconds),
            retry_config=RetryConfig(exceptions=THROTTLING_CODES, attempt=8, max_delay=30),
        )


class _Begun(Cursor):
    """pyathena's cursor, with the start of a statement and the wait for its end apart."""

    _last: AthenaQueryExecution | None = None

    def begin(self, sql: str) -> str:
        self.query_id = self._execute(sql)
        return self.query_id

    def end(self, query_id: str) -> Execution:
        found = cast("AthenaQueryExecution", self._poll(query_id))
        self._last = found
        if found.state != AthenaQueryExecution.STATE_SUCCEEDED:
            raise OperationalError(found.state_change_reason)
        return _execution(found)

    @property
    def state(self) -> str | None:
        """The state that was last seen; None before the end."""
        return self._last.state if self._last else None


@contextmanager
def _explained(cursor: Cursor) -> Iterator[None]:
    try:
        yield
    except (DatabaseError, OperationalError, TimeoutError) as error:
        raise AthenaError(f"{error} (query {cursor.query_id})") from error


def _cancel(cursor: Cursor) -> None:
    if cursor.query_id and cursor.state not in AthenaQueryExecution.TERMINAL_STATES:
        cursor.cancel()


class _Patience:
    """Waits between two looks at a query: the longer, the longer it runs, and not for ever."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._begun = time.monotonic()

    def __call__(self, execution: Any) -> None:
        if execution.state not in _PENDING:
            return
        waited = time.monotonic() - self._begun
        if waited > self._timeout:
            raise TimeoutError(
                f"Athena had not finished after {self._timeout:.0f} s and was cancelled;"
                " RETAIL_QUERY_TIMEOUT_SECONDS allows more."
            )
        time.sleep(min(max(waited * _WAIT_SHARE, _SHORTEST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS))


def _execution(ended: Cursor | AthenaQueryExecution) -> Execution:
    return Execution(
        query_id=ended.query_id or "",
        scanned_bytes=ended.data_scanned_in_bytes or 0,
        seconds=(ended.total_execution_time_in_millis or 0) / 1000,
    )


def _rows(cursor: Cursor) -> Iterator[dict[str, Any]]:
    names = [column[0] for column in cursor.description or ()]
    for row in cursor:
        yield dict(zip(names, row, strict=True))
