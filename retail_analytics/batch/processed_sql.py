"""The statements of processed tables: the feed's SELECT wrapped, its audit, and sums that are compared.

What a row means stands in the feed's file; here stands what holds for every processed table. Not here: which
partitions a day reads (``processed_inputs.py``) and when a day is made (``processed.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retail_analytics.batch.compaction_sql import query_type
from retail_analytics.lake import hours as hours_
from retail_analytics.resources import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from retail_analytics.feeds.declaration import ProcessedTable
    from retail_analytics.lake.partitions import Partition

_COMMENT = re.compile(r"--[^\n]*")
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
    body = _COMMENT.sub("", declared.sql.read_text()).strip()
    columns = ",\n    ".join(
        f"CAST({sql.identifier(name)} AS {query_type(type_)}) AS {sql.identifier(name)}"
        for name, type_, _ in declared.columns
    )
    made = body.format(
        source=reading.source,
        days=reading.read,
        made=days_predicate(reading.days),
        asked=reading.asked,
        lookback_days=declared.lookback_days,
    )
    return f"SELECT\n    {columns},\n    event_day\nFROM (\n{made}\n) AS made"


def audit_select(declared: ProcessedTable, reading: Reading, written: str) -> str:
    """Source and table side by side, a row a day.

    Columns: ``event_day`` as text; ``repeated``; ``rows``; ``content``, a digest of the rows whatever their
    order; and ``source_i``/``target_i`` for each measure.
    """
    picked = ["CAST(source.event_day AS varchar) AS event_day", "source.repeated", 'target."rows"']
    picked += ["target.content"]
    picked += [f"source.source_{i}, target.target_{i}" for i in range(len(declared.measures))]
    return f"""WITH source AS (
{source_sums(declared, reading)}
),
hashed AS (
    SELECT *, to_hex(md5(to_utf8({_row_text(declared)}))) AS hashed FROM {written}
),
target AS (
    SELECT {", ".join(["event_day", 'count(*) AS "rows"', f"{_content()} AS content", *_targets(declared)])}
    FROM hashed GROUP BY event_day
)
SELECT {", ".join(picked)}
FROM source LEFT JOIN target ON target.event_day = source.event_day
ORDER BY 1"""


def source_sums(declared: ProcessedTable, reading: Reading) -> str:
    """The measures over the source, a row a day: ``event_day``, ``repeated`` and ``source_i``.

    Where the source is the compacted hours, each record counts once a day, in the first hour that has it.
    """
    delivery = (
        "CASE WHEN record_id IS NULL THEN 1"
        " ELSE row_number() OVER (PARTITION BY event_day, record_id ORDER BY year, month, day, hour) END"
        if declared.source is None
        else "1"
    )
    sums = [
        f"sum(CASE WHEN delivery = 1 THEN CAST({measure.source} AS decimal(38, 4)) END) AS source_{index}"
        for index, measure in enumerate(declared.measures)
    ]
    predicate = reading.read if declared.of_window else reading.own
    daily = f"""    SELECT {", ".join(["event_day", "count_if(delivery > 1) AS repeated", *sums])}
    FROM (SELECT *, {delivery} AS delivery FROM {reading.source} WHERE {predicate}) AS delivered
    GROUP BY event_day"""
    return _over_windows(declared, reading, daily) if declared.of_window else daily


def _over_windows(declared: ProcessedTable, reading: Reading, daily: str) -> str:
    """Daily sums summed over the window of each day that is made."""
    sums = [f"sum(daily.source_{index}) AS source_{index}" for index, _ in enumerate(declared.measures)]
    return f"""    SELECT {", ".join(["asked.as_of AS event_day", "sum(daily.repeated) AS repeated", *sums])}
    FROM (SELECT as_of FROM UNNEST({reading.asked}) AS listed (as_of)) AS asked
    INNER JOIN (
{daily}
    ) AS daily
        ON daily.event_day <= asked.as_of
        AND daily.event_day >= date_add('day', -{declared.lookback_days}, asked.as_of)
    GROUP BY asked.as_of"""


def target_sums(declared: ProcessedTable, table: str, days: Sequence[date]) -> str:
    """The measures over the processed table, a row a day: ``event_day`` and ``target_i``."""
    return (
        f"SELECT {', '.join(['event_day', *_targets(declared)])}"
        f" FROM {table} WHERE {days_predicate(days)} GROUP BY event_day"
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


def _content() -> str:
    """The rows' hashes, summed: the same whatever their order, another where a row is another."""
    first, second = (
        f"CAST(sum(CAST(from_base(substr(hashed, {start}, {_DIGITS}), 16) AS decimal(38, 0))) AS varchar)"
        for start in (1, 1 + _DIGITS)
    )
    return f"concat({first}, '-', {second})"
