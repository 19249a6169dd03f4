"""Which condition on partition columns a query proves for the rows that it wants of a table.

Belongs here: taking that condition out of the query's tree, also from around subqueries and WITH. Where
nothing can be proved, nothing is pruned.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlglot import exp

_VOLATILE = {"random", "uuid"}
# What a column of a source is called there → the partition column that it is.
Names = Mapping[str, str]


def predicate_for(table: exp.Table, keys: Collection[str]) -> exp.Expr | None:
    """The condition, as a tree over unqualified partition columns, or None.

    Args:
        table: the reference to the table, still in the query's tree.
        keys: the table's partition columns.
    """
    proved: list[exp.Expr] = []
    source: exp.Expr | None = table
    names: Names = {key: key for key in keys}
    while source is not None and names:
        select = _select_of(source)
        if select is None or _may_be_null(select, source):
            break
        conditions = [_weakened(one, source.alias_or_name, names) for one in _conditions(select)]
        proved.extend(condition for condition in conditions if condition is not None)
        names = _outputs(select, source.alias_or_name, names)
        source, names = _enclosing(select, names)
    return exp.and_(*proved, copy=False) if proved else None


def _select_of(source: exp.Expr) -> exp.Select | None:
    parent = source.parent
    if not isinstance(parent, (exp.From, exp.Join)) or parent.this is not source:
        return None
    return parent.parent if isinstance(parent.parent, exp.Select) else None


def _may_be_null(select: exp.Select, source: exp.Expr) -> bool:
    """Whether an outer join may put NULLs in the place of rows; then it matters that a row is missing."""
    for join in select.args.get("joins") or ():
        if join.side and (join.side.upper() != "LEFT" or source is join.this):
            return True
        if join.method:
            return True
    return False


def _conditions(select: exp.Select) -> list[exp.Expr]:
    found = [select.args["where"].this] if select.args.get("where") else []
    inner = (join for join in select.args.get("joins") or () if not join.side and join.args.get("on"))
    return [*found, *(join.args["on"] for join in inner)]


def _outputs(select: exp.Select, alias: str, names: Names) -> Names:
    """The select's columns that are partition columns, where a condition outside may move inside."""
    if any(select.args.get(part) for part in ("limit", "offset", "qualify", "laterals")) or select.find(
        exp.Window
    ):
        return {}
    group = select.args.get("group")
    if group is None and any(_is_aggregate(item) for item in select.expressions):
        return {}
    found: dict[str, str] = {}
    for item in select.expressions:
        plain = item.this if isinstance(item, exp.Alias) else item
        if isinstance(plain, exp.Star) or (
            isinstance(plain, exp.Column) and isinstance(plain.this, exp.Star)
        ):
            if group is None and (isinstance(plain, exp.Star) or plain.table == alias):
                found.update(names)
        elif isinstance(plain, exp.Column) and plain.table in {"", alias} and plain.name in names:
            found[item.alias_or_name] = names[plain.name]
    return found if group is None else _grouped(select, group, found)


def _is_aggregate(item: exp.Expr) -> bool:
    """Whether more than a column, literal or star is selected; only that can aggregate."""
    return item.find(exp.Func, exp.Anonymous) is not None


def _grouped(select: exp.Select, group: exp.Group, found: Names) -> Names:
    if any(group.args.get(part) for part in ("grouping_sets", "cube", "rollup", "all")):
        return {}
    by: set[str] = set()
    for item in group.expressions:
        if isinstance(item, exp.Column):
            by.add(item.name)
        elif (
            isinstance(item, exp.Literal) and not item.is_string and int(item.name) <= len(select.expressions)
        ):
            by.add(select.expressions[int(item.name) - 1].alias_or_name)
    return {name: key for name, key in found.items() if name in by}


def _enclosing(select: exp.Select, names: Names) -> tuple[exp.Expr | None, Names]:
    """The one place that the select's rows go on to, and the names there; None for several places or none."""
    parent = select.parent
    if isinstance(parent, exp.Subquery) and not any(
        parent.args.get(part) for part in ("limit", "offset", "with_")
    ):
        return parent, _renamed(parent, names)
    if not isinstance(parent, exp.CTE) or parent.args["alias"].columns or select.args.get("with_"):
        return None, names
    root = select.root()
    uses = [
        table for table in root.find_all(exp.Table) if table.name == parent.alias and not table.args.get("db")
    ]
    same = [cte for cte in root.find_all(exp.CTE) if cte.alias == parent.alias]
    recursive = isinstance(parent.parent, exp.With) and parent.parent.args.get("recursive")
    if len(uses) != 1 or len(same) != 1 or recursive:
        return None, names
    return uses[0], _renamed(uses[0], names)


def _renamed(source: exp.Expr, names: Names) -> Names:
    alias = source.args.get("alias")
    return {} if isinstance(alias, exp.TableAlias) and alias.columns else names


def _weakened(condition: exp.Expr, alias: str, names: Names) -> exp.Expr | None:
    """What `condition` says of the partition columns alone; None for nothing."""
    if isinstance(condition, exp.Paren):
        inner = _weakened(condition.this, alias, names)
        return None if inner is None else exp.Paren(this=inner)
    if isinstance(condition, exp.And):
        sides = [_weakened(side, alias, names) for side in (condition.left, condition.right)]
        known = [side for side in sides if side is not None]
        return exp.and_(*known, copy=False) if known else None
    if isinstance(condition, exp.Or):
        left, right = (_weakened(side, alias, names) for side in (condition.left, condition.right))
        return None if left is None or right is None else exp.or_(left, right, copy=False)
    return _over_keys(condition, names) if _is_about_keys(condition, alias, names) else None


def _is_about_keys(condition: exp.Expr, alias: str, names: Names) -> bool:
    if condition.find(exp.Query, exp.Window, exp.Lambda, exp.Placeholder):
        return False
    if any(call.name.lower() in _VOLATILE for call in condition.find_all(exp.Anonymous)):
        return False
    columns = list(condition.find_all(exp.Column))
    return bool(columns) and all(
        column.name in names and column.table in {"", alias} and not isinstance(column.this, exp.Star)
        for column in columns
    )


def _over_keys(condition: exp.Expr, names: Names) -> exp.Expr:
    copy = condition.copy()
    for column in list(copy.find_all(exp.Column)):
        made = exp.column(names[column.name], quoted=True)
        if column is copy:
            return made
        column.replace(made)
    return copy
