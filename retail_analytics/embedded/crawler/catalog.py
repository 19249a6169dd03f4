"""What a crawl writes into the Glue catalog, by the crawler's schema change policy.

New tables and partitions are always written; changes of what is there are written, or only logged, as the
policy says. Not here: finding tables (``layout.py``).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.glue.exceptions import PartitionAlreadyExistsException

from retail_analytics.embedded.crawler.schema import Schema, holds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moto.glue.models import FakeTable, GlueBackend

    from retail_analytics.embedded.crawler.layout import FoundPartition, FoundTable

CRAWLER_PARAMETER = "UPDATED_BY_CRAWLER"
_TEXT_INPUT = "org.apache.hadoop.mapred.TextInputFormat"
_TEXT_OUTPUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
_PARQUET = "org.apache.hadoop.hive.ql.io.parquet."


@dataclass(frozen=True)
class Policy:
    """What to do with changes of what is in the catalog."""

    update: str = "UPDATE_IN_DATABASE"
    delete: str = "DEPRECATE_IN_DATABASE"
    merge_new_columns: bool = False
    inherit_partitions: bool = False


@dataclass
class Changes:
    """What a crawl did, and what it saw and left."""

    tables_created: list[str] = field(default_factory=list)
    tables_updated: list[str] = field(default_factory=list)
    tables_deleted: list[str] = field(default_factory=list)
    partitions_added: int = 0
    partitions_updated: int = 0
    partitions_deleted: int = 0
    ignored: list[str] = field(default_factory=list)


def storage(schema: Schema, location: str) -> dict[str, Any]:
    """The storage descriptor of a location."""
    columns = [{"Name": name, "Type": kind} for name, kind in schema.columns.items()]
    descriptor: dict[str, Any] = {
        "Columns": columns,
        "Location": location,
        "Compressed": False,
        "NumberOfBuckets": -1,
    }
    if schema.format == "parquet":
        descriptor["InputFormat"] = f"{_PARQUET}MapredParquetInputFormat"
        descriptor["OutputFormat"] = f"{_PARQUET}MapredParquetOutputFormat"
        serde, parameters = f"{_PARQUET}serde.ParquetHiveSerDe", {"serialization.format": "1"}
    else:
        descriptor["InputFormat"], descriptor["OutputFormat"] = _TEXT_INPUT, _TEXT_OUTPUT
        if schema.format == "json":
            serde, parameters = "org.openx.data.jsonserde.JsonSerDe", {"paths": ",".join(schema.columns)}
        else:
            serde = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
            parameters = {"field.delim": schema.delimiter}
    descriptor["SerdeInfo"] = {"SerializationLibrary": serde, "Parameters": parameters}
    return descriptor


def parameters(schema: Schema, crawler: str, objects: int) -> dict[str, str]:
    """The table parameters that a crawler writes."""
    values = {
        "classification": schema.format,
        CRAWLER_PARAMETER: crawler,
        "objectCount": str(objects),
        "typeOfData": "file",
    }
    if schema.format == "csv":
        values["delimiter"] = schema.delimiter
        if schema.header:
            values["skip.header.line.count"] = "1"
    return values


def drift(declared: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """How what was found differs from the catalog, a sentence a column."""
    lines = [f"new column {name} {kind}" for name, kind in found.items() if name not in declared]
    lines += [f"column {name} was not found" for name in declared if name not in found]
    lines += [
        f"column {name} is {declared[name]} in the catalog, {kind} in the data"
        for name, kind in found.items()
        if name in declared and not holds(declared[name], kind)
    ]
    return lines


class CatalogWriter:
    """Writes what one crawl found."""

    def __init__(
        self, glue: GlueBackend, database: str, crawler: str, policy: Policy, log: Callable[[str], None]
    ) -> None:
        self._glue = glue
        self._database = database
        self._crawler = crawler
        self._policy = policy
        self._log = log
        self.changes = Changes()

    def table(self, name: str, found: FoundTable) -> None:
        """Write a table and its partitions."""
        tables = self._glue.get_database(self._database).tables
        if name not in tables:
            table_input = {
                "Name": name,
                "Owner": "owner",
                "StorageDescriptor": storage(found.schema, found.path),
                "PartitionKeys": [{"Name": key, "Type": "string"} for key in found.partition_keys],
                "TableType": "EXTERNAL_TABLE",
                "Parameters": parameters(found.schema, self._crawler, found.objects),
            }
            self._glue.create_table(self._database, name, table_input)
            self.changes.tables_created.append(name)
            self._log(f"INFO : Created table {name} in database {self._database}")
        else:
            self.columns(tables[name], found)
        table = self._glue.get_table(self._database, name)
        self._partitions(table, found.partitions)

    def columns(self, table: FakeTable, found: FoundTable) -> None:
        """Bring an existing table's columns up to what was found, or log how they differ."""
        definition = table.as_dict()
        declared = {column["Name"]: column["Type"] for column in definition["StorageDescriptor"]["Columns"]}
        differences = drift(declared, found.schema.columns)
        if not differences:
            return
        name = f"{table.database_name}.{table.name}"
        if self._policy.update == "LOG":
            for line in differences:
                self.changes.ignored.append(f"{name}: {line}")
                self._log(f"INFO : Schema change detected and ignored (LOG) in table {name}: {line}")
            return
        updated = deepcopy(table.get_version(str(table.as_dict()["VersionId"])))
        descriptor = updated["StorageDescriptor"]
        descriptor["Columns"] = self._updated_columns(descriptor["Columns"], found.schema.columns)
        updated["Parameters"] = {
            **updated.get("Parameters", {}),
            **parameters(found.schema, self._crawler, found.objects),
        }
        self._glue.update_table(table.database_name, table.name, updated)
        self.changes.tables_updated.append(table.name)
        self._log(f"INFO : Updated table {name}: {'; '.join(differences)}")

    def _updated_columns(
        self, declared: list[dict[str, Any]], found: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        kept = {column["Name"]: column for column in declared}
        if self._policy.merge_new_columns:
            return declared + [
                {"Name": name, "Type": kind} for name, kind in found.items() if name not in kept
            ]
        return [
            {
                **kept.get(name, {"Name": name}),
                "Type": kept[name]["Type"] if _keeps(kept, name, kind) else kind,
            }
            for name, kind in found.items()
        ]

    def _partitions(self, table: FakeTable, found: tuple[FoundPartition, ...]) -> None:
        there = {tuple(partition.values): partition for partition in list(table.partitions.values())}
        definition = table.as_dict()
        for partition in found:
            descriptor = self._partition_storage(definition, partition)
            if partition.values not in there:
                entry = {
                    "Values": list(partition.values),
                    "StorageDescriptor": descriptor,
                    "Parameters": {"classification": partition.schema.format},
                }
                self._add_partition(table, entry)
            elif self._policy.update != "LOG":
                self._refresh_partition(table, there[partition.values].partition_input, descriptor)
        gone = set(there) - {partition.values for partition in found}
        self._gone_partitions(table, gone)

    def _add_partition(self, table: FakeTable, entry: dict[str, Any]) -> None:
        try:
            self._glue.create_partition(table.database_name, table.name, entry)
        except PartitionAlreadyExistsException:
            # Somebody else registered it since this crawl looked.
            self._log(f"INFO : Partition {'/'.join(entry['Values'])} of {table.name} was there already")
        else:
            self.changes.partitions_added += 1

    def _partition_storage(self, table: dict[str, Any], partition: FoundPartition) -> dict[str, Any]:
        own = table.get("Parameters", {}).get(CRAWLER_PARAMETER)
        if own and not self._policy.inherit_partitions:
            return storage(partition.schema, partition.path)
        # A table that people declared: its partitions are read as it says.
        return {**deepcopy(table["StorageDescriptor"]), "Location": partition.path}

    def _refresh_partition(self, table: FakeTable, entry: dict[str, Any], descriptor: dict[str, Any]) -> None:
        if entry.get("StorageDescriptor", {}).get("Columns") != descriptor["Columns"]:
            updated = {**entry, "StorageDescriptor": {**entry.get("StorageDescriptor", {}), **descriptor}}
            self._glue.update_partition(table.database_name, table.name, updated, entry["Values"])
            self.changes.partitions_updated += 1

    def _gone_partitions(self, table: FakeTable, gone: set[tuple[str, ...]]) -> None:
        if gone and self._policy.delete == "DELETE_FROM_DATABASE":
            for values in sorted(gone):
                self._glue.delete_partition(table.database_name, table.name, list(values))  # type: ignore[arg-type]
            self.changes.partitions_deleted += len(gone)
        elif gone and self._policy.delete == "LOG":
            first = "/".join(min(gone))
            line = f"{table.database_name}.{table.name}: {len(gone)} partitions have no objects, from {first}"
            self.changes.ignored.append(line)
            self._log(f"INFO : Deletion detected and ignored (LOG): {line}")

    def gone_table(self, name: str) -> None:
        """A table of this crawler whose objects are gone."""
        if self._policy.delete == "DELETE_FROM_DATABASE":
            self._glue.delete_table(self._database, name)
            self.changes.tables_deleted.append(name)
            self._log(f"INFO : Deleted table {name} from database {self._database}")
        elif self._policy.delete == "LOG":
            self.changes.ignored.append(f"{self._database}.{name}: it has no objects")
            self._log(f"INFO : Deletion detected and ignored (LOG): table {name} has no objects")
        else:
            self._deprecate(name)

    def _deprecate(self, name: str) -> None:
        table = self._glue.get_table(self._database, name)
        updated = deepcopy(table.get_version(str(table.as_dict()["VersionId"])))
        if "DEPRECATED_BY_CRAWLER" in updated.setdefault("Parameters", {}):
            return
        updated["Parameters"]["DEPRECATED_BY_CRAWLER"] = self._crawler
        self._glue.update_table(self._database, name, updated)
        self.changes.tables_updated.append(name)
        self._log(f"INFO : Deprecated table {name} in database {self._database}: it has no objects")


def _keeps(declared: Mapping[str, dict[str, Any]], name: str, found: str) -> bool:
    return name in declared and holds(declared[name]["Type"], found)
