"""Tables that are made of the catalog itself: `information_schema` and `"t$partitions"`."""

# ruff: noqa: S608 - making SQL is what this module does; names go through quoted(), texts through literal()

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from retail_analytics.embedded.athena.catalog import CATALOG_NAME, Table
from retail_analytics.embedded.athena.column_types import duckdb_type
from retail_analytics.embedded.athena.errors import QueryFailedError
from retail_analytics.embedded.athena.quoting import quoted
from retail_analytics.embedded.athena.scan import NULL_PARTITION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from retail_analytics.embedded.athena.errors import Position
    from retail_analytics.embedded.athena.session import Session

_PARTITIONS = "$partitions"


def metadata_view(session: Session, database: str, name: str, position: Position | None) -> str | None:
    """The name of a view with the catalog's rows, or None where `name` is an ordinary table."""
    if database == "information_schema":
        if name not in _VIEWS:
            raise QueryFailedError(
                "TABLE_NOT_FOUND",
                f"Table '{CATALOG_NAME}.information_schema.{name}' does not exist",
                position=position,
            )
        columns, rows = _VIEWS[name]
        return session.register(_arrow(columns, rows(session)))
    if name.endswith(_PARTITIONS):
        return _partitions(session, session.catalog.get(database, name.removesuffix(_PARTITIONS), position))
    return None


def _arrow(columns: tuple[str, ...], rows: Iterable[tuple[str | int | None, ...]]) -> pa.Table:
    data = list(rows)
    arrays = [
        pa.array([row[index] for row in data], pa.int64() if name == "ordinal_position" else pa.string())
        for index, name in enumerate(columns)
    ]
    return pa.table(dict(zip(columns, arrays, strict=True)))


def _partitions(session: Session, table: Table) -> str:
    names = tuple(key.name for key in table.keys)
    rows = (
        tuple(None if v == NULL_PARTITION else v for v in p.values) for p in session.catalog.partitions(table)
    )
    source = session.register(_arrow(names, rows))
    typed = ", ".join(
        f"TRY_CAST({quoted(k.name)} AS {duckdb_type(k.kind)}) AS {quoted(k.name)}" for k in table.keys
    )
    session.run(f"CREATE TEMP VIEW {source}_typed AS SELECT {typed} FROM {source}")
    return f"{source}_typed"


def _schemata(session: Session) -> Iterator[tuple[str, ...]]:
    for name in session.catalog.databases():
        yield CATALOG_NAME, name


def _all_tables(session: Session) -> Iterator[Table]:
    for database in session.catalog.databases():
        for name in session.catalog.tables(database):
            if table := session.catalog.find(database, name):
                yield table


def _tables(session: Session) -> Iterator[tuple[str, ...]]:
    for table in _all_tables(session):
        yield CATALOG_NAME, table.database, table.name, "VIEW" if table.is_view else "BASE TABLE"


def _columns(session: Session) -> Iterator[tuple[str | int | None, ...]]:
    for table in _all_tables(session):
        keys = {key.name for key in table.keys}
        for index, column in enumerate((*table.columns, *table.keys), start=1):
            kind = {"string": "varchar", "int": "integer", "float": "real", "binary": "varbinary"}.get(
                column.kind, column.kind
            )
            extra = "partition key" if column.name in keys else None
            yield (
                CATALOG_NAME, table.database, table.name, column.name, index, None, "YES", kind,
                column.comment, extra,
            )  # fmt: skip


_VIEWS: dict[str, tuple[tuple[str, ...], Callable[[Session], Iterable[tuple[str | int | None, ...]]]]] = {
    "schemata": (("catalog_name", "schema_name"), _schemata),
    "tables": (("table_catalog", "table_schema", "table_name", "table_type"), _tables),
    "columns": (
        (
            "table_catalog", "table_schema", "table_name", "column_name", "ordinal_position",
            "column_default",
            "is_nullable", "data_type", "comment", "extra_info",
        ),
        _columns,
    ),
}  # fmt: skip
