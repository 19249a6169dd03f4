"""`PARTITION (year = 2010, month = '12') LOCATION 's3://…'`, as it stands in ALTER TABLE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retail_analytics.embedded.athena import grammar
from retail_analytics.embedded.athena.errors import QueryFailedError, mismatched_input

if TYPE_CHECKING:
    from sqlglot.tokenizer_core import Token

    from retail_analytics.embedded.athena.catalog import Table


def partition_specs(table: Table, found: list[Token]) -> list[tuple[tuple[str, ...], str | None]]:
    """The partitions named in `found`: their values in the order of the table's keys, and their locations."""
    specs: list[tuple[tuple[str, ...], str | None]] = []
    at = 0
    while at < len(found):
        if found[at].text.upper() != "PARTITION":
            at += 1
            continue
        pairs, at = _pairs(found, at + 1)
        location = None
        if at + 1 < len(found) and found[at].text.upper() == "LOCATION":
            location = found[at + 1].text
            at += 2
        specs.append((_values(table, pairs), location))
    return specs


def _pairs(found: list[Token], at: int) -> tuple[dict[str, str], int]:
    pairs: dict[str, str] = {}
    _expect(found, at, "(")
    while True:
        name = _at(found, at + 1).text.lower()
        _expect(found, at + 2, "=")
        pairs[name] = _at(found, at + 3).text
        at += 4
        if _at(found, at).text == ")":
            return pairs, at + 1
        _expect(found, at, ",")


def _at(found: list[Token], index: int) -> Token:
    if index >= len(found):
        raise mismatched_input("<EOF>", grammar.token_position(found[-1]))
    return found[index]


def _expect(found: list[Token], index: int, text: str) -> None:
    token = _at(found, index)
    if token.text != text:
        raise mismatched_input(token.text, grammar.token_position(token), f"'{text}'")


def _values(table: Table, pairs: dict[str, str]) -> tuple[str, ...]:
    names = [key.name for key in table.keys]
    if sorted(pairs) != sorted(names):
        raise QueryFailedError(
            None,
            f"FAILED: SemanticException Partition spec {pairs} does not name the partition columns {names} "
            f"of {table.full_name}",
        )
    return tuple(pairs[name] for name in names)
