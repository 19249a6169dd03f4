"""The tables are what the declaration says, and the raw one is the notes'."""

from __future__ import annotations

import dataclasses
import re

import boto3
import pytest
import sqlglot
from moto import mock_aws
from sqlglot import exp

from retail_analytics.feeds import FEEDS, Feed, get_feed
from retail_analytics.lake import catalog, tables
from retail_analytics.lake.partitions import Catalog
from retail_analytics.lake.tables import Table
from retail_analytics.settings import Settings

SETTINGS = Settings(bucket="our-bucket")
FEED = get_feed("retail_trans")

# The notes' statement, with a bucket of ours.
NOTES_DDL = """
    CREATE EXTERNAL TABLE `mydatabase.retail_trans`(
      `invoice` string COMMENT 'Invoice number',
      `stockcode` string COMMENT 'Product (item) code',
      `description` string COMMENT 'Product (item) name',
      `quantity` int COMMENT 'The quantities of each product (item) per transaction',
      `invoicedate` string COMMENT 'Invoice date and time',
      `price` float COMMENT 'Unit price',
      `customer_id` string COMMENT 'Customer number',
      `country` string COMMENT 'Country name')
    PARTITIONED BY (
      `year` int,
      `month` int,
      `day` int,
      `hour` int)
    ROW FORMAT SERDE
      'org.openx.data.jsonserde.JsonSerDe'
    STORED AS INPUTFORMAT
      'org.apache.hadoop.mapred.TextInputFormat'
    OUTPUTFORMAT
      'org.apache.hadoop.hive.ql.io.IgnoreKeyTextOutputFormat'
    LOCATION
      's3://our-bucket/00-retail-trans'
"""

ALL_TABLES = [(feed, table) for feed in FEEDS for table in tables.all_tables(feed, SETTINGS)]
each_table = pytest.mark.parametrize(
    ("feed", "table"), ALL_TABLES, ids=[table.name for _, table in ALL_TABLES]
)


def words(statement: str) -> str:
    """The statement, blanks made one."""
    return re.sub(r"\s*([(),])\s*", r"\1", " ".join(statement.split()))


def test_the_raw_tables_ddl_is_the_notes() -> None:
    assert words(tables.ddl(tables.raw_table(FEED, SETTINGS), "mydatabase")) == words(NOTES_DDL)


def test_glue_gets_the_raw_table_that_the_ddl_says() -> None:
    made = tables.raw_table(FEED, SETTINGS).table_input()
    storage = made["StorageDescriptor"]
    columns = re.findall(r"`(\w+)` (\w+) COMMENT '([^']*)'", NOTES_DDL)
    assert [(c["Name"], c["Type"], c["Comment"]) for c in storage["Columns"]] == columns
    assert [(key["Name"], key["Type"]) for key in made["PartitionKeys"]] == [
        ("year", "int"),
        ("month", "int"),
        ("day", "int"),
        ("hour", "int"),
    ]
    assert storage["SerdeInfo"]["SerializationLibrary"] == "org.openx.data.jsonserde.JsonSerDe"
    assert storage["InputFormat"] == "org.apache.hadoop.mapred.TextInputFormat"
    assert storage["OutputFormat"] == "org.apache.hadoop.hive.ql.io.IgnoreKeyTextOutputFormat"
    assert storage["Location"] == "s3://our-bucket/00-retail-trans"
    assert made["TableType"] == "EXTERNAL_TABLE"


def test_the_text_table_lies_over_the_same_objects() -> None:
    raw, lines = tables.raw_table(FEED, SETTINGS), tables.lines_table(FEED, SETTINGS)
    assert (lines.location, lines.partitioned_by) == (raw.location, raw.partitioned_by)
    assert [column[:2] for column in lines.columns] == [("line", "string")]


def test_a_partition_lies_where_it_is_told_and_is_stored_as_its_table() -> None:
    table = tables.compacted_table(FEED, SETTINGS)
    at = table.storage("s3://elsewhere/part=x/")
    assert at["Location"] == "s3://elsewhere/part=x/"
    assert {**at, "Location": ""} == {**table.storage(), "Location": ""}


@each_table
def test_a_table_is_named_after_its_feed_and_no_column_twice(feed: Feed, table: Table) -> None:
    names = [name for name, *_ in table.columns] + [name for name, _ in table.partitioned_by]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() for name in names)
    assert table.name == feed.name or table.name.startswith(f"{feed.name}_")
    assert table.location.startswith("s3://our-bucket/")


@each_table
def test_the_ddl_parses_as_athenas(feed: Feed, table: Table) -> None:
    parsed = sqlglot.parse_one(tables.ddl(table, "mydatabase"), dialect="athena")
    assert isinstance(parsed, exp.Create)
    assert {column.name for column in parsed.find_all(exp.ColumnDef)} == {
        *(name for name, *_ in table.columns),
        *(name for name, _ in table.partitioned_by),
    }


def test_tables_of_a_feed_have_names_of_their_own() -> None:
    names = [table.name for _, table in ALL_TABLES]
    assert len(set(names)) == len(names)


def test_a_quote_in_a_comment_stays_in_it() -> None:
    table = Table("t", "", "json", "s3://b/", (("a", "string", "the buyer's"),), (("day", "string"),))
    parsed = sqlglot.parse_one(tables.ddl(table, "db"), dialect="athena")
    comment = parsed.find(exp.CommentColumnConstraint)
    assert comment is not None
    assert comment.this.this == "the buyer's"


@mock_aws
def test_a_table_is_made_kept_and_brought_back_to_its_declaration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    glue = boto3.client("glue", region_name="us-east-1")
    glue.create_database(DatabaseInput={"Name": SETTINGS.database})
    there = Catalog(glue, SETTINGS.database)
    table = tables.raw_table(FEED, SETTINGS)
    assert catalog.ensure_table(there, table) == "created"
    assert catalog.ensure_table(there, table) == "same"
    drifted = table.table_input()
    drifted["StorageDescriptor"]["Columns"] = [{"Name": "invoice", "Type": "bigint"}]
    glue.update_table(DatabaseName=SETTINGS.database, TableInput=drifted)
    assert catalog.ensure_table(there, table) == "changed"
    columns = glue.get_table(DatabaseName=SETTINGS.database, Name=table.name)["Table"]["StorageDescriptor"]
    assert [column["Name"] for column in columns["Columns"]] == [name for name, *_ in table.columns]
    assert catalog.ensure_table(there, table) == "same"


def test_the_ddl_of_a_projected_table_holds_its_projection() -> None:
    feed = dataclasses.replace(FEED, project_raw=True)
    written = tables.ddl(tables.raw_table(feed, SETTINGS), "mydatabase")
    assert "'projection.hour.range'='0,23'" in written
    assert "'projection.hour.digits'='2'" in written
    assert "/month=${month}/day=${day}/hour=${hour}/'" in written
    assert isinstance(sqlglot.parse_one(written, dialect="athena"), exp.Create)
    assert "TBLPROPERTIES" not in tables.ddl(tables.raw_table(FEED, SETTINGS), "mydatabase")
