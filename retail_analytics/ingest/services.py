"""The two services that take records: Kinesis, and Firehose's direct PUT.

Here belong their limits, their calls and how they say that a record was refused. Not here: batching and
trying again (``batching.py``, ``producer.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, get_args

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from retail_analytics.ingest.batching import KIB, MIB, Limits
from retail_analytics.ingest.errors import RemoteError
from retail_analytics.ingest.remote import code_of, config, explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_firehose import FirehoseClient
    from mypy_boto3_kinesis import KinesisClient

    from retail_analytics.ingest.records import Record

ServiceName = Literal["kinesis", "firehose"]
SERVICE_NAMES: tuple[ServiceName, ...] = get_args(ServiceName)

KINESIS_LIMITS = Limits(records=500, request_bytes=10 * MIB, record_bytes=MIB)
FIREHOSE_LIMITS = Limits(records=500, request_bytes=4 * MIB, record_bytes=1000 * KIB)

_DENIED = {"AccessDeniedException", "AccessDenied"}


class Refused(NamedTuple):
    """One record of a batch that the service did not take.

    Attributes:
        position: Its place in the batch, from 0.
        code: The service's error code.
        message: The service's words.
    """

    position: int
    code: str
    message: str


class Service(Protocol):
    """What the producer needs of a service."""

    @property
    def limits(self) -> Limits:
        """What one request may hold."""

    def size(self, record: Record) -> int:
        """A record's bytes as the service counts them."""

    def put(self, records: Sequence[Record]) -> list[Refused]:
        """Put a batch; those that were not taken. Raises botocore's errors where the whole call failed."""

    def explain(self, error: Exception) -> RemoteError:
        """One sentence about a call that failed for good."""


class Kinesis:
    """A Kinesis data stream."""

    def __init__(self, client: KinesisClient, stream: str, limits: Limits = KINESIS_LIMITS) -> None:
        self._client = client
        self._stream = stream
        self.limits = limits

    def check(self) -> None:
        """Make sure that the stream is there and takes records, as far as permissions allow to look.

        Raises:
            RemoteError: It is not there, is being deleted, or nothing answers.
        """
        try:
            answer = self._client.describe_stream_summary(StreamName=self._stream)
        except (ClientError, BotoCoreError) as error:
            if code_of(error) in _DENIED:
                return  # PutRecords needs no permission to describe
            raise self.explain(error) from error
        status = answer["StreamDescriptionSummary"]["StreamStatus"]
        if status not in {"ACTIVE", "UPDATING"}:
            raise RemoteError(f"The stream {self._stream} is {status}; run this again when it is ACTIVE.")

    def size(self, record: Record) -> int:
        """The data before base64, and the partition key."""
        return len(record.data) + len(record.key.encode("utf-8", "surrogatepass"))

    def put(self, records: Sequence[Record]) -> list[Refused]:
        """PutRecords."""
        answer = self._client.put_records(
            StreamName=self._stream,
            Records=[{"Data": record.data, "PartitionKey": record.key} for record in records],
        )
        if not answer["FailedRecordCount"]:
            return []
        return [
            Refused(position, entry["ErrorCode"], entry.get("ErrorMessage", ""))
            for position, entry in enumerate(answer["Records"])
            if entry.get("ErrorCode")
        ]

    def explain(self, error: Exception) -> RemoteError:
        """One sentence about a call that failed for good."""
        missing = (
            f"There is no Kinesis stream {self._stream} in {self._client.meta.region_name}; create it, or "
            "name another one with --stream-name or --region-name."
        )
        return explain(
            error,
            f"putting records into the stream {self._stream}",
            missing={"ResourceNotFoundException": missing},
            service="kinesis",
        )


class Firehose:
    """A Firehose delivery stream that takes direct PUTs."""

    limits = FIREHOSE_LIMITS

    def __init__(self, client: FirehoseClient, stream: str) -> None:
        self._client = client
        self._stream = stream

    def check(self) -> None:
        """Make sure that the delivery stream is there and takes direct PUTs, as far as permissions allow.

        Raises:
            RemoteError: It is not there, is fed by a Kinesis stream, or nothing answers.
        """
        try:
            answer = self._client.describe_delivery_stream(DeliveryStreamName=self._stream)
        except (ClientError, BotoCoreError) as error:
            if code_of(error) in _DENIED:
                return  # then the first PutRecordBatch tells
            raise self.explain(error) from error
        description = answer["DeliveryStreamDescription"]
        if description["DeliveryStreamType"] != "DirectPut":
            source = description.get("Source", {}).get("KinesisStreamSourceDescription", {})
            arn = source.get("KinesisStreamARN", "")
            raise self._fed_by_a_stream(arn.rpartition("/")[2])
        status = description["DeliveryStreamStatus"]
        if status != "ACTIVE":
            raise RemoteError(
                f"The delivery stream {self._stream} is {status}; run this again when it is ACTIVE."
            )

    def size(self, record: Record) -> int:
        """The data before base64."""
        return len(record.data)

    def put(self, records: Sequence[Record]) -> list[Refused]:
        """PutRecordBatch."""
        answer = self._client.put_record_batch(
            DeliveryStreamName=self._stream, Records=[{"Data": record.data} for record in records]
        )
        if not answer["FailedPutCount"]:
            return []
        return [
            Refused(position, entry["ErrorCode"], entry.get("ErrorMessage", ""))
            for position, entry in enumerate(answer["RequestResponses"])
            if entry.get("ErrorCode")
        ]

    def explain(self, error: Exception) -> RemoteError:
        """One sentence about a call that failed for good."""
        if code_of(error) == "InvalidArgumentException" and "KinesisStreamAsSource" in str(error):
            return self._fed_by_a_stream("")
        missing = (
            f"There is no delivery stream {self._stream} in {self._client.meta.region_name}; create it, or "
            "name another one with --stream-name or --region-name."
        )
        return explain(
            error,
            f"putting records into the delivery stream {self._stream}",
            missing={"ResourceNotFoundException": missing},
            service="firehose",
        )

    def _fed_by_a_stream(self, source: str) -> RemoteError:
        stream = f" --stream-name {source}" if source else ""
        return RemoteError(
            f"The delivery stream {self._stream} is fed by a Kinesis stream and takes no direct PUTs; "
            f"use --service-name kinesis{stream}."
        )


def connect(service: ServiceName, stream: str, region: str | None, workers: int) -> Kinesis | Firehose:
    """The service, checked; its client has timeouts and does not retry on its own.

    Raises:
        RemoteError: The stream cannot be used, or nothing answers.
    """
    # Batches are built and bounded here; botocore's check of each of 500 records would only cost time.
    settings = config(workers, validate=False)
    try:
        if service == "kinesis":
            target: Kinesis | Firehose = Kinesis(
                boto3.client("kinesis", region_name=region, config=settings), stream
            )
        else:
            target = Firehose(boto3.client("firehose", region_name=region, config=settings), stream)
    except BotoCoreError as error:
        raise explain(error, f"connecting to {service}", service=service) from error
    target.check()
    return target
