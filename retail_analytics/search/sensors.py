"""Dagster's sensor that repairs the days of a failed reconciliation; off by default, a setting."""

from collections.abc import Iterator

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from retail_analytics.feeds.declaration import Feed
from retail_analytics.lake import windows
from retail_analytics.lake.hours import contiguous_days, day_key, from_day_key
from retail_analytics.search.assets import search_index_key
from retail_analytics.search.checks import REPAIR_DAYS, reconcile_check_key
from retail_analytics.settings import Settings

LOOK_SECONDS = 60
_SENSOR_TAG = "dagster/sensor_name"
_RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def build_repair_sensor(feed: Feed, settings: Settings) -> dg.SensorDefinition:
    """Asks for the days that the last reconciliation found different, once a failed check."""
    days = windows.daily(feed, settings)

    @dg.sensor(
        name=sensor_name(feed),
        description="After a failed documents_reconcile, makes its days of search_index exact.",
        target=dg.AssetSelection.assets(search_index_key(feed)),
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=(
            dg.DefaultSensorStatus.RUNNING if settings.search_repair else dg.DefaultSensorStatus.STOPPED
        ),
    )
    def index_repair(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        found = failed_days(context.instance, feed)
        if found is None:
            yield dg.SkipReason("The last reconciliation passed, was a repair's own, or there was none yet.")
            return
        name, keys = found
        if context.cursor == name:
            yield dg.SkipReason("The days of the last failed reconciliation were asked for already.")
            return
        context.update_cursor(name)
        wanted = [from_day_key(key) for key in keys if days.has_partition_key(key)]
        for first, last in contiguous_days(sorted(wanted)):
            yield dg.RunRequest(
                run_key=f"{name}:{day_key(first)}",
                asset_selection=[search_index_key(feed)],
                tags=dict(zip(_RANGE_TAGS, (day_key(first), day_key(last)), strict=True)),
            )

    return index_repair


def failed_days(instance: dg.DagsterInstance, feed: Feed) -> tuple[str, list[str]] | None:
    """The last reconciliation, if it failed: a name of its own, and the days that differ.

    One that a repair of this sensor has just made and that fails all the same is left to people.
    """
    records = instance.event_log_storage.get_asset_check_execution_history(
        check_key=reconcile_check_key(feed),
        limit=1,
        status={AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED},
    )
    for record in records:
        run = instance.get_run_by_id(record.run_id)
        repaired = run is not None and run.tags.get(_SENSOR_TAG) == sensor_name(feed)
        evaluation = record.evaluation
        if evaluation is None or evaluation.passed or repaired or REPAIR_DAYS not in evaluation.metadata:
            return None
        days = evaluation.metadata[REPAIR_DAYS].value
        return f"{record.run_id}:{record.id}", [str(key) for key in days] if isinstance(days, list) else []
    return None


def sensor_name(feed: Feed) -> str:
    """The name of the feed's repair sensor."""
    return f"{feed.name}_index_repair"
