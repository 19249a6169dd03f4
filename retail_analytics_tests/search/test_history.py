"""History: rows of the lake become the stream's documents, in bounded memory; letters are replayed."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from retail_analytics.search import history
from retail_analytics.search.bulk import BulkWriter
from retail_analytics.search.dead_letters import DeadLetter, DeadLetterStore
from retail_analytics.search.documents import Document, DocumentMaker, Origin
from retail_analytics.search.environment import document_rules
from retail_analytics.search.history import HistoryIndexer, Indexed, IndexingError
from retail_analytics.search.replay import Replayed, replay
from retail_analytics_tests.search.records import Clock, FakeClient, item_error, line, record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opensearchpy import OpenSearch

    from retail_analytics.feeds import Feed


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "invoice": "536365",
        "stockcode": "85123A",
        "description": "WHITE HANGING HEART T-LIGHT HOLDER",
        "quantity": 6,
        "invoicedate": datetime(2010, 12, 1, 8, 26),
        "price": Decimal("2.5500"),
        "customer_id": "17850",
        "country": "United Kingdom",
        "record_id": f"{number:032x}",
        **changes,
    }


def sources(client: OpenSearch) -> dict[str, Any]:
    client.indices.refresh(index="retail_trans-*")
    hits = client.search(index="retail_trans-*", body={"size": 1000})["hits"]["hits"]
    return {hit["_id"]: hit["_source"] for hit in hits}


def test_rows_become_the_documents_of_their_lines(
    feed: Feed, search: OpenSearch, writer: BulkWriter, store: DeadLetterStore
) -> None:
    maker = DocumentMaker(document_rules(feed))
    live = maker.from_line(Origin("shard:1", line(1)))
    assert isinstance(live, Document)
    writer.write([live], deadline=writer.clock() + 10)
    before = sources(search)
    done = HistoryIndexer(feed, writer, store).index(row(number) for number in range(3))
    assert (done.rows, done.created, done.unchanged, done.dead) == (3, 2, 1, 0)
    after = sources(search)
    assert after[live.id] == before[live.id] == {**record(1), "InvoiceDate": "2010-12-01T08:26:00Z"}
    assert after[f"{2:032x}"] == {**after[live.id], "record_id": f"{2:032x}"}


def test_every_row_is_counted_once(
    feed: Feed, search: OpenSearch, writer: BulkWriter, store: DeadLetterStore
) -> None:
    rows = [
        row(1),
        row(1),
        row(2),
        row(3, record_id=None),
        row(4, invoice=None),
        row(5, price=Decimal("NaN")),
    ]
    done = HistoryIndexer(feed, writer, store).index(rows)
    assert done.rows == 6
    assert (done.created, done.unchanged, done.dead, done.without_id) == (2, 1, 2, 1)
    assert done.documents == 3
    assert done.first_reason
    letters = [store.get(stored) for stored in store.list()]
    assert {letter.record_id for letter in letters} == {f"{4:032x}", f"{5:032x}"}
    assert all(letter.day == "2010-12-01" for letter in letters)


def test_a_set_aside_row_reads_as_its_line(
    feed: Feed, search: OpenSearch, writer: BulkWriter, store: DeadLetterStore
) -> None:
    HistoryIndexer(feed, writer, store).index([row(1, country="")])
    (letter,) = [store.get(stored) for stored in store.list()]
    assert json.loads(letter.data) == record(1, Country="")


def test_a_cluster_that_stays_throttled_is_an_error_that_says_so(feed: Feed, store: DeadLetterStore) -> None:
    client, clock = FakeClient(), Clock()
    throttle = client.transport.failing(lambda i: item_error(429, "rejected_execution_exception"))
    client.transport.script = [throttle] * 1000
    writer = BulkWriter(client, clock=clock, sleep=clock.sleep)  # type: ignore[arg-type]
    with pytest.raises(IndexingError, match=r"rejected_execution_exception.*run it again"):
        HistoryIndexer(feed, writer, store, batch_seconds=30).index([row(1)])


def test_a_bucket_that_refuses_is_an_error(feed: Feed, writer: BulkWriter, s3: Any) -> None:
    store = DeadLetterStore(s3, "no-such-bucket", "dead-letters/retail_trans/")
    with pytest.raises(IndexingError, match="could not be set aside"):
        HistoryIndexer(feed, writer, store).index([row(1, country="")])


def test_few_rows_are_held_at_a_time(
    feed: Feed, store: DeadLetterStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_BATCH_ROWS", 100)
    client = FakeClient()
    read, finished = 0, 0
    widest = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal read, widest
        for number in range(2_000):
            read += 1
            widest = max(widest, read - finished)
            yield row(number)

    def progress(count: int) -> None:
        nonlocal finished
        finished = count

    done = HistoryIndexer(feed, BulkWriter(client), store).index(rows(), progress)  # type: ignore[arg-type]
    assert done.created == finished == 2_000
    assert widest <= 500


def test_no_rows_are_nothing(feed: Feed, writer: BulkWriter, store: DeadLetterStore) -> None:
    assert HistoryIndexer(feed, writer, store).index([]) == Indexed()


def letter(number: int, data: bytes, day: str = "2010-12-01") -> DeadLetter:
    return DeadLetter(f"{number:032x}", "refused", "because", day, f"{number:032x}", "49", "", data)


def test_letters_lie_by_day_and_list_by_range(store: DeadLetterStore) -> None:
    days = ["2010-11-30", "2010-12-01", "2010-12-02", "unknown"]
    assert not store.put([letter(n, b"x", day) for n, day in enumerate(days)])

    def listed(first: int | None, last: int | None) -> list[str]:
        span = (date(2010, 12, day) if day else None for day in (first, last))
        return [stored.day for stored in store.list(*span)]

    assert listed(None, None) == days
    assert listed(1, 2) == days[1:3]
    assert listed(1, 1) == days[1:2]
    assert listed(3, 9) == []


@pytest.mark.parametrize("data", [b"plain", "£ ラ".encode(), b"\xff\xfe", b"", b'{"a": 1}'])
def test_letters_survive_storing(store: DeadLetterStore, data: bytes) -> None:
    sent = letter(1, data)
    store.put([sent])
    (stored,) = store.list()
    assert store.get(stored) == sent
    assert stored.name == sent.document_id


@pytest.mark.parametrize("document_id", ["a/b", "../x", "x" * 500, "\ud800", "naïve", " "])
def test_ids_that_are_no_file_names_are_digested(store: DeadLetterStore, document_id: str) -> None:
    sent = DeadLetter(document_id, "k", "r", "unknown", document_id, "", "", b"x")
    for _ in range(2):
        assert not store.put([sent])
    (stored,) = store.list()
    assert stored.name.startswith("sha256-")
    assert store.get(stored) == sent


def test_what_is_no_letter_is_told(store: DeadLetterStore) -> None:
    with pytest.raises(ValueError, match="no dead letter"):
        DeadLetter.from_body(b"[]")
    with pytest.raises(ValueError, match="slash"):
        DeadLetterStore(store.s3, store.bucket, "dead-letters")


def test_a_replay_indexes_what_it_can_and_keeps_the_rest(
    feed: Feed, search: OpenSearch, writer: BulkWriter, store: DeadLetterStore
) -> None:
    store.put(
        [
            letter(1, line(1)),
            letter(2, line(2, Country="")),
            letter(3, b"no json", "unknown"),
            # Its day could not be told when it was set aside; now it can.
            letter(4, line(4, Country=""), "unknown"),
        ]
    )
    seen: list[Replayed] = []
    done = replay(feed, writer, store, progress=seen.append)
    assert (done.read, done.indexed, done.dead) == (4, 1, 3)
    assert seen[-1] == done
    assert set(sources(search)) == {f"{1:032x}"}
    left = {stored.name: (stored.day, store.get(stored).kind) for stored in store.list()}
    assert left == {
        f"{2:032x}": ("2010-12-01", "missing_field"),
        f"{3:032x}": ("unknown", "not_json"),
        f"{4:032x}": ("2010-12-01", "missing_field"),
    }
    again = replay(feed, writer, store, date(2010, 12, 1))
    assert (again.read, again.dead) == (2, 2)


def test_a_replay_that_the_index_does_not_take_loses_nothing(feed: Feed, store: DeadLetterStore) -> None:
    store.put([letter(n, line(n)) for n in range(3)])
    client, clock = FakeClient(), Clock()
    step = client.transport.failing(lambda i: item_error(429, "busy") if i.endswith("1") else None)
    client.transport.script = [step] * 1000
    writer = BulkWriter(client, clock=clock, sleep=clock.sleep)  # type: ignore[arg-type]
    with pytest.raises(IndexingError, match="busy"):
        replay(feed, writer, store)
    assert [stored.name for stored in store.list()] == [f"{1:032x}"]
    client.transport.script = []
    assert replay(feed, writer, store).indexed == 1
    assert not list(store.list())
