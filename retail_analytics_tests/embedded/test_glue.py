"""The catalog's batch limits and pages."""

from __future__ import annotations

import uuid

import boto3
import pytest
from botocore.exceptions import ClientError

STORAGE = {"Columns": [{"Name": "a", "Type": "string"}], "Location": "s3://bucket/x"}


@pytest.fixture
def table(embedded_cloud: object) -> dict[str, str]:
    glue = boto3.client("glue")
    name = f"glue_{uuid.uuid4().hex[:8]}"
    glue.create_database(DatabaseInput={"Name": name})
    keys = [{"Name": "day", "Type": "int"}]
    table_input = {"Name": "t", "StorageDescriptor": STORAGE, "PartitionKeys": keys}
    glue.create_table(DatabaseName=name, TableInput=table_input)
    return {"DatabaseName": name, "TableName": "t"}


def create(table: dict[str, str], numbers: range) -> None:
    glue = boto3.client("glue")
    for start in range(numbers.start, numbers.stop, 100):
        batch = [
            {"Values": [str(number)], "StorageDescriptor": STORAGE}
            for number in range(start, min(start + 100, numbers.stop))
        ]
        assert glue.batch_create_partition(**table, PartitionInputList=batch).get("Errors", []) == []


def test_all_pages_hold_every_partition_once(table: dict[str, str]) -> None:
    create(table, range(1201))
    glue = boto3.client("glue")
    pages = list(glue.get_paginator("get_partitions").paginate(**table))
    assert [len(page["Partitions"]) for page in pages] == [1000, 201]
    assert len({page["Values"][0] for answer in pages for page in answer["Partitions"]}) == 1201
    first = pages[0]["Partitions"][0]
    assert (first["StorageDescriptor"], first["DatabaseName"]) == (STORAGE, table["DatabaseName"])
    assert first["CreationTime"].tzinfo is not None
    small = glue.get_paginator("get_partitions").paginate(
        **table, Expression="day < 7", PaginationConfig={"PageSize": 3}
    )
    assert [len(page["Partitions"]) for page in small] == [3, 3, 1]
    segments = [
        glue.get_partitions(**table, Segment={"SegmentNumber": number, "TotalSegments": 3})["Partitions"]
        for number in range(3)
    ]
    assert len({page["Values"][0] for segment in segments for page in segment}) == 1201
    bare = glue.get_partitions(**table, ExcludeColumnSchema=True, MaxResults=1)["Partitions"]
    assert "Columns" not in bare[0]["StorageDescriptor"]
    with pytest.raises(ClientError, match="InvalidInputException"):
        glue.get_partitions(**table, NextToken="nonsense")


def test_batch_get_leaves_out_what_there_is_not(table: dict[str, str]) -> None:
    create(table, range(3))
    answer = boto3.client("glue").batch_get_partition(
        **table, PartitionsToGet=[{"Values": ["1"]}, {"Values": ["9"]}]
    )
    assert [partition["Values"] for partition in answer["Partitions"]] == [["1"]]
    assert answer.get("UnprocessedKeys", []) == []


def test_batches_above_the_limits_are_refused(table: dict[str, str]) -> None:
    glue = boto3.client("glue")
    values = [{"Values": [str(number)]} for number in range(1001)]
    entries = [{"PartitionValueList": item["Values"], "PartitionInput": item} for item in values]
    calls = [
        lambda: glue.batch_create_partition(**table, PartitionInputList=values[:101]),
        lambda: glue.batch_update_partition(**table, Entries=entries[:101]),
        lambda: glue.batch_delete_partition(**table, PartitionsToDelete=values[:26]),
        lambda: glue.batch_get_partition(**table, PartitionsToGet=values),
    ]
    for call in calls:
        with pytest.raises(ClientError, match="less than or equal to"):
            call()
    assert glue.get_partitions(**table)["Partitions"] == []
