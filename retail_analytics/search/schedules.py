"""Dagster's schedules of a feed's search index."""

import dagster as dg

from retail_analytics.feeds.declaration import Feed
from retail_analytics.search.assets import index_health_key, search_index_key

HEALTH_EVERY = "*/15 * * * *"
RECONCILE_EVERY = "50 5 * * *"


def build_search_schedules(feed: Feed) -> list[dg.ScheduleDefinition]:
    """Health, with its check, every quarter of an hour; reconciliation once a day."""
    health = dg.define_asset_job(
        f"{feed.name}_index_health",
        selection=dg.AssetSelection.assets(index_health_key(feed)),
        description="Looks at the search cluster and the feed's indices.",
    )
    reconciliation = dg.define_asset_job(
        f"{feed.name}_index_reconciliation",
        selection=dg.AssetSelection.checks_for_assets(search_index_key(feed)),
        description="Compares the index with the lake, day by day.",
    )
    return [
        dg.ScheduleDefinition(
            name=f"{feed.name}_index_health",
            job=health,
            cron_schedule=HEALTH_EVERY,
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
        ),
        dg.ScheduleDefinition(
            name=f"{feed.name}_index_reconciliation",
            job=reconciliation,
            cron_schedule=RECONCILE_EVERY,
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
        ),
    ]
