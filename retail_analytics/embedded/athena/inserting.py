"""INSERT INTO: rows for a table that is there.

Belongs here: what Athena refuses of it, columns by name and type. Does not belong here: the files
(`writers.py`).
"""

# ruff: noqa: S608 - making SQL is what this module does; names go through quoted(), texts through literal()

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from retail_analytics.embedded.athena import grammar
from retail_analytics.embedded.athena.catalog import Partition
from retail_analytics.embedded.athena.column_types import athena_type, duckdb_type, is_insertable
from retail_analytics.embedded.athena.ctas import manifest
from retail_analytics.embedded.athena.errors import QueryFailedError, not_supported
from retail_analytics.embedded.athena.quoting import quoted
from retail_analytics.embedded.athena.readers import format_of, header_lines
from retail_analytics.embedded.athena.results import Result
from retail_analytics.embedded.athena.translate import Plan, plan_query
from retail_analytics.embedded.athena.writers import Output, partition_folder, put_files, write_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retail_analytics.embedded.athena.catalog import Table
    from retail_analytics.embedded.athena.session import Session

    Answer = tuple[Result, bytes | None]


def insert_into(session: Session, sql: str) -> Answer:
    """INSERT INTO table [(columns)] query."""
    tree = grammar.parse(sql)
    if not isinstance(tree, exp.Insert):
        raise not_supported("this form of INSERT")
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    _, database, name = grammar.split_name(target)
    table = session.catalog.get(database or session.request.database, name, grammar.position_of(target))
    _check_insertable(table)
    query = _as_query(grammar.bind(tree.expression, session.request.parameters))
    plan = plan_query(session, query)
    listed = (
        [item.name.lower() for item in tree.this.expressions] if isinstance(tree.this, exp.Schema) else None
    )
    rows = _matched(table, plan, listed)
    names = [column.name for column in (*table.columns, *table.keys)]
    output = _table_output(table)
    written, count = write_rows(session, rows, names, output, plan.locate)
    known = {partition.values: partition.location for partition in session.catalog.partitions(table)}
    base = table.location.rstrip("/") + "/"
    folders = {
        w.values: known.get(w.values) or base + partition_folder(output.keys, w.values) for w in written
    }
    urls = put_files(session, written, output, folders)
    new = [Partition(values, at) for values, at in folders.items() if table.keys and values not in known]
    session.catalog.add_partitions(table, new)
    return Result(update_count=count), manifest(urls)


def _as_query(tree: exp.Expr) -> exp.Expr:
    if isinstance(tree, exp.Values):
        return exp.select("*").from_(tree)
    return tree


def _check_insertable(table: Table) -> None:
    if table.is_view:
        raise QueryFailedError("NOT_SUPPORTED", f"Inserting into views is not supported: {table.full_name}")
    if table.buckets:
        raise QueryFailedError(
            "NOT_SUPPORTED", f"Inserting into bucketed tables is not supported: {table.full_name}"
        )
    if header_lines(table):
        raise not_supported(
            "INSERT INTO a table with skip.header.line.count, which would hide the first row,"
        )
    if format_of(table).name not in {"PARQUET", "JSON", "TEXTFILE"}:
        raise not_supported(f"INSERT INTO a table of format {format_of(table).name}")


def _table_output(table: Table) -> Output:
    kind = format_of(table).name
    named = table.parameters.get("parquet.compression") or table.parameters.get("write.compression")
    delimiter = table.serde_properties.get("field.delim", "\x01")
    keys = tuple(key.name for key in table.keys)
    return Output(kind, (named or "GZIP").upper(), delimiter, keys)


def _matched(table: Table, plan: Plan, listed: Sequence[str] | None) -> str:
    """The query's columns under the table's names and types; columns that are not listed are NULL."""
    columns = {column.name: column for column in (*table.columns, *table.keys)}
    targets = list(listed if listed is not None else columns)
    unknown = [name for name in targets if name not in columns]
    if unknown:
        raise QueryFailedError(
            "COLUMN_NOT_FOUND", f"Insert column name does not exist in target table: {unknown[0]}"
        )
    if len(targets) != len(plan.types):
        raise QueryFailedError(
            "TYPE_MISMATCH",
            f"Insert query has {len(plan.types)} columns but expected {len(targets)} columns: Table: "
            f"[{', '.join(column.kind for column in columns.values())}], "
            f"Query: [{', '.join(athena_type(kind) for kind in plan.types)}]",
        )
    if not all(is_insertable(k, columns[name].kind) for k, name in zip(plan.types, targets, strict=True)):
        raise QueryFailedError(
            "TYPE_MISMATCH",
            "Insert query has mismatched column types: Table: "
            f"[{', '.join(columns[name].kind for name in targets)}], "
            f"Query: [{', '.join(athena_type(kind) for kind in plan.types)}]",
        )
    names = ", ".join(f"c{index}" for index in range(len(plan.types)))
    at = {name: f"c{index}" for index, name in enumerate(targets)}
    values = ", ".join(
        f"CAST({at.get(name, 'NULL')} AS {duckdb_type(column.kind)}) AS {quoted(name)}"
        for name, column in columns.items()
    )
    return f"SELECT {values} FROM ({plan.sql}) AS r({names})"
