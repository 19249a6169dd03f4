"""The crawler over S3 and the catalog of a running cloud."""

from __future__ import annotations

import io
import json
import uuid

import boto3
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from pyarrow import parquet

from retail_analytics_tests.waiting import until

ROLE = "arn:aws:iam::123456789012:role/crawler"


class Place:
    """A bucket and a database of the test's own."""

    def __init__(self) -> None:
        self.s3, self.glue = boto3.client("s3"), boto3.client("glue")
        suffix = uuid.uuid4().hex[:8]
        self.bucket, self.database, self.crawler = f"crawl-{suffix}", f"crawl_{suffix}", f"crawler-{suffix}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.glue.create_database(DatabaseInput={"Name": self.database})

    def put(self, key: str, body: bytes | str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def create(self, path: str = "data/", **options: object) -> None:
        targets = {"S3Targets": [{"Path": f"s3://{self.bucket}/{path}"}]}
        self.glue.create_crawler(
            **{
                "Name": self.crawler,
                "Role": ROLE,
                "DatabaseName": self.database,
                "Targets": targets,
                **options,
            }
        )

    def crawl(self) -> dict:
        self.glue.start_crawler(Name=self.crawler)
        return self.wait()

    def wait(self) -> dict:
        return until(
            lambda: self.glue.get_crawler(Name=self.crawler)["Crawler"],
            lambda found: found["State"] == "READY",
        )

    def tables(self) -> dict[str, dict]:
        return {
            table["Name"]: table for table in self.glue.get_tables(DatabaseName=self.database)["TableList"]
        }

    def columns(self, table: str) -> dict[str, str]:
        return {
            column["Name"]: column["Type"] for column in self.tables()[table]["StorageDescriptor"]["Columns"]
        }

    def partitions(self, table: str) -> list[list[str]]:
        found = self.glue.get_partitions(DatabaseName=self.database, TableName=table)["Partitions"]
        return sorted(partition["Values"] for partition in found)

    def log(self) -> list[str]:
        events = boto3.client("logs").get_log_events(
            logGroupName="/aws-glue/crawlers", logStreamName=self.crawler
        )
        return [event["message"] for event in events["events"]]


@pytest.fixture
def place(embedded_cloud: object) -> Place:
    return Place()


def lines(*records: dict) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def test_bare_folders_become_numbered_partitions(place: Place) -> None:
    for day in ("01", "02"):
        place.put(f"data/raw/2026/11/{day}/05/a", lines({"uuid": "x", "device_temp": 20, "Track_ID": 7}))
    place.put(
        "data/reference_data/tracks.json", lines({"track_id": "7", "track_name": "A", "artist_name": "B"})
    )
    place.create()
    last = place.crawl()["LastCrawl"]
    assert last["Status"] == "SUCCEEDED"
    assert set(place.tables()) == {"raw", "reference_data"}
    raw = place.tables()["raw"]
    assert [key["Name"] for key in raw["PartitionKeys"]] == [f"partition_{i}" for i in range(4)]
    assert place.partitions("raw") == [["2026", "11", "01", "05"], ["2026", "11", "02", "05"]]
    assert place.columns("raw") == {"uuid": "string", "device_temp": "int", "track_id": "int"}
    assert raw["StorageDescriptor"]["Location"] == f"s3://{place.bucket}/data/raw/"


def test_key_value_folders_name_their_partitions_and_new_ones_are_added(place: Place) -> None:
    place.put("data/year=2026/month=01/a", lines({"a": 1}))
    place.create()
    place.crawl()
    place.put("data/year=2026/month=02/a", lines({"a": 1}))
    place.crawl()
    assert [key["Name"] for key in place.tables()["data"]["PartitionKeys"]] == ["year", "month"]
    assert place.partitions("data") == [["2026", "01"], ["2026", "02"]]
    metrics = place.glue.get_crawler_metrics(CrawlerNameList=[place.crawler])["CrawlerMetricsList"][0]
    assert (metrics["TablesCreated"], metrics["TablesUpdated"]) == (1, 0)
    assert [crawl["State"] for crawl in place.glue.list_crawls(CrawlerName=place.crawler)["Crawls"]] == [
        "COMPLETED",
        "COMPLETED",
    ]


def test_update_policy_changes_the_table_and_keeps_comments(place: Place) -> None:
    place.put("data/a", lines({"a": 1, "b": "x", "c": True}))
    place.create()
    place.crawl()
    table = place.tables()["data"]
    place.put("data/b", lines({"a": 2.5, "b": "x", "c": False, "d": [1]}))
    place.crawl()
    assert place.columns("data") == {"a": "double", "b": "string", "c": "boolean", "d": "array<int>"}
    assert place.tables()["data"]["VersionId"] != table["VersionId"]


def test_log_policy_leaves_the_table_and_says_what_differs(place: Place) -> None:
    place.put("data/a", lines({"a": 1, "b": "x"}))
    place.create(SchemaChangePolicy={"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"})
    place.crawl()
    place.put("data/b", lines({"a": "no number", "b": "x", "extra": 1}))
    place.crawl()
    assert place.columns("data") == {"a": "int", "b": "string"}
    ignored = [line for line in place.log() if "detected and ignored" in line]
    assert any("new column extra int" in line for line in ignored)
    assert any("column a is int in the catalog, string in the data" in line for line in ignored)


def test_catalog_target_adds_partitions_of_a_declared_table(place: Place) -> None:
    place.glue.create_table(
        DatabaseName=place.database,
        TableInput={
            "Name": "declared",
            "StorageDescriptor": {
                "Columns": [{"Name": "invoice", "Type": "string", "Comment": "kept"}],
                "Location": f"s3://{place.bucket}/raw",
                "SerdeInfo": {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe"},
            },
            "PartitionKeys": [{"Name": "hour", "Type": "int"}],
        },
    )
    place.put("raw/hour=08/a", lines({"Invoice": "1", "record_id": "r"}))
    place.create(
        Targets={"CatalogTargets": [{"DatabaseName": place.database, "Tables": ["declared"]}]},
        SchemaChangePolicy={"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
    )
    assert place.crawl()["LastCrawl"]["Status"] == "SUCCEEDED"
    assert place.partitions("declared") == [["08"]]
    assert place.tables()["declared"]["StorageDescriptor"]["Columns"][0]["Comment"] == "kept"
    assert any("new column record_id string" in line for line in place.log())


def test_missing_table_of_a_catalog_target_fails_the_crawl_with_its_name(place: Place) -> None:
    place.create(Targets={"CatalogTargets": [{"DatabaseName": place.database, "Tables": ["nowhere"]}]})
    last = place.crawl()["LastCrawl"]
    assert last["Status"] == "FAILED"
    assert "nowhere does not exist" in last["ErrorMessage"]


@pytest.mark.parametrize(
    ("behavior", "parameters"),
    [("DEPRECATE_IN_DATABASE", True), ("DELETE_FROM_DATABASE", None), ("LOG", False)],
)
def test_tables_whose_objects_are_gone(place: Place, behavior: str, parameters: bool | None) -> None:
    place.put("data/one/a", lines({"a": 1}))
    place.put("data/two/a", lines({"z": 1}))
    place.create(SchemaChangePolicy={"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": behavior})
    place.crawl()
    place.s3.delete_object(Bucket=place.bucket, Key="data/two/a")
    place.s3.delete_object(Bucket=place.bucket, Key="data/one/a")
    place.put("data/three/a", lines({"k": 1}))
    place.put("data/four/a", lines({"w": 1}))
    place.crawl()
    two = place.tables().get("two")
    if parameters is None:
        assert two is None
    else:
        assert two is not None
        assert ("DEPRECATED_BY_CRAWLER" in two["Parameters"]) is parameters


def test_parquet_and_csv_and_unreadable_objects(place: Place) -> None:
    sink = io.BytesIO()
    table = pa.table({"Id": pa.array([1], pa.int64()), "when": pa.array([0], pa.timestamp("ms"))})
    parquet.write_table(table, sink)
    place.put("data/columns/a.parquet", sink.getvalue())
    place.put("data/text/a.csv", 'id,name,price\n1,"a, b",2.5\n2,c,3\n')
    place.put("data/broken/a", b"\x00\x01\x02\xff")
    place.create()
    assert place.crawl()["LastCrawl"]["Status"] == "SUCCEEDED"
    assert place.columns("columns") == {"id": "bigint", "when": "timestamp"}
    assert place.columns("text") == {"id": "bigint", "name": "string", "price": "double"}
    assert place.tables()["text"]["Parameters"]["skip.header.line.count"] == "1"
    assert set(place.tables()) == {"columns", "text"}
    assert any("Not classified" in line and "data/broken/a" in line for line in place.log())


def test_objects_of_several_formats_in_one_folder_are_tables_of_their_own(place: Place) -> None:
    place.put("data/a.json", lines({"a": 1}))
    place.put("data/b.csv", "x,y\n1,z\n")
    place.create()
    place.crawl()
    assert (place.columns("a_json"), place.columns("b_csv")) == ({"a": "int"}, {"x": "bigint", "y": "string"})
    assert any("objects of several formats" in line for line in place.log())


@pytest.mark.parametrize(
    "options",
    [
        {"Targets": {"JdbcTargets": [{"ConnectionName": "c", "Path": "p"}]}},
        {"Schedule": "cron(0 * * * ? *)"},
        {"Classifiers": ["mine"]},
        {"RecrawlPolicy": {"RecrawlBehavior": "CRAWL_EVENT_MODE"}},  # without a queue
        {"RecrawlPolicy": {"RecrawlBehavior": "CRAWL_NEW_FOLDERS_ONLY"}},
        {"Targets": {}},
    ],
)
def test_what_is_not_done_is_refused_at_creation(place: Place, options: dict) -> None:
    with pytest.raises(ClientError, match="InvalidInputException"):
        place.create(**options)
