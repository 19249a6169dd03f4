"""Names that DuckDB finds where Athena does not: aliases in the place of columns, columns that are not shown.

Belongs here: refusals by the scope of names. Does not belong here: refusals by types (`strictness.py`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import duckdb
from sqlglot import exp

from retail_analytics.embedded.athena import grammar
from retail_analytics.embedded.athena.errors import QueryFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from retail_analytics.embedded.athena.errors import Position

_UNKNOWN_COLUMN = re.compile(r'Referenced column "([^"]+)" not found')


def failure_of(cursor: duckdb.DuckDBPyConnection, tree: exp.Expr) -> str:
    """What DuckDB says when it binds the query; nothing where it does."""
    try:
        cursor.sql(grammar.to_duckdb(tree))
    except duckdb.Error as error:
        return str(error)
    return ""


def place_of(node: exp.Expr) -> Position | None:
    """Where the first name or call of an expression stands in the text."""
    for part in node.find_all(exp.Identifier, exp.Anonymous):
        if "line" in part.meta:
            return grammar.position_of(part)
    return None


def refuse_hidden_orders(tree: exp.Expr) -> None:
    """`SELECT DISTINCT a … ORDER BY b`: which of its b's would a row be sorted by?"""
    for select in tree.find_all(exp.Select):
        order = select.args.get("order")
        if order is None or not select.args.get("distinct") or select.is_star:
            continue
        shown = [*select.expressions, *(item.unalias() for item in select.expressions)]
        names = {one.alias_or_name for item in select.expressions for one in (item, item.unalias())}
        for ordered in order.expressions:
            key = ordered.this
            is_shown = key in shown or (isinstance(key, exp.Column) and key.name in names)
            if isinstance(key, exp.Literal) or is_shown:
                continue
            raise QueryFailedError(
                "EXPRESSION_NOT_IN_DISTINCT",
                "For SELECT DISTINCT, ORDER BY expressions must appear in select list",
                position=place_of(key),
            )


def refuse_aliases(
    cursor: duckdb.DuckDBPyConnection, tree: exp.Expr, locate: Callable[[str], Position | None]
) -> None:
    """Refuses aliases of the SELECT list in WHERE, GROUP BY, HAVING and the SELECT list itself.

    The condition of a join sees columns alone, so that one more join can tell an alias from a column.
    """
    probe = tree.copy()
    parameters = {name.name for one in probe.find_all(exp.Lambda) for name in one.expressions}
    asked: set[str] = set()
    for select in list(probe.find_all(exp.Select)):
        names = _doubtful(select) - parameters
        if not names or select.args.get("from_") is None:
            continue
        asked |= names
        for join in select.args.get("joins") or ():
            if not any(join.args.get(key) for key in ("kind", "side", "on", "using", "method")):
                join.set("kind", "CROSS")  # a comma binds less than the join that is to be added
        columns = [exp.column(exp.to_identifier(name, quoted=True)) for name in sorted(names)]
        known = exp.and_(*(exp.NullSafeEQ(this=column, expression=column.copy()) for column in columns))
        one = exp.Subquery(
            this=exp.Select(expressions=[exp.alias_(exp.Literal.number(1), "athena_one")]),
            alias=exp.TableAlias(this=exp.to_identifier("athena_probe")),
        )
        select.append("joins", exp.Join(this=one, kind="INNER", on=known))
    if not asked:
        return
    found = _UNKNOWN_COLUMN.search(failure_of(cursor, probe))
    if found is not None and found.group(1) in asked:
        name = found.group(1)
        raise QueryFailedError(
            "COLUMN_NOT_FOUND", f"Column '{name}' cannot be resolved", position=locate(name)
        )


def _doubtful(select: exp.Select) -> set[str]:
    """Aliases that are used where Athena knows columns alone; they may be columns, too."""
    aliases = {item.alias for item in select.expressions if isinstance(item, exp.Alias)}
    if not aliases:
        return set()
    places = [item.this if isinstance(item, exp.Alias) else item for item in select.expressions]
    places += [part for key in ("where", "group", "having") if (part := select.args.get(key)) is not None]
    used: set[str] = set()
    for place in places:
        for node in place.walk(prune=lambda node: isinstance(node, exp.Query)):
            if isinstance(node, exp.Column) and not node.table:
                used.add(node.name)
    return aliases & used
