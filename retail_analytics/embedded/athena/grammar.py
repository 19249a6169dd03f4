"""Reading Athena's SQL into trees, and finding places in its text.

Belongs here: the parser, its errors in Athena's words, `?` parameters. Does not belong here: meaning
(`translate.py`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects import DuckDB, Trino
from sqlglot.errors import ParseError, TokenError

from retail_analytics.embedded.athena.errors import (
    Position,
    QueryFailedError,
    mismatched_input,
    not_supported,
)
from retail_analytics.embedded.athena.foreign import foreign_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot.tokenizer_core import Token

_SPECIAL_FORMS = ("CAST", "TRY_CAST", "EXTRACT", "TRIM", "POSITION", "SUBSTRING", "LISTAGG")


class AthenaDialect(Trino):  # type: ignore[misc]
    """Trino's grammar, with every function left under the name that the query gave it."""

    INDEX_OFFSET = 0  # subscripts count from one on both sides: sqlglot is not to shift them

    class Parser(Trino.Parser):  # type: ignore[misc]
        """See `AthenaDialect`."""

        FUNCTIONS: ClassVar[dict[str, object]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, object]] = {
            name: parser for name, parser in Trino.Parser.FUNCTION_PARSERS.items() if name in _SPECIAL_FORMS
        }


class _Words(AthenaDialect):
    """The same tokens, without sqlglot's habit of taking the rest of a SHOW or PREPARE for one string."""

    class Tokenizer(Trino.Tokenizer):  # type: ignore[misc]
        """See `_Words`."""

        COMMANDS: ClassVar[set[object]] = set()
        IDENTIFIERS: ClassVar[list[str]] = ['"', "`"]  # Hive's DDL quotes with the second


class _Target(DuckDB):  # type: ignore[misc]
    """DuckDB's SQL as we write it."""

    INDEX_OFFSET = 0

    class Generator(DuckDB.Generator):  # type: ignore[misc]
        """See `_Target`."""

        def ignorenulls_sql(self, expression: exp.IgnoreNulls) -> str:
            """IGNORE NULLS stands after the last argument."""
            return f"{self.sql(expression, 'this')} IGNORE NULLS"


def to_duckdb(tree: exp.Expr) -> str:
    """The text that DuckDB gets: identifiers quoted, functions under the names that they have in the tree."""
    return str(tree.sql(dialect=_Target, identify=True, normalize_functions=False, comments=False))


def tokens(sql: str) -> list[Token]:
    """The query's tokens, without a semicolon at the end."""
    return list(_tokens(sql))


@lru_cache(maxsize=4)  # a statement is looked at several times on its way, and may be long
def _tokens(sql: str) -> tuple[Token, ...]:
    try:
        found = list(_Words().tokenize(sql))
    except TokenError as error:
        raise QueryFailedError(None, f"line 1:1: the statement cannot be read: {error}") from error
    while found and found[-1].text == ";":
        found.pop()
    return tuple(found)


def parse(sql: str, dialect: type[sqlglot.Dialect] | str = AthenaDialect) -> exp.Expr:
    """The tree of one statement.

    Raises:
        QueryFailedError: `line L:C: mismatched input '…'`, or more than one statement.
    """
    if dialect is AthenaDialect and (foreign := foreign_token(tokens(sql))) is not None:
        raise mismatched_input(foreign.text, token_position(foreign))
    try:
        found = sqlglot.parse(sql, read=dialect)
    except ParseError as error:
        raise _syntax_error(sql, error) from error
    except TokenError as error:
        raise QueryFailedError(None, f"line 1:1: the statement cannot be read: {error}") from error
    trees = [tree for tree in found if tree is not None and not isinstance(tree, exp.Semicolon)]
    if len(trees) != 1:
        raise QueryFailedError(
            None, "Only one sql statement is allowed." if trees else "line 1:1: mismatched input '<EOF>'"
        )
    return trees[0]


def _syntax_error(sql: str, error: ParseError) -> QueryFailedError:
    first = error.errors[0] if error.errors else {}
    line, column = first.get("line") or 1, first.get("col") or 1
    text = first.get("highlight") or ""
    says = str(first.get("description") or "")
    ends = sql.rstrip().rstrip(";").rstrip().endswith(text)
    if not text or (ends and (says.startswith(("Expect", "Required")) or "SENTINEL" in says)):
        return mismatched_input("<EOF>", Position(line, column + 1))
    return mismatched_input(text, Position(line, max(1, column - len(text) + 1)))


def position_of(node: exp.Expr) -> Position | None:
    """Where a table, column or function stands in the text."""
    for part in (node, node.args.get("this")):
        if isinstance(part, exp.Expr) and "line" in part.meta:
            name = part.name if isinstance(part, exp.Identifier) else str(part.args.get("this", ""))
            width = len(name) + (2 if isinstance(part, exp.Identifier) and part.args.get("quoted") else 0)
            return Position(part.meta["line"], max(1, part.meta["col"] - width + 1))
    return None


def locate(tree: exp.Expr, name: str) -> Position | None:
    """Where a name first stands in the text; DuckDB's errors tell only the name."""
    wanted = name.rpartition(".")[2].lower()
    for node in tree.find_all(exp.Identifier):
        if node.name.lower() == wanted and "line" in node.meta:
            return position_of(node)
    return None


def bind(tree: exp.Expr, parameters: Sequence[str]) -> exp.Expr:
    """Puts the parameters, each the text of an SQL literal, in the place of the `?`s."""
    places = list(tree.find_all(exp.Placeholder, bfs=False))
    if len(places) != len(parameters):
        raise QueryFailedError(
            "INVALID_PARAMETER_USAGE",
            f"Incorrect number of parameters: expected {len(places)} but found {len(parameters)}",
        )
    for place, text in zip(places, parameters, strict=True):
        value = parse(f"SELECT {text}").expressions
        if len(value) != 1 or value[0].find(exp.Column, exp.Subquery, exp.Select):
            raise not_supported(f"the parameter {text}: a parameter must be a literal")
        place.replace(value[0])
    return tree


def split_name(table: exp.Table) -> tuple[str, str, str]:
    """(catalog, database, table) in lower case; also where all of it stands in one pair of backticks."""
    found = (table.args.get("catalog"), table.args.get("db"), table.args.get("this"))
    parts = [part.name.lower() for part in found if part]
    if len(parts) == 1:
        parts = parts[0].split(".")
    catalog, database, name = ["", "", "", *parts][-3:]
    return catalog, database, name


def token_position(token: Token) -> Position:
    """Where a token begins."""
    return Position(token.line, max(1, token.col - (token.end - token.start)))
