"""A bucket with two years of raw hours, in this process, and what is asked of it.

moto's S3 with the embedded cloud's index behind listings, so that a page costs what it holds; its objects are
put straight into the bucket's index, since a hundred thousand PUTs would take minutes and prove nothing here.
Here also: the meter of requests, and Dagster's planning of runs without a daemon. Not here: what is measured
(``lake.py``), and what must hold (the slow tests).
"""

from __future__ import annotations

import copy
import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest import mock

import dagster as dg
from botocore.client import BaseClient
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
from dagster._core.definitions.automation_tick_evaluation_context import (
    AutomationTickEvaluationContext,
    build_run_requests_with_backfill_policies,
)
from moto import mock_aws
from moto.s3.models import s3_backends

from retail_analytics.definitions import build_definitions
from retail_analytics.embedded import s3 as indexed_s3
from retail_analytics.embedded.moto_backends import ACCOUNT_ID
from retail_analytics.feeds import get_feed
from retail_analytics.ingest.naming import object_key
from retail_analytics.lake import hours
from retail_analytics.lake.following import Tick, follow
from retail_analytics.lake.sensors import lake_of
from retail_analytics.resources.clients import SqsResource, s3_client
from retail_analytics.resources.s3 import LakeS3Resource
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

    from retail_analytics.feeds import Feed
    from retail_analytics.lake.following import Lake

TWO_YEARS = 17_520
"""Hours of two years."""

_BODY = b"{}\n"
_LISTS = frozenset({"ListObjects", "ListObjectsV2"})


@dataclass(frozen=True)
class BigLake:
    """A feed's raw hours, the last of which has just closed.

    Attributes:
        feed: The feed.
        settings: Where it flows; its first hour is the first of the bucket.
        s3: A client for the bucket.
        now: The present, aware, as ticks shall see it.
    """

    feed: Feed
    settings: Settings
    s3: S3Client
    now: datetime

    def hour(self, number: int) -> datetime:
        """The hour of that number, from the first, or from the last for a negative one."""
        first = hours.first_hour(self.feed, self.settings)
        end = hours.closed_until(self.feed, self.settings, self.now)
        return (end if number < 0 else first) + number * hours.HOUR

    def put(self, number: int) -> None:
        """Put one more object into an hour, through S3."""
        hour = self.hour(number)
        key = object_key(self.feed, hour, hour, f"late {time.monotonic_ns()}".encode())
        self.s3.put_object(Bucket=self.settings.bucket, Key=key, Body=_BODY)

    def known_to(self, instance: dg.DagsterInstance) -> Lake:
        """The lake as a tick of the arrivals sensor has it, over a Dagster instance."""
        s3, sqs = LakeS3Resource.of(self.settings), SqsResource(region=self.settings.region)
        return lake_of(instance, s3, sqs, self.feed, self.settings)


@contextmanager
def big_lake(objects: int, hour_count: int = TWO_YEARS, bucket: str = "two-years") -> Iterator[BigLake]:
    """A bucket of so many objects, spread evenly over so many closed hours; inside :func:`in_process_aws`."""
    feed, now = get_feed("retail_trans"), datetime.now(UTC)
    # Without notifications, every tick reconciles by listing.
    settings = Settings(bucket=bucket, notifications=False)
    first = hours.closed_until(feed, settings, now) - hour_count * hours.HOUR
    settings = replace(settings, first_hours={feed.name: first})
    s3 = s3_client(settings.region)
    s3.create_bucket(Bucket=bucket)
    _seed(s3, bucket, feed, first, hour_count, objects)
    yield BigLake(feed, settings, s3, now)


@contextmanager
def in_process_aws() -> Iterator[None]:
    """AWS in this process; no environment of a cloud that runs elsewhere reaches in."""
    environment = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    with mock.patch.dict("os.environ", environment) as variables:
        variables.pop("AWS_ENDPOINT_URL", None)
        if s3_backends.backend is not indexed_s3.StrictS3Backend:
            indexed_s3.install()
        with mock_aws():
            yield


def _seed(s3: S3Client, bucket: str, feed: Feed, first: datetime, hour_count: int, objects: int) -> None:
    s3.put_object(Bucket=bucket, Key="template", Body=_BODY)
    keys = s3_backends[ACCOUNT_ID]["aws"].buckets[bucket].keys
    template: Any = keys["template"]
    s3.delete_object(Bucket=bucket, Key="template")
    for number in range(objects):
        hour = first + number * hour_count // objects * hours.HOUR
        # All share one body and one set of attributes: a few hundred bytes an object instead of kilobytes.
        made = copy.copy(template)
        name = f"{feed.stream}-1-{hour:%Y-%m-%d-%H}-{number % 60:02}-00-{number:032x}"
        made.name = hours.prefix(feed, hour) + name
        made.last_modified = (hour + timedelta(minutes=number % 60)).replace(tzinfo=None)
        made._etag = f"{number:032x}"
        keys[made.name] = made


@dataclass
class Meter:
    """What was asked of S3, and how long all of AWS took to answer.

    Attributes:
        requests: Requests of S3.
        keys: Keys that its listings answered with.
        seconds: Time inside calls, of any service.
    """

    requests: int = 0
    keys: int = 0
    seconds: float = 0.0


@contextmanager
def metered() -> Iterator[Meter]:
    """Meter every boto3 call of this process."""
    meter = Meter()
    original = BaseClient._make_api_call

    def call(self: BaseClient, operation: str, parameters: Any) -> Any:
        begun = time.perf_counter()
        try:
            answer = original(self, operation, parameters)
        finally:
            meter.seconds += time.perf_counter() - begun
            if self.meta.service_model.service_name == "s3":
                meter.requests += 1
        if operation in _LISTS:
            meter.keys += len(answer.get("Contents", ()))
        return answer

    with mock.patch.object(BaseClient, "_make_api_call", call):
        yield meter


@dataclass
class Planner:
    """Dagster's automation without a daemon: what runs it would launch.

    Attributes:
        instance: What Dagster knows.
        definitions: What it loads.
        runs: The (assets, partitions) of each run that was planned so far.
    """

    instance: dg.DagsterInstance
    definitions: dg.Definitions
    runs: list[tuple[int, int]] = field(default_factory=list)
    _cursor: AssetDaemonCursor = field(default_factory=AssetDaemonCursor.empty)
    _evaluations: int = 0

    @classmethod
    def of(cls, lake: BigLake, instance: dg.DagsterInstance) -> Planner:
        """The product's own definitions over a lake."""
        return cls(instance, build_definitions(lake.settings))

    def evaluate(self) -> int:
        """One evaluation, as the daemon's sensor makes it; returns how many runs come of it."""
        graph = self.definitions.resolve_asset_graph()
        self._evaluations += 1
        requests, self._cursor, _ = AutomationTickEvaluationContext(
            evaluation_id=self._evaluations,
            instance=self.instance,
            asset_graph=graph,
            cursor=self._cursor,
            materialize_run_tags={},
            observe_run_tags={},
            auto_observe_asset_keys=set(),
            asset_selection=dg.AssetSelection.all(),
            logger=logging.getLogger("benchmarks"),
            emit_backfills=True,
        ).evaluate()
        before = len(self.runs)
        for request in requests:
            if request.asset_graph_subset is None:
                self.runs.append((len(request.asset_selection or ()), 1))
                continue
            # What the backfill daemon makes of a backfill: a run for each stretch that a policy allows.
            subset = request.asset_graph_subset
            for run in build_run_requests_with_backfill_policies(
                list(subset.iterate_asset_partitions()), graph, self.instance
            ):
                self.runs.append((len(run.asset_selection or ()), _partitions(graph, run)))
        return len(self.runs) - before


def _partitions(graph: Any, run: dg.RunRequest) -> int:
    if run.partition_key is not None:
        return 1
    wanted = dg.PartitionKeyRange(
        run.tags["dagster/asset_partition_range_start"], run.tags["dagster/asset_partition_range_end"]
    )
    definition = graph.get((run.asset_selection or ())[0]).partitions_def
    return len(definition.get_partition_keys_in_range(wanted))


@dataclass(frozen=True)
class CaughtUp:
    """What the first sight of a history came to.

    Attributes:
        cursor: What the last tick left.
        ticks: How many ticks it took.
        longest: The seconds of the longest.
        reported: How many hours were reported.
        runs: The (assets, partitions) of each run that was planned.
        seconds: All of it: ticks and automation's evaluations.
    """

    cursor: str
    ticks: int
    longest: float
    reported: int
    runs: list[tuple[int, int]]
    seconds: float


def catch_up(lake: BigLake, instance: dg.DagsterInstance) -> CaughtUp:
    """Tick after tick of the arrivals sensor from nothing, an evaluation of automation after each."""
    begun = time.perf_counter()
    planner = Planner.of(lake, instance)
    known, cursor, lengths, reported = lake.known_to(instance), None, [], 0
    behind = True
    while behind:
        at = time.perf_counter()
        tick: Tick = follow(known, cursor, lake.now)
        lengths.append(time.perf_counter() - at)
        cursor, behind, reported = tick.cursor, tick.behind, reported + tick.reported
        planner.evaluate()
    planner.evaluate()  # and once more, to see that nothing is asked for again
    seconds = time.perf_counter() - begun
    return CaughtUp(tick.cursor, len(lengths), max(lengths), reported, planner.runs, seconds)
