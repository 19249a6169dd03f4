"""The index template: made from the feed's declaration, put where it is missing or differs.

Here belongs what an index of a feed looks like: mapping, settings, alias. Not here: documents
(``documents.py``) and looking after the cluster (``health.py``).

An index holds one event month, under one alias. There is no rollover: a replayed record must meet its
document again, so its index follows from the record alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opensearchpy.exceptions import NotFoundError

from retail_analytics.search.environment import field_of, search_of, template_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opensearchpy import OpenSearch

    from retail_analytics.feeds.declaration import Feed
    from retail_analytics.search.rules import Kind

# Lucene refuses a term of more than 32,766 bytes; a character has at most four.
_LONGEST_KEYWORD = 8191
_SLOW = {"warn": "1s"}  # a shard's part of a search, or one document: what the slow logs hold

_MAPPING: dict[Kind, dict[str, Any]] = {
    "text": {"type": "keyword", "ignore_above": _LONGEST_KEYWORD},
    "integer": {"type": "integer"},
    "long": {"type": "long"},
    "decimal": {"type": "double"},  # and not scaled_float: values.py says why
    "double": {"type": "double"},
    "boolean": {"type": "boolean"},
    "date": {"type": "date", "format": "strict_date_optional_time"},
}


@dataclass(frozen=True)
class TemplateState:
    """What :func:`ensure_template` found and did.

    Attributes:
        name: The template.
        digest: Of its body; changes exactly when the declaration's mapping does.
        changed: Whether it was put now.
        aliased: Indices that lacked the alias and got it now.
        drifted: Index to the fields that are mapped in it otherwise than declared, and would need a new
            index; empty where all is as declared.
        extended: Indices that got declared fields that they did not have.
    """

    name: str
    digest: str
    changed: bool
    aliased: tuple[str, ...]
    drifted: Mapping[str, tuple[str, ...]]
    extended: tuple[str, ...]


def properties(feed: Feed) -> dict[str, Any]:
    """The mapping of the feed's fields.

    Raises:
        ValueError: The feed declares no search index, or a column that search cannot index.
    """
    search = search_of(feed)
    mapped = {}
    for column in feed.columns:
        field = field_of(column, search.date_fields)
        mapped[field.name] = dict(_MAPPING[field.kind])
        if field.name in search.text_fields:
            mapped[field.name]["fields"] = {"text": {"type": "text"}}
    mapped[feed.record_id or "record_id"] = {"type": "keyword"}
    return mapped


def index_template(feed: Feed) -> dict[str, Any]:
    """The body of the feed's index template.

    Keys that the feed does not declare stay in a document's source and are not indexed, so that no record
    can fill the mapping. ``number_of_replicas`` is for servers that ignore ``auto_expand_replicas``: a
    single node shall not be yellow for ever.
    """
    alias = search_of(feed).alias
    body: dict[str, Any] = {
        "index_patterns": [f"{alias}-*"],
        "priority": 100,
        "template": {
            "settings": {
                "index": {
                    "number_of_shards": 1,
                    "number_of_replicas": 0,
                    "auto_expand_replicas": "0-1",
                    # Without a threshold the domain's slow logs stay empty.
                    "search": {"slowlog": {"threshold": {"query": _SLOW, "fetch": _SLOW}}},
                    "indexing": {"slowlog": {"threshold": {"index": _SLOW}}},
                }
            },
            "mappings": {"dynamic": "false", "properties": properties(feed)},
            "aliases": {alias: {}},
        },
    }
    return {**body, "_meta": {"feed": feed.name, "digest": digest_of(body)}}


def digest_of(body: Mapping[str, Any]) -> str:
    """The digest of a template's body without its ``_meta``."""
    content = {key: value for key, value in body.items() if key != "_meta"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def template_differences(feed: Feed, client: OpenSearch) -> tuple[str, ...]:
    """In which parts the server's template differs from the declaration; ``("missing",)`` without one."""
    found = _stored_template(client, template_name(feed))
    if found is None:
        return ("missing",)
    wanted, stored = _flat(index_template(feed)), _flat(found)
    return tuple(sorted(key for key in wanted if stored.get(key) != wanted[key]))


def ensure_template(client: OpenSearch, feed: Feed) -> TemplateState:
    """Make the server's template, the alias and the fields of existing indices as declared.

    A second call changes nothing. Fields that are mapped otherwise in an existing index are reported and
    left: changing them takes a new index (``reindex.py``).

    Raises:
        OpenSearchException: The server does not answer, or refuses.
        ValueError: The feed declares no search index.
    """
    name, body = template_name(feed), index_template(feed)
    changed = bool(template_differences(feed, client))
    if changed:
        client.indices.put_index_template(name=name, body=body)
    alias = search_of(feed).alias
    found = client.indices.get(index=f"{alias}-*", ignore_unavailable=True, allow_no_indices=True)
    without = tuple(sorted(index for index, about in found.items() if alias not in about.get("aliases", {})))
    if without:
        actions = [{"add": {"index": index, "alias": alias}} for index in without]
        client.indices.update_aliases(body={"actions": actions})
    mappings = {index: about.get("mappings", {}) for index, about in found.items()}
    extended = _extend(client, feed, mappings)
    return TemplateState(
        name, body["_meta"]["digest"], changed, without, mapping_drift(feed, mappings), extended
    )


def mapping_drift(feed: Feed, mappings: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Index to the declared fields that it maps otherwise; only indices with any."""
    wanted = properties(feed)
    drift = {}
    for index, mapping in mappings.items():
        held = mapping.get("properties", {})
        other = tuple(n for n, m in wanted.items() if n in held and _flat(held[n]) != _flat(m))
        if other:
            drift[index] = other
    return drift


def missing_fields(feed: Feed, mappings: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Index to the declared fields that it does not map; only indices with any."""
    wanted = properties(feed)
    lacking = {
        index: tuple(name for name in wanted if name not in mapping.get("properties", {}))
        for index, mapping in mappings.items()
    }
    return {index: names for index, names in lacking.items() if names}


def _extend(client: OpenSearch, feed: Feed, mappings: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    wanted = properties(feed)
    lacking = missing_fields(feed, mappings)
    for index, names in lacking.items():
        client.indices.put_mapping(index=index, body={"properties": {name: wanted[name] for name in names}})
    return tuple(sorted(lacking))


def _stored_template(client: OpenSearch, name: str) -> dict[str, Any] | None:
    try:
        answer = client.indices.get_index_template(name=name)
    except NotFoundError:
        return None
    for found in answer.get("index_templates", []):
        if found.get("name") == name:
            return dict(found["index_template"])
    return None


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """Leaves by dotted path, as text: servers turn numbers and booleans of settings into strings."""
    if isinstance(value, dict) and value:
        return {k: v for key in value for k, v in _flat(value[key], f"{path}.{key}" if path else key).items()}
    text = json.dumps(value) if isinstance(value, list | dict) else str(value)
    return {path: text.lower() if isinstance(value, bool) else text}
