"""What a function on a stream is: its handler, its environment, and how batches are handed to it.

A plain description that both sides share: who starts the cloud writes it, the server reads it. Not here:
running it (``worker.py``), feeding it (``consumer.py``).
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_HANDLER = re.compile(r"[A-Za-z_][\w.]*\.[A-Za-z_]\w*\Z")


class FunctionSpecError(ValueError):
    """A function's description cannot be used; the message says which part and why."""


@dataclass(frozen=True)
class FunctionSpec:
    """A function and its event source mapping, with Lambda's names and limits.

    Attributes:
        name: The function's name.
        handler: ``package.module.function``.
        stream: The Kinesis stream's name; it may be created later.
        environment: Its environment variables, added to those that any process here has.
        batch_size: Records a call, 1 to 10,000.
        batch_window_seconds: How long to gather a batch, 0 to 300.
        starting_position: Where to begin in a shard that is there at first.
        maximum_retry_attempts: Retries of a failed batch; -1 means until its records expire.
        maximum_record_age_seconds: Older records are not handed over any more; -1 means no limit.
        report_batch_item_failures: Whether the answer's ``batchItemFailures`` are honoured.
        bisect_batch_on_error: Whether a failed batch is halved to corner the record that fails it.
        on_failure: ``s3://BUCKET/PREFIX`` (receives the payload) or an SQS queue's ARN (receives
            metadata), for batches given up; None drops them, with an error in the log.
        timeout_seconds: How long one call may take.
        memory_mebibytes: The worker's address space limit.
    """

    name: str
    handler: str
    stream: str
    environment: Mapping[str, str] = field(default_factory=dict)
    batch_size: int = 100
    batch_window_seconds: float = 0.0
    starting_position: Literal["TRIM_HORIZON", "LATEST"] = "TRIM_HORIZON"
    maximum_retry_attempts: int = -1
    maximum_record_age_seconds: int = -1
    report_batch_item_failures: bool = True
    bisect_batch_on_error: bool = False
    on_failure: str | None = None
    timeout_seconds: float = 60.0
    memory_mebibytes: int = 1024

    def __post_init__(self) -> None:
        """Refuse what Lambda refuses."""
        self._require(bool(_NAME.match(self.name)), "name is no function name")
        self._require(bool(_HANDLER.match(self.handler)), "handler must be package.module.function")
        self._require(1 <= self.batch_size <= 10_000, "batch_size must be 1 to 10,000")
        self._require(0 <= self.batch_window_seconds <= 300, "batch_window_seconds must be 0 to 300")
        self._require(
            -1 <= self.maximum_retry_attempts <= 10_000, "maximum_retry_attempts must be -1 to 10,000"
        )
        age = self.maximum_record_age_seconds
        self._require(
            age == -1 or 60 <= age <= 604_800, "maximum_record_age_seconds must be -1 or 60 to 604,800"
        )
        self._require(0 < self.timeout_seconds <= 900, "timeout_seconds must be above 0 and at most 900")
        self._require(128 <= self.memory_mebibytes <= 10_240, "memory_mebibytes must be 128 to 10,240")
        self._require(
            self.starting_position in {"TRIM_HORIZON", "LATEST"},
            "starting_position must be TRIM_HORIZON or LATEST",
        )
        destination = self.on_failure
        self._require(
            destination is None or destination.startswith(("s3://", "arn:aws:sqs:")),
            "on_failure must be s3://BUCKET/PREFIX or an SQS queue's ARN",
        )

    def _require(self, condition: bool, message: str) -> None:
        if not condition:
            raise FunctionSpecError(f"function {self.name!r}: {message}.")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**dataclasses.asdict(self), "environment": dict(self.environment)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> FunctionSpec:
        """The inverse of :meth:`to_json`.

        Raises:
            FunctionSpecError: A key is unknown or missing, or a value is out of range.
        """
        try:
            return cls(**document)
        except TypeError as error:
            raise FunctionSpecError(f"function {document.get('name')!r}: {error}.") from error
