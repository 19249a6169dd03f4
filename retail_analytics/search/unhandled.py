"""Replaying what Lambda gave up: batches on the event source mapping's S3 destination, with their payload.

Each object there is one batch that the handler never finished: the cluster was down for longer than the retry
limit, or the function failed. Its records are handled as the handler would have; what can never be a document
becomes a dead letter, and then the object goes. Not here: dead letters themselves (``replay.py``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from retail_analytics.search.documents import Document, DocumentMaker
from retail_analytics.search.environment import document_rules
from retail_analytics.search.history import BATCH_SECONDS, IndexingError
from retail_analytics.search.letters import letter_of_invalid, letter_of_refused
from retail_analytics.search.replay import Replayed
from retail_analytics.search.upsert_to_es import read_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from retail_analytics.feeds.declaration import Feed
    from retail_analytics.search.bulk import BulkWriter
    from retail_analytics.search.dead_letters import DeadLetter, DeadLetterStore

FOLDER = "unhandled/"
"""Where the embedded cloud's destination lies under the dead letters' prefix."""

BUCKET_FOLDER = "aws/lambda/"
"""Where Lambda itself writes: a destination is a bucket there, shared by the functions of all feeds."""


def replay_unhandled(
    feed: Feed,
    writer: BulkWriter,
    store: DeadLetterStore,
    progress: Callable[[Replayed], None] | None = None,
) -> Replayed:
    """Replay every batch that was given up. An object is removed after all of its records are somewhere.

    Returns:
        Records read and indexed; the others are dead letters now.

    Raises:
        IndexingError: The index or S3 did not take something in time; run it again.
        ValueError: An object there is no batch that Lambda gave up.
    """
    maker = DocumentMaker(document_rules(feed))
    done = Replayed()
    for key in list(unhandled_keys(store)):
        event = _event_of(feed, store, key)
        if event is None:
            continue
        indexed, letters = _replay_event(maker, writer, store, key, event)
        done = Replayed(
            done.read + indexed + len(letters),
            done.indexed + indexed,
            done.dead + len(letters),
            done.first_reason or (letters[0].reason if letters else ""),
        )
        store.s3.delete_object(Bucket=store.bucket, Key=key)
        if progress is not None:
            progress(done)
    return done


def unhandled_keys(store: DeadLetterStore) -> Iterator[str]:
    """The objects of batches that were given up, those of other feeds' functions among them."""
    for prefix in (f"{store.prefix}{FOLDER}", BUCKET_FOLDER):
        pages = store.s3.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=prefix)
        for page in pages:
            yield from (item["Key"] for item in page.get("Contents", []))


def payload_of(key: str, batch: Mapping[str, Any]) -> dict[str, Any]:
    """The Kinesis event of a batch that Lambda gave up.

    Raises:
        ValueError: The object is no such batch.
    """
    payload = batch.get("payload")
    try:
        event = json.loads(payload) if isinstance(payload, str) else payload
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise ValueError(f"{key} is no batch with its payload. Look at it, then move it elsewhere.")  # noqa: TRY004
    return event


def _event_of(feed: Feed, store: DeadLetterStore, key: str) -> dict[str, Any] | None:
    """The event of a batch; None where it is another stream's, or another function's than one on a stream."""
    body = store.s3.get_object(Bucket=store.bucket, Key=key)["Body"].read()
    try:
        batch = json.loads(body)
    except ValueError:
        batch = None
    batch = batch if isinstance(batch, dict) else {}
    if key.startswith(BUCKET_FOLDER):
        arn = str(batch.get("KinesisBatchInfo", {}).get("streamArn", ""))
        if arn.partition(":stream/")[2] != feed.stream:
            return None
    return payload_of(key, batch)


def _replay_event(
    maker: DocumentMaker, writer: BulkWriter, store: DeadLetterStore, key: str, event: Mapping[str, Any]
) -> tuple[int, list[DeadLetter]]:
    documents: list[Document] = []
    letters: list[DeadLetter] = []
    for origin in read_event(event):
        made = maker.from_line(origin)
        if isinstance(made, Document):
            documents.append(made)
        else:
            letters.append(letter_of_invalid(maker, made))
    result = writer.write(documents, deadline=writer.clock() + BATCH_SECONDS)
    if result.failed:
        raise IndexingError(
            f"{len(result.failed)} records of {key} wait for the index: {result.failed[0][1]}. Run it again."
        )
    letters += [letter_of_refused(maker, document, reason) for document, reason in result.refused]
    lost = store.put(letters)
    if lost:
        raise IndexingError(f"{len(lost)} letters could not be written: {lost[0][1]} Run it again.")
    return result.created + result.unchanged, letters
