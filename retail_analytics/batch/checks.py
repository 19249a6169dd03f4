"""Checks of the batch. Each counts what it examined, and fails where that is nothing."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
from dagster_aws.s3 import S3Resource

from retail_analytics.batch.assets import compacted_key, processed_key
from retail_analytics.batch.processed import days_predicate
from retail_analytics.batch.state import HourState, hour_states
from retail_analytics.feeds import Feed
from retail_analytics.lake import hours, tables, windows
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources import sql
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import GlueResource
from retail_analytics.settings import Settings

CHECKED_DAYS = 31
"""How far back a check looks that is run by itself, not with hours of a run."""

_SHOWN = 10


def build_batch_checks(feed: Feed, settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The checks of a feed's compacted hours and processed tables."""
    return [
        _accounted(feed, settings),
        _required_fields(feed, settings),
        _schema(feed, settings),
        _sums_agree(feed, settings),
    ]


def hours_to_check(run: dg.DagsterRun, feed: Feed, settings: Settings) -> tuple[datetime, datetime]:
    """The hours ``[start, end)`` that a check looks at: the run's, or the last month's closed ones."""
    named = windows.run_range(run)
    if named is not None and len(named[0]) > len("2010-12-01"):
        first, last = (hours.from_partition_key(key) for key in named)
        return first, last + hours.HOUR
    end = hours.closed_until(feed, settings, datetime.now(UTC))
    return max(hours.first_hour(feed, settings), end - timedelta(days=CHECKED_DAYS)), end


def days_to_check(run: dg.DagsterRun, feed: Feed, settings: Settings) -> list[date]:
    """The event days that a check looks at: the run's, or the last month's."""
    named = windows.run_range(run)
    if named is not None and len(named[0]) == len("2010-12-01"):
        first, last = (hours.from_day_key(key) for key in named)
    else:
        start, end = hours_to_check(run, feed, settings)
        first, last = start.date(), end.date()
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def _accounted(feed: Feed, settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=compacted_key(feed),
        name="every_record_accounted",
        description="Per hour: published from what raw holds, and raw = compacted + rejected + duplicates.",
    )
    def every_record_accounted(
        context: dg.AssetCheckExecutionContext, s3: S3Resource, athena: AthenaResource, glue: GlueResource
    ) -> dg.AssetCheckResult:
        start, end = hours_to_check(context.run, feed, settings)
        catalog = Catalog(glue.get_client(), settings.database)
        states = hour_states(s3.get_client(), catalog, feed, settings, start, end)
        filled = [state for state in states if state.raw.objects]
        problems = [
            f"{_name(state)}: {'raw has changed since' if state.published else 'not compacted yet'}"
            for state in states
            if not state.current
        ]
        problems += _miscounted(athena, feed, settings, [state for state in filled if state.published])
        return _result(
            problems,
            examined=len(filled),
            what="hours with objects",
            in_run=windows.run_range(context.run) is not None,
            advice=(
                "Materialise the hours of `compacted` that are named; if one keeps failing, its run says why."
            ),
            lines=sum(state.published.counts.lines for state in filled if state.published),
            rejected=sum(state.published.counts.rejected for state in filled if state.published),
            duplicates=sum(state.published.counts.duplicates for state in filled if state.published),
        )

    return every_record_accounted


def _miscounted(
    athena: AthenaResource, feed: Feed, settings: Settings, states: Sequence[HourState]
) -> list[str]:
    """Hours whose tables hold other counts than their publication noted, or that do not add up."""
    if not states:
        return []
    predicate = hours.hours_predicate(state.raw.hour for state in states)
    counted: dict[str, dict[datetime, int]] = {}
    for table in (tables.compacted_table(feed, settings), tables.rejects_table(feed, settings)):
        rows = athena.query(
            f"SELECT year, month, day, hour, count(*) AS records"
            f" FROM {sql.table(settings.database, table.name)} WHERE {predicate} GROUP BY 1, 2, 3, 4"
        ).rows
        counted[table.name] = {
            datetime(row["year"], row["month"], row["day"], row["hour"], tzinfo=UTC): row["records"]
            for row in rows
        }
    compacted, rejected = counted.values()
    problems = []
    for state in states:
        if state.published is None:
            continue
        there = compacted.get(state.raw.hour, 0), rejected.get(state.raw.hour, 0)
        counts = state.published.counts
        if sum(there) + counts.duplicates != counts.lines:
            problems.append(
                f"{_name(state)}: {counts.lines} lines, but {there[0]} compacted + {there[1]} rejected"
                f" + {counts.duplicates} duplicates"
            )
    return problems


def _required_fields(feed: Feed, settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=compacted_key(feed),
        name="required_fields",
        description="Columns that may not be empty are not.",
    )
    def required_fields(
        context: dg.AssetCheckExecutionContext, athena: AthenaResource
    ) -> dg.AssetCheckResult:
        start, end = hours_to_check(context.run, feed, settings)
        wanted = [column for column in feed.columns if not column.nullable]
        counted = ", ".join(
            f"count_if(coalesce(CAST({sql.identifier(column.name)} AS varchar), '') = '')"
            f" AS {sql.identifier(column.name)}"
            for column in wanted
        )
        table = sql.table(settings.database, tables.compacted_table(feed, settings).name)
        row = athena.query(
            f'SELECT count(*) AS "rows", {counted} FROM {table}'
            f" WHERE {hours.hours_predicate(hours.hours_between(start, end))}"
        ).rows[0]
        problems = [f"{c.name} is empty in {row[c.name]} rows" for c in wanted if row[c.name]]
        return _result(
            problems,
            examined=row["rows"],
            what="rows",
            advice="Compaction rejects such records: find what wrote these, then compact the hours by force.",
            in_run=windows.run_range(context.run) is not None,
        )

    return required_fields


def _schema(feed: Feed, settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=compacted_key(feed),
        name="schema_as_declared",
        description="Every table of the feed has the columns and types that its declaration gives it.",
    )
    def schema_as_declared(glue: GlueResource) -> dg.AssetCheckResult:
        client = glue.get_client()
        declared = tables.all_tables(feed, settings)
        problems: list[str] = []
        for table in declared:
            try:
                found = client.get_table(DatabaseName=settings.database, Name=table.name)["Table"]
            except client.exceptions.EntityNotFoundException:
                problems.append(f"{table.name} is not in the catalog")
                continue
            there = [(c["Name"], c.get("Type", "")) for c in found["StorageDescriptor"]["Columns"]]
            wanted = [(name, type_) for name, type_, _ in table.columns]
            problems += [f"{table.name}: {n} {t} is missing" for n, t in wanted if (n, t) not in there]
            problems += [f"{table.name}: {n} {t} is not declared" for n, t in there if (n, t) not in wanted]
        return _result(
            problems,
            examined=len(declared) - sum("not in the catalog" in problem for problem in problems),
            what="tables",
            advice="Materialise `catalog` to bring tables to their declaration, or declare what changed.",
        )

    return schema_as_declared


def _sums_agree(feed: Feed, settings: Settings) -> dg.AssetChecksDefinition:
    last = feed.processed[-1]

    @dg.asset_check(
        asset=processed_key(feed, last.name),
        name="sums_agree",
        additional_deps=[processed_key(feed, table.name) for table in feed.processed[:-1]],
        description="Per event day, every processed table sums to what the table that it reads sums to.",
    )
    def sums_agree(context: dg.AssetCheckExecutionContext, athena: AthenaResource) -> dg.AssetCheckResult:
        days = days_to_check(context.run, feed, settings)
        problems: list[str] = []
        examined = 0
        for declared in feed.processed:
            if declared.source is None:
                continue  # its audit compared it with the compacted hours before it was published
            source = tables.processed_table(feed, settings, declared.source).name
            target = tables.processed_table(feed, settings, declared.name).name
            for index, measure in enumerate(declared.measures):
                left = _sums(athena, settings, source, measure.source, days)
                right = _sums(athena, settings, target, measure.target, days)
                examined += len(left) if index == 0 else 0
                problems += [
                    f"{day}: {measure.name} is {left.get(day)} in {source}, {right.get(day)} in {target}"
                    for day in sorted(left.keys() | right.keys())
                    if left.get(day) != right.get(day)
                ]
        return _result(
            problems,
            examined=examined,
            what="days of tables",
            in_run=windows.run_range(context.run) is not None,
            advice="Materialise the named days of the processed tables, sources first.",
        )

    return sums_agree


def _sums(
    athena: AthenaResource, settings: Settings, table: str, expression: str, days: Sequence[date]
) -> dict[str, Any]:
    rows = athena.query(
        f"SELECT CAST(event_day AS varchar) AS event_day, sum(CAST({expression} AS decimal(38, 4))) AS total"
        f" FROM {sql.table(settings.database, table)} WHERE {days_predicate(days)} GROUP BY event_day"
    ).rows
    return {row["event_day"]: row["total"] for row in rows}


def _name(state: HourState) -> str:
    return hours.partition_key(state.raw.hour)


def _result(
    problems: Sequence[str],
    *,
    examined: int,
    what: str,
    advice: str,
    in_run: bool = False,
    **numbers: int,
) -> dg.AssetCheckResult:
    """A result; to have found nothing to examine is a failure.

    Except beside hours or days that a run has just made: these may rightly be empty, and the run says so.
    """
    metadata: dict[str, Any] = {f"{what} examined": examined, **numbers, "problems": len(problems)}
    if problems:
        shown = [f"- {problem}" for problem in problems[:_SHOWN]]
        shown += [f"- … and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        metadata["what is wrong"] = dg.MetadataValue.md("\n".join(shown))
        metadata["what to do"] = advice
        description = f"{len(problems)} problem(s) in {examined} {what}. {problems[0]}"
    elif not examined and in_run:
        description = f"The run's hours or days are empty: there are no {what}."
    elif not examined:
        description = f"There were no {what} to examine: nothing is proven."
    else:
        description = f"{examined} {what} examined, all good."
    return dg.AssetCheckResult(
        passed=bool(examined) and not problems, metadata=metadata, description=description
    )
