"""From Athena's SQL to DuckDB's: the query's tree rewritten, its tables turned into views over cached objects.

Belongs here: expressions and tables of queries. Does not belong here: single functions (`functions.py`), statements that
are no queries (`ddl.py`, `ctas.py`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
from sqlglot import exp

from retail_analytics.embedded.athena import grammar
from retail_analytics.embedded.athena.casts import rewrite_cast, rewrite_extract
from retail_analytics.embedded.athena.errors import QueryFailedError, not_supported
from retail_analytics.embedded.athena.functions import FUNCTIONS, call
from retail_analytics.embedded.athena.metadata import metadata_view
from retail_analytics.embedded.athena.pruning import predicate_for
from retail_analytics.embedded.athena.scan import PATH, view_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from duckdb.sqltypes import DuckDBPyType

    from retail_analytics.embedded.athena.catalog import Table
    from retail_analytics.embedded.athena.errors import Position
    from retail_analytics.embedded.athena.session import Session

_ANONYMOUS = "athena_col_"
_CATALOGS = {"", "awsdatacatalog"}
_ALLOWED = (
    exp.And, exp.Anonymous, exp.Array, exp.Case, exp.Cast, exp.CurrentDate, exp.CurrentTimestamp, exp.Exists, exp.Extract,
    exp.GroupConcat, exp.If, exp.Localtimestamp, exp.Or, exp.StrPosition, exp.Struct, exp.Substring, exp.Trim, exp.TryCast,
    exp.Unnest,
)  # fmt: skip
_REFUSED = {
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
class Plan:
    """A query ready to run: DuckDB's SQL, and the columns that it will return."""

    sql: str
    names: tuple[str | None, ...]
    types: tuple[DuckDBPyType, ...]
    locate: Callable[[str], Position | None]

    @property
    def labels(self) -> tuple[str, ...]:
        """Athena's labels: a column without a name is `_colN`."""
        return tuple(name or f"_col{index}" for index, name in enumerate(self.names))


def plan_query(session: Session, tree: exp.Expr, *, depth: int = 0) -> Plan:
    """Rewrites a query and has DuckDB bind it, which finds what is wrong with names and types."""
    original = tree.copy()

    def locate(name: str) -> Position | None:
        return grammar.locate(original, name)

    _lower(tree)
    _refuse(tree)
    _rewrite_expressions(tree)
    _resolve_tables(session, tree, depth)
    _name_columns(tree)
    sql = tree.sql(dialect="duckdb", identify=True, normalize_functions=False, comments=False)
    try:
        relation = session.cursor.sql(sql)
    except duckdb.Error as error:
        raise session.failure(error, locate) from error
    if relation is None:
        raise QueryFailedError(None, "line 1:1: mismatched input: the statement is not a query")
    names = tuple(None if name.startswith(_ANONYMOUS) else name for name in relation.columns)
    return Plan(sql, names, tuple(relation.types), locate)


def _lower(tree: exp.Expr) -> None:
    for node in tree.find_all(exp.Identifier):
        node.set("this", node.this.lower())
    for column in tree.find_all(exp.Column):
        column.set("db", None)
        column.set("catalog", None)


def _refuse(tree: exp.Expr) -> None:
    for node in tree.walk():
        if (name := _REFUSED.get(type(node))) is not None:
            raise not_supported(name, grammar.position_of(node))
        if isinstance(node, exp.Func) and not isinstance(node, _ALLOWED):
            raise not_supported(node.sql_name().lower(), grammar.position_of(node))
        if isinstance(node, exp.Placeholder):
            raise QueryFailedError("INVALID_PARAMETER_USAGE", "Incorrect number of parameters: expected 1 but found 0")


def _rewrite_expressions(tree: exp.Expr) -> None:
    for node in reversed(list(tree.walk())):
        if isinstance(node, exp.Anonymous):
            _rewrite_call(node)
        elif isinstance(node, exp.Cast):
            node.replace(rewrite_cast(node))
        elif isinstance(node, exp.Extract):
            node.replace(rewrite_extract(node))
        elif isinstance(node, exp.Div):
            node.replace(call("athena_div", node.this, node.expression))
        elif isinstance(node, exp.Mod):
            node.replace(call("athena_mod", node.this, node.expression))
        elif isinstance(node, exp.Unnest):
            _rewrite_unnest(node)


def _rewrite_call(node: exp.Anonymous) -> None:
    name = str(node.this).lower()
    function = FUNCTIONS.get(name)
    if function is None:
        raise QueryFailedError("FUNCTION_NOT_FOUND", f"Function '{name}' not registered", position=grammar.position_of(node))
    arguments, distinct, order = _unwrapped(node.expressions)
    if not function.low <= len(arguments) <= function.high:
        raise QueryFailedError(
            "FUNCTION_NOT_FOUND",
            f"Unexpected parameters for function {name}: {len(arguments)} given, "
            f"{function.low}{'' if function.low == function.high else f' to {function.high}'} expected",
            position=grammar.position_of(node),
        )
    made = function.build(name, arguments)
    if function.aggregate and isinstance(made, exp.Anonymous):
        if order is not None:
            made.expressions[-1].replace(exp.Order(this=made.expressions[-1].copy(), expressions=order.expressions))
        if distinct:
            made.set("expressions", [exp.Distinct(expressions=list(made.expressions))])
    if name == "avg":
        _keep_decimals(node, made)
        return
    node.replace(_finished(name, made))


def _finished(name: str, made: exp.Expr) -> exp.Expr:
    return call("athena_distinct_entries", made) if name == "map_agg" else made


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
    """The mean of decimals is a decimal; a quantile over no row at all has the type that the mean should have."""
    node.replace(made)
    top: exp.Expr = made
    while isinstance(top.parent, (exp.Filter, exp.Window, exp.IgnoreNulls)) and top.arg_key == "this":
        top = top.parent
    sample = top.copy()
    inner = sample if isinstance(sample, exp.Anonymous) else next(sample.find_all(exp.Anonymous, bfs=True))
    values = inner.expressions
    value = values[0].expressions[0] if isinstance(values[0], exp.Distinct) else values[0]
    never = exp.Filter(
        this=call("quantile_cont", value.copy(), exp.Literal.number("0.5")), expression=exp.Where(this=exp.false())
    )
    if isinstance(sample, exp.Window):
        sample.set("this", never)
    else:
        sample = never
    top.replace(call("cast_to_type", top.copy(), sample))


def _rewrite_unnest(node: exp.Unnest) -> None:
    """UNNEST becomes a lateral SELECT, which pads unequal arrays with NULL as Athena does."""
    alias = node.args.get("alias")
    columns = [column.name for column in alias.columns] if isinstance(alias, exp.TableAlias) else []
    values = list(node.expressions)
    offset = node.args.get("offset")
    if len(values) == 1 and len(columns) == 2:  # noqa: PLR2004 - a map gives two columns
        values = [call("map_keys", values[0].copy()), call("map_values", values[0].copy())]
    projections: list[exp.Expr] = [call("unnest", value) for value in values]
    names = columns or [f"{_ANONYMOUS}{index}" for index in range(len(projections))]
    if offset is not None:
        projections.append(call("generate_subscripts", values[0].copy(), exp.Literal.number(1)))
        names = [*names[: len(values)], offset.name if isinstance(offset, exp.Expr) else "ordinality"]
    if len(names) != len(projections):
        raise not_supported(f"UNNEST of {len(values)} values into {len(names)} columns")
    select = exp.Select(
        expressions=[
            exp.alias_(projection, name, quoted=True) for projection, name in zip(projections, names, strict=True)
        ]
    )
    node.replace(exp.Subquery(this=select, alias=exp.TableAlias(this=alias.this if alias else None)))


def _resolve_tables(session: Session, tree: exp.Expr, depth: int) -> None:
    uses_path = any(column.name == PATH for column in tree.find_all(exp.Column))
    for node in list(tree.find_all(exp.Table)):
        if isinstance(node.this, exp.Func):
            raise not_supported(f"the table function {node.this.name}", grammar.position_of(node.this))
        if not node.args.get("db") and _is_cte(node):
            continue
        _resolve(session, node, depth, uses_path=uses_path)


def _is_cte(node: exp.Table) -> bool:
    """Whether a WITH that the reference can see defines its name."""
    child: exp.Expr | None = node
    parent = node.parent
    while parent is not None:
        if isinstance(parent, exp.With):
            for cte in parent.expressions:
                if cte is child and not parent.args.get("recursive"):
                    break
                if cte.alias == node.name:
                    return True
            child = parent.parent
            parent = child.parent if child is not None else None
            continue
        with_ = parent.args.get("with_")
        if with_ is not None and any(cte.alias == node.name for cte in with_.expressions):
            return True
        child, parent = parent, parent.parent
    return False


def _resolve(session: Session, node: exp.Table, depth: int, *, uses_path: bool) -> None:
    catalog, database, name = grammar.split_name(node)
    position = grammar.position_of(node.args.get("db") or node.this)
    if catalog not in _CATALOGS:
        raise QueryFailedError("CATALOG_NOT_FOUND", f"Catalog '{catalog}' does not exist", position=position)
    database = database or session.request.database
    view = metadata_view(session, database, name, position)
    if view is None:
        table = session.catalog.get(database, name, position)
        if table.is_view:
            view = _expanded_view(session, table, depth)
        else:
            predicate = predicate_for(node, {key.name for key in table.keys})
            view = _scanned(session, table, predicate)
            if uses_path:
                _hide_path(node)
            else:
                view = _without_path(session, view)
    alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(name, quoted=True))
    node.replace(exp.Table(this=exp.to_identifier(view), alias=alias))


def _scanned(session: Session, table: Table, predicate: exp.Expr | None) -> str:
    text = None
    if predicate is not None:
        text = predicate.sql(dialect="duckdb", identify=True, normalize_functions=False, comments=False)
    return view_of(session, table, text)


def _without_path(session: Session, view: str) -> str:
    session.run(f'CREATE TEMP VIEW {view}_plain AS SELECT * EXCLUDE ("{PATH}") FROM {view}')
    return f"{view}_plain"


def _hide_path(node: exp.Table) -> None:
    """`SELECT *` does not show `$path`, though the query names it somewhere."""
    select = node.find_ancestor(exp.Select)
    for item in select.expressions if select else ():
        star = item.this if isinstance(item, exp.Column) else item
        if isinstance(star, exp.Star) and not star.args.get("except_"):
            if isinstance(item, exp.Column) and item.table != node.alias_or_name:
                continue
            star.set("except_", [exp.column(PATH, quoted=True)])


def _expanded_view(session: Session, table: Table, depth: int) -> str:
    if depth > 8:  # noqa: PLR2004 - deeper is a circle
        raise QueryFailedError("VIEW_IS_RECURSIVE", f"View {table.full_name} refers to itself")
    definition = view_definition(table)
    inner = grammar.parse(definition["originalSql"])
    outer = session.request
    session.request = session.with_database(definition.get("schema") or table.database)
    try:
        plan = plan_query(session, inner, depth=depth + 1)
    finally:
        session.request = outer
    name = f"retail_view_{len(session.views)}"
    session.views.append(name)
    session.run(f"CREATE TEMP VIEW {name} AS {plan.sql}")
    return name


def view_definition(table: Table) -> dict[str, str]:
    """What Athena keeps of a view in the catalog: its SQL and the database in which it was made."""
    found = re.fullmatch(r"/\* Presto View: (\S+) \*/", (table.view_text or "").strip())
    try:
        decoded = json.loads(base64.b64decode(found.group(1))) if found else None
    except (ValueError, binascii.Error):
        decoded = None
    if not isinstance(decoded, dict) or "originalSql" not in decoded:
        raise not_supported(f"the view {table.full_name}, which was not made by Athena,")
    return decoded


def _name_columns(tree: exp.Expr) -> None:
    """Names the nameless columns of the outermost SELECT, so that they can be told apart."""
    first = tree
    while isinstance(first, (exp.SetOperation, exp.Subquery)):
        first = first.this
    if not isinstance(first, exp.Select):
        return
    for index, item in enumerate(list(first.expressions)):
        if isinstance(item, (exp.Alias, exp.Star)) or (isinstance(item, exp.Column)):
            continue
        item.replace(exp.alias_(item.copy(), f"{_ANONYMOUS}{index}", quoted=True))
