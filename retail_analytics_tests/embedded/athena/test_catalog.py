"""What SQL creates is visible to Glue's API, and the other way round."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from retail_analytics_tests.embedded.coverage import covers

if TYPE_CHECKING:
    from retail_analytics_tests.embedded.athena.conftest import Cloud

NOTES_DDL = """CREATE EXTERNAL TABLE `mydatabase.retail_trans`(
  `invoice` string COMMENT 'Invoice number',
  `quantity` int COMMENT 'The quantities of each product (item) per transaction',
  `price` float COMMENT 'Unit price')
PARTITIONED BY (
  `year` int,
  `hour` int)
ROW FORMAT SERDE
  'org.openx.data.jsonserde.JsonSerDe'
STORED AS INPUTFORMAT
  'org.apache.hadoop.mapred.TextInputFormat'
OUTPUTFORMAT
  'org.apache.hadoop.hive.ql.io.IgnoreKeyTextOutputFormat'
LOCATION
  's3://lake/00-retail-trans'
"""


@covers(
    "DDL", "`CREATE EXTERNAL TABLE … PARTITIONED BY … ROW FORMAT SERDE … STORED AS INPUTFORMAT … LOCATION`"
)
def test_the_notes_table_reaches_glue(cloud: Cloud) -> None:
    cloud.rows(NOTES_DDL)
    table = cloud.client("glue").get_table(DatabaseName="mydatabase", Name="retail_trans")["Table"]
    storage = table["StorageDescriptor"]
    assert storage["Columns"] == [
        {"Name": "invoice", "Type": "string", "Comment": "Invoice number"},
        {
            "Name": "quantity",
            "Type": "int",
            "Comment": "The quantities of each product (item) per transaction",
        },
        {"Name": "price", "Type": "float", "Comment": "Unit price"},
    ]
    assert table["PartitionKeys"] == [{"Name": "year", "Type": "int"}, {"Name": "hour", "Type": "int"}]
    assert storage["SerdeInfo"]["SerializationLibrary"] == "org.openx.data.jsonserde.JsonSerDe"
    assert storage["OutputFormat"] == "org.apache.hadoop.hive.ql.io.IgnoreKeyTextOutputFormat"
    assert storage["Location"] == "s3://lake/00-retail-trans"
    assert table["Parameters"]["EXTERNAL"] == "TRUE"


@covers("DDL", "`SHOW CREATE TABLE`, whose text makes the same table again")
def test_show_create_table_makes_the_same_table_again(cloud: Cloud) -> None:
    cloud.rows(NOTES_DDL)
    glue = cloud.client("glue")
    first = glue.get_table(DatabaseName="mydatabase", Name="retail_trans")["Table"]
    text = "\n".join(row[0] or "" for row in cloud.rows("SHOW CREATE TABLE retail_trans"))
    cloud.rows("DROP TABLE `mydatabase.retail_trans`")
    cloud.rows(text)
    again = glue.get_table(DatabaseName="mydatabase", Name="retail_trans")["Table"]
    for part in ("StorageDescriptor", "PartitionKeys", "Parameters", "TableType"):
        assert again[part] == first[part]


@covers("DDL", "`MSCK REPAIR TABLE`")
def test_repair_finds_folders_of_partitions(cloud: Cloud) -> None:
    cloud.rows(NOTES_DDL)
    cloud.put_json("00-retail-trans/year=2010/hour=08/a", {"Invoice": "1", "Quantity": 2, "Price": 1.5})
    cloud.put_json("00-retail-trans/year=2010/hour=09/a", {"Invoice": "2"})
    cloud.put_json("00-retail-trans/elsewhere/a", {"Invoice": "3"})
    cloud.rows("MSCK REPAIR TABLE mydatabase.retail_trans")
    assert cloud.rows("SHOW PARTITIONS retail_trans") == [("year=2010/hour=08",), ("year=2010/hour=09",)]
    assert cloud.rows("SELECT * FROM retail_trans WHERE hour = 8") == [("1", "2", "1.5", "2010", "8")]
    assert cloud.rows("MSCK REPAIR TABLE mydatabase.retail_trans") == []
    found = cloud.client("glue").get_partitions(DatabaseName="mydatabase", TableName="retail_trans")[
        "Partitions"
    ]
    assert [part["Values"] for part in found] == [["2010", "08"], ["2010", "09"]]
    assert found[0]["StorageDescriptor"]["Location"] == "s3://lake/00-retail-trans/year=2010/hour=08/"


@covers("DDL", "partitions made through Glue's API")
def test_partitions_of_glues_api_are_read(cloud: Cloud) -> None:
    cloud.rows(NOTES_DDL)
    cloud.put_json("moved/a", {"Invoice": "1"})
    glue = cloud.client("glue")
    storage = glue.get_table(DatabaseName="mydatabase", Name="retail_trans")["Table"]["StorageDescriptor"]
    entry = {"Values": ["2010", "08"], "StorageDescriptor": {**storage, "Location": "s3://lake/nowhere/"}}
    glue.batch_create_partition(
        DatabaseName="mydatabase", TableName="retail_trans", PartitionInputList=[entry]
    )
    assert cloud.rows("SELECT invoice FROM retail_trans") == []
    entry["StorageDescriptor"]["Location"] = "s3://lake/moved/"
    glue.batch_update_partition(
        DatabaseName="mydatabase",
        TableName="retail_trans",
        Entries=[{"PartitionValueList": ["2010", "08"], "PartitionInput": entry}],
    )
    assert cloud.rows("SELECT invoice, hour FROM retail_trans") == [("1", "8")]


@covers("DDL", "`ALTER TABLE … ADD [IF NOT EXISTS] PARTITION`, `DROP PARTITION`")
def test_alter_table_changes_partitions(cloud: Cloud) -> None:
    cloud.rows(NOTES_DDL)
    cloud.put_json("x/a", {"Invoice": "1"})
    cloud.rows(
        "ALTER TABLE retail_trans ADD PARTITION (year = 2010, hour = '08') LOCATION 's3://lake/x/' "
        "PARTITION (year = 2010, hour = 9)"
    )
    assert cloud.rows("SHOW PARTITIONS retail_trans") == [("year=2010/hour=08",), ("year=2010/hour=9",)]
    assert "already exists" in cloud.fails("ALTER TABLE retail_trans ADD PARTITION (year = 2010, hour = 9)")
    cloud.rows("ALTER TABLE retail_trans ADD IF NOT EXISTS PARTITION (year = 2010, hour = 9)")
    cloud.rows("ALTER TABLE retail_trans PARTITION (year = 2010, hour = 9) SET LOCATION 's3://lake/x/'")
    assert cloud.rows("SELECT hour FROM retail_trans ORDER BY 1") == [("8",), ("9",)]
    cloud.rows("ALTER TABLE retail_trans DROP PARTITION (year = 2010, hour = 8)")
    assert cloud.rows("SHOW PARTITIONS retail_trans") == [("year=2010/hour=9",)]
    cloud.rows("ALTER TABLE retail_trans DROP IF EXISTS PARTITION (year = 2011, hour = 8)")
    assert "Partition not found" in cloud.fails(
        "ALTER TABLE retail_trans DROP PARTITION (year = 2011, hour = 8)"
    )


@covers("DDL", "`ALTER TABLE … ADD COLUMNS`, `REPLACE COLUMNS`, `SET LOCATION`, `SET TBLPROPERTIES`")
def test_alter_table_changes_columns_location_and_properties(cloud: Cloud) -> None:
    cloud.put_json("a/1", {"x": 1, "y": "b"})
    cloud.rows(
        "CREATE EXTERNAL TABLE t (x int) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://lake/none/'"
    )
    cloud.rows("ALTER TABLE t ADD COLUMNS (y string)")
    cloud.rows("ALTER TABLE t SET LOCATION 's3://lake/a/'")
    cloud.rows("ALTER TABLE mydatabase.t SET TBLPROPERTIES ('owner' = 'me')")
    assert cloud.rows("SELECT * FROM t") == [("1", "b")]
    table = cloud.client("glue").get_table(DatabaseName="mydatabase", Name="t")["Table"]
    assert table["Parameters"]["owner"] == "me"
    cloud.rows("ALTER TABLE t REPLACE COLUMNS (y string)")
    assert cloud.rows("SELECT * FROM t") == [("b",)]
    assert cloud.fails("ALTER TABLE t RENAME TO u").startswith("NOT_SUPPORTED: ALTER TABLE RENAME")


@covers("DDL", "`CREATE DATABASE`, `DROP DATABASE [CASCADE]`, `SHOW DATABASES`")
def test_databases(cloud: Cloud) -> None:
    cloud.rows("CREATE DATABASE IF NOT EXISTS mydatabase")
    assert "already exists" in cloud.fails("CREATE DATABASE mydatabase")
    cloud.rows("CREATE SCHEMA other COMMENT 'a second one' LOCATION 's3://lake/other/'")
    assert cloud.client("glue").get_database(Name="other")["Database"]["Description"] == "a second one"
    assert cloud.rows("SHOW DATABASES") == [("default",), ("mydatabase",), ("other",)]
    assert cloud.rows("SHOW DATABASES LIKE 'my*'") == [("mydatabase",)]
    cloud.rows("CREATE EXTERNAL TABLE other.t (x int) LOCATION 's3://lake/t/'")
    assert "is not empty" in cloud.fails("DROP DATABASE other")
    cloud.rows("DROP DATABASE other CASCADE")
    cloud.rows("DROP DATABASE IF EXISTS other")
    assert "does not exist" in cloud.fails("DROP DATABASE other")
    cloud.client("glue").create_database(DatabaseInput={"Name": "from_glue"})
    assert ("from_glue",) in cloud.rows("SHOW DATABASES")


@covers(
    "DDL", "`SHOW TABLES`, `SHOW COLUMNS`, `SHOW PARTITIONS`, `SHOW TBLPROPERTIES`, `DESCRIBE`, `DROP TABLE`"
)
def test_tables_are_listed_described_and_dropped(cloud: Cloud) -> None:
    cloud.rows(NOTES_DDL)
    assert cloud.rows("SHOW TABLES IN mydatabase 'retail*'") == [("retail_trans",)]
    assert cloud.rows("SHOW TABLES 'x*'") == []
    described = cloud.rows("DESCRIBE mydatabase.retail_trans")
    assert [(row[0] or "").strip() for row in described[:5]] == [
        "invoice",
        "quantity",
        "price",
        "year",
        "hour",
    ]
    assert "already exists" in cloud.fails(NOTES_DDL)
    cloud.rows(NOTES_DDL.replace("TABLE `", "TABLE IF NOT EXISTS `"))
    cloud.rows("DROP TABLE IF EXISTS `mydatabase.retail_trans`")
    assert "Table not found mydatabase.retail_trans" in cloud.fails("DROP TABLE mydatabase.retail_trans")
    cloud.rows("DROP TABLE IF EXISTS mydatabase.retail_trans")
    assert cloud.fails("SHOW PARTITIONS retail_trans").startswith("TABLE_NOT_FOUND")


@covers("DDL", "`CREATE [OR REPLACE] VIEW`, `SHOW VIEWS`, `SHOW CREATE VIEW`, `DROP VIEW`")
def test_views(cloud: Cloud) -> None:
    cloud.put_json("a/1", {"x": 1}, {"x": 2})
    cloud.rows(
        "CREATE EXTERNAL TABLE t (x int) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://lake/a/'"
    )
    cloud.rows("CREATE VIEW v AS SELECT x, x * 10 AS y FROM t")
    assert cloud.rows("SELECT y FROM v WHERE x = 2") == [("20",)]
    assert cloud.fails("CREATE VIEW v AS SELECT 1 AS a").startswith("TABLE_ALREADY_EXISTS")
    cloud.rows("CREATE OR REPLACE VIEW v AS SELECT sum(x) AS total FROM mydatabase.t")
    other = {"QueryExecutionContext": {"Database": "default"}}
    assert cloud.rows("SELECT * FROM mydatabase.v", **other) == [("3",)]
    assert cloud.rows("SHOW VIEWS") == [("v",)]
    assert cloud.fails("CREATE VIEW w AS SELECT x + 1 FROM t").startswith("COLUMN_NAME_NOT_SPECIFIED")
    table = cloud.client("glue").get_table(DatabaseName="mydatabase", Name="v")["Table"]
    assert table["TableType"] == "VIRTUAL_VIEW"
    assert table["ViewOriginalText"].startswith("/* Presto View: ")
    assert "use DROP VIEW" in cloud.fails("DROP TABLE v")
    cloud.rows("DROP VIEW v")
    assert cloud.rows("SHOW VIEWS") == []


@covers("DDL", "`information_schema`: schemata, tables, columns")
def test_information_schema_shows_the_catalog(cloud: Cloud) -> None:
    cloud.rows(NOTES_DDL)
    assert cloud.rows(
        "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'mydatabase'"
    ) == [("retail_trans", "BASE TABLE")]
    columns = cloud.rows(
        "SELECT column_name, data_type, extra_info FROM information_schema.columns WHERE table_name = "
        "'retail_trans' "
        "ORDER BY ordinal_position"
    )
    assert columns[1] == ("quantity", "integer", None)
    assert columns[-1] == ("hour", "integer", "partition key")


@covers("DDL", '`"table$partitions"`')
def test_the_partitions_table(cloud: Cloud) -> None:
    cloud.rows(NOTES_DDL)
    cloud.rows("ALTER TABLE retail_trans ADD PARTITION (year = 2010, hour = '08')")
    assert cloud.rows('SELECT * FROM "retail_trans$partitions"') == [("2010", "8")]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (
            "CREATE EXTERNAL TABLE t (x int) STORED AS ORC LOCATION 's3://lake/t/'",
            "NOT_SUPPORTED: STORED AS ORC",
        ),
        ("CREATE EXTERNAL TABLE t (x int)", "FAILED: SemanticException No table location"),
        (
            "CREATE EXTERNAL TABLE t (x int) LOCATION '/tmp/t'",
            "INVALID_TABLE_PROPERTY: '/tmp/t' is not an S3 location",
        ),
        (
            "CREATE EXTERNAL TABLE nope.t (x int) LOCATION 's3://lake/t/'",
            "FAILED: SemanticException [Error 10072]",
        ),
        ("CREATE EXTERNAL TABLE t x int LOCATION 's3://lake/t/'", ""),
    ],
)
def test_ddl_that_cannot_be_done_is_refused(cloud: Cloud, sql: str, reason: str) -> None:
    assert cloud.fails(sql).startswith(reason)
    assert cloud.rows("SHOW TABLES") == []
