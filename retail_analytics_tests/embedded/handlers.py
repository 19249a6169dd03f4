"""Functions that the tests put on streams; they run in processes of their own."""

from __future__ import annotations

import base64
import json
import os
import time
from typing import Any

import boto3


def numbers(event: dict[str, Any]) -> list[int]:
    return [int(base64.b64decode(record["kinesis"]["data"])) for record in event["Records"]]


def keep(event: dict[str, Any], context: Any) -> None:
    """Write what came as an object; a record that was handed twice is there twice."""
    body = json.dumps(
        {
            "numbers": numbers(event),
            "event": event["Records"][0],
            "left": context.get_remaining_time_in_millis(),
        }
    )
    key = f"{os.environ['PREFIX']}{time.time_ns()}-{context.aws_request_id}"
    boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key=key, Body=body.encode())


def poisoned(event: dict[str, Any], context: Any) -> None:
    """Fail every batch that holds a multiple of POISON."""
    if any(number % int(os.environ["POISON"]) == 0 for number in numbers(event)):
        raise ValueError("poison")
    keep(event, context)


def partial(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Take all but the multiples of POISON, and report those as failed."""
    failed = [
        {"itemIdentifier": record["kinesis"]["sequenceNumber"]}
        for record, number in zip(event["Records"], numbers(event), strict=True)
        if number % int(os.environ["POISON"]) == 0
    ]
    keep(event, context)
    return {"batchItemFailures": failed}


def slow(event: dict[str, Any], context: Any) -> None:
    """Take longer than any timeout."""
    time.sleep(60)


def greedy(event: dict[str, Any], context: Any) -> None:
    """Ask for more memory than any limit, then keep."""
    try:
        bytearray(4 << 30)
    except MemoryError:
        keep(event, context)


def dying(event: dict[str, Any], context: Any) -> None:
    """End the process at the first call, work at the second."""
    marker = os.environ["MARKER"]
    if not os.path.exists(marker):  # noqa: PTH110
        with open(marker, "w"):  # noqa: PTH123
            os._exit(3)
    keep(event, context)
