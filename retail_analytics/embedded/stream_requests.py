"""Requests to Kinesis that AWS refuses and moto would trip over, or take.

Belongs here: checks of what a client asks. Does not belong here: the streams (`streams.py`).
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING

from moto.core.exceptions import JsonRESTError
from moto.kinesis.exceptions import InvalidArgumentError, ShardNotFoundError
from moto.kinesis.utils import decompose_shard_iterator

if TYPE_CHECKING:
    from moto.kinesis.models import Shard, Stream

MAX_PARTITION_KEY = 256
MAX_RECORDS_PER_GET = 10_000
_ITERATOR_PARTS = 3
_NEEDED = {
    "AT_SEQUENCE_NUMBER": 0,
    "AFTER_SEQUENCE_NUMBER": 0,
    "AT_TIMESTAMP": 1,
}
_NEEDED_NAMES = ("StartingSequenceNumber", "Timestamp")


def invalid(what: str, constraint: str) -> JsonRESTError:
    """A value that does not satisfy the API's model."""
    return JsonRESTError(
        "ValidationException",
        f"1 validation error detected: Value at '{what}' failed to satisfy constraint: "
        f"Member must have {constraint}",
    )


def check_partition_key(key: str) -> None:
    """Refuse a partition key that is empty or too long."""
    if not 1 <= len(key) <= MAX_PARTITION_KEY:
        raise invalid("partitionKey", f"length between 1 and {MAX_PARTITION_KEY}")


def check_limit(limit: int | None) -> None:
    """Refuse a GetRecords of no records, or of too many."""
    if limit is not None and not 1 <= limit <= MAX_RECORDS_PER_GET:
        raise invalid("limit", f"value between 1 and {MAX_RECORDS_PER_GET}")


def read_iterator(iterator: str) -> tuple[str, str, str]:
    """A shard iterator's stream, shard and position."""
    try:
        parts = decompose_shard_iterator(iterator)
    except (binascii.Error, UnicodeError):
        parts = []
    if len(parts) != _ITERATOR_PARTS:
        raise InvalidArgumentError("Invalid ShardIterator.")
    stream, shard, position = parts
    return stream, shard, position


def check_iterator_type(kind: str, *given: object) -> None:
    """Refuse an iterator without what its type begins from: a sequence number, or a time."""
    needed = _NEEDED.get(kind)
    if needed is not None and given[needed] is None:
        raise InvalidArgumentError(f"Must specify {_NEEDED_NAMES[needed]} for {kind}.")
    if needed == 0 and not str(given[0]).isdigit():
        raise InvalidArgumentError(f"StartingSequenceNumber {given[0]} is no sequence number.")


def find_shard(stream: Stream, shard_id: str) -> Shard:
    """A stream's shard, to be split or merged."""
    found = stream.shards.get(shard_id)
    if found is None:
        raise ShardNotFoundError(shard_id, stream.stream_name, stream.account_id)
    return found
