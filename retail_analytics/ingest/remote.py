"""What a remote call's error means: try again, or tell the person.

Here belongs the knowledge of boto3's errors and of how long a call may take. Not here: which calls are made
(``services.py``, ``history.py``).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from retail_analytics.ingest.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_SECONDS = 5
READ_SECONDS = 30

# Named codes are the only errors of AWS that are tried again, besides 5xx and faults of the connection.
TRANSIENT_CODES = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "KMSThrottlingException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_BAD_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_SERVER_ERROR = 500


def config(connections: int, *, attempts: int = 1, validate: bool = True) -> Config:
    """A client's configuration: every call has a timeout.

    Args:
        connections: How many calls run at a time.
        attempts: How often botocore itself tries. 1 where partial failures are handled by the caller, whose
            backoff it would hide.
        validate: Whether botocore checks each parameter before it sends it.
    """
    return Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=connections,
        parameter_validation=validate,
        retries={"total_max_attempts": attempts, "mode": "standard"},
    )


def code_of(error: Exception) -> str:
    """The code of an answer of AWS, or the name of what went wrong on the way there."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


def is_transient(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code_of(error) in TRANSIENT_CODES or status >= _SERVER_ERROR
    return isinstance(error, BotoConnectionError | HTTPClientError)


def explain(
    error: Exception, doing: str, *, missing: Mapping[str, str] | None = None, service: str = ""
) -> RemoteError:
    """One sentence for a person about a call that failed for good.

    Args:
        error: botocore's.
        doing: What was being done, as in ``putting records into stream x``.
        missing: Error code to the sentence that says what does not exist, and the next step.
        service: botocore's name of the service, by which an endpoint may have been set.
    """
    code = code_of(error)
    if missing and code in missing:
        return RemoteError(missing[code])
    if isinstance(error, NoCredentialsError | PartialCredentialsError) or code in _BAD_CREDENTIALS:
        return RemoteError(
            f"AWS credentials are missing or not accepted ({code}) for {doing}; set AWS_PROFILE or the "
            'AWS_ACCESS_KEY_ID variables (embedded cloud: eval "$(retail-analytics env --export)").'
        )
    if isinstance(error, NoRegionError):
        return RemoteError(f"No region is set for {doing}; set AWS_REGION or give --region-name.")
    if code in _DENIED:
        return RemoteError(f"AWS denies {doing}; give the identity in use the permission for it.")
    if isinstance(error, BotoConnectionError | HTTPClientError):
        return RemoteError(_unreachable(code, doing, service))
    if isinstance(error, ClientError):
        message = str(error.response.get("Error", {}).get("Message", "")).rstrip(".")
        return RemoteError(f"AWS refuses {doing} ({code}: {message}); correct that and run it again.")
    if isinstance(error, BotoCoreError):
        return RemoteError(f"boto3 cannot do {doing} ({error}); check the AWS settings of this shell.")
    raise error


def _unreachable(code: str, doing: str, service: str) -> str:
    name = f"AWS_ENDPOINT_URL_{service.upper()}"
    endpoint = os.environ.get(name) or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint is None:
        return f"AWS does not answer ({code}) for {doing}; check the network and the region."
    return (
        f"{endpoint} does not answer ({code}) for {doing}; start the embedded cloud with "
        "`retail-analytics up`, or unset AWS_ENDPOINT_URL to use AWS."
    )
