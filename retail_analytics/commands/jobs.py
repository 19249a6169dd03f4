"""Dagster jobs run in this process, for the command line: the same definitions, no daemon."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import dagster as dg

from retail_analytics.lake.following import follow
from retail_analytics.lake.sensors import lake_of
from retail_analytics.resources.clients import SqsResource
from retail_analytics.resources.s3 import LakeS3Resource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from dagster._core.execution.plan.objects import StepFailureData

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

_JOB = "from_the_command_line"
_LOGGING: dict[str, object] = {"loggers": {"console": {}}}


@dg.logger(config_schema={}, description="A line a message, for people at a terminal.")
def terminal_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """A logger that prints messages of assets, and problems, and none of Dagster's own events."""
    # Not getLogger: one that outlives its run would print every message once more for each run.
    logger = logging.Logger("retail_analytics.terminal", level=logging.INFO)  # noqa: LOG001
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(lambda record: not hasattr(record, "dagster_event"))
    handler.setFormatter(_Message())
    logger.addHandler(handler)
    return logger


class _Message(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", {})
        return f"    {meta.get('orig_message') or record.getMessage()}"


def load_definitions(settings: Settings) -> dg.Definitions:
    """The deployment's definitions, with a terminal for their logs."""
    # Importing the entry point reads the environment, which is only complete by now.
    from retail_analytics.definitions import build_definitions

    return dg.Definitions.merge(
        build_definitions(settings), dg.Definitions(loggers={"console": terminal_logger})
    )


def run_assets(
    definitions: dg.Definitions,
    keys: Sequence[dg.AssetKey],
    instance: dg.DagsterInstance,
    tags: Mapping[str, str] | None = None,
    run_id: str | None = None,
    config: Mapping[str, object] | None = None,
) -> dg.ExecuteInProcessResult:
    """Materialise assets, with their checks, in this process; a failure is in the result, not raised."""
    # A job of our own: the implicit one takes no loggers from the definitions.
    job = dg.define_asset_job(_JOB, selection=dg.AssetSelection.assets(*keys))
    resolved = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job])).resolve_job_def(_JOB)
    return resolved.execute_in_process(
        run_config={**_LOGGING, **(config or {})},
        instance=instance,
        tags=dict(tags or {}),
        raise_on_error=False,
        run_id=run_id,
    )


def run_job(
    definitions: dg.Definitions, name: str, instance: dg.DagsterInstance
) -> dg.ExecuteInProcessResult:
    """Run a job to its end in this process; a failure is in the result, not raised."""
    job = definitions.resolve_job_def(name)
    return job.execute_in_process(run_config=_LOGGING, instance=instance, raise_on_error=False)


def failures_of(result: dg.ExecuteInProcessResult) -> list[str]:
    """Why each failed step of a run failed, a sentence each."""
    return [
        f"{event.step_key}: {_reason(event.step_failure_data)}"
        for event in result.all_events
        if event.is_step_failure
    ] or ["it failed outside its steps; its run in the UI says more"]


def _reason(data: StepFailureData) -> str:
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    # Dagster's own wrapper comes first; what went wrong is at the end of the chain.
    while error and error.cause:
        error = error.cause
    return error.message.strip() if error else "no message"


def report_raw_hours(feed: Feed, settings: Settings, instance: dg.DagsterInstance, now: datetime) -> int:
    """What the arrivals sensor does, tick after tick until it has caught up; returns hours reported."""
    lake = lake_of(instance, LakeS3Resource.of(settings), SqsResource(region=settings.region), feed, settings)
    cursor: str | None = None
    reported = 0
    while True:
        tick = follow(lake, cursor, now)
        reported += tick.reported
        cursor = tick.cursor
        if not tick.behind:
            return reported
