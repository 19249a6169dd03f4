"""Publishing of hours: the catalog's partitions are pointed at what was written and audited.

The rejects and the index of event days come first, then the hours, so that whoever reads an hour finds
what belongs to it. Not here: what is published when (``compaction.py``).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from retail_analytics.batch import compaction_sql, objects_noted, staging
from retail_analytics.batch.objects_noted import Changes
from retail_analytics.batch.results import HourResult, noted, noted_days
from retail_analytics.lake import hours as hours_
from retail_analytics.lake import tables
from retail_analytics.lake.objects import EMPTY
from retail_analytics.lake.partitions import CatalogError, Partition

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from retail_analytics.batch.staging import Pipeline, Staged
    from retail_analytics.feeds import Feed
    from retail_analytics.lake.objects import RawHour
    from retail_analytics.lake.partitions import Catalog, Values
    from retail_analytics.settings import Settings

Published = dict[datetime, Partition]
"""Hours that readers find, with their partitions."""


def read_published(catalog: Catalog, feed: Feed, settings: Settings, hours: Iterable[datetime]) -> Published:
    """Those of the hours that are published: two catalog calls for each thousand.

    Rows and rejects are two partitions, and a process that was overtaken may have died between them. An hour
    whose rejects are not those of its rows is given without the digest that it notes: as out of date.
    """
    wanted = [tuple(hours_.partition_values(hour)) for hour in hours]
    # In the order opposite to publishing's: what is published in between is not taken for torn.
    rows = catalog.get(tables.compacted_table(feed, settings), wanted)
    rejects = catalog.get(tables.rejects_table(feed, settings), wanted)
    return {
        hours_.from_partition_values(list(values)): item
        if _belong_together(item, rejects.get(values))
        else replace(item, parameters={**item.parameters, "digest": ""})
        for values, item in rows.items()
    }


def _belong_together(rows: Partition, rejects: Partition | None) -> bool:
    if rows.parameters.get("rejected", "0") == "0":
        return rejects is None
    return rejects is not None and rejects.parameters.get("digest") == rows.parameters.get("digest")


def changes_since(
    pipeline: Pipeline, batch: Sequence[RawHour], published: Mapping[datetime, Partition]
) -> dict[datetime, Changes]:
    """How the objects of published hours differ from those that they were made from, where that is known."""
    places = {raw.hour: published[raw.hour].location for raw in batch if raw.hour in published}
    # An hour that was published as empty has no folder, and was made from no object.
    emptied = [hour for hour in places if published[hour].parameters.get("digest") == EMPTY]
    before = objects_noted.read(
        pipeline.s3, {hour: place for hour, place in places.items() if hour not in emptied}
    )
    before |= {hour: {} for hour in emptied}
    return {
        raw.hour: objects_noted.difference(before[raw.hour], objects_noted.objects_of(raw)).changes
        for raw in batch
        if raw.hour in before
    }


def publish(
    pipeline: Pipeline,
    good: Sequence[HourResult],
    written: Staged,
    published: Mapping[datetime, Partition],
    run_id: str,
) -> list[HourResult]:
    """Publish audited hours of one staged write.

    Returns:
        Their results as they were noted; ``failed`` for those whose rejects failed their audit, and those of
        which Glue refused a partition: readers keep what they had of these, and the others are published.
    """
    if not good:
        return []
    rejects = tables.rejects_table(pipeline.feed, pipeline.settings)
    # Asked, not read from what is published: an attempt that died here left rejects that nothing else notes.
    had = pipeline.catalog.get(rejects, [tuple(hours_.partition_values(result.hour)) for result in good])
    refused: dict[datetime, str] = {}
    accepted = list(good)
    for step in (partial(_put_rejects, had=had), partial(_drop_rejects, had=had), _index_event_days):
        refused |= _refused_in(step, pipeline, accepted)
        accepted = [result for result in accepted if result.hour not in refused]
    now = datetime.now(UTC).replace(microsecond=0)  # as it is noted
    results = [replace(result, run_id=run_id, published_at=now) for result in accepted]
    refused |= _refused_in(partial(_publish_rows, written=written, published=published), pipeline, results)
    return [
        *(result for result in results if result.hour not in refused),
        *(replace(each, state="failed", problem=refused[each.hour]) for each in good if each.hour in refused),
    ]


def _refused_in(
    step: Callable[[Pipeline, Sequence[HourResult]], Mapping[datetime, str] | None],
    pipeline: Pipeline,
    results: Sequence[HourResult],
) -> Mapping[datetime, str]:
    """Take a step for these hours; why an hour was not accepted, for those that the step or Glue refused."""
    try:
        return step(pipeline, results) or {}
    except CatalogError as error:
        return {_hour_of(values): f"Glue refused it: {reason}" for values, reason in error.refused.items()}


def _hour_of(values: Values) -> datetime:
    """The hour that a partition is about: of a table by hour, or of the index of event days."""
    by_hour = len(values) == len(hours_.HOUR_KEYS)
    return hours_.from_partition_values(list(values)) if by_hour else hours_.from_part(values[-1])


def _publish_rows(
    pipeline: Pipeline,
    good: Sequence[HourResult],
    written: Staged,
    published: Mapping[datetime, Partition],
) -> None:
    pipeline.catalog.put(
        tables.compacted_table(pipeline.feed, pipeline.settings),
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


def withdraw(
    pipeline: Pipeline, emptied: Sequence[RawHour], published: Mapping[datetime, Partition], run_id: str
) -> dict[datetime, HourResult]:
    """Publish hours whose objects are all gone as empty; their partitions note which days they held.

    Dropping the partitions would forget these days, should the run die before it has told anybody.
    """
    feed, settings = pipeline.feed, pipeline.settings
    values = [tuple(hours_.partition_values(raw.hour)) for raw in emptied]
    now = datetime.now(UTC).replace(microsecond=0)  # as it is noted
    results = [
        HourResult(
            raw.hour,
            "empty",
            EMPTY,
            former_days=noted_days(published[raw.hour]),
            changes=Changes(removed=int(published[raw.hour].parameters.get("raw_objects", "0"))),
            run_id=run_id,
            published_at=now,
        )
        for raw in emptied
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


def _put_rejects(
    pipeline: Pipeline, good: Sequence[HourResult], had: Collection[Values]
) -> Mapping[datetime, str] | None:
    """Write, audit and publish the rejects of those hours that have some; why, of those that were not."""
    feed, settings = pipeline.feed, pipeline.settings
    with_rejects = [result for result in good if result.counts.rejected]
    if not with_rejects:
        return None
    with staging.begun(
        pipeline,
        root=f"rejects/{feed.name}/",
        name=hashlib.blake2b("".join(r.digest for r in good).encode(), digest_size=8).hexdigest(),
        select=compaction_sql.rejects_select(feed, settings, [result.hour for result in with_rejects]),
        partition="part",
        bucket_by="line",
    ) as finished:
        written = finished()
        audit = pipeline.athena.query(compaction_sql.rejects_audit_select(written.table))
        there = {row["part"]: row["rejected"] for row in audit.rows}
        missing = {
            result.hour: f"{result.counts.rejected} records are rejected, {found} of them were written"
            for result in with_rejects
            if (found := there.get(hours_.part(result.hour), 0)) != result.counts.rejected
        }
        pipeline.catalog.put(
            tables.rejects_table(feed, settings),
            [
                Partition(
                    tuple(hours_.partition_values(result.hour)),
                    written.location_of(hours_.part(result.hour)),
                    {"digest": result.digest},
                )
                for result in with_rejects
                if result.hour not in missing
            ],
            existing=had,
        )
    return missing


def _drop_rejects(pipeline: Pipeline, good: Sequence[HourResult], had: Collection[Values]) -> None:
    """Drop the rejects of those hours that have none any more."""
    without = [tuple(hours_.partition_values(result.hour)) for result in good if not result.counts.rejected]
    table = tables.rejects_table(pipeline.feed, pipeline.settings)
    pipeline.catalog.delete(table, [values for values in without if values in had])


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
