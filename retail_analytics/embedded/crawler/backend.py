"""The crawler's states and its side of the wire.

A crawl runs in a thread: RUNNING, STOPPING once it is asked to stop, then READY with a LastCrawl. What is not
done (schedules, custom classifiers, other targets) is refused when a crawler is created. Log
lines go to CloudWatch Logs, group ``/aws-glue/crawlers``, stream the crawler's name.
"""

from __future__ import annotations

import copy
import json
import logging
import statistics
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.glue.exceptions import CrawlerNotRunningException, CrawlerRunningException, GlueClientError
from moto.glue.models import FakeCrawler, GlueBackend
from moto.glue.responses import GlueResponse
from moto.logs.models import logs_backends

from retail_analytics.embedded.crawler.catalog import Changes
from retail_analytics.embedded.crawler.crawl import EVENT_MODE, Crawl, CrawlError, CrawlStoppedError

if TYPE_CHECKING:
    from retail_analytics.embedded.crawler.events import Memory

LOG = logging.getLogger(__name__)
LOG_GROUP = "/aws-glue/crawlers"
_TARGETS = ("S3Targets", "CatalogTargets")


class RunningCrawl:
    """A crawl, from its start to its result, with what moto's wire layer asks of one."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawl_id = str(uuid.uuid4())
        self.status = "RUNNING"
        self.start_time = datetime.now(UTC)
        self.end_time: datetime | None = None
        self.error: str | None = None
        self.changes = Changes()
        self.stop_asked = threading.Event()
        self._crawler = crawler
        self._began = time.monotonic()
        self.seconds = 0.0

    def run(self) -> None:
        """Crawl, and write down how it ended."""
        self.log(f"BENCHMARK : Running Start Crawl for Crawler {self._crawler.name}")
        status = "COMPLETED"
        try:
            crawler = self._crawler
            crawl = Crawl(crawler.backend, crawler, self.log, self.stop_asked.is_set, crawler.remembered)
            crawl.total = self.changes
            crawl.run()
        except CrawlStoppedError:
            status = "STOPPED"
        except CrawlError as error:
            status, self.error = "FAILED", str(error)
        except Exception as error:
            LOG.exception("crawler %s failed", self._crawler.name)
            status, self.error = "FAILED", f"Internal Service Exception: {error}"
        if self.error:
            self.log(f"ERROR : {self.error}")
        self.log("BENCHMARK : Crawler has finished running and is in state STOPPING")
        self.end_time = datetime.now(UTC)
        self.seconds = time.monotonic() - self._began
        self.status = status

    def log(self, line: str) -> None:
        """Write a line to the crawl's log."""
        backend = self._crawler.backend
        logs = logs_backends[backend.account_id][backend.region_name]
        logs.ensure_log_group(LOG_GROUP)
        logs.ensure_log_stream(LOG_GROUP, self._crawler.name)
        event = {"timestamp": int(time.time() * 1000), "message": f"[{self.crawl_id}] {line}"}
        logs.put_log_events(LOG_GROUP, self._crawler.name, [event])

    def advance(self) -> None:
        """Nothing: a crawl advances by itself, not by being looked at."""

    def as_dict(self) -> dict[str, Any]:
        """The crawl as ListCrawls answers it."""
        entry: dict[str, Any] = {
            "CrawlId": self.crawl_id,
            "State": "RUNNING" if self.status == "STOPPING" else self.status,
            "StartTime": self.start_time,
            "Summary": json.dumps(self._summary()),
            "LogGroup": LOG_GROUP,
            "LogStream": self._crawler.name,
            "MessagePrefix": self.crawl_id,
        }
        return {**entry, **({"EndTime": self.end_time} if self.end_time else {}), **self._message()}

    def _summary(self) -> dict[str, Any]:
        changes = self.changes
        return {
            "TABLE": {
                "ADD": {"Count": len(changes.tables_created), "Details": {"names": changes.tables_created}},
                "UPDATE": {
                    "Count": len(changes.tables_updated),
                    "Details": {"names": changes.tables_updated},
                },
                "DELETE": {
                    "Count": len(changes.tables_deleted),
                    "Details": {"names": changes.tables_deleted},
                },
            },
            "PARTITION": {
                "ADD": {"Count": changes.partitions_added},
                "UPDATE": {"Count": changes.partitions_updated},
                "DELETE": {"Count": changes.partitions_deleted},
            },
        }

    def _message(self) -> dict[str, str]:
        return {"ErrorMessage": self.error} if self.error else {}

    def last_crawl(self) -> dict[str, Any]:
        """The crawl as GetCrawler's LastCrawl."""
        statuses = {"COMPLETED": "SUCCEEDED", "STOPPED": "CANCELLED", "FAILED": "FAILED"}
        return {
            "Status": statuses[self.status],
            "LogGroup": LOG_GROUP,
            "LogStream": self._crawler.name,
            "MessagePrefix": self.crawl_id,
            "StartTime": self.start_time,
            **self._message(),
        }


class Crawler(FakeCrawler):
    """A crawler whose crawls are real."""

    crawls: list[RunningCrawl]  # type: ignore[assignment]

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.remembered: dict[str, Memory] = {}
        self._lock = threading.Lock()

    @property
    def status(self) -> str:
        """READY, RUNNING or STOPPING."""
        if self.crawls and self.crawls[-1].status in {"RUNNING", "STOPPING"}:
            return self.crawls[-1].status
        return "READY"

    def as_dict(self) -> dict[str, Any]:
        """The crawler as GetCrawler answers it."""
        answer = self._without_crawls()
        ended = [crawl for crawl in self.crawls if crawl.end_time is not None]
        if ended:
            answer["LastCrawl"] = ended[-1].last_crawl()
        if self.status != "READY":
            elapsed = datetime.now(UTC) - self.crawls[-1].start_time
            answer["CrawlElapsedTime"] = int(elapsed.total_seconds() * 1000)
        return answer

    def _without_crawls(self) -> dict[str, Any]:
        # moto's own account of the last crawl shows one that still runs.
        twin = copy.copy(self)
        twin.crawls = []
        return {**FakeCrawler.as_dict(twin), "State": self.status}

    def start_crawler(self) -> None:
        """Begin a crawl.

        Raises:
            CrawlerRunningException: One is under way.
        """
        with self._lock:
            if self.status != "READY":
                raise CrawlerRunningException(f"Crawler with name {self.name} has already started")
            crawl = RunningCrawl(self)
            self.crawls.append(crawl)
        threading.Thread(target=crawl.run, name=f"crawler-{self.name}", daemon=True).start()

    def stop_crawler(self) -> None:
        """Ask the crawl under way to stop.

        Raises:
            CrawlerNotRunningException: None is.
        """
        with self._lock:
            if self.status != "RUNNING":
                raise CrawlerNotRunningException(f"Crawler with name {self.name} isn't running")
            self.crawls[-1].stop_asked.set()
            self.crawls[-1].status = "STOPPING"

    def metrics(self) -> dict[str, Any]:
        """The crawler as GetCrawlerMetrics answers it."""
        seconds = [crawl.seconds for crawl in self.crawls if crawl.end_time is not None]
        return {
            "CrawlerName": self.name,
            "TimeLeftSeconds": 0.0,
            "StillEstimating": self.status == "RUNNING",
            "LastRuntimeSeconds": seconds[-1] if seconds else 0.0,
            "MedianRuntimeSeconds": statistics.median(seconds) if seconds else 0.0,
            "TablesCreated": sum(len(crawl.changes.tables_created) for crawl in self.crawls),
            "TablesUpdated": sum(len(crawl.changes.tables_updated) for crawl in self.crawls),
            "TablesDeleted": sum(len(crawl.changes.tables_deleted) for crawl in self.crawls),
        }


class CrawlingGlueBackend(GlueBackend):
    """moto's Glue with crawlers that crawl."""

    def create_crawler(self, **attributes: Any) -> None:  # type: ignore[override]
        """Create a crawler.

        Raises:
            GlueClientError: It asks for something that AWS refuses, or that is not done here.
        """
        check_crawler(attributes)
        super().create_crawler(**attributes)
        self.crawlers[attributes["name"]] = Crawler(**attributes, backend=self)

    def delete_crawler(self, name: str) -> None:
        """Delete a crawler.

        Raises:
            CrawlerRunningException: It runs.
        """
        if self.get_crawler(name).status != "READY":
            raise CrawlerRunningException(f"Crawler with name {name} is running")
        super().delete_crawler(name)


def check_crawler(attributes: dict[str, Any]) -> None:
    """Refuse what AWS refuses of a crawler, and what is not done here."""
    targets = {kind: items for kind, items in (attributes.get("targets") or {}).items() if items}
    unknown = sorted(set(targets) - set(_TARGETS))
    policy = attributes.get("schema_change_policy") or {}
    problem = ""
    if unknown:
        problem = f"{', '.join(unknown)} are not supported here; use {' or '.join(_TARGETS)}."
    elif not targets:
        problem = "Crawler targets must have at least one entry."
    elif attributes.get("schedule"):
        problem = "Schedules are not supported here; start the crawler with StartCrawler."
    elif attributes.get("classifiers"):
        problem = "Custom classifiers are not supported here."
    elif "CatalogTargets" in targets and policy.get("DeleteBehavior", "LOG") != "LOG":
        problem = "The DeleteBehavior of a crawler with catalog targets must be LOG."
    elif "S3Targets" in targets and not attributes.get("database_name"):
        problem = "DatabaseName is required for a crawler with S3 targets."
    problem = problem or _configuration_problem(attributes.get("configuration") or "{}")
    problem = problem or _recrawl_problem(attributes, [each for items in targets.values() for each in items])
    if problem:
        raise GlueClientError("InvalidInputException", problem)


def _configuration_problem(text: str) -> str:
    try:
        given = json.loads(text)
    except ValueError as error:
        return f"Configuration is not JSON: {error}"
    grouping = given.get("Grouping", {})
    unknown = {*(set(given) - {"Version", "CrawlerOutput", "Grouping"})}
    unknown |= set(grouping) - {"TableGroupingPolicy", "TableLevelConfiguration"}
    if unknown:
        return f"{', '.join(sorted(unknown))} in Configuration is not supported here."
    level = grouping.get("TableLevelConfiguration", 1)
    if not isinstance(level, int) or level < 1:
        return f"TableLevelConfiguration is {level!r}; it is a number from 1, the bucket, on."
    return ""


def _recrawl_problem(attributes: dict[str, Any], targets: list[dict[str, Any]]) -> str:
    recrawl = (attributes.get("recrawl_policy") or {}).get("RecrawlBehavior", "CRAWL_EVERYTHING")
    if recrawl not in {"CRAWL_EVERYTHING", EVENT_MODE}:
        return f"RecrawlBehavior {recrawl} is not supported here; use CRAWL_EVERYTHING or {EVENT_MODE}."
    if recrawl == EVENT_MODE and not all(target.get("EventQueueArn") for target in targets):
        return f"Every target of a crawler in {EVENT_MODE} must have an EventQueueArn."
    if any(target.get("DlqEventQueueArn") for target in targets):
        return "DlqEventQueueArn is not supported here; give the event queue a redrive policy."
    return ""


def _get_crawler_metrics(self: GlueResponse) -> ActionResult:
    backend = self.glue_backend
    names = self.parameters.get("CrawlerNameList")
    crawlers = [crawler for crawler in backend.get_crawlers() if names is None or crawler.name in names]
    metrics = [crawler.metrics() for crawler in crawlers if isinstance(crawler, Crawler)]
    return ActionResult({"CrawlerMetricsList": metrics})


def install() -> None:
    """Teach moto's wire layer GetCrawlerMetrics; the backend itself is put in place by ``glue.py``."""
    # moto dispatches by method name and has none for this operation.
    GlueResponse.get_crawler_metrics = _get_crawler_metrics  # type: ignore[attr-defined]
