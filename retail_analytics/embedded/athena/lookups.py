"""Lookups of several paths in one JSON document, gathered: DuckDB parses the document for each call.

Belongs here: finding such calls, and making one of them. Does not belong here: what a lookup means
(`macros.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from retail_analytics.embedded.athena.calls import call

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LOOKUP = "athena_json_extract"
_GATHERED = "athena_found"


def gather_lookups(tree: exp.Expr) -> None:
    """Where a SELECT looks up several paths of one column of a CTE, have one call find them all, in place.

    The values are a list under the SELECT's source, so that the SELECT's own columns stay what they were.
    """
    for select in list(tree.find_all(exp.Select)):
        source = _only_source(select)
        # What is grouped by a document is not grouped by what was found in it.
        if source is None or select.args.get("group"):
            continue
        by_column: dict[str, list[exp.Anonymous]] = {}
        for found in _own_lookups(select):
            by_column.setdefault(found.expressions[0].name, []).append(found)
        lists = {column: calls for column, calls in by_column.items() if len(_paths(calls)) > 1}
        if lists:
            _gather(select, source, lists)


def _only_source(select: exp.Select) -> exp.Table | None:
    """The CTE that is all that a SELECT reads; of a catalog's table, pruning has to see the predicates."""
    from_ = select.args.get("from_")
    source = from_.this if from_ is not None else None
    if not isinstance(source, exp.Table) or source.args.get("db") or select.args.get("joins"):
        return None
    # A reference to itself must stay where it is in a recursive CTE.
    above = source.find_ancestor(exp.With)
    if above is not None and above.args.get("recursive"):
        return None
    ctes = {cte.alias for with_ in source.root().find_all(exp.With) for cte in with_.expressions}
    return source if source.name in ctes else None


def _own_lookups(select: exp.Select) -> Iterator[exp.Anonymous]:
    for item in select.expressions:
        for node in item.walk(prune=lambda node: isinstance(node, (exp.Query, exp.Lambda))):
            if (
                isinstance(node, exp.Anonymous)
                and node.this == _LOOKUP
                and isinstance(node.expressions[0], exp.Column)
                and isinstance(node.expressions[1], exp.Literal)
            ):
                yield node


def _paths(calls: Sequence[exp.Anonymous]) -> list[str]:
    return sorted({found.expressions[1].name for found in calls})


def _gather(select: exp.Select, source: exp.Table, lists: dict[str, list[exp.Anonymous]]) -> None:
    inner: list[exp.Expr] = [exp.Star()]
    names: list[exp.Expr] = []
    for index, (column, calls) in enumerate(lists.items()):
        name, paths = f"{_GATHERED}_{index}", _paths(calls)
        array = exp.Array(expressions=[exp.Literal.string(path) for path in paths])
        document = exp.column(column, quoted=True)
        inner.append(exp.alias_(call(f"{_LOOKUP}_all", document, array), name, quoted=True))
        names.append(exp.column(name, quoted=True))
        for found in calls:
            place = exp.Literal.number(paths.index(found.expressions[1].name) + 1)
            found.replace(call("list_extract", names[-1].copy(), place))
    for item in select.expressions:
        star = item.this if isinstance(item, exp.Column) else item
        if isinstance(star, exp.Star):
            star.set("except_", [*(star.args.get("except_") or []), *(name.copy() for name in names)])
    alias = source.args.get("alias") or exp.TableAlias(this=exp.to_identifier(source.name, quoted=True))
    bare = exp.Table(this=source.this.copy())
    source.replace(exp.Subquery(this=exp.Select(expressions=inner).from_(bare), alias=alias.copy()))
