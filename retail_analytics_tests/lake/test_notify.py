"""One message a run: what it says, that it is told once, and that its failure is a failed tick."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.run_status_sensor_definition import RunStatusSensorCursor

from retail_analytics.lake import hours, notify, windows
from retail_analytics.lake.notify import build_notify_sensors
from retail_analytics.resources.notices import Notice, NoticeError, Notifier
from retail_analytics.settings import Settings

START = datetime(2010, 12, 1, 8, tzinfo=UTC)
HOURS = dg.HourlyPartitionsDefinition(start_date=START, timezone="UTC", fmt=hours.KEY_FORMAT)
KEYS = [hours.partition_key(START + count * hours.HOUR) for count in range(3)]
RANGE = windows.range_tags(START, START + 2 * hours.HOUR)


@dataclass(frozen=True)
class Listening(Notifier):
    """Keeps what it is to send, or fails to."""

    heard: list[Notice] = field(default_factory=list)
    broken: list[bool] = field(default_factory=list)

    @property
    def is_on(self) -> bool:
        return True

    def send(self, notice: Notice) -> None:
        if self.broken and self.broken.pop(0):
            raise NoticeError("The webhook at hooks.example answered 500.")
        self.heard.append(notice)


@dg.asset(
    key=["retail_trans", "compacted"], partitions_def=HOURS, backfill_policy=dg.BackfillPolicy.single_run()
)
def compacted(context: dg.AssetExecutionContext) -> None:
    if context.run.tags.get("break"):
        raise dg.Failure("2 of 3 hours were not published", allow_retries=False)
    for number, key in enumerate(context.partition_keys):
        state = "published" if number else "empty"
        context.add_asset_metadata({"state": state, "rows": number, "rejected": 1}, partition_key=key)


@dg.asset(key=["retail_trans", "crawler"])
def other() -> None:
    """Compacts nothing."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp() as made:
        yield made


def run(instance: dg.DagsterInstance, asset: dg.AssetsDefinition, **tags: str) -> dg.DagsterRun:
    every = {**(RANGE if asset is compacted else {}), **tags}
    result = dg.materialize([asset], instance=instance, tags=every, raise_on_error=False)
    found = instance.get_run_by_id(result.run_id)
    assert found is not None
    return found


def tick(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None) -> Any:
    """One tick as the daemon makes it, beginning with what is behind the cursor."""
    context = dg.build_sensor_context(instance=instance, cursor=cursor)
    return sensor.evaluate_tick(context)


def beginning() -> str:
    return RunStatusSensorCursor(record_id=0, record_timestamp="2010-01-01T00:00:00+00:00").to_json()


def test_nothing_is_loaded_while_nobody_is_to_be_told() -> None:
    assert build_notify_sensors(Settings()) == []
    settings = Settings(notify_webhook="https://hooks.example/secret")
    sensors = build_notify_sensors(settings)
    assert [sensor.name for sensor in sensors] == ["announce_compacted_hours", "announce_failed_runs"]
    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.RUNNING}


def test_compacted_hours_are_one_message_with_their_counts(instance: dg.DagsterInstance) -> None:
    listening = Listening()
    made = run(instance, compacted)
    succeeded, _ = build_notify_sensors(Settings(deployment="here"), listening)
    result = tick(succeeded, instance, beginning())
    assert [each.error for each in result.dagster_run_reactions] == [None]
    (notice,) = listening.heard
    assert notice.subject == f"here: 3 hours of retail_trans compacted ({KEYS[0]} to {KEYS[2]})"
    at = datetime.fromisoformat(str(notice.body["at"]))
    assert at.utcoffset() is not None
    assert {name: value for name, value in notice.body.items() if name != "at"} == {
        "version": 1,
        "id": f"{made.run_id}/hours_compacted",
        "event": "hours_compacted",
        "deployment": "here",
        "feed": "retail_trans",
        "run_id": made.run_id,
        "job": made.job_name,
        "assets": ["retail_trans/compacted"],
        "first": KEYS[0],
        "last": KEYS[2],
        "hours": 3,
        "all_hours_counted": True,
        "states": {"empty": 1, "published": 2},
        "rows": 3,
        "rejected": 3,
        "duplicates": 0,
    }
    assert notice.attributes == {"event": "hours_compacted", "feed": "retail_trans", "deployment": "here"}


def test_a_run_is_announced_once_though_the_sensor_begins_anew(instance: dg.DagsterInstance) -> None:
    listening = Listening()
    run(instance, compacted)
    succeeded, _ = build_notify_sensors(Settings(), listening)
    tick(succeeded, instance, beginning())
    again = tick(succeeded, instance, beginning())
    assert "announced before" in again.skip_message
    assert len(listening.heard) == 1


def test_a_run_that_is_executed_again_is_told_though_it_inherits_tags(instance: dg.DagsterInstance) -> None:
    listening = Listening()
    first = run(instance, compacted)
    succeeded, _ = build_notify_sensors(Settings(), listening)
    cursor = tick(succeeded, instance, beginning()).cursor
    inherited = instance.get_run_by_id(first.run_id).tags[notify.TOLD]  # type: ignore[union-attr]
    again = run(instance, compacted, **{notify.TOLD: inherited})
    tick(succeeded, instance, cursor)
    assert [notice.body["run_id"] for notice in listening.heard] == [first.run_id, again.run_id]


def test_other_runs_are_no_news(instance: dg.DagsterInstance) -> None:
    listening = Listening()
    run(instance, other)
    succeeded, failed = build_notify_sensors(Settings(), listening)
    assert "compacted no hours" in tick(succeeded, instance, beginning()).skip_message
    tick(failed, instance, beginning())
    assert listening.heard == []


def test_a_failed_run_is_announced_with_its_first_reason(instance: dg.DagsterInstance) -> None:
    listening = Listening()
    made = run(instance, compacted, **{"break": "yes"})
    _, failed = build_notify_sensors(Settings(), listening)
    tick(failed, instance, beginning())
    (notice,) = listening.heard
    told = {
        name: notice.body[name] for name in ("event", "run_id", "first", "last", "hours", "reason", "assets")
    }
    assert told == {
        "event": "run_failed",
        "run_id": made.run_id,
        "first": KEYS[0],
        "last": KEYS[2],
        "hours": 3,
        "reason": "2 of 3 hours were not published",
        "assets": ["retail_trans/compacted"],
    }
    assert {name: notice.body[name] for name in told} == told
    assert notice.subject == f"local: a run of retail_trans failed ({KEYS[0]} to {KEYS[2]})"


def test_a_notice_that_reaches_nobody_is_a_failed_tick_and_the_next_run_is_told(
    instance: dg.DagsterInstance,
) -> None:
    listening = Listening(broken=[True])
    first, second = run(instance, compacted), run(instance, compacted)
    succeeded, _ = build_notify_sensors(Settings(), listening)
    result = tick(succeeded, instance, beginning())
    # Dagster shows the tick as failed: a reaction with an error, and no success of another run behind it.
    assert listening.heard == []
    assert [(each.dagster_run.run_id, each.error is not None) for each in result.dagster_run_reactions] == [
        (first.run_id, True)
    ]
    assert "answered 500" in result.dagster_run_reactions[0].error.to_string()
    tick(succeeded, instance, result.cursor)
    assert [notice.body["run_id"] for notice in listening.heard] == [second.run_id]
    assert instance.get_run_by_id(first.run_id).status == dg.DagsterRunStatus.SUCCESS  # type: ignore[union-attr]
    assert notify.TOLD not in instance.get_run_by_id(first.run_id).tags  # type: ignore[union-attr]


def test_a_long_run_is_counted_up_to_a_bound(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "MOST_HOURS", 2)
    monkeypatch.setattr(notify, "_PAGE", 1)
    listening = Listening()
    run(instance, compacted)
    tick(build_notify_sensors(Settings(), listening)[0], instance, beginning())
    assert (listening.heard[0].body["hours"], listening.heard[0].body["all_hours_counted"]) == (2, False)
