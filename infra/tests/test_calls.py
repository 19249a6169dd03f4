"""Every AWS operation that the code calls is allowed to whoever calls it.

The calls are found in the sources, ours and those of the libraries that call for us; the tables below say
who makes each. A call that joins fails here until somebody has said who makes it, and granted it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import pytest

import retail_analytics
from infra.access import UNNARROWED
from infra.tests.calls import calls, operations, python_files, services
from infra.tests.conftest import Synthesised
from infra.tests.policies import Policies, policies

_ROOT = Path(retail_analytics.__file__).parent
# People's commands, on their own machine and with their own rights, and the embedded cloud.
_NOT_DEPLOYED = ("embedded", "commands", "ingest")
# On a client of OpenSearch, not of Glue.
_SEARCHES = {("search/health.py", "glue.get_mapping"), ("search/reindex.py", "glue.get_mapping")}

OURS: dict[tuple[str, str], str] = {
    ("batch/checks.py", "glue.get_table"): "run",
    ("batch/objects_noted.py", "s3.get_object"): "run",
    ("batch/objects_noted.py", "s3.put_object"): "run",
    ("batch/staging.py", "glue.delete_table"): "run",
    ("batch/staging.py", "s3.list_objects_v2"): "run",
    ("batch/sweep.py", "glue.delete_table"): "run",
    ("batch/sweep.py", "glue.get_tables"): "run",
    ("batch/sweep.py", "s3.delete_objects"): "run",
    ("batch/sweep.py", "s3.get_object"): "run",
    ("batch/sweep.py", "s3.list_objects_v2"): "run",
    ("batch/sweep.py", "s3.put_object"): "run",
    ("lake/arrivals.py", "s3.get_object"): "run code",
    ("lake/catalog.py", "glue.create_table"): "run",
    ("lake/catalog.py", "glue.get_table"): "run",
    ("lake/catalog.py", "glue.get_tables"): "run",
    ("lake/catalog.py", "glue.update_table"): "run",
    ("lake/crawlers.py", "glue.get_crawler"): "run",
    ("lake/crawlers.py", "glue.list_crawls"): "run",
    ("lake/crawlers.py", "glue.start_crawler"): "run",
    ("lake/crawlers.py", "logs.filter_log_events"): "run",
    ("lake/delivery_errors.py", "s3.get_object"): "run",
    ("lake/delivery_errors.py", "s3.list_objects_v2"): "run",
    ("lake/drift.py", "glue.get_table"): "run",
    ("lake/notifications.py", "sqs.delete_message_batch"): "code",
    ("lake/notifications.py", "sqs.get_queue_attributes"): "run",
    ("lake/notifications.py", "sqs.get_queue_url"): "run code",
    ("lake/notifications.py", "sqs.receive_message"): "code",
    ("lake/objects.py", "s3.list_objects_v2"): "run code",
    ("lake/partitions.py", "glue.batch_create_partition"): "run",
    ("lake/partitions.py", "glue.batch_delete_partition"): "run",
    ("lake/partitions.py", "glue.batch_get_partition"): "run code",
    ("lake/partitions.py", "glue.batch_update_partition"): "run",
    ("lake/partitions.py", "glue.get_partitions"): "run code",
    ("resources/notices.py", "sns.publish"): "code",
    # For a domain with users of its own; ours knows roles.
    ("search/connection.py", "secretsmanager.get_secret_value"): "",
    ("search/consumer.py", "cloudwatch.get_metric_statistics"): "run",
    ("search/dead_letters.py", "s3.delete_object"): "run",
    ("search/dead_letters.py", "s3.get_object"): "run",
    ("search/dead_letters.py", "s3.list_objects_v2"): "run",
    ("search/dead_letters.py", "s3.put_object"): "run retail_trans-handler",
    ("search/unhandled.py", "s3.delete_object"): "run",
    ("search/unhandled.py", "s3.get_object"): "run",
    ("search/unhandled.py", "s3.list_objects_v2"): "run",
}
"""Each call of ours, by module and operation, and who makes it: roles of ours, or nobody on AWS."""

_LOOKS = "daemon web"
_READS_LOGS = "run code daemon web"

THEIRS: dict[tuple[str, str], str] = {
    ("pyathena/common.py", "athena.get_query_execution"): "run",
    ("pyathena/common.py", "athena.start_query_execution"): "run",
    ("pyathena/common.py", "athena.stop_query_execution"): "run",
    ("pyathena/result_set.py", "athena.get_query_results"): "run",
    ("pyathena/result_set.py", "s3.get_object"): "run",
    ("pyathena/result_set.py", "s3.head_object"): "run",
    # Metadata of tables, calculations of Spark, and results used again: nothing of ours asks for them.
    **dict.fromkeys(
        [
            *(("pyathena/common.py", f"athena.{operation}") for operation in (
                "batch_get_query_execution", "get_calculation_execution", "get_calculation_execution_status",
                "get_table_metadata", "list_databases", "list_query_executions", "list_table_metadata",
            )),
            ("pyathena/common.py", "glue.get_table"),
            *(("pyathena/glue.py", f"glue.{operation}") for operation in (
                "get_databases", "get_table", "get_tables",
            )),
        ],
        "",
    ),
    ("dagster_aws/ecs/launcher.py", "ecs.describe_task_definition"): _LOOKS,
    ("dagster_aws/ecs/launcher.py", "ecs.describe_tasks"): _LOOKS,
    ("dagster_aws/ecs/launcher.py", "ecs.stop_task"): _LOOKS,
    # The stack makes the definition: dagster.yaml names it.
    ("dagster_aws/ecs/launcher.py", "ecs.register_task_definition"): "",
    ("dagster_aws/ecs/tasks.py", "ecs.describe_task_definition"): "daemon",
    ("dagster_aws/ecs/tasks.py", "ecs.describe_tasks"): "daemon",
    ("dagster_aws/ecs/utils.py", "ecs.describe_task_definition"): "daemon",
    ("dagster_aws/ecs/utils.py", "ecs.describe_tasks"): "daemon",
    ("dagster_aws/ecs/utils.py", "ecs.run_task"): "daemon",
    ("dagster_aws/ecs/utils.py", "logs.get_log_events"): "daemon",
    ("dagster_aws/s3/compute_log_manager.py", "s3.download_fileobj"): _READS_LOGS,
    ("dagster_aws/s3/compute_log_manager.py", "s3.head_object"): _READS_LOGS,
    ("dagster_aws/s3/compute_log_manager.py", "s3.list_objects_v2"): _READS_LOGS,
    ("dagster_aws/s3/compute_log_manager.py", "s3.upload_fileobj"): "run code daemon",
    # Wiping logs: the bucket's lifecycle does it.
    ("dagster_aws/s3/compute_log_manager.py", "s3.delete_objects"): "",
    ("dagster_aws/s3/compute_log_manager.py", "s3.list_objects"): "",
}  # fmt: skip
"""The same for the libraries' modules that the deployment loads."""

UNSEEN: Mapping[str, tuple[str, ...]] = {
    # boto3's resource of a network interface describes it when an attribute is asked for.
    "daemon": (
        "ec2:DescribeNetworkInterfaces", "ecs:TagResource", "iam:PassRole", "kms:Decrypt", "kms:GenerateDataKey",
    ),
    "web": ("kms:Decrypt",),
    # What Athena does with the caller's rights: "Access to Athena" and "to workgroups" in its user guide.
    "run": (
        "athena:GetDataCatalog", "athena:GetWorkGroup", "glue:BatchCreatePartition", "glue:CreatePartition", "glue:CreateTable",
        "glue:GetDatabase", "glue:GetPartition", "kms:Decrypt", "kms:GenerateDataKey", "s3:AbortMultipartUpload",
        "s3:GetBucketLocation", "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts", "s3:PutObject",
    ),
    # Publishing to a topic under a key of ours: "Key management" in SNS' developer guide.
    "code": ("kms:Decrypt", "kms:GenerateDataKey", "sns:Publish"),
    # "Grant Firehose access to an Amazon S3 destination", and to a stream, in its developer guide.
    "retail_trans-delivery": (
        "s3:AbortMultipartUpload", "s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket",
        "s3:ListBucketMultipartUploads", "s3:PutObject", "kms:Decrypt", "kms:GenerateDataKey", "logs:PutLogEvents",
        "kinesis:DescribeStream", "kinesis:GetShardIterator", "kinesis:GetRecords", "kinesis:ListShards",
    ),
    # "Accelerating crawls using Amazon S3 event notifications" in Glue's developer guide.
    "retail_trans-crawler": (
        "s3:GetObject", "s3:ListBucket", "kms:Decrypt", "glue:GetDatabase", "glue:GetTable", "glue:GetPartitions",
        "glue:BatchCreatePartition", "glue:UpdateTable", "sqs:DeleteMessage", "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl", "sqs:ListDeadLetterSourceQueues", "sqs:ListQueueTags", "sqs:PurgeQueue",
        "sqs:ReceiveMessage", "sqs:SetQueueAttributes", "logs:PutLogEvents",
    ),
    # AWSLambdaKinesisExecutionRole and AWSLambdaVPCAccessExecutionRole; an S3 destination; the index.
    "retail_trans-handler": (
        "kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords",
        "kinesis:GetShardIterator", "kinesis:ListShards", "logs:CreateLogStream", "logs:PutLogEvents",
        "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces",
        "s3:PutObject", "s3:ListBucket", "kms:Decrypt", "kms:GenerateDataKey",
        "es:ESHttpGet", "es:ESHttpPost", "es:ESHttpPut",
    ),
}  # fmt: skip
"""What services ask for besides, from AWS's documentation: no source of ours or of a library says it."""

_SPECIAL = {
    "s3.delete_objects": ["s3:DeleteObject"],
    "s3.download_fileobj": ["s3:GetObject"],
    "s3.head_object": ["s3:GetObject"],
    "s3.list_objects": ["s3:ListBucket"],
    "s3.list_objects_v2": ["s3:ListBucket"],
    "s3.upload_fileobj": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
    "sqs.delete_message_batch": ["sqs:DeleteMessage"],
}


def _actions(call: str) -> list[str]:
    """The IAM actions of an operation: its own name, except where the two have grown apart."""
    service, method = call.split(".")
    return _SPECIAL.get(call) or [f"{service}:{operations(service)[method]}"]


def _ours() -> set[tuple[str, str]]:
    sources = {str(path.relative_to(_ROOT)): path.read_text() for path in python_files(_ROOT, *_NOT_DEPLOYED)}
    used = frozenset(service for source in sources.values() for service in services(source))
    assert used >= {"glue", "s3", "sqs"}
    found = {
        (name, f"{service}.{method}")
        for name, source in sources.items()
        for service, method in calls(source, used)
    }
    assert found >= _SEARCHES, "no longer there: take them off the list"
    return found - _SEARCHES


def _theirs() -> set[tuple[str, str]]:
    wanted = {
        "pyathena": ("*.py", frozenset({"athena", "glue", "s3"})),
        "dagster_aws.ecs": ("*.py", frozenset({"ecs", "logs"})),
        "dagster_aws.s3": ("compute_log_manager.py", frozenset({"s3"})),
    }
    found = set()
    for package, (pattern, used) in wanted.items():
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent
        for path in folder.glob(pattern):
            if path.name not in {"executor.py", "test_utils.py"}:  # a task for each step: ours are in process
                module = f"{package.replace('.', '/')}/{path.name}"
                found |= {(module, f"{s}.{method}") for s, method in calls(path.read_text(), used)}
    return found


@pytest.fixture(params=["dev", "prod"])
def roles(request: pytest.FixtureRequest) -> Policies:
    return policies(request.getfixturevalue(request.param))


def test_it_is_known_who_makes_each_call_of_ours() -> None:
    assert _ours() == set(OURS)


def test_it_is_known_who_makes_each_call_of_the_libraries() -> None:
    assert _theirs() == set(THEIRS)


def test_whoever_makes_a_call_may(roles: Policies) -> None:
    denied = [
        (role, action, *where)
        for where, who in (OURS | THEIRS).items()
        for role in who.split()
        for action in _actions(where[1])
        if action not in roles.actions(f"{role}-role")
    ]
    assert denied == []


def test_services_get_what_they_ask_for_besides(roles: Policies) -> None:
    denied = [
        (role, action)
        for role, actions in UNSEEN.items()
        for action in actions
        if action not in roles.actions(f"{role}-role")
    ]
    assert denied == []


def test_a_new_call_is_seen() -> None:
    """A call, an operation handed over, a paginator and a waiter are found; an attribute of ours is not."""
    source = (
        "s3 = session.client('s3')\ns3.copy_object()\nretry(glue.get_job)\nx.get_paginator('list_crawls')\n"
        "self.records\n"
    )
    assert set(services(source)) == {"s3"}
    assert set(calls(source, frozenset({"s3", "glue"}))) == {
        ("s3", "copy_object"), ("glue", "get_job"), ("glue", "list_crawls"),
    }  # fmt: skip


def test_nobody_is_granted_what_nobody_calls(dev: Synthesised) -> None:
    """The tasks' roles hold no action without a call or a reason: what went out of use is taken back."""
    found = policies(dev)
    wanted: dict[str, set[str]] = {role: set(actions) for role, actions in UNSEEN.items()}
    for where, who in (OURS | THEIRS).items():
        for role in who.split():
            wanted.setdefault(role, set()).update(_actions(where[1]))
    wanted["web"] |= {action for action in UNNARROWED if action.startswith("ssmmessages:")}
    wanted["run"] |= {f"es:ESHttp{verb}" for verb in ("Delete", "Get", "Head", "Post", "Put")}
    idle = {role: found.actions(f"{role}-role") - wanted[role] for role in ("run", "code", "daemon", "web")}
    assert {role: sorted(actions) for role, actions in idle.items() if actions} == {}
