from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.ingest.errors import InputError
from retail_analytics.ingest.shift import WEEK, Span, shift_to, span, weeks_to

MOMENTS = st.integers(0, 2**31).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(MOMENTS, MOMENTS)
def test_the_last_time_is_recent_and_keeps_its_weekday_and_hour(last, now):
    moved = last + weeks_to(last, now) * WEEK
    assert now - WEEK < moved <= now
    assert (moved.weekday(), moved.time()) == (last.weekday(), last.time())


def test_span_counts_rows_and_ignores_bad_times(feed, csv_file):
    times = ["2010-12-02 09:00:00", "bad", "2010-12-01 08:26:00", "2010-12-02 09:00:00"]
    path = csv_file(*(f"1,A,B,1,{time},1,,EIRE" for time in times), "1,A")
    assert span(feed, path) == Span(
        rows=5,
        first=datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        last=datetime(2010, 12, 2, 9, tzinfo=UTC),
    )


def test_an_input_without_times_cannot_be_moved(feed, csv_file):
    with pytest.raises(InputError, match="--shift-to-now"):
        shift_to(span(feed, csv_file("1,A,B,1,soon,1,,EIRE")), datetime.now(UTC))


def test_a_file_of_the_future_moves_back():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert shift_to(Span(1, now, now + timedelta(days=1)), now) == -WEEK
