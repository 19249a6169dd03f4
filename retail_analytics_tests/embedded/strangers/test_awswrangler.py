"""awswrangler: queries in each of its ways, data sets into the catalog, and the catalog."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from retail_analytics_tests.embedded.coverage import covers, refuses

if TYPE_CHECKING:
    from retail_analytics_tests.embedded.strangers.conftest import Place

wr: Any = pytest.importorskip("awswrangler")
pd: Any = pytest.importorskip("pandas")

WAYS = {
    "ctas": {"ctas_approach": True},
    "regular": {"ctas_approach": False},
    "unload": {"ctas_approach": False, "unload_approach": True},
}


def frame() -> Any:
    return pd.DataFrame(
        {"n": [1, 2, 3], "s": ["a", "b", None], "day": ["2010-12-01", "2010-12-02", "2010-12-02"]}
    )


def write(place: Place, data: Any, mode: str, **more: Any) -> Any:
    return wr.s3.to_parquet(
        data, path=place.path("w"), dataset=True, partition_cols=["day"], database=place.database, table="w",
        mode=mode, **more,
    )  # fmt: skip


def read(place: Place, sql: str, way: str = "regular", **more: Any) -> Any:
    location = place.path("unloaded") if way == "unload" else place.results
    return wr.athena.read_sql_query(sql, database=place.database, s3_output=location, **WAYS[way], **more)


@covers("awswrangler", "`athena.read_sql_query`: ctas_approach, without it, unload_approach")
@pytest.mark.parametrize("way", WAYS)
def test_a_query_is_read(place: Place, way: str) -> None:
    found = read(place, "SELECT n, s, d, at, p, c FROM t", way).sort_values("n")
    assert found["n"].tolist() == [1, 2]
    assert found["s"].isna().tolist() == [False, True]
    assert found["d"].tolist()[0] == dt.date(2010, 12, 1)
    assert found["at"].tolist()[0] == pd.Timestamp("2010-12-01 08:26:00")
    assert found["p"].tolist()[0] == 1.5
    assert str(found["c"].tolist()[0]) == "1.50"
    assert place.rows("SHOW TABLES") == [("t",)]  # its temporary table is gone


@pytest.mark.parametrize("way", WAYS)
def test_a_query_is_read_in_chunks(place: Place, way: str) -> None:
    chunks = read(place, "SELECT x FROM UNNEST(sequence(1, 25)) AS u(x)", way, chunksize=10)
    assert [len(chunk) for chunk in chunks] == [10, 10, 5]


@pytest.mark.parametrize("way", ["ctas", "regular"])
def test_a_query_without_rows(place: Place, way: str) -> None:
    assert read(place, "SELECT n FROM t WHERE n > 100", way).shape == (0, 1)


@covers("awswrangler", "parameters, prepared statements, its result cache")
def test_parameters(place: Place) -> None:
    assert read(place, "SELECT n FROM t WHERE s = :s", params={"s": "a"})["n"].tolist() == [1]
    sql = "SELECT n FROM t WHERE s = ?"
    assert read(place, sql, params=["'a'"], paramstyle="qmark")["n"].tolist() == [1]
    wr.athena.create_prepared_statement("SELECT ? AS a", "one")
    assert wr.athena.list_prepared_statements() == [{"StatementName": "one"}]
    found = read(place, 'EXECUTE "one"', params=["'x'"], paramstyle="qmark")
    wr.athena.delete_prepared_statement("one")
    assert found["a"].tolist() == ["x"]
    cache = {"max_cache_seconds": 900}
    counts = [
        read(place, "SELECT count(*) AS c FROM t", athena_cache_settings=cache)["c"].tolist() for _ in "ab"
    ]
    assert counts == [[2], [2]]


@covers(
    "awswrangler", "`s3.to_parquet` into the catalog: append, overwrite, overwrite_partitions, new columns"
)
def test_a_dataset_is_written(place: Place) -> None:
    count = "SELECT day, count(*) FROM w GROUP BY day ORDER BY day"
    write(place, frame(), "append")
    write(place, frame(), "append")
    assert place.rows(count) == [("2010-12-01", 2), ("2010-12-02", 4)]
    write(place, frame()[1:], "overwrite_partitions")
    assert place.rows(count) == [("2010-12-01", 2), ("2010-12-02", 2)]
    write(place, frame().assign(extra=7), "append")
    assert place.rows("SELECT count(*), count(extra), max(extra) FROM w") == [(7, 3, 7)]
    write(place, frame()[:1], "overwrite")
    assert place.rows(count) == [("2010-12-01", 1)]


@covers("awswrangler", "`s3.to_parquet` with buckets, with partition projection; `s3.to_csv`, `s3.to_json`")
def test_other_datasets(place: Place) -> None:
    options: dict[str, Any] = {"dataset": True, "database": place.database, "mode": "overwrite"}
    wr.s3.to_parquet(frame(), path=place.path("b"), table="b", bucketing_info=(["n"], 2), **options)
    settings = {"projection_types": {"y": "integer"}, "projection_ranges": {"y": "2009,2012"}}
    wr.s3.to_parquet(
        frame().assign(y=[2010, 2011, 2011]), path=place.path("p"), table="p", partition_cols=["y"],
        athena_partition_projection_settings=settings, **options,
    )  # fmt: skip
    wr.s3.to_csv(frame(), path=place.path("c"), table="c", index=False, **options)
    wr.s3.to_json(
        frame(), path=place.path("j"), table="j", orient="records", lines=True, index=False, **options
    )
    for table in "bpcj":
        found = wr.athena.read_sql_table(table, database=place.database, s3_output=place.results)
        assert sorted(found["n"].tolist()) == [1, 2, 3], table
    assert place.rows("SELECT n FROM p WHERE y = 2010") == [(1,)]


@covers("awswrangler", "`catalog`: databases, tables, types, parameters, comments, versions, columns")
def test_the_catalog(place: Place) -> None:
    write(place, frame(), "overwrite", glue_table_settings={"columns_comments": {"n": "a number"}})
    table = {"database": place.database, "table": "w"}
    assert place.database in wr.catalog.databases(limit=1000)["Database"].tolist()  # other tests have some
    assert {one["Name"] for one in wr.catalog.get_tables(database=place.database)} == {"t", "w"}
    assert [one["Name"] for one in wr.catalog.get_tables(database=place.database, name_prefix="w")] == ["w"]
    assert wr.catalog.get_table_types(**table) == {"n": "bigint", "s": "string", "day": "string"}
    assert wr.catalog.get_table_location(**table) == place.path("w")
    assert wr.catalog.get_columns_comments(**table)["n"] == "a number"
    assert wr.catalog.upsert_table_parameters({"owner": "me"}, **table)["owner"] == "me"
    assert wr.catalog.get_table_parameters(**table)["owner"] == "me"
    wr.catalog.add_column(**table, column_name="z", column_type="int", column_comment="new")
    assert place.rows("SELECT count(*), count(z) FROM w") == [(3, 0)]
    wr.catalog.delete_column(**table, column_name="z")
    assert wr.catalog.get_table_number_of_versions(**table) > 1
    assert wr.catalog.does_table_exist(**table)
    assert wr.catalog.delete_table_if_exists(**table)
    assert not wr.catalog.does_table_exist(**table)


@covers("awswrangler", "`catalog`: add, get and delete partitions; create_parquet_table, create_csv_table")
def test_partitions(place: Place) -> None:
    write(place, frame(), "overwrite")
    table = {"database": place.database, "table": "w"}
    first, second = (f"{place.path('w')}day={day}/" for day in ("2010-12-01", "2010-12-02"))
    assert wr.catalog.get_partitions(**table) == {first: ["2010-12-01"], second: ["2010-12-02"]}
    assert wr.catalog.get_partitions(**table, expression="day = '2010-12-01'") == {first: ["2010-12-01"]}
    wr.catalog.delete_partitions(**table, partitions_values=[["2010-12-02"]])
    assert place.rows("SELECT count(*) FROM w") == [(1,)]
    wr.catalog.add_parquet_partitions(**table, partitions_values={second: ["2010-12-02"]})
    assert place.rows("SELECT count(*) FROM w") == [(3,)]
    wr.catalog.create_parquet_table(
        database=place.database, table="again", path=place.path("w"), columns_types={"n": "bigint"},
        partitions_types={"day": "string"},
    )  # fmt: skip
    wr.athena.repair_table("again", database=place.database, s3_output=place.results)
    assert place.rows("SELECT sum(n) FROM again") == [(6,)]
    wr.s3.to_csv(frame(), f"{place.path('c')}x.csv", index=False)
    wr.catalog.create_csv_table(
        database=place.database, table="c", path=place.path("c"), columns_types={"n": "bigint"},
        skip_header_line_count=1,
    )  # fmt: skip
    assert place.rows("SELECT sum(n) FROM c") == [(6,)]


@covers(
    "awswrangler",
    "`athena`: describe_table, show_create_table, create_ctas_table, unload, waits, columns' types",
)
def test_statements(place: Place) -> None:
    where = {"database": place.database, "s3_output": place.results}
    described = wr.athena.describe_table("t", **where)
    assert described["Column Name"].tolist()[:2] == ["n", "s"]
    assert wr.athena.show_create_table("t", **where).startswith("CREATE EXTERNAL TABLE")
    assert "PARTITIONED BY" in wr.athena.generate_create_query("t", database=place.database)
    wr.athena.create_ctas_table(
        "SELECT n, day FROM t", database=place.database, ctas_table="made", s3_output=place.path("made"),
        partitioning_info=["day"], wait=True,
    )  # fmt: skip
    assert place.rows("SELECT n FROM made WHERE day = 'y'") == [(2,)]
    wr.athena.unload("SELECT n FROM t", path=place.path("un"), database=place.database)
    unloaded = wr.s3.read_parquet(place.path("un"), path_ignore_suffix=".csv")["n"]
    assert sorted(unloaded.tolist()) == [1, 2]  # files come in the order of their random names
    query_id = wr.athena.start_query_execution("SELECT 1 AS a", **where)
    assert wr.athena.wait_query(query_id)["Status"]["State"] == "SUCCEEDED"
    assert wr.athena.get_query_columns_types(query_id) == {"a": "integer"}
    assert query_id in wr.athena.list_query_executions()


@refuses("awswrangler", "`catalog.search_tables` (Glue's SearchTables)")
def test_search_is_refused(place: Place) -> None:
    with pytest.raises(ClientError, match="search_tables action has not been implemented"):
        list(wr.catalog.search_tables(text=place.database))
