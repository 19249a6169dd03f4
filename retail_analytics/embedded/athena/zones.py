"""Timestamps that carry a zone of their own, which DuckDB's do not: its instants have no zone but UTC.

An expression whose zone can be read off the query becomes an instant, a time on the wall, or both with the
zone beside them in the outermost SELECT, by what is done with it. Where its zone would travel unseen, into a
subquery's column for one, it is refused: what is read from texts when a text holds a zone other than UTC.

Belongs here: which expressions carry a zone, and what becomes of them. Does not belong here: the macros that
compute (`conversions.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from retail_analytics.embedded.athena.calls import call
from retail_analytics.embedded.athena.casts import STAMPS, TEXTS, ZONE
from retail_analytics.embedded.athena.column_types import ZONE_FIELDS
from retail_analytics.embedded.athena.errors import not_supported

if TYPE_CHECKING:
    from collections.abc import Callable

_UTC = {"UTC", "Z", "+00:00", "ETC/UTC", "GMT"}
# They read a time off the wall, so that the zone may be forgotten after them.
_WALL = {
    "date", "year", "quarter", "month", "week", "week_of_year", "day", "day_of_month", "day_of_week", "dow",
    "day_of_year", "doy", "year_of_week", "yow", "hour", "minute", "second", "millisecond", "date_format",
    "format_datetime", "last_day_of_month",
}  # fmt: skip
# They compare, or count, instants.
_SAFE = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In, exp.Is, exp.Ordered, exp.Group,
    exp.NullSafeEQ, exp.NullSafeNEQ, exp.Sub, exp.PartitionedByProperty, exp.Window, exp.AtTimeZone,
)  # fmt: skip
_SAFE_CALLS = {"to_unixtime", "count", "approx_distinct"}
_LONG_UNITS = {"day", "week", "month", "quarter", "year"}


@dataclass(frozen=True)
class _Zoned:
    """An expression with a zone, as expressions without one.

    Attributes:
        instant: when it is.
        wall: what the clocks of its zone show.
        zone: the zone's name, or its offset such as `+09:00`.
        unseen: the instant for where the zone is lost: it fails unless the zone is UTC; or None.
    """

    instant: exp.Expr
    wall: exp.Expr
    zone: exp.Expr
    unseen: exp.Expr | None = None


def settle_zones(tree: exp.Expr, *, shown: bool) -> None:
    """Rewrites every expression with a zone in place.

    Args:
        tree: a query.
        shown: whether the outermost SELECT's columns are printed, each with its zone.

    Raises:
        QueryFailedError: NOT_SUPPORTED, where a zone would be lost.
    """
    outermost = _outermost(tree) if shown else None
    nodes = tree.walk(prune=lambda node: _reads(node) is not None)
    found = [(node, zoned) for node in nodes if (zoned := _reads(node)) is not None]
    for node, zoned in found:
        _settle(node, zoned, outermost)


def _outermost(tree: exp.Expr) -> exp.Select | None:
    while isinstance(tree, exp.Subquery):
        tree = tree.this
    return tree if isinstance(tree, exp.Select) else None


def _reads(node: exp.Expr) -> _Zoned | None:
    """The expression's parts, where it carries a zone other than UTC."""
    if isinstance(node, exp.Paren):
        return _reads(node.this)
    if isinstance(node, exp.AtTimeZone):
        inner = _reads(node.this)
        instant = inner.instant if inner else _instant(node.this)
        return _in_zone(instant, node.args["zone"])
    if isinstance(node, exp.Cast):
        return _reads_literal(node)
    if isinstance(node, (exp.Add, exp.Sub)) and isinstance(node.expression, exp.Interval):
        return _moved(node)
    if isinstance(node, exp.Anonymous):
        return _reads_call(str(node.this).lower(), node.expressions)
    return None


def _reads_literal(node: exp.Cast) -> _Zoned | None:
    """`TIMESTAMP '2010-12-01 08:26:00 Europe/London'`."""
    if node.to.this not in STAMPS or not isinstance(node.this, exp.Literal) or not node.this.is_string:
        return None
    found = ZONE.search(node.this.name)
    zone = found.group(0).strip() if found else "UTC"
    if found is None or zone.upper() in _UTC:
        return None
    wall = exp.Cast(this=exp.Literal.string(node.this.name[: found.start()].strip()), to=_stamp("TIMESTAMP"))
    label = exp.Literal.string(zone)
    return _Zoned(call("athena_instant", wall, label), wall, label)


def _reads_call(name: str, arguments: list[exp.Expr]) -> _Zoned | None:
    read = _CALLS.get((name, len(arguments)))
    return read(*arguments) if read else None


def _given(x: exp.Expr, zone: exp.Expr) -> _Zoned | None:
    """`with_timezone(x, zone)`."""
    if _is_utc(zone):
        return None
    wall = exp.Cast(this=x.copy(), to=_stamp("TIMESTAMP"))
    return _Zoned(call("athena_instant", wall, zone), wall, zone)


def _of_unixtime(x: exp.Expr, zone: exp.Expr) -> _Zoned | None:
    return _in_zone(exp.Anonymous(this="from_unixtime", expressions=[x.copy()]), zone)


def _of_text(text: exp.Expr) -> _Zoned:
    """`from_iso8601_timestamp(text)`: each text has its own zone."""
    wall, zone = (call(f"athena_iso_{part}", text.copy()) for part in ("wall", "zone"))
    instant = call("athena_instant", wall, zone)
    return _Zoned(instant, wall, zone, call("athena_utc", instant, zone))


def _truncated(unit: exp.Expr, x: exp.Expr) -> _Zoned | None:
    inner = _reads(x)
    if inner is None:
        return None
    return _on_wall(exp.Anonymous(this="date_trunc", expressions=[unit.copy(), inner.wall]), inner.zone)


def _added(unit: exp.Expr, number: exp.Expr, x: exp.Expr) -> _Zoned | None:
    """Days and longer units are counted on the wall, shorter ones pass."""
    inner = _reads(x)
    if inner is None:
        return None
    long = isinstance(unit, exp.Literal) and unit.name.lower() in _LONG_UNITS
    value = inner.wall if long else inner.instant
    made = exp.Anonymous(this="date_add", expressions=[unit.copy(), number.copy(), value])
    return _on_wall(made, inner.zone) if long else _in_zone(made, inner.zone)


def _picking(name: str) -> Callable[[exp.Expr], _Zoned | None]:
    """An aggregate that returns one of the values; all have the zone that the query names."""

    def read(x: exp.Expr) -> _Zoned | None:
        inner = _reads(x)
        if inner is None or not isinstance(inner.zone, exp.Literal):
            return None
        return _in_zone(exp.Anonymous(this=name, expressions=[inner.instant]), inner.zone)

    return read


_CALLS: dict[tuple[str, int], Callable[..., _Zoned | None]] = {
    ("with_timezone", 2): _given,
    ("from_unixtime", 2): _of_unixtime,
    ("from_iso8601_timestamp", 1): _of_text,
    ("date_trunc", 2): _truncated,
    ("date_add", 3): _added,
    **{(name, 1): _picking(name) for name in ("max", "min", "arbitrary", "any_value")},
}


def _moved(node: exp.Add | exp.Sub) -> _Zoned | None:
    inner = _reads(node.this)
    if inner is None:
        return None
    unit = node.expression.args.get("unit")
    long = unit is not None and unit.name.lower() in {"month", "year"}
    moved = type(node)(this=inner.wall if long else inner.instant, expression=node.expression.copy())
    return _on_wall(moved, inner.zone) if long else _in_zone(moved, inner.zone)


def _in_zone(instant: exp.Expr, zone: exp.Expr) -> _Zoned | None:
    if _is_utc(zone):
        return None
    return _Zoned(instant, call("athena_wall", instant, zone), zone)


def _on_wall(wall: exp.Expr, zone: exp.Expr) -> _Zoned:
    return _Zoned(call("athena_instant", wall, zone), wall, zone)


def _settle(node: exp.Expr, zoned: _Zoned, outermost: exp.Select | None) -> None:
    parent = node.parent
    while isinstance(parent, exp.Paren):
        node, parent = parent, parent.parent
    name = str(parent.this).lower() if isinstance(parent, exp.Anonymous) else ""
    if (
        name in _WALL
        or isinstance(parent, exp.Extract)
        or (isinstance(parent, exp.Cast) and parent.to.this in {exp.DType.DATE, exp.DType.TIMESTAMP})
    ):
        node.replace(zoned.wall.copy())
    elif isinstance(parent, exp.Cast) and parent.to.this in TEXTS:
        node.replace(call("athena_print_zoned", zoned.instant.copy(), zoned.zone.copy()))
    elif name == "date_diff":
        _settle_difference(node, zoned)
    elif outermost is not None and _is_shown(node, outermost):
        _show(node, zoned, outermost)
    elif name in _SAFE_CALLS or isinstance(parent, _SAFE):
        node.replace(zoned.instant.copy())
    elif zoned.unseen is not None:
        node.replace(zoned.unseen.copy())
    else:
        raise not_supported(
            "a timestamp with a zone other than UTC in a subquery, a UNION, CTAS or a function such as this, "
            "where its zone would be lost,"
        )


def _settle_difference(node: exp.Expr, zoned: _Zoned) -> None:
    """`date_diff(unit, a, b)` counts on the wall of a."""
    parent = node.parent
    arguments = parent.expressions if parent is not None else []
    if node is not arguments[1]:
        node.replace(zoned.instant.copy())
        return
    other = _reads(arguments[2])
    instant = other.instant if other is not None else _instant(arguments[2])
    arguments[2].replace(call("athena_wall", instant.copy(), zoned.zone.copy()))
    node.replace(zoned.wall.copy())


def _is_shown(node: exp.Expr, outermost: exp.Select) -> bool:
    item = node.parent if isinstance(node.parent, exp.Alias) else node
    return item is not None and item.parent is outermost and item.arg_key == "expressions"


def _show(node: exp.Expr, zoned: _Zoned, outermost: exp.Select) -> None:
    zone = zoned.zone.copy()
    group = outermost.args.get("group")
    if group is not None and not isinstance(zone, exp.Literal) and node in group.expressions:
        zone = call("any_value", zone)  # one instant read from texts of several zones: any of them
    parts = zip(ZONE_FIELDS, (zoned.instant.copy(), zone), strict=True)
    made = call(
        "struct_pack",
        *(exp.PropertyEQ(this=exp.to_identifier(field), expression=value) for field, value in parts),
    )
    node.replace(made)


def _instant(value: exp.Expr) -> exp.Expr:
    return exp.Cast(this=value.copy(), to=_stamp("TIMESTAMPTZ"))


def _stamp(name: str) -> exp.DataType:
    return exp.DataType.build(name, dialect="duckdb")


def _is_utc(zone: exp.Expr) -> bool:
    return isinstance(zone, exp.Literal) and zone.name.upper() in _UTC
