"""SQLAlchemy through PyAthena's dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from retail_analytics_tests.embedded.coverage import covers
from retail_analytics_tests.embedded.strangers.conftest import COLUMNS

if TYPE_CHECKING:
    from retail_analytics_tests.embedded.strangers.conftest import Place


@pytest.fixture
def engine(place: Place) -> sa.Engine:
    host = "athena.us-east-1.amazonaws.com:443"
    return sa.create_engine(
        f"awsathena+rest://:@{host}/{place.database}?s3_staging_dir=s3://{place.bucket}/athena-results/"
    )


@covers("SQLAlchemy", "inspection: schemas, tables, views, columns, partitions, options")
def test_inspection(place: Place, engine: sa.Engine) -> None:
    place.rows("CREATE OR REPLACE VIEW v AS SELECT n FROM t")
    inspector = sa.inspect(engine)
    assert place.database in inspector.get_schema_names()
    assert inspector.get_table_names() == ["t"]
    assert inspector.get_view_names() == ["v"]
    assert "SELECT n FROM t" in inspector.get_view_definition("v")
    columns: dict[str, Any] = {column["name"]: column for column in inspector.get_columns("t")}
    assert list(columns) == COLUMNS
    assert isinstance(columns["d"]["type"], sa.Date)
    assert columns["day"]["dialect_options"] == {"awsathena_partition": True}
    assert inspector.get_table_options("t")["awsathena_location"] == place.path("t")


@covers("SQLAlchemy", "a missing table is `NoSuchTableError`")
def test_a_missing_table(engine: sa.Engine) -> None:
    inspector = sa.inspect(engine)
    assert inspector.has_table("t")
    assert not inspector.has_table("nope")
    with pytest.raises(sa.exc.NoSuchTableError):
        inspector.get_columns("nope")


@covers("SQLAlchemy", "reflection, and a query over a reflected table")
def test_reflection(engine: sa.Engine) -> None:
    metadata = sa.MetaData()
    metadata.reflect(engine)
    table = metadata.tables["t"]
    query = sa.select(table.c.n, sa.func.count()).where(table.c.day == "x").group_by(table.c.n)
    with engine.connect() as connection:
        assert connection.execute(query).fetchall() == [(1, 1)]


@covers("SQLAlchemy", "`create_all`, `insert`, `drop_all`")
def test_a_table_is_made(place: Place, engine: sa.Engine) -> None:
    metadata = sa.MetaData()
    columns: list[sa.Column[Any]] = [sa.Column("a", sa.Integer), sa.Column("b", sa.String)]
    where = {"awsathena_location": place.path("made"), "awsathena_file_format": "PARQUET"}
    table = sa.Table("made", metadata, *columns, **where)
    metadata.create_all(engine)
    with engine.connect() as connection:
        connection.execute(table.insert(), {"a": 1, "b": "it's"})
        assert connection.execute(sa.select(table)).fetchall() == [(1, "it's")]
    metadata.drop_all(engine)
    assert place.rows("SHOW TABLES") == [("t",)]


@covers("SQLAlchemy", "`pandas.read_sql` and `DataFrame.to_sql`")
def test_pandas(place: Place, engine: sa.Engine) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_sql("SELECT n, s FROM t ORDER BY n", engine)
    assert frame["n"].tolist() == [1, 2]
    url = f"{engine.url.render_as_string(hide_password=False)}&location={place.path('written')}"
    with sa.create_engine(url).connect() as connection:
        frame.to_sql("written", connection, schema=place.database, index=False, method="multi")
    assert place.rows("SELECT n, s FROM written ORDER BY n") == [(1, "a"), (2, None)]
