"""Streams: order, concurrency, resharding and retention."""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.core.exceptions import JsonRESTError

from retail_analytics.embedded.streams import OrderedStream, StreamBackend

NAME = "s"


def make_backend(shards: int = 1) -> tuple[StreamBackend, OrderedStream]:
    backend = StreamBackend("us-east-1", "123456789012")
    stream = backend.create_stream(NAME, shards)
    assert isinstance(stream, OrderedStream)
    return backend, stream


def record(key: str, data: bytes = b"x") -> dict[str, str]:
    return {"PartitionKey": key, "Data": b64encode(data).decode()}


def read(backend: StreamBackend, shard: str, kind: str = "TRIM_HORIZON", limit: int = 1000) -> list[bytes]:
    iterator: str | None = backend.get_shard_iterator(None, NAME, shard, kind, 0, 0)
    found: list[bytes] = []
    while iterator is not None:
        iterator, records, behind = backend.get_records(None, iterator, limit)
        found += [item.data for item in records]
        if not records and not behind:
            break
    return found


def test_what_many_writers_put_is_all_there_in_one_order() -> None:
    backend, stream = make_backend()

    def put(writer: int) -> None:
        for number in range(40):
            backend.put_records("", NAME, [record("k", f"{writer}-{number}-{i}".encode()) for i in range(25)])

    writers = [threading.Thread(target=put, args=(writer,)) for writer in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    (shard,) = stream.shards.values()
    numbers = [item.sequence_number for item in shard.records]
    assert len(numbers) == 8 * 40 * 25
    assert numbers == sorted(set(numbers))
    assert Counter(read(backend, shard.shard_id, limit=777)).total() == 8000


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=50), st.integers(1, 5))
def test_a_key_always_goes_to_the_shard_whose_range_holds_it(keys: list[str], shards: int) -> None:
    backend, stream = make_backend(shards)
    answers = backend.put_records("", NAME, [record(key) for key in keys])["Records"]
    by_key: dict[str, set[str]] = {}
    for key, answer in zip(keys, answers, strict=True):
        by_key.setdefault(key, set()).add(answer["ShardId"])
    assert all(len(found) == 1 for found in by_key.values())
    assert sum(len(shard.records) for shard in stream.shards.values()) == len(keys)


def test_resharding_leaves_records_where_they_are() -> None:
    backend, stream = make_backend()
    backend.put_records("", NAME, [record(str(i), b"before") for i in range(20)])
    backend.update_shard_count("", NAME, 2)
    backend.put_records("", NAME, [record(str(i), b"after") for i in range(20)])
    parent, *children = stream.shards
    assert read(backend, parent) == [b"before"] * 20
    found = [data for child in children for data in read(backend, child)]
    assert found == [b"after"] * 20
    assert all(read(backend, child) for child in children)
    iterator = backend.get_shard_iterator(None, NAME, parent, "TRIM_HORIZON", 0, 0)
    assert backend.get_records(None, iterator, None)[0] is None
    backend.merge_shards("", NAME, *children)
    assert [shard.is_open for shard in stream.shards.values()] == [False, False, False, True]
    with pytest.raises(JsonRESTError):
        backend.merge_shards("", NAME, *children)


def test_iterators() -> None:
    backend, stream = make_backend()
    first = backend.put_records("", NAME, [record("k", b"1")])["Records"][0]
    middle = time.time()
    backend.put_records("", NAME, [record("k", b"2"), record("k", b"3")])
    shard = first["ShardId"]

    def data(kind: str, number: str = "0", moment: float = 0) -> list[bytes]:
        iterator = backend.get_shard_iterator(stream.arn, None, shard, kind, number, moment)
        return [item.data for item in backend.get_records(None, iterator, None)[1]]

    assert data("AT_SEQUENCE_NUMBER", first["SequenceNumber"]) == [b"1", b"2", b"3"]
    assert data("AFTER_SEQUENCE_NUMBER", first["SequenceNumber"]) == [b"2", b"3"]
    assert data("AT_TIMESTAMP", moment=middle) == [b"2", b"3"]
    assert data("LATEST") == []


def test_records_are_forgotten_after_the_retention() -> None:
    backend, stream = make_backend()
    backend.put_records("", NAME, [record("k", b"old")])
    (shard,) = stream.shards.values()
    shard.records[0].created_at -= 25 * 3600
    backend.put_records("", NAME, [record("k", b"new")])
    assert read(backend, shard.shard_id) == [b"new"]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([record("k")] * 501, "500"),
        ([record("k", b"x" * (1024 * 1024))], "1048576"),
        ([record("k", b"x" * 1_000_000)] * 11, "limit"),
    ],
)
def test_limits(records: list[dict[str, str]], message: str) -> None:
    backend, stream = make_backend()
    with pytest.raises(JsonRESTError, match=message):
        backend.put_records("", NAME, records)
    assert not any(shard.records for shard in stream.shards.values())
