"""Reconciliation: documents + dead letters = distinct record ids of the lake, per event day."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from retail_analytics.search.dead_letters import DeadLetter, DeadLetterStore
from retail_analytics.search.documents import Document, DocumentMaker, Origin
from retail_analytics.search.environment import document_rules
from retail_analytics.search.reconcile import (
    DayCount,
    IncompleteAnswerError,
    documents_by_day,
    present_ids,
    reconcile,
)
from retail_analytics_tests.search.records import line

if TYPE_CHECKING:
    from collections.abc import Collection

    from opensearchpy import OpenSearch

    from retail_analytics.feeds import Feed
    from retail_analytics.search.bulk import BulkWriter

FIRST, SECOND, THIRD = (date(2010, 12, day) for day in (1, 2, 3))


def index(feed: Feed, writer: BulkWriter, numbers: Collection[int], day: date, **changes: Any) -> None:
    maker = DocumentMaker(document_rules(feed))
    made = [
        maker.from_line(Origin(f"s:{n}", line(n, InvoiceDate=f"{day} 23:59:59", **changes))) for n in numbers
    ]
    documents = [each for each in made if isinstance(each, Document)]
    assert len(documents) == len(numbers)
    writer.write(documents, deadline=writer.clock() + 10)
    writer.client.indices.refresh(index="retail_trans-*")


def dead(number: int, day: date) -> DeadLetter:
    record_id = f"{number:032x}"
    return DeadLetter(record_id, "k", "r", day.isoformat(), record_id, "", "", b"")


def dead_without_id(number: int, day: date) -> DeadLetter:
    return DeadLetter(f"shardId-0:{number}", "k", "r", day.isoformat(), None, "", "", b"")


def everything(ids: Collection[str]) -> set[str]:
    return set(ids)


def test_days_are_counted_in_utc_by_event(feed: Feed, search: OpenSearch, writer: BulkWriter) -> None:
    index(feed, writer, range(3), FIRST)
    index(feed, writer, range(10, 12), THIRD)
    later = date(2011, 1, 1)
    index(feed, writer, [20], later)
    index(feed, writer, [21], SECOND, record_id=...)
    assert documents_by_day(search, feed, FIRST, date(2011, 1, 1)) == {
        FIRST: 3,
        THIRD: 2,
        date(2011, 1, 1): 1,
    }
    assert documents_by_day(search, feed, SECOND, SECOND) == {}


def test_a_missing_index_is_no_document(feed: Feed, search: OpenSearch) -> None:
    assert documents_by_day(search, feed, FIRST, SECOND) == {}
    assert present_ids(search, "retail_trans", ["a"]) == set()


def test_ids_are_looked_up_in_batches(feed: Feed, search: OpenSearch, writer: BulkWriter) -> None:
    index(feed, writer, range(1500), FIRST)
    ids = [f"{n:032x}" for n in range(3000)]
    assert present_ids(search, "retail_trans", ids) == set(ids[:1500])


def test_documents_and_dead_letters_make_the_lake(
    feed: Feed, search: OpenSearch, writer: BulkWriter, store: DeadLetterStore
) -> None:
    index(feed, writer, range(3), FIRST)
    store.put([dead(3, FIRST), dead(4, FIRST), dead(2, FIRST), dead_without_id(9, FIRST), dead(50, THIRD)])
    asked: list[set[str]] = []

    def in_lake(ids: Collection[str]) -> set[str]:
        asked.append(set(ids))
        return {f"{n:032x}" for n in (0, 1, 2, 3)}  # 4 was rejected by compaction as well

    counts = reconcile(search, feed, store, {FIRST: 4, SECOND: 2}, in_lake)
    assert counts == [DayCount(FIRST, 4, 3, 1), DayCount(SECOND, 2, 0, 0)]
    assert [(count.missing, count.surplus) for count in counts] == [(0, 0), (2, 0)]
    assert asked == [{f"{3:032x}", f"{4:032x}"}]


def test_a_replayed_letter_counts_as_its_document(
    feed: Feed, search: OpenSearch, writer: BulkWriter, store: DeadLetterStore
) -> None:
    index(feed, writer, [1], FIRST)
    store.put([dead(1, FIRST)])

    def refuse(ids: Collection[str]) -> set[str]:
        raise AssertionError("the lake is asked about nothing")

    assert reconcile(search, feed, store, {FIRST: 1}, refuse) == [DayCount(FIRST, 1, 1, 0)]


def test_documents_that_the_lake_lacks_are_surplus(
    feed: Feed, search: OpenSearch, writer: BulkWriter, store: DeadLetterStore
) -> None:
    index(feed, writer, range(3), FIRST)
    (count,) = reconcile(search, feed, store, {FIRST: 2}, everything)
    assert (count.missing, count.surplus) == (0, 1)


def test_no_lake_is_no_question(feed: Feed, search: OpenSearch, store: DeadLetterStore) -> None:
    assert reconcile(search, feed, store, {}, everything) == []


def test_half_an_answer_is_no_count(feed: Feed) -> None:
    class Half:
        def search(self, **_: Any) -> dict[str, Any]:
            return {"_shards": {"total": 2, "failed": 1}, "hits": {"hits": []}}

    with pytest.raises(IncompleteAnswerError, match="1 shards"):
        documents_by_day(Half(), feed, FIRST, SECOND)  # type: ignore[arg-type]
