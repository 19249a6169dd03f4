"""An hour is its objects: what changes the digest, what does not, and what a listing costs and finds."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from retail_analytics.feeds import get_feed
from retail_analytics.lake import hours, objects
from retail_analytics.lake.objects import EMPTY, RawHour, RawObject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

FEED = get_feed("retail_trans")
HOUR = datetime(2010, 12, 1, 8, tzinfo=UTC)
BUCKET = "lake"

raw_objects = st.builds(
    RawObject,
    key=st.text(alphabet="ab/=-0", min_size=1, max_size=8),
    etag=st.text(alphabet="0123456789abcdef", min_size=1, max_size=8),
    size=st.integers(0, 10**12),
    modified=st.just(HOUR),
)
object_sets = st.lists(raw_objects, unique_by=lambda item: item.key, max_size=6)


def digest(items: list[RawObject]) -> str:
    return RawHour(HOUR, tuple(items)).digest


@given(object_sets, st.randoms(use_true_random=False))
def test_the_digest_knows_no_order(items: list[RawObject], random: Any) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)
    assert digest(shuffled) == digest(items)


@given(object_sets.filter(len), st.data())
def test_any_change_of_the_set_changes_the_digest(items: list[RawObject], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(items) - 1))
    item = items[index]
    changed = [
        dataclasses.replace(item, etag=item.etag + "0"),
        dataclasses.replace(item, size=item.size + 1),
        dataclasses.replace(item, key=item.key + "z"),
    ]
    others = [[*items[:index], other, *items[index + 1 :]] for other in changed]
    others.append(items[:index] + items[index + 1 :])
    others.append([*items, RawObject("new", "0", 0, HOUR)])
    assert digest(items) not in [digest(other) for other in others]
    assert len({digest(other) for other in others}) == len(others)


@given(object_sets)
def test_when_objects_were_written_is_not_in_the_digest(items: list[RawObject]) -> None:
    # A copy with the same content is the same hour.
    later = [dataclasses.replace(item, modified=HOUR + timedelta(days=9)) for item in items]
    assert digest(later) == digest(items)


def test_an_hour_without_an_object_is_empty() -> None:
    raw = RawHour(HOUR)
    assert (raw.digest, raw.size, raw.first_arrival, raw.last_arrival) == (EMPTY, 0, None, None)


def test_an_hour_with_an_object_of_no_bytes_is_not_empty() -> None:
    assert digest([RawObject("key", "etag", 0, HOUR)]) != EMPTY


def test_arrivals_are_the_oldest_and_the_newest_object() -> None:
    early, late = HOUR, HOUR + timedelta(hours=3)
    raw = RawHour(HOUR, (RawObject("a", "1", 3, late), RawObject("b", "2", 4, early)))
    assert (raw.first_arrival, raw.last_arrival, raw.size) == (early, late, 7)


def test_changed_hours_are_those_that_differ_from_what_is_known() -> None:
    listed = {
        HOUR + count * hours.HOUR: RawHour(HOUR + count * hours.HOUR, (RawObject("a", str(count), 1, HOUR),))
        for count in range(3)
    }
    empty = HOUR + 3 * hours.HOUR
    listed[empty] = RawHour(empty)
    known = {hour: raw.digest for hour, raw in listed.items()}
    assert objects.changed(listed, known) == []
    known[HOUR] = "other"
    del known[empty]
    assert [raw.hour for raw in objects.changed(listed, known)] == [HOUR, empty]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


def put(s3: S3Client, hour: datetime, name: str, body: bytes = b"x\n") -> None:
    s3.put_object(Bucket=BUCKET, Key=hours.prefix(FEED, hour) + name, Body=body)


def count_lists(s3: S3Client, page: int = 1000) -> list[dict[str, Any]]:
    """What is asked of the server from now on, which answers in pages of this size."""
    asked: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: object) -> dict[str, Any]:
        asked.append(dict(params))
        return {**params, "MaxKeys": page}

    s3.meta.events.register("provide-client-params.s3.ListObjectsV2", note)
    return asked


def test_a_window_holds_its_hours_objects_and_no_others(s3: S3Client) -> None:
    for offset in range(-2, 6):
        put(s3, HOUR + offset * hours.HOUR, "b")
        put(s3, HOUR + offset * hours.HOUR, "a", b"twice\n")
    found = objects.list_hours(s3, BUCKET, FEED, HOUR, HOUR + 4 * hours.HOUR)
    assert list(found) == [HOUR + count * hours.HOUR for count in range(4)]
    for hour, raw in found.items():
        assert [item.key for item in raw.objects] == [hours.prefix(FEED, hour) + name for name in "ab"]
        assert [item.size for item in raw.objects] == [6, 2]


def test_hours_without_an_object_are_there_and_empty(s3: S3Client) -> None:
    put(s3, HOUR + hours.HOUR, "a")
    found = objects.list_hours(s3, BUCKET, FEED, HOUR, HOUR + 3 * hours.HOUR)
    assert [raw.digest == EMPTY for raw in found.values()] == [True, False, True]


def test_what_is_no_raw_object_is_not_listed(s3: S3Client) -> None:
    put(s3, HOUR, "a")
    for name in ("_SUCCESS", ".hidden", "deeper/_a", "_deeper/a", "deeper/"):
        put(s3, HOUR, name)
    s3.put_object(Bucket=BUCKET, Key=hours.prefix(FEED, HOUR))  # a console's "folder"
    raw = objects.list_hours(s3, BUCKET, FEED, HOUR, HOUR + hours.HOUR)[HOUR]
    assert [item.key.rsplit("/", 1)[-1] for item in raw.objects] == ["a"]


def test_a_listing_begins_at_its_window_and_ends_behind_it(s3: S3Client) -> None:
    for offset in range(48):
        put(s3, HOUR + offset * hours.HOUR, "a")
    asked = count_lists(s3)
    objects.list_hours(s3, BUCKET, FEED, HOUR + 40 * hours.HOUR, HOUR + 41 * hours.HOUR)
    assert [params["StartAfter"] for params in asked] == [hours.prefix(FEED, HOUR + 40 * hours.HOUR)]


def test_a_listing_stops_at_the_first_page_behind_its_window(s3: S3Client) -> None:
    for number in range(25):
        put(s3, HOUR + 2 * hours.HOUR, f"{number:02}")
    put(s3, HOUR, "a")
    asked = count_lists(s3, page=10)
    found = objects.list_hours(s3, BUCKET, FEED, HOUR, HOUR + hours.HOUR)
    assert len(found[HOUR].objects) == 1
    assert len(asked) == 1


def test_a_window_of_more_than_a_page_is_complete(s3: S3Client) -> None:
    for number in range(25):
        put(s3, HOUR, f"{number:02}")
    asked = count_lists(s3, page=10)
    assert len(objects.list_hours(s3, BUCKET, FEED, HOUR, HOUR + hours.HOUR)[HOUR].objects) == 25
    assert len(asked) == 3


def test_scattered_hours_cost_one_listing_a_stretch(s3: S3Client) -> None:
    wanted = [HOUR + offset * hours.HOUR for offset in (0, 1, 2, 10, 20, 21)]
    for offset in range(24):
        put(s3, HOUR + offset * hours.HOUR, "a")
    asked = count_lists(s3)
    found = objects.list_these(s3, BUCKET, FEED, wanted)
    assert sorted(found) == wanted
    assert all(len(raw.objects) == 1 for raw in found.values())
    assert len(asked) == 3


def test_an_object_that_is_put_again_the_same_leaves_the_digest(s3: S3Client) -> None:
    def now() -> str:
        return objects.list_hours(s3, BUCKET, FEED, HOUR, HOUR + hours.HOUR)[HOUR].digest

    put(s3, HOUR, "a", b"one\n")
    before = now()
    put(s3, HOUR, "a", b"one\n")
    assert now() == before
    put(s3, HOUR, "a", b"two\n")  # as many bytes
    assert now() != before
