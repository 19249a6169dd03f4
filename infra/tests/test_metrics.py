"""Every alarm looks at a metric that somebody writes: AWS's, under the dimensions of its documentation, or ours.

An alarm on a name that nobody writes stays green for ever: CloudWatch refuses none.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import retail_analytics
from infra.tests.conftest import Synthesised
from retail_analytics.feeds import FEEDS

WRITTEN: dict[tuple[str, str], set[str]] = {
    ("AWS/ES", "ClusterIndexWritesBlocked"): {"DomainName", "ClientId"},
    ("AWS/ES", "ClusterStatus.red"): {"DomainName", "ClientId"},
    ("AWS/ES", "FreeStorageSpace"): {"DomainName", "ClientId"},
    ("AWS/Firehose", "DeliveryToS3.DataFreshness"): {"DeliveryStreamName"},
    ("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds"): {"StreamName"},
    ("AWS/Kinesis", "WriteProvisionedThroughputExceeded"): {"StreamName"},
    ("AWS/Lambda", "DestinationDeliveryFailures"): {"FunctionName"},
    ("AWS/Lambda", "Errors"): {"FunctionName"},
    ("AWS/Lambda", "IteratorAge"): {"FunctionName"},
    ("AWS/Lambda", "OnFailureDestinationDeliveredEventCount"): {"EventSourceMappingUUID"},
    ("AWS/RDS", "FreeStorageSpace"): {"DBInstanceIdentifier"},
    ("AWS/S3", "PutRequests"): {"BucketName", "FilterId"},
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): {"QueueName"},
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): {"QueueName"},
    ("ECS/ContainerInsights", "RunningTaskCount"): {"ClusterName", "ServiceName"},
}
"""AWS's metrics that are alarmed on, with their dimensions, from each service's page of CloudWatch metrics."""


def _alarms(synthesised: Synthesised) -> list[dict[str, Any]]:
    return [each["Properties"] for each in synthesised.resources("watch", "AWS::CloudWatch::Alarm").values()]


def _handlers_metrics() -> tuple[str, set[str], set[str]]:
    """Namespace, dimensions and names of what the handler writes, read from its source: infra imports none."""
    tree = ast.parse((Path(retail_analytics.__file__).parent / "search" / "counts.py").read_text())
    namespace, dimensions, names = "", set(), set()
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id="METRICS_NAMESPACE")], value=ast.Constant(value=str(value))):
                namespace = value
            case ast.Assign(targets=[ast.Name(id="values")], value=ast.Dict(keys=keys)):
                names = {key.value for key in keys if isinstance(key, ast.Constant)}
            case ast.Dict(keys=keys, values=values):
                for key, found in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "Dimensions":
                        dimensions = set(ast.literal_eval(found)[0])
    return namespace, dimensions, {str(name) for name in names}


def test_every_alarm_is_on_a_metric_that_is_written(either: Synthesised) -> None:
    namespace, dimensions, names = _handlers_metrics()
    assert namespace
    assert "Dead" in names
    written = WRITTEN | {(namespace, name): dimensions for name in names}
    for alarm in _alarms(either):
        metric = (alarm["Namespace"], alarm["MetricName"])
        assert metric in written, alarm["AlarmDescription"]
        assert {each["Name"] for each in alarm["Dimensions"]} == written[metric], metric


def test_every_metric_of_the_list_is_alarmed_on(dev: Synthesised) -> None:
    assert {(alarm["Namespace"], alarm["MetricName"]) for alarm in _alarms(dev)} > set(WRITTEN)


def test_metrics_that_aws_writes_on_request_are_asked_for(either: Synthesised) -> None:
    (mapping,) = either.resources("search", "AWS::Lambda::EventSourceMapping").items()
    assert mapping[1]["Properties"]["MetricsConfig"] == {"Metrics": ["EventCount"]}
    cluster = either.one("orchestration", "AWS::ECS::Cluster")
    assert {"Name": "containerInsights", "Value": "enabled"} in cluster["ClusterSettings"]
    filters = {
        each["Id"]
        for bucket in either.resources("ingest", "AWS::S3::Bucket").values()
        for each in bucket["Properties"].get("MetricsConfigurations", [])
    }
    asked = {
        dimension["Value"]
        for alarm in _alarms(either)
        for dimension in alarm["Dimensions"]
        if dimension["Name"] == "FilterId"
    }
    assert asked == filters


def test_the_handlers_metrics_are_those_of_the_feeds_indices(either: Synthesised) -> None:
    ours = [alarm for alarm in _alarms(either) if not alarm["Namespace"].startswith(("AWS/", "ECS/"))]
    indices = {dimension["Value"] for alarm in ours for dimension in alarm["Dimensions"]}
    assert indices == {feed.search.alias for feed in FEEDS if feed.search is not None}


@pytest.mark.parametrize("name", ["stream", "domain", "function", "mapping"])
def test_dimensions_refer_to_what_is_there(dev: Synthesised, name: str) -> None:
    """A dimension's value is a reference to the resource, or the name that the resource is given."""
    given = {
        "stream": ("StreamName", "ingest", "AWS::Kinesis::Stream", "Name"),
        "domain": ("DomainName", "search", "AWS::OpenSearchService::Domain", "DomainName"),
        "function": ("FunctionName", "search", "AWS::Lambda::Function", ""),
        "mapping": ("EventSourceMappingUUID", "search", "AWS::Lambda::EventSourceMapping", ""),
    }
    dimension, part, type_, naming = given[name]
    values = {
        json.dumps(each["Value"])
        for alarm in _alarms(dev)
        for each in alarm["Dimensions"]
        if each["Name"] == dimension
    }
    ((logical, resource),) = dev.resources(part, type_).items()
    named = resource["Properties"].get(naming)
    assert values
    for value in values:
        assert logical in value or (named is not None and value == json.dumps(named)), value
