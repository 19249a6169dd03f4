"""Firehose over the wire: from a stream and by direct PUT into S3, and what is refused."""

from __future__ import annotations

import json
import urllib.parse
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

from retail_analytics_tests.waiting import until

if TYPE_CHECKING:
    from retail_analytics.embedded.pytest_plugin import FreshLake

ROLE = "arn:aws:iam::123456789012:role/firehose"


def extended(lake: FreshLake, **changes: object) -> dict:
    return {
        "RoleARN": ROLE,
        "BucketARN": f"arn:aws:s3:::{lake.settings.bucket}",
        "Prefix": "direct/!{timestamp:yyyy}/",
        "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
        "BufferingHints": {"IntervalInSeconds": 0, "SizeInMBs": 1},
        **changes,
    }


def objects(lake: FreshLake, prefix: str) -> dict[str, bytes]:
    s3 = boto3.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=lake.settings.bucket, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return {key: s3.get_object(Bucket=lake.settings.bucket, Key=key)["Body"].read() for key in keys}


def test_from_the_stream_into_hours_with_a_notification_for_each_object(fresh_lake: FreshLake) -> None:
    s3, kinesis, sqs = boto3.client("s3"), boto3.client("kinesis"), boto3.client("sqs")
    queue = sqs.create_queue(QueueName=f"q-{fresh_lake.settings.bucket}")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    target = {"QueueArn": attributes["Attributes"]["QueueArn"], "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=fresh_lake.settings.bucket, NotificationConfiguration={"QueueConfigurations": [target]}
    )
    lines = [f'{{"n": {number}}}\n'.encode() for number in range(1200)]
    for start in range(0, len(lines), 500):
        batch = [{"Data": line, "PartitionKey": str(line)} for line in lines[start : start + 500]]
        assert kinesis.put_records(StreamName=fresh_lake.feed.stream, Records=batch)["FailedRecordCount"] == 0
    root = fresh_lake.feed.raw_root
    until(lambda: sum(len(body) for body in objects(fresh_lake, root).values()) == sum(map(len, lines)))
    found = objects(fresh_lake, root)
    assert sorted(line for body in found.values() for line in body.splitlines(keepends=True)) == sorted(lines)
    assert all(key.startswith(f"{root}year=") for key in found)
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    bodies = [json.loads(message["Body"]) for message in messages]
    notified = {
        urllib.parse.unquote_plus(event["s3"]["object"]["key"])
        for body in bodies
        for event in body.get("Records", [])
    }
    assert set(found) <= notified


def test_direct_put_and_its_update(fresh_lake: FreshLake) -> None:
    firehose = boto3.client("firehose")
    name = f"direct-{fresh_lake.settings.bucket}"
    firehose.create_delivery_stream(
        DeliveryStreamName=name, ExtendedS3DestinationConfiguration=extended(fresh_lake)
    )
    firehose.put_record(DeliveryStreamName=name, Record={"Data": b"one\n"})
    until(lambda: len(objects(fresh_lake, "direct/")) == 1)
    answer = firehose.put_record_batch(DeliveryStreamName=name, Records=[{"Data": b"a\n"}, {"Data": b"b\n"}])
    assert (answer["FailedPutCount"], len(answer["RequestResponses"])) == (0, 2)
    until(lambda: b"".join(objects(fresh_lake, "direct/").values()) in {b"one\na\nb\n", b"a\nb\none\n"})
    firehose.update_destination(
        DeliveryStreamName=name,
        CurrentDeliveryStreamVersionId="1",
        DestinationId="destinationId-000000000001",
        ExtendedS3DestinationUpdate={"Prefix": "later/!{timestamp:yyyy}/"},
    )
    firehose.put_record(DeliveryStreamName=name, Record={"Data": b"two\n"})
    until(lambda: len(objects(fresh_lake, "later/")) == 1)
    assert f"/{name}-2-" in next(iter(objects(fresh_lake, "later/")))
    firehose.delete_delivery_stream(DeliveryStreamName=name)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        firehose.put_record(DeliveryStreamName=name, Record={"Data": b"x"})


def test_puts_into_a_stream_fed_by_kinesis_are_refused_as_aws_does(fresh_lake: FreshLake) -> None:
    with pytest.raises(ClientError, match="not permitted on KinesisStreamAsSource delivery stream type"):
        boto3.client("firehose").put_record(DeliveryStreamName=fresh_lake.feed.stream, Record={"Data": b"x"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"DynamicPartitioningConfiguration": {"Enabled": True}}, "DynamicPartitioningConfiguration"),
        ({"DataFormatConversionConfiguration": {"Enabled": True}}, "DataFormatConversionConfiguration"),
        (
            {"ProcessingConfiguration": {"Enabled": True, "Processors": [{"Type": "Lambda"}]}},
            "processor Lambda",
        ),
        ({"CompressionFormat": "Snappy"}, "Snappy"),
        ({"S3BackupMode": "Enabled"}, "S3BackupMode"),
        ({"BufferingHints": {"IntervalInSeconds": 901, "SizeInMBs": 1}}, "IntervalInSeconds"),
        ({"BufferingHints": {"IntervalInSeconds": 60, "SizeInMBs": 129}}, "SizeInMBs"),
        ({"ErrorOutputPrefix": ""}, "ErrorOutputPrefix"),
        ({"CustomTimeZone": "Mars/Olympus"}, "Mars"),
    ],
)
def test_what_is_not_done_is_refused_at_creation(fresh_lake: FreshLake, change: dict, message: str) -> None:
    firehose = boto3.client("firehose")
    with pytest.raises(ClientError, match=message) as refused:
        firehose.create_delivery_stream(
            DeliveryStreamName=f"no-{fresh_lake.settings.bucket}",
            ExtendedS3DestinationConfiguration=extended(fresh_lake, **change),
        )
    assert refused.value.response["Error"]["Code"] == "InvalidArgumentException"


def test_other_destinations_are_refused_by_name(fresh_lake: FreshLake) -> None:
    s3 = {"RoleARN": ROLE, "BucketARN": f"arn:aws:s3:::{fresh_lake.settings.bucket}"}
    with pytest.raises(ClientError, match="HttpEndpoint destinations are not supported"):
        boto3.client("firehose").create_delivery_stream(
            DeliveryStreamName="http",
            HttpEndpointDestinationConfiguration={
                "EndpointConfiguration": {"Url": "https://localhost"},
                "S3Configuration": s3,
            },
        )


def test_limits_of_a_batch(fresh_lake: FreshLake) -> None:
    firehose = boto3.client("firehose")
    name = f"limits-{fresh_lake.settings.bucket}"
    firehose.create_delivery_stream(
        DeliveryStreamName=name, ExtendedS3DestinationConfiguration=extended(fresh_lake)
    )
    for records in ([{"Data": b"x" * (1000 * 1024 + 1)}], [{"Data": b"x" * 1_000_000}] * 5):
        with pytest.raises(ClientError, match="InvalidArgumentException"):
            firehose.put_record_batch(DeliveryStreamName=name, Records=records)
    assert objects(fresh_lake, "direct/") == {}
