"""How far the stream's handler is behind: Lambda's iterator age, as CloudWatch has it.

Not here: judging the search server (``health.py``). Where no metric is there, as in the embedded cloud, whose
status page tells it instead, the finding says so.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from retail_analytics.resources.clients import session
from retail_analytics.search.environment import handler_name
from retail_analytics.search.judgements import Finding, consumer_lag

if TYPE_CHECKING:
    from retail_analytics.feeds.declaration import Feed
    from retail_analytics.settings import Settings

WINDOW = timedelta(minutes=15)
_PERIOD_SECONDS = 60


def read_consumer_lag(feed: Feed, settings: Settings) -> Finding:
    """The oldest record that the handler was given lately, judged."""
    name, now = handler_name(feed, settings), datetime.now(UTC)
    try:
        answer = (
            session(settings.region)
            .client("cloudwatch")
            .get_metric_statistics(
                Namespace="AWS/Lambda",
                MetricName="IteratorAge",
                Dimensions=[{"Name": "FunctionName", "Value": name}],
                StartTime=now - WINDOW,
                EndTime=now,
                Period=_PERIOD_SECONDS,
                Statistics=["Maximum"],
            )
        )
    except (BotoCoreError, ClientError) as error:
        return Finding("consumer_lag", "unknown", f"CloudWatch does not tell: {str(error)[:200]}")
    points = [point["Maximum"] for point in answer.get("Datapoints", [])]
    return consumer_lag(name, max(points) / 1000 if points else None, feed.retention_hours * 3600)
