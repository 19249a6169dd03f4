"""Health: judged answers, and a server that offers less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opensearchpy import OpenSearch

from retail_analytics.search import judgements
from retail_analytics.search.health import Health, read_health
from retail_analytics.search.judgements import Finding, IndexSize
from retail_analytics.search.templates import ensure_template

if TYPE_CHECKING:
    from retail_analytics.feeds import Feed


def findings(health: Health) -> dict[str, Finding]:
    named = {finding.name: finding for finding in health.findings}
    assert len(named) == len(health.findings)
    return named


def test_a_good_server_is_healthy_and_says_what_it_does_not_tell(search: OpenSearch, feed: Feed) -> None:
    search.index(index="retail_trans-2010.12", id="1", body={"Invoice": "1"}, refresh=True)
    health = read_health(search, feed)
    assert (health.status, health.nodes, health.documents, len(health.indices)) == ("green", 1, 1, 1)
    assert health.server.startswith("opensearch ")
    assert not health.of_level("error")
    assert not health.of_level("warning")
    unknown = {finding.name for finding in health.of_level("unknown")}
    assert unknown == {"nodes", "disk"}
    assert all("not offered" in finding.detail for finding in health.of_level("unknown"))
    assert health.rejected_writes is None
    assert health.search_seconds is not None


def test_a_missing_template_is_an_error(empty_search: OpenSearch, feed: Feed) -> None:
    assert findings(read_health(empty_search, feed))["template"].level == "error"


def test_indices_outside_of_the_alias_and_mapped_otherwise_are_errors(
    empty_search: OpenSearch, feed: Feed
) -> None:
    mapping = {"properties": {"Invoice": {"type": "text"}}}
    empty_search.indices.create(index="retail_trans-2010.12", body={"mappings": mapping})
    named = findings(read_health(empty_search, feed))
    assert named["indices"].level == "error"
    assert "retail_trans-2010.12" in named["indices"].detail
    assert named["mapping"].level == "error"
    assert "Invoice" in named["mapping"].detail
    ensure_template(empty_search, feed)
    assert findings(read_health(empty_search, feed))["indices"].level == "ok"


def test_a_yellow_cluster_is_a_warning_with_its_shards(search: OpenSearch, feed: Feed) -> None:
    settings = {"settings": {"number_of_replicas": 1}}
    search.indices.create(index="retail_trans-2010.12", body=settings)
    health = read_health(search, feed)
    assert health.status == "yellow"
    assert findings(health)["cluster"].level == "warning"
    assert health.unassigned_shards == 1
    assert findings(health)["unassigned_shards"].level == "warning"


def test_nobody_there_is_an_error(feed: Feed) -> None:
    health = read_health(OpenSearch("http://127.0.0.1:9", max_retries=0), feed)
    assert health.status == "unreachable"
    assert [finding.level for finding in health.findings] == ["error"]


def test_the_number_of_requests_does_not_depend_on_the_number_of_indices(
    search: OpenSearch, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    perform = search.transport.perform_request

    def counted(method: str, url: str, **rest: Any) -> Any:
        asked.append(url)
        return perform(method, url, **rest)

    monkeypatch.setattr(search.transport, "perform_request", counted)
    read_health(search, feed)
    few = len(asked)
    for month in range(1, 13):
        search.indices.create(index=f"retail_trans-2010.{month:02}")
    asked.clear()
    assert len(read_health(search, feed).indices) == 12
    assert len(asked) == few


@pytest.mark.parametrize(
    ("status", "level"), [("green", "ok"), ("yellow", "warning"), ("red", "error"), (None, "unknown")]
)
def test_colours(status: str | None, level: str) -> None:
    assert judgements.cluster({"status": status, "number_of_nodes": 3}).level == level


@pytest.mark.parametrize(
    ("percent", "level"),
    [(None, "unknown"), ("50", "ok"), ("85", "warning"), ("94", "warning"), ("95", "error")],
)
def test_disks(percent: str | None, level: str) -> None:
    rows = [{"node": "a", "disk.percent": "10"}, {"node": "b", "disk.percent": percent}]
    found = judgements.disk(rows if percent else rows[1:])
    assert found.level == level
    assert percent is None or "on b" in found.detail


@pytest.mark.parametrize(("percent", "level"), [(50, "ok"), (80, "warning"), (92, "error")])
def test_heaps(percent: int, level: str) -> None:
    node = {"name": "a", "jvm": {"mem": {"heap_used_percent": percent}}}
    assert judgements.heap({"nodes": {"x": node}}).level == level
    assert judgements.heap({"nodes": {}}).level == "unknown"


@pytest.mark.parametrize(
    ("now", "before", "level"),
    [(0, None, "ok"), (5, None, "warning"), (5, 5, "ok"), (6, 5, "warning"), (2, 5, "warning"), (0, 5, "ok")],
)
def test_only_new_rejections_are_news(now: int, before: int | None, level: str) -> None:
    assert judgements.rejections(now, before).level == level


def test_rejections_add_up_over_nodes() -> None:
    nodes = {
        "a": {"thread_pool": {"write": {"rejected": 2}}},
        "b": {"thread_pool": {"write": {"rejected": 3}}},
    }
    assert judgements.rejected_writes({"nodes": nodes}) == 5


def test_the_server_explains_a_shard_without_a_node() -> None:
    explanation = {
        "index": "retail_trans-2010.12",
        "shard": 0,
        "primary": True,
        "unassigned_info": {"reason": "NODE_LEFT"},
        "allocate_explanation": "cannot allocate because all found copies are stale",
    }
    found = judgements.unassigned(1, explanation, None)
    assert found.level == "error"
    assert "primary retail_trans-2010.12[0]: NODE_LEFT" in found.detail
    assert judgements.unassigned(1, {**explanation, "primary": False}, None).level == "warning"


def size(name: str = "i", *, in_alias: bool = True, gigabytes: int = 1) -> IndexSize:
    return IndexSize(name, "green", 1, gigabytes * 2**30, 1, gigabytes * 2**30, in_alias)


@pytest.mark.parametrize(
    ("sizes", "level"),
    [
        ([], "ok"),
        ([size()], "ok"),
        ([size(), size("hidden", in_alias=False)], "error"),
        ([size(gigabytes=51)], "warning"),
        ([size(str(n)) for n in range(401)], "warning"),
    ],
)
def test_indices_are_judged(sizes: list[IndexSize], level: str) -> None:
    found = judgements.indices(sizes)
    assert found.level == level
    assert found.level == "ok" or found.advice


@pytest.mark.parametrize(
    ("status", "level"),
    [(400, "unknown"), (404, "unknown"), (403, "unknown"), (429, "error"), (503, "error")],
)
def test_a_refused_question_is_visible(status: int, level: str) -> None:
    found = judgements.not_offered("nodes", status, "x")
    assert found.level == level
    assert found.detail


def test_slow_searches_and_other_templates() -> None:
    assert judgements.latency(0.1).level == "ok"
    assert judgements.latency(2.5).level == "warning"
    assert judgements.template(["template.settings.index.number_of_shards"]).level == "warning"
    assert judgements.mapping({}, {"i": ["Price"]}).level == "warning"
