"""Ingest: the lake's bucket, the streams and deliveries into it, and the news of what arrived.

Bucket → one SNS topic → one queue a feed and one for its crawler: S3 allows one target for an event and
prefix. Not here: tables (``catalog.py``) and the search path (``search.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from aws_cdk import (
    Aws,
    Duration,
    RemovalPolicy,
    Stack,
    aws_iam,
    aws_kinesis,
    aws_kinesisfirehose,
    aws_logs,
    aws_s3,
    aws_sns,
    aws_sqs,
)

from infra import access
from infra.encryption import deployment_key
from retail_analytics.feeds import FEEDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Construct

    from infra.environments import Environment
    from retail_analytics.feeds import Feed

COMPUTE_LOGS = "dagster-logs/"
"""Where Dagster keeps what runs print."""

UNHANDLED = "aws/lambda/"
"""Where Lambda writes batches that it gave up; the prefix is Lambda's own."""

_EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
# A queue's reader takes at most a tick's time (60 s) for a round of messages.
_VISIBILITY = Duration.minutes(5)
_DAYS_OF_QUEUES = Duration.days(14)


@dataclass(frozen=True)
class FeedQueues:
    """A feed's queues: the sensor's, the crawler's, and where messages go that nobody could act upon."""

    arrivals: aws_sqs.Queue
    crawler: aws_sqs.Queue
    dead: aws_sqs.Queue


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
        self.topic = self._topic()
        self.logs = self._logs_bucket()
        self.bucket = self._lake(feeds)
        self.streams: dict[str, aws_kinesis.Stream] = {}
        self.queues: dict[str, FeedQueues] = {}
        for feed in feeds:
            self.queues[feed.name] = self._queues(feed)
            if feed.source == "kinesis":
                self.streams[feed.name] = self._stream(feed)
            if feed.source in {"kinesis", "direct_put"}:
                self._delivery(feed)

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
        for service in ("logging.s3.amazonaws.com", "logdelivery.elasticloadbalancing.amazonaws.com"):
            bucket.add_to_resource_policy(
                aws_iam.PolicyStatement(
                    principals=[aws_iam.ServicePrincipal(service)],
                    actions=["s3:PutObject"],
                    resources=[bucket.arn_for_objects("*")],
                    conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
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
                aws_s3.BucketMetrics(id=_errors_metric(feed), prefix=_errors_root(feed)) for feed in feeds
            ],
            removal_policy=self._environment.data_removal,
        )
        made = cast("aws_s3.CfnBucket", bucket.node.default_child)
        # CDK would make the server's log target by a statement of its own; the logs bucket has it already.
        made.logging_configuration = aws_s3.CfnBucket.LoggingConfigurationProperty(
            destination_bucket_name=self.logs.bucket_name, log_file_prefix="lake/"
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

    def _topic(self) -> aws_sns.Topic:
        topic = aws_sns.Topic(
            self,
            "Arrivals",
            topic_name=self._settings.arrivals_topic,
            master_key=self.key,  # S3 cannot publish to a topic under SNS's own key
            enforce_ssl=True,
        )
        topic.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="TheLakeTells",
                principals=[aws_iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                    "ArnLike": {"aws:SourceArn": access.bucket_arn(self._settings)},
                },
            )
        )
        return topic

    def _queues(self, feed: Feed) -> FeedQueues:
        settings = self._settings
        dead = self._queue(f"{feed.name}-dead", settings.dead_arrivals_queue(feed.name))
        arrivals = self._queue(f"{feed.name}-arrivals", settings.arrivals_queue(feed.name), dead)
        crawler = self._queue(f"{feed.name}-crawler", settings.crawler_queue(feed.name), dead)
        for name, queue in (("arrivals", arrivals), ("crawler", crawler)):
            self._subscribe(f"{feed.name}-{name}-subscription", queue, feed)
        return FeedQueues(arrivals, crawler, dead)

    def _queue(self, name: str, queue_name: str, dead: aws_sqs.Queue | None = None) -> aws_sqs.Queue:
        return aws_sqs.Queue(
            self,
            name,
            queue_name=queue_name,
            # SQS's own key: messages hold keys of objects and nothing of their content.
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=_DAYS_OF_QUEUES,
            visibility_timeout=_VISIBILITY,
            dead_letter_queue=aws_sqs.DeadLetterQueue(queue=dead, max_receive_count=5) if dead else None,
            removal_policy=RemovalPolicy.DESTROY,  # hints; a listing finds what they would have told
        )

    def _subscribe(self, name: str, queue: aws_sqs.Queue, feed: Feed) -> None:
        queue.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="TheTopicSends",
                principals=[aws_iam.ServicePrincipal("sns.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": self.topic.topic_arn}},
            )
        )
        aws_sns.CfnSubscription(
            self,
            name,
            topic_arn=self.topic.topic_arn,
            protocol="sqs",
            endpoint=queue.queue_arn,
            raw_message_delivery=True,  # S3's event as it is, which is what a crawler reads
            filter_policy_scope="MessageBody",
            filter_policy={"Records": {"s3": {"object": {"key": [{"prefix": feed.raw_root}]}}}},
        )

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

    def _delivery(self, feed: Feed) -> None:
        stream = self.streams.get(feed.name)
        log_group = aws_logs.LogGroup(
            self,
            f"{feed.name}-delivery-log",
            log_group_name=f"/aws/kinesisfirehose/{self._settings.deployment}-{feed.name}",
            retention=self._environment.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        log_stream = aws_logs.LogStream(
            self,
            f"{feed.name}-delivery-log-stream",
            log_group=log_group,
            removal_policy=RemovalPolicy.DESTROY,
        )
        role = self._delivery_role(feed, stream, log_group)
        firehose = aws_kinesisfirehose.CfnDeliveryStream
        source = (
            firehose.KinesisStreamSourceConfigurationProperty(
                kinesis_stream_arn=stream.stream_arn, role_arn=role.role_arn
            )
            if stream
            else None
        )
        firehose(
            self,
            f"{feed.name}-delivery",
            delivery_stream_name=feed.stream,
            delivery_stream_type="KinesisStreamAsSource" if stream else "DirectPut",
            kinesis_stream_source_configuration=source,
            # What waits in Firehose itself; with a stream before it, that is the stream's encryption.
            delivery_stream_encryption_configuration_input=None
            if stream
            else firehose.DeliveryStreamEncryptionConfigurationInputProperty(key_type="AWS_OWNED_CMK"),
            extended_s3_destination_configuration=firehose.ExtendedS3DestinationConfigurationProperty(
                role_arn=role.role_arn,
                bucket_arn=self.bucket.bucket_arn,
                prefix=feed.prefix,
                error_output_prefix=feed.error_prefix,
                buffering_hints=firehose.BufferingHintsProperty(
                    interval_in_seconds=feed.buffer_seconds, size_in_m_bs=feed.buffer_mebibytes
                ),
                # Compaction reads lines; what is raw is small, and compressed when it is compacted.
                compression_format="UNCOMPRESSED",
                encryption_configuration=firehose.EncryptionConfigurationProperty(
                    kms_encryption_config=firehose.KMSEncryptionConfigProperty(
                        awskms_key_arn=self.key.key_arn
                    )
                ),
                cloud_watch_logging_options=firehose.CloudWatchLoggingOptionsProperty(
                    enabled=True,
                    log_group_name=log_group.log_group_name,
                    log_stream_name=log_stream.log_stream_name,
                ),
            ),
        )

    def _delivery_role(
        self, feed: Feed, stream: aws_kinesis.Stream | None, log_group: aws_logs.LogGroup
    ) -> aws_iam.Role:
        roots = (feed.raw_root, _errors_root(feed))
        statements = [
            access.may_write(self._settings, *roots),
            access.may_read(self._settings, *roots),
            access.allow(
                ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
                [access.bucket_arn(self._settings)],
            ),
            access.may_use_key(self.key.key_arn, write=True),
            access.allow(["logs:PutLogEvents"], [log_group.log_group_arn]),
        ]
        if stream:
            statements.append(
                access.allow(
                    [
                        "kinesis:DescribeStream",
                        "kinesis:GetRecords",
                        "kinesis:GetShardIterator",
                        "kinesis:ListShards",
                    ],
                    [stream.stream_arn],
                )
            )
        return access.actor(
            self,
            f"{feed.name}-delivery-role",
            "firehose.amazonaws.com",
            f"Delivers {feed.name} into the lake",
            statements,
        )


def errors_metric(feed: Feed) -> str:
    """The id of the bucket's request metrics of what Firehose could not deliver."""
    return _errors_metric(feed)


def _errors_metric(feed: Feed) -> str:
    return f"errors-{feed.name}"


def _errors_root(feed: Feed) -> str:
    return feed.error_prefix.split("year=", 1)[0]


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
        rule(id="results", prefix="athena-results/", expiration=Duration.days(7)),
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
                dict.fromkeys((*map(_errors_root, feeds), "dead-letters/", UNHANDLED))
            )
        ),
    ]
