"""From Athena's SQL to DuckDB's: the query's tree rewritten, its tables turned into views over objects.

Belongs here: tables, views, and the order of the steps. Does not belong here: expressions (`rewriting.py`),
statements that are no queries (`ddl.py`, `ctas.py`).
"""

# ruff: noqa: S608 - making SQL is what this module does; names go through quoted(), texts through literal()

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
from retail_analytics.embedded.athena.errors import QueryFailedError, not_supported
from retail_analytics.embedded.athena.lookups import gather_lookups
from retail_analytics.embedded.athena.metadata import metadata_view
from retail_analytics.embedded.athena.pruning import predicate_for
from retail_analytics.embedded.athena.rewriting import ANONYMOUS, Reading, rewrite
from retail_analytics.embedded.athena.scan import PATH, view_of
from retail_analytics.embedded.athena.strictness import refuse_leniencies

if TYPE_CHECKING:
    from collections.abc import Callable

    from duckdb.sqltypes import DuckDBPyType

    from retail_analytics.embedded.athena.catalog import Table
    from retail_analytics.embedded.athena.errors import Position
    from retail_analytics.embedded.athena.session import Session
    from retail_analytics.embedded.athena.strictness import Shapes

_NAMELESS = re.compile(ANONYMOUS)
_NAMELESS_VALUES = re.compile(r"col\d+$")
_PLAIN = "_plain"
_CATALOGS = {"", "awsdatacatalog"}


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


def plan_query(session: Session, tree: exp.Expr, *, depth: int = 0, shown: bool = False) -> Plan:
    """Rewrites a query and has DuckDB bind it, which finds what is wrong with names and types.

    Args:
        session: the running query.
        tree: the query.
        depth: in how many views it stands.
        shown: whether its columns are printed, so that timestamps keep their zones.
    """

    def locate(name: str) -> Position | None:
        return grammar.locate(tree, name)

    reading = Reading()
    while True:
        try:
            sql, relation = _bound(session, tree.copy(), depth, reading, shown=shown)
            break
        except duckdb.Error as error:
            if (following := reading.after(str(error))) == reading:
                raise session.failure(error, locate) from error
            reading = following
    nameless = _NAMELESS_VALUES if isinstance(tree, exp.Values) else _NAMELESS
    names = tuple(None if nameless.match(name) else name for name in relation.columns)
    return Plan(sql, names, tuple(relation.types), locate)


def _bound(
    session: Session, tree: exp.Expr, depth: int, reading: Reading, *, shown: bool
) -> tuple[str, duckdb.DuckDBPyRelation]:
    rewrite(tree, reading, shown=shown)
    gather_lookups(tree)
    _resolve_tables(session, tree, depth)
    _name_columns(tree)
    sql = grammar.to_duckdb(tree)
    relation = session.cursor.sql(sql)
    if relation is None:
        raise QueryFailedError(None, "line 1:1: mismatched input: the statement is not a query")
    shapes = _shapes(session, tree)
    if not session.engine.strict.knows(sql, shapes):
        refuse_leniencies(session.cursor, tree, lambda name: grammar.locate(tree, name))
        session.engine.strict.note(sql, shapes)
    return sql, relation


def _shapes(session: Session, tree: exp.Expr) -> Shapes | None:
    """What the tables of a rewritten query are of; None where one is not known, such as a view's."""
    names = {node.name for node in tree.find_all(exp.Table) if node.name.startswith("retail_")}
    found = {name: session.shapes.get(name.removesuffix(_PLAIN)) for name in names}
    known = tuple(sorted((name, shape) for name, shape in found.items() if shape is not None))
    return known if len(known) == len(found) else None


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
        text = grammar.to_duckdb(predicate)
    return view_of(session, table, text)


def _without_path(session: Session, view: str) -> str:
    session.run(f'CREATE TEMP VIEW {view}{_PLAIN} AS SELECT * EXCLUDE ("{PATH}") FROM {view}')
    return f"{view}{_PLAIN}"


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
    if depth > 8:
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
        if isinstance(item, (exp.Alias, exp.Star, exp.Column)):
            continue
        item.replace(exp.alias_(item.copy(), f"{ANONYMOUS}{index}", quoted=True))
