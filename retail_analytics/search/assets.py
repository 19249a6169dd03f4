"""Dagster's assets of a feed's search index. Thin: the work is in the modules beside this one."""

import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
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
from retail_analytics.search.consumer import read_consumer_lag
from retail_analytics.search.dashboards import import_objects
from retail_analytics.search.dead_letters import DeadLetterStore
from retail_analytics.search.environment import dead_letter_prefix, search_of
from retail_analytics.search.health import Before, Health, read_health
from retail_analytics.search.index_days import DayIndexer
from retail_analytics.search.indexed_hours import News, index_of_days, news_of_days
from retail_analytics.search.metadata import health_metadata, run_metadata
from retail_analytics.search.reconcile import settled_before
from retail_analytics.search.reindex import Reindexed, Reindexer
from retail_analytics.search.retention import ensure_retention
from retail_analytics.search.saved_objects import saved_objects, to_ndjson
from retail_analytics.search.templates import ensure_template
from retail_analytics.settings import Settings

FROM_AUTOMATION = "dagster/from_automation_condition"
"""Dagster's tag of the runs that its automation asks for."""

RowsOfDays = Callable[[Pipeline, Sequence[date]], Iterable[Mapping[str, Any]]]
"""The compacted rows of these event days, keyed by column name, streamed."""

NewsOfDays = Callable[[Pipeline, Sequence[date], Callable[[Collection[date]], Mapping[date, str]]], News]
"""What of these event days the index was not given yet."""


class TemplateConfig(dg.Config):
    """How to bring the indices to what the feed declares.

    Attributes:
        reindex: Move months whose index maps a field otherwise into new indices; readers see no gap.
    """

    reindex: bool = False


class IndexConfig(dg.Config):
    """How to index event days.

    Attributes:
        repair: Compare every document of the days with the lake, rewrite what differs and remove what the
            lake does not hold. By default whoever asks for days gets them so, from the click of a person to
            the backfill; automation only adds what is new.
    """

    repair: bool | None = None

    def repairs(self, tags: Mapping[str, str]) -> bool:
        """Whether a run with these tags repairs."""
        return FROM_AUTOMATION not in tags if self.repair is None else self.repair


def search_index_key(feed: Feed) -> dg.AssetKey:
    """The index, by event day."""
    return dg.AssetKey([feed.name, "search_index"])


def index_template_key(feed: Feed) -> dg.AssetKey:
    """The index template."""
    return dg.AssetKey([feed.name, "index_template"])


def index_health_key(feed: Feed) -> dg.AssetKey:
    """The index' health."""
    return dg.AssetKey([feed.name, "index_health"])


def dashboards_key(feed: Feed) -> dg.AssetKey:
    """The saved objects in OpenSearch Dashboards."""
    return dg.AssetKey([feed.name, "dashboards"])


def build_search_assets(
    feed: Feed,
    settings: Settings,
    rows_of_days: RowsOfDays = lake_source.rows_of_days,
    news: NewsOfDays = news_of_days,
) -> list[dg.AssetsDefinition]:
    """The assets of a feed's search index; with its dashboard, where it declares one.

    Raises:
        ValueError: The feed declares no search index.
    """
    search_of(feed)
    assets = [
        _index_template(feed, settings),
        _search_index(feed, settings, rows_of_days, news),
        _index_health(feed, settings),
    ]
    return assets if search_of(feed).dashboard is None else [*assets, _dashboards(feed, settings)]


def _index_template(feed: Feed, settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        key=index_template_key(feed),
        description=(
            "The index template, the alias, the fields of existing indices and their retention, as the feed "
            "and the settings declare."
        ),
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
            retention = ensure_retention(client, feed, settings.search_retention_days)
        metadata: dict[str, Any] = {
            "retention": retention.state,
            "template": state.name,
            "changed": state.changed,
            "indices_added_to_alias": list(state.aliased),
            "indices_with_new_fields": list(state.extended),
            "indices_mapped_otherwise": sorted(state.drifted.keys() - {each.old for each in moved}),
            "months_reindexed": [each.month for each in moved],
        }
        return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(state.digest))

    return index_template


def _search_index(
    feed: Feed, settings: Settings, rows_of_days: RowsOfDays, news: NewsOfDays
) -> dg.AssetsDefinition:
    template = index_template_key(feed)

    @dg.asset(
        key=search_index_key(feed),
        deps=[event_days_key(feed), template],
        description=(
            "Documents of the event day, from compacted data. The stream's handler writes the same documents "
            "by the same ids. Automation adds the hours that were published since the day was indexed; "
            "materializing days yourself reads them whole and makes them exact: what differs is rewritten, "
            "what the lake does not hold is removed."
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
        config: IndexConfig,
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
            indexer = DayIndexer(
                feed,
                client,
                dead_letter_store(work),
                lambda wanted: rows_of_days(work, wanted),
                settled_before(feed, datetime.now(UTC)),
                context.log.debug,
            )
            unread = news(work, days, lambda held: index_of_days(client, feed, held))
            done = indexer.make(days) if config.repairs(context.run.tags) else indexer.add(unread.rows)
            unread.note()
        rows = done.indexed
        if rows.dead:
            context.log.warning(f"{rows.dead} rows set aside; the first: {rows.first_reason}")
        if done.rewritten or done.removed:
            context.log.warning(f"{done.rewritten} documents differed, {done.removed} were in no hour.")
        for key in context.partition_keys:
            context.add_asset_metadata({"rows": rows.days.get(key, 0)}, partition_key=key)
        return dg.MaterializeResult(metadata=run_metadata(done, unread, time.monotonic() - started))

    return search_index


def _index_health(feed: Feed, settings: Settings) -> dg.AssetsDefinition:
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
        health = look(context.instance, opensearch, feed, settings)
        for finding in (*health.of_level("error"), *health.of_level("warning")):
            context.log.warning(f"{finding.name}: {finding.detail}. {finding.advice}")
        return dg.MaterializeResult(metadata=health_metadata(health))

    return index_health


def _dashboards(feed: Feed, settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        key=dashboards_key(feed),
        deps=[index_template_key(feed)],
        description=(
            "The feed's saved objects in OpenSearch Dashboards, over what is there under the same ids. "
            "Nothing is materialized where no RETAIL_DASHBOARDS_URL is set."
        ),
        retry_policy=RETRIES,
        output_required=False,
        group_name=feed.name,
        kinds={"opensearch"},
    )
    def dashboards(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        if not settings.dashboards_url:
            context.log.warning(
                "No RETAIL_DASHBOARDS_URL is set, so nothing was imported. `retail-analytics dashboards "
                "export FILE` writes the saved objects to a file, which Dashboards imports by hand."
            )
            return
        objects = saved_objects(feed)
        with permanent_faults_fail():
            count = import_objects(settings.dashboards_url, settings.region, objects)
        titles = [each["attributes"]["title"] for each in objects]
        yield dg.MaterializeResult(
            metadata={
                "saved_objects": count,
                "titles": titles,
                "url": dg.MetadataValue.url(f"{settings.dashboards_url}/app/dashboards"),
            },
            data_version=dg.DataVersion(hashlib.sha256(to_ndjson(objects)).hexdigest()[:16]),
        )

    return dashboards


def unretried(opensearch: OpenSearchResource) -> OpenSearch:
    """The resource's client, without retries of its own: the bulk writer reads each failure itself."""
    client = opensearch.client()
    client.transport.max_retries = 0
    return client


def dead_letter_store(work: Pipeline) -> DeadLetterStore:
    """The feed's dead letters."""
    return DeadLetterStore(work.s3, work.settings.bucket, dead_letter_prefix(work.feed))


def look(
    instance: dg.DagsterInstance, opensearch: OpenSearchResource, feed: Feed, settings: Settings
) -> Health:
    """The health now, its counters beside those of the last health there is."""
    others = [read_consumer_lag(feed, settings)]
    return read_health(unretried(opensearch), feed, before=before(instance, feed), others=others)


def before(instance: dg.DagsterInstance, feed: Feed) -> Before:
    """What the last health counted."""
    event = instance.get_latest_materialization_event(index_health_key(feed))
    materialization = event.asset_materialization if event else None
    told = {
        name: value.value
        for name, value in (materialization.metadata if materialization else {}).items()
        if isinstance(value.value, int)
    }
    documents, milliseconds = told.get("documents_written"), told.get("write_milliseconds")
    written = None if documents is None or milliseconds is None else (documents, milliseconds)
    return Before(told.get("rejected_writes"), written)
