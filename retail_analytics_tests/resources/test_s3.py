"""The S3 resource that assets and sensors get: Dagster's, with the product's client behind it."""

from __future__ import annotations

import boto3
import pytest
from dagster import build_init_resource_context
from dagster_aws.s3 import S3Resource

from retail_analytics.resources import clients
from retail_analytics.resources.s3 import LakeS3Resource
from retail_analytics.settings import Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nobody")


def test_it_is_dagsters_resource_with_the_timeouts_of_every_client() -> None:
    resource = LakeS3Resource.of(Settings(region="eu-central-1"))
    assert isinstance(resource, S3Resource)
    made = resource.get_client().meta
    assert made.region_name == "eu-central-1"
    assert made.endpoint_url == "http://127.0.0.1:9"
    assert (made.config.connect_timeout, made.config.read_timeout) == (
        clients.CONFIG.connect_timeout,
        clients.CONFIG.read_timeout,
    )


def test_steps_and_ticks_make_no_session_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = LakeS3Resource.of(Settings())
    resource.get_client()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a session costs more than most calls; this thread has one")

    monkeypatch.setattr(boto3.session, "Session", refuse)
    # Dagster asks for this one whenever it starts a step or a tick.
    assert resource.get_object_to_set_on_execution_context().meta.service_model.service_name == "s3"
    assert resource.create_resource(build_init_resource_context()).get_client() is not None
