"""The check of a feed's queue of hints: what waits too long, and what nobody could act upon."""

import dagster as dg

from retail_analytics.feeds import Feed
from retail_analytics.lake import notifications
from retail_analytics.lake.assets import raw_key
from retail_analytics.lake.notifications import QueueState
from retail_analytics.resources.clients import SqsResource
from retail_analytics.settings import Settings

MANY_WAITING = 10_000
"""More messages than a few minutes of ticks act upon: then nobody reads, or more comes than is read."""


def build_queue_check(feed: Feed, settings: Settings) -> dg.AssetChecksDefinition:
    """The check that S3's events are read and understood."""

    @dg.asset_check(
        asset=raw_key(feed),
        name="notifications_read",
        description="S3's events are read as they come, and all of them were understood.",
    )
    def notifications_read(sqs: SqsResource) -> dg.AssetCheckResult:
        return judge(notifications.queue_state(sqs.get_client(), feed, settings), feed, settings)

    return notifications_read


def judge(state: QueueState, feed: Feed, settings: Settings) -> dg.AssetCheckResult:
    """The verdict on a feed's queues: dead messages fail it, a backlog warns."""
    metadata = {"waiting": state.waiting, "in flight": state.in_flight, "dead": state.dead}
    if state.dead:
        return dg.AssetCheckResult(
            passed=False,
            metadata=metadata,
            description=(
                f"{state.dead} messages were given up: read {settings.dead_arrivals_queue(feed.name)}, mend"
                " what they speak of, and redrive or delete them. Their hours are found by listing: within"
                f" {settings.lookback_hours} hours by the look-back, older ones by the daily sweep."
            ),
        )
    if state.waiting > MANY_WAITING:
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            metadata=metadata,
            description=(
                f"{state.waiting} messages wait in {settings.arrivals_queue(feed.name)}: look whether the"
                f" sensor {feed.name}_arrivals runs."
            ),
        )
    return dg.AssetCheckResult(
        passed=True, metadata=metadata, description=f"{state.waiting} messages wait, none was given up."
    )
