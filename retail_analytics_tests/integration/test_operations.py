"""What a person is told of hours: why one is stale, what a re-made one differed by, and the map of all."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from retail_analytics.batch import compaction, objects_noted, overview
from retail_analytics.batch.objects_noted import Changes
from retail_analytics.batch.why import explain
from retail_analytics.lake import hours
from retail_analytics.lake.failed_runs import Failure
from retail_analytics.resources.athena import AthenaError, AthenaResource
from retail_analytics_tests.integration.lakes import HOUR, later, line
from retail_analytics_tests.integration.test_automation import ranges, requested, run_request, run_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from retail_analytics.batch.why import Explanation
    from retail_analytics.resources.athena import Execution
    from retail_analytics_tests.integration.lakes import Deployment, Lake


def name(key: str) -> str:
    return key.rsplit("/", 1)[-1]


def why(lake: Lake, hour: datetime = HOUR) -> Explanation:
    return explain(lake.s3, lake.catalog, lake.feed, lake.settings, hour, datetime.now(UTC))


def test_a_stale_hour_names_the_objects_that_differ(lake: Lake) -> None:
    _, rewritten, removed = (lake.put(HOUR, [line(number)]) for number in range(3))
    lake.put(later(1), [line(9)])
    first, _ = lake.compact(HOUR, later(1))
    assert first.changes is None
    assert why(lake).kind == "compacted"

    lake.put(HOUR, [line(1), line(11)], name(rewritten))
    lake.delete(removed)
    added = lake.put(HOUR, [line(12)])
    found = why(lake)
    assert found.kind == "waiting"
    assert found.difference == objects_noted.Difference((name(added),), (name(rewritten),), (name(removed),))
    assert found.published is not None
    assert (found.published.digest, found.published.published_at) == (first.digest, first.published_at)
    assert found.raw.digest != first.digest

    again = lake.compact_one()
    assert again.changes == Changes(1, 1, 1)
    assert why(lake).difference == objects_noted.Difference()
    # Read back with what else is noted, and the other hour of the old folder is not in need of anything.
    assert lake.compact_one().changes == Changes(1, 1, 1)
    assert (why(lake, later(1)).kind, why(lake, later(1)).difference) == (
        "compacted",
        objects_noted.Difference(),
    )


def test_an_hour_that_is_emptied_and_filled_again(lake: Lake) -> None:
    keys = [lake.put(HOUR, [line(number)]) for number in range(2)]
    lake.compact_one()
    for key in keys:
        lake.delete(key)
    assert why(lake).difference == objects_noted.Difference(removed=tuple(sorted(map(name, keys))))
    assert lake.compact_one().changes == Changes(removed=2)
    assert (why(lake).kind, why(lake).difference) == ("empty", objects_noted.Difference())
    lake.put(HOUR, [line(5)])
    assert lake.compact_one().changes == Changes(added=1)


def test_an_hour_whose_objects_were_not_noted_is_as_good_as_any(lake: Lake) -> None:
    lake.put(HOUR, [line(1)])
    lake.compact_one()
    folder = lake.location().rstrip("/").rsplit("/", 1)[0]
    (note,) = [key for key in lake.keys(folder) if name(key) == objects_noted.NAME]
    lake.delete(note)
    assert why(lake).difference is None
    lake.put(HOUR, [line(2)])
    again = lake.compact_one()
    assert (again.state, again.changes) == ("published", None)
    assert len(lake.compacted_ids()) == 2


def test_older_rules_are_told_with_what_to_do(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.put(HOUR, [line(1)])
    lake.compact_one()
    monkeypatch.setattr(compaction.compaction_sql, "RULES_VERSION", 1000)
    found = why(lake)
    assert (found.kind, found.older_rules) == ("compacted", True)
    assert (
        "retail-analytics backfill --feed retail_trans --from 2010-12-01T08 --to 2010-12-01T08" in found.next
    )


class BrokenError(BaseException):
    """Stops a query."""


def test_results_are_given_as_soon_as_they_are_facts(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "MOST_BYTES", 1)  # an hour a batch
    these = [later(number) for number in range(3)]
    for number, hour in enumerate(these):
        lake.put(hour, [line(number)])
    breaking(monkeypatch, BrokenError(), after=2)
    made: dict[datetime, str] = {}

    def follow() -> None:
        for settled in compaction.compact_in_batches(lake.pipeline, these):
            made.update({hour: result.state for hour, result in settled.items()})

    with pytest.raises(BrokenError):
        follow()
    assert made == {these[0]: "published", these[1]: "published"}
    assert lake.compacted_ids(*these) == [f"{number:032x}" for number in range(2)]


def breaking(monkeypatch: pytest.MonkeyPatch, error: BaseException, after: int) -> None:
    """Let so many CTAS come to their end, and then none."""
    honest = AthenaResource.begun
    writes: list[str] = []

    def broken() -> Execution:
        raise error

    @contextmanager
    def begun(self: AthenaResource, sql: str) -> Iterator[Callable[[], Execution]]:
        writes.append(sql)
        with honest(self, sql) as ended:
            yield ended if len(writes) <= after else broken

    monkeypatch.setattr(AthenaResource, "begun", begun)


@pytest.mark.parametrize(
    "error", [AthenaError("the query ran out of memory"), DagsterExecutionInterruptedError()]
)
def test_an_error_in_a_range_leaves_its_published_hours_told(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(compaction, "MOST_BYTES", 1)
    for count in range(4):
        deployment.put(count, count)
    breaking(monkeypatch, error, after=2)
    assert not deployment.compact(0, 3).success
    made = deployment.materializations("compacted")
    assert list(made) == [hours.partition_key(deployment.hour(count)) for count in range(2)]
    assert {each[0].metadata["state"].value for each in made.values()} == {"published"}
    assert set(deployment.metadata("event_days")) == {
        hours.day_key(deployment.hour(count).date()) for count in range(2)
    }


def test_a_late_object_is_told_with_what_it_changed(deployment: Deployment) -> None:
    deployment.put(1, 1)
    first = deployment.compact(1, 1)
    deployment.put(1, 2, 3)
    assert deployment.compact(1, 1).success
    assert deployment.compact(1, 1).success
    again, changed, made = reversed(
        [
            {label: value.value for label, value in each.metadata.items()}
            for each in deployment.materializations("compacted")[hours.partition_key(deployment.hour(1))]
        ]
    )
    assert "what differed" not in made
    assert changed["what differed"] == "objects: 1 added, 0 rewritten, 0 removed"
    assert (again["state"], again["what differed"]) == ("unchanged", changed["what differed"])
    assert again["published by"] not in ("", first.run_id)


def test_what_was_published_but_never_told_is_caught_up_with(deployment: Deployment) -> None:
    now = datetime.now(UTC)
    for count in (8, 9, 20):
        deployment.put(count, count)
    assert deployment.compact(20, 20).success
    # A kill just after publishing: the lake is right, and Dagster knows nothing of it.
    deployment.lake.compact(deployment.hour(8), deployment.hour(9))
    writes = deployment.lake.athena.writes
    (request,) = requested(deployment, "retail_trans_catch_up", now)
    assert ranges([request]) == [
        (hours.partition_key(deployment.hour(8)), hours.partition_key(deployment.hour(9)))
    ]
    run_request(deployment, "retail_trans_catch_up", request)
    assert deployment.lake.athena.writes == writes
    assert len(deployment.metadata("compacted")) == 3
    assert "are up to date" in str(run_requests(deployment, "retail_trans_catch_up", now))


def test_the_map_shows_each_hour_as_it_is(deployment: Deployment) -> None:
    lake, now = deployment.lake, datetime.now(UTC)

    def seen() -> dict[int, overview.HourView]:
        view = overview.look(lake.s3, lake.catalog, lake.feed, lake.settings, now, 48, deployment.instance)
        assert len(view.hours) == 48
        return {int((each.hour - deployment.start) / hours.HOUR): each for each in view.hours}

    for count in (2, 3, 4, 27):
        deployment.put(count, count)
    before = seen()  # there is no table yet
    assert before[-1].kind == "before"
    assert [before[count].kind for count in (0, 2, 27, 30)] == ["empty", "waiting", "waiting", "open"]

    assert deployment.compact(2, 3).success
    key = f"00-error/{hours.prefix(lake.feed, deployment.hour(5)).removeprefix(lake.feed.raw_root)}"
    stream = lake.feed.stream
    lake.s3.put_object(
        Bucket=lake.settings.bucket,
        Key=f"{key}processing-failed/{stream}-1-{deployment.hour(5):%Y-%m-%d-%H}-00-00-x",
        Body=b'{"errorCode": "Lambda.FunctionError"}\n',
    )
    failed = hours.partition_key(deployment.hour(4))
    note = Failure("the-run", failed, failed, "the query ran out of memory").note(deployment.key("compacted"))
    deployment.instance.report_runless_asset_event(note)
    after = seen()
    assert [after[count].kind for count in (1, 2, 3, 4, 5)] == [
        *("empty", "compacted", "compacted", "failed", "errors"),
    ]
    assert after[4].note == "failed once: the query ran out of memory"
    assert after[5].errors == 1
