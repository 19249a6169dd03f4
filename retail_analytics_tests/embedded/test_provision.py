"""What provisioning makes, and that a second call changes nothing."""

from __future__ import annotations

import dataclasses
import json
from urllib.parse import unquote_plus

import boto3
import pytest
from botocore.exceptions import ClientError

from retail_analytics.embedded.provision import ProvisionError, provision
from retail_analytics.embedded.pytest_plugin import FreshLake


def test_a_second_call_changes_nothing(fresh_lake: FreshLake) -> None:
    assert provision(fresh_lake.settings, (fresh_lake.feed,), fresh_lake.cloud.id) == ()


def test_the_bucket_knows_its_deployment(fresh_lake: FreshLake) -> None:
    body = boto3.client("s3").get_object(Bucket=fresh_lake.settings.bucket, Key="_deployment/id")["Body"]
    assert body.read().decode() == fresh_lake.cloud.id
    with pytest.raises(ProvisionError, match=f"belongs to deployment {fresh_lake.cloud.id}"):
        provision(fresh_lake.settings, (), "another")


def test_the_delivery_stream_has_the_feed_s_prefixes_and_buffers(fresh_lake: FreshLake) -> None:
    feed = dataclasses.replace(fresh_lake.feed, stream=f"{fresh_lake.feed.stream}-2", buffer_seconds=77)
    created = provision(fresh_lake.settings, (feed,), fresh_lake.cloud.id)
    assert created == (f"stream {feed.stream}", f"delivery stream {feed.stream}")
    answer = boto3.client("firehose").describe_delivery_stream(DeliveryStreamName=feed.stream)
    description = answer["DeliveryStreamDescription"]
    destination = description["Destinations"][0]["ExtendedS3DestinationDescription"]
    assert (destination["Prefix"], destination["ErrorOutputPrefix"]) == (feed.prefix, feed.error_prefix)
    assert destination["BufferingHints"] == {"IntervalInSeconds": 77, "SizeInMBs": feed.buffer_mebibytes}
    assert description["DeliveryStreamType"] == "KinesisStreamAsSource"


def test_the_workgroup_does_not_enforce_its_location(fresh_lake: FreshLake) -> None:
    answer = boto3.client("athena").get_work_group(WorkGroup=fresh_lake.settings.workgroup)
    configuration = answer["WorkGroup"]["Configuration"]
    assert configuration["EnforceWorkGroupConfiguration"] is False
    assert configuration["ResultConfiguration"]["OutputLocation"] == fresh_lake.settings.results_location


def test_direct_put_feeds_get_a_delivery_stream_and_files_get_none(fresh_lake: FreshLake) -> None:
    direct = dataclasses.replace(
        fresh_lake.feed,
        name="direct_feed",
        stream=f"d-{fresh_lake.settings.bucket}",
        source="direct_put",
        prefix=fresh_lake.feed.prefix.replace("00-", "01-"),
    )
    files = dataclasses.replace(
        fresh_lake.feed,
        name="files_feed",
        stream=f"f-{fresh_lake.settings.bucket}",
        source="files",
        prefix=fresh_lake.feed.prefix.replace("00-", "02-"),
    )
    created = provision(fresh_lake.settings, (direct, files), fresh_lake.cloud.id)
    assert f"delivery stream {direct.stream}" in created
    assert not any(files.stream in name or name == f"stream {direct.stream}" for name in created)


def test_events_of_each_feed_s_raw_objects_reach_its_queues_and_no_others(fresh_lake: FreshLake) -> None:
    settings, mine = fresh_lake.settings, fresh_lake.feed
    other = dataclasses.replace(
        mine, name="other", source="files", prefix=mine.prefix.replace("00-retail", "03-other")
    )
    provision(settings, (other,), fresh_lake.cloud.id)
    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    key = f"{mine.raw_root}year=2010/month=12/day=01/hour=08/a b+c"
    for put in (key, f"{other.raw_root}year=2010/month=12/day=01/hour=08/x", "elsewhere/x"):
        s3.put_object(Bucket=settings.bucket, Key=put, Body=b"1")
    s3.delete_object(Bucket=settings.bucket, Key=key)

    told = {}
    for name in (
        settings.arrivals_queue(mine.name),
        settings.crawler_queue(mine.name),
        settings.arrivals_queue("other"),
    ):
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        records = [json.loads(message["Body"])["Records"][0] for message in answer["Messages"]]
        told[name] = [(one["eventName"], unquote_plus(one["s3"]["object"]["key"])) for one in records]

    about_mine = [("ObjectCreated:Put", key), ("ObjectRemoved:Delete", key)]
    assert told.pop(settings.arrivals_queue("other")) == [
        ("ObjectCreated:Put", f"{other.raw_root}year=2010/month=12/day=01/hour=08/x")
    ]
    assert list(told.values()) == [about_mine, about_mine]


def test_a_topic_that_is_not_there_is_refused_as_a_target(fresh_lake: FreshLake) -> None:
    target = {"TopicArn": "arn:aws:sns:us-east-1:123456789012:nowhere", "Events": ["s3:ObjectCreated:*"]}
    with pytest.raises(ClientError, match="Unable to validate the following destination"):
        boto3.client("s3").put_bucket_notification_configuration(
            Bucket=fresh_lake.settings.bucket, NotificationConfiguration={"TopicConfigurations": [target]}
        )
