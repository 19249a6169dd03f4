"""One reader for each file format: the SQL by which DuckDB reads cached objects as the catalog declares them.

Belongs here: SerDes and their properties. Does not belong here: which objects to read (`scan.py`).

Every reader returns a SELECT whose columns are the table's own, in order, typed as declared, after a first
column `retail_object` that tells the objects apart.
"""

# ruff: noqa: S608 - making SQL is what this module does; names go through quoted(), texts through literal()

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.types as pat

from retail_analytics.embedded.athena.column_types import duckdb_type
from retail_analytics.embedded.athena.errors import QueryFailedError, not_supported
from retail_analytics.embedded.athena.json_reader import read_json
from retail_analytics.embedded.athena.objects import BY_OBJECT, MAX_LINE_BYTES, OBJECT_FOLDER
from retail_analytics.embedded.athena.quoting import files_of, literal, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retail_analytics.embedded.athena.catalog import Column, Table
    from retail_analytics.embedded.athena.objects import CachedObject

# No line of text holds it, so that DuckDB's CSV reader returns lines whole.
_NEVER = "\x1e\x02\x1d\x02"


@dataclass(frozen=True)
class Format:
    """A file format: its name, whether its objects are text, and its reader."""

    name: str
    is_text: bool
    read: Callable[[Table, Sequence[CachedObject]], str]


def format_of(table: Table) -> Format:
    """The table's format; NOT_SUPPORTED names a SerDe that is not covered."""
    if found := _FORMATS.get(table.serde):
        return found
    if not table.serde:
        raise QueryFailedError(
            "HIVE_UNSUPPORTED_FORMAT", f"Table {table.full_name} has no SerDe in the Glue catalog"
        )
    raise not_supported(f"the SerDe {table.serde} of table {table.full_name}")


def _read_parquet(table: Table, copies: Sequence[CachedObject]) -> str:
    present: dict[str, str] = {}
    for copy in copies:
        _check_parquet(table, copy)
        present.update({name: field.name for name, field in copy.parquet_fields.items()})
    columns = [
        f"CAST({quoted(present[column.name])} AS {duckdb_type(column.kind)}) AS {quoted(column.name)}"
        if column.name in present
        else _null(column)
        for column in table.columns
    ]
    # DuckDB opens every file for a union; one is enough where all have the same columns.
    union = len({tuple(copy.parquet_fields.values()) for copy in copies}) > 1
    source = f"read_parquet({files_of(copies)}, union_by_name={str(union).lower()}, {BY_OBJECT})"
    return f"SELECT {', '.join([OBJECT_FOLDER, *columns])} FROM {source}"


def _check_parquet(table: Table, copy: CachedObject) -> None:
    for column in table.columns:
        field = copy.parquet_fields.get(column.name)
        if field is not None and not _fits(column.kind, field.type):
            raise QueryFailedError(
                "HIVE_BAD_DATA",
                f"Field {column.name}'s type {str(field.type).upper()} in parquet file "
                f"{copy.source.url} is incompatible "
                f"with type {column.kind} defined in table schema",
            )


def _fits(declared: str, stored: pa.DataType) -> bool:
    """Whether Athena reads a Parquet column of one type as the other; nested types are left to the cast."""
    base = declared.split("(", maxsplit=1)[0].split("<", maxsplit=1)[0]
    tests: dict[str, Callable[[pa.DataType], bool]] = {
        "tinyint": pat.is_integer,
        "smallint": pat.is_integer,
        "int": pat.is_integer,
        "bigint": pat.is_integer,
        "boolean": pat.is_boolean,
        "float": pat.is_floating,
        "double": pat.is_floating,
        "date": pat.is_date,
        "timestamp": pat.is_timestamp,
        "decimal": lambda kind: pat.is_decimal(kind) or pat.is_integer(kind),
        "string": _is_text,
        "varchar": _is_text,
        "char": _is_text,
        "binary": _is_text,
    }
    test = tests.get(base)
    return pat.is_null(stored) or test is None or test(stored)


def _is_text(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (
            pat.is_string,
            pat.is_large_string,
            pat.is_binary,
            pat.is_large_binary,
            pat.is_dictionary,
        )
    )


def _null(column: Column) -> str:
    return f"CAST(NULL AS {duckdb_type(column.kind)}) AS {quoted(column.name)}"


def _lines(table: Table, copies: Sequence[CachedObject]) -> str:
    skip = header_lines(table)
    return (
        f"SELECT {OBJECT_FOLDER}, coalesce(line, '') AS line FROM read_csv({files_of(copies)}, "
        f"columns={{'line': 'VARCHAR'}}, delim={literal(_NEVER)}, quote='', escape='', header=false, "
        f"skip={skip}, "
        f"auto_detect=false, null_padding=false, strict_mode=false, max_line_size={MAX_LINE_BYTES}, "
        f"{BY_OBJECT})"
    )


def header_lines(table: Table) -> int:
    """Lines at the head of each object that are no rows."""
    text = table.parameters.get("skip.header.line.count", "0")
    if not text.isdigit():
        raise QueryFailedError(
            "HIVE_INVALID_METADATA", f"skip.header.line.count of {table.full_name} is no number: {text}"
        )
    return int(text)


def _delimiter(table: Table, *names: str, default: str) -> str:
    for name in names:
        if value := table.serde_properties.get(name):
            return chr(int(value)) if value.isdigit() and len(value) <= 3 else value
    return default


def _read_text(table: Table, copies: Sequence[CachedObject]) -> str:
    """LazySimpleSerDe: what does not parse as the declared type is NULL."""
    delimiter = _delimiter(table, "field.delim", "serialization.format", default="\x01")
    escape = table.serde_properties.get("escape.delim", "")
    missing = table.serde_properties.get("serialization.null.format", "\\N")
    columns = []
    for index, column in enumerate(table.columns, start=1):
        kind = duckdb_type(column.kind)
        if "[" in kind or kind.startswith(("STRUCT", "MAP")):
            raise not_supported(f"the type {column.kind} of column {column.name} in a delimited text table")
        value = _unescaped(f"fields[{index}]", escape, delimiter)
        field = f"CASE WHEN fields[{index}] = {literal(missing)} THEN NULL ELSE {value} END"
        columns.append(f"TRY_CAST({field} AS {kind}) AS {quoted(column.name)}")
    line = _escaped("line", escape, delimiter)
    fields = (
        f"SELECT {OBJECT_FOLDER}, string_split({line}, {literal(delimiter)}) AS fields FROM "
        f"({_lines(table, copies)})"
    )
    return f"SELECT {', '.join([OBJECT_FOLDER, *columns])} FROM ({fields})"


def _escaped(value: str, escape: str, delimiter: str) -> str:
    if not escape:
        return value
    inner = f"replace({value}, {literal(escape * 2)}, chr(17))"
    return f"replace({inner}, {literal(escape + delimiter)}, chr(18))"


def _unescaped(value: str, escape: str, delimiter: str) -> str:
    if not escape:
        return value
    inner = f"replace({value}, chr(18), {literal(delimiter)})"
    return f"replace(replace({inner}, {literal(escape)}, ''), chr(17), {literal(escape)})"


def _read_csv(table: Table, copies: Sequence[CachedObject]) -> str:
    """OpenCSVSerDe: quoted fields; a value that does not parse as declared is an error."""
    separator = table.serde_properties.get("separatorChar", ",")
    quote = table.serde_properties.get("quoteChar", '"')
    escape = table.serde_properties.get("escapeChar", "\\")
    names = ", ".join(f"{literal(f'c{index}')}: 'VARCHAR'" for index in range(len(table.columns)))
    source = (
        f"read_csv({files_of(copies)}, columns={{{names}}}, delim={literal(separator)}, "
        f"quote={literal(quote)}, "
        f"escape={literal(quote if escape == chr(92) else escape)}, header=false, "
        f"skip={header_lines(table)}, "
        f"auto_detect=false, null_padding=true, strict_mode=false, nullstr={literal(_NEVER)}, "
        f"parallel=false, "
        f"max_line_size={MAX_LINE_BYTES}, {BY_OBJECT})"
    )
    columns = [
        f"{_csv_value(f'c{index}', column)} AS {quoted(column.name)}"
        for index, column in enumerate(table.columns)
    ]
    return f"SELECT {', '.join([OBJECT_FOLDER, *columns])} FROM {source}"


def _csv_value(value: str, column: Column) -> str:
    kind = duckdb_type(column.kind)
    if kind.startswith(("TEXT", "VARCHAR")):
        return value
    filled = f"nullif(trim({value}), '')"
    if kind == "DATE":  # days since 1970, as Athena documents for this SerDe
        return f"DATE '1970-01-01' + CAST({filled} AS INTEGER)"
    if kind.startswith("TIMESTAMP"):
        return f"epoch_ms(CAST({filled} AS BIGINT))"
    return f"CAST({filled} AS {kind})"


PARQUET_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
TEXT_SERDE = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
JSON_SERDE = "org.openx.data.jsonserde.JsonSerDe"
HCATALOG_JSON_SERDE = "org.apache.hive.hcatalog.data.JsonSerDe"
CSV_SERDE = "org.apache.hadoop.hive.serde2.OpenCSVSerde"

_FORMATS = {
    PARQUET_SERDE: Format("PARQUET", is_text=False, read=_read_parquet),
    TEXT_SERDE: Format("TEXTFILE", is_text=True, read=_read_text),
    JSON_SERDE: Format("JSON", is_text=True, read=read_json),
    HCATALOG_JSON_SERDE: Format("JSON", is_text=True, read=read_json),
    CSV_SERDE: Format("CSV", is_text=True, read=_read_csv),
}
