"""ALTER TABLE: partitions, columns, location and properties of a table of the catalog.

Belongs here: what changes a table that is there. Does not belong here: what makes or drops one (`ddl.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from retail_analytics.embedded.athena import grammar
from retail_analytics.embedded.athena.catalog import Column, Partition, Table
from retail_analytics.embedded.athena.column_types import duckdb_type
from retail_analytics.embedded.athena.errors import QueryFailedError, not_supported, task_failed
from retail_analytics.embedded.athena.objects import folder_of
from retail_analytics.embedded.athena.partition_specs import partition_specs
from retail_analytics.embedded.athena.results import Result
from retail_analytics.embedded.athena.storage import column_entries
from retail_analytics.embedded.athena.table_definition import columns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot.tokenizer_core import Token

    from retail_analytics.embedded.athena.session import Session

    Answer = tuple[Result, bytes | None]

DONE: Answer = (Result(), b"")


def alter_table(session: Session, sql: str) -> Answer:
    """ALTER TABLE: ADD, DROP, RENAME PARTITION; SET LOCATION, TBLPROPERTIES; ADD, REPLACE, CHANGE COLUMNS."""
    found = grammar.tokens(sql)
    at = next((i for i, t in enumerate(found) if i > 2 and t.text.upper() in _ACTIONS), len(found))
    partition_at = next((i for i, t in enumerate(found) if t.text.upper() == "PARTITION"), len(found))
    name = "".join(token.text for token in found[2 : min(at, partition_at)])
    table = session.table(name, grammar.token_position(found[2]))
    words = [token.text.upper() for token in found[at:]]
    if words[:1] == ["ADD"] and "PARTITION" in words[:5]:
        return _add_partitions(session, table, found[at:])
    if words[:1] == ["DROP"] and "PARTITION" in words[:4]:
        return _drop_partitions(session, table, found[at:])
    if words[:2] == ["SET", "LOCATION"]:
        return _set_location(session, table, found, at)
    if words[:2] == ["SET", "TBLPROPERTIES"]:
        changes = {p.name: p.args["value"].name for p in grammar.parse(sql, "athena").find_all(exp.Property)}
        session.catalog.update_table(table, {"Parameters": {**table.parameters, **changes}})
        return DONE
    if words[:3] == ["RENAME", "TO", "PARTITION"]:
        return _rename_partition(session, table, found)
    if words[:1] == ["CHANGE"]:
        return _change_column(session, table, found[at + 1 :])
    if words[:2] in (["ADD", "COLUMNS"], ["REPLACE", "COLUMNS"]):
        return _change_columns(session, table, sql, keep=words[0] == "ADD")
    raise not_supported(f"ALTER TABLE {' '.join(words[:2])}")


_ACTIONS = {"ADD", "DROP", "SET", "RENAME", "REPLACE", "CHANGE", "EXCHANGE", "TOUCH", "COMPACT"}


def _add_partitions(session: Session, table: Table, rest: list[Token]) -> Answer:
    known = {partition.values for partition in session.catalog.partitions(table)}
    for values, location in partition_specs(table, rest):
        if values in known:
            if [token.text.upper() for token in rest[1:4]] == ["IF", "NOT", "EXISTS"]:
                continue
            raise task_failed(f"AlreadyExistsException: Partition already exists: {list(values)}")
        path = "/".join(f"{key.name}={value}" for key, value in zip(table.keys, values, strict=True))
        at = location or f"{table.location.rstrip('/')}/{path}/"
        folder_of(at)
        session.catalog.add_partitions(table, [Partition(values, at)])
        known.add(values)
    return DONE


def _drop_partitions(session: Session, table: Table, rest: list[Token]) -> Answer:
    known = {_typed(session, table, p.values): p.values for p in session.catalog.partitions(table)}
    for values, _ in partition_specs(table, rest):
        found = known.get(_typed(session, table, values))
        if found is None:
            if [token.text.upper() for token in rest[1:3]] == ["IF", "EXISTS"]:
                continue
            raise QueryFailedError(
                None, f"FAILED: SemanticException [Error 10006]: Partition not found {list(values)}"
            )
        session.catalog.drop_partition(table, found)
    return DONE


def _typed(session: Session, table: Table, values: tuple[str, ...]) -> tuple[object, ...]:
    """Partition values by their types, so that 8 finds '08'."""
    casts = ", ".join(f"TRY_CAST(? AS {duckdb_type(key.kind)})" for key in table.keys)
    row = session.cursor.execute(f"SELECT {casts}", list(values)).fetchone()
    return tuple(row or ())


def _set_location(session: Session, table: Table, found: list[Token], at: int) -> Answer:
    location = found[at + 2].text
    folder_of(location)
    specs = (
        partition_specs(table, found[:at]) if any(t.text.upper() == "PARTITION" for t in found[:at]) else []
    )
    if not specs:
        definition = session.catalog.definition(table.database, table.name) or {}
        storage = {**definition["StorageDescriptor"], "Location": location}
        session.catalog.update_table(table, {"StorageDescriptor": storage})
        return DONE
    known = {_typed(session, table, p.values): p.values for p in session.catalog.partitions(table)}
    for values, _ in specs:
        kept = known.get(_typed(session, table, values))
        if kept is None:
            raise QueryFailedError(
                None, f"FAILED: SemanticException [Error 10006]: Partition not found {list(values)}"
            )
        session.catalog.set_partition_location(table, kept, location)
    return DONE


def _rename_partition(session: Session, table: Table, found: list[Token]) -> Answer:
    """`PARTITION (…) RENAME TO PARTITION (…)`: the objects stay where they are."""
    (old, _), (new, _) = partition_specs(table, found)
    known = {_typed(session, table, p.values): p for p in session.catalog.partitions(table)}
    kept = known.get(_typed(session, table, old))
    if kept is None:
        raise QueryFailedError(
            None, f"FAILED: SemanticException [Error 10006]: Partition not found {list(old)}"
        )
    if _typed(session, table, new) in known:
        raise task_failed(f"AlreadyExistsException: Partition already exists: {list(new)}")
    session.catalog.add_partitions(table, [Partition(new, kept.location)])
    session.catalog.drop_partition(table, kept.values)
    return DONE


def _change_column(session: Session, table: Table, rest: list[Token]) -> Answer:
    """`CHANGE [COLUMN] old new type [COMMENT '…'] [FIRST | AFTER other]`, in the catalog alone."""
    rest = rest[1:] if rest and rest[0].text.upper() == "COLUMN" else rest
    words = [token.text.upper() for token in rest]
    old = rest[0].text.lower() if rest else ""
    columns = [column for column in table.columns if column.name != old]
    if len(columns) == len(table.columns):
        raise task_failed(f"Invalid column reference {old}")
    at, before = next((i, column) for i, column in enumerate(table.columns) if column.name == old)
    if "AFTER" in words[2:]:
        other = rest[words.index("AFTER", 2) + 1].text.lower()
        at = next((i + 1 for i, column in enumerate(columns) if column.name == other), -1)
        if at < 0:
            raise task_failed(f"Column {other} not found")
    elif words[-1:] == ["FIRST"]:
        at = 0
    end = next(
        (i for i, word in enumerate(words) if i > 1 and word in {"COMMENT", "FIRST", "AFTER"}), len(rest)
    )
    kind = "".join(token.text for token in rest[2:end]).lower()
    duckdb_type(kind)
    comment = rest[end + 1].text if words[end : end + 1] == ["COMMENT"] else before.comment
    new = Column(rest[1].text.lower(), kind, comment)
    if new.name in {column.name for column in (*columns, *table.keys)}:
        raise task_failed(f"Duplicate column name: {new.name}")
    return _store_columns(session, table, [*columns[:at], new, *columns[at:]])


def _store_columns(session: Session, table: Table, columns: Sequence[Column]) -> Answer:
    definition = session.catalog.definition(table.database, table.name) or {}
    storage = {**definition["StorageDescriptor"], "Columns": column_entries(columns)}
    session.catalog.update_table(table, {"StorageDescriptor": storage})
    return DONE


def _change_columns(session: Session, table: Table, sql: str, *, keep: bool) -> Answer:
    tree = grammar.parse(
        sql if keep else sql.replace("REPLACE", "ADD", 1).replace("replace", "ADD", 1), "athena"
    )
    added = columns_of(list(tree.find_all(exp.ColumnDef)))
    if not added:
        raise not_supported("this form of ALTER TABLE … COLUMNS")
    taken = {column.name for column in (*(table.columns if keep else ()), *table.keys)}
    if clash := next((column.name for column in added if column.name in taken), None):
        raise task_failed(f"Duplicate column name: {clash}")
    return _store_columns(session, table, [*(table.columns if keep else ()), *added])
