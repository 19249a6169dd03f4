"""Batch assets: compacted hours, the event days they touch, and the processed tables by event day."""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster_aws.s3 import S3Resource

from retail_analytics.batch import compaction, metadata, processed
from retail_analytics.batch.alone import compaction_pool, stay_alone
from retail_analytics.batch.holds import hold_spec, unless_held
from retail_analytics.batch.results import HourResult
from retail_analytics.batch.staging import Pipeline
from retail_analytics.batch.sweep import sweep
from retail_analytics.feeds import Feed
from retail_analytics.feeds.declaration import ProcessedTable
from retail_analytics.lake import hours, tables, windows
from retail_analytics.lake.assets import AS_HOURS_ARRIVE, IN_ONE_RUN, catalog_key
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import GlueResource
from retail_analytics.resources.faults import RETRIES, permanent_faults_fail
from retail_analytics.settings import Settings

POOL = "athena"

# Days follow no clock: an eager condition on the whole history, today's day included.
AS_DAYS_CHANGE = AS_HOURS_ARRIVE

AS_WINDOWS_CHANGE = AS_DAYS_CHANGE.replace(
    "any_deps_missing", ~dg.AutomationCondition.all_deps_match(~dg.AutomationCondition.missing())
)
"""For a table with a look-back: history begins somewhere, so a day of the window is enough."""


class CompactionConfig(dg.Config):
    """How to compact.

    Attributes:
        force: Compact hours again that are published from what raw holds now.
    """

    force: bool = False


def compacted_key(feed: Feed) -> dg.AssetKey:
    """The key of a feed's compacted hours."""
    return dg.AssetKey([feed.name, "compacted"])


def event_days_key(feed: Feed) -> dg.AssetKey:
    """The key of a feed's event days."""
    return dg.AssetKey([feed.name, "event_days"])


def processed_key(feed: Feed, name: str) -> dg.AssetKey:
    """The key of a processed table."""
    return dg.AssetKey([feed.name, name])


def sweep_key(feed: Feed) -> dg.AssetKey:
    """The key of a feed's sweep."""
    return dg.AssetKey([feed.name, "swept"])


def build_batch_assets(feed: Feed, settings: Settings) -> list[dg.AssetSpec | dg.AssetsDefinition]:
    """The batch assets of a feed."""
    return [
        hold_spec(feed),
        _compacted(feed, settings),
        dg.AssetSpec(
            event_days_key(feed),
            deps=[compacted_key(feed)],
            description=(
                "Notices: the compacted hours that hold this event day changed."
                " Compaction gives them, and exactly these days are made again downstream."
            ),
            partitions_def=windows.daily(feed, settings),
            group_name=feed.name,
        ),
        *(_processed(feed, settings, declared) for declared in feed.processed),
        _sweep(feed, settings),
    ]


def pipeline(
    feed: Feed, settings: Settings, s3: S3Resource, athena: AthenaResource, glue: GlueResource
) -> Pipeline:
    """The plain pipeline behind Dagster's resources."""
    return Pipeline(feed, settings, s3.get_client(), athena, Catalog.of(settings, glue))


def _compacted(feed: Feed, settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        key=compacted_key(feed),
        deps=[catalog_key(feed)],
        description="The good records of each hour of arrival, once, typed; audited, then published.",
        partitions_def=windows.hourly(feed, settings),
        backfill_policy=IN_ONE_RUN,
        automation_condition=AS_HOURS_ARRIVE & unless_held(feed),
        retry_policy=RETRIES,
        group_name=feed.name,
        kinds={"athena", "parquet"},
        pool=compaction_pool(feed),
        metadata={
            "dagster/column_schema": metadata.column_schema(tables.compacted_table(feed, settings).columns),
            "dagster/table_name": f"{settings.database}.{tables.compacted_table(feed, settings).name}",
        },
    )
    def compacted(
        context: dg.AssetExecutionContext,
        config: CompactionConfig,
        s3: S3Resource,
        athena: AthenaResource,
        glue: GlueResource,
    ) -> None:
        stay_alone(context.instance, compaction_pool(feed), context.run_id)
        wanted = [hours.from_partition_key(key) for key in context.partition_keys]
        made: dict[datetime, HourResult] = {}
        try:
            with permanent_faults_fail():
                work = pipeline(feed, settings, s3, athena, glue)
                for settled in compaction.compact_in_batches(
                    work, wanted, log=context.log.info, force=config.force, run_id=context.run_id
                ):
                    made |= settled
        except BaseException:
            # An interruption, too: what is published by now is a fact, and Dagster hears of it now.
            _tell(context, feed, settings, list(made.values()))
            raise
        results = [made[hour] for hour in sorted(made)]
        failed = [result for result in results if result.state == "failed"]
        if failed:
            _tell(context, feed, settings, results)
            raise dg.Failure(description=_failure(failed, len(results)), allow_retries=False)
        _tell_event_days(context, feed, settings, results)
        for result in results:
            context.add_asset_metadata(
                metadata.of_hour(result, feed, settings), partition_key=hours.partition_key(result.hour)
            )

    return compacted


def _tell_event_days(
    context: dg.AssetExecutionContext, feed: Feed, settings: Settings, results: Sequence[HourResult]
) -> None:
    """Tell which event days changed, those before the first hour left out: they are no partitions."""
    told: dict[str, int] = {}
    for result in results:
        if result.state != "failed":
            for day in result.changed_days:
                told[day] = told.get(day, 0) + 1
    days = windows.daily(feed, settings)
    for day, count in sorted(told.items()):
        if days.has_partition_key(day):
            context.log_event(
                dg.AssetMaterialization(
                    event_days_key(feed), partition=day, metadata={"compacted hours that touch it": count}
                )
            )
        else:
            context.log.warning(f"{count} hour(s) hold events of {day}, which is no day of this deployment.")


def _tell(
    context: dg.AssetExecutionContext, feed: Feed, settings: Settings, results: Sequence[HourResult]
) -> None:
    """A failing step materialises nothing; the hours that did publish are told one by one, and their days."""
    _tell_event_days(context, feed, settings, results)
    for result in results:
        if result.state != "failed":
            context.log_event(
                dg.AssetMaterialization(
                    compacted_key(feed),
                    partition=hours.partition_key(result.hour),
                    metadata=metadata.of_hour(result, feed, settings),
                )
            )


def _failure(failed: Sequence[HourResult], of: int) -> str:
    named = "; ".join(f"{hours.partition_key(result.hour)}: {result.problem}" for result in failed[:10])
    return f"{len(failed)} of {of} hours were not published; readers keep what they had. {named}"


def _processed(feed: Feed, settings: Settings, declared: ProcessedTable) -> dg.AssetsDefinition:
    key = processed_key(feed, declared.name)
    read = processed_key(feed, declared.source) if declared.source else compacted_key(feed)
    lineage = metadata.column_lineage(declared, read)

    @dg.asset(
        key=key,
        deps=[_source_of(feed, declared)],
        description=declared.description,
        partitions_def=windows.daily(feed, settings),
        backfill_policy=IN_ONE_RUN,
        automation_condition=(AS_WINDOWS_CHANGE if declared.lookback_days else AS_DAYS_CHANGE)
        & unless_held(feed),
        retry_policy=RETRIES,
        group_name=feed.name,
        kinds={"athena", "parquet"},
        pool=POOL,
        metadata={
            "dagster/column_schema": metadata.column_schema(declared.columns),
            "dagster/table_name": f"{settings.database}.{feed.name}_{declared.name}",
        },
    )
    def table(
        context: dg.AssetExecutionContext, s3: S3Resource, athena: AthenaResource, glue: GlueResource
    ) -> None:
        days = [hours.from_day_key(key) for key in context.partition_keys]
        with permanent_faults_fail():
            work = pipeline(feed, settings, s3, athena, glue)
            results = processed.refresh(work, declared.name, days, log=context.log.info)
        failed = [result for result in results if result.state == "failed"]
        if failed:
            # A failing step materialises nothing; the days that did publish are told one by one.
            for result in results:
                if result.state != "failed":
                    day, told = hours.day_key(result.day), metadata.of_day(result, settings) | lineage
                    context.log_event(dg.AssetMaterialization(key, partition=day, metadata=told))
            named = "; ".join(f"{result.day}: {result.problem}" for result in failed[:10])
            raise dg.Failure(
                description=f"{len(failed)} of {len(results)} days were not published. {named}",
                allow_retries=False,
            )
        for result in results:
            context.add_asset_metadata(
                metadata.of_day(result, settings) | lineage, partition_key=hours.day_key(result.day)
            )

    return table


def _source_of(feed: Feed, declared: ProcessedTable) -> dg.AssetDep:
    """What a processed table follows: its source's day, and the days of its look-back."""
    key = processed_key(feed, declared.source) if declared.source else event_days_key(feed)
    if not declared.lookback_days:
        return dg.AssetDep(key)
    window = dg.TimeWindowPartitionMapping(
        start_offset=-declared.lookback_days, allow_nonexistent_upstream_partitions=True
    )
    return dg.AssetDep(key, partition_mapping=window)


def _sweep(feed: Feed, settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        key=sweep_key(feed),
        deps=[compacted_key(feed), *(processed_key(feed, table.name) for table in feed.processed)],
        description="Removes what compaction and the processed tables wrote and nothing points at any more.",
        retry_policy=RETRIES,
        group_name=feed.name,
        kinds={"s3"},
    )
    def swept(
        context: dg.AssetExecutionContext, s3: S3Resource, athena: AthenaResource, glue: GlueResource
    ) -> dg.MaterializeResult[None]:
        with permanent_faults_fail():
            work = pipeline(feed, settings, s3, athena, glue)
            done = sweep(work, datetime.now(UTC), log=context.log.info)
        return dg.MaterializeResult(
            metadata={
                "locations removed": done.locations,
                "objects removed": done.objects,
                "bytes removed": done.bytes,
                "locations within the grace": done.waiting,
                "temporary tables dropped": done.temporary_tables,
            }
        )

    return swept
