"""Firehose that delivers: the wire side, and what is refused at creation.

moto writes one object per call, keeps prefix expressions as text and reads no Kinesis stream. Here belongs
what AWS checks when a delivery stream is made or written to; buffering and delivery are in ``delivery.py``,
prefix expressions in ``prefixes.py``. What is not done (record conversion, dynamic partitioning, transforms,
destinations other than S3) is refused by name when the delivery stream is created.
"""

from __future__ import annotations

import re
import uuid
from base64 import b64decode
from datetime import UTC, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from moto.core.types import Base64EncodedString
from moto.firehose.exceptions import FirehoseException, InvalidArgumentException, ResourceNotFoundException
from moto.firehose.models import DeliveryStream, FirehoseBackend, firehose_backends
from moto.s3.models import s3_backends

from retail_analytics.embedded import prefixes
from retail_analytics.embedded.delivery import MEBIBYTE, Delivery, Destination
from retail_analytics.embedded.delivery_sources import DirectSource, StreamSource
from retail_analytics.embedded.moto_backends import replace_backend
from retail_analytics.embedded.streams import find_stream

MAX_RECORDS_PER_BATCH = 500
MAX_BYTES_PER_BATCH = 4 * MEBIBYTE
MAX_RECORD_BYTES = 1000 * 1024
KINESIS_SOURCE = "KinesisStreamAsSource"
_OTHER_DESTINATIONS = ("Redshift", "Elasticsearch", "Splunk", "HttpEndpoint", "Snowflake", "Iceberg")


class DeliveryBackend(FirehoseBackend):
    """moto's Firehose with real delivery."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.deliveries: dict[str, Delivery] = {}
        self._sources: dict[str, str | None] = {}

    def create_delivery_stream(
        self,
        region: str,
        delivery_stream_name: str,
        delivery_stream_type: str | None,
        kinesis_stream_source_configuration: dict[str, Any] | None,
        delivery_stream_encryption_configuration_input: dict[str, Any] | None,
        s3_destination_configuration: dict[str, Any] | None,
        extended_s3_destination_configuration: dict[str, Any] | None,
        *others: Any,
    ) -> str:
        """Create a delivery stream and begin to deliver.

        Raises:
            InvalidArgumentException: It asks for something that AWS refuses, or that is not done here.
        """
        # The last of the others are the tags.
        for name, configuration in zip(_OTHER_DESTINATIONS, others[:-1], strict=True):
            if configuration:
                raise InvalidArgumentException(f"{name} destinations are not supported here; use ExtendedS3.")
        if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", delivery_stream_name):
            raise FirehoseException(
                "ValidationException",
                f"deliveryStreamName {delivery_stream_name!r} is not 1 to 64 of the letters a-zA-Z0-9_.-",
            )
        kind = delivery_stream_type or "DirectPut"
        source = kinesis_stream_source_configuration
        if kind not in {"DirectPut", KINESIS_SOURCE}:
            raise InvalidArgumentException(f"{kind} as a source is not supported here.")
        if (kind == KINESIS_SOURCE) != bool(source):
            raise InvalidArgumentException(
                f"{KINESIS_SOURCE} and KinesisStreamSourceConfiguration go together."
            )
        check_destination(s3_destination_configuration or extended_s3_destination_configuration or {})
        stream_name = None
        if source:
            stream_name = source["KinesisStreamARN"].rsplit("/", 1)[-1]
            if find_stream(self.region_name, stream_name) is None:
                raise ResourceNotFoundException(
                    f"Stream {stream_name} under account {self.account_id} not found."
                )
        arn = super().create_delivery_stream(
            region,
            delivery_stream_name,
            kind,
            source,  # type: ignore[arg-type]
            delivery_stream_encryption_configuration_input,  # type: ignore[arg-type]
            s3_destination_configuration,  # type: ignore[arg-type]
            extended_s3_destination_configuration,  # type: ignore[arg-type]
            *others,
        )
        self._sources[delivery_stream_name] = stream_name
        self._deliver(delivery_stream_name, None)
        return arn

    def _deliver(self, name: str, saved: dict[str, Any] | None) -> None:
        """Begin to deliver; with what an earlier process had not delivered, if so."""
        stream_name = self._sources[name]
        kept = saved["source"] if saved else {}
        feed = (
            StreamSource(partial(find_stream, self.region_name, stream_name), **kept)
            if stream_name
            else DirectSource(**kept)
        )
        delivery = Delivery(name, feed, partial(read_destination, self.delivery_streams[name]), self._write)
        if saved:
            delivery.restore(saved)
        self.deliveries[name] = delivery
        delivery.start()

    def __getstate__(self) -> dict[str, Any]:
        """All but the threads. Takes no lock."""
        saved = {name: delivery.saved() for name, delivery in list(self.deliveries.items())}
        return {**self.__dict__, "deliveries": {}, "_saved": saved}

    def resume(self) -> None:
        """Deliver again after a restart; to be called when all other services are back."""
        for name, saved in self.__dict__.pop("_saved", {}).items():
            self._deliver(name, saved)

    def _write(self, bucket: str, key: str, body: bytes) -> None:
        s3_backends[self.account_id][self.partition].put_object(bucket, key, body)

    def delete_delivery_stream(self, delivery_stream_name: str) -> None:
        """Deliver what is buffered, then delete."""
        super().delete_delivery_stream(delivery_stream_name)
        self.deliveries.pop(delivery_stream_name).stop()
        del self._sources[delivery_stream_name]

    def update_destination(
        self,
        delivery_stream_name: str,
        current_delivery_stream_version_id: str,
        destination_id: str,
        *updates: Any,
    ) -> None:
        """Change the destination; objects from now on go there, under the next version.

        Raises:
            InvalidArgumentException: The destination as it would be is refused.
        """
        stream = self.delivery_streams.get(delivery_stream_name)
        if stream is not None:
            description = stream.destinations[0]
            existing = description.get("ExtendedS3") or description["S3"]
            for update in updates:
                if isinstance(update, dict):
                    check_destination({**existing, **update})
        super().update_destination(
            delivery_stream_name, current_delivery_stream_version_id, destination_id, *updates
        )

    def put_record(self, delivery_stream_name: str, record: dict[str, Any]) -> dict[str, Any]:
        """Take one record in."""
        answer = self.put_record_batch(delivery_stream_name, [record])
        return {"RecordId": answer["RequestResponses"][0]["RecordId"], "Encrypted": False}

    def put_record_batch(self, delivery_stream_name: str, records: list[dict[str, Any]]) -> dict[str, Any]:
        """Take up to 500 records in.

        Raises:
            InvalidArgumentException: The stream is fed by Kinesis, or a limit is passed.
        """
        delivery = self.deliveries.get(delivery_stream_name)
        if delivery is None:
            raise ResourceNotFoundException(
                f"Firehose {delivery_stream_name} under account {self.account_id} not found."
            )
        if not isinstance(delivery.source, DirectSource):
            raise InvalidArgumentException(
                f"This operation is not permitted on {KINESIS_SOURCE} delivery stream type."
            )
        if delivery.overfull:
            raise FirehoseException("ServiceUnavailableException", "Slow down.")
        bodies = [_data(record) for record in records]
        if len(bodies) > MAX_RECORDS_PER_BATCH:
            raise InvalidArgumentException(f"Records size exceeds {MAX_RECORDS_PER_BATCH} records limit")
        if max(map(len, bodies), default=0) > MAX_RECORD_BYTES:
            raise InvalidArgumentException(f"Record size exceeds {MAX_RECORD_BYTES} bytes limit")
        if sum(map(len, bodies)) > MAX_BYTES_PER_BATCH:
            raise InvalidArgumentException("Records size exceeds 4 MB limit")
        delivery.source.put(bodies)
        return {
            "FailedPutCount": 0,
            "Encrypted": False,
            "RequestResponses": [{"RecordId": uuid.uuid4().hex} for _ in bodies],
        }

    def reset(self) -> None:
        """Forget everything, the deliveries included."""
        for delivery in self.deliveries.values():
            delivery.stop()
        super().reset()


def _data(record: dict[str, Any]) -> bytes:
    data = record["Data"]
    # moto hands blobs over as they stood on the wire: base64 text in a type of its own.
    if isinstance(data, Base64EncodedString):
        return b64decode(data.as_bytes())
    return b64decode(data) if isinstance(data, str) else bytes(data)


def check_destination(configuration: dict[str, Any]) -> None:
    """Refuse what AWS refuses of an S3 destination, and what is not done here.

    Raises:
        InvalidArgumentException: The message names the feature or the rule.
    """
    for flag in ("DataFormatConversionConfiguration", "DynamicPartitioningConfiguration"):
        if (configuration.get(flag) or {}).get("Enabled"):
            raise InvalidArgumentException(f"{flag} is not supported here.")
    if configuration.get("S3BackupMode", "Disabled") != "Disabled":
        raise InvalidArgumentException("S3BackupMode Enabled is not supported here.")
    if configuration.get("CompressionFormat", "UNCOMPRESSED") not in {"UNCOMPRESSED", "GZIP"}:
        raise InvalidArgumentException(
            f"CompressionFormat {configuration['CompressionFormat']} is not supported here; use GZIP."
        )
    hints = configuration.get("BufferingHints") or {}
    if not 0 <= hints.get("IntervalInSeconds", 300) <= 900:
        raise InvalidArgumentException("BufferingHints.IntervalInSeconds must be 0 to 900.")
    if not 1 <= hints.get("SizeInMBs", 5) <= 128:
        raise InvalidArgumentException("BufferingHints.SizeInMBs must be 1 to 128.")
    for processor in _processors(configuration):
        if processor["Type"] != "AppendDelimiterToRecord":
            raise InvalidArgumentException(f"the processor {processor['Type']} is not supported here.")
    try:
        ZoneInfo(configuration.get("CustomTimeZone", "UTC"))
        prefixes.validate(
            configuration.get("Prefix", ""), configuration.get("ErrorOutputPrefix", ""), datetime.now(UTC)
        )
    except (prefixes.PrefixError, ZoneInfoNotFoundError) as error:
        raise InvalidArgumentException(str(error)) from error


def _processors(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    processing = configuration.get("ProcessingConfiguration") or {}
    return list(processing.get("Processors") or []) if processing.get("Enabled") else []


def read_destination(stream: DeliveryStream) -> Destination:
    """The destination of a delivery stream as it is configured now."""
    description = stream.destinations[0]
    configuration = description.get("ExtendedS3") or description["S3"]
    hints = configuration.get("BufferingHints") or {}
    zipped = configuration.get("CompressionFormat") == "GZIP"
    return Destination(
        bucket=configuration["BucketARN"].rsplit(":", 1)[-1],
        prefix=configuration.get("Prefix") or "",
        version=stream.version_id,
        interval_seconds=float(hints.get("IntervalInSeconds", 300)),
        size_bytes=int(hints.get("SizeInMBs", 5)) * MEBIBYTE,
        gzip=zipped,
        extension=configuration.get("FileExtension") or (".gz" if zipped else ""),
        delimiter=_delimiter(configuration),
        time_zone=configuration.get("CustomTimeZone") or "UTC",
    )


def _delimiter(configuration: dict[str, Any]) -> bytes:
    for processor in _processors(configuration):
        for parameter in processor.get("Parameters") or []:
            if parameter["ParameterName"] == "Delimiter":
                return str(parameter["ParameterValue"]).replace("\\n", "\n").encode()
        return b"\n"
    return b""


def install() -> None:
    """Replace moto's Firehose backend; to be called before serving."""
    replace_backend(firehose_backends, DeliveryBackend)


def _backends() -> list[DeliveryBackend]:
    return [
        backend for _, _, backend in firehose_backends.iter_backends() if isinstance(backend, DeliveryBackend)
    ]


def status() -> list[dict[str, Any]]:
    """What each delivery stream delivered, and what it still holds, as plain JSON."""
    return [
        {"name": name, "buffered_records": len(delivery.buffer.records), **vars(delivery.counters)}
        for backend in _backends()
        for name, delivery in list(backend.deliveries.items())
    ]


def resume_all() -> None:
    """Let every delivery stream of a restored state deliver again."""
    for backend in _backends():
        backend.resume()


def stop_all() -> None:
    """Deliver what every delivery stream buffers, then end the deliveries."""
    for backend in _backends():
        for delivery in backend.deliveries.values():
            delivery.stop()
