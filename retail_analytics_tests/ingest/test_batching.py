from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.ingest.batching import Batcher, Limits
from retail_analytics.ingest.records import Record

LIMITS = Limits(records=5, request_bytes=40, record_bytes=20)


def records_of(sizes):
    return [Record(line, b"x" * size, "k", None, ()) for line, size in enumerate(sizes, start=1)]


def batcher(records, too_large, limits=LIMITS):
    return Batcher(
        records, limits, lambda record: len(record.data), lambda record, _: too_large.append(record)
    )


@given(st.lists(st.integers(0, 24)), st.integers(0, 10_000))
def test_limits_hold_order_is_kept_and_nothing_is_lost(sizes, seed):
    rng = random.Random(seed)
    records, too_large, accepted = records_of(sizes), [], []
    batches = batcher(records, too_large)
    while batch := batches.next():
        assert len(batch) <= LIMITS.records
        assert sum(waiting.size for waiting in batch) <= LIMITS.request_bytes
        refused = [waiting for waiting in batch if rng.random() < 0.25]
        accepted += [waiting.record for waiting in batch if waiting not in refused]
        batches.put_back(refused)
    assert too_large == [record for record in records if len(record.data) > LIMITS.record_bytes]
    assert sorted(accepted) == sorted(record for record in records if record not in too_large)


@given(st.lists(st.integers(0, 24)))
def test_without_refusals_batches_are_full_and_in_order(sizes):
    records, too_large = records_of(sizes), []
    batches = batcher(records, too_large)
    made = list(iter(batches.next, []))
    assert [waiting.record for batch in made for waiting in batch] == [
        record for record in records if record not in too_large
    ]
    for batch, following in itertools.pairwise(made):
        room = LIMITS.request_bytes - sum(waiting.size for waiting in batch)
        assert len(batch) == LIMITS.records or following[0].size > room


def test_refused_records_go_before_new_ones_with_others():
    batches = batcher(records_of([1] * 8), [])
    first = batches.next()
    batches.put_back(first[3:])
    assert [waiting.record.line for waiting in batches.next()] == [4, 5, 6, 7, 8]


def test_a_source_that_breaks_takes_no_record_with_it():
    def broken():
        yield from records_of([1, 1])
        raise OSError("unplugged")

    batches = batcher(broken(), [])
    with pytest.raises(OSError, match="unplugged"):
        batches.next()
    assert [waiting.record.line for waiting in batches.abandon()] == [1, 2]
    assert batches.next() == []
