"""Calls of functions: looked up, checked, and built as DuckDB's.

Belongs here: what holds for every call, DISTINCT and ORDER BY in aggregates included. Does not belong here:
single functions (`functions.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from retail_analytics.embedded.athena import grammar
from retail_analytics.embedded.athena.calls import MADE, call
from retail_analytics.embedded.athena.errors import QueryFailedError, not_supported
from retail_analytics.embedded.athena.functions import FUNCTIONS, KNOWN_ELSEWHERE

if TYPE_CHECKING:
    from retail_analytics.embedded.athena.errors import Position
    from retail_analytics.embedded.athena.functions import Function

# Athena has them with so many arguments, too
_OTHER_FORMS = {"approx_percentile": {3, 4}, "array_sort": {2}, "from_unixtime": {3}}


def rewrite_call(node: exp.Anonymous) -> None:
    """A call of a function of Athena, by the name and the arguments that the query gives it.

    Raises:
        QueryFailedError: FUNCTION_NOT_FOUND, or NOT_SUPPORTED for what Athena has.
    """
    if node.meta.get(MADE):
        return
    name, position = str(node.this).lower(), grammar.position_of(node)
    function = _covered(name, position)
    arguments, distinct, order = _unwrapped(node.expressions)
    _check_count(name, function, len(arguments), position)
    made = function.build(name, arguments)
    if function.aggregate and isinstance(made, exp.Anonymous):
        if order is not None:
            made.expressions[-1].replace(
                exp.Order(this=made.expressions[-1].copy(), expressions=order.expressions)
            )
        if distinct:
            made.set("expressions", [exp.Distinct(expressions=list(made.expressions))])
    if name == "avg":
        _keep_decimals(node, made)
        return
    node.replace(_finished(name, made))


def _covered(name: str, position: Position | None) -> Function:
    function = FUNCTIONS.get(name)
    if function is None and name in KNOWN_ELSEWHERE:
        raise not_supported(f"the function {name}", position)
    if name in {"all", "any", "some"}:
        raise not_supported(f"{name.upper()} (VALUES …): write {name.upper()} (SELECT …), which", position)
    if function is None:
        raise QueryFailedError("FUNCTION_NOT_FOUND", f"Function '{name}' not registered", position=position)
    return function


def _check_count(name: str, function: Function, count: int, position: Position | None) -> None:
    if count in _OTHER_FORMS.get(name, ()):
        raise not_supported(f"{name} with {count} arguments", position)
    if not function.low <= count <= function.high:
        raise QueryFailedError(
            "FUNCTION_NOT_FOUND",
            f"Unexpected parameters for function {name}: {count} given, "
            f"{function.low}{'' if function.low == function.high else f' to {function.high}'} expected",
            position=position,
        )


def _finished(name: str, made: exp.Expr) -> exp.Expr:
    shaped = {"map_agg": "athena_distinct_entries", "multimap_agg": "athena_gathered_entries"}.get(name)
    return call(shaped, made) if shaped else made


def _unwrapped(arguments: list[exp.Expr]) -> tuple[list[exp.Expr], bool, exp.Order | None]:
    """The arguments without DISTINCT and ORDER BY, which sqlglot wraps around them."""
    order: exp.Order | None = None
    distinct = False
    plain = list(arguments)
    if len(plain) == 1 and isinstance(plain[0], exp.Order):
        order = plain[0]
        plain = [order.this]
    if len(plain) == 1 and isinstance(plain[0], exp.Distinct):
        distinct = True
        plain = list(plain[0].expressions)
    if plain and isinstance(plain[-1], exp.Order):
        order = plain[-1]
        plain[-1] = order.this
    return plain, distinct, order


def _keep_decimals(node: exp.Anonymous, made: exp.Expr) -> None:
    """The mean of decimals is a decimal; a quantile over no row has the type that the mean should have."""
    node.replace(made)
    top: exp.Expr = made
    while isinstance(top.parent, (exp.Filter, exp.Window, exp.IgnoreNulls)) and top.arg_key == "this":
        top = top.parent
    sample = top.copy()
    inner = sample if isinstance(sample, exp.Anonymous) else next(sample.find_all(exp.Anonymous, bfs=True))
    values = inner.expressions
    value = values[0].expressions[0] if isinstance(values[0], exp.Distinct) else values[0]
    never = exp.Filter(
        this=call("quantile_cont", value.copy(), exp.Literal.number("0.5")),
        expression=exp.Where(this=exp.false()),
    )
    if isinstance(sample, exp.Window):
        sample.set("this", never)
    else:
        sample = never
    top.replace(call("cast_to_type", top.copy(), sample))
