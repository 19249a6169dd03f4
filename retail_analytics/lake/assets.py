"""The lake's assets: raw hours (observed, never made by us), the catalog, the crawler's findings."""

from datetime import UTC, datetime

import dagster as dg
from dagster_aws.s3 import S3Resource

from retail_analytics.feeds import Feed
from retail_analytics.lake import crawlers, drift, findings, freshness, hours, objects, windows
from retail_analytics.lake.catalog import register
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import GlueResource
from retail_analytics.resources.faults import RETRIES, permanent_faults_fail
from retail_analytics.settings import Settings

AS_HOURS_ARRIVE = (
    dg.AutomationCondition.eager()
    .without(dg.AutomationCondition.in_latest_time_window())
    .replace("handled", dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated())
)
"""Make what lies downstream of news, however old: eager() alone looks at the newest partition only.

Nor does it make what was reported before its own first look, which it takes for handled: a history that the
arrivals sensor was quicker to report would wait for ever.
"""

IN_ONE_RUN = dg.BackfillPolicy.single_run()


def raw_key(feed: Feed) -> dg.AssetKey:
    """The key of a feed's raw hours."""
    return dg.AssetKey([feed.name, "raw"])


def catalog_key(feed: Feed) -> dg.AssetKey:
    """The key of a feed's catalog."""
    return dg.AssetKey([feed.name, "catalog"])


def crawler_key(feed: Feed) -> dg.AssetKey:
    """The key of a feed's crawler's findings."""
    return dg.AssetKey([feed.name, "crawler"])


def build_lake_assets(feed: Feed, settings: Settings) -> list[dg.AssetSpec | dg.AssetsDefinition]:
    """The lake's assets of a feed."""
    raw = dg.AssetSpec(
        raw_key(feed),
        description=f"{feed.description} As Firehose delivered it: the objects of each hour of arrival.",
        partitions_def=windows.hourly(feed, settings),
        group_name=feed.name,
        kinds={"s3", "json"},
        metadata={"location": f"s3://{settings.bucket}/{feed.raw_root}", "stream": feed.stream},
    )
    return [raw, _catalog(feed, settings), _crawler(feed, settings)]


def _catalog(feed: Feed, settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        key=catalog_key(feed),
        deps=[raw_key(feed)],
        description="The raw hours as partitions of the Glue tables: registered, repaired, dropped.",
        partitions_def=windows.hourly(feed, settings),
        backfill_policy=IN_ONE_RUN,
        automation_condition=AS_HOURS_ARRIVE,
        retry_policy=RETRIES,
        group_name=feed.name,
        kinds={"glue"},
    )
    def catalog(context: dg.AssetExecutionContext, glue: GlueResource, s3: S3Resource) -> None:
        wanted = [hours.from_partition_key(key) for key in context.partition_keys]
        with permanent_faults_fail():
            listed = objects.list_these(s3.get_client(), settings.bucket, feed, wanted)
            filled = [hour for hour, raw in listed.items() if raw.objects]
            emptied = [hour for hour, raw in listed.items() if not raw.objects]
            done = register(Catalog.of(settings, glue), feed, settings, filled, emptied)
        context.add_asset_metadata(
            {
                "hours with objects": len(filled),
                "hours without": len(emptied),
                "partitions created": done.partitions.created,
                "partitions repaired": done.partitions.repaired,
                "partitions dropped": done.partitions.dropped,
                "tables created": ", ".join(done.tables_created) or "none",
                "tables changed": ", ".join(done.tables_changed) or "none",
            }
        )

    return catalog


def _crawler(feed: Feed, settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        key=crawler_key(feed),
        deps=[raw_key(feed)],
        description="What the Glue crawler finds in the raw hours, and how they differ from the declaration.",
        retry_policy=RETRIES,
        group_name=feed.name,
        kinds={"glue"},
        pool="crawler",
    )
    def crawler(
        context: dg.AssetExecutionContext, glue: GlueResource, athena: AthenaResource
    ) -> dg.MaterializeResult[None]:
        with permanent_faults_fail():
            crawl = crawlers.crawl(glue.get_client(), feed, settings, log=context.log.info)
            window = freshness.window_hours(feed, settings, datetime.now(UTC))
            found = drift.examine(glue.get_client(), athena, feed, settings, window)
        if found.changes and findings.is_news(found, context.instance, crawler_key(feed)):
            context.log.warning(f"{feed.name} is no longer as declared: {findings.summary(found)}")
            # The schema is raw's: whoever looks at the hours sees when it changed.
            context.log_event(dg.AssetObservation(raw_key(feed), metadata=findings.of_drift(found)))
        return dg.MaterializeResult(
            metadata=findings.of_crawl(crawl) | findings.of_drift(found),
            data_version=dg.DataVersion(found.version),
        )

    return crawler
