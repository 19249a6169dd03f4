"""Whatever the cluster does to a batch of good and bad records, each ends in one place, at last its own.

Here the faults are of the cluster; the table of bad records is ``test_upsert_to_es.py``'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opensearchpy.exceptions import (
    AuthorizationException,
    ConnectionTimeout,
    RequestError,
    SerializationError,
    TransportError,
)
from opensearchpy.exceptions import ConnectionError as NotReached

from retail_analytics.search import upsert_to_es
from retail_analytics.search.handler_settings import HandlerSettings
from retail_analytics_tests.search.records import Context, event, sequence_number
from retail_analytics_tests.search.test_upsert_to_es import BAD_INPUT, environment, in_index, metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from opensearchpy import OpenSearch

    from retail_analytics.search.dead_letters import DeadLetterStore

__all__ = ["environment"]

Answer = dict[str, Any]

_FLOOD = {"type": "cluster_block_exception", "reason": "disk usage exceeded flood-stage watermark"}
_RED = {"type": "unavailable_shards_exception", "reason": "primary shard is not active"}
_PAYLOADS = [data for data, _, _ in BAD_INPUT.values()]
_GOOD = sum(where == "indexed" for _, where, _ in BAD_INPUT.values())
_BAD = {sequence_number(n) for n, (_, where, _) in enumerate(BAD_INPUT.values()) if where != "indexed"}


def every_second(status: int, error: dict[str, str]) -> Callable[[Answer], Answer]:
    """An answer in which every second item failed; nothing says that the others are there."""

    def spoil(answer: Answer) -> Answer:
        failed = {"create": {"status": status, "error": error}}
        return {"items": [failed if n % 2 else item for n, item in enumerate(answer["items"])]}

    return spoil


# What the cluster does to each bulk: refuse it, or take it and spoil the answer.
FAULTS: dict[str, Exception | Callable[[Answer], Answer]] = {
    "refuses connections": NotReached("N/A", "refused", Exception("refused")),
    "is slow": ConnectionTimeout("TIMEOUT", "no answer in time", Exception("timeout")),
    "is red": TransportError(503, "unavailable_shards_exception", {}),
    "throttles": TransportError(429, "circuit_breaking_exception", {}),
    "is behind a broken proxy": TransportError(502, "bad gateway", {}),
    "knows no such credential": AuthorizationException(403, "security_exception", {}),
    "has too many shards": RequestError(400, "validation_exception", {"error": {}, "status": 400}),
    "is behind a proxy that refuses": RequestError(400, "<html>Bad Request</html>", None),
    "answers no JSON": SerializationError("<html>", Exception("no JSON")),
    "answers nothing": lambda _: {},
    "answers for half": lambda answer: {"items": answer["items"][::2]},
    "answers half throttled": every_second(429, {"type": "rejected_execution_exception", "reason": "full"}),
    "answers half red": every_second(503, _RED),
    "answers half read-only": every_second(429, _FLOOD),
    "answers half blocked": every_second(403, _FLOOD),
    "answers items without a status": lambda answer: {"items": [{} for _ in answer["items"]]},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_each_record_ends_in_one_place_and_at_last_in_its_own(
    environment: dict[str, str],
    search: OpenSearch,
    store: DeadLetterStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: Exception | Callable[[Answer], Answer],
) -> None:
    handler = upsert_to_es.handler_for(HandlerSettings.from_env(environment))
    perform = handler.client.transport.perform_request

    def faulty(method: str, url: str, **named: Any) -> Any:
        if url != "/_bulk":
            return perform(method, url, **named)
        if isinstance(fault, Exception):
            raise fault
        return fault(perform(method, url, **named))

    batch = event(_PAYLOADS)
    with monkeypatch.context() as broken:
        broken.setattr(handler.client.transport, "perform_request", faulty)
        answer = upsert_to_es.lambda_handler(batch, Context(2))
    again = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
    counted = metrics(capsys)
    assert counted["Reads"] == len(_PAYLOADS)
    assert counted["Writes"] + counted["Unchanged"] + counted["Dead"] + counted["Failed"] == len(_PAYLOADS)
    assert counted["Failed"] == len(again)
    # What the cluster did is no fault of a record: none but the bad ones are set aside.
    letters = {store.get(letter).sequence_number for letter in store.list()}
    assert len(letters) == counted["Dead"]
    assert letters <= _BAD
    assert letters | again >= _BAD

    # Lambda gives the failed ones again, and the cluster is well.
    wanted = [number for number in range(len(_PAYLOADS)) if sequence_number(number) in again]
    later = {"Records": [batch["Records"][number] for number in wanted]}
    assert upsert_to_es.lambda_handler(later, Context(60)) == {"batchItemFailures": []}
    assert len(in_index(search)) == _GOOD
    assert len(list(store.list())) == len(_PAYLOADS) - _GOOD
