"""Dagster's storage on a laptop: the same events as Dagster's own, kept by fewer connections."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.events import ASSET_EVENTS
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from retail_analytics.commands import local, local_storage
from retail_analytics.commands.local_storage import LocalEventLogStorage
from retail_analytics_tests.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = dg.AssetKey(["feed", "raw"])

DIES = """
import os, sys
import dagster as dg
with dg.DagsterInstance.get() as instance:
    for number in range(25):
        instance.report_runless_asset_event(dg.AssetMaterialization("a", partition=str(number)))
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dagster.yaml").write_text(local._INSTANCE_FILE.read_text())
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    assert home.is_dir()
    with dg.DagsterInstance.get() as made:
        yield made


@dg.asset(
    key=KEY,
    partitions_def=dg.StaticPartitionsDefinition(["a", "b"]),
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def raw() -> None:
    """Nothing."""


def partitions(instance: dg.DagsterInstance) -> list[str | None]:
    return sorted(record.partition_key for record in instance.fetch_materializations(KEY, limit=100).records)


def test_a_local_deployment_keeps_its_events_in_it(instance: dg.DagsterInstance) -> None:
    assert type(instance.event_log_storage) is LocalEventLogStorage


def test_dagsters_own_storage_reads_the_same_files(instance: dg.DagsterInstance, home: Path) -> None:
    run = dg.materialize([raw], instance=instance, partition_key="a")
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition="b"))
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.get() as other:
        assert type(other.event_log_storage) is SqliteEventLogStorage
        assert partitions(other) == partitions(instance) == ["a", "b"]
        assert other.all_logs(run.run_id) == instance.all_logs(run.run_id)
        # And the other way round, while both are open.
        other.report_runless_asset_event(dg.AssetMaterialization(KEY, partition="a"))
        assert partitions(instance) == ["a", "a", "b"]


def test_many_events_open_few_databases(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    prepare = local_storage._prepare

    def counted(connection: object, record: object) -> None:
        opened.append("a connection")
        prepare(connection, record)

    monkeypatch.setattr(local_storage, "_prepare", counted)
    for _ in range(40):
        instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition="a"))
    assert partitions(instance) == ["a"] * 40
    assert len(opened) <= 4  # the index and the events without a run, and what making them took
    for _ in range(12):
        dg.materialize([raw], instance=instance, partition_key="b")
    storage = instance.event_log_storage
    assert isinstance(storage, LocalEventLogStorage)
    assert len(storage._engines) <= local_storage._OPEN_RUNS + 1


def test_events_of_a_range_are_written_together(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "500")
    batches: list[int] = []
    store = LocalEventLogStorage.store_event_batch

    def counted(self: LocalEventLogStorage, events: list[dg.EventLogEntry]) -> None:
        batches.append(len(events))
        store(self, events)

    monkeypatch.setattr(LocalEventLogStorage, "store_event_batch", counted)
    tags = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "b"}
    run = dg.materialize([raw], instance=instance, tags=tags)
    assert batches == [2, 2]  # planned, and made
    assert partitions(instance) == ["a", "b"]
    made = dg.DagsterEventType.ASSET_MATERIALIZATION
    kinds = [entry.dagster_event_type for entry in instance.all_logs(run.run_id)]
    assert kinds.count(made) == 2
    assert instance.get_materialized_partitions(KEY) == {"a", "b"}


def test_what_was_written_outlives_a_killed_process(home: Path) -> None:
    assert home.is_dir()
    died = subprocess.run([sys.executable, "-c", DIES], check=False, timeout=PATIENCE_SECONDS)
    assert died.returncode == -9
    with dg.DagsterInstance.get() as instance:
        records = instance.fetch_materializations(dg.AssetKey("a"), limit=100).records
    assert sorted(int(record.partition_key or "") for record in records) == list(range(25))


def test_the_page_of_a_run_hears_of_its_events_as_they_are_written(instance: dg.DagsterInstance) -> None:
    with dg.DagsterInstance.get() as page:
        heard, done = [], threading.Event()

        def hear(entry: dg.EventLogEntry, _: str) -> None:
            heard.append(entry.dagster_event_type)
            if entry.dagster_event_type is dg.DagsterEventType.RUN_SUCCESS:
                done.set()

        run_id = "3f0d6a5e-6c0e-4a34-9f3e-0b1c5d0f2a11"
        page.watch_event_logs(run_id, None, hear)
        job = dg.Definitions(assets=[raw]).resolve_implicit_global_asset_job_def()
        job.execute_in_process(instance=instance, partition_key="a", run_id=run_id)
        assert done.wait(PATIENCE_SECONDS)
        page.end_watch_event_logs(run_id, hear)
    assert dg.DagsterEventType.ASSET_MATERIALIZATION in heard


def test_whoever_is_told_of_events_can_read_them(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    with dg.DagsterInstance.get() as page:

        def look(_: str) -> None:
            read.append(len(page.all_logs(run_id)))

        run_id = dg.materialize([raw], instance=instance, partition_key="a").run_id
        events = instance.all_logs(run_id)
        monkeypatch.setattr(local_storage.os, "utime", look)
        for event in events:
            instance.event_log_storage.store_event(event)
        instance.event_log_storage.store_event_batch(
            [event for event in events if event.dagster_event_type in ASSET_EVENTS]
        )
    assert read == [*range(len(events) + 1, 2 * len(events) + 1), 2 * len(events) + 2]


def test_wiped_events_are_gone(instance: dg.DagsterInstance) -> None:
    run = dg.materialize([raw], instance=instance, partition_key="a")
    instance.event_log_storage.wipe()
    assert partitions(instance) == []
    assert instance.all_logs(run.run_id) == []
    dg.materialize([raw], instance=instance, partition_key="b")
    assert partitions(instance) == ["b"]
