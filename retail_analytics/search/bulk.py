"""Bulk writing: bounded requests, every item's result read, what failed for now tried again.

Here belongs what happens between documents and the index. Not here: how a document is made
(``documents.py``) and where the refused ones go (``dead_letters.py``). Standard library and opensearch-py
only: the module is part of the handler's zip.

Documents are written create-once: ``create``, for which a conflict means that the document is there
already, and so counts as done. A record id stands for one line of one invoice, which never changes, so
whoever comes first — the stream, a replay of it, the history indexer, in any order — writes the same bytes,
and whoever comes later changes nothing. External versions were the alternative: a Kinesis sequence number
does not fit their 64 bits, is not comparable across a resharding, and history has none.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Literal

from opensearchpy.exceptions import ConnectionError as TransportConnectionError
from opensearchpy.exceptions import SerializationError, SSLError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from opensearchpy import OpenSearch

    from retail_analytics.search.documents import Document

MAX_BULK_BYTES = 5 * 1024 * 1024
MAX_BULK_DOCUMENTS = 5_000
REQUEST_TIMEOUT_SECONDS = 30.0

_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0
_ITEM_FIELDS = "items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"

# Answers of status 400 that are the cluster's fault and not the document's: too many shards, a closed
# index, an alias without a write index, an index name that the settings make.
_NOT_THE_DOCUMENT = frozenset({
    "validation_exception",
    "index_closed_exception",
    "cluster_block_exception",
    "invalid_index_name_exception",
    "invalid_alias_name_exception",
})  # fmt: skip

Verdict = Literal["created", "unchanged", "refused", "later"]


@dataclass
class BulkResult:
    """What became of the documents given to :meth:`BulkWriter.write`; each is in exactly one place.

    Attributes:
        created: Documents written now.
        unchanged: Documents that were there already.
        refused: (document, reason): the index will never take it as it is.
        failed: (document, reason): not written before the deadline; worth another attempt.
        retried: How many times a document was sent again.
        bulks: Requests sent.
        bytes: Bytes of their bodies.
    """

    created: int = 0
    unchanged: int = 0
    refused: list[tuple[Document, str]] = field(default_factory=list)
    failed: list[tuple[Document, str]] = field(default_factory=list)
    retried: int = 0
    bulks: int = 0
    bytes: int = 0

    def add(self, other: BulkResult) -> None:
        """Add another result to this one."""
        self.created += other.created
        self.unchanged += other.unchanged
        self.refused += other.refused
        self.failed += other.failed
        self.retried += other.retried
        self.bulks += other.bulks
        self.bytes += other.bytes


@dataclass(frozen=True)
class BulkWriter:
    """Writes documents through one client. Safe to use from several threads.

    Attributes:
        client: The client; it must not retry by itself, or failures cost their waiting twice.
        max_bytes: Bound of a request's body.
        max_documents: Bound of its documents.
        writers: How many requests of one call may be under way at a time.
        clock: Seconds, monotonic; deadlines are in its time.
        sleep: Waits so many seconds.
        jitter: A number between the two given, for the wait.
    """

    client: OpenSearch
    max_bytes: int = MAX_BULK_BYTES
    max_documents: int = MAX_BULK_DOCUMENTS
    writers: int = 1
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[float, float], float] = random.uniform

    def write(self, documents: Iterable[Document], *, deadline: float, overwrite: bool = False) -> BulkResult:
        """Write documents; back off and try again what failed for now, until the deadline.

        Args:
            documents: Any number; sent in requests of at most ``max_bytes`` and ``max_documents``. A
                document that alone is larger goes alone.
            deadline: The latest moment, in ``clock``'s time, at which a request may still be running.
            overwrite: Write over a document that is there; for repairs alone, which know that it differs.
        """
        total = BulkResult()
        action = "index" if overwrite else "create"
        chunks = self._chunks(documents)
        if self.writers == 1:
            for chunk in chunks:
                self._write_chunk(chunk, action, deadline, total)
            return total
        with ThreadPoolExecutor(max_workers=self.writers) as pool:
            for result in pool.map(lambda chunk: self._write_one(chunk, action, deadline), chunks):
                total.add(result)
        return total

    def _write_one(self, chunk: Sequence[Document], action: str, deadline: float) -> BulkResult:
        result = BulkResult()
        self._write_chunk(chunk, action, deadline, result)
        return result

    def _write_chunk(
        self, chunk: Sequence[Document], action: str, deadline: float, total: BulkResult
    ) -> None:
        pending, wait, reason = list(chunk), _FIRST_WAIT_SECONDS, "not tried: no time was left"
        while pending:
            if self.clock() >= deadline:
                total.failed += [(document, reason) for document in pending]
                return
            pending, reason, final = self._send(pending, action, deadline, total)
            if pending and final:
                total.failed += [(document, reason) for document in pending]
                return
            if pending:
                pause = self.jitter(wait / 2, wait)
                if self.clock() + pause >= deadline:
                    total.failed += [(document, reason) for document in pending]
                    return
                self.sleep(pause)
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
                total.retried += len(pending)

    def _send(
        self, documents: list[Document], action: str, deadline: float, total: BulkResult
    ) -> tuple[list[Document], str, bool]:
        """One request. Returns what is still to be written, why, and whether trying again is vain."""
        body = b"".join(_lines(documents, action))
        total.bulks += 1
        total.bytes += len(body)
        timeout = min(REQUEST_TIMEOUT_SECONDS, max(deadline - self.clock(), 0.5))
        try:
            answer = self.client.transport.perform_request(
                "POST",
                "/_bulk",
                params={"filter_path": _ITEM_FIELDS, "request_timeout": timeout},
                headers={"content-type": "application/x-ndjson"},
                body=body,
            )
        except SSLError as error:
            return documents, f"the certificate was not accepted: {_short(error)}", True
        except (TransportConnectionError, SerializationError) as error:
            return documents, _short(error), False
        except TransportError as error:
            return self._whole_request_failed(documents, action, error, deadline, total)
        return self._read(documents, answer, total)

    def _whole_request_failed(
        self,
        documents: list[Document],
        action: str,
        error: TransportError,
        deadline: float,
        total: BulkResult,
    ) -> tuple[list[Document], str, bool]:
        reason = f"status {error.status_code}: {_short(error)}"
        if error.status_code in (429, 408) or _is_5xx(error.status_code):
            return documents, reason, False
        if error.status_code == 400 and error.error in _NOT_THE_DOCUMENT:
            return documents, reason, False
        if error.status_code != 413 and not _of_a_document(error):  # credentials, permissions, a wrong host
            return documents, reason, True
        if len(documents) == 1:
            total.refused.append((documents[0], reason))
            return [], "", False
        # One document spoils the request, or all together are too large for the server: halve.
        middle = len(documents) // 2
        for half in (documents[:middle], documents[middle:]):
            self._write_chunk(half, action, deadline, total)
        return [], "", False

    def _read(
        self, documents: list[Document], answer: Any, total: BulkResult
    ) -> tuple[list[Document], str, bool]:
        items = answer.get("items") if isinstance(answer, dict) else None
        if not isinstance(items, list) or len(items) != len(documents):
            return documents, "the bulk answer does not tell what became of each document", False
        again: list[Document] = []
        reason = ""
        for document, item in zip(documents, items, strict=True):
            verdict, detail = judge_item(item)
            if verdict == "created":
                total.created += 1
            elif verdict == "unchanged":
                total.unchanged += 1
            elif verdict == "refused":
                total.refused.append((document, detail))
            else:
                again.append(document)
                reason = reason or detail
        return again, reason, False

    def _chunks(self, documents: Iterable[Document]) -> Iterator[list[Document]]:
        chunk: list[Document] = []
        size = 0
        for document in documents:
            weight = len(document.source) + len(document.id) + len(document.index) + 64
            if chunk and (size + weight > self.max_bytes or len(chunk) >= self.max_documents):
                yield chunk
                chunk, size = [], 0
            chunk.append(document)
            size += weight
        if chunk:
            yield chunk


def judge_item(item: Any) -> tuple[Verdict, str]:
    """What one item of a bulk answer says, and why."""
    result = next(iter(item.values()), None) if isinstance(item, dict) else None
    status = result.get("status") if isinstance(result, dict) else None
    if not isinstance(result, dict) or not isinstance(status, int):
        return "later", "the bulk answer holds an item without a status"
    if 200 <= status < 300:
        return "created", ""
    if status == 409:
        return "unchanged", ""
    error = result.get("error") or {}
    kind = str(error.get("type", "unknown"))
    cause = (error.get("caused_by") or {}).get("reason")
    reason = f"status {status}, {kind}: {error.get('reason', 'no reason given')}"
    reason = (f"{reason}; {cause}" if cause else reason)[:500]
    if status in (400, 413) and kind not in _NOT_THE_DOCUMENT:
        return "refused", reason
    return "later", reason


def _lines(documents: Iterable[Document], action: str) -> Iterator[bytes]:
    heads: dict[str, str] = {}  # documents of a bulk are of one index or two
    for document in documents:
        head = heads.get(document.index)
        if head is None:
            head = f'{{"{action}":{{"_index":{encode_basestring(document.index)},"_id":'
            heads[document.index] = head
        yield f"{head}{encode_basestring(document.id)}}}}}\n".encode()
        yield document.source
        yield b"\n"


def _of_a_document(error: TransportError) -> bool:
    """Whether the search server itself refused the content; a proxy's 400 is no document's fault."""
    return error.status_code == 400 and isinstance(error.info, dict) and "error" in error.info


def _is_5xx(status: Any) -> bool:
    return isinstance(status, int) and status >= 500


def _short(error: Exception) -> str:
    return str(error).replace("\n", " ")[:300]
