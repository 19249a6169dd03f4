"""``retail-analytics backfill``: a stretch of hours through Dagster, from a shell, in a handful of runs.

What is to be done is planned and told first, done run by run, and planned again between hours and days, since
compaction tells which days its hours held. Stopped at any moment, the same command goes on where it was:
what is done is known by the catalog and by Dagster, not by this process. Not here: the plan
(``backfill_plan.py``) and its cost.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.execution.plan.objects import ErrorSource

from retail_analytics.batch.assets import compacted_key
from retail_analytics.batch.staging import Pipeline
from retail_analytics.commands import jobs
from retail_analytics.commands.backfill_plan import make_plan
from retail_analytics.lake import hours, windows
from retail_analytics.lake.assets import catalog_key
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import s3_client
from retail_analytics.resources.faults import INTERRUPTED
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from retail_analytics.commands.backfill_plan import BackfillPlan
    from retail_analytics.feeds import Feed

_INTERRUPTED = 130


class BackfillError(ValueError):
    """A backfill that cannot begin; the message says why, and what to give instead."""


def run_backfill(
    feed: Feed, first: datetime | None, last: datetime | None, dry_run: bool = False, force: bool = False
) -> int:
    """Compact the hours from ``first`` to ``last``, both included, then make and index the days they touch.

    Args:
        feed: Whose hours.
        first: The first hour, aware and whole; None for the first that the feed has.
        last: The last one; None for the last that is closed.
        dry_run: Tell the plan, and do nothing.
        force: Compact hours again that are published from what raw holds, and make their days again.

    Returns:
        The exit status: 0 where all was done, 1 where a run failed, 130 where it was interrupted.

    Raises:
        BackfillError: DAGSTER_HOME is not set, or the hours are not all partitions of the feed here.
    """
    if not os.environ.get("DAGSTER_HOME"):
        raise BackfillError(
            "DAGSTER_HOME is not set, and a backfill is Dagster's to remember: set it to the deployment's"
            ' (`eval "$(retail-analytics env --export)"` for the embedded cloud).'
        )
    settings = Settings.from_env()
    there = hours.first_hour(feed, settings), hours.floor_hour(datetime.now(UTC)) - hours.HOUR
    first = first or there[0]
    last = last or hours.closed_until(feed, settings, datetime.now(UTC)) - hours.HOUR
    if not there[0] <= first <= last <= there[1]:
        raise BackfillError(
            f"{feed.name} has the hours from {there[0]:%Y-%m-%dT%H} to {there[1]:%Y-%m-%dT%H} (UTC):"
            " give --from and --to within them, in that order. RETAIL_FIRST_HOUR moves the first."
        )
    with dg.DagsterInstance.get() as instance:
        backfill = _Backfill(feed, settings, instance, first, last, force)
        plan = backfill.plan(force=force)
        print("\n".join(plan.lines(settings.usd_per_tebibyte)), flush=True)
        if dry_run:
            return 0
        try:
            failures = backfill.run(plan)
        except KeyboardInterrupt:
            return backfill.tell_interrupted()
    for failure in failures:
        print(f"Failed: {failure}")
    if not failures:
        many = f"{plan.hours} hours of {feed.name} are" if plan.hours != 1 else f"1 hour of {feed.name} is"
        print(f"{many} compacted, and the days that they touch are made.")
    return 1 if failures else 0


@dataclass(frozen=True)
class _Backfill:
    feed: Feed
    settings: Settings
    instance: dg.DagsterInstance
    first: datetime
    last: datetime
    force: bool = False

    def plan(self, expecting: bool = True, force: bool = False) -> BackfillPlan:
        """What is left to do, with the days of hours that are still to be compacted, or without them."""
        settings = self.settings
        catalog = Catalog.of(settings)
        pipeline = Pipeline(
            self.feed, settings, s3_client(settings.region), AthenaResource.of(settings), catalog
        )
        return make_plan(pipeline, self.instance, self.first, self.last, expecting, force)

    def run(self, plan: BackfillPlan) -> list[str]:
        """Do it; returns why what failed did.

        Raises:
            KeyboardInterrupt: Somebody interrupted it; its runs are canceled.
        """
        definitions = jobs.load_definitions(self.settings)
        failures: list[str] = []
        keys = [catalog_key(self.feed), compacted_key(self.feed)]
        for number, (first, last) in enumerate(plan.stretches, 1):
            named = f"hours {first:%Y-%m-%dT%H} to {last:%Y-%m-%dT%H}"
            tags = windows.range_tags(first, last)
            _tell_run(number, plan.runs, named)
            failures += self._run_one(definitions, keys, tags, self._config())
        # Hours that failed are no hindrance to the days of those that did not.
        days = self.plan(expecting=False).days if plan.stretches else plan.days
        runs = len(plan.stretches) + sum(len(each.stretches) for each in days)
        number = len(plan.stretches)
        for each in days:
            for begin, end in each.stretches:
                number += 1
                _tell_run(number, runs, f"{', '.join(key.path[-1] for key in each.assets)}, {begin} to {end}")
                failures += self._run_one(definitions, each.assets, windows.day_range_tags(begin, end))
        return failures

    def _config(self) -> Mapping[str, object]:
        """The run config of compaction."""
        asset = compacted_key(self.feed).to_python_identifier()
        return {"ops": {asset: {"config": {"force": True}}}} if self.force else {}

    def _run_one(
        self,
        definitions: dg.Definitions,
        keys: Sequence[dg.AssetKey],
        tags: Mapping[str, str],
        config: Mapping[str, object] | None = None,
    ) -> list[str]:
        run_id = str(uuid.uuid4())
        interruption = _Interruption(self.instance, run_id)
        self.instance.add_event_listener(run_id, interruption.listen)
        result = jobs.run_assets(definitions, keys, self.instance, tags, run_id=run_id, config=config)
        if interruption.is_one_of(result):
            raise KeyboardInterrupt
        return [] if result.success else jobs.failures_of(result)

    def tell_interrupted(self) -> int:
        """Say what is done and what is left; returns the exit status."""
        left = self.plan()
        days = max((each.days for each in left.days), default=0)
        print(
            "Interrupted; its run is canceled, and so is its query."
            f" {left.hours - left.stale} of {left.hours} hours are up to date, {left.stale} are to be"
            f" compacted and up to {days} days to be made: give the same command again, and it goes on from"
            f" there{', without --force, which begins anew' if self.force else ''}."
        )
        return _INTERRUPTED


class _Interruption:
    """Ctrl-C during a run: Dagster would call it failed, unless somebody has asked it to cancel."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str) -> None:
        self._instance, self._run_id = instance, run_id
        self._seen = False

    def listen(self, entry: dg.EventLogEntry) -> None:
        """Ask, once a step was interrupted: its query is canceled by then."""
        event = entry.dagster_event
        if event is None or not event.is_step_failure:
            return
        data = event.step_failure_data
        told = data.user_failure_data.description if data.user_failure_data else None
        if told == INTERRUPTED or data.error_source is ErrorSource.INTERRUPT:
            self._seen = True
            run = self._instance.get_run_by_id(self._run_id)
            if run is not None:
                self._instance.report_run_canceling(run, "Interrupted at the command line.")

    def is_one_of(self, result: dg.ExecuteInProcessResult) -> bool:
        """Whether the run was interrupted, in a step or between two."""
        if self._seen:
            return True
        between = any(
            event.event_type is dg.DagsterEventType.PIPELINE_FAILURE
            and "was interrupted" in (event.message or "")
            for event in result.all_events
        )
        run = self._instance.get_run_by_id(self._run_id)
        if between and run is not None:
            self._instance.report_run_canceled(run, "Interrupted at the command line, between two steps.")
        return between


def _tell_run(number: int, of: int, what: str) -> None:
    print(f"Run {number} of {max(of, number)}: {what}", flush=True)
