"""Processed tables, by event day: exactly the days that changed hours hold or held are made again.

The same write, audit, publish as compaction. A day whose inputs are what they were is left alone. One that
was made again and came out the same stays where it was, so that what reads it is not made over for nothing.
Not here: the SELECT of a table, which is the feed's, and what a day reads (``processed_inputs.py``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from retail_analytics.batch import processed_sql, staging
from retail_analytics.batch.processed_inputs import Inputs, fingerprint, inputs_of, reading_of
from retail_analytics.lake import hours as hours_
from retail_analytics.lake import tables
from retail_analytics.lake.partitions import Partition, chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date
    from decimal import Decimal

    from retail_analytics.batch.staging import Pipeline, Staged
    from retail_analytics.feeds.declaration import ProcessedTable
    from retail_analytics.resources.athena import QueryResult

State = Literal["published", "same", "unchanged", "empty", "failed"]

_ATTEMPTS = 4
_NOTHING = Inputs(())


@dataclass(frozen=True)
class DayResult:
    """What a refresh came to for one day of one table.

    Attributes:
        day: The event day.
        state: ``published`` now; ``same``, made from other inputs than before and come out as it was;
            ``unchanged``, its inputs being what they were; ``empty`` (nothing to read); or ``failed``.
        rows: Rows of the table.
        repeated: Records that the day's hours held more than once between them; removed here.
        measures: The table's sums, equal to those of what it was read from.
        bytes: Bytes written.
        query_id: The CTAS.
        scanned_bytes: What the CTAS and the audit read, shared out evenly over the days of the query.
        content: A digest of the rows.
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
    content: str = ""
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
            results |= _refresh_batch(pipeline, declared, inputs, plan.published)
            log(f"{declared.name}: days up to {batch[-1]} made, {len(batch)} in one query.")
        # An hour that is published between the write and its audit makes them differ: start over.
        waiting = _changed_meanwhile(pipeline, declared, plan)
        if not waiting:
            break
        log(f"{declared.name}: the inputs of {len(waiting)} day(s) changed meanwhile.")
    else:
        for day in waiting:
            problem = f"its inputs changed during each of {_ATTEMPTS} attempts; run it again when it is quiet"
            results[day] = replace(results[day], state="failed", problem=problem)
    return [results[day] for day in sorted(results)]


def _changed_meanwhile(pipeline: Pipeline, declared: ProcessedTable, plan: Plan) -> list[date]:
    """Days that were made from inputs that are not theirs any more."""
    now = inputs_of(pipeline, declared, list(plan.inputs)) if plan.inputs else {}
    return [
        day
        for day, inputs in plan.inputs.items()
        if fingerprint(declared, now.get(day, _NOTHING)) != fingerprint(declared, inputs)
    ]


@dataclass(frozen=True)
class Plan:
    """What a refresh has to do, as the catalog tells without a query.

    Attributes:
        inputs: Days to make, with what each reads.
        gone: Days that have a partition and nothing to read any more.
        settled: Results of the days that need no query; those that are gone are among them.
        published: The days that are published, with their partitions.
    """

    inputs: Mapping[date, Inputs]
    gone: tuple[date, ...]
    settled: Mapping[date, DayResult]
    published: Mapping[date, Partition]

    @property
    def stale(self) -> list[date]:
        """Days whose table is not what it would be if it were made now."""
        return sorted({*self.inputs, *self.gone})


def make_plan(pipeline: Pipeline, name: str, days: Sequence[date]) -> Plan:
    """What a refresh of these days would do; costs catalog calls only."""
    declared = pipeline.feed.processed_table(name)
    wanted = sorted(set(days))
    inputs = inputs_of(pipeline, declared, wanted)
    published = _published(pipeline, name, wanted)
    settled: dict[date, DayResult] = {}
    gone: list[date] = []
    for day in wanted:
        there = published.get(day)
        if day not in inputs:
            settled[day] = DayResult(day, "empty")
            gone += [day] if there else []
        elif there and there.parameters.get("inputs") == fingerprint(declared, inputs[day]):
            settled[day] = _noted(day, there)
    return Plan(
        inputs={day: found for day, found in inputs.items() if day not in settled},
        gone=tuple(gone),
        settled=settled,
        published=published,
    )


def _noted(day: date, partition: Partition) -> DayResult:
    noted = partition.parameters
    return DayResult(
        day,
        "unchanged",
        rows=int(noted.get("rows", "0")),
        repeated=int(noted.get("repeated", "0")),
        bytes=int(noted.get("bytes", "0")),
        query_id=noted.get("query_id", ""),
    )


def _published(pipeline: Pipeline, name: str, days: Sequence[date]) -> dict[date, Partition]:
    table = tables.processed_table(pipeline.feed, pipeline.settings, name)
    found = pipeline.catalog.get(table, [(hours_.day_key(day),) for day in days])
    return {hours_.from_day_key(values[0]): partition for values, partition in found.items()}


def _refresh_batch(
    pipeline: Pipeline,
    declared: ProcessedTable,
    inputs: Mapping[date, Inputs],
    published: Mapping[date, Partition],
) -> dict[date, DayResult]:
    """Write, audit and publish one batch of days."""
    reading = reading_of(pipeline, declared, inputs)
    made_from = {day: fingerprint(declared, found) for day, found in inputs.items()}
    with staging.begun(
        pipeline,
        root=f"processed/{pipeline.feed.name}/{declared.name}/",
        name=hashlib.blake2b("".join(made_from.values()).encode(), digest_size=8).hexdigest(),
        select=processed_sql.processed_select(declared, reading),
        partition="event_day",
        bucket_by=declared.columns[0][0],
    ) as finished:
        written = finished()
        audit = pipeline.athena.query(processed_sql.audit_select(declared, reading, written.table))
        files = staging.outputs(pipeline, written)
    sizes = {key: output.size for key, output in files.items()}
    results = _judge(declared, reading.days, audit, written, sizes)
    results = {day: _compared(result, published.get(day)) for day, result in results.items()}
    _publish(pipeline, declared, results, written, published, made_from)
    return results


def _compared(result: DayResult, before: Partition | None) -> DayResult:
    """``same`` for a day that came out as it is published."""
    if result.state != "published" or before is None or before.parameters.get("content") != result.content:
        return result
    return replace(result, state="same")


def _publish(
    pipeline: Pipeline,
    declared: ProcessedTable,
    results: Mapping[date, DayResult],
    written: Staged,
    published: Mapping[date, Partition],
    made_from: Mapping[date, str],
) -> None:
    """Point the partitions of the good days at what was written; those that are the same stay put."""
    partitions = [
        Partition(
            (hours_.day_key(day),),
            published[day].location if result.state == "same" else written.location_of(hours_.day_key(day)),
            {
                "inputs": made_from[day],
                "content": result.content,
                "rows": str(result.rows),
                "repeated": str(result.repeated),
                "bytes": str(result.bytes),
                "query_id": result.query_id,
            },
        )
        for day, result in results.items()
        if result.state in ("published", "same")
    ]
    table = tables.processed_table(pipeline.feed, pipeline.settings, declared.name)
    pipeline.catalog.put(table, partitions, existing=[(hours_.day_key(day),) for day in published])


def _judge(
    declared: ProcessedTable,
    days: Sequence[date],
    audit: QueryResult,
    written: Staged,
    sizes: Mapping[str, int],
) -> dict[date, DayResult]:
    rows = {row["event_day"]: row for row in audit.rows}
    scanned = (written.execution.scanned_bytes + audit.execution.scanned_bytes) // max(1, len(days))
    results: dict[date, DayResult] = {}
    for day in days:
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
            content=(row or {}).get("content") or "",
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
