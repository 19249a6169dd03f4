"""CREATE TABLE AS, INSERT INTO and UNLOAD: what they write, and what they refuse."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retail_analytics_tests.embedded.athena.conftest import BUCKET
from retail_analytics_tests.embedded.coverage import covers, refuses

if TYPE_CHECKING:
    from retail_analytics_tests.embedded.athena.conftest import Cloud

PARTS = (
    "(VALUES (1, 'a', '2010-12-01-08'), (2, 'b', '2010-12-01-08'), (3, 'c', '2010-12-01-09')) AS "
    "t(n, s, part)"
)


@covers(
    "Writing",
    "`CREATE TABLE … WITH (format, external_location, partitioned_by, bucketed_by, write_compression) AS`",
)
def test_a_partitioned_table_lies_where_it_was_asked_to(cloud: Cloud) -> None:
    cloud.rows(
        "CREATE TABLE mydatabase.t WITH (format = 'PARQUET', write_compression = 'SNAPPY', "
        "external_location = 's3://lake/out/abc/', partitioned_by = ARRAY['part'], bucketed_by = "
        "ARRAY['n'], bucket_count = 1) "
        f"AS SELECT n, s, part FROM {PARTS}"
    )
    keys = cloud.keys("out/")
    assert [key.rpartition("/")[0] for key in keys] == [
        "out/abc/part=2010-12-01-08",
        "out/abc/part=2010-12-01-09",
    ]
    body = cloud.client("s3").get_object(Bucket=BUCKET, Key=keys[0])["Body"].read()
    file = pq.ParquetFile(pa.BufferReader(body))
    assert file.schema_arrow.names == ["n", "s"]
    assert file.metadata.row_group(0).column(0).compression == "SNAPPY"
    glue = cloud.client("glue")
    table = glue.get_table(DatabaseName="mydatabase", Name="t")["Table"]
    assert table["StorageDescriptor"]["Columns"] == [
        {"Name": "n", "Type": "int"},
        {"Name": "s", "Type": "string"},
    ]
    assert table["PartitionKeys"] == [{"Name": "part", "Type": "string"}]
    assert table["StorageDescriptor"]["BucketColumns"] == ["n"]
    found = glue.get_partitions(DatabaseName="mydatabase", TableName="t")["Partitions"]
    assert {part["Values"][0]: part["StorageDescriptor"]["Location"] for part in found} == {
        "2010-12-01-08": "s3://lake/out/abc/part=2010-12-01-08/",
        "2010-12-01-09": "s3://lake/out/abc/part=2010-12-01-09/",
    }
    assert cloud.rows("SELECT part, count(*) FROM t GROUP BY part ORDER BY 1") == [
        ("2010-12-01-08", "2"),
        ("2010-12-01-09", "1"),
    ]


@refuses("Writing", "a location that is not empty (`HIVE_PATH_ALREADY_EXISTS`)")
def test_dropping_the_table_keeps_the_data(cloud: Cloud) -> None:
    cloud.rows("CREATE TABLE t WITH (external_location = 's3://lake/out/') AS SELECT 1 AS a")
    cloud.rows("DROP TABLE t")
    assert len(cloud.keys("out/")) == 1
    again = "CREATE TABLE t WITH (external_location = 's3://lake/out/') AS SELECT 1 AS a"
    assert cloud.fails(again).startswith(
        "HIVE_PATH_ALREADY_EXISTS: Target directory for table 'mydatabase.t' already exists: s3://lake/out/"
    )
    cloud.rows("CREATE EXTERNAL TABLE t (a int) STORED AS PARQUET LOCATION 's3://lake/out/'")
    assert cloud.rows("SELECT a FROM t") == [("1",)]


@covers("Writing", "CTAS of every type that Hive can store, arrays, maps and rows included")
def test_types_survive(cloud: Cloud) -> None:
    cloud.rows(
        "CREATE TABLE t AS SELECT 1 AS i, CAST(2 AS bigint) AS b, 2.5e0 AS d, DECIMAL '1.50' AS c, 'x' "
        "AS s, true AS f, "
        "DATE '2010-12-01' AS day, TIMESTAMP '2010-12-01 08:26:00' AS at, ARRAY[1, 2] AS xs, "
        "map(ARRAY['k'], ARRAY[1]) AS m, "
        "CAST(ROW(1, 'y') AS ROW(p integer, q varchar)) AS r, sum(3) AS total, CAST(NULL AS varchar) AS "
        "nothing"
    )
    columns = cloud.client("glue").get_table(DatabaseName="mydatabase", Name="t")["Table"][
        "StorageDescriptor"
    ]["Columns"]
    assert [column["Type"] for column in columns] == [
        "int", "bigint", "double", "decimal(3,2)", "string", "boolean", "date", "timestamp", "array<int>",
        "map<string,int>",
        "struct<p:int,q:string>", "bigint", "string",
    ]  # fmt: skip
    assert cloud.rows("SELECT * FROM t") == [
        (
            "1",
            "2",
            "2.5",
            "1.50",
            "x",
            "true",
            "2010-12-01",
            "2010-12-01 08:26:00.000",
            "[1, 2]",
            "{k=1}",
            "{p=1, q=y}",
            "3",
            None,
        )
    ]


def test_without_a_location_it_lies_below_the_results(cloud: Cloud) -> None:
    cloud.rows("CREATE TABLE t AS SELECT 1 AS A")
    assert cloud.keys("athena-results/tables/")
    assert cloud.run("SELECT * FROM t").columns == ["a"]


@covers("Writing", "CTAS as JSON and as text (`field_delimiter`), gzipped or not")
def test_json_and_text(cloud: Cloud) -> None:
    cloud.rows(
        f"CREATE TABLE j WITH (format = 'JSON', write_compression = 'NONE', external_location = "
        f"'s3://lake/j/') AS SELECT n, s FROM {PARTS}"
    )
    body = cloud.client("s3").get_object(Bucket=BUCKET, Key=cloud.keys("j/")[0])["Body"].read()
    assert json.loads(body.splitlines()[0]) == {"n": 1, "s": "a"}
    assert cloud.rows("SELECT sum(n) FROM j") == [("6",)]
    cloud.rows(
        f"CREATE TABLE x WITH (format = 'TEXTFILE', field_delimiter = ',', external_location = "
        f"'s3://lake/x/') AS SELECT n, nullif(s, 'b') AS s FROM {PARTS}"
    )
    key = cloud.keys("x/")[0]
    assert key.endswith(".gz")
    body = gzip.decompress(cloud.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())
    assert body == b"1,a\n2,\\N\n3,c\n"
    assert cloud.rows("SELECT s FROM x ORDER BY n") == [("a",), (None,), ("c",)]


def test_partition_values_are_written_as_hive_does(cloud: Cloud) -> None:
    cloud.rows(
        "CREATE TABLE t WITH (external_location = 's3://lake/t/', partitioned_by = ARRAY['d', 'h', 's']) AS "
        "SELECT n, d, h, s FROM (VALUES (1, DATE '2010-12-01', 8, 'a/b c'), (2, DATE '2010-12-02', 9, NULL)) "
        "AS t(n, d, h, s)"
    )
    found = cloud.client("glue").get_partitions(DatabaseName="mydatabase", TableName="t")["Partitions"]
    assert [part["Values"] for part in found] == [
        ["2010-12-01", "8", "a/b c"], ["2010-12-02", "9", "__HIVE_DEFAULT_PARTITION__"],
    ]  # fmt: skip
    assert cloud.keys("t/")[0].startswith("t/d=2010-12-01/h=8/s=a%2Fb c/")
    assert cloud.rows("SELECT d, h, s FROM t ORDER BY n") == [
        ("2010-12-01", "8", "a/b c"),
        ("2010-12-02", "9", None),
    ]
    assert cloud.rows("SELECT n FROM t WHERE s IS NULL") == [("2",)]
    assert cloud.rows("SELECT n FROM t WHERE d = DATE '2010-12-01'") == [("1",)]


@refuses("Writing", "more than 100 open partitions and buckets (`HIVE_TOO_MANY_OPEN_PARTITIONS`)")
def test_an_hundred_open_writers_are_the_limit(cloud: Cloud) -> None:
    def sql(name: str, count: int, extra: str = "") -> str:
        return (
            f"CREATE TABLE {name} WITH (external_location = 's3://lake/{name}/', partitioned_by = "
            f"ARRAY['p']{extra}) AS "
            f"SELECT x AS n, x AS p FROM UNNEST(sequence(1, {count})) AS t(x)"
        )

    assert cloud.fails(sql("a", 101)).startswith(
        "HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers"
    )
    assert cloud.keys("a/") == []
    assert cloud.rows("SHOW TABLES") == []
    cloud.rows(sql("b", 100))
    assert len(cloud.keys("b/")) == 100
    bucketed = ", bucketed_by = ARRAY['n'], bucket_count = 8"
    many = (
        sql("c", 60, bucketed).replace("SELECT x AS n, x AS p", "SELECT y AS n, x AS p")
        + " CROSS JOIN UNNEST(sequence(1, 40)) AS u(y)"
    )
    assert cloud.fails(many).startswith("HIVE_TOO_MANY_OPEN_PARTITIONS")


@refuses(
    "Writing",
    "partition columns that are not last, nameless and twofold columns, types unknown to Hive, ORC, Iceberg",
)
@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("CREATE TABLE t AS SELECT 1", "COLUMN_NAME_NOT_SPECIFIED: Column name not specified at position 1"),
        (
            "CREATE TABLE t AS SELECT 1 AS a, 2 AS a",
            "DUPLICATE_COLUMN_NAME: Column name 'a' specified more than once",
        ),
        (
            "CREATE TABLE t WITH (partitioned_by = ARRAY['a']) AS SELECT 1 AS a, 2 AS b",
            "HIVE_COLUMN_ORDER_MISMATCH: ",
        ),
        ("CREATE TABLE t WITH (partitioned_by = ARRAY['z']) AS SELECT 1 AS a", "INVALID_TABLE_PROPERTY: "),
        ("CREATE TABLE t WITH (partitioned_by = ARRAY['a']) AS SELECT 1 AS a", "INVALID_TABLE_PROPERTY: "),
        ("CREATE TABLE t WITH (bucket_count = 2) AS SELECT 1 AS a", "INVALID_TABLE_PROPERTY: "),
        ("CREATE TABLE t WITH (colour = 'red') AS SELECT 1 AS a", "INVALID_TABLE_PROPERTY: "),
        ("CREATE TABLE t WITH (format = 'ORC') AS SELECT 1 AS a", "NOT_SUPPORTED: the format ORC"),
        (
            "CREATE TABLE t WITH (table_type = 'ICEBERG', is_external = false) AS SELECT 1 AS a",
            "NOT_SUPPORTED: the table type ICEBERG",
        ),
        ("CREATE TABLE t AS SELECT json_parse('1') AS a", "NOT_SUPPORTED: Unsupported Hive type: json"),
        ("CREATE TABLE t AS SELECT NULL AS a", "NOT_SUPPORTED: Unsupported Hive type: unknown"),
        ("CREATE TABLE nope.t AS SELECT 1 AS a", "SCHEMA_NOT_FOUND: "),
        ("CREATE TABLE t AS SELECT 1 / 0 AS a", "DIVISION_BY_ZERO: "),
        ("CREATE TABLE t WITH (external_location = '/tmp/x') AS SELECT 1 AS a", "INVALID_TABLE_PROPERTY: "),
    ],
)
def test_a_refused_ctas_leaves_nothing(cloud: Cloud, sql: str, reason: str) -> None:
    before = cloud.keys("")
    assert cloud.fails(sql).startswith(reason)
    assert cloud.rows("SHOW TABLES") == []
    assert [
        key for key in cloud.keys("") if key not in before and not key.startswith("athena-results/")
    ] == []
    assert cloud.keys("athena-results/tables/") == []


@refuses("Writing", "a table that exists (`TABLE_ALREADY_EXISTS`)")
def test_a_table_that_exists_is_refused(cloud: Cloud) -> None:
    cloud.rows("CREATE TABLE t AS SELECT 1 AS a")
    assert cloud.fails("CREATE TABLE t AS SELECT 2 AS a").startswith("TABLE_ALREADY_EXISTS: line 1:14: ")
    cloud.rows("CREATE TABLE IF NOT EXISTS t AS SELECT 2 AS a")
    assert cloud.rows("SELECT a FROM t") == [("1",)]


@covers("Writing", "`WITH NO DATA`, `IF NOT EXISTS`")
def test_with_no_data(cloud: Cloud) -> None:
    cloud.rows("CREATE TABLE t WITH (external_location = 's3://lake/t/') AS SELECT 1 AS a WITH NO DATA")
    assert cloud.keys("t/") == []
    assert cloud.run("SELECT * FROM t").columns == ["a"]


@covers("Writing", "`INSERT INTO … SELECT`, `INSERT INTO … (columns) VALUES`, into new and old partitions")
def test_insert_adds_objects_and_partitions(cloud: Cloud) -> None:
    cloud.rows(
        "CREATE TABLE t WITH (external_location = 's3://lake/t/', partitioned_by = ARRAY['p']) AS "
        "SELECT 1 AS a, 'x' AS b, 'one' AS p"
    )
    answer = cloud.run("INSERT INTO t SELECT 2, 'y', 'one' UNION ALL SELECT 3, 'z', 'two'")
    assert answer.state == "SUCCEEDED", answer.reason
    assert cloud.rows("SELECT * FROM t ORDER BY a") == [
        ("1", "x", "one"),
        ("2", "y", "one"),
        ("3", "z", "two"),
    ]
    cloud.rows("INSERT INTO t (p, a) VALUES ('two', 4)")
    assert cloud.rows("SELECT b FROM t WHERE p = 'two' ORDER BY a") == [("z",), (None,)]
    assert cloud.rows("SHOW PARTITIONS t") == [("p=one",), ("p=two",)]
    assert cloud.fails("INSERT INTO t SELECT 1").startswith(
        "TYPE_MISMATCH: Insert query has 1 columns but expected 3"
    )
    assert cloud.fails("INSERT INTO t (nope) SELECT 1").startswith("COLUMN_NOT_FOUND: ")
    assert cloud.fails("INSERT INTO nope SELECT 1").startswith("TABLE_NOT_FOUND: line 1:13: ")


def test_insert_follows_a_partitions_location(cloud: Cloud) -> None:
    cloud.rows(
        "CREATE EXTERNAL TABLE t (a int) PARTITIONED BY (p string) STORED AS PARQUET LOCATION 's3://lake/t/'"
    )
    cloud.rows("ALTER TABLE t ADD PARTITION (p = 'x') LOCATION 's3://lake/elsewhere/'")
    cloud.rows("INSERT INTO t SELECT 1, 'x'")
    assert len(cloud.keys("elsewhere/")) == 1
    assert cloud.rows("SELECT a FROM t") == [("1",)]


@refuses("Writing", "`INSERT INTO` a bucketed table")
def test_insert_into_a_bucketed_table_is_refused(cloud: Cloud) -> None:
    cloud.rows("CREATE TABLE t WITH (bucketed_by = ARRAY['a'], bucket_count = 1) AS SELECT 1 AS a")
    assert cloud.fails("INSERT INTO t SELECT 2").startswith(
        "NOT_SUPPORTED: Inserting into bucketed tables is not supported"
    )


@covers("Writing", "`UNLOAD (…) TO … WITH (format, compression, partitioned_by)`")
def test_unload_writes_files_and_no_table(cloud: Cloud) -> None:
    cloud.rows(
        f"UNLOAD (SELECT n, s FROM {PARTS}) TO 's3://lake/u/' WITH (format = 'JSON', compression = 'NONE')"
    )
    body = cloud.client("s3").get_object(Bucket=BUCKET, Key=cloud.keys("u/")[0])["Body"].read()
    assert len(body.splitlines()) == 3
    assert cloud.rows("SHOW TABLES") == []
    assert cloud.fails("UNLOAD (SELECT 1 AS a) TO 's3://lake/u/' WITH (format = 'JSON')").startswith(
        "HIVE_PATH_ALREADY_EXISTS"
    )
    cloud.rows(
        f"UNLOAD (SELECT n, part FROM {PARTS}) TO 's3://lake/v/' WITH (format = 'PARQUET', "
        f"partitioned_by = ARRAY['part'])"
    )
    assert [key.split("/")[1] for key in cloud.keys("v/")] == ["part=2010-12-01-08", "part=2010-12-01-09"]


def test_written_objects_announce_themselves(cloud: Cloud) -> None:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName="news")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    wanted = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    cloud.client("s3").put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=wanted)
    cloud.rows("CREATE TABLE t WITH (external_location = 's3://lake/t/') AS SELECT 1 AS a")
    bodies = [
        json.loads(message["Body"])
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    ]
    keys = [record["s3"]["object"]["key"] for body in bodies for record in body.get("Records", [])]
    assert any(unquote_plus(key).startswith("t/") for key in keys), bodies
