"""Five thousand hours that appear at once, through Dagster's own daemon: a few runs, and no failed tick.

Slow: ``make test-slow``. The daemon is a process of its own, and so is each run that it starts; nothing of
Dagster's planning, queueing or launching is stood in for. What each tick may cost is ``test_two_years.py``'s.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import TickStatus

from retail_analytics.commands import dev, local
from retail_analytics.feeds import get_feed
from retail_analytics.lake import hours, windows
from retail_analytics.lake.arrivals import SLICE_HOURS
from retail_analytics.settings import Settings, format_hours
from retail_analytics_tests.integration.conftest import make_lake
from retail_analytics_tests.integration.lakes import Lake, line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from retail_analytics.embedded.cloud import EmbeddedCloud

pytestmark = pytest.mark.slow

BURST = 5_000
EVERY = 50
"""Each so many hours one holds an object: empty hours are hours, and cost Dagster the same."""

MOST_RUNS = 12
"""Runs of five thousand hours at the most; reported hour by hour, they were more than fifty."""

PATIENCE_SECONDS = 1500
QUIET_SECONDS = 30
"""So long nothing is to come any more: several looks of every sensor."""


@dataclass(frozen=True)
class Burst:
    """What came of a burst.

    Attributes:
        lake: The lake.
        instance: Dagster's memory, as the daemon left it.
        wanted: The partition keys of the hours that appeared.
        filled: Those of them that hold a record.
    """

    lake: Lake
    instance: dg.DagsterInstance
    wanted: set[str]
    filled: list[datetime]

    def key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([self.lake.feed.name, asset])

    def made(self, asset: str) -> Counter[str]:
        """How often each hour of an asset was reported or made."""
        times: Counter[str] = Counter()
        cursor: str | None = None
        while True:
            page = self.instance.fetch_materializations(self.key(asset), limit=1000, cursor=cursor)
            times.update(record.partition_key or "" for record in page.records)
            if not page.has_more:
                return times
            cursor = page.cursor

    def published(self) -> Counter[str]:
        """How often each hour was compacted, and not merely found as it should be."""
        times: Counter[str] = Counter()
        cursor: str | None = None
        while True:
            page = self.instance.fetch_materializations(self.key("compacted"), limit=1000, cursor=cursor)
            for record in page.records:
                made = record.asset_materialization
                if made is not None and made.metadata["state"].value == "published":
                    times[made.partition or ""] += 1
            if not page.has_more:
                return times
            cursor = page.cursor

    def runs(self, asset: str) -> list[dg.DagsterRun]:
        """The runs that were to make an asset."""
        return [
            run for run in self.instance.get_runs() if self.key(asset) in (run.asset_selection or frozenset())
        ]


@pytest.fixture(scope="module")
def burst(shared_cloud: EmbeddedCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Burst]:
    """Hours appear in an empty lake; then a daemon is started, and ended when it has nothing left to do."""
    home = tmp_path_factory.mktemp("burst")
    (home / "dagster.yaml").write_text(local._INSTANCE_FILE.read_text())
    feed, now = get_feed("retail_trans"), datetime.now(UTC)
    with shared_cloud.applied(), pytest.MonkeyPatch.context() as patch:
        end = hours.closed_until(feed, Settings(), now)
        first = end - BURST * hours.HOUR
        patch.setenv("RETAIL_FIRST_HOUR", format_hours({feed.name: first}))
        patch.setenv("DAGSTER_HOME", str(home))
        lake = make_lake(shared_cloud, patch)
        every = list(hours.hours_between(first, end))
        filled = every[::EVERY]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda hour: lake.put(hour, [_line(hour)]), filled))
        wanted = {hours.partition_key(hour) for hour in every}
        with dg.DagsterInstance.get() as instance, _daemon(home) as log:
            made = Burst(lake, instance, wanted, filled)
            _wait(made, log)
        with dg.DagsterInstance.get() as instance:
            yield Burst(lake, instance, wanted, filled)


def _line(hour: datetime) -> str:
    return line(1, InvoiceDate=f"{hour:%Y-%m-%d %H}:30:00", record_id=f"{int(hour.timestamp()):032x}")


class _daemon:  # noqa: N801 - used as a function
    """``dagster-daemon`` over the product's definitions."""

    def __init__(self, home: Path) -> None:
        self._home, self._log = home, home / "daemon.log"

    def __enter__(self) -> Path:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dagster._daemon", "run", "-w", str(dev._workspace(self._home))],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "DAGSTER_DISABLE_TELEMETRY": "1", local._BATCH: local._BATCH_SIZE},
            )
        return self._log

    def __exit__(self, *_: object) -> None:
        dev._end(self._process)


def _wait(burst: Burst, log: Path) -> None:
    """Until every hour is compacted, and nobody has asked for more of it for a while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause, quiet_since, seen = 1.0, time.monotonic(), 0
    while True:
        done = set(burst.instance.get_materialized_partitions(burst.key("compacted")))
        runs = burst.runs("compacted")  # what follows from them is no part of the burst
        under_way = [run for run in runs if not run.is_finished]
        if len(runs) != seen or under_way or done < burst.wanted:
            quiet_since, seen = time.monotonic(), len(runs)
        if time.monotonic() - quiet_since > QUIET_SECONDS:
            return
        if time.monotonic() > deadline:
            pytest.fail(f"{len(done)} of {len(burst.wanted)} hours compacted; {log.read_text()[-3000:]}")
        time.sleep(pause)
        pause = min(pause * 1.5, 5.0)


def test_every_hour_is_reported_once_and_published_once(burst: Burst) -> None:
    # The hour that closes while this runs may be one more.
    for asset in ("raw", "catalog", "compacted"):
        times = burst.made(asset)
        assert burst.wanted <= set(times)
        assert len(set(times) - burst.wanted) <= 1
    assert {key: count for key, count in burst.made("raw").items() if count > 1} == {}
    # Automation may ask again for a stretch that it sees in the middle of its run; then nothing is to do.
    filled = {hours.partition_key(hour) for hour in burst.filled}
    assert burst.published() == Counter(dict.fromkeys(filled, 1))
    rows = burst.lake.select("compacted", "record_id", "true")
    assert sorted(int(row["record_id"], 16) for row in rows) == sorted(
        int(hour.timestamp()) for hour in burst.filled
    )


def test_they_are_a_handful_of_runs_of_long_stretches(burst: Burst) -> None:
    runs = burst.runs("compacted")
    # One for what each look of automation found; on a slow machine, it looks while hours are reported.
    assert 1 <= len(runs) <= MOST_RUNS
    # A run that did not start in time is tried again.
    assert {run.status for run in runs} <= {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
    made: set[str] = set()
    for run in runs:
        named = windows.run_range(run)
        assert named is not None
        begin, end = (hours.from_partition_key(key) for key in named)
        if run.status is dg.DagsterRunStatus.SUCCESS:
            made |= {hours.partition_key(hour) for hour in hours.hours_between(begin, end + hours.HOUR)}
    assert burst.wanted <= made


def test_no_tick_failed_and_each_went_on_where_the_one_before_stopped(burst: Burst) -> None:
    repository = "retail_trans_arrivals"
    states = {state.instigator_name: state for state in burst.instance.all_instigator_state()}
    failed = {}
    for name, state in states.items():
        ticks = burst.instance.get_ticks(state.instigator_origin_id, state.selector_id)
        if any(tick.status is TickStatus.FAILURE for tick in ticks):
            failed[name] = [tick.error for tick in ticks if tick.error]
    assert failed == {}
    arrivals = states[repository]
    ticks = burst.instance.get_ticks(arrivals.instigator_origin_id, arrivals.selector_id)
    behind = [tick for tick in ticks if "more at the next tick" in (tick.skip_reason or "")]
    assert len(behind) >= BURST // SLICE_HOURS  # no tick took all of it
