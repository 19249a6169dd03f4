"""Saved objects have the shapes that OpenSearch Dashboards checks, or relies on, when it imports them.

What stands in the tables below is Dashboards' own: the mappings of its saved object types, whose index is
strict, the migrations that it knows, and what its kinds of visualisation register.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from retail_analytics.search.saved_objects import SavedObject, saved_objects, to_ndjson

if TYPE_CHECKING:
    from retail_analytics.feeds import Feed

# Type to the attributes of its mapping; another one is refused when the object is stored.
ATTRIBUTES: dict[str, dict[str, type]] = {
    "index-pattern": {
        "title": str, "timeFieldName": str, "fields": str, "fieldFormatMap": str, "sourceFilters": str,
        "type": str, "typeMeta": str, "intervalName": str,
    },
    "search": {
        "title": str, "description": str, "columns": list, "sort": list, "hits": int, "version": int,
        "kibanaSavedObjectMeta": dict,
    },
    "visualization": {
        "title": str, "description": str, "visState": str, "uiStateJSON": str, "version": int,
        "savedSearchRefName": str, "kibanaSavedObjectMeta": dict,
    },
    "dashboard": {
        "title": str, "description": str, "hits": int, "panelsJSON": str, "optionsJSON": str, "version": int,
        "timeRestore": bool, "timeFrom": str, "timeTo": str, "refreshInterval": dict,
        "kibanaSavedObjectMeta": dict,
    },
}  # fmt: skip

# Type to the migration that an object of today has behind it.
MIGRATIONS = {
    "index-pattern": "7.6.0",
    "search": "7.9.3",
    "visualization": "7.10.0",
    "dashboard": "7.9.3",
}

# Kind of visualisation to the schemas of its metrics and of its buckets.
SCHEMAS = {
    "line": ({"metric", "radius"}, {"segment", "group", "split"}),
    "histogram": ({"metric", "radius"}, {"segment", "group", "split"}),
    "pie": ({"metric"}, {"segment", "split"}),
    "table": ({"metric"}, {"bucket", "split"}),
    "metric": ({"metric"}, {"group"}),
}
METRICS = {"avg", "cardinality", "count", "max", "median", "min", "std_dev", "sum"}
BUCKETS = {"date_histogram", "date_range", "filters", "histogram", "range", "significant_terms", "terms"}
FIELD_TYPES = {"_source", "attachment", "boolean", "date", "geo_point", "ip", "murmur3", "number", "string"}
FIELD_KEYS = {"name", "type", "count", "scripted", "searchable", "aggregatable", "readFromDocValues"}
MOST_OBJECTS, MOST_BYTES = 10_000, 26_214_400  # savedObjects.maxImportExportSize, maxImportPayloadBytes


@pytest.fixture
def objects(feed: Feed) -> list[SavedObject]:
    return saved_objects(feed)


def of_type(objects: list[SavedObject], kind: str) -> list[dict[str, Any]]:
    found = [each["attributes"] for each in objects if each["type"] == kind]
    assert found, f"there is no {kind}"
    return found


def states(objects: list[SavedObject]) -> list[dict[str, Any]]:
    return [json.loads(attributes["visState"]) for attributes in of_type(objects, "visualization")]


def test_attributes_are_those_of_the_mappings(objects: list[SavedObject]) -> None:
    for each in objects:
        assert set(each) == {"type", "id", "attributes", "references", "migrationVersion"}
        known = ATTRIBUTES[each["type"]]
        for name, value in each["attributes"].items():
            assert name in known, (each["id"], name)
            assert type(value) is known[name], (each["id"], name)
        assert each["attributes"]["title"]


def test_no_migration_of_kibanas_runs_over_them(objects: list[SavedObject]) -> None:
    for each in objects:
        assert each["migrationVersion"] == {each["type"]: MIGRATIONS[each["type"]]}


def test_an_import_takes_them_all_at_once(objects: list[SavedObject]) -> None:
    assert len({(each["type"], each["id"]) for each in objects}) == len(objects) <= MOST_OBJECTS
    sent = to_ndjson(objects)
    assert len(sent) <= MOST_BYTES
    assert [json.loads(line) for line in sent.splitlines()] == objects


def test_references_have_names_types_and_ids(objects: list[SavedObject]) -> None:
    for each in objects:
        for reference in each["references"]:
            assert set(reference) == {"name", "type", "id"}
            assert all(isinstance(value, str) and value for value in reference.values())


def test_search_sources_ask_in_a_language_that_dashboards_speaks(objects: list[SavedObject]) -> None:
    for each in objects:
        meta = each["attributes"].get("kibanaSavedObjectMeta")
        if meta is None:
            assert each["type"] == "index-pattern"
            continue
        assert set(meta) == {"searchSourceJSON"}
        source = json.loads(meta["searchSourceJSON"])
        assert set(source["query"]) == {"query", "language"}
        assert isinstance(source["query"]["query"], str)
        assert source["query"]["language"] in {"kuery", "lucene"}
        assert source["filter"] == []
        assert ("indexRefName" in source) is (each["type"] != "dashboard")


def test_a_visualisation_is_of_a_kind_and_its_aggregations_of_its_schemas(objects: list[SavedObject]) -> None:
    for state, attributes in zip(states(objects), of_type(objects, "visualization"), strict=True):
        assert set(state) == {"title", "type", "aggs", "params"}
        assert state["title"] == attributes["title"]
        assert isinstance(json.loads(attributes["uiStateJSON"]), dict)
        metrics, buckets = SCHEMAS[state["type"]]
        ids = [agg["id"] for agg in state["aggs"]]
        assert ids == [str(number) for number in range(1, len(ids) + 1)]
        for agg in state["aggs"]:
            assert set(agg) == {"id", "enabled", "type", "schema", "params"}
            assert agg["enabled"] is True
            assert (agg["schema"], agg["type"]) in {
                *((schema, type_) for schema in metrics for type_ in METRICS),
                *((schema, type_) for schema in buckets for type_ in BUCKETS),
            }, (state["title"], agg)
            if agg["type"] != "count":
                assert agg["params"]["field"]
            if agg["type"] == "terms":
                assert agg["params"]["orderBy"] in {*ids, "_key"} - {agg["id"]}
                assert agg["params"]["order"] in {"asc", "desc"}
                assert agg["params"]["size"] > 0
            if agg["type"] == "date_histogram":
                assert agg["params"]["interval"] == "auto"
                assert "useNormalizedEsInterval" not in agg["params"], "Kibana's name; Dashboards has its own"
        assert any(agg["schema"] in metrics for agg in state["aggs"])


def test_what_is_drawn_refers_to_axes_and_metrics_that_are_there(objects: list[SavedObject]) -> None:
    drawn = [state for state in states(objects) if state["type"] in ("line", "histogram")]
    assert drawn
    for state in drawn:
        params = state["params"]
        assert params["type"] == state["type"]
        axes = {axis["id"] for axis in params["valueAxes"]}
        metrics = {agg["id"] for agg in state["aggs"] if agg["schema"] == "metric"}
        assert {series["data"]["id"] for series in params["seriesParams"]} == metrics
        for series in params["seriesParams"]:
            assert series["valueAxis"] in axes
            assert series["type"] in {"line", "histogram", "area"}
            assert series["mode"] in {"normal", "stacked"}
        (category,) = params["categoryAxes"]
        assert (category["type"], category["position"]) == ("category", "bottom")


def test_a_dashboards_panels_have_their_places_and_references(objects: list[SavedObject]) -> None:
    for each in (one for one in objects if one["type"] == "dashboard"):
        names = {reference["name"] for reference in each["references"]}
        panels = json.loads(each["attributes"]["panelsJSON"])
        for panel in panels:
            assert set(panel) == {"version", "gridData", "panelIndex", "embeddableConfig", "panelRefName"}
            assert re.fullmatch(r"\d+\.\d+\.\d+", panel["version"])
            assert set(panel["gridData"]) == {"x", "y", "w", "h", "i"}
            assert panel["gridData"]["i"] == panel["panelIndex"]
            assert isinstance(panel["panelIndex"], str)
            assert panel["panelRefName"] in names
        assert len({panel["panelIndex"] for panel in panels}) == len(panels) == len(names)
        assert isinstance(json.loads(each["attributes"]["optionsJSON"]), dict)


def test_an_index_patterns_fields_are_of_types_that_dashboards_knows(objects: list[SavedObject]) -> None:
    (attributes,) = of_type(objects, "index-pattern")
    fields = json.loads(attributes["fields"])
    assert len({each["name"] for each in fields}) == len(fields)
    for each in fields:
        assert each["type"] in FIELD_TYPES
        assert {
            "name",
            "type",
            "count",
            "scripted",
            "searchable",
            "aggregatable",
            "readFromDocValues",
        } <= set(each)
        assert each["scripted"] is ("script" in each)
        if each["scripted"]:
            assert each["lang"] == "painless"
    assert attributes["timeFieldName"] in {each["name"] for each in fields if each["type"] == "date"}


def test_a_saved_search_sorts_by_pairs(objects: list[SavedObject]) -> None:
    for attributes in of_type(objects, "search"):
        assert all(isinstance(column, str) for column in attributes["columns"])
        for field, order in attributes["sort"]:
            assert isinstance(field, str)
            assert order in {"asc", "desc"}
