"""The sweep: locations that nothing points at any more, and temporary tables that a killed run left.

Superseded and abandoned locations stay for a grace, longer than any query may run, since a query that was
planned before a publication still reads the old place. When that was, no object tells: a sweep notes the
locations that it finds unreferenced, and one that comes a grace later and finds them so still removes them.
It reads every partition of the written tables and lists every location, the one thing here that costs
history: what is to be removed is known by nothing else. So it runs by night, and once a day. Raw objects,
results and dead letters are not its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from retail_analytics.lake import tables
from retail_analytics.lake.partitions import chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from retail_analytics.batch.staging import Pipeline
    from retail_analytics.lake.tables import Table

GRACE = timedelta(hours=12)
"""Three times the longest that Athena lets a statement run (240 minutes, raised to the most)."""

_DELETE = 1000  # S3's limit of keys a call


@dataclass(frozen=True)
class Swept:
    """What a sweep removed.

    Attributes:
        locations: Locations whose objects were removed.
        objects: Objects removed.
        bytes: Their bytes.
        waiting: Locations that nothing points at, but that are within the grace.
        temporary_tables: Temporary tables dropped.
    """

    locations: int = 0
    objects: int = 0
    bytes: int = 0
    waiting: int = 0
    temporary_tables: int = 0


def sweep(pipeline: Pipeline, now: datetime, log: Callable[[str], None] = lambda _: None) -> Swept:
    """Remove what nothing has pointed at for the grace.

    Interrupted, it has removed some of it; the next sweep goes on.

    Args:
        pipeline: The feed and its clients.
        now: The present, aware.
        log: Told of each location that goes.
    """
    before = now - GRACE
    noted = _read_noted(pipeline)
    still: dict[str, datetime] = {}
    locations = objects = size = 0
    for table in _written_tables(pipeline):
        root = _prefix(pipeline, table.location)
        live = {
            # A partition lies one folder below its location, beside those of the same query.
            root + _prefix(pipeline, partition.location).removeprefix(root).split("/", 1)[0] + "/"
            for partition in pipeline.catalog.every(table)
        }
        for prefix in _locations(pipeline, root):
            if prefix in live:
                continue
            since = noted.get(prefix, now)
            if since > before:
                still[prefix] = since
                continue
            found = list(_objects(pipeline, prefix))
            _remove(pipeline, [key for key, _ in found])
            log(f"Removed {prefix}: {len(found)} objects that nothing has pointed at since {since:%F %R}.")
            locations, objects = locations + 1, objects + len(found)
            size += sum(each for _, each in found)
    if still != noted:
        _note(pipeline, still)
    return Swept(locations, objects, size, len(still), _drop_temporary_tables(pipeline, before))


def _read_noted(pipeline: Pipeline) -> dict[str, datetime]:
    """The locations that the sweep before found unreferenced, and since when they are known to be."""
    try:
        answer = pipeline.s3.get_object(Bucket=pipeline.settings.bucket, Key=_noted_key(pipeline))
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return {}
    return {prefix: datetime.fromisoformat(since) for prefix, since in json.load(answer["Body"]).items()}


def _note(pipeline: Pipeline, unreferenced: Mapping[str, datetime]) -> None:
    document = {prefix: since.isoformat() for prefix, since in sorted(unreferenced.items())}
    pipeline.s3.put_object(
        Bucket=pipeline.settings.bucket,
        Key=_noted_key(pipeline),
        Body=json.dumps(document, indent=0).encode(),
        ContentType="application/json",
    )


def _noted_key(pipeline: Pipeline) -> str:
    # Beside the locations; neither Athena nor a crawler reads what begins with an underscore.
    return f"compacted/{pipeline.feed.name}/_unreferenced.json"


def _written_tables(pipeline: Pipeline) -> list[Table]:
    feed, settings = pipeline.feed, pipeline.settings
    return [
        tables.compacted_table(feed, settings),
        tables.rejects_table(feed, settings),
        *(tables.processed_table(feed, settings, declared.name) for declared in feed.processed),
    ]


def _locations(pipeline: Pipeline, root: str) -> Iterator[str]:
    """The key prefixes of the locations below a table's root, one for each query that wrote there."""
    pages = pipeline.s3.get_paginator("list_objects_v2").paginate(
        Bucket=pipeline.settings.bucket, Prefix=root, Delimiter="/"
    )
    for page in pages:
        for common in page.get("CommonPrefixes", ()):
            yield common["Prefix"]


def _objects(pipeline: Pipeline, prefix: str) -> Iterator[tuple[str, int]]:
    pages = pipeline.s3.get_paginator("list_objects_v2").paginate(
        Bucket=pipeline.settings.bucket, Prefix=prefix
    )
    for page in pages:
        for item in page.get("Contents", ()):
            yield item["Key"], item["Size"]


def _remove(pipeline: Pipeline, keys: list[str]) -> None:
    for chunk in chunks(keys, _DELETE):
        answer = pipeline.s3.delete_objects(
            Bucket=pipeline.settings.bucket,
            Delete={"Objects": [{"Key": key} for key in chunk], "Quiet": True},
        )
        refused = answer.get("Errors", [])
        if refused:
            raise RuntimeError(
                f"S3 did not delete {len(refused)} objects, the first {refused[0].get('Key')}:"
                f" {refused[0].get('Message')}. The next sweep tries again."
            )


def _drop_temporary_tables(pipeline: Pipeline, before: datetime) -> int:
    glue, database = pipeline.catalog.glue, pipeline.settings.database
    pages = glue.get_paginator("get_tables").paginate(
        DatabaseName=database, Expression=f"tmp_{pipeline.feed.name}_.*"
    )
    old = [
        table["Name"]
        for page in pages
        for table in page["TableList"]
        if "CreateTime" in table and table["CreateTime"] < before
    ]
    for name in old:
        glue.delete_table(DatabaseName=database, Name=name)
    return len(old)


def _prefix(pipeline: Pipeline, location: str) -> str:
    return location.removeprefix(f"s3://{pipeline.settings.bucket}/").rstrip("/") + "/"
