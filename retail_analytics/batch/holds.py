"""Holds: feeds of which nothing is compacted by itself, until they are released.

A hold is a materialisation of the feed's asset ``hold``, and its release wipes it: one write in Dagster's own
storage, which the daemon's automation, the schedules, the UI and the command line read alike, and which
outlives all of them. Arrivals are reported all the while, and automation remembers what it would have asked
for; runs that a person starts are not stopped. Not here: reading a hold (``lake/holds.py``).
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from retail_analytics.feeds import Feed
from retail_analytics.lake.holds import Hold, hold_key, read_hold

CHECK = "not_held"


def hold_spec(feed: Feed) -> dg.AssetSpec:
    """The hold as an asset, for the graph and for automation: made while the feed is held, and only then."""
    return dg.AssetSpec(
        hold_key(feed),
        description=(
            "Materialised while the feed is held: its metadata say who holds it and why, and nothing of it"
            f" is compacted by itself. `retail-analytics hold {feed.name} --reason …` holds it,"
            f" `retail-analytics release {feed.name}` releases it, and what came meanwhile is made."
        ),
        group_name=feed.name,
    )


def unless_held(feed: Feed) -> dg.AutomationCondition[dg.AssetKey]:
    """True while the feed is not held.

    To be the last of a conjunction: a condition that remembers ("since") forgets what it is not asked about.
    """
    return dg.AutomationCondition.asset_matches(hold_key(feed), dg.AutomationCondition.missing())


def hold(instance: dg.DagsterInstance, feed: Feed, about: dg.AssetKey, reason: str, by: str) -> Hold:
    """Hold a feed; one that is held already is held for the new reason.

    Args:
        instance: Dagster's memory.
        feed: The feed.
        about: The asset that people look at, which is told.
        reason: Why.
        by: Who.
    """
    instance.report_runless_asset_event(
        dg.AssetMaterialization(hold_key(feed), metadata={"reason": reason, "by": by})
    )
    made = Hold(reason, by, datetime.now(UTC))
    _tell(instance, feed, about, made, f"Held by {by}: {reason}")
    return made


def release(instance: dg.DagsterInstance, feed: Feed, about: dg.AssetKey, by: str) -> Hold | None:
    """Release a feed; returns the hold that it was under, or None for a feed that was not held."""
    before = read_hold(instance, feed)
    if before is None:
        return None
    instance.wipe_assets([hold_key(feed)])
    _tell(instance, feed, about, None, f"Released by {by}; it was {before}")
    return before


def _tell(
    instance: dg.DagsterInstance, feed: Feed, about: dg.AssetKey, now: Hold | None, sentence: str
) -> None:
    """Show a hold or a release where people look: on the asset, as an observation and as its check."""
    instance.report_runless_asset_event(dg.AssetObservation(about, metadata={"hold": sentence}))
    result = judge_hold(feed, now)
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=about,
            check_name=CHECK,
            passed=result.passed,
            severity=result.severity,
            description=result.description,
        )
    )


def judge_hold(feed: Feed, found: Hold | None) -> dg.AssetCheckResult:
    """The check's result: a warning while the feed is held."""
    if found is None:
        return dg.AssetCheckResult(passed=True, description=f"{feed.name} is not held.")
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{feed.name} is {found}. `retail-analytics release {feed.name}` releases it.",
    )


def build_hold_checks(feed: Feed, about: dg.AssetKey) -> Sequence[dg.AssetChecksDefinition]:
    """The check that shows a hold on the asset that people look at."""

    @dg.asset_check(
        asset=about, name=CHECK, description="Nobody holds the feed: new hours are compacted by themselves."
    )
    def not_held(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        return judge_hold(feed, read_hold(context.instance, feed))

    return [not_held]
