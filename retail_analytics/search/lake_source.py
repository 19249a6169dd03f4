"""What the index is made from, and compared with: the compacted records of event days.

Here belong the questions that search asks of the lake. Not here: which hours hold a day
(``batch/processed_inputs.py``) or are news of it (``indexed_hours.py``), and what becomes of the rows
(``history.py``, ``reconcile.py``).
"""

# ruff: noqa: S608 - statements are put together here; names and values go through resources/sql.py.
from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from retail_analytics.batch.processed_inputs import hours_of_days, source_predicate
from retail_analytics.lake import tables
from retail_analytics.resources import sql

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import date

    from retail_analytics.batch.staging import Pipeline
    from retail_analytics.lake.partitions import Partition

# A predicate names every hour of its days: a month of them stays far below Athena's 256 KB of query text.
_DAYS_A_QUERY = 31
_IDS_A_QUERY = 1_000


def rows_of_days(pipeline: Pipeline, days: Sequence[date]) -> Iterator[dict[str, Any]]:
    """The compacted records of these event days, streamed, keyed by column name.

    A record that was delivered in two hours comes twice, as it lies there twice.

    Raises:
        AthenaError: A query failed.
    """
    for predicate in _predicates(pipeline, days):
        yield from _rows(pipeline, predicate)


def rows_of_hours(pipeline: Pipeline, held: Mapping[date, Sequence[Partition]]) -> Iterator[dict[str, Any]]:
    """The records of event days in these compacted hours, streamed, keyed by column name.

    Args:
        pipeline: The feed and its clients.
        held: Event day to the hours that are read for it. An hour that is read for one day may bring records
            of another day among these as well.

    Raises:
        AthenaError: A query failed.
    """
    for batch in _batches(sorted(held)):
        yield from _rows(pipeline, source_predicate({day: held[day] for day in batch}))


def _rows(pipeline: Pipeline, predicate: str) -> Iterator[dict[str, Any]]:
    names = [*(column.name for column in pipeline.feed.columns), "record_id"]
    columns = ", ".join(sql.identifier(name) for name in names)
    yield from pipeline.athena.rows(f"SELECT {columns} FROM {_table(pipeline)} WHERE {predicate}")


def ids_by_day(pipeline: Pipeline, days: Sequence[date]) -> dict[date, int]:
    """Distinct record ids by event day; days without any are left out.

    Raises:
        AthenaError: A query failed.
    """
    counts: dict[date, int] = {}
    for predicate in _predicates(pipeline, days):
        answer = pipeline.athena.query(
            "SELECT event_day, count(DISTINCT record_id) AS ids"
            f" FROM {_table(pipeline)} WHERE {predicate} GROUP BY event_day"
        )
        counts |= {row["event_day"]: row["ids"] for row in answer.rows if row["ids"]}
    return counts


def ids_present(pipeline: Pipeline, days: Sequence[date], ids: Collection[str]) -> set[str]:
    """Which of the record ids are compacted records of these event days.

    Raises:
        AthenaError: A query failed.
    """
    present: set[str] = set()
    for predicate in _predicates(pipeline, days):
        iterator = iter(sorted(ids))
        while batch := list(itertools.islice(iterator, _IDS_A_QUERY)):
            wanted = ", ".join(sql.text(record_id) for record_id in batch)
            answer = pipeline.athena.query(
                f"SELECT DISTINCT record_id FROM {_table(pipeline)}"
                f" WHERE {predicate} AND record_id IN ({wanted})"
            )
            present |= {row["record_id"] for row in answer.rows}
    return present


def _predicates(pipeline: Pipeline, days: Sequence[date]) -> Iterator[str]:
    for batch in _batches(sorted(set(days))):
        held = hours_of_days(pipeline, batch)
        if held:
            yield source_predicate(held)


def _batches(days: Sequence[date]) -> Iterator[Sequence[date]]:
    for start in range(0, len(days), _DAYS_A_QUERY):
        yield days[start : start + _DAYS_A_QUERY]


def _table(pipeline: Pipeline) -> str:
    table = tables.compacted_table(pipeline.feed, pipeline.settings)
    return sql.table(pipeline.settings.database, table.name)
