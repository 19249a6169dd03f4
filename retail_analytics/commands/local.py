"""A local deployment: the embedded cloud, provisioned, with the upsert handler on its stream.

The state folder holds the cloud's logs and Dagster's home side by side: they are fresh together.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retail_analytics.embedded import cloud
from retail_analytics.embedded.functions import FunctionSpec
from retail_analytics.embedded.provision import provision
from retail_analytics.feeds import FEEDS
from retail_analytics.resources.opensearch import OpenSearchResource
from retail_analytics.search.environment import HANDLER_FUNCTION, HANDLER_MODULE, handler_environment
from retail_analytics.search.templates import ensure_template
from retail_analytics.settings import Settings, format_first_hours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from retail_analytics.feeds import Feed

_INSTANCE_FILE = Path(__file__).with_name("dagster.local.yaml")


class LocalError(RuntimeError):
    """A local deployment cannot be started; the message says what to do."""


@dataclass(frozen=True)
class LocalDeployment:
    """A running local deployment.

    Attributes:
        cloud: The embedded cloud.
        dagster_home: Dagster's home, beside the cloud's state.
    """

    cloud: cloud.EmbeddedCloud
    dagster_home: Path

    def begin_history(self, feed: Feed, first_hour: datetime) -> Settings:
        """Set the feed's first hour for this process and its children; returns the settings with it."""
        os.environ["RETAIL_FIRST_HOUR"] = format_first_hours({feed.name: first_hour})
        return Settings.from_env()


@contextmanager
def local_deployment(
    state: Path, *, firehose_interval_seconds: int, port: int | None = None
) -> Iterator[LocalDeployment]:
    """A fresh local deployment in ``state``, ended with the ``with`` block.

    Args:
        state: Its folder; what an earlier one left there is removed.
        firehose_interval_seconds: How long Firehose gathers records.
        port: The AWS endpoint's port; a free one by default.

    Raises:
        LocalError: Another cloud is running there.
        CloudError: A part did not come up.
    """
    if cloud.is_running(state):
        raise LocalError(
            f"An embedded cloud is running in {state}: end it with"
            f" `retail-analytics down --state-dir {state}`, or give another --state-dir."
        )
    shutil.rmtree(state, ignore_errors=True)
    running = cloud.start(state, port=port, die_with_parent=True)
    before = {name: os.environ.get(name) for name in ("DAGSTER_HOME", "RETAIL_FIRST_HOUR")}
    try:
        with running.applied():
            os.environ |= furnish(running, state, firehose_interval_seconds=firehose_interval_seconds)
            yield LocalDeployment(running, state / "dagster")
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        running.stop()


def furnish(
    running: cloud.EmbeddedCloud, state: Path, *, firehose_interval_seconds: int | None = None
) -> dict[str, str]:
    """Make the product's resources in a fresh cloud, and a fresh Dagster home beside it.

    Args:
        running: The cloud; the environment points at it.
        state: Its folder.
        firehose_interval_seconds: How long Firehose gathers records; the feeds' own by default.

    Returns:
        The variables that go with the cloud.
    """
    home = state / "dagster"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    shutil.copy(_INSTANCE_FILE, home / "dagster.yaml")
    settings = Settings.from_env()
    provision(settings, FEEDS, running.id, firehose_interval_seconds=firehose_interval_seconds)
    for feed in FEEDS:
        if feed.search is not None:
            # The handler gives records back rather than write into an index without a template.
            ensure_template(OpenSearchResource.of(settings).client(), feed)
            running.add_function(handler(feed, settings))
    return {"DAGSTER_HOME": str(home.resolve())}


def handler(feed: Feed, settings: Settings) -> FunctionSpec:
    """The upsert handler of a feed, as a function on its stream."""
    return FunctionSpec(
        name=f"UpsertToES-{feed.name}".replace("_", "-"),
        handler=f"{HANDLER_MODULE}.{HANDLER_FUNCTION}",
        stream=feed.stream,
        environment=handler_environment(feed, settings),
        batch_size=2000,
        batch_window_seconds=1,
        bisect_batch_on_error=True,
        maximum_retry_attempts=10,
        on_failure=f"s3://{settings.bucket}/dead-letters/{feed.name}/unhandled/",
        timeout_seconds=300,
    )
