"""Schedules of the batch: catch up with what no event asked for."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster_aws.s3 import S3Resource

from retail_analytics.batch.assets import compacted_key
from retail_analytics.batch.state import hour_states
from retail_analytics.feeds import Feed
from retail_analytics.lake import hours, windows
from retail_analytics.lake.assets import catalog_key
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources.clients import GlueResource
from retail_analytics.settings import Settings

_AT_MINUTE = 20  # when the hour before is closed and its own events have long been acted upon


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
