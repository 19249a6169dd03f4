"""Compaction: raw hours become published, audited Parquet. Write, audit, publish (promise 2).

A batch of hours is written by one CTAS to a location of its own, audited against raw by one query, and
published by pointing the catalog's partitions at it. Whatever stops it in between leaves readers with the
old hours and the next attempt with nothing to clean up first. Not here: the statements
(``compaction_sql.py``) and Dagster (``assets.py``).
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from retail_analytics.batch import compaction_sql, staging
from retail_analytics.lake import hours as hours_
from retail_analytics.lake import objects, tables
from retail_analytics.lake.catalog import raw_partition
from retail_analytics.lake.objects import EMPTY
from retail_analytics.lake.partitions import Partition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from retail_analytics.batch.staging import Output, Pipeline, Staged
    from retail_analytics.lake.objects import RawHour

State = Literal["published", "unchanged", "empty", "failed"]

MOST_BYTES = 20 * 1024**3
"""Raw bytes that one CTAS reads at the most, so that it ends well inside Athena's time limit."""

_ATTEMPTS = 4
_JSON_TO_PARQUET = 0.2  # Parquet's bytes to JSON's, measured on the retail month; only sizes files


@dataclass(frozen=True)
class Counts:
    """The lines of an hour, accounted for: ``lines == compacted + rejected + duplicates``."""

    lines: int = 0
    compacted: int = 0
    rejected: int = 0
    duplicates: int = 0
    without_id: int = 0


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

    @property
    def changed_days(self) -> tuple[str, ...]:
        """The event days that this hour's publication touches: held now, held before, and its own.

        Its own day is among them so that a day without a record is known to be one.
        """
        return tuple(sorted({*self.event_days, *self.former_days, hours_.day_key(self.hour.date())}))


def compact(
    pipeline: Pipeline,
    hours: Sequence[datetime],
    log: Callable[[str], None] = lambda _: None,
    force: bool = False,
) -> list[HourResult]:
    """Compact these hours; those that are published from what raw holds now are left alone.

    Args:
        pipeline: The feed and its clients.
        hours: Hours, aware and whole.
        log: Told of each batch.
        force: Compact unchanged hours too.

    Returns:
        A result an hour, in order. Hours that failed are among them; the others are published.

    Raises:
        AthenaError: A statement failed; hours of earlier batches are published.
        CatalogError: Glue refused partitions.
    """
    results: dict[datetime, HourResult] = {}
    waiting = sorted(set(hours))
    for attempt in range(1, _ATTEMPTS + 1):
        raw = objects.list_these(pipeline.s3, pipeline.settings.bucket, pipeline.feed, waiting)
        published = _published(pipeline, waiting)
        settled = {hour: _settled(raw[hour], published.get(hour), force) for hour in waiting}
        results |= {hour: result for hour, result in settled.items() if result is not None}
        emptied = [raw[hour] for hour in waiting if _is_emptied(raw[hour], published.get(hour))]
        results |= _withdraw(pipeline, emptied, published)
        todo = [raw[hour] for hour in waiting if settled[hour] is None and raw[hour].objects]
        done = 0
        for batch, buckets in batches(todo, pipeline.settings.target_file_bytes):
            results |= _compact_batch(pipeline, batch, buckets, published)
            done += len(batch)
            log(f"{done} of {len(todo)} hours with news compacted, up to {hours_.part(batch[-1].hour)}.")
        # Promise 2: an hour that changed while it was compacted or withdrawn starts over, published or not.
        waiting = _changed_meanwhile(pipeline, [*emptied, *todo])
        if not waiting:
            break
        log(f"{len(waiting)} hour(s) changed meanwhile; starting over with them (attempt {attempt}).")
        force = False
    else:
        for hour in waiting:
            results[hour] = replace(
                results[hour],
                state="failed",
                problem=f"it changed during each of {_ATTEMPTS} attempts; run it again when it is quiet",
            )
    return [results[hour] for hour in sorted(results)]


def batches(raw: Sequence[RawHour], target_file_bytes: int) -> Iterator[tuple[list[RawHour], int]]:
    """Group hours into CTAS queries: (hours, buckets), within Athena's hundred partitions x buckets.

    Hours of a size go together: small ones get one file each, large ones several near the target size.
    """
    by_buckets: dict[int, list[RawHour]] = {}
    for item in raw:
        wanted = math.ceil(item.size * _JSON_TO_PARQUET / target_file_bytes)
        by_buckets.setdefault(min(max(wanted, 1), staging.MOST_PARTITIONS), []).append(item)
    for buckets, items in sorted(by_buckets.items()):
        batch: list[RawHour] = []
        for item in items:
            full = (len(batch) + 1) * buckets > staging.MOST_PARTITIONS
            if batch and (full or sum(raw_hour.size for raw_hour in batch) + item.size > MOST_BYTES):
                yield batch, buckets
                batch = []
            batch.append(item)
        if batch:
            yield batch, buckets


def _settled(raw: RawHour, published: Partition | None, force: bool) -> HourResult | None:
    """The result of an hour that needs no work, or None."""
    if not raw.objects:
        return read_noted(raw.hour, published.parameters if published else {"digest": EMPTY}, "empty")
    if published is None or force:
        return None
    noted = published.parameters
    if noted.get("digest") != raw.digest or noted.get("rules") != _rules():
        return None
    return read_noted(raw.hour, noted, "unchanged")


def _published(pipeline: Pipeline, hours: Sequence[datetime]) -> dict[datetime, Partition]:
    table = tables.compacted_table(pipeline.feed, pipeline.settings)
    found = pipeline.catalog.get(table, [tuple(hours_.partition_values(hour)) for hour in hours])
    return {hours_.from_partition_values(list(values)): item for values, item in found.items()}


def _is_emptied(raw: RawHour, published: Partition | None) -> bool:
    return not raw.objects and published is not None and published.parameters.get("digest") != EMPTY


def _withdraw(
    pipeline: Pipeline, emptied: Sequence[RawHour], published: Mapping[datetime, Partition]
) -> dict[datetime, HourResult]:
    """Publish hours whose objects are all gone as empty; their partitions note which days they held.

    Dropping the partitions would forget these days, should the run die before it has told anybody.
    """
    feed, settings = pipeline.feed, pipeline.settings
    values = [tuple(hours_.partition_values(raw.hour)) for raw in emptied]
    results = [
        HourResult(raw.hour, "empty", EMPTY, former_days=_noted_days(published[raw.hour])) for raw in emptied
    ]
    table = tables.compacted_table(feed, settings)
    pipeline.catalog.delete(tables.rejects_table(feed, settings), values)
    pipeline.catalog.put(
        table,
        [
            Partition(at, f"{table.location}empty/", noted(result))
            for at, result in zip(values, results, strict=True)
        ],
        existing=values,
    )
    return {result.hour: result for result in results}


def _changed_meanwhile(pipeline: Pipeline, done: Sequence[RawHour]) -> list[datetime]:
    if not done:
        return []
    now = objects.list_these(pipeline.s3, pipeline.settings.bucket, pipeline.feed, [raw.hour for raw in done])
    return [raw.hour for raw in done if now[raw.hour].digest != raw.digest]


def _compact_batch(
    pipeline: Pipeline, batch: Sequence[RawHour], buckets: int, published: Mapping[datetime, Partition]
) -> dict[datetime, HourResult]:
    """Write, audit and publish one batch; hours that changed meanwhile are not published."""
    feed, settings = pipeline.feed, pipeline.settings
    hours = [raw.hour for raw in batch]
    # Compaction reads through these; whoever runs it alone need not know that the catalog comes first.
    lines = tables.lines_table(feed, settings)
    pipeline.catalog.ensure(lines, [raw_partition(feed, settings, hour) for hour in hours])
    with staging.staged(
        pipeline,
        root=f"compacted/{feed.name}/",
        name=_range_digest(batch),
        select=compaction_sql.write_select(feed, settings, hours),
        partition="part",
        bucket_by=feed.columns[0].name,
        buckets=buckets,
    ) as written:
        audit = pipeline.athena.query(compaction_sql.audit_select(feed, settings, hours, written.table))
        files = staging.outputs(pipeline, written)
    rows = {row["part"]: row for row in audit.rows}
    scanned = written.execution.scanned_bytes + audit.execution.scanned_bytes
    share = scanned / max(1, sum(raw.size for raw in batch))
    judged = [_judge(pipeline, raw, rows.get(hours_.part(raw.hour)), files, written, share) for raw in batch]
    results = {
        result.hour: replace(result, former_days=_noted_days(published.get(result.hour))) for result in judged
    }
    _publish(pipeline, batch, results, written, published)
    return results


def _judge(
    pipeline: Pipeline,
    raw: RawHour,
    row: Mapping[str, Any] | None,
    files: Mapping[str, Output],
    written: Staged,
    share: float,
) -> HourResult:
    """The result of an hour from its row of the audit; ``failed`` where raw and written differ."""
    unseen = row is None and raw.size > 0
    row = row or dict.fromkeys(_COUNTS, 0)
    counts = Counts(**{name: row[name] for name in _COUNTS})
    output = files.get(hours_.part(raw.hour), staging.Output(0, 0))
    problem = (
        f"the audit saw nothing of its {raw.size} bytes" if unseen else audit_problem(pipeline, counts, row)
    )
    return HourResult(
        hour=raw.hour,
        state="failed" if problem else "published",
        digest=raw.digest,
        counts=counts,
        raw_objects=len(raw.objects),
        raw_bytes=raw.size,
        objects=output.objects,
        bytes=output.size,
        event_days=tuple(filter(None, (row.get("event_days") or "").split(","))),
        query_id=written.execution.query_id,
        scanned_bytes=round(raw.size * share),
        preview=row.get("preview") or "",
        problem=problem,
    )


def audit_problem(pipeline: Pipeline, counts: Counts, row: Mapping[str, Any]) -> str:
    """What the audit of an hour found wrong, or an empty string."""
    accounted = counts.compacted + counts.rejected + counts.duplicates
    if counts.lines != accounted:
        return (
            f"{counts.lines} lines in raw, but {counts.compacted} compacted + {counts.rejected} rejected"
            f" + {counts.duplicates} duplicates = {accounted}"
        )
    for index, column in enumerate(pipeline.feed.columns):
        for what in ("count", "sum"):
            raw, there = row.get(f"raw_{what}_{index}"), row.get(f"written_{what}_{index}")
            if not _equal(raw, there):
                return f"{what} of {column.name} is {raw} in raw, {there} as written"
    return ""


def _equal(left: Any, right: Any) -> bool:
    # NULL is the sum of nothing; an hour without a good record has no written row at all.
    left, right = left or 0, right or 0
    if isinstance(left, float) or isinstance(right, float):
        # Floating sums depend on the order of their rows.
        return math.isclose(left, right, rel_tol=1e-9) or (math.isnan(left) and math.isnan(right))
    return Decimal(left) == Decimal(right)


def _publish(
    pipeline: Pipeline,
    batch: Sequence[RawHour],
    results: Mapping[datetime, HourResult],
    written: Staged,
    published: Mapping[datetime, Partition],
) -> None:
    """Publish the good hours of a batch that are still what was compacted; rejects first."""
    changed = set(_changed_meanwhile(pipeline, batch))
    good = [r for r in results.values() if r.state == "published" and r.hour not in changed]
    if not good:
        return
    _publish_rejects(pipeline, good)
    _index_event_days(pipeline, good)
    table = tables.compacted_table(pipeline.feed, pipeline.settings)
    pipeline.catalog.put(
        table,
        [
            Partition(
                tuple(hours_.partition_values(result.hour)),
                written.location_of(hours_.part(result.hour)),
                noted(result),
            )
            for result in good
        ],
        existing=[tuple(hours_.partition_values(hour)) for hour in published],
    )


def _publish_rejects(pipeline: Pipeline, good: Sequence[HourResult]) -> None:
    """Rejects are there before the hour's good rows; those of an hour that has none any more go."""
    feed, settings = pipeline.feed, pipeline.settings
    table = tables.rejects_table(feed, settings)
    # Asked, not read from what is published: an attempt that died here left rejects that nothing else notes.
    had = pipeline.catalog.get(table, [tuple(hours_.partition_values(result.hour)) for result in good])
    with_rejects = [result.hour for result in good if result.counts.rejected]
    if with_rejects:
        with staging.staged(
            pipeline,
            root=f"rejects/{feed.name}/",
            name=hashlib.blake2b("".join(r.digest for r in good).encode(), digest_size=8).hexdigest(),
            select=compaction_sql.rejects_select(feed, settings, with_rejects),
            partition="part",
            bucket_by="line",
        ) as written:
            pipeline.catalog.put(
                table,
                [
                    Partition(tuple(hours_.partition_values(hour)), written.location_of(hours_.part(hour)))
                    for hour in with_rejects
                ],
                existing=had,
            )
    kept = {tuple(hours_.partition_values(hour)) for hour in with_rejects}
    pipeline.catalog.delete(table, [values for values in had if values not in kept])


def _index_event_days(pipeline: Pipeline, good: Sequence[HourResult]) -> None:
    """Note which hours hold which days, before the hours are readable: a row too many does no harm."""
    table = tables.event_days_table(pipeline.feed, pipeline.settings)
    pipeline.catalog.ensure(
        table,
        [
            Partition((day, hours_.part(result.hour)), f"{table.location}_event_days/")
            for result in good
            for day in result.event_days
        ],
    )


def _range_digest(batch: Sequence[RawHour]) -> str:
    joined = "".join(raw.digest for raw in batch)
    return hashlib.blake2b(joined.encode(), digest_size=8).hexdigest()


def _rules() -> str:
    return str(compaction_sql.RULES_VERSION)


def _noted_days(partition: Partition | None) -> tuple[str, ...]:
    """The days of an hour's publication and of those before it: any of them may not have been told yet."""
    if partition is None:
        return ()
    noted_on = partition.parameters
    return tuple(sorted({*_days(noted_on, "event_days"), *_days(noted_on, "former_days")}))


def _days(parameters: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(filter(None, parameters.get(name, "").split(",")))


def noted(result: HourResult) -> dict[str, str]:
    """What is noted on a published partition: enough to report it without reading it again."""
    return {
        "digest": result.digest,
        "rules": _rules(),
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
        "compacted_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def read_noted(hour: datetime, parameters: Mapping[str, str], state: State) -> HourResult:
    """The result that was noted on a published partition, without the cost of making it."""
    number = {name: int(parameters.get(name, "0")) for name in _NUMBERS}
    return HourResult(
        hour=hour,
        state=state,
        digest=parameters.get("digest", ""),
        counts=Counts(**{name: number[name] for name in _COUNTS}),
        raw_objects=number["raw_objects"],
        raw_bytes=number["raw_bytes"],
        objects=number["objects"],
        bytes=number["bytes"],
        event_days=_days(parameters, "event_days"),
        former_days=_days(parameters, "former_days"),
        query_id=parameters.get("query_id", ""),
        preview=json.loads(parameters.get("preview", '""')),
    )


_COUNTS = ("lines", "compacted", "rejected", "duplicates", "without_id")
_NUMBERS = (*_COUNTS, "raw_objects", "raw_bytes", "objects", "bytes")
