"""The statements of processed tables: the feed's SELECT wrapped, its audit, and sums that are compared.

What a row means stands in the feed's file; here stands what holds for every processed table. Not here: which
partitions a day reads (``processed_inputs.py``) and when a day is made (``processed.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retail_analytics.batch.compaction_sql import query_type
from retail_analytics.lake import hours as hours_
from retail_analytics.resources import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from retail_analytics.feeds.declaration import ProcessedTable
    from retail_analytics.lake.partitions import Partition

_STATEMENTS = Path(__file__).parent / "statements"
_CELL_END, _NULL = 31, 30  # what ASCII has for it; no text of a retailer's does
_DIGITS = 15  # hexadecimal digits that a bigint holds, and so how much of a hash one sum takes


@dataclass(frozen=True)
class Reading:
    """What one statement reads, and which days it makes.

    Attributes:
        source: The table that it reads, quoted and qualified.
        days: The days that it makes.
        read: A predicate on the source, true of all that it reads, look-back included.
        own: A predicate on the source, true of the days that it makes and no others.
    """

    source: str
    days: tuple[date, ...]
    read: str
    own: str

    @property
    def asked(self) -> str:
        """The days as an SQL array."""
        return f"ARRAY[{', '.join(sql.day(day) for day in self.days)}]"


def days_predicate(days: Sequence[date]) -> str:
    """A predicate on ``event_day`` that is true of these days."""
    return f"event_day IN ({', '.join(sql.day(day) for day in sorted(days))})"


def ranges_predicate(days: Sequence[date]) -> str:
    """The same, by stretches: for a look-back, whose days are many and in a row."""
    stretches = [
        f"event_day BETWEEN {sql.day(first)} AND {sql.day(last)}"
        for first, last in hours_.contiguous_days(sorted(days))
    ]
    return f"({' OR '.join(stretches)})" if stretches else "false"


def hours_and_days(partitions: Iterable[Partition], days: str) -> str:
    """A predicate on days of a table by hour, true of these hours alone."""
    hours = {hours_.from_partition_values(list(partition.values)) for partition in partitions}
    return f"{hours_.hours_predicate(hours)} AND {days}"


def processed_select(declared: ProcessedTable, reading: Reading) -> str:
    """The SELECT of a processed table over these days, its columns cast to what is declared."""
    columns = [
        f"CAST({sql.identifier(name)} AS {query_type(type_)}) AS {sql.identifier(name)}"
        for name, type_, _ in declared.columns
    ]
    made = sql.statement(
        declared.sql,
        source=reading.source,
        days=reading.read,
        made=days_predicate(reading.days),
        asked=reading.asked,
        lookback_days=str(declared.lookback_days),
    )
    return sql.statement(_STATEMENTS / "processed.sql", columns=_listed(columns), made=made)


def audit_select(declared: ProcessedTable, reading: Reading, written: str) -> str:
    """Source and table side by side, a row a day: see ``statements/processed_audit.sql``."""
    return sql.statement(
        _STATEMENTS / "processed_audit.sql",
        source=source_sums(declared, reading),
        written=written,
        row_text=_row_text(declared),
        digits=str(_DIGITS),
        targets=_listed(_targets(declared)),
        compared=_listed(f"source.source_{i}, target.target_{i}" for i, _ in enumerate(declared.measures)),
    )


def source_sums(declared: ProcessedTable, reading: Reading) -> str:
    """The measures over the source, a row a day: ``event_day``, ``repeated`` and ``source_i``."""
    delivery = (
        "CASE WHEN record_id IS NULL THEN 1"
        " ELSE row_number() OVER (PARTITION BY event_day, record_id ORDER BY year, month, day, hour) END"
        if declared.source is None
        else "1"
    )
    daily = sql.statement(
        _STATEMENTS / "daily_sums.sql",
        source=reading.source,
        delivery=delivery,
        predicate=reading.read if declared.of_window else reading.own,
        sums=_listed(
            f"sum(CASE WHEN delivery = 1 THEN CAST({measure.source} AS decimal(38, 4)) END) AS source_{index}"
            for index, measure in enumerate(declared.measures)
        ),
    )
    if not declared.of_window:
        return daily
    return sql.statement(
        _STATEMENTS / "window_sums.sql",
        daily=daily,
        asked=reading.asked,
        lookback_days=str(declared.lookback_days),
        sums=_listed(
            f"sum(daily.source_{index}) AS source_{index}" for index, _ in enumerate(declared.measures)
        ),
    )


def target_sums(declared: ProcessedTable, table: str, days: Sequence[date]) -> str:
    """The measures over the processed table, a row a day: ``event_day`` and ``target_i``."""
    return sql.statement(
        _STATEMENTS / "target_sums.sql",
        sums=_listed(_targets(declared)),
        table=table,
        days=days_predicate(days),
    )


def _targets(declared: ProcessedTable) -> list[str]:
    return [
        f"sum(CAST({measure.target} AS decimal(38, 4))) AS target_{index}"
        for index, measure in enumerate(declared.measures)
    ]


def _row_text(declared: ProcessedTable) -> str:
    cells = ", ".join(
        f"coalesce(CAST({sql.identifier(name)} AS varchar), chr({_NULL}))" for name, *_ in declared.columns
    )
    return f"concat_ws(chr({_CELL_END}), {cells})"


def _listed(parts: Iterable[str]) -> str:
    return ",\n    ".join(parts)
