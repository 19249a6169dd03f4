"""What the service keeps besides executions: named queries, prepared statements, workgroups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from retail_analytics_tests.embedded.coverage import covers, refuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from retail_analytics_tests.embedded.athena.conftest import Cloud


def refusal(call: Callable[..., Any], **asked: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**asked)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@covers("Athena's service", "named queries: create, get, list, update, delete, in batches")
def test_named_queries(cloud: Cloud) -> None:
    athena = cloud.client("athena")
    made = athena.create_named_query(Name="n", Database="mydatabase", QueryString="SELECT 1")["NamedQueryId"]
    athena.update_named_query(NamedQueryId=made, Name="m", Description="d", QueryString="SELECT 2")
    found = athena.get_named_query(NamedQueryId=made)["NamedQuery"]
    assert (found["Name"], found["Description"], found["QueryString"]) == ("m", "d", "SELECT 2")
    batch = athena.batch_get_named_query(NamedQueryIds=[made, "nope"])
    assert [one["NamedQueryId"] for one in batch["NamedQueries"]] == [made]
    assert [one["NamedQueryId"] for one in batch["UnprocessedNamedQueryIds"]] == ["nope"]
    athena.delete_named_query(NamedQueryId=made)
    assert athena.list_named_queries()["NamedQueryIds"] == []
    assert refusal(athena.get_named_query, NamedQueryId=made)[0] == "InvalidRequestException"


def test_prepared_statements_in_batches_and_once_each(cloud: Cloud) -> None:
    athena = cloud.client("athena")
    asked = {"StatementName": "p", "WorkGroup": "primary", "QueryStatement": "SELECT ? + ?"}
    athena.create_prepared_statement(**asked)
    code, message = refusal(athena.create_prepared_statement, **{**asked, "QueryStatement": "SELECT 1"})
    assert (code, "already exists" in message) == ("InvalidRequestException", True)
    batch = athena.batch_get_prepared_statement(PreparedStatementNames=["p", "q"], WorkGroup="primary")
    assert [one["QueryStatement"] for one in batch["PreparedStatements"]] == ["SELECT ? + ?"]
    assert [one["StatementName"] for one in batch["UnprocessedPreparedStatementNames"]] == ["q"]


@covers("Athena's service", "workgroups: deleted when they are empty, or with all that they hold")
def test_workgroups_are_deleted_with_care(cloud: Cloud) -> None:
    athena = cloud.client("athena")
    assert "primary" in refusal(athena.delete_work_group, WorkGroup="primary")[1]
    assert "not found" in refusal(athena.delete_work_group, WorkGroup="nope")[1]
    athena.create_work_group(Name="mine")
    ran = cloud.start("SELECT 1", WorkGroup="mine")
    cloud.wait(ran)
    assert "not empty" in refusal(athena.delete_work_group, WorkGroup="mine")[1]
    athena.delete_work_group(WorkGroup="mine", RecursiveDeleteOption=True)
    assert "was not found" in refusal(athena.get_query_execution, QueryExecutionId=ran)[1]


@refuses("Athena's service", "batches of more than 50, unknown catalogs")
def test_batches_and_catalogs(cloud: Cloud) -> None:
    athena = cloud.client("athena")
    code, message = refusal(athena.batch_get_query_execution, QueryExecutionIds=["x"] * 51)
    assert (code, "at most 50" in message) == ("InvalidRequestException", True)
    with pytest.raises(ClientError, match="Catalog other is not one"):
        cloud.start("SELECT 1", QueryExecutionContext={"Catalog": "other"})
    assert athena.get_data_catalog(Name="AwsDataCatalog")["DataCatalog"]["Type"] == "GLUE"
    assert "not found" in refusal(athena.get_data_catalog, Name="other")[1]
