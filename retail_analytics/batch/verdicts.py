"""What the checks of the batch have in common: what they look at, and how they tell what they found.

Not here: the checks (``checks.py``, ``processed_checks.py``).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from retail_analytics.lake import hours, windows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

CHECKED_DAYS = 31
"""How far back a check looks that is run by itself, not with hours of a run."""

_SHOWN = 10


def hours_to_check(run: dg.DagsterRun, feed: Feed, settings: Settings) -> tuple[datetime, datetime]:
    """The hours ``[start, end)`` that a check looks at: the run's, or the last month's closed ones."""
    named = windows.run_range(run)
    if named is not None and len(named[0]) > len("2010-12-01"):
        first, last = (hours.from_partition_key(key) for key in named)
        return first, last + hours.HOUR
    end = hours.closed_until(feed, settings, datetime.now(UTC))
    return max(hours.first_hour(feed, settings), end - timedelta(days=CHECKED_DAYS)), end


def days_to_check(run: dg.DagsterRun, feed: Feed, settings: Settings) -> list[date]:
    """The event days that a check looks at: the run's, or the last month's."""
    named = windows.run_range(run)
    if named is not None and len(named[0]) == len("2010-12-01"):
        first, last = (hours.from_day_key(key) for key in named)
    else:
        start, end = hours_to_check(run, feed, settings)
        first, last = start.date(), end.date()
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def verdict(
    problems: Sequence[str],
    *,
    examined: int,
    what: str,
    advice: str,
    in_run: bool = False,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    more: Mapping[str, Any] | None = None,
) -> dg.AssetCheckResult:
    """A result; to have found nothing to examine is a failure.

    Except beside hours or days that a run has just made: these may rightly be empty, and the run says so.

    Args:
        problems: A sentence each.
        examined: How many things were looked at.
        what: What these are.
        advice: What to do about the problems.
        in_run: Whether the check belongs to a run that made what it looks at.
        severity: What a problem means; to have examined nothing is always an error.
        more: Further metadata.
    """
    metadata: dict[str, Any] = {f"{what} examined": examined, **(more or {}), "problems": len(problems)}
    if problems:
        shown = [f"- {problem}" for problem in problems[:_SHOWN]]
        shown += [f"- … and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        metadata["what is wrong"] = dg.MetadataValue.md("\n".join(shown))
        metadata["what to do"] = advice
        description = f"{len(problems)} problem(s) in {examined} {what}. {problems[0]}"
    elif not examined and in_run:
        description = f"The run's hours or days are empty: there are no {what}."
    elif not examined:
        description = f"There were no {what} to examine: nothing is proven."
    else:
        description = f"{examined} {what} examined, all good."
    return dg.AssetCheckResult(
        passed=bool(examined or in_run) and not problems,
        severity=severity if problems else dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
        description=description,
    )
