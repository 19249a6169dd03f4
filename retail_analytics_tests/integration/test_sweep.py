"""The sweep: what nothing points at goes, after its grace; what is published stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from retail_analytics.batch import objects_noted, processed
from retail_analytics.batch.sweep import GRACE, Swept, sweep
from retail_analytics.lake import hours, tables
from retail_analytics_tests.integration.lakes import HOUR, Lake, later, line

if TYPE_CHECKING:
    import pytest

LATER = GRACE + timedelta(minutes=1)


def now() -> datetime:
    return datetime.now(UTC)


def test_a_superseded_location_goes_after_its_grace_and_the_published_one_stays(lake: Lake) -> None:
    lake.put(HOUR, [line(1), "bad"])
    lake.compact_one()
    old = lake.location()
    lake.put(HOUR, [line(2)])
    lake.compact_one()
    published = lake.keys(lake.location())
    assert published
    assert lake.keys(old)

    within = sweep(lake.pipeline, now())
    assert within == Swept(waiting=2)  # the old compacted location, and the old rejects
    assert lake.keys(old)

    done = sweep(lake.pipeline, now() + LATER)
    assert (done.locations, done.waiting) == (2, 0)
    assert done.objects >= 2
    assert done.bytes > 0
    assert not lake.keys(old)
    assert lake.keys(lake.location()) == published
    assert lake.compacted_ids() == sorted(f"{number:032x}" for number in (1, 2))
    assert lake.rejects() == {"bad": "not JSON"}
    assert sweep(lake.pipeline, now() + LATER) == Swept()


def test_the_objects_noted_go_with_their_folder_and_not_before(lake: Lake) -> None:
    def notes() -> list[str]:
        found = lake.keys(f"s3://{lake.settings.bucket}/compacted/{lake.feed.name}/")
        return [key for key in found if key.endswith(f"/{objects_noted.NAME}")]

    for number in range(2):
        lake.put(later(number), [line(number)])
    lake.compact(HOUR, later(1))
    (first,) = notes()
    lake.put(HOUR, [line(2)])
    lake.compact_one()
    assert len(notes()) == 2
    # The other hour of the first folder is still published from there.
    assert sweep(lake.pipeline, now() + LATER) == Swept()
    assert len(notes()) == 2
    lake.put(later(1), [line(3)])
    lake.compact(later(1))
    assert sweep(lake.pipeline, now()) == Swept(waiting=1)
    assert sweep(lake.pipeline, now() + LATER).locations == 1
    assert first not in notes()
    assert len(notes()) == 2


def test_the_grace_begins_when_nothing_points_there_any_more_however_old_the_objects(lake: Lake) -> None:
    lake.put(HOUR, [line(1)])
    lake.compact_one()
    old, days_later = lake.location(), now() + 10 * GRACE
    assert sweep(lake.pipeline, days_later) == Swept()
    lake.put(HOUR, [line(2)])
    lake.compact_one()
    # A reader that was planned a moment ago still reads what was published for days.
    assert sweep(lake.pipeline, days_later) == Swept(waiting=1)
    assert lake.keys(old)
    assert sweep(lake.pipeline, days_later + LATER).locations == 1
    assert not lake.keys(old)


def test_a_location_that_is_pointed_at_again_has_its_grace_anew(lake: Lake) -> None:
    lake.put(HOUR, [line(1)])
    lake.compact_one()
    table = tables.compacted_table(lake.feed, lake.settings)
    values = tuple(hours.partition_values(HOUR))
    (first,) = lake.catalog.get(table, [values]).values()
    (_, second) = lake.compact(HOUR, force=True), lake.catalog.get(table, [values])[values]
    assert sweep(lake.pipeline, now()) == Swept(waiting=1)
    lake.catalog.put(table, [first], existing=[values])  # by a writer that was overtaken
    assert sweep(lake.pipeline, now() + LATER) == Swept(waiting=1)
    lake.catalog.put(table, [second], existing=[values])
    assert sweep(lake.pipeline, now() + LATER) == Swept(waiting=1)
    assert lake.keys(first.location)
    assert lake.keys(second.location)


def test_processed_tables_are_swept_alike(lake: Lake) -> None:
    for number in (1, 2):
        lake.put(HOUR, [line(number)])
        lake.compact_one()
        processed.refresh(lake.pipeline, "transactions", [HOUR.date()])
    assert sweep(lake.pipeline, now()) == Swept(waiting=2)
    assert sweep(lake.pipeline, now() + LATER).locations == 2
    assert [row["lines"] for row in lake.select("transactions", "count(*) AS lines")] == [2]


def test_raw_and_other_objects_are_none_of_its_business(lake: Lake) -> None:
    raw = lake.put(HOUR, [line(1)])
    lake.s3.put_object(Bucket=lake.settings.bucket, Key="notes/readme", Body=b"ours")
    lake.compact_one()
    assert sweep(lake.pipeline, now() + LATER) == Swept()
    kept = {item["Key"] for item in lake.s3.list_objects_v2(Bucket=lake.settings.bucket)["Contents"]}
    assert {raw, "notes/readme"} <= kept


def test_temporary_tables_of_killed_runs_are_dropped(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.put(HOUR, [line(1)])
    # A kill leaves the temporary table: nobody is there to drop it.
    monkeypatch.setattr("retail_analytics.batch.staging._drop", lambda *_: None)
    lake.compact_one()

    def temporary() -> list[str]:
        found = lake.glue.get_tables(DatabaseName=lake.settings.database)["TableList"]
        return [table["Name"] for table in found if table["Name"].startswith("tmp_")]

    assert len(temporary()) == 1
    assert sweep(lake.pipeline, now()).temporary_tables == 0
    assert sweep(lake.pipeline, now() + LATER).temporary_tables == 1
    assert temporary() == []
    names = {
        table["Name"] for table in lake.glue.get_tables(DatabaseName=lake.settings.database)["TableList"]
    }
    assert names == {table.name for table in tables.all_tables(lake.feed, lake.settings)}
