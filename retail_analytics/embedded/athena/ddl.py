"""Statements that change the catalog: databases, external tables, partitions, views.

Belongs here: Hive's DDL as Athena takes it. Does not belong here: statements that write data (`ctas.py`).
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from retail_analytics.embedded.athena import grammar
from retail_analytics.embedded.athena.catalog import Column, Partition, Table
from retail_analytics.embedded.athena.column_types import hive_type
from retail_analytics.embedded.athena.errors import QueryFailedError, not_supported, task_failed
from retail_analytics.embedded.athena.objects import folder_of
from retail_analytics.embedded.athena.results import Result, text_result
from retail_analytics.embedded.athena.scan import NULL_PARTITION
from retail_analytics.embedded.athena.storage import column_entries, table_input
from retail_analytics.embedded.athena.table_definition import TableProperties, columns_of
from retail_analytics.embedded.athena.translate import plan_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retail_analytics.embedded.athena.session import Session

    Answer = tuple[Result, bytes | None]

DONE: Answer = (Result(), b"")


def create_database(session: Session, sql: str) -> Answer:
    """CREATE DATABASE [IF NOT EXISTS] name [COMMENT …] [LOCATION …] [WITH DBPROPERTIES (…)]."""
    sql, parameters = _without_properties(sql)
    tree = grammar.parse(sql, "athena")
    name = _database_name(tree)
    if name in session.catalog.glue.databases:
        if tree.args.get("exists"):
            return DONE
        raise task_failed(f"AlreadyExistsException: Database {name} already exists")
    comment, location = tree.find(exp.SchemaCommentProperty), tree.find(exp.LocationProperty)
    definition: dict[str, object] = {"Name": name, **({"Parameters": parameters} if parameters else {})}
    if comment:
        definition["Description"] = comment.this.name
    if location:
        definition["LocationUri"] = location.this.name
    session.catalog.glue.create_database(name, definition)
    return DONE


def _without_properties(sql: str) -> tuple[str, dict[str, str]]:
    """The statement without `WITH DBPROPERTIES ('a' = 'b', …)`, which the parser does not know."""
    found = grammar.tokens(sql)
    at = next((i for i, token in enumerate(found) if token.text.upper() == "DBPROPERTIES"), None)
    if at is None:
        return sql, {}
    texts = [token.text for token in found[at + 1 :] if token.token_type == TokenType.STRING]
    return sql[: found[at - 1].start], dict(zip(texts[::2], texts[1::2], strict=False))


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
        raise task_failed(
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
        raise task_failed(f"AlreadyExistsException: Table {name} already exists")
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
    columns = columns_of(tree.this.expressions)
    _check_names(columns, properties.keys)
    definition = table_input(
        name,
        columns,
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


def _check_names(columns: Sequence[Column], keys: Sequence[Column]) -> None:
    seen: set[str] = set()
    for column in columns:
        if column.name in seen:
            raise task_failed(f"Duplicate column name: {column.name}")
        seen.add(column.name)
    if any(key.name in seen for key in keys):
        raise QueryFailedError(
            None, "FAILED: SemanticException [Error 10035]: Column repeated in partitioning columns"
        )


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


def repair_table(session: Session, sql: str) -> Answer:
    """MSCK REPAIR TABLE name: adds the `key=value` folders that the catalog lacks."""
    found = grammar.tokens(sql)
    table = session.table("".join(token.text for token in found[3:]), grammar.token_position(found[-1]))
    if not table.keys:
        raise task_failed(f"Table {table.full_name} is not partitioned")
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
