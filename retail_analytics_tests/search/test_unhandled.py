"""Batches that Lambda gave up: each record ends as a document or a dead letter, and then the object goes."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

import pytest

from retail_analytics.search.bulk import BulkWriter
from retail_analytics.search.commands import add_commands
from retail_analytics.search.history import IndexingError
from retail_analytics.search.unhandled import replay_unhandled, unhandled_keys
from retail_analytics_tests.search.conftest import BUCKET
from retail_analytics_tests.search.records import (
    Clock,
    FakeClient,
    event,
    item_error,
    line,
    sequence_number,
)

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from retail_analytics.feeds import Feed
    from retail_analytics.search.dead_letters import DeadLetterStore
    from retail_analytics.settings import Settings

PREFIX = "dead-letters/retail_trans/unhandled/aws/lambda/UpsertToES/shardId-000000000000/2010/12/01/"


def give_up(s3: Any, name: str, payloads: list[bytes], first: int = 0) -> None:
    """An object as Lambda writes it, the event as text in ``payload``."""
    body = {"version": "1.0", "KinesisBatchInfo": {}, "payload": json.dumps(event(payloads, first))}
    s3.put_object(Bucket=BUCKET, Key=PREFIX + name, Body=json.dumps(body).encode())


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    options = parser.parse_args(arguments)
    return int(options.run(options))


def test_every_record_of_a_batch_is_a_document_or_a_letter(
    feed: Feed, search: OpenSearch, writer: BulkWriter, store: DeadLetterStore, s3: Any
) -> None:
    give_up(s3, "one", [line(1), line(2) + line(3), b"no json\n"])
    give_up(s3, "two", [line(4, record_id=...), line(1)], first=10)
    done = replay_unhandled(feed, writer, store)
    assert (done.read, done.indexed, done.dead) == (6, 5, 1)
    assert "JSON" in done.first_reason
    search.indices.refresh(index="retail_trans")
    found = search.search(index="retail_trans", body={"size": 10})["hits"]["hits"]
    # A record without an id has the one that the handler would have given it: a replay meets it again.
    without_id = f"shardId-000000000000:{sequence_number(10)}"
    assert {hit["_id"] for hit in found} == {*(f"{n:032x}" for n in (1, 2, 3)), without_id}
    assert list(unhandled_keys(store)) == []
    (letter,) = store.list()
    assert store.get(letter).data == b"no json"
    assert replay_unhandled(feed, writer, store).read == 0


def test_what_the_index_does_not_take_now_waits(feed: Feed, store: DeadLetterStore, s3: Any) -> None:
    give_up(s3, "one", [line(1)])
    clock = Clock()
    script = [{"items": [item_error(429, "rejected_execution_exception")]}] * 100
    client: Any = FakeClient(script)
    waiting = BulkWriter(client, clock=clock, sleep=clock.sleep)
    with pytest.raises(IndexingError, match="Run it again"):
        replay_unhandled(feed, waiting, store)
    assert len(list(unhandled_keys(store))) == 1


def test_what_the_index_refuses_for_good_is_a_letter(feed: Feed, store: DeadLetterStore, s3: Any) -> None:
    give_up(s3, "one", [line(1), line(2)])
    client: Any = FakeClient()
    refusal = item_error(400, "mapper_parsing_exception")
    client.transport.script = [client.transport.failing(lambda i: refusal if i.endswith("1") else None)]
    done = replay_unhandled(feed, BulkWriter(client), store)
    assert (done.read, done.indexed, done.dead) == (2, 1, 1)
    assert [store.get(each).kind for each in store.list()] == ["refused"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"payload": "x"}', b'{"payload": "[]"}'])
def test_an_object_that_is_no_batch_is_told_and_stays(
    feed: Feed, store: DeadLetterStore, s3: Any, body: bytes
) -> None:
    s3.put_object(Bucket=BUCKET, Key=PREFIX + "one", Body=body)
    client: Any = FakeClient()
    with pytest.raises(ValueError, match="Look at it"):
        replay_unhandled(feed, BulkWriter(client), store)
    assert len(list(unhandled_keys(store))) == 1


def test_in_the_folder_that_all_functions_share_the_stream_says_whose_it_is(
    feed: Feed, store: DeadLetterStore, s3: Any
) -> None:
    for number, stream in enumerate((feed.stream, "another", "")):
        arn = f"arn:aws:kinesis:us-east-1:123456789012:stream/{stream}"
        batch = {
            "KinesisBatchInfo": {"streamArn": arn} if stream else {},
            "payload": json.dumps(event([line(number)])),
        }
        key = f"aws/lambda/6b2e/shardId-000000000000/2010/12/01/{number}"
        s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(batch).encode())
    client: Any = FakeClient()
    done = replay_unhandled(feed, BulkWriter(client), store)
    assert (done.read, done.indexed) == (1, 1)
    assert set(client.transport.documents) == {"0" * 32}
    assert len(list(unhandled_keys(store))) == 2


def test_the_command_replays_both(
    settings: Settings,
    empty_search: OpenSearch,
    store: DeadLetterStore,
    s3: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RETAIL_BUCKET", settings.bucket)
    monkeypatch.setenv("RETAIL_OPENSEARCH_URL", settings.opensearch_url)
    give_up(s3, "one", [line(1)])
    assert command("replay-dead-letters", "--day", "2010-12-01") == 0
    assert len(list(unhandled_keys(store))) == 1, "a batch has no event day"
    assert command("replay-dead-letters") == 0
    assert "1 records of batches that were given up read, 1 indexed" in capsys.readouterr().out
    assert list(unhandled_keys(store)) == []
