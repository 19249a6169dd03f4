"""The catalog of a feed: its tables as declared, and its raw hours as partitions.

Raw hours are registered by what is new, in batches; nothing here lists the lake or repairs a table
(MSCK REPAIR costs all of history every time). Crawlers are ``crawlers.py``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from retail_analytics.lake import hours as hours_
from retail_analytics.lake.partitions import Catalog, Partition
from retail_analytics.lake.tables import all_tables, lines_table, raw_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mypy_boto3_glue.type_defs import TableInputTypeDef

    from retail_analytics.feeds import Feed
    from retail_analytics.lake.tables import Table
    from retail_analytics.settings import Settings


@dataclass(frozen=True)
class Registered:
    """What a registration changed.

    Attributes:
        tables_created: Names of the tables that were missing.
        tables_changed: Names of the tables that differed from their declaration.
        hours: How many hours the raw tables now know that they may not have known before.
    """

    tables_created: tuple[str, ...]
    tables_changed: tuple[str, ...]
    hours: int


def register(catalog: Catalog, feed: Feed, settings: Settings, hours: Sequence[datetime]) -> Registered:
    """Make the tables of the feed as declared, and these raw hours known to its two raw tables.

    Raises:
        CatalogError: Glue refused a partition.
        ClientError: Glue refused a table.
    """
    created: list[str] = []
    changed: list[str] = []
    for table in all_tables(feed, settings):
        outcome = ensure_table(catalog, table)
        if outcome == "created":
            created.append(table.name)
        elif outcome == "changed":
            changed.append(table.name)
    for table in (raw_table(feed, settings), lines_table(feed, settings)):
        catalog.ensure(table, [raw_partition(feed, settings, hour) for hour in hours])
    return Registered(tuple(created), tuple(changed), len(hours))


def raw_partition(feed: Feed, settings: Settings, hour: datetime) -> Partition:
    """The partition of a raw hour: always at the prefix that Firehose writes to."""
    return Partition(
        values=tuple(hours_.partition_values(hour)),
        location=f"s3://{settings.bucket}/{hours_.prefix(feed, hour)}",
    )


def ensure_table(catalog: Catalog, table: Table) -> str:
    """Create the table, or bring it to its declaration; returns ``created``, ``changed`` or ``same``."""
    wanted = table.table_input()
    try:
        found: Any = catalog.glue.get_table(DatabaseName=catalog.database, Name=table.name)["Table"]
    except catalog.glue.exceptions.EntityNotFoundException:
        return _create_table(catalog, wanted)
    if _same(found, wanted):
        return "same"
    catalog.glue.update_table(DatabaseName=catalog.database, TableInput=wanted)
    return "changed"


def _create_table(catalog: Catalog, wanted: TableInputTypeDef) -> str:
    try:
        catalog.glue.create_table(DatabaseName=catalog.database, TableInput=wanted)
    except ClientError as error:
        # Another run made it between our look and our call: it made the same declaration's table.
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise
        return "same"
    return "created"


def _same(found: Any, wanted: TableInputTypeDef) -> bool:
    return _shape(found) == _shape(wanted)


def _shape(table: Any) -> tuple[object, ...]:
    storage = table["StorageDescriptor"]
    return (
        [(c["Name"], c["Type"], c.get("Comment", "")) for c in storage["Columns"]],
        [(key["Name"], key["Type"]) for key in table.get("PartitionKeys", ())],
        storage["Location"].rstrip("/"),
        storage["SerdeInfo"]["SerializationLibrary"],
        table.get("Description", ""),
    )
