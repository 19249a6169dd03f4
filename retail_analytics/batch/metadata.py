"""What a person reads of a compacted hour or a processed day in the UI.

Numbers stay numbers, so that Dagster plots them; the preview is a Markdown table. Nothing secret goes in.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import dagster as dg

from retail_analytics.batch.compaction_sql import PREVIEW_CELL_END, PREVIEW_ROW_END

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retail_analytics.batch.processed import DayResult
    from retail_analytics.batch.results import HourResult
    from retail_analytics.feeds import Feed
    from retail_analytics.feeds.declaration import ProcessedTable
    from retail_analytics.settings import Settings

_TEBIBYTE = 1024**4
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MARKUP = {ord(char): f"&#{ord(char)};" for char in r"\`*_~[]<>&|"}
Metadata = dict[str, dg.MetadataValue]


def usd(scanned_bytes: int, settings: Settings) -> float:
    """What Athena charges for that many bytes, its minimum of 10 MB a query left out, in US dollars."""
    return round(scanned_bytes / _TEBIBYTE * settings.usd_per_tebibyte, 8)


def of_hour(result: HourResult, feed: Feed, settings: Settings) -> Metadata:
    """The metadata of a compacted hour."""
    counts = result.counts
    metadata: Metadata = {
        "state": dg.MetadataValue.text(result.state),
        "rows": dg.MetadataValue.int(counts.compacted),
        "rejected": dg.MetadataValue.int(counts.rejected),
        "duplicates": dg.MetadataValue.int(counts.duplicates),
        "raw lines": dg.MetadataValue.int(counts.lines),
        "raw objects": dg.MetadataValue.int(result.raw_objects),
        "raw bytes": dg.MetadataValue.int(result.raw_bytes),
        "objects": dg.MetadataValue.int(result.objects),
        "bytes": dg.MetadataValue.int(result.bytes),
        "digest": dg.MetadataValue.text(result.digest),
    }
    if counts.without_id:
        metadata["rows without id"] = dg.MetadataValue.int(counts.without_id)
    if result.changes is not None:
        metadata["what differed"] = dg.MetadataValue.text(str(result.changes))
    if result.query_id:
        metadata["Athena query"] = dg.MetadataValue.text(result.query_id)
    if result.state == "published":
        metadata["data scanned (bytes)"] = dg.MetadataValue.int(result.scanned_bytes)
        metadata["estimated cost (USD)"] = dg.MetadataValue.float(usd(result.scanned_bytes, settings))
    if result.preview:
        names = [column.name for column in feed.columns]
        metadata["preview"] = dg.MetadataValue.md(markdown_table(names, result.preview))
    if result.published_at is not None:
        metadata["published"] = dg.MetadataValue.timestamp(result.published_at)
    if result.state == "unchanged" and result.run_id:
        metadata["published by"] = dg.MetadataValue.dagster_run(result.run_id)
    if result.problem:
        metadata["problem"] = dg.MetadataValue.text(result.problem)
    return metadata


def of_day(result: DayResult, settings: Settings) -> Metadata:
    """The metadata of a day of a processed table."""
    metadata: Metadata = {
        "state": dg.MetadataValue.text(result.state),
        "rows": dg.MetadataValue.int(result.rows),
    }
    if result.query_id:
        metadata |= {
            "repeated across hours": dg.MetadataValue.int(result.repeated),
            "bytes": dg.MetadataValue.int(result.bytes),
            "Athena query": dg.MetadataValue.text(result.query_id),
        }
    if result.state in ("published", "same"):
        metadata |= {
            "data scanned (bytes)": dg.MetadataValue.int(result.scanned_bytes),
            "estimated cost (USD)": dg.MetadataValue.float(usd(result.scanned_bytes, settings)),
        }
        for name, value in result.measures:
            metadata[name] = dg.MetadataValue.float(float(value))
    if result.problem:
        metadata["problem"] = dg.MetadataValue.text(result.problem)
    return metadata


def markdown_table(names: Sequence[str], preview: str) -> str:
    """A Markdown table of a preview; no text can break out of its cell."""
    rows = [row.split(PREVIEW_CELL_END) for row in preview.split(PREVIEW_ROW_END)]
    # A row that was cut short lacks cells; one whose text holds a separator has some too many.
    whole = [[*row, *[""] * len(names)][: len(names)] for row in rows]
    lines = [" | ".join(names), *(" | ".join(_cell(text) for text in row) for row in whole)]
    lines.insert(1, " | ".join("---" for _ in names))
    return "\n".join(f"| {line} |" for line in lines)


def _cell(text: str) -> str:
    return _CONTROL.sub(" ", text).translate(_MARKUP)


def column_lineage(declared: ProcessedTable, source: dg.AssetKey) -> Metadata:
    """Which columns of its source each column of a processed table is made from, as Dagster draws it."""
    deps = {
        name: [dg.TableColumnDep(source, column) for column in declared.made_from.get(name, ())]
        for name, *_ in declared.columns
    }
    return {
        "dagster/column_lineage": dg.MetadataValue.column_lineage(dg.TableColumnLineage(deps_by_column=deps))
    }


def column_schema(columns: Sequence[tuple[str, str, str]]) -> dg.TableSchema:
    """Declared columns as Dagster shows them beside an asset."""
    return dg.TableSchema(
        columns=[dg.TableColumn(name, type_, description=comment) for name, type_, comment in columns]
    )
