"""What differs between the objects that an hour was made from and those that it has now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.batch.objects_noted import Changes, Difference, Objects, difference, objects_of
from retail_analytics.feeds import get_feed
from retail_analytics.lake import hours
from retail_analytics.lake.objects import RawHour, RawObject

HOUR = datetime(2010, 12, 1, 8, tzinfo=UTC)
objects = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d", "e", "x/f"]), st.tuples(st.sampled_from("12"), st.integers(0, 2))
)


@given(objects, objects)
def test_a_difference_leads_from_before_to_now_and_back(before: Objects, now: Objects) -> None:
    found = difference(before, now)
    made = {name: value for name, value in before.items() if name not in found.removed}
    made |= {name: now[name] for name in (*found.added, *found.rewritten)}
    assert made == now
    back = difference(now, before)
    assert back == Difference(found.removed, found.rewritten, found.added)
    assert (found == Difference()) is (before == now)


@given(objects, objects)
def test_an_hour_differs_exactly_where_its_digest_does(before: Objects, now: Objects) -> None:
    def raw(noted: Objects) -> RawHour:
        folder = hours.prefix(get_feed("retail_trans"), HOUR)
        return RawHour(
            HOUR,
            tuple(RawObject(f"{folder}{name}", etag, size, HOUR) for name, (etag, size) in noted.items()),
        )

    assert objects_of(raw(before)) == before
    assert (difference(before, now) == Difference()) is (raw(before).digest == raw(now).digest)


def test_the_time_of_an_object_is_none_of_it() -> None:
    item = RawObject("h/a", "1", 2, HOUR)
    later = replace(item, modified=datetime(2011, 1, 1, tzinfo=UTC))
    assert objects_of(RawHour(HOUR, (item,))) == objects_of(RawHour(HOUR, (later,)))


@given(st.builds(Changes, *[st.integers(0, 10**6)] * 3))
def test_changes_are_read_as_they_were_noted(changes: Changes) -> None:
    assert Changes.loads(changes.dumps()) == changes


def test_changes_are_told_in_words() -> None:
    assert str(Changes(2, 0, 1)) == "objects: 2 added, 0 rewritten, 1 removed"
