"""A bucket of 100,000 objects in 17,520 hours: what ticks and sweeps read of it, and what bursts come to.

Slow: ``make test-slow``. The bucket is in this process; see ``benchmarks/big_lake.py``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from benchmarks.big_lake import TWO_YEARS, BigLake, Planner, big_lake, in_process_aws, metered
from benchmarks.harness import local_dagster
from retail_analytics.lake import arrivals, objects, reconciliation
from retail_analytics.lake.following import Lake, follow
from retail_analytics.resources.clients import sqs_client

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from retail_analytics.lake.objects import RawHour

pytestmark = pytest.mark.slow

OBJECTS = 100_000
PAGE = 1000
AN_HOUR = OBJECTS / TWO_YEARS
OLD = 5_000
"""An hour long before the look-back."""

BURST = 5_000


class Known:
    """A Dagster that forgets nothing, in memory: what is reported, and how often."""

    def __init__(self, lake: BigLake) -> None:
        self.digests: dict[datetime, str] = {}
        self.reports: Counter[datetime] = Counter()
        self.dies_after: int | None = None
        self.of = Lake(
            lake.s3, sqs_client(lake.settings.region), lake.feed, lake.settings, self.known, self.report
        )

    def known(self, wanted: Sequence[datetime]) -> dict[datetime, str]:
        return {hour: self.digests[hour] for hour in wanted if hour in self.digests}

    def report(self, several: Sequence[RawHour]) -> None:
        for raw in several:
            if self.dies_after is not None:
                if not self.dies_after:
                    raise KeyboardInterrupt
                self.dies_after -= 1
            self.digests[raw.hour] = raw.digest
            self.reports[raw.hour] += 1


@pytest.fixture(scope="module")
def lake() -> Iterator[BigLake]:
    with in_process_aws(), big_lake(OBJECTS) as made:
        yield made


@pytest.fixture(scope="module")
def caught_up(lake: BigLake) -> tuple[Known, str]:
    """Who has seen all of it, and the cursor; each tick on the way was bounded, and one of them died."""
    known, cursor, behind, ticks = Known(lake), None, True, 0
    while behind:
        ticks += 1
        before = known.reports.total()
        if ticks == 3:
            known.dies_after = 700
            with pytest.raises(KeyboardInterrupt):
                follow(known.of, cursor, lake.now)
            known.dies_after = None
        with metered() as meter:
            tick = follow(known.of, cursor, lake.now)
        assert known.reports.total() - before <= arrivals.SLICE_HOURS
        assert meter.keys <= arrivals.SLICE_HOURS * (AN_HOUR + 1) + PAGE
        assert meter.requests <= meter.keys / PAGE + 4
        cursor, behind = tick.cursor, tick.behind
    assert ticks <= TWO_YEARS / arrivals.SLICE_HOURS + 1
    return known, cursor


def test_every_hour_is_reported_once_also_if_a_tick_dies(lake: BigLake, caught_up: tuple[Known, str]) -> None:
    known, cursor = caught_up
    assert set(known.reports) == {lake.hour(number) for number in range(TWO_YEARS)}
    assert set(known.reports.values()) == {1}
    assert len(cursor) < 500


def test_a_tick_with_one_new_object_reads_the_look_back_alone(
    lake: BigLake, caught_up: tuple[Known, str]
) -> None:
    known, cursor = caught_up
    before = known.reports.copy()
    lake.put(-2)
    with metered() as meter:
        tick = follow(known.of, cursor, lake.now)
    assert known.reports - before == Counter({lake.hour(-2): 1})
    assert meter.keys <= (lake.settings.lookback_hours + 1) * (AN_HOUR + 1)
    assert meter.requests <= 3
    assert len(tick.cursor) <= len(cursor) + 40


def test_a_sweep_finds_in_bounded_slices_what_nobody_told(
    lake: BigLake, caught_up: tuple[Known, str]
) -> None:
    known, _ = caught_up
    bucket = lake.settings.bucket
    changed = {lake.hour(OLD), lake.hour(OLD + 1), lake.hour(OLD + 2)}
    lake.put(OLD)
    for number, act in ((OLD + 1, lake.s3.delete_object), (OLD + 2, _rewrite(lake))):
        hour = lake.hour(number)
        (raw,) = objects.list_these(lake.s3, bucket, lake.feed, [hour]).values()
        act(Bucket=bucket, Key=raw.objects[0].key)
    found: list[datetime] = []
    sweep = reconciliation.current_sweep(lake.s3, lake.feed, lake.settings, None, lake.now)
    assert sweep is not None
    slices = 0
    while sweep.next is not None:
        slices += 1
        with metered() as meter:
            one = reconciliation.sweep_slice(lake.s3, lake.feed, lake.settings, sweep, lake.now, known.known)
        assert meter.keys <= reconciliation.SLICE_KEYS + PAGE + AN_HOUR
        assert meter.requests <= reconciliation.SLICE_KEYS / PAGE + 3
        found += [raw.hour for raw in one.changed]
        sweep = one.sweep
        assert len(sweep.dumps()) < 500
    assert set(found) == changed
    assert slices <= TWO_YEARS / reconciliation.SLICE_HOURS + OBJECTS / reconciliation.SLICE_KEYS + 1


def _rewrite(lake: BigLake):
    return lambda Bucket, Key: lake.s3.put_object(Bucket=Bucket, Key=Key, Body=b"other\n")  # noqa: N803


def test_five_thousand_hours_at_once_become_a_handful_of_runs(tmp_path: Path) -> None:
    with (
        in_process_aws(),
        big_lake(BURST // 10, BURST, "burst") as lake,
        local_dagster(tmp_path / "dagster") as instance,
    ):
        planner = Planner.of(lake, instance)
        planner.evaluate()
        known = lake.known_to(instance)
        cursor, behind, ticks = None, True, 0
        while behind:
            tick = follow(known, cursor, lake.now)
            cursor, behind, ticks = tick.cursor, tick.behind, ticks + 1
            # At its worst: an evaluation between any two ticks.
            planner.evaluate()
        assert planner.evaluate() == 0
    assert sum(partitions for _, partitions in planner.runs) == BURST
    assert {assets for assets, _ in planner.runs} == {2}  # catalog and compacted, together
    assert len(planner.runs) <= ticks <= BURST / arrivals.SLICE_HOURS + 1


def test_a_burst_that_was_reported_before_automation_looked_is_one_run(tmp_path: Path) -> None:
    few = 400
    with (
        in_process_aws(),
        big_lake(few, few, "reported") as lake,
        local_dagster(tmp_path / "dagster") as instance,
    ):
        seen = follow(lake.known_to(instance), None, lake.now)
        assert seen.reported == few
        planner = Planner.of(lake, instance)
        assert planner.evaluate() == 1
        assert planner.evaluate() == 0
        # A gap is no reason for a run an hour, either: three stretches are three runs.
        late = (10, 11, 200, 300)
        for number in late:
            lake.put(number)
        known = lake.known_to(instance)
        wanted = [lake.hour(number) for number in late]
        position = arrivals.take_up(known.s3, known.feed, known.settings, seen.cursor)
        for raw in arrivals.look_at(
            known.s3, known.feed, known.settings, wanted, position, known.known_digests
        ):
            known.report([raw])
        assert planner.evaluate() == 3
    assert sorted(planner.runs[1:]) == [(2, 1), (2, 1), (2, 2)]
