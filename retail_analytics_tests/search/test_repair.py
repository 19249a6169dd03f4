"""Repair: days are made exactly the lake's, by a click or after a failed reconciliation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from retail_analytics.search.assets import search_index_key
from retail_analytics.search.index_days import DayIndexer
from retail_analytics.search.repair import digest_of
from retail_analytics.search.sensors import build_repair_sensor
from retail_analytics_tests.search.test_assets import (
    FROM_TO,
    NODE,
    Lake,
    checks,
    row,
    run,
    with_search_at,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opensearchpy import OpenSearch

    from retail_analytics.feeds import Feed
    from retail_analytics.search.dead_letters import DeadLetterStore
    from retail_analytics.settings import Settings

SECOND = date(2025, 12, 2)
AUTOMATED = {"dagster/from_automation_condition": "true"}
EVERY = dict(zip(FROM_TO, ("2025-12-01", "2025-12-03"), strict=True))


@pytest.fixture
def lake() -> Lake:
    return Lake()


@pytest.fixture
def settings(settings: Settings, feed: Feed) -> Settings:
    return replace(settings, first_hours={feed.name: datetime(2025, 12, 1, tzinfo=UTC)})


@pytest.fixture
def definitions(
    feed: Feed, settings: Settings, lake: Lake, s3: Any, empty_search: OpenSearch
) -> dg.Definitions:
    return with_search_at(settings.opensearch_url, feed, settings, lake)


def documents(client: OpenSearch) -> dict[str, Any]:
    client.indices.refresh(index="retail_trans")
    found = client.search(index="retail_trans", body={"size": 1000, "sort": ["_doc"]})["hits"]["hits"]
    return {hit["_id"]: (hit["_index"], hit["_source"]) for hit in found}


def damage(client: OpenSearch, whole: dict[str, Any]) -> None:
    """One document gone, one different, one under another day, one in another month, two of nobody."""
    of_second = sorted(each for each in whole if whole[each][1]["InvoiceDate"][8:10] == "02")
    gone, changed, moved, strayed = of_second[:4]
    index, source = whole[changed]
    client.delete(index=index, id=gone)
    client.index(index=index, id=changed, body={**source, "Quantity": 7})
    elsewhere = {**source, "InvoiceDate": "2025-12-09T00:00:00Z", "record_id": moved}
    client.index(index=index, id=moved, body=elsewhere)
    client.delete(index=index, id=strayed)
    client.index(index="retail_trans-2024.01", id=strayed, body=whole[strayed][1])
    client.index(index=index, id="f" * 32, body={**source, "record_id": "f" * 32})
    without_id = {name: value for name, value in source.items() if name != "record_id"}
    client.index(index=index, id="shard:1", body=without_id)
    client.indices.refresh(index="retail_trans")


def test_materializing_days_makes_them_exact(
    definitions: dg.Definitions, feed: Feed, empty_search: OpenSearch
) -> None:
    assert run(definitions, search_index_key(feed), tags=EVERY).success
    whole = documents(empty_search)
    damage(empty_search, whole)
    result = run(definitions, search_index_key(feed), partition_key="2025-12-02")
    told = result.asset_materializations_for_node(NODE)[0].metadata
    assert told["whole run: created"].value == 2
    assert told["whole run: rewritten"].value == 2
    assert told["whole run: removed"].value == 2
    after = documents(empty_search)
    assert after.pop("shard:1")  # without a record id: the lake cannot tell whose it is
    assert after == whole
    assert checks(result)["documents_reconcile"].passed


def test_automation_adds_and_touches_nothing_else(
    definitions: dg.Definitions, feed: Feed, empty_search: OpenSearch
) -> None:
    assert run(definitions, search_index_key(feed), tags=EVERY).success
    damage(empty_search, documents(empty_search))
    before = documents(empty_search)
    result = run(definitions, search_index_key(feed), partition_key="2025-12-02", tags=AUTOMATED)
    told = result.asset_materializations_for_node(NODE)[0].metadata
    assert told["whole run: days compared"].value == 0
    assert told["whole run: created"].value == 2
    after = documents(empty_search)
    assert {name: after[name] for name in before if name in after} != {}
    assert all(after[name] == before[name] for name in before if before[name][0] != "retail_trans-2024.01")
    assert not checks(result)["documents_reconcile"].passed


def test_days_that_are_as_they_should_be_are_compared_and_left(
    definitions: dg.Definitions, feed: Feed, empty_search: OpenSearch
) -> None:
    for _ in range(2):
        result = run(definitions, search_index_key(feed), partition_key="2025-12-02")
        told = result.asset_materializations_for_node(NODE)[0].metadata
        assert told["whole run: days compared"].value == 1
        assert (told["whole run: rewritten"].value, told["whole run: removed"].value) == (0, 0)


def test_what_the_stream_brought_first_stays_on_days_that_are_not_settled(
    feed: Feed, search: OpenSearch, store: DeadLetterStore, lake: Lake
) -> None:
    indexer = DayIndexer(feed, search, store, lambda days: lake.of_days(None, days), settled=SECOND)
    indexer.make([SECOND])
    source = next(iter(documents(search).values()))[1]
    search.index(index="retail_trans-2025.12", id="f" * 32, body={**source, "record_id": "f" * 32})
    search.indices.refresh(index="retail_trans")
    done = indexer.make([SECOND])
    assert (done.removed, done.ahead, done.rewritten) == (0, 1, 0)
    later = replace(indexer, settled=date(2025, 12, 3)).make([SECOND])
    assert (later.removed, later.ahead, later.rewritten) == (1, 0, 0)


def test_a_record_that_was_delivered_twice_and_differently_settles_on_one_form(
    feed: Feed, search: OpenSearch, store: DeadLetterStore
) -> None:
    rows = [row(1, 2), row(1, 2, country="Eire")]
    found = []
    for given in (rows, rows[::-1], rows):

        def rows_of(days: Sequence[date], given: list[dict[str, Any]] = given) -> list[dict[str, Any]]:
            return given

        DayIndexer(feed, search, store, rows_of, settled=date(2026, 1, 1)).make([SECOND])
        found.append(documents(search))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 1


def test_a_row_that_no_index_takes_stays_a_dead_letter_and_no_difference(
    feed: Feed, search: OpenSearch, store: DeadLetterStore
) -> None:
    rows = [row(1, 2), row(2, 2, price=Decimal("NaN"))]
    indexer = DayIndexer(feed, search, store, lambda _: rows, settled=date(2026, 1, 1))
    for rewritten in (0, 0):
        done = indexer.make([SECOND])
        assert (done.rewritten, done.indexed.dead) == (rewritten, 1)
    assert len(list(store.list())) == 1


def test_a_failed_reconciliation_asks_for_its_days_once(
    definitions: dg.Definitions, feed: Feed, settings: Settings, empty_search: OpenSearch
) -> None:
    sensor = build_repair_sensor(feed, settings)
    with dg.DagsterInstance.ephemeral() as instance:

        def look(cursor: str | None) -> Any:
            return sensor.evaluate_tick(dg.build_sensor_context(instance, cursor=cursor))

        assert not look(None).run_requests
        assert run(definitions, search_index_key(feed), tags=EVERY, instance=instance).success
        assert not look(None).run_requests
        damage(empty_search, documents(empty_search))
        run(definitions, search_index_key(feed), tags={**EVERY, **AUTOMATED}, instance=instance)
        tick = look(None)
        (request,) = tick.run_requests
        assert [request.tags[tag] for tag in FROM_TO] == ["2025-12-02", "2025-12-02"]
        assert not look(tick.cursor).run_requests
        repaired = run(definitions, search_index_key(feed), tags=request.tags, instance=instance)
        assert checks(repaired)["documents_reconcile"].passed
        assert not look(tick.cursor).run_requests


def test_a_repair_that_did_not_help_is_not_repeated(
    definitions: dg.Definitions, feed: Feed, settings: Settings, empty_search: OpenSearch
) -> None:
    own = {**AUTOMATED, "dagster/sensor_name": "retail_trans_index_repair"}
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(definitions, search_index_key(feed), tags=EVERY, instance=instance).success
        damage(empty_search, documents(empty_search))
        run(definitions, search_index_key(feed), tags={**EVERY, **own}, instance=instance)
        tick = build_repair_sensor(feed, settings).evaluate_tick(dg.build_sensor_context(instance))
        assert not tick.run_requests


def test_the_sensor_is_off_unless_the_settings_say_otherwise(feed: Feed, settings: Settings) -> None:
    assert build_repair_sensor(feed, settings).default_status == dg.DefaultSensorStatus.STOPPED
    on = build_repair_sensor(feed, replace(settings, search_repair=True))
    assert on.default_status == dg.DefaultSensorStatus.RUNNING


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 2.0, "b": [1]}, {"b": [1.0], "a": 2}, True),
        ({"a": 2.5}, {"a": 2}, False),
        ({"a": None}, {}, False),
        ({"a": "2"}, {"a": 2}, False),
    ],
)
def test_content_is_the_same_however_a_server_writes_it(one: Any, other: Any, same: bool) -> None:
    assert (digest_of(one) == digest_of(other)) is same
