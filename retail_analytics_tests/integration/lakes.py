"""A lake under test: raw hours written as Firehose would, and what readers find afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import dagster as dg

from retail_analytics.batch.compaction import compact
from retail_analytics.batch.staging import Pipeline
from retail_analytics.commands import jobs
from retail_analytics.lake import catalog, hours, tables, windows
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources import sql
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import glue_client, s3_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pytest
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_s3 import S3Client

    from retail_analytics.batch.results import HourResult
    from retail_analytics.feeds import Feed
    from retail_analytics.resources.athena import Execution, QueryResult
    from retail_analytics.settings import Settings

# A statement that takes for ever.
SLOW = (
    "SELECT sum(x * y) FROM UNNEST(sequence(1, 9000)) AS t(x) CROSS JOIN UNNEST(sequence(1, 9000)) AS u(y)"
    " CROSS JOIN UNNEST(sequence(1, 50)) AS v(z)"
)
HOUR = datetime(2010, 12, 1, 8, tzinfo=UTC)
HOME_FILE = files("retail_analytics.commands") / "dagster.local.yaml"


def make_dagster_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder Dagster's home, with what `dev` and `demo` write into theirs."""
    folder.mkdir(exist_ok=True)
    (folder / "dagster.yaml").write_text(HOME_FILE.read_text())
    monkeypatch.setenv("DAGSTER_HOME", str(folder))


def record(number: int, **changes: Any) -> dict[str, Any]:
    """A good record; a change to ``...`` takes the key away."""
    made = {
        "Invoice": f"{536000 + number // 4}",
        "StockCode": f"8{number % 7}123A",
        "Description": f"HEART {number}",
        "Quantity": number % 5 + 1,
        "InvoiceDate": f"2010-12-01 08:{number % 60:02}:00",
        "Price": 2.55,
        "Customer_ID": "17850" if number % 3 else "",
        "Country": "United Kingdom",
        "record_id": f"{number:032x}",
        **changes,
    }
    return {key: value for key, value in made.items() if value is not ...}


def line(number: int, **changes: Any) -> str:
    """:func:`record` as a line, without its end."""
    return json.dumps(record(number, **changes))


def body(lines: Iterable[str]) -> bytes:
    """Lines as an object's bytes."""
    return "".join(f"{each}\n" for each in lines).encode()


class CountingAthena(AthenaResource):
    """Athena that notes the statements it was given."""

    _statements: list[str]

    def setup(self) -> CountingAthena:
        self._statements = []
        return self

    @property
    def statements(self) -> list[str]:
        return self._statements

    @property
    def writes(self) -> int:
        """CTAS so far."""
        return sum(statement.startswith("CREATE TABLE") for statement in self._statements)

    @property
    def reads(self) -> int:
        """Other statements so far."""
        return len(self._statements) - self.writes

    def query(self, sql: str, parameters: Sequence[str] = ()) -> QueryResult:
        self._statements.append(sql)
        return super().query(sql, parameters)

    def begun(self, sql: str) -> AbstractContextManager[Callable[[], Execution]]:
        self._statements.append(sql)
        return super().begun(sql)


@dataclass(frozen=True)
class Lake:
    """A lake of the test's own, its tables made."""

    feed: Feed
    settings: Settings
    s3: S3Client
    glue: GlueClient
    athena: CountingAthena
    _names: list[int] = field(default_factory=lambda: [0])

    @classmethod
    def of(cls, settings: Settings, feed: Feed) -> Lake:
        athena = CountingAthena(**AthenaResource.of(settings).model_dump()).setup()
        return cls(feed, settings, s3_client(settings.region), glue_client(settings.region), athena)

    def make_tables(self) -> None:
        for table in tables.all_tables(self.feed, self.settings):
            catalog.ensure_table(self.catalog, table)

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.glue, self.settings.database)

    @property
    def pipeline(self) -> Pipeline:
        return Pipeline(self.feed, self.settings, self.s3, self.athena, self.catalog)

    def put(self, hour: datetime, content: bytes | Iterable[str], name: str | None = None) -> str:
        """Write an object into a raw hour; returns its key."""
        self._names[0] += 1
        named = name or f"{self.feed.stream}-1-{hour:%Y-%m-%d-%H-%M-%S}-{self._names[0]:08}"
        key = f"{hours.prefix(self.feed, hour)}{named}"
        data = content if isinstance(content, bytes) else body(content)
        self.s3.put_object(Bucket=self.settings.bucket, Key=key, Body=data)
        return key

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.settings.bucket, Key=key)

    def compact(self, *these: datetime, force: bool = False) -> list[HourResult]:
        return compact(self.pipeline, these or (HOUR,), force=force)

    def compact_one(self, hour: datetime = HOUR) -> HourResult:
        (result,) = self.compact(hour)
        return result

    def select(self, table: str, what: str = "*", where: str = "true") -> list[dict[str, Any]]:
        """Rows of a table of the feed, as any reader gets them; not counted."""
        name = f"{self.feed.name}_{table}"
        return AthenaResource.query(
            self.athena, f"SELECT {what} FROM {sql.table(self.settings.database, name)} WHERE {where}"
        ).rows

    def compacted_ids(self, *these: datetime) -> list[str]:
        """Record ids that readers find in these hours, sorted; None as an empty string."""
        rows = self.select("compacted", "record_id", hours.hours_predicate(these or (HOUR,)))
        return sorted(row["record_id"] or "" for row in rows)

    def rejects(self, *these: datetime) -> dict[str, str]:
        """Reason by line that readers find in these hours."""
        rows = self.select("rejects", "line, reason", hours.hours_predicate(these or (HOUR,)))
        return {row["line"]: row["reason"] for row in rows}

    def location(self, hour: datetime = HOUR) -> str:
        """Where the compacted hour is published."""
        values = tuple(hours.partition_values(hour))
        table = tables.compacted_table(self.feed, self.settings)
        return self.catalog.get(table, [values])[values].location

    def keys(self, location: str) -> list[str]:
        """Keys of the objects below a location."""
        prefix = location.removeprefix(f"s3://{self.settings.bucket}/")
        answer = self.s3.list_objects_v2(Bucket=self.settings.bucket, Prefix=prefix)
        return [item["Key"] for item in answer.get("Contents", ())]


def later(count: int) -> datetime:
    """The hour so many hours after :data:`HOUR`."""
    return HOUR + timedelta(hours=count)


@dataclass(frozen=True)
class Deployment:
    """A lake and the Dagster over it.

    Attributes:
        lake: The lake.
        start: Its first hour.
        now: When the test began. An hour that closes while it runs is none of its business.
        definitions: Everything that Dagster loads.
        instance: Dagster's memory, of the test's own.
    """

    lake: Lake
    start: datetime
    now: datetime
    definitions: dg.Definitions
    instance: dg.DagsterInstance

    def hour(self, count: int) -> datetime:
        """The hour so many hours after the first."""
        return self.start + count * hours.HOUR

    def line(self, number: int, hour: datetime, **changes: Any) -> str:
        """A good line of an event in that hour."""
        return line(number, **{"InvoiceDate": f"{hour:%Y-%m-%d %H}:30:00", **changes})

    def put(self, count: int, *numbers: int) -> str:
        """Write good lines into the hour so many hours after the first; returns the object's key."""
        hour = self.hour(count)
        return self.lake.put(hour, [self.line(number, hour) for number in numbers])

    def key(self, name: str) -> dg.AssetKey:
        return dg.AssetKey([self.lake.feed.name, name])

    def run(self, *names: str, tags: Mapping[str, str]) -> dg.ExecuteInProcessResult:
        """Materialise assets of the feed."""
        return jobs.run_assets(self.definitions, [self.key(name) for name in names], self.instance, tags)

    def compact(self, first: int, last: int) -> dg.ExecuteInProcessResult:
        """Register and compact a range of hours, both ends included."""
        return self.run("catalog", "compacted", tags=windows.range_tags(self.hour(first), self.hour(last)))

    def report(self) -> int:
        """Report changed raw hours, as the sensor does."""
        return jobs.report_raw_hours(self.lake.feed, self.lake.settings, self.instance, self.now)

    def materializations(self, name: str) -> dict[str, list[dg.AssetMaterialization]]:
        """All of an asset's, oldest first, by partition."""
        found: dict[str, list[dg.AssetMaterialization]] = {}
        for event in reversed(self.instance.fetch_materializations(self.key(name), limit=1000).records):
            made = event.asset_materialization
            assert made is not None
            found.setdefault(made.partition or "", []).append(made)
        return found

    def metadata(self, name: str) -> dict[str, dict[str, Any]]:
        """The metadata of the last materialisation by partition, as plain values."""
        return {
            partition: {label: value.value for label, value in made[-1].metadata.items()}
            for partition, made in self.materializations(name).items()
        }
