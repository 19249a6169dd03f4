"""Types: as the Glue catalog spells them (Hive), as DuckDB does, and as Athena reports them.

Belongs here: the translation between the three, and how Athena prints a value. Does not belong here: casts
that a query asks for, which are in `functions.py`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, cast

from sqlglot import errors as sqlglot_errors
from sqlglot import exp

from retail_analytics.embedded.athena.errors import QueryFailedError

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType

_ATHENA_NAMES = {
    "boolean": "boolean",
    "tinyint": "tinyint",
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "hugeint": "bigint",
    "utinyint": "smallint",
    "usmallint": "integer",
    "uinteger": "bigint",
    "ubigint": "bigint",
    "float": "float",
    "double": "double",
    "varchar": "varchar",
    "json": "json",
    "blob": "varbinary",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamp_s": "timestamp",
    "timestamp_ms": "timestamp",
    "timestamp_ns": "timestamp",
    "timestamp with time zone": "timestamp with time zone",
    "interval": "interval day to second",
    "uuid": "uuid",
    "sqlnull": "unknown",
    '"null"': "unknown",
    "null": "unknown",
}
_HIVE_NAMES = {
    "integer": "int",
    "varbinary": "binary",
    "varchar": "string",
    "unknown": "string",
}
ZONE_FIELDS = ("retail_instant", "retail_zone")
"""The parts of a timestamp whose zone is not UTC, in a struct (`zones.py`)."""
_ROWS = {"struct", "tuple"}  # with names, and without
_PRECISION = {
    "boolean": 0,
    "tinyint": 3,
    "smallint": 5,
    "integer": 10,
    "bigint": 19,
    "float": 17,
    "double": 17,
    "varchar": 2147483647,
    "timestamp": 3,
    "timestamp with time zone": 3,
    "varbinary": 1073741824,
}


@lru_cache(maxsize=2048)
def duckdb_type(hive_type: str) -> str:
    """DuckDB's spelling of a column type of the catalog, such as `array<struct<x:int>>`."""
    text = "decimal(10,0)" if hive_type.strip().lower() == "decimal" else hive_type
    try:
        parsed = exp.DataType.build(text, dialect="hive")
        for field in parsed.find_all(exp.ColumnDef):
            field.set("this", exp.to_identifier(field.name.lower(), quoted=True))
        return parsed.sql("duckdb")
    except (sqlglot_errors.SqlglotError, ValueError) as error:
        raise QueryFailedError(
            "HIVE_UNSUPPORTED_FORMAT", f"the catalog has a column of the unknown type '{hive_type}'"
        ) from error


def athena_type(kind: DuckDBPyType) -> str:
    """Athena's name of the type of a result's column, without parameters (`decimal`, `array`, `varchar`)."""
    if kind.id in {"list", "array"}:
        return "array"
    if kind.id in _ROWS:
        zoned = kind.id == "struct" and tuple(name for name, _ in kind.children) == ZONE_FIELDS
        return "timestamp with time zone" if zoned else "row"
    if kind.id in {"map", "decimal"}:
        return str(kind.id)
    return _ATHENA_NAMES.get(str(kind).lower(), str(kind).lower())


_WIDER = ("tinyint", "smallint", "integer", "bigint", "decimal", "float", "double")
_FAMILIES = ({"varchar", "char"}, {"boolean"}, {"varbinary"}, {"date", "timestamp"})


def is_insertable(kind: DuckDBPyType, declared: str) -> bool:
    """Whether Athena inserts a query's column into a column of the catalog: numbers into wider ones alone.

    Nothing is said of nested types and of NULL.
    """
    plain = declared.split("(", maxsplit=1)[0].lower()
    plain = {"int": "integer", "string": "varchar", "binary": "varbinary"}.get(plain, plain)
    name = athena_type(kind)
    if name in _WIDER:
        return plain not in _WIDER[: _WIDER.index(name)] and not any(plain in family for family in _FAMILIES)
    if (name, plain) == ("timestamp", "date"):
        return False
    family = next((family for family in _FAMILIES if name in family), None)
    return family is None or plain in family or not (plain in _WIDER or any(plain in f for f in _FAMILIES))


def precision_and_scale(kind: DuckDBPyType) -> tuple[int, int]:
    """What GetQueryResults reports for a column."""
    if kind.id == "decimal":
        children = dict(kind.children)
        return int(str(children["precision"])), int(str(children["scale"]))
    return _PRECISION.get(athena_type(kind), 0), 0


def _children(kind: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    """The parts of a nested type; those of a decimal are numbers, and are read in `precision_and_scale`."""
    return cast("list[tuple[str, DuckDBPyType]]", kind.children)


def hive_type(kind: DuckDBPyType) -> str:
    """How CTAS writes a column's type into the catalog."""
    if kind.id in {"list", "array"}:
        return f"array<{hive_type(_children(kind)[0][1])}>"
    if kind.id == "map":
        children = dict(_children(kind))
        return f"map<{hive_type(children['key'])},{hive_type(children['value'])}>"
    if kind.id == "struct":
        return (
            "struct<"
            + ",".join(f"{name.lower()}:{hive_type(child)}" for name, child in _children(kind))
            + ">"
        )
    if kind.id == "tuple":
        raise QueryFailedError(
            "NOT_SUPPORTED",
            "Anonymous row type is not supported in Hive. Please give each field a name: "
            "CAST(ROW(…) AS ROW(name type, …))",
        )
    if kind.id == "decimal":
        precision, scale = precision_and_scale(kind)
        return f"decimal({precision},{scale})"
    name = athena_type(kind)
    return _HIVE_NAMES.get(name, name)


def printed(kind: DuckDBPyType, value: str, depth: int = 0) -> str:
    """The SQL that prints `value` (an SQL expression) of type `kind` as Athena's results do."""
    name = athena_type(kind)
    if name in {"float", "double"}:
        return f"athena_print_double({value})"
    if name.startswith("timestamp"):
        return _printed_timestamp(kind, value)
    if name == "time":
        return (
            f"left(CAST({value} AS VARCHAR) || CASE WHEN CAST({value} AS VARCHAR) LIKE '%.%' THEN '' "
            f"ELSE '.' END || '000', 12)"
        )
    if name == "interval day to second":
        return f"athena_print_interval({value})"
    if name == "varbinary":
        return f"trim(regexp_replace(lower(hex({value})), '(..)', '\\1 ', 'g'))"
    if name == "array":
        item = f"e{depth}"
        inner = printed(_children(kind)[0][1], item, depth + 1)
        return (
            f"('[' || array_to_string(list_transform({value}, lambda {item}: coalesce({inner}, "
            f"'null')), ', ') || ']')"
        )
    if name == "map":
        return _printed_map(kind, value, depth)
    if name == "row":
        return _printed_row(kind, value, depth)
    return f"CAST({value} AS VARCHAR)"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _printed_timestamp(kind: DuckDBPyType, value: str) -> str:
    if kind.id == "struct":
        instant, zone = (f"struct_extract({value}, '{field}')" for field in ZONE_FIELDS)
        return f"athena_print_zoned({instant}, {zone})"
    if athena_type(kind) == "timestamp":
        return f"strftime({value}, '%Y-%m-%d %H:%M:%S.%g')"
    return f"strftime({value} AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S.%g') || ' UTC'"


def _printed_row(kind: DuckDBPyType, value: str, depth: int) -> str:
    """`{a=1, b=x}`; the fields of a row without names are field0, field1 and so on."""
    fields = []
    for index, (field, child) in enumerate(_children(kind)):
        name, at = (field.lower(), _quoted(field)) if field else (f"field{index}", str(index + 1))
        inner = printed(child, f"struct_extract({value}, {at})", depth + 1)
        fields.append(f"{_quoted(f'{name}=')} || coalesce({inner}, 'null')")
    return (
        f"(CASE WHEN {value} IS NULL THEN NULL ELSE '{{' || " + " || ', ' || ".join(fields) + " || '}' END)"
    )


def _printed_map(kind: DuckDBPyType, value: str, depth: int) -> str:
    item, children = f"e{depth}", dict(_children(kind))
    key = printed(children["key"], f"struct_extract({item}, 'key')", depth + 1)
    child = printed(children["value"], f"struct_extract({item}, 'value')", depth + 1)
    entry = f"{key} || '=' || coalesce({child}, 'null')"
    entries = f"list_transform(map_entries({value}), lambda {item}: {entry})"
    return f"('{{' || array_to_string({entries}, ', ') || '}}')"
