"""Entry point of Dagster: all that it loads, on one page. No logic belongs here."""

import warnings

import dagster as dg

from retail_analytics.batch.assets import build_batch_assets, compacted_key
from retail_analytics.batch.checks import build_batch_checks
from retail_analytics.batch.failures import run_failures
from retail_analytics.batch.holds import build_hold_checks
from retail_analytics.batch.schedules import (
    build_catch_up_schedule,
    build_days_catch_up_schedule,
    build_sweep_schedule,
    compaction_job,
    processed_job,
)
from retail_analytics.feeds import FEEDS
from retail_analytics.lake.assets import build_lake_assets
from retail_analytics.lake.freshness import with_policies
from retail_analytics.lake.health import build_health_definitions
from retail_analytics.lake.notify import build_notify_sensors
from retail_analytics.lake.schedules import build_crawler_schedule
from retail_analytics.lake.sensors import (
    AT_EVERY_LOOK,
    build_arrivals_sensor,
    build_reconciliation_sensor,
)
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import GlueResource, SqsResource
from retail_analytics.resources.opensearch import OpenSearchResource
from retail_analytics.resources.s3 import LakeS3Resource
from retail_analytics.search.definitions import build_search_definitions
from retail_analytics.settings import Settings

# Backfill policies are Dagster's beta; its pinned version is what we build on, and users need no reminder.
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build_resources(settings: Settings) -> dict[str, object]:
    """The clients that assets, checks and sensors ask for by name."""
    return {
        "s3": LakeS3Resource.of(settings),
        "glue": GlueResource(region=settings.region),
        "sqs": SqsResource(region=settings.region),
        "athena": AthenaResource.of(settings),
        "opensearch": OpenSearchResource.of(settings),
    }


def build_definitions(settings: Settings) -> dg.Definitions:
    """Everything, for one deployment."""
    feeds = []
    for feed in FEEDS:
        compaction, tables = compaction_job(feed, settings), processed_job(feed, settings)
        assets = [*build_lake_assets(feed, settings), *build_batch_assets(feed, settings)]
        feeds.append(
            dg.Definitions(
                assets=with_policies(assets, feed, settings),
                asset_checks=[
                    *build_batch_checks(feed, settings),
                    *build_hold_checks(feed, compacted_key(feed)),
                ],
                jobs=[compaction, tables],
                schedules=[
                    build_catch_up_schedule(feed, settings, compaction),
                    build_days_catch_up_schedule(feed, settings, tables),
                    build_sweep_schedule(feed),
                    build_crawler_schedule(feed),
                ],
                sensors=[build_arrivals_sensor(feed, settings), build_reconciliation_sensor(feed, settings)],
            )
        )
        feeds.append(build_health_definitions(feed, settings))
        if feed.search is not None:
            feeds.append(build_search_definitions(feed, settings))
    everything = dg.Definitions(
        jobs=[dg.define_asset_job("asset_checks", selection=dg.AssetSelection.all_asset_checks())],
        sensors=[
            dg.AutomationConditionSensorDefinition(
                "automation",
                target=dg.AssetSelection.all(),
                minimum_interval_seconds=AT_EVERY_LOOK,
                default_status=dg.DefaultSensorStatus.RUNNING,
            ),
            run_failures,
            *build_notify_sensors(settings),
        ],
        resources=build_resources(settings),
        # Steps wait for Athena rather than compute: a process each would cost more than it isolates.
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(*feeds, everything)


defs = build_definitions(Settings.from_env())
