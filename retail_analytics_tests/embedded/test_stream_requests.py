"""Requests to Kinesis and Firehose that cannot be served: refused with AWS's own errors."""

from __future__ import annotations

import uuid
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def stream(embedded_cloud: object) -> str:
    name = f"k-{uuid.uuid4().hex[:8]}"
    boto3.client("kinesis").create_stream(StreamName=name, ShardCount=1)
    return name


@pytest.mark.parametrize(
    ("operation", "asked", "code"),
    [
        ("put_record", {"Data": b"x", "PartitionKey": "a" * 257}, "ValidationException"),
        (
            "get_shard_iterator",
            {"ShardId": "shardId-000000000000", "ShardIteratorType": "AT_SEQUENCE_NUMBER"},
            "InvalidArgumentException",
        ),
        (
            "get_shard_iterator",
            {"ShardId": "shardId-000000000000", "ShardIteratorType": "AT_TIMESTAMP"},
            "InvalidArgumentException",
        ),
        (
            "split_shard",
            {"ShardToSplit": "shardId-9", "NewStartingHashKey": "1"},
            "ResourceNotFoundException",
        ),
        (
            "merge_shards",
            {"ShardToMerge": "shardId-9", "AdjacentShardToMerge": "shardId-8"},
            "ResourceNotFoundException",
        ),
    ],
)
def test_a_request_that_aws_refuses(stream: str, operation: str, asked: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(boto3.client("kinesis"), operation)(StreamName=stream, **asked)
    assert caught.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(
    ("asked", "code"),
    [({"ShardIterator": "bad"}, "InvalidArgumentException"), ({"Limit": 10001}, "ValidationException")],
)
def test_get_records_that_aws_refuses(stream: str, asked: dict[str, Any], code: str) -> None:
    kinesis = boto3.client("kinesis")
    iterator = kinesis.get_shard_iterator(
        StreamName=stream, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    with pytest.raises(ClientError) as caught:
        kinesis.get_records(**{"ShardIterator": iterator, **asked})
    assert caught.value.response["Error"]["Code"] == code


def test_a_delivery_streams_name(embedded_cloud: object) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        boto3.client("firehose").create_delivery_stream(
            DeliveryStreamName="no name!",
            ExtendedS3DestinationConfiguration={
                "RoleARN": "arn:aws:iam::123456789012:role/r",
                "BucketARN": "arn:aws:s3:::lake",
            },
        )
