"""The demo's closing words: each record that is not where it belongs is a problem, and none is forgiven."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal

import dagster as dg
import pytest

from retail_analytics.commands.checks import FAILED, PASSED, WARNING
from retail_analytics.commands.report import (
    History,
    Live,
    Report,
    find_problems,
    outcomes,
    render,
    said,
)

HISTORY = History(
    sent=100,
    raw=100,
    raw_hours=5,
    compacted=90,
    rejected=7,
    duplicates=3,
    transactions=90,
    indexed=90,
    invoices=20,
    revenue=Decimal("748957.0249"),
    raw_objects=12,
    raw_bytes=40_000,
    compacted_objects=5,
    compacted_bytes=8_000,
)
LIVE = Live(sent=50, delivered=50, indexed=50, seconds_to_s3=4.2, seconds_to_index=1.25)


def report(**changes: object) -> Report:
    made = Report("retail_trans", HISTORY, LIVE, {"a: b": PASSED}, [], seconds={"load": 1.234})
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_all_in_its_place_is_no_problem() -> None:
    assert find_problems(HISTORY, LIVE) == []
    assert report().passed


@pytest.mark.parametrize(
    "name", ["sent", "raw", "compacted", "rejected", "duplicates", "transactions", "indexed"]
)
@pytest.mark.parametrize("by", [-1, 1])
def test_one_record_of_the_history_out_of_place_is_one(name: str, by: int) -> None:
    changed = dataclasses.replace(HISTORY, **{name: getattr(HISTORY, name) + by})
    assert find_problems(changed, LIVE)


@pytest.mark.parametrize("name", ["sent", "delivered", "indexed"])
@pytest.mark.parametrize("by", [-1, 1])
def test_one_live_record_out_of_place_is_one(name: str, by: int) -> None:
    assert find_problems(HISTORY, dataclasses.replace(LIVE, **{name: getattr(LIVE, name) + by}))


@pytest.mark.parametrize(
    "changes", [{"problems": ["x"]}, {"checks": {"a": PASSED, "b": FAILED}}, {"checks": {}}], ids=str
)
def test_a_problem_a_failed_check_or_no_check_at_all_fails(changes: dict[str, object]) -> None:
    assert not report(**changes).passed


def test_a_warning_fails_nothing_and_is_told() -> None:
    warned = report(checks={"a": PASSED, "b": WARNING}, warnings=["b: one hour."])
    assert warned.passed
    assert (warned.document()["checks"], warned.document()["warnings"]) == (
        {"a": True, "b": True},
        ["b: one hour."],
    )
    assert "warning  b\n" in render(warned)
    assert "WARNING  b: one hour." in render(warned)


def test_the_document_is_json_with_money_as_pounds_and_pence() -> None:
    document = json.loads(json.dumps(report().document()))
    assert document["retail_trans"]["revenue"] == 748957.02
    assert document["retail_trans"]["sent"] == 100
    assert document["live"] == dataclasses.asdict(LIVE)
    assert document["checks"] == {"a: b": True}
    assert document["seconds"] == {"load": 1.23}


def test_people_read_every_stage_check_and_problem() -> None:
    text = render(report(checks={"good: one": PASSED, "bad: one": FAILED}, problems=["It is gone."]))
    for wanted in ("passed  good: one", "FAILED  bad: one", "PROBLEM  It is gone.", "748,957.02", "load 1.2"):
        assert wanted in text
    assert "(5.0 times smaller)" in text


def test_a_failed_check_says_what_it_found() -> None:
    key = dg.AssetKey(["retail_trans", "raw"])
    well = dg.AssetCheckEvaluation(key, "not_held", passed=True, metadata={}, description="All is well.")
    ill = dg.AssetCheckEvaluation(key, "raw_arrives", passed=False, metadata={}, description="3 hours.")
    so_so = dg.AssetCheckEvaluation(
        key,
        "notifications_read",
        passed=False,
        metadata={},
        description="3 messages.",
        severity=dg.AssetCheckSeverity.WARN,
    )
    assert said([well, ill, so_so], FAILED) == ["retail_trans/raw: raw_arrives: 3 hours."]
    assert said([well, ill, so_so], WARNING) == ["retail_trans/raw: notifications_read: 3 messages."]
    assert outcomes([well, ill, so_so]) == {
        "retail_trans/raw: not_held": PASSED,
        "retail_trans/raw: raw_arrives": FAILED,
        "retail_trans/raw: notifications_read": WARNING,
    }
