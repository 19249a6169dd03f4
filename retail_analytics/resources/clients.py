"""boto3 clients with the timeouts and retries that every remote call of the product has.

The endpoint comes from ``AWS_ENDPOINT_URL``, which botocore reads; credentials from boto3's chain.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

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
        """A new client."""
        return sqs_client(self.region)


class GlueResource(ConfigurableResource):  # type: ignore[type-arg]
    """The Glue catalog and its crawlers, as a boto3 client."""

    region: str

    def get_client(self) -> GlueClient:
        """A new client."""
        return glue_client(self.region)
