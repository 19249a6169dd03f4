"""The audit of a batch: what was written beside what raw holds, hour by hour."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from retail_analytics.batch import staging
from retail_analytics.batch.results import COUNTS, Counts, HourResult
from retail_analytics.lake import hours as hours_

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retail_analytics.batch.staging import Output, Staged
    from retail_analytics.feeds import Feed
    from retail_analytics.lake.objects import RawHour


def judge(
    feed: Feed,
    raw: RawHour,
    row: Mapping[str, Any] | None,
    files: Mapping[str, Output],
    written: Staged,
    share: float,
) -> HourResult:
    """The result of an hour; ``failed`` where raw and written differ.

    Args:
        feed: The feed.
        raw: The hour as raw held it when the batch began.
        row: Its row of the audit, if there was one.
        files: What the batch wrote, by hour.
        written: The batch's staged write.
        share: Bytes that its statements scanned for each raw byte.
    """
    unseen = row is None and raw.size > 0
    row = row or dict.fromkeys(COUNTS, 0)
    counts = Counts(**{name: row[name] for name in COUNTS})
    output = files.get(hours_.part(raw.hour), staging.Output(0, 0))
    problem = f"the audit saw nothing of its {raw.size} bytes" if unseen else audit_problem(feed, counts, row)
    return HourResult(
        hour=raw.hour,
        state="failed" if problem else "published",
        digest=raw.digest,
        counts=counts,
        raw_objects=len(raw.objects),
        raw_bytes=raw.size,
        objects=output.objects,
        bytes=output.size,
        event_days=tuple(filter(None, (row.get("event_days") or "").split(","))),
        query_id=written.execution.query_id,
        scanned_bytes=round(raw.size * share),
        preview=row.get("preview") or "",
        problem=problem,
    )


def audit_problem(feed: Feed, counts: Counts, row: Mapping[str, Any]) -> str:
    """What the audit of an hour found wrong, or an empty string."""
    accounted = counts.compacted + counts.rejected + counts.duplicates
    if counts.lines != accounted:
        return (
            f"{counts.lines} lines in raw, but {counts.compacted} compacted + {counts.rejected} rejected"
            f" + {counts.duplicates} duplicates = {accounted}"
        )
    for index, column in enumerate(feed.columns):
        for what in ("count", "sum"):
            raw, there = row.get(f"raw_{what}_{index}"), row.get(f"written_{what}_{index}")
            if not _equal(raw, there):
                return f"{what} of {column.name} is {raw} in raw, {there} as written"
    return ""


def _equal(left: Any, right: Any) -> bool:
    # NULL is the sum of nothing; an hour without a good record has no written row at all.
    left, right = left or 0, right or 0
    if isinstance(left, float) or isinstance(right, float):
        # Floating sums depend on the order of their rows.
        return math.isclose(left, right, rel_tol=1e-9) or (math.isnan(left) and math.isnan(right))
    return Decimal(left) == Decimal(right)
