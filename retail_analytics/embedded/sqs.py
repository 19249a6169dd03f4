"""SQS whose calls cost what they carry, whatever else lies in the queue.

moto walks all messages of a queue several times for each one that is sent, received or deleted, so that a
burst of a few thousand takes minutes; and when one is deleted it puts a new list in place of the old without
a lock, so that another that comes at that moment is lost. Here a standard queue knows its messages by their
receipts, and keeps what waits apart from what is hidden. FIFO queues go moto's way.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from copy import copy
from typing import TYPE_CHECKING, Any

from moto.core.utils import unix_time, unix_time_millis
from moto.sqs import models
from moto.sqs.exceptions import InvalidParameterValue, ReceiptHandleIsInvalid
from moto.sqs.models import Queue, SQSBackend, sqs_backends

from retail_analytics.embedded.moto_backends import replace_backend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moto.sqs.models import Message

_MOST_HIDDEN_MILLISECONDS = 12 * 3600 * 1000
_LOOK_AGAIN_SECONDS = 1.0  # nobody tells a waiting receiver that a message is visible again
_REMEMBERED = 10_000
"""Receipts of deleted messages that a queue remembers, so that deleting one again is no error."""


def _hidden_until(message: Message) -> float:
    return max(message.visible_at, message.delayed_until)


def _receipts(message: Message) -> Iterator[str]:
    return (receipt for receipt in message.all_receipt_handles if receipt)


class Mailbox:
    """The messages of a queue: those that wait, in the order of their coming, and the hidden ones.

    Has as much of a list as moto's own code asks for. Its queue's lock makes it safe for several threads.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Message] = OrderedDict()
        self._hidden: dict[str, Message] = {}
        self._delayed: dict[str, Message] = {}
        # A heap. A message whose visibility was changed is in it more than once; its own time decides.
        self._ends: list[tuple[float, str]] = []
        self._by_receipt: dict[str, str] = {}

    def __iter__(self) -> Iterator[Message]:
        """All of them, waiting ones first."""
        return iter([*self._waiting.values(), *self._hidden.values()])

    def append(self, message: Message) -> None:
        """Take a message in."""
        self._by_receipt |= dict.fromkeys(_receipts(message), message.id)
        if message.delayed_until > unix_time_millis():
            self._delayed[message.id] = message
        self.place(message)

    def place(self, message: Message) -> None:
        """Put a message where it belongs by now: behind those that wait, or out of sight until its time."""
        self._by_receipt |= dict.fromkeys(_receipts(message), message.id)
        if _hidden_until(message) > unix_time_millis():
            self._hidden[message.id] = message
            self._waiting.pop(message.id, None)
            heapq.heappush(self._ends, (_hidden_until(message), message.id))
        else:
            self._waiting[message.id] = message
            self._waiting.move_to_end(message.id)
            self._hidden.pop(message.id, None)

    def remove(self, message: Message) -> None:
        """Give a message away."""
        for place in (self._waiting, self._hidden, self._delayed):
            place.pop(message.id, None)
        for receipt in _receipts(message):
            self._by_receipt.pop(receipt, None)

    @property
    def waiting(self) -> OrderedDict[str, Message]:
        """Those that may be received now, by id."""
        now = unix_time_millis()
        while self._ends and self._ends[0][0] <= now:
            _, name = heapq.heappop(self._ends)
            message = self._hidden.get(name)
            if message is not None and _hidden_until(message) <= now:
                self.place(message)
        return self._waiting

    def delayed(self) -> int:
        """How many were sent with a delay that is not over."""
        now = unix_time_millis()
        self._delayed = {name: each for name, each in self._delayed.items() if each.delayed_until > now}
        return len(self._delayed)

    def in_flight(self) -> int:
        """How many were received, and are neither deleted nor visible again."""
        _ = self.waiting
        return len(self._hidden) - self.delayed()

    def of_receipt(self, receipt: str) -> Message | None:
        """The message that was received with this receipt, if it is here."""
        name = self._by_receipt.get(receipt, "")
        return self._hidden.get(name) or self._waiting.get(name)


class IndexedQueue(Queue):
    """A standard queue over a :class:`Mailbox`; a FIFO queue as moto's."""

    def __init__(self, name: str, region: str, account_id: str, **kwargs: Any) -> None:
        super().__init__(name, region, account_id, **kwargs)
        self._forgotten: OrderedDict[str, None] = OrderedDict()
        self.empty()

    def empty(self) -> None:
        """Forget all messages."""
        with self._messages_lock:
            self.box = None if self.fifo_queue else Mailbox()
            self._messages = [] if self.box is None else self.box  # type: ignore[assignment]

    @property
    def messages(self) -> list[Message]:
        """Those that may be received now."""
        if self.box is None:
            return list(super().messages)
        with self._messages_lock:
            return list(self.box.waiting.values())

    @property
    def approximate_number_of_messages(self) -> int:
        """How many may be received now."""
        if self.box is None:
            return int(super().approximate_number_of_messages)
        with self._messages_lock:
            return len(self.box.waiting)

    @property
    def approximate_number_of_messages_delayed(self) -> int:
        """How many were sent with a delay that is not over."""
        if self.box is None:
            return int(super().approximate_number_of_messages_delayed)
        with self._messages_lock:
            return self.box.delayed()

    @property
    def approximate_number_of_messages_not_visible(self) -> int:
        """How many were received, and are neither deleted nor visible again."""
        if self.box is None:
            return int(super().approximate_number_of_messages_not_visible)
        with self._messages_lock:
            return self.box.in_flight()

    def wait_for_messages(self, timeout: float) -> None:
        """Block until a message may be received, or so many seconds have passed."""
        box = self.box
        if box is None:
            super().wait_for_messages(int(timeout) or 1)
            return
        with self._messages_lock:
            self._messages_lock.wait_for(lambda: bool(box.waiting), timeout=timeout)

    def take(self, box: Mailbox, count: int, visibility_timeout: int) -> list[Message]:
        """Receive up to ``count`` messages; what is too old goes, what is given up to the dead letters."""
        taken: dict[str, Message] = {}
        given_up: list[Message] = []
        with self._messages_lock:
            while len(taken) < count:
                message = next(iter(box.waiting.values()), None)
                # One that was taken without being hidden stands behind all others again.
                if message is None or message.id in taken:
                    break
                if self._is_too_old(message):
                    box.remove(message)
                elif self._is_given_up(message):
                    box.remove(message)
                    given_up.append(message)
                else:
                    message.mark_received(visibility_timeout=visibility_timeout)
                    box.place(message)
                    taken[message.id] = copy(message)
        for message in given_up:
            self.dead_letter_queue.add_message(message)  # type: ignore[union-attr]
        return list(taken.values())

    def _is_too_old(self, message: Message) -> bool:
        sent: Any = message.sent_timestamp
        kept: Any = self.message_retention_period  # type: ignore[attr-defined]
        return bool(sent / 1000 + kept <= unix_time())

    def _is_given_up(self, message: Message) -> bool:
        if self.dead_letter_queue is None or not self.redrive_policy:
            return False
        return int(message.approximate_receive_count) >= int(self.redrive_policy["maxReceiveCount"])

    def delete_message(self, receipt_handle: str) -> None:
        """Delete a message by a receipt; again is no error.

        Raises:
            ReceiptHandleIsInvalid: No message was received with it.
        """
        if self.box is None:
            super().delete_message(receipt_handle)
            return
        with self._messages_lock:
            message = self.box.of_receipt(receipt_handle)
            if message is None:
                if receipt_handle not in self._forgotten:
                    raise ReceiptHandleIsInvalid
                return
            self.box.remove(message)
            self._forgotten |= dict.fromkeys(_receipts(message))
            while len(self._forgotten) > _REMEMBERED:
                self._forgotten.popitem(last=False)

    def change_visibility(self, receipt_handle: str, seconds: int) -> None:
        """Hide a message for so long from now on.

        Raises:
            ReceiptHandleIsInvalid: No message that is here was received with it.
            InvalidParameterValue: It would be hidden for longer than twelve hours in all.
        """
        assert self.box is not None  # noqa: S101 - FIFO queues go moto's way
        with self._messages_lock:
            message = self.box.of_receipt(receipt_handle)
            if message is None:
                raise ReceiptHandleIsInvalid
            sent: Any = message.sent_timestamp
            if unix_time_millis() + seconds * 1000 - sent > _MOST_HIDDEN_MILLISECONDS:
                raise InvalidParameterValue(
                    f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Total "
                    "VisibilityTimeout for the message is beyond the limit [43200 seconds]"
                )
            message.change_visibility(seconds)
            self.box.place(message)
            self._messages_lock.notify_all()


class IndexedSqsBackend(SQSBackend):
    """moto's SQS over queues that find their messages."""

    def receive_message(
        self,
        queue_name: str,
        count: int,
        wait_seconds_timeout: int,
        visibility_timeout: int,
        message_attribute_names: list[str] | None = None,
    ) -> list[Message]:
        """Receive up to ``count`` messages; waits for the first, if so asked."""
        queue = self.get_queue(queue_name)
        if not isinstance(queue, IndexedQueue) or queue.box is None:
            found: list[Message] = super().receive_message(
                queue_name, count, wait_seconds_timeout, visibility_timeout, message_attribute_names
            )
            return found
        end = unix_time() + wait_seconds_timeout
        taken = queue.take(queue.box, count, visibility_timeout)
        while not taken and unix_time() < end:
            queue.wait_for_messages(min(end - unix_time(), _LOOK_AGAIN_SECONDS))
            taken = queue.take(queue.box, count, visibility_timeout)
        for message in taken:
            models._filter_message_attributes(message, message_attribute_names or [])
        return taken

    def change_message_visibility(
        self, queue_name: str, receipt_handle: str, visibility_timeout: int
    ) -> None:
        """Hide a message for so long from now on."""
        queue = self.get_queue(queue_name)
        if not isinstance(queue, IndexedQueue) or queue.box is None:
            super().change_message_visibility(queue_name, receipt_handle, visibility_timeout)
            return
        queue.change_visibility(receipt_handle, int(visibility_timeout))

    def purge_queue(self, queue_name: str) -> None:
        """Forget all messages of a queue."""
        super().purge_queue(queue_name)
        queue = self.get_queue(queue_name)
        if isinstance(queue, IndexedQueue):
            queue.empty()


def install() -> None:
    """Replace moto's SQS backend and its queues; to be called before serving."""
    replace_backend(sqs_backends, IndexedSqsBackend)
    models.Queue = IndexedQueue  # type: ignore[misc]
