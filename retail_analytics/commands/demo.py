"""``retail-analytics demo``: the main job, headless, from a CSV file to checked tables and an index."""

from __future__ import annotations

import itertools
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from retail_analytics.batch import assets as batch_assets
from retail_analytics.batch.staging import Pipeline
from retail_analytics.commands import jobs, report
from retail_analytics.commands.checks import FAILED, WARNING
from retail_analytics.commands.local import LocalDeployment, local_deployment
from retail_analytics.ingest import synthetic
from retail_analytics.ingest.history import load_history
from retail_analytics.ingest.history import s3_client as loading_client
from retail_analytics.ingest.producer import Options, Producer
from retail_analytics.ingest.progress import Progress
from retail_analytics.ingest.rows import count_lines, open_rows
from retail_analytics.ingest.services import connect
from retail_analytics.ingest.sources import live_records
from retail_analytics.lake import hours, objects, windows
from retail_analytics.lake.assets import catalog_key
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import s3_client
from retail_analytics.resources.opensearch import OpenSearchResource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from retail_analytics.feeds import Feed
    from retail_analytics.ingest.history import Loaded
    from retail_analytics.settings import Settings

FIREHOSE_INTERVAL_SECONDS = 3
_GENERATED_RECORDS = 40_000
_GENERATED_DAYS = 14
_LIVE_PATIENCE_SECONDS = 90
_SEED = 20101201


class DemoError(RuntimeError):
    """A stage failed; the message says which and why."""


@dataclass
class Clock:
    """Stage names and the seconds that they took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, saying: str) -> Iterator[None]:
        """Time a stage, and tell the user of it."""
        _tell(f"{saying} …")
        begun = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - begun
        _tell(f"  done in {self.seconds[name]:.1f} s")


@dataclass(frozen=True)
class Demo:
    """One run of the demo.

    Attributes:
        state: The folder of the cloud's logs and Dagster's home; removed first.
        input_file: A CSV file with the feed's columns, or None for generated transactions.
        live: How many records to stream.
        feed: The feed.
    """

    state: Path
    input_file: Path | None
    live: int
    feed: Feed

    def run(self) -> report.Report:
        """Run it.

        Raises:
            DemoError: A stage failed.
            IngestError: The input cannot be used.
            CloudError: The embedded cloud did not come up.
        """
        clock = Clock()
        if self.input_file is not None:
            with open_rows(self.feed, self.input_file):
                pass  # what cannot be read is told before a cloud is started
        path = self.input_file or self._generate(clock)
        with ExitStack() as stack:
            with clock.stage("start", "Starting the embedded cloud"):
                local = local_deployment(
                    self.state / "cloud", firehose_interval_seconds=FIREHOSE_INTERVAL_SECONDS
                )
                deployment = stack.enter_context(local)
            return self._run(deployment, path, clock)

    def _generate(self, clock: Clock) -> Path:
        path = self.state / "generated.csv"
        with clock.stage("generate", f"Generating {_GENERATED_RECORDS:,} transactions"):
            path.parent.mkdir(parents=True, exist_ok=True)
            last_day = datetime(2010, 12, 23, tzinfo=UTC).date()
            invoices = synthetic.Generator(_SEED).past(_GENERATED_RECORDS, _GENERATED_DAYS, last_day)
            synthetic.write_csv(path, invoices)
        return path

    def _run(self, deployment: LocalDeployment, path: Path, clock: Clock) -> report.Report:
        feed = self.feed
        now = datetime.now(UTC)
        settings, loaded = self._load(deployment, path, now, clock)
        definitions = jobs.load_definitions(settings)
        closed = hours.closed_until(feed, settings, now)
        with dg.DagsterInstance.get() as instance:
            self._backfill(definitions, settings, instance, now, clock)
            indexed = count_documents(feed, settings)
            live = self._stream(settings, indexed, clock)
            with clock.stage("checks", "Running every asset check"):
                result = jobs.run_job(definitions, "asset_checks", instance)
                evaluations = result.get_asset_check_evaluations()
        pipeline = Pipeline(
            feed,
            settings,
            s3_client(settings.region),
            AthenaResource.of(settings),
            Catalog.of(settings),
        )
        first = hours.first_hour(feed, settings)
        history = report.measure_history(pipeline, loaded.records, indexed, first, closed)
        return report.Report(
            feed.name,
            history,
            live,
            checks=report.outcomes(evaluations),
            problems=[*report.find_problems(history, live), *report.said(evaluations, FAILED)],
            warnings=report.said(evaluations, WARNING),
            seconds=clock.seconds,
        )

    def _load(
        self, deployment: LocalDeployment, path: Path, now: datetime, clock: Clock
    ) -> tuple[Settings, Loaded]:
        settings = deployment.set_history(self.feed, now)
        # The last record must lie in a closed hour: the open one is no partition yet.
        until = hours.closed_until(self.feed, settings, now) - timedelta(seconds=1)
        with clock.stage("load", f"Loading {path.name} as past hours"), _progress(path) as progress:
            loaded = load_history(
                self.feed,
                settings,
                path,
                client=loading_client(settings),
                shift_to_now=True,
                now=until,
                progress=progress,
            )
        # Nobody trades between the last record and the live ones; silence is then as it should be.
        return deployment.set_history(self.feed, loaded.first_hour, loaded.last_hour), loaded

    def _backfill(
        self,
        definitions: dg.Definitions,
        settings: Settings,
        instance: dg.DagsterInstance,
        now: datetime,
        clock: Clock,
    ) -> None:
        feed = self.feed
        first, closed = hours.first_hour(feed, settings), hours.closed_until(feed, settings, now)
        with clock.stage("report", "Reporting raw hours, as the arrivals sensor does"):
            jobs.report_raw_hours(feed, settings, instance, now)
        by_hour = windows.range_tags(first, closed - hours.HOUR)
        with clock.stage("compact", "Backfilling the hours: catalog and compaction, one Dagster run"):
            keys = [catalog_key(feed), batch_assets.compacted_key(feed)]
            _finished(jobs.run_assets(definitions, keys, instance, by_hour))
        by_day = windows.day_range_tags(first.date(), (closed - hours.HOUR).date())
        with clock.stage("process", "Making the processed tables of those days, one run"):
            keys = [batch_assets.processed_key(feed, table.name) for table in feed.processed]
            _finished(jobs.run_assets(definitions, keys, instance, by_day))
        with clock.stage("index", "Indexing the history, one run"):
            _finished(jobs.run_assets(definitions, [dg.AssetKey([feed.name, "index_template"])], instance))
            keys = [dg.AssetKey([feed.name, "search_index"])]
            _finished(jobs.run_assets(definitions, keys, instance, by_day))
        with clock.stage("observe", "Crawling the raw hours and reading the index's health, one run"):
            keys = [dg.AssetKey([feed.name, "crawler"]), dg.AssetKey([feed.name, "index_health"])]
            _finished(jobs.run_assets(definitions, keys, instance))

    def _stream(self, settings: Settings, before: int, clock: Clock) -> report.Live:
        feed = self.feed
        begun = hours.floor_hour(datetime.now(UTC))
        with clock.stage("live", f"Streaming {self.live:,} live records: Kinesis, Firehose, handler"):
            service = connect("kinesis", feed.stream, settings.region, 2)
            records = itertools.islice(live_records(feed, _SEED), self.live)
            with Progress("Streaming", self.live) as progress:
                sent = Producer(service, Options(workers=2), progress=progress).send(records)
            if not sent.complete:
                raise DemoError(f"The producer sent {sent.sent} of {self.live} records: {sent.problem}.")
            seconds_to_index, indexed = _await(self.live, lambda: count_documents(feed, settings) - before)
            seconds_to_s3, delivered = _await(
                self.live, lambda: count_delivered(feed, settings, begun), already=seconds_to_index
            )
        return report.Live(sent.sent, delivered, indexed, round(seconds_to_s3, 2), round(seconds_to_index, 2))


def count_documents(feed: Feed, settings: Settings) -> int:
    """The documents that the server has under the feed's alias, refreshed first."""
    if feed.search is None:
        return 0
    client = OpenSearchResource.of(settings).client()
    client.indices.refresh(index=feed.search.alias)
    return int(client.count(index=feed.search.alias)["count"])


def count_delivered(feed: Feed, settings: Settings, since: datetime) -> int:
    """The records in the raw hours since then, read from the objects themselves."""
    s3 = s3_client(settings.region)
    end = hours.floor_hour(datetime.now(UTC)) + hours.HOUR
    return sum(
        s3.get_object(Bucket=settings.bucket, Key=item.key)["Body"].read().count(b"\n")
        for _, item in objects.list_objects(s3, settings.bucket, feed, since, end)
    )


def _await(target: int, count: Callable[[], int], already: float = 0.0) -> tuple[float, int]:
    """Count until the target is reached or patience ends: (seconds since sending ended, last count)."""
    begun = time.monotonic()
    wait = 0.1
    while (found := count()) < target and time.monotonic() - begun < _LIVE_PATIENCE_SECONDS:
        time.sleep(wait)
        wait = min(wait * 1.5, 1.0)
    return already + time.monotonic() - begun, found


def _finished(result: dg.ExecuteInProcessResult) -> None:
    if not result.success:
        raise DemoError(jobs.failures_of(result)[0])


@contextmanager
def _progress(path: Path) -> Iterator[Progress]:
    with Progress("Loading", count_lines(path) if path.is_file() else None) as progress:
        yield progress


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
