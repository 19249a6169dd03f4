"""PyAthena, with each of its cursors."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyathena
import pytest
from pyarrow import fs
from pyathena.arrow.async_cursor import AsyncArrowCursor
from pyathena.arrow.cursor import ArrowCursor
from pyathena.arrow.result_set import AthenaArrowResultSet, AthenaArrowResultSetMetadataReader
from pyathena.async_cursor import AsyncCursor, AsyncDictCursor
from pyathena.cursor import DictCursor
from pyathena.error import OperationalError
from pyathena.pandas.async_cursor import AsyncPandasCursor
from pyathena.pandas.cursor import PandasCursor
from pyathena.pandas.util import to_sql
from pyathena.s3fs.cursor import S3FSCursor

from retail_analytics_tests.embedded.coverage import covers
from retail_analytics_tests.embedded.strangers.conftest import COLUMNS, Place

if TYPE_CHECKING:
    from collections.abc import Callable

ALL = f"SELECT {', '.join(COLUMNS)} FROM t ORDER BY n"
FIRST = (
    1,
    "a",
    dt.date(2010, 12, 1),
    1.5,
    Decimal("1.50"),
    dt.datetime(2010, 12, 1, 8, 26),
    True,
    "x",
)
SECOND = (2, None, None, None, None, None, None, "y")


@covers("PyAthena", "default cursor")
def test_the_default_cursor(connect: Callable[..., Any]) -> None:
    cursor = connect().cursor().execute(ALL)
    assert [column[0] for column in cursor.description] == COLUMNS
    assert cursor.fetchall() == [FIRST, SECOND]


@covers("PyAthena", "dict cursor")
def test_the_dict_cursor(connect: Callable[..., Any]) -> None:
    rows = connect(cursor_class=DictCursor).cursor().execute(ALL).fetchall()
    assert rows == [dict(zip(COLUMNS, row, strict=True)) for row in (FIRST, SECOND)]


@covers("PyAthena", "pandas cursor: CSV results, UNLOAD results, chunks")
@pytest.mark.parametrize("options", [{}, {"unload": True}])
def test_the_pandas_cursor(connect: Callable[..., Any], options: dict[str, Any]) -> None:
    frame = connect(cursor_class=PandasCursor).cursor(**options).execute(ALL).as_pandas().sort_values("n")
    assert frame["n"].tolist() == [1, 2]
    assert frame["c"].tolist()[0] == Decimal("1.50")
    assert frame["s"].isna().tolist() == [False, True]


def test_the_pandas_cursor_in_chunks(connect: Callable[..., Any]) -> None:
    sql = "SELECT x FROM UNNEST(sequence(1, 2500)) AS t(x)"
    chunks = connect(cursor_class=PandasCursor).cursor(chunksize=1000).execute(sql).as_pandas()
    assert [len(chunk) for chunk in chunks] == [1000, 1000, 500]


@covers("PyAthena", "S3FS cursor")
def test_the_s3fs_cursor(connect: Callable[..., Any]) -> None:
    assert connect(cursor_class=S3FSCursor).cursor().execute(ALL).fetchall() == [FIRST, SECOND]


@covers("PyAthena", "async cursors: default, dict, pandas, and cancel")
@pytest.mark.parametrize(
    ("kind", "read", "expected"),
    [
        (AsyncCursor, lambda result: result.fetchall(), [FIRST, SECOND]),
        (AsyncDictCursor, lambda result: [row["n"] for row in result.fetchall()], [1, 2]),
        (AsyncPandasCursor, lambda result: result.as_pandas()["n"].tolist(), [1, 2]),
    ],
    ids=["default", "dict", "pandas"],
)
def test_the_async_cursors(
    connect: Callable[..., Any], kind: type[Any], read: Callable[[Any], Any], expected: Any
) -> None:
    with connect(cursor_class=kind).cursor() as cursor:
        _, future = cursor.execute(ALL)
        assert read(future.result(timeout=120)) == expected


def test_an_async_query_is_cancelled(connect: Callable[..., Any]) -> None:
    endless = (
        "SELECT count(*) FROM UNNEST(sequence(1, 9000)) AS t(x) CROSS JOIN UNNEST(sequence(1, 9000)) AS u(y) "
        "CROSS JOIN UNNEST(sequence(1, 9000)) AS v(z) WHERE sqrt(x + y + z) < 0"
    )
    with connect(cursor_class=AsyncCursor).cursor() as cursor:
        query_id, future = cursor.execute(endless)
        cursor.cancel(query_id).result(timeout=120)
        assert future.result(timeout=120).state == "CANCELLED"


@covers("PyAthena", "asyncio connection (`aio_connect`)")
def test_asyncio(place: Place) -> None:
    async def ask() -> list[Any]:
        async with await pyathena.aio_connect(
            s3_staging_dir=place.results, schema_name=place.database
        ) as connection:
            cursor = connection.cursor()
            await cursor.execute("SELECT n FROM t ORDER BY n")
            return list(await cursor.fetchall())

    assert asyncio.run(ask()) == [(1,), (2,)]


class EmbeddedReader(AthenaArrowResultSetMetadataReader):
    """The override that `docs/embedded.md` gives: pyarrow's S3 client is told the endpoint."""

    def _create_s3_file_system(self) -> fs.S3FileSystem:
        credentials = self._connection.session.get_credentials().get_frozen_credentials()
        return fs.S3FileSystem(
            endpoint_override=os.environ["AWS_ENDPOINT_URL"],
            region=self._connection.region_name,
            access_key=credentials.access_key,
            secret_key=credentials.secret_key,
        )


@covers("PyAthena", "arrow cursor, with its file system overridden as shown above")
@pytest.mark.parametrize("options", [{}, {"unload": True}])
def test_the_arrow_cursor(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(AthenaArrowResultSet, "_metadata_reader_class", EmbeddedReader)
    sql = "SELECT n, p, d, at FROM t"
    table = connect(cursor_class=ArrowCursor).cursor(**options).execute(sql).as_arrow()
    rows = sorted(table.to_pylist(), key=lambda row: row["n"])
    assert rows == [
        {"n": 1, "p": 1.5, "d": FIRST[2], "at": FIRST[5]},
        {"n": 2, "p": None, "d": None, "at": None},
    ]


def test_the_async_arrow_cursor(connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AthenaArrowResultSet, "_metadata_reader_class", EmbeddedReader)
    with connect(cursor_class=AsyncArrowCursor).cursor() as cursor:
        _, future = cursor.execute(ALL)
        assert future.result(timeout=120).as_arrow().num_rows == 2


@covers("PyAthena", "parameters: pyformat and qmark")
def test_parameters(connect: Callable[..., Any]) -> None:
    cursor = connect().cursor()
    assert cursor.execute("SELECT n FROM t WHERE s = %(s)s", {"s": "a"}).fetchall() == [(1,)]
    assert cursor.execute("SELECT n FROM t WHERE n = ?", ["2"], paramstyle="qmark").fetchall() == [(2,)]


@covers("PyAthena", "`pandas.util.to_sql`, partitioned")
def test_to_sql(place: Place) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"q": [1, 2], "p": ["a", "b"]})
    for _ in range(2):  # the second time replaces the first
        to_sql(
            frame,
            "made",
            place.connection(),
            place.path("made"),
            schema=place.database,
            partitions=["p"],
            if_exists="replace",
        )
    assert place.rows("SELECT q, p FROM made ORDER BY q") == [(1, "a"), (2, "b")]


def test_a_failed_query_raises_athenas_reason(connect: Callable[..., Any]) -> None:
    with pytest.raises(OperationalError, match="TABLE_NOT_FOUND: line 1:15"):
        connect().cursor().execute("SELECT * FROM nope")
