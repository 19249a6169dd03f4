"""Taking down what CloudFormation does not know of: the logs that services made beside the stack."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.stub import Stubber

from infra.teardown import teardown


def _stubbed(service: str) -> tuple[Any, Stubber]:
    client = boto3.client(  # type: ignore[call-overload]
        service, region_name="eu-west-1", aws_access_key_id="none", aws_secret_access_key="none"
    )
    return client, Stubber(client)


def test_logs_of_what_the_stack_made_go_with_it() -> None:
    """Container Insights and RDS make log groups of their own, which would outlive the stack and cost."""
    (cloudformation, stacks), (s3, _), (logs, groups) = map(_stubbed, ("cloudformation", "s3", "logs"))
    stack = {"StackName": "x-orchestration", "CreationTime": 0, "StackStatus": "CREATE_COMPLETE"}
    resources = {
        "StackResourceSummaries": [
            {
                "LogicalResourceId": name,
                "PhysicalResourceId": physical,
                "ResourceType": type_,
                "LastUpdatedTimestamp": 0,
                "ResourceStatus": "CREATE_COMPLETE",
            }
            for name, physical, type_ in (
                ("Cluster", "x-Cluster-1", "AWS::ECS::Cluster"),
                ("Database", "x-database-1", "AWS::RDS::DBInstance"),
                ("Topic", "x-topic", "AWS::SNS::Topic"),
            )
        ]
    }
    stacks.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": "x-orchestration"})
    stacks.add_response("list_stack_resources", resources)  # for the logs
    stacks.add_response("list_stack_resources", resources)  # for the buckets
    stacks.add_response("delete_stack", {}, {"StackName": "x-orchestration"})
    stacks.add_response("describe_stacks", {"Stacks": [stack | {"StackStatus": "DELETE_COMPLETE"}]})
    for prefix, name in (
        ("/aws/ecs/containerinsights/x-Cluster-1/", "/aws/ecs/containerinsights/x-Cluster-1/performance"),
        ("/aws/rds/instance/x-database-1/", "/aws/rds/instance/x-database-1/postgresql"),
    ):
        groups.add_response(
            "describe_log_groups", {"logGroups": [{"logGroupName": name}]}, {"logGroupNamePrefix": prefix}
        )
        groups.add_response("delete_log_group", {}, {"logGroupName": name})
    with stacks, groups:
        done = teardown("x", cloudformation, s3, logs, say=lambda _: None, parts=("orchestration",))
        assert done == ["x-orchestration"]
        stacks.assert_no_pending_responses()
        groups.assert_no_pending_responses()
