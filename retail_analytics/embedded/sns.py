"""SNS that forgets what it has delivered: moto keeps every message ever published, for tests to look at.

A topic that is told of every object of a lake would take the server's memory in the end.
"""

from __future__ import annotations

from typing import Any

from moto.sns.models import SNSBackend, sns_backends

from retail_analytics.embedded.moto_backends import replace_backend


class ForgetfulSnsBackend(SNSBackend):
    """moto's SNS without its memory of delivered messages."""

    def publish(self, message: str, arn: str | None, *args: Any, **kwargs: Any) -> str:
        """Deliver a message; returns its id."""
        message_id: str = super().publish(message, arn, *args, **kwargs)
        if arn in self.topics:
            self.topics[arn].sent_notifications.clear()
        return message_id


def install() -> None:
    """Replace moto's SNS backend; to be called before serving."""
    replace_backend(sns_backends, ForgetfulSnsBackend)
