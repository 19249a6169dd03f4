"""From Athena's expressions to DuckDB's: a query's tree rewritten in place, before its tables are looked up.

Belongs here: what each kind of expression becomes, and what is refused of them. Does not belong here: single
functions (`functions.py`), tables and views (`translate.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from retail_analytics.embedded.athena import grammar
from retail_analytics.embedded.athena.calls import call
from retail_analytics.embedded.athena.casts import rewrite_cast, rewrite_extract, rewrite_zone
from retail_analytics.embedded.athena.errors import SUBSCRIPT_MARK, QueryFailedError, not_supported
from retail_analytics.embedded.athena.function_calls import rewrite_call
from retail_analytics.embedded.athena.zones import settle_zones

if TYPE_CHECKING:
    from collections.abc import Callable

ANONYMOUS = "athena_col_"
_TWO_COLUMNS_OF_ROWS = re.compile(r"map_keys\((?:STRUCT|TUPLE)\(.*\)\[\]\)", re.DOTALL)
_MAP_AS_ARRAY = re.compile(r"UNNEST\(\) can only be applied to lists, .* not MAP\(", re.DOTALL)
# a row's field is looked for when the query is bound, where an array's item is when it runs
_FIELD_BY_NUMBER = re.compile(rf'"index" argument in function "\w+" must be a constant|{SUBSCRIPT_MARK}')
_ALLOWED = (
    exp.And, exp.Anonymous, exp.Array, exp.Case, exp.Cast, exp.CurrentDate, exp.CurrentTimestamp,
    exp.Exists, exp.Extract,
    exp.GroupConcat, exp.If, exp.Localtimestamp, exp.Or, exp.ParseJSON, exp.StrPosition, exp.Struct,
    exp.Substring, exp.Trim,
    exp.TryCast, exp.Unnest,
)  # fmt: skip
_REFUSED: dict[type[exp.Expr], str] = {
    exp.TableSample: "TABLESAMPLE",
    exp.MatchRecognize: "MATCH_RECOGNIZE",
    exp.Pivot: "PIVOT",
    exp.Lateral: "LATERAL",
    exp.Parameter: "a session variable",
    exp.Version: "time travel (FOR TIMESTAMP AS OF)",
    exp.Into: "SELECT INTO",
    exp.Hint: "a hint",
    exp.JSONExtract: "JSON_QUERY",
    exp.Command: "this statement",
}


@dataclass(frozen=True)
class Reading:
    """What the tree alone does not tell of a query; DuckDB's binder finds out when it is wrong.

    Attributes:
        rows_into_two: UNNEST into two columns takes an array of rows, not a map.
        maps_into_none: UNNEST without names takes a map, not an array.
        fields_by_number: a subscript is the number of a row's field, not an array's or a map's.
    """

    rows_into_two: bool = False
    maps_into_none: bool = False
    fields_by_number: bool = False

    def after(self, error: str) -> Reading:
        """The reading to try when this one has failed; the same one when the query is wrong."""
        if _TWO_COLUMNS_OF_ROWS.search(error):
            return replace(self, rows_into_two=True)
        if _MAP_AS_ARRAY.search(error):
            return replace(self, maps_into_none=True)
        if _FIELD_BY_NUMBER.search(error):
            return replace(self, fields_by_number=True)
        return self


def rewrite(tree: exp.Expr, reading: Reading, *, shown: bool) -> None:
    """Rewrites the query's expressions in place; `shown` as in `settle_zones`.

    Raises:
        QueryFailedError: what is not covered, by its name; a function that Athena does not have.
    """
    _lower(tree)
    _refuse(tree)
    settle_zones(tree, shown=shown)
    _rewrite_expressions(tree, reading)


def _lower(tree: exp.Expr) -> None:
    for node in tree.find_all(exp.Identifier):
        node.set("this", node.this.lower())
    for column in tree.find_all(exp.Column):
        column.set("db", None)
        column.set("catalog", None)


def _is_of_months(node: exp.Interval) -> bool:
    """Whether an interval year to month stands where its type, which DuckDB lacks, would be seen."""
    unit = node.args.get("unit")
    used = (exp.Add, exp.Sub, exp.Anonymous, exp.WindowSpec, exp.Mul, exp.Neg, exp.Paren)
    return unit is not None and unit.name.upper() in {"MONTH", "YEAR"} and not isinstance(node.parent, used)


def _refuse(tree: exp.Expr) -> None:
    for one in list(tree.find_all(exp.Anonymous)):
        if str(one.this).lower() == "at_timezone" and len(one.expressions) == 2:
            one.replace(exp.AtTimeZone(this=one.expressions[0], zone=one.expressions[1]))
    for node in tree.walk():
        if (name := _REFUSED.get(type(node))) is not None:
            raise not_supported(name, grammar.position_of(node))
        _refuse_form(node)
        if isinstance(node, exp.Func) and not isinstance(node, _ALLOWED):
            raise not_supported(node.sql_name().lower(), grammar.position_of(node))
        if isinstance(node, exp.Placeholder):
            raise QueryFailedError(
                "INVALID_PARAMETER_USAGE", "Incorrect number of parameters: expected 1 but found 0"
            )


def _refuse_form(node: exp.Expr) -> None:
    """What Athena has in another form, or not at all."""
    if isinstance(node, exp.Star) and any(node.args.values()):
        raise QueryFailedError(None, "mismatched input: Athena's * takes no EXCLUDE, REPLACE or RENAME")
    if isinstance(node, exp.Group) and node.args.get("all"):
        raise QueryFailedError(None, "mismatched input 'ALL': GROUP BY ALL is not of Athena")
    if isinstance(node, exp.Interval) and _is_of_months(node):
        raise not_supported("an interval of months or years that is not added to a date")
    if isinstance(node, exp.LimitOptions) and node.args.get("with_ties"):
        raise not_supported("FETCH FIRST … WITH TIES")


def _rewrite_expressions(tree: exp.Expr, reading: Reading) -> None:
    for node in reversed(list(tree.walk())):
        if isinstance(node, exp.Unnest):
            _rewrite_unnest(node, reading)
            continue
        if isinstance(node, exp.Bracket) and reading.fields_by_number:
            continue
        for kind, rewrite in _REWRITES:
            if isinstance(node, kind):
                rewrite(node)
                break


def _replacing(make: Callable[[Any], exp.Expr]) -> Callable[[Any], None]:
    def rewrite(node: Any) -> None:
        made = make(node)
        if made is not node:
            node.replace(made)

    return rewrite


def _rewrite_sum(node: exp.Binary) -> exp.Expr:
    """A date plus a day is a date, where DuckDB makes it a timestamp."""
    if isinstance(node.expression, exp.Interval):
        return call("cast_to_type", node.copy(), node.this.copy())
    return node


def _rewrite_subscript(node: exp.Bracket) -> exp.Expr:
    """`array[9]` and `map['no key']` are errors, where DuckDB gives NULL.

    A subquery stays as it is: it would run twice.
    """
    if len(node.expressions) != 1 or node.find(exp.Query):
        return node
    return call("athena_subscript", node.this, node.expressions[0])


def _rewrite_substring(node: exp.Substring) -> exp.Expr:
    parts = (node.this, node.args.get("start"), node.args.get("length"))
    return call("athena_substr", *(part for part in parts if part is not None))


def _move_ignore_nulls(node: exp.IgnoreNulls) -> None:
    """`f(x) IGNORE NULLS` is `f(x IGNORE NULLS)` in DuckDB."""
    made = node.this
    if isinstance(made, exp.Anonymous) and made.expressions:
        last = made.expressions[-1]
        made.set("expressions", [*made.expressions[:-1], exp.IgnoreNulls(this=last.copy())])
        node.replace(made)


def _join_with_nothing(node: exp.GroupConcat) -> None:
    """LISTAGG without a separator has none, where DuckDB puts a comma."""
    if node.args.get("separator") is None:
        node.set("separator", exp.Literal.string(""))


def _rewrite_unnest(node: exp.Unnest, reading: Reading) -> None:
    """UNNEST becomes a lateral SELECT, which pads unequal arrays with NULL as Athena does."""
    alias = node.args.get("alias")
    names = [column.name for column in alias.columns] if isinstance(alias, exp.TableAlias) else []
    values = list(node.expressions)
    offset = node.args.get("offset")
    spread = len(values) == 1 and (len(names) > 2 or (len(names) == 2 and reading.rows_into_two))
    is_map = len(names) == 2 or (not names and reading.maps_into_none)
    if len(values) == 1 and is_map and not spread:
        values = [call("map_keys", values[0].copy()), call("map_values", values[0].copy())]
    if names and len(names) != len(values) and not spread:
        raise not_supported(f"UNNEST of {len(values)} values into {len(names)} columns")
    if spread:
        depth = exp.PropertyEQ(this=exp.to_identifier("max_depth"), expression=exp.Literal.number(2))
        projections: list[exp.Expr] = [exp.Anonymous(this="unnest", expressions=[values[0].copy(), depth])]
    else:
        made = names or [f"{ANONYMOUS}{index}" for index in range(len(values))]
        projections = [
            exp.alias_(call("unnest", value.copy()), name, quoted=True)
            for value, name in zip(values, made, strict=True)
        ]
    if offset:  # sqlglot says False without ORDINALITY
        projections.append(call("generate_subscripts", values[0].copy(), exp.Literal.number(1)))
        names = [*names, offset.name if isinstance(offset, exp.Expr) else "ordinality"] if names else []
    renamed = exp.TableAlias(
        this=alias.this if alias else None, columns=[exp.to_identifier(name, quoted=True) for name in names]
    )
    node.replace(exp.Subquery(this=exp.Select(expressions=projections), alias=renamed))


_REWRITES: tuple[tuple[type[Any], Callable[[Any], None]], ...] = (
    (exp.Anonymous, rewrite_call),
    (exp.Cast, _replacing(rewrite_cast)),
    (exp.Extract, _replacing(rewrite_extract)),
    (exp.Div, _replacing(lambda node: call("athena_div", node.this, node.expression))),
    (exp.Mod, _replacing(lambda node: call("athena_mod", node.this, node.expression))),
    (exp.Add, _replacing(_rewrite_sum)),
    (exp.Sub, _replacing(_rewrite_sum)),
    (exp.IgnoreNulls, _move_ignore_nulls),
    (exp.AtTimeZone, _replacing(rewrite_zone)),
    (exp.GroupConcat, _join_with_nothing),
    (exp.Bracket, _replacing(_rewrite_subscript)),
    (exp.Substring, _replacing(_rewrite_substring)),
    (exp.ParseJSON, _replacing(lambda node: call("athena_json_parse", node.this))),
)
