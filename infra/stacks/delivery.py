"""The delivery of a feed into the lake: a Firehose delivery stream, its role and its log.

Not here: the bucket and the stream before it (``ingest.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import RemovalPolicy, aws_kinesisfirehose, aws_logs

from infra import access
from infra.prefixes import errors_root

if TYPE_CHECKING:
    from aws_cdk import Stack, aws_iam, aws_kinesis, aws_kms, aws_s3

    from infra.environments import Environment
    from retail_analytics.feeds import Feed

_Delivery = aws_kinesisfirehose.CfnDeliveryStream


def make_delivery(
    stack: Stack,
    environment: Environment,
    feed: Feed,
    bucket: aws_s3.Bucket,
    key: aws_kms.Key,
    stream: aws_kinesis.Stream | None,
) -> None:
    """Deliver a feed into the bucket, from its stream or, without one, from those who put records."""
    log_group = aws_logs.LogGroup(
        stack,
        f"{feed.name}-delivery-log",
        log_group_name=f"/aws/kinesisfirehose/{environment.settings.deployment}-{feed.name}",
        retention=environment.log_retention,
        removal_policy=RemovalPolicy.DESTROY,
    )
    log_stream = aws_logs.LogStream(
        stack,
        f"{feed.name}-delivery-log-stream",
        log_group=log_group,
        removal_policy=RemovalPolicy.DESTROY,
    )
    role = _role(stack, environment, feed, key, stream, log_group)
    _Delivery(
        stack,
        f"{feed.name}-delivery",
        delivery_stream_name=feed.stream,
        delivery_stream_type="KinesisStreamAsSource" if stream else "DirectPut",
        kinesis_stream_source_configuration=_Delivery.KinesisStreamSourceConfigurationProperty(
            kinesis_stream_arn=stream.stream_arn, role_arn=role.role_arn
        )
        if stream
        else None,
        # What waits in Firehose itself; with a stream before it, that is the stream's encryption.
        delivery_stream_encryption_configuration_input=None
        if stream
        else _Delivery.DeliveryStreamEncryptionConfigurationInputProperty(key_type="AWS_OWNED_CMK"),
        extended_s3_destination_configuration=_Delivery.ExtendedS3DestinationConfigurationProperty(
            role_arn=role.role_arn,
            bucket_arn=bucket.bucket_arn,
            prefix=feed.prefix,
            error_output_prefix=feed.error_prefix,
            buffering_hints=_Delivery.BufferingHintsProperty(
                interval_in_seconds=feed.buffer_seconds, size_in_m_bs=feed.buffer_mebibytes
            ),
            # Compaction reads lines; what is raw is small, and compressed when it is compacted.
            compression_format="UNCOMPRESSED",
            encryption_configuration=_Delivery.EncryptionConfigurationProperty(
                kms_encryption_config=_Delivery.KMSEncryptionConfigProperty(awskms_key_arn=key.key_arn)
            ),
            cloud_watch_logging_options=_Delivery.CloudWatchLoggingOptionsProperty(
                enabled=True,
                log_group_name=log_group.log_group_name,
                log_stream_name=log_stream.log_stream_name,
            ),
        ),
    )


def _role(
    stack: Stack,
    environment: Environment,
    feed: Feed,
    key: aws_kms.Key,
    stream: aws_kinesis.Stream | None,
    log_group: aws_logs.LogGroup,
) -> aws_iam.Role:
    settings = environment.settings
    roots = (feed.raw_root, errors_root(feed))
    statements = [
        access.may_write(settings, *roots),
        access.may_read(settings, *roots),
        access.allow(
            ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
            [access.bucket_arn(settings)],
        ),
        access.may_use_key(key.key_arn, write=True),
        access.allow(["logs:PutLogEvents"], [log_group.log_group_arn]),
    ]
    if stream:
        reads = ("DescribeStream", "GetRecords", "GetShardIterator", "ListShards")
        statements.append(access.allow([f"kinesis:{action}" for action in reads], [stream.stream_arn]))
    return access.actor(
        stack,
        f"{feed.name}-delivery-role",
        "firehose.amazonaws.com",
        f"Delivers {feed.name} into the lake",
        statements,
    )
