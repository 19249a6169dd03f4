"""Requests that go wrong get an answer of their protocol that says what it is."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from retail_analytics.embedded.cloud import EmbeddedCloud

AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=embedded/20260101/us-east-1/{service}/aws4_request, "
    "SignedHeaders=host, Signature=x"
)


def ask(cloud: EmbeddedCloud, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(cloud.endpoint_url.removeprefix("http://"), timeout=120)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("service", "target"),
    [
        ("kinesis", "Kinesis_20131202.PutRecords"),
        ("kinesis", "Kinesis_20131202.CreateStream"),
        ("glue", "AWSGlue.GetDatabase"),
        ("firehose", "Firehose_20150804.PutRecordBatch"),
    ],
)
def test_a_request_that_is_no_json_is_a_client_s_error(
    shared_cloud: EmbeddedCloud, service: str, target: str
) -> None:
    headers = {
        "Authorization": AUTHORIZATION.format(service=service),
        "X-Amz-Target": target,
        "Content-Type": "application/x-amz-json-1.1",
    }
    status, body = ask(shared_cloud, "POST", "/", "{no json", **headers)
    assert (status, json.loads(body)["__type"]) == (400, "SerializationException")


def test_operations_that_moto_lacks_are_refused_at_once(embedded_cloud: EmbeddedCloud) -> None:
    with pytest.raises(ClientError, match="has not been implemented in the embedded cloud") as refused:
        boto3.client("glue").get_catalog_import_status()
    assert refused.value.response["ResponseMetadata"]["RetryAttempts"] == 0
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_pages_of_our_own(shared_cloud: EmbeddedCloud) -> None:
    assert ask(shared_cloud, "GET", "/_embedded/health") == (200, '{"status": "ok"}')
    assert ask(shared_cloud, "GET", "/_embedded/nothing")[0] == 404
    assert ask(shared_cloud, "DELETE", "/_embedded/functions/nobody")[0] == 404
    status, body = ask(
        shared_cloud, "POST", "/_embedded/functions", '{"name": 1}', **{"Content-Type": "application/json"}
    )
    assert (status, "missing" in json.loads(body)["error"]) == (400, True)
