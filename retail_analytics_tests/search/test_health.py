"""Health: judged answers, and a server that offers less."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from opensearchpy import OpenSearch

from retail_analytics.search import judgements
from retail_analytics.search.consumer import read_consumer_lag
from retail_analytics.search.health import Health, read_health
from retail_analytics.search.judgements import Finding, IndexSize
from retail_analytics.search.templates import ensure_template

if TYPE_CHECKING:
    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings


def findings(health: Health) -> dict[str, Finding]:
    named = {finding.name: finding for finding in health.findings}
    assert len(named) == len(health.findings)
    return named


def test_a_good_server_is_healthy_and_says_what_it_does_not_tell(
    search: OpenSearch, feed: Feed, real_server: bool
) -> None:
    # A write or two may take less than the millisecond that servers count in.
    writes = [{"index": {"_index": "retail_trans-2010.12", "_id": "1"}}, {"Invoice": "1"}] * 500
    search.bulk(body=writes, refresh=True)
    health = read_health(search, feed)
    assert (health.status, health.nodes, health.documents, len(health.indices)) == ("green", 1, 1, 1)
    assert health.server.startswith("opensearch ")
    assert not health.of_level("error")
    assert not health.of_level("warning")
    unknown = {finding.name for finding in health.of_level("unknown")}
    assert unknown == (set() if real_server else {"nodes", "disk", "write_latency"})
    assert all("this server" in finding.detail for finding in health.of_level("unknown"))
    assert health.rejected_writes == (0 if real_server else None)
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
    settings = {"settings": {"number_of_replicas": 1, "auto_expand_replicas": False}}
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


@pytest.mark.parametrize(
    ("now", "before", "level", "said"),
    [
        ((0, 0), None, "ok", "nothing was written"),
        ((10, 0), None, "unknown", "timed no write"),
        ((10, 20), None, "ok", "2.00 ms"),
        ((10, 20), (10, 20), "ok", "nothing was written"),
        ((20, 1020), (10, 20), "warning", "100.00 ms a document, over 10"),
        ((5, 5), (10, 20), "ok", "1.00 ms a document, over 5"),
    ],
)
def test_writes_are_timed_since_the_last_look(
    now: tuple[int, int], before: tuple[int, int] | None, level: str, said: str
) -> None:
    found = judgements.write_latency(now, before)
    assert found.level == level
    assert said in found.detail


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(None, "unknown"), (0.0, "ok"), (299.0, "ok"), (301.0, "warning"), (43_201.0, "error")],
)
def test_a_handler_that_is_behind(seconds: float | None, level: str) -> None:
    found = judgements.consumer_lag("local-upsert-retail-trans", seconds, 24 * 3600)
    assert found.level == level
    assert bool(found.advice) == (level in ("warning", "error"))


def test_the_age_comes_from_cloudwatch(feed: Feed, settings: Settings, s3: Any) -> None:
    assert read_consumer_lag(feed, settings).level == "unknown"
    cloudwatch = boto3.client("cloudwatch", region_name=settings.region)
    names = {"FunctionName": "local-upsert-retail-trans", "Other": "local-upsert-retail-trans"}
    for (name, value), milliseconds in zip(names.items(), (400_000.0, 9e9), strict=True):
        datum: Any = {
            "MetricName": "IteratorAge",
            "Dimensions": [{"Name": name, "Value": value}],
            "Value": milliseconds,
            "Unit": "Milliseconds",
            "Timestamp": datetime.now(UTC) - timedelta(minutes=2),
        }
        cloudwatch.put_metric_data(Namespace="AWS/Lambda", MetricData=[datum])
    found = read_consumer_lag(feed, settings)
    assert (found.level, found.detail) == ("warning", "400 s behind")


def test_a_cloudwatch_that_is_not_there_is_unknown(
    feed: Feed, settings: Settings, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retail_analytics.search.consumer.session", lambda _: _Refusing())
    found = read_consumer_lag(feed, settings)
    assert found.level == "unknown"
    assert "AccessDenied" in found.detail


class _Refusing:
    def client(self, _: str) -> _Refusing:
        return self

    def get_metric_statistics(self, **_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetMetricStatistics")
