"""What compaction came to for an hour, and how that is noted on its published partition.

Not here: how it is made (``compaction.py``) and judged (``audit.py``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from retail_analytics.batch import compaction_sql
from retail_analytics.batch.objects_noted import Changes
from retail_analytics.lake import hours as hours_

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retail_analytics.lake.partitions import Partition

State = Literal["published", "unchanged", "empty", "failed"]

COUNTS = ("lines", "compacted", "rejected", "duplicates", "without_id")
"""The names of :class:`Counts`, in the audit's rows and on partitions."""

_NUMBERS = (*COUNTS, "raw_objects", "raw_bytes", "objects", "bytes")


@dataclass(frozen=True)
class Counts:
    """The lines of an hour, accounted for: ``lines == compacted + rejected + duplicates``."""

    lines: int = 0
    compacted: int = 0
    rejected: int = 0
    duplicates: int = 0
    without_id: int = 0


def rules() -> str:
    """The rules that hours are compacted by now, as noted on their partitions."""
    return str(compaction_sql.RULES_VERSION)


@dataclass(frozen=True)
class HourResult:
    """What compaction came to for one hour.

    Attributes:
        hour: Its start.
        state: ``published`` now, ``unchanged`` since it was last published, ``empty`` (no object), or
            ``failed``, with the ``problem``.
        digest: The digest of the raw hour that this is about.
        counts: Its lines, accounted for.
        raw_objects: Objects in raw.
        raw_bytes: Their bytes.
        objects: Objects that compaction wrote.
        bytes: Their bytes.
        event_days: Days of which it holds events.
        former_days: Days of which it held events before this, in any publication.
        query_id: The CTAS.
        scanned_bytes: Its share, by raw bytes, of what the CTAS and the audit read.
        preview: A few records, between the separators of ``compaction_sql``.
        problem: Why it failed.
        changes: How its objects differed from those that the publication before was made from; None for a
            first publication, and for one whose objects were not noted.
        rules: The rules that it was compacted by.
        run_id: The run that published it, or an empty string.
        published_at: When it was published, aware; None where it has not been.
    """

    hour: datetime
    state: State
    digest: str
    counts: Counts = field(default_factory=Counts)
    raw_objects: int = 0
    raw_bytes: int = 0
    objects: int = 0
    bytes: int = 0
    event_days: tuple[str, ...] = ()
    former_days: tuple[str, ...] = ()
    query_id: str = ""
    scanned_bytes: int = 0
    preview: str = ""
    problem: str = ""
    changes: Changes | None = None
    rules: str = field(default_factory=rules)
    run_id: str = ""
    published_at: datetime | None = None

    @property
    def changed_days(self) -> tuple[str, ...]:
        """The event days that this hour's publication touches: held now, held before, and its own.

        Its own day is among them so that a day without a record is known to be one.
        """
        return tuple(sorted({*self.event_days, *self.former_days, hours_.day_key(self.hour.date())}))


def noted(result: HourResult) -> dict[str, str]:
    """What is noted on a published partition: enough to report it without reading it again."""
    parameters = {
        "digest": result.digest,
        "rules": result.rules,
        "lines": str(result.counts.lines),
        "compacted": str(result.counts.compacted),
        "rejected": str(result.counts.rejected),
        "duplicates": str(result.counts.duplicates),
        "without_id": str(result.counts.without_id),
        "raw_objects": str(result.raw_objects),
        "raw_bytes": str(result.raw_bytes),
        "objects": str(result.objects),
        "bytes": str(result.bytes),
        "event_days": ",".join(result.event_days),
        # A run that dies after publishing has told nobody; the next one tells these days again.
        "former_days": ",".join(result.former_days),
        "query_id": result.query_id,
        "preview": json.dumps(result.preview),
        "run_id": result.run_id,
        "compacted_at": (result.published_at or datetime.now(UTC)).isoformat(timespec="seconds"),
    }
    if result.changes is not None:
        parameters["changes"] = result.changes.dumps()
    return parameters


def read_noted(hour: datetime, parameters: Mapping[str, str], state: State) -> HourResult:
    """The result that was noted on a published partition, without the cost of making it."""
    number = {name: int(parameters.get(name, "0")) for name in _NUMBERS}
    changes, published = parameters.get("changes"), parameters.get("compacted_at")
    return HourResult(
        hour=hour,
        state=state,
        digest=parameters.get("digest", ""),
        counts=Counts(**{name: number[name] for name in COUNTS}),
        raw_objects=number["raw_objects"],
        raw_bytes=number["raw_bytes"],
        objects=number["objects"],
        bytes=number["bytes"],
        event_days=_days(parameters, "event_days"),
        former_days=_days(parameters, "former_days"),
        query_id=parameters.get("query_id", ""),
        preview=json.loads(parameters.get("preview", '""')),
        changes=Changes.loads(changes) if changes else None,
        rules=parameters.get("rules", ""),
        run_id=parameters.get("run_id", ""),
        published_at=datetime.fromisoformat(published) if published else None,
    )


def noted_days(partition: Partition | None) -> tuple[str, ...]:
    """The days of an hour's publication and of those before it: any of them may not have been told yet."""
    if partition is None:
        return ()
    noted_on = partition.parameters
    return tuple(sorted({*_days(noted_on, "event_days"), *_days(noted_on, "former_days")}))


def _days(parameters: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(filter(None, parameters.get(name, "").split(",")))
