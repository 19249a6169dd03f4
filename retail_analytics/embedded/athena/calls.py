"""Calls of DuckDB's functions, as trees."""

from __future__ import annotations

from sqlglot import exp

MADE = "made"
"""What a call made here has in its `meta`: its name is DuckDB's, not the query's."""


def call(name: str, *arguments: exp.Expr | str) -> exp.Anonymous:
    """A call of a function of DuckDB; strings become string literals."""
    values = [exp.Literal.string(item) if isinstance(item, str) else item for item in arguments]
    made = exp.Anonymous(this=name, expressions=values)
    made.meta[MADE] = True
    return made
