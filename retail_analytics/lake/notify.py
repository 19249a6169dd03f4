"""Outcomes of runs, announced: hours that were compacted, and runs that failed. One message a run.

The message is JSON, version 1; ``docs/health.md`` documents it. A run is announced once: what was told is
noted on the run as a tag, after telling, so that a crash in between tells twice rather than never, under one
id. A notice that reaches nobody is a failed tick, and no failure of the pipeline. Off unless a setting names
an addressee. Not here: how a notice travels (``resources/notices.py``).
"""

import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.run_request import DagsterRunReaction
from dagster._utils.error import serializable_error_info_from_exc_info

from retail_analytics.feeds import FEEDS
from retail_analytics.lake import failed_runs, windows
from retail_analytics.lake.failed_runs import Failure
from retail_analytics.resources.notices import Notice, NoticeError, Notifier
from retail_analytics.settings import Settings

TOLD = "retail_analytics/announced"
"""The tag of a run that was announced; its value is the notice's id."""

MOST_HOURS = 5000
"""Hours of one run that are counted; a longer run is announced with how many were."""

Reaction = DagsterRunReaction | dg.SkipReason

_VERSION = 1
_PAGE = 1000
_AT_EVERY_LOOK = 1  # one run a tick, and a burst of runs should not wait half a minute each
_COUNTED = ("rows", "rejected", "duplicates")


@dataclass
class Totals:
    """What a run made of its hours.

    Attributes:
        hours: How many it reported.
        states: Hours by their state, such as ``published`` or ``unchanged``.
        counts: Their rows, rejected records and duplicates.
        complete: Whether all of the run's hours are counted.
    """

    hours: int = 0
    states: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTED, 0))
    complete: bool = True

    def add(self, made: dg.AssetMaterialization) -> None:
        """Count an hour."""
        values = {name: value.value for name, value in made.metadata.items()}
        state = str(values.get("state", "unknown"))
        self.hours += 1
        self.states[state] = self.states.get(state, 0) + 1
        for name in _COUNTED:
            self.counts[name] += int(str(values.get(name, 0)))


def build_notify_sensors(settings: Settings, notifier: Notifier | None = None) -> list[dg.SensorDefinition]:
    """The sensors that announce; none where nobody is to be told."""
    addressees = Notifier.of(settings) if notifier is None else notifier
    if not addressees.is_on:
        return []
    return [_succeeded(settings, addressees), _failed(settings, addressees)]


def _succeeded(settings: Settings, notifier: Notifier) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        name="announce_compacted_hours",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitor_all_code_locations=True,  # runs of the command line are of no location
        minimum_interval_seconds=_AT_EVERY_LOOK,
        description="Announces each run that compacted hours: which hours, and their counts.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def announce_compacted_hours(context: dg.RunStatusSensorContext) -> Reaction:
        run = context.dagster_run
        planned = failed_runs.planned_assets(context.instance, run)
        keys = [key for key in planned if key.path[-1] == "compacted"]
        if not keys:
            return dg.SkipReason(f"Run {run.run_id} compacted no hours.")
        notice = of_success(settings, run, keys, totals_of(context.instance, run, keys))
        return announce(context.instance, run, notifier, notice)

    return announce_compacted_hours


def _failed(settings: Settings, notifier: Notifier) -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="announce_failed_runs",
        monitor_all_code_locations=True,
        minimum_interval_seconds=_AT_EVERY_LOOK,
        description="Announces each failed run: its assets, its hours or days, and the first reason.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def announce_failed_runs(context: dg.RunFailureSensorContext) -> Reaction:
        run = context.dagster_run
        planned = failed_runs.planned_assets(context.instance, run)
        if not planned and run.tags.get("feed") not in {feed.name for feed in FEEDS}:
            return dg.SkipReason(f"Run {run.run_id} was about no feed.")
        notice = of_failure(settings, run, planned, failed_runs.of_run(context))
        return announce(context.instance, run, notifier, notice)

    return announce_failed_runs


def announce(
    instance: dg.DagsterInstance, run: dg.DagsterRun, notifier: Notifier, notice: Notice
) -> Reaction:
    """Tell of a run, once.

    Returns:
        What makes the tick: a success, or a failure with its error. Either ends it, since Dagster takes
        several runs a tick and shows the last one's outcome, which would hide a failure before it.
    """
    # With the run's own id in it: a run that is executed again inherits the tags of the one before.
    told = str(notice.body["id"])
    known = instance.get_run_by_id(run.run_id)
    if known is not None and known.tags.get(TOLD) == told:
        return dg.SkipReason(f"Run {run.run_id} was announced before.")
    try:
        notifier.send(notice)
    except NoticeError:
        return DagsterRunReaction(run, serializable_error_info_from_exc_info(sys.exc_info()), run.status)
    instance.add_run_tags(run.run_id, {TOLD: told})
    return DagsterRunReaction(run, run_status=run.status)


def totals_of(instance: dg.DagsterInstance, run: dg.DagsterRun, keys: Collection[dg.AssetKey]) -> Totals:
    """What the run reported of its hours, page by page, up to :data:`MOST_HOURS`."""
    totals = Totals()
    cursor: str | None = None
    while True:
        page = instance.get_records_for_run(
            run.run_id, cursor=cursor, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION, limit=_PAGE
        )
        for record in page.records:
            made = record.event_log_entry.asset_materialization
            if made is None or made.asset_key not in keys:
                continue
            if totals.hours == MOST_HOURS:
                totals.complete = False
                return totals
            totals.add(made)
        if not page.has_more:
            return totals
        cursor = page.cursor


def of_success(settings: Settings, run: dg.DagsterRun, keys: list[dg.AssetKey], totals: Totals) -> Notice:
    """The notice of a run that compacted hours."""
    first, last = windows.run_range(run) or ("", "")
    body = _body(settings, run, "hours_compacted", keys, first, last)
    body |= {
        "hours": totals.hours,
        "all_hours_counted": totals.complete,
        "states": dict(sorted(totals.states.items())),
        **totals.counts,
    }
    about = f"{first} to {last}" if first else "no hours"
    feeds = body["feed"] or "several feeds"
    subject = f"{settings.deployment}: {totals.hours} hours of {feeds} compacted ({about})"
    return Notice(subject, body, _attributes(body))


def of_failure(
    settings: Settings, run: dg.DagsterRun, planned: list[dg.AssetKey], failure: Failure
) -> Notice:
    """The notice of a run that failed."""
    body = _body(settings, run, "run_failed", planned, failure.first, failure.last)
    body |= {"hours": len(failure.hours()), "reason": failure.reason}
    what = body["feed"] or run.job_name
    return Notice(f"{settings.deployment}: a run of {what} failed ({failure.about})", body, _attributes(body))


def _body(
    settings: Settings, run: dg.DagsterRun, event: str, keys: list[dg.AssetKey], first: str, last: str
) -> dict[str, object]:
    return {
        "version": _VERSION,
        "id": f"{run.run_id}/{event}",
        "event": event,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "deployment": settings.deployment,
        "feed": _feed_of(keys) or run.tags.get("feed", ""),
        "run_id": run.run_id,
        "job": run.job_name,
        "assets": [key.to_user_string() for key in keys],
        "first": first,
        "last": last,
    }


def _feed_of(keys: list[dg.AssetKey]) -> str:
    """The feed that all of the assets are of, or an empty string."""
    feeds = {key.path[0] for key in keys}
    return next(iter(feeds & {feed.name for feed in FEEDS}), "") if len(feeds) == 1 else ""


def _attributes(body: dict[str, object]) -> dict[str, str]:
    return {name: str(body[name]) for name in ("event", "feed", "deployment")}
