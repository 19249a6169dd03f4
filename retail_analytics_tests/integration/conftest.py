"""Fixtures of tests over the embedded cloud."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from retail_analytics.embedded.provision import provision
from retail_analytics.feeds import get_feed
from retail_analytics.settings import Settings
from retail_analytics_tests.integration.lakes import Lake

if TYPE_CHECKING:
    from retail_analytics.embedded.cloud import EmbeddedCloud


@pytest.fixture
def lake(embedded_cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake of the test's own: bucket, database and tables; no stream, since nothing is streamed here."""
    suffix = uuid.uuid4().hex[:10]
    monkeypatch.setenv("RETAIL_BUCKET", f"lake-{suffix}")
    monkeypatch.setenv("RETAIL_DATABASE", f"lake_{suffix}")
    settings = Settings.from_env()
    provision(settings, (), embedded_cloud.id)
    return Lake.of(settings, get_feed("retail_trans"))
