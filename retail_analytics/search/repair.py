"""Repair: the documents of event days are made those of the lake — missing, different, left over.

Here belongs finding and correcting what indexing once more (``history.py``) cannot, since it never touches a
document that is there: one whose content differs, one under another month, one that the lake does not hold.
Not here: noticing that a day differs (``reconcile.py``, which counts).

What the lake does not hold is removed from settled days only; on later ones the stream's handler is ahead of
compaction. A late event of a settled day may be ahead as well: its document comes back when its hour is
compacted, because compaction asks for the day's documents again. A document without a record id is never
touched: the lake cannot tell which it is.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from retail_analytics.lake.hours import contiguous_days
from retail_analytics.search.environment import search_of
from retail_analytics.search.history import IndexingError
from retail_analytics.search.reconcile import search_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from opensearchpy import OpenSearch

    from retail_analytics.feeds.declaration import Feed
    from retail_analytics.search.documents import Document

_HITS_A_REQUEST = 2_000
_IDS_A_REQUEST = 1_000
_DELETES_A_REQUEST = 1_000


@dataclass(frozen=True, slots=True)
class Held:
    """A document as the index holds it.

    Attributes:
        id: Its id.
        index: The index that holds it, by its own name.
        digest: Of its content.
        day: Its event day, ``YYYY-MM-DD``; empty where the content does not tell.
        seq_no: Its sequence number, so that it is removed only as it was seen.
        primary_term: And the term of that number.
    """

    id: str
    index: str
    digest: bytes
    day: str
    seq_no: int
    primary_term: int


@dataclass
class Expected:
    """The documents that the lake makes of some days: id to digest and month.

    A record that was delivered twice, and differently, has the smaller digest, whichever row comes first.
    """

    documents: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def add(self, document: Document) -> bool:
        """Note one; always true, so that it can stand where documents are chosen."""
        made = digest_of(json.loads(document.source)), document.index
        known = self.documents.get(document.id)
        if known is None or made < known:
            self.documents[document.id] = made
        return True

    def chooser(self, wanted: Collection[str]) -> Callable[[Document], bool]:
        """Chooses the documents of these ids, each once, in the form that is expected."""
        left = set(wanted)

        def choose(document: Document) -> bool:
            if document.id not in left:
                return False
            chosen = self.documents[document.id][0] == digest_of(json.loads(document.source))
            if chosen:
                left.discard(document.id)
            return chosen

        return choose


@dataclass(frozen=True)
class Differences:
    """What the index holds otherwise than the lake.

    Attributes:
        rewrite: Ids whose document is to be written as the lake has it.
        remove: Documents to be removed: left over, or under another month than their own.
        ahead: How many the lake does not hold, on days that are not settled; they stay.
    """

    rewrite: frozenset[str] = frozenset()
    remove: tuple[Held, ...] = ()
    ahead: int = 0


def digest_of(source: Any) -> bytes:
    """The digest of a document's content; servers may write 2.0 as 2, which is the same."""
    text = json.dumps(_plain(source), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Comparison:
    """Compares the documents of event days with what the lake makes of them.

    Attributes:
        client: The search server; what it holds must be refreshed.
        feed: The feed.
    """

    client: OpenSearch
    feed: Feed

    def differences(self, days: Sequence[date], expected: Expected, settled: date) -> Differences:
        """What differs on these days.

        Args:
            days: Event days.
            expected: The documents that the lake makes of exactly these days.
            settled: Days before this one are complete in the lake.

        Raises:
            IncompleteAnswerError: Some shards did not answer.
            OpenSearchException: The server does not answer.
        """
        names = self._names()
        rewrite: set[str] = set()
        right: set[str] = set()
        remove: list[Held] = []
        ahead = 0
        for held in self._of_days(days):
            made = expected.documents.get(held.id)
            if made is None:
                gone = held.day < settled.isoformat()
                ahead += not gone
                remove += [held] if gone else []
            elif made[1] not in names.get(held.index, {held.index}):
                remove.append(held)
            elif made[0] == held.digest:
                right.add(held.id)
            else:
                rewrite.add(held.id)
        absent = expected.documents.keys() - right - rewrite
        for held in self._of_ids(sorted(absent)):
            if expected.documents[held.id][1] not in names.get(held.index, {held.index}):
                remove.append(held)
        places = {(held.index, held.id): held for held in remove}
        return Differences(frozenset(rewrite | absent), tuple(places.values()), ahead)

    def _names(self) -> dict[str, set[str]]:
        """Index to the names that writers may use for it."""
        found = self.client.indices.get_alias(index=search_of(self.feed).alias, ignore_unavailable=True)
        return {index: {index, *about.get("aliases", {})} for index, about in found.items()}

    def _of_days(self, days: Sequence[date]) -> Iterator[Held]:
        event_time = search_of(self.feed).date_fields[0]
        for first, last in contiguous_days(sorted(set(days))):
            span = {"gte": first.isoformat(), "lt": (last + timedelta(days=1)).isoformat()}
            record_id = {"exists": {"field": self._record_id}}
            yield from self._pages({"bool": {"filter": [{"range": {event_time: span}}, record_id]}})

    def _of_ids(self, ids: Sequence[str]) -> Iterator[Held]:
        for batch in _batches(ids, _IDS_A_REQUEST):
            yield from self._pages({"ids": {"values": batch}})

    def _pages(self, query: dict[str, Any]) -> Iterator[Held]:
        body: dict[str, Any] = {
            "size": _HITS_A_REQUEST,
            "query": query,
            "sort": [{self._record_id: "asc"}, {"_index": "asc"}],
            "seq_no_primary_term": True,
        }
        while True:
            hits = search_whole(self.client, search_of(self.feed).alias, body)["hits"]["hits"]
            yield from map(self._held, hits)
            if len(hits) < _HITS_A_REQUEST:
                return
            body["search_after"] = hits[-1]["sort"]

    def _held(self, hit: Mapping[str, Any]) -> Held:
        source = hit["_source"]
        day = str(source.get(search_of(self.feed).date_fields[0], ""))[:10]
        return Held(hit["_id"], hit["_index"], digest_of(source), day, hit["_seq_no"], hit["_primary_term"])

    @property
    def _record_id(self) -> str:
        return self.feed.record_id or "record_id"


def remove(client: OpenSearch, documents: Iterable[Held]) -> int:
    """Remove documents as they were seen; returns how many. One that changed meanwhile stays.

    Raises:
        IndexingError: The index refused to remove some.
    """
    removed = 0
    for batch in _batches(documents, _DELETES_A_REQUEST):
        body = [
            {
                "delete": {
                    "_index": held.index,
                    "_id": held.id,
                    "if_seq_no": held.seq_no,
                    "if_primary_term": held.primary_term,
                }
            }
            for held in batch
        ]
        statuses = [item["delete"] for item in client.bulk(body=body)["items"]]
        refused = [item for item in statuses if item["status"] not in (200, 404, 409)]
        if refused:
            why = refused[0].get("error", {}).get("reason", refused[0]["status"])
            raise IndexingError(f"{len(refused)} documents could not be removed: {why}. Run it again.")
        removed += sum(item["status"] == 200 for item in statuses)
    return removed


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
