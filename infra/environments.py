"""The environments: what differs between dev and prod, and where the feeds flow in each.

Here belong sizes, retention and what happens to data on destroy. Not here: names, which are
``retail_analytics.settings``'s, and resources, which are the stacks'.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aws_cdk import Aws, RemovalPolicy, aws_logs

from retail_analytics.settings import Settings, format_hours

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAMES = ("dev", "prod")
_GIBIBYTE = 1024**3


class ContextError(ValueError):
    """A context value cannot be used; the message names it and what it takes."""


@dataclass(frozen=True)
class Sizes:
    """How large an environment is; money, in short.

    Attributes:
        stream_shards: Shards of each Kinesis stream; None is on demand.
        nat_gateways: Ways out of the private subnets; one is a single point of failure.
        search_nodes: Data nodes of the search domain, 1 or an even number.
        search_instance: Their type.
        search_gibibytes: Disk of each.
        database_class: RDS instance class, without its ``db.``.
        database_multi_az: Whether RDS keeps a standby.
        run_cpu: CPU units of a run's task, 1,024 a core.
        run_memory: Its MiB.
        scan_cutoff_bytes: What one query of an analyst may scan before Athena cancels it.
        pipeline_cutoff_bytes: The same for the pipeline's queries; ten times what a backfill of a hundred
            hours should read.
        budget_usd: A month's budget, of which 80 % and the forecast of 100 % are announced.
    """

    stream_shards: int | None
    nat_gateways: int
    search_nodes: int
    search_instance: str
    search_gibibytes: int
    database_class: str
    database_multi_az: bool
    run_cpu: int
    run_memory: int
    scan_cutoff_bytes: int
    pipeline_cutoff_bytes: int
    budget_usd: int


_SIZES = {
    "dev": Sizes(
        stream_shards=1,
        nat_gateways=1,
        search_nodes=1,
        search_instance="t3.small.search",
        search_gibibytes=20,
        database_class="t4g.micro",
        database_multi_az=False,
        run_cpu=1024,
        run_memory=2048,
        scan_cutoff_bytes=10 * _GIBIBYTE,
        pipeline_cutoff_bytes=100 * _GIBIBYTE,
        budget_usd=250,
    ),
    "prod": Sizes(
        stream_shards=None,
        nat_gateways=2,
        search_nodes=2,
        search_instance="r7g.large.search",
        search_gibibytes=100,
        database_class="t4g.medium",
        database_multi_az=True,
        run_cpu=2048,
        run_memory=4096,
        scan_cutoff_bytes=1024 * _GIBIBYTE,
        pipeline_cutoff_bytes=10 * 1024 * _GIBIBYTE,
        budget_usd=1500,
    ),
}


@dataclass(frozen=True)
class Environment:
    """One environment of the platform.

    Attributes:
        name: ``dev`` or ``prod``.
        settings: Where the feeds flow; names may hold CDK tokens (account, region).
        sizes: How large it is.
        alarm_email: Who is told of alarms and of the budget; None tells nobody by mail.
        hostname: The name under which people reach the web server; None makes no load balancer.
        certificate_arn: ACM's certificate of that name.
    """

    name: str
    settings: Settings
    sizes: Sizes
    alarm_email: str | None = None
    hostname: str | None = None
    certificate_arn: str | None = None

    @property
    def keeps_data(self) -> bool:
        """Whether data outlives its stack, and versions of it are kept."""
        return self.name == "prod"

    @property
    def data_removal(self) -> RemovalPolicy:
        """What becomes of data when its stack is destroyed."""
        return RemovalPolicy.RETAIN if self.keeps_data else RemovalPolicy.DESTROY

    @property
    def log_retention(self) -> aws_logs.RetentionDays:
        """How long logs are kept."""
        return aws_logs.RetentionDays.THREE_MONTHS if self.keeps_data else aws_logs.RetentionDays.TWO_WEEKS

    def stack_name(self, part: str) -> str:
        """The name of the stack of a part: ``retail-analytics-dev-ingest``."""
        return f"{self.settings.deployment}-{part}"

    def with_search(self, url: str) -> Environment:
        """The environment, now that the search domain's URL is known."""
        found = replace(self.settings, opensearch_url=url, dashboards_url=f"{url}/_dashboards")
        return replace(self, settings=found)


def environment(context: Callable[[str], object]) -> Environment:
    """The environment that the context asks for.

    Context keys: ``env`` (``dev`` or ``prod``, default ``dev``), ``alarmEmail``, ``hostname`` and
    ``certificateArn``. Names come from the settings' variables, as for the pipeline itself.

    Args:
        context: Gives the value of a context key, or None.

    Raises:
        ContextError: A value cannot be used.
        SettingsError: A setting cannot be used.
    """
    name = str(context("env") or "dev")
    if name not in NAMES:
        raise ContextError(f"env={name!r} is no environment; there are: {', '.join(NAMES)}.")
    hostname, certificate = _text(context("hostname")), _text(context("certificateArn"))
    if (hostname is None) != (certificate is None):
        raise ContextError("hostname and certificateArn go together: give both, or neither.")
    return Environment(
        name=name,
        settings=settings_of(name, os.environ),
        sizes=_SIZES[name],
        alarm_email=_text(context("alarmEmail")),
        hostname=hostname,
        certificate_arn=certificate,
    )


def settings_of(name: str, environ: Mapping[str, str]) -> Settings:
    """The settings of an environment: the variables' where they are set, else names that are free on AWS.

    A bucket's name is the world's, so that it holds account and region; other names are the account's.
    """
    deployment = environ.get("RETAIL_DEPLOYMENT") or f"retail-analytics-{name}"
    bucket = environ.get("RETAIL_BUCKET") or f"{deployment}-{Aws.ACCOUNT_ID}-{Aws.REGION}"
    return replace(Settings.from_env(environ), deployment=deployment, bucket=bucket, region=Aws.REGION)


def variables(settings: Settings) -> dict[str, str]:
    """The pipeline's variables, from which ``Settings.from_env`` reads these settings again."""
    return {
        "RETAIL_DEPLOYMENT": settings.deployment,
        "RETAIL_BUCKET": settings.bucket,
        "RETAIL_DATABASE": settings.database,
        "RETAIL_WORKGROUP": settings.workgroup,
        "RETAIL_OPENSEARCH_URL": settings.opensearch_url,
        "RETAIL_DASHBOARDS_URL": settings.dashboards_url,
        "RETAIL_SEARCH_REPAIR": "on" if settings.search_repair else "off",
        "RETAIL_SEARCH_RETENTION_DAYS": str(settings.search_retention_days),
        "RETAIL_FIRST_HOUR": format_hours(settings.first_hours),
        "RETAIL_LAST_HOUR": format_hours(settings.last_hours),
        "RETAIL_GRACE_SECONDS": str(settings.grace_seconds),
        "RETAIL_LOOKBACK_HOURS": str(settings.lookback_hours),
        "RETAIL_NOTIFICATIONS": "on" if settings.notifications else "off",
        "RETAIL_RECONCILE_SECONDS": str(settings.reconcile_seconds),
        "RETAIL_FULL_SWEEP_HOURS": str(settings.full_sweep_hours),
        "RETAIL_TARGET_FILE_BYTES": str(settings.target_file_bytes),
        "RETAIL_QUERY_TIMEOUT_SECONDS": str(settings.query_timeout_seconds),
        "RETAIL_COMPACTION_TARGET_MINUTES": str(settings.compaction_target_minutes),
        "AWS_REGION": settings.region,
    }


def _text(value: object) -> str | None:
    return str(value) if value else None
