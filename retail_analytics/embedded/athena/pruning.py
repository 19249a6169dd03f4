"""Which condition on partition columns a query proves for the rows that it wants of a table.

Belongs here: taking that condition out of the query's tree. Where nothing can be proved, nothing is pruned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Collection

_VOLATILE = {"random", "uuid"}


def predicate_for(table: exp.Table, keys: Collection[str]) -> exp.Expr | None:
    """The condition, as a tree over unqualified columns, or None.

    Args:
        table: the reference to the table, still in the query's tree.
        keys: the table's partition columns.
    """
    select = _select_of(table)
    if select is None or not keys:
        return None
    conditions = [select.args["where"].this] if select.args.get("where") else []
    for join in select.args.get("joins") or ():
        if join.side:
            if join.side.upper() != "LEFT" or table is join.this:
                return None
        elif join.args.get("on"):
            conditions.append(join.args["on"])
    alias = table.alias_or_name
    proved = [_weakened(condition, alias, keys) for condition in conditions]
    kept = [condition for condition in proved if condition is not None]
    return exp.and_(*kept, copy=False) if kept else None


def _select_of(table: exp.Table) -> exp.Select | None:
    parent = table.parent
    if isinstance(parent, exp.Join):
        parent = parent.parent
    if isinstance(parent, exp.From):
        parent = parent.parent
    return parent if isinstance(parent, exp.Select) else None


def _weakened(condition: exp.Expr, alias: str, keys: Collection[str]) -> exp.Expr | None:
    """What `condition` says of the partition columns alone; None for nothing."""
    if isinstance(condition, exp.Paren):
        inner = _weakened(condition.this, alias, keys)
        return None if inner is None else exp.Paren(this=inner)
    if isinstance(condition, exp.And):
        sides = [_weakened(side, alias, keys) for side in (condition.left, condition.right)]
        known = [side for side in sides if side is not None]
        return exp.and_(*known, copy=False) if known else None
    if isinstance(condition, exp.Or):
        left, right = (_weakened(side, alias, keys) for side in (condition.left, condition.right))
        return None if left is None or right is None else exp.or_(left, right, copy=False)
    return _unqualified(condition) if _is_about_keys(condition, alias, keys) else None


def _is_about_keys(condition: exp.Expr, alias: str, keys: Collection[str]) -> bool:
    if condition.find(exp.Query, exp.Window, exp.Lambda, exp.Placeholder):
        return False
    if any(call.name.lower() in _VOLATILE for call in condition.find_all(exp.Anonymous)):
        return False
    columns = list(condition.find_all(exp.Column))
    return bool(columns) and all(
        column.name in keys and column.table in {"", alias} and not isinstance(column.this, exp.Star)
        for column in columns
    )


def _unqualified(condition: exp.Expr) -> exp.Expr:
    copy = condition.copy()
    for column in copy.find_all(exp.Column):
        for part in ("table", "db", "catalog"):
            column.set(part, None)
    return copy
