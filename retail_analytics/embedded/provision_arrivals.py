"""S3's events on their way to the feeds' queues: topic, queues, subscriptions, the bucket's notifications.

One topic takes the events of all raw roots, since S3 allows one target per event and prefix; each feed has a
queue for its arrivals, with a dead-letter queue, and one for its crawler. Not here: who reads them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from retail_analytics.settings import arrivals_filter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
# Longer than a tick of the sensor may take.
_HIDDEN_SECONDS = 120
# Longer than a crawl takes that the messages led to.
_CRAWLER_HIDDEN_SECONDS = 900
_MAX_RECEIVES = 5
_FORTNIGHT_SECONDS = 14 * 24 * 3600


class ArrivalsProvisioner:
    """Makes what is missing, by asking for all of it: SNS and SQS answer with what is there."""

    def __init__(self, settings: Settings, client: Callable[[str], Any]) -> None:
        """Describe it; the clients are made when they are needed."""
        self._settings = settings
        self._sns = client("sns")
        self._sqs = client("sqs")
        self._s3 = client("s3")
        self._account = client("sts").get_caller_identity()["Account"]

    def provide(self, feeds: Sequence[Feed]) -> tuple[str, ...]:
        """Make topic, queues, subscriptions and notifications; returns what was missing, a name each."""
        before = {topic["TopicArn"] for topic in self._sns.list_topics()["Topics"]}
        topic = self._topic()
        created = [] if topic in before else [f"topic {self._settings.arrivals_topic}"]
        for feed in feeds:
            created += self._feed(feed, topic)
        if self._notify(topic, feeds):
            created.append(f"notifications of bucket {self._settings.bucket}")
        return tuple(created)

    def _topic(self) -> str:
        arn: str = self._sns.create_topic(Name=self._settings.arrivals_topic)["TopicArn"]
        bucket = f"arn:aws:s3:::{self._settings.bucket}"
        policy = _policy("s3.amazonaws.com", "sns:Publish", arn, {"aws:SourceAccount": self._account}, bucket)
        self._sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
        return arn

    def _feed(self, feed: Feed, topic: str) -> list[str]:
        settings = self._settings
        created: list[str] = []
        dead = self._queue(settings.dead_arrivals_queue(feed.name), {}, created)
        redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": _MAX_RECEIVES})
        arrivals = self._queue(
            settings.arrivals_queue(feed.name),
            {"VisibilityTimeout": str(_HIDDEN_SECONDS), "RedrivePolicy": redrive},
            created,
            topic,
        )
        crawler = self._queue(
            settings.crawler_queue(feed.name),
            {"VisibilityTimeout": str(_CRAWLER_HIDDEN_SECONDS)},
            created,
            topic,
        )
        for queue in (arrivals, crawler):
            self._subscribe(topic, queue, feed)
        return created

    def _queue(
        self, name: str, attributes: dict[str, str], created: list[str], topic: str | None = None
    ) -> str:
        """Make a queue if it is missing; returns its ARN."""
        arn = f"arn:aws:sqs:{self._settings.region}:{self._account}:{name}"
        attributes = {**attributes, "MessageRetentionPeriod": str(_FORTNIGHT_SECONDS)}
        if topic:
            attributes["Policy"] = _policy("sns.amazonaws.com", "sqs:SendMessage", arn, {}, topic)
        try:
            self._sqs.get_queue_url(QueueName=name)
        except self._sqs.exceptions.QueueDoesNotExist:
            self._sqs.create_queue(QueueName=name, Attributes=attributes)
            created.append(f"queue {name}")
        return arn

    def _subscribe(self, topic: str, queue: str, feed: Feed) -> None:
        """Let the queue have the events of the feed's raw objects; SNS knows a subscription by its ends."""
        self._sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=queue,
            Attributes={
                "RawMessageDelivery": "true",
                "FilterPolicyScope": "MessageBody",
                "FilterPolicy": json.dumps(arrivals_filter(feed.raw_root)),
            },
        )

    def _notify(self, topic: str, feeds: Sequence[Feed]) -> bool:
        """Have the bucket tell the topic of these feeds' raw objects too; answers whether it did not."""
        bucket = self._settings.bucket
        found = self._s3.get_bucket_notification_configuration(Bucket=bucket).get("TopicConfigurations", [])
        wanted = [
            {
                "Id": f"{feed.name}-raw",
                "TopicArn": topic,
                "Events": list(EVENTS),
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": feed.raw_root}]}},
            }
            for feed in feeds
        ]
        wanted += [one for one in found if one["Id"] not in {mine["Id"] for mine in wanted}]
        if _told(found) == _told(wanted):
            return False
        self._s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"TopicConfigurations": wanted}
        )
        return True


def _told(configurations: Sequence[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (one["Id"], one["TopicArn"], one["Filter"]["Key"]["FilterRules"][0]["Value"])
        for one in configurations
    }


def _policy(service: str, action: str, resource: str, equals: dict[str, str], source: str) -> str:
    condition: dict[str, dict[str, str]] = {"ArnEquals": {"aws:SourceArn": source}}
    if equals:
        condition["StringEquals"] = equals
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": service},
                    "Action": action,
                    "Resource": resource,
                    "Condition": condition,
                }
            ],
        }
    )
