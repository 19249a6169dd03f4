"""Where the feeds flow: deployment, names, endpoints, first hours.

One frozen object, read from the environment once. Not here: what flows (``feeds/``), credentials (boto3's
own chain finds them) and the AWS endpoint (botocore reads ``AWS_ENDPOINT_URL`` itself, so that no code of
ours can tell a laptop from AWS).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*\Z")


class SettingsError(ValueError):
    """A setting holds a value that cannot be used; the message names the variable and what it takes."""


@dataclass(frozen=True)
class Settings:
    """Where it flows.

    Attributes:
        deployment: What people call this deployment; part of no behaviour.
        region: The AWS region.
        bucket: The one bucket of the lake.
        database: The Glue database.
        workgroup: The pipeline's Athena workgroup. It must not enforce its result location, since
            CTAS then refuses ``external_location``.
        opensearch_url: The search domain's URL, ``http(s)://host[:port]``.
        first_hours: Feed name to the first hour that it has here, overriding the declaration.
        grace_seconds: How long after its end and Firehose's buffer an hour counts as closed.
        lookback_hours: How many past hours a tick lists again for late objects.
        target_file_bytes: The size that files of a large compacted hour aim at.
        query_timeout_seconds: How long one Athena query may take before it is cancelled.
        usd_per_tebibyte: Athena's price for scanned data, for cost estimates.
    """

    deployment: str = "local"
    region: str = "us-east-1"
    bucket: str = "retail-analytics-local"
    database: str = "mydatabase"
    workgroup: str = "retail-analytics"
    opensearch_url: str = "http://127.0.0.1:9200"
    first_hours: Mapping[str, datetime] = field(default_factory=dict)
    grace_seconds: int = 120
    lookback_hours: int = 25
    target_file_bytes: int = 128 * 1024 * 1024
    query_timeout_seconds: int = 1800
    usd_per_tebibyte: float = 5.0

    def __post_init__(self) -> None:
        """Refuse a database that could not stand unquoted in SQL."""
        if not _IDENTIFIER.match(self.database):
            raise SettingsError(
                f"RETAIL_DATABASE={self.database!r} is no identifier; use lower-case letters, digits and _."
            )

    @property
    def results_location(self) -> str:
        """Where Athena puts query results."""
        return f"s3://{self.bucket}/athena-results/"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from ``RETAIL_*`` variables, the region from ``AWS_REGION``.

        Raises:
            SettingsError: A variable holds a value that cannot be used.
        """
        env = os.environ if environ is None else environ
        default = cls()
        return cls(
            deployment=env.get("RETAIL_DEPLOYMENT", default.deployment),
            region=env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or default.region,
            bucket=env.get("RETAIL_BUCKET", default.bucket),
            database=env.get("RETAIL_DATABASE", default.database),
            workgroup=env.get("RETAIL_WORKGROUP", default.workgroup),
            opensearch_url=env.get("RETAIL_OPENSEARCH_URL", default.opensearch_url),
            first_hours=parse_first_hours(env.get("RETAIL_FIRST_HOUR", "")),
            grace_seconds=_whole(env, "RETAIL_GRACE_SECONDS", default.grace_seconds),
            lookback_hours=_whole(env, "RETAIL_LOOKBACK_HOURS", default.lookback_hours),
            target_file_bytes=_whole(env, "RETAIL_TARGET_FILE_BYTES", default.target_file_bytes, least=1),
            query_timeout_seconds=_whole(
                env, "RETAIL_QUERY_TIMEOUT_SECONDS", default.query_timeout_seconds, least=1
            ),
        )


def parse_first_hours(text: str) -> dict[str, datetime]:
    """Parse ``feed=2026-01-31T08,other=…`` into aware whole hours.

    Raises:
        SettingsError: The text is not of that form, or a time is not a whole hour of UTC.
    """
    hours: dict[str, datetime] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = item.partition("=")
        try:
            if not name.strip():
                raise ValueError("no feed is named")
            hour = datetime.strptime(value.strip(), "%Y-%m-%dT%H").replace(tzinfo=UTC)
        except ValueError as error:
            raise SettingsError(
                f"RETAIL_FIRST_HOUR has {item!r}; write it as FEED=YYYY-MM-DDTHH, UTC, comma separated."
            ) from error
        hours[name.strip()] = hour
    return hours


def format_first_hours(hours: Mapping[str, datetime]) -> str:
    """The inverse of :func:`parse_first_hours`."""
    return ",".join(f"{name}={hour.astimezone(UTC):%Y-%m-%dT%H}" for name, hour in hours.items())


def _whole(env: Mapping[str, str], name: str, default: int, least: int = 0) -> int:
    text = env.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < least:
        raise SettingsError(f"{name}={text!r} is no whole number of at least {least}.")
    return int(text)
