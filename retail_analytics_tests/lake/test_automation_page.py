"""``docs/automation.md`` names nothing that is not there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from retail_analytics.batch.alone import compaction_pool
from retail_analytics.definitions import build_definitions
from retail_analytics.feeds import get_feed
from retail_analytics.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "automation.md"
FEED = get_feed("retail_trans")
# What stands in the same type without being a name of ours.
OTHER = {
    "extra",
    "make bench-lake",
    "project_raw=True",
    "<feed>_arrivals",
    "retail_trans/raw",
    "retail_trans",
}


@pytest.fixture(scope="module")
def names() -> set[str]:
    """Assets, checks, sensors, schedules, jobs and pools of a deployment that announces."""
    definitions = build_definitions(replace(Settings(), notify_webhook="https://example.com/hook"))
    graph = definitions.resolve_asset_graph()
    repository = definitions.get_repository_def()
    assets = {key.path[-1] for key in graph.get_all_asset_keys() if key.path[0] == FEED.name}
    checks = {key.name for key in graph.asset_check_keys}
    sensors = {sensor.name for sensor in repository.sensor_defs}
    schedules = {schedule.name for schedule in repository.schedule_defs}
    return {*assets, *checks, *sensors, *schedules, compaction_pool(FEED)}


def test_every_name_on_the_page_is_one_of_the_graph(names: set[str]) -> None:
    quoted = set(re.findall(r"`([^`\n]+)`", PAGE.read_text()))
    settings = {name for name in quoted if name.startswith("RETAIL_")}
    source = (Path(__file__).parents[2] / "retail_analytics" / "settings.py").read_text()
    assert quoted - names - settings - OTHER == set()
    assert {name for name in settings if f'"{name}"' not in source} == set()


def test_every_sensor_of_the_feed_is_on_the_page(names: set[str]) -> None:
    text = PAGE.read_text()
    ours = {"arrivals", "reconciliation", "catch_up", "catch_up_days", "nightly_crawl"}
    assert {f"{FEED.name}_{name}" for name in ours} <= names
    assert [name for name in ours if f"`{FEED.name}_{name}`" not in text] == []
