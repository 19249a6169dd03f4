"""Run failures, told where a person looks: on the asset, with the hours and the reason in one sentence."""

import dagster as dg

from retail_analytics.lake import failed_runs


@dg.run_failure_sensor(
    name="run_failures",
    description="Notes each failed run on the assets that it was to make: which partitions, and why.",
    monitor_all_code_locations=True,  # runs of the command line are of no location
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def run_failures(context: dg.RunFailureSensorContext) -> None:
    """Report the failure of a run on its assets, as an observation."""
    failure = failed_runs.of_run(context)
    context.log.error(f"Run {failure.run_id} ({failure.about}) failed: {failure.reason}")
    for key in failed_runs.planned_assets(context.instance, context.dagster_run):
        context.instance.report_runless_asset_event(failure.note(key))
