"""CAST, TRY_CAST, typed literals and EXTRACT with Athena's meaning.

Belongs here: conversions that a query asks for. Does not belong here: how results are printed
(`column_types.py`).
"""

from __future__ import annotations

import re

from sqlglot import exp

from retail_analytics.embedded.athena.calls import call
from retail_analytics.embedded.athena.errors import not_supported

_INTEGERS = {
    exp.DType.TINYINT: "tinyint",
    exp.DType.SMALLINT: "smallint",
    exp.DType.INT: "integer",
    exp.DType.BIGINT: "bigint",
}
# from texts, DuckDB takes more than Athena does
_STRICT = {
    exp.DType.DATE: "date",
    exp.DType.TIMESTAMP: "timestamp",
    exp.DType.BOOLEAN: "boolean",
}
TEXTS = {exp.DType.VARCHAR, exp.DType.CHAR, exp.DType.TEXT, exp.DType.NCHAR, exp.DType.NVARCHAR}
STAMPS = {exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.TIMESTAMPNTZ, exp.DType.TIMESTAMPLTZ}
ZONE = re.compile(r"(?:[+-]\d\d:?\d\d|Z|UTC|[A-Za-z]+/[A-Za-z_]+)\s*$")
_FIELDS = {
    "DAY_OF_WEEK": "isodow", "DOW": "isodow", "DAY_OF_YEAR": "doy", "DOY": "doy", "YEAR_OF_WEEK": "isoyear",
    "YOW": "isoyear", "DAY_OF_MONTH": "day", "YEAR": "year", "QUARTER": "quarter", "MONTH": "month",
    "WEEK": "week",
    "DAY": "day", "HOUR": "hour", "MINUTE": "minute", "SECOND": "second",
}  # fmt: skip


def rewrite_cast(node: exp.Cast) -> exp.Expr:
    """CAST or TRY_CAST to a type of Athena, as DuckDB does it."""
    kind, value = node.to.this, node.this
    tries = isinstance(node, exp.TryCast)
    if kind == exp.DType.JSON:
        made = call("athena_to_json", value)
        return call("TRY", made) if tries else made
    if kind in _INTEGERS:
        return call(f"athena_{'try_' if tries else ''}cast_{_INTEGERS[kind]}", value)
    if kind == exp.DType.CHAR and node.to.expressions:
        raise not_supported("char(n), which pads with spaces: use varchar(n)")
    if kind in TEXTS:
        text = call("athena_cast_varchar", value)
        length = node.to.expressions
        return call("left", text, exp.Literal.number(length[0].name)) if length else text
    copy = node.copy()
    copy.set("to", _target(node.to, value))
    if copy.to.this in _STRICT:
        return call(f"athena_{'try_' if tries else ''}cast_{_STRICT[copy.to.this]}", value)
    return copy


def _target(kind: exp.DataType, value: exp.Expr) -> exp.DataType:
    kind = kind.copy()
    for part in [kind, *kind.find_all(exp.DataType)]:
        if part.this in STAMPS:
            part.set("expressions", [])
        if part.this in TEXTS:
            part.set("expressions", [])
    is_text = isinstance(value, exp.Literal) and value.is_string
    if kind.this == exp.DType.TIMESTAMP and is_text and ZONE.search(value.name):
        return exp.DataType.build("TIMESTAMPTZ", dialect="duckdb")
    if kind.this == exp.DType.DECIMAL and not kind.expressions:
        if is_text:
            whole, _, fraction = value.name.strip().lstrip("+-").partition(".")
            return exp.DataType.build(
                f"DECIMAL({max(1, len(whole) + len(fraction))}, {len(fraction)})", dialect="duckdb"
            )
        return exp.DataType.build("DECIMAL(38, 0)", dialect="duckdb")
    if kind.this == exp.DType.STRUCT and any(
        not isinstance(item, exp.ColumnDef) for item in kind.expressions
    ):
        raise not_supported("a ROW type without field names")
    return kind


def rewrite_extract(node: exp.Extract) -> exp.Expr:
    """EXTRACT(field FROM x), a bigint."""
    field = node.name.upper()
    if field not in _FIELDS:
        raise not_supported(f"EXTRACT({field})")
    part = call("date_part", _FIELDS[field], node.expression)
    return exp.Cast(this=call("floor", part), to=exp.DataType.build("BIGINT"))


def rewrite_zone(node: exp.AtTimeZone) -> exp.Expr:
    """`x AT TIME ZONE 'UTC'`; other zones are settled before (`zones.py`)."""
    return exp.Cast(this=node.this, to=exp.DataType.build("TIMESTAMPTZ", dialect="duckdb"))
