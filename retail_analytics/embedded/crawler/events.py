"""Event mode: which folders of a target changed, told by S3 events in a queue instead of by a listing.

The first crawl of a target lists everything, as on AWS; a later one looks only into the folders that events
name, and takes the others as it found them before. Messages are deleted once the crawl that they led to has
been written down, so that a crawl that fails, or a server that ends, finds them again. A crawler that has
forgotten what it found (a new process) lists everything once more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from moto.sqs.models import sqs_backends

from retail_analytics.embedded.moto_backends import ACCOUNT_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from retail_analytics.embedded.crawler.layout import Folder

_BATCH = 10
_HIDDEN_SECONDS = 300  # long enough for the crawl that the messages lead to


@dataclass
class Queue:
    """A crawler's event queue.

    Attributes:
        arn: Its ARN.
        log: Takes a line for each message that is no S3 event.
    """

    arn: str
    log: Callable[[str], None]
    _receipts: list[str] = field(default_factory=list)

    def changed(self, root: str) -> set[str]:
        """The folders below ``root`` that the queue's events name; reads the queue until it is empty.

        Raises:
            QueueDoesNotExist: moto's, where the ARN names no queue.
        """
        found: set[str] = set()
        while messages := self._backend().receive_message(self._name, _BATCH, 0, _HIDDEN_SECONDS):
            for message in messages:
                self._receipts.append(message.receipt_handle)
                found |= {url[: url.rfind("/") + 1] for url in self._urls(message.body)}
        return {folder for folder in found if folder.startswith(root)}

    def acknowledge(self) -> None:
        """Delete the messages that were read: what they led to is in the catalog."""
        for receipt in self._receipts:
            self._backend().delete_message(self._name, receipt)
        self._receipts.clear()

    def _urls(self, body: str) -> list[str]:
        try:
            return list(object_urls(json.loads(body)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.log(f"WARN : A message of {self.arn} is no S3 event and is left out: {error!r}")
            return []

    @property
    def _name(self) -> str:
        return self.arn.rsplit(":", 1)[-1]

    def _backend(self) -> Any:
        return sqs_backends[ACCOUNT_ID][self.arn.split(":")[3]]


def object_urls(message: dict[str, Any]) -> Iterator[str]:
    """The objects that a message is about, as ``s3://bucket/key``; an SNS envelope is opened.

    S3's test event has no records and names none.

    Raises:
        KeyError, TypeError, ValueError: The message is of another form.
    """
    if "Records" not in message and "Message" in message:
        yield from object_urls(json.loads(message["Message"]))
        return
    if message.get("Event") == "s3:TestEvent":
        return
    for record in message["Records"]:
        # S3 writes keys into events as forms write them: blanks as plus signs.
        yield f"s3://{record['s3']['bucket']['name']}/{unquote_plus(record['s3']['object']['key'])}"


@dataclass
class Memory:
    """What a crawler found in a target before: folder URL to folder."""

    folders: dict[str, Folder] = field(default_factory=dict)
