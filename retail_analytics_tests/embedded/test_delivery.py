"""Buffering and delivery, with an S3 that the test holds."""

from __future__ import annotations

import gzip
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from retail_analytics.embedded.delivery import Delivery, Destination
from retail_analytics.embedded.delivery_sources import DirectSource, StreamSource
from retail_analytics.embedded.streams import OrderedStream, StreamBackend
from retail_analytics_tests.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DESTINATION = Destination("bucket", "p/!{timestamp:yyyy}/", "1", interval_seconds=0.0, size_bytes=1 << 20)


class Store:
    """Keeps what is written; refuses while told to."""

    def __init__(self) -> None:
        self.objects: list[tuple[str, bytes]] = []
        self.refuse = False
        self.written = threading.Condition()

    def write(self, bucket: str, key: str, body: bytes) -> None:
        with self.written:
            if self.refuse:
                raise ConnectionError("planted")
            self.objects.append((key, body))
            self.written.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.written:
            assert self.written.wait_for(condition, timeout=PATIENCE_SECONDS)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def run(store: Store) -> Iterator[Callable[..., Delivery]]:
    running: list[Delivery] = []

    def start(source: DirectSource | StreamSource, **options: object) -> Delivery:
        destination = replace(DESTINATION, **options)  # type: ignore[arg-type]
        delivery = Delivery("d", source, lambda: destination, store.write)
        running.append(delivery)
        delivery.start()
        return delivery

    yield start
    for delivery in running:
        delivery.stop()


def test_records_are_joined_with_nothing_between(store: Store, run: Callable[..., Delivery]) -> None:
    source = DirectSource()
    source.put([b"a\n", b"b", b"c\n"])
    run(source)
    store.wait(lambda: bool(store.objects))
    assert store.objects[0][1] == b"a\nbc\n"
    assert store.objects[0][0].startswith(f"p/{time.gmtime().tm_year}/d-1-")


def test_size_splits_objects_and_the_rest_waits_for_the_interval(
    store: Store, run: Callable[..., Delivery]
) -> None:
    source = DirectSource()
    source.put([b"x" * 100] * 25)
    delivery = run(source, size_bytes=1000, interval_seconds=900.0)
    store.wait(lambda: len(store.objects) == 2)
    assert [len(body) for _, body in store.objects] == [1000, 1000]
    delivery.stop()
    assert [len(body) for _, body in store.objects] == [1000, 1000, 500]


def test_delimiter_and_gzip(store: Store, run: Callable[..., Delivery]) -> None:
    source = DirectSource()
    source.put([b"a", b"b"])
    run(source, delimiter=b"\n", gzip=True, extension=".gz")
    store.wait(lambda: bool(store.objects))
    key, body = store.objects[0]
    assert gzip.decompress(body) == b"a\nb\n"
    assert key.endswith(".gz")


def test_what_cannot_be_written_is_kept_and_written_later(store: Store, run: Callable[..., Delivery]) -> None:
    store.refuse = True
    source = DirectSource()
    source.put([b"a"])
    delivery = run(source)
    until(lambda: delivery.counters.failures)
    assert "planted" in str(delivery.counters.last_error)
    source.put([b"b"])
    store.refuse = False
    store.wait(lambda: sum(len(body) for _, body in store.objects) == 2)
    assert b"".join(body for _, body in store.objects) == b"ab"


def make_stream() -> OrderedStream:
    stream = StreamBackend("us-east-1", "123456789012").create_stream("s", 1)
    assert isinstance(stream, OrderedStream)
    return stream


def put(stream: OrderedStream, *bodies: bytes) -> None:
    stream.append([(str(index), None, body) for index, body in enumerate(bodies)])


def test_a_stream_is_read_from_where_it_stood_and_through_resharding(
    store: Store, run: Callable[..., Delivery]
) -> None:
    stream = make_stream()
    put(stream, b"before")
    source = StreamSource(lambda: stream)
    put(stream, b"1", b"2")
    stream.update_shard_count(2)
    put(stream, *[b"3"] * 10)
    delivery = run(source, interval_seconds=0.0)
    store.wait(lambda: sum(len(body) for _, body in store.objects) == 12)
    delivery.stop()
    assert sorted(b"".join(body for _, body in store.objects)) == sorted(b"12" + b"3" * 10)


def test_the_prefix_is_that_of_the_oldest_record(store: Store, run: Callable[..., Delivery]) -> None:
    stream = make_stream()
    source = StreamSource(lambda: stream)
    put(stream, b"old", b"new")
    (shard,) = stream.shards.values()
    shard.records[0].created_at = 0.0
    run(source, prefix="!{timestamp:yyyy-MM-dd-HH}/")
    store.wait(lambda: bool(store.objects))
    assert store.objects[0][0].startswith("1970-01-01-00/d-1-1970-01-01-00-00-00-")


def test_a_stream_made_again_is_read_from_its_beginning(store: Store, run: Callable[..., Delivery]) -> None:
    streams = [make_stream()]
    source = StreamSource(lambda: streams[0])
    run(source)
    put(streams[0], b"one")
    store.wait(lambda: len(store.objects) == 1)
    old, streams[0] = streams[0], make_stream()
    put(streams[0], b"two")
    with old.changed:
        old.deleted = True
        old.changed.notify_all()
    store.wait(lambda: len(store.objects) == 2)
    assert store.objects[1][1] == b"two"
