"""``python -m benchmarks.ingest``: how fast records come in, and how soon an hour is compacted.

``producer_to_put_records_loop`` and ``producer_to_one_record_a_call`` are ``producer.py``'s.
``put_to_compacted_seconds`` is the time from an object put into a closed hour until that hour is compacted
and published, through the real arrivals sensor, automation and run queue: the median of five hours after one
to warm up, each put at a random moment between two looks of the daemon, while Dagster has nothing else to do.
Published means that the Glue partition bears the digest of what raw then holds. Everything runs on this
machine, and is ended.
"""

from __future__ import annotations

import itertools
import random
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from benchmarks import harness
from benchmarks.producer import producer_to_one_record_a_call, producer_to_put_records_loop
from retail_analytics.batch.state import hour_states
from retail_analytics.commands.local import local_deployment
from retail_analytics.feeds import get_feed
from retail_analytics.ingest import synthetic
from retail_analytics.ingest.history import load_history
from retail_analytics.ingest.history import s3_client as loading_client
from retail_analytics.ingest.naming import object_key
from retail_analytics.ingest.sources import live_records
from retail_analytics.lake import hours
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources.clients import glue_client, s3_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from retail_analytics.batch.state import HourState
    from retail_analytics.commands.local import LocalDeployment
    from retail_analytics.feeds import Feed
    from retail_analytics.ingest.records import Record
    from retail_analytics.settings import Settings

_ROUNDS = 5
_SEED = 20101201
_DAYS = 2
_HISTORY_RECORDS = 300
_RECORDS_AN_OBJECT = 200
_LOOK_SECONDS = 5.0  # how often Dagster's daemon looks
_STILL_SECONDS = 8.0  # longer than the daemon takes to act on what a run has told
_START_SECONDS = 180.0
_ROUND_SECONDS = 120.0


def main() -> int:
    """Measure, write ``results/ingest.json``, print the figures."""
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as folder:
        state = Path(folder)
        with local_deployment(state / "cloud", firehose_interval_seconds=60) as deployment:
            metrics = {
                "producer_to_put_records_loop": producer_to_put_records_loop(),
                "producer_to_one_record_a_call": producer_to_one_record_a_call(),
            }
            seconds = put_to_compacted(deployment, state)
    metrics["put_to_compacted_seconds"] = statistics.median(seconds)
    rounded = {name: round(value, 2) for name, value in metrics.items()}
    path = harness.write_results("ingest", rounded)
    rows = {name: f"{value:.2f}" for name, value in rounded.items()}
    rows["  of rounds"] = ", ".join(f"{each:.1f}" for each in seconds)
    print(harness.table(rows))
    print(f"Written to {path}.")
    return 0


def put_to_compacted(deployment: LocalDeployment, folder: Path) -> list[float]:
    """The seconds of each round, the one that warms up left out.

    Raises:
        BenchmarkError: The hours were not compacted in time; the daemon's log is part of the message.
    """
    feed = get_feed("retail_trans")
    settings = _load(deployment, feed, folder)
    lake = _Lake(feed, settings)
    log = folder / "daemon.log"
    try:
        with (
            dg.DagsterInstance.from_config(str(deployment.dagster_home)) as instance,
            harness.dagster_daemon(_workspace(folder), log),
        ):
            harness.wait_until(lake.all_published, _START_SECONDS, "the history is compacted", longest=1.0)
            return list(itertools.islice(_rounds(lake, instance), 1, _ROUNDS + 1))
    except harness.BenchmarkError as error:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise harness.BenchmarkError(f"{error} The daemon's last words:\n{tail}") from error


class _Lake:
    """The lake as the benchmark sees it: it puts objects and looks at what is published."""

    def __init__(self, feed: Feed, settings: Settings) -> None:
        self.feed, self.settings = feed, settings
        self.s3 = s3_client(settings.region)
        self.catalog = Catalog(glue_client(settings.region), settings.database)
        self.first = hours.first_hour(feed, settings)

    def closed_until(self) -> datetime:
        return hours.closed_until(self.feed, self.settings, datetime.now(UTC))

    def states(self, start: datetime, end: datetime) -> list[HourState]:
        try:
            return hour_states(self.s3, self.catalog, self.feed, self.settings, start, end)
        except self.catalog.glue.exceptions.EntityNotFoundException:
            return []  # the catalog's asset makes the tables

    def all_published(self) -> bool:
        states = self.states(self.first, self.closed_until())
        return bool(states) and all(state.current for state in states)

    def published(self, hour: datetime) -> bool:
        return all(state.current for state in self.states(hour, hour + hours.HOUR))

    def put(self, hour: datetime, records: list[Record]) -> None:
        body = b"".join(record.data for record in records)
        self.s3.put_object(
            Bucket=self.settings.bucket, Key=object_key(self.feed, hour, hour, body), Body=body
        )


def _load(deployment: LocalDeployment, feed: Feed, folder: Path) -> Settings:
    """A few days of history, so that the hours that are put into lie among others."""
    settings = deployment.set_history(feed, datetime.now(UTC))
    until = hours.closed_until(feed, settings, datetime.now(UTC))
    path = folder / "history.csv"
    last_day = until.date() - timedelta(days=1)
    synthetic.write_csv(path, synthetic.Generator(_SEED).past(_HISTORY_RECORDS, _DAYS, last_day))
    loaded = load_history(feed, settings, path, client=loading_client(settings), now=until)
    return deployment.set_history(feed, loaded.first_hour)


def _rounds(lake: _Lake, instance: dg.DagsterInstance) -> Iterator[float]:
    """Seconds from put to published, an hour a round, without end."""
    chance = random.Random(_SEED)  # noqa: S311 - moments to put at, no secrets
    hour = lake.closed_until()
    # Events of the hour itself, so that what follows downstream is one day, in one run.
    records = live_records(lake.feed, _SEED, now=lambda: hour)
    while True:
        hour -= hours.HOUR
        harness.wait_until_quiet(instance, _STILL_SECONDS, _ROUND_SECONDS)
        time.sleep(chance.uniform(0, _LOOK_SECONDS))
        body = list(itertools.islice(records, _RECORDS_AN_OBJECT))
        lake.put(hour, body)
        yield harness.wait_until(
            lambda hour=hour: lake.published(hour),  # type: ignore[misc]
            _ROUND_SECONDS,
            f"the hour {hours.partition_key(hour)} is published",
        )


def _workspace(folder: Path) -> Path:
    path = folder / "workspace.yaml"
    path.write_text("load_from:\n  - python_module: retail_analytics.definitions\n")
    return path


if __name__ == "__main__":
    sys.exit(main())
