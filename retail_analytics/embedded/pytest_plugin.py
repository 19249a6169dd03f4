"""Fixtures that give a test an embedded cloud of its own, or a place of its own in a shared one.

One cloud serves a whole test session, since its start takes a second; a test isolates itself by names:
``fresh_lake`` has a bucket, database, workgroup, stream and search alias that no other test has. The
environment points at the cloud only while a test asks for it, so that tests with in-process mocks can run in
the same session.
"""

from __future__ import annotations

import dataclasses
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from retail_analytics.embedded import cloud
from retail_analytics.embedded.provision import provision
from retail_analytics.feeds import FEEDS, Feed, get_feed
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIREHOSE_INTERVAL_SECONDS = 1


@dataclass(frozen=True)
class FreshLake:
    """A place of its own in the shared cloud.

    Attributes:
        cloud: The cloud.
        settings: Names that no other test has.
        feed: ``retail_trans`` with a stream and a search alias that no other test has.
    """

    cloud: cloud.EmbeddedCloud
    settings: Settings
    feed: Feed


@pytest.fixture(scope="session")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud.EmbeddedCloud]:
    """The session's cloud, provisioned for all feeds; the environment does not point at it."""
    running = cloud.start(tmp_path_factory.mktemp("cloud"), die_with_parent=True)
    try:
        with running.applied():
            provision(
                Settings.from_env(),
                FEEDS,
                running.id,
                firehose_interval_seconds=FIREHOSE_INTERVAL_SECONDS,
            )
        yield running
    finally:
        running.stop()


@pytest.fixture
def embedded_cloud(shared_cloud: cloud.EmbeddedCloud) -> Iterator[cloud.EmbeddedCloud]:
    """The session's cloud, with the environment pointing at it during the test."""
    with shared_cloud.applied():
        yield shared_cloud


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[cloud.EmbeddedCloud]:
    """An empty cloud of the test's own, with the environment pointing at it."""
    running = cloud.start(tmp_path / "cloud", die_with_parent=True)
    try:
        with running.applied():
            yield running
    finally:
        running.stop()


@pytest.fixture
def fresh_lake(embedded_cloud: cloud.EmbeddedCloud, monkeypatch: pytest.MonkeyPatch) -> FreshLake:
    """Provisioned names of the test's own in the session's cloud, also in the ``RETAIL_*`` variables."""
    suffix = uuid.uuid4().hex[:10]
    monkeypatch.setenv("RETAIL_DEPLOYMENT", f"lake-{suffix}")
    monkeypatch.setenv("RETAIL_BUCKET", f"lake-{suffix}")
    monkeypatch.setenv("RETAIL_DATABASE", f"lake_{suffix}")
    monkeypatch.setenv("RETAIL_WORKGROUP", f"lake-{suffix}")
    feed = get_feed("retail_trans")
    assert feed.search is not None  # noqa: S101
    search = dataclasses.replace(feed.search, alias=f"{feed.search.alias}_{suffix}")
    feed = dataclasses.replace(feed, stream=f"{feed.stream}-{suffix}", search=search)
    settings = Settings.from_env()
    provision(settings, (feed,), embedded_cloud.id, firehose_interval_seconds=FIREHOSE_INTERVAL_SECONDS)
    return FreshLake(embedded_cloud, settings, feed)


@pytest.fixture
def fresh_settings(fresh_lake: FreshLake) -> Settings:
    """The settings of :func:`fresh_lake`."""
    return fresh_lake.settings
