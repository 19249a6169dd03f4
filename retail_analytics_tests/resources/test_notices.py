"""A notice reaches its addressees, within bounds, and no error shows a secret."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from retail_analytics.resources.notices import Notice, NoticeError, Notifier, subject_of
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTICE = Notice(
    "local: 3 hours compacted",
    {"version": 1, "id": "r/hours_compacted", "deployment": "Zürich"},
    {"event": "hours_compacted", "feed": ""},
)


@dataclass
class Hook:
    """A webhook on the loopback: answers what it is told to, and keeps what it got."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    location: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/secret"


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            made.bodies.append((self.headers["Content-Type"], json.loads(self.rfile.read(length))))
            self.send_response(made.answers.pop(0) if made.answers else 200)
            if made.location:
                self.send_header("Location", made.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: the test asks."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def test_nobody_is_told_by_default() -> None:
    assert not Notifier.of(Settings()).is_on
    assert Notifier.of(Settings(notify_webhook="https://hooks.example/x")).is_on


def test_a_webhook_gets_the_body_as_json(hook: Hook) -> None:
    Notifier(webhook=hook.url).send(NOTICE)
    assert hook.bodies == [("application/json", NOTICE.body)]


def test_a_busy_webhook_is_asked_again(hook: Hook) -> None:
    hook.answers = [503, 429]
    Notifier(webhook=hook.url).send(NOTICE)
    assert len(hook.bodies) == 3


def test_a_webhook_that_stays_busy_is_given_up(hook: Hook) -> None:
    hook.answers = [503] * 9
    with pytest.raises(NoticeError, match="at 127.0.0.1 answered 503") as told:
        Notifier(webhook=hook.url).send(NOTICE)
    assert len(hook.bodies) == 3
    assert "secret" not in str(told.value)


def test_a_refusal_is_not_tried_again(hook: Hook) -> None:
    hook.answers = [404]
    with pytest.raises(NoticeError, match="answered 404"):
        Notifier(webhook=hook.url).send(NOTICE)
    assert len(hook.bodies) == 1


def test_a_notice_goes_nowhere_that_no_setting_names(hook: Hook) -> None:
    hook.answers, hook.location = [307], "http://elsewhere.example/"
    with pytest.raises(NoticeError, match="answered 307"):
        Notifier(webhook=hook.url).send(NOTICE)


def test_a_webhook_that_is_gone_is_told_without_its_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/secret"
    with pytest.raises(NoticeError, match="was not reached") as told:
        Notifier(webhook=url).send(NOTICE)
    assert "secret" not in str(told.value)
    assert told.value.__cause__ is told.value.__context__ is None
    assert "secret" not in caplog.text
    assert "secret" not in repr(Notifier(webhook=url))


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    """A topic, and a way to read what it was told."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        sns, sqs = boto3.client("sns", region_name="eu-west-1"), boto3.client("sqs", region_name="eu-west-1")
        arn = sns.create_topic(Name="told")["TopicArn"]
        url = sqs.create_queue(QueueName="heard")["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue)
        yield (
            arn,
            lambda: [
                json.loads(message["Body"])
                for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", ())
            ],
        )


def test_a_topic_gets_the_body_and_what_to_filter_by(topic: tuple[str, Any]) -> None:
    arn, heard = topic
    Notifier(topic_arn=arn).send(NOTICE)
    (message,) = heard()
    assert json.loads(message["Message"]) == NOTICE.body
    assert message["Subject"] == NOTICE.subject
    # SNS takes no empty attribute.
    assert message["MessageAttributes"] == {"event": {"Type": "String", "Value": "hours_compacted"}}


def test_one_addressee_that_fails_does_not_keep_the_other_from_hearing(
    topic: tuple[str, Any], hook: Hook
) -> None:
    arn, heard = topic
    hook.answers = [404]
    with pytest.raises(NoticeError, match="webhook"):
        Notifier(arn, hook.url).send(NOTICE)
    assert len(heard()) == 1
    with pytest.raises(NoticeError, match="topic .*gone"):
        Notifier(f"{arn}-gone", hook.url).send(NOTICE)
    assert len(hook.bodies) == 2


def test_a_subject_is_one_short_line_of_ascii() -> None:
    assert subject_of("Zürich:\n3 hours") == "Z rich: 3 hours"
    assert len(subject_of("x" * 200)) == 100
    assert subject_of("ü") == "notice"
