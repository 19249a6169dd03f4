"""Hours whose truth is known: what they held, what they hold, and what a reader may find in between."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retail_analytics.batch import compaction
from retail_analytics.lake import hours as hours_
from retail_analytics.lake import tables
from retail_analytics.resources.athena import AthenaResource
from retail_analytics_tests.integration.lakes import line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from retail_analytics_tests.integration.lakes import Lake

TARGET_FILE_BYTES = 1000
"""A setting with which the large hours here take more files than one, and so a query of their own."""


@dataclass(frozen=True)
class Seen:
    """What a reader finds of an hour: record ids and rejected lines, each as often as it is there."""

    ids: tuple[str, ...] = ()
    rejects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Truth:
    """An hour's lines; those that begin with ``{`` are good."""

    lines: tuple[str, ...] = ()

    @property
    def seen(self) -> Seen:
        """What a reader shall find."""
        good = {json.loads(each)["record_id"] for each in self.lines if each.startswith("{")}
        return Seen(tuple(sorted(good)), tuple(sorted(e for e in self.lines if not e.startswith("{"))))

    @property
    def counts(self) -> compaction.Counts:
        """What shall be noted of it."""
        seen, count = self.seen, len(self.lines)
        duplicates = count - len(seen.ids) - len(seen.rejects)
        return compaction.Counts(count, len(seen.ids), len(seen.rejects), duplicates)


@dataclass(frozen=True)
class Change:
    """An hour that held something, or nothing, and then came to hold something else."""

    hour: datetime
    old: Truth
    new: Truth


def become(lake: Lake, hour: datetime, truth: Truth) -> None:
    """Raw holds that from now on, and from one moment to the next: one object, written anew or deleted."""
    if truth.lines:
        lake.put(hour, truth.lines, "lines")
    else:
        lake.delete(f"{hours_.prefix(lake.feed, hour)}lines")


def new(hour: datetime, number: int) -> Change:
    """Delivered for the first time, with a rejected line and a redelivered one."""
    good = [line(100 * number + each) for each in range(2)]
    return Change(hour, Truth(), Truth((*good, f"bad {number}", good[1])))


def late(hour: datetime, number: int) -> Change:
    """More comes late: a good line, a rejected one and a redelivered one."""
    old = (line(100 * number), f"bad {number}")
    return Change(hour, Truth(old), Truth((*old, line(100 * number + 1), f"worse {number}", old[0])))


def cured(hour: datetime, number: int) -> Change:
    """The rejected line goes, a good one comes."""
    good = line(100 * number)
    return Change(hour, Truth((good, f"bad {number}")), Truth((good, line(100 * number + 1))))


def spoilt(hour: datetime, number: int) -> Change:
    """The good line goes, a rejected one comes."""
    return Change(hour, Truth((line(100 * number),)), Truth((f"bad {number}",)))


def emptied(hour: datetime, number: int) -> Change:
    """All objects are deleted."""
    return Change(hour, Truth((line(100 * number), f"bad {number}")), Truth())


def large(hour: datetime, number: int) -> Change:
    """Of a size that takes several files."""
    lines = tuple(line(100 * number + each) for each in range(40))
    return Change(hour, Truth(lines[:20]), Truth((*lines, f"bad {number}")))


def look(lake: Lake, these: Sequence[datetime]) -> dict[datetime, Seen]:
    """What one look finds in these hours, rows and rejects in one query."""
    where = hours_.hours_predicate(these)
    tables_ = {
        kind: f'"{lake.settings.database}"."{lake.feed.name}_{kind}"' for kind in ("compacted", "rejects")
    }
    rows = AthenaResource.query(
        lake.athena,
        f"SELECT 'good' AS kind, year, month, day, hour, record_id AS value FROM {tables_['compacted']}"
        f" WHERE {where} UNION ALL"
        f" SELECT 'bad', year, month, day, hour, line FROM {tables_['rejects']} WHERE {where}",
    ).rows
    found: dict[datetime, dict[str, list[str]]] = {hour: {"good": [], "bad": []} for hour in these}
    for row in rows:
        hour = hours_.from_partition_values([str(row[name]) for name in ("year", "month", "day", "hour")])
        found[hour][row["kind"]].append(row["value"])
    return {
        hour: Seen(tuple(sorted(kinds["good"])), tuple(sorted(kinds["bad"]))) for hour, kinds in found.items()
    }


def assert_old_or_new(lake: Lake, changes: Sequence[Change]) -> None:
    """Readers find each hour's rows, and its rejects, as they were or as they shall be."""
    seen = look(lake, [change.hour for change in changes])
    for change in changes:
        assert_one_of(seen[change.hour], (change.old, change.new))


def assert_one_of(seen: Seen, truths: Iterable[Truth]) -> None:
    """What was seen of an hour is one of these whole, its rows and its rejects each."""
    wanted = [truth.seen for truth in truths]
    assert seen.ids in [each.ids for each in wanted], "half an hour, or two"
    assert seen.rejects in [each.rejects for each in wanted]


def assert_true(lake: Lake, changes: Sequence[Change]) -> None:
    """Readers find the new, all of it, and what is noted on the partitions says so."""
    seen = look(lake, [change.hour for change in changes])
    table = tables.compacted_table(lake.feed, lake.settings)
    noted = lake.catalog.get(table, [tuple(hours_.partition_values(change.hour)) for change in changes])
    for change in changes:
        assert seen[change.hour] == change.new.seen, change
        partition = noted[tuple(hours_.partition_values(change.hour))]
        read = compaction.read_noted(change.hour, partition.parameters, "published")
        assert read.counts == change.new.counts, change
        assert Counter(read.event_days) == Counter(["2010-12-01"] if change.new.seen.ids else [])
