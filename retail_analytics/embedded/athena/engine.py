"""The DuckDB instance that all queries share, and its lock-down.

Belongs here: what holds for the whole process. Does not belong here: anything of a single query
(`session.py`).
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import duckdb

from retail_analytics.embedded.athena.conversions import CONVERSIONS
from retail_analytics.embedded.athena.macros import MACROS
from retail_analytics.embedded.athena.objects import ObjectStore
from retail_analytics.embedded.athena.strictness import QUESTIONS, Verdicts

if TYPE_CHECKING:
    from pathlib import Path

_CACHE_BYTES = 512 * 1024 * 1024


class Engine:
    """One in-memory DuckDB that sees no file outside its folder, and no network.

    Args:
        folder: where it keeps copies of objects, files being written and what it spills. Emptied at the
        start: what an
            earlier process left there belongs to queries that died with it.
        memory_limit: DuckDB's limit for all queries together, such as `1GB`.
    """

    def __init__(self, folder: Path, *, memory_limit: str) -> None:
        self.folder = folder.resolve()
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("cache", "out", "spill", "results"):
            (self.folder / name).mkdir(parents=True)
        self.strict = Verdicts()
        self.store = ObjectStore(self.folder / "cache", limit_bytes=_CACHE_BYTES)
        self._connection = duckdb.connect(":memory:", config={"memory_limit": memory_limit})
        self._lock_down()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own for one query."""
        cursor = self._connection.cursor()
        cursor.execute("SET TimeZone = 'UTC'")
        return cursor

    def close(self) -> None:
        """Lets go of DuckDB; queries that still run fail."""
        self._connection.close()
        del self._connection

    def _lock_down(self) -> None:
        for macro in (*CONVERSIONS, *MACROS, *QUESTIONS):
            self._connection.execute(macro)
        spill = str(self.folder / "spill").replace("'", "''")
        folder = str(self.folder).replace("'", "''")
        for statement in (
            "SET autoinstall_known_extensions = false",
            "SET autoload_known_extensions = false",
            f"SET temp_directory = '{spill}'",
            f"SET allowed_directories = ['{folder}/']",
            "SET enable_external_access = false",
        ):
            self._connection.execute(statement)
