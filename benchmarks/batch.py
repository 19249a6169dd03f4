"""``python -m benchmarks.batch``: what compaction costs, and how it compares.

A month of clean hours, 720 of two objects and 2,000 records each, is compacted in one call, audits included:
``queries_720`` are the statements that Athena was given (none of them is DDL), ``hours_per_minute_720`` the
pace. ``write_bytes_scanned_to_raw`` and ``audit_bytes_scanned_to_raw`` are what the CTAS and the audits read,
for each raw byte. On the same server, in the same run:

``speedup_to_serial_ctas``: that pace over the pace of one plain CTAS an hour on the JSON table, one after the
other, without audit or publication. ``wall_to_duckdb``: the month's wall-clock time over that of DuckDB
alone, from the same objects to objects in the same bucket, eight fetched or put at a time: the same hours,
columns and types, each record once; without rejects, audit or publication. ``wall_to_duckdb_on_local_files``:
over that of its one statement, which finds its input on the disk and leaves its output there.
``wall_to_awswrangler``: its time an hour over that of awswrangler's ``read_json`` and ``to_parquet``. The two
that go by the hour are measured over 120 hours, after some to warm up.
``memory_ratio_1000h_to_10h``: the peak memory of a process that executes a Dagster run of 1,000 hours, over
that of one of 10. Everything runs on this machine, and is ended.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import duckdb
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run_iterator

from benchmarks import harness
from retail_analytics.batch import compaction
from retail_analytics.batch.assets import compacted_key
from retail_analytics.batch.staging import Pipeline
from retail_analytics.commands import jobs
from retail_analytics.commands.local import local_deployment
from retail_analytics.feeds import get_feed
from retail_analytics.ingest.sources import live_records
from retail_analytics.lake import catalog, hours, tables, windows
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources import sql
from retail_analytics.resources.athena import AthenaResource, Execution, QueryResult
from retail_analytics.resources.clients import glue_client, s3_client
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from retail_analytics.feeds import Feed

HOURS = 720
SERIAL_HOURS = 120
MANY_HOURS, FEW_HOURS = 1000, 10
_OBJECTS = 2
_RECORDS = 1000
_SMALL_RECORDS = 10
_TRANSFERS = 8  # objects that DuckDB's side moves at a time
_SEED = 20101201
_CHILD_SECONDS = 900


def main(arguments: Sequence[str]) -> int:
    """Measure, write ``results/batch.json``, print the figures; or be the run that is measured."""
    if arguments:
        print(_peak_of_a_run(datetime.fromisoformat(arguments[0]), int(arguments[1])))
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-batch-") as folder:
        state = Path(folder)
        with local_deployment(state / "cloud", firehose_interval_seconds=60) as deployment:
            feed = get_feed("retail_trans")
            begin = hours.floor_hour(datetime.now(UTC)) - timedelta(hours=HOURS + MANY_HOURS + FEW_HOURS + 48)
            settings = deployment.set_history(feed, begin)
            metrics = measure(_Lake.of(feed, settings, begin, state / "objects"))
    rounded = {name: round(value, 3) for name, value in metrics.items()}
    path = harness.write_results("batch", rounded)
    print(harness.table({name: f"{value:,.3f}" for name, value in rounded.items()}))
    print(f"Written to {path}.")
    return 0


def measure(lake: _Lake) -> dict[str, float]:
    """All figures."""
    lake.fill(lake.warm_up + lake.month, _OBJECTS, _RECORDS)
    compaction.compact(lake.pipeline, lake.warm_up)
    lake.athena.noted.clear()
    month = lake.compact_month()
    noted = list(lake.athena.noted)
    writes, audits = (
        [each.scanned_bytes for statement, each in noted if statement.startswith("CREATE") is is_write]
        for is_write in (True, False)
    )
    lake.serial_ctas(lake.warm_up)
    lake.awswrangler(lake.warm_up)
    few = lake.month[:SERIAL_HOURS]
    serial_ctas, awswrangler = (
        _timed(lambda each=each: each(few)) / len(few)  # type: ignore[misc]
        for each in (lake.serial_ctas, lake.awswrangler)
    )
    return {
        "queries_720": len(noted),
        "hours_per_minute_720": HOURS / month * 60,
        "speedup_to_serial_ctas": serial_ctas / (month / HOURS),
        "write_bytes_scanned_to_raw": sum(writes) / lake.month_bytes,
        "audit_bytes_scanned_to_raw": sum(audits) / lake.month_bytes,
        "wall_to_duckdb": month / _timed(lake.duckdb_alone),
        "wall_to_duckdb_on_local_files": month / _timed(lake.duckdb_on_local_files),
        "wall_to_awswrangler": month / HOURS / awswrangler,
        "memory_ratio_1000h_to_10h": lake.memory_ratio(),
    }


class NotingAthena(AthenaResource):
    """Athena that notes each statement with what it did."""

    _noted: list[tuple[str, Execution]]

    @property
    def noted(self) -> list[tuple[str, Execution]]:
        """(statement, execution) so far, in order."""
        return self._noted

    def query(self, sql: str, parameters: Sequence[str] = ()) -> QueryResult:
        """As it is, and noted."""
        result = super().query(sql, parameters)
        self._noted.append((sql, result.execution))
        return result

    @contextmanager
    def begun(self, sql: str) -> Iterator[Callable[[], Execution]]:
        """As it is, and noted when it has ended."""
        with super().begun(sql) as ended:

            def noted() -> Execution:
                execution = ended()
                self._noted.append((sql, execution))
                return execution

            yield noted


@dataclass
class _Lake:
    """The lake that is measured: a month to compact, hours to warm up with, and a place for local copies."""

    pipeline: Pipeline
    athena: NotingAthena
    begin: datetime
    local: Path
    month_bytes: int = field(default=0, init=False)

    @classmethod
    def of(cls, feed: Feed, settings: Settings, begin: datetime, local: Path) -> _Lake:
        athena = NotingAthena(**AthenaResource.of(settings).model_dump())
        athena._noted = []
        glue = Catalog(glue_client(settings.region), settings.database)
        for table in tables.all_tables(feed, settings):
            catalog.ensure_table(glue, table)
        return cls(Pipeline(feed, settings, s3_client(settings.region), athena, glue), athena, begin, local)

    @property
    def warm_up(self) -> list[datetime]:
        return self._hours(0, 12)

    @property
    def month(self) -> list[datetime]:
        return self._hours(24, HOURS)

    def _hours(self, after: int, count: int) -> list[datetime]:
        start = self.begin + timedelta(hours=after)
        return list(hours.hours_between(start, start + timedelta(hours=count)))

    def fill(self, these: Sequence[datetime], objects: int, records: int) -> None:
        """Put objects into raw hours."""
        feed, bucket = self.pipeline.feed, self.pipeline.settings.bucket
        month = set(self.month)

        for hour in these:
            made = live_records(feed, _SEED + int(hour.timestamp()), now=lambda: hour)  # noqa: B023 - read here
            for number in range(objects):
                body = b"".join(record.data for record in itertools.islice(made, records))
                key = f"{hours.prefix(feed, hour)}{number}"
                self.pipeline.s3.put_object(Bucket=bucket, Key=key, Body=body)
                if hour in month:
                    self.month_bytes += len(body)

    def compact_month(self) -> float:
        """The seconds that the month takes.

        Raises:
            BenchmarkError: Not every record of it was published.
        """
        results: list[Any] = []
        seconds = _timed(lambda: results.extend(compaction.compact(self.pipeline, self.month)))
        records = sum(result.counts.compacted for result in results if result.state == "published")
        if records != HOURS * _OBJECTS * _RECORDS:
            raise harness.BenchmarkError(f"Compaction published {records} records of the month.")
        return seconds

    def serial_ctas(self, these: Sequence[datetime]) -> None:
        """One plain CTAS an hour, one after the other."""
        feed, settings = self.pipeline.feed, self.pipeline.settings
        raw = tables.raw_table(feed, settings)
        self.pipeline.catalog.ensure(raw, [catalog.raw_partition(feed, settings, hour) for hour in these])
        for hour in these:
            place = f"s3://{settings.bucket}/serial/{hours.part(hour)}/"
            made = sql.table(settings.database, f"serial_{hour:%Y%m%d%H}")
            self.athena.execute(
                f"CREATE TABLE {made} WITH (format = 'PARQUET', write_compression = 'SNAPPY',"  # noqa: S608
                f" external_location = {sql.text(place)})"
                f" AS SELECT * FROM {sql.table(settings.database, raw.name)}"
                f" WHERE {hours.hours_predicate([hour])}"
            )

    def duckdb_alone(self) -> None:
        """The month's objects to an object of Parquet an hour, through local files."""
        s3, bucket, made = self.pipeline.s3, self.pipeline.settings.bucket, self.local.parent / "duckdb"

        def fetch(hour: datetime) -> None:
            folder = self.local / f"part={hours.part(hour)}"
            folder.mkdir(parents=True)
            listed = s3.list_objects_v2(Bucket=bucket, Prefix=hours.prefix(self.pipeline.feed, hour))
            for number, item in enumerate(listed["Contents"]):
                body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                (folder / f"{number}.json").write_bytes(body)

        def put(file: Path) -> None:
            s3.put_object(Bucket=bucket, Key=f"duckdb/{file.relative_to(made)}", Body=file.read_bytes())

        with ThreadPoolExecutor(_TRANSFERS) as pool:
            list(pool.map(fetch, self.month))
            self.duckdb_on_local_files()
            list(pool.map(put, made.rglob("*.parquet")))
        shutil.rmtree(made)

    def duckdb_on_local_files(self) -> None:
        """The month's local files to a Parquet file an hour: the same columns, typed, each record once."""
        feed = self.pipeline.feed
        types = {column.source: column.stored_type for column in feed.columns} | {feed.record_id: "string"}
        columns = ", ".join(
            f"{sql.text(str(key))}: {sql.text('varchar' if kind == 'string' else kind)}"
            for key, kind in types.items()
        )
        source = f"read_json('{self.local}/*/*.json', format='newline_delimited', columns={{{columns}}})"
        with duckdb.connect(config={"memory_limit": "1GB"}) as connection:
            connection.execute(
                f"COPY (SELECT *, CAST({sql.identifier(feed.event_time_column.source)} AS date) AS event_day,"  # noqa: S608
                f" regexp_extract(filename, 'part=([^/]*)', 1) AS part FROM {source}"
                f" QUALIFY row_number() OVER (PARTITION BY part, {sql.identifier(str(feed.record_id))}"
                f" ORDER BY filename) = 1)"
                f" TO '{self.local.parent}/duckdb' (FORMAT parquet, COMPRESSION snappy, PARTITION_BY (part))"
            )

    def awswrangler(self, these: Sequence[datetime]) -> None:
        """The same with awswrangler, an hour at a time."""
        import awswrangler

        feed, bucket = self.pipeline.feed, self.pipeline.settings.bucket
        # Without them it takes stock codes for numbers, and then fails on those that are none.
        types = {column.source: "str" for column in feed.columns if column.type == "string"}
        for hour in these:
            place = f"s3://{bucket}/{hours.prefix(feed, hour)}"
            frame = awswrangler.s3.read_json(place, lines=True, dtype=types | {"record_id": "str"})
            awswrangler.s3.to_parquet(frame, f"s3://{bucket}/wrangled/part={hours.part(hour)}/0.parquet")

    def memory_ratio(self) -> float:
        """Peak memory of a run of many hours, over that of one of few."""
        many = self._hours(24 + HOURS, MANY_HOURS)
        few = self._hours(24 + HOURS + MANY_HOURS, FEW_HOURS)
        self.fill([*many, *few], 1, _SMALL_RECORDS)
        return _peak_beside(many) / _peak_beside(few)


def _peak_beside(these: Sequence[datetime]) -> float:
    """The peak memory, in bytes, of a process that runs these hours."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.batch", these[0].isoformat(), str(len(these))],
        stdout=subprocess.PIPE,
        text=True,
        timeout=_CHILD_SECONDS,
        check=True,
    )
    return float(done.stdout.splitlines()[-1])


def _peak_of_a_run(first: datetime, count: int) -> float:
    """Compact hours in one Dagster run in this process, as the daemon's runs do; its peak memory in bytes."""
    settings, feed = Settings.from_env(), get_feed("retail_trans")
    definitions = jobs.load_definitions(settings)
    name = "measured"
    job = dg.define_asset_job(name, selection=dg.AssetSelection.assets(compacted_key(feed)))
    resolved = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job])).resolve_job_def(name)
    last = first + (count - 1) * hours.HOUR
    with dg.DagsterInstance.get() as instance:
        run = instance.create_run_for_job(resolved, tags=windows.range_tags(first, last))
        events = execute_run_iterator(InMemoryJob(resolved), run, instance)
        succeeded = any(event.event_type_value == "PIPELINE_SUCCESS" for event in events)
        materialised = len(instance.get_materialized_partitions(compacted_key(feed)))
    if not succeeded or materialised < count:
        raise harness.BenchmarkError(
            f"The run of {count} hours did not succeed: {materialised} materialised."
        )
    status = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def _timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
