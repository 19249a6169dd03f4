"""The errors that a query can end with, under Athena's names.

Belongs here: the exception that every part of the package raises, and the translation of DuckDB's
exceptions. Does not belong here: errors of the API (an unknown workgroup), which are in `backend.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Callable

USER_ERROR = 2
SYSTEM_ERROR = 1

DIVISION_MARK = "DIVISION_BY_ZERO"
SUBSCRIPT_MARK = "INVALID_SUBSCRIPT "


@dataclass(frozen=True)
class Position:
    """A place in the text of a query, both counted from one."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}:{self.column}"


class QueryFailedError(Exception):
    """A query ends FAILED; `str()` is the StateChangeReason that Athena would give."""

    def __init__(
        self,
        name: str | None,
        message: str,
        *,
        position: Position | None = None,
        category: int = USER_ERROR,
    ) -> None:
        self.name = name
        self.category = category
        where = f"{position}: " if position else ""
        super().__init__(f"{name}: {where}{message}" if name else f"{where}{message}")


class QueryCancelledError(Exception):
    """The query was stopped by StopQueryExecution, or by a reset of the server."""


def not_supported(construct: str, position: Position | None = None) -> QueryFailedError:
    """The refusal of what this Athena does not do; `construct` names it."""
    return QueryFailedError(
        "NOT_SUPPORTED", f"{construct} is not supported by the embedded Athena", position=position
    )


def mismatched_input(text: str, position: Position, expecting: str | None = None) -> QueryFailedError:
    """Athena's message for text that its grammar does not accept."""
    hint = f" Expecting: {expecting}" if expecting else ""
    return QueryFailedError(None, f"mismatched input '{text}'.{hint}", position=position)


@dataclass(frozen=True)
class _Rule:
    kind: type[Exception]
    pattern: re.Pattern[str]
    name: str
    message: str


def _rule(kind: type[Exception], pattern: str, name: str, message: str) -> _Rule:
    return _Rule(kind, re.compile(pattern, re.DOTALL), name, message)


_RULES = (
    _rule(duckdb.Error, DIVISION_MARK, "DIVISION_BY_ZERO", "Division by zero"),
    _rule(
        duckdb.ConversionException,
        rf"'{SUBSCRIPT_MARK}(.*)' to",
        "INVALID_FUNCTION_ARGUMENT",
        "{0}",
    ),
    _rule(
        duckdb.BinderException,
        r'(?:Referenced (?:column|table) "([^"]+)" (?:was )?not found'
        r'|does not have a column named "([^"]+)"|column named "([^"]+)" (?:cannot|does not))',
        "COLUMN_NOT_FOUND",
        "Column '{0}' cannot be resolved",
    ),
    _rule(
        duckdb.BinderException,
        r'column "([^"]+)" must appear in the GROUP BY',
        "EXPRESSION_NOT_AGGREGATE",
        "'{0}' must be an aggregate expression or appear in GROUP BY clause",
    ),
    _rule(
        duckdb.BinderException,
        r'Ambiguous reference to column name "([^"]+)"',
        "AMBIGUOUS_NAME",
        "Column '{0}' is ambiguous",
    ),
    _rule(
        duckdb.OutOfMemoryException, r"(.*)", "EXCEEDED_MEMORY_LIMIT", "Query exceeded the memory limit: {0}"
    ),
    _rule(
        duckdb.InvalidInputException,
        r"Malformed JSON at byte \d+ of input: (.*?)\.?\s+Input: (.*)",
        "INVALID_FUNCTION_ARGUMENT",
        "Cannot convert value to JSON: {1}",
    ),
    _rule(
        duckdb.InvalidInputException,
        r'JSON transform error in file "([^"]+)",? ?(.*)',
        "HIVE_BAD_DATA",
        "Error parsing a field's value: {1} (object: {0})",
    ),
    _rule(
        duckdb.InvalidInputException,
        r'(?:Malformed JSON|Invalid JSON) in file "([^"]+)",? ?(.*)',
        "HIVE_CURSOR_ERROR",
        "Row is not a valid JSON Object - {1} (object: {0})",
    ),
    _rule(
        duckdb.ConversionException,
        r"Could not convert string '(.*?)' to ([\w()., ]+)",
        "INVALID_CAST_ARGUMENT",
        "Cannot cast '{0}' to {1}",
    ),
    _rule(duckdb.OutOfRangeException, r"(.*)", "NUMERIC_VALUE_OUT_OF_RANGE", "{0}"),
    _rule(duckdb.ConversionException, r"(.*)", "INVALID_CAST_ARGUMENT", "{0}"),
    _rule(duckdb.BinderException, r"(.*)", "TYPE_MISMATCH", "{0}"),
    _rule(
        duckdb.InvalidInputException,
        r"invalid perl operator: (.*)",
        "NOT_SUPPORTED",
        "the operator {0} in a regular expression is not supported by the embedded Athena",
    ),
    _rule(duckdb.InvalidInputException, r"(.*)", "INVALID_FUNCTION_ARGUMENT", "{0}"),
)

_TYPES = {"INT8": "tinyint", "INT16": "smallint", "INT32": "integer", "INT64": "bigint"}
_NOISE = re.compile(r"\n\s*LINE \d+:.*|\n\s*Candidate bindings.*|\n\s*Try setting.*", re.DOTALL)
_PREFIX = re.compile(r"^(?:\w+ )*Error: ")


def from_duckdb(
    error: duckdb.Error,
    *,
    locate: Callable[[str], Position | None],
    name_object: Callable[[str], str],
) -> QueryFailedError:
    """The error that Athena would have raised where DuckDB raised `error`.

    Args:
        error: what DuckDB raised.
        locate: finds a column's or function's name in the query's text.
        name_object: replaces the cached files' paths in a message by the S3 objects' URLs.
    """
    text = _PREFIX.sub("", _NOISE.sub("", str(error))).strip()
    for rule in _RULES:
        if not isinstance(error, rule.kind):
            continue
        found = rule.pattern.search(text)
        if found is None:
            continue
        groups = [
            _TYPES.get(g, g.removeprefix("<").removesuffix(">")) for g in found.groups() if g is not None
        ]
        position = (
            locate(groups[0]) if rule.name in {"COLUMN_NOT_FOUND", "EXPRESSION_NOT_AGGREGATE"} else None
        )
        return QueryFailedError(rule.name, name_object(rule.message.format(*groups)), position=position)
    return QueryFailedError("GENERIC_INTERNAL_ERROR", name_object(text), category=SYSTEM_ERROR)
