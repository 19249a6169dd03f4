"""A mapping change moves a month, and readers see every document once at every step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from retail_analytics.search.bulk import BulkWriter
from retail_analytics.search.documents import Document, DocumentMaker, Origin
from retail_analytics.search.environment import document_rules
from retail_analytics.search.health import read_health
from retail_analytics.search.reindex import Reindexer, ReindexError
from retail_analytics.search.templates import ensure_template
from retail_analytics_tests.search.records import line

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from retail_analytics.feeds import Feed

MONTH = "retail_trans-2010.12"


@pytest.fixture
def old_mapping(empty_search: OpenSearch, feed: Feed) -> OpenSearch:
    """An index of ten documents that maps Invoice otherwise, as one from an earlier declaration would."""
    mapping = {"properties": {"Invoice": {"type": "text"}}}
    empty_search.indices.create(index=MONTH, body={"mappings": mapping})
    assert ensure_template(empty_search, feed).drifted == {MONTH: ("Invoice",)}
    write(empty_search, feed, range(10))
    return empty_search


def write(client: OpenSearch, feed: Feed, numbers: range) -> int:
    maker = DocumentMaker(document_rules(feed))
    made = [maker.from_line(Origin(str(n), line(n))) for n in numbers]
    result = BulkWriter(client).write([d for d in made if isinstance(d, Document)], deadline=float("inf"))
    client.indices.refresh(index="retail_trans")
    return result.created


def seen(client: OpenSearch) -> int:
    return int(client.count(index="retail_trans")["count"])


def test_a_month_moves_and_its_writers_and_readers_find_it(old_mapping: OpenSearch, feed: Feed) -> None:
    moved = Reindexer(old_mapping, feed).move(MONTH)
    assert (moved.month, moved.old, moved.documents) == (MONTH, MONTH, 10)
    assert seen(old_mapping) == 10
    state = ensure_template(old_mapping, feed)
    assert (dict(state.drifted), state.aliased, state.extended) == ({}, (), ())
    # A replay meets its documents, a new record joins them.
    assert write(old_mapping, feed, range(12)) == 2
    assert seen(old_mapping) == 12
    assert list(old_mapping.indices.get_alias(name="retail_trans")) == [moved.new]
    health = read_health(old_mapping, feed)
    assert [index.name for index in health.indices] == [moved.new]
    assert not health.of_level("error")


def test_readers_see_each_document_once_at_every_step(
    old_mapping: OpenSearch, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    perform = old_mapping.transport.perform_request

    def watched(method: str, url: str, **rest: Any) -> Any:
        answer = perform(method, url, **rest)
        counts.append(perform("GET", "/retail_trans/_count")["count"])
        return answer

    monkeypatch.setattr(old_mapping.transport, "perform_request", watched)
    Reindexer(old_mapping, feed).move(MONTH)
    assert set(counts) == {10}
    assert len(counts) > 8


def test_what_arrives_during_the_copy_moves_too(
    old_mapping: OpenSearch, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Reindexer._copy
    late = [20, 30]

    def interrupted(self: Reindexer, month: str, old: str, new: str) -> None:
        copy(self, month, old, new)
        if len(late) == 2:
            assert write(old_mapping, feed, range(late.pop(), 31)) == 1

    monkeypatch.setattr(Reindexer, "_copy", interrupted)
    assert Reindexer(old_mapping, feed).move(MONTH).documents == 11


def test_a_second_change_moves_the_month_again(old_mapping: OpenSearch, feed: Feed) -> None:
    first = Reindexer(old_mapping, feed).move(MONTH)
    assert feed.search is not None
    worded = replace(feed, search=replace(feed.search, text_fields=("Description", "Country")))
    assert ensure_template(old_mapping, worded).drifted == {first.new: ("Country",)}
    second = Reindexer(old_mapping, worded).move(first.new)
    assert (second.month, second.old) == (MONTH, first.new)
    assert second.new != first.new
    assert seen(old_mapping) == 10
    assert not ensure_template(old_mapping, worded).drifted


def test_a_document_that_does_not_fit_stops_the_move(old_mapping: OpenSearch, feed: Feed) -> None:
    numbered = replace(
        feed, columns=tuple(replace(c, stored="int") if c.name == "country" else c for c in feed.columns)
    )
    with pytest.raises(ReindexError, match="do not fit the new mapping"):
        Reindexer(old_mapping, numbered).move(MONTH)
    assert seen(old_mapping) == 10
    assert list(old_mapping.indices.get(index="*")) == [MONTH]
    assert write(old_mapping, feed, range(11)) == 1


def test_an_interruption_after_the_block_opens_the_index_again(
    old_mapping: OpenSearch, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Reindexer, "_swap", interrupt)
        with pytest.raises(KeyboardInterrupt):
            Reindexer(old_mapping, feed).move(MONTH)
    assert write(old_mapping, feed, range(11)) == 1
    assert Reindexer(old_mapping, feed).move(MONTH).documents == 11


def test_a_copy_that_is_not_whole_is_not_served(
    old_mapping: OpenSearch, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reindexer, "_copy", lambda *_: None)
    with pytest.raises(ReindexError, match="holds 10 documents and its copy 0"):
        Reindexer(old_mapping, feed).move(MONTH)
    assert seen(old_mapping) == 10
    assert write(old_mapping, feed, range(11)) == 1


def test_a_month_whose_dates_were_mapped_otherwise_moves_whole(old_mapping: OpenSearch, feed: Feed) -> None:
    old_mapping.indices.delete(index=MONTH)
    mapping = {"properties": {"InvoiceDate": {"type": "keyword"}}}
    old_mapping.indices.create(index=MONTH, body={"mappings": mapping})
    write(old_mapping, feed, range(3))
    assert Reindexer(old_mapping, feed).move(MONTH).documents == 3


def test_an_index_of_nobody_is_not_moved(old_mapping: OpenSearch, feed: Feed) -> None:
    old_mapping.indices.create(index="other")
    with pytest.raises(ReindexError, match="holds no month"):
        Reindexer(old_mapping, feed).move("other")
