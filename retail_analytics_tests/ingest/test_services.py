from __future__ import annotations

import json

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import Stubber
from moto import mock_aws

from retail_analytics.ingest.errors import RemoteError
from retail_analytics.ingest.producer import Options, Producer
from retail_analytics.ingest.records import Record
from retail_analytics.ingest.remote import is_transient
from retail_analytics.ingest.services import Firehose, Kinesis, Refused, connect
from retail_analytics.ingest.sources import file_records

pytestmark = pytest.mark.usefixtures("aws")


def record(line=1, data=b"x\n", key="k"):
    return Record(line, data, key, None, ())


def create_delivery_stream(source: str | None) -> None:
    destination = {"RoleARN": "arn:aws:iam::123456789012:role/r", "BucketARN": "arn:aws:s3:::lake"}
    kwargs = {"DeliveryStreamType": "DirectPut"}
    if source is not None:
        arn = f"arn:aws:kinesis:us-east-1:123456789012:stream/{source}"
        kwargs = {
            "DeliveryStreamType": "KinesisStreamAsSource",
            "KinesisStreamSourceConfiguration": {"KinesisStreamARN": arn, "RoleARN": destination["RoleARN"]},
        }
    boto3.client("s3").create_bucket(Bucket="lake")
    boto3.client("firehose").create_delivery_stream(
        DeliveryStreamName="trans", ExtendedS3DestinationConfiguration=destination, **kwargs
    )


@mock_aws
def test_records_arrive_in_kinesis_as_they_are(feed, csv_file):
    client = boto3.client("kinesis")
    client.create_stream(StreamName="trans", ShardCount=1)
    path = csv_file(*(f"{line},A,B,1,2010-12-01 08:26:00,1.5,,EIRE" for line in range(1200)))
    with file_records(feed, path) as records:
        expected = list(records)
    # One worker: moto alone numbers records of calls that run at once twice, and keeps one of the two.
    sent = Producer(connect("kinesis", "trans", None, 1), Options(workers=1)).send(expected)
    assert (sent.sent, sent.batches, sent.complete) == (1200, 3, True)
    assert sent.bytes == sum(len(one.data) + len(one.key) for one in expected)
    shard = client.get_shard_iterator(
        StreamName="trans", ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )
    arrived = client.get_records(ShardIterator=shard["ShardIterator"], Limit=10_000)["Records"]
    assert sorted(one["Data"] for one in arrived) == sorted(one.data for one in expected)
    assert {json.loads(one["Data"])["Invoice"] for one in arrived} == {one["PartitionKey"] for one in arrived}


@mock_aws
def test_records_arrive_in_a_direct_put_delivery_stream():
    create_delivery_stream(source=None)
    sent = Producer(connect("firehose", "trans", None, 1)).send([record(1, b"a\n"), record(2, b"b\n")])
    assert sent.complete
    objects = boto3.client("s3").list_objects_v2(Bucket="lake")["Contents"]
    assert sum(one["Size"] for one in objects) == 4


@mock_aws
def test_a_delivery_stream_that_kinesis_feeds_names_the_way_in():
    boto3.client("kinesis").create_stream(StreamName="source", ShardCount=1)
    create_delivery_stream(source="source")
    with pytest.raises(RemoteError, match="use --service-name kinesis --stream-name source"):
        connect("firehose", "trans", None, 1)


def test_it_is_also_told_where_only_the_put_tells():
    client = boto3.client("firehose")
    message = "This operation is not permitted on KinesisStreamAsSource delivery stream type."
    with Stubber(client) as stub:
        stub.add_client_error("describe_delivery_stream", "AccessDeniedException")
        stub.add_client_error("put_record_batch", "InvalidArgumentException", message)
        service = Firehose(client, "trans")
        service.check()
        sent = Producer(service).send([record()])
    assert "takes no direct PUTs; use --service-name kinesis" in sent.problem


@mock_aws
@pytest.mark.parametrize("service", ["kinesis", "firehose"])
def test_a_stream_that_is_not_there_is_one_sentence(service):
    with pytest.raises(RemoteError, match=r"There is no .*stream nowhere in us-east-1; create it, or name"):
        connect(service, "nowhere", None, 1)


def test_a_stream_that_is_being_deleted_is_refused():
    client = boto3.client("kinesis")
    summary = {
        "StreamName": "s",
        "StreamARN": "arn",
        "StreamStatus": "DELETING",
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 0,
        "EnhancedMonitoring": [],
        "OpenShardCount": 1,
    }
    with Stubber(client) as stub:
        stub.add_response("describe_stream_summary", {"StreamDescriptionSummary": summary})
        with pytest.raises(RemoteError, match="is DELETING"):
            Kinesis(client, "s").check()


def test_nothing_that_answers_is_one_sentence_with_the_endpoint(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # discard: nobody listens
    with pytest.raises(RemoteError, match=r"http://127.0.0.1:9 does not answer .*retail-analytics up"):
        connect("kinesis", "s", None, 1)


def test_missing_credentials_are_one_sentence(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with pytest.raises(RemoteError, match="credentials are missing"):
        connect("kinesis", "s", None, 1)


@pytest.mark.parametrize("partial", ["kinesis", "firehose"])
def test_partial_failures_are_read(partial):
    client = boto3.client(partial)
    taken = {"kinesis": {"SequenceNumber": "1", "ShardId": "s"}, "firehose": {"RecordId": "1"}}[partial]
    refused = {"ErrorCode": "InternalFailure", "ErrorMessage": "later"}
    with Stubber(client) as stub:
        if partial == "kinesis":
            answer = {"FailedRecordCount": 1, "Records": [taken, refused]}
            stub.add_response("put_records", answer)
            service = Kinesis(client, "s")
        else:
            answer = {"FailedPutCount": 1, "RequestResponses": [taken, refused]}
            stub.add_response("put_record_batch", answer)
            service = Firehose(client, "s")
        assert service.put([record(1), record(2)]) == [Refused(1, "InternalFailure", "later")]


def test_sizes_are_counted_as_the_services_count():
    one = record(data=b"12345", key="ключ")
    assert Kinesis(boto3.client("kinesis"), "s").size(one) == 5 + 8
    assert Firehose(boto3.client("firehose"), "s").size(one) == 5


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ClientError({"Error": {"Code": "ThrottlingException"}}, "PutRecords"), True),
        (ClientError({"Error": {"Code": "X"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "P"), True),
        (ClientError({"Error": {"Code": "ValidationException"}}, "PutRecords"), False),
        (ReadTimeoutError(endpoint_url="http://127.0.0.1"), True),
        (ValueError(), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error, transient):
    assert is_transient(error) is transient
