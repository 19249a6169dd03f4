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
from urllib.parse import quote_plus, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*\Z")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]+\Z")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_DEPLOYMENT = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")
_SWITCH = {"on": True, "off": False}


class SettingsError(ValueError):
    """A setting holds a value that cannot be used; the message names the variable and what it takes."""


@dataclass(frozen=True)
class Settings:
    """Where it flows.

    Attributes:
        deployment: What people call this deployment; the names of its topic and queues begin with it.
        region: The AWS region.
        bucket: The one bucket of the lake.
        database: The Glue database.
        workgroup: The pipeline's Athena workgroup. It must not enforce its result location, since
            CTAS then refuses ``external_location``.
        opensearch_url: The search domain's URL, ``http(s)://host[:port]``.
        dashboards_url: The URL of OpenSearch Dashboards, into which saved objects go; empty for none.
        search_repair: Whether event days whose documents differ from the lake are repaired by themselves.
        search_retention_days: After how many days an index of the search domain may be deleted, where the
            server has Index State Management; 0 keeps all.
        first_hours: Feed name to the first hour that it has here, overriding the declaration.
        last_hours: Feed name to the last hour that records are expected for, where a feed has ended or was
            replayed from a file; what arrives after it is taken in all the same.
        grace_seconds: How long after its end and Firehose's buffer an hour counts as closed.
        lookback_hours: How many past hours reconciliation lists again for late objects.
        notifications: Whether S3 tells of objects through the feeds' queues. Without, listings find them.
        reconcile_seconds: How often the look-back window is listed where S3 tells of objects; without
            notifications it is listed at every tick.
        full_sweep_hours: How often a listing of all of history begins, in slices; 0 for never.
        target_file_bytes: The size that files of a large compacted hour aim at.
        query_timeout_seconds: How long one Athena query may take before it is cancelled.
        usd_per_tebibyte: Athena's price for scanned data, for cost estimates.
        compaction_target_minutes: How long after it closed, or last changed, an hour may stay uncompacted.
        notify_topic_arn: The SNS topic that outcomes of runs are announced to; empty for none.
        notify_webhook: The URL that outcomes of runs are posted to, https or loopback http; empty for none.
            It often holds a secret, so that no message and no representation shows it.
    """

    deployment: str = "local"
    region: str = "us-east-1"
    bucket: str = "retail-analytics-local"
    database: str = "mydatabase"
    workgroup: str = "retail-analytics"
    opensearch_url: str = "http://127.0.0.1:9200"
    dashboards_url: str = ""
    search_repair: bool = False
    search_retention_days: int = 0
    first_hours: Mapping[str, datetime] = field(default_factory=dict)
    last_hours: Mapping[str, datetime] = field(default_factory=dict)
    grace_seconds: int = 120
    lookback_hours: int = 25
    notifications: bool = True
    reconcile_seconds: int = 300
    full_sweep_hours: int = 24
    target_file_bytes: int = 128 * 1024 * 1024
    query_timeout_seconds: int = 1800
    usd_per_tebibyte: float = 5.0
    compaction_target_minutes: int = 60
    notify_topic_arn: str = ""
    notify_webhook: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Refuse a database that could not stand unquoted in SQL, and names that nothing can be sent to."""
        if not _IDENTIFIER.match(self.database):
            raise SettingsError(
                f"RETAIL_DATABASE={self.database!r} is no identifier; use lower-case letters, digits and _."
            )
        if not _DEPLOYMENT.match(self.deployment):
            raise SettingsError(
                f"RETAIL_DEPLOYMENT={self.deployment!r} cannot begin a queue's name; use at most 32 letters,"
                " digits, - and _."
            )
        if self.notify_topic_arn and not _TOPIC.match(self.notify_topic_arn):
            raise SettingsError(
                f"RETAIL_NOTIFY_TOPIC_ARN={self.notify_topic_arn!r} is no SNS topic;"
                " write it as arn:aws:sns:REGION:ACCOUNT:NAME."
            )
        if self.notify_webhook and not _may_be_posted_to(self.notify_webhook):
            raise SettingsError(
                "RETAIL_NOTIFY_WEBHOOK is no address that may be posted to;"
                " use https, or http on the loopback, without a user in it."
            )

    @property
    def results_location(self) -> str:
        """Where Athena puts query results."""
        return f"s3://{self.bucket}/athena-results/"

    @property
    def arrivals_topic(self) -> str:
        """The SNS topic that S3 tells of objects created and removed, for all feeds."""
        return f"{self.deployment}-arrivals"

    def arrivals_queue(self, feed: str) -> str:
        """The SQS queue of a feed's hints, which the arrivals sensor reads."""
        return f"{self.deployment}-{feed}-arrivals"

    def dead_arrivals_queue(self, feed: str) -> str:
        """Where messages go that the arrivals sensor could not act upon, time and again."""
        return f"{self.deployment}-{feed}-arrivals-dead"

    def crawler_queue(self, feed: str) -> str:
        """The SQS queue that tells a feed's crawler which folders changed."""
        return f"{self.deployment}-{feed}-crawler"

    def crawler(self, feed: str) -> str:
        """The Glue crawler of a feed's raw hours."""
        return f"{feed}-raw"

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
            dashboards_url=env.get("RETAIL_DASHBOARDS_URL", default.dashboards_url).rstrip("/"),
            search_repair=_switch(env, "RETAIL_SEARCH_REPAIR", default=default.search_repair),
            search_retention_days=_whole(env, "RETAIL_SEARCH_RETENTION_DAYS", default.search_retention_days),
            first_hours=parse_hours(env.get("RETAIL_FIRST_HOUR", ""), "RETAIL_FIRST_HOUR"),
            last_hours=parse_hours(env.get("RETAIL_LAST_HOUR", ""), "RETAIL_LAST_HOUR"),
            grace_seconds=_whole(env, "RETAIL_GRACE_SECONDS", default.grace_seconds),
            lookback_hours=_whole(env, "RETAIL_LOOKBACK_HOURS", default.lookback_hours),
            notifications=_switch(env, "RETAIL_NOTIFICATIONS", default=default.notifications),
            reconcile_seconds=_whole(env, "RETAIL_RECONCILE_SECONDS", default.reconcile_seconds),
            full_sweep_hours=_whole(env, "RETAIL_FULL_SWEEP_HOURS", default.full_sweep_hours),
            target_file_bytes=_whole(env, "RETAIL_TARGET_FILE_BYTES", default.target_file_bytes, least=1),
            query_timeout_seconds=_whole(
                env, "RETAIL_QUERY_TIMEOUT_SECONDS", default.query_timeout_seconds, least=1
            ),
            compaction_target_minutes=_whole(
                env, "RETAIL_COMPACTION_TARGET_MINUTES", default.compaction_target_minutes, least=1
            ),
            notify_topic_arn=env.get("RETAIL_NOTIFY_TOPIC_ARN", default.notify_topic_arn),
            notify_webhook=env.get("RETAIL_NOTIFY_WEBHOOK", default.notify_webhook),
        )


def arrivals_filter(raw_root: str) -> dict[str, object]:
    """The filter policy of a queue of hints on the arrivals topic: events of keys below a feed's raw root.

    By the message's body. It compares with keys as S3 writes them into events: as forms do, blanks as plus
    signs, but slashes as they are.
    """
    return {"Records": {"s3": {"object": {"key": [{"prefix": quote_plus(raw_root, safe="/")}]}}}}


def parse_hours(text: str, variable: str) -> dict[str, datetime]:
    """Parse ``feed=2026-01-31T08,other=…``, the value of a variable, into aware whole hours.

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
                f"{variable} has {item!r}; write it as FEED=YYYY-MM-DDTHH, UTC, comma separated."
            ) from error
        hours[name.strip()] = hour
    return hours


def format_hours(hours: Mapping[str, datetime]) -> str:
    """The inverse of :func:`parse_hours`."""
    return ",".join(f"{name}={hour.astimezone(UTC):%Y-%m-%dT%H}" for name, hour in hours.items())


def _may_be_posted_to(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _whole(env: Mapping[str, str], name: str, default: int, least: int = 0) -> int:
    text = env.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < least:
        raise SettingsError(f"{name}={text!r} is no whole number of at least {least}.")
    return int(text)


def _switch(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = env.get(name)
    if text is None:
        return default
    if text not in _SWITCH:
        raise SettingsError(f"{name}={text!r} is neither `on` nor `off`.")
    return _SWITCH[text]
