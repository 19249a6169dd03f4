"""The catalog of a feed: its tables as declared, and its raw hours as partitions.

The raw hours in hand are registered, repaired and dropped, in batches; nothing here lists the lake or
repairs a whole table (MSCK REPAIR costs all of history every time). Partitions of the compacted and processed
tables are publishing's, not ours; crawlers are ``crawlers.py``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from retail_analytics.lake import hours as hours_
from retail_analytics.lake.partitions import Brought, Catalog, Partition
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
        partitions: What became of the partitions of the two raw tables.
    """

    tables_created: tuple[str, ...]
    tables_changed: tuple[str, ...]
    partitions: Brought


def register(
    catalog: Catalog,
    feed: Feed,
    settings: Settings,
    filled: Sequence[datetime],
    emptied: Sequence[datetime] = (),
) -> Registered:
    """Make the tables of the feed as declared, and its two raw tables know these hours as they are.

    A feed whose raw tables are projected has no partitions to register.

    Args:
        catalog: Where the tables are.
        feed: The feed.
        settings: Where it flows.
        filled: Hours that hold objects.
        emptied: Hours that hold none; they are dropped where they were registered.

    Raises:
        CatalogError: Glue refused a partition.
        ClientError: Glue refused a table.
    """
    there = _tables_of(catalog, feed)
    outcomes = {
        table.name: _bring_table(catalog, table, there.get(table.name))
        for table in all_tables(feed, settings)
    }
    brought = Brought()
    for table in (raw_table(feed, settings), lines_table(feed, settings)):
        brought += register_hours(catalog, feed, settings, table, filled, emptied)
    return Registered(
        tuple(name for name, outcome in outcomes.items() if outcome == "created"),
        tuple(name for name, outcome in outcomes.items() if outcome == "changed"),
        brought,
    )


def register_hours(
    catalog: Catalog,
    feed: Feed,
    settings: Settings,
    table: Table,
    filled: Sequence[datetime],
    emptied: Sequence[datetime] = (),
) -> Brought:
    """Make one raw table know these hours as they are: a look for each thousand, and what differs is written.

    Raises:
        CatalogError: Glue refused a partition.
    """
    if table.projection:
        return Brought()
    gone = [tuple(hours_.partition_values(hour)) for hour in emptied]
    gone += [twin for hour in (*filled, *emptied) for twin in _twins(hour)]
    return catalog.bring(table, [raw_partition(feed, settings, hour) for hour in filled], gone)


def _twins(hour: datetime) -> list[tuple[str, ...]]:
    """The same hour as Glue does not know it to be the same: ``8`` beside ``08``.

    ``ALTER TABLE ADD PARTITION (hour = 8)`` makes one, and every reader then finds the hour's rows twice.
    """
    values = tuple(hours_.partition_values(hour))
    unpadded = tuple(str(int(value)) for value in values)
    return [unpadded] if unpadded != values else []


def raw_partition(feed: Feed, settings: Settings, hour: datetime) -> Partition:
    """The partition of a raw hour: always at the prefix that Firehose writes to."""
    return Partition(
        values=tuple(hours_.partition_values(hour)),
        location=f"s3://{settings.bucket}/{hours_.prefix(feed, hour)}",
    )


def _tables_of(catalog: Catalog, feed: Feed) -> dict[str, Any]:
    """The tables whose names begin with the feed's, in one call for each hundred."""
    pages = catalog.glue.get_paginator("get_tables").paginate(
        DatabaseName=catalog.database, Expression=f"{feed.name}.*"
    )
    return {table["Name"]: table for page in pages for table in page["TableList"]}


def ensure_table(catalog: Catalog, table: Table) -> str:
    """Create the table, or bring it to its declaration; returns ``created``, ``changed`` or ``same``."""
    try:
        found = catalog.glue.get_table(DatabaseName=catalog.database, Name=table.name)["Table"]
    except catalog.glue.exceptions.EntityNotFoundException:
        return _bring_table(catalog, table, None)
    return _bring_table(catalog, table, found)


def _bring_table(catalog: Catalog, table: Table, found: Any) -> str:
    wanted = table.table_input()
    if found is None:
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
        {name: value for name, value in table.get("Parameters", {}).items() if _is_projection(name)},
    )


def _is_projection(name: str) -> bool:
    return name.startswith("projection.") or name == "storage.location.template"
