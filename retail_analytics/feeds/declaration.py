"""What a feed declares: its source, its columns, its times and its tables.

Here belong the frozen dataclasses of which a declaration is made, and what can be derived from one
without asking anybody. Not here: where a feed flows (``settings.py``), SQL that is generated from a
declaration (``lake/``, ``batch/``), and the declarations themselves (one folder each beside this file).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

Source = Literal["kinesis", "direct_put", "files"]

# Athena's date_parse speaks MySQL's patterns, Python's strptime C's; these are the ones that differ.
_MYSQL_TO_STRPTIME = {"%i": "%M", "%s": "%S"}


@dataclass(frozen=True)
class Column:
    """One column of a feed.

    Attributes:
        name: Its name in the catalog, lower case.
        type: Its Athena type in the raw table, the one for people's queries.
        comment: What it holds, for people.
        source: The record's key that it is read from.
        stored: Its Athena type in the compacted table, where that is stricter than ``type``
            (money as decimal, event time as timestamp). None means the same as ``type``.
        nullable: Whether its value may be empty.
        required: Whether the key must be there at all. A column that joins a feed later is not.
    """

    name: str
    type: str
    comment: str
    source: str
    stored: str | None = None
    nullable: bool = False
    required: bool = True

    @property
    def stored_type(self) -> str:
        """The Athena type in the compacted table."""
        return self.stored or self.type


@dataclass(frozen=True)
class EventTime:
    """Which column says when an event happened, and how it is written.

    Attributes:
        column: The column's name.
        format: Its pattern in the language of Athena's ``date_parse`` (MySQL's).
    """

    column: str
    format: str

    @property
    def strptime_format(self) -> str:
        """The same pattern for Python's ``strptime``."""
        pattern = self.format
        for mysql, strptime in _MYSQL_TO_STRPTIME.items():
            pattern = pattern.replace(mysql, strptime)
        return pattern


@dataclass(frozen=True)
class SearchIndex:
    """The search index of a feed.

    Attributes:
        alias: The name that readers use; the indices behind it are ``ALIAS-YYYY.MM`` by event month.
        date_fields: Source keys that hold dates; the first decides the index.
        text_fields: Source keys that are searched by word as well as matched exactly.
    """

    alias: str
    date_fields: tuple[str, ...]
    text_fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measure:
    """A sum that must survive from one table into the next.

    Attributes:
        name: What is summed, for the metadata.
        source: The SQL expression over a row of the source.
        target: The SQL expression over a row of the processed table.
    """

    name: str
    source: str
    target: str


@dataclass(frozen=True)
class ProcessedTable:
    """A table by event day, made from the compacted hours or from another processed table.

    Attributes:
        name: Its name; in the catalog it is ``FEED_NAME``.
        description: What a row means.
        sql: The file of its SELECT. Names it may use: ``{source}``, and ``{days}``, a predicate on it.
        source: The processed table that it reads; None reads the compacted hours.
        columns: (name, Athena type, comment) of each column but the partition ``event_day``, in the
            order of the SELECT.
        measures: Sums that must be equal in source and table, per event day.
    """

    name: str
    description: str
    sql: Path
    columns: tuple[tuple[str, str, str], ...]
    source: str | None = None
    measures: tuple[Measure, ...] = ()


@dataclass(frozen=True)
class Feed:
    """A feed: what flows.

    Attributes:
        name: Its name: the table in the catalog, the group in Dagster.
        description: What it is, for people.
        source: How it arrives: from a Kinesis stream, by direct PUT, or as files.
        stream: The Kinesis stream's name, and the delivery stream's.
        prefix: Firehose's prefix expression of the raw hours.
        error_prefix: Firehose's error prefix expression.
        columns: The columns, in the order of the table.
        event_time: When an event happened.
        record_id: The key of the id that the producer gives, or None for a feed that has none.
        first_hour: The first hour there is, aware and whole, unless a setting overrides it.
        processed: Tables by event day, sources before those that read them.
        search: The search index, or None.
        retention_hours: How long after its hour a record may still be delivered: the stream's
            retention, through which Firehose retries.
        buffer_seconds: Firehose's buffer interval.
        buffer_mebibytes: Firehose's buffer size.
    """

    name: str
    description: str
    source: Source
    stream: str
    prefix: str
    error_prefix: str
    columns: tuple[Column, ...]
    event_time: EventTime
    record_id: str | None
    first_hour: datetime
    processed: tuple[ProcessedTable, ...] = ()
    search: SearchIndex | None = None
    retention_hours: int = 24
    buffer_seconds: int = 60
    buffer_mebibytes: int = 1

    @property
    def raw_root(self) -> str:
        """The part of the prefix before its first expression, without the year: ``00-retail-trans/``."""
        return self.prefix.split("year=", 1)[0]

    @property
    def event_time_column(self) -> Column:
        """The column of the event time."""
        return self.column(self.event_time.column)

    @property
    def required_fields(self) -> tuple[str, ...]:
        """Source keys that every record must have."""
        return tuple(column.source for column in self.columns if column.required)

    @property
    def nullable_fields(self) -> tuple[str, ...]:
        """Source keys whose value may be empty."""
        return tuple(column.source for column in self.columns if column.nullable)

    def column(self, name: str) -> Column:
        """The column of that name.

        Raises:
            KeyError: There is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"feed {self.name} has no column {name}")

    def processed_table(self, name: str) -> ProcessedTable:
        """The processed table of that name.

        Raises:
            KeyError: There is none.
        """
        for table in self.processed:
            if table.name == name:
                return table
        raise KeyError(f"feed {self.name} has no processed table {name}")
