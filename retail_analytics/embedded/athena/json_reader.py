"""JSON objects as rows: the OpenX SerDe, and Hive's own.

Belongs here: keys in whatever spelling, and what is read of them. Does not belong here: other formats
(`readers.py`).
"""

# ruff: noqa: S608 - making SQL is what this module does; names go through quoted(), texts through literal()

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlglot import exp

from retail_analytics.embedded.athena.column_types import duckdb_type
from retail_analytics.embedded.athena.errors import not_supported
from retail_analytics.embedded.athena.objects import BY_OBJECT, MAX_LINE_BYTES, OBJECT_FOLDER
from retail_analytics.embedded.athena.quoting import files_of, literal, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retail_analytics.embedded.athena.catalog import Column, Table
    from retail_analytics.embedded.athena.objects import CachedObject


def _is_true(table: Table, name: str, *, default: bool = False) -> bool:
    return table.serde_properties.get(name, str(default)).strip().lower() == "true"


def _json_keys(table: Table, copies: Sequence[CachedObject]) -> dict[str, list[str]]:
    """Each column's keys: as mapped, else every spelling met in the data, else the column's own name."""
    met = sorted(set[str]().union(*(copy.json_keys for copy in copies)))
    dots = _is_true(table, "dots.in.keys")
    exact = not _is_true(table, "case.insensitive", default=True)
    keys: dict[str, list[str]] = {}
    for column in table.columns:
        if mapped := table.serde_properties.get(f"mapping.{column.name}"):
            keys[column.name] = [mapped]
            continue
        plain = {key: key.replace(".", "_") if dots else key for key in met}
        same = [key for key, name in plain.items() if (name if exact else name.lower()) == column.name]
        keys[column.name] = same or [column.name]
    return keys


def read_json(table: Table, copies: Sequence[CachedObject]) -> str:
    """The SELECT that reads JSON lines as the table's columns."""
    keys = _json_keys(table, copies)
    flat = [key for group in keys.values() for key in group]
    if len({key.lower() for key in flat}) < len(flat):
        return _read_json_objects(table, copies, keys)
    ignore = str(_is_true(table, "ignore.malformed.json")).lower()
    declared = ", ".join(
        f"{quoted(keys[column.name][0])}: {literal(_json_type(column, keys[column.name], copies))}"
        for column in table.columns
    )
    source = (
        f"read_json({files_of(copies)}, columns={{{declared}}}, format='newline_delimited', "
        f"auto_detect=false, ignore_errors={ignore}, maximum_object_size={MAX_LINE_BYTES}, {BY_OBJECT})"
    )
    columns = [
        f"CAST({quoted(keys[column.name][0])} AS {duckdb_type(column.kind)}) AS {quoted(column.name)}"
        for column in table.columns
    ]
    return f"SELECT {', '.join([OBJECT_FOLDER, *columns])} FROM {source}"


def _json_type(column: Column, keys: Sequence[str], copies: Sequence[CachedObject]) -> str:
    """The type to read a column as: fields of rows go by the names that they have in the data."""
    kind = duckdb_type(column.kind)
    if "STRUCT" not in kind:
        return "VARCHAR" if kind.startswith(("TIMESTAMP", "DATE")) else kind
    met: dict[str, set[str]] = {}
    for key in {key for copy in copies for top, key in copy.nested_json_keys if top in keys}:
        met.setdefault(key.lower(), set()).add(key)
    parsed = exp.DataType.build(column.kind, dialect="hive")
    for field in parsed.find_all(exp.ColumnDef):
        name = field.name.lower()
        spellings = sorted(met.get(name, {name}))
        if len(spellings) > 1:
            raise not_supported(f"the key {name} within column {column.name} in the spellings {spellings}")
        field.set("this", exp.to_identifier(spellings[0], quoted=True))
    return parsed.sql("duckdb")


def _read_json_objects(table: Table, copies: Sequence[CachedObject], keys: dict[str, list[str]]) -> str:
    """The slower way, for data in which one column goes by several spellings."""
    ignore = _is_true(table, "ignore.malformed.json")
    cast = "TRY_CAST" if ignore else "CAST"
    columns = []
    for column in table.columns:
        kind = duckdb_type(column.kind)
        found = ", ".join(f"json_extract(json, {literal(_member(key))})" for key in keys[column.name])
        value = f"coalesce({found})"
        if "[" not in kind and "(" not in kind.replace("DECIMAL(", ""):
            value = f"json_extract_string({value}, '$')"
        else:  # a cast would refuse keys that are not declared
            shape = json.dumps(_json_type(column, keys[column.name], copies))
            value = f"json_transform({value}, {literal(shape)})"
        columns.append(f"{cast}({value} AS {kind}) AS {quoted(column.name)}")
    source = (
        f"read_ndjson_objects({files_of(copies)}, ignore_errors={str(ignore).lower()}, "
        f"maximum_object_size={MAX_LINE_BYTES}, {BY_OBJECT})"
    )
    return f"SELECT {', '.join([OBJECT_FOLDER, *columns])} FROM {source}"


def _member(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'$."{escaped}"'
