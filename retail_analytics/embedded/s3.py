"""S3 that refuses overlapping notification targets, as AWS does.

moto takes any notification configuration. On AWS two targets may not share an event for keys that both
their filters match; code that works here must not be refused there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from moto.s3.exceptions import S3ClientError
from moto.s3.models import S3Backend, s3_backends

from retail_analytics.embedded.moto_backends import replace_backend

if TYPE_CHECKING:
    from collections.abc import Iterator

_TARGETS = ("TopicConfiguration", "QueueConfiguration", "CloudFunctionConfiguration")


class OverlappingTargetsError(S3ClientError):
    """Two targets would receive the same event of the same key."""

    def __init__(self) -> None:
        super().__init__(
            "InvalidArgument",
            "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the"
            " prefixes are overlapping for the same event type.",
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


class StrictS3Backend(S3Backend):
    """moto's S3 with AWS's rule about overlapping targets."""

    def put_bucket_notification_configuration(
        self, bucket_name: str, notification_config: dict[str, Any]
    ) -> None:
        """Set a bucket's notifications.

        Raises:
            OverlappingTargetsError: Two targets overlap.
        """
        if any(one.overlaps(other) for one, other in combinations(read_rules(notification_config or {}), 2)):
            raise OverlappingTargetsError
        super().put_bucket_notification_configuration(bucket_name, notification_config)


def install() -> None:
    """Replace moto's S3 backend; to be called before serving."""
    replace_backend(s3_backends, StrictS3Backend)
