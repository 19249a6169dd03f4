"""The bulk writer against servers that refuse, throttle, answer by halves or not at all."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opensearchpy.exceptions import (
    AuthenticationException,
    AuthorizationException,
    ConnectionTimeout,
    NotFoundError,
    RequestError,
    SerializationError,
    SSLError,
    TransportError,
)
from opensearchpy.exceptions import ConnectionError as NotReached

from retail_analytics.search.bulk import BulkResult, BulkWriter, judge_item
from retail_analytics.search.documents import Document, Origin
from retail_analytics_tests.search.records import Clock, FakeClient, item_error

THROTTLED = item_error(429, "rejected_execution_exception")
BAD_FIELD = item_error(400, "mapper_parsing_exception")


def documents(count: int, size: int = 20) -> list[Document]:
    return [one(f"id{number}", size) for number in range(count)]


def one(document_id: str, size: int = 20) -> Document:
    source = json.dumps({"id": document_id, "pad": "x" * size}).encode()
    return Document(document_id, "t-2010.12", source, "2010-12-01", document_id, Origin(document_id))


def write(
    client: FakeClient, given_documents: list[Document], seconds: float = 60.0, **bounds: int
) -> tuple[BulkResult, Clock]:
    clock = Clock()
    writer = BulkWriter(client, clock=clock, sleep=clock.sleep, jitter=lambda low, high: high, **bounds)  # type: ignore[arg-type]
    return writer.write(given_documents, deadline=seconds), clock


def accounted(result: BulkResult) -> int:
    return result.created + result.unchanged + len(result.refused) + len(result.failed)


def test_requests_are_bounded_in_bytes_and_documents() -> None:
    client = FakeClient()
    result, _ = write(client, documents(100, size=200), max_bytes=2_000, max_documents=5)
    assert result.created == 100
    assert all(len(body) <= 2_000 for body in client.transport.bodies)
    assert all(body.count(b'"create"') <= 5 for body in client.transport.bodies)
    assert result.bulks == len(client.transport.bodies)
    assert result.bytes == sum(map(len, client.transport.bodies))


def test_a_document_larger_than_the_bound_goes_alone() -> None:
    client = FakeClient()
    result, _ = write(client, [one("a"), one("b", 5_000), one("c")], max_bytes=1_000)
    assert result.created == 3
    assert len(client.transport.bodies) == 3


def test_nothing_to_write_asks_nobody() -> None:
    client = FakeClient()
    result, _ = write(client, [])
    assert accounted(result) == 0
    assert not client.transport.bodies


def test_throttled_documents_alone_are_sent_again() -> None:
    client = FakeClient()
    step = client.transport.failing(lambda i: THROTTLED if i in ("id1", "id3") else None)
    client.transport.script = [step, step]
    result, clock = write(client, documents(5))
    assert (result.created, result.retried) == (5, 4)
    sent = [body.count(b'"create"') for body in client.transport.bodies]
    assert sent == [5, 2, 2]
    assert clock.pauses == [0.1, 0.2]


def test_what_stays_throttled_fails_at_the_deadline_and_not_after_it() -> None:
    client = FakeClient()
    client.transport.script = [client.transport.failing(lambda i: THROTTLED)] * 100
    result, clock = write(client, documents(3), seconds=12)
    assert len(result.failed) == accounted(result) == 3
    assert "rejected_execution_exception" in result.failed[0][1]
    assert clock.now < 12
    assert max(clock.pauses) <= 5


def test_no_time_sends_nothing() -> None:
    client = FakeClient()
    result, _ = write(client, documents(3), seconds=0)
    assert len(result.failed) == 3
    assert not client.transport.bodies


def test_a_refused_document_takes_nobody_with_it() -> None:
    client = FakeClient()
    client.transport.script = [client.transport.failing(lambda i: BAD_FIELD if i == "id2" else None)]
    result, _ = write(client, documents(4))
    assert result.created == 3
    ((refused, reason),) = result.refused
    assert refused.id == "id2"
    assert reason == "status 400, mapper_parsing_exception: because"


def test_a_conflict_is_a_document_that_is_there() -> None:
    client = FakeClient()
    for expected in ((2, 0), (0, 2)):
        result, _ = write(client, documents(2))
        assert (result.created, result.unchanged) == expected
    result, _ = write(client, [one("new"), one("new")])
    assert (result.created, result.unchanged) == (1, 1)


@pytest.mark.parametrize(
    "fault",
    [
        TransportError(429, "too_many_requests", {}),
        TransportError(500, "error", {}),
        TransportError(502, "", {}),
        TransportError(503, "unavailable", {}),
        TransportError(504, "timeout", {}),
        NotReached("N/A", "refused", Exception("refused")),
        ConnectionTimeout("TIMEOUT", "timed out", Exception("timed out")),
        SerializationError("<html>"),
        {},
        {"items": []},
        {"items": [{"create": {"status": 201}}]},
        {"items": "none"},
        "<html>",
    ],
    ids=repr,
)
def test_a_passing_fault_is_retried(fault: Any) -> None:
    client = FakeClient([fault, fault])
    result, clock = write(client, documents(3))
    assert result.created == 3
    assert len(clock.pauses) == 2


@pytest.mark.parametrize(
    "fault",
    [
        AuthenticationException(401, "unauthorized", {}),
        AuthorizationException(403, "The security token included in the request is expired", {}),
        NotFoundError(404, "no such host", {}),
        TransportError(405, "method", {}),
        SSLError("N/A", "certificate verify failed", Exception("certificate")),
    ],
    ids=repr,
)
def test_a_fault_that_no_waiting_mends_is_given_back_at_once(fault: Exception) -> None:
    client = FakeClient([fault])
    result, clock = write(client, documents(3))
    assert len(result.failed) == accounted(result) == 3
    assert not clock.pauses
    assert not result.refused


@pytest.mark.parametrize("status", [400, 413])
def test_a_request_that_one_document_spoils_is_halved_until_it_is_found(status: int) -> None:
    client = FakeClient()

    def step(ids: list[str], sources: list[Any]) -> Any:
        client.transport.script.insert(0, step)
        if "id6" in ids:
            kind = "action_request_validation_exception"
            raise RequestError(status, kind, {"error": {"type": kind}, "status": status})
        return client.transport.accept(ids, sources)

    client.transport.script = [step]
    result, _ = write(client, documents(9))
    assert result.created == 8
    assert [document.id for document, _ in result.refused] == ["id6"]


def test_bulks_too_large_for_the_server_are_halved() -> None:
    client = FakeClient()

    def step(ids: list[str], sources: list[Any]) -> Any:
        client.transport.script.insert(0, step)
        if len(ids) > 2:
            raise TransportError(413, "Request Entity Too Large", {})
        return client.transport.accept(ids, sources)

    client.transport.script = [step]
    result, _ = write(client, documents(9))
    assert result.created == 9


@pytest.mark.parametrize(
    ("item", "verdict"),
    [
        ({"create": {"status": 201}}, "created"),
        ({"create": {"status": 200}}, "created"),
        ({"create": {"status": 409}}, "unchanged"),
        (BAD_FIELD, "refused"),
        (item_error(400, "document_parsing_exception"), "refused"),
        (item_error(400, "illegal_argument_exception"), "refused"),
        (item_error(413, "too_large"), "refused"),
        (item_error(400, "validation_exception"), "later"),
        (item_error(400, "index_closed_exception"), "later"),
        (THROTTLED, "later"),
        (item_error(403, "cluster_block_exception"), "later"),
        (item_error(404, "index_not_found_exception"), "later"),
        (item_error(503, "unavailable_shards_exception"), "later"),
        (item_error(500, "exception"), "later"),
        ({"create": {}}, "later"),
        ({}, "later"),
        (None, "later"),
        ({"create": {"status": "201"}}, "later"),
    ],
)
def test_items_are_judged(item: Any, verdict: str) -> None:
    assert judge_item(item)[0] == verdict


def test_the_cause_of_a_refusal_is_told() -> None:
    item = item_error(400, "mapper_parsing_exception", "failed to parse field [Price]")
    item["create"]["error"]["caused_by"] = {"reason": 'For input string: "abc"'}
    assert judge_item(item)[1].endswith('failed to parse field [Price]; For input string: "abc"')


OUTCOMES = st.sampled_from([None, None, THROTTLED, BAD_FIELD, item_error(503, "x"), {}])
STEPS = st.one_of(
    st.builds(
        TransportError,
        st.sampled_from([429, 503, 413, 400]),
        st.sampled_from(["x", "validation_exception"]),
        st.sampled_from([None, {}, {"error": {}}]),
    ),
    st.just(NotReached("N/A", "refused", Exception())),
    st.just({"items": []}),
    st.lists(OUTCOMES, min_size=1, max_size=10),
)


@settings(max_examples=200)
@given(
    st.lists(STEPS, max_size=8),
    st.integers(0, 25),
    st.sampled_from([1, 3, 100]),
    st.sampled_from([0.0, 1.0, 60.0]),
)
def test_whatever_the_server_does_each_document_is_in_one_place(
    script: list[Any], count: int, chunk: int, seconds: float
) -> None:
    client = FakeClient()

    def judged(outcomes: list[Any]) -> Any:
        cycle = itertools.cycle(outcomes)
        return client.transport.failing(lambda i: next(cycle))

    client.transport.script = [judged(step) if isinstance(step, list) else step for step in script]
    given_documents = documents(count)
    result, clock = write(client, given_documents, seconds=seconds, max_documents=chunk)
    assert accounted(result) == count
    assert clock.now <= seconds
    aside = [document.id for document, _ in result.refused + result.failed]
    assert len(set(aside)) == len(aside)
    assert result.created == len(client.transport.documents)


@given(st.data())
def test_any_order_and_repetition_ends_in_the_same_documents(data: st.DataObject) -> None:
    """Deliveries overlap, repeat and come out of order; some are throttled; replays follow."""
    records = documents(12)
    deliveries = data.draw(st.lists(st.lists(st.sampled_from(records), max_size=12), max_size=6))
    client = FakeClient()
    for delivery in [*deliveries, data.draw(st.permutations(records))]:
        failing = data.draw(st.sets(st.sampled_from([document.id for document in records])))
        client.transport.script = [
            client.transport.failing(lambda i, f=failing: THROTTLED if i in f else None)
        ]
        result, _ = write(client, delivery)
        assert not result.failed
    assert client.transport.documents == {document.id: json.loads(document.source) for document in records}
