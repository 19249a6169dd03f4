"""Where things lie in the buckets that only AWS has, or that a rule of the lake's bucket is about.

Not here: where the feeds' own objects lie, which their declarations say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retail_analytics.feeds import Feed

COMPUTE_LOGS = "dagster-logs/"
"""Where Dagster keeps what runs print."""

DEAD_LETTERS = "dead-letters/"
"""Where records are kept that no index takes, below it a folder a feed."""

RESULTS = "athena-results/"
"""Where Athena puts results; a test compares it with the settings."""

UNHANDLED = "aws/lambda/"
"""Where Lambda writes batches that it gave up; the prefix is Lambda's own."""

LAKE_LOGS = "lake/"
"""Where S3 logs who touched the lake, in the bucket of access logs."""

ENTRANCE_LOGS = "entrance"
"""Where the load balancer logs who came, in the same bucket; it makes the slash itself."""


def errors_root(feed: Feed) -> str:
    """What every key begins with of what Firehose could not deliver."""
    return feed.error_prefix.split("year=", 1)[0]


def errors_metric(feed: Feed) -> str:
    """The id of the bucket's request metrics of what Firehose could not deliver."""
    return f"errors-{feed.name}"
