"""Turns a field's text into a record's value, by the type that the feed declares.

A value that does not fit its type is no error here: it stays the text that it was, with a sentence on what
is wrong, so that it travels on and compaction rejects it where it is counted. Not here: the layout of a
record (``records.py``).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from retail_analytics.feeds.declaration import Column

# What both JSON and every reader of CSV take as a number, and may be copied as it stands.
_PLAIN_INTEGER = re.compile(r"(?:0|-?[1-9][0-9]*)\Z")
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?\Z")
# What is a number all the same: +5, 05, .5, 5., 1e3, blanks around it. Python's own float() also takes
# 1_000, inf and other scripts' digits, which the lake does not.
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\s*\Z", re.ASCII)
_FLOAT_OF_WHOLE = re.compile(r"([0-9]+)\.0+\Z")

_INTEGER_BITS = {"tinyint": 8, "smallint": 16, "int": 32, "integer": 32, "bigint": 64}
_MAX_DIGITS = 38  # of Athena's widest decimal


def converter(column: Column) -> Callable[[str], tuple[str, str | None]]:
    """The function from a field's text to (value, problem) for a column.

    The value is text: of a number its digits as JSON writes them, of anything else the text itself. The
    problem is None, or what is wrong, as in ``is no whole number``; then the value is the text as it was.
    """
    kind = column.stored_type.partition("(")[0]
    if kind in _INTEGER_BITS:
        bound = 1 << (_INTEGER_BITS[kind] - 1)
        return lambda text: _integer(text, bound)
    if is_numeric(column):
        return _number
    if column.nullable and column.source.lower().endswith("id"):
        return _identifier
    return _text if column.nullable else _needed_text


def is_numeric(column: Column) -> bool:
    """Whether the column's values are numbers in a record."""
    kind = column.stored_type.partition("(")[0]
    return kind in _INTEGER_BITS or kind in {"float", "real", "double", "decimal"}


def _integer(text: str, bound: int) -> tuple[str, str | None]:
    if not _PLAIN_INTEGER.match(text):
        value = _decimal(text)
        if value is None or value != value.to_integral_value():
            return text, "is no whole number"
        text_of_value = f"{value:.0f}"
        text = "0" if text_of_value == "-0" else text_of_value
    if len(text) > _MAX_DIGITS or not -bound <= int(text) < bound:
        return text, "is out of range"
    return text, None


def _number(text: str) -> tuple[str, str | None]:
    if len(text) <= _MAX_DIGITS and _PLAIN_NUMBER.match(text):
        return text, None
    value = _decimal(text)
    return (text, "is no number") if value is None else (f"{value:f}", None)


def _decimal(text: str) -> Decimal | None:
    """The number, or None where it is none, or beyond what any of Athena's decimals holds."""
    if not _NUMBER.match(text):
        return None
    value = Decimal(text.strip())
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 -- only of a NaN or an infinity it is not
    if len(digits) + abs(exponent) > _MAX_DIGITS:
        return None
    return value


def _text(text: str) -> tuple[str, str | None]:
    return text, None


def _needed_text(text: str) -> tuple[str, str | None]:
    return text, None if text else "is empty"


def _identifier(text: str) -> tuple[str, str | None]:
    """An identifier that may be missing: tools that keep such a column as floats write 17850 as 17850.0."""
    match = _FLOAT_OF_WHOLE.match(text)
    return (match[1] if match else text), None


class EventTimes:
    """Reads and rewrites event times of one pattern, moved by a constant."""

    def __init__(self, pattern: str, shift: timedelta) -> None:
        self._pattern = pattern
        self._shift = shift

    def read(self, text: str) -> tuple[datetime | None, str]:
        """The moved time, aware, and its text; (None, the text as it was) for what is no such time."""
        try:
            # strptime also takes 2010-12-1; writing it again makes it what the pattern says.
            moved = datetime.strptime(text, self._pattern).replace(tzinfo=UTC) + self._shift
        except (ValueError, OverflowError):
            return None, text
        return moved, self.write(moved)

    def write(self, when: datetime) -> str:
        """The time in the pattern."""
        # strftime pads no year below 1000, ISO does.
        pattern = self._pattern.replace("%Y", f"{when.year:04d}")
        return when.strftime(pattern)
