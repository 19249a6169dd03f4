"""``python -m retail_analytics_tests.feeds.tables_page`` writes the columns into docs/tables.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from retail_analytics.feeds import FEEDS

if TYPE_CHECKING:
    from retail_analytics.feeds import Feed
    from retail_analytics.feeds.declaration import ProcessedTable

DOCUMENT = Path(__file__).parents[2] / "docs" / "tables.md"
BEGIN = "<!-- made by `python -m retail_analytics_tests.feeds.tables_page`: begin -->"
END = "<!-- made by `python -m retail_analytics_tests.feeds.tables_page`: end -->"


def section(feed: Feed, table: ProcessedTable) -> str:
    """A table's section."""
    source = f"{feed.name}_{table.source or 'compacted'}"
    window = "the day"
    if table.of_window:
        window = f"the {table.lookback_days + 1} days that end with the day"
    elif table.lookback_days:
        window = f"the day, and {table.lookback_days} days before it to look things up in"
    lines = [
        f"### `{feed.name}_{table.name}`",
        "",
        f"{table.description} Reads `{source}`: {window}.",
        "",
        "| column | type | made from | |",
        "| --- | --- | --- | --- |",
    ]
    for name, type_, comment in table.columns:
        made_from = ", ".join(f"`{column}`" for column in table.made_from.get(name, ())) or "its rows"
        lines.append(f"| `{name}` | {type_} | {made_from} | {comment} |")
    lines.append("| `event_day` | date | | The day of the event, UTC; the partition |")
    return "\n".join(lines)


def updated(document: str) -> str:
    """The document with its sections as declared.

    Raises:
        LookupError: It has no markers.
    """
    if BEGIN not in document or END not in document:
        raise LookupError(f"{DOCUMENT.name} has lost its markers")
    before, after = document.split(BEGIN, maxsplit=1)[0], document.split(END)[1]
    sections = [section(feed, table) for feed in FEEDS for table in feed.processed]
    return "\n\n".join([f"{before}{BEGIN}", *sections, END]) + after


if __name__ == "__main__":
    DOCUMENT.write_text(updated(DOCUMENT.read_text()))
