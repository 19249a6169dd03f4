"""The health of a feed as Dagster loads it: its checks, and how often they look."""

import dagster as dg

from retail_analytics.feeds import Feed
from retail_analytics.lake.checks import build_health_checks, build_schema_check
from retail_analytics.settings import Settings

HEALTH_EVERY = "7,22,37,52 * * * *"
"""Off the full hour: hours close a few minutes after it and are compacted then."""


def build_health_definitions(feed: Feed, settings: Settings) -> dg.Definitions:
    """Checks of arrival, compaction, stuck hours and delivery every quarter of an hour; the schema's nightly.

    The schema's runs beside the crawler.
    """
    checks = build_health_checks(feed, settings)
    job = dg.define_asset_job(
        f"{feed.name}_health",
        selection=dg.AssetSelection.checks(*checks),
        description="Looks at what arrived, what is compacted, what is stuck and what was not delivered.",
        tags={"feed": feed.name},
    )
    schedule = dg.ScheduleDefinition(
        name=f"{feed.name}_health",
        job=job,
        description="Every quarter of an hour: did raw arrive, does compaction follow, is anything stuck?",
        cron_schedule=HEALTH_EVERY,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    return dg.Definitions(
        asset_checks=[*checks, build_schema_check(feed, settings)], jobs=[job], schedules=[schedule]
    )
