"""Staged writes: a CTAS to a location of its own, under a temporary name that goes away again.

Both compaction and processed tables write here, audit what they wrote, and only then publish it by
pointing partitions at it. Dropping the temporary table keeps its objects: what is never published is
swept later, never reused, so a location is written by one attempt only.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retail_analytics.resources import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3 import S3Client

    from retail_analytics.feeds import Feed
    from retail_analytics.lake.partitions import Catalog
    from retail_analytics.resources.athena import AthenaResource, Execution
    from retail_analytics.settings import Settings

MOST_PARTITIONS = 100
"""Partitions (times buckets) that one CTAS may write; Athena's limit."""


@dataclass(frozen=True)
class Pipeline:
    """What a stage needs to work on one feed: the feed, where it flows, and clients."""

    feed: Feed
    settings: Settings
    s3: S3Client
    athena: AthenaResource
    catalog: Catalog


@dataclass(frozen=True)
class Output:
    """The objects that a CTAS wrote for one partition: how many, and their bytes."""

    objects: int
    size: int


@dataclass(frozen=True)
class Staged:
    """A staged write.

    Attributes:
        table: Its temporary table, quoted and qualified.
        location: ``s3://…/``, ending in a slash; a partition lies in ``COLUMN=VALUE/`` below it.
        partition: The one partition column.
        execution: The CTAS.
    """

    table: str
    location: str
    partition: str
    execution: Execution

    def location_of(self, value: str) -> str:
        """Where the partition of that value lies."""
        return f"{self.location}{self.partition}={value}/"


@contextmanager
def begun(
    pipeline: Pipeline, root: str, name: str, select: str, partition: str, bucket_by: str, buckets: int = 1
) -> Iterator[Callable[[], Staged]]:
    """Begin to write a SELECT by CTAS; what this gives waits until it is written.

    The temporary table lives as long as the ``with`` block, and so does the CTAS.

    Args:
        pipeline: The feed and its clients.
        root: Key prefix under which the location is made, ending in a slash.
        name: What the location is named after: a digest.
        select: The SELECT, with the partition column last.
        partition: The partition column.
        bucket_by: The column to bucket by.
        buckets: Files a partition; one keeps a small hour in one file, where Athena would spread it.

    Raises:
        AthenaError: From the wait, too: the CTAS failed. What it left behind is swept with the abandoned
            locations.
    """
    attempt = uuid.uuid4().hex[:12]
    table = f"tmp_{pipeline.feed.name}_{attempt}"
    location = f"s3://{pipeline.settings.bucket}/{root}{name}-{attempt}/"
    quoted = sql.table(pipeline.settings.database, table)
    properties = ", ".join(
        (
            "format = 'PARQUET'",
            "write_compression = 'SNAPPY'",
            f"external_location = {sql.text(location)}",
            f"partitioned_by = {sql.array([partition])}",
            f"bucketed_by = {sql.array([bucket_by])}",
            f"bucket_count = {buckets}",
        )
    )
    try:
        with pipeline.athena.begun(f"CREATE TABLE {quoted} WITH ({properties}) AS\n{select}") as ended:
            yield lambda: Staged(quoted, location, partition, ended())
    finally:
        _drop(pipeline, table)


def outputs(pipeline: Pipeline, written: Staged) -> dict[str, Output]:
    """What a staged write left for each partition value."""
    bucket = pipeline.settings.bucket
    root = written.location.removeprefix(f"s3://{bucket}/")
    found: dict[str, Output] = {}
    for page in pipeline.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=root):
        for item in page.get("Contents", ()):
            value = item["Key"].removeprefix(f"{root}{written.partition}=").split("/", 1)[0]
            before = found.get(value, Output(0, 0))
            found[value] = Output(before.objects + 1, before.size + item["Size"])
    return found


def _drop(pipeline: Pipeline, table: str) -> None:
    glue = pipeline.catalog.glue
    try:
        glue.delete_table(DatabaseName=pipeline.settings.database, Name=table)
    except glue.exceptions.EntityNotFoundException:
        return  # the CTAS failed before Athena made it
