"""Hive's DDL in its rarer forms: partitions renamed, columns changed, properties asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from retail_analytics_tests.embedded.coverage import covers, refuses

if TYPE_CHECKING:
    from retail_analytics_tests.embedded.athena.conftest import Cloud

TABLE = """CREATE EXTERNAL TABLE t (id int COMMENT 'the id', name string, z double) PARTITIONED BY (dt string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://lake/t/'
TBLPROPERTIES ('classification' = 'json')"""


@covers("DDL", "`ALTER TABLE … PARTITION … RENAME TO PARTITION`")
def test_a_renamed_partition_keeps_its_objects(cloud: Cloud) -> None:
    cloud.rows(TABLE)
    cloud.put_json("t/dt=2020-01-01/a.json", {"id": 1})
    cloud.rows("MSCK REPAIR TABLE t")
    cloud.rows("ALTER TABLE t PARTITION (dt = '2020-01-01') RENAME TO PARTITION (dt = '2020-01-02')")
    assert cloud.rows("SELECT id, dt FROM t") == [("1", "2020-01-02")]
    missing = "ALTER TABLE t PARTITION (dt = 'nope') RENAME TO PARTITION (dt = 'x')"
    assert "Partition not found" in cloud.fails(missing)


@covers("DDL", "`ALTER TABLE … CHANGE [COLUMN] … [COMMENT] [FIRST | AFTER]`")
def test_a_column_is_changed_in_the_catalog(cloud: Cloud) -> None:
    cloud.rows(TABLE)
    cloud.rows("ALTER TABLE t CHANGE COLUMN name title varchar(20) COMMENT 'what it is called' FIRST")
    cloud.rows("ALTER TABLE t CHANGE id id bigint AFTER z")
    table = cloud.client("glue").get_table(DatabaseName="mydatabase", Name="t")["Table"]
    assert table["StorageDescriptor"]["Columns"] == [
        {"Name": "title", "Type": "varchar(20)", "Comment": "what it is called"},
        {"Name": "z", "Type": "double"},
        {"Name": "id", "Type": "bigint", "Comment": "the id"},
    ]
    assert "Invalid column reference nope" in cloud.fails("ALTER TABLE t CHANGE nope other int")
    assert "Duplicate column name: z" in cloud.fails("ALTER TABLE t CHANGE id z int")


@covers("DDL", "`SHOW TBLPROPERTIES table ('name')`, `SHOW COLUMNS FROM table IN database`")
def test_one_property_and_columns_of_another_database(cloud: Cloud) -> None:
    cloud.rows(TABLE)
    assert cloud.rows("SHOW TBLPROPERTIES t ('classification')") == [("json",)]
    assert "does not have property: nope" in str(cloud.rows("SHOW TBLPROPERTIES t ('nope')"))
    names = [row[0].strip() for row in cloud.rows("SHOW COLUMNS FROM t IN mydatabase") if row[0]]
    assert names == ["id", "name", "z", "dt"]


def test_databases_by_pattern_and_with_properties(cloud: Cloud) -> None:
    cloud.rows("CREATE SCHEMA IF NOT EXISTS mine COMMENT 'x' WITH DBPROPERTIES ('owner' = 'me', 'a' = 'b')")
    found = cloud.client("glue").get_database(Name="mine")["Database"]
    assert (found["Description"], found["Parameters"]) == ("x", {"owner": "me", "a": "b"})
    assert cloud.rows("SHOW SCHEMAS LIKE 'm.*'") == [("mine",), ("mydatabase",)]
    assert cloud.rows("SHOW DATABASES LIKE '*base'") == [("mydatabase",)]


def test_show_create_table_tells_the_number_of_buckets(cloud: Cloud) -> None:
    cloud.rows("CREATE TABLE b WITH (bucketed_by = ARRAY['a'], bucket_count = 3) AS SELECT 1 AS a")
    assert ("INTO 3 BUCKETS",) in cloud.rows("SHOW CREATE TABLE b")


@refuses(
    "DDL", "columns named twice; DESCRIBE of a partition or a column; ALTER TABLE RENAME TO, DROP COLUMN"
)
@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("CREATE EXTERNAL TABLE x (a int, A int) LOCATION 's3://lake/x/'", "Duplicate column name: a"),
        (
            "CREATE EXTERNAL TABLE x (a int) PARTITIONED BY (a string) LOCATION 's3://lake/x/'",
            "Column repeated in partitioning columns",
        ),
        ("DESCRIBE t PARTITION (dt = '2020-01-01')", "NOT_SUPPORTED: DESCRIBE of a partition"),
        ("DESCRIBE t id", "NOT_SUPPORTED: DESCRIBE of a partition, a column"),
        ("ALTER TABLE t RENAME TO u", "NOT_SUPPORTED: ALTER TABLE RENAME TO"),
        ("ALTER TABLE t DROP COLUMN id", "NOT_SUPPORTED: ALTER TABLE DROP COLUMN"),
        ("SHOW DATABASES LIKE '('", "FAILED: ParseException"),
    ],
)
def test_ddl_is_refused_by_name(cloud: Cloud, sql: str, reason: str) -> None:
    cloud.rows(TABLE)
    assert reason in cloud.fails(sql)


@covers("Reading", "JSON: keys in whatever spelling, keys that are not declared, at any depth")
@pytest.mark.parametrize("twofold", [False, True])
def test_keys_within_objects(cloud: Cloud, twofold: bool) -> None:
    cloud.rows("""CREATE EXTERNAL TABLE n (s struct<userId:int,inner:struct<q:int>>, l array<struct<x:int>>)
    ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://lake/n/'""")
    nested = {"userId": 1, "extra": 2, "inner": {"Q": 3, "more": []}}
    records = [{"s": nested, "l": [{"X": 4, "y": 5}]}, {"S" if twofold else "s": {"userId": 6}}]
    cloud.put_json("n/a.json", *records)
    rows = cloud.rows("SELECT s, l, s.userid FROM n ORDER BY 3")
    assert rows == [
        ("{userid=1, inner={q=3}}", "[{x=4}]", "1"),
        ("{userid=6, inner=null}", None, "6"),
    ]


@refuses("Reading", "a key within objects in several spellings")
def test_a_nested_key_in_two_spellings(cloud: Cloud) -> None:
    cloud.rows("""CREATE EXTERNAL TABLE n (s struct<x:int>, o string)
    ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://lake/n/'""")
    cloud.put_json("n/a.json", {"s": {"x": 1}, "o": {"X": 1}})
    assert cloud.rows("SELECT s FROM n") == [("{x=1}",)]
    cloud.put_json("n/b.json", {"s": {"X": 2}})
    assert "NOT_SUPPORTED: the key x within column s" in cloud.fails("SELECT s FROM n")


@refuses("Writing", "INSERT of values of other types, and into tables with header lines")
@pytest.mark.parametrize(
    ("values", "query"),
    [
        ("'z', 'q', DATE '2020-01-01'", "[varchar, varchar, date]"),
        ("1, 5, DATE '2020-01-01'", "[integer, integer, date]"),
        ("5e9, 'q', DATE '2020-01-01'", "[double, varchar, date]"),
        ("1, 'q', TIMESTAMP '2020-01-01 00:00:00'", "[integer, varchar, timestamp]"),
    ],
)
def test_values_of_other_types_are_not_inserted(cloud: Cloud, values: str, query: str) -> None:
    cloud.rows("CREATE TABLE x AS SELECT BIGINT '1' AS a, 'b' AS b, DATE '2020-01-01' AS d")
    reason = cloud.fails(f"INSERT INTO x VALUES ({values})")
    assert reason.startswith("TYPE_MISMATCH: Insert query has mismatched column types: ")
    assert reason.endswith(f"Query: {query}")
    cloud.rows("INSERT INTO x VALUES (2, NULL, DATE '2020-01-02')")
    assert cloud.rows("SELECT count(*) FROM x") == [("2",)]


def test_a_header_line_would_hide_a_row(cloud: Cloud) -> None:
    cloud.rows("""CREATE EXTERNAL TABLE h (a int) ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
    LOCATION 's3://lake/h/' TBLPROPERTIES ('skip.header.line.count' = '1')""")
    assert "NOT_SUPPORTED: INSERT INTO a table with skip.header.line.count" in cloud.fails(
        "INSERT INTO h VALUES 1"
    )
    assert cloud.keys("h/") == []
