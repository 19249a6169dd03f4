"""An Athena of its own for these tests: the engine alone for the dialect, moto's server for the rest."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.athena import urls as moto_urls
from moto.athena.models import athena_backends
from moto.core.base_backend import BackendDict
from moto.server import ThreadedMotoServer

from retail_analytics.embedded.athena import install, uninstall
from retail_analytics.embedded.athena.engine import Engine
from retail_analytics.embedded.athena.execution import Execution
from retail_analytics.embedded.athena.results import page
from retail_analytics.embedded.athena.session import Request
from retail_analytics_tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUCKET = "lake"
REGION = "us-east-1"


class NoStatements:
    def get(self, name: str) -> str | None:
        return None

    def put(self, name: str, statement: str) -> None:
        raise AssertionError(name)

    def drop(self, name: str) -> bool:
        return False


@dataclass(frozen=True)
class Answer:
    state: str
    reason: str | None
    columns: list[str]
    types: list[str]
    rows: list[tuple[str | None, ...]]
    statistics: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(tmp_path_factory.mktemp("engine"), memory_limit="512MB")
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def evaluate(engine: Engine) -> Callable[..., Answer]:
    """Runs a statement on the engine alone: no server, no request."""

    def run(sql: str, *parameters: str) -> Answer:
        request = Request(
            sql, "123456789012", REGION, "default", parameters, None, None, enforced_output=False
        )
        execution = Execution(sql, request, "primary", "DML", "SELECT", None, {})
        execution.run(engine, NoStatements())
        rows, _ = page(execution.result, 0, 1000)
        plain = [tuple(item.get("VarCharValue") for item in row["Data"]) for row in rows]
        columns = execution.result.columns
        return Answer(
            execution.state,
            execution.reason,
            [column.name for column in columns],
            [column.kind for column in columns],
            plain[1:] if execution.result.with_header else plain,
            execution.statistics(),
        )

    return run


@pytest.fixture(scope="package")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of moto with this Athena in it."""
    kept = athena_backends.backend, moto_urls.url_paths
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    install(tmp_path_factory.mktemp("athena"), memory_limit="512MB", concurrency=2)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    BackendDict.reset()
    uninstall()
    athena_backends.backend, moto_urls.url_paths = kept
    athena_backends.clear()


@cache
def client(service: str, endpoint: str) -> Any:
    """A client for all tests: making one takes longer than most statements."""
    made = {"region_name": REGION, "aws_access_key_id": "x", "aws_secret_access_key": "x"}
    return boto3.client(service, endpoint_url=endpoint, **made)  # type: ignore[call-overload]


@dataclass(frozen=True)
class Cloud:
    """Clients of the server, and a short way to run a statement to its end."""

    endpoint: str

    def client(self, service: str) -> Any:
        return client(service, self.endpoint)

    def start(self, sql: str, **more: Any) -> str:
        asked = {
            "QueryExecutionContext": {"Database": "mydatabase"},
            "ResultConfiguration": {"OutputLocation": f"s3://{BUCKET}/athena-results/"},
            **more,
        }
        return self.client("athena").start_query_execution(QueryString=sql, **asked)["QueryExecutionId"]

    def wait(self, query_id: str) -> dict[str, Any]:
        athena = self.client("athena")
        return until(
            lambda: athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"],
            lambda found: found["Status"]["State"] in {"SUCCEEDED", "FAILED", "CANCELLED"},
        )

    def run(self, sql: str, **more: Any) -> Answer:
        found = self.wait(self.start(sql, **more))
        state, reason = found["Status"]["State"], found["Status"].get("StateChangeReason")
        if state != "SUCCEEDED":
            return Answer(state, reason, [], [], [], found["Statistics"])
        result = self.client("athena").get_query_results(QueryExecutionId=found["QueryExecutionId"])[
            "ResultSet"
        ]
        rows = [tuple(item.get("VarCharValue") for item in row["Data"]) for row in result["Rows"]]
        info = result["ResultSetMetadata"]["ColumnInfo"]
        if found["SubstatementType"] == "SELECT":
            rows = rows[1:]
        names, kinds = [column["Name"] for column in info], [column["Type"] for column in info]
        return Answer(state, reason, names, kinds, rows, found["Statistics"])

    def rows(self, sql: str, **more: Any) -> list[tuple[str | None, ...]]:
        answer = self.run(sql, **more)
        assert answer.state == "SUCCEEDED", answer.reason
        return answer.rows

    def fails(self, sql: str, **more: Any) -> str:
        answer = self.run(sql, **more)
        assert answer.state == "FAILED", answer.state
        return answer.reason or ""

    def put(self, key: str, body: str | bytes) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=data)

    def put_json(self, key: str, *records: Any) -> None:
        self.put(key, "".join(json.dumps(record) + "\n" for record in records))

    def keys(self, prefix: str) -> list[str]:
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for found in pages for item in found.get("Contents", [])]


@pytest.fixture
def cloud(endpoint: str) -> Iterator[Cloud]:
    """A fresh cloud with a bucket and the database `mydatabase`."""
    cloud = Cloud(endpoint)
    cloud.client("s3").create_bucket(Bucket=BUCKET)
    assert cloud.run("CREATE DATABASE mydatabase").state == "SUCCEEDED"
    yield cloud
    BackendDict.reset()
