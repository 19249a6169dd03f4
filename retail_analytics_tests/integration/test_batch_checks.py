"""Checks of compacted hours: rejects are counted, shown and limited; unknown keys are told; sums agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from retail_analytics.lake import hours, windows
from retail_analytics.lake.partitions import Catalog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retail_analytics.lake.partitions import Partition
    from retail_analytics.lake.tables import Table
    from retail_analytics_tests.integration.lakes import Deployment


def found(result: dg.ExecuteInProcessResult, name: str) -> tuple[dg.AssetCheckEvaluation, dict[str, Any]]:
    """A check's evaluation, and its metadata as plain values."""
    (evaluation,) = [each for each in result.get_asset_check_evaluations() if each.check_name == name]
    return evaluation, {label: value.value for label, value in evaluation.metadata.items()}


def test_rejects_are_counted_by_reason_shown_and_limited(deployment: Deployment) -> None:
    hour = deployment.hour(0)
    good = [deployment.line(number, hour) for number in range(20)]
    bad = ["| no *json*", deployment.line(1, hour, Quantity="many"), deployment.line(2, hour, Quantity="few")]
    deployment.lake.put(hour, good + bad)
    evaluation, told = found(deployment.compact(0, 0), "rejects_within_limit")
    assert evaluation.passed  # five may be, whatever their share
    assert (told["records examined"], told["rejected"], told["allowed"]) == (23, 3, 5)
    assert told["reasons"].split("\n")[2:] == ["| Quantity is no int | 2 |", "| not JSON | 1 |"]
    sample = told["sample"].split("\n")[2:]
    assert len(sample) == 3
    assert all(row.count("|") == 4 for row in sample), "no text breaks out of its cell"
    assert "&#124; no &#42;json&#42;" in sample[2]
    assert hours.prefix(deployment.lake.feed, hour).replace("_", "&#95;") in sample[0] or "s3://" in sample[0]

    deployment.lake.put(hour, ["bad 1", "bad 2", "bad 3"])
    evaluation, told = found(deployment.compact(0, 0), "rejects_within_limit")
    assert not evaluation.passed
    assert told["what is wrong"] == "- 6 of 26 records are rejected (23.1%); 5 may be"
    # It blocks nobody: the good records are there.
    assert len(deployment.lake.compacted_ids(hour)) == 20


def test_keys_that_are_not_declared_are_kept_and_told(deployment: Deployment) -> None:
    hour = deployment.hour(0)
    deployment.lake.put(hour, [deployment.line(1, hour, Channel="web"), deployment.line(2, hour, Channel=1)])
    deployment.lake.put(hour, [deployment.line(3, hour, Till="7"), deployment.line(4, hour)])
    evaluation, told = found(deployment.compact(0, 0), "schema_as_declared")
    assert told["keys that are not declared"] == "Channel, Till"
    assert told["what is wrong"].split("\n") == [
        "- 2 records hold the key Channel, which is not declared",
        "- 1 records hold the key Till, which is not declared",
    ]
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    extra = deployment.lake.select("compacted", "extra", hours.hours_predicate([hour]))
    assert sorted(row["extra"] or "" for row in extra) == [
        "",
        '{"Channel":"web"}',
        '{"Channel":1}',
        '{"Till":"7"}',
    ]


def test_an_hours_rejects_are_there_before_its_good_rows(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = deployment.hour(0)
    deployment.lake.make_tables()
    deployment.lake.put(hour, [deployment.line(1, hour), "bad"])
    put = Catalog.put
    seen: list[tuple[dict[str, str], list[str]]] = []

    def watched(self: Catalog, table: Table, partitions: Sequence[Partition], existing: Any) -> None:
        put(self, table, partitions, existing)
        seen.append((deployment.lake.rejects(hour), deployment.lake.compacted_ids(hour)))

    monkeypatch.setattr(Catalog, "put", watched)
    deployment.lake.compact(hour)
    rejected, good = {"bad": "not JSON"}, [f"{1:032x}"]
    assert (rejected, []) in seen
    assert seen[-1] == (rejected, good)
    assert ({}, good) not in seen


def test_sums_that_differ_are_told_by_day_and_table(deployment: Deployment) -> None:
    for count in (0, 26):
        deployment.put(count, count)
    assert deployment.compact(0, 26).success
    first, last = (deployment.hour(count).date() for count in (0, 26))
    names = [table.name for table in deployment.lake.feed.processed]
    days = windows.day_range_tags(first, last)
    made = deployment.run(*names, tags=days)
    assert sums(made) == dict.fromkeys(names[1:], True)

    # A day that its source has moved on from: a sale more that only transactions know.
    deployment.lake.put(deployment.hour(1), [deployment.line(100, deployment.hour(0))])
    deployment.compact(1, 1)
    deployment.run("transactions", tags=windows.day_range_tags(first, first))
    job = dg.define_asset_job(
        "sums", selection=dg.AssetSelection.checks_for_assets(*(deployment.key(name) for name in names))
    )
    checked = dg.Definitions.merge(deployment.definitions, dg.Definitions(jobs=[job])).resolve_job_def("sums")
    result = checked.execute_in_process(instance=deployment.instance, run_config={"loggers": {"console": {}}})
    assert sums(result) == dict.fromkeys(names[1:], False)
    (hourly,) = [
        each.metadata["what is wrong"].value
        for each in result.get_asset_check_evaluations()
        if each.asset_key == deployment.key("sales_hourly")
    ]
    assert f"- {first}: lines is 2.0000 in transactions, 1.0000 in sales_hourly" in str(hourly)


def sums(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Whether the sums agree, by table."""
    return {
        each.asset_key.path[-1]: each.passed
        for each in result.get_asset_check_evaluations()
        if each.check_name == "sums_agree"
    }
