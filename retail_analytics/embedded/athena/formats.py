"""Patterns of dates and of `format`, translated into DuckDB's.

Belongs here: MySQL's patterns (date_format, date_parse), Joda's (format_datetime, parse_datetime), Java's
format strings and JSON paths. A pattern that has no counterpart is refused by its letter.
"""

from __future__ import annotations

import re

from retail_analytics.embedded.athena.errors import not_supported

_MYSQL = {
    "Y": "%Y", "y": "%y", "m": "%m", "c": "%-m", "d": "%d", "e": "%-d", "H": "%H", "k": "%-H", "h": "%I",
    "I": "%I",
    "l": "%-I", "i": "%M", "s": "%S", "S": "%S", "p": "%p", "f": "%f", "M": "%B", "b": "%b", "W": "%A",
    "a": "%a",
    "j": "%j", "T": "%H:%M:%S", "r": "%I:%M:%S %p", "%": "%%", "v": "%V", "x": "%G",
}  # fmt: skip
_JODA = {
    "yyyy": "%Y", "YYYY": "%Y", "y": "%Y", "yy": "%y", "MM": "%m", "M": "%-m", "MMM": "%b", "MMMM": "%B",
    "dd": "%d",
    "d": "%-d", "HH": "%H", "H": "%-H", "hh": "%I", "h": "%-I", "mm": "%M", "m": "%-M", "ss": "%S",
    "s": "%-S",
    "SSS": "%g", "EEE": "%a", "EEEE": "%A", "E": "%a", "a": "%p", "DDD": "%j", "D": "%-j", "Z": "%z",
    "e": "%u",
    "xxxx": "%G", "ww": "%V",
}  # fmt: skip
_JODA_TOKEN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|(.)", re.DOTALL)
_FORMAT_TOKEN = re.compile(r"%(?:(\d+)\$)?([-0+ ,#(]*)(\d*)(?:\.(\d+))?([a-zA-Z%])")


def mysql_pattern(pattern: str, function: str) -> str:
    """A pattern of date_format or date_parse as DuckDB's strftime or strptime takes it."""

    def replaced(found: re.Match[str]) -> str:
        letter = found.group(1)
        if letter not in _MYSQL:
            raise not_supported(f"the pattern %{letter} of {function}")
        return _MYSQL[letter]

    return re.sub(r"%(.)", replaced, pattern, flags=re.DOTALL)


def joda_pattern(pattern: str, function: str) -> str:
    """A pattern of format_datetime or parse_datetime as DuckDB's strftime or strptime takes it."""
    out: list[str] = []
    for found in _JODA_TOKEN.finditer(pattern):
        text = found.group(0)
        if text.startswith("'"):
            out.append((found.group(1).replace("''", "'") or "'").replace("%", "%%"))
        elif text[0].isalpha():
            if text not in _JODA:
                raise not_supported(f"the pattern '{text}' of {function}")
            out.append(_JODA[text])
        else:
            out.append(text.replace("%", "%%"))
    return "".join(out)


def json_path(path: str) -> str:
    """A JSON path of json_extract as DuckDB takes it: `$["a b"]` becomes `$."a b"`."""
    if not path.startswith("$"):
        path = f"$.{path}"
    return re.sub(
        r"""\[\s*(?:"([^"]*)"|'([^']*)')\s*\]""", lambda m: f'."{m.group(1) or m.group(2) or ""}"', path
    )


def format_parts(text: str) -> tuple[str, list[str]]:
    """A Java format string as DuckDB's printf takes it, and each argument's conversion (`d`, `s`, `f2` …)."""
    kinds: list[str] = []

    def replaced(found: re.Match[str]) -> str:
        position, flags, width, digits, kind = found.groups()
        if kind == "%":
            return "%%"
        if kind == "n":
            return "\n"
        if position or "(" in flags or "#" in flags or kind not in "dsfeEgxXob":
            raise not_supported(f"the conversion {found.group(0)} of format")
        kinds.append(f"f{digits or 6}" if kind == "f" else kind)
        precision = f".{digits}" if digits else ""
        return f"%{flags}{width}{precision}{'s' if kind == 'b' else kind}"

    return _FORMAT_TOKEN.sub(replaced, text), kinds
