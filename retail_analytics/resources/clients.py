"""boto3 clients with the timeouts and retries that every remote call of the product has.

The endpoint comes from ``AWS_ENDPOINT_URL``, which botocore reads; credentials from boto3's chain. A function
makes a client of its caller's own; a resource gives each thread the one that it had before, since steps,
checks and ticks ask for several each.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from dagster import ConfigurableResource

if TYPE_CHECKING:
    from mypy_boto3_firehose import FirehoseClient
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    # Standard mode retries throttling, timeouts and 5xx with backoff, and nothing that is permanent.
    retries={"mode": "standard", "total_max_attempts": 5},
    max_pool_connections=32,
)

_local = threading.local()


def session(region: str) -> boto3.session.Session:
    """This thread's session for that region: making one costs more than most calls."""
    sessions: dict[str, boto3.session.Session] = _local.__dict__.setdefault("sessions", {})
    if region not in sessions:
        sessions[region] = boto3.session.Session(region_name=region)
    return sessions[region]


def kept_client(service: str, region: str) -> Any:
    """This thread's client of a service at the endpoint that the environment names now.

    A forked process makes its own: two processes on one connection would read each other's answers.
    """
    named = (os.environ.get("AWS_ENDPOINT_URL"), os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}"))
    clients: dict[tuple[object, ...], Any] = _local.__dict__.setdefault("clients", {})
    key = (os.getpid(), service, region, *named)
    if key not in clients:
        clients[key] = session(region).client(service, config=CONFIG)  # type: ignore[call-overload]
    return clients[key]


def s3_client(region: str) -> S3Client:
    """An S3 client for that region."""
    return session(region).client("s3", config=CONFIG)


def glue_client(region: str) -> GlueClient:
    """A Glue client for that region."""
    return session(region).client("glue", config=CONFIG)


def kinesis_client(region: str) -> KinesisClient:
    """A Kinesis client for that region."""
    return session(region).client("kinesis", config=CONFIG)


def firehose_client(region: str) -> FirehoseClient:
    """A Firehose client for that region."""
    return session(region).client("firehose", config=CONFIG)


def sqs_client(region: str) -> SQSClient:
    """An SQS client for that region."""
    return session(region).client("sqs", config=CONFIG)


class SqsResource(ConfigurableResource):  # type: ignore[type-arg]
    """Queues, as a boto3 client."""

    region: str

    def get_client(self) -> SQSClient:
        """This thread's client."""
        client: SQSClient = kept_client("sqs", self.region)
        return client


class GlueResource(ConfigurableResource):  # type: ignore[type-arg]
    """The Glue catalog and its crawlers, as a boto3 client."""

    region: str

    def get_client(self) -> GlueClient:
        """This thread's client."""
        client: GlueClient = kept_client("glue", self.region)
        return client
