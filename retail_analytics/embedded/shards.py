"""A shard of a stream: records in the order of their sequence numbers.

What moto keeps of a shard, made quick and safe to read while others write. Not here: which shard a record
goes to, resharding and waiting (``streams.py``).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import UTC, datetime
from typing import Any

from moto.kinesis.models import Shard

MAX_RECORDS_PER_GET = 10_000
MAX_BYTES_PER_GET = 10 * 1024 * 1024

# AWS's sequence numbers are long decimals that grow; clients must not take them for small integers.
FIRST_SEQUENCE_NUMBER = 49_600_000 * 10**48


class StreamRecord:
    """One record of a shard; the attributes are those that moto's wire layer reads."""

    __slots__ = ("created_at", "data", "explicit_hash_key", "partition_key", "sequence_number")

    def __init__(
        self,
        partition_key: str,
        data: bytes,
        sequence_number: int,
        created_at: float,
        explicit_hash_key: str | None,
    ) -> None:
        self.partition_key = partition_key
        self.data = data
        self.sequence_number = sequence_number
        self.created_at = created_at
        self.explicit_hash_key = explicit_hash_key

    def to_json(self) -> dict[str, Any]:
        """The record as GetRecords answers it."""
        return {
            "Data": self.data,
            "PartitionKey": self.partition_key,
            "SequenceNumber": str(self.sequence_number),
            "ApproximateArrivalTimestamp": datetime.fromtimestamp(self.created_at, UTC),
        }


class OrderedShard(Shard):
    """A shard whose records are a list in the order of their sequence numbers."""

    records: list[StreamRecord]  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.records = []
        self.starting_sequence_number = FIRST_SEQUENCE_NUMBER
        self.last_sequence_number = 0

    def append(self, record: StreamRecord) -> None:
        """Add a record; the stream's lock is held by the caller."""
        self.records.append(record)
        self.last_sequence_number = record.sequence_number

    def after(self, sequence_number: int, limit: int) -> list[StreamRecord]:
        """Up to ``limit`` records whose sequence number is greater."""
        records = self.records
        start = bisect_right(records, sequence_number, key=lambda record: record.sequence_number)
        return records[start : start + limit]

    def trim(self, horizon: float) -> None:
        """Forget the records that arrived before ``horizon`` (epoch seconds)."""
        if self.records and self.records[0].created_at < horizon:
            del self.records[: bisect_left(self.records, horizon, key=lambda record: record.created_at)]

    def get_records(self, last_sequence_id: str, limit: int | None) -> tuple[list[StreamRecord], int, int]:  # type: ignore[override]
        """The records of one GetRecords call, the position after them and how far behind they are (ms)."""
        found = self.after(int(last_sequence_id), min(limit or MAX_RECORDS_PER_GET, MAX_RECORDS_PER_GET))
        size = 0
        for count, record in enumerate(found, start=1):
            size += len(record.data)
            if size > MAX_BYTES_PER_GET and count > 1:
                found = found[: count - 1]
                break
        if not found:
            return [], int(last_sequence_id), 0
        behind = self.records[-1].created_at - found[-1].created_at
        return found, found[-1].sequence_number, int(behind * 1000)

    def get_min_sequence_number(self) -> int:
        """Where the shard starts."""
        return self.starting_sequence_number

    def get_max_sequence_number(self) -> int:
        """The last sequence number given out in this shard, or where it starts."""
        return self.last_sequence_number or self.starting_sequence_number

    def get_sequence_number_at(self, at_timestamp: float | datetime) -> int:
        """The last sequence number before a time; 0 when there is none."""
        moment = at_timestamp.timestamp() if isinstance(at_timestamp, datetime) else float(at_timestamp)
        index = bisect_left(self.records, moment, key=lambda record: record.created_at)
        return self.records[index - 1].sequence_number if index else 0
