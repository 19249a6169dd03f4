"""What of the lake the index was given already: noted for each event day and hour of arrival.

Here belongs the note, and so which compacted hours of a day are news. It is a parameter of the hour's
partition in the lake's index of event days: where the hour lay when it was indexed, into which index, by
which rules. An hour that is published again lies elsewhere, and an index that was made anew has another
UUID; whatever is not noted so is read. A lost note costs reading once more and nothing else, since documents
are created once.

Not here: reading rows (``lake_source.py``), what becomes of them (``index_days.py``), and days whose
documents differ all the same: a failing reconciliation finds them, and a repair reads them whole.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from opensearchpy.exceptions import RequestError

from retail_analytics.batch.processed_inputs import hours_of_days
from retail_analytics.lake import hours as hours_
from retail_analytics.lake import tables
from retail_analytics.search import lake_source
from retail_analytics.search.environment import document_rules, search_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import date

    from opensearchpy import OpenSearch

    from retail_analytics.batch.staging import Pipeline
    from retail_analytics.feeds.declaration import Feed
    from retail_analytics.lake.partitions import Partition, Values

    IndexOfDays = Callable[[Collection[date]], Mapping[date, str]]

NOTE = "indexed"
"""The parameter of a partition of the index of event days."""


@dataclass(frozen=True)
class News:
    """What of some event days the index was not given yet.

    Attributes:
        rows: The compacted records of the hours that are news, streamed.
        hours: How many hours that is, counted by day.
        known: Hours, by day, that were indexed as they lie there.
        note: Notes that the hours were indexed; to be called when all of their rows are somewhere.
    """

    rows: Iterable[Mapping[str, Any]]
    hours: int
    known: int
    note: Callable[[], None]


def news_of_days(pipeline: Pipeline, days: Sequence[date], index_of: IndexOfDays) -> News:
    """The news of these days, as they are published now: two catalog calls for each thousand hours of them.

    Args:
        pipeline: The feed and its clients.
        days: Event days.
        index_of: Tells the index of each of the days that hold records; see :func:`index_of_days`.

    Raises:
        CatalogError: Noting: Glue refused a partition.
    """
    found = hours_of_days(pipeline, days)
    indices = index_of(found.keys()) if found else {}
    wanted: dict[Values, str] = {
        _values(day, hour): f"{indices[day]} {hour.location}" for day, held in found.items() for hour in held
    }
    table = tables.event_days_table(pipeline.feed, pipeline.settings)
    noted = pipeline.catalog.get(table, wanted)
    new = {values for values in noted if noted[values].parameters.get(NOTE) != wanted[values]}
    unread = {day: [hour for hour in held if _values(day, hour) in new] for day, held in found.items()}

    def note() -> None:
        marked = [
            replace(noted[each], parameters={**noted[each].parameters, NOTE: wanted[each]})
            for each in sorted(new)
        ]
        pipeline.catalog.put(table, marked, existing=new)

    rows = lake_source.rows_of_hours(pipeline, {day: held for day, held in unread.items() if held})
    return News(rows, len(new), len(wanted) - len(new), note)


def index_of_days(client: OpenSearch, feed: Feed, days: Collection[date]) -> dict[date, str]:
    """What tells the index of each day from any other, and the rules by which its documents are made.

    A month without an index gets it here: what is noted must be of the index that is then written to.

    Raises:
        OpenSearchException: The server does not answer, or refuses.
    """
    alias = search_of(feed).alias
    months = {day: f"{alias}-{day.isoformat()[:7].replace('-', '.')}" for day in days}
    held = _uuids(client, alias)
    missing = sorted(set(months.values()) - held.keys())
    for month in missing:
        _make(client, month)
    if missing:
        held = _uuids(client, alias)
    rules = json.dumps(asdict(document_rules(feed)), default=sorted, sort_keys=True)
    digest = hashlib.blake2b(rules.encode(), digest_size=8).hexdigest()
    return {day: f"{held[month]} {digest}" for day, month in months.items()}


def _values(day: date, hour: Partition) -> Values:
    arrival = hours_.from_partition_values(list(hour.values))
    return hours_.day_key(day), hours_.part(arrival)


def _uuids(client: OpenSearch, alias: str) -> dict[str, str]:
    """Name to UUID, for each name that a month's index is written by: its own, or an alias."""
    wanted = {"filter_path": "*.aliases,*.settings.index.uuid"}
    found = client.indices.get(index=f"{alias}-*", ignore_unavailable=True, params=wanted)
    return {
        name: str(about["settings"]["index"]["uuid"])
        for index, about in found.items()
        for name in (index, *about.get("aliases", {}))
    }


def _make(client: OpenSearch, month: str) -> None:
    try:
        client.indices.create(index=month)
    except RequestError as error:  # the stream's handler may have been first
        if error.error != "resource_already_exists_exception":
            raise
