"""Whatever order things arrive and end in, Dagster knows each closed hour as it is, and is told once."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from retail_analytics.embedded.provision_arrivals import ArrivalsProvisioner
from retail_analytics.feeds import get_feed
from retail_analytics.lake import following, hours, notifications, objects, reconciliation
from retail_analytics.lake.following import Lake, Tick
from retail_analytics.lake.notifications import MissingQueueError, QueueState
from retail_analytics.lake.queue_check import judge
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from retail_analytics.lake.objects import RawHour

FEED = get_feed("retail_trans")
FIRST = datetime(2010, 12, 1, tzinfo=UTC)
HOURS = 8
SETTINGS = Settings(
    bucket="lake",
    first_hours={FEED.name: FIRST},
    grace_seconds=0,
    lookback_hours=3,
    reconcile_seconds=3600,
)


class EndedError(BaseException):
    """The daemon was killed."""


@cache
def client(name: str) -> Any:
    """A client for all worlds: making one takes longer than a test."""
    made = {"region_name": "us-east-1", "aws_access_key_id": "-", "aws_secret_access_key": "-"}
    return boto3.client(name, **made)  # type: ignore[call-overload]


@dataclass
class World:
    """A lake with its queue, and a daemon that ticks, keeps its cursor and may be killed at any step."""

    settings: Settings
    s3: Any = field(init=False)
    sqs: Any = field(init=False)
    known: dict[datetime, str] = field(default_factory=dict)
    reports: list[tuple[datetime, str]] = field(default_factory=list)
    cursor: str | None = None
    sweep_cursor: str | None = None
    steps_left: int | None = None
    listings: int = 0

    def __post_init__(self) -> None:
        self.s3, self.sqs = client("s3"), client("sqs")
        self.s3.create_bucket(Bucket=self.settings.bucket)
        ArrivalsProvisioner(self.settings, client).provide([FEED])

    def step(self, model: Any = None, **_: object) -> None:
        self.listings += model is not None and model.name == "ListObjectsV2"
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                raise EndedError

    def key(self, count: int, name: str) -> str:
        return hours.prefix(FEED, FIRST + timedelta(hours=count)) + name

    def put(self, count: int, name: str, body: str = "1") -> None:
        self.s3.put_object(Bucket=self.settings.bucket, Key=self.key(count, name), Body=body.encode())

    def delete(self, count: int, name: str) -> None:
        self.s3.delete_object(Bucket=self.settings.bucket, Key=self.key(count, name))

    @property
    def url(self) -> str:
        return notifications.queue_url(self.sqs, self.settings.arrivals_queue(FEED.name))

    def send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def lose_messages(self) -> None:
        while found := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def repeat_messages(self) -> None:
        """Every message that waits is there once more, the last first."""
        found = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        for message in reversed(found.get("Messages", [])):
            self.send(message["Body"])

    def digests(self, wanted: Sequence[datetime]) -> dict[datetime, str]:
        self.step()
        return {hour: self.known[hour] for hour in wanted if hour in self.known}

    def report(self, raw: RawHour) -> None:
        self.step()
        self.known[raw.hour] = raw.digest
        self.reports.append((raw.hour, raw.digest))

    def report_each(self, several: Sequence[RawHour]) -> None:
        for raw in several:
            self.report(raw)

    @property
    def lake(self) -> Lake:
        return Lake(self.s3, self.sqs, FEED, self.settings, self.digests, self.report_each)

    def tick(self, count: float) -> Tick:
        """A tick so many hours after the first hour began."""
        now = FIRST + timedelta(hours=count, minutes=1)
        tick = following.follow(self.lake, self.cursor, now)
        self.cursor = tick.cursor
        return tick

    def sweep(self, count: float) -> None:
        """Slices of the full sweep until it is through."""
        now = FIRST + timedelta(hours=count, minutes=1)
        while sweep := reconciliation.current_sweep(self.s3, FEED, self.settings, self.sweep_cursor, now):
            found = reconciliation.sweep_slice(self.s3, FEED, self.settings, sweep, now, self.digests, 3)
            for raw in found.changed:
                self.report(raw)
            self.sweep_cursor = found.sweep.dumps()

    def truth(self) -> dict[datetime, str]:
        listed = objects.list_hours(
            self.s3, self.settings.bucket, FEED, FIRST, FIRST + timedelta(hours=HOURS)
        )
        return {hour: raw.digest for hour, raw in listed.items()}

    def assert_true_and_told_once(self) -> None:
        assert self.known == self.truth()
        last: dict[datetime, str] = {}
        for hour, digest in self.reports:
            assert last.get(hour) != digest
            last[hour] = digest


@contextmanager
def world(**changes: Any) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        patch.setattr("moto.s3.notifications.quote_plus", lambda text: text)
        patch.setattr(notifications, "_LONG_POLL_SECONDS", 0)
        made = World(Settings(**{**vars(SETTINGS), **changes}))
        for each in (made.s3, made.sqs):
            each.meta.events.register("before-call", made.step)
        yield made
        for each in (made.s3, made.sqs):
            each.meta.events.unregister("before-call", made.step)


Happening = Callable[[World], object]
COUNTS = st.integers(0, HOURS - 1)
NAMES = st.sampled_from("ab")
TOLD: st.SearchStrategy[Happening] = st.one_of(
    st.builds(lambda *a: lambda world: world.put(*a), COUNTS, NAMES, st.sampled_from("12")),
    st.builds(lambda *a: lambda world: world.delete(*a), COUNTS, NAMES),
    st.builds(lambda: lambda world: world.repeat_messages()),
    # Ticks come in any order: a clock may be set back.
    st.builds(lambda count: lambda world: world.tick(count), st.floats(0, HOURS)),
)
LOST = st.builds(lambda: lambda world: world.lose_messages())


@settings(max_examples=30)
@given(st.lists(TOLD, max_size=14))
def test_every_order_of_events_and_ticks_ends_in_the_truth(happenings: list[Happening]) -> None:
    with world() as it:
        for happen in happenings:
            happen(it)
        it.tick(HOURS)
        it.assert_true_and_told_once()


@settings(max_examples=20)
@given(st.lists(st.one_of(TOLD, LOST), max_size=14))
def test_with_messages_lost_the_sweep_ends_in_the_truth(happenings: list[Happening]) -> None:
    with world() as it:
        for happen in happenings:
            happen(it)
        it.tick(HOURS)
        it.tick(HOURS + 1.5)  # the look-back has waited long enough
        it.known = {hour: it.known[hour] for hour in it.truth()}  # what closed meanwhile is not the matter
        it.reports = [report for report in it.reports if report[0] in it.known]
        it.sweep(HOURS + 1.5)
        it.assert_true_and_told_once()


def test_a_daemon_killed_at_any_step_loses_and_doubles_nothing() -> None:
    finished = killed = 0
    while not finished:
        with world() as it:
            it.tick(4)
            for count in range(4):
                it.put(count, "a")
            it.send("nonsense")
            it.steps_left = killed
            try:
                it.tick(5)
                finished = 1
            except EndedError:
                killed += 1
            it.steps_left = None
            # What was read and not deleted is hidden for a while: as if that had passed.
            hidden = it.sqs.get_queue_attributes(QueueUrl=it.url, AttributeNames=["All"])["Attributes"]
            assert int(hidden["VisibilityTimeout"]) == 120
            it.lose_messages()
            for count in range(4):
                it.send(json.dumps({"Records": [s3_record(it, count)]}))
            it.tick(6)
            it.tick(HOURS)
            it.assert_true_and_told_once()
    assert killed > 12


def s3_record(it: World, count: int) -> dict[str, object]:
    return {"s3": {"bucket": {"name": it.settings.bucket}, "object": {"key": it.key(count, "a")}}}


def test_a_late_object_far_behind_the_look_back_is_news_at_once() -> None:
    with world() as it:
        it.tick(HOURS)
        it.put(0, "late")
        tick = it.tick(HOURS)
        assert (tick.hinted.messages, tick.hinted.reported, tick.listed) == (1, 1, 0)
        it.assert_true_and_told_once()


def test_an_object_of_the_open_hour_is_news_when_that_closes() -> None:
    with world() as it:
        it.tick(HOURS - 1)
        it.put(HOURS - 1, "a")
        assert it.tick(HOURS - 0.5).reported == 0
        assert it.tick(HOURS).reported == 1
        it.assert_true_and_told_once()


def test_a_clock_that_was_set_back_hides_no_hour_that_was_seen() -> None:
    with world() as it:
        it.tick(1)
        it.put(0, "a")
        assert it.tick(0).reported == 1
        it.tick(HOURS)
        it.assert_true_and_told_once()


def test_messages_of_a_burst_about_one_hour_list_it_once() -> None:
    with world() as it:
        it.tick(HOURS)
        for number in range(60):
            it.put(0, f"object-{number}")
        before = it.listings
        tick = it.tick(HOURS)
        assert (tick.hinted.messages, tick.reported) == (60, 1)
        assert it.listings - before == 2  # the hour, and the window


def test_a_tick_whose_time_is_up_goes_on_at_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "TICK_SECONDS", -1.0)
    monkeypatch.setattr(following, "TOGETHER", 1)
    with world() as it:
        for count in range(HOURS):
            it.put(count, "a")
        first = it.tick(HOURS)
        # A history is the listing's, whatever the messages tell.
        assert (first.hinted.reported, first.listed, first.behind) == (0, 1, True)
        ticks = 1
        while it.tick(HOURS).behind:
            ticks += 1
        assert ticks == HOURS - 1
        it.assert_true_and_told_once()


def test_hints_whose_time_is_up_are_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    with world() as it:
        it.tick(HOURS)
        monkeypatch.setattr(following, "TICK_SECONDS", -1.0)
        monkeypatch.setattr(following, "TOGETHER", 1)
        for count in range(4):
            it.put(count, "a")
        first = it.tick(HOURS)
        # One of what the messages told; none of them is deleted, so that all of them come again.
        assert (first.hinted.reported, first.listed) == (1, 0)
        assert queue_state(it) == QueueState(waiting=0, in_flight=4, dead=0)


def test_foreign_messages_go_and_poison_ends_in_the_dead_letter_queue() -> None:
    with world() as it:
        for body in (json.dumps({"Event": "s3:TestEvent"}), json.dumps({"Records": []}), "poison"):
            it.send(body)
        tick = it.tick(HOURS)
        assert (tick.hinted.messages, tick.hinted.foreign, len(tick.hinted.unreadable)) == (3, 2, 1)
        assert "no event of S3's" in tick.hinted.unreadable[0]
        assert queue_state(it) == QueueState(waiting=0, in_flight=1, dead=0)

    with world() as it:
        # As if its time of being hidden had passed at once, time and again.
        it.sqs.set_queue_attributes(QueueUrl=it.url, Attributes={"VisibilityTimeout": "0"})
        it.send("poison")
        assert len(it.tick(HOURS).hinted.unreadable) == 5
        assert queue_state(it) == QueueState(waiting=0, in_flight=0, dead=1)
        verdict = judge(queue_state(it), FEED, it.settings)
        assert not verdict.passed
        assert verdict.description is not None
        assert "1 messages were given up: read local-retail_trans-arrivals-dead" in verdict.description


@pytest.mark.parametrize(("waiting", "passed"), [(0, True), (10_000, True), (10_001, False)])
def test_a_backlog_that_nobody_reads_is_a_warning(waiting: int, passed: bool) -> None:
    verdict = judge(QueueState(waiting, 0, 0), FEED, SETTINGS)
    assert verdict.passed is passed
    assert passed or verdict.severity is dg.AssetCheckSeverity.WARN


def queue_state(it: World) -> QueueState:
    return notifications.queue_state(it.sqs, FEED, it.settings)


def test_without_a_queue_the_tick_says_what_to_do() -> None:
    with world() as it:
        it.sqs.delete_queue(QueueUrl=it.url)
        with pytest.raises(MissingQueueError, match="RETAIL_NOTIFICATIONS=off"):
            it.tick(1)


def test_switched_off_listings_alone_find_what_changed() -> None:
    with world(notifications=False) as it:
        it.put(HOURS - 1, "a")
        it.tick(HOURS)
        it.put(HOURS - 1, "b")
        assert (it.tick(HOURS).hinted.messages, it.known) == (0, it.truth())
