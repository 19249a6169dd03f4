"""PREPARE, EXECUTE and DEALLOCATE PREPARE, over the prepared statements of the request's workgroup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retail_analytics.embedded.athena import grammar
from retail_analytics.embedded.athena.errors import Position, QueryFailedError, mismatched_input
from retail_analytics.embedded.athena.results import Result

if TYPE_CHECKING:
    from retail_analytics.embedded.athena.session import Session


def prepare(session: Session, sql: str) -> tuple[Result, bytes | None]:
    """`PREPARE name FROM statement`; one of the same name is replaced."""
    found = grammar.tokens(sql)
    if len(found) < 4 or found[2].text.upper() != "FROM":
        at = found[2] if len(found) > 2 else found[-1]
        raise mismatched_input(at.text, Position(at.line, at.col), "'FROM'")
    statement = sql[found[3].start : found[-1].end + 1]
    grammar.parse(statement)
    session.prepared.put(found[1].text.lower(), statement)
    return Result(), b""


def deallocate(session: Session, sql: str) -> tuple[Result, bytes | None]:
    """`DEALLOCATE PREPARE name`."""
    name = _name(sql, 1)  # DEALLOCATE PREPARE is one token
    if not session.prepared.drop(name):
        raise _unknown(name)
    return Result(), b""


def resolve(session: Session, sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement that `EXECUTE name [USING a, b]` stands for, and its parameters as texts of literals."""
    name = _name(sql, 1)
    statement = session.prepared.get(name)
    if statement is None:
        raise _unknown(name)
    found = grammar.tokens(sql)
    if len(found) == 2:
        return statement, session.request.parameters
    if found[2].text.upper() != "USING":
        raise mismatched_input(found[2].text, Position(found[2].line, found[2].col), "'USING'")
    values = grammar.parse(f"SELECT {sql[found[2].end + 1 : found[-1].end + 1]}").expressions
    return statement, tuple(value.sql(dialect=grammar.AthenaDialect) for value in values)


def _name(sql: str, index: int) -> str:
    found = grammar.tokens(sql)
    if len(found) <= index:
        raise mismatched_input("<EOF>", Position(found[-1].line, found[-1].col + 1))
    return found[index].text.lower()


def _unknown(name: str) -> QueryFailedError:
    return QueryFailedError("NOT_FOUND", f"Prepared statement not found: {name}")
