"""What a backfill would do and cost, known beforehand: from listings, the catalog and Dagster's memory alone.

It runs no query. What compaction will find is not known yet, so a plan of hours that are to be compacted
says "at most" of their days. Not here: doing it (``backfill.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import dagster as dg
from botocore.exceptions import ClientError

from retail_analytics.batch import processed
from retail_analytics.batch.assets import compacted_key, event_days_key, processed_key
from retail_analytics.batch.compaction import batches
from retail_analytics.batch.processed_inputs import dependants
from retail_analytics.batch.state import HourState, hour_states
from retail_analytics.commands.backfill_cost import (
    TO_PARQUET,
    Sizes,
    Statements,
    few_stretches,
    is_not_there,
    readable,
    statement,
)
from retail_analytics.lake import hours as hours_
from retail_analytics.search.assets import search_index_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from retail_analytics.batch.staging import Pipeline
    from retail_analytics.feeds import Feed
    from retail_analytics.feeds.declaration import ProcessedTable

Stretch = tuple[datetime, datetime]


@dataclass(frozen=True)
class Days:
    """Days of assets that are made together.

    Attributes:
        assets: The assets' keys.
        stretches: First and last day of each run.
        days: How many days are to be made; a run may look at others between them.
        statements: What their queries come to, at most.
    """

    assets: tuple[dg.AssetKey, ...]
    stretches: tuple[tuple[date, date], ...]
    days: int
    statements: Statements


@dataclass(frozen=True)
class BackfillPlan:
    """What a backfill has to do.

    Attributes:
        hours: Hours that were asked for.
        filled: Those that have objects.
        stale: Those that are not published from what raw holds.
        untold: Those that are, but that Dagster has not been told of.
        stretches: First and last hour of each run of compaction.
        raw_bytes: Bytes of the stale hours.
        compaction: What their queries come to; one more a batch where records are rejected.
        days: The days to make, in the order of their runs.
    """

    hours: int
    filled: int
    stale: int
    untold: int
    stretches: tuple[Stretch, ...]
    raw_bytes: int
    compaction: Statements
    days: tuple[Days, ...]

    @property
    def runs(self) -> int:
        """Dagster runs."""
        return len(self.stretches) + sum(len(each.stretches) for each in self.days)

    @property
    def statements(self) -> Statements:
        """All queries."""
        return sum((each.statements for each in self.days), self.compaction)

    def lines(self, usd_per_tebibyte: float) -> list[str]:
        """The plan for people."""
        named = [f"days      {_named(each.assets)}: {each.days:,}" for each in self.days]
        total = self.statements
        hours = (
            f"hours     {self.hours:,} asked for, {self.filled:,} with objects: {self.stale:,} to compact"
            f" ({readable(self.raw_bytes)} of raw), {self.untold:,} to tell Dagster of"
        )
        if not self.runs:
            return [hours, "nothing is to be done: all of it is made from what raw holds."]
        queries = (
            f"queries   at most {total.count:,} of Athena, {self.compaction.count:,} of them to compact;"
            " one more a hundred hours that hold rejects"
        )
        cost = (
            f"cost      about {total.billed / 1024**4 * usd_per_tebibyte:.4f} USD"
            f" at {usd_per_tebibyte:g} USD a TiB, 10 MB a query at the least"
        )
        runs = f"runs      {self.runs:,} of Dagster"
        return [hours, *named, runs, queries, f"scanned   about {readable(total.scanned)}", cost]


def make_plan(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    first: datetime,
    last: datetime,
    expecting: bool = True,
    force: bool = False,
) -> BackfillPlan:
    """What a backfill of the hours from ``first`` to ``last``, both included, would do now.

    Args:
        pipeline: The feed and its clients.
        instance: Dagster's memory.
        first: The first hour.
        last: The last one.
        expecting: Whether the days of hours that are still to be compacted are among the days.
        force: Whether hours are to be compacted again that are published from what raw holds.
    """
    feed = pipeline.feed
    states = hour_states(pipeline.s3, pipeline.catalog, feed, pipeline.settings, first, last + hours_.HOUR)
    stale = [state for state in states if not state.done or (force and state.raw.objects)]
    told = instance.get_materialized_partitions(compacted_key(feed))
    untold = [
        state
        for state in states
        if state.done and not force and hours_.partition_key(state.raw.hour) not in told
    ]
    stretches = few_stretches([state.raw.hour for state in (*stale, *untold)], hours_.HOUR)
    work = [state.raw for state in stale if state.raw.objects]
    compaction = Statements()
    for begin, end in stretches:
        inside = [raw for raw in work if begin <= raw.hour <= end]
        for batch, _ in batches(inside, pipeline.settings.target_file_bytes):
            size = sum(raw.size for raw in batch)
            # The CTAS reads raw; so does the audit, and what was written besides.
            compaction += statement(size) + statement(size * (1 + TO_PARQUET))
    return BackfillPlan(
        hours=len(states),
        filled=sum(bool(state.raw.objects) for state in states),
        stale=len(stale),
        untold=len(untold),
        stretches=tuple(stretches),
        raw_bytes=sum(raw.size for raw in work),
        compaction=compaction,
        days=plan_days(pipeline, instance, states, stale if expecting else []),
    )


def plan_days(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    states: Sequence[HourState],
    waiting: Sequence[HourState],
) -> tuple[Days, ...]:
    """The days to make once the waiting ones of these hours are compacted, of tables and search index."""
    feed = pipeline.feed
    today = datetime.now(UTC).date()
    first = hours_.first_hour(feed, pipeline.settings).date()
    # Events of other days than Dagster has partitions for are compacted, and no day's business.
    touched = [day for day in _touched(states) if first <= day <= today]
    changed = [day for day in (_touched(waiting) if waiting else []) if first <= day <= today]
    sizes = Sizes(pipeline, states)
    due: dict[str | None, list[date]] = {None: changed}
    near: dict[str | None, list[date]] = {None: touched}
    groups: list[tuple[list[ProcessedTable], list[date]]] = []
    for table in feed.processed:
        # Whatever a change of these hours may have reached, though it was compacted long ago.
        near[table.name] = dependants(table, near[table.source], today)
        stale, published = _stale(pipeline, table, near[table.name])
        unmade = _unmade(instance, processed_key(feed, table.name), touched)
        reached = set(dependants(table, due[table.source], today))
        if not table.of_window:
            reached &= {*due[table.source], *published}  # a day without a record of its own is none
        due[table.name] = sorted({*stale, *unmade, *reached})
        if groups and groups[-1][1] == due[table.name]:
            groups[-1][0].append(table)
        else:
            groups.append(([table], due[table.name]))
    made = [
        Days(
            assets=tuple(processed_key(feed, table.name) for table in tables),
            stretches=tuple(few_stretches(days, hours_.DAY)),
            days=len(days),
            statements=sum((sizes.statements(table, days) for table in tables), Statements()),
        )
        for tables, days in groups
        if days
    ]
    index = _index_days(feed, instance, touched, changed)
    if index:
        key = (search_index_key(feed),)
        made.append(Days(key, tuple(few_stretches(index, hours_.DAY)), len(index), Statements()))
    return tuple(made)


def _touched(states: Iterable[HourState]) -> list[date]:
    """The event days of hours, as noted where they are published, and the hours' own."""
    days = {state.raw.hour.date() for state in states}
    for state in states:
        if state.published is not None:
            days |= {hours_.from_day_key(day) for day in state.published.changed_days}
    return sorted(days)


def _stale(pipeline: Pipeline, table: ProcessedTable, days: Sequence[date]) -> tuple[list[date], list[date]]:
    """Which of these days of a table are not what they would be if they were made now; which there are."""
    try:
        plan = processed.make_plan(pipeline, table.name, days)
    except ClientError as error:
        if not is_not_there(error):
            raise
        return [], []
    return plan.stale, list(plan.published)


def _unmade(instance: dg.DagsterInstance, key: dg.AssetKey, days: Sequence[date]) -> list[date]:
    there = instance.get_materialized_partitions(key)
    return [day for day in days if hours_.day_key(day) not in there]


def _index_days(
    feed: Feed, instance: dg.DagsterInstance, touched: Sequence[date], changed: Sequence[date]
) -> list[date]:
    """Days that were not indexed since compaction last told of them, or will be told of."""
    if feed.search is None:
        return []
    indexed, told = (
        instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
        for key in (search_index_key(feed), event_days_key(feed))
    )
    behind = {
        day for day in touched if indexed.get(hours_.day_key(day), 0) < told.get(hours_.day_key(day), 1)
    }
    return sorted({*behind, *changed})


def _named(assets: Iterable[dg.AssetKey]) -> str:
    return ", ".join(key.path[-1] for key in assets)
