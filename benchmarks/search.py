"""``python -m benchmarks.search``: how fast records reach the index, and what a look at its health costs.

``handler_to_bulk_loop``: documents a second of the upsert handler, called with Kinesis events of 2,000
records as Lambda would, beside a bare ``helpers.parallel_bulk`` loop with its defaults over the same lines.
``handler_to_published_way``: beside one refreshing bulk for each batch of 100 records, which is how the
handler of the notes writes. ``health_400_to_1_indices_ratio``: the time of one look at the index' health with
400 months beside that with one. Each is a ratio of medians over rounds that take turns.

The server is osmem-server, of this process' own; ``--url`` measures against another one, such as that of
``make opensearch``, whose indices called ``bench_search…`` are removed before and after.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opensearchpy import OpenSearch, helpers

from benchmarks import harness
from retail_analytics.embedded.opensearch import SearchServer
from retail_analytics.feeds import get_feed
from retail_analytics.ingest.sources import live_records
from retail_analytics.search.documents import DocumentMaker
from retail_analytics.search.environment import document_rules, search_of, template_name
from retail_analytics.search.health import read_health
from retail_analytics.search.templates import ensure_template
from retail_analytics.search.upsert_to_es import Handler, writer_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from retail_analytics.feeds import Feed

_SEED = 20101201
_RECORDS = 10_000
_ROUNDS = 3
_EVENT_RECORDS = 2_000
_PUBLISHED_BATCH = 100
_PUBLISHED_RECORDS = 2_000  # it is slow; a rate is a rate
_HEALTH_LOOKS = 7
_MONTHS = 400
_SECONDS = 300.0
_MEMORY_MEBIBYTES = 3 * 1024


def main() -> int:
    """Measure, write ``results/search.json``, print the figures."""
    parser = argparse.ArgumentParser(description="Measure the search stage.")
    parser.add_argument("--url", help="a server to measure against (default: an osmem-server of its own)")
    options = parser.parse_args()
    feed = get_feed("retail_trans")
    feed = replace(feed, search=replace(search_of(feed), alias="bench_search"))
    with _server(options.url) as url:
        client = OpenSearch(url, max_retries=0, timeout=60, pool_maxsize=16)
        said = client.info()["version"]
        try:
            rates = _rates(client, feed)
            health = _health(client, feed)
        finally:
            _clear(client, feed)
    metrics = {
        "handler_to_bulk_loop": rates["handler"] / rates["bulk loop"],
        "handler_to_published_way": rates["handler"] / rates["published way"],
        "health_400_to_1_indices_ratio": health[_MONTHS] / health[1],
    }
    rounded = {name: round(value, 2) for name, value in metrics.items()}
    path = harness.write_results("search", rounded)
    rows = {name: f"{value:.2f}" for name, value in rounded.items()}
    rows |= {f"  {name}": f"{rate:.0f} documents/s" for name, rate in rates.items()}
    rows |= {f"  health of {months} indices": f"{s * 1000:.0f} ms" for months, s in health.items()}
    rows["  server"] = f"OpenSearch {said['number']}" if options.url else "osmem-server"
    print(harness.table(rows))
    print(f"Written to {path}.")
    return 0


@contextmanager
def _server(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="bench-search-") as folder:
        server = SearchServer.start(Path(folder), port=None, memory_mebibytes=_MEMORY_MEBIBYTES)
        try:
            yield server.url
        finally:
            server.stop()


def _rates(client: OpenSearch, feed: Feed) -> dict[str, float]:
    """Way to its documents a second: the median of rounds that take turns."""
    now = datetime.now(UTC)
    lines = [record.data for record in itertools.islice(live_records(feed, _SEED, now=lambda: now), _RECORDS)]
    ways: dict[str, tuple[Callable[[OpenSearch, Feed, Sequence[bytes]], None], int]] = {
        "handler": (_handler_way, _RECORDS),
        "bulk loop": (_bulk_loop, _RECORDS),
        "published way": (_published_way, _PUBLISHED_RECORDS),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    # One round to warm up: the server compiles, the client connects.
    for round_ in range(_ROUNDS + 1):
        for name, (way, count) in ways.items():
            _clear(client, feed)
            ensure_template(client, feed)
            begun = time.perf_counter()
            way(client, feed, lines[:count])
            spent = time.perf_counter() - begun
            client.indices.refresh(index=search_of(feed).alias)
            held = client.count(index=search_of(feed).alias)["count"]
            if held != count:
                raise harness.BenchmarkError(f"{name}: {held} of {count} documents are in the index.")
            if round_:
                seconds[name].append(spent / count)
    return {name: 1 / statistics.median(each) for name, each in seconds.items()}


def _handler_way(client: OpenSearch, feed: Feed, lines: Sequence[bytes]) -> None:
    maker = DocumentMaker(document_rules(feed))
    handler = Handler(maker, writer_for(client), None, template_name(feed), client)
    for first in range(0, len(lines), _EVENT_RECORDS):
        event = {"Records": [_item(n, data) for n, data in enumerate(lines[first : first + _EVENT_RECORDS])]}
        failed, _ = handler.handle(event, _SECONDS)
        if failed:
            raise harness.BenchmarkError(f"the handler gave {len(failed)} records back.")


def _item(number: int, data: bytes) -> dict[str, Any]:
    kinesis = {"sequenceNumber": str(number), "data": base64.b64encode(data).decode()}
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
        month = source[event_time][:7].replace("-", ".")
        index = f"{search_of(feed).alias}-{month}"
        yield {"_index": index, "_id": source["record_id"], "_source": source}


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
