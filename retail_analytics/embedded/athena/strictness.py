"""What Athena refuses and DuckDB forgives: comparisons across types, aliases in the place of columns.

DuckDB's binder answers: a copy of the query, with a question about types in each doubtful place, is bound
and never run. A question raises with its mark in the message; whatever else the copy fails with says
nothing about the query, which was bound before, and is let be: leniency is better than a wrong refusal.

Belongs here: refusals of what DuckDB would accept. Does not belong here: what DuckDB itself refuses
(`errors.py`), values that differ (`macros.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from retail_analytics.embedded.athena.calls import call
from retail_analytics.embedded.athena.errors import QueryFailedError
from retail_analytics.embedded.athena.scopes import (
    failure_of,
    place_of,
    refuse_aliases,
    refuse_hidden_orders,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import duckdb

    from retail_analytics.embedded.athena.errors import Position

_KINDS = {
    "number": r"(?:(?:TINY|SMALL|BIG|HUGE)INT|INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\s*\d+\))",
    "text": "VARCHAR",
    "boolean": "BOOLEAN",
    "instant": "(?:DATE|TIMESTAMP|TIMESTAMP WITH TIME ZONE)",
}
_KNOWN = f"(?:{'|'.join(_KINDS.values())})"
_OTHERS = {
    kind: f"(?:{'|'.join(pattern for other, pattern in _KINDS.items() if other != kind)})" for kind in _KINDS
}


def _question(name: str, fails: str) -> str:
    """A macro that is true, or fails to bind where `number~type~type` matches the pattern.

    DuckDB looks for a struct's field when it binds. Each operand stands once: it may be long. Types that no
    kind holds, NULL's own among them, match nothing: nothing is said of them.
    """
    return (
        f"CREATE MACRO athena_{name}(n, a, b) AS struct_extract({{'~': true}}, "
        f"'~' || regexp_extract(n || '~' || typeof(a) || '~' || typeof(b), '^\\d+~(?:{fails})$'))"
    )


QUESTIONS = (
    _question("alike", "|".join(f"{pattern}~{_OTHERS[kind]}" for kind, pattern in _KINDS.items())),
    _question("dates", "DATE~DATE"),
    _question("condition", f"{_OTHERS['boolean']}~.*"),
    _question("joined", f"{_OTHERS['text']}~{_KNOWN}|VARCHAR~{_OTHERS['text']}"),
)
_MARK = re.compile(r'Could not find key "~(\d+)~([^~"]*)~([^~"]*)"')
_OPERATORS: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM", exp.NullSafeNEQ: "IS DISTINCT FROM",
}  # fmt: skip
_TYPES = {
    "HUGEINT": "bigint", "FLOAT": "real", "TIMESTAMP": "timestamp(3)",
    "TIMESTAMP WITH TIME ZONE": "timestamp(3) with time zone",
}  # fmt: skip
# An IN list may be thousands of literals long; each kind of literal is asked about once, and so many others.
_ASKED_OF_A_LIST = 50


Shapes = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""Tables by name, each with its columns and their types."""


class Verdicts:
    """Queries that were found strict: asking about each costs as much as binding it twice more.

    A verdict rests on types, so that queries over tables of the same columns share one when they differ in
    the values of their literals alone, or in how often such a thing stands in a list or an OR: a query of
    another hundred hours is no other query.
    """

    _MOST = 2000
    _SAME_IN_LIST = re.compile(r"(''|\b1(?:\.0)?(?:e0)?)(?:, \1)+")
    _SAME_IN_VALUES = re.compile(r"(\((?:''|1|, )+\))(?:, \1)+")
    _SAME_IN_OR = re.compile(r"(\((?:[^()]|\([^()]*\))*\))(?: OR \1)+")
    _TOKEN = re.compile(r"""("(?:[^"]|"")*")|'(?:[^']|'')*'|\b\d+(\.\d+)?(?:[eE]([+-]?\d+))?\b""")

    def __init__(self) -> None:
        self._known: dict[tuple[str, Shapes], None] = {}

    def knows(self, sql: str, shapes: Shapes | None) -> bool:
        """Whether such a query was found strict."""
        return shapes is not None and (self._outline(sql), shapes) in self._known

    def note(self, sql: str, shapes: Shapes | None) -> None:
        """Remember that such a query is strict."""
        if shapes is None:
            return
        if len(self._known) >= self._MOST:
            self._known.clear()
        self._known[self._outline(sql), shapes] = None

    @classmethod
    def _outline(cls, sql: str) -> str:
        """The query with the kinds of its literals in the place of their values."""

        def kind(match: re.Match[str]) -> str:
            name, fraction, exponent = match.groups()
            if name is not None:
                return name
            if match[0].startswith("'"):
                return "''"
            return "1" + (".0" if fraction else "") + ("e0" if exponent else "")

        outline = cls._SAME_IN_LIST.sub(r"\1", cls._TOKEN.sub(kind, sql))
        outline = cls._SAME_IN_VALUES.sub(r"\1", outline)
        return cls._SAME_IN_OR.sub(r"\1", outline)


@dataclass
class _Questions:
    """What was asked, by number: Athena's error, its text with the two types, and the place."""

    asked: list[tuple[str, str, Position | None]] = field(default_factory=list)
    numbers: dict[tuple[str, tuple[exp.Expr, ...]], int] = field(default_factory=dict)
    answered: set[tuple[object, ...]] = field(default_factory=set)

    def ask(self, name: str, text: str, node: exp.Expr, macro: str, *operands: exp.Expr) -> exp.Expr | None:
        """The question as an expression that is true, or fails to bind; None where nothing can be asked.

        The same question has the same number: GROUP BY compares expressions by their text.
        """
        if any(operand.find(exp.Query) for operand in operands):
            return None
        if not self._is_news(node, text, operands):
            return None
        number = self.numbers.setdefault((macro, operands), len(self.asked))
        if number == len(self.asked):
            self.asked.append((name, text, place_of(node)))
        return call(f"athena_{macro}", str(number), operands[0].copy(), operands[-1].copy())

    def _is_news(self, node: exp.Expr, text: str, operands: tuple[exp.Expr, ...]) -> bool:
        """False for the same question with another literal in one WHERE or ON, which may hold hundreds."""
        clause = node.find_ancestor(exp.Where, exp.Join, exp.Select, exp.Lambda)
        if not isinstance(clause, (exp.Where, exp.Join)):
            return True
        shapes = (one.is_string if isinstance(one, exp.Literal) else one for one in operands)
        key = (id(clause), text, *shapes)
        news = key not in self.answered
        self.answered.add(key)
        return news


def refuse_leniencies(
    cursor: duckdb.DuckDBPyConnection, tree: exp.Expr, locate: Callable[[str], Position | None]
) -> None:
    """Raises what Athena would of a rewritten query that DuckDB has bound.

    Raises:
        QueryFailedError: TYPE_MISMATCH, FUNCTION_NOT_FOUND (for `||`) or COLUMN_NOT_FOUND.
    """
    refuse_aliases(cursor, tree, locate)
    refuse_hidden_orders(tree)
    probe, questions = tree.copy(), _Questions()
    # the operands are asked about as they were: a question in each copy of a question would not end
    for node, original in reversed(list(zip(probe.walk(), tree.walk(), strict=True))):
        conditions = [one for one in _conditions(questions, original) if one is not None]
        if not conditions:
            continue
        if isinstance(node, exp.In):
            node.set("expressions", _telling(node.expressions))
        if isinstance(node, (exp.Where, exp.Having)):
            node.set("this", exp.and_(*conditions, node.this.copy()))
        else:
            node.replace(exp.Case(ifs=[exp.If(this=exp.and_(*conditions), true=node.copy())]))
    if not questions.asked:
        return
    found = _MARK.search(failure_of(cursor, probe))
    if found is None:
        return
    name, text, place = questions.asked[int(found.group(1))]
    kinds = [_TYPES.get(kind, kind.lower()) for kind in found.group(2, 3)]
    raise QueryFailedError(name, text.format(*kinds), position=place)


def _conditions(questions: _Questions, node: exp.Expr) -> Iterator[exp.Expr | None]:
    if (operator := _OPERATORS.get(type(node))) is not None:
        text = f"Cannot apply operator: {{0}} {operator} {{1}}"
        yield questions.ask("TYPE_MISMATCH", text, node, "alike", node.this, node.expression)
    elif isinstance(node, exp.Between):
        for side in ("low", "high"):
            text = "Cannot check if {0} is BETWEEN {1}"
            yield questions.ask("TYPE_MISMATCH", text, node, "alike", node.this, node.args[side])
    elif isinstance(node, exp.In) and not node.args.get("query") and not node.args.get("unnest"):
        for item in _telling(node.expressions):
            text = "IN value and list items must be the same type or coercible to a common type: {0}, {1}"
            yield questions.ask("TYPE_MISMATCH", text, node, "alike", node.this, item)
    elif isinstance(node, exp.DPipe):
        text = "Unexpected parameters ({0}, {1}) for function concat"
        yield questions.ask("FUNCTION_NOT_FOUND", text, node, "joined", node.this, node.expression)
    elif isinstance(node, (exp.Where, exp.Having)):
        clause = "WHERE" if isinstance(node, exp.Where) else "HAVING"
        text = f"{clause} clause must evaluate to a boolean: actual type {{0}}"
        yield questions.ask("TYPE_MISMATCH", text, node, "condition", node.this)
    else:
        if isinstance(node, exp.Sub):
            text = "{0} - {1}, an interval, is not supported by the embedded Athena: use date_diff"
            yield questions.ask("NOT_SUPPORTED", text, node, "dates", node.this, node.expression)
        for term in _terms(node):
            text = "Logical expression term must evaluate to a boolean (actual: {0})"
            yield questions.ask("TYPE_MISMATCH", text, node, "condition", term)
        yield from _alike_alternatives(questions, node)


def _alike_alternatives(questions: _Questions, node: exp.Expr) -> Iterator[exp.Expr | None]:
    what, values = _alternatives(node)
    for value in values[1:]:
        text = f"All {what} must be the same type or coercible to a common type. Cannot find common type "
        yield questions.ask("TYPE_MISMATCH", text + "between {0} and {1}", node, "alike", values[0], value)


def _terms(node: exp.Expr) -> list[exp.Expr]:
    """What AND, OR and NOT hold, unless it is boolean by its form."""
    if not isinstance(node, (exp.And, exp.Or, exp.Not)):
        return []
    sides = (node.this, node.args.get("expression"))
    known = (exp.Predicate, exp.Connector, exp.Not, exp.Paren)
    return [side for side in sides if side is not None and not isinstance(side, known)]


def _alternatives(node: exp.Expr) -> tuple[str, list[exp.Expr]]:
    """The expressions of which one is the node's value."""
    if isinstance(node, exp.Case):
        values = [branch.args["true"] for branch in node.args["ifs"]]
        last = node.args.get("default")
        return "CASE results", values + ([last] if last is not None else [])
    if isinstance(node, exp.If) and not isinstance(node.parent, exp.Case):
        return "IF results", [node.args[side] for side in ("true", "false") if node.args.get(side)]
    if isinstance(node, exp.Anonymous) and str(node.this).lower() == "coalesce":
        return "COALESCE operands", list(node.expressions)
    return "", []


def _telling(items: list[exp.Expr]) -> list[exp.Expr]:
    literals = {item.is_string: item for item in items if isinstance(item, exp.Literal)}
    others = [item for item in items if not isinstance(item, exp.Literal)]
    return [*literals.values(), *others[:_ASKED_OF_A_LIST]]
