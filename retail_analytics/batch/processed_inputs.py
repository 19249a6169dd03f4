"""What a day of a processed table is made from: partitions of its source, and their fingerprint.

A location is written once, so a day whose partitions lie where they lay is made from the same. Answered from
the catalog, at the cost of the days that are asked about and their look-back, never of all history.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from retail_analytics.batch import processed_sql
from retail_analytics.batch.processed_sql import Reading, days_predicate, ranges_predicate
from retail_analytics.lake import hours as hours_
from retail_analytics.lake import tables
from retail_analytics.resources import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime

    from retail_analytics.batch.staging import Pipeline
    from retail_analytics.feeds.declaration import ProcessedTable
    from retail_analytics.lake.partitions import Partition


@dataclass(frozen=True)
class Inputs:
    """The partitions that one day reads.

    Attributes:
        own: Those that hold records of the day itself.
        before: Those of the look-back; one by hour may be among both.
    """

    own: tuple[Partition, ...]
    before: tuple[Partition, ...] = ()


def window_of(declared: ProcessedTable, day: date) -> list[date]:
    """The days that a day of the table reads, in order, itself the last."""
    return [day - timedelta(days=back) for back in range(declared.lookback_days, -1, -1)]


def dependants(declared: ProcessedTable, days: Iterable[date], last: date) -> list[date]:
    """The days of the table, up to ``last``, that read any of these days of its source."""
    return sorted(
        {
            day + timedelta(days=ahead)
            for day in days
            for ahead in range(min(declared.lookback_days, (last - day).days) + 1)
        }
    )


def inputs_of(pipeline: Pipeline, declared: ProcessedTable, days: Sequence[date]) -> dict[date, Inputs]:
    """What each of these days reads now; a day that there is nothing to make from is left out."""
    read = sorted({each for day in days for each in window_of(declared, day)})
    found = _partitions(pipeline, declared, read)
    inputs: dict[date, Inputs] = {}
    for day in days:
        own = tuple(found.get(day, ()))
        before = tuple(each for earlier in window_of(declared, day)[:-1] for each in found.get(earlier, ()))
        if own or (declared.of_window and before):
            inputs[day] = Inputs(own, before)
    return inputs


def _partitions(
    pipeline: Pipeline, declared: ProcessedTable, days: Sequence[date]
) -> dict[date, list[Partition]]:
    if declared.source is None:
        return hours_of_days(pipeline, days)
    source = tables.processed_table(pipeline.feed, pipeline.settings, declared.source)
    found = pipeline.catalog.get(source, [(hours_.day_key(day),) for day in days])
    return {hours_.from_day_key(values[0]): [partition] for values, partition in found.items()}


def hours_of_days(pipeline: Pipeline, days: Sequence[date]) -> dict[date, list[Partition]]:
    """The published compacted hours that hold records of these days; days without one are left out."""
    index = tables.event_days_table(pipeline.feed, pipeline.settings)
    wanted = {hours_.day_key(day) for day in days}
    pairs: list[tuple[str, datetime]] = []
    for first, last in hours_.contiguous_days(sorted(days)):
        expression = f"event_day >= '{hours_.day_key(first)}' AND event_day <= '{hours_.day_key(last)}'"
        for partition in pipeline.catalog.matching(index, expression):
            day, hour = partition.values
            if day in wanted:
                pairs.append((day, hours_.from_part(hour)))
    compacted = tables.compacted_table(pipeline.feed, pipeline.settings)
    found = pipeline.catalog.get(compacted, [tuple(hours_.partition_values(hour)) for _, hour in pairs])
    by_day: dict[date, list[Partition]] = {}
    for day, arrival in sorted(pairs):
        there = found.get(tuple(hours_.partition_values(arrival)))
        # The index may remember what an hour held once; the hour itself says what it holds.
        if there is not None and day in there.parameters.get("event_days", "").split(","):
            by_day.setdefault(hours_.from_day_key(day), []).append(there)
    return by_day


def fingerprint(declared: ProcessedTable, inputs: Inputs) -> str:
    """A digest of what a day is made from, and how."""
    digest = hashlib.blake2b(declared.sql.read_bytes(), digest_size=16)
    digest.update(repr((declared.columns, declared.lookback_days, declared.of_window)).encode())
    for location in sorted({partition.location for partition in (*inputs.own, *inputs.before)}):
        digest.update(b"\0" + location.encode())
    return digest.hexdigest()


def source_predicate(days: Mapping[date, Sequence[Partition]]) -> str:
    """A predicate for these days on a table by hour, true of the hours that hold them."""
    partitions = [partition for found in days.values() for partition in found]
    return processed_sql.hours_and_days(partitions, days_predicate(list(days)))


def reading_of(pipeline: Pipeline, declared: ProcessedTable, inputs: Mapping[date, Inputs]) -> Reading:
    """What one statement reads to make these days."""
    feed, settings = pipeline.feed, pipeline.settings
    days = sorted(inputs)
    own = days_predicate(days)
    read = own
    if declared.lookback_days:
        read = ranges_predicate(sorted({each for day in days for each in window_of(declared, day)}))
    if declared.source is not None:
        table = tables.processed_table(feed, settings, declared.source)
    else:
        table = tables.compacted_table(feed, settings)
        owned = [partition for found in inputs.values() for partition in found.own]
        before = [partition for found in inputs.values() for partition in found.before]
        read = processed_sql.hours_and_days([*owned, *before], read)
        own = processed_sql.hours_and_days(owned, own)
    return Reading(sql.table(settings.database, table.name), tuple(days), read, own)
