"""What a tick looks at: bounded slices forward, then the look-back window for ever, and nothing twice."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from retail_analytics.feeds import get_feed
from retail_analytics.lake import arrivals, hours
from retail_analytics.lake.arrivals import DeploymentMismatchError, News, Position
from retail_analytics.lake.objects import EMPTY
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_s3 import S3Client

FEED = get_feed("retail_trans")
FIRST = datetime(2010, 12, 1, 8, tzinfo=UTC)
BUCKET = "lake"


def after(count: int, **more: int) -> datetime:
    return FIRST + timedelta(hours=count, **more)


@dataclass
class Ticks:
    """A sensor's side: it keeps the cursor and what it was told."""

    s3: S3Client
    first: datetime = FIRST
    lookback: int = 3
    cursor: str | None = None
    known: dict[datetime, str] = field(default_factory=dict)
    asked: list[list[datetime]] = field(default_factory=list)

    def tick(self, now: datetime, slice_hours: int = 10, every: timedelta = timedelta(0)) -> News:
        settings = Settings(
            bucket=BUCKET, first_hours={FEED.name: self.first}, grace_seconds=0, lookback_hours=self.lookback
        )
        # Firehose's buffer is a minute: an hour closes one minute after its end.
        position = arrivals.take_up(self.s3, FEED, settings, self.cursor)
        news = arrivals.look(self.s3, FEED, settings, position, now, self.digests, slice_hours, 50, every)
        self.cursor = news.position.dumps()
        self.known |= {raw.hour: raw.digest for raw in news.changed}
        return news

    def digests(self, wanted: Sequence[datetime]) -> dict[datetime, str]:
        self.asked.append(list(wanted))
        return {hour: self.known[hour] for hour in wanted if hour in self.known}

    def put(self, hour: datetime, name: str = "a") -> None:
        self.s3.put_object(Bucket=BUCKET, Key=hours.prefix(FEED, hour) + name, Body=name.encode())


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticks]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield Ticks(client)


def changed(news: News) -> list[datetime]:
    return [raw.hour for raw in news.changed]


def test_history_is_reported_in_slices_until_it_has_caught_up(ticks: Ticks) -> None:
    now = after(25, minutes=1)
    for count in range(0, 25, 2):
        ticks.put(after(count))
    seen: list[datetime] = []
    looks = []
    while True:
        news = ticks.tick(now)
        seen += changed(news)
        looks.append((news.start, news.end))
        if not news.behind:
            break
    assert looks == [(FIRST, after(10)), (after(10), after(20)), (after(20), after(25))]
    assert seen == [after(count) for count in range(25)]
    assert {hour: digest == EMPTY for hour, digest in ticks.known.items()} == {
        after(count): bool(count % 2) for count in range(25)
    }


def test_history_of_many_objects_is_reported_in_slices_of_keys(ticks: Ticks) -> None:
    for count in range(6):
        for name in range(20):
            ticks.put(after(count), f"{name}")
    news = ticks.tick(after(8, minutes=1))
    assert (changed(news), news.behind) == ([after(count) for count in range(3)], True)
    news = ticks.tick(after(8, minutes=1))
    assert (changed(news), news.behind) == ([after(count) for count in range(3, 8)], False)
    # A look-back goes to its end, however much there is.
    ticks.lookback = 8
    ticks.put(after(5), "late")
    assert changed(ticks.tick(after(8, minutes=1))) == [after(5)]


def test_an_hour_is_reported_when_it_has_closed_also_without_an_object(ticks: Ticks) -> None:
    assert changed(ticks.tick(after(1))) == []  # the buffer may still hold some of it
    assert changed(ticks.tick(after(1, minutes=1))) == [FIRST]
    assert changed(ticks.tick(after(2))) == []
    news = ticks.tick(after(2, minutes=1))
    assert [(raw.hour, raw.digest) for raw in news.changed] == [(after(1), EMPTY)]


def test_nothing_is_reported_twice(ticks: Ticks) -> None:
    ticks.put(FIRST)
    assert changed(ticks.tick(after(1, minutes=1))) == [FIRST]
    assert changed(ticks.tick(after(1, minutes=2))) == []
    ticks.put(FIRST)  # the same object once more
    assert changed(ticks.tick(after(1, minutes=3))) == []


def test_a_late_object_inside_the_look_back_is_news(ticks: Ticks) -> None:
    now = after(5, minutes=1)
    ticks.tick(now)
    for late in (after(1), after(2)):
        ticks.put(late)
    news = ticks.tick(now)
    assert changed(news) == [after(2)]
    assert (news.start, news.end) == (after(2), after(5))


def test_a_deleted_object_inside_the_look_back_is_news(ticks: Ticks) -> None:
    ticks.put(FIRST)
    ticks.tick(after(1, minutes=1))
    ticks.s3.delete_object(Bucket=BUCKET, Key=hours.prefix(FEED, FIRST) + "a")
    news = ticks.tick(after(1, minutes=2))
    assert [(raw.hour, raw.digest) for raw in news.changed] == [(FIRST, EMPTY)]


def test_a_tick_asks_about_its_window_alone_whatever_the_history(ticks: Ticks) -> None:
    while ticks.tick(after(100, minutes=1)).behind:
        pass
    ticks.asked.clear()
    ticks.tick(after(101, minutes=1))
    assert ticks.asked == [[after(98), after(99), after(100)]]


def test_the_cursor_does_not_grow(ticks: Ticks) -> None:
    ticks.tick(after(1, minutes=1))
    small = len(ticks.cursor or "")
    for count in range(60):
        ticks.put(after(count))
    while ticks.tick(after(60, minutes=1)).behind:
        pass
    assert len(ticks.cursor or "") == small


def test_a_sensor_that_stood_still_goes_on_where_it_was(ticks: Ticks) -> None:
    ticks.tick(after(2, minutes=1))
    ticks.put(after(4))
    news = ticks.tick(after(50, minutes=1))
    assert (news.start, news.end, news.behind) == (after(2), after(12), True)
    assert after(4) in changed(news)


def test_a_look_back_longer_than_the_slice_still_moves_forward(ticks: Ticks) -> None:
    ticks.lookback = 24
    starts = []
    for _ in range(20):
        news = ticks.tick(after(100, minutes=1), slice_hours=5)
        starts.append(news.start)
        if not news.behind:
            break
    assert not news.behind
    assert set(ticks.known) == {after(count) for count in range(100)}


def test_where_events_tell_of_objects_the_look_back_waits_and_hours_that_close_do_not(ticks: Ticks) -> None:
    every = timedelta(minutes=5)
    ticks.tick(after(5, minutes=1), every=every)
    ticks.put(after(4))
    assert changed(ticks.tick(after(5, minutes=2), every=every)) == []
    assert changed(ticks.tick(after(5, minutes=6), every=every)) == [after(4)]
    ticks.put(after(3))
    closing = ticks.tick(after(6, minutes=1), every=timedelta(hours=2))
    assert (closing.start, changed(closing)) == (after(5), [after(5)])


def test_a_clock_that_was_set_back_does_not_put_the_look_back_off(ticks: Ticks) -> None:
    ticks.tick(after(9, minutes=1), every=timedelta(hours=1))
    ticks.put(after(3))
    assert changed(ticks.tick(after(4, minutes=1), every=timedelta(hours=1))) == [after(3)]


def test_an_earlier_first_hour_starts_over(ticks: Ticks) -> None:
    ticks.tick(after(4, minutes=1))
    ticks.first = after(-5)
    news = ticks.tick(after(4, minutes=1))
    assert changed(news) == [after(count) for count in range(-5, 0)]
    assert news.start == after(-5)


def test_a_later_first_hour_leaves_out_what_was_before(ticks: Ticks) -> None:
    ticks.tick(after(4, minutes=1))
    ticks.first = after(3)
    ticks.put(after(2))
    ticks.put(after(3))
    assert changed(ticks.tick(after(4, minutes=1))) == [after(3)]


def test_a_first_hour_in_the_future_is_no_error(ticks: Ticks) -> None:
    ticks.first = after(10)
    news = ticks.tick(after(2))
    assert (changed(news), news.behind) == ([], False)


def test_state_about_another_lake_is_refused(ticks: Ticks) -> None:
    ticks.tick(after(1, minutes=1))
    ticks.s3.put_object(Bucket=BUCKET, Key="_deployment/id", Body=b"another\n")
    with pytest.raises(DeploymentMismatchError, match="is about lake lake, but another answers") as caught:
        ticks.tick(after(2, minutes=1))
    assert "DAGSTER_HOME" in str(caught.value)


def test_a_lake_is_known_by_its_identity_or_else_by_its_bucket(ticks: Ticks) -> None:
    assert arrivals.lake_identity(ticks.s3, BUCKET) == BUCKET
    ticks.s3.put_object(Bucket=BUCKET, Key="_deployment/id", Body=b"one\n")
    assert arrivals.lake_identity(ticks.s3, BUCKET) == "one"
    with pytest.raises(ticks.s3.exceptions.NoSuchBucket):
        arrivals.lake_identity(ticks.s3, "elsewhere")


def test_a_position_survives_the_cursor() -> None:
    position = Position("lake", FIRST, after(7))
    assert Position.loads(position.dumps()) == position
    assert set(json.loads(position.dumps())) == {"lake", "first", "reported_until", "reconciled"}
    looked = Position("lake", FIRST, after(7), reconciled=after(8, minutes=3))
    assert Position.loads(looked.dumps()) == looked
