"""The news of what arrived: one topic that the bucket tells, and a feed's two queues behind it.

S3 allows one target for an event and prefix; the sensor and the crawler both want to hear. Not here: the
bucket's side (``ingest.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Aws, Duration, RemovalPolicy, aws_iam, aws_sns, aws_sqs

from infra import access
from retail_analytics.settings import arrivals_filter

if TYPE_CHECKING:
    from aws_cdk import Stack, aws_kms

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

# A sensor's tick takes at most a minute for a round of messages; a crawler keeps them while it crawls.
_HIDDEN = Duration.minutes(5)
_HIDDEN_FROM_CRAWLERS = Duration.hours(1)
_DAYS_OF_QUEUES = Duration.days(14)
_RECEIVES = 5


@dataclass(frozen=True)
class FeedQueues:
    """A feed's queues: the sensor's, where its messages go that nobody could act upon, and the crawler's."""

    arrivals: aws_sqs.Queue
    dead: aws_sqs.Queue
    crawler: aws_sqs.Queue


def make_topic(stack: Stack, settings: Settings, key: aws_kms.Key) -> aws_sns.Topic:
    """The topic that the lake's bucket tells of objects created and removed."""
    topic = aws_sns.Topic(
        stack,
        "Arrivals",
        topic_name=settings.arrivals_topic,
        master_key=key,  # S3 cannot publish to a topic under SNS's own key
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
                "ArnLike": {"aws:SourceArn": access.bucket_arn(settings)},
            },
        )
    )
    return topic


def make_queues(stack: Stack, settings: Settings, feed: Feed, topic: aws_sns.Topic) -> FeedQueues:
    """A feed's queues, subscribed to the topic.

    The crawler's has no queue for dead messages: what a crawl leaves is read by the next one or expires, and
    the sensor's is watched for what nobody understood.
    """
    dead = _queue(stack, f"{feed.name}-dead", settings.dead_arrivals_queue(feed.name))
    arrivals = _queue(stack, f"{feed.name}-arrivals", settings.arrivals_queue(feed.name), dead=dead)
    crawler = _queue(
        stack, f"{feed.name}-crawler", settings.crawler_queue(feed.name), hidden=_HIDDEN_FROM_CRAWLERS
    )
    for name, queue in (("arrivals", arrivals), ("crawler", crawler)):
        _subscribe(stack, f"{feed.name}-{name}-subscription", topic, queue, feed)
    return FeedQueues(arrivals, dead, crawler)


def _queue(
    stack: Stack, name: str, queue_name: str, *, dead: aws_sqs.Queue | None = None, hidden: Duration = _HIDDEN
) -> aws_sqs.Queue:
    return aws_sqs.Queue(
        stack,
        name,
        queue_name=queue_name,
        # SQS's own key: messages hold keys of objects and nothing of their content.
        encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=_DAYS_OF_QUEUES,
        visibility_timeout=hidden,
        dead_letter_queue=aws_sqs.DeadLetterQueue(queue=dead, max_receive_count=_RECEIVES) if dead else None,
        removal_policy=RemovalPolicy.DESTROY,  # hints; a listing finds what they would have told
    )


def _subscribe(stack: Stack, name: str, topic: aws_sns.Topic, queue: aws_sqs.Queue, feed: Feed) -> None:
    queue.add_to_resource_policy(
        aws_iam.PolicyStatement(
            sid="TheTopicSends",
            principals=[aws_iam.ServicePrincipal("sns.amazonaws.com")],
            actions=["sqs:SendMessage"],
            resources=[queue.queue_arn],
            conditions={"ArnEquals": {"aws:SourceArn": topic.topic_arn}},
        )
    )
    aws_sns.CfnSubscription(
        stack,
        name,
        topic_arn=topic.topic_arn,
        protocol="sqs",
        endpoint=queue.queue_arn,
        raw_message_delivery=True,  # S3's event as it is, which is what a crawler reads
        filter_policy_scope="MessageBody",
        filter_policy=arrivals_filter(feed.raw_root),
    )
