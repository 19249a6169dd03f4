"""A server that ends in the middle of a query: what it leaves."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from retail_analytics.embedded import cloud
from retail_analytics_tests.embedded.coverage import covers
from retail_analytics_tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

SLOW = (
    "SELECT x * y AS n, x % 50 AS p FROM UNNEST(sequence(1, 9000)) AS t(x) "
    "CROSS JOIN UNNEST(sequence(1, 9000)) AS u(y)"
)


def start(sql: str) -> str:
    query: str = boto3.client("athena").start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Database": "mydatabase"},
        ResultConfiguration={"OutputLocation": "s3://lake/athena-results/"},
    )["QueryExecutionId"]
    return query


def state_of(query: str) -> str:
    found: Any = boto3.client("athena").get_query_execution(QueryExecutionId=query)
    state: str = found["QueryExecution"]["Status"]["State"]
    return state


@covers("Writing", "a server that is stopped or killed in mid-query leaves no half-written table")
@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_a_server_that_ends_in_mid_query_leaves_no_half_written_table(tmp_path: Path, killed: bool) -> None:
    running = cloud.start(tmp_path / "cloud", die_with_parent=True, keep_state=True)
    try:
        with running.applied():
            boto3.client("s3").create_bucket(Bucket="lake")
            created = start("CREATE DATABASE mydatabase")
            until(lambda: state_of(created), "SUCCEEDED".__eq__)
            where = "WITH (external_location = 's3://lake/half/', partitioned_by = ARRAY['p'])"
            writing = start(f"CREATE TABLE half {where} AS {SLOW}")
            until(lambda: state_of(writing), "RUNNING".__eq__)
        if killed:
            os.kill(running.pid, signal.SIGKILL)
        running.stop()
        running = cloud.start(tmp_path / "cloud", die_with_parent=True, keep_state=True)
        with running.applied():
            known = boto3.client("glue").get_databases()["DatabaseList"]
            if not killed:  # a kill may come before the first snapshot
                assert [one["Name"] for one in known] == ["mydatabase"]
            for one in known:
                assert boto3.client("glue").get_tables(DatabaseName=one["Name"])["TableList"] == []
            buckets = [one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]]
            for bucket in buckets:
                assert boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix="half/")["KeyCount"] == 0
        assert list((tmp_path / "cloud" / "athena" / "out").iterdir()) == []
    finally:
        running.stop()
