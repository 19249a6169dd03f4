"""Keys that nobody expects in a raw hour: what is heard of, compacted, rejected by name, or left alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from retail_analytics.batch.why import explain
from retail_analytics.lake import hours, notifications, objects
from retail_analytics.lake.notifications import queue_url
from retail_analytics.resources.clients import sqs_client
from retail_analytics_tests.integration.lakes import HOUR, Lake, later, line

UGLY = [
    "a b.json",
    "a+b.json",
    "a%20b.json",
    "a%2Bb.json",
    "caf\u00e9 \u2615.json",
    "x'y\"z;--.json",
    "p=1&q=2#3?.json",
    "x\ty.json",
]


def hinted(lake: Lake) -> set[datetime]:
    """What the feed's queue says, acknowledged."""
    sqs = sqs_client(lake.settings.region)
    url = queue_url(sqs, lake.settings.arrivals_queue(lake.feed.name))
    hints = notifications.receive(sqs, url, lake.feed, lake.settings)
    assert hints.unreadable == ()
    notifications.acknowledge(sqs, url, hints)
    return set(hints.hours)


@pytest.mark.parametrize("name", UGLY)
def test_an_object_of_any_name_is_heard_of_and_accounted_for(lake: Lake, name: str) -> None:
    hinted(lake)
    bad = "no JSON"
    key = lake.put(HOUR, [line(1), bad], name)
    assert hinted(lake) == {HOUR}
    result = lake.compact_one()
    assert (result.state, result.counts.compacted, result.counts.rejected) == ("published", 1, 1), result
    (row,) = lake.select("rejects", "line, source_object", hours.hours_predicate((HOUR,)))
    assert row == {"line": bad, "source_object": f"s3://{lake.settings.bucket}/{key}"}
    assert lake.compact_one().state == "unchanged"
    lake.delete(key)
    assert hinted(lake) == {HOUR}
    assert lake.compact_one().state == "empty"


def test_what_is_no_raw_object_changes_no_hour(lake: Lake) -> None:
    lake.put(HOUR, [line(1)])
    before = objects.list_these(lake.s3, lake.settings.bucket, lake.feed, [HOUR])[HOUR].digest
    hinted(lake)
    root = lake.feed.raw_root
    for key in (
        f"{root}readme.txt",
        f"{root}year=2010/month=13/day=01/hour=08/x",
        f"{root}year=2010/month=12/day=01/hour=24/x",
        f"{root}year=2010/month=12/day=1/hour=8/x",
        f"{hours.prefix(lake.feed, HOUR)}_SUCCESS",
        f"{hours.prefix(lake.feed, HOUR)}.hidden",
        f"{hours.prefix(lake.feed, HOUR)}_temporary/0/part-0",
        f"{hours.prefix(lake.feed, HOUR)}folder/",
        hours.prefix(lake.feed, HOUR),
    ):
        lake.s3.put_object(Bucket=lake.settings.bucket, Key=key, Body=b"what is this?\n")
    assert hinted(lake) == set()
    listed = objects.list_hours(lake.s3, lake.settings.bucket, lake.feed, HOUR, later(2))
    assert listed[HOUR].digest == before
    assert not listed[later(1)].objects
    result = lake.compact_one()
    assert (result.state, result.counts.lines, result.counts.compacted) == ("published", 1, 1), result
    assert len(lake.compacted_ids()) == 1


def test_an_object_in_a_folder_of_an_hour_is_the_hours(lake: Lake) -> None:
    # Athena reads folders of a partition, so that the hour's state must know of them.
    lake.put(HOUR, [line(1)], "x.json")
    hinted(lake)
    key = lake.put(HOUR, [line(2)], "retry/x.json")
    assert hinted(lake) == {HOUR}
    result = lake.compact_one()
    assert (result.raw_objects, result.counts.lines, result.counts.compacted) == (2, 2, 2)
    lake.put(HOUR, [line(2), line(3)], "retry/x.json")
    explained = explain(lake.s3, lake.catalog, lake.feed, lake.settings, HOUR, datetime.now(UTC))
    assert explained.kind in {"waiting", "failed"}
    assert explained.difference is not None
    assert explained.difference.rewritten == ("retry/x.json",)
    assert lake.compact_one().counts.compacted == 3
    lake.delete(key)
    assert lake.compact_one().counts.compacted == 1
