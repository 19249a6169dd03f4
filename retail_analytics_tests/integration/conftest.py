"""Fixtures of tests over the embedded cloud."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import boto3
import pytest

from benchmarks.harness import local_dagster
from retail_analytics.commands import jobs
from retail_analytics.embedded.provision import IDENTITY_KEY
from retail_analytics.embedded.provision_arrivals import ArrivalsProvisioner
from retail_analytics.feeds import get_feed
from retail_analytics.lake import hours
from retail_analytics.settings import Settings, format_hours
from retail_analytics_tests.integration.lakes import Deployment, Lake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from retail_analytics.embedded.cloud import EmbeddedCloud

HISTORY = timedelta(hours=30)


def make_lake(cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A bucket and a database of the test's own; no stream, since nothing is streamed here."""
    suffix = uuid.uuid4().hex[:10]
    monkeypatch.setenv("RETAIL_DEPLOYMENT", f"lake-{suffix}")
    monkeypatch.setenv("RETAIL_BUCKET", f"lake-{suffix}")
    monkeypatch.setenv("RETAIL_DATABASE", f"lake_{suffix}")
    made = Lake.of(Settings.from_env(), get_feed("retail_trans"))
    made.s3.create_bucket(Bucket=made.settings.bucket)
    made.s3.put_object(Bucket=made.settings.bucket, Key=IDENTITY_KEY, Body=cloud.id.encode())
    made.glue.create_database(DatabaseInput={"Name": made.settings.database})
    ArrivalsProvisioner(made.settings, boto3.client).provide((made.feed,))
    return made


@pytest.fixture
def lake(embedded_cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake of the test's own, its tables made."""
    made = make_lake(embedded_cloud, monkeypatch)
    made.make_tables()
    return made


@pytest.fixture
def deployment(
    embedded_cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Deployment]:
    """A lake without tables that began thirty hours ago, and Dagster's definitions and instance over it."""
    now = datetime.now(UTC)
    start = hours.floor_hour(now) - HISTORY
    monkeypatch.setenv("RETAIL_FIRST_HOUR", format_hours({"retail_trans": start}))
    made = make_lake(embedded_cloud, monkeypatch)
    with local_dagster(tmp_path / "deployment") as instance:
        yield Deployment(made, start, now, jobs.load_definitions(made.settings), instance)
