"""What Dagster's tasks may do to the lake: one function an actor, narrowed to the names of the settings.

Here: the statements. Not here: the roles that carry them (``stacks/orchestration.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import access
from infra.prefixes import COMPUTE_LOGS, DEAD_LETTERS, RESULTS, UNHANDLED, errors_root
from infra.stacks.search import HTTP_ACTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk.aws_iam import PolicyStatement

    from infra.environments import Environment
    from retail_analytics.feeds import Feed

_WRITTEN = ("compacted/", "rejects/", "processed/", DEAD_LETTERS)
"""Prefixes that the pipeline writes and, where nothing points at them any more, removes."""

_IDENTITY = "_deployment/"
"""Where a lake that has an identity keeps it; who may not look cannot tell that there is none."""

_WRITE_CATALOG = (
    "glue:BatchCreatePartition",
    "glue:BatchDeletePartition",
    "glue:BatchUpdatePartition",
    "glue:CreatePartition",
    "glue:CreateTable",
    "glue:DeleteTable",
    "glue:UpdateTable",
)


def of_runs(
    environment: Environment, feeds: Sequence[Feed], key_arn: str, domain_arn: str
) -> list[PolicyStatement]:
    """A run: reads raw, writes and sweeps what it makes, queries, publishes, indexes, and crawls.

    Commands of people are run in such a task too, where the search domain is reached: replaying what Lambda
    gave up reads and removes it.
    """
    settings = environment.settings
    return [
        access.may_list(settings),
        access.may_read(
            settings,
            *(feed.raw_root for feed in feeds),
            *(errors_root(feed) for feed in feeds),
            *_WRITTEN,
            RESULTS,
            UNHANDLED,
            _IDENTITY,
            COMPUTE_LOGS,
        ),
        access.may_write(settings, *_WRITTEN, RESULTS, COMPUTE_LOGS),
        access.allow(["s3:DeleteObject"], access.objects(settings, *_WRITTEN, UNHANDLED)),
        # Athena asks where the bucket is, and which parts of a large result are under way.
        access.allow(
            ["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"], [access.bucket_arn(settings)]
        ),
        access.may_use_key(key_arn, write=True),
        access.allow([*access.READ_CATALOG, *_WRITE_CATALOG], _catalog(environment)),
        *access.may_begin_queries(),
        access.allow(
            ["glue:GetCrawler", "glue:ListCrawls", "glue:StartCrawler"],
            [access.arn("glue", f"crawler/{settings.crawler(feed.name)}") for feed in feeds],
        ),
        access.may_query(settings.workgroup),
        access.allow(HTTP_ACTIONS, [f"{domain_arn}/*"]),
        # What a crawl said, and how far the handler is behind.
        access.allow(["logs:FilterLogEvents"], [access.arn("logs", "log-group:/aws-glue/crawlers*")]),
        access.unnarrowed("cloudwatch:GetMetricStatistics"),
        # Checks read how full the queues are.
        access.allow(["sqs:GetQueueAttributes", "sqs:GetQueueUrl"], _queues(environment, feeds)),
    ]


def of_code_server(
    environment: Environment, feeds: Sequence[Feed], key_arn: str, notices_arn: str
) -> list[PolicyStatement]:
    """The code server, where sensors and schedules look: reads lake, catalog and queues, and announces."""
    settings = environment.settings
    return [
        access.may_list(settings),
        access.may_read(settings, *(feed.raw_root for feed in feeds), *_WRITTEN, _IDENTITY, COMPUTE_LOGS),
        access.may_write(settings, COMPUTE_LOGS),
        access.may_use_key(key_arn, write=True),
        # What is published; tables are the runs'.
        access.allow(["glue:BatchGetPartition", "glue:GetPartitions"], _catalog(environment)),
        access.allow(
            ["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"],
            [access.arn("sqs", settings.arrivals_queue(feed.name)) for feed in feeds],
        ),
        access.allow(["sns:Publish"], [notices_arn]),
    ]


def of_reader_of_logs(environment: Environment, key_arn: str, *, writes: bool) -> list[PolicyStatement]:
    """Web server (reads what runs printed) and daemon (keeps what its evaluations printed)."""
    settings = environment.settings
    statements = [
        access.may_list(settings, COMPUTE_LOGS),
        access.may_read(settings, COMPUTE_LOGS),
        access.may_use_key(key_arn, write=writes),
    ]
    return [*statements, access.may_write(settings, COMPUTE_LOGS)] if writes else statements


def _catalog(environment: Environment) -> list[str]:
    """The database with all of its tables: those of a feed, and the temporary ones of a run."""
    database = environment.settings.database
    return [
        access.arn("glue", "catalog"),
        access.arn("glue", f"database/{database}"),
        access.arn("glue", f"table/{database}/*"),
    ]


def _queues(environment: Environment, feeds: Sequence[Feed]) -> list[str]:
    settings = environment.settings
    return [
        access.arn("sqs", queue)
        for feed in feeds
        for queue in (settings.arrivals_queue(feed.name), settings.dead_arrivals_queue(feed.name))
    ]
