"""Names, texts and macros as they stand in DuckDB's SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retail_analytics.embedded.athena.objects import CachedObject


def quoted(name: str) -> str:
    """An identifier in DuckDB's SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string in DuckDB's SQL."""
    return "'" + text.replace("'", "''") + "'"


def files_of(copies: Sequence[CachedObject]) -> str:
    """A list of local copies."""
    return "[" + ", ".join(literal(str(copy.path)) for copy in copies) + "]"


def macro(signature: str, *overloads: str) -> str:
    """`CREATE MACRO athena_NAME`, each overload written as `(parameters) AS expression`."""
    return f"CREATE MACRO athena_{signature} " + ", ".join(overloads)
