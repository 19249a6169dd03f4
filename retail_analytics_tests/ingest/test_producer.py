from __future__ import annotations

import random
import threading
from collections import Counter

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.ingest.batching import Limits
from retail_analytics.ingest.errors import InputError, RemoteError
from retail_analytics.ingest.producer import Options, Producer
from retail_analytics.ingest.records import Record
from retail_analytics.ingest.services import Refused
from retail_analytics_tests.waiting import PATIENCE_SECONDS

THROTTLED = "ProvisionedThroughputExceededException"
LIMITS = Limits(records=5, request_bytes=1000, record_bytes=50)
QUICK = Options(workers=2, first_backoff=0.0, longest_backoff=0.0)


class FakeService:
    """Takes what ``answer(call number, records)`` does not refuse; remembers what it took."""

    def __init__(self, answer=lambda call, records: [], limits=LIMITS):
        self.limits = limits
        self.answer = answer
        self.taken = []
        self.calls = []
        self._lock = threading.Lock()

    def size(self, record):
        return len(record.data)

    def put(self, records):
        with self._lock:
            self.calls.append([record.line for record in records])
            assert len(records) <= self.limits.records
            refused = self.answer(len(self.calls), records)
            out = {one.position for one in refused}
            self.taken += [record.line for place, record in enumerate(records) if place not in out]
            return refused

    def explain(self, error):
        return RemoteError(f"explained: {error}")


def numbered(count, size=1):
    return [Record(line, b"x" * size, "k", None, ()) for line in range(1, count + 1)]


def client_error(code, status=400):
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutRecords"
    )


class Clock:
    """A clock on which every look takes a second."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


@given(st.integers(0, 60), st.integers(1, 4), st.integers(0, 10_000))
def test_everything_gets_in_once_whatever_is_refused(count, workers, seed):
    rng = random.Random(seed)

    def answer(call, records):
        if rng.random() < 0.2:
            raise client_error(THROTTLED)
        return [Refused(place, THROTTLED, "") for place in range(len(records)) if rng.random() < 0.3]

    service = FakeService(answer)
    told = []
    options = Options(workers=workers, first_backoff=0.0, longest_backoff=0.0)
    sent = Producer(service, options, progress=told.append).send(iter(numbered(count)))
    assert Counter(service.taken) == Counter(range(1, count + 1))
    assert (sent.sent, sent.failed, sent.complete) == (count, 0, True)
    assert sent.batches == len(service.calls)
    assert sent.retried == sum(map(len, service.calls)) - count
    assert told == sorted(told)
    assert not count or told[-1] == count


def test_only_refused_records_go_again_together_with_new_ones():
    service = FakeService(
        lambda call, _: [Refused(1, THROTTLED, ""), Refused(3, THROTTLED, "")][: 2 * (call == 1)]
    )
    sent = Producer(service, Options(workers=1, first_backoff=0.0)).send(numbered(13))
    assert service.calls[0] == [1, 2, 3, 4, 5]
    assert sorted(line for call in service.calls for line in call) == sorted([2, 4, *range(1, 14)])
    assert any({2, 4} < set(call) for call in service.calls[1:])
    assert (sent.batches, sent.retried) == (3, 2)


def test_a_lost_answer_sends_the_whole_batch_again():
    def answer(call, _):
        if call == 1:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
        return []

    service = FakeService(answer)
    assert Producer(service, QUICK).send(numbered(3)).complete
    assert service.calls == [[1, 2, 3], [1, 2, 3]]


def test_what_is_too_large_is_reported_and_the_rest_gets_in():
    records = numbered(4)
    records[2] = Record(3, b"x" * 51, "k", None, ())
    service = FakeService()
    sent = Producer(service, QUICK).send(records)
    assert service.taken == [1, 2, 4]
    assert (sent.sent, sent.failed, sent.complete) == (3, 1, False)
    assert sent.failures == ("line 3: its 51 bytes are more than the 50 of a record",)


def test_a_permanent_error_ends_sending_with_its_sentence():
    def answer(call, _):
        raise client_error("ResourceNotFoundException")

    service = FakeService(answer)
    sent = Producer(service, Options(workers=1)).send(numbered(100))
    assert sent.problem.startswith("explained:")
    assert len(service.calls) <= 2
    assert sent.sent == 0
    assert 5 <= sent.failed <= 15
    assert not sent.complete


def test_a_record_that_is_refused_for_good_is_not_tried_for_ever():
    service = FakeService(lambda call, _: [Refused(0, "KMSDisabledException", "the key is disabled")])
    sent = Producer(service, Options(workers=1)).send(numbered(2))
    assert "KMSDisabledException: the key is disabled" in sent.problem
    assert sent.sent + sent.failed == 2


def test_patience_ends():
    service = FakeService(
        lambda call, records: [Refused(place, THROTTLED, "") for place in range(len(records))]
    )
    options = Options(workers=1, patience=30.0, first_backoff=0.0, longest_backoff=0.0)
    sent = Producer(service, options, clock=Clock()).send(numbered(3))
    assert "still refused (ProvisionedThroughputExceededException) after 30 s" in sent.problem
    assert (sent.sent, sent.failed) == (0, 3)
    assert 1 < len(service.calls) < 30
    assert sent.failures[0].startswith("line 1: Records are still refused")


def test_stop_finishes_what_is_in_flight():
    in_flight, go_on = threading.Event(), threading.Event()

    def answer(call, _):
        in_flight.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return []

    service = FakeService(answer)
    producer = Producer(service, Options(workers=1))
    results = []
    thread = threading.Thread(target=lambda: results.append(producer.send(numbered(1000))))
    thread.start()
    assert in_flight.wait(PATIENCE_SECONDS)
    producer.stop()
    go_on.set()
    thread.join(PATIENCE_SECONDS)
    (sent,) = results
    assert sent.interrupted
    assert not sent.complete
    assert sent.sent == len(service.taken) >= 5
    assert service.taken == list(range(1, sent.sent + 1))
    assert sent.failed <= 10


def test_an_input_that_breaks_is_told_and_what_was_sent_is_counted():
    def broken():
        yield from numbered(7)
        raise InputError("line 9 cannot be read")

    service = FakeService()
    sent = Producer(service, QUICK).send(broken())
    assert sent.problem == "line 9 cannot be read"
    assert service.taken == [1, 2, 3, 4, 5]
    assert (sent.sent, sent.failed) == (5, 2)


def test_a_defect_is_not_swallowed():
    def answer(call, _):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Producer(FakeService(answer), QUICK).send(numbered(3))


class Waits:
    """Stands in for the producer's stop event and moves the clock instead of waiting."""

    def __init__(self):
        self.now = 0.0
        self.waited = []

    def is_set(self):
        return False

    def wait(self, seconds):
        self.waited.append(seconds)
        self.now += seconds


def paced(service, options, records):
    waits = Waits()
    producer = Producer(service, options, clock=lambda: waits.now, rng=random.Random(1))
    producer._stopped = waits
    return producer.send(records), waits


def test_rate_is_kept_in_small_even_batches():
    service = FakeService(limits=Limits(500, 10_000, 50))
    sent, waits = paced(service, Options(workers=1, rate=40.0), numbered(80))
    assert {len(call) for call in service.calls} == {10}
    assert waits.waited == pytest.approx([0.25] * 7)
    assert sent.complete


def test_backoff_grows_with_jitter_and_ends_with_success():
    def answer(call, records):
        return [Refused(place, THROTTLED, "") for place in range(len(records))] if call <= 4 else []

    service = FakeService(answer)
    sent, waits = paced(service, Options(workers=1, first_backoff=1.0, longest_backoff=3.0), numbered(9))
    assert sent.complete
    for seconds, longest in zip(waits.waited, (1.0, 2.0, 3.0, 3.0), strict=True):
        assert longest / 2 <= seconds <= longest
