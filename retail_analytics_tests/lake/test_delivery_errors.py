"""Error objects are told by their key, whatever form of error prefix the feed declares."""

from __future__ import annotations

import dataclasses
import io
from datetime import UTC, datetime
from typing import Any

import pytest

from retail_analytics.feeds import get_feed
from retail_analytics.lake import delivery_errors
from retail_analytics.settings import Settings

FEED = get_feed("retail_trans")
HOUR = "00-error/year=2010/month=12/day=01/hour=08/"
NAME = f"{FEED.stream}-1-2010-12-01-08-26-00-0a1b"


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (f"{HOUR}processing-failed{NAME}", "processing-failed"),
        (f"{HOUR}processing-failed/{NAME}", "processing-failed"),
        (f"{HOUR}format-conversion-failed{NAME}", "format-conversion-failed"),
        (f"{HOUR}{NAME}", "unknown"),
        (f"{HOUR}processing-failedanother-stream-1-2010-12-01-08-26-00-0a1b", None),
        (f"{HOUR}processing-failed{FEED.stream}-too-1-2010-12-01-08-26-00-0a1b", None),
        ("00-retail-trans/year=2010/month=12/day=01/hour=08/x", None),
    ],
)
def test_the_kind_stands_before_the_streams_name(key: str, kind: str | None) -> None:
    assert delivery_errors.error_kind(FEED, key) == kind


def test_a_kind_may_come_first_where_the_hour_follows_it_not() -> None:
    feed = dataclasses.replace(FEED, error_prefix="errors/!{firehose:error-output-type}/")
    assert delivery_errors.error_kind(feed, f"errors/processing-failed/{NAME}") == "processing-failed"


class Listing:
    """S3 that lists these keys, and notes what it was asked."""

    def __init__(self, keys: list[str]) -> None:
        self.keys, self.asked = sorted(keys), {}

    def get_paginator(self, name: str) -> Listing:
        assert name == "list_objects_v2"
        return self

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        self.asked = asked
        moment = datetime(2010, 12, 1, tzinfo=UTC)
        there = [key for key in self.keys if key.startswith(asked["Prefix"]) and key > asked["StartAfter"]]
        return [{"Contents": [{"Key": key, "LastModified": moment} for key in there]}]

    def get_object(self, **_: Any) -> dict[str, Any]:
        return {"Body": io.BytesIO(b"no JSON")}


def look(feed: Any, keys: list[str]) -> tuple[delivery_errors.DeliveryErrors, dict[str, Any]]:
    s3 = Listing(keys)
    now = datetime(2010, 12, 2, 9, 30, tzinfo=UTC)
    return delivery_errors.look(s3, feed, Settings(), now), s3.asked  # type: ignore[arg-type]


def test_a_look_begins_at_the_window_and_reads_no_history() -> None:
    old = HOUR.replace("day=01/hour=08", "day=01/hour=07") + f"processing-failed{NAME}"
    found, asked = look(FEED, [old, f"{HOUR}processing-failed{NAME}"])
    assert asked["StartAfter"] == HOUR
    assert (found.examined, len(found.found), found.complete) == (1, 1, True)
    assert found.kinds == {"processing-failed": 1}
    assert found.sample_error == ""


def test_a_look_reads_no_more_than_its_limit_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_errors, "MOST_KEYS", 2)
    found, _ = look(FEED, [f"{HOUR}processing-failed{NAME}{n}" for n in range(3)])
    assert (found.examined, len(found.found), found.complete) == (2, 2, False)


def test_a_prefix_whose_window_cannot_be_listed_is_refused() -> None:
    feed = dataclasses.replace(FEED, error_prefix="e/!{firehose:error-output-type}/!{timestamp:yyyy}/")
    with pytest.raises(ValueError, match="put the timestamps first"):
        look(feed, [])


def test_an_error_is_told_without_the_record() -> None:
    body = b'{"errorCode": "C", "errorMessage": "M", "rawData": "c2VjcmV0"}\n{"errorCode": "D"}'
    assert delivery_errors.error_of(body) == "C: M"
    assert delivery_errors.error_of(b"[1]") == ""
    assert delivery_errors.error_of(b'{"errorCode": "C') == ""
