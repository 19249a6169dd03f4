"""Ingest: the lake's bucket, the streams and deliveries into it, and the news of what arrived.

Here are the bucket, with what it tells and what ages in it, and the streams. Beside it: deliveries
(``delivery.py``), topic and queues (``arrivals.py``). Not here: tables (``catalog.py``) and the search path
(``search.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from aws_cdk import (
    Aws,
    Duration,
    Stack,
    aws_iam,
    aws_kinesis,
    aws_s3,
)

from infra.encryption import deployment_key
from infra.prefixes import (
    COMPUTE_LOGS,
    DEAD_LETTERS,
    ENTRANCE_LOGS,
    LAKE_LOGS,
    RESULTS,
    UNHANDLED,
    errors_metric,
    errors_root,
)
from infra.stacks.arrivals import make_queues, make_topic
from infra.stacks.delivery import make_delivery
from retail_analytics.feeds import FEEDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Construct

    from infra.environments import Environment
    from infra.stacks.arrivals import FeedQueues
    from retail_analytics.feeds import Feed

_EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")


class IngestStack(Stack):
    """The lake's bucket, streams, deliveries and queues.

    Attributes:
        key: The deployment's key.
        logs: The bucket of access logs.
        bucket: The lake.
        streams: Each Kinesis feed's stream, by the feed's name.
        queues: Each feed's queues, by the feed's name.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        environment: Environment,
        *,
        feeds: Sequence[Feed] = FEEDS,
        **options: Any,
    ) -> None:
        """Make the stack of these feeds in that environment."""
        super().__init__(scope, construct_id, **options)
        self._environment = environment
        self._settings = environment.settings
        self.key = deployment_key(self, environment)
        self.topic = make_topic(self, self._settings, self.key)
        self.logs = self._logs_bucket()
        self.bucket = self._lake(feeds)
        self.streams: dict[str, aws_kinesis.Stream] = {}
        self.queues: dict[str, FeedQueues] = {}
        for feed in feeds:
            self.queues[feed.name] = make_queues(self, self._settings, feed, self.topic)
            if feed.source == "kinesis":
                self.streams[feed.name] = self._stream(feed)
            if feed.source in {"kinesis", "direct_put"}:
                make_delivery(self, environment, feed, self.bucket, self.key, self.streams.get(feed.name))

    def _logs_bucket(self) -> aws_s3.Bucket:
        """S3's and the load balancer's access logs. Its own key: the load balancer writes to no other."""
        bucket = aws_s3.Bucket(
            self,
            "Logs",
            encryption=aws_s3.BucketEncryption.S3_MANAGED,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[aws_s3.LifecycleRule(id="expire", expiration=Duration.days(90))],
            removal_policy=self._environment.data_removal,
        )
        bucket.add_to_resource_policy(
            aws_iam.PolicyStatement(
                principals=[aws_iam.ServicePrincipal("logging.s3.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[bucket.arn_for_objects(f"{LAKE_LOGS}*")],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        # Load balancers of other accounts write below their own account's number; a condition besides is not
        # asked for, and one that the service did not send would fail the deployment.
        bucket.add_to_resource_policy(
            aws_iam.PolicyStatement(
                principals=[aws_iam.ServicePrincipal("logdelivery.elasticloadbalancing.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[bucket.arn_for_objects(f"{ENTRANCE_LOGS}/AWSLogs/{Aws.ACCOUNT_ID}/*")],
            )
        )
        return bucket

    def _lake(self, feeds: Sequence[Feed]) -> aws_s3.Bucket:
        bucket = aws_s3.Bucket(
            self,
            "Lake",
            bucket_name=self._settings.bucket,
            encryption=aws_s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,  # one call of KMS for many objects, not one for each
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=self._environment.keeps_data,
            lifecycle_rules=_lifecycle(feeds),
            metrics=[
                aws_s3.BucketMetrics(id=errors_metric(feed), prefix=errors_root(feed)) for feed in feeds
            ],
            removal_policy=self._environment.data_removal,
        )
        made = cast("aws_s3.CfnBucket", bucket.node.default_child)
        # CDK would make the server's log target by a statement of its own; the logs bucket has it already.
        made.logging_configuration = aws_s3.CfnBucket.LoggingConfigurationProperty(
            destination_bucket_name=self.logs.bucket_name, log_file_prefix=LAKE_LOGS
        )
        # The bucket's own property, not CDK's notification handler, which is a Lambda with a broad role.
        made.notification_configuration = aws_s3.CfnBucket.NotificationConfigurationProperty(
            topic_configurations=[
                aws_s3.CfnBucket.TopicConfigurationProperty(
                    event=event, topic=self.topic.topic_arn, filter=_of_prefix(feed.raw_root)
                )
                for feed in feeds
                for event in _EVENTS
            ]
        )
        made.node.add_dependency(self.topic.node.find_child("Policy"))  # S3 tries the topic at once
        return bucket

    def _stream(self, feed: Feed) -> aws_kinesis.Stream:
        shards = self._environment.sizes.stream_shards
        return aws_kinesis.Stream(
            self,
            f"{feed.name}-stream",
            stream_name=feed.stream,
            shard_count=shards,
            stream_mode=aws_kinesis.StreamMode.PROVISIONED if shards else aws_kinesis.StreamMode.ON_DEMAND,
            retention_period=Duration.hours(feed.retention_hours),
            encryption=aws_kinesis.StreamEncryption.KMS,
            encryption_key=self.key,
            removal_policy=self._environment.data_removal,
        )


def _of_prefix(prefix: str) -> aws_s3.CfnBucket.NotificationFilterProperty:
    rule = aws_s3.CfnBucket.FilterRuleProperty(name="prefix", value=prefix)
    return aws_s3.CfnBucket.NotificationFilterProperty(
        s3_key=aws_s3.CfnBucket.S3KeyFilterProperty(rules=[rule])
    )


def _lifecycle(feeds: Sequence[Feed]) -> list[aws_s3.LifecycleRule]:
    """What ages, by prefix.

    Raw, compacted and processed objects never expire: an hour is its objects, and one that loses some is
    another hour. Superseded locations are the sweep's, which knows what is published.
    """
    rule = aws_s3.LifecycleRule
    archive = aws_s3.Transition(
        storage_class=aws_s3.StorageClass.INTELLIGENT_TIERING, transition_after=Duration.days(30)
    )
    return [
        rule(
            id="leavings",
            abort_incomplete_multipart_upload_after=Duration.days(2),
            noncurrent_version_expiration=Duration.days(30),
            expired_object_delete_marker=True,
        ),
        rule(id="results", prefix=RESULTS, expiration=Duration.days(7)),
        rule(id="run-logs", prefix=COMPUTE_LOGS, expiration=Duration.days(30)),
        # Small objects cost more to watch than they save.
        *(
            rule(
                id=f"raw-{feed.name}",
                prefix=feed.raw_root,
                transitions=[archive],
                object_size_greater_than=131_072,
            )
            for feed in feeds
        ),
        *(
            rule(id=f"errors-{number}", prefix=prefix, expiration=Duration.days(365))
            for number, prefix in enumerate(
                dict.fromkeys((*map(errors_root, feeds), DEAD_LETTERS, UNHANDLED))
            )
        ),
    ]
