"""A whole deployment, small: checks fail where nothing is proven, pass where all is well, and tell drift."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from retail_analytics.batch import processed
from retail_analytics.commands import jobs
from retail_analytics.commands.backfill import run_backfill
from retail_analytics.commands.checks import run_checks
from retail_analytics.embedded.provision import provision
from retail_analytics.feeds import FEEDS, get_feed
from retail_analytics.ingest import synthetic
from retail_analytics.ingest.history import load_history
from retail_analytics.lake import hours, objects
from retail_analytics.settings import Settings, format_hours
from retail_analytics_tests.integration.lakes import Lake, line, make_dagster_home

if TYPE_CHECKING:
    from pathlib import Path

    from retail_analytics.embedded.cloud import EmbeddedCloud


def checks(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str], str]:
    """(exit status, verdict by check, everything that was printed)."""
    capsys.readouterr()
    status = run_checks()
    said = capsys.readouterr().out
    verdicts = {}
    for each in said.splitlines():
        if each.startswith(("passed  ", "FAILED  ")):
            verdict, name, *_ = each.split("  ")
            verdicts[name] = verdict
    return status, verdicts, said


def materialise(
    names: list[str], instance: dg.DagsterInstance, settings: Settings, tags: dict[str, str]
) -> None:
    keys = [dg.AssetKey([get_feed("retail_trans").name, name]) for name in names]
    result = jobs.run_assets(jobs.load_definitions(settings), keys, instance, tags)
    assert result.success, jobs.failures_of(result)


def test_asset_checks_fail_on_nothing_pass_on_all_and_tell_what_changed(
    own_cloud: EmbeddedCloud,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    start = hours.floor_hour(datetime.now(UTC)) - timedelta(hours=10)
    monkeypatch.setenv("RETAIL_FIRST_HOUR", format_hours({"retail_trans": start}))
    make_dagster_home(tmp_path / "dagster", monkeypatch)
    settings = Settings.from_env()
    provision(settings, FEEDS, own_cloud.id)
    lake = Lake.of(settings, get_feed("retail_trans"))
    lake.make_tables()

    status, verdicts, said = checks(capsys)
    assert status == 1
    assert "There were no hours with objects to examine: nothing is proven." in said
    accounted = "retail_trans/compacted: every_record_accounted"
    assert verdicts[accounted] == "FAILED"
    assert verdicts["retail_trans/compacted: required_fields"] == "FAILED"
    assert verdicts["retail_trans/product_daily: sums_agree"] == "FAILED"

    for count in range(4):
        hour = start + count * hours.HOUR
        lake.put(
            hour,
            [line(10 * count + n, InvoiceDate=f"{hour:%Y-%m-%d %H}:15:00") for n in range(5)]
            + [line(10 * count, InvoiceDate=f"{hour:%Y-%m-%d %H}:15:00"), f"bad {count}"],
        )
    with dg.DagsterInstance.get() as instance:
        materialise(["index_template"], instance, settings, {})
    capsys.readouterr()
    closed = hours.closed_until(lake.feed, settings, datetime.now(UTC))
    assert run_backfill(lake.feed, start, closed - hours.HOUR) == 0
    assert "are compacted" in capsys.readouterr().out

    status, verdicts, said = checks(capsys)
    assert set(verdicts.values()) == {"passed"}, said
    assert status == 0
    assert len(verdicts) >= 5

    # An object that nobody has compacted yet is told by its hour.
    lake.put(start, [line(99)])
    status, verdicts, said = checks(capsys)
    assert status == 1
    assert verdicts[accounted] == "FAILED"
    assert f"{hours.partition_key(start)}: raw has changed since" in said


def figures(lake: Lake, these: list[datetime], days: list[date]) -> dict[str, Any]:
    """Everything that readers could sum, of the hours and the days."""
    results = lake.compact(*these)
    made = {table.name: processed.refresh(lake.pipeline, table.name, days) for table in lake.feed.processed}
    (sums,) = lake.select(
        "transactions",
        "count(*) AS lines, sum(line_amount) AS amount, count(DISTINCT invoice) AS invoices,"
        " count(DISTINCT record_id) AS ids",
    )
    return {
        "counts": [result.counts for result in results],
        "objects": [result.raw_objects for result in results],
        "sums": sums,
        "rows": {name: [result.rows for result in found] for name, found in made.items()},
        "states": {result.state for found in (results, *made.values()) for result in found},
    }


def test_loading_the_same_file_again_changes_no_figure(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "trade.csv"
    synthetic.write_csv(path, synthetic.Generator(7).past(200, 1, date(2010, 12, 3)))

    def load() -> dict[str, Any]:
        loaded = load_history(lake.feed, lake.settings, path, client=lake.s3)
        assert (loaded.records, loaded.bad_rows) == (200, 0)
        these = list(hours.hours_between(loaded.first_hour, loaded.last_hour + hours.HOUR))
        days = sorted({hour.date() for hour in these})
        return figures(lake, these, days)

    first = load()
    assert first["sums"]["lines"] == first["sums"]["ids"] == 200
    assert "published" in first["states"]
    asked = len(lake.athena.statements)
    again = load()
    assert again["states"] <= {"unchanged", "empty"}
    assert {**again, "states": first["states"]} == first
    assert len(lake.athena.statements) == asked

    # Redelivered by Firehose, under other names: more lines in raw, the same figures for readers.
    raw = objects.list_hours(
        lake.s3,
        lake.settings.bucket,
        lake.feed,
        datetime(2010, 12, 1, tzinfo=UTC),
        datetime(2010, 12, 5, tzinfo=UTC),
    )
    for hour, found in raw.items():
        for item in found.objects:
            content = lake.s3.get_object(Bucket=lake.settings.bucket, Key=item.key)["Body"].read()
            lake.put(hour, content)
    redelivered = load()
    assert redelivered["sums"] == first["sums"]
    assert redelivered["rows"] == first["rows"]
    assert sum(counts.duplicates for counts in redelivered["counts"]) == 200
    assert sum(counts.lines for counts in redelivered["counts"]) == 400
