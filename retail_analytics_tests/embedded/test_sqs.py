"""SQS of the embedded cloud: what a queue promises, and that its calls do not grow with what waits in it."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.sqs.models import Message

from retail_analytics.embedded.sqs import IndexedQueue, Mailbox

if TYPE_CHECKING:
    from retail_analytics.embedded.cloud import EmbeddedCloud

pytestmark = pytest.mark.usefixtures("embedded_cloud")


@dataclass(frozen=True)
class Bench:
    """A queue of the test's own."""

    sqs: Any
    url: str

    def send(self, *bodies: str, **more: Any) -> None:
        for body in bodies:
            self.sqs.send_message(QueueUrl=self.url, MessageBody=body, **more)

    def receive(self, **more: Any) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(QueueUrl=self.url, **{"MaxNumberOfMessages": 10, **more})
        return list(answer.get("Messages", []))

    def delete(self, message: dict[str, Any]) -> None:
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def hide(self, message: dict[str, Any], seconds: int) -> None:
        self.sqs.change_message_visibility(
            QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
        )

    @property
    def counts(self) -> tuple[int, int, int]:
        """Waiting, in flight, delayed."""
        names = ["", "NotVisible", "Delayed"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        waiting, in_flight, delayed = (int(found[f"ApproximateNumberOfMessages{name}"]) for name in names)
        return waiting, in_flight, delayed


def make(**attributes: str) -> Bench:
    sqs = boto3.client("sqs")
    suffix = ".fifo" if "FifoQueue" in attributes else ""
    name = f"q-{uuid.uuid4().hex[:10]}{suffix}"
    return Bench(sqs, sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def bodies(messages: list[dict[str, Any]]) -> list[str]:
    return [message["Body"] for message in messages]


def test_what_is_received_is_hidden_until_it_is_deleted_or_given_back() -> None:
    bench = make()
    bench.send("a", "b", "c")
    assert bench.counts == (3, 0, 0)
    first, second = bench.receive(MaxNumberOfMessages=2)
    assert bodies([first, second]) == ["a", "b"]
    assert bench.counts == (1, 2, 0)
    bench.delete(first)
    bench.delete(first)  # again is no error
    bench.hide(second, 0)
    assert bench.counts == (2, 0, 0)
    again = bench.receive()
    assert sorted(bodies(again)) == ["b", "c"]
    assert bench.receive() == []
    assert bench.counts == (0, 2, 0)
    bench.delete(second)  # by the receipt of the time before
    assert bench.counts == (0, 1, 0)


def test_a_receipt_that_nobody_was_given_is_refused() -> None:
    bench = make()
    bench.send("a")
    with pytest.raises(ClientError, match="ReceiptHandleIsInvalid"):
        bench.sqs.delete_message(QueueUrl=bench.url, ReceiptHandle="made-up")
    with pytest.raises(ClientError, match="ReceiptHandleIsInvalid"):
        bench.sqs.change_message_visibility(QueueUrl=bench.url, ReceiptHandle="made-up", VisibilityTimeout=1)
    (message,) = bench.receive()
    with pytest.raises(ClientError, match="43200"):
        bench.hide(message, 43201)
    answer = bench.sqs.delete_message_batch(
        QueueUrl=bench.url,
        Entries=[
            {"Id": "good", "ReceiptHandle": message["ReceiptHandle"]},
            {"Id": "bad", "ReceiptHandle": "made-up"},
        ],
    )
    assert [one["Id"] for one in answer["Successful"]] == ["good"]
    assert [one["Code"] for one in answer["Failed"]] == ["ReceiptHandleIsInvalid"]
    assert bench.counts == (0, 0, 0)


def test_a_message_comes_again_when_its_time_is_up_and_at_last_to_the_dead_letters() -> None:
    dead = make()
    arn = dead.sqs.get_queue_attributes(QueueUrl=dead.url, AttributeNames=["QueueArn"])["Attributes"]
    policy = f'{{"deadLetterTargetArn": "{arn["QueueArn"]}", "maxReceiveCount": 2}}'
    bench = make(RedrivePolicy=policy, VisibilityTimeout="1")
    bench.send("poison")
    assert bodies(bench.receive()) == ["poison"]
    assert bodies(bench.receive(WaitTimeSeconds=5)) == ["poison"]
    assert bench.receive(WaitTimeSeconds=3) == []
    assert bodies(dead.receive()) == ["poison"]
    assert bench.counts == (0, 0, 0)


def test_a_receiver_that_waits_is_woken_by_what_is_sent() -> None:
    bench = make()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bench.receive, WaitTimeSeconds=20)
        bench.send("news")
        assert bodies(waiting.result(timeout=15)) == ["news"]


def test_a_delay_hides_and_a_purge_forgets() -> None:
    bench = make()
    bench.send("now")
    bench.send("later", DelaySeconds=600)
    assert bench.counts == (1, 0, 1)
    assert bodies(bench.receive(VisibilityTimeout=0)) == ["now"]
    assert bodies(bench.receive(VisibilityTimeout=0)) == ["now"]
    bench.sqs.purge_queue(QueueUrl=bench.url)
    assert bench.counts == (0, 0, 0)
    bench.send("after")
    assert bodies(bench.receive()) == ["after"]


def test_only_attributes_that_are_asked_for_come_with_a_message() -> None:
    bench = make()
    attributes = {name: {"DataType": "String", "StringValue": "x"} for name in ("a.one", "b")}
    bench.send("with", MessageAttributes=attributes)
    (message,) = bench.receive(MessageAttributeNames=["a.*"], VisibilityTimeout=0)
    assert set(message["MessageAttributes"]) == {"a.one"}
    (message,) = bench.receive(MessageAttributeNames=["All"])
    assert set(message["MessageAttributes"]) == {"a.one", "b"}


def test_a_fifo_queue_keeps_its_order_by_group() -> None:
    bench = make(FifoQueue="true", ContentBasedDeduplication="true")
    bench.send("a", "a", "b", MessageGroupId="g")
    (message,) = bench.receive(MaxNumberOfMessages=1)
    assert message["Body"] == "a"
    assert bench.receive() == []  # the group waits for its first
    bench.delete(message)
    assert bodies(bench.receive()) == ["b"]


def test_no_message_is_lost_while_others_are_deleted(embedded_cloud: EmbeddedCloud) -> None:
    bench = make()
    names = [f"{number:03d}" for number in range(120)]
    received: list[str] = []

    def drain() -> None:
        while len(set(received)) < len(names) and (messages := bench.receive(WaitTimeSeconds=5)):
            received.extend(bodies(messages))
            for message in messages:
                bench.delete(message)

    with ThreadPoolExecutor(4) as pool:
        drains = [pool.submit(drain) for _ in range(2)]
        list(pool.map(bench.send, names))
        for each in drains:
            each.result()
    assert sorted(received) == names  # each of them, and none twice
    assert bench.counts == (0, 0, 0)


class WalkedError(AssertionError):
    """Somebody walked the whole queue."""


def test_no_call_walks_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = IndexedQueue("q", "us-east-1", "123456789012")
    for number in range(100):
        message = Message(str(number), "body")
        message.mark_sent()
        queue.add_message(message)

    def walk(_: Mailbox) -> None:
        raise WalkedError

    monkeypatch.setattr(Mailbox, "__iter__", walk)
    assert queue.box is not None
    taken = queue.take(queue.box, 10, 30)
    assert queue.attributes["ApproximateNumberOfMessages"] == 90
    assert queue.attributes["ApproximateNumberOfMessagesNotVisible"] == 10
    for each in taken:
        assert each.receipt_handle is not None
        queue.delete_message(each.receipt_handle)
    assert queue.attributes["ApproximateNumberOfMessagesNotVisible"] == 0
