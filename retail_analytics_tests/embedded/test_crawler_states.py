"""A crawler's states, with a crawl that waits to be told."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from moto import mock_aws
from moto.glue.exceptions import CrawlerNotRunningException, CrawlerRunningException

from retail_analytics.embedded.crawler.backend import CrawlingGlueBackend
from retail_analytics.embedded.crawler.crawl import Crawl, CrawlStoppedError
from retail_analytics_tests.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from retail_analytics.embedded.crawler.catalog import Changes

NAME = "c"


def make_backend() -> CrawlingGlueBackend:
    backend = CrawlingGlueBackend("us-east-1", "123456789012")
    backend.create_crawler(
        name=NAME,
        role="r",
        database_name="d",
        description="",
        targets={"S3Targets": [{"Path": "s3://bucket/x"}]},
        schedule="",
        classifiers=[],
        table_prefix="",
        schema_change_policy={},
        recrawl_policy={},
        lineage_configuration={},
        configuration="",
        crawler_security_configuration="",
        tags={},
    )
    return backend


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    released = threading.Event()

    def run(crawl: Crawl) -> Changes:
        assert released.wait(PATIENCE_SECONDS)
        if crawl.stopping():
            raise CrawlStoppedError("stopped")
        return crawl.total

    monkeypatch.setattr(Crawl, "run", run)
    with mock_aws():
        yield released
    released.set()


def test_a_running_crawler_cannot_be_started_again_or_deleted(release: threading.Event) -> None:
    backend = make_backend()
    backend.start_crawler(NAME)
    crawler = backend.get_crawler(NAME)
    assert crawler.as_dict()["State"] == "RUNNING"
    assert "LastCrawl" not in crawler.as_dict()
    with pytest.raises(CrawlerRunningException):
        backend.start_crawler(NAME)
    with pytest.raises(CrawlerRunningException):
        backend.delete_crawler(NAME)
    release.set()
    until(lambda: crawler.as_dict()["State"] == "READY")
    assert crawler.as_dict()["LastCrawl"]["Status"] == "SUCCEEDED"
    with pytest.raises(CrawlerNotRunningException):
        backend.stop_crawler(NAME)
    backend.delete_crawler(NAME)
    assert backend.get_crawlers() == []


def test_a_stopped_crawl_is_stopping_and_then_cancelled(release: threading.Event) -> None:
    backend = make_backend()
    backend.start_crawler(NAME)
    crawler = backend.get_crawler(NAME)
    backend.stop_crawler(NAME)
    assert crawler.as_dict()["State"] == "STOPPING"
    with pytest.raises(CrawlerNotRunningException):
        backend.stop_crawler(NAME)
    release.set()
    until(lambda: crawler.as_dict()["State"] == "READY")
    assert crawler.as_dict()["LastCrawl"]["Status"] == "CANCELLED"


def test_a_fault_fails_the_crawl_and_leaves_the_crawler_usable(
    monkeypatch: pytest.MonkeyPatch, release: threading.Event
) -> None:
    def run(crawl: Crawl) -> Changes:
        raise RuntimeError("planted")

    monkeypatch.setattr(Crawl, "run", run)
    backend = make_backend()
    backend.start_crawler(NAME)
    crawler = backend.get_crawler(NAME)
    until(lambda: crawler.as_dict()["State"] == "READY")
    last = crawler.as_dict()["LastCrawl"]
    assert (last["Status"], "planted" in last["ErrorMessage"]) == ("FAILED", True)
