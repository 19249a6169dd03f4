"""From a feed's declaration to the handler's rules and environment, and to a row's keys.

Here belongs what the declaration says about search. Not here: reading the environment back
(``handler_settings.py``) and the index template (``templates.py``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from retail_analytics.search.rules import DocumentRules, Field

if TYPE_CHECKING:
    from retail_analytics.feeds.declaration import Column, Feed, SearchIndex
    from retail_analytics.search.rules import Kind
    from retail_analytics.settings import Settings

HANDLER_MODULE = "retail_analytics.search.upsert_to_es"
HANDLER_FUNCTION = "lambda_handler"

EVENT_RECORDS = 5_000
"""How many records the stream hands to the handler at a time, though 6 MB at the most. At the end of each
event its writers wait for the last bulk: of 2,000 it wrote a tenth fewer documents a second."""

_KIND_OF_TYPE: dict[str, Kind] = {
    "string": "text",
    "varchar": "text",
    "char": "text",
    "tinyint": "integer",
    "smallint": "integer",
    "int": "integer",
    "integer": "integer",
    "bigint": "long",
    "decimal": "decimal",
    "float": "double",
    "double": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "date",
}
_TYPE = re.compile(r"([a-z]+)(?:\((\d+)(?:,\s*(\d+))?\))?\Z")


def search_of(feed: Feed) -> SearchIndex:
    """The feed's search index.

    Raises:
        ValueError: It declares none.
    """
    if feed.search is None:
        raise ValueError(f"feed {feed.name} declares no search index; add search=SearchIndex(…) to it.")
    return feed.search


def field_of(column: Column, date_fields: tuple[str, ...]) -> Field:
    """The document's field of a column, typed as the lake stores it.

    Raises:
        ValueError: The column's type has no form in the index.
    """
    match = _TYPE.match(column.stored_type.lower())
    kind = _KIND_OF_TYPE.get(match.group(1)) if match else None
    if match is None or kind is None:
        raise ValueError(f"column {column.name} has type {column.stored_type}, which search cannot index.")
    if column.source in date_fields:
        return Field(column.source, "date")
    if kind == "decimal":
        return Field(column.source, kind, int(match.group(2) or 10), int(match.group(3) or 0))
    return Field(column.source, kind)


def document_rules(feed: Feed) -> DocumentRules:
    """The rules by which the feed's records become documents: those by which compaction takes them.

    Raises:
        ValueError: The feed declares no search index, or a column that search cannot index.
    """
    search = search_of(feed)
    required = tuple(column.source for column in feed.columns if column.required or not column.nullable)
    return DocumentRules(
        index=search.alias,
        required=required,
        nullable=frozenset(feed.nullable_fields) & frozenset(required),
        date_fields=search.date_fields,
        date_formats=(feed.event_time.strptime_format,),
        fields=tuple(field_of(column, search.date_fields) for column in feed.columns),
        record_id=feed.record_id or "record_id",
    )


def dead_letter_prefix(feed: Feed) -> str:
    """Where the feed's dead letters lie in the bucket."""
    return f"dead-letters/{feed.name}/"


def handler_environment(feed: Feed, settings: Settings) -> dict[str, str]:
    """The upsert handler's environment variables for a feed.

    Raises:
        ValueError: The feed declares no search index, or a name that would not survive in a variable.
    """
    rules = document_rules(feed)
    for name in (*rules.required, *rules.date_fields, *(field.name for field in rules.fields)):
        if set(name) & set(",:"):
            raise ValueError(f"feed {feed.name} has the source key {name!r}; search takes none with , or :.")
    return {
        "ES_HOST": settings.opensearch_url,
        "REQUIRED_FIELDS": ",".join(rules.required),
        "REGION_NAME": settings.region,
        "DATE_TYPE_FIELDS": ",".join(rules.date_fields),
        "ES_INDEX": rules.index,
        "NULLABLE_FIELDS": ",".join(name for name in rules.required if name in rules.nullable),
        "DATE_FORMATS": "|".join(rules.date_formats),
        "FIELDS": ",".join(_field_text(field) for field in rules.fields),
        "RECORD_ID_FIELD": rules.record_id,
        "DEAD_LETTER_BUCKET": settings.bucket,
        "DEAD_LETTER_PREFIX": dead_letter_prefix(feed),
        "ES_TEMPLATE": template_name(feed),
    }


def handler_name(feed: Feed, settings: Settings) -> str:
    """The name of the feed's upsert function in AWS."""
    return f"{settings.deployment}-upsert-{feed.name}".replace("_", "-")


def template_name(feed: Feed) -> str:
    """The name of the feed's index template."""
    return search_of(feed).alias


def _field_text(field: Field) -> str:
    digits = f":{field.precision}:{field.scale}" if field.kind == "decimal" else ""
    return f"{field.name}:{field.kind}{digits}"
