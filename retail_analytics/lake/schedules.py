"""Schedules of the lake: the crawler, off the compaction path."""

import dagster as dg

from retail_analytics.feeds import Feed


def build_crawler_schedule(feed: Feed) -> dg.ScheduleDefinition:
    """Once a night: crawl the raw hours and report what the declaration does not know."""
    job = dg.define_asset_job(
        f"{feed.name}_crawl",
        selection=dg.AssetSelection.assets([feed.name, "crawler"]),
        description="Crawls the raw hours and compares what is found with the declaration.",
        tags={"feed": feed.name},
    )
    return dg.ScheduleDefinition(
        name=f"{feed.name}_nightly_crawl",
        job=job,
        description="Once a night, off the compaction path: what the declaration does not know.",
        cron_schedule="40 2 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
