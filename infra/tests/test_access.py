"""Whom the policies let at what, by name: the places that the product's own functions give, and their neighbours.

``test_calls.py`` asks for actions; here it is the resource that must fit.
"""

from __future__ import annotations

import pytest

from infra.environments import settings_of
from infra.prefixes import COMPUTE_LOGS, RESULTS, UNHANDLED, errors_root
from infra.tests.conftest import Synthesised
from infra.tests.policies import Policies, arn, policies
from retail_analytics.feeds import FEEDS
from retail_analytics.lake.tables import all_tables, raw_table
from retail_analytics.search.environment import dead_letter_prefix, handler_name
from retail_analytics.settings import Settings

FEED = FEEDS[0]
SETTINGS = Settings(deployment="retail-analytics-dev", bucket="retail-analytics-dev-123456789012-eu-west-1")
BUCKET = f"arn:aws:s3:::{SETTINGS.bucket}"
RAW = f"{BUCKET}/{FEED.raw_root}year=2026/month=01/day=31/hour=08/object"
LOGS = f"{BUCKET}/{COMPUTE_LOGS}storage/run/compute_logs/step.err"
RESULT = f"{BUCKET}/{RESULTS}0f0f.csv"
DEAD = f"{BUCKET}/{dead_letter_prefix(FEED)}day=2026-01-31/id.json"
GIVEN_UP = f"{BUCKET}/{UNHANDLED}{FEED.name}/2026/01/31/batch"
MADE = [
    f"{BUCKET}/{str(table.location).removeprefix(f's3://{SETTINGS.bucket}/')}made/part-0"
    for table in all_tables(FEED, SETTINGS)
    if table.location != raw_table(FEED, SETTINGS).location
]
TABLE = arn("glue", f"table/{SETTINGS.database}/{FEED.name}_compacted")
CRAWLER = arn("glue", f"crawler/{SETTINGS.crawler(FEED.name)}")
WORKGROUP = arn("athena", f"workgroup/{SETTINGS.workgroup}")
ANALYSTS = arn("athena", f"workgroup/{SETTINGS.workgroup}-analysts")
DOMAIN = arn("es", "domain/retail-search-dev")
RUN_LOG = arn("logs", f"log-group:/{SETTINGS.deployment}/dagster/run:log-stream:run/run/0f0f")


@pytest.fixture(scope="module")
def who(dev: Synthesised) -> Policies:
    return policies(dev)


def test_these_are_devs_names() -> None:
    assert SETTINGS.deployment == settings_of("dev", {}).deployment
    assert SETTINGS.results_location == f"s3://{SETTINGS.bucket}/{RESULTS}"
    assert MADE


@pytest.mark.parametrize(
    ("role", "action", "resource"),
    [
        *(("run", f"s3:{verb}Object", place) for place in MADE for verb in ("Get", "Put", "Delete")),
        ("run", "s3:PutObject", f"{BUCKET}/compacted/{FEED.name}/_unreferenced.json"),
        ("run", "s3:GetObject", f"{BUCKET}/_deployment/id"),
        ("run", "s3:GetObject", RAW),
        ("run", "s3:GetObject", f"{BUCKET}/{errors_root(FEED)}year=2026/processing-failed/object"),
        ("run", "s3:PutObject", RESULT),
        ("run", "s3:PutObject", DEAD),
        ("run", "s3:DeleteObject", DEAD),
        ("run", "s3:DeleteObject", GIVEN_UP),
        ("run", "s3:PutObject", LOGS),
        ("run", "glue:BatchUpdatePartition", TABLE),
        ("run", "glue:CreateTable", arn("glue", f"table/{SETTINGS.database}/tmp_0f0f")),
        ("run", "glue:GetDatabase", arn("glue", "database/default")),
        ("run", "glue:StartCrawler", CRAWLER),
        ("run", "glue:ListCrawls", CRAWLER),
        ("run", "athena:StartQueryExecution", WORKGROUP),
        ("run", "es:ESHttpPost", f"{DOMAIN}/_bulk"),
        ("run", "es:ESHttpPost", f"{DOMAIN}/_dashboards/api/saved_objects/_import"),
        ("run", "sqs:GetQueueAttributes", arn("sqs", SETTINGS.dead_arrivals_queue(FEED.name))),
        ("run", "logs:FilterLogEvents", arn("logs", "log-group:/aws-glue/crawlers:log-stream:retail_trans-raw")),
        ("code", "s3:GetObject", f"{BUCKET}/_deployment/id"),
        ("code", "sqs:ReceiveMessage", arn("sqs", SETTINGS.arrivals_queue(FEED.name))),
        ("code", "glue:BatchGetPartition", TABLE),
        ("code", "s3:PutObject", LOGS),
        ("web", "s3:GetObject", LOGS),
        ("daemon", "s3:PutObject", LOGS),
        ("daemon", "ecs:TagResource", arn("ecs", "task/<ClusterEB0386A7>/0f0f")),
        ("daemon", "logs:GetLogEvents", RUN_LOG),
        (f"{FEED.name}-handler", "s3:PutObject", DEAD),
        (f"{FEED.name}-handler", "s3:PutObject", GIVEN_UP),
        (f"{FEED.name}-handler", "es:ESHttpPost", f"{DOMAIN}/_bulk"),
        (f"{FEED.name}-handler", "kinesis:GetRecords", arn("kinesis", f"stream/{FEED.stream}")),
        (f"{FEED.name}-handler", "logs:PutLogEvents",
         arn("logs", f"log-group:/aws/lambda/{handler_name(FEED, SETTINGS)}:log-stream:2026/01/31/[1]0f")),
        (f"{FEED.name}-delivery", "s3:PutObject", RAW),
        (f"{FEED.name}-delivery", "s3:PutObject", f"{BUCKET}/{errors_root(FEED)}year=2026/x"),
        (f"{FEED.name}-delivery", "kinesis:GetRecords", arn("kinesis", f"stream/{FEED.stream}")),
        (f"{FEED.name}-delivery", "logs:PutLogEvents",
         arn("logs", f"log-group:/aws/kinesisfirehose/{SETTINGS.deployment}-{FEED.name}:log-stream:x")),
        (f"{FEED.name}-crawler", "s3:GetObject", RAW),
        (f"{FEED.name}-crawler", "sqs:ReceiveMessage", arn("sqs", SETTINGS.crawler_queue(FEED.name))),
        (f"{FEED.name}-crawler", "glue:BatchCreatePartition",
         arn("glue", f"table/{SETTINGS.database}/{FEED.name}")),
        (f"{FEED.name}-crawler", "logs:PutLogEvents",
         arn("logs", "log-group:/aws-glue/crawlers:log-stream:retail_trans-raw")),
        ("AnalystsMay", "athena:StartQueryExecution", ANALYSTS),
        ("AnalystsMay", "s3:GetObject", MADE[0]),
        ("AnalystsMay", "s3:PutObject", f"{BUCKET}/{RESULTS}analysts/0f.csv"),
    ],
)  # fmt: skip
def test_may(who: Policies, role: str, action: str, resource: str) -> None:
    assert who.allows(_role(role), action, resource, ecs__CreateAction="RunTask")


@pytest.mark.parametrize(
    ("role", "action", "resource"),
    [
        ("run", "s3:PutObject", RAW),
        ("run", "s3:DeleteObject", RAW),
        ("run", "s3:DeleteObject", RESULT),
        ("run", "sqs:DeleteMessage", arn("sqs", SETTINGS.arrivals_queue(FEED.name))),
        ("run", "athena:StartQueryExecution", ANALYSTS),
        ("run", "glue:DeleteTable", arn("glue", f"table/others/{FEED.name}")),
        ("run", "es:ESHttpPost", arn("es", "domain/retail-search-devious/_bulk")),
        ("run", "ecs:RunTask", arn("ecs", f"task-definition/{SETTINGS.deployment}-run:1")),
        *(("code", f"s3:{verb}Object", place) for place in (RAW, *MADE) for verb in ("Put", "Delete")),
        ("code", "es:ESHttpGet", f"{DOMAIN}/_search"),
        ("code", "athena:StartQueryExecution", WORKGROUP),
        ("web", "s3:GetObject", RAW),
        ("web", "s3:PutObject", LOGS),
        ("web", "iam:PassRole", "<runrole77AEEAB1.Arn>"),
        ("daemon", "s3:GetObject", RAW),
        ("daemon", "iam:PassRole", "arn:aws:iam::123456789012:role/administrator"),
        ("daemon", "logs:GetLogEvents", arn("logs", "log-group:/other:log-stream:x")),
        (f"{FEED.name}-handler", "s3:GetObject", RAW),
        (f"{FEED.name}-handler", "s3:PutObject", RAW),
        (f"{FEED.name}-delivery", "s3:PutObject", MADE[0]),
        (f"{FEED.name}-delivery", "s3:DeleteObject", RAW),
        (f"{FEED.name}-crawler", "s3:PutObject", RAW),
        (f"{FEED.name}-crawler", "glue:UpdateTable", TABLE),
        ("AnalystsMay", "athena:StartQueryExecution", WORKGROUP),
        ("AnalystsMay", "s3:PutObject", MADE[0]),
        ("AnalystsMay", "s3:GetObject", LOGS),
        ("AnalystsMay", "s3:PutObject", RESULT),
        ("AnalystsMay", "glue:UpdateTable", TABLE),
    ],
)
def test_may_not(who: Policies, role: str, action: str, resource: str) -> None:
    assert not who.allows(_role(role), action, resource)


def test_the_daemon_starts_any_revision_in_its_own_cluster_alone(who: Policies, dev: Synthesised) -> None:
    """While a deployment replaces the daemon, the old one still launches the revision before."""
    (cluster,) = dev.resources("orchestration", "AWS::ECS::Cluster")
    for revision in (1, 2):
        run = arn("ecs", f"task-definition/{SETTINGS.deployment}-run:{revision}")
        assert who.allows("daemon-role", "ecs:RunTask", run, ecs__cluster=f"<{cluster}.Arn>")
        assert not who.allows("daemon-role", "ecs:RunTask", run, ecs__cluster="another")
    other = arn("ecs", f"task-definition/{SETTINGS.deployment}-runner:1")
    assert not who.allows("daemon-role", "ecs:RunTask", other, ecs__cluster=f"<{cluster}.Arn>")


def test_the_crawler_lists_its_own_folder_with_and_without_a_slash(who: Policies) -> None:
    role = f"{FEED.name}-crawler-role"
    for prefix in (FEED.raw_root, FEED.raw_root.rstrip("/"), f"{FEED.raw_root}year=2026/"):
        assert who.allows(role, "s3:ListBucket", BUCKET, s3__prefix=prefix)
    assert not who.allows(role, "s3:ListBucket", BUCKET, s3__prefix="compacted/")
    assert not who.allows(role, "s3:ListBucket", BUCKET)


@pytest.mark.parametrize("role", ["run", "code", f"{FEED.name}-handler"])
def test_a_missing_object_is_told_from_a_forbidden_one(who: Policies, role: str) -> None:
    """S3 says NoSuchKey to those alone who may list without a prefix; the code asks for that."""
    assert who.allows(f"{role}-role", "s3:ListBucket", BUCKET)


def _role(name: str) -> str:
    return name if name == "AnalystsMay" else f"{name}-role"
