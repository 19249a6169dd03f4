"""Judgements on a search server's answers: pure functions, one for each thing that can be wrong.

Here belong the limits and the advice. Not here: asking (``health.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Level = Literal["ok", "warning", "error", "unknown"]

# OpenSearch's defaults for its low and flood-stage watermarks, in per cent of the disk.
DISK_LOW_PERCENT = 85
DISK_FLOOD_PERCENT = 95
HEAP_WARNING_PERCENT = 80
HEAP_ERROR_PERCENT = 92
LARGEST_SHARD_BYTES = 50 * 1024**3
SLOW_SEARCH_SECONDS = 2.0
SLOW_WRITE_MILLISECONDS = 20.0
LATE_CONSUMER_SECONDS = 300.0
# A node holds 1,000 shards by default; every event month makes one, and one more for its replica.
MANY_INDICES = 400


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What it is about.
        level: ``unknown`` where the server does not say.
        detail: What was found.
        advice: What to do; empty where all is well.
    """

    name: str
    level: Level
    detail: str
    advice: str = ""


@dataclass(frozen=True)
class IndexSize:
    """One index.

    Attributes:
        name: Its name.
        health: Its colour.
        documents: Documents in it.
        bytes: Its bytes, replicas included.
        primaries: Its primary shards.
        primary_bytes: Their bytes.
        in_alias: Whether readers of the alias see it.
    """

    name: str
    health: str
    documents: int
    bytes: int
    primaries: int
    primary_bytes: int
    in_alias: bool


def not_offered(name: str, status: object, error: str) -> Finding:
    """The server refused the question."""
    if status in (401, 403):
        return Finding(name, "unknown", f"not permitted: {error}", "Allow the role to call this API.")
    if isinstance(status, int) and status >= 429:
        return no_answer(name, f"status {status}: {error}")
    return Finding(name, "unknown", "not offered by this server", "")


def no_answer(name: str, error: str) -> Finding:
    """The server gave no answer."""
    return Finding(name, "error", f"no answer: {error[:300]}", "Is the server up, and the address right?")


def cluster(health: Mapping[str, Any]) -> Finding:
    """Its colour."""
    status = str(health.get("status"))
    nodes = health.get("number_of_nodes", 0)
    detail = f"{status}, {nodes} node{'s' if nodes != 1 else ''}"
    match status:
        case "green":
            return Finding("cluster", "ok", detail)
        case "yellow":
            return Finding("cluster", "warning", detail, "A replica has no node: add one, or lower replicas.")
        case "red":
            return Finding(
                "cluster", "error", detail, "A primary shard is missing: see unassigned_shards; then reindex."
            )
    return Finding("cluster", "unknown", detail)


def unassigned(count: int, explanation: Mapping[str, Any] | None, trouble: Finding | None) -> Finding:
    """Why shards have no node, as the server explains one of them."""
    if explanation is None:
        why = trouble.detail if trouble is not None else "no explanation"
        return Finding("unassigned_shards", "warning", f"{count}; {why}", "Look at _cat/shards.")
    primary = bool(explanation.get("primary"))
    shard = f"{'primary' if primary else 'replica'} {explanation.get('index')}[{explanation.get('shard')}]"
    reason = explanation.get("unassigned_info", {}).get("reason", "unknown")
    said = explanation.get("allocate_explanation") or explanation.get("explanation") or ""
    return Finding(
        "unassigned_shards",
        "error" if primary else "warning",
        f"{count}; {shard}: {reason}. {said}".strip(),
        "Restore the node that held it, or index its days again." if primary else "Add a data node.",
    )


def disk(allocation: Sequence[Mapping[str, Any]]) -> Finding:
    """The fullest disk."""
    used = {
        str(row.get("node")): float(row["disk.percent"])
        for row in allocation
        if row.get("disk.percent") is not None
    }
    if not used:
        return Finding("disk", "unknown", "not offered by this server")
    node = max(used, key=lambda name: used[name])
    detail = f"{used[node]:.0f}% used on {node}"
    if used[node] >= DISK_FLOOD_PERCENT:
        return Finding("disk", "error", detail, "Indices are read-only now: add storage, or drop old months.")
    if used[node] >= DISK_LOW_PERCENT:
        return Finding("disk", "warning", detail, "Add storage, or drop old months, before 95%.")
    return Finding("disk", "ok", detail)


def heap(stats: Mapping[str, Any] | None) -> Finding:
    """The fullest heap."""
    used = {
        str(node.get("name", key)): float(node["jvm"]["mem"]["heap_used_percent"])
        for key, node in (stats or {}).get("nodes", {}).items()
        if "heap_used_percent" in node.get("jvm", {}).get("mem", {})
    }
    if not used:
        return Finding("heap", "unknown", "not offered by this server")
    node = max(used, key=lambda name: used[name])
    detail = f"{used[node]:.0f}% used on {node}"
    if used[node] >= HEAP_ERROR_PERCENT:
        return Finding("heap", "error", detail, "Take a larger instance type, or fewer and larger indices.")
    if used[node] >= HEAP_WARNING_PERCENT:
        return Finding("heap", "warning", detail, "Watch it; requests are refused from 95% on.")
    return Finding("heap", "ok", detail)


def rejected_writes(stats: Mapping[str, Any]) -> int:
    """Writes that the nodes rejected since they started."""
    pools = [node.get("thread_pool", {}) for node in stats.get("nodes", {}).values()]
    return sum(int(pool.get(name, {}).get("rejected", 0)) for pool in pools for name in ("write", "bulk"))


def rejections(rejected: int, before: int | None) -> Finding:
    """Whether writes were rejected since last time; a node that restarted begins at zero again."""
    new = rejected if before is None or rejected < before else rejected - before
    detail = f"{new} rejected since the last look, {rejected} since the nodes started"
    if not new:
        return Finding("rejected_writes", "ok", detail)
    return Finding("rejected_writes", "warning", detail, "Writers wait and retry; lower their parallelism.")


def index_sizes(rows: Sequence[Mapping[str, Any]], in_alias: set[str]) -> tuple[IndexSize, ...]:
    """The indices of a ``_cat/indices`` answer in bytes, by name."""
    return tuple(
        IndexSize(
            name=str(row["index"]),
            health=str(row.get("health")),
            documents=int(row.get("docs.count") or 0),
            bytes=int(row.get("store.size") or 0),
            primaries=int(row.get("pri") or 1),
            primary_bytes=int(row.get("pri.store.size") or 0),
            in_alias=row["index"] in in_alias,
        )
        for row in sorted(rows, key=lambda row: str(row["index"]))
    )


def indices(sizes: Sequence[IndexSize]) -> Finding:
    """Whether readers see all of them, and none outgrew its shards."""
    detail = f"{len(sizes)} indices, {sum(index.documents for index in sizes)} documents"
    hidden = [index.name for index in sizes if not index.in_alias]
    large = [index.name for index in sizes if index.primary_bytes > LARGEST_SHARD_BYTES * index.primaries]
    if hidden:
        return Finding(
            "indices", "error", f"not in the alias: {', '.join(hidden[:5])}", "Materialize index_template."
        )
    if large:
        return Finding("indices", "warning", f"over 50 GB a shard: {', '.join(large[:5])}", "More shards.")
    if len(sizes) > MANY_INDICES:
        return Finding("indices", "warning", detail, "Are there wrong dates in the feed, or old months?")
    return Finding("indices", "ok", detail)


def latency(seconds: float) -> Finding:
    """How long a small search takes."""
    detail = f"{seconds * 1000:.0f} ms for a count of all"
    if seconds > SLOW_SEARCH_SECONDS:
        return Finding("search_latency", "warning", detail, "Look at heap and at running searches.")
    return Finding("search_latency", "ok", detail)


def write_latency(now: tuple[int, int], before: tuple[int, int] | None) -> Finding:
    """How long a document takes to be written, since the last look where the counters went on.

    Args:
        now: Documents written and the milliseconds that they took, as the server has counted them.
        before: The same of the look before; None where there was none.
    """
    since = before if before is not None and before[0] <= now[0] and before[1] <= now[1] else (0, 0)
    documents, milliseconds = now[0] - since[0], now[1] - since[1]
    if now[0] and not now[1]:
        return Finding("write_latency", "unknown", "this server timed no write, or too few to tell")
    if not documents:
        return Finding("write_latency", "ok", "nothing was written since the last look")
    each = milliseconds / documents
    detail = f"{each:.2f} ms a document, over {documents}"
    if each > SLOW_WRITE_MILLISECONDS:
        return Finding("write_latency", "warning", detail, "Look at disk, heap and running merges.")
    return Finding("write_latency", "ok", detail)


def consumer_lag(function: str, seconds: float | None, retention_seconds: float) -> Finding:
    """How old the oldest record is that the stream's handler was given lately."""
    if seconds is None:
        return Finding("consumer_lag", "unknown", f"CloudWatch has no iterator age of {function} lately")
    detail = f"{seconds:.0f} s behind"
    if seconds > retention_seconds / 2:
        advice = "Records expire soon: raise the stream's retention, then repair the index and the handler."
        return Finding("consumer_lag", "error", detail, advice)
    if seconds > LATE_CONSUMER_SECONDS:
        advice = f"See the log of {function}: is the index refusing, or are there too few shards?"
        return Finding("consumer_lag", "warning", detail, advice)
    return Finding("consumer_lag", "ok", detail)


def template(differences: Sequence[str]) -> Finding:
    """Whether the server's index template is the declared one."""
    if not differences:
        return Finding("template", "ok", "as declared")
    if "missing" in differences:
        return Finding("template", "error", "missing", "Materialize index_template before writing.")
    detail = f"differs in {', '.join(differences[:5])}"
    return Finding("template", "warning", detail, "Materialize index_template.")


def mapping(drift: Mapping[str, Sequence[str]], lacking: Mapping[str, Sequence[str]]) -> Finding:
    """Whether existing indices map the fields as declared."""
    if drift:
        index, fields = next(iter(drift.items()))
        detail = f"{len(drift)} indices map fields otherwise, such as {index}: {', '.join(fields)}"
        return Finding("mapping", "error", detail, "Materialize index_template with reindex: true.")
    if lacking:
        index, fields = next(iter(lacking.items()))
        detail = f"{len(lacking)} indices lack fields, such as {index}: {', '.join(fields)}"
        return Finding("mapping", "warning", detail, "Materialize index_template, which adds them.")
    return Finding("mapping", "ok", "as declared")
