"""Dagster's SQLite storage for one machine: the same files and tables, without a new connection an event.

Dagster opens and closes a database for each event that it writes, and the last connection to close has SQLite
copy its journal into the database and wait for the disk, every time: two events an hour of a range add up to
minutes. Here a few connections stay open, and the disk is waited for when the journal is copied: what was
committed survives a killed process, as before, and may lose its last moments to a loss of power. Named by
``dagster.local.yaml``, for deployments on a laptop alone.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import sqlalchemy as db
from dagster._core.events import ASSET_EVENTS
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from sqlalchemy.pool import QueuePool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dagster import EventLogEntry
    from dagster._serdes import ConfigurableClassData
    from sqlalchemy.engine import Connection, Engine

_OPEN_RUNS = 8
"""Databases of runs that stay open beside the index: few runs are under way at once."""


class LocalEventLogStorage(SqliteEventLogStorage):
    """Dagster's event log in SQLite, over connections that stay open."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._process = os.getpid()
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> Engine:
        if self._process != os.getpid():
            # SQLite's connections do not survive a fork; closing them here would end the parent's locks.
            self._engines, self._process = OrderedDict(), os.getpid()
        if shard not in self._engines:
            self._engines[shard] = _open(self.conn_string_for_shard(shard))
        self._engines.move_to_end(shard)
        runs = [name for name in self._engines if name != INDEX_SHARD_NAME]
        for name in runs[:-_OPEN_RUNS]:
            self._engines.pop(name).dispose()
        return self._engines[shard]

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event, and tell of it."""
        super().store_event(event)
        self._tell(event.run_id)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events in one transaction for each run, and one for what is asked for across runs."""
        if any(event.dagster_event_type not in ASSET_EVENTS for event in events):
            super().store_event_batch(events)
            return
        runs = dict.fromkeys(event.run_id for event in events)
        for run_id in runs:
            with self.run_connection(run_id) as connection:
                for event in events:
                    if event.run_id == run_id:
                        connection.execute(self.prepare_insert_event(event))
        with self.index_transaction() as connection:
            for event in events:
                inserted = connection.execute(self.prepare_insert_event(event))
                event_id = inserted.inserted_primary_key[0]  # type: ignore[index]
                self._store_asset_event_tags(connection, [event], [event_id])
                self._store_asset_event(connection, event, event_id)
        for run_id in runs:
            self._tell(run_id)

    def _tell(self, run_id: str) -> None:
        """Touch a run's database, which is what its page in the UI waits for.

        SQLite writes to the database's own file only when it copies the journal, which connections that stay
        open put off; and it writes to the journal before others may read what it wrote, so that whoever
        looks on hearing of that may look too early, and not again.
        """
        with suppress(FileNotFoundError):  # another process wiped the run: it has no page any more
            os.utime(self.path_for_shard(run_id))

    def wipe(self) -> None:
        """Forget all events."""
        self._close()
        super().wipe()

    def dispose(self) -> None:
        """Close what is open."""
        self._close()
        super().dispose()

    def _close(self) -> None:
        with self._db_lock:
            if self._process == os.getpid():
                for engine in self._engines.values():
                    engine.dispose()
            self._engines.clear()


def _open(address: str) -> Engine:
    engine = db.create_engine(
        address,
        poolclass=QueuePool,
        pool_size=1,
        # One thread after the other uses it, which the storage's own lock sees to.
        connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
    )
    db.event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL").close()


class LocalStorage(DagsterSqliteStorage):
    """Dagster's SQLite storage with that event log."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        events = self._event_log_storage._base_dir
        self._event_log_storage.dispose()
        self._event_log_storage = LocalEventLogStorage(events)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> LocalStorage:
        """As Dagster makes it from ``dagster.yaml``."""
        return cls(inst_data=inst_data, **config_value)
