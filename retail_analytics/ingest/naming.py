"""Names raw objects as Firehose does.

Here belong prefix expressions and object names, as pure functions. Not here: what is in an object
(``history.py``).
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from retail_analytics.feeds import Feed

_EXPRESSION = re.compile(r"!\{([^}]*)\}")
_PATTERN_LETTERS = re.compile(r"([A-Za-z])\1*|'[^']*'")
# The letters of Java's DateTimeFormatter that prefixes are made of.
_JAVA = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
# Of this product's landed objects: the same content always gets the same UUID.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "retail_analytics/ingest/history")


def evaluate_prefix(prefix: str, when: datetime) -> str:
    """Firehose's prefix with its ``!{timestamp:…}`` expressions evaluated, in UTC.

    Raises:
        ValueError: An expression is none that landing past hours can evaluate.
    """
    moment = when.astimezone(UTC)

    def letters(match: re.Match[str]) -> str:
        text = match[0]
        if text.startswith("'"):
            return text[1:-1]
        if text not in _JAVA:
            raise ValueError(f"The prefix {prefix!r} has the pattern {text!r}, which loading has not.")
        return f"{moment.year:04d}" if text == "yyyy" else moment.strftime(_JAVA[text])

    def expression(match: re.Match[str]) -> str:
        namespace, _, pattern = match[1].partition(":")
        if namespace != "timestamp":
            raise ValueError(f"The prefix {prefix!r} has the expression {match[0]}, which loading has not.")
        return _PATTERN_LETTERS.sub(letters, pattern)

    return _EXPRESSION.sub(expression, prefix)


def object_key(feed: Feed, hour: datetime, oldest: datetime, content: bytes) -> str:
    """The key of a raw object: ``PREFIX/NAME-1-YYYY-MM-DD-HH-MM-SS-UUID``.

    The UUID comes from the feed and the content, so that the same records land under the same key.

    Args:
        feed: Whose object it is.
        hour: The hour that it belongs to, aware.
        oldest: The time of its oldest record, aware.
        content: Its bytes.
    """
    identity = uuid.uuid5(_NAMESPACE, f"{feed.name}/{sha256(content).hexdigest()}")
    moment = oldest.astimezone(UTC)
    stamp = f"{moment.year:04d}-{moment:%m-%d-%H-%M-%S}"
    return f"{evaluate_prefix(feed.prefix, hour)}{feed.stream}-1-{stamp}-{identity}"
