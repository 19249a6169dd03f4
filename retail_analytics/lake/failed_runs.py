"""Failed runs as notes on the assets that they were to make: written once, read by checks and notices.

A note is an observation: which partitions, which run, and the first reason in one sentence. Hours that keep
failing are found from these notes, so that looking for them costs the recent failures. Not here: the sensor
that writes the notes (``batch/failures.py``).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from retail_analytics.feeds import FEEDS
from retail_analytics.lake import hours as hours_
from retail_analytics.lake import windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REMEMBERED = timedelta(days=7)
"""How far back failures are looked for; what failed earlier stands in the UI as failed."""

MOST_NOTES = 200
MOST_HOURS = 1000

_LONGEST_REASON = 2000
_RUN, _PARTITIONS, _REASON, _ADVICE = "failed run", "partitions", "reason", "what to do"
_NO_PARTITION = "no partition"
_TO = " to "


@dataclass(frozen=True)
class Failure:
    """A run that failed.

    Attributes:
        run_id: The run.
        first: The first partition that it was about, or an empty string for none.
        last: The last one.
        reason: Why, in one sentence.
    """

    run_id: str
    first: str
    last: str
    reason: str

    @property
    def about(self) -> str:
        """The partitions, for people."""
        return f"{self.first}{_TO}{self.last}" if self.first else _NO_PARTITION

    def hours(self) -> list[datetime]:
        """The hours that it was about, in order; none where it was about days or about none."""
        try:
            first, last = hours_.from_partition_key(self.first), hours_.from_partition_key(self.last)
        except ValueError:
            return []
        return list(hours_.hours_between(first, last + hours_.HOUR))

    def note(self, key: dg.AssetKey) -> dg.AssetObservation:
        """The failure as a note on an asset."""
        return dg.AssetObservation(
            key,
            # A failed range has no single partition; the note then stands on the asset.
            partition=self.first if self.first and self.first == self.last else None,
            metadata={
                _RUN: self.run_id,
                _PARTITIONS: self.about,
                _REASON: self.reason,
                _ADVICE: "Read the run; materialise the partitions again once its cause is gone.",
            },
        )


@dataclass(frozen=True)
class Attempts:
    """How often an hour failed, and why it did the last time."""

    count: int
    failure: Failure


def of_run(context: dg.RunFailureSensorContext) -> Failure:
    """The failure that a sensor was told of."""
    first, last = windows.run_range(context.dagster_run) or ("", "")
    return Failure(context.dagster_run.run_id, first, last, first_reason(context))


def first_reason(context: dg.RunFailureSensorContext) -> str:
    """The description of the step failure that ended the run, or the run's own message."""
    for event in context.get_step_failure_events():
        data = event.step_failure_data
        if data.user_failure_data and data.user_failure_data.description:
            return data.user_failure_data.description[:_LONGEST_REASON]
        if data.error:
            return data.error.message.strip()[:_LONGEST_REASON]
    return (context.failure_event.message or "no message")[:_LONGEST_REASON]


def planned_assets(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[dg.AssetKey]:
    """The feeds' assets that the run was to make, from its plan: a range of any length costs the same."""
    keys = set(run.asset_selection or ())
    if not keys and run.execution_plan_snapshot_id:
        plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
        properties = (output.properties for step in plan.steps for output in step.outputs)
        keys = {each.asset_key for each in properties if each is not None and each.asset_key is not None}
    feeds = {feed.name for feed in FEEDS}
    return sorted((key for key in keys if key.path[0] in feeds), key=lambda key: key.to_user_string())


def recent(instance: dg.DagsterInstance, key: dg.AssetKey, now: datetime) -> list[Failure]:
    """The failures that are noted on an asset, newest first: one query, bounded."""
    wanted = dg.AssetRecordsFilter(key, after_timestamp=(now - REMEMBERED).timestamp())
    records = instance.fetch_observations(wanted, limit=MOST_NOTES).records
    notes = (record.asset_observation for record in records)
    return [read_note(note) for note in notes if note is not None and _RUN in note.metadata]


def read_note(note: dg.AssetObservation) -> Failure:
    """The inverse of :meth:`Failure.note`."""
    text = {name: str(value.value) for name, value in note.metadata.items()}
    first, _, last = text.get(_PARTITIONS, "").partition(_TO)
    return Failure(text[_RUN], first if last else "", last, text.get(_REASON, ""))


def attempts_by_hour(failures: Iterable[Failure], now: datetime) -> Mapping[datetime, Attempts]:
    """How often each hour failed, newest hours first and no more than :data:`MOST_HOURS` of them.

    Args:
        failures: Newest first; the reason that counts is the last.
        now: Hours after it are no hours.
    """
    by_hour: dict[datetime, list[Failure]] = defaultdict(list)
    for failure in failures:
        for hour in failure.hours()[-MOST_HOURS:]:
            if hour <= now.astimezone(UTC):
                by_hour[hour].append(failure)
    newest = sorted(by_hour, reverse=True)[:MOST_HOURS]
    return {hour: Attempts(len(by_hour[hour]), by_hour[hour][0]) for hour in newest}
