"""Clients that were not written for this Athena."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyathena
import pytest
from pyathena.cursor import DictCursor
from pyathena.error import OperationalError
from pyathena.pandas.cursor import PandasCursor

from retail_analytics_tests.embedded.athena.conftest import BUCKET, REGION

if TYPE_CHECKING:
    from retail_analytics_tests.embedded.athena.conftest import Cloud


@pytest.fixture
def connect(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    cloud.put_json(
        "t/x", {"n": 1, "s": "a", "d": "2010-12-01", "p": 1.5}, {"n": 2, "s": None, "d": None, "p": None}
    )
    cloud.rows(
        "CREATE EXTERNAL TABLE t (n int, s string, d date, p double) "
        "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://lake/t/'"
    )

    def make(**more: Any) -> Any:
        return pyathena.connect(
            s3_staging_dir=f"s3://{BUCKET}/athena-results/",
            region_name=REGION,
            schema_name="mydatabase",
            **more,
        ).cursor()

    return make


def test_pyathenas_default_cursor(connect: Any) -> None:
    cursor = connect()
    rows = cursor.execute("SELECT n, s, p, d, DECIMAL '1.50', true FROM t ORDER BY n").fetchall()
    assert [row[:3] for row in rows] == [(1, "a", 1.5), (2, None, None)]
    assert str(rows[0][3]) == "2010-12-01"
    assert str(rows[0][4]) == "1.50"
    assert rows[0][5] is True
    assert [column[0] for column in cursor.description] == ["n", "s", "p", "d", "_col4", "_col5"]
    assert cursor.data_scanned_in_bytes > 0


def test_pyathenas_parameters(connect: Any) -> None:
    cursor = connect()
    assert cursor.execute("SELECT n FROM t WHERE n = ?", ["2"], paramstyle="qmark").fetchall() == [(2,)]
    assert cursor.execute("SELECT %(x)s", {"x": "it's"}).fetchall() == [("it's",)]


def test_pyathenas_dict_cursor(connect: Any) -> None:
    rows = connect(cursor_class=DictCursor).execute("SELECT n, s FROM t ORDER BY n").fetchall()
    assert rows == [{"n": 1, "s": "a"}, {"n": 2, "s": None}]


def test_pyathenas_pandas_cursor(connect: Any) -> None:
    frame = connect(cursor_class=PandasCursor).execute("SELECT n, s, p FROM t ORDER BY n").as_pandas()
    assert frame["n"].tolist() == [1, 2]
    assert frame["s"].isna().tolist() == [False, True]
    assert frame["p"].tolist()[0] == 1.5


def test_pyathena_reads_many_rows(connect: Any) -> None:
    sql = "SELECT x, CAST(x AS varchar) AS s FROM UNNEST(sequence(1, 30000)) AS t(x)"
    assert len(connect().execute(sql).fetchall()) == 30000
    assert len(connect(cursor_class=PandasCursor).execute(sql).as_pandas()) == 30000


def test_pyathena_raises_what_went_wrong(connect: Any) -> None:
    with pytest.raises(OperationalError, match="TABLE_NOT_FOUND: line 1:15"):
        connect().execute("SELECT * FROM nope")


def test_pyathena_writes(connect: Any) -> None:
    cursor = connect()
    cursor.execute("CREATE TABLE u AS SELECT n, s FROM t")
    assert cursor.execute("SELECT count(*) FROM u").fetchone() == (2,)
    cursor.execute("DROP TABLE u")
    assert cursor.execute("SHOW TABLES").fetchall() == [("t",)]


def test_metadata_of_the_catalog(cloud: Cloud, connect: Any) -> None:
    client = cloud.client("athena")
    assert [one["Name"] for one in client.list_databases(CatalogName="AwsDataCatalog")["DatabaseList"]] == [
        "default",
        "mydatabase",
    ]
    table = client.get_table_metadata(CatalogName="AwsDataCatalog", DatabaseName="mydatabase", TableName="t")[
        "TableMetadata"
    ]
    assert [column["Name"] for column in table["Columns"]] == ["n", "s", "d", "p"]
    pages = client.get_paginator("list_table_metadata").paginate(
        CatalogName="AwsDataCatalog", DatabaseName="mydatabase"
    )
    assert [one["Name"] for page in pages for one in page["TableMetadataList"]] == ["t"]
    assert connect().get_table_metadata("t").name == "t"


def test_sqlalchemy_reflects_tables(cloud: Cloud, connect: Any) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    url = f"awsathena+rest://:@athena.{REGION}.amazonaws.com:443/mydatabase?s3_staging_dir=s3://{BUCKET}/athena-results/"
    engine = sqlalchemy.create_engine(url)
    assert sqlalchemy.inspect(engine).get_table_names() == ["t"]
    assert [column["name"] for column in sqlalchemy.inspect(engine).get_columns("t")] == ["n", "s", "d", "p"]
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT max(n) FROM t")).scalar() == 2
