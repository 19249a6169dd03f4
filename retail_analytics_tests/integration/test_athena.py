"""Statements that are begun and waited for later: they run meanwhile, and never go on for nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from retail_analytics.resources.athena import AthenaError, AthenaResource
from retail_analytics_tests.integration.lakes import SLOW
from retail_analytics_tests.waiting import until

if TYPE_CHECKING:
    from retail_analytics_tests.integration.lakes import Lake


def statuses(lake: Lake, sql: str) -> list[str]:
    """The states of the workgroup's statements of that text."""
    client: Any = boto3.client("athena")
    listed = client.list_query_executions(WorkGroup=lake.settings.workgroup)["QueryExecutionIds"]
    found = client.batch_get_query_execution(QueryExecutionIds=listed)["QueryExecutions"]
    return [each["Status"]["State"] for each in found if each["Query"] == sql]


def await_state(lake: Lake, sql: str, wanted: str) -> None:
    until(lambda: statuses(lake, sql), [wanted].__eq__)


def test_what_was_begun_runs_beside_other_statements(lake: Lake) -> None:
    sql = "SELECT 'begun' AS word"
    with lake.athena.begun(sql) as ended:
        assert lake.athena.query("SELECT 'meanwhile' AS word").rows == [{"word": "meanwhile"}]
        await_state(lake, sql, "SUCCEEDED")
        execution = ended()
    assert execution.query_id
    assert execution.scanned_bytes == 0


@pytest.mark.parametrize("error", [None, KeyboardInterrupt()])
def test_what_nobody_waited_for_is_cancelled(lake: Lake, error: BaseException | None) -> None:
    sql = f"{SLOW} -- {error!r}"

    def leave() -> None:
        with lake.athena.begun(sql):
            await_state(lake, sql, "RUNNING")
            if error is not None:
                raise error

    if error is None:
        leave()
    else:
        with pytest.raises(type(error)):
            leave()
    await_state(lake, sql, "CANCELLED")


def test_a_failure_is_told_where_the_end_is_waited_for(lake: Lake) -> None:
    with (
        lake.athena.begun("SELECT * FROM nowhere") as ended,
        pytest.raises(AthenaError, match="TABLE_NOT_FOUND.*nowhere.*query "),
    ):
        ended()


def test_a_statement_that_takes_too_long_is_cancelled(lake: Lake) -> None:
    hasty = AthenaResource(**(AthenaResource.of(lake.settings).model_dump() | {"timeout_seconds": 0.2}))
    sql = f"{SLOW} -- too long"
    with pytest.raises(AthenaError, match=r"had not finished after 0 s.*RETAIL_QUERY_TIMEOUT_SECONDS"):
        hasty.execute(sql)
    await_state(lake, sql, "CANCELLED")
