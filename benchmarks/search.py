"""``python -m benchmarks.search``: how fast records reach the index, and what a look at its health costs.

``handler_to_bulk_loop``: documents a second of the upsert handler, called with one Kinesis event of 5,000
records after the other as Lambda would, beside a bare ``helpers.parallel_bulk`` loop with its defaults.
``handler_to_published_way``: beside one refreshing bulk for each batch of 100 records, which is how the
handler of the notes writes. ``health_400_to_1_indices_ratio``: the time of one look at the index' health with
400 months beside that with one.

All three ways write the same documents under the same ids into an index of the same template, made empty
before the clock starts; none waits for a refresh but the published one. Theirs is the least work: they read
a line and correct its date, where the handler decodes, checks each field, looks for the template and accounts
for each item. They begin in turns, and a figure is the median of the rounds' ratios, so that a busy machine
slows all of them.

The server is a real OpenSearch of this process' own, fetched once; where that cannot be fetched, or with
``--osmem``, it is osmem-server with bulks of the size that the embedded cloud sets. A refresh costs that one
nothing, so that the published way is no slower there than its many bulks. ``--url`` measures against another
server, whose indices called ``bench_search…`` are removed before and after.
"""

from __future__ import annotations

import argparse
import base64
import gc
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opensearchpy import OpenSearch, helpers

from benchmarks import harness
from retail_analytics.embedded.opensearch import BULK_DOCUMENTS, SearchServer
from retail_analytics.feeds import get_feed
from retail_analytics.ingest.sources import live_records
from retail_analytics.search.documents import DocumentMaker
from retail_analytics.search.environment import EVENT_RECORDS, document_rules, search_of, template_name
from retail_analytics.search.handler_settings import DEFAULT_BULK_DOCUMENTS
from retail_analytics.search.health import read_health
from retail_analytics.search.templates import ensure_template
from retail_analytics.search.upsert_to_es import Handler, writer_for
from retail_analytics_tests.search import single_node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from retail_analytics.feeds import Feed

_SEED = 20101201
_ROUNDS = 7
_PUBLISHED_BATCH = 100
_BASE = "handler"
_HEALTH_LOOKS = 7
_MONTHS = 400
_SECONDS = 300.0
_MEMORY_MEBIBYTES = 3 * 1024


@dataclass(frozen=True)
class _Server:
    """A server to measure against.

    Attributes:
        url: Where it answers.
        bulk_documents: How many documents the handler sends it at a time.
        records: How many records a round has; a real server is warm after the first ten thousand or so.
    """

    url: str
    bulk_documents: int = DEFAULT_BULK_DOCUMENTS
    records: int = 50_000


def main() -> int:
    """Measure, write ``results/search.json``, print the figures."""
    parser = argparse.ArgumentParser(description="Measure the search stage.")
    parser.add_argument("--url", help="a server to measure against (default: a real OpenSearch of its own)")
    parser.add_argument("--osmem", action="store_true", help="measure against osmem-server")
    options = parser.parse_args()
    feed = get_feed("retail_trans")
    feed = replace(feed, search=replace(search_of(feed), alias="bench_search"))
    with _server(options.url, osmem=options.osmem) as server:
        client = OpenSearch(server.url, max_retries=0, timeout=60, pool_maxsize=16)
        said = client.info()["version"]
        try:
            seconds = _seconds(client, feed, server)
            health = _health(client, feed)
        finally:
            _clear(client, feed)
    metrics = {
        "handler_to_bulk_loop": _ratio(seconds, "bulk loop"),
        "handler_to_published_way": _ratio(seconds, "published way"),
        "health_400_to_1_indices_ratio": health[_MONTHS] / health[1],
    }
    rounded = {name: round(value, 2) for name, value in metrics.items()}
    path = harness.write_results("search", rounded)
    rows = {name: f"{value:.2f}" for name, value in rounded.items()}
    for name, each in seconds.items():
        rows[f"  {name}"] = f"{server.records / statistics.median(each):.0f} documents/s"
    rows |= {f"  health of {months} indices": f"{s * 1000:.0f} ms" for months, s in health.items()}
    rows["  load of the machine"] = f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    rows["  server"] = f"{said.get('distribution', 'server')} {said['number']} at {server.url}"
    print(harness.table(rows))
    print(f"Written to {path}.")
    return 0


@contextmanager
def _server(url: str | None, *, osmem: bool) -> Iterator[_Server]:
    if url:
        yield _Server(url)
        return
    launch = None
    if not osmem:
        try:
            launch = single_node.fetch()
        except single_node.FetchError as error:
            print(f"Measuring against osmem-server: {error}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="bench-search-") as folder:
        running: single_node.Node | SearchServer
        if launch is None:
            running = SearchServer.start(Path(folder), port=None, memory_mebibytes=_MEMORY_MEBIBYTES)
            server = _Server(running.url, bulk_documents=BULK_DOCUMENTS, records=10_000)
        else:
            running = single_node.Node.start(launch, Path(folder))
            server = _Server(running.url)
        try:
            yield server
        finally:
            running.stop()


def _seconds(client: OpenSearch, feed: Feed, server: _Server) -> dict[str, list[float]]:
    """Way to the seconds that it took in each round."""
    now = datetime.now(UTC)
    made = live_records(feed, _SEED, now=lambda: now)
    lines = [record.data for record in itertools.islice(made, server.records)]
    events, months = _events(lines), {_index_of(feed, line) for line in lines}
    ways: dict[str, Callable[[], None]] = {
        _BASE: lambda: _handler_way(client, feed, events, server.bulk_documents),
        "bulk loop": lambda: _bulk_loop(client, feed, lines),
        "published way": lambda: _published_way(client, feed, lines),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    # A function's process has little else in memory; here Python would look through all of Dagster again.
    gc.collect()
    gc.freeze()
    # One round to warm up: the server compiles, the client connects.
    for round_ in range(_ROUNDS + 1):
        for name in list(ways)[:: 1 if round_ % 2 else -1]:
            spent = _timed(client, feed, name, ways[name], months, len(lines))
            if round_:
                seconds[name].append(spent)
    return seconds


def _timed(
    client: OpenSearch, feed: Feed, name: str, way: Callable[[], None], months: set[str], records: int
) -> float:
    _clear(client, feed)
    ensure_template(client, feed)
    for month in months:
        client.indices.create(index=month)
    begun = time.perf_counter()
    way()
    spent = time.perf_counter() - begun
    client.indices.refresh(index=search_of(feed).alias)
    held = client.count(index=search_of(feed).alias)["count"]
    if held != records:
        raise harness.BenchmarkError(f"{name}: {held} of {records} documents are in the index.")
    return spent


def _ratio(seconds: dict[str, list[float]], other: str) -> float:
    """How many times the documents a second of the other way the handler writes: the rounds' median."""
    return statistics.median(b / a for a, b in zip(seconds[_BASE], seconds[other], strict=True))


def _events(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """The lines as Lambda hands them over; making that is not the handler's work, and is not timed."""
    items = [_item(number, data) for number, data in enumerate(lines)]
    return [
        {"Records": items[first : first + EVENT_RECORDS]} for first in range(0, len(items), EVENT_RECORDS)
    ]


def _handler_way(
    client: OpenSearch, feed: Feed, events: Sequence[dict[str, Any]], bulk_documents: int
) -> None:
    maker, writer = DocumentMaker(document_rules(feed)), writer_for(client, bulk_documents)
    handler = Handler(maker, writer, None, template_name(feed), client)
    for event in events:
        failed, _ = handler.handle(event, _SECONDS)
        if failed:
            raise harness.BenchmarkError(f"the handler gave {len(failed)} records back.")


def _item(number: int, data: bytes) -> dict[str, Any]:
    kinesis = {
        "sequenceNumber": f"{number:056}",
        "data": base64.b64encode(data).decode(),
        "approximateArrivalTimestamp": 1_600_000_000 + number / 1000,
    }
    return {"kinesis": kinesis, "eventID": f"shardId-000000000000:{number}"}


def _bulk_loop(client: OpenSearch, feed: Feed, lines: Sequence[bytes]) -> None:
    for good, told in helpers.parallel_bulk(client, _actions(feed, lines)):
        if not good:
            raise harness.BenchmarkError(f"the loop's document was refused: {told}")


def _published_way(client: OpenSearch, feed: Feed, lines: Sequence[bytes]) -> None:
    actions = list(_actions(feed, lines))
    for first in range(0, len(actions), _PUBLISHED_BATCH):
        helpers.bulk(client, actions[first : first + _PUBLISHED_BATCH], refresh=True)


def _actions(feed: Feed, lines: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    """The least that makes documents of lines: read, correct the date, name the index."""
    event_time = search_of(feed).date_fields[0]
    for data in lines:
        source = json.loads(data)
        source[event_time] = f"{source[event_time].replace(' ', 'T')}Z"
        yield {"_index": _month(feed, source[event_time]), "_id": source["record_id"], "_source": source}


def _index_of(feed: Feed, line: bytes) -> str:
    return _month(feed, json.loads(line)[search_of(feed).date_fields[0]])


def _month(feed: Feed, at: str) -> str:
    return f"{search_of(feed).alias}-{at[:7].replace('-', '.')}"


def _health(client: OpenSearch, feed: Feed) -> dict[int, float]:
    """Number of indices to the seconds of one look: the median."""
    found = {}
    alias = search_of(feed).alias
    for months in (1, _MONTHS):
        _clear(client, feed)
        ensure_template(client, feed)
        for number in range(months):
            client.indices.create(index=f"{alias}-{1990 + number // 12}.{number % 12 + 1:02}")
        read_health(client, feed)
        looks = []
        for _ in range(_HEALTH_LOOKS):
            begun = time.perf_counter()
            health = read_health(client, feed)
            looks.append(time.perf_counter() - begun)
            if len(health.indices) != months:
                raise harness.BenchmarkError(f"health saw {len(health.indices)} of {months} indices.")
        found[months] = statistics.median(looks)
    return found


def _clear(client: OpenSearch, feed: Feed) -> None:
    alias = search_of(feed).alias
    client.indices.delete(index=f"{alias}-*", ignore_unavailable=True, allow_no_indices=True)
    if client.indices.exists_index_template(name=template_name(feed)):
        client.indices.delete_index_template(name=template_name(feed))


if __name__ == "__main__":
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    sys.exit(main())
