"""Verdicts: what is named, what is to be done, and what passes."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from retail_analytics.lake import judgements
from retail_analytics.lake.delivery_errors import DeliveryErrors
from retail_analytics.lake.expectations import Expectation
from retail_analytics.lake.freshness import Arrivals, Overdue, Window
from retail_analytics.lake.holds import Hold
from retail_analytics.lake.hours import HOUR
from retail_analytics.lake.objects import RawHour, RawObject

if TYPE_CHECKING:
    from collections.abc import Collection

START = datetime(2010, 12, 1, 8, tzinfo=UTC)
NOW = START + timedelta(hours=6)


def hour(count: int, *, filled: bool) -> RawHour:
    at = START + count * HOUR
    return RawHour(at, (RawObject("k", "e", 1, at),) if filled else ())


def arrivals(
    filled: list[bool],
    expected: set[int],
    unknown: Collection[int] = (),
    edges: Collection[int] = (),
) -> Arrivals:
    # The night before: no hour in question is the window's first.
    closed = (hour(-1, filled=False), *(hour(count, filled=each) for count, each in enumerate(filled)))
    return Arrivals(
        Window(closed, ()),
        Expectation(
            frozenset(START + count * HOUR for count in expected),
            frozenset(START + count * HOUR for count in unknown),
            "learnt",
            frozenset(START + count * HOUR for count in edges),
        ),
    )


def test_a_missing_hour_fails_by_its_name_and_how_old_the_newest_object_is() -> None:
    result = judgements.of_arrivals(arrivals([True, True, False], {0, 1, 2}), NOW)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert result.description == (
        "1 of 3 expected hours hold nothing: 2010-12-01-10:00; the newest object is 300 min old."
    )
    assert "what to do" in result.metadata


def test_the_first_hour_of_the_window_was_judged_with_the_hour_before_it() -> None:
    found = arrivals([False, False], {0}, edges={0})
    found = dataclasses.replace(found, window=Window(found.window.closed[1:], ()))
    assert judgements.of_arrivals(found, NOW).severity is dg.AssetCheckSeverity.WARN


@pytest.mark.parametrize("filled", [[False, True, True], [True, True, False], [False, True, False]], ids=str)
def test_a_day_that_begins_late_or_ends_early_is_a_warning(filled: list[bool]) -> None:
    result = judgements.of_arrivals(arrivals(filled, {0, 1, 2}, edges={0, 2}), NOW)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "A day may begin or end with such an hour" in (result.description or "")
    assert "what to do" in result.metadata


@pytest.mark.parametrize(
    ("filled", "expected", "edges"),
    [
        ([False, False, True], {0, 1, 2}, {0, 2}),  # a morning, not an hour
        ([True, False, True], {0, 1, 2}, {0, 2}),  # in the middle of the day
        ([False, False, False], {0, 1, 2}, {0, 2}),  # nothing at all
        ([False, False, False], {1}, {1}),  # a feed that delivers once a day
        ([False, True, True, False, True], {0, 1, 2, 3, 4}, {0, 4}),  # one of each
    ],
)
def test_more_than_a_late_beginning_or_an_early_end_is_an_error(
    filled: list[bool], expected: set[int], edges: set[int]
) -> None:
    result = judgements.of_arrivals(arrivals(filled, expected, edges=edges), NOW)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)


def test_an_empty_hour_that_nobody_expects_is_no_alarm() -> None:
    result = judgements.of_arrivals(arrivals([True, False, False], {0}), NOW)
    assert result.passed
    assert "what to do" not in result.metadata


def test_a_closed_day_passes_and_says_that_nothing_came() -> None:
    result = judgements.of_arrivals(arrivals([False, False], set()), NOW)
    assert result.passed
    assert "no object" in (result.description or "")


def test_silence_is_a_warning_while_nothing_is_known() -> None:
    result = judgements.of_arrivals(arrivals([False, False], set(), {0, 1}), NOW)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_a_clock_ahead_of_ours_makes_no_negative_age() -> None:
    result = judgements.of_arrivals(arrivals([True], {0}), START - HOUR)
    assert result.metadata["minutes since the newest object"].value == 0


def test_many_hours_are_counted_and_a_few_named() -> None:
    late = [Overdue(START + count * HOUR, START, published=count == 0) for count in range(15)]
    result = judgements.of_compaction(late, 25, 16, NOW)
    assert not result.passed
    assert "15 of 25 hours wait" in (result.description or "")
    assert "and 5 more" in (result.description or "")
    listed = result.metadata["which hours"].value
    assert isinstance(listed, str)
    assert len(listed.splitlines()) == 11
    assert "raw has changed since it was published" in listed.splitlines()[0]


def test_hours_that_wait_for_a_release_are_not_late() -> None:
    hold = Hold("the till sends nonsense", "Ada", START)
    result = judgements.of_compaction([], 25, 7, NOW, hold)
    assert result.passed
    assert result.description == (
        "7 of 25 hours wait for the feed's release; it is held since 2010-12-01 08:00 UTC by Ada:"
        " the till sends nonsense."
    )
    late = [Overdue(START, START, published=False)]
    result = judgements.of_compaction(late, 25, 7, NOW, hold)
    assert not result.passed
    assert "They were late before the feed was held" in (result.description or "")


def test_a_listing_that_was_cut_short_proves_nothing() -> None:
    assert judgements.of_delivery(DeliveryErrors((), 5, complete=True)).passed
    assert not judgements.of_delivery(DeliveryErrors((), 5, complete=False)).passed
