"""boto3's paginators and waiters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from retail_analytics_tests.embedded.coverage import covers

if TYPE_CHECKING:
    from retail_analytics_tests.embedded.strangers.conftest import Place


def pages(service: str, operation: str, size: int | None = None, **asked: Any) -> list[dict[str, Any]]:
    config = {"PageSize": size} if size else {}
    return list(boto3.client(service).get_paginator(operation).paginate(PaginationConfig=config, **asked))


@covers("boto3", "S3 paginators: list_objects_v2 (with Delimiter), list_objects, list_object_versions")
def test_s3_lists(place: Place) -> None:
    client = boto3.client("s3")
    for index in range(25):
        client.put_object(Bucket=place.bucket, Key=f"p/{index % 5}/{index:02d}", Body=b"x")
    for operation, key in (
        ("list_objects_v2", "Contents"),
        ("list_objects", "Contents"),
        ("list_object_versions", "Versions"),
    ):
        found = pages("s3", operation, 10, Bucket=place.bucket, Prefix="p/")
        assert [len(page[key]) for page in found] == [10, 10, 5]
    found = pages("s3", "list_objects_v2", 2, Bucket=place.bucket, Prefix="p/", Delimiter="/")
    folders = [one["Prefix"] for page in found for one in page.get("CommonPrefixes", [])]
    assert folders == [f"p/{index}/" for index in range(5)]


@covers("boto3", "S3 waiters: bucket_exists, bucket_not_exists, object_exists, object_not_exists")
def test_s3_waiters(place: Place) -> None:
    client = boto3.client("s3")
    client.put_object(Bucket=place.bucket, Key="x", Body=b"x")
    client.get_waiter("bucket_exists").wait(Bucket=place.bucket)
    client.get_waiter("object_exists").wait(Bucket=place.bucket, Key="x")
    client.get_waiter("object_not_exists").wait(Bucket=place.bucket, Key="y")
    client.get_waiter("bucket_not_exists").wait(Bucket=f"{place.bucket}-no")
    once: Any = {"Delay": 0, "MaxAttempts": 1}
    with pytest.raises(Exception, match="Max attempts exceeded"):
        client.get_waiter("object_exists").wait(Bucket=place.bucket, Key="y", WaiterConfig=once)


@covers(
    "boto3",
    "Glue paginators: get_partitions (with Expression), get_tables, get_databases, get_table_versions",
)
def test_glue_lists(place: Place) -> None:
    glue, many = boto3.client("glue"), {"DatabaseName": place.database, "TableName": "many"}
    storage: Any = {"Columns": [{"Name": "a", "Type": "int"}], "Location": place.path("many")}
    keys: Any = [{"Name": "k", "Type": "int"}]
    glue.create_table(
        DatabaseName=place.database,
        TableInput={"Name": "many", "PartitionKeys": keys, "StorageDescriptor": storage},
    )
    for first in range(0, 250, 50):
        inputs: Any = [
            {"Values": [str(k)], "StorageDescriptor": {"Location": f"{place.path('many')}k={k}/"}}
            for k in range(first, first + 50)
        ]
        assert not glue.batch_create_partition(**many, PartitionInputList=inputs).get("Errors")
    assert [len(page["Partitions"]) for page in pages("glue", "get_partitions", 100, **many)] == [
        100,
        100,
        50,
    ]
    found = pages("glue", "get_partitions", 100, **many, Expression="k < 120")
    assert sum(len(page["Partitions"]) for page in found) == 120
    tables = pages("glue", "get_tables", 1, DatabaseName=place.database)
    assert sorted(one["Name"] for page in tables for one in page["TableList"]) == ["many", "t"]
    databases = pages("glue", "get_databases")
    assert place.database in [one["Name"] for page in databases for one in page["DatabaseList"]]
    versions = pages("glue", "get_table_versions", DatabaseName=place.database, TableName="t")
    assert sum(len(page["TableVersions"]) for page in versions) == 1


@covers(
    "boto3",
    "Athena paginators: list_query_executions, get_query_results, list_databases, list_table_metadata, "
    "list_data_catalogs",
)
def test_athena_lists(place: Place) -> None:
    cursor = place.connection().cursor().execute("SELECT x FROM UNNEST(sequence(1, 2500)) AS t(x)")
    found = pages("athena", "get_query_results", 700, QueryExecutionId=cursor.query_id)
    rows = [row["Data"][0]["VarCharValue"] for page in found for row in page["ResultSet"]["Rows"]]
    assert [len(page["ResultSet"]["Rows"]) for page in found] == [700, 700, 700, 401]
    assert rows == ["x", *map(str, range(1, 2501))]
    listed = pages("athena", "list_query_executions", 2)
    ids = [one for page in listed for one in page["QueryExecutionIds"]]
    assert cursor.query_id in ids
    assert len(ids) == len(set(ids))
    catalog = {"CatalogName": "AwsDataCatalog"}
    databases = pages("athena", "list_databases", 1, **catalog)
    assert place.database in [one["Name"] for page in databases for one in page["DatabaseList"]]
    tables = pages("athena", "list_table_metadata", 1, **catalog, DatabaseName=place.database)
    assert [one["Name"] for page in tables for one in page["TableMetadataList"]] == ["t"]
    assert (
        pages("athena", "list_data_catalogs")[0]["DataCatalogsSummary"][0]["CatalogName"] == "AwsDataCatalog"
    )


@covers(
    "boto3",
    "Kinesis waiters: stream_exists, stream_not_exists",
    "Kinesis paginators: list_shards, list_streams, describe_stream",
)
def test_kinesis(place: Place) -> None:
    client, name = boto3.client("kinesis"), place.database
    client.create_stream(StreamName=name, ShardCount=3)
    client.get_waiter("stream_exists").wait(StreamName=name)
    found = pages("kinesis", "list_shards", 2, StreamName=name)
    shards = [one["ShardId"] for page in found for one in page["Shards"]]
    assert [len(page["Shards"]) for page in found] == [2, 1]
    described = pages("kinesis", "describe_stream", 2, StreamName=name)
    assert [one["ShardId"] for page in described for one in page["StreamDescription"]["Shards"]] == shards
    assert name in [one for page in pages("kinesis", "list_streams", 1) for one in page["StreamNames"]]
    client.delete_stream(StreamName=name)
    client.get_waiter("stream_not_exists").wait(StreamName=name)


@covers("boto3", "Firehose: list_delivery_streams page by page (it has no paginator and no waiter in boto3)")
def test_firehose(place: Place) -> None:
    client, made = boto3.client("firehose"), [f"{place.database}-{index}" for index in range(3)]
    to: Any = {"RoleARN": "arn:aws:iam::123456789012:role/r", "BucketARN": f"arn:aws:s3:::{place.bucket}"}
    for name in made:
        client.create_delivery_stream(DeliveryStreamName=name, ExtendedS3DestinationConfiguration=to)
    found: list[str] = []
    more = True
    while more:
        start: Any = {"ExclusiveStartDeliveryStreamName": found[-1]} if found else {}
        answer = client.list_delivery_streams(Limit=1, **start)
        found += answer["DeliveryStreamNames"]
        more = answer["HasMoreDeliveryStreams"]
    assert set(made) <= set(found)
    for name in made:
        client.delete_delivery_stream(DeliveryStreamName=name)
