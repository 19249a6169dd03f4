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
_TEXTS = {exp.DType.VARCHAR, exp.DType.CHAR, exp.DType.TEXT, exp.DType.NCHAR, exp.DType.NVARCHAR}
_STAMPS = {exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.TIMESTAMPNTZ, exp.DType.TIMESTAMPLTZ}
_ZONE = re.compile(r"(?:[+-]\d\d:?\d\d|Z|UTC|[A-Za-z]+/[A-Za-z_]+)\s*$")
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
    if kind in _TEXTS:
        text = call("athena_cast_varchar", value)
        length = node.to.expressions
        return call("left", text, exp.Literal.number(length[0].name)) if length else text
    copy = node.copy()
    copy.set("to", _target(node.to, value))
    return copy


def _target(kind: exp.DataType, value: exp.Expr) -> exp.DataType:
    kind = kind.copy()
    for part in [kind, *kind.find_all(exp.DataType)]:
        if part.this in _STAMPS:
            part.set("expressions", [])
        if part.this in _TEXTS:
            part.set("expressions", [])
    is_text = isinstance(value, exp.Literal) and value.is_string
    if kind.this == exp.DType.TIMESTAMP and is_text and _ZONE.search(value.name):
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


# They read a time off the wall, so that the zone may be forgotten after them.
_WALL = {
    "date", "year", "quarter", "month", "week", "week_of_year", "day", "day_of_month", "day_of_week", "dow",
    "day_of_year",
    "doy", "hour", "minute", "second", "date_format", "format_datetime",
}  # fmt: skip


def rewrite_zone(node: exp.AtTimeZone) -> exp.Expr:
    """`x AT TIME ZONE z`; refused where the result would need a zone, which DuckDB's timestamps have not."""
    instant = exp.Cast(this=node.this, to=exp.DataType.build("TIMESTAMPTZ", dialect="duckdb"))
    zone = node.args["zone"]
    if isinstance(zone, exp.Literal) and zone.name.upper() in {"UTC", "Z", "+00:00", "ETC/UTC"}:
        return instant
    parent = node.parent
    wall = isinstance(parent, exp.Anonymous) and str(parent.this).lower() in _WALL
    if isinstance(parent, exp.Cast):
        wall = parent.to.this in {exp.DType.DATE, exp.DType.TIMESTAMP}
    if not wall and not isinstance(parent, exp.Extract):
        raise not_supported("AT TIME ZONE with a zone other than UTC, outside a CAST to date or timestamp,")
    return exp.AtTimeZone(this=instant, zone=zone)
