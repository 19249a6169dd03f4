"""``python -m benchmarks.lake``: what arrivals and the catalog cost in a lake with a history.

A bucket of 100,000 objects in the 17,520 hours of two years, in this process (``big_lake.py``), with
Dagster's own storage (SQLite) beside it. ``tick_requests_100k`` and ``tick_keys_100k``: what a reconciling
tick of the arrivals sensor asks of S3 when one object is new. ``tick_own_seconds_ratio_100k_to_1k``: that
tick beside the same one over 1,000 objects, as dense, the time inside calls of AWS left out, since the
stand-in takes another time than AWS; the medians of rounds taken in turns. ``get_objects_to_tick_ratio``:
dagster-aws' ``get_objects`` from the last known key, on the same bucket, beside that tick, calls included.
``catch_up_17520_runs`` and ``catch_up_17520_seconds``: the first sight of the two years by an empty Dagster,
tick after tick and an evaluation of automation after each: the runs that come of it, and the time until all
is asked for.

``register_one_to_msck_ratio``: one new hour registered in a table of 17,520, beside MSCK REPAIR of that table
with one new hour; in the embedded cloud, through boto3 and pyathena; the median of rounds taken in turns.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pyathena
from dagster_aws.s3.sensor import get_objects

from benchmarks import harness
from benchmarks.big_lake import TWO_YEARS, BigLake, CaughtUp, big_lake, catch_up, in_process_aws, metered
from retail_analytics.embedded import cloud
from retail_analytics.feeds import get_feed
from retail_analytics.lake import hours
from retail_analytics.lake.catalog import register, register_hours
from retail_analytics.lake.following import follow
from retail_analytics.lake.partitions import Catalog
from retail_analytics.lake.tables import raw_table
from retail_analytics.resources.clients import glue_client, s3_client
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    import dagster as dg

OBJECTS = 100_000
FEW_OBJECTS = 1_000
TICKS = 21
REGISTRATIONS = 15
_UPLOADS = 8
_LATE_HOUR = -3  # closed, and inside the look-back


def main() -> int:
    """Measure, write ``results/lake.json``, print the figures."""
    with in_process_aws():
        metrics = arrivals()
    with tempfile.TemporaryDirectory(prefix="bench-lake-") as folder:
        metrics["register_one_to_msck_ratio"] = register_one_to_msck(Path(folder))
    rounded = {name: round(value, 4) for name, value in metrics.items()}
    path = harness.write_results("lake", rounded)
    print(harness.table({name: f"{value:,.4g}" for name, value in rounded.items()}))
    print(f"Written to {path}.")
    return 0


def arrivals() -> dict[str, float]:
    """The figures of ticks and of the first sight of a history."""
    few_hours = TWO_YEARS * FEW_OBJECTS // OBJECTS
    with watched(OBJECTS, TWO_YEARS) as many, watched(FEW_OBJECTS, few_hours) as few:
        # In turns, so that whatever else the machine does meets both; the first warms up.
        rounds = [(many.tick(), few.tick()) for _ in range(TICKS + 1)][1:]
        listed = many.get_objects()
    big = [one for one, _ in rounds]
    own = statistics.median(tick.own for tick in big) / statistics.median(tick.own for _, tick in rounds)
    return {
        "tick_requests_100k": max(tick.requests for tick in big),
        "tick_keys_100k": max(tick.keys for tick in big),
        "tick_own_seconds_ratio_100k_to_1k": own,
        "get_objects_to_tick_ratio": listed / statistics.median(tick.seconds for tick in big),
        "catch_up_17520_runs": len(many.caught_up.runs),
        "catch_up_17520_seconds": many.caught_up.seconds,
    }


@dataclass(frozen=True)
class MeasuredTick:
    """One tick: its requests of S3, the keys that it read, its seconds, and those of them not in calls."""

    requests: int
    keys: int
    seconds: float
    own: float


@dataclass
class Watched:
    """A lake and a Dagster that has caught up with it; the cursor is its sensor's."""

    lake: BigLake
    instance: dg.DagsterInstance
    caught_up: CaughtUp
    cursor: str

    def tick(self) -> MeasuredTick:
        """A reconciling tick after one new object.

        Raises:
            BenchmarkError: It reported another number of hours than that object's.
        """
        self.lake.put(_LATE_HOUR)
        known = self.lake.known_to(self.instance)
        with metered() as meter:
            begun = time.perf_counter()
            tick = follow(known, self.cursor, self.lake.now)
            seconds = time.perf_counter() - begun
        if tick.reported != 1:
            raise harness.BenchmarkError(f"A tick after one new object reported {tick.reported} hours.")
        self.cursor = tick.cursor
        return MeasuredTick(meter.requests, meter.keys, seconds, seconds - meter.seconds)

    def get_objects(self) -> float:
        """Seconds in which dagster-aws' function finds one new object after the last that it knew.

        Raises:
            BenchmarkError: It found another number of objects.
        """
        where = (self.lake.settings.bucket, self.lake.feed.raw_root)
        known = get_objects(*where, client=self.lake.s3)[-1]["Key"]
        self.lake.put(_LATE_HOUR)
        begun = time.perf_counter()
        found = get_objects(*where, since_key=known, client=self.lake.s3)
        seconds = time.perf_counter() - begun
        if len(found) != 1:
            raise harness.BenchmarkError(f"get_objects found {len(found)} new objects where there is one.")
        return seconds


@contextmanager
def watched(objects: int, hour_count: int) -> Iterator[Watched]:
    """A lake and a Dagster that has caught up with it."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-lake-") as folder,
        big_lake(objects, hour_count, f"lake-of-{objects}") as lake,
        harness.local_dagster(Path(folder) / "dagster") as instance,
    ):
        caught_up = catch_up(lake, instance)
        yield Watched(lake, instance, caught_up, caught_up.cursor)


def register_one_to_msck(folder: Path) -> float:
    """The seconds of registering one new hour over those of MSCK REPAIR, the median of rounds."""
    running = cloud.start(folder / "cloud", die_with_parent=True)
    try:
        with running.applied():
            return statistics.median(_registrations(Settings.from_env()))
    finally:
        running.stop()


def _registrations(settings: Settings) -> Iterator[float]:
    feed = get_feed("retail_trans")
    first = hours.first_hour(feed, settings)
    history = [first + number * hours.HOUR for number in range(TWO_YEARS)]
    catalog = Catalog(glue_client(settings.region), settings.database)
    boto3.client("s3").create_bucket(Bucket=settings.bucket)
    catalog.glue.create_database(DatabaseInput={"Name": settings.database})
    _upload(settings, history)
    register(catalog, feed, settings, history)
    raw = raw_table(feed, settings)
    repair = f"MSCK REPAIR TABLE {settings.database}.{feed.name}"
    with pyathena.connect(
        s3_staging_dir=settings.results_location, schema_name=settings.database, poll_interval=0.01
    ) as connection:
        cursor = connection.cursor()
        for number in range(REGISTRATIONS):
            mine, theirs = (history[-1] + count * hours.HOUR for count in (2 * number + 1, 2 * number + 2))
            _upload(settings, [mine])
            registering = _seconds(
                lambda mine=mine: register_hours(catalog, feed, settings, raw, [mine])  # type: ignore[misc]
            )
            _upload(settings, [theirs])
            repairing = _seconds(lambda: cursor.execute(repair))
            there = [tuple(hours.partition_values(hour)) for hour in (mine, theirs)]
            if len(catalog.get(raw, there)) != len(there):
                raise harness.BenchmarkError("A new hour is in no partition.")
            yield registering / repairing


def _upload(settings: Settings, wanted: Sequence[datetime]) -> None:
    feed, s3 = get_feed("retail_trans"), s3_client(settings.region)

    def put(hour: datetime) -> None:
        s3.put_object(Bucket=settings.bucket, Key=f"{hours.prefix(feed, hour)}object", Body=b"{}\n")

    with ThreadPoolExecutor(_UPLOADS) as pool:
        for _ in pool.map(put, wanted):
            pass


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
