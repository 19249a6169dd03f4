"""The queries of docs/search.md, each as it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from retail_analytics.search.documents import Document, DocumentMaker, Origin
from retail_analytics.search.environment import document_rules
from retail_analytics_tests.search.records import line

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from retail_analytics.feeds import Feed
    from retail_analytics.search.bulk import BulkWriter

PAGE = Path(__file__).parents[2] / "docs" / "search.md"
QUERIES = re.findall(r"```\n(GET \S+)\n(.*?)```", PAGE.read_text(), re.DOTALL)

_LINES = [
    line(0, Description="HANGING HEART HOLDER"),
    line(1, Customer_ID=""),
    line(2, Invoice="C536366", Quantity=-6),
]


@pytest.fixture
def shop(feed: Feed, search: OpenSearch, writer: BulkWriter) -> OpenSearch:
    """The server with a line for each query."""
    maker = DocumentMaker(document_rules(feed))
    made = [maker.from_line(Origin(str(n), data)) for n, data in enumerate(_LINES)]
    writer.write([d for d in made if isinstance(d, Document)], deadline=writer.clock() + 10)
    search.indices.refresh(index="retail_trans")
    return search


def test_the_page_has_queries() -> None:
    assert len(QUERIES) == 9


@pytest.mark.parametrize(("request_line", "body"), QUERIES)
def test_a_query_of_the_page_finds_something(
    shop: OpenSearch, real_server: bool, request_line: str, body: str
) -> None:
    if '"script"' in body and not real_server:
        pytest.skip("osmem-server computes no script; `make test-opensearch` runs this")
    method, _, target = request_line.partition(" ")
    path, _, parameters = target.partition("?")
    content = json.loads(body) if body.strip() else None
    answer: Any = shop.transport.perform_request(
        method, f"/{path}", params=dict(parse_qsl(parameters)), body=content
    )
    if path.endswith("_search"):
        assert answer["_shards"]["failed"] == 0
        assert answer["hits"]["total"]["value"] > 0
        for aggregation in answer.get("aggregations", {}).values():
            assert aggregation["buckets"]
    elif path.endswith("_count"):
        assert answer["count"] == 1
    else:
        assert [row["index"] for row in answer] == ["retail_trans-2010.12"]
