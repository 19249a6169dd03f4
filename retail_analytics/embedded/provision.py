"""Creates in a fresh cloud what ``infra`` creates on AWS: bucket, queues, streams, deliveries, crawlers.

Through boto3 alone, from settings and feeds, so that a difference between laptop and AWS can only be one of
settings. A second call changes nothing. Not here: tables and partitions, which the pipeline makes itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from retail_analytics.embedded.provision_arrivals import ArrivalsProvisioner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

IDENTITY_KEY = "_deployment/id"
SHARDS = 1
_CONFIG = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 5})
_MISSING = frozenset(
    {"404", "NoSuchBucket", "NoSuchKey", "ResourceNotFoundException", "EntityNotFoundException"}
)


class ProvisionError(RuntimeError):
    """What is there contradicts what is to be made; the message says what to do."""


@dataclass
class _Provisioner:
    settings: Settings
    firehose_interval_seconds: int | None
    created: list[str] = field(default_factory=list)
    # One session for all clients: each session reads botocore's models anew.
    session: boto3.session.Session = field(default_factory=boto3.session.Session)

    def client(self, service: str) -> Any:
        return self.session.client(service, region_name=self.settings.region, config=_CONFIG)  # type: ignore[call-overload]

    def ensure(self, name: str, look: Callable[[], object], make: Callable[[], object]) -> None:
        """Make something unless it is there."""
        try:
            look()
        except ClientError as error:
            if error.response["Error"]["Code"] not in _MISSING:
                raise
            make()
            self.created.append(name)

    def bucket(self, deployment_id: str) -> None:
        s3 = self.client("s3")
        bucket = self.settings.bucket
        region = self.settings.region
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        self.ensure(
            f"bucket {bucket}",
            lambda: s3.head_bucket(Bucket=bucket),
            lambda: s3.create_bucket(Bucket=bucket, **where),
        )
        self.ensure(
            f"identity {deployment_id}",
            lambda: s3.head_object(Bucket=bucket, Key=IDENTITY_KEY),
            lambda: s3.put_object(Bucket=bucket, Key=IDENTITY_KEY, Body=deployment_id.encode()),
        )
        found = s3.get_object(Bucket=bucket, Key=IDENTITY_KEY)["Body"].read().decode().strip()
        if found != deployment_id:
            raise ProvisionError(
                f"bucket {bucket} belongs to deployment {found}, not {deployment_id}; use another bucket."
            )

    def catalog(self) -> None:
        settings = self.settings
        glue = self.client("glue")
        self.ensure(
            f"database {settings.database}",
            lambda: glue.get_database(Name=settings.database),
            lambda: glue.create_database(DatabaseInput={"Name": settings.database}),
        )
        athena = self.client("athena")
        configuration = {
            "ResultConfiguration": {"OutputLocation": settings.results_location},
            # CTAS to a location of its own is refused in a workgroup that enforces its result location.
            "EnforceWorkGroupConfiguration": False,
            "PublishCloudWatchMetricsEnabled": True,
        }
        # Asked by listing: an unknown workgroup is an InvalidRequestException, like any other mistake.
        if settings.workgroup not in _workgroups(athena):
            athena.create_work_group(Name=settings.workgroup, Configuration=configuration)
            self.created.append(f"workgroup {settings.workgroup}")

    def feed(self, feed: Feed) -> None:
        if feed.source == "kinesis":
            self.stream(feed)
        if feed.source in {"kinesis", "direct_put"}:
            self.delivery(feed)
        self.crawler(feed)

    def stream(self, feed: Feed) -> None:
        kinesis = self.client("kinesis")

        def make() -> None:
            kinesis.create_stream(StreamName=feed.stream, ShardCount=SHARDS)
            kinesis.get_waiter("stream_exists").wait(
                StreamName=feed.stream, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
            )
            if feed.retention_hours > 24:
                kinesis.increase_stream_retention_period(
                    StreamName=feed.stream, RetentionPeriodHours=feed.retention_hours
                )

        self.ensure(
            f"stream {feed.stream}", lambda: kinesis.describe_stream_summary(StreamName=feed.stream), make
        )

    def delivery(self, feed: Feed) -> None:
        firehose = self.client("firehose")
        seconds = self.firehose_interval_seconds
        role = self.role("firehose")
        request: dict[str, Any] = {
            "DeliveryStreamName": feed.stream,
            "DeliveryStreamType": "DirectPut",
            "ExtendedS3DestinationConfiguration": {
                "RoleARN": role,
                "BucketARN": f"arn:aws:s3:::{self.settings.bucket}",
                "Prefix": feed.prefix,
                "ErrorOutputPrefix": feed.error_prefix,
                "BufferingHints": {
                    "IntervalInSeconds": feed.buffer_seconds if seconds is None else seconds,
                    "SizeInMBs": feed.buffer_mebibytes,
                },
                "CompressionFormat": "UNCOMPRESSED",
            },
        }
        if feed.source == "kinesis":
            summary = self.client("kinesis").describe_stream_summary(StreamName=feed.stream)
            request["DeliveryStreamType"] = "KinesisStreamAsSource"
            request["KinesisStreamSourceConfiguration"] = {
                "KinesisStreamARN": summary["StreamDescriptionSummary"]["StreamARN"],
                "RoleARN": role,
            }
        self.ensure(
            f"delivery stream {feed.stream}",
            lambda: firehose.describe_delivery_stream(DeliveryStreamName=feed.stream),
            lambda: firehose.create_delivery_stream(**request),
        )

    def crawler(self, feed: Feed) -> None:
        glue = self.client("glue")
        name = self.settings.crawler(feed.name)
        target: dict[str, Any] = {"DatabaseName": self.settings.database, "Tables": [feed.name]}
        options: dict[str, Any] = {}
        if self.settings.notifications:
            queue = self.settings.crawler_queue(feed.name)
            target["EventQueueArn"] = f"arn:aws:sqs:{self.settings.region}:{self.account}:{queue}"
            options["RecrawlPolicy"] = {"RecrawlBehavior": "CRAWL_EVENT_MODE"}
        self.ensure(
            f"crawler {name}",
            lambda: glue.get_crawler(Name=name),
            lambda: glue.create_crawler(
                Name=name,
                Role=self.role("crawler"),
                Targets={"CatalogTargets": [target]},
                # It reports what the declaration does not know; it owns no schema.
                SchemaChangePolicy={"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
                **options,
            ),
        )

    @property
    def account(self) -> str:
        return str(self.client("sts").get_caller_identity()["Account"])

    def role(self, purpose: str) -> str:
        return f"arn:aws:iam::{self.account}:role/{self.settings.deployment}-{purpose}"


def _workgroups(athena: Any) -> set[str]:
    names: set[str] = set()
    token: dict[str, str] = {}
    while True:
        answer = athena.list_work_groups(**token)
        names |= {group["Name"] for group in answer["WorkGroups"]}
        if not answer.get("NextToken"):
            return names
        token = {"NextToken": answer["NextToken"]}


def provision(
    settings: Settings,
    feeds: Sequence[Feed],
    deployment_id: str,
    *,
    firehose_interval_seconds: int | None = None,
) -> tuple[str, ...]:
    """Create what is missing.

    Args:
        settings: Names and places.
        feeds: The feeds to provide for.
        deployment_id: The cloud's identity, kept as an object in the bucket.
        firehose_interval_seconds: A buffer interval that overrides the feeds', 0 to 900.

    Returns:
        What was created, a name each; nothing on a second call.

    Raises:
        ProvisionError: The bucket belongs to another deployment.
    """
    provisioner = _Provisioner(settings, firehose_interval_seconds)
    provisioner.bucket(deployment_id)
    provisioner.catalog()
    if settings.notifications:
        provisioner.created += ArrivalsProvisioner(settings, provisioner.client).provide(feeds)
    for feed in feeds:
        provisioner.feed(feed)
    return tuple(provisioner.created)
