"""Partitions go in batches of Glue's sizes, and every item's error is read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from moto import mock_aws

from retail_analytics.feeds import get_feed
from retail_analytics.lake import hours, tables
from retail_analytics.lake.partitions import Catalog, CatalogError, Partition
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_glue import GlueClient

FEED = get_feed("retail_trans")
SETTINGS = Settings()
TABLE = tables.compacted_table(FEED, SETTINGS)
START = datetime(2010, 12, 1, tzinfo=UTC)


def partition(number: int, place: str = "old") -> Partition:
    hour = START + number * hours.HOUR
    return Partition(
        tuple(hours.partition_values(hour)), f"s3://bucket/{place}/part={hours.part(hour)}/", {"note": place}
    )


@pytest.fixture
def glue(monkeypatch: pytest.MonkeyPatch) -> Iterator[GlueClient]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("glue", region_name="us-east-1")
        client.create_database(DatabaseInput={"Name": SETTINGS.database})
        client.create_table(DatabaseName=SETTINGS.database, TableInput=TABLE.table_input())
        yield client


def counting(glue: GlueClient) -> list[tuple[str, int]]:
    """(operation, items) of each batch that is asked from now on."""
    asked: list[tuple[str, int]] = []
    items = {
        "BatchCreatePartition": "PartitionInputList",
        "BatchUpdatePartition": "Entries",
        "BatchDeletePartition": "PartitionsToDelete",
        "BatchGetPartition": "PartitionsToGet",
    }
    for operation, name in items.items():

        def note(
            params: dict[str, Any], *, operation: str = operation, name: str = name, **_: object
        ) -> None:
            asked.append((operation, len(params[name])))

        glue.meta.events.register(f"provide-client-params.glue.{operation}", note)
    return asked


def test_batches_are_of_glues_sizes(glue: GlueClient) -> None:
    catalog = Catalog(glue, SETTINGS.database)
    new = [partition(number) for number in range(230)]
    asked = counting(glue)
    catalog.put(TABLE, new, existing=[])
    assert [size for name, size in asked if name == "BatchCreatePartition"] == [100, 100, 30]
    catalog.put(TABLE, [partition(number, "new") for number in range(230)], [item.values for item in new])
    assert [size for name, size in asked if name == "BatchUpdatePartition"] == [100, 100, 30]
    catalog.delete(TABLE, [item.values for item in new[:60]])
    assert [size for name, size in asked if name == "BatchDeletePartition"] == [25, 25, 10]
    found = catalog.get(TABLE, [partition(number).values for number in range(1100)])
    assert [size for name, size in asked if name == "BatchGetPartition"] == [1000, 100]
    assert found == {item.values: item for item in (partition(number, "new") for number in range(60, 230))}
    assert Counter(name for name, _ in asked).total() == 3 + 3 + 3 + 2


def test_new_and_replaced_hours_cost_one_call_each(glue: GlueClient) -> None:
    catalog = Catalog(glue, SETTINGS.database)
    catalog.put(TABLE, [partition(number) for number in range(40)], existing=[])
    asked = counting(glue)
    mixed = [partition(number, "new") for number in range(20, 60)]
    catalog.put(TABLE, mixed, existing=[partition(number).values for number in range(40)])
    assert asked == [("BatchCreatePartition", 20), ("BatchUpdatePartition", 20)]


def test_a_partition_that_another_writer_made_is_updated(glue: GlueClient) -> None:
    catalog = Catalog(glue, SETTINGS.database)
    catalog.put(TABLE, [partition(1)], existing=[])
    catalog.put(TABLE, [partition(number, "new") for number in range(3)], existing=[])
    found = catalog.get(TABLE, [partition(number).values for number in range(3)])
    assert {item.location for item in found.values()} == {
        partition(number, "new").location for number in range(3)
    }


def test_ensuring_leaves_what_is_there(glue: GlueClient) -> None:
    catalog = Catalog(glue, SETTINGS.database)
    catalog.put(TABLE, [partition(1)], existing=[])
    catalog.ensure(TABLE, [partition(number, "new") for number in range(3)])
    found = catalog.get(TABLE, [partition(number).values for number in range(3)])
    assert [found[partition(number).values].parameters["note"] for number in range(3)] == [
        "new",
        "old",
        "new",
    ]


def test_dropping_what_is_gone_is_no_error(glue: GlueClient) -> None:
    catalog = Catalog(glue, SETTINGS.database)
    catalog.put(TABLE, [partition(1)], existing=[])
    catalog.delete(TABLE, [partition(1).values, partition(2).values])
    assert catalog.get(TABLE, [partition(1).values]) == {}


def test_a_partition_keeps_its_values_as_strings(glue: GlueClient) -> None:
    # An int 8 and the string 08 are two partitions to Glue, and one to whoever looks.
    Catalog(glue, SETTINGS.database).put(TABLE, [partition(8)], existing=[])
    stored = glue.get_partitions(DatabaseName=SETTINGS.database, TableName=TABLE.name)["Partitions"]
    assert [item["Values"] for item in stored] == [["2010", "12", "01", "08"]]


def test_partitions_are_found_by_an_expression(glue: GlueClient) -> None:
    index = tables.event_days_table(FEED, SETTINGS)
    glue.create_table(DatabaseName=SETTINGS.database, TableInput=index.table_input())
    catalog = Catalog(glue, SETTINGS.database)
    days = ["2010-11-30", "2010-12-01", "2010-12-02", "2010-12-03"]
    catalog.ensure(index, [Partition((day, "2010-12-03-08"), "s3://bucket/x/") for day in days])
    found = catalog.matching(index, "event_day >= '2010-12-01' AND event_day <= '2010-12-02'")
    assert sorted(item.values[0] for item in found) == days[1:3]


@dataclass
class Refusing:
    """Answers of a Glue that refuses some items, or leaves some for later."""

    errors: list[dict[str, Any]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        def answer(**request: Any) -> dict[str, Any]:
            self.asked.append({"operation": name, **request})
            return self.answers.pop(0) if self.answers else {"Errors": self.errors}

        return answer


def refusal(number: int, code: str, message: str = "") -> dict[str, Any]:
    return {
        "PartitionValues": list(partition(number).values),
        "ErrorDetail": {"ErrorCode": code, "ErrorMessage": message},
    }


def test_refused_partitions_are_named_with_glues_reason() -> None:
    glue = Refusing(
        [refusal(number, "ResourceNumberLimitExceededException", "too many") for number in range(7)]
    )
    catalog = Catalog(cast("GlueClient", glue), "db")
    with pytest.raises(CatalogError) as caught:
        catalog.ensure(TABLE, [partition(number) for number in range(9)])
    said = str(caught.value)
    assert "did not create 7 partition(s) of retail_trans_compacted" in said
    assert "2010/12/01/00: ResourceNumberLimitExceededException too many" in said
    assert said.endswith("; …")


def test_one_refusal_beside_those_that_exist_already_is_an_error() -> None:
    glue = Refusing([refusal(1, "AlreadyExistsException"), refusal(2, "InternalServiceException")])
    catalog = Catalog(cast("GlueClient", glue), "db")
    with pytest.raises(CatalogError, match=r"1 partition\(s\).*2010/12/01/02: InternalServiceException"):
        catalog.put(TABLE, [partition(1), partition(2)], existing=[])


def test_a_refused_update_is_an_error() -> None:
    error = {
        "PartitionValueList": list(partition(1).values),
        "ErrorDetail": {"ErrorCode": "InternalServiceException", "ErrorMessage": "later"},
    }
    catalog = Catalog(cast("GlueClient", Refusing([error])), "db")
    with pytest.raises(CatalogError, match="did not update 1 .* 2010/12/01/01: InternalServiceException lat"):
        catalog.put(TABLE, [partition(1)], existing=[partition(1).values])


def test_a_partition_that_another_writer_dropped_is_made(glue: GlueClient) -> None:
    catalog = Catalog(glue, SETTINGS.database)
    catalog.put(TABLE, [partition(1)], existing=[])
    these = [partition(number, "new") for number in range(3)]
    catalog.put(TABLE, these, existing=[item.values for item in these])
    assert catalog.get(TABLE, [item.values for item in these]) == {item.values: item for item in these}


def test_one_refusal_stops_no_other_call_and_is_told_in_the_end() -> None:
    refused = refusal(150, "InternalServiceException", "later")
    glue = Refusing(answers=[{"Errors": []}, {"Errors": [refused]}, {"Errors": []}, {"Errors": []}])
    catalog = Catalog(cast("GlueClient", glue), "db")
    these = [partition(number) for number in range(310)]
    with pytest.raises(CatalogError, match="did not create 1 ") as caught:
        catalog.put(TABLE, these, existing=[item.values for item in these[250:]])
    assert caught.value.refused == {these[150].values: "InternalServiceException later"}
    asked = ["batch_create_partition"] * 3 + ["batch_update_partition"]
    assert [each["operation"] for each in glue.asked] == asked


def test_a_refused_drop_is_an_error() -> None:
    catalog = Catalog(cast("GlueClient", Refusing([refusal(1, "InternalServiceException")])), "db")
    with pytest.raises(CatalogError, match="did not drop 1"):
        catalog.delete(TABLE, [partition(1).values])


def test_keys_that_glue_left_for_later_are_asked_for_again() -> None:
    def stored(number: int) -> dict[str, Any]:
        item = partition(number)
        return {
            "Values": list(item.values),
            "StorageDescriptor": {"Location": item.location},
            "Parameters": dict(item.parameters),
        }

    left = [{"Values": list(partition(number).values)} for number in (1, 2)]
    glue = Refusing(
        answers=[
            {"Partitions": [stored(0)], "UnprocessedKeys": left},
            {"Partitions": [stored(1)], "UnprocessedKeys": left[1:]},
            {"Partitions": [stored(2)]},
        ]
    )
    catalog = Catalog(cast("GlueClient", glue), "db")
    found = catalog.get(TABLE, [partition(number).values for number in range(4)])
    assert set(found) == {partition(number).values for number in range(3)}
    assert [len(asked["PartitionsToGet"]) for asked in glue.asked] == [4, 2, 1]


def test_nothing_to_do_asks_nothing() -> None:
    glue = Refusing()
    catalog = Catalog(cast("GlueClient", glue), "db")
    catalog.put(TABLE, [], existing=[])
    catalog.ensure(TABLE, [])
    catalog.delete(TABLE, [])
    assert catalog.get(TABLE, []) == {}
    assert glue.asked == []
