"""A backfill's runs are few, cover everything, and bridge the shortest gaps; small queries cost the least."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.commands.backfill_cost import LEAST_BILLED, few_stretches, readable, statement
from retail_analytics.lake import hours

START = datetime(2010, 12, 1, tzinfo=UTC)


def at(*offsets: int) -> list[datetime]:
    return [START + offset * hours.HOUR for offset in offsets]


@given(st.sets(st.integers(0, 200)), st.integers(1, 6))
def test_stretches_cover_all_in_order_and_are_few(offsets: set[int], most: int) -> None:
    moments = at(*offsets)
    found = few_stretches(moments, hours.HOUR, most)
    assert len(found) <= most
    assert all(any(first <= moment <= last for first, last in found) for moment in moments)
    ends = [end for stretch in found for end in stretch]
    assert ends == sorted(ends)
    assert set(ends) <= set(moments)
    assert all(first - last > hours.HOUR for (_, last), (first, _) in itertools.pairwise(found))


@given(st.sets(st.integers(0, 200), min_size=1), st.integers(2, 6))
def test_what_is_bridged_is_never_longer_than_what_is_not(offsets: set[int], most: int) -> None:
    moments = sorted(at(*offsets))
    found = few_stretches(moments, hours.HOUR, most)
    left = [after[0] - before[1] for before, after in itertools.pairwise(found)]
    inside = [
        after - before
        for before, after in itertools.pairwise(moments)
        if any(first <= before and after <= last for first, last in found)
    ]
    assert not left or max(inside, default=timedelta(0)) <= min(left)
    # Where there are fewer than there may be, nothing is bridged at all.
    assert len(found) == most or max(inside, default=timedelta(0)) <= hours.HOUR


def test_nothing_is_no_stretch_and_neighbours_are_one() -> None:
    assert few_stretches([], hours.HOUR) == []
    assert few_stretches(at(1, 2, 3, 9), hours.HOUR) == [tuple(at(1, 3)), tuple(at(9, 9))]


def test_a_small_query_is_billed_the_least_and_sums_add_up() -> None:
    small, large = statement(10), statement(5 * LEAST_BILLED)
    assert (small.scanned, small.billed) == (10, LEAST_BILLED)
    both = small + large
    assert (both.count, both.scanned, both.billed) == (2, 10 + 5 * LEAST_BILLED, 6 * LEAST_BILLED)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (27_600, "27.6 kB"), (2e15, "2000.0 TB")],
)
def test_bytes_are_readable(count: float, text: str) -> None:
    assert readable(count) == text
