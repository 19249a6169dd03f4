"""S3's events as hints: which raw hours of a feed to look at.

S3 tells a topic of objects created and removed, the topic a queue a feed. A message says where to look and no
more: events come late, twice, out of order, or never. Not here: what lies in an hour (``objects.py``), and
what is news (``arrivals.py``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from retail_analytics.lake import hours as hours_

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

# SQS's limit of messages a call.
_BATCH = 10

ROUND_MESSAGES = 200
"""Messages that are acted upon together: most of a burst is about a few hours."""

_LONG_POLL_SECONDS = 1
_TEST_EVENT = "s3:TestEvent"


class MissingQueueError(RuntimeError):
    """The feed's queue is not there; the message says what to do."""


class UnreadableMessageError(ValueError):
    """A message is no event of S3's."""


@dataclass(frozen=True)
class Hints:
    """What a round of messages came to.

    Attributes:
        hours: The feed's hours that they name.
        receipts: The receipts of all that were understood, to be acknowledged once acted upon.
        foreign: How many of these were about nothing of the feed's.
        unreadable: Why each of the others was not understood. They stay, and come again until the queue
            hands them to its dead-letter queue.
    """

    hours: frozenset[datetime] = frozenset()
    receipts: tuple[str, ...] = ()
    foreign: int = 0
    unreadable: tuple[str, ...] = ()

    @property
    def messages(self) -> int:
        """How many messages there were."""
        return len(self.receipts) + len(self.unreadable)


@dataclass
class _Round:
    hours: set[datetime] = field(default_factory=set)
    receipts: list[str] = field(default_factory=list)
    foreign: int = 0
    unreadable: list[str] = field(default_factory=list)

    def take(self, message: MessageTypeDef, feed: Feed, settings: Settings) -> None:
        try:
            found = hinted_hours(message["Body"], feed, settings.bucket)
        except UnreadableMessageError as error:
            self.unreadable.append(f"message {message['MessageId']}: {error}")
            return
        self.receipts.append(message["ReceiptHandle"])
        self.hours |= found
        self.foreign += not found


def queue_url(sqs: SQSClient, name: str) -> str:
    """The URL of a queue of this account.

    Raises:
        MissingQueueError: There is none of that name.
    """
    try:
        return sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except sqs.exceptions.QueueDoesNotExist as error:
        raise MissingQueueError(
            f"There is no queue {name}: deploy it, or set RETAIL_NOTIFICATIONS=off to find arrivals by"
            " listing alone."
        ) from error


def receive(sqs: SQSClient, url: str, feed: Feed, settings: Settings) -> Hints:
    """Read the queue until it is empty or a round is full: the first call waits for a message, no other does.

    What is read stays hidden from other readers for the queue's visibility timeout.
    """
    found = _Round()
    wait = _LONG_POLL_SECONDS
    while len(found.receipts) + len(found.unreadable) < ROUND_MESSAGES:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=_BATCH, WaitTimeSeconds=wait)
        messages = answer.get("Messages", [])
        if not messages:
            break
        for message in messages:
            found.take(message, feed, settings)
        wait = 0
    return Hints(frozenset(found.hours), tuple(found.receipts), found.foreign, tuple(found.unreadable))


def acknowledge(sqs: SQSClient, url: str, hints: Hints) -> int:
    """Delete the messages that were acted upon; returns how many SQS did not delete.

    Those come again, and find nothing new.
    """
    failed = 0
    for start in range(0, len(hints.receipts), _BATCH):
        chunk = hints.receipts[start : start + _BATCH]
        answer = sqs.delete_message_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(position), "ReceiptHandle": receipt} for position, receipt in enumerate(chunk)
            ],
        )
        failed += len(answer.get("Failed", []))
    return failed


def hinted_hours(body: str, feed: Feed, bucket: str) -> set[datetime]:
    """The feed's hours that a message names; none for S3's test event and for other keys and buckets.

    Args:
        body: An S3 event, or an SNS envelope of one.
        feed: The feed.
        bucket: The lake's bucket.

    Raises:
        UnreadableMessageError: It is neither.
    """
    try:
        named = list(_objects(json.loads(body)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableMessageError(f"no event of S3's ({type(error).__name__}: {error})") from error
    hours = {hours_.hour_of_key(feed, key) for found, key in named if found == bucket}
    return {hour for hour in hours if hour is not None}


def _objects(message: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Bucket and key of each object that a message is about."""
    if "Records" not in message and "Message" in message:
        yield from _objects(json.loads(message["Message"]))
        return
    if message.get("Event") == _TEST_EVENT:
        return
    for record in message["Records"]:
        # S3 writes keys into events as forms write them: blanks as plus signs.
        yield record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"])


@dataclass(frozen=True)
class QueueState:
    """How many messages a feed's queues hold, about.

    Attributes:
        waiting: Not yet read.
        in_flight: Read, and neither deleted nor visible again.
        dead: Given up: nobody could act upon them.
    """

    waiting: int
    in_flight: int
    dead: int


def queue_state(sqs: SQSClient, feed: Feed, settings: Settings) -> QueueState:
    """Count the messages of a feed's queues, as SQS does: approximately.

    Raises:
        MissingQueueError: A queue is not there.
    """
    arrivals = _counts(sqs, settings.arrivals_queue(feed.name))
    dead = _counts(sqs, settings.dead_arrivals_queue(feed.name))
    return QueueState(waiting=arrivals[0], in_flight=arrivals[1], dead=sum(dead))


def _counts(sqs: SQSClient, name: str) -> tuple[int, int]:
    found = sqs.get_queue_attributes(
        QueueUrl=queue_url(sqs, name),
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    return (
        int(found["ApproximateNumberOfMessages"]),
        int(found["ApproximateNumberOfMessagesNotVisible"]),
    )
