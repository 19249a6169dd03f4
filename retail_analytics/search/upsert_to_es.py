"""The Lambda function on a Kinesis stream: every record ends in the index, or set aside, or is given again.

Here belongs the handler. Not here: what a document is (``documents.py``), bulk requests (``bulk.py``), dead
letters (``dead_letters.py``); history is indexed by ``history.py`` through the same three. Import chain:
standard library, boto3, opensearch-py and the siblings named below; nothing is read or connected at import.

The event source mapping must report batch item failures (``FunctionResponseTypes: ReportBatchItemFailures``)
and should bisect on errors and have a retry limit with an S3 destination.

The environment is read by ``handler_settings.py``, which lists the variables.
"""

from __future__ import annotations

import binascii
import functools
import logging
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from opensearchpy.exceptions import NotFoundError, OpenSearchException

from retail_analytics.search.bulk import BulkWriter
from retail_analytics.search.connection import connect
from retail_analytics.search.counts import Counts, metrics_line
from retail_analytics.search.dead_letters import DeadLetter, DeadLetterStore
from retail_analytics.search.documents import Document, DocumentMaker, Origin
from retail_analytics.search.handler_settings import DEFAULT_BULK_DOCUMENTS, HandlerSettings
from retail_analytics.search.letters import letter_of_invalid, letter_of_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opensearchpy import OpenSearch

    from retail_analytics.search.bulk import BulkResult

_LOG = logging.getLogger(__name__)

DEFAULT_SECONDS = 60.0
"""How long an invocation takes at most where its context does not say."""

_RESERVED_SHARE = 0.15  # of the remaining time, for dead letters and the answer
_RESERVED_SECONDS = 1.0
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0
_WRITERS = 4


@dataclass
class _Batch:
    """What has become of one batch so far.

    Attributes:
        counts: In numbers.
        letters: Records to be set aside.
        again: Sequence numbers of those to come again.
    """

    counts: Counts = field(default_factory=Counts)
    letters: list[DeadLetter] = field(default_factory=list)
    again: set[str] = field(default_factory=set)

    def give_back(self, sequence_number: str) -> None:
        """One record comes again, and with it all of its Kinesis record."""
        self.counts.failed += 1
        self.again.add(sequence_number)


@dataclass(frozen=True)
class Handler:
    """The function with what it needs, made once per container.

    Attributes:
        maker: Makes documents.
        writer: Writes them.
        store: Sets records aside; None where no bucket is configured.
        template: The index template that must be there, or empty.
        client: For asking after the template.
    """

    maker: DocumentMaker
    writer: BulkWriter
    store: DeadLetterStore | None
    template: str
    client: OpenSearch
    _checked: set[str] = field(default_factory=set)

    def handle(self, event: Mapping[str, Any], remaining_seconds: float) -> tuple[list[str], Counts]:
        """Handle one batch; returns the sequence numbers to come again, and the counts.

        Raises:
            ValueError: The event is not one of Kinesis. What was written before that was found stays.
        """
        deadline = self.writer.clock() + remaining_seconds
        writing = deadline - max(_RESERVED_SECONDS, remaining_seconds * _RESERVED_SHARE)
        batch = _Batch()
        # The first bulks are under way while the next records are read.
        documents = self._documents(read_event(event), writing, batch)
        self._note(self.writer.write(documents, deadline=writing), batch)
        self._set_aside(batch, deadline - _RESERVED_SECONDS / 2)
        batch.counts.check()
        return _in_order(event, batch.again), batch.counts

    def _documents(self, origins: Iterable[Origin], deadline: float, batch: _Batch) -> Iterator[Document]:
        """The documents that may be written; what becomes of the other records is noted."""
        counts, trouble = batch.counts, None
        for origin in origins:
            made = self.maker.from_line(origin)
            counts.lines += 1
            if not isinstance(made, Document):
                counts.invalid += 1
                batch.letters.append(letter_of_invalid(self.maker, made))
                continue
            counts.unknown_fields += made.unknown_fields
            if made.index not in self._checked and trouble is None:
                trouble = self._template_trouble(made.index, deadline)
            if made.index in self._checked:
                yield made
            else:
                batch.give_back(origin.sequence_number)
        if trouble is not None:
            _LOG.error("%d records come again: %s", counts.failed, trouble)

    def _note(self, result: BulkResult, batch: _Batch) -> None:
        counts = batch.counts
        counts.created += result.created
        counts.unchanged += result.unchanged
        counts.retried += result.retried
        counts.bulks += result.bulks
        counts.bytes += result.bytes
        counts.refused += len(result.refused)
        batch.letters += [letter_of_refused(self.maker, document, why) for document, why in result.refused]
        for document, _ in result.failed:
            batch.give_back(document.origin.sequence_number)
        if result.failed:
            _LOG.warning("%d records come again: %s", len(result.failed), result.failed[0][1])

    def _template_trouble(self, index: str, deadline: float) -> str | None:
        """Why nothing may be written: an index made without its template maps every field by guessing."""
        wait = _FIRST_WAIT_SECONDS
        while self.template:
            try:
                self.client.indices.get_index_template(name=self.template)
            except NotFoundError:
                return f"the index template {self.template} is missing; materialize index_template first."
            except OpenSearchException as error:
                if self.writer.clock() + wait >= deadline:
                    return f"the index template {self.template} cannot be read: {error}"
            else:
                break
            self.writer.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
        self._checked.add(index)
        return None

    def _set_aside(self, batch: _Batch, deadline: float) -> None:
        letters = batch.letters
        if not letters:
            return
        kinds = ", ".join(sorted({letter.kind for letter in letters}))
        if self.store is None:
            _LOG.error("%d records can never succeed (%s), no DEAD_LETTER_BUCKET is set", len(letters), kinds)
            for letter in letters:
                batch.give_back(letter.sequence_number)
            return
        lost = self.store.put(letters, expired=lambda: self.writer.clock() >= deadline)
        for letter, _ in lost:
            batch.give_back(letter.sequence_number)
        if lost:
            _LOG.error("%d of %d records come again: %s", len(lost), len(letters), lost[0][1])
        batch.counts.dead += len(letters) - len(lost)
        _LOG.warning("%d records set aside (%s)", len(letters) - len(lost), kinds)


def lambda_handler(event: Mapping[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Handle one batch of a Kinesis stream.

    Args:
        event: Lambda's Kinesis event.
        context: Lambda's context; its remaining time bounds the retries.

    Returns:
        ``{"batchItemFailures": [{"itemIdentifier": sequence number}, …]}``: what must come again.

    Raises:
        ValueError: The environment or the event is unusable; the whole batch comes again.
    """
    started = time.monotonic()
    settings = HandlerSettings.from_env(os.environ)
    failed, counts = handler_for(settings).handle(event, _remaining_seconds(context))
    print(metrics_line(counts, settings.rules.index, time.monotonic() - started), flush=True)
    return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}


@functools.lru_cache(maxsize=4)
def handler_for(settings: HandlerSettings) -> Handler:
    """The container's handler: clients are made once for a set of settings.

    Raises:
        ValueError: The settings do not describe a usable domain.
    """
    client = connect(settings.domain)
    store = None
    if settings.dead_letter_bucket:
        config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
        s3 = boto3.client("s3", region_name=settings.domain.region, config=config)
        store = DeadLetterStore(s3, settings.dead_letter_bucket, settings.dead_letter_prefix)
    writer = writer_for(client, settings.bulk_documents)
    return Handler(DocumentMaker(settings.rules), writer, store, settings.template, client)


def writer_for(client: OpenSearch, bulk_documents: int = DEFAULT_BULK_DOCUMENTS) -> BulkWriter:
    """The handler's writer: a batch of Lambda's goes as a few bulks side by side, none of them tiny."""
    return BulkWriter(client, max_documents=bulk_documents, writers=_WRITERS)


def read_event(event: Mapping[str, Any]) -> Iterator[Origin]:
    """The records of a Kinesis event: its data's non-blank lines, as Firehose lands them in the lake.

    Raises:
        ValueError: It is no Kinesis event.
    """
    for item in _items(event):
        try:
            kinesis = item["kinesis"]
            number = str(kinesis["sequenceNumber"])
            data = binascii.a2b_base64(kinesis["data"], strict_mode=True)
            shard = str(item["eventID"]).partition(":")[0]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"an item of the event is no Kinesis record: {error!r}") from error
        at = kinesis.get("approximateArrivalTimestamp")
        arrived_at = at if isinstance(at, int | float) else ""
        for ordinal, line in enumerate(filter(bytes.strip, data.split(b"\n"))):
            position = f"{shard}:{number}" if ordinal == 0 else f"{shard}:{number}:{ordinal}"
            yield Origin(position, line, number, arrived_at)


def _items(event: Mapping[str, Any]) -> list[Any]:
    items = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(items, list):
        raise ValueError("the event has no Records: this function takes events of a Kinesis stream.")  # noqa: TRY004
    return items


def _in_order(event: Mapping[str, Any], numbers: set[str]) -> list[str]:
    """These sequence numbers of the event's, in its order."""
    if not numbers:
        return []
    every = dict.fromkeys(str(item["kinesis"]["sequenceNumber"]) for item in _items(event))
    return [number for number in every if number in numbers]


def _remaining_seconds(context: Any) -> float:
    remaining: Callable[[], int] | None = getattr(context, "get_remaining_time_in_millis", None)
    return remaining() / 1000 if remaining is not None else DEFAULT_SECONDS
