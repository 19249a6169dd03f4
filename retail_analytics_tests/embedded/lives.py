"""A cloud that tests end and start again, and what they put into it and read from it."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3

from retail_analytics.embedded import cloud
from retail_analytics.embedded.cloud import EmbeddedCloud
from retail_analytics.embedded.state.folder import FOLDER_NAME, MANIFEST_NAME
from retail_analytics_tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HANDLERS = "retail_analytics_tests.embedded.handlers"
# Snapshots come when a test asks for one.
NEVER = 3600.0
ROLE = "arn:aws:iam::123456789012:role/any"


class Restartable:
    """A folder's cloud, started and ended by a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def running(self, *, then: str = "stop", **options: Any) -> Iterator[EmbeddedCloud]:
        options = {"snapshot_seconds": NEVER, "keep_state": True, **options}
        running = cloud.start(self.folder, die_with_parent=True, **options)
        try:
            with running.applied():
                yield running
            if then == "kill":
                os.kill(running.pid, signal.SIGKILL)
                until(lambda: not cloud.is_running(self.folder))
        finally:
            running.stop()

    @property
    def manifest(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / FOLDER_NAME / MANIFEST_NAME).read_text())
        return document


def search(running: EmbeddedCloud, method: str, path: str, body: object = None) -> Any:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body else None
    kind = "application/x-ndjson" if isinstance(body, str) else "application/json"
    request = urllib.request.Request(
        running.opensearch_url + path, data=data, method=method, headers={"Content-Type": kind}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)


def numbers_in(bucket: str, prefix: str = "") -> Counter[int]:
    """The numbers that functions and delivery streams wrote, and how often each."""
    s3 = boto3.client("s3")
    found: Counter[int] = Counter()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read().decode()
            if body.startswith("{"):
                found.update(json.loads(body)["numbers"])
            else:
                found.update(int(line) for line in body.split())
    return found


def put_numbers(stream: str, numbers: range) -> None:
    records: Any = [{"Data": f"{number}\n".encode(), "PartitionKey": str(number)} for number in numbers]
    answer = boto3.client("kinesis").put_records(StreamName=stream, Records=records)
    assert answer["FailedRecordCount"] == 0


def delivery_stream(name: str, bucket: str, seconds: int, stream_arn: str | None = None) -> None:
    request: dict[str, Any] = {
        "DeliveryStreamName": name,
        "ExtendedS3DestinationConfiguration": {
            "RoleARN": ROLE,
            "BucketARN": f"arn:aws:s3:::{bucket}",
            "Prefix": f"{name}/",
            "BufferingHints": {"IntervalInSeconds": seconds, "SizeInMBs": 64},
        },
    }
    if stream_arn:
        request["DeliveryStreamType"] = "KinesisStreamAsSource"
        request["KinesisStreamSourceConfiguration"] = {"KinesisStreamARN": stream_arn, "RoleARN": ROLE}
    boto3.client("firehose").create_delivery_stream(**request)


def make_stream(name: str, shards: int = 2) -> str:
    kinesis = boto3.client("kinesis")
    kinesis.create_stream(StreamName=name, ShardCount=shards)
    arn: str = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    return arn
