"""A backfill that cannot begin says why before it touches anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from retail_analytics.commands.backfill import BackfillError, run_backfill
from retail_analytics.feeds import get_feed
from retail_analytics.lake import hours
from retail_analytics.settings import format_hours

FEED = get_feed("retail_trans")


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> datetime:
    """The first hour of a deployment that began ten hours ago, and whose servers do not answer."""
    begun = hours.floor_hour(datetime.now(UTC)) - timedelta(hours=10)
    monkeypatch.setenv("RETAIL_FIRST_HOUR", format_hours({FEED.name: begun}))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    return begun


@pytest.mark.parametrize(
    ("begin", "end"),
    [(-1, 0), (0, 30), (1, 0), (-5, -3), (20, 30)],
    ids=["too early", "too late", "the wrong way round", "before all", "in the future"],
)
def test_hours_that_are_none_are_refused_with_those_that_there_are(
    first: datetime, begin: int, end: int
) -> None:
    with pytest.raises(BackfillError) as caught:
        run_backfill(FEED, first + begin * hours.HOUR, first + end * hours.HOUR)
    said = str(caught.value)
    assert f"retail_trans has the hours from {first:%Y-%m-%dT%H} to " in said
    assert "RETAIL_FIRST_HOUR" in said


def test_dagsters_home_is_needed(first: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME")
    with pytest.raises(BackfillError, match="DAGSTER_HOME is not set"):
        run_backfill(FEED, first, first)
