"""S3 that refuses notification targets as AWS does, and lists in the time that a page takes.

moto takes any notification configuration. On AWS two targets may not share an event for keys that both
their filters match, and each must be there; code that works here must not be refused there. The index behind
listings is in ``listing.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from moto.s3 import notifications
from moto.s3.exceptions import MethodNotAllowed, S3ClientError
from moto.s3.models import (
    FakeBucket,
    FakeDeleteMarker,
    FakeKey,
    FakeTableStorageBucket,
    S3Backend,
    s3_backends,
)
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends
from moto.utilities.utils import md5_hash

from retail_analytics.embedded.listing import SortedKeys
from retail_analytics.embedded.moto_backends import replace_backend

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_LIMIT = 1 << 40
_TARGETS = ("TopicConfiguration", "QueueConfiguration", "CloudFunctionConfiguration")


class OverlappingTargetsError(S3ClientError):
    """Two targets would receive the same event of the same key."""

    def __init__(self) -> None:
        super().__init__(
            "InvalidArgument",
            "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the"
            " prefixes are overlapping for the same event type.",
        )


class MissingTargetError(S3ClientError):
    """A target of notifications is not there."""

    def __init__(self, arn: str) -> None:
        super().__init__(
            "InvalidArgument", f"Unable to validate the following destination configurations: {arn}."
        )


@dataclass(frozen=True)
class Rule:
    """Which events of which keys one target receives."""

    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def overlaps(self, other: Rule) -> bool:
        """Whether some event of some key goes to both."""
        return (
            any(_same_event(mine, yours) for mine in self.events for yours in other.events)
            and _one_begins_other(self.prefix, other.prefix)
            and _one_begins_other(self.suffix[::-1], other.suffix[::-1])
        )


def _one_begins_other(left: str, right: str) -> bool:
    return left.startswith(right) or right.startswith(left)


def _same_event(left: str, right: str) -> bool:
    return _one_begins_other(left.removesuffix("*"), right.removesuffix("*")) and (
        left == right or left.endswith("*") or right.endswith("*")
    )


def read_rules(configuration: dict[str, Any]) -> Iterator[Rule]:
    """The rules of a notification configuration in moto's form."""
    for kind in _TARGETS:
        for target in configuration.get(kind) or []:
            filters = (target.get("Filter") or {}).get("S3Key", {}).get("FilterRule", [])
            values = {rule["Name"].lower(): rule["Value"] for rule in filters}
            events = target["Event"]
            yield Rule(
                events=(events,) if isinstance(events, str) else tuple(events),
                prefix=values.get("prefix") or "",
                suffix=values.get("suffix") or "",
            )


def missing_targets(configuration: dict[str, Any], account: str) -> Iterator[str]:
    """The topics and queues of a notification configuration in moto's form that are not there."""
    for target in configuration.get("TopicConfiguration") or []:
        arn = target["Topic"]
        if arn not in sns_backends[account][arn.split(":")[3]].topics:
            yield arn
    for target in configuration.get("QueueConfiguration") or []:
        arn = target["Queue"]
        if arn.split(":")[-1] not in sqs_backends[account][arn.split(":")[3]].queues:
            yield arn


class StrictS3Backend(S3Backend):
    """moto's S3 with AWS's rule about overlapping targets, and with indexed listings."""

    def create_bucket(self, bucket_name: str, region_name: str, *args: Any, **kwargs: Any) -> FakeBucket:
        """Create a bucket whose keys are indexed."""
        bucket = super().create_bucket(bucket_name, region_name, *args, **kwargs)
        if not isinstance(bucket.keys, SortedKeys):
            bucket.keys = SortedKeys()
        return bucket

    def list_objects(  # type: ignore[override]
        self,
        bucket: FakeBucket,
        prefix: str | None,
        delimiter: str | None,
        marker: str | None,
        max_keys: int | None,
    ) -> tuple[list[FakeKey], list[str], bool, str | None]:
        """One page of ListObjects: keys, common prefixes, whether there is more, and where it goes on."""
        limit = _NO_LIMIT if max_keys is None else max_keys
        after = self._pagination_tokens.get(marker, marker) if marker else ""
        found = list(islice(_walk(bucket, prefix, delimiter, after), limit + 1))
        page, more = found[:limit], len(found) > limit
        keys = [item for item in page if isinstance(item, FakeKey)]
        folders = [item for item in page if isinstance(item, str)]
        return keys, folders, more, self._token(page[-1]) if more and page else None

    def list_objects_v2(  # type: ignore[override]
        self,
        bucket: FakeBucket,
        prefix: str | None,
        delimiter: str | None,
        continuation_token: str | None,
        start_after: str | None,
        max_keys: int,
    ) -> tuple[list[FakeKey | str], bool, str | None]:
        """One page of ListObjectsV2: keys and common prefixes in order, whether there is more, and where."""
        after = self._pagination_tokens.get(continuation_token) if continuation_token else start_after
        found = list(islice(_walk(bucket, prefix, delimiter, after), max_keys + 1))
        page, more = found[:max_keys], len(found) > max_keys
        return page, more and bool(page), self._token(page[-1]) if more and page else None

    def _token(self, last: FakeKey | str) -> str:
        name = last if isinstance(last, str) else last.name
        token: str = md5_hash(name.encode()).hexdigest()
        self._pagination_tokens[token] = name
        return token

    def put_bucket_notification_configuration(
        self, bucket_name: str, notification_config: dict[str, Any]
    ) -> None:
        """Set a bucket's notifications.

        Raises:
            OverlappingTargetsError: Two targets overlap.
            MissingTargetError: A topic or a queue is not there.
        """
        if any(one.overlaps(other) for one, other in combinations(read_rules(notification_config or {}), 2)):
            raise OverlappingTargetsError
        for arn in missing_targets(notification_config or {}, self.account_id):
            raise MissingTargetError(arn)
        super().put_bucket_notification_configuration(bucket_name, notification_config)


def _walk(
    bucket: FakeBucket, prefix: str | None, delimiter: str | None, after: str | None
) -> Iterator[FakeKey | str]:
    if isinstance(bucket, FakeTableStorageBucket):
        raise MethodNotAllowed
    keys = bucket.keys
    assert isinstance(keys, SortedKeys)  # noqa: S101
    for name in keys.walk(prefix or "", delimiter or "", after or ""):
        key = keys.get(name)
        if key is None and delimiter:
            yield name
        elif key is not None and not isinstance(key, FakeDeleteMarker):
            # A key may itself end with the delimiter: as a whole it is then its own common prefix.
            common = bool(delimiter) and name.find(str(delimiter), len(prefix or "")) >= 0
            yield name if common else key


def install() -> None:
    """Replace moto's S3 backend; to be called before serving."""
    replace_backend(s3_backends, StrictS3Backend)
    # S3 leaves the slashes of a key in an event as they are, and subscriptions filter by them.
    notifications.quote_plus = partial(quote_plus, safe="/")  # type: ignore[attr-defined]
