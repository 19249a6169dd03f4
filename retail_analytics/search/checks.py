"""Dagster's checks of a feed's search index. Thin: judging is in ``judgements.py`` and ``reconcile.py``."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
from dagster_aws.s3 import S3Resource

from retail_analytics.batch.assets import pipeline
from retail_analytics.batch.staging import Pipeline
from retail_analytics.batch.verdicts import days_to_check
from retail_analytics.feeds import Feed
from retail_analytics.lake import windows
from retail_analytics.lake.hours import contiguous_days, day_key
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import GlueResource
from retail_analytics.resources.opensearch import OpenSearchResource
from retail_analytics.search import lake_source
from retail_analytics.search.assets import (
    dead_letter_store,
    index_health_key,
    look,
    search_index_key,
)
from retail_analytics.search.environment import search_of
from retail_analytics.search.metadata import health_metadata
from retail_analytics.search.reconcile import DayCount, reconcile, settled_before
from retail_analytics.settings import Settings

IdsByDay = Callable[[Pipeline, Sequence[date]], Mapping[date, int]]
"""Distinct record ids of the compacted table by event day."""

IdsPresent = Callable[[Pipeline, Sequence[date], Collection[str]], set[str]]
"""Which of the given record ids are in the compacted table."""

REPAIR_DAYS = "days_to_repair"
"""The metadata of a failed check that the repair sensor reads: the keys of the days that differ."""

_SHOWN_DAYS = 20
RECONCILE = "documents_reconcile"


def reconcile_check_key(feed: Feed) -> dg.AssetCheckKey:
    """The check that compares index and lake."""
    return dg.AssetCheckKey(search_index_key(feed), RECONCILE)


def build_search_checks(
    feed: Feed,
    settings: Settings,
    ids_by_day: IdsByDay = lake_source.ids_by_day,
    ids_present: IdsPresent = lake_source.ids_present,
) -> list[dg.AssetChecksDefinition]:
    """The checks of a feed's search index.

    Raises:
        ValueError: The feed declares no search index.
    """
    search_of(feed)
    return [_health_check(feed, settings), _reconcile_check(feed, settings, ids_by_day, ids_present)]


def _health_check(feed: Feed, settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=index_health_key(feed),
        name="healthy",
        description="The cluster and the feed's indices are well; what the server does not tell is named.",
    )
    def healthy(
        context: dg.AssetCheckExecutionContext, opensearch: OpenSearchResource
    ) -> dg.AssetCheckResult:
        health = look(context.instance, opensearch, feed, settings)
        errors, warnings = health.of_level("error"), health.of_level("warning")
        return dg.AssetCheckResult(
            passed=not errors and not warnings,
            severity=dg.AssetCheckSeverity.ERROR if errors else dg.AssetCheckSeverity.WARN,
            description="; ".join(f"{f.name}: {f.detail}. {f.advice}" for f in (*errors, *warnings)) or None,
            metadata=health_metadata(health),
        )

    return healthy


def _reconcile_check(
    feed: Feed, settings: Settings, ids_by_day: IdsByDay, ids_present: IdsPresent
) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=search_index_key(feed),
        name=RECONCILE,
        description="Per event day: documents + dead letters = distinct record ids of the compacted table.",
    )
    def documents_reconcile(
        context: dg.AssetCheckExecutionContext,
        opensearch: OpenSearchResource,
        s3: S3Resource,
        athena: AthenaResource,
        glue: GlueResource,
    ) -> dg.AssetCheckResult:
        work = pipeline(feed, settings, s3, athena, glue)
        now = datetime.now(UTC)
        days = kept(days_to_check(context.run, feed, settings), settings, now)
        # A day whose records have all vanished from the lake may still have documents.
        lake = dict.fromkeys(days, 0) | dict(ids_by_day(work, days))
        client = opensearch.client()
        client.indices.refresh(index=f"{search_of(feed).alias}-*", ignore_unavailable=True)
        store = dead_letter_store(work)
        counts = reconcile(client, feed, store, lake, lambda ids: ids_present(work, sorted(lake), ids))
        held = [count for count in counts if count.lake or count.documents]
        if not held:
            return nothing_to_examine(in_run=windows.run_range(context.run) is not None)
        return judge_days(held, settled_before(feed, now))

    return documents_reconcile


def kept(days: Sequence[date], settings: Settings, now: datetime) -> list[date]:
    """The days whose index retention may not have deleted yet."""
    if not settings.search_retention_days:
        return list(days)
    first = (now - timedelta(days=settings.search_retention_days)).date()
    return [day for day in days if day >= first]


def nothing_to_examine(*, in_run: bool) -> dg.AssetCheckResult:
    """The result where the lake holds no record of the days: a failure, unless a run was about just them."""
    return dg.AssetCheckResult(
        passed=in_run,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            "The run's days hold no records."
            if in_run
            else "There are no compacted records to examine: nothing is proven."
        ),
        metadata={"days": 0},
    )


def judge_days(counts: Collection[DayCount], settled: date) -> dg.AssetCheckResult:
    """The result for these days.

    A record missing from the index is an error on any day. A document that the lake does not hold is one
    only where the lake is complete: on recent days the stream's handler is ahead of compaction.
    """
    missing = [count for count in counts if count.missing]
    surplus = [count for count in counts if count.surplus and count.day < settled]
    ahead = sum(count.surplus for count in counts if count.day >= settled)
    metadata: dict[str, Any] = {
        "days": len(counts),
        "lake": sum(count.lake for count in counts),
        "documents": sum(count.documents for count in counts),
        "dead_letters": sum(count.dead_letters for count in counts),
        "missing": sum(count.missing for count in counts),
        "surplus": sum(count.surplus for count in surplus),
        "ahead_of_the_lake": ahead,
    }
    bad = sorted({*missing, *surplus}, key=lambda count: count.day)
    if not bad:
        return dg.AssetCheckResult(passed=True, metadata=metadata)
    metadata["different_days"] = dg.MetadataValue.md(_table(bad[:_SHOWN_DAYS]))
    metadata[REPAIR_DAYS] = [day_key(count.day) for count in bad]
    metadata["how_to_repair"] = (
        f"Materialize search_index, partitions {_ranges(bad)}; or set RETAIL_SEARCH_REPAIR=on, and a sensor "
        "does it after every failed reconciliation."
    )
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=(
            f"{len(bad)} of {len(counts)} days differ, from {bad[0].day}: materialize search_index for "
            f"{_ranges(bad)}. It adds what is missing, rewrites what differs and removes what is in no "
            "compacted hour."
        ),
        metadata=metadata,
    )


def _ranges(counts: Collection[DayCount]) -> str:
    """The days as Dagster's partition box takes them: ``[first...last]``, comma separated."""
    spans = contiguous_days(sorted(count.day for count in counts))
    said = [day_key(a) if a == b else f"[{day_key(a)}...{day_key(b)}]" for a, b in spans]
    return ", ".join(said[:_SHOWN_DAYS]) + (" and more" if len(said) > _SHOWN_DAYS else "")


def _table(counts: Collection[DayCount]) -> str:
    lines = ["day | lake | documents | dead letters | missing | surplus", "--- | --- | --- | --- | --- | ---"]
    lines += [
        f"{c.day} | {c.lake} | {c.documents} | {c.dead_letters} | {c.missing} | {c.surplus}" for c in counts
    ]
    return "\n".join(f"| {line} |" for line in lines)
