"""One crawl: objects to tables, then the catalog.

Reads the objects from the S3 of this process, samples them, and has ``layout.py`` and ``catalog.py`` do the
rest. Not here: the crawler's states and the wire (``backend.py``).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

from moto.s3.models import FakeDeleteMarker, s3_backends

from retail_analytics.embedded.crawler import layout
from retail_analytics.embedded.crawler.catalog import CRAWLER_PARAMETER, CatalogWriter, Changes, Policy
from retail_analytics.embedded.crawler.events import Memory, Queue
from retail_analytics.embedded.crawler.schema import Schema, UnreadableObjectError, infer
from retail_analytics.embedded.crawler.selection import excluded, tables_at
from retail_analytics.embedded.moto_backends import ACCOUNT_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from moto.glue.models import FakeCrawler, FakeTable, GlueBackend

LOG = logging.getLogger(__name__)
SAMPLES_A_FOLDER = 8
EVENT_MODE = "CRAWL_EVENT_MODE"


class CrawlError(RuntimeError):
    """A crawl cannot go on; the message becomes the crawl's ErrorMessage."""


class CrawlStoppedError(CrawlError):
    """The crawl was asked to stop."""


@dataclass
class Crawl:
    """One crawl of one crawler.

    Attributes:
        glue: The catalog.
        crawler: The crawler, as moto holds it.
        log: Takes the crawl's log lines.
        stopping: Says whether the crawl was asked to stop.
        remembered: What earlier crawls found, by target; for event mode.
    """

    glue: GlueBackend
    crawler: FakeCrawler
    log: Callable[[str], None]
    stopping: Callable[[], bool]
    remembered: dict[str, Memory] = field(default_factory=dict)
    total: Changes = field(default_factory=Changes)

    def run(self) -> Changes:
        """Crawl every target.

        Raises:
            CrawlError: A target cannot be crawled.
        """
        targets = self.crawler.targets or {}
        self.log(
            f"INFO : The crawl is running by policy {json.dumps(self.crawler.schema_change_policy or {})}"
        )
        for target in targets.get("S3Targets") or []:
            queue = self._queue(target)
            self._s3_target(target, queue)
            self._acknowledge(queue)
        for target in targets.get("CatalogTargets") or []:
            queue = self._queue(target)
            for name in target["Tables"]:
                self._catalog_table(target["DatabaseName"], name, queue)
            self._acknowledge(queue)
        return self.total

    def _queue(self, target: dict[str, Any]) -> Queue | None:
        mode = (self.crawler.recrawl_policy or {}).get("RecrawlBehavior")
        return Queue(target["EventQueueArn"], self.log) if mode == EVENT_MODE else None

    @staticmethod
    def _acknowledge(queue: Queue | None) -> None:
        if queue is not None:
            queue.acknowledge()

    def _policy(self) -> Policy:
        given = self.crawler.schema_change_policy or {}
        output = self._configuration().get("CrawlerOutput", {})
        return Policy(
            update=given.get("UpdateBehavior", "UPDATE_IN_DATABASE"),
            delete=given.get("DeleteBehavior", "DEPRECATE_IN_DATABASE"),
            merge_new_columns=output.get("Tables", {}).get("AddOrUpdateBehavior") == "MergeNewColumns",
            inherit_partitions=output.get("Partitions", {}).get("AddOrUpdateBehavior") == "InheritFromTable",
        )

    def _configuration(self) -> dict[str, Any]:
        return json.loads(self.crawler.configuration or "{}")  # type: ignore[no-any-return]

    def _writer(self, database: str) -> CatalogWriter:
        if database not in self.glue.databases:
            raise CrawlError(f"database {database} does not exist")
        writer = CatalogWriter(self.glue, database, self.crawler.name, self._policy(), self.log)
        writer.changes = self.total
        return writer

    def _s3_target(self, target: dict[str, Any], queue: Queue | None) -> None:
        root = folder_url(target["Path"])
        writer = self._writer(self.crawler.database_name)
        found = self._folders(root, target.get("Exclusions") or [], target.get("SampleSize"), queue)
        grouping = self._configuration().get("Grouping", {})
        combine = grouping.get("TableGroupingPolicy") == "CombineCompatibleSchemas"
        level = grouping.get("TableLevelConfiguration")
        tables = list(tables_at(root, found, level=int(level) if level else None, combine=combine))
        existing = self.glue.databases[self.crawler.database_name].tables
        taken = {name: location(table) for name, table in existing.items()}
        prefix = self.crawler.table_prefix or ""
        named = [
            (prefix + name, table)
            for name, table in layout.unique_names(tables, without_prefix(taken, prefix))
        ]
        self.log(
            f"BENCHMARK : Classification complete, writing results to database {self.crawler.database_name}"
        )
        for name, table in named:
            self._stop_if_asked()
            writer.table(name, table)
        written = {name for name, _ in named}
        for name, there in list(existing.items()):
            if name not in written and self._owns(there) and location(there).startswith(root):
                writer.gone_table(name)

    def _owns(self, table: FakeTable) -> bool:
        parameters = table.as_dict().get("Parameters", {})
        return bool(parameters.get(CRAWLER_PARAMETER) == self.crawler.name)

    def _catalog_table(self, database: str, name: str, queue: Queue | None) -> None:
        writer = self._writer(database)
        table = self.glue.databases[database].tables.get(name)
        if table is None:
            raise CrawlError(
                f"table {database}.{name} does not exist; a catalog target crawls tables that do"
            )
        root = location(table)
        found = self._folders(root, [], None, queue)
        if not found:
            self.log(f"INFO : Table {database}.{name} has no objects at {root}")
            return
        keys = tuple(key["Name"] for key in table.as_dict().get("PartitionKeys") or [])
        of_depth = [folder for folder in found if folder.path.removeprefix(root).count("/") == len(keys)]
        for folder in found:
            if folder not in of_depth:
                self.log(f"WARN : {folder.path} does not fit the partition columns of {database}.{name}")
        if not of_depth:
            raise CrawlError(f"no folder below {root} fits the partition columns {', '.join(keys)}")
        schema = reduce(lambda left, right: left.merged(right), (folder.schema for folder in of_depth))
        partitions = tuple(
            layout.FoundPartition(
                layout.partition_values(folder.path.removeprefix(root)), folder.path, folder.schema
            )
            for folder in of_depth
        )
        objects = sum(len(folder.keys) for folder in of_depth)
        writer.table(name, layout.FoundTable(name, root, schema, keys, partitions if keys else (), objects))

    def _folders(
        self, root: str, exclusions: Sequence[str], sample_size: int | None, queue: Queue | None
    ) -> list[layout.Folder]:
        """The folders below ``root``; with a queue, only those that it names are looked into again."""
        memory = self.remembered.get(root)
        if queue is None or memory is None:
            found = self._look(root, root, exclusions, sample_size)
            if queue is not None:
                self.remembered[root] = Memory({folder.path: folder for folder in found})
            return found
        changed = sorted(queue.changed(root))
        self.log(f"INFO : Events name {len(changed)} folders of {root}")
        for path in changed:
            memory.folders.pop(path, None)
            here = self._look(root, path, exclusions, sample_size)
            memory.folders |= {folder.path: folder for folder in here if folder.path == path}
        return [folder for _, folder in sorted(memory.folders.items())]

    def _look(
        self, root: str, below: str, exclusions: Sequence[str], sample_size: int | None
    ) -> list[layout.Folder]:
        keys = [
            url
            for url in self._list(below)
            if not layout.hidden(url, root) and not excluded(url.removeprefix(root), exclusions)
        ]
        self.log(f"BENCHMARK : Running Start Crawl over {len(keys)} objects of {below}")
        found = []
        for path, members in sorted(layout.folders(keys).items()):
            self._stop_if_asked()
            found += self._folder(path, members, sample_size or SAMPLES_A_FOLDER)
        return found

    def _folder(self, path: str, members: Sequence[str], count: int) -> list[layout.Folder]:
        """The folder with its schema; where formats are mixed, each object is a table of its own."""
        schemas = list(filter(None, map(self._infer, sample(members, count))))
        if len({schema.format for schema in schemas}) <= 1:
            merged = reduce(Schema.merged, schemas) if schemas else None
            return [layout.Folder(path, tuple(members), merged)] if merged else []
        self.log(f"WARN : {path} holds objects of several formats; each becomes a table")
        each = ((key, self._infer(key)) for key in members)
        return [layout.Folder(f"{key}/", (key,), schema) for key, schema in each if schema is not None]

    def _infer(self, url: str) -> Schema | None:
        bucket, _, key = url.removeprefix("s3://").partition("/")
        stored = s3_backends[ACCOUNT_ID]["aws"].get_object(bucket, key)
        if stored is None:
            return None
        try:
            return infer(stored.value)
        except UnreadableObjectError as error:
            self.log(f"WARN : Not classified: {url}: {error}")
            return None

    def _list(self, root: str) -> list[str]:
        bucket, _, prefix = root.removeprefix("s3://").partition("/")
        backend = s3_backends[ACCOUNT_ID]["aws"]
        if bucket not in backend.buckets:
            raise CrawlError(f"The specified bucket does not exist: {bucket}")
        keys = backend.buckets[bucket].keys.items()
        return sorted(
            f"s3://{bucket}/{name}"
            for name, key in keys
            if name.startswith(prefix) and not isinstance(key, FakeDeleteMarker) and key.size
        )

    def _stop_if_asked(self) -> None:
        if self.stopping():
            raise CrawlStoppedError("The crawl was stopped.")


def sample(keys: Sequence[str], count: int) -> list[str]:
    """Up to ``count`` keys, evenly over all; the first and the last among them."""
    if len(keys) <= count:
        return list(keys)
    return (
        [keys[index * (len(keys) - 1) // (count - 1)] for index in range(count)] if count > 1 else [keys[0]]
    )


def folder_url(path: str) -> str:
    """A target's path as ``s3://bucket/folder/``."""
    url = path if path.startswith("s3://") else f"s3://{path}"
    return url if url.endswith("/") else f"{url}/"


def location(table: FakeTable) -> str:
    """A table's location as ``s3://bucket/folder/``."""
    return folder_url(table.as_dict().get("StorageDescriptor", {}).get("Location", ""))


def without_prefix(taken: dict[str, str], prefix: str) -> dict[str, str]:
    """Names in use below a table prefix, without it."""
    return {name.removeprefix(prefix): place for name, place in taken.items() if name.startswith(prefix)}
