"""Functions on streams: what is handed to them, and what becomes of failures."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from typing import TYPE_CHECKING

import boto3
import pytest

from retail_analytics.embedded.cloud import CloudError, EmbeddedCloud
from retail_analytics.embedded.functions import FunctionSpec, FunctionSpecError
from retail_analytics_tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HANDLERS = "retail_analytics_tests.embedded.handlers"


class Bench:
    """A stream, a bucket and a function of the test's own."""

    def __init__(self, cloud: EmbeddedCloud, tmp_path: Path) -> None:
        self.cloud = cloud
        self.name = f"bench-{uuid.uuid4().hex[:8]}"
        self.s3, self.kinesis = boto3.client("s3"), boto3.client("kinesis")
        self.s3.create_bucket(Bucket=self.name)
        self.marker = tmp_path / "marker"

    def stream(self, shards: int = 1) -> None:
        self.kinesis.create_stream(StreamName=self.name, ShardCount=shards)

    def function(self, handler: str, poison: int = 1_000_000, **options: object) -> None:
        environment = {
            "BUCKET": self.name,
            "PREFIX": "kept/",
            "POISON": str(poison),
            "MARKER": str(self.marker),
        }
        spec = FunctionSpec(
            name=self.name,
            handler=f"{HANDLERS}.{handler}",
            stream=self.name,
            environment=environment,
            **options,  # type: ignore[arg-type]
        )
        self.cloud.add_function(spec)

    def put(self, *numbers: int) -> None:
        records = [{"Data": str(number).encode(), "PartitionKey": str(number)} for number in numbers]
        self.kinesis.put_records(StreamName=self.name, Records=records)

    def status(self) -> dict:
        return next(item for item in self.cloud.status()["functions"] if item["function"] == self.name)

    def until(self, condition: Callable[[dict], bool]) -> dict:
        return until(self.status, condition)

    def documents(self, prefix: str) -> list[dict]:
        listing = self.s3.list_objects_v2(Bucket=self.name, Prefix=prefix).get("Contents", [])
        return [
            json.loads(self.s3.get_object(Bucket=self.name, Key=item["Key"])["Body"].read())
            for item in listing
        ]

    def kept(self) -> Counter[int]:
        return Counter(number for document in self.documents("kept/") for number in document["numbers"])


@pytest.fixture
def bench(embedded_cloud: EmbeddedCloud, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(embedded_cloud, tmp_path)
    yield made
    try:
        embedded_cloud.remove_function(made.name)
    except CloudError:
        assert not any(item["function"] == made.name for item in embedded_cloud.status()["functions"])


def test_every_record_is_handed_once_in_events_of_aws_s_shape(bench: Bench) -> None:
    bench.function("keep", batch_size=100)
    bench.stream(shards=2)
    bench.put(*range(1, 401))
    bench.until(lambda status: status["records_done"] == 400)
    assert bench.kept() == Counter(range(1, 401))
    record = bench.documents("kept/")[0]["event"]
    arn = bench.kinesis.describe_stream_summary(StreamName=bench.name)["StreamDescriptionSummary"][
        "StreamARN"
    ]
    assert record["eventSourceARN"] == arn
    assert record["eventID"] == f"{record['eventID'].split(':')[0]}:{record['kinesis']['sequenceNumber']}"
    assert record["eventID"].startswith("shardId-00000000000")
    assert (record["eventSource"], record["awsRegion"]) == ("aws:kinesis", "us-east-1")
    assert isinstance(record["kinesis"]["approximateArrivalTimestamp"], float)
    assert bench.status()["iterator_age_ms"] == 0


def test_bisecting_corners_poison_and_hands_over_the_rest(bench: Bench) -> None:
    bench.stream()
    bench.put(*range(1, 21))
    bench.function(
        "poisoned",
        poison=7,
        bisect_batch_on_error=True,
        maximum_retry_attempts=1,
        on_failure=f"s3://{bench.name}/failed/",
    )
    status = bench.until(lambda status: status["records_done"] + status["records_given_up"] == 20)
    assert status["records_given_up"] == 2
    assert set(bench.kept()) == set(range(1, 21)) - {7, 14}
    failed = bench.documents("failed/")
    assert [document["KinesisBatchInfo"]["batchSize"] for document in failed] == [1, 1]
    assert all(document["requestContext"]["condition"] == "RetryAttemptsExhausted" for document in failed)
    assert all(document["requestContext"]["approximateInvokeCount"] == 2 for document in failed)
    assert all(json.loads(document["payload"])["Records"] for document in failed)


def test_partial_answers_go_on_from_the_first_failed_record(bench: Bench) -> None:
    bench.stream()
    bench.put(*range(1, 11))
    bench.function("partial", poison=8, maximum_retry_attempts=0, on_failure=f"s3://{bench.name}/failed/")
    status = bench.until(lambda status: status["records_done"] + status["records_given_up"] == 10)
    assert status["records_done"] == 7
    (failed,) = bench.documents("failed/")
    assert failed["KinesisBatchInfo"]["batchSize"] == 3


def test_failures_go_to_a_queue_as_metadata(bench: Bench) -> None:
    sqs = boto3.client("sqs")
    queue = sqs.create_queue(QueueName=bench.name)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    bench.stream()
    bench.function(
        "poisoned", poison=1, maximum_retry_attempts=0, on_failure=attributes["Attributes"]["QueueArn"]
    )
    bench.put(1, 2, 3)
    bench.until(lambda status: status["records_given_up"] == 3)
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    document = json.loads(message["Body"])
    assert document["KinesisBatchInfo"]["batchSize"] == 3
    assert "payload" not in document


def test_a_timeout_is_a_failure_and_the_process_is_replaced(bench: Bench) -> None:
    bench.stream()
    bench.function("slow", timeout_seconds=0.5, maximum_retry_attempts=0)
    bench.put(1)
    status = bench.until(lambda status: status["records_given_up"] == 1)
    assert "timed out" in status["last_error"]


def test_a_process_that_dies_is_started_again(bench: Bench) -> None:
    bench.stream()
    bench.function("dying", maximum_retry_attempts=3)
    bench.put(1)
    status = bench.until(lambda status: status["records_done"] == 1)
    assert "status 3" in status["last_error"]
    assert bench.kept() == Counter([1])


def test_memory_is_limited(bench: Bench) -> None:
    bench.stream()
    bench.function("greedy", maximum_retry_attempts=0)
    bench.put(1)
    bench.until(lambda status: status["records_done"] == 1)


def test_a_handler_that_cannot_be_imported_says_so(bench: Bench) -> None:
    bench.stream()
    bench.function("nowhere", maximum_retry_attempts=0)
    bench.put(1)
    status = bench.until(lambda status: status["records_given_up"] == 1)
    assert "AttributeError" in status["last_error"]


def test_resharding_loses_and_repeats_nothing(bench: Bench) -> None:
    bench.stream()
    bench.function("keep", batch_size=10)
    bench.put(*range(1, 51))
    bench.kinesis.update_shard_count(StreamName=bench.name, TargetShardCount=2, ScalingType="UNIFORM_SCALING")
    bench.put(*range(51, 101))
    bench.until(lambda status: status["records_done"] == 100)
    assert bench.kept() == Counter(range(1, 101))


def test_latest_begins_with_what_comes_later(bench: Bench) -> None:
    bench.stream()
    bench.put(1)
    bench.function("keep", starting_position="LATEST")
    bench.until(lambda status: status["shards"] == 1)
    bench.put(2)
    bench.until(lambda status: status["records_done"] == 1)
    assert bench.kept() == Counter([2])


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a b"},
        {"handler": "nodots"},
        {"batch_size": 0},
        {"batch_window_seconds": 301},
        {"maximum_record_age_seconds": 5},
        {"timeout_seconds": 0},
        {"memory_mebibytes": 1},
        {"starting_position": "NOW"},
        {"on_failure": "somewhere"},
        {"unknown": 1},
    ],
)
def test_a_function_that_cannot_be_is_refused(change: dict) -> None:
    with pytest.raises(FunctionSpecError, match=r"function .*"):
        FunctionSpec.from_json({"name": "f", "handler": "m.f", "stream": "s", **change})


def test_a_refusal_reaches_who_asked(embedded_cloud: EmbeddedCloud) -> None:
    spec = FunctionSpec(name="f", handler="m.f", stream="s")
    object.__setattr__(spec, "batch_size", 0)
    with pytest.raises(CloudError, match="batch_size must be"):
        embedded_cloud.add_function(spec)
