"""The tables of a feed as Glue knows them, and the DDL that people read, both from its declaration.

Here: the raw table for people's queries (OpenX JSON), the one-column text table that compaction reads,
the compacted, rejects and event-day tables, and the processed ones. Not here: partitions
(``partitions.py``) and what fills the tables (``batch/``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from retail_analytics.lake.hours import HOUR_KEYS, first_hour

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_glue.type_defs import ColumnTypeDef, StorageDescriptorTypeDef, TableInputTypeDef

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

Format = Literal["json", "lines", "parquet"]


@dataclass(frozen=True)
class _Storage:
    serde: str
    input_format: str
    output_format: str
    parameters: Mapping[str, str]


_TEXT_INPUT = "org.apache.hadoop.mapred.TextInputFormat"
_TEXT_OUTPUT = "org.apache.hadoop.hive.ql.io.IgnoreKeyTextOutputFormat"
_STORAGE: dict[Format, _Storage] = {
    "json": _Storage("org.openx.data.jsonserde.JsonSerDe", _TEXT_INPUT, _TEXT_OUTPUT, {}),
    # A field delimiter that no JSON text can hold unescaped: the whole line is the one column.
    "lines": _Storage(
        "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
        _TEXT_INPUT,
        _TEXT_OUTPUT,
        {"field.delim": "\x01", "serialization.format": "\x01"},
    ),
    "parquet": _Storage(
        "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        {"serialization.format": "1"},
    ),
}

_JAVA_PATTERNS = {"year": "yyyy", "month": "MM", "day": "dd", "hour": "HH"}

Columns = tuple[tuple[str, str, str], ...]
"""(name, Athena type, comment) of each column."""


@dataclass(frozen=True)
class Table:
    """A table of the catalog.

    Attributes:
        name: Its name.
        description: What a row is.
        format: How its objects are written.
        location: ``s3://…/``; partitions have locations of their own.
        columns: Its columns without the partition's.
        partitioned_by: (name, type) of its partition columns.
        projection: The table properties by which Athena computes its partitions; none for a table whose
            partitions are registered.
    """

    name: str
    description: str
    format: Format
    location: str
    columns: Columns
    partitioned_by: tuple[tuple[str, str], ...]
    projection: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse projection where the pipeline publishes: projected partitions have no location to point."""
        if self.projection and self.format == "parquet":
            raise ValueError(
                f"{self.name} is published by its partitions' locations, which projection ignores;"
                " only raw tables can be projected."
            )

    def storage(self, location: str | None = None) -> StorageDescriptorTypeDef:
        """The storage descriptor of the table, or of its partition at ``location``."""
        storage = _STORAGE[self.format]
        return {
            "Columns": [
                {"Name": name, "Type": type_, "Comment": comment} for name, type_, comment in self.columns
            ],
            "Location": location or self.location,
            "InputFormat": storage.input_format,
            "OutputFormat": storage.output_format,
            "SerdeInfo": {"SerializationLibrary": storage.serde, "Parameters": dict(storage.parameters)},
        }

    def table_input(self) -> TableInputTypeDef:
        """The table as Glue's CreateTable takes it."""
        keys: list[ColumnTypeDef] = [{"Name": name, "Type": type_} for name, type_ in self.partitioned_by]
        classification = {"json": "json", "lines": "csv", "parquet": "parquet"}[self.format]
        return {
            "Name": self.name,
            "Description": self.description,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", "classification": classification, **self.projection},
            "PartitionKeys": keys,
            "StorageDescriptor": self.storage(),
        }


def raw_table(feed: Feed, settings: Settings) -> Table:
    """The raw hours as JSON, for people's queries."""
    return Table(
        name=feed.name,
        description=feed.description,
        format="json",
        location=f"s3://{settings.bucket}/{feed.raw_root.rstrip('/')}",
        columns=tuple((column.name, column.type, column.comment) for column in feed.columns),
        partitioned_by=HOUR_KEYS,
        projection=_raw_projection(feed, settings),
    )


def lines_table(feed: Feed, settings: Settings) -> Table:
    """The same objects line by line: what compaction reads, since a JSON SerDe hides what it cannot parse."""
    return Table(
        name=f"{feed.name}_lines",
        description=f"The raw lines of {feed.name}, unparsed.",
        format="lines",
        location=f"s3://{settings.bucket}/{feed.raw_root.rstrip('/')}",
        columns=(("line", "string", "One record, as it was delivered"),),
        partitioned_by=HOUR_KEYS,
        projection=_raw_projection(feed, settings),
    )


def _raw_projection(feed: Feed, settings: Settings) -> dict[str, str]:
    """The properties by which Athena computes a projected feed's raw hours; none for another feed.

    The years end with the next one: a query without a predicate looks at every prefix that is projected.
    Whoever registers hours brings the table up to date, so the range moves on by itself.
    """
    if not feed.project_raw:
        return {}
    first, last = first_hour(feed, settings).year, datetime.now(UTC).year + 1
    ranges = {"year": (first, max(first, last)), "month": (1, 12), "day": (1, 31), "hour": (0, 23)}
    properties = {"projection.enabled": "true"}
    template = feed.prefix
    for name, (low, high) in ranges.items():
        digits = 4 if name == "year" else 2
        properties |= {
            f"projection.{name}.type": "integer",
            f"projection.{name}.range": f"{low},{high}",
            f"projection.{name}.digits": str(digits),
        }
        template = template.replace(f"!{{timestamp:{_JAVA_PATTERNS[name]}}}", f"${{{name}}}")
    return properties | {"storage.location.template": f"s3://{settings.bucket}/{template}"}


def compacted_table(feed: Feed, settings: Settings) -> Table:
    """The good records of each hour of arrival, once, typed, in Parquet."""
    return Table(
        name=f"{feed.name}_compacted",
        description=f"{feed.description} Compacted by hour of arrival.",
        format="parquet",
        location=f"s3://{settings.bucket}/compacted/{feed.name}/",
        columns=(
            *((column.name, column.stored_type, column.comment) for column in feed.columns),
            ("record_id", "string", "The producer's id of the record; NULL where it gave none"),
            ("extra", "string", "Keys that the declaration does not know, as a JSON object; NULL for none"),
            ("event_day", "date", "The day of the event, UTC"),
        ),
        partitioned_by=HOUR_KEYS,
    )


def rejects_table(feed: Feed, settings: Settings) -> Table:
    """The records of each hour of arrival that could not be taken, and why."""
    return Table(
        name=f"{feed.name}_rejects",
        description=f"Records of {feed.name} that compaction could not take.",
        format="parquet",
        location=f"s3://{settings.bucket}/rejects/{feed.name}/",
        columns=(
            ("line", "string", "The record, as it was delivered"),
            ("source_object", "string", "The object that holds it"),
            ("reason", "string", "Why it was rejected"),
        ),
        partitioned_by=HOUR_KEYS,
    )


def event_days_table(feed: Feed, settings: Settings) -> Table:
    """Which compacted hours hold records of which event day: an index, its partitions are its rows.

    It answers "which hours does this day read" at the cost of that day's hours, where looking through the
    partitions of the compacted table would cost all of history. A row too many does no harm.
    """
    return Table(
        name=f"{feed.name}_event_days",
        description=f"Index of {feed.name}: the hours of arrival that hold records of an event day.",
        format="parquet",
        location=f"s3://{settings.bucket}/compacted/{feed.name}/",
        columns=(("unused", "string", "The partitions are the rows"),),
        partitioned_by=(("event_day", "string"), ("arrival_hour", "string")),
    )


def processed_table(feed: Feed, settings: Settings, name: str) -> Table:
    """A processed table, by event day."""
    declared = feed.processed_table(name)
    return Table(
        name=f"{feed.name}_{name}",
        description=declared.description,
        format="parquet",
        location=f"s3://{settings.bucket}/processed/{feed.name}/{name}/",
        columns=declared.columns,
        partitioned_by=(("event_day", "date"),),
    )


def all_tables(feed: Feed, settings: Settings) -> list[Table]:
    """Every table of the feed."""
    return [
        raw_table(feed, settings),
        lines_table(feed, settings),
        compacted_table(feed, settings),
        rejects_table(feed, settings),
        event_days_table(feed, settings),
        *(processed_table(feed, settings, declared.name) for declared in feed.processed),
    ]


def ddl(table: Table, database: str) -> str:
    """The table as Athena's CREATE EXTERNAL TABLE, for people and their consoles."""
    columns = ", \n".join(
        f"  `{name}` {type_} COMMENT {_literal(comment)}" for name, type_, comment in table.columns
    )
    keys = ", \n".join(f"  `{name}` {type_}" for name, type_ in table.partitioned_by)
    storage = _STORAGE[table.format]
    properties = ", ".join(f"{_literal(key)}={_literal(value)}" for key, value in storage.parameters.items())
    serde_properties = f"\nWITH SERDEPROPERTIES ({properties})" if properties else ""
    return (
        f"CREATE EXTERNAL TABLE `{database}.{table.name}`(\n{columns})\n"
        f"PARTITIONED BY ( \n{keys})\n"
        f"ROW FORMAT SERDE \n  '{storage.serde}'{serde_properties} \n"
        f"STORED AS INPUTFORMAT \n  '{storage.input_format}' \n"
        f"OUTPUTFORMAT \n  '{storage.output_format}'\n"
        f"LOCATION\n  '{table.location}'\n"
        f"{_table_properties(table)}"
    )


def _table_properties(table: Table) -> str:
    if not table.projection:
        return ""
    listed = ", \n".join(f"  {_literal(key)}={_literal(value)}" for key, value in table.projection.items())
    return f"TBLPROPERTIES (\n{listed})\n"


def _literal(value: str) -> str:
    """A string of DDL, which is Hive's: a quote is escaped by a backslash, never doubled."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + "".join(char if char >= " " else f"\\u{ord(char):04x}" for char in escaped) + "'"
