"""What one running query holds: its DuckDB connection, the objects it reads, and what it has cost.

Belongs here: resources that must be let go when the query ends, however it ends. Does not belong here: the
order of the steps (`execution.py`).
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import duckdb

from retail_analytics.embedded.athena.catalog import Catalog
from retail_analytics.embedded.athena.errors import QueryCancelledError, QueryFailedError, from_duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from retail_analytics.embedded.athena.catalog import Table
    from retail_analytics.embedded.athena.engine import Engine
    from retail_analytics.embedded.athena.errors import Position
    from retail_analytics.embedded.athena.objects import BucketSnapshot, CachedObject, S3Object


_FETCH_AT_ONCE = 200  # a cancelled query stops between two such batches


@dataclass(frozen=True)
class Request:
    """What StartQueryExecution asked for, after the workgroup's settings were applied."""

    query: str
    account: str
    region: str
    database: str
    parameters: tuple[str, ...]
    output_folder: str | None
    scan_limit: int | None
    enforced_output: bool


class Prepared(Protocol):
    """The prepared statements of a workgroup."""

    def get(self, name: str) -> str | None:
        """A statement's text, or None."""

    def put(self, name: str, statement: str) -> None:
        """Adds or replaces a statement."""

    def drop(self, name: str) -> bool:
        """Removes a statement; False where there is none."""


class Session:
    """One query's hold on the engine; use it as a context manager."""

    def __init__(self, engine: Engine, request: Request, query_id: str, prepared: Prepared) -> None:
        self.engine = engine
        self.request = request
        self.query_id = query_id
        self.prepared = prepared
        self.catalog = Catalog(request.account, request.region)
        self.store = engine.store
        self.account = request.account
        self.scanned: dict[str, int] = {}
        self.views: list[str] = []
        # What each of the views is of: its columns, with their types.
        self.shapes: dict[str, tuple[tuple[str, str], ...]] = {}
        self.cancelled = threading.Event()
        self._cursor = engine.cursor()
        self.reads_data = True
        self._copies: list[CachedObject] = []
        self._snapshots: dict[str, BucketSnapshot] = {}
        self._names = count(1)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.release(self._copies)
        self._cursor.close()

    def with_database(self, database: str) -> Request:
        """The request as it would be with another default database."""
        return replace(self.request, database=database)

    def bind(self, parameters: tuple[str, ...]) -> None:
        """Sets the parameters that stand for `?`."""
        self.request = replace(self.request, parameters=parameters)

    def table(self, name: str, position: Position | None = None) -> Table:
        """A table by `name`, `database.name` or `catalog.database.name`, in whatever case."""
        parts = name.lower().split(".")
        database = parts[-2] if len(parts) > 1 else self.request.database
        return self.catalog.get(database, parts[-1], position)

    @property
    def scanned_bytes(self) -> int:
        """Bytes of the objects read so far, each counted once."""
        return sum(self.scanned.values())

    @property
    def cursor(self) -> duckdb.DuckDBPyConnection:
        """The query's own DuckDB connection."""
        self.check()
        return self._cursor

    def cancel(self) -> None:
        """Stops the work at its next step, and DuckDB in the middle of one."""
        self.cancelled.set()
        with contextlib.suppress(duckdb.ConnectionException):  # it may have ended, and closed, this moment
            self._cursor.interrupt()

    def check(self) -> None:
        """Raises QueryCancelledError once the query has been cancelled."""
        if self.cancelled.is_set():
            raise QueryCancelledError

    def register(self, table: Any) -> str:
        """Makes an Arrow table known to the query's connection; returns its name there."""
        name = f"retail_arrow_{next(self._names)}"
        self.cursor.register(name, table)
        return name

    def bucket(self, name: str) -> BucketSnapshot:
        """The keys of a bucket as they were when this query first asked."""
        if name not in self._snapshots:
            self._snapshots[name] = self.store.snapshot(self.account, name)
        return self._snapshots[name]

    def fetch(self, objects: Iterable[S3Object], *, text: bool) -> list[CachedObject]:
        """Local copies of objects, kept until the query ends and counted as scanned.

        Raises:
            QueryFailedError: the workgroup's BytesScannedCutoffPerQuery would be exceeded.
        """
        wanted = list(objects)
        self.scanned.update({item.url: item.size for item in wanted})
        limit = self.request.scan_limit
        if limit is not None and self.scanned_bytes > limit:
            raise QueryFailedError(
                None,
                f"Query cancelled! : Bytes scanned limit was exceeded. The limit of the workgroup is "
                f"{limit} bytes.",
            )
        fetched: list[CachedObject] = []
        for first in range(0, len(wanted), _FETCH_AT_ONCE):
            self.check()
            copies = self.store.fetch(self.account, wanted[first : first + _FETCH_AT_ONCE], text=text)
            self._copies.extend(copies)
            fetched.extend(copies)
        return fetched

    def run(self, sql: str, locate: Any = None) -> duckdb.DuckDBPyConnection:
        """Runs SQL of DuckDB's dialect, and raises what Athena would."""
        try:
            return self.cursor.execute(sql)
        except duckdb.Error as error:
            raise self.failure(error, locate) from error

    def failure(self, error: duckdb.Error, locate: Any = None) -> Exception:
        """What DuckDB's error means for the query."""
        if self.cancelled.is_set() or isinstance(error, duckdb.InterruptException):
            return QueryCancelledError()
        return from_duckdb(error, locate=locate or _nowhere, name_object=self._name_objects)

    def _name_objects(self, text: str) -> str:
        for copy in self._copies:
            text = text.replace(str(copy.path), copy.source.url)
        return text


def _nowhere(_: str) -> Position | None:
    return None
