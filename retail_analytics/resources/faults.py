"""Which faults are worth another try, in Dagster's terms.

Throttling, timeouts and lost connections pass and are retried with backoff; anything else is permanent, and
retrying it would only hide it. Not here: the retries of single calls, which the clients make themselves.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as NotReachedError
from opensearchpy.exceptions import ConnectionError as SearchConnectionError

if TYPE_CHECKING:
    from collections.abc import Iterator

TRANSIENT_CODES = frozenset(
    {
        "InternalServerException",
        "InternalError",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottlingException",
        "Throttling",
        "TooManyRequestsException",
    }
)

INTERRUPTED = "Interrupted: its query is canceled, and what was published before stays."
"""The description of a step's failure that is an interruption."""

RETRIES = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


def is_transient(error: BaseException) -> bool:
    """Whether a fault may pass by itself; looks at what caused it, too."""
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code", "") in TRANSIENT_CODES
    # botocore keeps "could not connect" apart from "connected, then lost".
    if isinstance(error, HTTPClientError | NotReachedError | SearchConnectionError | ConnectionError):
        return True
    return error.__cause__ is not None and is_transient(error.__cause__)


@contextmanager
def permanent_faults_fail() -> Iterator[None]:
    """Turn a permanent fault into a failure that Dagster does not retry, told in one sentence.

    An interruption (Ctrl-C, or "Terminate" in the UI) is one: Dagster would try an interrupted step again,
    and go on with steps that do not follow from it. So it holds for every later step of the run.
    """
    run = _run_id()
    if run in _interrupted:
        raise dg.Failure(description=INTERRUPTED, allow_retries=False)
    try:
        yield
    except dg.Failure:
        raise
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError) as error:
        if run is not None:
            _interrupted.add(run)
        raise dg.Failure(description=INTERRUPTED, allow_retries=False) from error
    except Exception as error:
        if is_transient(error):
            raise
        hint = _NEXT_STEP if isinstance(error, NoCredentialsError) else ""
        raise dg.Failure(description=f"{error}{hint}", allow_retries=False) from error


def _run_id() -> str | None:
    """The run that this is a step of, or None outside of Dagster."""
    try:
        return dg.OpExecutionContext.get().run_id
    except dg.DagsterInvariantViolationError:
        return None


_interrupted: set[str] = set()
_NEXT_STEP = " Set AWS credentials, or take the environment of `retail-analytics env` for the embedded cloud."
