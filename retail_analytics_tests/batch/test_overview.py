"""The state of an hour at a glance: what wants somebody goes before what does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from retail_analytics.batch.overview import Circumstances, HourView, view
from retail_analytics.batch.results import HourResult
from retail_analytics.batch.state import HourState
from retail_analytics.lake.failed_runs import Attempts, Failure
from retail_analytics.lake.holds import Hold
from retail_analytics.lake.objects import EMPTY, RawHour, RawObject

HOUR = datetime(2010, 12, 1, 8, tzinfo=UTC)
CLOSED = HOUR + timedelta(hours=1, minutes=5)
RAW = RawHour(HOUR, (RawObject("h/a", "1", 7, HOUR + timedelta(minutes=50)),))
NONE = RawHour(HOUR)
CURRENT = HourResult(HOUR, "published", RAW.digest)
OLD = HourResult(HOUR, "published", "older")
GONE = HourResult(HOUR, "empty", EMPTY)
TARGET = timedelta(hours=2)
HOLD = Hold("why", "Ada", HOUR)
ATTEMPTS = Attempts(2, Failure("r", "", "", "it broke"))


def at_a_glance(raw: RawHour, published: HourResult | None, **known: Any) -> HourView:
    usual = Circumstances(CLOSED, closed=True, target=TARGET)
    return view(HourState(raw, published), replace(usual, **known))


@pytest.mark.parametrize(
    ("raw", "published", "known", "kind"),
    [
        (RAW, CURRENT, {}, "compacted"),
        (RAW, None, {}, "waiting"),
        (RAW, OLD, {}, "waiting"),
        (NONE, None, {}, "empty"),
        (NONE, GONE, {}, "empty"),
        (NONE, OLD, {}, "waiting"),
        (RAW, None, {"closed": False}, "open"),
        (NONE, None, {"closed": False}, "open"),
        (RAW, None, {"hold": HOLD}, "held"),
        (RAW, CURRENT, {"hold": HOLD}, "compacted"),
        (RAW, None, {"closed": False, "hold": HOLD}, "open"),
        (RAW, OLD, {"attempts": ATTEMPTS}, "failed"),
        (RAW, CURRENT, {"attempts": ATTEMPTS}, "compacted"),
        (RAW, OLD, {"attempts": ATTEMPTS, "hold": HOLD, "errors": 1}, "failed"),
        (RAW, CURRENT, {"errors": 3}, "errors"),
        (NONE, None, {"errors": 3, "closed": False}, "errors"),
        (RAW, OLD, {"errors": 3, "hold": HOLD}, "errors"),
    ],
)
def test_the_state_of_an_hour(
    raw: RawHour, published: HourResult | None, known: dict[str, Any], kind: str
) -> None:
    made = at_a_glance(raw, published, **known)
    assert made.kind == kind
    assert (made.objects, made.bytes) == (len(raw.objects), raw.size)
    assert bool(made.note) is (kind in ("failed", "errors"))


def test_a_failure_is_told_with_its_reason() -> None:
    assert at_a_glance(RAW, OLD, attempts=ATTEMPTS).note == "failed 2 times: it broke"


def test_news_that_nobody_takes_are_stuck_but_not_while_they_still_come() -> None:
    late = HOUR + timedelta(hours=1) + TARGET
    assert at_a_glance(RAW, None, now=late).kind == "waiting"
    stuck = at_a_glance(RAW, None, now=late + timedelta(seconds=1))
    assert (stuck.kind, stuck.note) == ("failed", "stuck: its news have waited for 120 minutes")
    assert at_a_glance(RAW, None, now=late + timedelta(days=9)).note.endswith("9 days")
    fresh = RawHour(HOUR, (replace(RAW.objects[0], modified=late),))
    assert at_a_glance(fresh, OLD, now=late + timedelta(minutes=1)).kind == "waiting"
    assert at_a_glance(RAW, None, now=late + timedelta(days=9), hold=HOLD).kind == "held"
