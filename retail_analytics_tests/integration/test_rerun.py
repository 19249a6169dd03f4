"""Hours made again from the command line: by force, or by rules that are new."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from retail_analytics.batch import compaction_sql
from retail_analytics.commands.backfill import run_backfill
from retail_analytics_tests.integration.lakes import make_dagster_home

if TYPE_CHECKING:
    from pathlib import Path

    from retail_analytics_tests.integration.lakes import Deployment


@pytest.mark.slow
def test_hours_are_made_again_where_that_was_asked_for(
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    make_dagster_home(tmp_path / "dagster", monkeypatch)
    feed = dataclasses.replace(deployment.lake.feed, search=None)
    these = [deployment.hour(count) for count in (0, 1)]
    for count in (0, 1):
        deployment.put(count, count)

    def places() -> list[str]:
        return [deployment.lake.location(hour) for hour in these]

    def told() -> str:
        return capsys.readouterr().out

    assert run_backfill(feed, None, None) == 0
    made = places()
    assert "2 with objects: 2 to compact" in told()
    assert run_backfill(feed, None, None) == 0
    assert "nothing is to be done" in told()
    assert run_backfill(feed, these[0], these[0], dry_run=True, force=True) == 0
    assert "1 asked for, 1 with objects: 1 to compact" in told()
    assert places() == made

    assert run_backfill(feed, these[0], these[0], force=True) == 0
    assert "transactions" in told()
    assert (places()[0] != made[0], places()[1]) == (True, made[1])
    assert len(deployment.lake.select("transactions", "record_id")) == 2

    monkeypatch.setattr(compaction_sql, "RULES_VERSION", 1000)
    made = places()
    assert run_backfill(feed, None, None) == 0
    assert "2 with objects: 2 to compact" in told()
    assert not set(places()) & set(made)
