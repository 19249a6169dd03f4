"""Moves a past input to the present, by whole weeks.

Whole weeks keep each record's weekday and hour of day (UTC), and with them the gaps in trade that a feed
has. Here belong how far to move and what is known of an input's times. Not here: rewriting a record's time
(``values.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from retail_analytics.ingest.errors import InputError
from retail_analytics.ingest.rows import open_rows
from retail_analytics.ingest.values import EventTimes

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from retail_analytics.feeds import Feed

WEEK = timedelta(weeks=1)


@dataclass(frozen=True)
class Span:
    """The times of an input.

    Attributes:
        rows: How many rows it has, those without a readable time included.
        first: The earliest event time, aware; None where no row has one.
        last: The latest.
    """

    rows: int
    first: datetime | None
    last: datetime | None


def weeks_to(last: datetime, now: datetime) -> int:
    """How many whole weeks to move ``last`` so that it is as late as it can be without passing ``now``.

    Both aware; negative for a time in the future.
    """
    return (now - last) // WEEK


def span(feed: Feed, path: Path) -> Span:
    """Read an input's event times: one pass, in which every distinct time is parsed once.

    Raises:
        InputError: The file cannot be used.
    """
    times = EventTimes(feed.event_time.strptime_format, timedelta(0))
    texts: set[str] = set()
    first: datetime | None = None
    last: datetime | None = None
    count = 0
    with open_rows(feed, path) as (layout, rows):
        index = layout.positions[feed.columns.index(feed.event_time_column)]
        for count, row in enumerate(rows, start=1):  # noqa: B007 -- the last count is the number of rows
            if index >= len(row.fields) or (text := row.fields[index]) in texts:
                continue
            if len(texts) >= _REMEMBERED:
                texts.clear()
            texts.add(text)
            when, _ = times.read(text)
            if when is not None:
                first = when if first is None else min(first, when)
                last = when if last is None else max(last, when)
    return Span(count, first, last)


_REMEMBERED = 1 << 14  # texts; neighbouring rows share theirs


def shift_to(times: Span, now: datetime) -> timedelta:
    """How far to move an input so that its last event is recent.

    Raises:
        InputError: No row has a readable event time.
    """
    if times.last is None:
        raise InputError(
            "No row of the input has a time in the feed's pattern, so it cannot be moved to the present; "
            "correct the times or leave --shift-to-now out."
        )
    return weeks_to(times.last, now) * WEEK
