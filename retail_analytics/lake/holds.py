"""Who holds a feed, so that nothing of it is compacted by itself; read by checks, schedules and views.

Not here: holding, releasing, and what automation makes of it (``batch/holds.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from retail_analytics.feeds import Feed


@dataclass(frozen=True)
class Hold:
    """A hold on a feed.

    Attributes:
        reason: Why, in the words of whoever holds it.
        by: Who holds it.
        since: Since when, aware.
    """

    reason: str
    by: str
    since: datetime

    def __str__(self) -> str:
        return f"held since {self.since:%Y-%m-%d %H:%M} UTC by {self.by}: {self.reason}"


def hold_key(feed: Feed) -> dg.AssetKey:
    """The key of a feed's hold."""
    return dg.AssetKey([feed.name, "hold"])


def read_hold(instance: dg.DagsterInstance, feed: Feed) -> Hold | None:
    """The hold on a feed, or None."""
    event = instance.get_latest_materialization_event(hold_key(feed))
    made = event.asset_materialization if event else None
    if made is None or event is None:
        return None
    said = {name: str(value.value) for name, value in made.metadata.items()}
    since = datetime.fromtimestamp(event.timestamp, UTC)
    return Hold(said.get("reason", "no reason was given"), said.get("by", "somebody"), since)
