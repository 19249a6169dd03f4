"""Saved objects: they refer to what is there, the server answers all that they ask, Dashboards gets them."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from opensearchpy.exceptions import RequestError

from retail_analytics.feeds.dashboard import Dashboard
from retail_analytics.search.assets import build_search_assets, dashboards_key
from retail_analytics.search.commands import run_export
from retail_analytics.search.dashboards import DashboardsError, import_objects
from retail_analytics.search.documents import Document, DocumentMaker, Origin
from retail_analytics.search.environment import document_rules
from retail_analytics.search.saved_objects import SavedObject, saved_objects, to_ndjson
from retail_analytics.search.templates import properties
from retail_analytics_tests.search.records import line, record

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from pathlib import Path

    from opensearchpy import OpenSearch

    from retail_analytics.feeds import Feed
    from retail_analytics.search.bulk import BulkWriter
    from retail_analytics.settings import Settings

_SHOP = [
    {"Invoice": "536365", "Country": "France", "Quantity": 6, "Price": 2.55, "Description": "HEART HOLDER"},
    {"Invoice": "536365", "Country": "France", "Quantity": 1200, "Price": 0.5, "Description": "JAM JAR"},
    {"Invoice": "536366", "Country": "United Kingdom", "Quantity": 2, "Price": 10.0, "Customer_ID": ""},
    {"Invoice": "C536367", "Country": "United Kingdom", "Quantity": -2, "Price": 10.0, "Description": "JUG"},
    {"Invoice": "536368", "Country": "Eire", "InvoiceDate": "2011-01-02 10:00:00", "Description": "HOLDER"},
]
RECORDS = [record(number, **changes) for number, changes in enumerate(_SHOP)]


@pytest.fixture
def objects(feed: Feed) -> dict[tuple[str, str], SavedObject]:
    made = saved_objects(feed)
    found = {(each["type"], each["id"]): each for each in made}
    assert len(found) == len(made), "ids are unique"
    return found


@pytest.fixture
def shop(feed: Feed, search: OpenSearch, writer: BulkWriter) -> OpenSearch:
    """The server with a few transactions."""
    maker = DocumentMaker(document_rules(feed))
    made = [maker.from_line(Origin(str(n), line(n, **changes))) for n, changes in enumerate(_SHOP)]
    documents = [each for each in made if isinstance(each, Document)]
    writer.write(documents, deadline=writer.clock() + 10)
    search.indices.refresh(index="retail_trans")
    return search


def fields_of(objects: dict[tuple[str, str], SavedObject]) -> dict[str, dict[str, Any]]:
    (pattern,) = (each for (kind, _), each in objects.items() if kind == "index-pattern")
    return {field["name"]: field for field in json.loads(pattern["attributes"]["fields"])}


def visualizations(objects: dict[tuple[str, str], SavedObject]) -> dict[str, dict[str, Any]]:
    """Panel name to what Dashboards would ask: its query and aggregations."""
    asked = {}
    for (kind, id_), each in objects.items():
        if kind == "visualization":
            state = json.loads(each["attributes"]["visState"])
            body = {
                "size": 0,
                "query": query_of(each),
                "aggs": aggregations(state["aggs"], fields_of(objects)),
            }
            asked[id_.removeprefix("retail_trans-panel-")] = body
    return asked


def query_of(saved: SavedObject) -> dict[str, Any]:
    text = json.loads(saved["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]["query"]
    return {"query_string": {"query": text, "analyze_wildcard": True}} if text else {"match_all": {}}


def aggregations(aggs: list[dict[str, Any]], fields: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The request that Dashboards makes of a visualisation's ``aggs``."""
    metrics: dict[str, Any] = {}
    for agg in aggs:
        if agg["schema"] == "metric" and agg["type"] != "count":
            metrics[agg["id"]] = {agg["type"]: operand(fields[agg["params"]["field"]])}
    buckets = [agg for agg in aggs if agg["schema"] in ("segment", "bucket")]
    assert len(buckets) <= 1
    for agg in buckets:
        params = agg["params"]
        by = operand(fields[params["field"]])
        if agg["type"] == "date_histogram":
            inner = {
                "date_histogram": {**by, "calendar_interval": "1d", "time_zone": "UTC", "min_doc_count": 1}
            }
        else:
            first = next(each for each in aggs if each["id"] == params["orderBy"])
            order = {"_count" if first["type"] == "count" else params["orderBy"]: params["order"]}
            inner = {"terms": {**by, "size": params["size"], "order": order}}
        return {agg["id"]: {**inner, "aggs": metrics} if metrics else inner}
    return metrics


def operand(field: dict[str, Any]) -> dict[str, Any]:
    if field["scripted"]:
        return {"script": {"source": field["script"], "lang": field["lang"]}}
    assert field["aggregatable"], field["name"]
    return {"field": field["name"]}


def test_every_reference_resolves_to_what_comes_before_it(feed: Feed) -> None:
    seen: set[tuple[str, str]] = set()
    for each in saved_objects(feed):
        for reference in each["references"]:
            assert (reference["type"], reference["id"]) in seen
        seen.add((each["type"], each["id"]))
    assert [kind for kind, _ in seen].count("dashboard") == 1


def test_every_reference_name_is_used_and_declared(objects: dict[tuple[str, str], SavedObject]) -> None:
    for each in objects.values():
        declared = {reference["name"] for reference in each["references"]}
        source = json.loads(each["attributes"].get("kibanaSavedObjectMeta", {}).get("searchSourceJSON", "{}"))
        used = {source["indexRefName"]} if "indexRefName" in source else set()
        used |= {panel["panelRefName"] for panel in json.loads(each["attributes"].get("panelsJSON", "[]"))}
        assert used == declared


def test_the_index_pattern_is_of_the_alias_on_the_event_time_with_the_mappings_fields(
    feed: Feed, objects: dict[tuple[str, str], SavedObject]
) -> None:
    attributes = objects["index-pattern", "retail_trans-index-pattern"]["attributes"]
    assert (attributes["title"], attributes["timeFieldName"]) == ("retail_trans", "InvoiceDate")
    fields = fields_of(objects)
    assert set(properties(feed)) <= set(fields)
    assert fields["Description.text"]["aggregatable"] is False
    assert (fields["InvoiceDate"]["type"], fields["Price"]["type"]) == ("date", "number")
    assert fields["line_amount"]["scripted"]


def test_panels_lie_beside_each_other(objects: dict[tuple[str, str], SavedObject]) -> None:
    panels = json.loads(objects["dashboard", "retail_trans-dashboard"]["attributes"]["panelsJSON"])
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        grid = panel["gridData"]
        own = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not own & cells
        assert max(x for x, _ in own) < 48
        cells |= own
    assert len(panels) == len(visualizations(objects))


def test_the_server_answers_every_aggregation(
    shop: OpenSearch, objects: dict[tuple[str, str], SavedObject], real_server: bool
) -> None:
    scripted = set()
    for name, body in visualizations(objects).items():
        if '"script":' in json.dumps(body) and not real_server:
            with pytest.raises(RequestError, match="unsupported_operation_exception"):
                shop.search(index="retail_trans", body=body)
            scripted.add(name)
        else:
            answer = shop.search(index="retail_trans", body=body)
            assert answer["_shards"]["failed"] == 0
            assert answer["hits"]["total"]["value"] > 0, name
            assert set(answer["aggregations"]) == set(body["aggs"])
    # osmem-server computes no script: what depends on one is answered by a real server alone.
    asks = {"totals", "revenue_over_time", "revenue_by_country", "top_products", "cancellations"}
    assert scripted == (set() if real_server else asks)


def test_the_figures_are_those_of_the_records(
    shop: OpenSearch, objects: dict[tuple[str, str], SavedObject], real_server: bool
) -> None:
    if not real_server:
        pytest.skip("osmem-server computes no script; `make test-opensearch` runs this")
    asked = visualizations(objects)
    revenue: dict[str, Decimal] = defaultdict(Decimal)
    for each in RECORDS:
        revenue[each["Country"]] += each["Quantity"] * Decimal(str(each["Price"]))
    totals = shop.search(index="retail_trans", body=asked["totals"])["aggregations"]
    assert totals["1"]["value"] == pytest.approx(float(sum(revenue.values())))
    assert totals["2"]["value"] == len({each["Invoice"] for each in RECORDS})
    (by_country,) = shop.search(index="retail_trans", body=asked["revenue_by_country"])[
        "aggregations"
    ].values()
    found = {bucket["key"]: bucket["1"]["value"] for bucket in by_country["buckets"]}
    assert found == pytest.approx({country: float(amount) for country, amount in revenue.items()})
    assert list(found) == sorted(found, key=lambda country: -revenue[country])
    cancelled = shop.search(index="retail_trans", body=asked["cancellations"])
    assert cancelled["hits"]["total"]["value"] == 1


@pytest.mark.parametrize(
    ("name", "invoices"),
    [
        ("latest", {"536365", "536366", "C536367", "536368"}),
        ("cancelled", {"C536367"}),
        ("anonymous", {"536366"}),
        ("abroad", {"536365", "536368"}),
        ("large", {"536365"}),
        ("hearts", {"536365", "536366"}),
    ],
)
def test_saved_searches_find_what_they_say(
    shop: OpenSearch, objects: dict[tuple[str, str], SavedObject], name: str, invoices: set[str]
) -> None:
    saved = objects["search", f"retail_trans-search-{name}"]
    assert set(saved["attributes"]["columns"]) <= set(fields_of(objects))
    sort = [{field: order} for field, order in saved["attributes"]["sort"]]
    answer = shop.search(index="retail_trans", body={"query": query_of(saved), "sort": sort})
    assert {hit["_source"]["Invoice"] for hit in answer["hits"]["hits"]} == invoices


def test_the_same_declaration_makes_the_same_bytes(feed: Feed) -> None:
    assert to_ndjson(saved_objects(feed)) == to_ndjson(saved_objects(feed))


def test_a_feed_without_a_dashboard_has_no_asset_of_it(feed: Feed, settings: Settings) -> None:
    assert feed.search is not None
    bare = replace(feed, search=replace(feed.search, dashboard=None))
    with pytest.raises(ValueError, match="declares no dashboard"):
        saved_objects(bare)
    assert dashboards_key(feed) not in {each.key for each in build_search_assets(bare, settings)}


def test_the_command_writes_what_dashboards_imports(feed: Feed, tmp_path: Path) -> None:
    class Options:
        feed = "retail_trans"
        file = tmp_path / "saved.ndjson"

    options: Namespace = Options()  # type: ignore[assignment]
    assert run_export(options) == 0
    assert [json.loads(each) for each in options.file.read_bytes().splitlines()] == saved_objects(feed)
    options.file = tmp_path / "no" / "folder"
    assert run_export(options) == 1


class _Dashboards:
    """What Dashboards does with an import, as far as a client sees."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any, bytes]] = []
        self.answer: tuple[int, Any] | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.requests.append((self.path, self.headers, body))
                status, said = outer.answer or outer.take(self.headers["content-type"], body)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(said if isinstance(said, bytes) else json.dumps(said).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, content_type: str, body: bytes) -> tuple[int, Any]:
        message = BytesParser().parsebytes(b"content-type: " + content_type.encode() + b"\r\n\r\n" + body)
        (part,) = message.get_payload()  # type: ignore[misc]
        assert part.get_param("name", header="content-disposition") == "file"  # type: ignore[union-attr]
        assert str(part.get_filename()).endswith(".ndjson")  # type: ignore[union-attr]
        lines = part.get_payload(decode=True).splitlines()  # type: ignore[union-attr]
        return 200, {"success": True, "successCount": len([json.loads(each) for each in lines])}


@pytest.fixture
def dashboards() -> Iterator[_Dashboards]:
    made = _Dashboards()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_saved_objects_are_imported_over_those_that_are_there(
    feed: Feed, dashboards: _Dashboards, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = saved_objects(feed)
    assert import_objects(dashboards.url, "us-east-1", objects) == len(objects)
    monkeypatch.setenv("OPENSEARCH_USERNAME", "u")
    monkeypatch.setenv("OPENSEARCH_PASSWORD", "p")
    import_objects(f"{dashboards.url}/_dashboards/", "us-east-1", objects)
    (path, headers, _), (later, with_user, _) = dashboards.requests
    assert path == "/api/saved_objects/_import?overwrite=true"
    assert later == f"/_dashboards{path}"
    assert headers["osd-xsrf"] == "true"
    assert headers["authorization"] is None
    assert with_user["authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, b"Unauthorized"), "answered 401"),
        ((200, b"<html>"), "answered 200"),
        (
            (
                200,
                {
                    "success": False,
                    "successCount": 1,
                    "errors": [{"type": "search", "id": "x", "error": {"type": "missing_references"}}],
                },
            ),
            "took 1 of 14 saved objects: search x: missing_references",
        ),
        ((200, {"success": True, "successCount": 3}), "took 3 of 14"),
    ],
)
def test_an_import_that_is_not_whole_is_an_error(
    feed: Feed, dashboards: _Dashboards, answer: tuple[int, Any], said: str
) -> None:
    dashboards.answer = answer
    with pytest.raises(DashboardsError, match=said):
        import_objects(dashboards.url, "us-east-1", saved_objects(feed))


@pytest.mark.parametrize("url", ["http://example.org", "example.org", "http://127.0.0.1:9"])
def test_where_nothing_can_be_imported_is_said(feed: Feed, url: str) -> None:
    with pytest.raises(DashboardsError, match=r"plain http|no http|not reached"):
        import_objects(url, "us-east-1", saved_objects(feed))


def imported(feed: Feed, settings: Settings) -> list[Any]:
    assets = [each for each in build_search_assets(feed, settings) if each.key == dashboards_key(feed)]
    result = dg.materialize(assets, raise_on_error=False)
    assert result.success
    return list(result.asset_materializations_for_node("retail_trans__dashboards"))


def test_the_asset_imports_where_dashboards_is_and_is_nothing_elsewhere(
    feed: Feed, settings: Settings, dashboards: _Dashboards
) -> None:
    assert imported(feed, settings) == []
    (told,) = imported(feed, replace(settings, dashboards_url=dashboards.url))
    assert told.metadata["saved_objects"].value == 14


def test_a_dashboard_needs_panels_only() -> None:
    assert Dashboard("t", "d", ()).searches == ()
