"""Index health: what the server says of itself, judged, each finding with what to do.

Here belongs asking the server and the whole picture. Not here: the judgements (``judgements.py``, pure) and
the template (``templates.py``). What a server does not offer is a finding of its own: visible, and never
taken for healthy.

The number of requests does not depend on the number of indices.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from opensearchpy.exceptions import ConnectionError as NotReachedError
from opensearchpy.exceptions import OpenSearchException, TransportError

from retail_analytics.search import judgements
from retail_analytics.search.environment import search_of
from retail_analytics.search.templates import mapping_drift, missing_fields, template_differences

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opensearchpy import OpenSearch

    from retail_analytics.feeds.declaration import Feed
    from retail_analytics.search.judgements import Finding, IndexSize

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Health:
    """The state of one feed's indices and of the cluster under them.

    Attributes:
        server: Distribution and version, or empty where it was not reached.
        status: ``green``, ``yellow`` or ``red``; ``unreachable`` where it was not reached.
        nodes: Nodes of the cluster.
        unassigned_shards: Shards without a node.
        indices: The feed's indices.
        rejected_writes: Writes that the nodes rejected since they started; None where not offered.
        search_seconds: The round trip of a small search; None where it failed.
        written: Documents written to the feed's indices, and the milliseconds they took; None where not
            offered. The server counts since an index was made or its node started.
        findings: What was judged, in a fixed order.
    """

    server: str
    status: str
    nodes: int
    unassigned_shards: int
    indices: tuple[IndexSize, ...]
    rejected_writes: int | None
    search_seconds: float | None
    written: tuple[int, int] | None
    findings: tuple[Finding, ...]

    @property
    def documents(self) -> int:
        """Documents in the feed's indices."""
        return sum(index.documents for index in self.indices)

    @property
    def bytes(self) -> int:
        """Bytes of the feed's indices, replicas included."""
        return sum(index.bytes for index in self.indices)

    def of_level(self, level: judgements.Level) -> tuple[Finding, ...]:
        """The findings of one level."""
        return tuple(finding for finding in self.findings if finding.level == level)


@dataclass(frozen=True)
class Before:
    """What the health before this one counted; only more than that is news.

    Attributes:
        rejected_writes: Its ``rejected_writes``.
        written: Its ``written``.
    """

    rejected_writes: int | None = None
    written: tuple[int, int] | None = None


def read_health(
    client: OpenSearch, feed: Feed, *, before: Before = Before(), others: Sequence[Finding] = ()
) -> Health:
    """Ask the server and judge its answers.

    Args:
        client: The search server.
        feed: The feed, which must declare a search index.
        before: What the health before this one counted.
        others: Findings that were made elsewhere and belong into the picture.

    Raises:
        ValueError: The feed declares no search index.
    """
    search = search_of(feed)
    try:
        info = client.info()
        cluster = client.cluster.health()
    except OpenSearchException as error:
        return _unreachable(error)
    indices, sizes = _ask("indices", lambda: _sizes(client, search.alias))
    stats, no_stats = _ask("nodes", lambda: client.nodes.stats(metric="jvm,thread_pool"))
    disks, no_disks = _ask("disk", lambda: client.cat.allocation(format="json", bytes="b"))
    seconds, no_search = _ask("search", lambda: _timed_search(client, search.alias))
    written, no_writes = _ask("write_latency", lambda: _written(client, search.alias))
    rejected = judgements.rejected_writes(stats) if stats is not None else None
    findings = [
        judgements.cluster(cluster),
        *_unassigned(client, cluster),
        no_disks or judgements.disk(disks or ()),
        no_stats or judgements.heap(stats),
        *([] if rejected is None else [judgements.rejections(rejected, before.rejected_writes)]),
        sizes or judgements.indices(indices or ()),
        no_search or judgements.latency(seconds or 0.0),
        no_writes or judgements.write_latency(written or (0, 0), before.written),
        *_drift(client, feed),
        *others,
    ]
    version = info.get("version", {})
    return Health(
        server=f"{version.get('distribution', 'elasticsearch')} {version.get('number', '')}".strip(),
        status=str(cluster.get("status", "unknown")),
        nodes=int(cluster.get("number_of_nodes", 0)),
        unassigned_shards=int(cluster.get("unassigned_shards", 0)),
        indices=indices or (),
        rejected_writes=rejected,
        search_seconds=seconds,
        written=written,
        findings=tuple(findings),
    )


def _ask(name: str, call: Callable[[], _Answer]) -> tuple[_Answer | None, Finding | None]:
    """The answer, or the finding that there is none."""
    try:
        return call(), None
    except NotReachedError as error:
        return None, judgements.no_answer(name, str(error))
    except TransportError as error:
        return None, judgements.not_offered(name, error.status_code, str(error.error))
    except OpenSearchException as error:
        return None, judgements.no_answer(name, str(error))


def _sizes(client: OpenSearch, alias: str) -> tuple[IndexSize, ...]:
    rows = client.cat.indices(index=f"{alias}-*", format="json", bytes="b")
    aliased = client.indices.get_alias(index=f"{alias}-*", ignore_unavailable=True)
    return judgements.index_sizes(rows, {i for i, about in aliased.items() if alias in about["aliases"]})


def _timed_search(client: OpenSearch, alias: str) -> float:
    started = time.perf_counter()
    client.search(index=alias, body={"size": 0}, params={"ignore_unavailable": "true", "request_timeout": 15})
    return time.perf_counter() - started


def _written(client: OpenSearch, alias: str) -> tuple[int, int]:
    answer = client.indices.stats(index=f"{alias}-*", metric="indexing")
    counted = answer.get("_all", {}).get("primaries", {}).get("indexing", {})
    return int(counted.get("index_total", 0)), int(counted.get("index_time_in_millis", 0))


def _unassigned(client: OpenSearch, cluster: dict[str, Any]) -> list[Finding]:
    if not cluster.get("unassigned_shards"):
        return []
    explanation, trouble = _ask("unassigned_shards", client.cluster.allocation_explain)
    return [judgements.unassigned(int(cluster["unassigned_shards"]), explanation, trouble)]


def _drift(client: OpenSearch, feed: Feed) -> list[Finding]:
    alias = search_of(feed).alias
    differences, no_template = _ask("template", lambda: template_differences(feed, client))
    answer, no_mapping = _ask("mapping", lambda: client.indices.get_mapping(index=f"{alias}-*"))
    mappings = {index: about.get("mappings", {}) for index, about in (answer or {}).items()}
    return [
        no_template or judgements.template(differences or ()),
        no_mapping or judgements.mapping(mapping_drift(feed, mappings), missing_fields(feed, mappings)),
    ]


def _unreachable(error: Exception) -> Health:
    finding = judgements.no_answer("cluster", str(error))
    return Health("", "unreachable", 0, 0, (), None, None, None, (finding,))
