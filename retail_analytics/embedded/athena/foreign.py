"""Syntax that the parser takes, being made for many dialects, and Athena's grammar does not.

Belongs here: what the tokens alone tell. Does not belong here: what has no meaning though it has the form
(`strictness.py`), constructs of Athena that are not covered (`rewriting.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot.tokenizer_core import TokenType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot.tokenizer_core import Token

_NEVER = {TokenType.DCOLON, TokenType.L_BRACE}
_OPERATORS = {TokenType.ILIKE, TokenType.DIV}  # between two operands: elsewhere they are columns' names
_SETS = {TokenType.UNION, TokenType.EXCEPT, TokenType.INTERSECT}
_BEFORE_AN_OPERAND = {
    TokenType.COMMA, TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.SELECT, TokenType.EQ, TokenType.WHEN,
    TokenType.THEN, TokenType.ELSE,
}  # fmt: skip
_PAIRS = {(TokenType.SELECT, TokenType.FROM), (TokenType.DISTINCT, TokenType.ON)}
_OPERANDS = {
    TokenType.NUMBER, TokenType.STRING, TokenType.VAR, TokenType.IDENTIFIER, TokenType.L_PAREN,
    TokenType.PLACEHOLDER,
}  # fmt: skip


def foreign_token(found: Sequence[Token]) -> Token | None:
    """The first token at which Athena's grammar stops, or None where this module sees nothing foreign."""
    limited = [False]  # for each parenthesis that is open: whether its query had its LIMIT
    for before, token, after in zip((None, *found), found, (*found[1:], None), strict=False):
        kind = token.token_type
        if _is_foreign(before, token, after) or (limited[-1] and _is_clause(token, after, TokenType.OFFSET)):
            return token
        if kind == TokenType.L_PAREN:
            limited.append(False)
        elif kind == TokenType.R_PAREN and len(limited) > 1:
            limited.pop()
        elif kind in _SETS:
            limited[-1] = False
        elif _is_clause(token, after, TokenType.LIMIT):
            limited[-1] = True
    return None


def _is_foreign(before: Token | None, token: Token, after: Token | None) -> bool:
    kind = token.token_type
    if kind in _NEVER or (kind == TokenType.EQ and token.text == "=="):
        return True
    if before is None:
        return False
    if kind in _OPERATORS:
        return before.token_type not in {*_BEFORE_AN_OPERAND, TokenType.DOT} and _is_one_of(after, _OPERANDS)
    if kind == TokenType.L_BRACKET:  # DuckDB's list; ARRAY[…] and a subscript follow something else
        return before.token_type in _BEFORE_AN_OPERAND
    return (before.token_type, kind) in _PAIRS


def _is_clause(token: Token, after: Token | None, kind: TokenType) -> bool:
    """LIMIT or OFFSET with its number: both may be columns' names, too."""
    return token.token_type == kind and _is_one_of(after, {TokenType.NUMBER, TokenType.PLACEHOLDER})


def _is_one_of(token: Token | None, kinds: set[TokenType]) -> bool:
    return token is not None and token.token_type in kinds
