"""The sensors on new S3 objects: they report changed raw hours, and nothing else.

What lies downstream is made by declarative automation from these reports, ranges in one run.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster._core.events import DagsterEventType, StepMaterializationData
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID
from dagster_aws.s3 import S3Resource

from retail_analytics.feeds import Feed
from retail_analytics.lake import hours, reconciliation
from retail_analytics.lake.assets import raw_key
from retail_analytics.lake.following import TICK_SECONDS, Lake, Tick, follow, report_until
from retail_analytics.lake.objects import RawHour
from retail_analytics.resources.clients import SqsResource
from retail_analytics.settings import Settings

AT_EVERY_LOOK = 1
"""The interval of a sensor that ticks whenever Dagster's daemon looks, which is every five seconds.

An interval of five would miss half of the looks: they are five seconds apart, less what starting a tick took.
"""

SLICE_EVERY_SECONDS = 30
"""The pause between two slices of the full sweep."""

_DATA_VERSION = "dagster/data_version"


def build_arrivals_sensor(feed: Feed, settings: Settings) -> dg.SensorDefinition:
    """A sensor that reports the feed's raw hours as their objects change."""

    @dg.sensor(
        name=f"{feed.name}_arrivals",
        description=(
            "Reports each raw hour whose objects changed, with their digest as its data version: told by"
            " S3's events where there is a queue of them, and by listing the last hours."
        ),
        minimum_interval_seconds=AT_EVERY_LOOK,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def arrivals_sensor(
        context: dg.SensorEvaluationContext, s3: S3Resource, sqs: SqsResource
    ) -> dg.SensorResult | dg.SkipReason:
        lake = lake_of(context.instance, s3, sqs, feed, settings)
        tick = follow(lake, context.cursor, datetime.now(UTC))
        for problem in tick.hinted.unreadable:
            context.log.warning(f"{problem}; it goes to {settings.dead_arrivals_queue(feed.name)} in the end")
        context.update_cursor(tick.cursor)
        return dg.SkipReason(told(tick))

    return arrivals_sensor


def build_reconciliation_sensor(feed: Feed, settings: Settings) -> dg.SensorDefinition:
    """A sensor that looks through all of the feed's history, a slice a tick, once a day."""

    @dg.sensor(
        name=f"{feed.name}_reconciliation",
        description=(
            "Looks through all raw hours once a day, in slices, for changes in old hours that no event of"
            " S3's told: late objects, objects written again, deletions."
        ),
        minimum_interval_seconds=SLICE_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def reconciliation_sensor(
        context: dg.SensorEvaluationContext, s3: S3Resource, sqs: SqsResource
    ) -> dg.SkipReason:
        now = datetime.now(UTC)
        lake = lake_of(context.instance, s3, sqs, feed, settings)
        if context.cursor is None and settings.full_sweep_hours:
            context.update_cursor(reconciliation.first_waits(lake.s3, settings, now).dumps())
            return dg.SkipReason(
                f"The first sweep begins in {settings.full_sweep_hours} hours: the arrivals sensor looks at"
                " all of history first."
            )
        sweep = reconciliation.current_sweep(lake.s3, feed, settings, context.cursor, now)
        if sweep is None:
            return dg.SkipReason("The last sweep over all hours is through; it is not time for the next.")
        found = reconciliation.sweep_slice(lake.s3, feed, settings, sweep, now, lake.known_digests)
        left = report_until(lake, found.changed, time.monotonic() + TICK_SECONDS)
        if left:
            found = found.up_to(left[0].hour)
        context.update_cursor(found.sweep.dumps())
        goes_on = f"goes on at {found.sweep.next:%Y-%m-%d %H}:00" if found.sweep.next else "is through"
        return dg.SkipReason(
            f"The sweep {goes_on}: {found.sweep.hours} hours looked at,"
            f" {found.sweep.found} had changed unseen."
        )

    return reconciliation_sensor


def told(tick: Tick) -> str:
    """What a tick did, in one sentence for its page."""
    parts = [f"{tick.reported} raw hours reported, {tick.hinted.messages} messages read"]
    if tick.hinted.foreign:
        parts.append(f"{tick.hinted.foreign} of them about other objects")
    if tick.hinted.unreadable:
        parts.append(f"{len(tick.hinted.unreadable)} not understood")
    if tick.behind:
        parts.append(f"listed up to {tick.end:%Y-%m-%d %H}:00, more at the next tick")
    return "; ".join(parts) + "."


def lake_of(
    instance: dg.DagsterInstance, s3: S3Resource, sqs: SqsResource, feed: Feed, settings: Settings
) -> Lake:
    """A feed's raw hours, and what this Dagster instance knows of them."""
    return Lake(
        s3.get_client(),
        sqs.get_client(),
        feed,
        settings,
        known_digests=lambda wanted: reported_digests(instance, feed, wanted),
        report=lambda several: report_together(instance, feed, several),
    )


def report_together(instance: dg.DagsterInstance, feed: Feed, several: Sequence[RawHour]) -> None:
    """Report raw hours in as few writes as Dagster's storage has for it.

    What `report_runless_asset_event` does for one: no run waits for these events, and nobody subscribes.
    """
    instance.event_log_storage.store_event_batch(
        [
            dg.EventLogEntry(  # type: ignore[no-untyped-call]
                error_info=None,
                level=logging.INFO,
                user_message="",
                run_id=RUNLESS_RUN_ID,
                timestamp=datetime.now(UTC).timestamp(),
                job_name=RUNLESS_JOB_NAME,
                dagster_event=dg.DagsterEvent(
                    event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
                    event_specific_data=StepMaterializationData(materialization(feed, raw)),
                    job_name=RUNLESS_JOB_NAME,
                ),
            )
            for raw in several
        ]
    )


def reported_digests(
    instance: dg.DagsterInstance, feed: Feed, wanted: Sequence[datetime]
) -> Mapping[datetime, str]:
    """The digests that were last reported of these hours: one query of Dagster's event log."""
    if not wanted:
        return {}
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        raw_key(feed),
        DagsterEventType.ASSET_MATERIALIZATION,
        [_DATA_VERSION],
        asset_partitions=[hours.partition_key(hour) for hour in wanted],
    )
    return {
        hours.from_partition_key(key): found[_DATA_VERSION]
        for key, found in tags.items()
        if _DATA_VERSION in found
    }


def materialization(feed: Feed, raw: RawHour) -> dg.AssetMaterialization:
    """The report of a raw hour: its digest as data version, and what a person wants to know of it."""
    metadata: dict[str, dg.MetadataValue] = {
        "objects": dg.MetadataValue.int(len(raw.objects)),
        "bytes": dg.MetadataValue.int(raw.size),
        "digest": dg.MetadataValue.text(raw.digest),
    }
    if raw.first_arrival and raw.last_arrival:
        metadata["first arrival"] = dg.MetadataValue.timestamp(raw.first_arrival)
        metadata["last arrival"] = dg.MetadataValue.timestamp(raw.last_arrival)
    return dg.AssetMaterialization(
        asset_key=raw_key(feed),
        partition=hours.partition_key(raw.hour),
        metadata=metadata,
        tags={_DATA_VERSION: raw.digest},
    )
