"""What provisioning makes, and that a second call changes nothing."""

from __future__ import annotations

import dataclasses

import boto3
import pytest

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
        fresh_lake.feed, name="direct_feed", stream=f"d-{fresh_lake.settings.bucket}", source="direct_put"
    )
    files = dataclasses.replace(
        fresh_lake.feed, name="files_feed", stream=f"f-{fresh_lake.settings.bucket}", source="files"
    )
    created = provision(fresh_lake.settings, (direct, files), fresh_lake.cloud.id)
    assert f"delivery stream {direct.stream}" in created
    assert not any(files.stream in name or name == f"stream {direct.stream}" for name in created)
