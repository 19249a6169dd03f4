"""Run failures, told where a person looks: on the asset, with the hours and the reason in one sentence."""

import dagster as dg

from retail_analytics.lake import windows

_LONGEST_REASON = 2000


@dg.run_failure_sensor(
    name="run_failures",
    description="Notes each failed run on the assets that it was to make: which partitions, and why.",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def run_failures(context: dg.RunFailureSensorContext) -> None:
    """Report the failure of a run on its assets, as an observation."""
    run = context.dagster_run
    named = windows.run_range(run)
    about = f"{named[0]} to {named[1]}" if named else "no partition"
    reason = first_reason(context)
    context.log.error(f"Run {run.run_id} ({about}) failed: {reason}")
    for key in planned_assets(context):
        context.instance.report_runless_asset_event(
            dg.AssetObservation(
                key,
                # A failed range has no single partition; the note then stands on the asset.
                partition=named[0] if named and named[0] == named[1] else None,
                metadata={
                    "failed run": run.run_id,
                    "partitions": about,
                    "reason": reason,
                    "what to do": "Read the run; materialise the partitions again once its cause is gone.",
                },
            )
        )


def planned_assets(context: dg.RunFailureSensorContext) -> list[dg.AssetKey]:
    """The assets that the run was to make; a run of a whole job names them in what it planned alone."""
    run = context.dagster_run
    keys = set(run.asset_selection or ())
    if not keys:
        planned = context.instance.get_records_for_run(
            run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
        )
        keys = {record.asset_key for record in planned.records if record.asset_key}
    return sorted(keys, key=lambda key: key.to_user_string())


def first_reason(context: dg.RunFailureSensorContext) -> str:
    """The description of the step failure that ended the run, or the run's own message."""
    for event in context.get_step_failure_events():
        data = event.step_failure_data
        if data.user_failure_data and data.user_failure_data.description:
            return data.user_failure_data.description[:_LONGEST_REASON]
        if data.error:
            return data.error.message.strip()[:_LONGEST_REASON]
    return (context.failure_event.message or "no message")[:_LONGEST_REASON]
