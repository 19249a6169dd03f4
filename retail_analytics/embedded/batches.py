"""Batches of a stream as a function sees them: the event it is handed and the answer it gives.

Pure functions with Lambda's shapes and limits. Not here: when a batch is handed over (``consumer.py``).
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retail_analytics.embedded.shards import StreamRecord
    from retail_analytics.embedded.streams import OrderedStream

# Lambda's payload is limited to 6 MB, in which the data stands as base64.
MAX_BATCH_BYTES = 4 * 1024 * 1024


def kinesis_event(
    stream: OrderedStream, shard_id: str, records: list[StreamRecord], function: str
) -> dict[str, Any]:
    """The event of a Kinesis batch, as Lambda hands it to a function."""
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record.partition_key,
                    "sequenceNumber": str(record.sequence_number),
                    "data": b64encode(record.data).decode(),
                    "approximateArrivalTimestamp": round(record.created_at, 3),
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{shard_id}:{record.sequence_number}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": f"arn:aws:iam::{stream.account_id}:role/{function}",
                "awsRegion": stream.region,
                "eventSourceARN": stream.arn,
            }
            for record in records
        ]
    }


def first_failure(answer: Any, records: list[StreamRecord]) -> int | None:
    """The index of the first record that a partial-batch answer calls failed; None if it calls none so.

    As on AWS, all from the lowest reported sequence number on is tried again, and an identifier that is
    empty or unknown fails the whole batch.
    """
    reported = answer.get("batchItemFailures") if isinstance(answer, dict) else None
    if not reported:
        return None
    positions = {str(record.sequence_number): index for index, record in enumerate(records)}
    found = [positions.get(str(item.get("itemIdentifier"))) for item in reported]
    return min((index for index in found if index is not None), default=0) if None not in found else 0


def within_bytes(records: list[StreamRecord]) -> list[StreamRecord]:
    """The first records that fit a payload together; at least one."""
    total = 0
    for index, record in enumerate(records):
        total += len(record.data)
        if total > MAX_BATCH_BYTES and index:
            return records[:index]
    return records
