from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.ingest.hours import ObjectSizes, group
from retail_analytics.ingest.naming import evaluate_prefix, object_key
from retail_analytics.ingest.records import Record

START = datetime(2010, 12, 1, 8, tzinfo=UTC)
FALLBACK = datetime(2026, 1, 1, 5, 30, tzinfo=UTC)
SIZES = ObjectSizes(objects_per_hour=4, object_bytes=200, open_hours=3, open_bytes=1000)


def records_at(*minutes, size=10):
    """Records at so many minutes after the start; None for one without a time."""
    return [
        Record(
            line,
            f"{line:0{size - 1}d}\n".encode(),
            "k",
            None if minute is None else START + timedelta(minutes=minute),
            (),
        )
        for line, minute in enumerate(minutes, start=1)
    ]


MINUTES = st.lists(st.one_of(st.none(), st.integers(0, 600)), max_size=120)


@given(MINUTES, st.integers(10, 60))
def test_every_record_is_in_one_object_of_its_hour(minutes, size):
    records = records_at(*minutes, size=size)
    made = list(group(records, FALLBACK, SIZES))
    assert sorted(b"".join(one.content for one in made)) == sorted(b"".join(one.data for one in records))
    assert sum(one.records for one in made) == len(records)
    hour = FALLBACK.replace(minute=0)
    where = {line: one for one in made for line in one.content.splitlines()}
    for record in records:
        if record.event_time is not None:
            hour = record.event_time.replace(minute=0)
        assert where[record.data.rstrip()].hour == hour
    for one in made:
        assert one.hour <= one.oldest < one.hour + timedelta(hours=1)
        assert len(one.content) <= SIZES.object_bytes + size
    assert list(group(records, FALLBACK, SIZES)) == made


@given(st.integers(1, 200))
def test_an_hour_is_cut_into_about_four(count):
    made = list(group(records_at(*range(0), *[0] * count), FALLBACK, ObjectSizes()))
    assert len(made) == min(count, 4)
    assert max(one.records for one in made) - min(one.records for one in made) <= 2


def test_a_record_without_a_time_goes_with_the_one_before_it():
    made = list(group(records_at(None, 0, None, 60), FALLBACK, ObjectSizes(objects_per_hour=1)))
    assert [(one.hour, one.oldest, one.records) for one in made] == [
        (FALLBACK.replace(minute=0), FALLBACK.replace(minute=0), 1),
        (START, START, 2),
        (START + timedelta(hours=1), START + timedelta(hours=1), 1),
    ]


def test_memory_is_bounded_by_open_hours_and_bytes():
    seen = []

    def source():
        for record in records_at(*(60 * hour for hour in range(50))):
            seen.append(record)
            yield record

    first = next(group(source(), FALLBACK, ObjectSizes(open_hours=3)))
    assert (first.hour, len(seen)) == (START, 4)
    seen.clear()
    first = next(group(source(), FALLBACK, ObjectSizes(open_hours=99, open_bytes=100)))
    assert (first.hour, len(seen)) == (START, 11)


def test_an_object_is_named_as_firehose_names_it(feed):
    oldest = START + timedelta(minutes=7, seconds=9)
    key = object_key(feed, START, oldest, b"one\n")
    assert re.fullmatch(
        r"00-retail-trans/year=2010/month=12/day=01/hour=08/uk-online-retail-trans-1-2010-12-01-08-07-09"
        r"-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        key,
    )
    assert key == object_key(feed, START, oldest, b"one\n")
    assert key != object_key(feed, START, oldest, b"two\n")


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("a/!{timestamp:yyyy/MM/dd/HH}/", "a/2010/12/01/08/"),
        ("!{timestamp:'d='yyyyMMdd}-!{timestamp:mm}", "d=20101201-05"),
        ("plain/", "plain/"),
    ],
)
def test_prefix_expressions(prefix, key):
    assert evaluate_prefix(prefix, START + timedelta(minutes=5)) == key


@pytest.mark.parametrize("prefix", ["!{firehose:random-string}/", "!{timestamp:EEE}/"])
def test_an_expression_that_is_not_known_is_refused(prefix):
    with pytest.raises(ValueError, match="which loading has not"):
        evaluate_prefix(prefix, START)
