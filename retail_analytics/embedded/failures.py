"""Where a function's batches go that were given up: S3 with their payload, SQS with their metadata.

The documents are those that Lambda writes. Not here: the decision to give up (``consumer.py``).
"""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

from retail_analytics.embedded.moto_backends import ACCOUNT_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retail_analytics.embedded.functions import FunctionSpec
    from retail_analytics.embedded.shards import StreamRecord
    from retail_analytics.embedded.streams import OrderedStream

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class GivenUp:
    """A batch that is not handed over any more.

    Attributes:
        records: Its records, never empty.
        condition: ``RetryAttemptsExhausted`` or ``RecordAgeExceeded``.
        calls: How often the function was called with it.
        error: What the last call answered.
    """

    records: Sequence[StreamRecord]
    condition: str
    calls: int
    error: str


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def document(spec: FunctionSpec, stream: OrderedStream, shard_id: str, batch: GivenUp) -> dict[str, Any]:
    """The metadata of a batch that was given up, as Lambda writes it."""
    now = datetime.now(UTC)
    return {
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "functionArn": f"arn:aws:lambda:{stream.region}:{ACCOUNT_ID}:function:{spec.name}",
            "condition": batch.condition,
            "approximateInvokeCount": batch.calls,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled" if batch.error else None,
        },
        "version": "1.0",
        "timestamp": _iso(now.timestamp()),
        "KinesisBatchInfo": {
            "shardId": shard_id,
            "startSequenceNumber": str(batch.records[0].sequence_number),
            "endSequenceNumber": str(batch.records[-1].sequence_number),
            "approximateArrivalOfFirstRecord": _iso(batch.records[0].created_at),
            "approximateArrivalOfLastRecord": _iso(batch.records[-1].created_at),
            "batchSize": len(batch.records),
            "streamArn": stream.arn,
        },
    }


def send(
    spec: FunctionSpec, stream: OrderedStream, shard_id: str, batch: GivenUp, payload: dict[str, Any]
) -> None:
    """Send a batch that was given up to the function's destination, if it has one.

    Args:
        spec: The function.
        stream: The stream that the batch is from.
        shard_id: The shard that it is from.
        batch: The batch.
        payload: The event that the function would have been called with.
    """
    LOG.error(
        "function %s gave up %d records of %s (%s): %s",
        spec.name,
        len(batch.records),
        shard_id,
        batch.condition,
        batch.error,
    )
    if spec.on_failure is None:
        return
    metadata = document(spec, stream, shard_id, batch)
    if spec.on_failure.startswith("s3://"):
        bucket, _, prefix = spec.on_failure.removeprefix("s3://").partition("/")
        now = datetime.now(UTC)
        name = f"{now:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
        key = f"{prefix}aws/lambda/{spec.name}/{shard_id}/{now:%Y/%m/%d}/{name}"
        body = json.dumps({**metadata, "payload": json.dumps(payload)}).encode()
        s3_backends[ACCOUNT_ID]["aws"].put_object(bucket, key, body)
        return
    region, _, queue = spec.on_failure.removeprefix("arn:aws:sqs:").split(":")
    sqs_backends[ACCOUNT_ID][region].send_message(queue_name=queue, message_body=json.dumps(metadata))
