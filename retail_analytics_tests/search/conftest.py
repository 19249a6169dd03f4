"""A search server and a bucket for the tests of this package."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import osmem_server
import pytest
from moto import mock_aws
from opensearchpy import OpenSearch
from opensearchpy.exceptions import ConnectionError as NotReached
from opensearchpy.exceptions import RequestError

from retail_analytics.feeds import get_feed
from retail_analytics.search.bulk import BulkWriter
from retail_analytics.search.dead_letters import DeadLetterStore
from retail_analytics.search.environment import dead_letter_prefix
from retail_analytics.search.templates import ensure_template
from retail_analytics.settings import Settings
from retail_analytics_tests.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

    from retail_analytics.feeds import Feed

_MEMORY = 3 * 1024**3
BUCKET = "search-tests"
SERVER = "RETAIL_TEST_OPENSEARCH_URL"
"""The variable that names a server to run these tests against: `make test-opensearch` sets it."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where the environment names a server, leave out those of these tests that never speak to it."""
    if os.environ.get(SERVER):
        silent = [item for item in items if item.path.parent == Path(__file__).parent and not _speaks(item)]
        config.hook.pytest_deselected(items=silent)
        items[:] = [item for item in items if item not in set(silent)]


def _speaks(item: pytest.Item) -> bool:
    own_node = item.path.name == "test_single_node.py"
    return own_node or "search_url" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def search_url() -> Iterator[str]:
    """The URL of the server that the environment names, or of an osmem-server of our own."""
    given = os.environ.get(SERVER)
    if given:
        yield given
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    binary = Path(osmem_server.__file__).parent / "bin" / "osmem-server"
    server = subprocess.Popen(
        [binary, "-addr", f"127.0.0.1:{port}", "-no-stdin-watch", "-no-ja"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    resource.prlimit(server.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(url))
        yield url
    finally:
        server.terminate()
        server.wait(PATIENCE_SECONDS)


@pytest.fixture(scope="session")
def real_server(search_url: str) -> bool:
    """Whether the server is an OpenSearch, and not osmem-server, which knows no node statistics."""
    try:
        OpenSearch(search_url, max_retries=0).nodes.stats(metric="jvm")
    except RequestError:
        return False
    return True


def _answers(url: str) -> bool:
    try:
        OpenSearch(url, max_retries=0).info()
    except NotReached:
        return False
    return True


@pytest.fixture
def empty_search(search_url: str) -> OpenSearch:
    """The server without an index or template."""
    client = OpenSearch(search_url, max_retries=0)
    client.indices.delete(index="*", ignore_unavailable=True, allow_no_indices=True)
    for found in client.indices.get_index_template().get("index_templates", []):
        client.indices.delete_index_template(name=found["name"])
    return client


@pytest.fixture
def search(empty_search: OpenSearch, feed: Feed) -> OpenSearch:
    """The server with the feed's template."""
    ensure_template(empty_search, feed)
    return empty_search


@pytest.fixture
def feed() -> Feed:
    """The feed that the tests use."""
    return get_feed("retail_trans")


@pytest.fixture
def settings(search_url: str) -> Settings:
    """Settings that name the test's server and bucket."""
    return replace(Settings(), opensearch_url=search_url, bucket=BUCKET)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """An S3 with the bucket, in this process."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture
def store(s3: S3Client, feed: Feed) -> DeadLetterStore:
    """The feed's dead letters."""
    return DeadLetterStore(s3, BUCKET, dead_letter_prefix(feed))


@pytest.fixture
def writer(search: OpenSearch) -> BulkWriter:
    """A writer to the server."""
    return BulkWriter(search)
