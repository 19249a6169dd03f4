"""Announcing something outside: to an SNS topic, to a webhook, to both or, by default, to nobody.

Delivery only. Each addressee is tried a bounded number of times, all in less than the minute that a tick may
take; what could not be delivered is one error that names the addressee and never a webhook's address, which
is a secret as often as not. Not here: what is announced and when (``lake/notify.py``).
"""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from retail_analytics.resources.clients import session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from retail_analytics.settings import Settings

_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 3, 5, 3
_CONFIG = Config(
    connect_timeout=_CONNECT_SECONDS,
    read_timeout=_READ_SECONDS,
    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
)
_ASK_AGAIN = frozenset({429, 500, 502, 503, 504})
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_SUBJECT = 100


class NoticeError(RuntimeError):
    """A notice did not reach an addressee; the message names which, and why, without its address."""


@dataclass(frozen=True)
class Notice:
    """Something to announce.

    Attributes:
        subject: One line for people.
        body: What is announced, as JSON's types.
        attributes: What a subscriber may filter by, a text each.
    """

    subject: str
    body: Mapping[str, object]
    attributes: Mapping[str, str]

    def dumps(self) -> str:
        """The body as JSON."""
        return json.dumps(self.body, ensure_ascii=False)


@dataclass(frozen=True)
class Notifier:
    """The addressees of a deployment."""

    topic_arn: str = ""
    webhook: str = ""

    def __repr__(self) -> str:
        """Which addressees there are, without the webhook's address."""
        return f"Notifier(topic_arn={self.topic_arn!r}, webhook={'…' if self.webhook else ''!r})"

    @classmethod
    def of(cls, settings: Settings) -> Notifier:
        """The addressees that the settings name."""
        return cls(settings.notify_topic_arn, settings.notify_webhook)

    @property
    def is_on(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self.topic_arn or self.webhook)

    def send(self, notice: Notice) -> None:
        """Tell every addressee; one that fails does not keep the other from hearing.

        Raises:
            NoticeError: An addressee was not reached.
        """
        ways: list[Callable[[Notice], None]] = []
        if self.topic_arn:
            ways.append(self._publish)
        if self.webhook:
            ways.append(self._post)
        failed = []
        for way in ways:
            try:
                way(notice)
            except NoticeError as error:
                failed.append(str(error))
        if failed:
            raise NoticeError(" ".join(failed))

    def _publish(self, notice: Notice) -> None:
        region = self.topic_arn.split(":")[3]
        sns = session(region).client("sns", config=_CONFIG)
        try:
            sns.publish(
                TopicArn=self.topic_arn,
                Subject=subject_of(notice.subject),
                Message=notice.dumps(),
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in notice.attributes.items()
                    if value
                },
            )
        except (BotoCoreError, ClientError) as error:
            raise NoticeError(f"The topic {self.topic_arn} did not take the notice: {error}") from error

    def _post(self, notice: Notice) -> None:
        """Post, and again where that may help: a notice has an id, so that one told twice does no harm."""
        host = urlsplit(self.webhook).hostname
        wait = _FIRST_WAIT_SECONDS
        for attempt in range(1, _ATTEMPTS + 1):
            problem, again = _attempt(self.webhook, notice.dumps().encode())
            if not problem:
                return
            if not again or attempt == _ATTEMPTS:
                raise NoticeError(f"The webhook at {host} {problem}.")
            time.sleep(wait)
            wait *= 2


def _attempt(url: str, body: bytes) -> tuple[str, bool]:
    """Post once: what is wrong, or an empty string, and whether another try may help.

    By the standard library's client, which follows no redirect and writes no address into any log.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_READ_SECONDS)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"was not reached: {type(error).__name__}", True
    finally:
        connection.close()
    return "" if 200 <= status < 300 else f"answered {status}", status in _ASK_AGAIN


def subject_of(text: str) -> str:
    """A subject as SNS takes it: printable ASCII, one line, at most a hundred characters."""
    printable = "".join(char if " " <= char <= "~" else " " for char in text).strip()
    return printable[:_LONGEST_SUBJECT] or "notice"
