"""What may pass by itself is retried by Dagster; what may not fails at once, told in one sentence."""

from __future__ import annotations

import dagster as dg
import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from opensearchpy.exceptions import ConnectionError as SearchConnectionError
from opensearchpy.exceptions import NotFoundError

from retail_analytics.resources.athena import AthenaError
from retail_analytics.resources.faults import INTERRUPTED, RETRIES, is_transient, permanent_faults_fail


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Operation")


TRANSIENT: list[Exception] = [
    refused("ThrottlingException"),
    refused("TooManyRequestsException"),
    refused("SlowDown"),
    refused("InternalServerException"),
    refused("ServiceUnavailable"),
    EndpointConnectionError(endpoint_url="http://127.0.0.1:1"),
    ReadTimeoutError(endpoint_url="http://127.0.0.1:1"),
    SearchConnectionError("N/A", "refused", OSError()),
    ConnectionResetError(),
]
PERMANENT: list[Exception] = [
    refused("AccessDeniedException"),
    refused("EntityNotFoundException"),
    refused("InvalidRequestException"),
    NotFoundError(404, "index_not_found_exception", {}),
    NoCredentialsError(),
    ParamValidationError(report="x"),
    ValueError("x"),
    AthenaError("SYNTAX_ERROR: line 1:1"),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=repr)
def test_what_may_pass_is_raised_as_it_is(error: Exception) -> None:
    assert is_transient(error)
    with pytest.raises(type(error)) as caught, permanent_faults_fail():
        raise error
    assert caught.value is error


@pytest.mark.parametrize("error", PERMANENT, ids=repr)
def test_what_may_not_is_a_failure_without_retries(error: Exception) -> None:
    assert not is_transient(error)
    with pytest.raises(dg.Failure) as caught, permanent_faults_fail():
        raise error
    assert caught.value.allow_retries is False
    assert str(error) in (caught.value.description or "")
    assert caught.value.__cause__ is error


def test_missing_credentials_come_with_the_next_step() -> None:
    with pytest.raises(dg.Failure, match="retail-analytics env"), permanent_faults_fail():
        raise NoCredentialsError


@pytest.mark.parametrize(("cause", "transient"), [(TRANSIENT[0], True), (PERMANENT[0], False)])
def test_the_cause_decides(*, cause: Exception, transient: bool) -> None:
    error = AthenaError("failed")
    error.__cause__ = cause
    assert is_transient(error) is transient


def test_a_failure_keeps_what_it_says_of_retries() -> None:
    with pytest.raises(dg.Failure) as caught, permanent_faults_fail():
        raise dg.Failure("ours", allow_retries=True)
    assert caught.value.allow_retries is True


def test_retries_are_few_and_further_and_further_apart() -> None:
    delays = [RETRIES.calculate_delay(attempt) for attempt in (1, 2, 3)]
    assert RETRIES.max_retries == 3
    assert RETRIES.backoff is dg.Backoff.EXPONENTIAL
    assert all(delay > 0 for delay in delays)


@pytest.mark.parametrize("error", [KeyboardInterrupt, dg.DagsterExecutionInterruptedError])
def test_an_interrupted_step_is_not_tried_again_and_no_other_of_its_run_begins(error: type) -> None:
    begun = []

    def asset(name: str) -> dg.AssetsDefinition:
        @dg.asset(name=name, retry_policy=dg.RetryPolicy(max_retries=3))
        def made() -> None:
            with permanent_faults_fail():
                begun.append(name)
                raise error

        return made

    for _ in range(2):  # another run is another matter
        del begun[:]
        result = dg.materialize([asset("one"), asset("two")], raise_on_error=False)
        assert not result.success
        assert len(begun) == 1
        said = [event.step_failure_data for event in result.all_events if event.is_step_failure]
        assert [data.user_failure_data.description for data in said if data.user_failure_data] == [
            INTERRUPTED
        ] * 2
