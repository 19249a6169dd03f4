"""Schedules of the batch: catch up with what no event asked for, or whose run failed; sweep by night.

Catching up looks at the catalog and at listings, and runs no query. A feed that is held is left alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from botocore.exceptions import ClientError
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster_aws.s3 import S3Resource

from retail_analytics.batch import processed
from retail_analytics.batch.assets import compacted_key, pipeline, processed_key, sweep_key
from retail_analytics.batch.staging import Pipeline
from retail_analytics.batch.state import HourState, hour_states
from retail_analytics.feeds import Feed
from retail_analytics.lake import hours, windows
from retail_analytics.lake.assets import catalog_key
from retail_analytics.lake.holds import read_hold
from retail_analytics.lake.partitions import NOT_THERE
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import GlueResource
from retail_analytics.settings import Settings

# When the hour before is closed and its own events have long been acted upon; days after their hours.
_AT_MINUTE = 20
_DAYS_AT_MINUTE = 40

CAUGHT_UP_DAYS = 7
"""Event days that are looked at again; what is older and failed stands in the UI as failed."""


@dataclass(frozen=True)
class Stretch:
    """Partitions without a gap that one run makes: the tags that say so, and its name in a run key."""

    name: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Behind:
    """What a look found to catch up with.

    Attributes:
        stretches: A run each.
        otherwise: What to say where there are none.
    """

    stretches: Sequence[Stretch]
    otherwise: str


Look = Callable[[dg.DagsterInstance, Pipeline, datetime], Behind]


def compaction_job(feed: Feed, settings: Settings) -> UnresolvedAssetJobDefinition:
    """The job that registers and compacts hours of the feed."""
    return dg.define_asset_job(
        f"{feed.name}_compaction",
        selection=dg.AssetSelection.assets(catalog_key(feed), compacted_key(feed)),
        partitions_def=windows.hourly(feed, settings),
        description="Registers and compacts hours; one run takes any stretch of them.",
        tags={"feed": feed.name},
    )


def processed_job(feed: Feed, settings: Settings) -> UnresolvedAssetJobDefinition:
    """The job that makes the processed tables of days of the feed."""
    return dg.define_asset_job(
        f"{feed.name}_processed",
        selection=dg.AssetSelection.assets(*(processed_key(feed, table.name) for table in feed.processed)),
        partitions_def=windows.daily(feed, settings),
        description="Makes the processed tables of event days; one run takes any stretch of them.",
        tags={"feed": feed.name},
    )


def build_catch_up_schedule(
    feed: Feed, settings: Settings, job: UnresolvedAssetJobDefinition
) -> dg.ScheduleDefinition:
    """Every hour: a run for each stretch of the look-back window that is not published as it is, or told."""
    return _catch_up(
        feed,
        settings,
        job,
        name=f"{feed.name}_catch_up",
        at_minute=_AT_MINUTE,
        description="Compacts hours of the look-back window that no event asked for, or whose run failed.",
        look=_hours_behind,
    )


def build_days_catch_up_schedule(
    feed: Feed, settings: Settings, job: UnresolvedAssetJobDefinition
) -> dg.ScheduleDefinition:
    """Every hour: a run for each stretch of recent event days whose tables are not what they would be now."""
    return _catch_up(
        feed,
        settings,
        job,
        name=f"{feed.name}_catch_up_days",
        at_minute=_DAYS_AT_MINUTE,
        description="Makes processed tables of recent event days whose run failed or was never asked for.",
        look=_days_behind,
    )


def _catch_up(
    feed: Feed,
    settings: Settings,
    job: UnresolvedAssetJobDefinition,
    *,
    name: str,
    at_minute: int,
    description: str,
    look: Look,
) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=f"{at_minute} * * * *",
        execution_timezone="UTC",
        description=description,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def catch_up(
        context: dg.ScheduleEvaluationContext, s3: S3Resource, athena: AthenaResource, glue: GlueResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        held = read_hold(context.instance, feed)
        if held is not None:
            return dg.SkipReason(
                f"{feed.name} is {held}. `retail-analytics release {feed.name}` lets it catch up."
            )
        moment = context.scheduled_execution_time or datetime.now(UTC)
        try:
            behind = look(context.instance, pipeline(feed, settings, s3, athena, glue), moment)
        except ClientError as error:
            if error.response["Error"]["Code"] != NOT_THERE:
                raise
            return dg.SkipReason(
                f"{error.response['Error']['Message']} There is nothing to catch up with before"
                f" `{feed.name}/catalog` was made: the first hour that arrives asks for it."
            )
        if not behind.stretches:
            return dg.SkipReason(behind.otherwise)
        return [
            # The same stretch is asked for once an hour at most, whoever else asked for it.
            dg.RunRequest(run_key=f"{moment:%Y-%m-%dT%H}/{stretch.name}", tags=stretch.tags)
            for stretch in behind.stretches
        ]

    return catch_up


def _hours_behind(instance: dg.DagsterInstance, work: Pipeline, moment: datetime) -> Behind:
    feed, settings = work.feed, work.settings
    end = hours.closed_until(feed, settings, moment)
    start = max(hours.first_hour(feed, settings), end - timedelta(hours=settings.lookback_hours))
    states = hour_states(work.s3, work.catalog, feed, settings, start, end)
    untold = untold_hours(instance, feed, states)
    stale = [state.raw.hour for state in states if not state.done or state.raw.hour in untold]
    return Behind(
        [
            Stretch(f"{hours.part(first)}/{hours.part(last)}", windows.range_tags(first, last))
            for first, last in hours.contiguous(stale)
        ],
        f"All {len(states)} hours since {start:%Y-%m-%d %H}:00 are up to date.",
    )


def untold_hours(instance: dg.DagsterInstance, feed: Feed, states: Sequence[HourState]) -> set[datetime]:
    """Hours that are published, but of whose publication Dagster never heard: its process was killed.

    One query of Dagster's event log, of these hours alone.
    """
    published = {
        hours.partition_key(state.raw.hour): state.published.digest for state in states if state.published
    }
    if not published:
        return set()
    told: dict[str, str] = {}
    filter_ = dg.AssetRecordsFilter(asset_key=compacted_key(feed), asset_partitions=list(published))
    # Newest first; more of one hour in a row than this would only make it be told once more.
    for record in instance.fetch_materializations(filter_, limit=40 * len(published)).records:
        made = record.asset_materialization
        if made is not None and made.partition is not None and "digest" in made.metadata:
            told.setdefault(made.partition, str(made.metadata["digest"].value))
    return {hours.from_partition_key(key) for key, digest in published.items() if told.get(key) != digest}


def _days_behind(_: dg.DagsterInstance, work: Pipeline, moment: datetime) -> Behind:
    first = hours.first_hour(work.feed, work.settings).date()
    days: list[date] = [moment.date() - timedelta(days=ago) for ago in range(CAUGHT_UP_DAYS)]
    days = [day for day in days if day >= first]
    stale = {
        day for table in work.feed.processed for day in processed.make_plan(work, table.name, days).stale
    }
    return Behind(
        [
            Stretch(f"{begin}/{end}", windows.day_range_tags(begin, end))
            for begin, end in hours.contiguous_days(sorted(stale))
        ],
        f"The tables of the last {len(days)} event days are up to date.",
    )


def build_sweep_schedule(feed: Feed) -> dg.ScheduleDefinition:
    """Once a night: remove what nothing points at any more."""
    job = dg.define_asset_job(
        f"{feed.name}_sweep",
        selection=dg.AssetSelection.assets(sweep_key(feed)),
        description="Removes superseded and abandoned locations, once no query can still read them.",
        tags={"feed": feed.name},
    )
    return dg.ScheduleDefinition(
        name=f"{feed.name}_nightly_sweep",
        job=job,
        description="Once a night: removes what nothing points at any more.",
        cron_schedule="10 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
