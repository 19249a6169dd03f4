"""Hours: one name each everywhere, and predicates and ranges that are exactly them."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import UTC, date, datetime, timedelta, timezone

import dagster as dg
import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.feeds import get_feed
from retail_analytics.lake import hours, windows
from retail_analytics.settings import Settings

FEED = get_feed("retail_trans")
FIRST = datetime(2009, 12, 1, tzinfo=UTC)

any_hour = st.datetimes(
    min_value=datetime(1970, 1, 1), max_value=datetime(2199, 12, 31), timezones=st.just(UTC)
).map(hours.floor_hour)
# Close together, over the turn of a year and a leap day, so that neighbours and gaps are common.
near_hour = st.one_of(
    st.integers(0, 90).map(lambda count: datetime(2010, 12, 30, 12, tzinfo=UTC) + count * hours.HOUR),
    st.integers(0, 60).map(lambda count: datetime(2012, 2, 28, tzinfo=UTC) + count * hours.HOUR),
)


@given(any_hour)
def test_names_of_an_hour_lead_back_to_it(hour: datetime) -> None:
    assert hours.from_partition_key(hours.partition_key(hour)) == hour
    assert hours.from_partition_values(hours.partition_values(hour)) == hour
    assert hours.from_part(hours.part(hour)) == hour
    assert hours.hour_of_key(FEED, hours.prefix(FEED, hour) + "object") == hour


@given(st.dates(min_value=date(1970, 1, 1)))
def test_the_name_of_a_day_leads_back_to_it(day: date) -> None:
    assert hours.from_day_key(hours.day_key(day)) == day


@given(any_hour, any_hour)
def test_prefixes_and_parts_sort_as_hours_do(one: datetime, other: datetime) -> None:
    # Listing by key range depends on it.
    assert (hours.prefix(FEED, one) < hours.prefix(FEED, other)) == (one < other)
    assert (hours.part(one) < hours.part(other)) == (one < other)


def test_an_hour_is_named_as_the_notes_name_it() -> None:
    hour = datetime(2010, 12, 1, 8, tzinfo=UTC)
    assert hours.prefix(FEED, hour) == "00-retail-trans/year=2010/month=12/day=01/hour=08/"
    assert hours.partition_values(hour) == ["2010", "12", "01", "08"]
    assert hours.partition_key(hour) == "2010-12-01-08:00"


def test_the_partition_key_is_dagsters() -> None:
    keys = windows.hourly(FEED, Settings(first_hours={"retail_trans": FIRST})).get_partition_keys(
        current_time=FIRST + timedelta(hours=30)
    )
    assert keys == [hours.partition_key(FIRST + count * hours.HOUR) for count in range(30)]


def test_the_prefix_is_what_firehose_makes_of_the_expression() -> None:
    hour = datetime(2024, 2, 29, 23, tzinfo=UTC)
    other = dataclasses.replace(FEED, prefix="data/raw/year=!{timestamp:yyyy}/day=!{timestamp:dd}/")
    assert hours.prefix(other, hour) == "data/raw/year=2024/day=29/"


@pytest.mark.parametrize(
    "key",
    [
        "00-error/year=2010/month=12/day=01/hour=08/format-conversion/x",
        "00-retail-trans/x",
        "00-retail-trans/year=2010/month=12/day=01/hour=08/",
        "00-retail-trans/year=2010/month=12/day=01/hour=08/deeper/",
        "00-retail-trans/year=2010/month=12/day=01/hour=08/deeper/_x",
        "00-retail-trans/year=2010/month=12/day=01/hour=08/_temporary/x",
        "00-retail-trans/year=2010/month=12/day=01/hour=8/x",
        "00-retail-trans/year=2010/month=13/day=01/hour=08/x",
        "00-retail-trans/year=2010/month=12/day=01/hour=24/x",
        "00-retail-trans/year=2010/month=12/day=01/x",
        "00-retail-trans/year=2010/month=12/day=01/hour=08/_temporary",
        "00-retail-trans/year=2010/month=12/day=01/hour=08/.hidden",
        "elsewhere/year=2010/month=12/day=01/hour=08/x",
    ],
)
def test_what_is_no_raw_object_has_no_hour(key: str) -> None:
    assert hours.hour_of_key(FEED, key) is None


def test_what_lies_in_a_folder_of_an_hour_is_the_hours() -> None:
    # As Athena reads it.
    hour = datetime(2010, 12, 1, 8, tzinfo=UTC)
    key = hours.prefix(FEED, hour) + "deeper/still/x"
    assert hours.hour_of_key(FEED, key) == hour
    assert hours.name_in_hour(key) == "deeper/still/x"


@given(st.sets(near_hour))
def test_contiguous_runs_are_exactly_the_hours_with_gaps_between(chosen: set[datetime]) -> None:
    runs = hours.contiguous(sorted(chosen))
    covered = [hour for first, last in runs for hour in hours.hours_between(first, last + hours.HOUR)]
    assert covered == sorted(chosen)
    assert all(later[0] - earlier[1] > hours.HOUR for earlier, later in itertools.pairwise(runs))


@given(st.sets(st.dates(date(2011, 12, 20), date(2012, 3, 10))))
def test_contiguous_days_are_exactly_the_days(chosen: set[date]) -> None:
    runs = hours.contiguous_days(sorted(chosen))
    covered = [
        first + timedelta(days=count) for first, last in runs for count in range((last - first).days + 1)
    ]
    assert covered == sorted(chosen)
    assert all(later[0] - earlier[1] > hours.DAY for earlier, later in itertools.pairwise(runs))


@given(st.lists(near_hour, max_size=40))
def test_the_predicate_is_true_of_these_hours_and_no_others(chosen: list[datetime]) -> None:
    around = {
        hour + offset * hours.HOUR for hour in chosen for offset in (-8784, -744, -24, -1, 0, 1, 24, 744)
    }
    universe = sorted(around | {FIRST})
    rows = ", ".join(str((hour.year, hour.month, hour.day, hour.hour)) for hour in universe)
    found = duckdb.sql(
        f"SELECT year, month, day, hour FROM (VALUES {rows}) AS t(year, month, day, hour)"
        f" WHERE {hours.hours_predicate(chosen)}"
    ).fetchall()
    assert {datetime(*row, tzinfo=UTC) for row in found} == set(chosen)


@given(
    st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
        min_value=datetime(1971, 1, 1),
    )
)
def test_an_hour_is_of_utc_whatever_zone_the_moment_came_in(moment: datetime) -> None:
    hour = hours.floor_hour(moment)
    assert hour <= moment < hour + hours.HOUR
    assert (hour.tzinfo, hour.minute, hour.second, hour.microsecond) == (UTC, 0, 0, 0)


def test_an_hour_closes_after_its_end_the_buffer_and_the_grace() -> None:
    feed = dataclasses.replace(FEED, buffer_seconds=60)
    settings = Settings(grace_seconds=120)
    end = datetime(2010, 12, 1, 9, tzinfo=UTC)
    assert hours.closed_until(feed, settings, end + timedelta(seconds=179)) == end - hours.HOUR
    assert hours.closed_until(feed, settings, end + timedelta(seconds=180)) == end


def test_a_setting_overrides_the_first_hour() -> None:
    moved = datetime(2026, 1, 31, 8, tzinfo=UTC)
    assert hours.first_hour(FEED, Settings()) == FEED.first_hour
    assert hours.first_hour(FEED, Settings(first_hours={"other": moved})) == FEED.first_hour
    assert hours.first_hour(FEED, Settings(first_hours={FEED.name: moved})) == moved


def test_days_begin_with_the_first_hours_and_hold_today() -> None:
    settings = Settings(first_hours={FEED.name: datetime(2010, 12, 1, 8, tzinfo=UTC)})
    now = datetime(2010, 12, 3, 0, 30, tzinfo=UTC)
    keys = windows.daily(FEED, settings).get_partition_keys(current_time=now)
    assert keys == ["2010-12-01", "2010-12-02", "2010-12-03"]


def test_a_runs_range_is_read_from_the_tags_that_made_it() -> None:
    first, last = datetime(2010, 12, 1, 8, tzinfo=UTC), datetime(2010, 12, 2, 7, tzinfo=UTC)

    def run(tags: dict[str, str]) -> dg.DagsterRun:
        return dg.DagsterRun(job_name="job", tags=tags)

    assert windows.run_range(run(windows.range_tags(first, last))) == (
        "2010-12-01-08:00",
        "2010-12-02-07:00",
    )
    assert windows.run_range(run(windows.day_range_tags(first.date(), last.date()))) == (
        "2010-12-01",
        "2010-12-02",
    )
    assert windows.run_range(run({"dagster/partition": "2010-12-01"})) == ("2010-12-01", "2010-12-01")
    assert windows.run_range(run({})) is None
