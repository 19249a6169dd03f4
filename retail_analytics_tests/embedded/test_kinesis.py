"""Kinesis over the wire, by a client that was not written for it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.exceptions import ClientError

from retail_analytics.embedded.streams import MAX_RECORD_BYTES


@pytest.fixture
def stream(embedded_cloud: object) -> str:
    name = f"k-{uuid.uuid4().hex[:8]}"
    kinesis = boto3.client("kinesis")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName=name)
    return name


def read_all(name: str) -> list[dict]:
    kinesis = boto3.client("kinesis")
    found = []
    for shard in kinesis.list_shards(StreamName=name)["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator:
            answer = kinesis.get_records(ShardIterator=iterator, Limit=300)
            found += answer["Records"]
            iterator = (
                answer.get("NextShardIterator") if answer["MillisBehindLatest"] or answer["Records"] else None
            )
    return found


def test_what_is_put_is_read_with_its_times_and_keys(stream: str) -> None:
    kinesis = boto3.client("kinesis")
    records = [{"Data": bytes([number % 256]), "PartitionKey": f"k{number}"} for number in range(500)]
    answer = kinesis.put_records(StreamName=stream, Records=records)
    assert answer["FailedRecordCount"] == 0
    numbers = [int(item["SequenceNumber"]) for item in answer["Records"]]
    assert numbers == sorted(set(numbers))
    found = read_all(stream)
    assert [(item["Data"], item["PartitionKey"]) for item in found] == [
        (item["Data"], item["PartitionKey"]) for item in records
    ]
    assert [int(item["SequenceNumber"]) for item in found] == numbers
    age = datetime.now(UTC) - found[0]["ApproximateArrivalTimestamp"]
    assert timedelta(seconds=-1) < age < timedelta(minutes=5)


def test_one_record_and_a_split(stream: str) -> None:
    kinesis = boto3.client("kinesis")
    kinesis.put_record(StreamName=stream, Data=b"before", PartitionKey="k")
    kinesis.update_shard_count(StreamName=stream, TargetShardCount=2, ScalingType="UNIFORM_SCALING")
    summary = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    assert summary["OpenShardCount"] == 2
    kinesis.put_record(StreamName=stream, Data=b"after", PartitionKey="k")
    assert [item["Data"] for item in read_all(stream)] == [b"before", b"after"]
    assert len(kinesis.list_shards(StreamName=stream)["Shards"]) == 3


def test_errors_are_those_of_the_service(stream: str) -> None:
    kinesis = boto3.client("kinesis")
    with pytest.raises(kinesis.exceptions.ResourceNotFoundException):
        kinesis.put_records(StreamName="nowhere", Records=[{"Data": b"x", "PartitionKey": "k"}])
    with pytest.raises(ClientError, match="less than or equal to 500"):
        kinesis.put_records(StreamName=stream, Records=[{"Data": b"x", "PartitionKey": "k"}] * 501)
    with pytest.raises(ClientError, match="ValidationException"):
        kinesis.put_records(
            StreamName=stream, Records=[{"Data": b"x" * (MAX_RECORD_BYTES + 1), "PartitionKey": "k"}]
        )
    with pytest.raises(kinesis.exceptions.ResourceInUseException):
        kinesis.create_stream(StreamName=stream, ShardCount=1)
    assert read_all(stream) == []
