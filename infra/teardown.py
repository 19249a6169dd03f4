"""``make destroy``: an environment's stacks, the last first, with all that lies in them.

Through CloudFormation's API and without CDK's command line, so that it can be tried on an emulator. Buckets
are emptied first, since CloudFormation deletes none that holds an object; logs that services made beside a
stack, which it knows nothing of, go after it. A prod environment is refused: its data outlives its stacks,
and who wants it gone has to say so by hand (``docs/deploy.md``).
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError, WaiterError

from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import WaiterConfigTypeDef
    from mypy_boto3_s3 import S3Client

PARTS = ("network", "ingest", "catalog", "search", "orchestration", "watch")
"""The stacks' parts in the order of deployment; a test compares it with the app's."""

_ATTEMPTS = 3  # Firehose may deliver what it still held after the bucket was emptied
# An hour: a search domain and a database take their time.
_WAIT: WaiterConfigTypeDef = {"Delay": 10, "MaxAttempts": 360}


_LOGS_BESIDE = {
    "AWS::ECS::Cluster": "/aws/ecs/containerinsights/{}/",
    "AWS::RDS::DBInstance": "/aws/rds/instance/{}/",
}
"""Where services keep logs of a resource of ours in groups of their own, by its type."""


class TeardownError(RuntimeError):
    """A stack could not be deleted; the message says which, and what CloudFormation said."""


def teardown(
    deployment: str,
    cloudformation: CloudFormationClient,
    s3: S3Client,
    logs: Any,
    say: Callable[[str], None] = print,
    parts: tuple[str, ...] = PARTS,
) -> list[str]:
    """Delete the deployment's stacks, the last first.

    Args:
        deployment: The deployment's name, with which the stacks' names begin.
        cloudformation: A client.
        s3: A client.
        logs: A client of CloudWatch's logs.
        say: Told of each step.
        parts: The parts in the order of deployment.

    Returns:
        The names of the stacks that were deleted; none on a second call.

    Raises:
        TeardownError: A stack could not be deleted. What was deleted before stays deleted; call it again.
    """
    deleted = []
    for part in reversed(parts):
        stack = f"{deployment}-{part}"
        if not _exists(cloudformation, stack):
            continue
        say(f"Deleting {stack} …")
        beside = _logs_beside(cloudformation, stack)
        _delete(stack, cloudformation, s3, say)
        for prefix in beside:
            _delete_logs(logs, prefix, say)
        deleted.append(stack)
    return deleted


def _exists(cloudformation: CloudFormationClient, stack: str) -> bool:
    try:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":  # CloudFormation's word for "there is none"
            return False
        raise
    return any(one["StackStatus"] != "DELETE_COMPLETE" for one in found)


def _delete(
    stack: str, cloudformation: CloudFormationClient, s3: S3Client, say: Callable[[str], None]
) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        for bucket in _buckets(cloudformation, stack):
            removed = empty(s3, bucket)
            if removed:
                say(f"  emptied {bucket}: {removed} objects and versions")
        cloudformation.delete_stack(StackName=stack)
        try:
            cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=_WAIT)
        except WaiterError as error:
            if attempt == _ATTEMPTS:
                raise TeardownError(
                    f"{stack} was not deleted: {_reasons(cloudformation, stack) or error}"
                ) from error
        else:
            return


def _buckets(cloudformation: CloudFormationClient, stack: str) -> list[str]:
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    return [
        resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] == "AWS::S3::Bucket"
        and resource["ResourceStatus"] != "DELETE_COMPLETE"
        and resource.get("PhysicalResourceId")
    ]


def _logs_beside(cloudformation: CloudFormationClient, stack: str) -> list[str]:
    """The prefixes of log groups that services made for the stack's resources."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    return [
        _LOGS_BESIDE[resource["ResourceType"]].format(resource["PhysicalResourceId"])
        for page in pages
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] in _LOGS_BESIDE and resource.get("PhysicalResourceId")
    ]


def _delete_logs(logs: Any, prefix: str, say: Callable[[str], None]) -> None:
    for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix):
        for group in page["logGroups"]:
            logs.delete_log_group(logGroupName=group["logGroupName"])
            say(f"  deleted the log {group['logGroupName']}")


def empty(s3: S3Client, bucket: str) -> int:
    """Delete every object of a bucket with all of its versions; returns how many there were.

    Raises:
        TeardownError: S3 refused some.
    """
    removed = 0
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = [
            {"Key": item["Key"], "VersionId": item["VersionId"]}
            for kind in ("Versions", "DeleteMarkers")
            for item in page.get(kind, [])  # type: ignore[attr-defined]
        ]
        if not found:
            continue
        refused = s3.delete_objects(
            Bucket=bucket,
            Delete={"Objects": found, "Quiet": True},  # type: ignore[typeddict-item]
        ).get("Errors", [])
        if refused:
            raise TeardownError(f"S3 kept {refused[0].get('Key')} in {bucket}: {refused[0].get('Message')}")
        removed += len(found)
    return removed


def _reasons(cloudformation: CloudFormationClient, stack: str) -> str:
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = (event for event in events if event.get("ResourceStatus") == "DELETE_FAILED")
    return "; ".join(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in failed)


def main() -> None:
    """Read the command line, and delete."""
    parser = argparse.ArgumentParser(description="Delete an environment's stacks, with their data.")
    parser.add_argument("environment", help="dev; prod is refused")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args()
    if options.environment != "dev":
        sys.exit(
            f"destroy: {options.environment} keeps its data; docs/deploy.md says how to take it down by hand."
        )
    settings = Settings.from_env()
    # As environments.settings_of has it; to import that would load CDK.
    deployment = os.environ.get("RETAIL_DEPLOYMENT") or f"retail-analytics-{options.environment}"
    account = boto3.client("sts").get_caller_identity()["Account"]
    question = f"Delete {deployment} in account {account}, region {settings.region}, with all of its data? "
    if not options.yes and input(question + "Type its name: ").strip() != deployment:
        sys.exit("destroy: nothing was deleted.")
    try:
        done = teardown(
            deployment,
            boto3.client("cloudformation", region_name=settings.region),
            boto3.client("s3", region_name=settings.region),
            boto3.client("logs", region_name=settings.region),
        )
    except TeardownError as error:
        sys.exit(f"destroy: {error}")
    print(f"Deleted {len(done)} stacks.")


if __name__ == "__main__":
    main()
