"""Does the index hold what the lake holds: documents + dead letters = distinct record ids, per event day.

Here belongs the comparison. Not here: counting in the lake (the caller's query) and repairing, which is
indexing the day again (``history.py``).

A dead letter counts for its day if its record is in the lake and its document is not in the index: a record
that compaction rejected as well belongs to neither side, and a letter may be older than a repair.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from retail_analytics.search.environment import search_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from opensearchpy import OpenSearch

    from retail_analytics.feeds.declaration import Feed
    from retail_analytics.search.dead_letters import DeadLetterStore, StoredLetter

_IDS_A_REQUEST = 1_000


class IncompleteAnswerError(RuntimeError):
    """The search server answered for a part of its shards only; a count of it would mean nothing."""


@dataclass(frozen=True)
class DayCount:
    """One event day on both sides.

    Attributes:
        day: The event day, UTC.
        lake: Distinct record ids in the lake.
        documents: Documents with a record id.
        dead_letters: Record ids of the lake that were set aside and are no documents.
    """

    day: date
    lake: int
    documents: int
    dead_letters: int

    @property
    def missing(self) -> int:
        """Records of the lake that are nowhere on the search side."""
        return max(self.lake - self.documents - self.dead_letters, 0)

    @property
    def surplus(self) -> int:
        """Documents that the lake does not hold, or not yet."""
        return max(self.documents + self.dead_letters - self.lake, 0)


def settled_before(feed: Feed, now: datetime) -> date:
    """Days before this one are complete in the lake; on later ones the stream may be ahead of it."""
    return (now - timedelta(hours=feed.retention_hours + 1)).date()


def reconcile(
    client: OpenSearch,
    feed: Feed,
    store: DeadLetterStore,
    lake: Mapping[date, int],
    in_lake: Callable[[Collection[str]], set[str]],
) -> list[DayCount]:
    """Compare every day of the lake, in one aggregation and one listing.

    Args:
        client: The search server.
        feed: The feed.
        store: Its dead letters.
        lake: Event day to the number of distinct record ids of the compacted table.
        in_lake: Which of the given record ids are in the compacted table; asked only about dead letters.

    Raises:
        IncompleteAnswerError: Some shards did not answer.
        OpenSearchException: The server does not answer.
    """
    if not lake:
        return []
    first, last = min(lake), max(lake)
    documents = documents_by_day(client, feed, first, last)
    dead = _dead_by_day(client, feed, store, (first, last), in_lake)
    return [
        DayCount(day, lake[day], documents.get(day, 0), dead.get(day.isoformat(), 0)) for day in sorted(lake)
    ]


def documents_by_day(client: OpenSearch, feed: Feed, first: date, last: date) -> dict[date, int]:
    """Documents with a record id by event day, from ``first`` to ``last``, both included."""
    search = search_of(feed)
    event_time = search.date_fields[0]
    span = {"gte": first.isoformat(), "lt": (last + timedelta(days=1)).isoformat()}
    by_day = {"field": event_time, "calendar_interval": "day", "format": "yyyy-MM-dd", "min_doc_count": 1}
    body = {
        "size": 0,
        "query": {
            "bool": {
                "filter": [
                    {"range": {event_time: span}},
                    {"exists": {"field": feed.record_id or "record_id"}},
                ]
            }
        },
        "aggs": {"days": {"date_histogram": by_day}},
    }
    answer = search_whole(client, search.alias, body)
    buckets = answer.get("aggregations", {}).get("days", {}).get("buckets", [])
    return {date.fromisoformat(bucket["key_as_string"]): bucket["doc_count"] for bucket in buckets}


def present_ids(client: OpenSearch, alias: str, ids: Iterable[str]) -> set[str]:
    """Which of the ids are documents."""
    present: set[str] = set()
    iterator = iter(ids)
    while batch := list(itertools.islice(iterator, _IDS_A_REQUEST)):
        body = {"size": len(batch), "_source": False, "query": {"ids": {"values": batch}}}
        present |= {hit["_id"] for hit in search_whole(client, alias, body)["hits"]["hits"]}
    return present


def _dead_by_day(
    client: OpenSearch,
    feed: Feed,
    store: DeadLetterStore,
    span: tuple[date, date],
    in_lake: Callable[[Collection[str]], set[str]],
) -> Counter[str]:
    day_of = {}
    for stored in store.list(*span):
        record_id = _record_id(store, stored)
        if record_id is not None:
            day_of[record_id] = stored.day
    if not day_of:
        return Counter()
    absent = day_of.keys() - present_ids(client, search_of(feed).alias, sorted(day_of))
    counted = in_lake(absent) & absent if absent else set()
    return Counter(day_of[record_id] for record_id in counted)


def _record_id(store: DeadLetterStore, stored: StoredLetter) -> str | None:
    """The listing tells it, except for names that are a place in the stream or a digest."""
    if ":" in stored.name or stored.name.startswith("sha256-"):
        return store.get(stored).record_id
    return stored.name


def search_whole(client: OpenSearch, alias: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a search of the alias, if every shard gave its part.

    Raises:
        IncompleteAnswerError: Some did not.
        OpenSearchException: The server does not answer.
    """
    answer: dict[str, Any] = client.search(index=alias, body=body, params={"ignore_unavailable": "true"})
    failed = answer.get("_shards", {}).get("failed", 0)
    if failed or answer.get("timed_out"):
        raise IncompleteAnswerError(f"{failed} shards of {alias} did not answer; look at index_health.")
    return answer
