"""The one place where names and values become SQL text.

Identifiers are double-quoted as Athena's queries want them, values are literals; both refuse what cannot
be written safely. Nothing else in the package puts a name or a value into a statement.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")
_COMMENT = re.compile(r"^ *--[^\n]*\n", re.MULTILINE)


def statement(file: Path, **places: str) -> str:
    """A statement from a file, its places filled in, without the comments that are for its readers.

    Args:
        file: Text in which ``{name}`` is a place and ``{{`` a brace; a comment has its line to itself.
        places: SQL for each place.
    """
    return _text_of(file).format(**places)


@cache
def _text_of(file: Path) -> str:
    return _COMMENT.sub("", file.read_text()).strip()


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
