"""Clients that a thread keeps, and those that it does not."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from retail_analytics.resources import clients
from retail_analytics.resources.clients import GlueResource, SqsResource, kept_client
from retail_analytics.resources.s3 import LakeS3Resource

HERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", HERE)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nobody")


@pytest.mark.parametrize(
    "resource",
    [
        LakeS3Resource(region_name="eu-west-1"),
        GlueResource(region="eu-west-1"),
        SqsResource(region="eu-west-1"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_resource_gives_a_thread_the_client_that_it_had(
    resource: LakeS3Resource | GlueResource | SqsResource,
) -> None:
    first = resource.get_client()
    assert resource.get_client() is first
    assert first.meta.region_name == "eu-west-1"
    with ThreadPoolExecutor(1) as other:
        assert other.submit(resource.get_client).result() is not first


def test_another_endpoint_has_another_client(monkeypatch: pytest.MonkeyPatch) -> None:
    here = kept_client("s3", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:10")
    assert kept_client("s3", "eu-west-1").meta.endpoint_url == "http://127.0.0.1:10"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:11")
    assert kept_client("s3", "eu-west-1").meta.endpoint_url == "http://127.0.0.1:11"
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    monkeypatch.setenv("AWS_ENDPOINT_URL", HERE)
    assert kept_client("s3", "eu-west-1") is here


def test_a_forked_process_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = kept_client("s3", "eu-west-1")
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert kept_client("s3", "eu-west-1") is not parents


def test_what_a_caller_asks_for_itself_is_its_own() -> None:
    # What is registered on such a client is heard there alone.
    assert clients.s3_client("eu-west-1") is not clients.s3_client("eu-west-1")
