"""Dead letters: records that no index will take, kept in S3 with their reason until somebody replays them.

Here belongs their form, their place and how they are written, listed and removed. Not here: what makes a
record one (``documents.py``, ``bulk.py``) and replaying them (``replay.py``). They lie in S3 and not in the
cluster because a red cluster cannot hold its own dead letters. Standard library and boto3 only: the module
is part of the handler's zip.

One object a dead letter, under its event day and named by its document id: a retry overwrites itself
whatever else its batch held, and a listing alone says how many there are. Records whose day cannot be told
lie under ``day=unknown``, so that they disturb the count of no day.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date

    from mypy_boto3_s3 import S3Client

UNKNOWN_DAY = "unknown"

_WRITERS = 8
_SAFE_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,200}\Z")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record set aside.

    Attributes:
        document_id: The id that its document would have had.
        kind: The class of the reason.
        reason: One sentence.
        day: Its event day, ``YYYY-MM-DD``, or ``unknown``.
        record_id: The producer's id, or None.
        sequence_number: Its number in the stream, empty for history.
        arrived_at: When it arrived in the stream, ISO 8601, empty for history.
        data: The record as it was.
    """

    document_id: str
    kind: str
    reason: str
    day: str
    record_id: str | None
    sequence_number: str
    arrived_at: str
    data: bytes

    def body(self) -> bytes:
        """One line of JSON; ``data`` as text, or as ``data_base64`` where it is no UTF-8."""
        fields: dict[str, Any] = asdict(self)
        data = fields.pop("data")
        try:
            fields["data"] = data.decode("utf-8")
        except UnicodeDecodeError:
            fields["data_base64"] = base64.b64encode(data).decode("ascii")
        return json.dumps(fields).encode("ascii") + b"\n"

    @classmethod
    def from_body(cls, body: bytes) -> DeadLetter:
        """The inverse of :meth:`body`.

        Raises:
            ValueError: The bytes are no dead letter.
        """
        try:
            fields = json.loads(body)
            encoded = fields.pop("data_base64", None)
            text = fields.pop("data", None)
            data = base64.b64decode(encoded) if encoded is not None else text.encode("utf-8")
            return cls(**fields, data=data)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"this object is no dead letter: {error}") from error


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A dead letter's object, as a listing shows it.

    Attributes:
        key: Its key.
        day: Its event day, or ``unknown``.
        name: The document id, or where that makes no file name ``sha256-…``.
    """

    key: str
    day: str
    name: str


@dataclass(frozen=True)
class DeadLetterStore:
    """The place of one feed's dead letters.

    Attributes:
        s3: The client. Its timeouts and retries bound how long storing takes.
        bucket: The bucket.
        prefix: The feed's prefix, ending with a slash: ``dead-letters/retail_trans/``.
    """

    s3: S3Client
    bucket: str
    prefix: str

    def __post_init__(self) -> None:
        """Refuse a prefix that would run into the day."""
        if not self.prefix.endswith("/"):
            raise ValueError(f"the dead letters' prefix {self.prefix!r} must end with a slash.")

    def key(self, letter: DeadLetter) -> str:
        """The object's key: the same for the same document, whatever its reason."""
        name = letter.document_id
        if not _SAFE_NAME.match(name):
            name = "sha256-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{self.prefix}day={letter.day}/{name}.json"

    def put(
        self, letters: Sequence[DeadLetter], expired: Callable[[], bool] = lambda: False
    ) -> list[tuple[DeadLetter, str]]:
        """Store letters; returns those that could not be stored, each with the reason.

        Args:
            letters: The letters.
            expired: Whether there is no time for another one.
        """
        if not letters:
            return []
        with ThreadPoolExecutor(max_workers=min(_WRITERS, len(letters))) as pool:
            reasons = list(pool.map(lambda letter: self._put_one(letter, expired), letters))
        return [
            (letter, reason) for letter, reason in zip(letters, reasons, strict=True) if reason is not None
        ]

    def _put_one(self, letter: DeadLetter, expired: Callable[[], bool]) -> str | None:
        if expired():
            return "the dead letter could not be stored: no time was left."
        try:
            self.s3.put_object(
                Bucket=self.bucket,
                Key=self.key(letter),
                Body=letter.body(),
                ContentType="application/x-ndjson",
            )
        except (BotoCoreError, ClientError) as error:
            return f"the dead letter could not be stored: {error}"[:500]
        return None

    def list(self, first: date | None = None, last: date | None = None) -> Iterator[StoredLetter]:
        """The letters from day ``first`` to ``last``, both included; without them all, of unknown day too.

        One listing over the range, whatever its length: it costs what lies in it.
        """
        begin = f"{self.prefix}day={first.isoformat() if first else ''}"
        end = f"{self.prefix}day={last.isoformat()}/\uffff" if last else None
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"{self.prefix}day=", StartAfter=begin
        )
        for page in pages:
            for item in page.get("Contents", []):
                key = item["Key"]
                if end is not None and key > end:
                    return
                letter = self._stored(key)
                if letter is not None:
                    yield letter

    def get(self, stored: StoredLetter) -> DeadLetter:
        """Read one.

        Raises:
            ValueError: The object is no dead letter.
        """
        body = self.s3.get_object(Bucket=self.bucket, Key=stored.key)["Body"].read()
        return DeadLetter.from_body(body)

    def remove(self, stored: StoredLetter) -> None:
        """Remove one, after its document is in the index."""
        self.s3.delete_object(Bucket=self.bucket, Key=stored.key)

    def _stored(self, key: str) -> StoredLetter | None:
        day, slash, name = key.removeprefix(f"{self.prefix}day=").partition("/")
        if not slash or not name.endswith(".json"):
            return None
        return StoredLetter(key=key, day=day, name=name.removesuffix(".json"))
