"""Indexing history: rows of the compacted table become the same documents that the stream made.

Here belongs the way from an iterator of rows to the index, in bounded memory. Not here: which rows they are
(the caller's query), documents (``documents.py``), the stream (``upsert_to_es.py``).

A row without a record id is counted and left out: its document is named by its place in the stream, which
the lake does not know, and another name would make it a second document.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from retail_analytics.search.documents import Document, DocumentMaker, Origin
from retail_analytics.search.environment import document_rules
from retail_analytics.search.letters import letter_of_invalid, letter_of_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from retail_analytics.feeds.declaration import Feed
    from retail_analytics.search.bulk import BulkResult, BulkWriter
    from retail_analytics.search.dead_letters import DeadLetter, DeadLetterStore

# Some servers copy the index for every bulk, so fewer and larger ones it is.
_BATCH_ROWS = 5_000
_WRITERS = 2
BATCH_SECONDS = 180.0
"""How long one batch of rows is tried before indexing gives up."""


class IndexingError(RuntimeError):
    """Some rows are neither in the index nor set aside; running it again continues where it stopped."""


@dataclass(frozen=True)
class Indexed:
    """What became of the rows. ``rows`` = created + unchanged + dead + without_id + passed_over.

    Attributes:
        rows: Rows read.
        created: Documents written.
        unchanged: Documents that were there already.
        dead: Rows set aside as dead letters.
        without_id: Rows without a record id, which only the stream can index.
        passed_over: Rows whose document was not to be written.
        retried: How many times a document was sent again.
        bulks: Bulk requests.
        bytes: Bytes of their bodies.
        first_reason: Why the first dead letter is one, or empty.
        days: Event day, ``YYYY-MM-DD``, to the number of its rows that have an id and a readable day.
    """

    rows: int = 0
    created: int = 0
    unchanged: int = 0
    dead: int = 0
    without_id: int = 0
    passed_over: int = 0
    retried: int = 0
    bulks: int = 0
    bytes: int = 0
    first_reason: str = ""
    days: Mapping[str, int] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        """Rows whose document is in the index."""
        return self.created + self.unchanged

    def plus(self, other: Indexed) -> Indexed:
        """The two together."""
        return Indexed(
            rows=self.rows + other.rows,
            created=self.created + other.created,
            unchanged=self.unchanged + other.unchanged,
            dead=self.dead + other.dead,
            without_id=self.without_id + other.without_id,
            passed_over=self.passed_over + other.passed_over,
            retried=self.retried + other.retried,
            bulks=self.bulks + other.bulks,
            bytes=self.bytes + other.bytes,
            first_reason=self.first_reason or other.first_reason,
            days=Counter(self.days) + Counter(other.days),
        )


@dataclass(frozen=True)
class HistoryIndexer:
    """Indexes rows of one feed's compacted table.

    Attributes:
        feed: The feed.
        writer: Writes documents.
        store: Sets aside what can never be one.
        batch_seconds: How long one batch is tried.
        overwrite: Write over documents that are there; for repairs alone.
    """

    feed: Feed
    writer: BulkWriter
    store: DeadLetterStore
    batch_seconds: float = BATCH_SECONDS
    overwrite: bool = False

    def index(
        self,
        rows: Iterable[Mapping[str, Any]],
        progress: Callable[[int], None] | None = None,
        choose: Callable[[Document], bool] = lambda _: True,
    ) -> Indexed:
        """Index rows, a few batches of them in memory at a time.

        Args:
            rows: Rows keyed by column name, typed as the compacted table stores them; times are UTC.
            progress: Called with the number of rows finished so far.
            choose: Whether to write a document; a row whose document is left out counts as ``passed_over``.

        Raises:
            IndexingError: Something was neither indexed nor set aside in time.
        """
        maker = DocumentMaker(document_rules(self.feed))
        keys = {column.name: column.source for column in self.feed.columns}
        if self.feed.record_id:
            keys["record_id"] = self.feed.record_id
        done = Indexed()
        # Reading and making documents goes on in this thread while others write.
        with ThreadPoolExecutor(max_workers=_WRITERS) as pool:
            waiting: deque[Future[Indexed]] = deque()
            for batch in _batches(rows, _BATCH_ROWS):
                prepared = self._prepare(maker, keys, batch, choose)
                waiting.append(pool.submit(self._finish, maker, *prepared))
                if len(waiting) > _WRITERS:
                    done = done.plus(waiting.popleft().result())
                    if progress is not None:
                        progress(done.rows)
            while waiting:
                done = done.plus(waiting.popleft().result())
        if progress is not None:
            progress(done.rows)
        return done

    def _prepare(
        self,
        maker: DocumentMaker,
        keys: Mapping[str, str],
        batch: list[Mapping[str, Any]],
        choose: Callable[[Document], bool],
    ) -> tuple[list[Document], list[DeadLetter], Indexed]:
        documents, letters, without_id, passed_over = [], [], 0, 0
        days: Counter[str] = Counter()
        for row in batch:
            record = {source: row.get(name) for name, source in keys.items()}
            record_id = record.get(maker.rules.record_id)
            if not record_id:
                without_id += 1
                continue
            made = maker.from_record(record, Origin(position=str(record_id), record=record))
            if made.day is not None:
                days[made.day] += 1
            if not isinstance(made, Document):
                letters.append(letter_of_invalid(maker, made))
            elif choose(made):
                documents.append(made)
            else:
                passed_over += 1
        counts = Indexed(rows=len(batch), without_id=without_id, passed_over=passed_over, days=days)
        return documents, letters, counts

    def _finish(
        self, maker: DocumentMaker, documents: list[Document], letters: list[DeadLetter], counts: Indexed
    ) -> Indexed:
        deadline = self.writer.clock() + self.batch_seconds
        result = self.writer.write(documents, deadline=deadline, overwrite=self.overwrite)
        self._raise_if_failed(result)
        letters = letters + [
            letter_of_refused(maker, document, reason) for document, reason in result.refused
        ]
        lost = self.store.put(letters)
        if lost:
            raise IndexingError(f"{len(lost)} rows could not be set aside: {lost[0][1]} Run it again.")
        return replace(
            counts,
            created=result.created,
            unchanged=result.unchanged,
            dead=len(letters),
            retried=result.retried,
            bulks=result.bulks,
            bytes=result.bytes,
            first_reason=letters[0].reason if letters else "",
        )

    def _raise_if_failed(self, result: BulkResult) -> None:
        if result.failed:
            raise IndexingError(
                f"{len(result.failed)} documents could not be written within {self.batch_seconds:.0f} s: "
                f"{result.failed[0][1]}. Look after the cluster, then run it again."
            )


def _batches(rows: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    iterator = iter(rows)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
