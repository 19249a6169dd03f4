"""A failure survives as a note, and hours that failed are counted from notes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.lake import failed_runs
from retail_analytics.lake.failed_runs import Failure
from retail_analytics.lake.hours import HOUR, partition_key

KEY = dg.AssetKey(["retail_trans", "compacted"])
START = datetime(2010, 12, 1, 8, tzinfo=UTC)
NOW = START + timedelta(days=30)

partitions = st.one_of(
    st.just(("", "")),
    st.tuples(st.integers(0, 99), st.integers(0, 99)).map(
        lambda pair: tuple(partition_key(START + count * HOUR) for count in sorted(pair))
    ),
    st.just(("2010-12-01", "2010-12-03")),
)


def failure(first: int, last: int, run: str = "r", reason: str = "why") -> Failure:
    return Failure(run, partition_key(START + first * HOUR), partition_key(START + last * HOUR), reason)


@given(run=st.uuids().map(str), named=partitions, reason=st.text(max_size=50))
def test_a_note_says_what_failed(run: str, named: tuple[str, str], reason: str) -> None:
    failed = Failure(run, named[0], named[1], reason)
    assert failed_runs.read_note(failed.note(KEY)) == failed


def test_a_note_of_one_hour_stands_on_that_hour_and_one_of_a_range_on_the_asset() -> None:
    assert failure(1, 1).note(KEY).partition == partition_key(START + HOUR)
    assert failure(1, 2).note(KEY).partition is None
    assert Failure("r", "", "", "why").note(KEY).partition is None
    assert Failure("r", "", "", "why").about == "no partition"


def test_days_are_no_hours() -> None:
    assert Failure("r", "2010-12-01", "2010-12-03", "why").hours() == []
    assert [hour.hour for hour in failure(0, 2).hours()] == [8, 9, 10]


def test_attempts_are_counted_an_hour_with_the_last_reason() -> None:
    notes = [failure(1, 2, "new", "last"), failure(0, 1, "old", "first")]
    found = failed_runs.attempts_by_hour(notes, NOW)
    counted = {hour: (each.count, each.failure.reason) for hour, each in found.items()}
    assert counted == {
        START: (1, "first"),
        START + HOUR: (2, "last"),
        START + 2 * HOUR: (1, "last"),
    }


def test_a_failed_history_costs_no_more_than_its_newest_hours() -> None:
    found = failed_runs.attempts_by_hour([failure(-20_000, 0)], NOW)
    assert len(found) == failed_runs.MOST_HOURS
    assert max(found) == START
