"""From a table of the catalog to rows: which partitions, which objects, which reader.

Belongs here: pruning, listing, and the view over the cached objects. Does not belong here: file formats
(`readers.py`).
"""

# ruff: noqa: S608 - making SQL is what this module does; names go through quoted(), texts through literal()

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from retail_analytics.embedded.athena.column_types import duckdb_type
from retail_analytics.embedded.athena.errors import QueryFailedError, not_supported
from retail_analytics.embedded.athena.objects import OBJECT_FOLDER, folder_of
from retail_analytics.embedded.athena.projection import is_projected, projected_partitions
from retail_analytics.embedded.athena.quoting import quoted
from retail_analytics.embedded.athena.readers import format_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retail_analytics.embedded.athena.catalog import Column, Partition, Table
    from retail_analytics.embedded.athena.objects import CachedObject, S3Object
    from retail_analytics.embedded.athena.session import Session

PATH = "$path"
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def view_of(session: Session, table: Table, predicate: str | None) -> str:
    """Creates a temporary view over the table's rows; returns its name.

    The view has the table's columns, its partition columns, and last `$path`.

    Args:
        session: the running query.
        table: the table.
        predicate: a condition on partition columns alone, in DuckDB's SQL, that every wanted row satisfies;
        or None.
    """
    reader = format_of(table)
    groups = _objects_by_partition(session, table, predicate) if session.reads_data else []
    wanted = [item for _, items in groups for item in items]
    copies = session.fetch(wanted, text=reader.is_text)
    if copies:
        # Two partitions may point at one location: it is read once, and the join below gives its rows to
        # both.
        rows = reader.read(table, list({copy.ordinal: copy for copy in copies}.values()))
        sql = _joined(session, table, groups, copies, rows)
    else:
        sql = _nothing(table)
    name = f"retail_table_{len(session.views)}"
    session.views.append(name)
    session.shapes[name] = tuple((column.name, column.kind) for column in (*table.columns, *table.keys))
    session.run(f"CREATE TEMP VIEW {name} AS {sql}")
    return name


def selected_partitions(session: Session, table: Table, predicate: str | None) -> list[Partition]:
    """The partitions that hold rows which satisfy the predicate.

    Raises:
        QueryFailedError: a value does not fit the declared type of its column.
    """
    partitions = projected_partitions(table) if is_projected(table) else session.catalog.partitions(table)
    if not partitions:
        return []
    name = session.register(_values_table(table.keys, [partition.values for partition in partitions]))
    typed = ", ".join(
        f"{_typed_key(index, key)} AS {quoted(key.name)}" for index, key in enumerate(table.keys)
    )
    bad = " OR ".join(
        f"(TRY_CAST(k{index} AS {duckdb_type(key.kind)}) IS NULL AND k{index} IS NOT NULL)"
        for index, key in enumerate(table.keys)
    )
    source = f"SELECT n, {bad} AS retail_bad, {typed} FROM {name}"
    where = f"({predicate}) OR retail_bad" if predicate else "true"
    rows = session.run(f"SELECT n, retail_bad FROM ({source}) WHERE {where} ORDER BY n")
    kept: list[Partition] = []
    for number, wrong in rows.fetchall():
        if wrong:
            raise QueryFailedError(
                "HIVE_INVALID_PARTITION_VALUE",
                f"Invalid partition value '{'/'.join(partitions[number].values)}' for the partition columns "
                f"{', '.join(f'{key.name} {key.kind}' for key in table.keys)} of {table.full_name}",
            )
        kept.append(partitions[number])
    foreign = next((one for one in kept if one.serde and one.serde != table.serde), None)
    if foreign is not None:
        raise not_supported(
            f"a partition whose SerDe differs from its table's ({'/'.join(foreign.values)} of "
            f"{table.full_name}: "
            f"{foreign.serde})"
        )
    return kept


def _values_table(keys: Sequence[Column], values: Sequence[Sequence[str]]) -> pa.Table:
    columns = {"n": pa.array(range(len(values)), pa.int64())}
    for index in range(len(keys)):
        texts = [row[index] if row[index] != NULL_PARTITION else None for row in values]
        columns[f"k{index}"] = pa.array(texts, pa.string())
    return pa.table(columns)


def _typed_key(index: int, key: Column) -> str:
    return f"TRY_CAST(k{index} AS {duckdb_type(key.kind)})"


def _objects_by_partition(
    session: Session, table: Table, predicate: str | None
) -> list[tuple[tuple[str, ...], list[S3Object]]]:
    if not table.keys:
        return [((), _objects(session, table.location))]
    partitions = selected_partitions(session, table, predicate)
    return [(partition.values, _objects(session, partition.location)) for partition in partitions]


def _objects(session: Session, location: str) -> list[S3Object]:
    session.check()
    bucket, prefix = folder_of(location)
    return list(session.bucket(bucket).under(prefix))


def _joined(
    session: Session,
    table: Table,
    groups: Sequence[tuple[tuple[str, ...], list[S3Object]]],
    copies: Sequence[CachedObject],
    rows: str,
) -> str:
    """The rows with their objects' partition values and paths: a join with a table of the objects."""
    values = [values for values, items in groups for _ in items]
    known = _values_table(table.keys, values)
    known = known.set_column(0, OBJECT_FOLDER, pa.array([copy.ordinal for copy in copies], pa.int64()))
    known = known.append_column("path", pa.array([copy.source.url for copy in copies], pa.string()))
    name = session.register(known)
    typed = [f"{_typed_key(index, key)} AS {quoted(key.name)}" for index, key in enumerate(table.keys)]
    objects = f"SELECT {', '.join([OBJECT_FOLDER, *typed, f'path AS {quoted(PATH)}'])} FROM {name}"
    columns = [f"r.{quoted(column.name)}" for column in table.columns]
    columns += [f"o.{quoted(key.name)}" for key in table.keys]
    return (
        f"SELECT {', '.join(columns)}, o.{quoted(PATH)} FROM ({rows}) AS r "
        f"JOIN ({objects}) AS o ON r.{OBJECT_FOLDER} = o.{OBJECT_FOLDER}"
    )


def _nothing(table: Table) -> str:
    columns = [
        f"CAST(NULL AS {duckdb_type(column.kind)}) AS {quoted(column.name)}"
        for column in (*table.columns, *table.keys)
    ]
    return f"SELECT {', '.join(columns)}, CAST(NULL AS VARCHAR) AS {quoted(PATH)} WHERE false"
