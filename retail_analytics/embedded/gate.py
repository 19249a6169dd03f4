"""The gate that requests pass: it counts what may have changed, and closes for the moment of a snapshot.

Not here: the snapshot (``state/keeper.py``).
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# A request that takes longer, such as a long poll, is not waited for; nor does one wait longer for the gate.
PATIENCE_SECONDS = 0.2
_LONGEST_CLOSED_SECONDS = 30.0
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# What ReceiveMessage hides for a while is visible again after a restart in any case.
_READING_OPERATIONS = ("Get", "List", "Describe", "BatchGet", "Search", "Receive")


class Gate:
    """Passed by every request.

    Attributes:
        changes: How many requests passed that are not known to read only.
    """

    def __init__(self) -> None:
        self.changes = 0
        self._condition = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextmanager
    def passing(self, environ: dict[str, Any]) -> Iterator[None]:
        """Let one request pass, as soon as the gate is open."""
        with self._condition:
            self._condition.wait_for(lambda: not self._closed, _LONGEST_CLOSED_SECONDS)
            self._inside += 1
            self.changes += not only_reads(environ)
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Keep new requests waiting, once those inside have ended or patience has."""
        with self._condition:
            self._closed = True
            self._condition.wait_for(lambda: self._inside == 0, PATIENCE_SECONDS)
        try:
            yield
        finally:
            with self._condition:
                self._closed = False
                self._condition.notify_all()


def only_reads(environ: dict[str, Any]) -> bool:
    """Whether a request is known to change nothing."""
    operation = str(environ.get("HTTP_X_AMZ_TARGET", "")).rpartition(".")[2]
    if operation:
        return operation.startswith(_READING_OPERATIONS)
    return environ.get("REQUEST_METHOD") in _READING_METHODS
