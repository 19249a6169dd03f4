"""Types of command-line options: hours and ports. Numbers are ``ingest/arguments.py``'s."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime

_FORMS = ("%Y-%m-%d-%H:%M", "%Y-%m-%dT%H")
_MOST = 65535


def parse_hour(text: str) -> datetime:
    """An hour as ``2010-12-01T08``, or as Dagster's partition key.

    Raises:
        ArgumentTypeError: It is neither.
    """
    for form in _FORMS:
        try:
            hour = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if not hour.minute:
            return hour
    raise ArgumentTypeError(f"{text} is no whole hour; write it as 2010-12-01T08 or 2010-12-01-08:00, UTC")


def port(text: str) -> int:
    """A port that a server may listen on.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not text.isdecimal() or not 0 < int(text) <= _MOST:
        raise ArgumentTypeError(f"{text} is no port from 1 to {_MOST}")
    return int(text)
