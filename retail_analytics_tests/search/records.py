"""Records, events and fake servers for the tests of this package."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GOOD: dict[str, Any] = {
    "Invoice": "536365",
    "StockCode": "85123A",
    "Description": "WHITE HANGING HEART T-LIGHT HOLDER",
    "Quantity": 6,
    "InvoiceDate": "2010-12-01 08:26:00",
    "Price": 2.55,
    "Customer_ID": "17850",
    "Country": "United Kingdom",
    "record_id": "0" * 32,
}


def record(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A good record with an id of its own; a change to ... removes the key."""
    made = {**GOOD, "record_id": f"{number:032x}", **changes}
    return {key: value for key, value in made.items() if value is not ...}


def line(number: int = 0, **changes: Any) -> bytes:
    return json.dumps(record(number, **changes)).encode() + b"\n"


def event(payloads: Sequence[bytes], first: int = 0) -> dict[str, Any]:
    """A Kinesis event as Lambda gets it."""
    return {"Records": [_item(first + ordinal, data) for ordinal, data in enumerate(payloads)]}


def sequence_number(ordinal: int) -> str:
    return f"4954{ordinal:052d}"


def _item(ordinal: int, data: bytes) -> dict[str, Any]:
    number = sequence_number(ordinal)
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "536365",
            "sequenceNumber": number,
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": 1_600_000_000.125,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000000:{number}",
        "eventName": "aws:kinesis:record",
        "awsRegion": "us-east-1",
        "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/uk-online-retail-trans",
    }


class Context:
    """Lambda's context, as far as the handler reads it."""

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self._seconds * 1000)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class FakeTransport:
    """Answers bulk requests by a script: each entry is an exception, an answer, or a function of the ids.

    After the script every document is created, or is a conflict where it is there already.
    """

    def __init__(self, script: Sequence[Any] = ()) -> None:
        self.script = list(script)
        self.documents: dict[str, Any] = {}
        self.bodies: list[bytes] = []

    def perform_request(
        self, method: str, url: str, params: Any = None, body: bytes = b"", headers: Any = None
    ) -> Any:
        assert (method, url) == ("POST", "/_bulk")
        self.bodies.append(body)
        lines = body.splitlines()
        actions = [json.loads(text)["create"] for text in lines[::2]]
        step = self.script.pop(0) if self.script else self.accept
        if isinstance(step, Exception):
            raise step
        if callable(step):
            ids = [action["_id"] for action in actions]
            return step(ids, [json.loads(text) for text in lines[1::2]])
        return step

    def accept(self, ids: Sequence[str], sources: Sequence[Any]) -> dict[str, Any]:
        return {"items": [self.put(i, source) for i, source in zip(ids, sources, strict=True)]}

    def put(self, document_id: str, source: Any) -> dict[str, Any]:
        if document_id in self.documents:
            return {"create": {"status": 409, "error": {"type": "version_conflict_engine_exception"}}}
        self.documents[document_id] = source
        return {"create": {"status": 201}}

    def failing(self, judge: Callable[[str], dict[str, Any] | None]) -> Callable[..., dict[str, Any]]:
        """A step in which ``judge`` answers for an id; None lets the document in."""

        def step(ids: Sequence[str], sources: Sequence[Any]) -> dict[str, Any]:
            return {
                "items": [judge(i) or self.put(i, source) for i, source in zip(ids, sources, strict=True)]
            }

        return step


class FakeClient:
    """A client with nothing but a transport."""

    def __init__(self, script: Sequence[Any] = ()) -> None:
        self.transport = FakeTransport(script)


def item_error(status: int, kind: str, reason: str = "because") -> dict[str, Any]:
    return {"create": {"status": status, "error": {"type": kind, "reason": reason}}}
