"""Functions of Athena that take lambdas, as DuckDB's.

Belongs here: what is made of a lambda's tree. Does not belong here: which functions there are
(`functions.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from retail_analytics.embedded.athena.calls import call
from retail_analytics.embedded.athena.errors import QueryFailedError

if TYPE_CHECKING:
    Arguments = list[exp.Expr]


def _lambda(argument: exp.Expr, name: str, count: int) -> exp.Lambda:
    if not isinstance(argument, exp.Lambda) or len(argument.expressions) != count:
        raise QueryFailedError("TYPE_MISMATCH", f"{name} needs a lambda of {count} arguments")
    return argument


def _over_entries(body: exp.Lambda, key: exp.Expr, value: exp.Expr, item: str) -> exp.Lambda:
    """The lambda `(k, v) -> body` as a lambda over one entry of a map."""
    names = [parameter.name for parameter in body.expressions]
    inner = substitute(body.this, dict(zip(names, (key, value), strict=True)))
    return exp.Lambda(this=inner, expressions=[exp.to_identifier(item)])


def substitute(tree: exp.Expr, values: dict[str, exp.Expr]) -> exp.Expr:
    """Replaces a lambda's parameters; a lambda inside that reuses a name keeps its own."""
    if isinstance(tree, exp.Lambda):
        own = {parameter.name for parameter in tree.expressions}
        values = {name: value for name, value in values.items() if name not in own}
        inner = tree.copy()
        inner.set("this", substitute(tree.this, values))
        return inner
    if isinstance(tree, exp.Identifier):
        return values[tree.name].copy() if tree.name in values else tree.copy()
    if isinstance(tree, exp.Column):
        return values[tree.name].copy() if tree.name in values and not tree.table else tree.copy()
    result = tree.copy()
    for key, value in tree.args.items():
        if isinstance(value, exp.Expr):
            result.set(key, substitute(value, values))
        elif isinstance(value, list):
            result.set(
                key, [substitute(item, values) if isinstance(item, exp.Expr) else item for item in value]
            )
    return result


def _item(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


def _entry(part: str) -> exp.Expr:
    return call("struct_extract", _item("athena_e"), part)


def map_filter(name: str, arguments: Arguments) -> exp.Expr:
    """The entries of a map that a lambda of two arguments keeps."""
    body = _lambda(arguments[1], name, 2)
    kept = _over_entries(body, _entry("key"), _entry("value"), "athena_e")
    return call("map_from_entries", call("list_filter", call("map_entries", arguments[0]), kept))


def transform_map(name: str, arguments: Arguments) -> exp.Expr:
    """The functions transform_keys and transform_values."""
    made = _over_entries(_lambda(arguments[1], name, 2), _entry("key"), _entry("value"), "athena_e")
    parts = {"key": _entry("key"), "value": _entry("value")}
    parts["key" if name == "transform_keys" else "value"] = made.this
    made.set(
        "this",
        exp.Struct(
            expressions=[exp.PropertyEQ(this=exp.to_identifier(k), expression=v) for k, v in parts.items()]
        ),
    )
    return call("map_from_entries", call("list_transform", call("map_entries", arguments[0]), made))


def reduce(name: str, arguments: Arguments) -> exp.Expr:
    """An array folded by one lambda, the outcome handed to another."""
    step, last = _lambda(arguments[2], name, 2), _lambda(arguments[3], name, 1)
    folded = call("list_reduce", arguments[0], step, arguments[1])
    if isinstance(last.this, exp.Identifier) and last.this.name == last.expressions[0].name:
        return folded
    return call(
        "list_extract", call("list_transform", call("list_value", folded), last), exp.Literal.number(1)
    )


def match(name: str, arguments: Arguments) -> exp.Expr:
    """any_match, all_match and none_match."""
    found = call("list_transform", arguments[0], _lambda(arguments[1], name, 1))
    if name == "none_match":
        return exp.Paren(this=exp.Not(this=call("athena_any_match", found)))
    return call(f"athena_{name}", found)


def zip_with(name: str, arguments: Arguments) -> exp.Expr:
    """Two arrays made one by a lambda over pairs."""
    sides = [call("struct_extract", _item("athena_e"), exp.Literal.number(n)) for n in (1, 2)]
    made = _over_entries(_lambda(arguments[2], name, 2), sides[0], sides[1], "athena_e")
    return call("list_transform", call("list_zip", arguments[0], arguments[1]), made)
