"""Processed tables, by event day: exactly the days that changed hours hold or held are made again.

The same write, audit, publish as compaction. A day's inputs are the locations of the partitions it reads;
each location is written once, so a day whose inputs are the same is the same, and is left alone. Not here:
the SELECT of a table, which is the feed's.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from retail_analytics.batch import staging
from retail_analytics.batch.compaction_sql import query_type
from retail_analytics.lake import hours as hours_
from retail_analytics.lake import tables
from retail_analytics.lake.partitions import Partition, chunks
from retail_analytics.resources import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date, datetime
    from decimal import Decimal

    from retail_analytics.batch.staging import Pipeline, Staged
    from retail_analytics.feeds.declaration import ProcessedTable
    from retail_analytics.resources.athena import QueryResult

State = Literal["published", "unchanged", "empty", "failed"]

_ATTEMPTS = 4

_COMMENT = re.compile(r"--[^\n]*")


@dataclass(frozen=True)
class DayResult:
    """What a refresh came to for one day of one table.

    Attributes:
        day: The event day.
        state: ``published`` now, ``unchanged``, ``empty`` (nothing to read), or ``failed``.
        rows: Rows of the table.
        repeated: Records that the day's hours held more than once between them; removed here.
        measures: The table's sums, equal to those of what it was read from.
        bytes: Bytes written.
        query_id: The CTAS.
        scanned_bytes: What the CTAS and the audit read, shared out evenly over the days of the query.
        problem: Why it failed.
    """

    day: date
    state: State
    rows: int = 0
    repeated: int = 0
    measures: tuple[tuple[str, Decimal], ...] = ()
    bytes: int = 0
    query_id: str = ""
    scanned_bytes: int = 0
    problem: str = ""


def refresh(
    pipeline: Pipeline, name: str, days: Sequence[date], log: Callable[[str], None] = lambda _: None
) -> list[DayResult]:
    """Make these days of a processed table from what is published, where their inputs are news.

    Args:
        pipeline: The feed and its clients.
        name: The table's name in the declaration.
        days: Event days.
        log: Told of each batch.

    Returns:
        A result a day, in order; days that failed their audit are among them and are not published.

    Raises:
        AthenaError: A statement failed.
        CatalogError: Glue refused partitions.
    """
    declared = pipeline.feed.processed_table(name)
    table = tables.processed_table(pipeline.feed, pipeline.settings, name)
    results: dict[date, DayResult] = {}
    waiting: Sequence[date] = days
    for _ in range(_ATTEMPTS):
        plan = make_plan(pipeline, name, waiting)
        results |= plan.settled
        pipeline.catalog.delete(table, [(hours_.day_key(day),) for day in plan.gone])
        for batch in chunks(sorted(plan.inputs), staging.MOST_PARTITIONS):
            inputs = {day: plan.inputs[day] for day in batch}
            results |= _refresh_batch(pipeline, declared, inputs, set(plan.published))
            log(f"{declared.name}: days up to {batch[-1]} made, {len(batch)} in one query.")
        # An hour that is published between the write and its audit makes them differ: start over.
        waiting = _changed_meanwhile(pipeline, declared, plan)
        if not waiting:
            break
        log(f"{declared.name}: the inputs of {len(waiting)} day(s) changed meanwhile.")
    return [results[day] for day in sorted(results)]


def _changed_meanwhile(pipeline: Pipeline, declared: ProcessedTable, plan: Plan) -> list[date]:
    """Days that were made from inputs that are not theirs any more."""
    now = _inputs(pipeline, declared, list(plan.inputs)) if plan.inputs else {}
    return [
        day
        for day, inputs in plan.inputs.items()
        if _fingerprint(declared, now.get(day, [])) != _fingerprint(declared, inputs)
    ]


@dataclass(frozen=True)
class Plan:
    """What a refresh has to do, as the catalog tells without a query.

    Attributes:
        inputs: Days to make, with the partitions that each reads.
        gone: Days that have a partition and nothing to read any more.
        settled: Results of the days that need no query; those that are gone are among them.
        published: Partition values of the days that are published.
    """

    inputs: Mapping[date, list[Partition]]
    gone: tuple[date, ...]
    settled: Mapping[date, DayResult]
    published: tuple[str, ...]

    @property
    def stale(self) -> list[date]:
        """Days whose table is not what it would be if it were made now."""
        return sorted({*self.inputs, *self.gone})


def make_plan(pipeline: Pipeline, name: str, days: Sequence[date]) -> Plan:
    """What a refresh of these days would do; costs catalog calls only."""
    declared = pipeline.feed.processed_table(name)
    table = tables.processed_table(pipeline.feed, pipeline.settings, name)
    wanted = sorted(set(days))
    inputs = _inputs(pipeline, declared, wanted)
    published = pipeline.catalog.get(table, [(hours_.day_key(day),) for day in wanted])
    settled: dict[date, DayResult] = {}
    gone: list[date] = []
    for day in wanted:
        there = published.get((hours_.day_key(day),))
        if day not in inputs:
            settled[day] = DayResult(day, "empty")
            gone += [day] if there else []
        elif there and there.parameters.get("inputs") == _fingerprint(declared, inputs[day]):
            settled[day] = DayResult(day, "unchanged", rows=int(there.parameters.get("rows", "0")))
    return Plan(
        inputs={day: parts for day, parts in inputs.items() if day not in settled},
        gone=tuple(gone),
        settled=settled,
        published=tuple(values[0] for values in published),
    )


def source_predicate(days: Mapping[date, Sequence[Partition]]) -> str:
    """A predicate for these days on a table by hour, true of the hours that hold them."""
    hours = {_hour(partition) for partitions in days.values() for partition in partitions}
    return f"{hours_.hours_predicate(hours)} AND {days_predicate(list(days))}"


def days_predicate(days: Sequence[date]) -> str:
    """A predicate on ``event_day`` that is true of these days."""
    return f"event_day IN ({', '.join(sql.day(day) for day in sorted(days))})"


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


def _inputs(
    pipeline: Pipeline, declared: ProcessedTable, days: Sequence[date]
) -> dict[date, list[Partition]]:
    if declared.source is None:
        return hours_of_days(pipeline, days)
    source = tables.processed_table(pipeline.feed, pipeline.settings, declared.source)
    found = pipeline.catalog.get(source, [(hours_.day_key(day),) for day in days])
    return {hours_.from_day_key(values[0]): [partition] for values, partition in found.items()}


def _fingerprint(declared: ProcessedTable, inputs: Sequence[Partition]) -> str:
    digest = hashlib.blake2b(declared.sql.read_bytes(), digest_size=16)
    digest.update(repr(declared.columns).encode())
    for location in sorted(partition.location for partition in inputs):
        digest.update(b"\0" + location.encode())
    return digest.hexdigest()


def _refresh_batch(
    pipeline: Pipeline, declared: ProcessedTable, inputs: Mapping[date, list[Partition]], published: set[str]
) -> dict[date, DayResult]:
    source, predicate = _source(pipeline, declared, inputs)
    with staging.staged(
        pipeline,
        root=f"processed/{pipeline.feed.name}/{declared.name}/",
        name=hashlib.blake2b(
            "".join(_fingerprint(declared, items) for items in inputs.values()).encode(), digest_size=8
        ).hexdigest(),
        select=processed_select(declared, source, predicate),
        partition="event_day",
        bucket_by=declared.columns[0][0],
    ) as written:
        audit = pipeline.athena.query(audit_select(declared, source, predicate, written.table))
        files = staging.outputs(pipeline, written)
    results = _judge(declared, inputs, audit, written, {k: output.size for k, output in files.items()})
    good = [result for result in results.values() if result.state == "published"]
    pipeline.catalog.put(
        tables.processed_table(pipeline.feed, pipeline.settings, declared.name),
        [
            Partition(
                (hours_.day_key(result.day),),
                written.location_of(hours_.day_key(result.day)),
                {
                    "inputs": _fingerprint(declared, inputs[result.day]),
                    "rows": str(result.rows),
                    "query_id": result.query_id,
                },
            )
            for result in good
        ],
        existing=[(key,) for key in published],
    )
    return results


def _source(
    pipeline: Pipeline, declared: ProcessedTable, inputs: Mapping[date, list[Partition]]
) -> tuple[str, str]:
    """The table that a processed table reads, and the predicate of these days on it."""
    feed, settings = pipeline.feed, pipeline.settings
    if declared.source is None:
        table = tables.compacted_table(feed, settings)
        return sql.table(settings.database, table.name), source_predicate(inputs)
    table = tables.processed_table(feed, settings, declared.source)
    return sql.table(settings.database, table.name), days_predicate(list(inputs))


def processed_select(declared: ProcessedTable, source: str, predicate: str) -> str:
    """The SELECT of a processed table over these days, its columns cast to what is declared."""
    body = _COMMENT.sub("", declared.sql.read_text()).strip()
    columns = ",\n    ".join(
        f"CAST({sql.identifier(name)} AS {query_type(type_)}) AS {sql.identifier(name)}"
        for name, type_, _ in declared.columns
    )
    made = body.format(source=source, days=predicate)
    return f"SELECT\n    {columns},\n    event_day\nFROM (\n{made}\n) AS made"


def audit_select(declared: ProcessedTable, source: str, predicate: str, written: str) -> str:
    """Source and table side by side, a row a day.

    Columns: ``event_day`` as text; ``repeated``; ``rows``; and ``source_i``/``target_i`` for each measure.
    Where the source is the compacted hours, each record counts once a day, in the first hour that has it.
    """
    sums = [
        f"sum(CASE WHEN delivery = 1 THEN CAST({measure.source} AS decimal(38, 4)) END) AS source_{index}"
        for index, measure in enumerate(declared.measures)
    ]
    target = [
        f"sum(CAST({measure.target} AS decimal(38, 4))) AS target_{index}"
        for index, measure in enumerate(declared.measures)
    ]
    picked = ["CAST(source.event_day AS varchar) AS event_day", "source.repeated", 'target."rows"']
    picked += [f"source.source_{i}, target.target_{i}" for i in range(len(declared.measures))]
    delivery = (
        "CASE WHEN record_id IS NULL THEN 1"
        " ELSE row_number() OVER (PARTITION BY event_day, record_id ORDER BY year, month, day, hour) END"
        if declared.source is None
        else "1"
    )
    return f"""WITH delivered AS (
    SELECT *, {delivery} AS delivery FROM {source} WHERE {predicate}
),
source AS (
    SELECT {", ".join(["event_day", "count_if(delivery > 1) AS repeated", *sums])}
    FROM delivered GROUP BY event_day
),
target AS (
    SELECT {", ".join(["event_day", 'count(*) AS "rows"', *target])}
    FROM {written} GROUP BY event_day
)
SELECT {", ".join(picked)}
FROM source LEFT JOIN target ON target.event_day = source.event_day
ORDER BY 1"""


def _judge(
    declared: ProcessedTable,
    inputs: Mapping[date, list[Partition]],
    audit: QueryResult,
    written: Staged,
    sizes: Mapping[str, int],
) -> dict[date, DayResult]:
    rows = {row["event_day"]: row for row in audit.rows}
    scanned = (written.execution.scanned_bytes + audit.execution.scanned_bytes) // max(1, len(inputs))
    results: dict[date, DayResult] = {}
    for day in inputs:
        key = hours_.day_key(day)
        row = rows.get(key)
        problem = "the audit found no row of it in its source" if row is None else _problem(declared, row)
        results[day] = DayResult(
            day=day,
            state="failed" if problem else "published",
            rows=(row or {}).get("rows") or 0,
            repeated=(row or {}).get("repeated") or 0,
            measures=_measures(declared, row),
            bytes=sizes.get(key, 0),
            query_id=written.execution.query_id,
            scanned_bytes=scanned,
            problem=problem,
        )
    return results


def _problem(declared: ProcessedTable, row: Mapping[str, Any]) -> str:
    for index, measure in enumerate(declared.measures):
        source, target = row[f"source_{index}"], row[f"target_{index}"]
        if source != target:
            return f"{measure.name} is {source} in its source, {target} as written"
    return ""


def _measures(declared: ProcessedTable, row: Mapping[str, Any] | None) -> tuple[tuple[str, Decimal], ...]:
    if row is None:
        return ()
    return tuple(
        (measure.name, row[f"target_{index}"])
        for index, measure in enumerate(declared.measures)
        if row[f"target_{index}"] is not None
    )


def _hour(partition: Partition) -> datetime:
    return hours_.from_partition_values(list(partition.values))
