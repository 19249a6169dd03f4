"""Saved objects of OpenSearch Dashboards, as code: made from what a feed declares, the same every time.

Here belongs the form that Dashboards' import takes: an index pattern on the event time, a search for each
saved one, a visualisation for each panel, and the dashboard of them. Not here: importing (``dashboards.py``)
and the questions themselves (the feed's declaration).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from retail_analytics.search.environment import search_of
from retail_analytics.search.templates import properties

if TYPE_CHECKING:
    from retail_analytics.feeds.dashboard import Dashboard, Metric, Panel, SavedSearch
    from retail_analytics.feeds.declaration import Feed

SavedObject = dict[str, Any]

_SOURCE_INDEX = "kibanaSavedObjectMeta.searchSourceJSON.index"
# The last migration that Dashboards has for each type, in 1.0 as in 3.x. Without it, an import takes the
# objects for Kibana 5's and rewrites them from there.
_MIGRATED = {
    "index-pattern": "7.6.0",
    "search": "7.9.3",
    "visualization": "7.10.0",
    "dashboard": "7.9.3",
}
_PANEL_WIDTH, _PANEL_HEIGHT, _PANELS_A_ROW = 24, 15, 2
_TYPES = {"keyword": "string", "text": "string", "date": "date", "boolean": "boolean"}
_SHAPES = {"line": "line", "bar": "histogram", "pie": "pie", "table": "table", "metric": "metric"}


def dashboard_of(feed: Feed) -> Dashboard:
    """The feed's dashboard.

    Raises:
        ValueError: It declares none.
    """
    declared = search_of(feed).dashboard
    if declared is None:
        raise ValueError(f"feed {feed.name} declares no dashboard; add dashboard=… to its SearchIndex.")
    return declared


def saved_objects(feed: Feed) -> list[SavedObject]:
    """All saved objects of a feed, each after those that it refers to.

    Raises:
        ValueError: The feed declares no dashboard.
    """
    declared = dashboard_of(feed)
    return [
        _index_pattern(feed, declared),
        *(_search(feed, each) for each in declared.searches),
        *(_visualization(feed, panel) for panel in declared.panels),
        _dashboard(feed, declared),
    ]


def to_ndjson(objects: list[SavedObject]) -> bytes:
    """Saved objects as Dashboards exports and imports them: one a line."""
    return b"".join(json.dumps(each, sort_keys=True).encode() + b"\n" for each in objects)


def _object(kind: str, id_: str, attributes: dict[str, Any], references: list[dict[str, str]]) -> SavedObject:
    made = {"type": kind, "id": id_, "attributes": attributes, "references": references}
    return {**made, "migrationVersion": {kind: _MIGRATED[kind]}}


def _pattern_id(feed: Feed) -> str:
    return f"{feed.name}-index-pattern"


def _panel_id(feed: Feed, panel: Panel) -> str:
    return f"{feed.name}-panel-{panel.name}"


def _index_pattern(feed: Feed, declared: Dashboard) -> SavedObject:
    search = search_of(feed)
    fields = [_meta_field(name) for name in ("_id", "_index", "_source")]
    for name, mapping in properties(feed).items():
        fields.append(_field(name, mapping["type"]))
        for sub, inner in mapping.get("fields", {}).items():
            fields.append(_field(f"{name}.{sub}", inner["type"]))
    for scripted in declared.scripted_fields:
        known = {"count": 0, "searchable": True, "aggregatable": True, "readFromDocValues": False}
        made = {"name": scripted.name, "type": "number", "scripted": True, "lang": "painless"}
        fields.append({**made, "script": scripted.script, **known})
    attributes = {
        "title": search.alias,
        "timeFieldName": search.date_fields[0],
        "fields": json.dumps(fields),
        "fieldFormatMap": "{}",
    }
    return _object("index-pattern", _pattern_id(feed), attributes, [])


def _field(name: str, type_: str) -> dict[str, Any]:
    values = type_ != "text"
    return {
        "name": name,
        "type": _TYPES.get(type_, "number"),
        "esTypes": [type_],
        "count": 0,
        "scripted": False,
        "searchable": True,
        "aggregatable": values,
        "readFromDocValues": values,
    }


def _meta_field(name: str) -> dict[str, Any]:
    kind = "_source" if name == "_source" else "string"
    return {**_field(name, "keyword"), "type": kind, "esTypes": [name], "readFromDocValues": False}


def _source(query: str) -> dict[str, str]:
    content = {"query": {"query": query, "language": "lucene"}, "filter": [], "indexRefName": _SOURCE_INDEX}
    return {"searchSourceJSON": json.dumps(content)}


def _to_pattern(feed: Feed) -> dict[str, str]:
    return {"name": _SOURCE_INDEX, "type": "index-pattern", "id": _pattern_id(feed)}


def _search(feed: Feed, search: SavedSearch) -> SavedObject:
    attributes = {
        "title": f"{feed.name}: {search.title}",
        "description": search.description,
        "columns": list(search.columns),
        "sort": [[search_of(feed).date_fields[0], "desc"]],
        "hits": 0,
        "version": 1,
        "kibanaSavedObjectMeta": _source(search.query),
    }
    return _object("search", f"{feed.name}-search-{search.name}", attributes, [_to_pattern(feed)])


def _visualization(feed: Feed, panel: Panel) -> SavedObject:
    title = f"{feed.name}: {panel.title}"
    state = {
        "title": title,
        "type": _SHAPES[panel.shape],
        "aggs": _aggregations(feed, panel),
        "params": _drawn(panel),
    }
    attributes = {
        "title": title,
        "description": panel.description,
        "visState": json.dumps(state),
        "uiStateJSON": "{}",
        "version": 1,
        "kibanaSavedObjectMeta": _source(panel.query),
    }
    return _object("visualization", _panel_id(feed, panel), attributes, [_to_pattern(feed)])


def _aggregations(feed: Feed, panel: Panel) -> list[dict[str, Any]]:
    made = [_metric(str(number), metric) for number, metric in enumerate(panel.metrics, start=1)]
    if not panel.by:
        return made
    common = {"id": str(len(made) + 1), "enabled": True}
    schema = "bucket" if panel.shape == "table" else "segment"
    if panel.by == "time":
        params: dict[str, Any] = {
            "field": search_of(feed).date_fields[0],
            "timeRange": {"from": "now-15y", "to": "now"},
            "useNormalizedOpenSearchInterval": True,
            "interval": "auto",
            "drop_partials": False,
            "min_doc_count": 1,
            "extended_bounds": {},
        }
        return [*made, {**common, "type": "date_histogram", "schema": schema, "params": params}]
    params = {
        "field": panel.by,
        "orderBy": "1",
        "order": "desc",
        "size": panel.size,
        "otherBucket": False,
        "missingBucket": False,
    }
    return [*made, {**common, "type": "terms", "schema": schema, "params": params}]


def _metric(id_: str, metric: Metric) -> dict[str, Any]:
    params: dict[str, Any] = {"customLabel": metric.label}
    if metric.field:
        params["field"] = metric.field
    return {"id": id_, "enabled": True, "type": metric.kind, "schema": "metric", "params": params}


def _drawn(panel: Panel) -> dict[str, Any]:
    """What Dashboards' own editor writes for the shape, as far as it has no default for it."""
    match panel.shape:
        case "metric":
            metric = {
                "percentageMode": False,
                "useRanges": False,
                "colorSchema": "Green to Red",
                "metricColorMode": "None",
                "colorsRange": [{"from": 0, "to": 10000}],
                "labels": {"show": True},
                "invertColors": False,
                "style": {"bgFill": "#000", "bgColor": False, "labelColor": False, "fontSize": 36},
            }
            return {"addTooltip": True, "addLegend": False, "type": "metric", "metric": metric}
        case "table":
            return {"perPage": 10, "showMetricsAtAllLevels": False, "showTotal": False, "totalFunc": "sum"}
        case "pie":
            return {"type": "pie", "addTooltip": True, "addLegend": True, "isDonut": True}
    return _axes(panel)


def _axes(panel: Panel) -> dict[str, Any]:
    kind = _SHAPES[panel.shape]
    labels = {"show": True, "filter": True, "truncate": 100}
    shared = {"show": True, "style": {}, "title": {}}
    values = [
        {
            **shared,
            "id": f"ValueAxis-{number}",
            "name": f"{'Left' if number == 1 else 'Right'}Axis-{number}",
            "type": "value",
            "position": "left" if number == 1 else "right",
            "scale": {"type": "linear", "mode": "normal"},
            "labels": {**labels, "rotate": 0, "filter": False},
            "title": {"text": metric.label},
        }
        for number, metric in enumerate(panel.metrics, start=1)
    ]
    category = {
        **shared,
        "id": "CategoryAxis-1",
        "type": "category",
        "position": "bottom",
        "scale": {"type": "linear"},
        "labels": labels,
    }
    series = [
        {
            "show": True,
            "type": kind,
            "mode": "normal",
            "data": {"id": str(number), "label": metric.label},
            "valueAxis": f"ValueAxis-{number}",
            "drawLinesBetweenPoints": True,
            "showCircles": True,
        }
        for number, metric in enumerate(panel.metrics, start=1)
    ]
    return {
        "type": kind,
        "grid": {"categoryLines": False},
        "categoryAxes": [category],
        "valueAxes": values,
        "seriesParams": series,
        "addTooltip": True,
        "addLegend": True,
        "legendPosition": "right",
        "times": [],
        "addTimeMarker": False,
        "thresholdLine": {"show": False, "value": 10, "width": 1, "style": "full", "color": "#E7664C"},
    }


def _dashboard(feed: Feed, declared: Dashboard) -> SavedObject:
    panels, references = [], []
    for number, panel in enumerate(declared.panels):
        row, column = divmod(number, _PANELS_A_ROW)
        place = {"x": column * _PANEL_WIDTH, "y": row * _PANEL_HEIGHT, "w": _PANEL_WIDTH, "h": _PANEL_HEIGHT}
        index, name = str(number + 1), f"panel_{number}"
        panels.append(
            {
                "version": "2.0.0",
                "gridData": {**place, "i": index},
                "panelIndex": index,
                "embeddableConfig": {},
                "panelRefName": name,
            }
        )
        references.append({"name": name, "type": "visualization", "id": _panel_id(feed, panel)})
    empty = {"query": {"query": "", "language": "kuery"}, "filter": []}
    attributes = {
        "title": declared.title,
        "description": declared.description,
        "hits": 0,
        "panelsJSON": json.dumps(panels),
        "optionsJSON": json.dumps({"hidePanelTitles": False, "useMargins": True}),
        "version": 1,
        # The data set lies years back: without it, the first look would be of the last fifteen minutes.
        "timeRestore": True,
        "timeFrom": "now-20y",
        "timeTo": "now",
        "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(empty)},
    }
    return _object("dashboard", f"{feed.name}-dashboard", attributes, references)
