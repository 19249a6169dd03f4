"""Which hours are expected: a closed Saturday is no alarm, a missed Monday is one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.feeds.declaration import OpenHours
from retail_analytics.lake import expectations

MONDAY = datetime(2010, 12, 6, 9, tzinfo=UTC)
SATURDAY = datetime(2010, 12, 11, 9, tzinfo=UTC)
LONG_AGO = datetime(2009, 12, 1, tzinfo=UTC)
WEEK = timedelta(weeks=1)

whole_hours = st.integers(0, 24 * 28).map(lambda count: MONDAY - timedelta(hours=count))


def filled_before(hour: datetime, *weeks: int) -> set[datetime]:
    return {hour - week * WEEK for week in weeks}


def test_the_declaration_expects_its_hours_and_no_others() -> None:
    shop = (OpenHours((0, 1, 2, 3, 4), 8, 18), OpenHours((6,), 10, 15))
    week = [MONDAY.replace(hour=0) + timedelta(hours=count) for count in range(24 * 7)]
    found = expectations.declared(shop, week)
    assert (found.source, found.unknown) == ("declared", frozenset())
    assert len(found.hours) == 5 * 11 + 6
    assert MONDAY in found.hours
    assert SATURDAY not in found.hours


def test_an_hour_that_was_filled_week_after_week_is_expected() -> None:
    found = expectations.learnt([MONDAY, SATURDAY], filled_before(MONDAY, 1, 2, 3, 4), LONG_AGO)
    assert found.hours == {MONDAY}
    assert found.unknown == frozenset()


def test_one_holiday_does_not_unlearn_an_hour_and_two_do() -> None:
    assert MONDAY in expectations.learnt([MONDAY], filled_before(MONDAY, 1, 3, 4), LONG_AGO).hours
    assert MONDAY not in expectations.learnt([MONDAY], filled_before(MONDAY, 1, 4), LONG_AGO).hours


def test_a_week_of_history_says_nothing_and_two_do() -> None:
    first = MONDAY - WEEK
    assert expectations.learnt([MONDAY], filled_before(MONDAY, 1), first).unknown == {MONDAY}
    first = MONDAY - 2 * WEEK
    assert expectations.learnt([MONDAY], filled_before(MONDAY, 1, 2), first).hours == {MONDAY}
    assert expectations.learnt([MONDAY], filled_before(MONDAY, 1), first).hours == frozenset()


def test_the_first_and_last_hours_of_a_stretch_are_its_edges_whatever_hours_are_asked_about() -> None:
    day = [MONDAY + timedelta(hours=count) for count in range(9)]
    filled = {sample for hour in day for sample in filled_before(hour, 1, 2, 3, 4)}
    for asked in (
        [MONDAY.replace(hour=0) + timedelta(hours=count) for count in range(24)],
        day,
        day[:1],
        day[4:],
    ):
        found = expectations.learnt(asked, filled, LONG_AGO)
        assert found.hours == set(asked) & set(day)
        assert found.edges == set(asked) & {day[0], day[-1]}


def test_what_is_declared_has_no_edges() -> None:
    assert expectations.declared((OpenHours((0,), 9, 9),), [MONDAY]).edges == frozenset()


@given(hours=st.lists(whole_hours, unique=True), filled=st.sets(whole_hours), first=whole_hours)
def test_learning_looks_at_its_samples_alone(
    hours: list[datetime], filled: set[datetime], first: datetime
) -> None:
    samples = expectations.samples(hours, first)
    assert len(samples) <= 3 * expectations.WEEKS * len(hours)  # an hour and those beside it
    assert all(sample >= first for sample in samples)
    found = expectations.learnt(hours, filled, first)
    assert found == expectations.learnt(hours, filled & set(samples), first)
    assert found.hours | found.unknown <= set(hours)
    assert not found.hours & found.unknown
    assert found.edges <= found.hours


@given(hours=st.lists(whole_hours, unique=True, min_size=1), filled=st.sets(whole_hours), more=whole_hours)
def test_an_hour_filled_once_more_is_never_expected_less(
    hours: list[datetime], filled: set[datetime], more: datetime
) -> None:
    before = expectations.learnt(hours, filled, LONG_AGO).hours
    assert before <= expectations.learnt(hours, filled | {more}, LONG_AGO).hours
