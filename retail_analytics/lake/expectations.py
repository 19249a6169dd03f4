"""Which hours are expected to hold objects: by the feed's declaration, or learnt from the weeks before.

A shop that is closed on Saturdays delivers nothing on Saturdays, and that is no alarm. An hour is expected
where the same hour of the week was filled in the weeks before. Learning looks at these hours and their
neighbours alone, a handful for each hour in question, whatever the history. Not here: what did arrive
(``freshness.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from retail_analytics.lake.hours import HOUR

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from retail_analytics.feeds.declaration import OpenHours

WEEKS = 4
"""How many weeks back learning looks."""

LEAST_WEEKS = 2
"""Fewer weeks than these say nothing: one filled hour may have been chance."""

_OFTEN = 0.75  # of the weeks known: one holiday or outage in four does not unlearn an hour


@dataclass(frozen=True)
class Expectation:
    """Which of some hours are expected to hold objects, and how that is known.

    Attributes:
        hours: The hours that are.
        unknown: Hours of which too little history says whether they are.
        source: ``declared`` on the feed, or ``learnt`` from the weeks before.
        edges: Expected hours, learnt, before or after which none is expected: shops open late and close
            early, and a week has its last customer at another minute than the one before.
    """

    hours: frozenset[datetime]
    unknown: frozenset[datetime]
    source: Literal["declared", "learnt"]
    edges: frozenset[datetime] = frozenset()


def declared(open_hours: Iterable[OpenHours], hours: Iterable[datetime]) -> Expectation:
    """What the declaration expects of these hours."""
    stretches = tuple(open_hours)
    expected = frozenset(hour for hour in hours if any(each.holds(hour) for each in stretches))
    return Expectation(expected, frozenset(), "declared")


def samples(hours: Iterable[datetime], first: datetime) -> list[datetime]:
    """The hours to learn from: the same hours of the weeks before and those beside them, since the first."""
    return sorted({sample for hour in _with_neighbours(hours) for sample in _before(hour, first)})


def learnt(hours: Collection[datetime], filled: Collection[datetime], first: datetime) -> Expectation:
    """What the weeks before say of these hours.

    Args:
        hours: The hours in question.
        filled: Those of their :func:`samples` that hold records.
        first: The feed's first hour; what is before it says nothing.
    """
    expected: set[datetime] = set()
    unknown: set[datetime] = set()
    for hour in _with_neighbours(hours):
        known = _before(hour, first)
        if len(known) < LEAST_WEEKS:
            unknown.add(hour)
        elif sum(sample in filled for sample in known) >= _OFTEN * len(known):
            expected.add(hour)
    edges = {hour for hour in expected if not expected.issuperset(beside(hour))}
    asked = frozenset(hours)
    return Expectation(asked & expected, asked & unknown, "learnt", asked & edges)


def _with_neighbours(hours: Iterable[datetime]) -> set[datetime]:
    return {each for hour in hours for each in (hour, *beside(hour))}


def beside(hour: datetime) -> tuple[datetime, datetime]:
    """The hours before and after one."""
    return hour - HOUR, hour + HOUR


def _before(hour: datetime, first: datetime) -> list[datetime]:
    weeks = (hour - timedelta(weeks=week) for week in range(1, WEEKS + 1))
    return [sample for sample in weeks if sample >= first]
