"""What only a real server shows: data survives a restart and a crash, and is seen after a refresh.

They run where `make test-opensearch` does, beside its own node.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from opensearchpy import OpenSearch
from opensearchpy.exceptions import ConflictError

from retail_analytics.search.bulk import BulkWriter
from retail_analytics.search.documents import Document, DocumentMaker, Origin
from retail_analytics.search.environment import document_rules
from retail_analytics.search.templates import ensure_template, template_differences
from retail_analytics_tests.search import single_node
from retail_analytics_tests.search.conftest import SERVER
from retail_analytics_tests.search.records import line
from retail_analytics_tests.search.single_node import FetchError, Node, NodeError, fetch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from retail_analytics.feeds import Feed

real = pytest.mark.skipif(SERVER not in os.environ, reason="`make test-opensearch` runs this")


def write(client: OpenSearch, feed: Feed, numbers: range) -> int:
    maker = DocumentMaker(document_rules(feed))
    made = [maker.from_line(Origin(str(n), line(n))) for n in numbers]
    writer = BulkWriter(client, max_documents=500, writers=4)
    documents = [each for each in made if isinstance(each, Document)]
    result = writer.write(documents, deadline=writer.clock() + 60)
    assert not result.failed
    assert not result.refused
    return result.created


@real
@pytest.mark.parametrize("end", [Node.stop, Node.kill], ids=["restart", "kill -9"])
def test_what_was_acknowledged_is_there_after(
    tmp_path: Path, feed: Feed, end: Callable[[Node], None]
) -> None:
    node = Node.start(fetch(), tmp_path)
    try:
        client = OpenSearch(node.url, max_retries=0, timeout=60)
        ensure_template(client, feed)
        assert write(client, feed, range(2_000)) == 2_000
        end(node)
        node = Node.start(fetch(), tmp_path)
        client = OpenSearch(node.url, max_retries=0, timeout=60)
        assert template_differences(feed, client) == ()
        client.indices.refresh(index="retail_trans")
        assert client.count(index="retail_trans")["count"] == 2_000
        # The stream gives the batch again after a crash: what is there stays, and nothing doubles.
        assert write(client, feed, range(2_500)) == 500
    finally:
        node.stop()


@real
def test_a_document_is_seen_after_a_refresh(search: OpenSearch, feed: Feed) -> None:
    search.indices.create(index="retail_trans-2010.12", body={"settings": {"refresh_interval": "-1"}})
    assert write(search, feed, range(3)) == 3
    assert search.count(index="retail_trans")["count"] == 0
    search.indices.refresh(index="retail_trans")
    assert search.count(index="retail_trans")["count"] == 3


@real
def test_a_document_that_changed_is_not_removed_as_it_was(search: OpenSearch, feed: Feed) -> None:
    write(search, feed, range(1))
    index = "retail_trans-2010.12"
    seen = search.get(index=index, id="0" * 32)
    search.index(index=index, id="0" * 32, body={**seen["_source"], "Quantity": 7})
    with pytest.raises(ConflictError):
        search.delete(
            index=index,
            id="0" * 32,
            params={"if_seq_no": seen["_seq_no"], "if_primary_term": seen["_primary_term"]},
        )


def test_a_port_that_the_runner_does_not_take_is_refused(tmp_path: Path) -> None:
    launch = single_node.Launch("/nowhere/java", ("a.jar",))
    with pytest.raises(NodeError, match="beyond 9299"):
        Node.start(launch, tmp_path, 9300)


def test_what_cannot_be_fetched_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_node, "_PACKAGES", ("./no-such-package-here",))
    with pytest.raises(FetchError, match="failed"):
        fetch(tmp_path)
    assert not (tmp_path / "launch.json").exists()


def test_ci_is_told_apart_what_cannot_be_fetched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable() -> None:
        raise FetchError("no source answers")

    monkeypatch.setattr(single_node, "fetch", unreachable)
    monkeypatch.setattr("sys.argv", ["single_node", "fetch"])
    assert single_node.main() == single_node.CANNOT_BE_FETCHED
    assert "no source answers" in capsys.readouterr().err
