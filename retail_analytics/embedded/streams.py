"""Kinesis streams that keep what is put, in order, however many put at once.

moto's shards hand out the same sequence number to two concurrent writers, slow down with every record, and
move records to new shards when resharded. Here belongs what replaces them (its shards are in ``shards.py``):
resharding that leaves records where they are, retention, and a condition on which readers inside this
process (delivery streams, event source mappings) wait instead of polling. Not here: those readers.

Not enforced: a shard's 1 MB/s and 1,000 records/s.
"""

from __future__ import annotations

import hashlib
import threading
import time
from base64 import b64decode
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from moto.kinesis.exceptions import (
    InvalidArgumentError,
    RecordSizeExceedsLimit,
    TooManyRecords,
    TotalRecordsSizeExceedsLimit,
)
from moto.kinesis.models import KinesisBackend, Stream, kinesis_backends
from moto.kinesis.responses import KinesisResponse
from moto.kinesis.utils import compose_shard_iterator

from retail_analytics.embedded.moto_backends import ACCOUNT_ID, replace_backend
from retail_analytics.embedded.shards import FIRST_SEQUENCE_NUMBER, OrderedShard, StreamRecord
from retail_analytics.embedded.stream_pages import describe_stream, list_streams
from retail_analytics.embedded.stream_requests import (
    check_iterator_type,
    check_limit,
    check_partition_key,
    find_shard,
    read_iterator,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_RECORDS_PER_PUT = 500
MAX_BYTES_PER_PUT = 10 * 1024 * 1024
MAX_RECORD_BYTES = 1024 * 1024


class OrderedStream(Stream):
    """A stream whose shards may be written and read by many threads.

    Attributes:
        changed: Notified after every put, every resharding and the stream's deletion. Its lock guards the
            shards.
        deleted: Whether the stream is gone.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.deleted = False
        self._next_sequence_number = FIRST_SEQUENCE_NUMBER + time.time_ns()
        super().__init__(*args, **kwargs)

    def is_created(self) -> bool:
        """Whether CloudFormation may go on."""
        return True

    def init_shards(self, shard_count: int) -> None:
        """Create the first shards over the whole hash space."""
        self.shard_count = shard_count
        step = 2**128 // shard_count
        for index in range(shard_count):
            end = 2**128 - 1 if index == shard_count - 1 else (index + 1) * step - 1
            self._add_shard(index * step, end)

    def _add_shard(
        self, start: int, end: int, parent: str | None = None, adjacent: str | None = None
    ) -> OrderedShard:
        shard = OrderedShard(len(self.shards), start, end, parent=parent, adjacent_parent=adjacent)
        shard.starting_sequence_number = self._take_sequence_number()
        self.shards[shard.shard_id] = shard
        self._route()
        return shard

    def _take_sequence_number(self) -> int:
        self._next_sequence_number += 1
        return self._next_sequence_number

    def _route(self) -> None:
        self._open = sorted((s for s in self.shards.values() if s.is_open), key=lambda s: s.starting_hash)
        self._starts = [shard.starting_hash for shard in self._open]

    def get_shard_for_key(self, partition_key: str, explicit_hash_key: str | None) -> OrderedShard:
        """The open shard that a record belongs to.

        Raises:
            InvalidArgumentError: The hash key is no number below 2**128.
        """
        if explicit_hash_key:
            if not explicit_hash_key.isdigit() or int(explicit_hash_key) >= 2**128:
                raise InvalidArgumentError("ExplicitHashKey must be a decimal number below 2**128.")
            position = int(explicit_hash_key)
        elif len(self._open) == 1:
            position = 0
        else:
            digest = hashlib.md5(partition_key.encode(), usedforsecurity=False).digest()
            position = int.from_bytes(digest, "big")
        shard = self._open[max(bisect_right(self._starts, position) - 1, 0)]
        assert isinstance(shard, OrderedShard)  # noqa: S101
        return shard

    def append(self, records: Sequence[tuple[str, str | None, bytes]]) -> list[tuple[str, str]]:
        """Add records in one step and wake the readers.

        Args:
            records: (partition key, explicit hash key, data) of each.

        Returns:
            (sequence number, shard id) of each.
        """
        answers = []
        with self.changed:
            now = time.time()
            horizon = now - 3600.0 * self.retention_period_hours
            for partition_key, explicit_hash_key, data in records:
                shard = self.get_shard_for_key(partition_key, explicit_hash_key)
                number = self._take_sequence_number()
                shard.append(StreamRecord(partition_key, data, number, now, explicit_hash_key))
                answers.append((str(number), shard.shard_id))
            for any_shard in self._open:
                any_shard.trim(horizon)  # type: ignore[attr-defined]
            self.changed.notify_all()
        return answers

    def put_record(self, partition_key: str, explicit_hash_key: str | None, data: str) -> tuple[str, str]:
        """Add one record, given in base64."""
        return self.append([(partition_key, explicit_hash_key, b64decode(data))])[0]

    def split_shard(self, shard_to_split: str, new_starting_hash_key: str) -> None:
        """Close a shard and open two in its place; its records stay where they are."""
        with self.changed:
            shard = find_shard(self, shard_to_split)
            if not new_starting_hash_key.isdigit():
                raise InvalidArgumentError(f"NewStartingHashKey {new_starting_hash_key} is no number.")
            middle = int(new_starting_hash_key)
            if not shard.is_open:
                raise InvalidArgumentError(f"Shard {shard_to_split} has already been merged or split.")
            if not shard.starting_hash < middle <= shard.ending_hash:
                raise InvalidArgumentError(
                    f"NewStartingHashKey {middle} is not inside the hash key range of {shard_to_split}."
                )
            shard.is_open = False
            self._add_shard(shard.starting_hash, middle - 1, parent=shard_to_split)
            self._add_shard(middle, shard.ending_hash, parent=shard_to_split)
            self._resharded()

    def merge_shards(self, shard_to_merge: str, adjacent_shard_to_merge: str) -> None:
        """Close two adjacent shards and open one in their place; their records stay where they are."""
        with self.changed:
            low, high = sorted(
                (find_shard(self, shard_to_merge), find_shard(self, adjacent_shard_to_merge)),
                key=lambda shard: shard.starting_hash,
            )
            if low is high or low.ending_hash + 1 != high.starting_hash:
                raise InvalidArgumentError(
                    f"Shards {shard_to_merge}, {adjacent_shard_to_merge} do not adjoin."
                )
            if not (low.is_open and high.is_open):
                raise InvalidArgumentError("A shard that has been merged or split cannot be merged again.")
            low.is_open = high.is_open = False
            self._add_shard(
                low.starting_hash, high.ending_hash, parent=shard_to_merge, adjacent=adjacent_shard_to_merge
            )
            self._resharded()

    def _resharded(self) -> None:
        self._route()
        self.shard_count = len(self._open)
        self.changed.notify_all()

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["changed"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.changed = threading.Condition(threading.RLock())


class StreamBackend(KinesisBackend):
    """moto's Kinesis with our streams."""

    def create_stream(
        self,
        stream_name: str,
        shard_count: int,
        stream_mode: dict[str, str] | None = None,
        retention_period_hours: int | None = None,
    ) -> Stream:
        """Create a stream as moto does, of our kind."""
        super().create_stream(stream_name, shard_count or 1, stream_mode, retention_period_hours)
        stream = OrderedStream(
            stream_name,
            shard_count or 1,
            stream_mode,
            retention_period_hours,
            self.account_id,
            self.region_name,
        )
        self.streams[stream_name] = stream
        return stream

    def delete_stream(self, stream_arn: str | None, stream_name: str | None) -> Stream:
        """Delete a stream and wake who reads it."""
        stream = super().delete_stream(stream_arn, stream_name)
        _wake_deleted(stream)
        return stream

    def reset(self) -> None:
        """Forget everything and wake the readers."""
        streams = list(self.streams.values())
        super().reset()
        for stream in streams:
            _wake_deleted(stream)

    def put_record(
        self, stream_arn: str, stream_name: str, partition_key: str, explicit_hash_key: str, data: str
    ) -> tuple[str, str]:
        """Add one record."""
        record = {"PartitionKey": partition_key, "ExplicitHashKey": explicit_hash_key, "Data": data}
        answer = self.put_records(stream_arn, stream_name, [record])["Records"][0]
        return answer["SequenceNumber"], answer["ShardId"]

    def put_records(self, stream_arn: str, stream_name: str, records: list[dict[str, Any]]) -> dict[str, Any]:
        """Add up to 500 records, all or none: nothing here throttles."""
        stream = self.describe_stream(stream_arn=stream_arn, stream_name=stream_name)
        assert isinstance(stream, OrderedStream)  # noqa: S101
        if len(records) > MAX_RECORDS_PER_PUT:
            raise TooManyRecords
        decoded = [(r["PartitionKey"], r.get("ExplicitHashKey"), b64decode(r["Data"])) for r in records]
        total = 0
        for position, (partition_key, _, data) in enumerate(decoded, start=1):
            check_partition_key(partition_key)
            size = len(data) + len(partition_key)
            if size > MAX_RECORD_BYTES:
                raise RecordSizeExceedsLimit(position=position)
            total += size
        if total > MAX_BYTES_PER_PUT:
            raise TotalRecordsSizeExceedsLimit
        answers = [{"SequenceNumber": number, "ShardId": shard} for number, shard in stream.append(decoded)]
        return {"FailedRecordCount": 0, "Records": answers}

    def get_shard_iterator(self, stream_arn: str | None, stream_name: str | None, *args: Any) -> str:
        """An iterator that names its stream even when the caller gave an ARN."""
        stream = self.describe_stream(stream_arn=stream_arn, stream_name=stream_name)
        check_iterator_type(*args[1:])
        return super().get_shard_iterator(stream.arn, stream.stream_name, *args)

    def get_records(  # type: ignore[override]
        self, stream_arn: str | None, shard_iterator: str, limit: int | None
    ) -> tuple[str | None, list[StreamRecord], int]:
        """Read a shard; the next iterator of a closed shard that is read to its end is None."""
        check_limit(limit)
        stream_name, shard_id, last = read_iterator(shard_iterator)
        stream = self.describe_stream(stream_arn=stream_arn, stream_name=stream_name)
        shard = stream.get_shard(shard_id)
        assert isinstance(shard, OrderedShard)  # noqa: S101
        records, position, behind = shard.get_records(last, limit)
        if not shard.is_open and not shard.after(position, 1):
            return None, records, behind
        return compose_shard_iterator(stream_name, shard, position), records, behind


def _wake_deleted(stream: Stream) -> None:
    if isinstance(stream, OrderedStream):
        with stream.changed:
            stream.deleted = True
            stream.changed.notify_all()


def install() -> None:
    """Replace moto's Kinesis backend; to be called before serving."""
    replace_backend(kinesis_backends, StreamBackend)
    KinesisResponse.list_streams = list_streams  # type: ignore[method-assign,assignment]
    KinesisResponse.describe_stream = describe_stream  # type: ignore[method-assign,assignment]


def find_stream(region: str, name: str) -> OrderedStream | None:
    """The stream of that name in this process, or None."""
    stream = kinesis_backends[ACCOUNT_ID][region].streams.get(name)
    return stream if isinstance(stream, OrderedStream) else None
