"""Making dead letters of what could not be indexed; the handler, the history and replays share it.

Not here: where they are kept (``dead_letters.py``). Standard library only.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from retail_analytics.search.dead_letters import UNKNOWN_DAY, DeadLetter

if TYPE_CHECKING:
    from retail_analytics.search.documents import Document, DocumentMaker, Invalid, Origin


def letter_of_refused(maker: DocumentMaker, document: Document, reason: str) -> DeadLetter:
    """The dead letter of a document that the index refused for good."""
    return DeadLetter(
        document_id=document.id,
        kind="refused",
        reason=reason,
        day=document.day,
        record_id=document.record_id,
        sequence_number=document.origin.sequence_number,
        arrived_at=_arrival(document.origin),
        data=maker.raw(document.origin),
    )


def letter_of_invalid(maker: DocumentMaker, invalid: Invalid) -> DeadLetter:
    """The dead letter of a record that is no document."""
    return DeadLetter(
        document_id=invalid.id,
        kind=invalid.kind,
        reason=invalid.reason,
        day=invalid.day or UNKNOWN_DAY,
        record_id=invalid.record_id,
        sequence_number=invalid.origin.sequence_number,
        arrived_at=_arrival(invalid.origin),
        data=maker.raw(invalid.origin),
    )


def _arrival(origin: Origin) -> str:
    """ISO 8601; only letters want it written out."""
    at = origin.arrived_at
    return at if isinstance(at, str) else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
