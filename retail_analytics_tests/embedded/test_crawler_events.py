"""Crawlers in event mode: fed by S3's notifications through a queue."""

from __future__ import annotations

import json

import boto3
import pytest

from retail_analytics.embedded.crawler.events import object_urls
from retail_analytics_tests.embedded.test_crawler import Place, lines


class EventPlace(Place):
    """A bucket whose changes go to a queue, and a crawler that is fed by it."""

    def __init__(self) -> None:
        super().__init__()
        self.sqs = boto3.client("sqs")
        self.queue = self.sqs.create_queue(QueueName=f"events-{self.bucket}")["QueueUrl"]
        self.arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])[
            "Attributes"
        ]["QueueArn"]
        events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket,
            NotificationConfiguration={"QueueConfigurations": [{"QueueArn": self.arn, "Events": events}]},
        )

    def create_in_event_mode(self) -> None:
        target = {"Path": f"s3://{self.bucket}/data/", "EventQueueArn": self.arn}
        self.create(
            Targets={"S3Targets": [target]},
            RecrawlPolicy={"RecrawlBehavior": "CRAWL_EVENT_MODE"},
            SchemaChangePolicy={
                "UpdateBehavior": "UPDATE_IN_DATABASE",
                "DeleteBehavior": "DELETE_FROM_DATABASE",
            },
        )

    def waiting(self) -> int:
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"]) + int(
            attributes["ApproximateNumberOfMessagesNotVisible"]
        )

    def begin_log(self) -> None:
        self.seen = len(self.log())

    def new_log(self) -> list[str]:
        return self.log()[self.seen :]


@pytest.fixture
def place(embedded_cloud: object) -> EventPlace:
    return EventPlace()


def test_the_first_crawl_lists_everything_and_the_next_looks_where_events_point(place: EventPlace) -> None:
    for hour in ("08", "09"):
        place.put(f"data/hour={hour}/a", lines({"a": 1}))
    place.create_in_event_mode()
    assert place.crawl()["LastCrawl"]["Status"] == "SUCCEEDED"
    assert place.partitions("data") == [["08"], ["09"]]

    place.begin_log()
    place.put("data/hour=10/b c+d", lines({"a": 1}))
    assert place.crawl()["LastCrawl"]["Status"] == "SUCCEEDED"
    assert place.partitions("data") == [["08"], ["09"], ["10"]]
    looked = [line for line in place.new_log() if "Running Start Crawl over" in line]
    # The first crawl left its events in the queue, so that their folders are looked into once more.
    assert {line.rsplit("/data/", 1)[1] for line in looked} == {"hour=08/", "hour=09/", "hour=10/"}
    assert place.waiting() == 0


def test_without_an_event_nothing_is_looked_into(place: EventPlace) -> None:
    place.put("data/hour=08/a", lines({"a": 1}))
    place.create_in_event_mode()
    place.crawl()
    place.crawl()
    place.begin_log()
    assert place.crawl()["LastCrawl"]["Status"] == "SUCCEEDED"
    assert not [line for line in place.new_log() if "Running Start Crawl over" in line]
    assert place.partitions("data") == [["08"]]


def test_a_removed_object_takes_its_partition_with_it(place: EventPlace) -> None:
    for hour in ("08", "09"):
        place.put(f"data/hour={hour}/a", lines({"a": 1}))
    place.create_in_event_mode()
    place.crawl()
    place.s3.delete_object(Bucket=place.bucket, Key="data/hour=09/a")
    place.crawl()
    assert place.partitions("data") == [["08"]]


def test_foreign_messages_are_left_out_with_a_word(place: EventPlace) -> None:
    place.put("data/hour=08/a", lines({"a": 1}))
    place.create_in_event_mode()
    place.crawl()
    for body in ("no JSON", "[]", json.dumps({"Records": [{}]})):
        place.sqs.send_message(QueueUrl=place.queue, MessageBody=body)
    place.put("data/hour=09/a", lines({"a": 1}))
    place.begin_log()
    assert place.crawl()["LastCrawl"]["Status"] == "SUCCEEDED"
    assert place.partitions("data") == [["08"], ["09"]]
    assert sum("is no S3 event" in line for line in place.new_log()) == 3
    assert place.waiting() == 0


def test_events_name_objects_also_through_sns_and_with_quoted_keys() -> None:
    event = {"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "data/h%3D1/a+b%2Bc"}}}]}
    assert list(object_urls(event)) == ["s3://b/data/h=1/a b+c"]
    assert list(object_urls({"Type": "Notification", "Message": json.dumps(event)})) == [
        "s3://b/data/h=1/a b+c"
    ]
    assert list(object_urls({"Service": "Amazon S3", "Event": "s3:TestEvent"})) == []
