"""Crawlers, off the compaction path: run on a schedule to report what the declaration does not know.

A crawler that is running already is waited for, then run again, since it may have begun before our data.
Waiting is polling with backoff and a deadline. Not here: what owns a schema; that is the declaration.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retail_analytics.lake.tables import raw_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_glue import GlueClient

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 15.0


class CrawlerError(RuntimeError):
    """A crawl failed or did not end in time; the message says which crawler and why."""


@dataclass(frozen=True)
class Crawl:
    """What one crawl came to.

    Attributes:
        crawler: The crawler's name.
        status: ``SUCCEEDED``, as anything else is an error.
        seconds: Its wall-clock time, waiting for another run included.
        tables_created: Tables that it made.
        tables_updated: Tables that it changed.
        schema_differences: How the catalog's raw table differs from the declaration, a line each.
    """

    crawler: str
    status: str
    seconds: float
    tables_created: int
    tables_updated: int
    schema_differences: tuple[str, ...]


def crawler_name(feed: Feed) -> str:
    """The name of the feed's crawler."""
    return f"{feed.name}-raw"


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
    name = crawler_name(feed)
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
    metrics: Any = next(iter(glue.get_crawler_metrics(CrawlerNameList=[name])["CrawlerMetricsList"]), {})
    return Crawl(
        crawler=name,
        status=last["Status"],
        seconds=time.monotonic() - begun,
        tables_created=metrics.get("TablesCreated", 0),
        tables_updated=metrics.get("TablesUpdated", 0),
        schema_differences=schema_differences(glue, feed, settings),
    )


def schema_differences(glue: GlueClient, feed: Feed, settings: Settings) -> tuple[str, ...]:
    """How the catalog's raw table differs from the declaration, a line for each column."""
    table = raw_table(feed, settings)
    found = glue.get_table(DatabaseName=settings.database, Name=table.name)["Table"]
    there = {column["Name"]: column.get("Type", "") for column in found["StorageDescriptor"]["Columns"]}
    declared = {name: type_ for name, type_, _ in table.columns}
    lines = [
        f"`{name}` is declared {type_}, missing" for name, type_ in declared.items() if name not in there
    ]
    lines += [f"`{name}` is {type_}, not declared" for name, type_ in there.items() if name not in declared]
    lines += [
        f"`{name}` is declared {declared[name]}, is {type_}"
        for name, type_ in there.items()
        if name in declared and declared[name] != type_
    ]
    return tuple(lines)


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
