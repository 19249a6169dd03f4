"""Event days into the index: added to, which costs the rows alone, or made exact, which compares as well.

Here belongs the order of the steps. Not here: each of them (``history.py``, ``repair.py``) and which rows a
day has (the caller's query).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from retail_analytics.search.bulk import BulkWriter
from retail_analytics.search.environment import search_of
from retail_analytics.search.history import HistoryIndexer, Indexed
from retail_analytics.search.reconcile import documents_by_day
from retail_analytics.search.repair import Comparison, Expected, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import date

    from opensearchpy import OpenSearch

    from retail_analytics.feeds.declaration import Feed
    from retail_analytics.search.dead_letters import DeadLetterStore

# The fingerprints of so many days are in memory at a time, some 200 bytes a document.
_DAYS_A_COMPARISON = 31


@dataclass(frozen=True)
class DaysIndexed:
    """What became of some days.

    Attributes:
        indexed: What became of their rows.
        compared: Days whose documents were all compared with the lake's.
        rewritten: Documents that differed, and are as the lake has them now.
        removed: Documents that the lake does not hold, or under a month not their own.
        ahead: Documents that the lake does not hold yet; they stay.
    """

    indexed: Indexed = field(default_factory=Indexed)
    compared: int = 0
    rewritten: int = 0
    removed: int = 0
    ahead: int = 0

    def plus(self, other: DaysIndexed) -> DaysIndexed:
        """The two together."""
        return DaysIndexed(
            indexed=self.indexed.plus(other.indexed),
            compared=self.compared + other.compared,
            rewritten=self.rewritten + other.rewritten,
            removed=self.removed + other.removed,
            ahead=self.ahead + other.ahead,
        )


@dataclass(frozen=True)
class DayIndexer:
    """Indexes event days of one feed.

    Attributes:
        feed: The feed.
        client: The search server; its client must not retry by itself.
        store: Sets aside what can never be a document.
        rows_of: The compacted rows of event days, streamed; asked a second time where documents differ.
        settled: Days before this one are complete in the lake.
        log: Told of each batch.
    """

    feed: Feed
    client: OpenSearch
    store: DeadLetterStore
    rows_of: Callable[[Sequence[date]], Iterable[Mapping[str, Any]]]
    settled: date
    log: Callable[[str], None] = lambda _: None

    def add(self, rows: Iterable[Mapping[str, Any]]) -> DaysIndexed:
        """Add the documents of these rows that are missing; those that are there stay as they are.

        Raises:
            IndexingError: Some rows are neither in the index nor set aside.
        """
        done = self._indexer().index(rows, lambda count: self.log(f"{count} rows indexed"))
        self._refresh()
        return DaysIndexed(done)

    def make(self, days: Sequence[date]) -> DaysIndexed:
        """Make the documents of these days exactly the lake's.

        Raises:
            IndexingError: Some rows are neither in the index nor set aside, or the index refuses.
            IncompleteAnswerError: Some shards did not answer.
        """
        done = DaysIndexed()
        wanted = sorted(set(days))
        for start in range(0, len(wanted), _DAYS_A_COMPARISON):
            batch = wanted[start : start + _DAYS_A_COMPARISON]
            done = done.plus(self._make(batch))
            self.log(f"days up to {batch[-1]}: {done.rewritten} rewritten, {done.removed} removed so far")
        return done

    def _make(self, days: Sequence[date]) -> DaysIndexed:
        expected = Expected()
        indexed = self._indexer().index(self.rows_of(days), choose=expected.add)
        self._refresh()
        if self._all_new(days, indexed, expected):
            return DaysIndexed(indexed, compared=len(days))
        found = Comparison(self.client, self.feed).differences(days, expected, self.settled)
        rewritten = 0
        if found.rewrite:
            again = replace(self._indexer(), overwrite=True)
            rewritten = again.index(self.rows_of(days), choose=expected.chooser(found.rewrite)).created
        removed = remove(self.client, found.remove)
        self._refresh()
        return DaysIndexed(indexed, len(days), rewritten, removed, found.ahead)

    def _all_new(self, days: Sequence[date], indexed: Indexed, expected: Expected) -> bool:
        """Whether every document was written just now and there is no other: nothing is to be compared."""
        if indexed.unchanged or indexed.created != len(expected.documents):
            return False
        held = documents_by_day(self.client, self.feed, min(days), max(days)) if days else {}
        return sum(held.get(day, 0) for day in days) == indexed.created

    def _indexer(self) -> HistoryIndexer:
        return HistoryIndexer(self.feed, BulkWriter(self.client), self.store)

    def _refresh(self) -> None:
        self.client.indices.refresh(index=f"{search_of(self.feed).alias}*", ignore_unavailable=True)
