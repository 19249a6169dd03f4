"""Calls of DuckDB's functions, as trees."""

from __future__ import annotations

from sqlglot import exp


def call(name: str, *arguments: exp.Expr | str) -> exp.Anonymous:
    """A call of a function of DuckDB; strings become string literals."""
    values = [exp.Literal.string(item) if isinstance(item, str) else item for item in arguments]
    return exp.Anonymous(this=name, expressions=values)
