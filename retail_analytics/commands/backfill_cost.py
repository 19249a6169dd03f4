"""What a backfill costs: statements, the bytes that they scan, and into how few runs its work goes.

Not here: which hours and days are to be made (``backfill_plan.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from retail_analytics.batch import staging
from retail_analytics.batch.processed_inputs import hours_of_days, window_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime, timedelta

    from retail_analytics.batch.staging import Pipeline
    from retail_analytics.batch.state import HourState
    from retail_analytics.feeds.declaration import ProcessedTable

MOST_RUNS = 4
"""Runs of hours, and of days of a table, that a backfill makes at the most."""

LEAST_BILLED = 10 * 1000**2
"""Bytes that Athena charges a query at the least."""

TO_PARQUET = 0.2
"""Parquet's bytes to JSON's, measured on the retail month."""


@dataclass(frozen=True)
class Statements:
    """Statements of one kind: how many, the bytes that they scan, and those that are billed."""

    count: int = 0
    scanned: int = 0
    billed: int = 0

    def __add__(self, other: Statements) -> Statements:
        """Both."""
        return Statements(self.count + other.count, self.scanned + other.scanned, self.billed + other.billed)


def statement(scanned: float) -> Statements:
    """One statement that scans so many bytes."""
    return Statements(1, math.ceil(scanned), max(math.ceil(scanned), LEAST_BILLED))


class Sizes:
    """What the tables' days hold, in bytes: as noted in the catalog, or guessed from raw."""

    def __init__(self, pipeline: Pipeline, states: Sequence[HourState]) -> None:
        self._pipeline = pipeline
        self._guessed: dict[date, float] = {}
        for state in states:
            if not state.current:
                day = state.raw.hour.date()
                self._guessed[day] = self._guessed.get(day, 0) + state.raw.size * TO_PARQUET

    def statements(self, table: ProcessedTable, days: Sequence[date]) -> Statements:
        """The CTAS and the audit of each batch of days: both read the source, the audit what was written."""
        window = sorted({each for day in days for each in window_of(table, day)})
        sizes = self._by_day(window)
        total = Statements()
        for start in range(0, len(days), staging.MOST_PARTITIONS):
            batch = days[start : start + staging.MOST_PARTITIONS]
            read = sum(
                sizes.get(each, 0) for each in {each for day in batch for each in window_of(table, day)}
            )
            written = sum(sizes.get(day, 0) for day in batch)
            total += statement(read) + statement(read + written)
        return total

    def _by_day(self, days: Sequence[date]) -> Mapping[date, float]:
        found = dict(self._guessed)
        try:
            published = hours_of_days(self._pipeline, days)
        except ClientError as error:
            if not is_not_there(error):
                raise
            return found
        for day, partitions in published.items():
            noted = sum(int(partition.parameters.get("bytes", "0")) for partition in partitions)
            found[day] = found.get(day, 0) + noted
        return found


Moment = TypeVar("Moment", "date", "datetime")


def few_stretches(
    moments: Iterable[Moment], step: timedelta, most: int = MOST_RUNS
) -> list[tuple[Moment, Moment]]:
    """Stretches, (first, last), that cover all of these: no more than ``most``, split at the longest gaps.

    What lies in a gap that is covered is looked at and left alone, which costs less than a run.
    """
    ordered = sorted(set(moments))
    if not ordered:
        return []
    gaps = [(after - before, at) for at, (before, after) in enumerate(pairwise(ordered))]
    longest = sorted(gaps, key=lambda gap: (-gap[0], gap[1]))[: most - 1]
    splits: list[int] = sorted(at for length, at in longest if length > step)
    starts = [0, *(at + 1 for at in splits)]
    ends = [*splits, len(ordered) - 1]
    return [(ordered[start], ordered[end]) for start, end in zip(starts, ends, strict=True)]


def is_not_there(error: ClientError) -> bool:
    """Whether Glue does not know the table: before a deployment's first run, nothing is published."""
    return error.response["Error"]["Code"] == "EntityNotFoundException"


def readable(count: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
