"""Reading: formats as declared, pruning, hidden names, bytes scanned, corrupt objects."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retail_analytics_tests.embedded.athena.conftest import BUCKET
from retail_analytics_tests.embedded.coverage import covers, refuses

if TYPE_CHECKING:
    from retail_analytics_tests.embedded.athena.conftest import Cloud

JSON = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
LINES = (
    "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe' WITH SERDEPROPERTIES "
    "('field.delim' = '\\001')"
)


def hours(cloud: Cloud, *, table: str = "lines") -> dict[int, int]:
    """Three hours of a table of lines; returns the bytes of each."""
    cloud.rows(
        f"CREATE EXTERNAL TABLE {table} (line string) PARTITIONED BY (year int, month int, day int, "
        f"hour int) {LINES} "
        "LOCATION 's3://lake/raw/'"
    )
    sizes = {}
    for hour in (8, 9, 10):
        folder = f"raw/year=2010/month=12/day=01/hour={hour:02d}"
        body = "".join(f"{hour} {index}\n" for index in range(hour))
        cloud.put(f"{folder}/object", body)
        sizes[hour] = len(body)
    cloud.rows(f"MSCK REPAIR TABLE {table}")
    return sizes


@covers("Reading", "partition pruning: no other partition's objects are read or counted")
@pytest.mark.parametrize(
    ("where", "read"),
    [
        ("hour = 8", {8}),
        ("year = 2010 AND month = 12 AND day = 1 AND hour IN (8, 9)", {8, 9}),
        ("(day = 1 AND hour = 8) OR (day = 1 AND hour BETWEEN 10 AND 23) OR (day = 2)", {8, 10}),
        ("hour > 8 AND line LIKE '%0'", {9, 10}),
        ("(hour = 8 AND line = 'x') OR hour = 9", {8, 9}),
        ("hour = 8 OR line = 'x'", {8, 9, 10}),
        ("NOT hour = 8", {9, 10}),
        ("t.hour = 8", {8}),
        ("format('%02d', hour) = '10'", {10}),
        ("hour = 11", set()),
        ("hour = (SELECT 8)", {8, 9, 10}),
        ("random() < 2 AND hour + 1 = 10", {9}),
        ("true", {8, 9, 10}),
    ],
)
def test_pruning_reads_no_other_partition(cloud: Cloud, where: str, read: set[int]) -> None:
    sizes = hours(cloud)
    answer = cloud.run(f"SELECT line FROM lines AS t WHERE {where}")
    assert answer.state == "SUCCEEDED", answer.reason
    assert answer.statistics["DataScannedInBytes"] == sum(sizes[hour] for hour in read)


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("WITH a AS (SELECT * FROM lines WHERE hour = 8) SELECT count(*) FROM a", {8}),
        ("WITH a AS (SELECT line, hour AS h FROM lines) SELECT count(*) FROM a WHERE h = 8", {8}),
        ("SELECT count(*) FROM (SELECT * FROM lines) AS a WHERE a.hour = 8", {8}),
        (("SELECT count(*) FROM (SELECT *, row_number() OVER (ORDER BY line) AS n FROM lines) WHERE hour "
         "= 8"), {8, 9, 10}),
        ("SELECT count(*) FROM (SELECT * FROM lines LIMIT 1) WHERE hour = 8", {8, 9, 10}),
        ("SELECT count(*) FROM (SELECT hour FROM lines GROUP BY hour) WHERE hour = 8", {8}),
        (("WITH a AS (SELECT * FROM lines) SELECT (SELECT count(*) FROM a WHERE hour = 8), (SELECT "
         "count(*) FROM a)"), {8, 9, 10}),
        ("SELECT count(*) FROM lines a JOIN lines b ON a.line = b.line WHERE a.hour = 8 AND b.hour = 8", {8}),
        ("SELECT count(*) FROM lines a JOIN lines b ON a.line = b.line AND b.hour = 9 WHERE a.hour = 8", {8,
        9}),
        (("SELECT count(*) FROM lines a LEFT JOIN lines b ON a.line = b.line AND b.hour = 9 WHERE a.hour "
         "= 8"), {8, 9, 10}),
        ("SELECT count(*) FROM lines WHERE hour = 8 UNION ALL SELECT count(*) FROM lines WHERE hour = 9",
        {8, 9}),
    ],
)  # fmt: skip
def test_pruning_through_subqueries(cloud: Cloud, sql: str, read: set[int]) -> None:
    sizes = hours(cloud)
    answer = cloud.run(sql)
    assert answer.state == "SUCCEEDED", answer.reason
    assert answer.statistics["DataScannedInBytes"] == sum(sizes[hour] for hour in read)


def test_pruning_keeps_the_meaning_of_outer_joins(cloud: Cloud) -> None:
    hours(cloud)
    rows = cloud.rows(
        "SELECT count(*) FROM (VALUES 8, 9, 99) AS h(n) LEFT JOIN (SELECT DISTINCT hour FROM lines) AS "
        "l ON l.hour = h.n "
        "WHERE l.hour IS NULL"
    )
    assert rows == [("1",)]
    assert cloud.rows(
        "SELECT count(*) FROM (VALUES 8) AS h(n) LEFT JOIN lines AS l ON l.hour = h.n WHERE l.hour IS NULL"
    ) == [("0",)]


@covers("Reading", "a table of one column over lines of text")
def test_lines_are_read_as_they_are(cloud: Cloud) -> None:
    cloud.rows(f"CREATE EXTERNAL TABLE t (line string) {LINES} LOCATION 's3://lake/t/'")
    lines = ['{"a": "b"}', "", "  ", 'a "quoted, \\" text\t', "tail;|,", "ünïcode", "\\N", "crlf\r"]
    cloud.put("t/x", "\n".join(lines).encode() + b"\nbad \xff utf-8\ncut\x01off\nlast")
    found = [row[0] for row in cloud.rows("SELECT line FROM t")]
    expected = ["crlf" if line == "crlf\r" else None if line == "\\N" else line for line in lines]
    assert found == [*expected, "bad \ufffd utf-8", "cut", "last"]


@covers("Reading", '`"$path"`')
def test_path_tells_the_object(cloud: Cloud) -> None:
    hours(cloud)
    rows = cloud.rows('SELECT DISTINCT "$path", hour FROM lines WHERE hour = 8')
    assert rows == [(f"s3://{BUCKET}/raw/year=2010/month=12/day=01/hour=08/object", "8")]
    answer = cloud.run("SELECT * FROM lines WHERE \"$path\" LIKE '%hour=09%'")
    assert answer.columns == ["line", "year", "month", "day", "hour"]
    assert len(answer.rows) == 9
    assert cloud.run('SELECT t.*, "$path" FROM lines t LIMIT 1').columns[-2:] == ["hour", "$path"]


@covers("Reading", "gzipped objects")
def test_gzip_objects_are_decompressed(cloud: Cloud) -> None:
    cloud.rows(f"CREATE EXTERNAL TABLE t (line string) {LINES} LOCATION 's3://lake/t'")
    cloud.put("t/a.gz", gzip.compress(b"one\ntwo\n"))
    assert cloud.rows("SELECT line FROM t") == [("one",), ("two",)]
    cloud.put("t/b.gz", b"no gzip at all")
    assert "s3://lake/t/b.gz" in cloud.fails("SELECT line FROM t")


@covers("Reading", "names that begin with `_` or `.` are hidden")
def test_hidden_and_empty_objects_are_not_read(cloud: Cloud) -> None:
    cloud.rows(f"CREATE EXTERNAL TABLE t (line string) {LINES} LOCATION 's3://lake/t/'")
    for name in ("_SUCCESS", ".part", "deep/_tmp/x", "folder/"):
        cloud.put(f"t/{name}", "hidden\n")
    cloud.put("t/empty", "")
    cloud.put("t2/other", "not below t/\n")
    cloud.put("t/deep/seen", "seen\n")
    assert cloud.rows("SELECT line FROM t") == [("seen",)]


def test_changed_and_deleted_objects_are_noticed(cloud: Cloud) -> None:
    cloud.rows(f"CREATE EXTERNAL TABLE t (line string) {LINES} LOCATION 's3://lake/t/'")
    cloud.put("t/x", "old\n")
    assert cloud.rows("SELECT line FROM t") == [("old",)]
    cloud.put("t/x", "new\n")
    assert cloud.rows("SELECT line FROM t") == [("new",)]
    cloud.client("s3").delete_object(Bucket=BUCKET, Key="t/x")
    assert cloud.rows("SELECT line FROM t") == []


@covers("Reading", "OpenX JSON, read as declared: a missing key is NULL")
def test_json_is_read_as_declared(cloud: Cloud) -> None:
    cloud.rows(
        "CREATE EXTERNAL TABLE t (invoice string, quantity int, price double, tags array<string>, "
        f"who struct<name:string,age:int>, at timestamp) {JSON} LOCATION 's3://lake/t/'"
    )
    cloud.put_json(
        "t/x",
        {"Invoice": 536365, "Quantity": "6", "Price": 2.55, "tags": ["a"], "who": {"name": "x", "age": 3},
        "other": 1,
         "at": "2010-12-01 08:26:00"},
        {"Invoice": None},
        {"Invoice": {"a": 1}},
    )  # fmt: skip
    assert cloud.rows("SELECT * FROM t") == [
        ("536365", "6", "2.55", "[a]", "{name=x, age=3}", "2010-12-01 08:26:00.000"),
        (None, None, None, None, None, None),
        ('{"a":1}', None, None, None, None, None),
    ]
    assert cloud.rows("SELECT who.name, tags[1] FROM t WHERE quantity = 6") == [("x", "a")]


def test_json_keys_in_several_spellings_are_one_column(cloud: Cloud) -> None:
    cloud.rows(f"CREATE EXTERNAL TABLE t (invoice string, quantity int) {JSON} LOCATION 's3://lake/t/'")
    cloud.put_json("t/x", {"Invoice": "1", "quantity": 1}, {"INVOICE": "2", "Quantity": 2})
    assert cloud.rows("SELECT * FROM t ORDER BY 1") == [("1", "1"), ("2", "2")]


@covers("Reading", "SerDe properties `ignore.malformed.json`, `mapping.*`")
def test_json_serde_properties(cloud: Cloud) -> None:
    serde = f"{JSON} WITH SERDEPROPERTIES ('mapping.ts' = 'time.stamp', 'ignore.malformed.json' = 'true')"
    cloud.rows(f"CREATE EXTERNAL TABLE t (ts string, n int) {serde} LOCATION 's3://lake/t/'")
    cloud.put("t/x", '{"time.stamp": "a", "n": 1}\n{bad\n{"time.stamp": "b", "n": "x"}\n')
    assert cloud.rows("SELECT * FROM t") == [("a", "1"), (None, None), ("b", None)]


@refuses("Reading", "corrupt objects, by their name (`HIVE_CURSOR_ERROR`, `HIVE_BAD_DATA`)")
def test_a_corrupt_json_object_is_named(cloud: Cloud) -> None:
    cloud.rows(f"CREATE EXTERNAL TABLE t (a int) {JSON} LOCATION 's3://lake/t/'")
    cloud.put("t/good", '{"a": 1}\n')
    cloud.put("t/x", '{"a": 1}\n{bad\n')
    reason = cloud.fails("SELECT a FROM t")
    assert reason.startswith("HIVE_CURSOR_ERROR: Row is not a valid JSON Object")
    assert "s3://lake/t/x" in reason
    cloud.put("t/x", '{"a": "one"}\n')
    reason = cloud.fails("SELECT a FROM t")
    assert reason.startswith("HIVE_BAD_DATA: ")
    assert "s3://lake/t/x" in reason


@covers("Reading", "LazySimpleSerDe: delimiters, NULL format, header lines")
def test_delimited_text(cloud: Cloud) -> None:
    cloud.rows(
        "CREATE EXTERNAL TABLE t (a string, n int, d date) ROW FORMAT DELIMITED FIELDS TERMINATED BY "
        "',' ESCAPED BY '\\\\' "
        "LOCATION 's3://lake/t/' TBLPROPERTIES ('skip.header.line.count' = '1')"
    )
    cloud.put("t/x", "a,n,d\nx\\,y,1,2010-12-01\n\\N,zwei,\nshort\n")
    assert cloud.rows("SELECT * FROM t") == [
        ("x,y", "1", "2010-12-01"),
        (None, None, None),
        ("short", None, None),
    ]


@covers("Reading", "OpenCSVSerde")
def test_quoted_csv(cloud: Cloud) -> None:
    serde = (
        "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' WITH SERDEPROPERTIES "
        "('separatorChar' = ';')"
    )
    cloud.rows(
        f"CREATE EXTERNAL TABLE t (a string, n int) {serde} LOCATION 's3://lake/t/' TBLPROPERTIES "
        f"('skip.header.line.count'='1')"
    )
    cloud.put("t/x", 'a;n\n"x;""y""";1\n"";\n')
    assert cloud.rows("SELECT * FROM t") == [('x;"y"', "1"), ("", None)]


def parquet(**columns: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


@covers("Reading", "Parquet, columns by name")
def test_parquet_columns_are_matched_by_name(cloud: Cloud) -> None:
    cloud.rows(
        "CREATE EXTERNAL TABLE t (b string, a bigint, c double) STORED AS PARQUET LOCATION 's3://lake/t/'"
    )
    cloud.put("t/1.parquet", parquet(A=pa.array([1], pa.int32()), b=pa.array(["x"])))
    cloud.put("t/2.parquet", parquet(b=pa.array(["y"]), a=pa.array([2], pa.int64()), z=pa.array([1])))
    assert cloud.rows("SELECT * FROM t ORDER BY a") == [("x", "1", None), ("y", "2", None)]


@refuses("Reading", "Parquet of another type than declared")
def test_parquet_of_another_type_is_an_error(cloud: Cloud) -> None:
    cloud.rows("CREATE EXTERNAL TABLE t (a bigint) STORED AS PARQUET LOCATION 's3://lake/t/'")
    cloud.put("t/1.parquet", parquet(a=pa.array(["x"])))
    reason = cloud.fails("SELECT * FROM t")
    assert reason.startswith(
        "HIVE_BAD_DATA: Field a's type STRING in parquet file s3://lake/t/1.parquet is incompatible"
    )
    cloud.put("t/1.parquet", b"not parquet")
    reason = cloud.fails("SELECT * FROM t")
    assert reason.startswith("HIVE_CANNOT_OPEN_SPLIT: ")
    assert "s3://lake/t/1.parquet" in reason


@covers("Reading", "partition projection: integer, date, `storage.location.template`")
def test_projected_partitions(cloud: Cloud) -> None:
    cloud.rows(
        f"CREATE EXTERNAL TABLE t (line string) PARTITIONED BY (day string, hour int) {LINES} LOCATION "
        f"'s3://lake/p/' "
        "TBLPROPERTIES ('projection.enabled' = 'true', 'projection.day.type' = 'date', "
        "'projection.day.format' = 'yyyy-MM-dd', 'projection.day.range' = '2010-12-01,2010-12-03', "
        "'projection.hour.type' = 'integer', 'projection.hour.range' = '0,23', 'projection.hour.digits' "
        "= '2', "
        "'storage.location.template' = 's3://lake/p/${day}/${hour}/')"
    )
    cloud.put("p/2010-12-01/08/x", "a\n")
    cloud.put("p/2010-12-02/09/x", "bb\n")
    assert cloud.rows("SELECT day, hour, line FROM t ORDER BY 1") == [
        ("2010-12-01", "8", "a"),
        ("2010-12-02", "9", "bb"),
    ]
    answer = cloud.run("SELECT line FROM t WHERE day = '2010-12-02' AND hour = 9")
    assert answer.statistics["DataScannedInBytes"] == 3


@refuses("Reading", "a partition value that does not fit its column's type")
def test_a_partition_value_that_does_not_fit_is_an_error(cloud: Cloud) -> None:
    cloud.rows(
        f"CREATE EXTERNAL TABLE t (line string) PARTITIONED BY (hour int) {LINES} LOCATION 's3://lake/t/'"
    )
    cloud.rows("ALTER TABLE t ADD PARTITION (hour = 'noon')")
    assert cloud.fails("SELECT * FROM t").startswith(
        "HIVE_INVALID_PARTITION_VALUE: Invalid partition value 'noon'"
    )


@refuses("Reading", "other SerDes; buckets that are not there")
def test_an_unknown_serde_or_bucket_is_named(cloud: Cloud) -> None:
    cloud.rows("CREATE EXTERNAL TABLE t (a int) ROW FORMAT SERDE 'org.example.Odd' LOCATION 's3://lake/t/'")
    assert cloud.fails("SELECT * FROM t").startswith("NOT_SUPPORTED: the SerDe org.example.Odd")
    cloud.rows(f"CREATE EXTERNAL TABLE u (line string) {LINES} LOCATION 's3://no-such-bucket/t/'")
    assert "no-such-bucket" in cloud.fails("SELECT * FROM u")


def test_pruning_does_not_take_a_condition_from_elsewhere(cloud: Cloud) -> None:
    hours(cloud)
    outer = "(VALUES 8) AS o(hour)"
    assert cloud.rows(
        f"SELECT (SELECT max(hour) FROM (SELECT hour FROM lines)) FROM {outer} WHERE hour = 8"
    ) == [("10",)]
    assert cloud.rows(
        f"SELECT (SELECT hour FROM lines WHERE hour = 9 LIMIT 1) FROM {outer} WHERE hour = 8"
    ) == [("9",)]
    assert cloud.rows(f"SELECT 1 FROM {outer} WHERE hour = 8 AND 10 IN (SELECT hour FROM lines)") == [("1",)]
