"""A process that is killed (SIGKILL) at any remote call of compaction loses nothing and needs nobody.

Killed before the call is made, and when its request is on the wire and nobody waits for the answer. After
each kill readers find whole hours, the old or the new; after the next run, the truth. Exceptions in place of
kills, and processed tables: ``test_crashes.py``; two processes at once: ``test_together.py``.
"""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from retail_analytics_tests.integration import lives, truths
from retail_analytics_tests.integration.lakes import HOUR
from retail_analytics_tests.integration.lives import mortals_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from retail_analytics.embedded.cloud import EmbeddedCloud
    from retail_analytics_tests.integration.lakes import Lake
    from retail_analytics_tests.integration.lives import Mortals
    from retail_analytics_tests.integration.truths import Change

# A request that changes nothing leaves the same behind, sent or not.
WRITES = (
    "BatchCreatePartition",
    "BatchDeletePartition",
    "BatchUpdatePartition",
    "DeleteTable",
    "PutObject",
    "StartQueryExecution",
)


@pytest.fixture(scope="module")
def mortals(shared_cloud: EmbeddedCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortals]:
    with shared_cloud.applied(), mortals_in(tmp_path_factory.mktemp("lives")) as made:
        yield made


@pytest.fixture
def small_files(lake: Lake) -> Lake:
    settings = dataclasses.replace(lake.settings, target_file_bytes=truths.TARGET_FILE_BYTES)
    return dataclasses.replace(lake, settings=settings)


def a_late_hour(start: datetime, number: int) -> list[Change]:
    return [truths.late(start, number)]


def a_cured_hour(start: datetime, number: int) -> list[Change]:
    return [truths.cured(start, number)]


def a_range(start: datetime, number: int) -> list[Change]:
    """Two queries and a withdrawal: hours that are new, replaced, cured, emptied and large."""
    kinds = (truths.new, truths.late, truths.cured, truths.emptied, truths.large)
    return [kind(start + timedelta(hours=each), number + each) for each, kind in enumerate(kinds)]


def prepared(lake: Lake, make: Callable[[datetime, int], list[Change]], count: int) -> list[list[Change]]:
    """That many places to die at, each with hours of its own: the old published, the new in raw."""
    made = [make(HOUR + timedelta(hours=7 * each), 10 * each) for each in range(count)]
    changes = [change for each in made for change in each]
    for change in changes:
        truths.become(lake, change.hour, change.old)
    lake.compact(*hours_of(changes))
    for change in changes:
        truths.become(lake, change.hour, change.new)
    return made


def hours_of(changes: Sequence[Change]) -> list[datetime]:
    return [change.hour for change in changes]


def sent(calls: Sequence[str]) -> list[tuple[int, str]]:
    """The deaths that leave something of their own behind: (number of the call, how)."""
    return [(number, "sent") for number, name in enumerate(calls, 1) if name in WRITES]


def every(calls: Sequence[str]) -> list[tuple[int, str]]:
    """Every way to die that leaves something of its own behind: (number of the call, how)."""
    return [(number, "kill") for number in lives.deaths(calls)] + sent(calls)


def calls_of(lake: Lake, mortals: Mortals, make: Callable[[datetime, int], list[Change]]) -> list[str]:
    """The remote calls of a life that nothing ends."""
    (changes,) = prepared(lake, lambda start, number: make(start - timedelta(days=90), 9000), 1)
    life = mortals.compact(lake, hours_of(changes))
    assert set(mortals.ended(life)) <= {"published", "empty"}
    truths.assert_true(lake, changes)
    assert {"ListObjectsV2", "BatchCreatePartition", "StartQueryExecution"} <= set(life.calls)
    return life.calls


def publishing(calls: Sequence[str]) -> list[tuple[int, str]]:
    """The deaths at what changes the catalog."""
    return [(number, how) for number, how in sent(calls) if calls[number - 1].startswith("Batch")]


# Exceptions at every call are in `test_crashes.py`.
@pytest.mark.slow
@pytest.mark.parametrize(("make", "deaths"), [(a_late_hour, sent), (a_range, publishing)])
def test_a_compaction_may_be_killed_at_any_call(
    small_files: Lake,
    mortals: Mortals,
    make: Callable[[datetime, int], list[Change]],
    deaths: Callable[[Sequence[str]], list[tuple[int, str]]],
) -> None:
    lake = small_files
    calls = calls_of(lake, mortals, make)
    ways = deaths(calls)
    places = prepared(lake, make, len(ways))
    for (number, how), changes in zip(ways, places, strict=True):
        life = mortals.compact(lake, hours_of(changes), script={number: how})
        assert mortals.wait(life) == "SIGKILL"
        assert life.calls == calls[:number]
        truths.assert_old_or_new(lake, changes)
    changes = [change for each in places for change in each]
    results = lake.compact(*hours_of(changes))
    assert {result.state for result in results} <= {"published", "unchanged", "empty"}
    truths.assert_true(lake, changes)


@pytest.mark.slow
@pytest.mark.parametrize("make", [a_late_hour, a_cured_hour, a_range])
def test_the_very_next_run_makes_good_whatever_a_kill_left(
    small_files: Lake, mortals: Mortals, make: Callable[[datetime, int], list[Change]]
) -> None:
    lake = small_files
    calls = calls_of(lake, mortals, make)
    ways = [(number, how) for number in range(1, len(calls) + 1) for how in ("kill", "sent")]
    for (number, how), changes in zip(ways, prepared(lake, make, len(ways)), strict=True):
        killed = mortals.compact(lake, hours_of(changes), script={number: how})
        assert mortals.wait(killed) == "SIGKILL"
        truths.assert_old_or_new(lake, changes)
        # The next one is killed there as well, where it gets so far; and the next runs through.
        again = mortals.compact(lake, hours_of(changes), script={number: how})
        assert mortals.wait(again) in ("SIGKILL", "exit 0")
        truths.assert_old_or_new(lake, changes)
        mortals.ended(mortals.compact(lake, hours_of(changes)))
        truths.assert_true(lake, changes)


@pytest.mark.slow
def test_a_refresh_may_be_killed_at_any_call(lake: Lake, mortals: Mortals) -> None:
    names = ["transactions", "sales_hourly", "product_daily"]
    day = date(2010, 12, 1)
    change = truths.late(HOUR, 1)

    def sums() -> tuple[int, int, int]:
        made = [lake.select("transactions", "count(*) AS n")]
        made += [lake.select(name, 'coalesce(sum("lines"), 0) AS n') for name in names[1:]]
        first, second, third = (int(rows[0]["n"]) for rows in made)
        return first, second, third

    def wave() -> None:
        for truth, count in ((change.old, 1), (change.new, 2)):
            truths.become(lake, HOUR, truth)
            lake.compact(HOUR)
            if count == 1:
                mortals.ended(mortals.refresh(lake, names, [day]))
                assert sums() == (1, 1, 1)

    wave()
    life = mortals.refresh(lake, names, [day])
    mortals.ended(life)
    assert sums() == (2, 2, 2)
    for number, how in every(life.calls):
        wave()
        assert mortals.wait(mortals.refresh(lake, names, [day], script={number: how})) == "SIGKILL"
        assert set(sums()) <= {1, 2}
        mortals.ended(mortals.refresh(lake, names, [day]))
        assert sums() == (2, 2, 2)
