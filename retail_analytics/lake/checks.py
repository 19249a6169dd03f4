"""Checks of the lake's health: what did not arrive, what compaction does not follow, what keeps failing.

Thin: the looking is in plain functions (``freshness.py``, ``failed_runs.py``, ``delivery_errors.py``,
``drift.py``), the verdicts in ``judgements.py``. All but the schema's stand on ``raw``, which no run of ours
makes, so that none of them runs beside every compaction.
"""

from datetime import UTC, datetime

import dagster as dg
from dagster_aws.s3 import S3Resource

from retail_analytics.feeds import Feed
from retail_analytics.lake import delivery_errors, drift, failed_runs, freshness, judgements, objects
from retail_analytics.lake.assets import crawler_key, raw_key
from retail_analytics.lake.holds import read_hold
from retail_analytics.lake.partitions import Catalog
from retail_analytics.lake.queue_check import build_queue_check
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import GlueResource
from retail_analytics.settings import Settings


def build_health_checks(feed: Feed, settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The checks that look at a feed every quarter of an hour."""
    checks = [_arrives(feed, settings), _follows(feed, settings), _stuck(feed, settings)]
    if settings.notifications:
        checks.append(build_queue_check(feed, settings))
    return [*checks, _delivered(feed, settings)] if feed.error_prefix else checks


def build_schema_check(feed: Feed, settings: Settings) -> dg.AssetChecksDefinition:
    """The check of a feed's schema, which runs beside its crawler."""

    @dg.asset_check(
        asset=crawler_key(feed),
        name="schema_as_delivered",
        description="The raw table and the records of the look-back window are as the feed declares them.",
    )
    def schema_as_delivered(glue: GlueResource, athena: AthenaResource) -> dg.AssetCheckResult:
        window = freshness.window_hours(feed, settings, datetime.now(UTC))
        return judgements.of_schema(drift.examine(glue.get_client(), athena, feed, settings, window), feed)

    return schema_as_delivered


def _arrives(feed: Feed, settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=raw_key(feed),
        name="raw_arrives",
        description="Hours hold objects that should: as declared, or as in the weeks before.",
    )
    def raw_arrives(s3: S3Resource, glue: GlueResource) -> dg.AssetCheckResult:
        now = datetime.now(UTC)
        catalog = Catalog.of(settings, glue)
        return judgements.of_arrivals(
            freshness.read_arrivals(s3.get_client(), catalog, feed, settings, now), now
        )

    return raw_arrives


def _follows(feed: Feed, settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=raw_key(feed),
        name="compaction_follows",
        description=f"Hours are published as raw holds them within {settings.compaction_target_minutes} min.",
    )
    def compaction_follows(
        context: dg.AssetCheckExecutionContext, s3: S3Resource, glue: GlueResource
    ) -> dg.AssetCheckResult:
        now = datetime.now(UTC)
        window = freshness.read_window(s3.get_client(), feed, settings, now).closed
        catalog = Catalog.of(settings, glue)
        digests = freshness.published_digests(catalog, feed, settings, [raw.hour for raw in window])
        waiting = len(freshness.stale(window, digests))
        hold = read_hold(context.instance, feed)
        # What waits because of a hold is not late; what was late when it began is.
        late = freshness.overdue(window, digests, feed, settings, min(now, hold.since) if hold else now)
        return judgements.of_compaction(late, len(window), waiting, now, hold)

    return compaction_follows


def _stuck(feed: Feed, settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=raw_key(feed),
        name="no_stuck_hours",
        description="No hour whose runs failed in the last week is still not published as raw holds it.",
    )
    def no_stuck_hours(
        context: dg.AssetCheckExecutionContext, s3: S3Resource, glue: GlueResource
    ) -> dg.AssetCheckResult:
        now = datetime.now(UTC)
        key = dg.AssetKey([feed.name, "compacted"])
        failures = failed_runs.recent(context.instance, key, now)
        tried = failed_runs.attempts_by_hour(failures, now)
        listed = objects.list_these(s3.get_client(), settings.bucket, feed, tried)
        catalog = Catalog.of(settings, glue)
        digests = freshness.published_digests(catalog, feed, settings, tried)
        left = {raw.hour: tried[raw.hour] for raw in freshness.stale(listed.values(), digests)}
        return judgements.of_stuck(left, len({failure.run_id for failure in failures}), len(tried))

    return no_stuck_hours


def _delivered(feed: Feed, settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=raw_key(feed),
        name="no_delivery_errors",
        description="Firehose put nothing under its error prefix in the look-back window.",
    )
    def no_delivery_errors(s3: S3Resource) -> dg.AssetCheckResult:
        found = delivery_errors.look(s3.get_client(), feed, settings, datetime.now(UTC))
        return judgements.of_delivery(found)

    return no_delivery_errors
