"""Dagster's assets of a feed's search index. Thin: the work is in the modules beside this one."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, cast

import dagster as dg
from dagster_aws.s3 import S3Resource
from opensearchpy import OpenSearch

from retail_analytics.batch.assets import AS_DAYS_CHANGE, event_days_key, pipeline
from retail_analytics.batch.staging import Pipeline
from retail_analytics.feeds import Feed
from retail_analytics.lake import hours, windows
from retail_analytics.lake.assets import IN_ONE_RUN
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import GlueResource
from retail_analytics.resources.faults import RETRIES, permanent_faults_fail
from retail_analytics.resources.opensearch import OpenSearchResource
from retail_analytics.search import lake_source
from retail_analytics.search.bulk import BulkWriter
from retail_analytics.search.dead_letters import DeadLetterStore
from retail_analytics.search.environment import dead_letter_prefix, search_of
from retail_analytics.search.health import Health, read_health
from retail_analytics.search.history import HistoryIndexer, Indexed
from retail_analytics.search.reindex import Reindexed, Reindexer
from retail_analytics.search.templates import ensure_template
from retail_analytics.settings import Settings

RowsOfDays = Callable[[Pipeline, Sequence[date]], Iterable[Mapping[str, Any]]]
"""The compacted rows of these event days, keyed by column name, streamed."""


class TemplateConfig(dg.Config):
    """How to bring the indices to what the feed declares.

    Attributes:
        reindex: Move months whose index maps a field otherwise into new indices; readers see no gap.
    """

    reindex: bool = False


def search_index_key(feed: Feed) -> dg.AssetKey:
    """The index, by event day."""
    return dg.AssetKey([feed.name, "search_index"])


def index_template_key(feed: Feed) -> dg.AssetKey:
    """The index template."""
    return dg.AssetKey([feed.name, "index_template"])


def index_health_key(feed: Feed) -> dg.AssetKey:
    """The index' health."""
    return dg.AssetKey([feed.name, "index_health"])


def build_search_assets(
    feed: Feed, settings: Settings, rows_of_days: RowsOfDays = lake_source.rows_of_days
) -> list[dg.AssetsDefinition]:
    """The three assets of a feed's search index.

    Raises:
        ValueError: The feed declares no search index.
    """
    search_of(feed)
    return [_index_template(feed), _search_index(feed, settings, rows_of_days), _index_health(feed)]


def _index_template(feed: Feed) -> dg.AssetsDefinition:
    @dg.asset(
        key=index_template_key(feed),
        description="The index template, the alias and the fields of existing indices, as the feed declares.",
        retry_policy=RETRIES,
        group_name=feed.name,
        kinds={"opensearch"},
    )
    def index_template(
        context: dg.AssetExecutionContext, config: TemplateConfig, opensearch: OpenSearchResource
    ) -> dg.MaterializeResult[None]:
        moved: list[Reindexed] = []
        with permanent_faults_fail():
            client = unretried(opensearch)
            state = ensure_template(client, feed)
            for index, fields in sorted(state.drifted.items()):
                context.log.warning(f"{index} maps {', '.join(fields)} otherwise; it needs a new index.")
                if config.reindex:
                    moved.append(Reindexer(client, feed).move(index))
                    context.log.info(f"{moved[-1].documents} documents moved to {moved[-1].new}.")
        metadata: dict[str, Any] = {
            "template": state.name,
            "changed": state.changed,
            "indices_added_to_alias": list(state.aliased),
            "indices_with_new_fields": list(state.extended),
            "indices_mapped_otherwise": sorted(state.drifted.keys() - {each.old for each in moved}),
            "months_reindexed": [each.month for each in moved],
        }
        return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(state.digest))

    return index_template


def _search_index(feed: Feed, settings: Settings, rows_of_days: RowsOfDays) -> dg.AssetsDefinition:
    template = index_template_key(feed)

    @dg.asset(
        key=search_index_key(feed),
        deps=[event_days_key(feed), template],
        description=(
            "Documents of the event day, from compacted data. The stream's handler writes the same documents "
            "by the same ids, so that indexing a day again adds what is missing and changes nothing else."
        ),
        partitions_def=windows.daily(feed, settings),
        backfill_policy=IN_ONE_RUN,
        # A new template alone must not ask for every day again.
        automation_condition=cast("Any", AS_DAYS_CHANGE).ignore(dg.AssetSelection.assets(template)),
        retry_policy=RETRIES,
        group_name=feed.name,
        kinds={"opensearch"},
    )
    def search_index(
        context: dg.AssetExecutionContext,
        opensearch: OpenSearchResource,
        s3: S3Resource,
        athena: AthenaResource,
        glue: GlueResource,
    ) -> dg.MaterializeResult[None]:
        started = time.monotonic()
        days = [hours.from_day_key(key) for key in context.partition_keys]
        with permanent_faults_fail():
            client = unretried(opensearch)
            ensure_template(client, feed)
            work = pipeline(feed, settings, s3, athena, glue)
            indexer = HistoryIndexer(feed, BulkWriter(client), dead_letter_store(work))
            done = indexer.index(
                rows_of_days(work, days), lambda count: context.log.debug(f"{count} rows indexed")
            )
            client.indices.refresh(index=f"{search_of(feed).alias}-*", ignore_unavailable=True)
        if done.dead:
            context.log.warning(f"{done.dead} rows set aside; the first: {done.first_reason}")
        for key in context.partition_keys:
            context.add_asset_metadata({"rows": done.days.get(key, 0)}, partition_key=key)
        return dg.MaterializeResult(metadata=run_metadata(done, time.monotonic() - started))

    return search_index


def _index_health(feed: Feed) -> dg.AssetsDefinition:
    @dg.asset(
        key=index_health_key(feed),
        deps=[index_template_key(feed)],
        description="The state of the search cluster and of the feed's indices, with what to do about it.",
        group_name=feed.name,
        kinds={"opensearch"},
    )
    def index_health(
        context: dg.AssetExecutionContext, opensearch: OpenSearchResource
    ) -> dg.MaterializeResult[None]:
        before = rejected_before(context.instance, feed)
        health = read_health(unretried(opensearch), feed, rejected_before=before)
        for finding in (*health.of_level("error"), *health.of_level("warning")):
            context.log.warning(f"{finding.name}: {finding.detail}. {finding.advice}")
        return dg.MaterializeResult(metadata=health_metadata(health))

    return index_health


def run_metadata(done: Indexed, seconds: float) -> dict[str, Any]:
    """What a run of the index did, over all of its days."""
    numbers = {
        "rows": done.rows,
        "created": done.created,
        "unchanged": done.unchanged,
        "dead letters": done.dead,
        "without id": done.without_id,
        "retried": done.retried,
        "bulks": done.bulks,
        "bytes": done.bytes,
        "seconds": round(seconds, 2),
        "documents per second": round(done.documents / seconds, 1) if seconds else 0.0,
    }
    return {f"whole run: {name}": value for name, value in numbers.items()}


def health_metadata(health: Health) -> dict[str, Any]:
    """What a person, and Dagster's plots, read of a health."""
    table = "| what | level | found | advice |\n| --- | --- | --- | --- |\n"
    rows = [(f.name, f.level, f.detail, f.advice) for f in health.findings]
    lines = ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]
    known = {
        "rejected_writes": health.rejected_writes,
        "search_milliseconds": None
        if health.search_seconds is None
        else round(health.search_seconds * 1000, 1),
    }
    return {
        "status": health.status,
        "server": health.server,
        "nodes": health.nodes,
        "indices": len(health.indices),
        "documents": health.documents,
        "bytes": health.bytes,
        "unassigned_shards": health.unassigned_shards,
        "errors": len(health.of_level("error")),
        "warnings": len(health.of_level("warning")),
        "not_offered": [finding.name for finding in health.of_level("unknown")],
        **{name: value for name, value in known.items() if value is not None},
        "findings": dg.MetadataValue.md(table + "\n".join(lines)),
    }


def unretried(opensearch: OpenSearchResource) -> OpenSearch:
    """The resource's client, without retries of its own: the bulk writer reads each failure itself."""
    client = opensearch.client()
    client.transport.max_retries = 0
    return client


def dead_letter_store(work: Pipeline) -> DeadLetterStore:
    """The feed's dead letters."""
    return DeadLetterStore(work.s3, work.settings.bucket, dead_letter_prefix(work.feed))


def rejected_before(instance: dg.DagsterInstance, feed: Feed) -> int | None:
    """``rejected_writes`` of the last health there is."""
    event = instance.get_latest_materialization_event(index_health_key(feed))
    materialization = event.asset_materialization if event else None
    value = materialization.metadata.get("rejected_writes") if materialization else None
    return value.value if value is not None and isinstance(value.value, int) else None
