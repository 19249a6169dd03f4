"""The sensor on new S3 objects: it reports changed raw hours, and nothing else.

What lies downstream is made by declarative automation from these reports, ranges in one run.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster._core.events import DagsterEventType
from dagster_aws.s3 import S3Resource

from retail_analytics.feeds import Feed
from retail_analytics.lake import arrivals, hours
from retail_analytics.lake.assets import raw_key
from retail_analytics.lake.objects import RawHour
from retail_analytics.settings import Settings

AT_EVERY_LOOK = 1
"""The interval of a sensor that ticks whenever Dagster's daemon looks, which is every five seconds.

An interval of five would miss half of the looks: they are five seconds apart, less what starting a tick took.
"""

_DATA_VERSION = "dagster/data_version"


def build_arrivals_sensor(feed: Feed, settings: Settings) -> dg.SensorDefinition:
    """A sensor that reports the feed's raw hours as their objects change."""

    @dg.sensor(
        name=f"{feed.name}_arrivals",
        description="Reports each raw hour whose objects changed, with their digest as its data version.",
        minimum_interval_seconds=AT_EVERY_LOOK,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def arrivals_sensor(context: dg.SensorEvaluationContext, s3: S3Resource) -> dg.SensorResult:
        news = look_for_news(context.instance, s3, feed, settings, context.cursor, datetime.now(UTC))
        if news.behind:
            context.log.info(f"Looked at the hours up to {news.end:%Y-%m-%d %H}:00; more at the next tick.")
        return dg.SensorResult(
            asset_events=[materialization(feed, raw) for raw in news.changed],
            cursor=news.position.dumps(),
        )

    return arrivals_sensor


def look_for_news(
    instance: dg.DagsterInstance,
    s3: S3Resource,
    feed: Feed,
    settings: Settings,
    cursor: str | None,
    now: datetime,
) -> arrivals.News:
    """One tick: what changed in the lake against what this Dagster instance was told before."""
    return arrivals.look(
        s3.get_client(),
        feed,
        settings,
        cursor,
        now,
        known_digests=lambda wanted: reported_digests(instance, feed, wanted),
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
