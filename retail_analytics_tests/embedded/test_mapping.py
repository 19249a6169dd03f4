"""The event source mapping's decisions, with a function that the test holds."""

from __future__ import annotations

import threading
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest

from retail_analytics.embedded import consumer, failures
from retail_analytics.embedded.batches import first_failure
from retail_analytics.embedded.consumer import EventSourceMapping
from retail_analytics.embedded.functions import FunctionSpec
from retail_analytics.embedded.shards import StreamRecord
from retail_analytics.embedded.streams import OrderedStream, StreamBackend
from retail_analytics.embedded.worker import FunctionError
from retail_analytics_tests.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Function:
    """Records its calls; answers as it is told."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.answer: Callable[[list[str]], Any] = lambda _: None
        self.given_up: list[tuple[str, list[str]]] = []
        self.changed = threading.Condition()

    def invoke(self, event: dict[str, Any]) -> Any:
        bodies = [b64decode(record["kinesis"]["data"]).decode() for record in event["Records"]]
        with self.changed:
            self.calls.append(bodies)
            self.changed.notify_all()
        return self.answer(bodies)

    def stop(self) -> None:
        """There is no process."""

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout=PATIENCE_SECONDS), (self.calls, self.given_up)


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Function:
    made = Function()

    def send(spec: object, stream: object, shard: str, batch: failures.GivenUp, payload: object) -> None:
        with made.changed:
            made.given_up.append((batch.condition, [record.data.decode() for record in batch.records]))
            made.changed.notify_all()

    monkeypatch.setattr(consumer, "Worker", lambda *_: made)
    monkeypatch.setattr(failures, "send", send)
    monkeypatch.setattr(consumer, "FIRST_BACKOFF_SECONDS", 0.001)
    return made


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> OrderedStream:
    made = StreamBackend("us-east-1", "123456789012").create_stream("s", 1)
    assert isinstance(made, OrderedStream)
    monkeypatch.setattr(consumer, "find_stream", lambda *_: made)
    return made


@pytest.fixture
def run(function: Function, tmp_path: Path) -> Iterator[Callable[..., EventSourceMapping]]:
    running: list[EventSourceMapping] = []

    def start(**options: Any) -> EventSourceMapping:
        spec = FunctionSpec(name="f", handler="m.f", stream="s", **options)
        running.append(EventSourceMapping(spec, "us-east-1", {}, tmp_path))
        running[-1].start()
        return running[-1]

    yield start
    for mapping in running:
        mapping.stop()


def put(stream: OrderedStream, *bodies: str) -> None:
    stream.append([(body, None, body.encode()) for body in bodies])


def test_a_window_gathers_what_comes_late(stream: OrderedStream, function: Function, run: Any) -> None:
    run(batch_window_seconds=300.0, batch_size=3)
    put(stream, "a")
    put(stream, "b")
    put(stream, "c", "d")
    function.wait(lambda: bool(function.calls))
    assert function.calls == [["a", "b", "c"]]


def test_a_window_that_ends_hands_over_what_there_is(
    stream: OrderedStream, function: Function, run: Any
) -> None:
    run(batch_window_seconds=0.05, batch_size=100)
    put(stream, "a", "b")
    function.wait(lambda: bool(function.calls))
    assert function.calls == [["a", "b"]]


def test_retries_are_counted_and_then_given_up_in_order(
    stream: OrderedStream, function: Function, run: Any
) -> None:
    def answer(bodies: list[str]) -> None:
        if "bad" in bodies:
            raise FunctionError("planted")

    function.answer = answer
    put(stream, "bad", "x")
    mapping = run(maximum_retry_attempts=2)
    function.wait(lambda: bool(function.given_up))
    put(stream, "good")
    function.wait(lambda: ["good"] in function.calls)
    assert function.calls == [["bad", "x"]] * 3 + [["good"]]
    assert function.given_up == [("RetryAttemptsExhausted", ["bad", "x"])]
    assert mapping.counters.records_given_up == 2
    assert mapping.counters.last_error == "planted"


def test_unlimited_retries_go_on_until_it_works(stream: OrderedStream, function: Function, run: Any) -> None:
    def answer(bodies: list[str]) -> None:
        if len(function.calls) < 5:
            raise FunctionError("planted")

    function.answer = answer
    put(stream, "a")
    run()
    function.wait(lambda: len(function.calls) == 5)
    assert function.given_up == []


def test_records_that_are_too_old_are_given_up_without_a_call(
    stream: OrderedStream, function: Function, run: Any
) -> None:
    put(stream, "old", "new")
    (shard,) = stream.shards.values()
    shard.records[0].created_at -= 100  # type: ignore[index]
    run(maximum_record_age_seconds=60)
    function.wait(lambda: bool(function.calls))
    assert function.calls == [["new"]]
    assert function.given_up == [("RecordAgeExceeded", ["old"])]


def test_progress_starts_the_count_anew(stream: OrderedStream, function: Function, run: Any) -> None:
    """Ten records, of which each fails once when it is at the head: nothing is given up with one retry."""
    seen: set[str] = set()

    def answer(bodies: list[str]) -> dict[str, Any] | None:
        for index, body in enumerate(bodies):
            if body not in seen:
                seen.add(body)
                numbers = {record.data.decode(): record.sequence_number for record in shard.records}
                return {"batchItemFailures": [{"itemIdentifier": str(numbers[bodies[index]])}]}
        return None

    function.answer = answer
    put(stream, *map(str, range(10)))
    (shard,) = stream.shards.values()
    mapping = run(maximum_retry_attempts=1)
    function.wait(lambda: len(seen) == 10 and function.calls[-1] == ["9"])
    assert function.given_up == []
    until(lambda: mapping.counters.records_done == 10)


def test_a_fault_of_ours_does_not_stall_the_shard(
    stream: OrderedStream, function: Function, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(bodies: list[str]) -> None:
        if len(function.calls) == 1:
            raise ValueError("planted: no FunctionError")

    function.answer = answer
    monkeypatch.setattr(consumer, "IDLE_SECONDS", 0.01)
    put(stream, "a")
    run()
    function.wait(lambda: len(function.calls) == 2)


RECORDS = [StreamRecord("k", b"", number, 0.0, None) for number in (10, 20, 30)]


@pytest.mark.parametrize(
    ("answer", "index"),
    [
        (None, None),
        ("anything", None),
        ({}, None),
        ({"batchItemFailures": []}, None),
        ({"batchItemFailures": [{"itemIdentifier": "30"}, {"itemIdentifier": "20"}]}, 1),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, 0),
        ({"batchItemFailures": [{"itemIdentifier": "99"}]}, 0),
        ({"batchItemFailures": [{}]}, 0),
    ],
)
def test_partial_answers(answer: object, index: int | None) -> None:
    assert first_failure(answer, RECORDS) == index
