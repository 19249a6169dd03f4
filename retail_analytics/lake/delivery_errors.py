"""What Firehose could not deliver: objects under the feed's error prefix, in the look-back window.

Firehose writes them instead of failing, so that nobody notices unless somebody looks. Their key tells the
kind, their first line the error; the records themselves are in them, encoded, and are never shown.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from retail_analytics.lake import hours as hours_

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mypy_boto3_s3 import S3Client

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

MOST_KEYS = 10_000
"""Keys that one look reads at the most."""

SAMPLES = 5

_EXPRESSION = re.compile(r"!\{(\w+):([\w.-]+)\}")
_JAVA_TO_STRFTIME = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H"}
_FIRST_BYTES = 64 * 1024
_CODE, _MESSAGE = "errorCode", "errorMessage"


@dataclass(frozen=True)
class ErrorObject:
    """An object that holds records which Firehose could not deliver."""

    key: str
    kind: str
    modified: datetime


@dataclass(frozen=True)
class DeliveryErrors:
    """What was found under the error prefix.

    Attributes:
        found: The feed's error objects, in key order.
        examined: Keys that were read.
        complete: Whether all keys of the window were.
        sample_error: The error that the newest object tells, or an empty string.
    """

    found: tuple[ErrorObject, ...]
    examined: int
    complete: bool
    sample_error: str = ""

    @property
    def newest(self) -> ErrorObject:
        """The object that was written last; there must be one."""
        return max(self.found, key=lambda each: each.modified)

    @property
    def kinds(self) -> dict[str, int]:
        """Objects by kind of error."""
        return {kind: sum(each.kind == kind for each in self.found) for kind in self._kinds()}

    def _kinds(self) -> list[str]:
        return sorted({each.kind for each in self.found})


def look(s3: S3Client, feed: Feed, settings: Settings, now: datetime) -> DeliveryErrors:
    """The error objects of the look-back window: one LIST a thousand keys, one GET if there is any.

    Raises:
        ValueError: The feed's error prefix is of a form that no window can be listed of.
    """
    start = hours_.closed_until(feed, settings, now) - timedelta(hours=settings.lookback_hours)
    found: list[ErrorObject] = []
    examined = 0
    for item in _list(s3, settings.bucket, feed, start):
        if examined == MOST_KEYS:
            return _with_sample(s3, settings, DeliveryErrors(tuple(found), examined, complete=False))
        examined += 1
        kind = error_kind(feed, item["Key"])
        if kind is not None:
            found.append(ErrorObject(item["Key"], kind, item["LastModified"]))
    return _with_sample(s3, settings, DeliveryErrors(tuple(found), examined, complete=True))


def _list(s3: S3Client, bucket: str, feed: Feed, start: datetime) -> Iterator[Any]:
    """Objects under the error prefix from the hour of ``start`` on: keys sort as hours do."""
    root = feed.error_prefix.split("!{", 1)[0]
    root = root[: root.rfind("/") + 1]
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=root, StartAfter=_hour_prefix(feed, start)
    )
    for page in pages:
        yield from page.get("Contents", ())


def _hour_prefix(feed: Feed, hour: datetime) -> str:
    """The error prefix of an hour, up to what no hour decides.

    Raises:
        ValueError: Something else than a time decides before the hour does.
    """
    prefix = ""
    rest = feed.error_prefix
    while match := _EXPRESSION.search(rest):
        if match[1] != "timestamp":
            break
        prefix += rest[: match.start()] + hour.strftime(_JAVA_TO_STRFTIME[match[2]])
        rest = rest[match.end() :]
    if "!{timestamp:" in rest:
        raise ValueError(
            f"feed {feed.name} puts {match[0] if match else ''} before the time in its error prefix, so that"
            " no window of it can be listed; put the timestamps first."
        )
    return prefix + rest[: match.start() if match else len(rest)]


def error_kind(feed: Feed, key: str) -> str | None:
    """The kind of error of an object (``processing-failed``), or None for one of another stream.

    Feeds may share an error prefix; what tells their objects apart is the stream's name in Firehose's.
    """
    match = _key_pattern(feed).match(key)
    return (match["kind"].strip("/") or "unknown") if match else None


def _key_pattern(feed: Feed) -> re.Pattern[str]:
    pattern = ""
    position = 0
    for match in _EXPRESSION.finditer(feed.error_prefix):
        pattern += re.escape(feed.error_prefix[position : match.start()])
        if match[2] == "error-output-type":
            pattern += r"(?P<kind>[\w/-]*?)"
        else:
            pattern += r"\d+" if match[1] == "timestamp" else r"[^/]+"
        position = match.end()
    pattern += re.escape(feed.error_prefix[position:])
    if "(?P<kind>" not in pattern:
        pattern += "(?P<kind>)"
    return re.compile(rf"{pattern}/?{re.escape(feed.stream)}-\d+-\d{{4}}-")


def _with_sample(s3: S3Client, settings: Settings, errors: DeliveryErrors) -> DeliveryErrors:
    if not errors.found:
        return errors
    body = s3.get_object(Bucket=settings.bucket, Key=errors.newest.key, Range=f"bytes=0-{_FIRST_BYTES - 1}")[
        "Body"
    ].read()
    return DeliveryErrors(errors.found, errors.examined, errors.complete, error_of(body))


def error_of(body: bytes) -> str:
    """What the first record of an error object says went wrong; nothing of the record's own data."""
    try:
        record = json.loads(body.split(b"\n", 1)[0])
        named = [str(record[name]) for name in (_CODE, _MESSAGE) if record.get(name)]
    except (ValueError, AttributeError):
        return ""
    return ": ".join(named)[:500]
