"""The one place where names and values become SQL text.

Identifiers are double-quoted as Athena's queries want them, values are literals; both refuse what cannot
be written safely. Nothing else in the package puts a name or a value into a statement.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")


def identifier(name: str) -> str:
    """A quoted identifier.

    Raises:
        ValueError: The name holds anything but letters, digits, ``_`` and ``$``.
    """
    if not _NAME.match(name):
        raise ValueError(f"{name!r} cannot be an identifier: only letters, digits, _ and $ can.")
    return f'"{name}"'


def table(database: str, name: str) -> str:
    """A quoted, qualified table name."""
    return f"{identifier(database)}.{identifier(name)}"


def text(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("'", "''") + "'"


def day(value: date) -> str:
    """A date literal."""
    return f"DATE '{value:%Y-%m-%d}'"


def array(values: Iterable[str]) -> str:
    """An array of string literals."""
    return f"ARRAY[{', '.join(text(value) for value in values)}]"
