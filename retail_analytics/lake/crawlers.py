"""Crawlers, off the compaction path: run on a schedule to report what the declaration does not know.

A crawler that is running already is waited for, then run again, since it may have begun before our data.
Waiting is polling with backoff and a deadline. Not here: what owns a schema; that is the declaration; and how
the lake differs from it (``drift.py``).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from retail_analytics.resources.clients import CONFIG, session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_glue import GlueClient

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 15.0
_LINES = 20
_LINE = 500


class CrawlerError(RuntimeError):
    """A crawl failed or did not end in time; the message says which crawler and why."""


@dataclass(frozen=True)
class Found:
    """What one crawl did to the catalog.

    Attributes:
        tables: Names of the tables that it added, updated and deleted, by ``ADD``, ``UPDATE``, ``DELETE``.
        partitions: How many partitions it added, updated and deleted, likewise.
    """

    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    partitions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Crawl:
    """What one crawl came to.

    Attributes:
        crawler: The crawler's name.
        status: ``SUCCEEDED``, as anything else is an error.
        seconds: Its wall-clock time, waiting for another run included.
        found: What it did to the catalog; None where Glue has no summary of it.
        said: Lines of its log that are no benchmarks: with the LOG policy, all that it tells of changes.
    """

    crawler: str
    status: str
    seconds: float
    found: Found | None
    said: tuple[str, ...]


def crawl(
    glue: GlueClient,
    feed: Feed,
    settings: Settings,
    timeout_seconds: float = 1800,
    log: Callable[[str], None] = lambda _: None,
) -> Crawl:
    """Run the feed's crawler to its end and report what it found.

    Raises:
        CrawlerError: It failed, or had not ended after ``timeout_seconds``.
    """
    name = settings.crawler(feed.name)
    begun = time.monotonic()
    deadline = begun + timeout_seconds
    try:
        glue.start_crawler(Name=name)
    except glue.exceptions.CrawlerRunningException:
        log(f"Crawler {name} is running; waiting for it, then running it again.")
        _wait_until_ready(glue, name, deadline)
        glue.start_crawler(Name=name)
    crawler = _wait_until_ready(glue, name, deadline)
    last = crawler.get("LastCrawl", {})
    if last.get("Status") != "SUCCEEDED":
        raise CrawlerError(
            f"Crawler {name} ended {last.get('Status', 'without a status')}:"
            f" {last.get('ErrorMessage', 'no message')};"
            f" its log is {last.get('LogGroup', '/aws-glue/crawlers')}."
        )
    return Crawl(
        crawler=name,
        status=last["Status"],
        seconds=time.monotonic() - begun,
        found=_summary(glue, name),
        said=_said(settings, last),
    )


def _summary(glue: GlueClient, name: str) -> Found | None:
    """Glue's own summary of the crawler's last crawl; None where there is none, or it may not be read."""
    try:
        crawls = glue.list_crawls(CrawlerName=name, MaxResults=10)["Crawls"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        return None  # the crawl itself succeeded; its metadata say what the summary wants
    if not crawls:
        return None
    last = max(crawls, key=lambda crawl: crawl["StartTime"])
    return read_summary(last.get("Summary", ""))


def read_summary(text: str) -> Found | None:
    """What a crawl's ``Summary`` says; None for one that says nothing.

    Glue documents it as JSON without its form; its parts come as objects or as JSON in a string.
    """
    summary = _opened(text)
    if not summary:
        return None
    tables, partitions = _opened(summary.get("TABLE")), _opened(summary.get("PARTITION"))
    names = {what: _opened(_opened(part).get("Details")).get("names", ()) for what, part in tables.items()}
    return Found(
        {what: tuple(map(str, listed)) for what, listed in names.items()},
        {what: int(_opened(part).get("Count", 0)) for what, part in partitions.items()},
    )


def _opened(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        try:
            part = json.loads(part or "{}")
        except ValueError:
            return {}
    return part if isinstance(part, dict) else {}


def _said(settings: Settings, last: Any) -> tuple[str, ...]:
    """What the crawl wrote into its log, benchmarks left out; a log that may not be read says that."""
    if not all(name in last for name in ("LogGroup", "LogStream", "MessagePrefix", "StartTime")):
        return ()
    logs = session(settings.region).client("logs", config=CONFIG)
    try:
        answer = logs.filter_log_events(
            logGroupName=last["LogGroup"],
            logStreamNames=[last["LogStream"]],
            startTime=int(last["StartTime"].timestamp() * 1000),
        )
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in ("AccessDeniedException", "ResourceNotFoundException"):
            raise
        return (f"its log {last['LogGroup']} was not read: {code}; allow logs:FilterLogEvents to see it",)
    lines = (event.get("message", "") for event in answer["events"])
    own = [line for line in lines if last["MessagePrefix"] in line and "BENCHMARK" not in line]
    return tuple(line[:_LINE] for line in own[-_LINES:])


def _wait_until_ready(glue: GlueClient, name: str, deadline: float) -> Any:
    wait = _FIRST_WAIT_SECONDS
    while True:
        crawler = glue.get_crawler(Name=name)["Crawler"]
        if crawler["State"] == "READY":
            return crawler
        if time.monotonic() > deadline:
            raise CrawlerError(
                f"Crawler {name} was still {crawler['State']} at the deadline;"
                " look at it in Glue and run this again."
            )
        time.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
