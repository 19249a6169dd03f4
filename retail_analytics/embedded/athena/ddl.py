"""Statements that change the catalog: databases, external tables, partitions, views.

Belongs here: Hive's DDL as Athena takes it. Does not belong here: statements that write data (`ctas.py`).
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sqlglot import exp

from retail_analytics.embedded.athena import grammar
from retail_analytics.embedded.athena.catalog import Column, Partition, Table
from retail_analytics.embedded.athena.column_types import duckdb_type, hive_type
from retail_analytics.embedded.athena.errors import QueryFailedError, not_supported
from retail_analytics.embedded.athena.objects import folder_of
from retail_analytics.embedded.athena.partition_specs import partition_specs
from retail_analytics.embedded.athena.results import Result, text_result
from retail_analytics.embedded.athena.scan import NULL_PARTITION
from retail_analytics.embedded.athena.storage import column_entries, table_input
from retail_analytics.embedded.athena.table_definition import TableProperties, columns_of
from retail_analytics.embedded.athena.translate import plan_query

if TYPE_CHECKING:
    from sqlglot.tokenizer_core import Token

    from retail_analytics.embedded.athena.session import Session

    Answer = tuple[Result, bytes | None]

DONE: Answer = (Result(), b"")
_HIVE = "FAILED: Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask."


def _failed(message: str) -> QueryFailedError:
    return QueryFailedError(None, f"{_HIVE} {message}")


def create_database(session: Session, sql: str) -> Answer:
    """CREATE DATABASE [IF NOT EXISTS] name [COMMENT …] [LOCATION …]."""
    tree = grammar.parse(sql, "athena")
    name = _database_name(tree)
    if name in session.catalog.glue.databases:
        if tree.args.get("exists"):
            return DONE
        raise _failed(f"AlreadyExistsException: Database {name} already exists")
    comment, location = tree.find(exp.SchemaCommentProperty), tree.find(exp.LocationProperty)
    definition = {"Name": name}
    if comment:
        definition["Description"] = comment.this.name
    if location:
        definition["LocationUri"] = location.this.name
    session.catalog.glue.create_database(name, definition)
    return DONE


def drop_database(session: Session, sql: str) -> Answer:
    """DROP DATABASE [IF EXISTS] name [RESTRICT | CASCADE]."""
    tree = grammar.parse(sql, "athena")
    name = _database_name(tree)
    if name not in session.catalog.glue.databases:
        if tree.args.get("exists"):
            return DONE
        raise QueryFailedError(
            None, f"FAILED: SemanticException [Error 10072]: Database does not exist: {name}"
        )
    if session.catalog.tables(name) and not tree.args.get("cascade"):
        raise _failed(
            f"InvalidOperationException(message:Database {name} is not empty. One or more tables exist.)"
        )
    session.catalog.glue.delete_database(name)
    return DONE


def _database_name(tree: exp.Expr) -> str:
    table = tree.find(exp.Table)
    if table is None:
        raise not_supported("a database without a name")
    return next(part for part in reversed(grammar.split_name(table)) if part)


def create_external_table(session: Session, sql: str) -> Answer:
    """CREATE EXTERNAL TABLE … LOCATION …."""
    tree = grammar.parse(sql, "athena")
    if not isinstance(tree, exp.Create) or not isinstance(tree.this, exp.Schema):
        raise not_supported("CREATE EXTERNAL TABLE without a list of columns")
    database, name = _target(session, tree.this.this)
    if session.catalog.find(database, name):
        if tree.args.get("exists"):
            return DONE
        raise _failed(f"AlreadyExistsException: Table {name} already exists")
    if not session.catalog.has_database(database):
        raise QueryFailedError(
            None, f"FAILED: SemanticException [Error 10072]: Database does not exist: {database}"
        )
    properties = TableProperties(tree)
    if properties.location is None:
        raise QueryFailedError(
            None, "FAILED: SemanticException No table location provided: add LOCATION 's3://…'"
        )
    folder_of(properties.location)
    definition = table_input(
        name,
        columns_of(tree.this.expressions),
        properties.keys,
        properties.location,
        properties.storage,
        serde_properties=properties.serde_properties,
        parameters=properties.parameters,
        buckets=properties.buckets,
    )
    _ensure_default(session, database)
    session.catalog.create_table(database, name, definition)
    return DONE


def drop_table(session: Session, sql: str) -> Answer:
    """DROP TABLE [IF EXISTS] name; the data stays where it is."""
    return _drop(session, sql, views=False)


def drop_view(session: Session, sql: str) -> Answer:
    """DROP VIEW [IF EXISTS] name."""
    return _drop(session, sql, views=True)


def _drop(session: Session, sql: str, *, views: bool) -> Answer:
    tree = grammar.parse(sql, "athena")
    database, name = _target(session, tree.find(exp.Table))  # type: ignore[arg-type]
    table = session.catalog.find(database, name)
    if table is None:
        if tree.args.get("exists"):
            return DONE
        raise QueryFailedError(
            None, f"FAILED: SemanticException [Error 10001]: Table not found {database}.{name}"
        )
    if table.is_view is not views:
        wanted, use = ("a view", "DROP TABLE") if views else ("a table", "DROP VIEW")
        raise QueryFailedError(
            None, f"FAILED: SemanticException {table.full_name} is not {wanted}: use {use}"
        )
    session.catalog.drop_table(table)
    return DONE


def create_view(session: Session, sql: str) -> Answer:
    """CREATE [OR REPLACE] VIEW name AS query."""
    tree = grammar.parse(sql)
    if not isinstance(tree, exp.Create) or not isinstance(tree.this, exp.Table):
        raise not_supported("a list of columns in CREATE VIEW")
    database, name = _target(session, tree.this)
    known = session.catalog.find(database, name)
    if known and not (known.is_view and tree.args.get("replace")):
        raise QueryFailedError("TABLE_ALREADY_EXISTS", f"'awsdatacatalog.{database}.{name}' already exists")
    text = _text_after_as(sql)
    session.reads_data = False
    plan = plan_query(session, grammar.parse(text))
    missing = [index for index, label in enumerate(plan.names, start=1) if label is None]
    if missing:
        raise QueryFailedError(
            "COLUMN_NAME_NOT_SPECIFIED", f"Column name not specified at position {missing[0]}"
        )
    columns = [Column(label, hive_type(kind)) for label, kind in zip(plan.labels, plan.types, strict=True)]
    decoded = {
        "originalSql": text,
        "catalog": "awsdatacatalog",
        "schema": session.request.database,
        "columns": [{"name": column.name, "type": column.kind} for column in columns],
    }
    encoded = base64.b64encode(json.dumps(decoded).encode()).decode()
    definition = {
        "Name": name,
        "TableType": "VIRTUAL_VIEW",
        "Parameters": {"presto_view": "true", "comment": "Presto View"},
        "PartitionKeys": [],
        "StorageDescriptor": {"Columns": column_entries(columns), "Location": "", "SerdeInfo": {}},
        "ViewOriginalText": f"/* Presto View: {encoded} */",
        "ViewExpandedText": "/* Presto View */",
    }
    if known:
        session.catalog.update_table(known, definition)
    else:
        session.catalog.create_table(database, name, definition)
    return DONE


def _text_after_as(sql: str) -> str:
    found = grammar.tokens(sql)
    at = next(index for index, token in enumerate(found) if token.text.upper() == "AS")
    return sql[found[at + 1].start : found[-1].end + 1]


def alter_table(session: Session, sql: str) -> Answer:
    """ALTER TABLE … ADD/DROP PARTITION, SET LOCATION, SET TBLPROPERTIES, ADD COLUMNS, REPLACE COLUMNS."""
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
            raise _failed(f"AlreadyExistsException: Partition already exists: {list(values)}")
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


def _change_columns(session: Session, table: Table, sql: str, *, keep: bool) -> Answer:
    tree = grammar.parse(
        sql if keep else sql.replace("REPLACE", "ADD", 1).replace("replace", "ADD", 1), "athena"
    )
    added = columns_of(list(tree.find_all(exp.ColumnDef)))
    if not added:
        raise not_supported("this form of ALTER TABLE … COLUMNS")
    taken = {column.name for column in (*(table.columns if keep else ()), *table.keys)}
    if clash := next((column.name for column in added if column.name in taken), None):
        raise _failed(f"Duplicate column name: {clash}")
    definition = session.catalog.definition(table.database, table.name) or {}
    columns = column_entries([*(table.columns if keep else ()), *added])
    session.catalog.update_table(
        table, {"StorageDescriptor": {**definition["StorageDescriptor"], "Columns": columns}}
    )
    return DONE


def repair_table(session: Session, sql: str) -> Answer:
    """MSCK REPAIR TABLE name: adds the `key=value` folders that the catalog lacks."""
    found = grammar.tokens(sql)
    table = session.table("".join(token.text for token in found[3:]), grammar.token_position(found[-1]))
    if not table.keys:
        raise _failed(f"Table {table.full_name} is not partitioned")
    bucket, prefix = folder_of(table.location)
    known = {partition.values for partition in session.catalog.partitions(table)}
    new: dict[tuple[str, ...], str] = {}
    for item in session.bucket(bucket).under(prefix):
        folders = item.key[len(prefix) :].split("/")[: len(table.keys)]
        values = _folder_values(table, folders)
        if values is not None and values not in known and item.key.count("/", len(prefix)) >= len(table.keys):
            new.setdefault(values, f"s3://{bucket}/{prefix}{'/'.join(folders)}/")
    session.catalog.add_partitions(table, [Partition(values, location) for values, location in new.items()])
    paths = ["/".join(f"{k.name}={v}" for k, v in zip(table.keys, values, strict=True)) for values in new]
    listed = "\t".join(f"{table.name}:{path}" for path in paths)
    lines = [f"Partitions not in metastore:\t{listed}"] if paths else []
    lines += [f"Repair: Added partition to metastore {table.name}:{path}" for path in paths]
    return text_result(session, [(line,) for line in lines])


def _folder_values(table: Table, folders: list[str]) -> tuple[str, ...] | None:
    if len(folders) < len(table.keys):
        return None
    values = []
    for key, folder in zip(table.keys, folders, strict=True):
        name, equals, value = folder.partition("=")
        if not equals or name.lower() != key.name:
            return None
        values.append(unquote(value) if value != NULL_PARTITION else value)
    return tuple(values)


def _target(session: Session, table: exp.Table) -> tuple[str, str]:
    _, database, name = grammar.split_name(table)
    return database or session.request.database, name


def _ensure_default(session: Session, database: str) -> None:
    if database == "default" and "default" not in session.catalog.glue.databases:
        session.catalog.glue.create_database("default", {"Name": "default"})
