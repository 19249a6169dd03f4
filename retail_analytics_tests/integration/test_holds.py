"""A held feed: arrivals are reported, nothing is made by itself, all of it is made once it is released."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from retail_analytics.batch import holds
from retail_analytics.lake import windows
from retail_analytics.lake.holds import Hold, read_hold
from retail_analytics_tests.integration.test_automation import evaluate, requested, run_requests

if TYPE_CHECKING:
    from retail_analytics_tests.integration.lakes import Deployment


def hold(deployment: Deployment, reason: str = "the till sends nonsense") -> None:
    holds.hold(deployment.instance, deployment.lake.feed, deployment.key("compacted"), reason, "Ada")


def release(deployment: Deployment) -> Hold | None:
    return holds.release(deployment.instance, deployment.lake.feed, deployment.key("compacted"), "Ada")


def test_what_came_during_a_hold_is_made_when_it_ends(deployment: Deployment) -> None:
    _, cursor = evaluate(deployment)
    hold(deployment)
    deployment.put(1, 1)
    assert deployment.report() >= 29
    asked, cursor = evaluate(deployment, cursor)
    assert "compacted" not in asked
    wanted = set(deployment.materializations("raw"))
    assert asked["catalog"] == wanted
    # It goes on for as many looks as it takes, and through what comes meanwhile.
    deployment.put(2, 2)
    deployment.report()
    for _ in range(2):
        asked, cursor = evaluate(deployment, cursor)
        assert "compacted" not in asked
    # What automation asked for, run as the daemon would: the catalog is not held.
    tags = windows.range_tags(deployment.start, deployment.hour(len(wanted) - 1))
    assert deployment.run("catalog", tags=tags).success
    asked, cursor = evaluate(deployment, cursor)
    assert "compacted" not in asked

    before = release(deployment)
    assert before is not None
    assert (before.reason, before.by) == ("the till sends nonsense", "Ada")
    asked, cursor = evaluate(deployment, cursor)
    assert asked["compacted"] == wanted
    assert "compacted" not in evaluate(deployment, cursor)[0]


def test_a_person_may_still_run_what_they_want_and_its_days_wait(deployment: Deployment) -> None:
    deployment.put(1, 1)
    deployment.report()
    _, cursor = evaluate(deployment)
    hold(deployment)
    result = deployment.compact(0, 28)
    assert result.success
    (check,) = [each for each in result.get_asset_check_evaluations() if each.check_name == holds.CHECK]
    assert not check.passed
    assert "the till sends nonsense" in (check.description or "")
    asked, cursor = evaluate(deployment, cursor)
    assert not {"compacted", "transactions", "sales_hourly"} & set(asked)
    release(deployment)
    asked, cursor = evaluate(deployment, cursor)
    assert "compacted" not in asked or asked["compacted"].isdisjoint(deployment.materializations("compacted"))
    assert asked["transactions"] == set(deployment.metadata("event_days"))


def test_catching_up_waits_as_well(deployment: Deployment) -> None:
    now = datetime.now(UTC)
    deployment.put(20, 20)
    deployment.lake.make_tables()
    hold(deployment)
    for name in ("retail_trans_catch_up", "retail_trans_catch_up_days"):
        said = str(run_requests(deployment, name, now))
        assert "the till sends nonsense" in said
        assert "retail-analytics release retail_trans" in said
    release(deployment)
    assert len(requested(deployment, "retail_trans_catch_up", now)) == 1


def test_a_hold_is_seen_where_people_look_and_may_be_renewed(deployment: Deployment) -> None:
    feed, instance = deployment.lake.feed, deployment.instance
    assert read_hold(instance, feed) is None
    assert release(deployment) is None
    began = datetime.now(UTC)
    hold(deployment)
    hold(deployment, "still nonsense")
    found = read_hold(instance, feed)
    assert found is not None
    assert (found.reason, found.by) == ("still nonsense", "Ada")
    assert abs((found.since - began).total_seconds()) < 60
    assert deployment.metadata("hold")[""] == {"reason": "still nonsense", "by": "Ada"}
    release(deployment)
    assert read_hold(instance, feed) is None
    told = [
        str(record.asset_observation.metadata["hold"].value)
        for record in instance.fetch_observations(deployment.key("compacted"), limit=10).records
        if record.asset_observation
    ]
    assert [line.split(":")[0].split(" ")[0] for line in told] == ["Released", "Held", "Held"]
    assert "still nonsense" in told[0]
