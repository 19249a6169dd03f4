"""What a person reads of a crawl and of schema drift: metadata of assets, events and checks.

Not here: the crawl (``crawlers.py``) and the comparison (``drift.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from retail_analytics.lake.drift import NOTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retail_analytics.lake.crawlers import Crawl
    from retail_analytics.lake.drift import Change, Drift

_SHOWN = 20
_MARKUP = {ord(char): f"&#{ord(char)};" for char in r"\`*_~[]<>&|"}
_DATA_VERSION = "dagster/data_version"

Metadata = dict[str, dg.MetadataValue]


def of_crawl(crawl: Crawl) -> Metadata:
    """The metadata of a crawl: the tables and partitions that it found, and what it said."""
    metadata: Metadata = {
        "crawler": dg.MetadataValue.text(crawl.crawler),
        "status": dg.MetadataValue.text(crawl.status),
        "seconds": dg.MetadataValue.float(round(crawl.seconds, 1)),
    }
    if crawl.found is None:
        metadata["found"] = dg.MetadataValue.text("no summary of this crawl; it wants glue:ListCrawls")
    else:
        for what, label in (("ADD", "added"), ("UPDATE", "updated"), ("DELETE", "deleted")):
            tables = crawl.found.tables.get(what, ())
            metadata[f"tables {label}"] = dg.MetadataValue.text(", ".join(tables) or "none")
            partitions = crawl.found.partitions.get(what, 0)
            metadata[f"partitions {label}"] = dg.MetadataValue.int(partitions)
    if crawl.said:
        lines = "\n".join(f"- {escaped(line)}" for line in crawl.said)
        metadata["what its log says"] = dg.MetadataValue.md(lines)
    return metadata


def of_drift(drift: Drift) -> Metadata:
    """The metadata of an examination for schema drift."""
    metadata: Metadata = {
        "columns compared": dg.MetadataValue.int(drift.columns),
        "records examined": dg.MetadataValue.int(drift.records),
        "schema differences": dg.MetadataValue.int(len(drift.changes)),
    }
    if drift.changes:
        metadata["differences"] = dg.MetadataValue.md(markdown(drift.changes))
    return metadata


def is_news(drift: Drift, instance: dg.DagsterInstance, key: dg.AssetKey) -> bool:
    """Whether these differences are not those that the asset's last materialisation found."""
    last = instance.get_latest_materialization_event(key)
    made = last.asset_materialization if last else None
    before = (made.tags or {}).get(_DATA_VERSION, NOTHING) if made else NOTHING
    return drift.version != before


def summary(drift: Drift) -> str:
    """The differences in one line, the first few by name."""
    named = [f"{change.column} {change.kind} ({change.where})" for change in drift.changes[:3]]
    left = len(drift.changes) - len(named)
    return "; ".join(named) + (f"; and {left} more" if left else "")


def markdown(changes: Sequence[Change]) -> str:
    """The differences as a Markdown table; no text can break out of its cell."""
    lines = ["column | declared | found | kind of change | where", " | ".join(["---"] * 5)]
    lines += [" | ".join(escaped(text) for text in _row(change)) for change in changes[:_SHOWN]]
    table = "\n".join(f"| {line} |" for line in lines)
    left = len(changes) - _SHOWN
    return f"{table}\n\n… and {left} more" if left > 0 else table


def _row(change: Change) -> tuple[str, ...]:
    where = f"{change.records} records" if change.where == "records" else "catalog"
    return change.column, change.declared or "—", change.found or "—", change.kind, where


def escaped(text: str) -> str:
    """The text as itself in Markdown, on one line."""
    return "".join(max(char, " ") for char in text).translate(_MARKUP)
