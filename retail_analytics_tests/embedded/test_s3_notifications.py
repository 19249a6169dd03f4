"""Overlapping notification targets are refused, as AWS does."""

from __future__ import annotations

import uuid

import boto3
import pytest
from botocore.exceptions import ClientError

from retail_analytics.embedded.s3 import Rule

CREATED = ("s3:ObjectCreated:*",)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (Rule(CREATED), Rule(CREATED), True),
        (Rule(CREATED, "a/"), Rule(CREATED, "b/"), False),
        (Rule(CREATED, "a/"), Rule(CREATED, "a/b/"), True),
        (Rule(CREATED, "a/", ".json"), Rule(CREATED, "a/", ".csv"), False),
        (Rule(CREATED, "a/", ".json"), Rule(CREATED, "b/", ".json"), False),
        (Rule(CREATED, "", ".json"), Rule(CREATED, "a/"), True),
        (Rule(CREATED), Rule(("s3:ObjectRemoved:*",)), False),
        (Rule(CREATED), Rule(("s3:ObjectCreated:Put",)), True),
        (Rule(("s3:ObjectCreated:Copy",)), Rule(("s3:ObjectCreated:Put",)), False),
    ],
)
def test_overlaps(one: Rule, other: Rule, overlap: bool) -> None:
    assert one.overlaps(other) is overlap
    assert other.overlaps(one) is overlap


def test_overlapping_targets_are_refused_over_the_wire(embedded_cloud: object) -> None:
    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    suffix = uuid.uuid4().hex[:8]
    s3.create_bucket(Bucket=f"rules-{suffix}")
    arns = []
    for name in ("one", "two"):
        url = sqs.create_queue(QueueName=f"{name}-{suffix}")["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arns.append(attributes["Attributes"]["QueueArn"])

    def configure(*prefixes: str) -> None:
        targets = [
            {
                "QueueArn": arn,
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}},
            }
            for arn, prefix in zip(arns, prefixes, strict=True)
        ]
        s3.put_bucket_notification_configuration(
            Bucket=f"rules-{suffix}", NotificationConfiguration={"QueueConfigurations": targets}
        )

    with pytest.raises(ClientError, match="overlapping") as refused:
        configure("a/", "a/b/")
    assert refused.value.response["Error"]["Code"] == "InvalidArgument"
    configure("a/", "b/")
    found = s3.get_bucket_notification_configuration(Bucket=f"rules-{suffix}")
    assert len(found["QueueConfigurations"]) == 2
