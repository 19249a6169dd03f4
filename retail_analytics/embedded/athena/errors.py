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
ARGUMENT_MARK = "INVALID_ARGUMENT "


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


def task_failed(message: str) -> QueryFailedError:
    """The failure of a statement that Hive would do."""
    hive = "FAILED: Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask."
    return QueryFailedError(None, f"{hive} {message}")


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
        rf"'(?:{SUBSCRIPT_MARK}|{ARGUMENT_MARK})(.*)' to",
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
        r'Could not find key "~([a-z_]+)~VARCHAR"',
        "FUNCTION_NOT_FOUND",
        "Unexpected parameters (varchar) for function {0}",
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
        r"(?:invalid )?date field (?:value out of range|format): \"(.*?)\"",
        "INVALID_CAST_ARGUMENT",
        "Value cannot be cast to date: {0}",
    ),
    _rule(
        duckdb.ConversionException,
        r"(?:invalid )?timestamp field (?:value out of range|format): \"(.*?)\"",
        "INVALID_CAST_ARGUMENT",
        "Value cannot be cast to timestamp: {0}",
    ),
    _rule(
        duckdb.ConversionException,
        r"Type INT\d+ with value (\S+) can't be cast because the value is out of range for the destination "
        r"type (\w+)",
        "NUMERIC_VALUE_OUT_OF_RANGE",
        "Out of range for {1}: {0}",
    ),
    _rule(
        duckdb.ConversionException,
        r"Could not convert string \"(.*?)\" to DECIMAL\((\d+),\s*(\d+)\)",
        "INVALID_CAST_ARGUMENT",
        "Cannot cast VARCHAR '{0}' to DECIMAL({1}, {2}). Value is not a number.",
    ),
    _rule(
        duckdb.ConversionException,
        r"Casting value \"(.*?)\" to type DECIMAL\((\d+),\s*(\d+)\) failed",
        "INVALID_CAST_ARGUMENT",
        "Cannot cast DECIMAL '{0}' to DECIMAL({1}, {2})",
    ),
    _rule(
        duckdb.OutOfRangeException,
        r"Overflow in (\w+) of (INT\d+) \((.*)\)!",
        "NUMERIC_VALUE_OUT_OF_RANGE",
        "{1} {0} overflow: {2}",
    ),
    _rule(
        duckdb.InvalidInputException,
        r"More than one row returned by a subquery",
        "SUBQUERY_MULTIPLE_ROWS",
        "Scalar sub-query has returned multiple rows",
    ),
    _rule(
        duckdb.InvalidInputException,
        r"Could not parse string \"(.*?)\" according to format",
        "INVALID_FUNCTION_ARGUMENT",
        'Invalid format: "{0}"',
    ),
    _rule(
        duckdb.InvalidInputException,
        r"Map keys must be unique",
        "INVALID_FUNCTION_ARGUMENT",
        "Duplicate map keys are not allowed",
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
# as Athena writes the target of a cast of a text
_TARGETS = {
    "INT8": "TINYINT", "INT16": "SMALLINT", "INT32": "INT", "INT64": "BIGINT", "BOOL": "BOOLEAN",
    "FLOAT": "REAL",
}  # fmt: skip
_CALL = re.compile(r"(?:argument types '|function call \")([^()]+)\((.*)\)['\"]\.", re.DOTALL)
# DuckDB's functions by the names that the query gave them
_FUNCTIONS = {
    "string_split": "split", "regexp_matches": "regexp_like", "list_transform": "transform",
    "list_filter": "filter", "list": "array_agg", "len": "cardinality", "unhex": "from_hex", "hex": "to_hex",
    "encode": "to_utf8", "strptime": "date_parse", "approx_quantile": "approx_percentile",
    "date_part": "extract", "json_valid": "json_extract_scalar",
}  # fmt: skip
_NOISE = re.compile(r"\n\s*LINE \d+:.*|\n\s*Candidate bindings.*|\n\s*Try setting.*", re.DOTALL)
_PREFIX = re.compile(r"^(?:\w+ )*Error: ")


def mismatch_of(text: str) -> tuple[str, str]:
    """Athena's error, and its words, for a call or an operator that DuckDB does not have for these types."""
    found = _CALL.search(text)
    if found is None:
        return "TYPE_MISMATCH", text
    name, kinds = found.group(1), [_plain(kind) for kind in found.group(2).split(", ")]
    if not name[0].isalpha() and len(kinds) == len(("left", "right")):
        return "TYPE_MISMATCH", f"Cannot apply operator: {kinds[0]} {name} {kinds[1]}"
    name = _FUNCTIONS.get(name, name.removeprefix("athena_"))
    return "FUNCTION_NOT_FOUND", f"Unexpected parameters ({', '.join(kinds)}) for function {name}"


def _plain(kind: str) -> str:
    """A type of DuckDB's message in Athena's words: `STRING_LITERAL` is a varchar."""
    return kind.replace("STRING_LITERAL", "varchar").replace("_LITERAL", "").lower()


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
        names = _TARGETS if rule.message == "Cannot cast '{0}' to {1}" else _TYPES
        groups = [
            names.get(g, g.removeprefix("<").removesuffix(">")) for g in found.groups() if g is not None
        ]
        position = (
            locate(groups[0]) if rule.name in {"COLUMN_NOT_FOUND", "EXPRESSION_NOT_AGGREGATE"} else None
        )
        if rule.name == "TYPE_MISMATCH":
            return QueryFailedError(*mismatch_of(groups[0]), position=position)
        return QueryFailedError(rule.name, name_object(rule.message.format(*groups)), position=position)
    return QueryFailedError("GENERIC_INTERNAL_ERROR", name_object(text), category=SYSTEM_ERROR)
