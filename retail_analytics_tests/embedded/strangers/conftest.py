"""A database with one table in the embedded cloud, for clients that were not written for it.

Each test that is a promise to users carries `@covers(group, construct)`, from which `docs/embedded.md` is
made.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pyathena
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from retail_analytics.embedded.cloud import EmbeddedCloud

ROWS = (
    "(VALUES (1, 'a', DATE '2010-12-01', 1.5e0, DECIMAL '1.50', TIMESTAMP '2010-12-01 08:26:00', true, 'x'), "
    "(2, NULL, NULL, NULL, NULL, NULL, NULL, 'y')) AS t(n, s, d, p, c, at, b, day)"
)
COLUMNS = ["n", "s", "d", "p", "c", "at", "b", "day"]


@dataclass(frozen=True)
class Place:
    """Names of the test's own: a bucket, and a database with the table `t`, partitioned by `day`."""

    cloud: EmbeddedCloud
    bucket: str
    database: str

    @property
    def results(self) -> str:
        return f"s3://{self.bucket}/athena-results/"

    def path(self, name: str) -> str:
        return f"s3://{self.bucket}/{name}/"

    def connection(self, **more: Any) -> Any:
        return pyathena.connect(s3_staging_dir=self.results, schema_name=self.database, **more)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self.connection().cursor().execute(sql).fetchall())


@pytest.fixture
def place(embedded_cloud: EmbeddedCloud) -> Place:
    suffix = uuid.uuid4().hex[:10]
    place = Place(embedded_cloud, f"strangers-{suffix}", f"strangers_{suffix}")
    boto3.client("s3").create_bucket(Bucket=place.bucket)
    place.rows(f"CREATE DATABASE {place.database}")
    place.rows(
        f"CREATE TABLE t WITH (external_location = '{place.path('t')}', partitioned_by = ARRAY['day']) "
        f"AS SELECT * FROM {ROWS}"
    )
    return place


@pytest.fixture
def connect(place: Place) -> Callable[..., Any]:
    return place.connection
