"""How hours are grouped into queries, and what an audit lets pass."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.batch import audit, compaction, results, staging
from retail_analytics.batch.objects_noted import Changes
from retail_analytics.batch.results import Counts, HourResult
from retail_analytics.feeds import get_feed
from retail_analytics.lake import hours
from retail_analytics.lake.objects import RawHour, RawObject

FEED = get_feed("retail_trans")
HOUR = datetime(2010, 12, 1, 8, tzinfo=UTC)
GIGABYTE = 1024**3


def raw_hour(number: int, size: int) -> RawHour:
    hour = HOUR + number * hours.HOUR
    return RawHour(hour, (RawObject(hours.prefix(FEED, hour) + "a", "1", size, hour),))


sizes = st.one_of(
    st.integers(0, 10**6), st.integers(0, 5 * GIGABYTE), st.integers(0, 30 * GIGABYTE), st.just(40 * GIGABYTE)
)


@given(st.lists(sizes, max_size=260), st.sampled_from([1, 10**6, 128 * 1024**2]))
def test_batches_hold_every_hour_once_within_athenas_limits(found: list[int], target: int) -> None:
    raw = [raw_hour(number, size) for number, size in enumerate(found)]
    made = list(compaction.batches(raw, target))
    assert sorted(item.hour for batch, _ in made for item in batch) == [item.hour for item in raw]
    for batch, buckets in made:
        assert batch
        assert 1 <= buckets <= 100
        assert len(batch) * buckets <= 100
        # An hour that is too large by itself is a batch by itself.
        assert len(batch) == 1 or sum(item.size for item in batch) <= compaction.MOST_BYTES


@given(st.integers(1, 1000))
def test_small_hours_take_a_query_a_hundred(count: int) -> None:
    made = list(compaction.batches([raw_hour(number, 20_000) for number in range(count)], 128 * 1024**2))
    assert len(made) == -(-count // 100)
    assert {buckets for _, buckets in made} == {1}


def test_large_hours_get_files_near_the_target() -> None:
    # Parquet takes a fifth of JSON's bytes: 5 GiB make 1 GiB, in eight files of 128 MiB.
    ((_, buckets),) = compaction.batches([raw_hour(0, 5 * GIGABYTE)], 128 * 1024**2)
    assert buckets == 8


def test_the_limit_is_athenas() -> None:
    assert staging.MOST_PARTITIONS == 100


def row(**changes: object) -> dict[str, object]:
    """An audit's row of an hour with nothing wrong."""
    good: dict[str, object] = {}
    for index, _ in enumerate(FEED.columns):
        good |= {f"raw_count_{index}": 3, f"written_count_{index}": 3}
    good |= {"raw_sum_3": 7, "written_sum_3": 7}
    good |= {"raw_sum_5": Decimal("7.6500"), "written_sum_5": Decimal("7.65")}
    return good | changes


def problem(counts: Counts, audited: dict[str, Any]) -> str:
    return audit.audit_problem(FEED, counts, audited)


def test_an_hour_that_adds_up_passes() -> None:
    assert problem(Counts(lines=6, compacted=3, rejected=2, duplicates=1), row()) == ""


@pytest.mark.parametrize("name", ["lines", "compacted", "rejected", "duplicates"])
@pytest.mark.parametrize("by", [-1, 1])
def test_lines_that_do_not_add_up_are_a_problem(name: str, by: int) -> None:
    counted = {"lines": 6, "compacted": 3, "rejected": 2, "duplicates": 1}
    counted[name] += by
    said = problem(Counts(**counted), row())
    assert said.startswith(f"{counted['lines']} lines in raw, but {counted['compacted']} compacted")


@pytest.mark.parametrize("index", range(len(FEED.columns)))
@pytest.mark.parametrize("value", [2, 4, None, 0])
def test_a_lost_value_is_a_problem_that_names_its_column(index: int, value: int | None) -> None:
    said = problem(Counts(lines=3, compacted=3), row(**{f"written_count_{index}": value}))
    assert said == f"count of {FEED.columns[index].name} is 3 in raw, {value} as written"


def test_a_changed_sum_is_a_problem_that_names_its_column() -> None:
    said = problem(Counts(lines=3, compacted=3), row(written_sum_5=Decimal("7.6501")))
    assert said == "sum of price is 7.6500 in raw, 7.6501 as written"
    assert problem(Counts(lines=3, compacted=3), row(written_sum_3=None)).startswith("sum of quantity is 7")


def test_an_hour_without_a_good_record_sums_to_nothing_on_both_sides() -> None:
    nothing = {name: 0 if name.startswith("raw_count") else None for name in row()}
    assert problem(Counts(lines=2, rejected=2), nothing) == ""


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1e16 + 2, 1e16, True),
        (1.0, 1.1, False),
        (float("nan"), float("nan"), True),
        (float("nan"), 1.0, False),
        (Decimal("0.1"), 0, False),
        (None, Decimal(0), True),
        (10**20, 10**20 + 1, False),
    ],
)
def test_sums_are_equal_exactly_and_floating_ones_nearly(*, left: Any, right: Any, equal: bool) -> None:
    said = problem(Counts(lines=3, compacted=3), row(raw_sum_3=left, written_sum_3=right))
    assert (said == "") is equal


def result(**changes: Any) -> HourResult:
    made: dict[str, Any] = {
        "hour": HOUR,
        "state": "published",
        "digest": "d",
        "counts": Counts(6, 3, 2, 1, 1),
        "raw_objects": 2,
        "raw_bytes": 900,
        "objects": 1,
        "bytes": 300,
        "event_days": ("2010-11-30", "2010-12-01"),
        "former_days": ("2010-11-29",),
        "query_id": "q",
        "preview": "é|\n\x1fx\x1ey\x1f",
        "changes": Changes(2, 1, 0),
        "run_id": "r",
        "published_at": HOUR,
    }
    return HourResult(**(made | changes))


def test_what_is_noted_on_a_partition_is_read_back() -> None:
    noted = results.noted(result())
    assert all(isinstance(value, str) for value in noted.values())
    assert results.read_noted(HOUR, noted, "unchanged") == result(state="unchanged")


def test_a_partition_without_notes_is_read_as_of_another_digest() -> None:
    assert results.read_noted(HOUR, {}, "published").digest == ""


def test_the_days_that_change_are_those_held_now_those_held_before_and_the_hours_own() -> None:
    changed = result(event_days=("2010-12-03",), former_days=("2010-11-29",)).changed_days
    assert changed == ("2010-11-29", "2010-12-01", "2010-12-03")
    assert result(event_days=(), former_days=()).changed_days == ("2010-12-01",)
