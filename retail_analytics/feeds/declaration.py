"""What a feed declares: its source, its columns, its times and its tables.

Here belong the frozen dataclasses of which a declaration is made, and what can be derived from one
without asking anybody. Not here: where a feed flows (``settings.py``), SQL that is generated from a
declaration (``lake/``, ``batch/``), and the declarations themselves (one folder each beside this file).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from retail_analytics.feeds.dashboard import Dashboard

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
        dashboard: What OpenSearch Dashboards shows of it, or nothing.
    """

    alias: str
    date_fields: tuple[str, ...]
    text_fields: tuple[str, ...] = ()
    dashboard: Dashboard | None = None


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
        sql: The file of its SELECT. Names it may use: ``{source}``; ``{days}``, a predicate on it, true of
            all that is to be read, look-back included; ``{made}``, a predicate on ``event_day``, true of
            the days that are made; ``{asked}``, these days as an array; ``{lookback_days}``.
        source: The processed table that it reads; None reads the compacted hours.
        columns: (name, Athena type, comment) of each column but the partition ``event_day``, in the
            order of the SELECT.
        measures: Sums that must be equal in source and table, per event day.
        made_from: Column name to the columns of the source that its values are made from; those that
            rows are only joined or filtered by are not among them.
        lookback_days: How many days before its own a day reads besides. A day that changes makes so many
            later ones stale.
        of_window: Whether a day sums up all that it reads (``as of`` the day), rather than its own
            records alone; its measures are then compared over the whole window.
    """

    name: str
    description: str
    sql: Path
    columns: tuple[tuple[str, str, str], ...]
    source: str | None = None
    measures: tuple[Measure, ...] = ()
    made_from: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    lookback_days: int = 0
    of_window: bool = False


@dataclass(frozen=True)
class OpenHours:
    """Hours of the week in which objects are expected, UTC.

    Attributes:
        weekdays: Days of the week, Monday is 0.
        first: The first hour of the day, 0 to 23.
        last: The last hour of the day, included.
    """

    weekdays: tuple[int, ...]
    first: int = 0
    last: int = 23

    def holds(self, hour: datetime) -> bool:
        """Whether an hour (aware, UTC) is one of these."""
        return hour.weekday() in self.weekdays and self.first <= hour.hour <= self.last


Verdict = Literal["ignore", "warn", "fail"]


@dataclass(frozen=True)
class SchemaPolicy:
    """What it means for the feed that its records are no longer as declared.

    Attributes:
        added: A key that the declaration does not know.
        changed: Values of another type than the declared one.
        removed: A required key that records lack.
        tolerated_share: Up to this share of the records that were examined, wrong or missing values are
            bad records, which compaction rejects, and no change of the schema.
    """

    added: Verdict = "warn"
    changed: Verdict = "fail"
    removed: Verdict = "fail"
    tolerated_share: float = 0.01


@dataclass(frozen=True)
class RejectsLimit:
    """How many rejected records are too many.

    Attributes:
        share: Of all records, the share that may be rejected.
        count: So many may be rejected whatever their share: one bad line in a quiet hour is no news.
    """

    share: float = 0.01
    count: int = 5

    def allowed(self, records: int) -> int:
        """The most rejects that so many records may have; one more is genuinely more than the share."""
        return max(self.count, int(self.share * records))


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
        project_raw: Whether Athena computes the partitions of the raw tables (partition projection)
            instead of reading registered ones from the catalog. The raw tables alone can ask for it: a
            projected table ignores the locations on its partitions, and publishing a compacted hour or a
            processed day is nothing but changing that location. Who turns it off again backfills the
            catalog, since nothing was registered meanwhile.
        expected: Hours of the week in which objects are expected; empty learns them from the weeks before.
        schema_policy: What a change of the records' schema means.
        rejects_limit: How many rejected records are too many.
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
    project_raw: bool = False
    expected: tuple[OpenHours, ...] = ()
    schema_policy: SchemaPolicy = SchemaPolicy()
    rejects_limit: RejectsLimit = RejectsLimit()

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
