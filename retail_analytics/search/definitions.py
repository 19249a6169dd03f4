"""All that Dagster loads of a feed's search index."""

import dagster as dg

from retail_analytics.feeds import Feed
from retail_analytics.search.assets import build_search_assets
from retail_analytics.search.checks import build_search_checks
from retail_analytics.search.schedules import build_search_schedules
from retail_analytics.search.sensors import build_repair_sensor
from retail_analytics.settings import Settings


def build_search_definitions(feed: Feed, settings: Settings) -> dg.Definitions:
    """Assets, checks, schedules and the sensor of the search index of a feed that declares one.

    Raises:
        ValueError: The feed declares no search index.
    """
    return dg.Definitions(
        assets=build_search_assets(feed, settings),
        asset_checks=build_search_checks(feed, settings),
        schedules=build_search_schedules(feed),
        sensors=[build_repair_sensor(feed, settings)],
    )
