"""The Glue catalog with AWS's batch limits and pages.

moto takes batches of any size and answers all partitions of a table in one page; code that leans on either
fails on AWS. Here belong the limits and the answers that carry many partitions; crawlers are in ``crawler/``.
"""

from __future__ import annotations

import json
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

from moto.glue.exceptions import GlueClientError
from moto.glue.models import glue_backends
from moto.glue.responses import GlueResponse

from retail_analytics.embedded import crawler
from retail_analytics.embedded.crawler.backend import CrawlingGlueBackend
from retail_analytics.embedded.moto_backends import replace_backend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moto.glue.models import FakePartition

MAX_CREATE = 100
MAX_UPDATE = 100
MAX_DELETE = 25
MAX_GET = 1000
PAGE = 1000


def check_length(name: str, items: Sequence[Any], limit: int) -> None:
    """Refuse a batch that AWS refuses for its size.

    Raises:
        GlueClientError: It is longer than ``limit``.
    """
    if len(items) > limit:
        raise GlueClientError(
            "ValidationException",
            f"1 validation error detected: Value at '{name}' failed to satisfy constraint: "
            f"Member must have length less than or equal to {limit}",
        )


class StrictGlueBackend(CrawlingGlueBackend):
    """The crawling backend with AWS's limits on batches, and safe to use from many threads."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        # A listing of partitions must not meet one that is being added.
        self._partitions = threading.RLock()

    def get_partitions(self, database_name: str, table_name: str, expression: str) -> list[FakePartition]:
        """The partitions that an expression selects."""
        with self._partitions:
            return super().get_partitions(database_name, table_name, expression)

    def create_partition(self, database_name: str, table_name: str, part_input: dict[str, Any]) -> None:
        """Create one partition."""
        with self._partitions:
            super().create_partition(database_name, table_name, part_input)

    def batch_create_partition(
        self, database_name: str, table_name: str, partition_input: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Create up to 100 partitions; failures are answered one by one."""
        check_length("partitionInputList", partition_input, MAX_CREATE)
        with self._partitions:
            return super().batch_create_partition(database_name, table_name, partition_input)

    def batch_update_partition(
        self, database_name: str, table_name: str, entries: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Update up to 100 partitions; failures are answered one by one."""
        check_length("entries", entries, MAX_UPDATE)
        with self._partitions:
            return super().batch_update_partition(database_name, table_name, entries)

    def batch_delete_partition(
        self, database_name: str, table_name: str, parts: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Delete up to 25 partitions; failures are answered one by one."""
        check_length("partitionsToDelete", parts, MAX_DELETE)
        with self._partitions:
            return super().batch_delete_partition(database_name, table_name, parts)

    def batch_get_partition(
        self, database_name: str, table_name: str, partitions_to_get: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Up to 1,000 partitions; those that there are not are left out."""
        check_length("partitionsToGet", partitions_to_get, MAX_GET)
        with self._partitions:
            return super().batch_get_partition(database_name, table_name, partitions_to_get)


def get_partitions(self: GlueResponse) -> str:
    """GetPartitions: a page of a segment, without column schemas if so asked.

    Raises:
        GlueClientError: The token is none that was given out.
    """
    request = self.parameters
    found = self.glue_backend.get_partitions(
        request["DatabaseName"],
        request["TableName"],
        request.get("Expression"),  # type: ignore[arg-type]
    )
    segment = request.get("Segment")
    if segment:
        found = found[int(segment["SegmentNumber"]) :: int(segment["TotalSegments"])]
    token = str(request.get("NextToken") or "0")
    if not token.isdigit() or int(token) > len(found):
        raise GlueClientError("InvalidInputException", "The NextToken is invalid.")
    start, size = int(token), min(int(request.get("MaxResults") or PAGE), PAGE)
    page = [partition.as_dict() for partition in found[start : start + size]]
    if request.get("ExcludeColumnSchema"):
        page = [_without_columns(partition) for partition in page]
    answer: dict[str, Any] = {"Partitions": page}
    if start + size < len(found):
        answer["NextToken"] = str(start + size)
    return json.dumps(answer, default=_epoch)


def batch_get_partition(self: GlueResponse) -> str:
    """BatchGetPartition."""
    request = self.parameters
    partitions = self.glue_backend.batch_get_partition(
        request["DatabaseName"], request["TableName"], request["PartitionsToGet"]
    )
    # As on AWS, a partition that does not exist is neither answered nor called unprocessed.
    return json.dumps({"Partitions": partitions, "UnprocessedKeys": []}, default=_epoch)


def _without_columns(partition: dict[str, Any]) -> dict[str, Any]:
    storage = {
        key: value for key, value in partition.get("StorageDescriptor", {}).items() if key != "Columns"
    }
    return {**partition, "StorageDescriptor": storage}


def _epoch(value: object) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value).__name__} has no place in an answer")


def install() -> None:
    """Replace moto's Glue backend and these answers; to be called before serving."""
    replace_backend(glue_backends, StrictGlueBackend)
    crawler.install()
    GlueResponse.get_partitions = get_partitions  # type: ignore[assignment, method-assign]
    GlueResponse.batch_get_partition = batch_get_partition  # type: ignore[assignment, method-assign]
