"""Checks of compacted hours. Each counts what it examined, and fails where that is nothing.

Not here: those of processed tables (``processed_checks.py``), and how a result is told (``verdicts.py``).
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster_aws.s3 import S3Resource

from retail_analytics.batch import metadata
from retail_analytics.batch.assets import compacted_key
from retail_analytics.batch.compaction_sql import PREVIEW_CELL_END, PREVIEW_ROW_END
from retail_analytics.batch.processed_checks import build_processed_checks
from retail_analytics.batch.state import HourState, hour_states
from retail_analytics.batch.verdicts import hours_to_check, verdict
from retail_analytics.feeds import Feed
from retail_analytics.lake import hours, tables, windows
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources import sql
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import GlueResource
from retail_analytics.settings import Settings

_SAMPLES = 3  # of each reason
_MOST_SAMPLES = 30
_LONGEST_SAMPLE = 300  # characters


def build_batch_checks(feed: Feed, settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The checks of a feed's compacted hours and processed tables."""
    return [
        _accounted(feed, settings),
        _required_fields(feed, settings),
        _schema(feed, settings),
        _rejects(feed, settings),
        *build_processed_checks(feed, settings),
    ]


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
        catalog = Catalog.of(settings, glue)
        states = hour_states(s3.get_client(), catalog, feed, settings, start, end)
        filled = [state for state in states if state.raw.objects]
        problems = [
            f"{_name(state)}: {'raw has changed since' if state.published else 'not compacted yet'}"
            for state in states
            if not state.current
        ]
        problems += _miscounted(athena, feed, settings, [state for state in filled if state.published])
        return verdict(
            problems,
            examined=len(filled),
            what="hours with objects",
            in_run=windows.run_range(context.run) is not None,
            advice=(
                "Materialise the hours of `compacted` that are named; if one keeps failing, its run says why."
            ),
            more={
                name: sum(getattr(state.published.counts, name) for state in filled if state.published)
                for name in ("lines", "rejected", "duplicates")
            },
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
        return verdict(
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
        description=(
            "Every table of the feed has the columns and types that its declaration gives it,"
            " and no record holds a key that it does not know."
        ),
    )
    def schema_as_declared(
        context: dg.AssetCheckExecutionContext, athena: AthenaResource, glue: GlueResource
    ) -> dg.AssetCheckResult:
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
        missing = sum("not in the catalog" in problem for problem in problems)
        unknown = {} if missing else _unknown_keys(athena, feed, settings, context.run)
        told = [
            f"{count} records hold the key {key}, which is not declared" for key, count in unknown.items()
        ]
        policy = feed.schema_policy.added
        return verdict(
            [*problems, *([] if policy == "ignore" else told)],
            examined=len(declared) - missing,
            what="tables",
            advice=(
                "Materialise `catalog` to bring tables to their declaration, or declare what changed;"
                " values of keys that are not declared are kept in the column `extra`."
            ),
            severity=(
                dg.AssetCheckSeverity.ERROR if problems or policy == "fail" else dg.AssetCheckSeverity.WARN
            ),
            more={"keys that are not declared": ", ".join(unknown) or "none"},
        )

    return schema_as_declared


def _unknown_keys(
    athena: AthenaResource, feed: Feed, settings: Settings, run: dg.DagsterRun
) -> dict[str, int]:
    """How many compacted records hold each key that the declaration does not know."""
    table = sql.table(settings.database, tables.compacted_table(feed, settings).name)
    start, end = hours_to_check(run, feed, settings)
    rows = athena.query(
        f"SELECT found.name, count(*) AS records FROM {table}"
        " CROSS JOIN UNNEST(map_keys(CAST(json_parse(extra) AS map(varchar, json)))) AS found (name)"
        f" WHERE extra IS NOT NULL AND {hours.hours_predicate(hours.hours_between(start, end))}"
        " GROUP BY found.name ORDER BY 2 DESC, 1"
    ).rows
    return {row["name"]: row["records"] for row in rows}


def _rejects(feed: Feed, settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=compacted_key(feed),
        name="rejects_within_limit",
        description=(
            f"No more than {feed.rejects_limit.share:.1%} of the records are rejected"
            f" ({feed.rejects_limit.count} may always be). The reasons are counted, with a sample of each."
        ),
    )
    def rejects_within_limit(
        context: dg.AssetCheckExecutionContext, s3: S3Resource, athena: AthenaResource, glue: GlueResource
    ) -> dg.AssetCheckResult:
        start, end = hours_to_check(context.run, feed, settings)
        catalog = Catalog.of(settings, glue)
        states = hour_states(s3.get_client(), catalog, feed, settings, start, end)
        published = [state.published.counts for state in states if state.published]
        lines = sum(counts.lines for counts in published)
        rejected = sum(counts.rejected for counts in published)
        allowed = feed.rejects_limit.allowed(lines)
        problem = f"{rejected} of {lines} records are rejected ({rejected / max(lines, 1):.1%})"
        return verdict(
            [f"{problem}; {allowed} may be"] if rejected > allowed else [],
            examined=lines,
            what="records",
            in_run=windows.run_range(context.run) is not None,
            advice=(
                f"Look at the reasons and at {feed.name}_rejects, mend what writes such records, and load"
                " them again; a change of the declaration makes its hours anew by force."
            ),
            more={"rejected": rejected, "allowed": allowed}
            | (_sample_of_rejects(athena, feed, settings, start, end) if rejected else {}),
        )

    return rejects_within_limit


def _sample_of_rejects(
    athena: AthenaResource, feed: Feed, settings: Settings, start: datetime, end: datetime
) -> dict[str, dg.MetadataValue]:
    """How many records were rejected for each reason, and some of each."""
    table = sql.table(settings.database, tables.rejects_table(feed, settings).name)
    rows = athena.query(
        "SELECT reason, records, source_object, line FROM (SELECT reason, source_object,"
        f" substr(line, 1, {_LONGEST_SAMPLE}) AS line, count(*) OVER (PARTITION BY reason) AS records,"
        " row_number() OVER (PARTITION BY reason ORDER BY source_object, line) AS place"
        f" FROM {table} WHERE {hours.hours_predicate(hours.hours_between(start, end))}) AS placed"
        f" WHERE place <= {_SAMPLES} ORDER BY records DESC, reason, place"
    ).rows
    reasons = {row["reason"]: row["records"] for row in rows}
    shown = [(row["reason"], row["source_object"], row["line"]) for row in rows[:_MOST_SAMPLES]]
    return {
        "reasons": _table(("reason", "records"), [(reason, str(n)) for reason, n in reasons.items()]),
        "sample": _table(("reason", "object", "record"), shown),
    }


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> dg.MetadataValue:
    text = PREVIEW_ROW_END.join(PREVIEW_CELL_END.join(row) for row in rows)
    return dg.MetadataValue.md(metadata.markdown_table(names, text))


def _name(state: HourState) -> str:
    return hours.partition_key(state.raw.hour)
