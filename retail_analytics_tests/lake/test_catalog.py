"""Registering hours: new ones are made, wrong ones repaired, emptied ones dropped, no other touched."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from retail_analytics.feeds import get_feed
from retail_analytics.lake import hours, tables
from retail_analytics.lake.catalog import raw_partition, register
from retail_analytics.lake.partitions import Brought, Catalog, Partition
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from retail_analytics.lake.tables import Table

FEED = get_feed("retail_trans")
PROJECTED = dataclasses.replace(FEED, project_raw=True)
SETTINGS = Settings(bucket="our-bucket", first_hours={FEED.name: datetime(2010, 12, 1, tzinfo=UTC)})
START = datetime(2010, 12, 1, tzinfo=UTC)
RAW, LINES = tables.raw_table(FEED, SETTINGS), tables.lines_table(FEED, SETTINGS)
COMPACTED = tables.compacted_table(FEED, SETTINGS)


def hour(number: int) -> datetime:
    return START + number * hours.HOUR


def values(number: int) -> tuple[str, ...]:
    return tuple(hours.partition_values(hour(number)))


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        glue = boto3.client("glue", region_name="us-east-1")
        glue.create_database(DatabaseInput={"Name": SETTINGS.database})
        yield Catalog(glue, SETTINGS.database)


def asked_of(catalog: Catalog) -> list[str]:
    """The operations on partitions from now on."""
    asked: list[str] = []
    for operation in ("Create", "Update", "Delete", "Get"):
        name = f"Batch{operation}Partition"
        catalog.glue.meta.events.register(
            f"provide-client-params.glue.{name}",
            lambda params, name=name, **_: asked.append(f"{name} {params['TableName']}"),
        )
    catalog.glue.meta.events.register(
        "provide-client-params.glue.GetPartitions", lambda params, **_: asked.append("GetPartitions")
    )
    return asked


def spoil(catalog: Catalog, table: Table, number: int, **changes: Any) -> None:
    """Change the stored partition of an hour behind our back."""
    storage: dict[str, Any] = {
        **table.storage(raw_partition(FEED, SETTINGS, hour(number)).location),
        **changes,
    }
    catalog.glue.update_partition(
        DatabaseName=SETTINGS.database,
        TableName=table.name,
        PartitionValueList=list(values(number)),
        PartitionInput={"Values": list(values(number)), "StorageDescriptor": storage},
    )


def stored(catalog: Catalog, table: Table, number: int) -> Any:
    return catalog.glue.get_partition(
        DatabaseName=SETTINGS.database, TableName=table.name, PartitionValues=list(values(number))
    )["Partition"]["StorageDescriptor"]


def test_new_hours_are_known_to_both_raw_tables_at_their_prefix(catalog: Catalog) -> None:
    done = register(catalog, FEED, SETTINGS, [hour(0), hour(9)])
    assert done.partitions == Brought(created=4)
    assert RAW.name in done.tables_created
    for table in (RAW, LINES):
        assert {each.location for each in catalog.every(table)} == {
            "s3://our-bucket/00-retail-trans/year=2010/month=12/day=01/hour=00/",
            "s3://our-bucket/00-retail-trans/year=2010/month=12/day=01/hour=09/",
        }
    assert register(catalog, FEED, SETTINGS, [hour(0), hour(9)]).partitions == Brought()


@pytest.mark.parametrize(
    "wrong",
    [
        {"Location": "s3://our-bucket/elsewhere/"},
        {"Location": "s3://our-bucket/00-retail-trans/year=2010/month=12/day=01/hour=02/"},
        {"Columns": [{"Name": "invoice", "Type": "bigint"}]},
        {"Columns": []},
        {
            "SerdeInfo": {
                "SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde",
                "Parameters": {},
            }
        },
        {"InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"},
    ],
)
def test_a_wrong_partition_is_repaired_and_its_neighbour_left_alone(
    catalog: Catalog, wrong: dict[str, Any]
) -> None:
    register(catalog, FEED, SETTINGS, [hour(0), hour(1)])
    spoil(catalog, RAW, 0, **wrong)
    spoil(catalog, RAW, 1, **wrong)
    asked = asked_of(catalog)
    assert register(catalog, FEED, SETTINGS, [hour(0)]).partitions == Brought(repaired=1)
    assert stored(catalog, RAW, 0) == RAW.storage(raw_partition(FEED, SETTINGS, hour(0)).location)
    # Only the hours in hand are compared: the other one is for whoever has it in hand.
    assert stored(catalog, RAW, 1) == {**RAW.storage(stored(catalog, RAW, 1)["Location"]), **wrong}
    assert asked == [
        "BatchGetPartition retail_trans",
        "BatchUpdatePartition retail_trans",
        "BatchGetPartition retail_trans_lines",
    ]


def test_lines_without_their_delimiter_are_repaired(catalog: Catalog) -> None:
    # LazySimpleSerDe would cut a line at its default delimiter and hide the rest of it.
    register(catalog, FEED, SETTINGS, [hour(0)])
    serde = LINES.storage()["SerdeInfo"]["SerializationLibrary"]
    spoil(catalog, LINES, 0, SerdeInfo={"SerializationLibrary": serde, "Parameters": {}})
    assert register(catalog, FEED, SETTINGS, [hour(0)]).partitions == Brought(repaired=1)
    assert stored(catalog, LINES, 0)["SerdeInfo"]["Parameters"]["field.delim"] == "\x01"


@pytest.mark.parametrize(
    "harmless",
    [
        {"Location": "s3://our-bucket/00-retail-trans/year=2010/month=12/day=01/hour=00"},
        {"Columns": [{"Name": name, "Type": type_} for name, type_, _ in RAW.columns]},
        {
            "SerdeInfo": {
                "SerializationLibrary": RAW.storage()["SerdeInfo"]["SerializationLibrary"],
                "Parameters": {"serialization.format": "1"},
            }
        },
    ],
    ids=["no slash", "no comments", "more parameters"],
)
def test_what_reads_the_same_is_left_alone(catalog: Catalog, harmless: dict[str, Any]) -> None:
    register(catalog, FEED, SETTINGS, [hour(0)])
    spoil(catalog, RAW, 0, **harmless)
    assert register(catalog, FEED, SETTINGS, [hour(0)]).partitions == Brought()


def test_hours_whose_objects_are_gone_leave_the_raw_tables_alone(catalog: Catalog) -> None:
    register(catalog, FEED, SETTINGS, [hour(0), hour(1)])
    there = Partition(values(0), "s3://our-bucket/compacted/retail_trans/x/", {"digest": "d"})
    catalog.put(COMPACTED, [there], existing=[])
    asked = asked_of(catalog)
    done = register(catalog, FEED, SETTINGS, [], emptied=[hour(0), hour(5)])
    assert done.partitions == Brought(dropped=2)
    assert not [each for each in asked if COMPACTED.name in each]
    for table in (RAW, LINES):
        assert [each.values for each in catalog.every(table)] == [values(1)]
    # What is published of an emptied hour is publishing's to withdraw.
    assert catalog.get(COMPACTED, [values(0)]) == {values(0): there}


def test_a_history_without_objects_drops_nothing_and_asks_once_a_thousand(catalog: Catalog) -> None:
    register(catalog, FEED, SETTINGS, [])
    asked = asked_of(catalog)
    nights = [hour(24 * day + 12) for day in range(400)]
    assert register(catalog, FEED, SETTINGS, [], emptied=nights).partitions == Brought()
    assert asked == ["BatchGetPartition retail_trans", "BatchGetPartition retail_trans_lines"]


def test_the_same_hour_by_another_name_is_dropped(catalog: Catalog) -> None:
    register(catalog, FEED, SETTINGS, [])
    twin = Partition(
        ("2010", "12", "1", "8"), "s3://our-bucket/00-retail-trans/year=2010/month=12/day=01/hour=08/"
    )
    catalog.ensure(RAW, [twin])
    assert register(catalog, FEED, SETTINGS, [hour(8)]).partitions == Brought(created=2, dropped=1)
    assert [each.values for each in catalog.every(RAW)] == [("2010", "12", "01", "08")]


def test_one_new_hour_costs_the_same_whatever_the_table_holds(catalog: Catalog) -> None:
    register(catalog, FEED, SETTINGS, [hour(number) for number in range(500)])
    asked = asked_of(catalog)
    register(catalog, FEED, SETTINGS, [hour(500)])
    assert asked == [
        f"Batch{operation}Partition {table.name}" for table in (RAW, LINES) for operation in ("Get", "Create")
    ]


def test_a_projected_feed_has_tables_and_no_partitions(catalog: Catalog) -> None:
    asked = asked_of(catalog)
    done = register(catalog, PROJECTED, SETTINGS, [hour(0)], emptied=[hour(1)])
    assert done.partitions == Brought()
    catalog.ensure(tables.lines_table(PROJECTED, SETTINGS), [raw_partition(PROJECTED, SETTINGS, hour(0))])
    assert asked == []
    parameters = catalog.glue.get_table(DatabaseName=SETTINGS.database, Name=RAW.name)["Table"]["Parameters"]
    assert parameters["projection.enabled"] == "true"
    assert parameters["storage.location.template"] == (
        "s3://our-bucket/00-retail-trans/year=${year}/month=${month}/day=${day}/hour=${hour}/"
    )


def test_projection_is_turned_on_and_off_by_the_declaration(catalog: Catalog) -> None:
    register(catalog, FEED, SETTINGS, [])
    both = (RAW.name, LINES.name)
    assert register(catalog, PROJECTED, SETTINGS, []).tables_changed == both
    assert register(catalog, PROJECTED, SETTINGS, []).tables_changed == ()
    done = register(catalog, FEED, SETTINGS, [hour(0)])
    assert (done.tables_changed, done.partitions) == (both, Brought(created=2))
    parameters = catalog.glue.get_table(DatabaseName=SETTINGS.database, Name=RAW.name)["Table"]["Parameters"]
    assert not [name for name in parameters if "projection" in name or "template" in name]


def test_the_years_of_a_projection_begin_with_history_and_end_with_the_next_year() -> None:
    projection = tables.raw_table(PROJECTED, SETTINGS).projection
    assert projection["projection.year.range"] == f"2010,{datetime.now(UTC).year + 1}"
    later = Settings(first_hours={FEED.name: datetime(2300, 1, 1, tzinfo=UTC)})
    assert tables.raw_table(PROJECTED, later).projection["projection.year.range"] == "2300,2300"


def test_what_is_published_by_location_cannot_be_projected() -> None:
    for table in tables.all_tables(PROJECTED, SETTINGS):
        assert bool(table.projection) == (table.name in (RAW.name, LINES.name))
    with pytest.raises(ValueError, match="retail_trans_compacted is published by its partitions' locations"):
        dataclasses.replace(COMPACTED, projection={"projection.enabled": "true"})
