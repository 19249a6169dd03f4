"""The Glue catalog of the same process, as queries see it.

Belongs here: reading databases, tables and partitions into frozen values, and the few changes that SQL
makes to them. Does not belong here: parsing of DDL (`ddl.py`), reading of data (`scan.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import JsonRESTError
from moto.glue.models import GlueBackend, glue_backends

from retail_analytics.embedded.athena.errors import QueryFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from retail_analytics.embedded.athena.errors import Position

CATALOG_NAME = "awsdatacatalog"


@dataclass(frozen=True)
class Column:
    """A column of the catalog; `kind` in Hive's spelling."""

    name: str
    kind: str
    comment: str | None = None


@dataclass(frozen=True)
class Partition:
    """A partition: its values as Glue keeps them (strings), and where its objects are."""

    values: tuple[str, ...]
    location: str
    serde: str = ""


@dataclass(frozen=True)
class Table:
    """A table or view of the catalog, as it was when the query was planned."""

    database: str
    name: str
    columns: tuple[Column, ...]
    keys: tuple[Column, ...]
    location: str
    serde: str
    serde_properties: Mapping[str, str]
    input_format: str
    parameters: Mapping[str, str]
    kind: str
    view_text: str | None
    buckets: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """`database.table`."""
        return f"{self.database}.{self.name}"

    @property
    def is_view(self) -> bool:
        """Whether it is a view."""
        return self.kind == "VIRTUAL_VIEW"


class Catalog:
    """The Glue catalog of one account and region."""

    def __init__(self, account: str, region: str) -> None:
        self._account = account
        self._region = region

    @property
    def glue(self) -> GlueBackend:
        """Moto's Glue; looked up anew each time, because a reset replaces it."""
        return glue_backends[self._account][self._region]

    def databases(self) -> list[str]:
        """Names of the databases, sorted; `default` is always there."""
        return sorted({*list(self.glue.databases), "default"})

    def has_database(self, name: str) -> bool:
        """Whether a database exists."""
        return name == "default" or name in self.glue.databases

    def tables(self, database: str) -> list[str]:
        """Names of a database's tables and views, sorted."""
        found = self.glue.databases.get(database)
        if found is None:
            if database == "default":
                return []
            raise QueryFailedError("SCHEMA_NOT_FOUND", f"Schema '{database}' does not exist")
        return sorted(found.tables)

    def definition(self, database: str, name: str) -> dict[str, Any] | None:
        """The table as Glue's GetTable shows it, or None."""
        found = self.glue.databases.get(database)
        table = found.tables.get(name) if found else None
        return None if table is None else table.as_dict()

    def find(self, database: str, name: str) -> Table | None:
        """The table or view of that name, or None."""
        definition = self.definition(database, name)
        return None if definition is None else _table(database, name, definition)

    def get(self, database: str, name: str, position: Position | None = None) -> Table:
        """The table or view of that name; TABLE_NOT_FOUND or SCHEMA_NOT_FOUND where there is none."""
        if found := self.find(database, name):
            return found
        if not self.has_database(database):
            raise QueryFailedError(
                "SCHEMA_NOT_FOUND", f"Schema '{database}' does not exist", position=position
            )
        raise QueryFailedError(
            "TABLE_NOT_FOUND", f"Table '{CATALOG_NAME}.{database}.{name}' does not exist", position=position
        )

    def partitions(self, table: Table) -> list[Partition]:
        """The partitions of a table, in the order in which they were added."""
        found = self.glue.databases.get(table.database)
        known = found.tables.get(table.name) if found else None
        entries = list(known.partitions.values()) if known else []
        return [_partition(table, entry.partition_input) for entry in entries]

    def create_table(self, database: str, name: str, definition: dict[str, Any]) -> None:
        """Adds a table; the definition is Glue's TableInput."""
        self._call("create_table", database, name, definition)

    def update_table(self, table: Table, changes: Mapping[str, Any]) -> None:
        """Replaces parts of a table's TableInput."""
        known = self.glue.get_table(table.database, table.name)
        current = dict(known.versions[str(known._current_version)])
        self._call("update_table", table.database, table.name, {**current, **changes})

    def drop_table(self, table: Table) -> None:
        """Removes a table with its partitions; data stays where it is."""
        self._call("delete_table", table.database, table.name)

    def add_partitions(
        self, table: Table, partitions: Iterable[Partition], *, extra: Mapping[str, Any] | None = None
    ) -> None:
        """Adds partitions; each inherits the table's formats, as Athena's DDL and CTAS do."""
        definition = self.definition(table.database, table.name) or {}
        storage = dict(definition.get("StorageDescriptor", {}))
        for partition in partitions:
            entry = {
                "Values": list(partition.values),
                "StorageDescriptor": {**storage, "Location": partition.location},
                "Parameters": {},
                **(extra or {}),
            }
            self._call("create_partition", table.database, table.name, entry)

    def drop_partition(self, table: Table, values: tuple[str, ...]) -> None:
        """Removes one partition; data stays where it is."""
        self._call("delete_partition", table.database, table.name, list(values))

    def set_partition_location(self, table: Table, values: tuple[str, ...], location: str) -> None:
        """Points a partition at another location."""
        known = self.glue.get_partition(table.database, table.name, list(values))  # type: ignore[arg-type]
        entry = dict(known.partition_input)
        entry["StorageDescriptor"] = {**entry.get("StorageDescriptor", {}), "Location": location}
        self._call("update_partition", table.database, table.name, entry, list(values))

    def _call(self, operation: str, *arguments: Any) -> None:
        try:
            getattr(self.glue, operation)(*arguments)
        except JsonRESTError as error:
            raise QueryFailedError(
                None,
                f"FAILED: Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask. "
                f"{error.message}",
            ) from error


def _columns(entries: Iterable[Mapping[str, Any]] | None) -> tuple[Column, ...]:
    return tuple(
        Column(entry["Name"].lower(), entry.get("Type") or "string", entry.get("Comment"))
        for entry in entries or ()
    )


def _table(database: str, name: str, definition: Mapping[str, Any]) -> Table:
    storage = definition.get("StorageDescriptor") or {}
    serde = storage.get("SerdeInfo") or {}
    return Table(
        database=database,
        name=name,
        columns=_columns(storage.get("Columns")),
        keys=_columns(definition.get("PartitionKeys")),
        location=storage.get("Location") or "",
        serde=serde.get("SerializationLibrary") or "",
        serde_properties=dict(serde.get("Parameters") or {}),
        input_format=storage.get("InputFormat") or "",
        parameters=dict(definition.get("Parameters") or {}),
        kind=definition.get("TableType") or "EXTERNAL_TABLE",
        view_text=definition.get("ViewOriginalText"),
        buckets=tuple(storage.get("BucketColumns") or ()),
    )


def _partition(table: Table, entry: Mapping[str, Any]) -> Partition:
    values = tuple(str(value) for value in entry.get("Values", ()))
    storage = entry.get("StorageDescriptor") or {}
    location = storage.get("Location") or ""
    if not location:
        path = "/".join(f"{key.name}={value}" for key, value in zip(table.keys, values, strict=False))
        location = f"{table.location.rstrip('/')}/{path}/"
    return Partition(values, location, (storage.get("SerdeInfo") or {}).get("SerializationLibrary") or "")
