"""Answers of the operations that carry many records or keys, written without moto's serializer.

moto's generic serializer takes three quarters of the time of a PutRecords call or a listing. These answers
are flat and known, so that they are written directly; a record operation in another protocol than JSON still
goes moto's way.
"""

from __future__ import annotations

import json
from base64 import b64encode
from itertools import starmap
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from moto.firehose.responses import FirehoseResponse
from moto.kinesis.responses import KinesisResponse
from moto.s3.responses import S3Response

if TYPE_CHECKING:
    from moto.core.responses import ActionResult, BaseResponse

_put_records = KinesisResponse.put_records
_get_records = KinesisResponse.get_records
_put_record_batch = FirehoseResponse.put_record_batch
_serialized = S3Response.serialized


def _speaks_json(response: BaseResponse) -> bool:
    return "json" in str(response.headers.get("Content-Type", ""))


def put_records(self: KinesisResponse) -> Any:
    """Kinesis PutRecords."""
    if not _speaks_json(self):
        return _put_records(self)
    request = json.loads(self.body)
    answer = self.kinesis_backend.put_records(
        request.get("StreamARN"), request.get("StreamName"), request["Records"]
    )
    return json.dumps(answer)


def get_records(self: KinesisResponse) -> Any:
    """Kinesis GetRecords."""
    if not _speaks_json(self):
        return _get_records(self)
    request = json.loads(self.body)
    iterator, records, behind = self.kinesis_backend.get_records(
        request.get("StreamARN"), request["ShardIterator"], request.get("Limit")
    )
    answer = {
        "Records": [
            {
                "Data": b64encode(record.data).decode(),  # type: ignore[arg-type]
                "PartitionKey": record.partition_key,
                "SequenceNumber": str(record.sequence_number),
                "ApproximateArrivalTimestamp": round(record.created_at, 3),
            }
            for record in records
        ],
        "MillisBehindLatest": behind,
        **({"NextShardIterator": iterator} if iterator is not None else {}),
    }
    return json.dumps(answer)


def put_record_batch(self: FirehoseResponse) -> Any:
    """Firehose PutRecordBatch."""
    if not _speaks_json(self):
        return _put_record_batch(self)
    request = json.loads(self.body)
    return json.dumps(
        self.firehose_backend.put_record_batch(request["DeliveryStreamName"], request["Records"])
    )


def list_objects_v2_xml(result: dict[str, Any]) -> str:
    """The XML of a ListObjectsV2 answer."""

    def element(name: str, value: object) -> str:
        if isinstance(value, dict):
            return f"<{name}>{''.join(starmap(element, value.items()))}</{name}>"
        if isinstance(value, list):
            return "".join(element(name, item) for item in value)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return f"<{name}>{escape(text)}</{name}>"

    inner = "".join(starmap(element, result.items()))
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    declaration = '<?xml version="1.0" encoding="UTF-8"?>'
    return f'{declaration}<ListBucketResult xmlns="{namespace}">{inner}</ListBucketResult>'


def serialized(self: S3Response, action_result: ActionResult) -> Any:
    """An S3 answer; listings, which may be long, are written directly."""
    result = action_result.result
    if self.data.get("Action") == "ListObjectsV2" and isinstance(result, dict):
        return 200, {}, list_objects_v2_xml(result)
    return _serialized(self, action_result)


def install() -> None:
    """Put them in place of moto's; to be called before serving."""
    KinesisResponse.put_records = put_records  # type: ignore[method-assign]
    KinesisResponse.get_records = get_records  # type: ignore[method-assign]
    FirehoseResponse.put_record_batch = put_record_batch  # type: ignore[method-assign]
    S3Response.serialized = serialized  # type: ignore[assignment, method-assign]
