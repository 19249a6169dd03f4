"""Replaying dead letters: after a mapping, a rule or a producer was repaired, they get another chance.

Not here: how they came to be (``upsert_to_es.py``, ``history.py``) and their form (``dead_letters.py``).
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retail_analytics.search.documents import Document, DocumentMaker, Origin
from retail_analytics.search.environment import document_rules
from retail_analytics.search.history import BATCH_SECONDS, IndexingError
from retail_analytics.search.letters import letter_of_invalid, letter_of_refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from retail_analytics.feeds.declaration import Feed
    from retail_analytics.search.bulk import BulkWriter
    from retail_analytics.search.dead_letters import DeadLetter, DeadLetterStore, StoredLetter

_BATCH = 500
_READERS = 8


@dataclass(frozen=True)
class Replayed:
    """What became of the letters. ``read`` = indexed + dead.

    Attributes:
        read: Letters read.
        indexed: Letters whose document is in the index now; they are removed.
        dead: Letters that remain, with today's reason.
        first_reason: Why the first of those remains, or empty.
    """

    read: int = 0
    indexed: int = 0
    dead: int = 0
    first_reason: str = ""


def replay(
    feed: Feed,
    writer: BulkWriter,
    store: DeadLetterStore,
    day: date | None = None,
    progress: Callable[[Replayed], None] | None = None,
) -> Replayed:
    """Replay the letters of one event day, or all of them.

    A letter is removed after its document is in the index, so an interruption loses nothing.

    Raises:
        IndexingError: The index or S3 did not take something in time; run it again.
        ValueError: An object under the prefix is no dead letter.
    """
    maker = DocumentMaker(document_rules(feed))
    done = Replayed()
    listing = iter(list(store.list(day, day)))
    while batch := list(itertools.islice(listing, _BATCH)):
        indexed, dead, reason = _replay_batch(maker, writer, store, batch)
        done = Replayed(
            done.read + len(batch), done.indexed + indexed, done.dead + dead, done.first_reason or reason
        )
        if progress is not None:
            progress(done)
    return done


def _replay_batch(
    maker: DocumentMaker, writer: BulkWriter, store: DeadLetterStore, batch: list[StoredLetter]
) -> tuple[int, int, str]:
    with ThreadPoolExecutor(max_workers=_READERS) as pool:
        letters = list(pool.map(store.get, batch))
    still_dead: dict[int, DeadLetter] = {}
    documents: list[Document] = []
    place: dict[int, int] = {}
    for ordinal, letter in enumerate(letters):
        origin = Origin(letter.document_id, letter.data, letter.sequence_number, letter.arrived_at)
        made = maker.from_line(origin)
        if isinstance(made, Document):
            place[id(made)] = ordinal
            documents.append(made)
        else:
            still_dead[ordinal] = letter_of_invalid(maker, made)
    result = writer.write(documents, deadline=writer.clock() + BATCH_SECONDS)
    for document, reason in result.refused:
        still_dead[place[id(document)]] = letter_of_refused(maker, document, reason)
    waiting = {place[id(document)] for document, _ in result.failed}
    _keep(store, batch, still_dead)
    for ordinal, stored in enumerate(batch):
        if ordinal not in still_dead and ordinal not in waiting:
            store.remove(stored)
    if result.failed:
        raise IndexingError(
            f"{len(waiting)} letters wait for the index: {result.failed[0][1]}. Run it again."
        )
    reason = next((letter.reason for letter in still_dead.values()), "")
    return len(documents) - len(result.refused), len(still_dead), reason


def _keep(store: DeadLetterStore, batch: list[StoredLetter], still_dead: dict[int, DeadLetter]) -> None:
    """Write today's reasons; a letter whose day can be told now moves there."""
    lost = store.put(list(still_dead.values()))
    if lost:
        raise IndexingError(f"{len(lost)} letters could not be written: {lost[0][1]} Run it again.")
    for ordinal, letter in still_dead.items():
        if store.key(letter) != batch[ordinal].key:
            store.remove(batch[ordinal])
