"""The assets, run as Dagster runs them: one partition, a range, a range with a bad hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from retail_analytics.batch.failures import run_failures
from retail_analytics.commands import jobs
from retail_analytics.lake import hours, windows
from retail_analytics.resources.athena import AthenaResource
from retail_analytics_tests.integration.lakes import line

if TYPE_CHECKING:
    from retail_analytics.resources.athena import QueryResult
    from retail_analytics_tests.integration.lakes import Deployment


def keys(deployment: Deployment, *counts: int) -> list[str]:
    return [hours.partition_key(deployment.hour(count)) for count in counts]


def failed_checks(result: dg.ExecuteInProcessResult) -> list[str]:
    return [each.check_name for each in result.get_asset_check_evaluations() if not each.passed]


def test_one_hour_tells_a_person_what_it_holds(deployment: Deployment) -> None:
    hour = deployment.hour(3)
    awkward = deployment.line(2, hour, Description="A | B\nC")
    deployment.lake.put(hour, [deployment.line(1, hour), awkward, awkward, "bad"])
    deployment.lake.put(hour, [deployment.line(3, hour, record_id=...)])
    (key,) = keys(deployment, 3)
    result = deployment.run("catalog", "compacted", tags={"dagster/partition": key})
    assert result.success
    assert len(result.get_asset_check_evaluations()) >= 3
    assert failed_checks(result) == []

    assert list(deployment.metadata("compacted")) == [key]
    made = deployment.metadata("compacted")[key]
    assert {name: made[name] for name in ("rows", "rejected", "duplicates", "raw lines", "raw objects")} == {
        "rows": 3,
        "rejected": 1,
        "duplicates": 1,
        "raw lines": 5,
        "raw objects": 2,
    }
    assert (made["state"], made["objects"], made["rows without id"]) == ("published", 1, 1)
    assert made["Athena query"]
    assert made["raw bytes"] > made["bytes"] > 0 or made["bytes"] > 0
    assert made["data scanned (bytes)"] > 0
    assert made["estimated cost (USD)"] >= 0
    preview = made["preview"].split("\n")
    assert preview[0].startswith("| invoice | stockcode | description |")
    assert [row.count("|") for row in preview] == [len(deployment.lake.feed.columns) + 1] * 5
    registered = deployment.metadata("catalog")[key]
    assert registered["hours with objects"] == 1
    assert "retail_trans_compacted" in registered["tables created"]
    days = deployment.metadata("event_days")
    assert days == {hours.day_key(hour.date()): {"compacted hours that touch it": 1}}


def test_a_range_is_one_run_and_each_hour_has_its_own_figures(deployment: Deployment) -> None:
    deployment.put(0, 1)
    deployment.put(1, 2, 3)
    deployment.put(3, 4, 5, 6)
    result = deployment.compact(0, 4)
    assert result.success
    assert failed_checks(result) == []
    made = deployment.metadata("compacted")
    assert list(made) == keys(deployment, 0, 1, 2, 3, 4)
    assert [row["rows"] for row in made.values()] == [1, 2, 0, 3, 0]
    assert [row["state"] for row in made.values()] == [
        "published",
        "published",
        "empty",
        "published",
        "empty",
    ]
    assert len({row.get("Athena query") for row in made.values()}) == 2
    # Once more: nothing to do, and the same figures.
    assert deployment.compact(0, 4).success
    again = deployment.metadata("compacted")
    assert [row["state"] for row in again.values()] == [
        "unchanged",
        "unchanged",
        "empty",
        "unchanged",
        "empty",
    ]
    assert [row["rows"] for row in again.values()] == [1, 2, 0, 3, 0]


def test_days_are_made_from_hours_and_their_sums_agree(deployment: Deployment) -> None:
    for count in range(0, 30, 5):
        deployment.put(count, 2 * count, 2 * count + 1)
    # Redelivered, more than a day later.
    deployment.lake.put(deployment.hour(29), [deployment.line(1, deployment.hour(0))])
    assert deployment.compact(0, 29).success
    names = [table.name for table in deployment.lake.feed.processed]
    told = sorted(deployment.metadata("event_days"))
    days = [hours.from_day_key(key) for key in told]
    result = deployment.run(*names, tags=windows.day_range_tags(days[0], days[-1]))
    assert result.success, jobs.failures_of(result)
    assert failed_checks(result) == []
    for name in names:
        made = deployment.metadata(name)
        assert sorted(made) == told
        if "lines" in [measure.name for measure in deployment.lake.feed.processed_table(name).measures]:
            assert sum(row.get("lines", 0) for row in made.values()) == 12, name
    hourly = deployment.materializations("sales_hourly")[told[0]][-1].metadata["dagster/column_lineage"].value
    assert isinstance(hourly, dg.TableColumnLineage)
    transactions = deployment.key("transactions")
    assert hourly.deps_by_column["net"] == [dg.TableColumnDep(transactions, "line_amount")]
    assert hourly.deps_by_column["lines"] == []
    lines = deployment.metadata("transactions")
    assert sum(row["rows"] for row in lines.values()) == 12
    assert sum(row.get("repeated across hours", 0) for row in lines.values()) == 1


def test_events_before_the_first_hour_are_kept_though_no_partition_shows_them(deployment: Deployment) -> None:
    hour = deployment.hour(2)
    deployment.lake.put(hour, [line(1, InvoiceDate="2009-12-01 07:45:00"), deployment.line(2, hour)])
    assert deployment.compact(2, 2).success
    assert sorted(deployment.metadata("event_days")) == [hours.day_key(hour.date())]
    assert deployment.metadata("compacted")[keys(deployment, 2)[0]]["rows"] == 2


def test_an_event_of_any_day_leaves_the_run_whole(deployment: Deployment) -> None:
    hour = deployment.hour(1)
    odd = ("0000-01-01", "0001-01-01", "9999-12-31")
    deployment.lake.put(hour, [deployment.line(1, hour)])
    deployment.lake.put(hour, [line(2 + n, InvoiceDate=f"{day} 00:00:00") for n, day in enumerate(odd)])
    result = deployment.compact(1, 1)
    assert result.success, jobs.failures_of(result)
    made = deployment.metadata("compacted")[keys(deployment, 1)[0]]
    assert made["raw lines"] == made["rows"] + made["rejected"] == 4


@pytest.fixture
def spoilt(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> str:
    """The partition key of an hour whose audits find a line more than there is."""
    hour = deployment.hour(1)
    honest = AthenaResource.query

    def query(self: AthenaResource, sql: str, parameters: Any = ()) -> QueryResult:
        result = honest(self, sql, parameters)
        for row in result.rows:
            if row.get("part") == hours.part(hour):
                row["lines"] += 1
        return result

    monkeypatch.setattr(AthenaResource, "query", query)
    return hours.partition_key(hour)


def test_a_bad_hour_fails_the_run_by_its_name_and_the_good_ones_are_published(
    deployment: Deployment, spoilt: str
) -> None:
    for count in range(3):
        deployment.put(count, count)
    result = deployment.compact(0, 2)
    assert not result.success
    (said,) = jobs.failures_of(result)
    assert "1 of 3 hours were not published" in said
    assert f"{spoilt}: 2 lines in raw, but 1 compacted" in said
    assert deployment.lake.compacted_ids(*(deployment.hour(count) for count in range(3))) == [
        f"{number:032x}" for number in (0, 2)
    ]
    made = deployment.metadata("compacted")
    assert list(made) == keys(deployment, 0, 2)
    assert [row["rows"] for row in made.values()] == [1, 1]
    assert deployment.metadata("event_days")

    # Retrying would not help, so the step was tried once; and the failure is told on the asset.
    steps = [
        event for event in result.all_events if event.is_step_start and "compacted" in (event.step_key or "")
    ]
    assert len(steps) == 1
    note_failure(deployment, result)
    (note,) = observations(deployment, "compacted")
    assert note.metadata["failed run"].value == result.run_id
    assert spoilt in str(note.metadata["reason"].value)
    assert note.metadata["partitions"].value == " to ".join(keys(deployment, 0, 2))
    assert note.partition is None


def test_a_failure_of_one_hour_is_told_on_that_hour(deployment: Deployment, spoilt: str) -> None:
    deployment.put(1, 1)
    result = deployment.run("catalog", "compacted", tags={"dagster/partition": spoilt})
    assert not result.success
    note_failure(deployment, result)
    assert [note.partition for note in observations(deployment, "compacted")] == [spoilt]
    assert deployment.materializations("compacted") == {}


def note_failure(deployment: Deployment, result: dg.ExecuteInProcessResult) -> None:
    run = deployment.instance.get_run_by_id(result.run_id)
    assert run is not None
    event = next(
        event
        for event in result.all_events
        if event.is_failure and event.event_type_value == "PIPELINE_FAILURE"
    )
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failures", dagster_event=event, dagster_instance=deployment.instance, dagster_run=run
    )
    run_failures(context.for_run_failure())


def observations(deployment: Deployment, name: str) -> list[dg.AssetObservation]:
    records = deployment.instance.fetch_observations(deployment.key(name), limit=10).records
    return [record.asset_observation for record in records if record.asset_observation]


def test_a_permanent_fault_is_told_in_a_sentence_and_not_retried(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.put(0, 1)
    deployment.lake.glue.delete_database(Name=deployment.lake.settings.database)
    result = deployment.compact(0, 0)
    assert not result.success
    starts = [event for event in result.all_events if event.is_step_start]
    assert len(starts) == 1
    assert (
        deployment.lake.settings.database in jobs.failures_of(result)[0]
        or "Database" in jobs.failures_of(result)[0]
    )


def test_hours_by_force_are_written_again(deployment: Deployment) -> None:
    deployment.put(0, 1)
    deployment.compact(0, 0)
    place = deployment.lake.location(deployment.hour(0))
    job = dg.define_asset_job("forced", selection=dg.AssetSelection.assets(deployment.key("compacted")))
    resolved = dg.Definitions.merge(deployment.definitions, dg.Definitions(jobs=[job])).resolve_job_def(
        "forced"
    )
    result = resolved.execute_in_process(
        run_config={
            "loggers": {"console": {}},
            "ops": {"retail_trans__compacted": {"config": {"force": True}}},
        },
        instance=deployment.instance,
        partition_key=keys(deployment, 0)[0],
    )
    assert result.success
    assert deployment.lake.location(deployment.hour(0)) != place
