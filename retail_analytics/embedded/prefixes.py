"""Firehose's S3 prefixes: expressions, AWS's rules about them, and object names.

Pure functions of a prefix and a time. Not here: buffering and delivery (``delivery.py``).
"""

from __future__ import annotations

import re
import secrets
import string
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

MAX_PREFIX_CHARACTERS = 1024
_EXPRESSION = re.compile(r"!\{([^{}]*)\}")
_PATTERN_PART = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|[^A-Za-z']+")
_DEFAULT_TIME = "yyyy/MM/dd/HH/"
_NAME_TIME = "yyyy-MM-dd-HH-mm-ss"
_RANDOM_CHARACTERS = string.ascii_letters + string.digits

# Letters of Java's DateTimeFormatter that make sense in a prefix, by letter and count.
_FIELDS: dict[str, Callable[[datetime], str]] = {
    "yyyy": lambda t: f"{t.year:04d}",
    "uuuu": lambda t: f"{t.year:04d}",
    "yy": lambda t: f"{t.year % 100:02d}",
    "M": lambda t: str(t.month),
    "MM": lambda t: f"{t.month:02d}",
    "d": lambda t: str(t.day),
    "dd": lambda t: f"{t.day:02d}",
    "D": lambda t: str(t.timetuple().tm_yday),
    "DDD": lambda t: f"{t.timetuple().tm_yday:03d}",
    "H": lambda t: str(t.hour),
    "HH": lambda t: f"{t.hour:02d}",
    "m": lambda t: str(t.minute),
    "mm": lambda t: f"{t.minute:02d}",
    "s": lambda t: str(t.second),
    "ss": lambda t: f"{t.second:02d}",
    "SSS": lambda t: f"{t.microsecond // 1000:03d}",
}


class PrefixError(ValueError):
    """A prefix that Firehose, or this implementation of it, refuses; the message says why."""


def format_time(pattern: str, moment: datetime) -> str:
    """Write a time with a pattern of Java's ``DateTimeFormatter``.

    Raises:
        PrefixError: The pattern holds a letter that is not covered.
    """
    written = []
    position = 0
    for part in _PATTERN_PART.finditer(pattern):
        if part.start() != position:
            break
        position = part.end()
        text = part.group()
        if part.group(1):
            if text not in _FIELDS:
                raise PrefixError(
                    f"the timestamp pattern {text!r} is not supported; use {', '.join(_FIELDS)}."
                )
            written.append(_FIELDS[text](moment))
        elif text.startswith("'"):
            written.append(text[1:-1].replace("''", "'") or "'")
        else:
            written.append(text)
    if position != len(pattern):
        raise PrefixError(f"the timestamp pattern {pattern!r} has an unbalanced quote.")
    return "".join(written)


def evaluate(prefix: str, moment: datetime, error_output_type: str | None = None) -> str:
    """Evaluate a prefix for an object whose oldest record arrived at ``moment``.

    Args:
        prefix: The prefix, with or without expressions; without, Firehose appends ``YYYY/MM/DD/HH/``.
        moment: An aware time, in the zone that the prefix is to be written in.
        error_output_type: What ``!{firehose:error-output-type}`` stands for, in an error prefix.

    Raises:
        PrefixError: An expression is not covered, or not allowed here.
    """
    if not _EXPRESSION.search(prefix):
        return prefix + format_time(_DEFAULT_TIME, moment)

    def value(match: re.Match[str]) -> str:
        return _value(match.group(1), moment, error_output_type)

    return _EXPRESSION.sub(value, prefix)


def _value(expression: str, moment: datetime, error_output_type: str | None) -> str:
    namespace, _, value = expression.partition(":")
    if namespace == "timestamp":
        return format_time(value, moment)
    if expression == "firehose:random-string":
        return "".join(secrets.choice(_RANDOM_CHARACTERS) for _ in range(11))
    if expression == "firehose:error-output-type":
        if error_output_type is None:
            raise PrefixError("Prefix must not contain !{firehose:error-output-type}.")
        return error_output_type
    if namespace in {"partitionKeyFromQuery", "partitionKeyFromLambda"}:
        raise PrefixError(f"!{{{expression}}} needs dynamic partitioning, which is not supported.")
    raise PrefixError(f"!{{{expression}}} is no valid expression.")


def validate(prefix: str, error_prefix: str, moment: datetime) -> None:
    """Hold a pair of prefixes against AWS's rules.

    Raises:
        PrefixError: A rule is broken; the message names it.
    """
    evaluated = evaluate(prefix, moment)
    if _EXPRESSION.search(prefix) and not error_prefix:
        raise PrefixError("ErrorOutputPrefix must be given when Prefix contains expressions.")
    if _EXPRESSION.search(error_prefix) and "!{firehose:error-output-type}" not in error_prefix:
        raise PrefixError("ErrorOutputPrefix with expressions must contain !{firehose:error-output-type}.")
    evaluated_error = evaluate(error_prefix, moment, "processing-failed")
    if max(len(evaluated), len(evaluated_error)) > MAX_PREFIX_CHARACTERS:
        raise PrefixError(f"an evaluated prefix is longer than {MAX_PREFIX_CHARACTERS} characters.")


def object_name(stream: str, version: str, moment: datetime, extension: str = "") -> str:
    """A delivered object's name below its prefix: ``NAME-VERSION-YYYY-MM-DD-HH-MM-SS-UUID``."""
    return f"{stream}-{version}-{format_time(_NAME_TIME, moment)}-{uuid.uuid4()}{extension}"
