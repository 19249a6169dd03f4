"""What a cloud keeps over an end and a start: everything, twice."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from retail_analytics.embedded.cloud import EmbeddedCloud
from retail_analytics.embedded.functions import FunctionSpec
from retail_analytics_tests.embedded.lives import (
    HANDLERS,
    ROLE,
    Restartable,
    delivery_stream,
    make_stream,
    numbers_in,
    put_numbers,
    search,
)
from retail_analytics_tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Lived:
    """A cloud that was ended and started twice, and what was noted before.

    Attributes:
        cloud: It, running for the third time; the environment points at it.
        noted: What was noted of its first life.
        between: What was noted of its second.
    """

    cloud: EmbeddedCloud
    noted: dict[str, Any]
    between: dict[str, Any]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    place = Restartable(tmp_path_factory.mktemp("lived"))
    noted: dict[str, Any] = {}
    between: dict[str, Any] = {}
    with place.running() as running:
        noted["address"] = running.endpoint_url
        for prepare in (put_objects, make_catalog, make_queues, fill_index, read_with_a_function):
            prepare(running, noted)
        deliver_some(running, noted)
    # Twice, since what was restored must be fit to be kept again.
    with place.running() as running:
        boto3.client("sqs").send_message(QueueUrl=noted["queue"], MessageBody="second")
        boto3.client("s3").create_bucket(Bucket="not-made-yet")
        until(lambda: numbers_in("not-made-yet") == Counter(range(30)))
        put_numbers("fed", range(40, 60))
        figures = {one["name"]: one for one in running.status()["delivery_streams"]}
        between["delivered"] = figures["fed"]["records"]
        put_numbers("read", range(80, 100))
    with place.running() as running:
        yield Lived(running, noted, between)


def put_objects(running: EmbeddedCloud, noted: dict[str, Any]) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="lake")
    s3.create_bucket(Bucket="versions")
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    for text in (b"old", b"new"):
        s3.put_object(Bucket="versions", Key="a/one", Body=text, Metadata={"of": "x"}, Tagging="t=1")
    s3.put_object(Bucket="versions", Key="a/empty", Body=b"")
    s3.put_object(Bucket="versions", Key="b/large", Body=b"x" * (6 << 20))
    s3.put_object(Bucket="versions", Key="b/gone", Body=b"gone")
    s3.delete_object(Bucket="versions", Key="b/gone")
    noted["upload"] = s3.create_multipart_upload(Bucket="versions", Key="b/parts")["UploadId"]
    noted["part"] = s3.upload_part(
        Bucket="versions", Key="b/parts", UploadId=noted["upload"], PartNumber=1, Body=b"part"
    )["ETag"]
    noted["versions"] = s3.list_object_versions(Bucket="versions")


def make_catalog(running: EmbeddedCloud, noted: dict[str, Any]) -> None:
    glue, athena = boto3.client("glue"), boto3.client("athena")
    athena.create_work_group(
        Name="w", Configuration={"ResultConfiguration": {"OutputLocation": "s3://lake/results/"}}
    )
    athena.create_prepared_statement(WorkGroup="w", StatementName="p", QueryStatement="SELECT 1")
    glue.create_database(DatabaseInput={"Name": "d"})
    storage: Any = {
        "Columns": [{"Name": "line", "Type": "string"}],
        "Location": "s3://lake/t/",
        "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"},
    }
    glue.create_table(
        DatabaseName="d",
        TableInput={
            "Name": "t",
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": [{"Name": "day", "Type": "int"}],
            "StorageDescriptor": storage,
        },
    )
    of_day: Any = {**storage, "Location": "s3://lake/t/day=1/"}
    glue.create_partition(
        DatabaseName="d",
        TableName="t",
        PartitionInput={"Values": ["1"], "StorageDescriptor": of_day, "Parameters": {"digest": "abc"}},
    )
    targets: Any = {"S3Targets": [{"Path": "s3://lake/t/"}]}
    glue.create_crawler(Name="c", Role=ROLE, Targets=targets, DatabaseName="d")
    boto3.client("ssm").put_parameter(Name="p", Value="v", Type="String")


def make_queues(running: EmbeddedCloud, noted: dict[str, Any]) -> None:
    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    noted["queue"] = queue = sqs.create_queue(QueueName="arrivals")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name="arrivals")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    targets: Any = [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]
    boto3.client("s3").put_bucket_notification_configuration(
        Bucket="versions", NotificationConfiguration={"TopicConfigurations": targets}
    )
    sqs.purge_queue(QueueUrl=queue)
    sqs.send_message(QueueUrl=queue, MessageBody="unread")


def fill_index(running: EmbeddedCloud, noted: dict[str, Any]) -> None:
    template = {
        "index_patterns": ["trans-*"],
        "template": {
            "mappings": {"properties": {"country": {"type": "keyword"}}},
            "aliases": {"trans": {}},
        },
    }
    lines = [
        text
        for number in range(5000)
        for text in (
            json.dumps({"index": {"_index": f"trans-{number % 2}", "_id": f"id{number}"}}),
            json.dumps({"country": "France" if number % 5 else "Åland", "number": number}),
        )
    ]
    search(running, "PUT", "/_index_template/trans", template)
    assert not search(running, "POST", "/_bulk?refresh=true", "\n".join(lines) + "\n")["errors"]
    search(running, "PUT", "/trans-0/_doc/id0?refresh=true", {"country": "Spain", "number": 0})
    search(running, "PUT", "/trans-0/_doc/far?routing=r&refresh=true", {"country": "Italy"})
    search(running, "DELETE", "/trans-1/_doc/id1?refresh=true")


def read_with_a_function(running: EmbeddedCloud, noted: dict[str, Any]) -> None:
    make_stream("unread")
    put_numbers("unread", range(90))
    make_stream("read")
    put_numbers("read", range(1000, 1010))
    noted["function"] = FunctionSpec(
        name="keep",
        handler=f"{HANDLERS}.keep",
        stream="read",
        starting_position="LATEST",
        environment={"BUCKET": "lake", "PREFIX": "function/"},
    )
    running.add_function(noted["function"])
    until(lambda: running.status()["functions"][0]["shards"] == 2)
    put_numbers("read", range(50))
    until(lambda: running.status()["functions"][0]["records_done"] == 50)
    assert running.keep_now()
    put_numbers("read", range(50, 80))
    until(lambda: running.status()["functions"][0]["records_done"] == 80)


def deliver_some(running: EmbeddedCloud, noted: dict[str, Any]) -> None:
    delivery_stream("fed", "lake", 900, make_stream("fed"))
    delivery_stream("direct", "lake", 900)
    delivery_stream("astray", "not-made-yet", 0)
    put_numbers("fed", range(40))
    for name in ("direct", "astray"):
        records: Any = [{"Data": f"{number}\n".encode()} for number in range(30)]
        boto3.client("firehose").put_record_batch(DeliveryStreamName=name, Records=records)


def test_it_is_where_it_was_and_says_what_it_began_with(lived: Lived) -> None:
    assert lived.cloud.endpoint_url == lived.noted["address"]
    assert lived.cloud.restored is not None
    assert lived.cloud.restored.clean
    assert "goes on with the state of" in str(lived.cloud.restored)


def test_objects_come_back_with_all_that_is_said_of_them(lived: Lived) -> None:
    s3 = boto3.client("s3")
    after, before = s3.list_object_versions(Bucket="versions"), lived.noted["versions"]
    assert [(v["Key"], v["VersionId"], v["ETag"], v["LastModified"]) for v in after["Versions"]] == [
        (v["Key"], v["VersionId"], v["ETag"], v["LastModified"]) for v in before["Versions"]
    ]
    assert len(after["Versions"]) == 5
    assert [marker["Key"] for marker in after["DeleteMarkers"]] == ["b/gone"]
    old = next(v for v in after["Versions"] if v["Key"] == "a/one" and not v["IsLatest"])
    got = s3.get_object(Bucket="versions", Key="a/one", VersionId=old["VersionId"])
    assert (got["Body"].read(), got["Metadata"]) == (b"old", {"of": "x"})
    assert s3.get_object_tagging(Bucket="versions", Key="a/one")["TagSet"] == [{"Key": "t", "Value": "1"}]
    assert s3.get_object(Bucket="versions", Key="b/large")["Body"].read() == b"x" * (6 << 20)
    assert s3.get_object(Bucket="versions", Key="a/empty")["Body"].read() == b""
    listed = s3.list_objects_v2(Bucket="versions", Delimiter="/")
    assert [prefix["Prefix"] for prefix in listed["CommonPrefixes"]] == ["a/", "b/"]


def test_an_unfinished_upload_can_be_finished(lived: Lived) -> None:
    s3 = boto3.client("s3")
    parts: Any = [{"PartNumber": 1, "ETag": lived.noted["part"]}]
    s3.complete_multipart_upload(
        Bucket="versions", Key="b/parts", UploadId=lived.noted["upload"], MultipartUpload={"Parts": parts}
    )
    assert s3.get_object(Bucket="versions", Key="b/parts")["Body"].read() == b"part"


def test_queues_keep_their_messages_and_notifications_reach_them(lived: Lived) -> None:
    sqs, queue = boto3.client("sqs"), lived.noted["queue"]
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=600)["Messages"]
    assert {"second", "unread"} <= {message["Body"] for message in messages}
    boto3.client("s3").put_object(Bucket="versions", Key="news", Body=b"1")
    arrived = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    assert "news" in arrived[0]["Body"]


def test_catalog_and_workgroups_come_back_and_work(lived: Lived) -> None:
    glue, athena = boto3.client("glue"), boto3.client("athena")
    boto3.client("s3").put_object(Bucket="lake", Key="t/day=1/x", Body=b"one\ntwo\n")
    (kept,) = glue.get_partitions(DatabaseName="d", TableName="t")["Partitions"]
    assert (kept["Values"], kept["Parameters"]) == (["1"], {"digest": "abc"})
    assert glue.get_crawler(Name="c")["Crawler"]["State"] == "READY"
    statement = athena.get_prepared_statement(WorkGroup="w", StatementName="p")["PreparedStatement"]
    assert statement["QueryStatement"] == "SELECT 1"
    assert boto3.client("ssm").get_parameter(Name="p")["Parameter"]["Value"] == "v"
    sql = "SELECT count(*) FROM d.t WHERE day = 1"
    query = athena.start_query_execution(QueryString=sql, WorkGroup="w")["QueryExecutionId"]

    def state() -> str:
        return athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]["State"]

    until(lambda: state() not in {"QUEUED", "RUNNING"})
    rows = athena.get_query_results(QueryExecutionId=query)["ResultSet"]["Rows"]
    assert rows[1]["Data"] == [{"VarCharValue": "2"}]


def test_unread_records_can_be_read(lived: Lived) -> None:
    kinesis = boto3.client("kinesis")
    read = []
    for shard in kinesis.list_shards(StreamName="unread")["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName="unread", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        read += [int(r["Data"]) for r in kinesis.get_records(ShardIterator=iterator)["Records"]]
    assert sorted(read) == list(range(90))


def test_a_function_is_handed_each_record_once_over_restarts(lived: Lived) -> None:
    assert [one["function"] for one in lived.cloud.status()["functions"]] == ["keep"]
    # 80 to 99 were put right before an end.
    until(lambda: len(numbers_in("lake", "function/")) == 100)
    # Put on its stream anew, as `up` does, it goes on all the same.
    lived.cloud.add_function(lived.noted["function"])
    put_numbers("read", range(100, 110))
    until(lambda: len(numbers_in("lake", "function/")) == 110)
    assert numbers_in("lake", "function/") == Counter(range(110))


def test_firehose_delivers_once_what_it_had_not_delivered(lived: Lived) -> None:
    assert lived.between["delivered"] == 40
    assert numbers_in("lake", "fed/") == Counter(range(60))
    assert numbers_in("lake", "direct/") == Counter(range(30))
    assert numbers_in("not-made-yet") == Counter(range(30))


def test_the_index_comes_back_under_the_same_ids_versions_aliases_and_templates(lived: Lived) -> None:
    assert search(lived.cloud, "GET", "/trans/_count")["count"] == 5000
    document = search(lived.cloud, "GET", "/trans-0/_doc/id0")
    assert (document["_version"], document["_source"]["country"]) == (2, "Spain")
    assert search(lived.cloud, "GET", "/trans-0/_doc/far?routing=r")["found"]
    terms = {"size": 0, "aggs": {"by": {"terms": {"field": "country"}}}}
    buckets = search(lived.cloud, "POST", "/trans/_search", terms)["aggregations"]["by"]["buckets"]
    counts = {one["key"]: one["doc_count"] for one in buckets}
    assert counts == {"France": 3999, "Åland": 999, "Spain": 1, "Italy": 1}
    # The template is there for the next month's index.
    search(lived.cloud, "PUT", "/trans-2/_doc/new?refresh=true", {"country": "Malta"})
    assert search(lived.cloud, "GET", "/trans/_count")["count"] == 5001
