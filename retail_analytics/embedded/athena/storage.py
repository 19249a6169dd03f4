"""How a table is stored, as the catalog spells it: SerDe, input and output format for each file format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retail_analytics.embedded.athena.readers import CSV_SERDE, JSON_SERDE, PARQUET_SERDE, TEXT_SERDE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from retail_analytics.embedded.athena.catalog import Column

TEXT_INPUT = "org.apache.hadoop.mapred.TextInputFormat"
TEXT_OUTPUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"


@dataclass(frozen=True)
class Storage:
    """The classes that the catalog names for a file format."""

    serde: str
    input_format: str
    output_format: str


STORAGE = {
    "PARQUET": Storage(
        PARQUET_SERDE,
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    ),
    "JSON": Storage(JSON_SERDE, TEXT_INPUT, TEXT_OUTPUT),
    "TEXTFILE": Storage(TEXT_SERDE, TEXT_INPUT, TEXT_OUTPUT),
    "CSV": Storage(CSV_SERDE, TEXT_INPUT, TEXT_OUTPUT),
}


def column_entries(columns: Sequence[Column]) -> list[dict[str, str]]:
    """Columns as Glue's API has them."""
    return [
        {"Name": column.name, "Type": column.kind, **({"Comment": column.comment} if column.comment else {})}
        for column in columns
    ]


def table_input(
    name: str,
    columns: Sequence[Column],
    keys: Sequence[Column],
    location: str,
    storage: Storage,
    *,
    serde_properties: Mapping[str, str],
    parameters: Mapping[str, str],
    buckets: tuple[Sequence[str], int] = ((), -1),
) -> dict[str, Any]:
    """Glue's TableInput of an external table."""
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", **parameters},
        "PartitionKeys": column_entries(keys),
        "StorageDescriptor": {
            "Columns": column_entries(columns),
            "Location": location,
            "InputFormat": storage.input_format,
            "OutputFormat": storage.output_format,
            "Compressed": False,
            "NumberOfBuckets": buckets[1],
            "BucketColumns": list(buckets[0]),
            "SerdeInfo": {"SerializationLibrary": storage.serde, "Parameters": dict(serde_properties)},
            "SortColumns": [],
            "Parameters": {},
            "StoredAsSubDirectories": False,
        },
    }
