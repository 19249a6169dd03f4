"""What arrives is reported, what is reported is asked for, and what nobody asked for is caught up with."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from retail_analytics.definitions import build_resources
from retail_analytics.lake import hours
from retail_analytics.lake.arrivals import DeploymentMismatchError
from retail_analytics.lake.hours import closed_until, partition_key
from retail_analytics.lake.reconciliation import Sweep

if TYPE_CHECKING:
    from retail_analytics_tests.integration.lakes import Deployment

RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def tick(
    deployment: Deployment, cursor: str | None, name: str = "retail_trans_arrivals"
) -> tuple[dict[str, str], str]:
    """One tick of a sensor on raw hours: (versions that it reported, by hour; cursor)."""
    before = {hour: len(found) for hour, found in deployment.materializations("raw").items()}
    sensor = deployment.definitions.resolve_sensor_def(name)
    context = dg.build_sensor_context(
        instance=deployment.instance, cursor=cursor, resources=build_resources(deployment.lake.settings)
    )
    result = sensor.evaluate_tick(context)
    assert (result.run_requests, result.asset_events) == ([], [])
    told = {}
    closed = closed_until(deployment.lake.feed, deployment.lake.settings, deployment.now)
    for hour, found in deployment.materializations("raw").items():
        if hour < partition_key(closed) and len(found) > before.get(hour, 0):
            assert len(found) == before.get(hour, 0) + 1
            assert found[-1].tags is not None
            told[hour] = found[-1].tags["dagster/data_version"]
    assert result.cursor is not None
    return told, result.cursor


def evaluate(
    deployment: Deployment, cursor: dg.AssetDaemonCursor | None = None
) -> tuple[dict[str, set[str]], dg.AssetDaemonCursor]:
    """One look of declarative automation: (requested partitions by asset, cursor)."""
    result = dg.evaluate_automation_conditions(deployment.definitions, deployment.instance, cursor=cursor)
    asked = {}
    for key in deployment.definitions.resolve_asset_graph().get_all_asset_keys():
        found = result.get_requested_partitions(key)
        if found:
            asked[key.path[-1]] = {each for each in found if each is not None}
    return asked, result.cursor


def test_a_tick_reports_changed_hours_with_their_version_and_nothing_twice(deployment: Deployment) -> None:
    deployment.put(2, 1)
    told, cursor = tick(deployment, None)
    assert sorted(told)[:30] == [partition_key(deployment.hour(count)) for count in range(len(told))]
    assert len(told) >= 29
    filled = partition_key(deployment.hour(2))
    assert {version for hour, version in told.items() if hour != filled} == {"empty"}
    assert len(told[filled]) == 32

    assert tick(deployment, cursor)[0] == {}
    assert tick(deployment, None)[0] == {}  # a cursor that was reset reports nothing that is known

    late = deployment.put(10, 2)
    again, cursor = tick(deployment, cursor)
    assert list(again) == [partition_key(deployment.hour(10))]
    deployment.lake.delete(late)
    gone, cursor = tick(deployment, cursor)
    assert gone == {partition_key(deployment.hour(10)): "empty"}

    hour = deployment.materializations("raw")[filled][-1]
    values = {name: value.value for name, value in hour.metadata.items()}
    assert (values["objects"], values["digest"]) == (1, told[filled])


def test_a_change_that_nobody_told_of_is_found_by_the_sweep(deployment: Deployment) -> None:
    _, cursor = tick(deployment, None)
    quiet = {"Bucket": deployment.lake.settings.bucket, "NotificationConfiguration": {}}
    deployment.lake.s3.put_bucket_notification_configuration(**quiet)
    deployment.put(1, 1)
    assert tick(deployment, cursor)[0] == {}  # older than the look-back of 25 hours, and no message

    # The arrivals sensor has all of history before it, so that the first sweep waits for a day.
    nothing, cursor = tick(deployment, None, "retail_trans_reconciliation")
    assert nothing == {}
    waits = Sweep.loads(cursor or "")
    begun = dataclasses.replace(waits, begun=waits.begun - timedelta(hours=24))
    found, cursor = tick(deployment, begun.dumps(), "retail_trans_reconciliation")
    assert list(found) == [partition_key(deployment.hour(1))]
    deployment.put(2, 1)
    assert tick(deployment, cursor, "retail_trans_reconciliation")[0] == {}  # the next begins in a day


def test_dagsters_memory_of_another_lake_is_refused(deployment: Deployment) -> None:
    _, cursor = tick(deployment, None)
    lake = deployment.lake
    lake.s3.put_object(Bucket=lake.settings.bucket, Key="_deployment/id", Body=b"another")
    with pytest.raises(DeploymentMismatchError, match="but another answers"):
        tick(deployment, cursor)


def test_an_old_hour_that_changes_is_asked_for_and_no_other(deployment: Deployment) -> None:
    for count in (1, 2, 20):
        deployment.put(count, count)
    # Reported before automation's first look: which of the two sensors begins is chance.
    assert deployment.report() >= 29
    asked, cursor = evaluate(deployment)
    wanted = set(deployment.materializations("raw"))
    assert asked["catalog"] == asked["compacted"] == wanted
    assert deployment.compact(0, len(wanted) - 1).success

    asked, cursor = evaluate(deployment, cursor)
    assert "compacted" not in asked
    told = set(deployment.metadata("event_days"))
    assert asked["transactions"] == asked["sales_hourly"] == asked["product_daily"] == told

    # Days later, as it were, a late object falls into the second hour.
    deployment.put(1, 100)
    assert deployment.report() == 1
    asked, cursor = evaluate(deployment, cursor)
    assert asked["compacted"] == asked["catalog"] == {partition_key(deployment.hour(1))}
    assert "transactions" not in asked
    assert deployment.compact(1, 1).success
    asked, cursor = evaluate(deployment, cursor)
    # A sale of that day may be what a cancellation of a later one is looking for.
    changed = hours.day_key(deployment.hour(1).date())
    assert asked["transactions"] == {day for day in told if day >= changed}
    assert "compacted" not in asked
    asked, cursor = evaluate(deployment, cursor)
    assert not {"catalog", "compacted", "transactions"} & set(asked)


def test_hours_that_are_reported_after_the_first_look_are_asked_for_too(deployment: Deployment) -> None:
    asked, cursor = evaluate(deployment)
    assert asked == {}
    deployment.put(1, 1)
    deployment.report()
    wanted = set(deployment.materializations("raw"))
    asked, cursor = evaluate(deployment, cursor)
    assert asked["catalog"] == asked["compacted"] == wanted
    # They are asked for once, whatever becomes of the run.
    assert evaluate(deployment, cursor)[0] == {}


def test_what_is_made_already_is_not_asked_for_at_a_first_look(deployment: Deployment) -> None:
    deployment.put(1, 1)
    deployment.report()
    assert deployment.compact(0, 9).success
    asked, _ = evaluate(deployment)
    assert asked["compacted"] == set(deployment.materializations("raw")) - set(
        deployment.materializations("compacted")
    )


def run_requests(deployment: Deployment, name: str, at: datetime) -> list[dg.RunRequest] | str:
    schedule = deployment.definitions.resolve_schedule_def(name)
    context = dg.build_schedule_context(
        instance=deployment.instance,
        scheduled_execution_time=at,
        resources=build_resources(deployment.lake.settings),
    )
    result = schedule.evaluate_tick(context)
    return list(result.run_requests or ()) or result.skip_message or ""


def requested(deployment: Deployment, name: str, at: datetime) -> list[dg.RunRequest]:
    found = run_requests(deployment, name, at)
    assert isinstance(found, list), found
    return found


def run_request(deployment: Deployment, name: str, request: dg.RunRequest) -> None:
    """Run what a schedule asked for, as its own job."""
    schedule = deployment.definitions.resolve_schedule_def(name)
    job = deployment.definitions.resolve_job_def(schedule.job_name)
    assert job.execute_in_process(instance=deployment.instance, tags=request.tags).success


def test_before_there_are_tables_days_are_not_caught_up(deployment: Deployment) -> None:
    said = run_requests(deployment, "retail_trans_catch_up_days", datetime.now(UTC))
    assert "Table retail_trans_event_days not found" in said
    assert "`retail_trans/catalog`" in said


def ranges(requests: list[dg.RunRequest]) -> list[tuple[str, ...]]:
    return [tuple(request.tags[name] for name in RANGE) for request in requests]


def test_catching_up_asks_for_a_run_a_stretch_until_all_is_up_to_date(deployment: Deployment) -> None:
    by_hour, by_day = "retail_trans_catch_up", "retail_trans_catch_up_days"
    now = datetime.now(UTC)
    for count in (8, 9, 10, 20):
        deployment.put(count, count)
    deployment.lake.make_tables()
    asked = requested(deployment, by_hour, now)
    assert ranges(asked) == [
        (partition_key(deployment.hour(8)), partition_key(deployment.hour(10))),
        (partition_key(deployment.hour(20)), partition_key(deployment.hour(20))),
    ]
    keys = [request.run_key for request in asked]
    assert len(set(keys)) == 2
    assert [request.run_key for request in requested(deployment, by_hour, now)] == keys

    run_request(deployment, by_hour, asked[0])
    left = requested(deployment, by_hour, now)
    assert ranges(left) == ranges(asked[1:])
    run_request(deployment, by_hour, left[0])
    assert "are up to date" in str(run_requests(deployment, by_hour, now))

    days = sorted({hours.day_key(deployment.hour(count).date()) for count in (8, 9, 10, 20)})
    asked = requested(deployment, by_day, now)
    assert ranges(asked) == [(days[0], days[-1])]
    run_request(deployment, by_day, asked[0])
    if hours.day_key(now.date()) not in days:
        # Customers are judged as of today, too, whether it has had a sale or not.
        asked = requested(deployment, by_day, now)
        assert ranges(asked)[-1][-1] == hours.day_key(now.date())
        run_request(deployment, by_day, asked[-1])
    assert "up to date" in str(run_requests(deployment, by_day, now))
    assert len(deployment.lake.select("transactions", "record_id")) == 4


def test_everything_that_is_loaded_is_loadable_and_on(deployment: Deployment) -> None:
    definitions = deployment.definitions
    dg.Definitions.validate_loadable(definitions)
    repository = definitions.get_repository_def()
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    assert {"retail_trans_arrivals", "automation", "run_failures"} <= set(sensors)
    off = [
        name for name, sensor in sensors.items() if sensor.default_status != dg.DefaultSensorStatus.RUNNING
    ]
    assert off == ["retail_trans_index_repair"]  # it writes to the index unasked: a setting puts it on
    schedules = {schedule.name: schedule for schedule in repository.schedule_defs}
    assert {"retail_trans_catch_up", "retail_trans_catch_up_days", "retail_trans_nightly_crawl"} <= set(
        schedules
    )
    assert {schedule.default_status for schedule in schedules.values()} == {dg.DefaultScheduleStatus.RUNNING}
    assert {schedule.execution_timezone for schedule in schedules.values()} == {"UTC"}


def test_hours_and_days_backfill_in_one_run(deployment: Deployment) -> None:
    graph = deployment.definitions.resolve_asset_graph()
    for name in ("catalog", "compacted", "transactions", "sales_hourly", "product_daily", "customer_rfm"):
        node = graph.get(deployment.key(name))
        assert node.backfill_policy == dg.BackfillPolicy.single_run(), name
    assert not graph.get(deployment.key("raw")).is_executable
    assert not graph.get(deployment.key("event_days")).is_executable


def test_settings_of_another_deployment_give_other_partitions(deployment: Deployment) -> None:
    from retail_analytics.definitions import build_definitions

    later = dataclasses.replace(
        deployment.lake.settings, first_hours={"retail_trans": deployment.start + 5 * hours.HOUR}
    )
    graph = build_definitions(later).resolve_asset_graph()
    partitions = graph.get(deployment.key("compacted")).partitions_def
    assert partitions is not None
    assert partitions.get_first_partition_key() == partition_key(deployment.hour(5))
    assert not partitions.has_partition_key(partition_key(deployment.hour(4)))
