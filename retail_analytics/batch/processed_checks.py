"""Checks of the processed tables: their sums, to the penny. Not here: those of hours (``checks.py``)."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg

from retail_analytics.batch import processed_sql
from retail_analytics.batch.assets import processed_key
from retail_analytics.batch.processed_inputs import window_of
from retail_analytics.batch.processed_sql import Reading
from retail_analytics.batch.verdicts import days_to_check, verdict
from retail_analytics.feeds import Feed
from retail_analytics.feeds.declaration import ProcessedTable
from retail_analytics.lake import tables, windows
from retail_analytics.resources import sql
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.settings import Settings


def build_processed_checks(feed: Feed, settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The checks of a feed's processed tables."""
    # A table that reads the compacted hours was compared with them by its audit, before it was published.
    return [_sums_agree(feed, settings, table) for table in feed.processed if table.source is not None]


def _sums_agree(feed: Feed, settings: Settings, declared: ProcessedTable) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=processed_key(feed, declared.name),
        name="sums_agree",
        description=f"Per event day, it sums to what {declared.source} sums to, to the penny.",
    )
    def sums_agree(context: dg.AssetCheckExecutionContext, athena: AthenaResource) -> dg.AssetCheckResult:
        compared = _compared(athena, feed, settings, declared, days_to_check(context.run, feed, settings))
        return verdict(
            _differences(declared, compared),
            examined=len(compared),
            what="days",
            in_run=windows.run_range(context.run) is not None,
            advice=f"Materialise the named days of {declared.source}, then those of {declared.name}.",
        )

    return sums_agree


def _compared(
    athena: AthenaResource, feed: Feed, settings: Settings, declared: ProcessedTable, days: Sequence[date]
) -> dict[str, dict[str, Any]]:
    """The measures of source and table by day, in one query."""
    assert declared.source is not None  # noqa: S101
    source = tables.processed_table(feed, settings, declared.source)
    target = tables.processed_table(feed, settings, declared.name)
    window = sorted({each for day in days for each in window_of(declared, day)})
    reading = Reading(
        source=sql.table(settings.database, source.name),
        days=tuple(days),
        read=processed_sql.ranges_predicate(window),
        own=processed_sql.days_predicate(days),
    )
    written = sql.table(settings.database, target.name)
    count = range(len(declared.measures))
    picked = ", ".join(f"source.source_{index}, target.target_{index}" for index in count)
    rows = athena.query(f"""WITH source AS (
{processed_sql.source_sums(declared, reading)}
),
target AS (
{processed_sql.target_sums(declared, written, days)}
)
SELECT CAST(coalesce(source.event_day, target.event_day) AS varchar) AS event_day, {picked}
FROM source FULL OUTER JOIN target ON target.event_day = source.event_day
ORDER BY 1""").rows
    return {row["event_day"]: row for row in rows}


def _differences(declared: ProcessedTable, compared: dict[str, dict[str, Any]]) -> list[str]:
    return [
        f"{day}: {measure.name} is {row[f'source_{index}']} in {declared.source},"
        f" {row[f'target_{index}']} in {declared.name}"
        for day, row in compared.items()
        for index, measure in enumerate(declared.measures)
        if row[f"source_{index}"] != row[f"target_{index}"]
    ]
