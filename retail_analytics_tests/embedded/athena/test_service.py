"""The service around the SQL: states, cancelling, workgroups, idempotency, results, limits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests
from botocore.exceptions import ClientError

from retail_analytics.embedded.athena.backend import DuckAthenaBackend
from retail_analytics_tests.embedded.athena.conftest import BUCKET
from retail_analytics_tests.embedded.coverage import covers, refuses

if TYPE_CHECKING:
    from retail_analytics_tests.embedded.athena.conftest import Cloud

# Runs for minutes if nobody stops it.
ENDLESS = (
    "SELECT count(*) FROM UNNEST(sequence(1, 100000)) AS a(x) CROSS JOIN UNNEST(sequence(1, 100000)) AS b(y) "
    "CROSS JOIN UNNEST(sequence(1, 1000)) AS c(z) WHERE (x * y) % 7 = z"
)


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == "InvalidRequestException"
    return caught.value.response["Error"]["Message"]


@covers("Athena's service", "GetQueryExecution: states, times, DataScannedInBytes, statement types")
def test_a_query_is_described(cloud: Cloud) -> None:
    found = cloud.wait(cloud.start("SELECT 1 AS a"))
    assert found["StatementType"] == "DML"
    assert found["SubstatementType"] == "SELECT"
    assert found["WorkGroup"] == "primary"
    assert found["QueryExecutionContext"] == {"Database": "mydatabase"}
    assert (
        found["ResultConfiguration"]["OutputLocation"]
        == f"s3://{BUCKET}/athena-results/{found['QueryExecutionId']}.csv"
    )
    assert found["Status"]["CompletionDateTime"] >= found["Status"]["SubmissionDateTime"]
    assert found["Statistics"]["DataScannedInBytes"] == 0
    assert found["EngineVersion"]["EffectiveEngineVersion"] == "Athena engine version 3"


@covers("Athena's service", "result CSV, and text of DDL")
def test_the_result_object_is_athenas_csv(cloud: Cloud) -> None:
    query_id = cloud.start("SELECT 'a \"b\", c' AS text, NULL AS nothing, '' AS empty, 1.50 AS n")
    cloud.wait(query_id)
    body = (
        cloud.client("s3")
        .get_object(Bucket=BUCKET, Key=f"athena-results/{query_id}.csv")["Body"]
        .read()
        .decode()
    )
    assert body == '"text","nothing","empty","n"\n"a ""b"", c",,"","1.50"\n'


def test_the_result_of_ddl_is_text(cloud: Cloud) -> None:
    query_id = cloud.start("SHOW DATABASES")
    found = cloud.wait(query_id)
    assert found["StatementType"] == "UTILITY"
    assert (
        cloud.client("s3").get_object(Bucket=BUCKET, Key=f"athena-results/{query_id}.txt")["Body"].read()
        == b"default\nmydatabase\n"
    )


@covers("Athena's service", "GetQueryResults: types, header row, pages")
def test_results_come_in_pages(cloud: Cloud) -> None:
    query_id = cloud.start("SELECT x FROM UNNEST(sequence(1, 2500)) AS t(x)")
    cloud.wait(query_id)
    client = cloud.client("athena")
    first = client.get_query_results(QueryExecutionId=query_id, MaxResults=3)
    assert [row["Data"][0]["VarCharValue"] for row in first["ResultSet"]["Rows"]] == ["x", "1", "2"]
    pages = client.get_paginator("get_query_results").paginate(QueryExecutionId=query_id)
    values = [row["Data"][0]["VarCharValue"] for page in pages for row in page["ResultSet"]["Rows"]]
    assert values == ["x", *map(str, range(1, 2501))]
    info = first["ResultSet"]["ResultSetMetadata"]["ColumnInfo"][0]
    assert (info["Name"], info["Type"], info["Precision"]) == ("x", "bigint", 19)
    assert "MaxResults" in refused(client.get_query_results, QueryExecutionId=query_id, MaxResults=1001)


@covers("Athena's service", "StopQueryExecution stops the work")
def test_a_running_query_is_stopped(cloud: Cloud) -> None:
    client = cloud.client("athena")
    query_id = cloud.start(ENDLESS)
    assert client.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]["State"] in {
        "QUEUED",
        "RUNNING",
    }
    assert "has not yet finished" in refused(client.get_query_results, QueryExecutionId=query_id)
    client.stop_query_execution(QueryExecutionId=query_id)
    assert cloud.wait(query_id)["Status"]["State"] == "CANCELLED"
    assert "Final query state: CANCELLED" in refused(client.get_query_results, QueryExecutionId=query_id)
    client.stop_query_execution(QueryExecutionId=query_id)


def test_a_stopped_ctas_leaves_nothing(cloud: Cloud) -> None:
    query_id = cloud.start(
        f"CREATE TABLE t WITH (external_location = 's3://lake/t/') AS "
        f"{ENDLESS.replace('count(*)', 'count(*) AS n')}"
    )
    cloud.client("athena").stop_query_execution(QueryExecutionId=query_id)
    assert cloud.wait(query_id)["Status"]["State"] == "CANCELLED"
    assert cloud.keys("t/") == []
    assert cloud.rows("SHOW TABLES") == []


@covers("Athena's service", "a queue behind the queries that run")
def test_queries_beyond_the_slots_wait(cloud: Cloud) -> None:
    """The server of these tests has two slots."""
    client = cloud.client("athena")
    busy = [cloud.start(ENDLESS) for _ in range(2)]
    waiting, dropped = cloud.start("SELECT 1 AS a"), cloud.start("SELECT 2 AS a")
    assert (
        client.get_query_execution(QueryExecutionId=waiting)["QueryExecution"]["Status"]["State"] == "QUEUED"
    )
    client.stop_query_execution(QueryExecutionId=dropped)
    assert cloud.wait(dropped)["Status"]["State"] == "CANCELLED"
    for query_id in busy:
        client.stop_query_execution(QueryExecutionId=query_id)
    assert cloud.wait(waiting)["Status"]["State"] == "SUCCEEDED"


def test_a_failed_query_says_why(cloud: Cloud) -> None:
    found = cloud.wait(cloud.start("SELECT * FROM nope"))
    assert found["Status"]["State"] == "FAILED"
    reason = "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.mydatabase.nope' does not exist"
    assert found["Status"]["StateChangeReason"] == reason
    assert found["Status"]["AthenaError"]["ErrorCategory"] == 2
    assert found["Status"]["AthenaError"]["ErrorMessage"] == reason


@refuses("Athena's service", "unknown workgroups, no output location, texts over 262,144 bytes")
def test_requests_that_cannot_be_served_are_refused(cloud: Cloud) -> None:
    client = cloud.client("athena")
    output = {"OutputLocation": f"s3://{BUCKET}/athena-results/"}
    start = client.start_query_execution
    assert "WorkGroup nope is not found" in refused(
        start, QueryString="SELECT 1", WorkGroup="nope", ResultConfiguration=output
    )
    assert "No output location" in refused(start, QueryString="SELECT 1")
    assert "valid S3 path" in refused(
        start, QueryString="SELECT 1", ResultConfiguration={"OutputLocation": "/tmp/x"}
    )
    assert "queryString" in refused(start, QueryString=" ", ResultConfiguration=output)
    long = f"SELECT '{'x' * 262_144}'"
    assert "262144 bytes" in refused(start, QueryString=long, ResultConfiguration=output)
    assert "was not found" in refused(client.get_query_execution, QueryExecutionId="nope")
    assert "was not found" in refused(client.get_query_results, QueryExecutionId="nope")
    assert "was not found" in refused(client.stop_query_execution, QueryExecutionId="nope")
    assert "WorkGroup nope is not found" in refused(client.get_work_group, WorkGroup="nope")


@refuses("Athena's service", "requests that are not JSON (400)")
def test_a_body_that_is_not_json_is_a_bad_request(cloud: Cloud) -> None:
    headers = {
        "X-Amz-Target": "AmazonAthena.StartQueryExecution",
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": "AWS4-HMAC-SHA256 Credential=x/20261122/us-east-1/athena/aws4_request, "
        "SignedHeaders=host, Signature=x",
    }
    answer = requests.post(cloud.endpoint, data="not json", headers=headers, timeout=120)
    assert answer.status_code == 400
    assert answer.json()["__type"] == "SerializationException"


@covers("Athena's service", "ClientRequestToken")
def test_a_token_starts_one_query(cloud: Cloud) -> None:
    token = "t" * 40
    first = cloud.start("SELECT 1", ClientRequestToken=token)
    assert cloud.start("SELECT 1", ClientRequestToken=token) == first
    with pytest.raises(ClientError, match="Idempotent parameters do not match"):
        cloud.start("SELECT 2", ClientRequestToken=token)


@covers(
    "Athena's service",
    "workgroups: enforced output location (which refuses `external_location`), disabled ones",
)
def test_a_workgroup_may_enforce_its_output(cloud: Cloud) -> None:
    client = cloud.client("athena")
    results = {"OutputLocation": f"s3://{BUCKET}/of-the-group/"}
    client.create_work_group(
        Name="strict", Configuration={"ResultConfiguration": results, "EnforceWorkGroupConfiguration": True}
    )
    found = cloud.wait(cloud.start("SELECT 1", WorkGroup="strict"))
    assert found["ResultConfiguration"]["OutputLocation"].startswith(results["OutputLocation"])
    reason = cloud.fails(
        "CREATE TABLE t WITH (external_location = 's3://lake/t/') AS SELECT 1 AS a", WorkGroup="strict"
    )
    assert "enforces a centralized output location" in reason
    client.create_work_group(
        Name="loose", Configuration={"ResultConfiguration": results, "EnforceWorkGroupConfiguration": False}
    )
    assert (
        cloud.run(
            "CREATE TABLE t WITH (external_location = 's3://lake/t/') AS SELECT 1 AS a", WorkGroup="loose"
        ).state
        == "SUCCEEDED"
    )
    only_group = client.start_query_execution(QueryString="SELECT 1", WorkGroup="loose")["QueryExecutionId"]
    assert cloud.wait(only_group)["ResultConfiguration"]["OutputLocation"].startswith(
        results["OutputLocation"]
    )


@covers("Athena's service", "workgroups: BytesScannedCutoffPerQuery")
def test_a_workgroup_may_limit_the_bytes_scanned(cloud: Cloud) -> None:
    cloud.put("t/x", "x" * 10_000_000 + "\n")
    cloud.rows("CREATE EXTERNAL TABLE t (line string) LOCATION 's3://lake/t/'")
    client = cloud.client("athena")
    client.create_work_group(
        Name="poor",
        Configuration={"EnforceWorkGroupConfiguration": False, "BytesScannedCutoffPerQuery": 10_000_000},
    )
    assert "Bytes scanned limit was exceeded" in cloud.fails("SELECT count(*) FROM t", WorkGroup="poor")
    client.update_work_group(
        WorkGroup="poor", ConfigurationUpdates={"RemoveBytesScannedCutoffPerQuery": True}
    )
    assert (
        cloud.run("SELECT count(*) FROM t", WorkGroup="poor").statistics["DataScannedInBytes"] == 10_000_001
    )


def test_executions_are_listed_and_described_in_batches(cloud: Cloud) -> None:
    client = cloud.client("athena")
    ids = [cloud.start("SELECT 1") for _ in range(3)]
    for query_id in ids:
        cloud.wait(query_id)
    listed = client.list_query_executions(MaxResults=2)
    assert listed["QueryExecutionIds"] == ids[:0:-1]
    found = client.batch_get_query_execution(QueryExecutionIds=[*ids, "nope"])
    assert [one["QueryExecutionId"] for one in found["QueryExecutions"]] == ids
    assert found["UnprocessedQueryExecutionIds"][0]["QueryExecutionId"] == "nope"


@covers(
    "Athena's service",
    "`PREPARE`, `EXECUTE … USING`, `DEALLOCATE`, ExecutionParameters, and the API of prepared statements",
)
def test_prepared_statements(cloud: Cloud) -> None:
    cloud.rows("PREPARE add_up FROM SELECT ? + ? AS total")
    assert cloud.rows("EXECUTE add_up USING 1, 2") == [("3",)]
    assert cloud.rows("EXECUTE add_up", ExecutionParameters=["3", "4"]) == [("7",)]
    assert "expected 2 but found 1" in cloud.fails("EXECUTE add_up USING 1")
    cloud.rows("DEALLOCATE PREPARE add_up")
    assert "Prepared statement not found: add_up" in cloud.fails("EXECUTE add_up USING 1, 2")


def test_prepared_statements_of_the_api_are_those_of_sql(cloud: Cloud) -> None:
    client = cloud.client("athena")
    client.create_prepared_statement(StatementName="One", WorkGroup="primary", QueryStatement="SELECT ? AS a")
    assert cloud.rows("EXECUTE one USING 5") == [("5",)]
    cloud.rows("PREPARE two FROM SELECT 2 AS b")
    assert [
        one["StatementName"]
        for one in client.list_prepared_statements(WorkGroup="primary")["PreparedStatements"]
    ] == ["one", "two"]
    found = client.get_prepared_statement(StatementName="two", WorkGroup="primary")["PreparedStatement"]
    assert found["QueryStatement"] == "SELECT 2 AS b"
    client.delete_prepared_statement(StatementName="two", WorkGroup="primary")
    with pytest.raises(ClientError, match="was not found"):
        client.get_prepared_statement(StatementName="two", WorkGroup="primary")


@covers("Athena's service", "`EXPLAIN` of a query (the plan is DuckDB's)")
def test_explain_shows_a_plan(cloud: Cloud) -> None:
    found = cloud.run("EXPLAIN SELECT count(*) FROM (VALUES 1, 2) AS t(a)")
    assert found.columns == ["Query Plan"]
    assert len(found.rows) > 1
    assert "is not a query" not in str(found.rows)


def test_many_at_once(cloud: Cloud) -> None:
    """More clients than slots, over one table, while objects come and go."""
    cloud.rows("CREATE EXTERNAL TABLE t (line string) LOCATION 's3://lake/t/'")
    for index in range(20):
        cloud.put(f"t/{index:02d}", "x\n" * 100)
    counts: list[tuple[str | None, ...]] = []

    def ask() -> None:
        counts.extend(cloud.rows("SELECT count(*) FROM t WHERE line = 'x'"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [("2000",)] * 8


@refuses("Athena's service", "queries over the memory limit (`EXCEEDED_MEMORY_LIMIT`); the server goes on")
def test_memory_is_limited_and_the_server_survives(cloud: Cloud) -> None:
    greedy = (
        "SELECT array_agg(s) FROM (SELECT CAST(x AS varchar) || lpad('', 400, 'x') AS s FROM "
        "UNNEST(sequence(1, 4000000)) AS t(x))"
    )
    assert cloud.fails(greedy).startswith("EXCEEDED_MEMORY_LIMIT: ")
    assert cloud.rows("SELECT 1") == [("1",)]


def test_only_the_last_executions_are_kept(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DuckAthenaBackend, "kept_executions", 3)
    running = cloud.start(ENDLESS)
    token = "a-token-of-at-least-thirty-two-characters"
    ended = [cloud.start("SELECT 1 AS a", ClientRequestToken=token)]
    cloud.wait(ended[0])
    for _ in range(3):
        ended.append(cloud.start("SELECT 1 AS a"))
        cloud.wait(ended[-1])
    client = cloud.client("athena")
    assert client.list_query_executions()["QueryExecutionIds"] == [ended[3], ended[2], running]
    assert "was not found" in refused(client.get_query_execution, QueryExecutionId=ended[0])
    assert f"athena-results/{ended[0]}.csv" in cloud.keys("athena-results/")
    assert cloud.start("SELECT 1 AS a", ClientRequestToken=token) != ended[0]
    client.stop_query_execution(QueryExecutionId=running)


def test_reset_forgets_everything(cloud: Cloud) -> None:
    query_id = cloud.start(ENDLESS)
    requests.post(f"{cloud.endpoint}/moto-api/reset", timeout=120)
    assert "was not found" in refused(cloud.client("athena").get_query_execution, QueryExecutionId=query_id)
