"""Two processes that compact the same hour at once end in one published result, the truth, by themselves.

One is stopped before a remote call while raw changes and the other runs from beginning to end, at each of its
calls in turn; or both dawdle at random. Readers that look all the while find whole hours: the old, the one in
between, or the new.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from retail_analytics_tests.integration import truths
from retail_analytics_tests.integration.lakes import HOUR, line
from retail_analytics_tests.integration.lives import mortals_in
from retail_analytics_tests.integration.truths import Change, Truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from retail_analytics.embedded.cloud import EmbeddedCloud
    from retail_analytics_tests.integration.lakes import Lake
    from retail_analytics_tests.integration.lives import Mortals

    Make = Callable[[datetime, int], "Story"]

_PAUSE_SECONDS = 0.05  # between two looks: the processes are to get on as well


@pytest.fixture(scope="module")
def mortals(shared_cloud: EmbeddedCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortals]:
    with shared_cloud.applied(), mortals_in(tmp_path_factory.mktemp("lives")) as made:
        yield made


class Reader:
    """Looks at hours in a loop, and keeps what it found that it should not."""

    def __init__(self, lake: Lake, allowed: Mapping[datetime, Sequence[Truth]]) -> None:
        self.looks = 0
        self._lake, self._allowed = lake, allowed
        self._over = threading.Event()
        self._faults: list[BaseException] = []

    @contextmanager
    def looking(self) -> Iterator[Reader]:
        """Looks during the block, before and after it too; fails the test for what it found."""
        thread = threading.Thread(target=self._look, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join(60)
        assert not thread.is_alive(), "a look takes for ever"
        assert self.looks >= 2
        if self._faults:
            raise self._faults[0]

    def _look(self) -> None:
        try:
            while True:
                last = self._over.is_set()
                for hour, seen in truths.look(self._lake, list(self._allowed)).items():
                    truths.assert_one_of(seen, self._allowed[hour])
                self.looks += 1
                if last:
                    return
                self._over.wait(_PAUSE_SECONDS)
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            self._faults.append(error)


@dataclass(frozen=True)
class Story:
    """An hour that changes twice: before the first process begins, and while it is stopped."""

    hour: datetime
    old: Truth
    between: Truth
    new: Truth

    @property
    def truths(self) -> tuple[Truth, ...]:
        return self.old, self.between, self.new

    @property
    def end(self) -> Change:
        return Change(self.hour, self.old, self.new)


def more(hour: datetime, number: int) -> Story:
    """Each time a good line and a rejected one come late."""
    stages = [
        Truth(tuple(text for each in range(count) for text in (line(100 * number + each), f"bad {each}")))
        for count in (1, 2, 3)
    ]
    return Story(hour, *stages)


def relapsed(hour: datetime, number: int) -> Story:
    """The rejected line goes, and another comes."""
    good = line(100 * number)
    return Story(hour, Truth((good, "bad")), Truth((good,)), Truth((good, "worse")))


def recovered(hour: datetime, number: int) -> Story:
    """A rejected line comes, and goes again."""
    good = line(100 * number)
    return Story(hour, Truth((good,)), Truth((good, "bad")), Truth((good, line(100 * number + 1))))


def vanished(hour: datetime, number: int) -> Story:
    """A rejected line comes, and then all goes."""
    good = line(100 * number)
    return Story(hour, Truth((good,)), Truth((good, "bad")), Truth())


def returned(hour: datetime, number: int) -> Story:
    """All goes, and then a rejected line comes with a good one."""
    good = line(100 * number)
    return Story(hour, Truth((good, "bad")), Truth(), Truth((good, "worse")))


def relieved(hour: datetime, number: int) -> Story:
    """One more rejected line comes, and then both go."""
    good = line(100 * number)
    return Story(hour, Truth((good, "bad")), Truth((good, "bad", "worse")), Truth((good,)))


STORIES = (more, relapsed, recovered, vanished, returned, relieved)


def begun(lake: Lake, make: Make, count: int, start: datetime = HOUR) -> list[Story]:
    """That many hours, a day apart: the old published, raw changed once since."""
    stories = [make(start + timedelta(days=each), 10 * each) for each in range(count)]
    for story in stories:
        truths.become(lake, story.hour, story.old)
    lake.compact(*(story.hour for story in stories))
    for story in stories:
        truths.become(lake, story.hour, story.between)
    return stories


def calls_of(lake: Lake, mortals: Mortals, make: Make) -> list[str]:
    """The calls of a process that nobody disturbs."""
    (story,) = begun(lake, make, 1, HOUR - timedelta(days=40))
    life = mortals.compact(lake, [story.hour])
    assert set(mortals.ended(life)) <= {"published", "empty"}
    truths.assert_true(lake, [Change(story.hour, story.old, story.between)])
    return life.calls


def publishing(calls: Sequence[str]) -> list[int]:
    """The numbers of the calls that change the catalog after the process has last looked at raw."""
    looks = [number for number, name in enumerate(calls, 1) if name == "ListObjectsV2"]
    before, end = looks[-2:]
    return [number for number in range(before + 1, end) if calls[number - 1].startswith("Batch")]


def overtaken(
    lake: Lake, mortals: Mortals, make: Make, calls: Sequence[str], ways: Sequence[dict[int, str]]
) -> None:
    """One stops before a call, raw changes, another compacts it, and the one goes on, maybe to its death."""
    stories = begun(lake, make, len(ways))
    with Reader(lake, {story.hour: story.truths for story in stories}).looking():
        for script, story in zip(ways, stories, strict=True):
            slow = mortals.compact(lake, [story.hour], script=script)
            assert mortals.wait(slow) == "stopped"
            assert slow.calls == calls[: min(script)]
            truths.become(lake, story.hour, story.new)
            mortals.ended(mortals.compact(lake, [story.hour]))
            mortals.go_on(slow)
            if "kill" in script.values():
                assert mortals.wait(slow) == "SIGKILL"
                mortals.ended(mortals.compact(lake, [story.hour]))  # whoever comes next
            else:
                mortals.ended(slow)
            truths.assert_true(lake, [story.end])


@pytest.mark.slow
def test_a_process_that_was_overtaken_at_its_publication_leaves_the_truth(
    lake: Lake, mortals: Mortals
) -> None:
    calls = calls_of(lake, mortals, more)
    rejects, *_, rows = [number for number in publishing(calls) if calls[number - 1] != "BatchGetPartition"]
    overtaken(lake, mortals, more, calls, [{rejects: "stop"}, {rows: "stop"}])


@pytest.mark.parametrize("make", [relapsed, pytest.param(recovered, marks=pytest.mark.slow)])
def test_what_an_overtaken_process_left_when_it_was_killed_the_next_run_makes_good(
    lake: Lake, mortals: Mortals, make: Make
) -> None:
    calls = calls_of(lake, mortals, make)
    # It has put its rejects, or removed those that were there, and then not its rows.
    *_, stop, _, rows = publishing(calls)
    overtaken(lake, mortals, make, calls, [{stop: "stop", rows: "kill"}])


@pytest.mark.slow
@pytest.mark.parametrize("make", STORIES)
def test_a_process_that_was_overtaken_at_any_call_leaves_the_truth(
    lake: Lake, mortals: Mortals, make: Make
) -> None:
    calls = calls_of(lake, mortals, make)
    overtaken(lake, mortals, make, calls, [{number: "stop"} for number in range(1, len(calls) + 1)])


@pytest.mark.slow
@pytest.mark.parametrize("make", [more, relapsed, recovered, returned])
def test_what_an_overtaken_process_leaves_at_any_call_the_next_run_makes_good(
    lake: Lake, mortals: Mortals, make: Make
) -> None:
    calls = calls_of(lake, mortals, make)
    stops = publishing(calls)
    ways = [{stop: "stop", death: "kill"} for stop in stops for death in range(stop + 1, len(calls) + 1)]
    overtaken(lake, mortals, make, calls, ways)


def at_random(lake: Lake, mortals: Mortals, rounds: int) -> None:
    """Two dawdle over the same three hours; raw changes after the first has begun."""
    makes = (truths.late, truths.cured, truths.new)
    for number in range(rounds):
        start = HOUR + timedelta(days=number)
        changes = [
            make(start + timedelta(hours=each), 100 * number + 10 * each) for each, make in enumerate(makes)
        ]
        for change in changes:
            truths.become(lake, change.hour, change.old)
        hours = [change.hour for change in changes]
        lake.compact(*hours)
        with Reader(lake, {change.hour: (change.old, change.new) for change in changes}).looking():
            first = mortals.compact(lake, hours, seed=2 * number, dawdle_seconds=0.1)
            for change in changes:
                truths.become(lake, change.hour, change.new)
            second = mortals.compact(lake, hours, seed=2 * number + 1, dawdle_seconds=0.1)
            mortals.ended(first)
            mortals.ended(second)
            truths.assert_true(lake, changes)


@pytest.mark.slow
def test_two_processes_that_dawdle_end_in_one_result_each_time(lake: Lake, mortals: Mortals) -> None:
    at_random(lake, mortals, rounds=40)


def test_two_refreshes_at_once_end_in_one_day(lake: Lake, mortals: Mortals) -> None:
    change, day = truths.late(HOUR, 1), date(2010, 12, 1)
    truths.become(lake, HOUR, change.old)
    lake.compact(HOUR)
    mortals.ended(mortals.refresh(lake, ["transactions"], [day]))
    first = mortals.refresh(lake, ["transactions"], [day], seed=1, dawdle_seconds=0.1)
    truths.become(lake, HOUR, change.new)
    lake.compact(HOUR)
    second = mortals.refresh(lake, ["transactions"], [day], seed=2, dawdle_seconds=0.1)
    mortals.ended(first)
    mortals.ended(second)
    found = lake.select("transactions", "record_id", "event_day = DATE '2010-12-01'")
    assert sorted(row["record_id"] for row in found) == list(change.new.seen.ids)
