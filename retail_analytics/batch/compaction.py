"""Compaction: raw hours become published, audited Parquet. Write, audit, publish (promise 2).

A batch of hours is written by one CTAS to a location of its own, audited against raw by one query, and
published by pointing the catalog's partitions at it; the next batch is written meanwhile. Whatever stops it
in between leaves readers with the old hours and the next attempt with nothing to clean up first. Not here:
the statements (``compaction_sql.py``), the audit's judgement (``audit.py``), the catalog's side
(``publishing.py``) and Dagster (``assets.py``).
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from retail_analytics.batch import compaction_sql, objects_noted, staging
from retail_analytics.batch.audit import judge
from retail_analytics.batch.publishing import changes_since, publish, read_published, withdraw
from retail_analytics.batch.results import Counts, HourResult, noted_days, read_noted, rules
from retail_analytics.lake import hours as hours_
from retail_analytics.lake import objects, tables
from retail_analytics.lake.catalog import raw_partition
from retail_analytics.lake.objects import EMPTY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from retail_analytics.batch.staging import Pipeline, Staged
    from retail_analytics.lake.objects import RawHour
    from retail_analytics.lake.partitions import Partition

# What it answers with comes with it.
__all__ = ["MOST_BYTES", "Counts", "HourResult", "batches", "compact", "compact_in_batches", "read_noted"]

MOST_BYTES = 20 * 1024**3
"""Raw bytes that one CTAS reads at the most, so that it ends well inside Athena's time limit."""

_AHEAD = 1  # batches that are written while one is audited: Athena runs, or queues, them beside it
_ATTEMPTS = 4
_JSON_TO_PARQUET = 0.2  # Parquet's bytes to JSON's, measured on the retail month; only sizes files


def _silence(_: str) -> None:
    """The log of whoever wants none."""


def compact(
    pipeline: Pipeline,
    hours: Sequence[datetime],
    log: Callable[[str], None] = _silence,
    force: bool = False,
    run_id: str = "",
) -> list[HourResult]:
    """Compact these hours to the end: :func:`compact_in_batches`, with one result an hour, in order.

    Raises:
        AthenaError: A statement failed; hours of earlier batches are published.
        CatalogError: Glue refused partitions.
    """
    results: dict[datetime, HourResult] = {}
    for settled in compact_in_batches(pipeline, hours, log, force, run_id):
        results |= settled
    return [results[hour] for hour in sorted(results)]


def compact_in_batches(
    pipeline: Pipeline,
    hours: Sequence[datetime],
    log: Callable[[str], None] = _silence,
    force: bool = False,
    run_id: str = "",
) -> Iterator[dict[datetime, HourResult]]:
    """Compact these hours; those that are published from what raw holds now are left alone.

    Args:
        pipeline: The feed and its clients.
        hours: Hours, aware and whole.
        log: Told of each batch.
        force: Compact unchanged hours too.
        run_id: Who does this, as noted on what is published.

    Yields:
        Results as soon as they are facts: after each batch, its hours that are published or failed. An error
        that ends this leaves what was yielded before true. A later result of an hour replaces an earlier one
        (it changed meanwhile); in the end there is one for each hour.

    Raises:
        AthenaError: A statement failed; hours of earlier batches are published.
        CatalogError: Glue refused partitions.
    """
    waiting = sorted(set(hours))
    for attempt in range(1, _ATTEMPTS + 1):
        look = _look(pipeline, waiting, force)
        yield look.settled
        yield withdraw(pipeline, look.emptied, look.published, run_id)
        done = 0
        unpublished = {raw.hour: raw for raw in look.todo}
        for batch, results in _compact_batches(pipeline, look, run_id):
            yield results
            unpublished = {hour: raw for hour, raw in unpublished.items() if hour not in results}
            done += len(batch)
            log(f"{done} of {len(look.todo)} hours with news compacted, up to {hours_.part(batch[-1].hour)}.")
        # Promise 2: an hour that changed while it was compacted or withdrawn starts over, published or not.
        # Even one that by now is again as it was: it was not published when it was not.
        changed = unpublished | _changed_meanwhile(pipeline, [*look.emptied, *look.todo])
        if not changed:
            return
        waiting = sorted(changed)
        log(f"{len(waiting)} hour(s) changed meanwhile; starting over with them (attempt {attempt}).")
        force = False
    problem = f"it changed during each of {_ATTEMPTS} attempts; run it again when it is quiet"
    yield {
        raw.hour: HourResult(
            raw.hour,
            "failed",
            raw.digest,
            raw_objects=len(raw.objects),
            raw_bytes=raw.size,
            former_days=noted_days(look.published.get(raw.hour)),
            problem=problem,
        )
        for raw in changed.values()
    }


@dataclass(frozen=True)
class _Look:
    """What an attempt has before it.

    Attributes:
        published: The hours that readers find now.
        settled: Results of the hours that need no work, or only to be withdrawn.
        emptied: Hours whose objects are all gone, but that are published with records.
        todo: Hours to compact.
    """

    published: Mapping[datetime, Partition]
    settled: dict[datetime, HourResult] = field(default_factory=dict)
    emptied: tuple[RawHour, ...] = ()
    todo: tuple[RawHour, ...] = ()


def _look(pipeline: Pipeline, hours: Sequence[datetime], force: bool) -> _Look:
    listed = objects.list_these(pipeline.s3, pipeline.settings.bucket, pipeline.feed, hours)
    published = read_published(pipeline.catalog, pipeline.feed, pipeline.settings, hours)
    emptied = {hour: raw for hour, raw in listed.items() if _is_emptied(raw, published.get(hour))}
    settled = {
        hour: result
        for hour, raw in listed.items()
        if hour not in emptied and (result := _settled(raw, published.get(hour), force)) is not None
    }
    todo = [raw for hour, raw in listed.items() if raw.objects and hour not in settled]
    return _Look(published, settled, tuple(emptied.values()), tuple(todo))


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
    found = read_noted(raw.hour, published.parameters, "unchanged")
    return found if found.digest == raw.digest and found.rules == rules() else None


def _is_emptied(raw: RawHour, published: Partition | None) -> bool:
    return not raw.objects and published is not None and published.parameters.get("digest") != EMPTY


def _changed_meanwhile(pipeline: Pipeline, done: Sequence[RawHour]) -> dict[datetime, RawHour]:
    """Those of the hours that are not any more as they were, as they are now."""
    if not done:
        return {}
    now = objects.list_these(pipeline.s3, pipeline.settings.bucket, pipeline.feed, [raw.hour for raw in done])
    return {raw.hour: now[raw.hour] for raw in done if now[raw.hour].digest != raw.digest}


def _compact_batches(
    pipeline: Pipeline, look: _Look, run_id: str
) -> Iterator[tuple[list[RawHour], dict[datetime, HourResult]]]:
    """Batch by batch, with the results; the next ones are written while one is audited and published."""
    with ExitStack() as under_way:  # an error or an interruption cancels what is
        begun: deque[tuple[list[RawHour], Callable[[], Staged], ExitStack]] = deque()
        for batch, buckets in batches(look.todo, pipeline.settings.target_file_bytes):
            scope = under_way.enter_context(ExitStack())
            begun.append((batch, scope.enter_context(_write(pipeline, batch, buckets)), scope))
            if len(begun) > _AHEAD:
                yield begun[0][0], _settle(pipeline, *begun.popleft(), look.published, run_id)
        while begun:
            yield begun[0][0], _settle(pipeline, *begun.popleft(), look.published, run_id)


def _write(
    pipeline: Pipeline, batch: Sequence[RawHour], buckets: int
) -> AbstractContextManager[Callable[[], Staged]]:
    """Begin to write a batch."""
    feed, settings = pipeline.feed, pipeline.settings
    hours = [raw.hour for raw in batch]
    # Compaction reads through these; whoever runs it alone need not know that the catalog comes first.
    lines = tables.lines_table(feed, settings)
    pipeline.catalog.ensure(lines, [raw_partition(feed, settings, hour) for hour in hours])
    return staging.begun(
        pipeline,
        root=f"compacted/{feed.name}/",
        name=_range_digest(batch),
        select=compaction_sql.write_select(feed, settings, hours),
        partition="part",
        bucket_by=feed.columns[0].name,
        buckets=buckets,
    )


def _settle(
    pipeline: Pipeline,
    batch: Sequence[RawHour],
    finished: Callable[[], Staged],
    scope: ExitStack,
    published: Mapping[datetime, Partition],
    run_id: str,
) -> dict[datetime, HourResult]:
    """Audit and publish what was written; hours that changed meanwhile are not published, nor answered."""
    feed, settings = pipeline.feed, pipeline.settings
    with scope:
        written = finished()
        hours = [raw.hour for raw in batch]
        audit = pipeline.athena.query(compaction_sql.audit_select(feed, settings, hours, written.table))
        files = staging.outputs(pipeline, written)
    rows = {row["part"]: row for row in audit.rows}
    scanned = written.execution.scanned_bytes + audit.execution.scanned_bytes
    share = scanned / max(1, sum(raw.size for raw in batch))
    changes = changes_since(pipeline, batch, published)
    objects_noted.note(pipeline.s3, written.location, batch)
    judged = [
        replace(
            judge(feed, raw, rows.get(hours_.part(raw.hour)), files, written, share),
            former_days=noted_days(published.get(raw.hour)),
            changes=changes.get(raw.hour),
        )
        for raw in batch
    ]
    changed = _changed_meanwhile(pipeline, batch)
    good = [each for each in judged if each.state == "published" and each.hour not in changed]
    results = {each.hour: each for each in judged if each.state == "failed"}
    return results | {each.hour: each for each in publish(pipeline, good, written, published, run_id)}


def _range_digest(batch: Sequence[RawHour]) -> str:
    joined = "".join(raw.digest for raw in batch)
    return hashlib.blake2b(joined.encode(), digest_size=8).hexdigest()
