"""Schedules of the batch: catch up with what no event asked for, or whose run failed.

Both look at the catalog and at listings, and run no query.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster_aws.s3 import S3Resource

from retail_analytics.batch import processed
from retail_analytics.batch.assets import compacted_key, pipeline, processed_key, sweep_key
from retail_analytics.batch.state import hour_states
from retail_analytics.feeds import Feed
from retail_analytics.lake import hours, windows
from retail_analytics.lake.assets import catalog_key
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import GlueResource
from retail_analytics.settings import Settings

# When the hour before is closed and its own events have long been acted upon; days after their hours.
_AT_MINUTE = 20
_DAYS_AT_MINUTE = 40

CAUGHT_UP_DAYS = 7
"""Event days that are looked at again; what is older and failed stands in the UI as failed."""


def compaction_job(feed: Feed, settings: Settings) -> UnresolvedAssetJobDefinition:
    """The job that registers and compacts hours of the feed."""
    return dg.define_asset_job(
        f"{feed.name}_compaction",
        selection=dg.AssetSelection.assets(catalog_key(feed), compacted_key(feed)),
        partitions_def=windows.hourly(feed, settings),
        description="Registers and compacts hours; one run takes any stretch of them.",
        tags={"feed": feed.name},
    )


def build_catch_up_schedule(
    feed: Feed, settings: Settings, job: UnresolvedAssetJobDefinition
) -> dg.ScheduleDefinition:
    """Every hour: a run for each stretch of the look-back window that is not published as it is."""

    @dg.schedule(
        name=f"{feed.name}_catch_up",
        job=job,
        cron_schedule=f"{_AT_MINUTE} * * * *",
        execution_timezone="UTC",
        description="Compacts hours of the look-back window that no event asked for, or whose run failed.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def catch_up(
        context: dg.ScheduleEvaluationContext, s3: S3Resource, glue: GlueResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        moment = context.scheduled_execution_time or datetime.now(UTC)
        end = hours.closed_until(feed, settings, moment)
        start = max(hours.first_hour(feed, settings), end - timedelta(hours=settings.lookback_hours))
        catalog = Catalog(glue.get_client(), settings.database)
        states = hour_states(s3.get_client(), catalog, feed, settings, start, end)
        stale = [state.raw.hour for state in states if not state.current]
        if not stale:
            return dg.SkipReason(f"All {len(states)} hours since {start:%Y-%m-%d %H}:00 are up to date.")
        return [
            dg.RunRequest(
                # The same stretch is asked for once an hour at most, whoever else asked for it.
                run_key=f"{moment:%Y-%m-%dT%H}/{hours.part(first)}/{hours.part(last)}",
                tags=windows.range_tags(first, last),
            )
            for first, last in hours.contiguous(stale)
        ]

    return catch_up


def processed_job(feed: Feed, settings: Settings) -> UnresolvedAssetJobDefinition:
    """The job that makes the processed tables of days of the feed."""
    return dg.define_asset_job(
        f"{feed.name}_processed",
        selection=dg.AssetSelection.assets(*(processed_key(feed, table.name) for table in feed.processed)),
        partitions_def=windows.daily(feed, settings),
        description="Makes the processed tables of event days; one run takes any stretch of them.",
        tags={"feed": feed.name},
    )


def build_days_catch_up_schedule(
    feed: Feed, settings: Settings, job: UnresolvedAssetJobDefinition
) -> dg.ScheduleDefinition:
    """Every hour: a run for each stretch of recent event days whose tables are not what they would be now."""

    @dg.schedule(
        name=f"{feed.name}_catch_up_days",
        job=job,
        cron_schedule=f"{_DAYS_AT_MINUTE} * * * *",
        execution_timezone="UTC",
        description="Makes processed tables of recent event days whose run failed or was never asked for.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def catch_up_days(
        context: dg.ScheduleEvaluationContext, s3: S3Resource, athena: AthenaResource, glue: GlueResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        moment = context.scheduled_execution_time or datetime.now(UTC)
        first = hours.first_hour(feed, settings).date()
        days = [moment.date() - timedelta(days=ago) for ago in range(CAUGHT_UP_DAYS)]
        days = [day for day in days if day >= first]
        work = pipeline(feed, settings, s3, athena, glue)
        stale = {day for table in feed.processed for day in processed.make_plan(work, table.name, days).stale}
        if not stale:
            return dg.SkipReason(f"The tables of the last {len(days)} event days are up to date.")
        return [
            dg.RunRequest(
                run_key=f"{moment:%Y-%m-%dT%H}/{begin}/{end}", tags=windows.day_range_tags(begin, end)
            )
            for begin, end in hours.contiguous_days(sorted(stale))
        ]

    return catch_up_days


def build_sweep_schedule(feed: Feed) -> dg.ScheduleDefinition:
    """Once a night: remove what nothing points at any more."""
    job = dg.define_asset_job(
        f"{feed.name}_sweep", selection=dg.AssetSelection.assets(sweep_key(feed)), tags={"feed": feed.name}
    )
    return dg.ScheduleDefinition(
        name=f"{feed.name}_nightly_sweep",
        job=job,
        cron_schedule="10 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
