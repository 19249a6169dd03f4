"""What Dagster shows of the index: the metadata of its runs and of its health.

Not here: making either (``index_days.py``, ``health.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from retail_analytics.search.health import Health
    from retail_analytics.search.index_days import DaysIndexed
    from retail_analytics.search.indexed_hours import News


def run_metadata(done: DaysIndexed, unread: News, seconds: float) -> dict[str, Any]:
    """What a run of the index did, over all of its days."""
    rows = done.indexed
    numbers = {
        "rows": rows.rows,
        "created": rows.created,
        "unchanged": rows.unchanged,
        "dead letters": rows.dead,
        "without id": rows.without_id,
        "hours of news": unread.hours,
        "hours known": unread.known,
        "days compared": done.compared,
        "rewritten": done.rewritten,
        "removed": done.removed,
        "ahead of the lake": done.ahead,
        "retried": rows.retried,
        "bulks": rows.bulks,
        "bytes": rows.bytes,
        "seconds": round(seconds, 2),
        "documents per second": round(rows.documents / seconds, 1) if seconds else 0.0,
    }
    return {f"whole run: {name}": value for name, value in numbers.items()}


def health_metadata(health: Health) -> dict[str, Any]:
    """What a person, and Dagster's plots, read of a health."""
    table = "| what | level | found | advice |\n| --- | --- | --- | --- |\n"
    rows = [(f.name, f.level, f.detail, f.advice) for f in health.findings]
    lines = ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]
    known = {
        "rejected_writes": health.rejected_writes,
        "documents_written": health.written[0] if health.written else None,
        "write_milliseconds": health.written[1] if health.written else None,
        "search_milliseconds": None
        if health.search_seconds is None
        else round(health.search_seconds * 1000, 1),
    }
    return {
        "status": health.status,
        "server": health.server,
        "nodes": health.nodes,
        "indices": len(health.indices),
        "documents": health.documents,
        "bytes": health.bytes,
        "unassigned_shards": health.unassigned_shards,
        "errors": len(health.of_level("error")),
        "warnings": len(health.of_level("warning")),
        "not_offered": [finding.name for finding in health.of_level("unknown")],
        **{name: value for name, value in known.items() if value is not None},
        "findings": dg.MetadataValue.md(table + "\n".join(lines)),
    }
