from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.ingest.identity import RecordIds

# Few distinct values, so that twins are common; control characters among them try the separator.
LINES = st.lists(st.lists(st.sampled_from(["", "a", "b", "a\x1fb", "\x1e1", "ü"]), min_size=1, max_size=3))


def ids(lines):
    given_ids = RecordIds()
    return [given_ids.next(line) for line in lines]


@given(LINES)
def test_ids_are_distinct_and_the_same_in_every_run(lines):
    first = ids(lines)
    assert len(set(first)) == len(lines)
    assert ids(lines) == first
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in first)


@given(LINES)
def test_an_id_depends_on_nothing_but_its_line_and_its_twins(lines):
    marked = [["unlike any other"], *lines, ["nor this"]]
    assert ids(marked)[1:-1] == ids(lines)


def test_the_table_grows_and_forgets():
    many = RecordIds()
    lines = [[str(number)] for number in range(20_000)]
    first = [many.next(line) for line in lines]
    again = [many.next(line) for line in lines]
    assert len(set(first + again)) == 40_000
    many.forget()
    assert [many.next(line) for line in lines] == first
