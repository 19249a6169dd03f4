"""The index template: made from the declaration, put once, drift found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from retail_analytics.feeds.declaration import Column, Feed
from retail_analytics.search.environment import document_rules, field_of, handler_environment
from retail_analytics.search.handler_settings import HandlerSettings
from retail_analytics.search.templates import (
    ensure_template,
    index_template,
    properties,
    template_differences,
)

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from retail_analytics.settings import Settings


def test_the_mapping_is_the_declarations(feed: Feed) -> None:
    mapped = properties(feed)
    assert {name: about["type"] for name, about in mapped.items()} == {
        "Invoice": "keyword",
        "StockCode": "keyword",
        "Description": "keyword",
        "Quantity": "integer",
        "InvoiceDate": "date",
        "Price": "double",
        "Customer_ID": "keyword",
        "Country": "keyword",
        "record_id": "keyword",
    }
    assert mapped["Description"]["fields"] == {"text": {"type": "text"}}


def test_ensuring_twice_changes_nothing(empty_search: OpenSearch, feed: Feed) -> None:
    assert template_differences(feed, empty_search) == ("missing",)
    assert ensure_template(empty_search, feed).changed
    assert template_differences(feed, empty_search) == ()
    assert not ensure_template(empty_search, feed).changed


def test_a_document_makes_its_index_as_declared(search: OpenSearch, feed: Feed) -> None:
    search.index(index="retail_trans-2010.12", id="1", body={"Invoice": "1"})
    assert (
        "retail_trans"
        in search.indices.get_alias(index="retail_trans-2010.12")["retail_trans-2010.12"]["aliases"]
    )
    state = ensure_template(search, feed)
    assert (state.aliased, state.extended, dict(state.drifted)) == ((), (), {})


def test_a_template_that_somebody_changed_is_put_again(search: OpenSearch, feed: Feed) -> None:
    body = index_template(feed)
    body["template"]["mappings"]["properties"]["Price"] = {"type": "text"}
    search.indices.put_index_template(name="retail_trans", body=body)
    assert any("Price" in difference for difference in template_differences(feed, search))
    assert ensure_template(search, feed).changed
    assert template_differences(feed, search) == ()


def test_indices_from_before_the_template_get_alias_and_fields_and_drift_is_told(
    empty_search: OpenSearch, feed: Feed
) -> None:
    mapping = {"properties": {"Invoice": {"type": "text"}, "Quantity": {"type": "integer"}}}
    empty_search.indices.create(index="retail_trans-2010.12", body={"mappings": mapping})
    state = ensure_template(empty_search, feed)
    assert state.aliased == state.extended == ("retail_trans-2010.12",)
    assert state.drifted == {"retail_trans-2010.12": ("Invoice",)}
    mapped = empty_search.indices.get_mapping(index="retail_trans-2010.12")["retail_trans-2010.12"][
        "mappings"
    ]
    assert mapped["properties"]["Price"] == {"type": "double"}
    again = ensure_template(empty_search, feed)
    assert (again.aliased, again.extended) == ((), ())


def test_the_digest_follows_the_declaration(feed: Feed) -> None:
    wider = replace(feed, columns=(*feed.columns, Column("channel", "string", "Where", "Channel")))
    assert index_template(feed)["_meta"] == index_template(feed)["_meta"]
    assert index_template(feed)["_meta"] != index_template(wider)["_meta"]


@pytest.mark.parametrize(
    ("type_", "kind", "digits"),
    [
        ("string", "text", (38, 0)),
        ("int", "integer", (38, 0)),
        ("bigint", "long", (38, 0)),
        ("decimal(18,4)", "decimal", (18, 4)),
        ("decimal(5)", "decimal", (5, 0)),
        ("double", "double", (38, 0)),
        ("boolean", "boolean", (38, 0)),
        ("date", "date", (38, 0)),
        ("timestamp", "date", (38, 0)),
        ("varchar(10)", "text", (38, 0)),
    ],
)
def test_each_type_has_its_kind(type_: str, kind: str, digits: tuple[int, int]) -> None:
    field = field_of(Column("a", type_, "", "A"), ())
    assert (field.kind, (field.precision, field.scale)) == (kind, digits)


def test_a_type_without_a_form_is_told() -> None:
    with pytest.raises(ValueError, match=r"column a has type array<string>"):
        field_of(Column("a", "array<string>", "", "A"), ())


def test_a_feed_without_an_index_is_told(feed: Feed, settings: Settings) -> None:
    for call in (properties, document_rules):
        with pytest.raises(ValueError, match="declares no search index"):
            call(replace(feed, search=None))


def test_the_environment_reads_back_as_the_rules(feed: Feed, settings: Settings) -> None:
    variables = handler_environment(feed, settings)
    assert variables["REQUIRED_FIELDS"].startswith("Invoice,StockCode,")
    assert variables["NULLABLE_FIELDS"] == "Description,Customer_ID"
    assert variables["DATE_TYPE_FIELDS"] == "InvoiceDate"
    read = HandlerSettings.from_env(variables)
    assert read.rules == document_rules(feed)
    assert read.domain.url == settings.opensearch_url
    assert (read.dead_letter_bucket, read.dead_letter_prefix) == (
        settings.bucket,
        "dead-letters/retail_trans/",
    )


def test_a_key_that_no_variable_could_hold_is_told(feed: Feed, settings: Settings) -> None:
    odd = replace(feed, columns=(*feed.columns, Column("odd", "string", "", "a,b")))
    with pytest.raises(ValueError, match="a,b"):
        handler_environment(odd, settings)
