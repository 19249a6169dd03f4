"""A local deployment: the embedded cloud, provisioned, with the upsert handler on its stream.

The state folder holds the cloud's state and Dagster's home side by side: they are kept together or fresh
together. After a kill the cloud goes back to its last snapshot and Dagster does not: it keeps the lake's
identity, and finds out what is missing as it finds any change (:func:`meaning_for_dagster`).
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retail_analytics.embedded import cloud
from retail_analytics.embedded.commands import furnished, keep_furnished
from retail_analytics.embedded.functions import FunctionSpec
from retail_analytics.embedded.opensearch import BULK_DOCUMENTS
from retail_analytics.embedded.provision import provision
from retail_analytics.feeds import FEEDS
from retail_analytics.resources.opensearch import OpenSearchResource
from retail_analytics.search.environment import (
    EVENT_RECORDS,
    HANDLER_FUNCTION,
    HANDLER_MODULE,
    handler_environment,
)
from retail_analytics.search.templates import ensure_template
from retail_analytics.settings import Settings, format_hours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from retail_analytics.feeds import Feed

_IDENTITY_NAME = "cloud.id"
# Dagster's own name: events of a range of hours are written together, which its storage here does at once.
_BATCH, _BATCH_SIZE = "DAGSTER_EVENT_BATCH_SIZE", "500"
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

    def set_history(self, feed: Feed, first: datetime, last: datetime | None = None) -> Settings:
        """Set the feed's first hour, and the last expected one, for this process and its children.

        Returns:
            The settings with them.
        """
        ends = {"RETAIL_FIRST_HOUR": first} | ({} if last is None else {"RETAIL_LAST_HOUR": last})
        variables = {name: format_hours({feed.name: hour}) for name, hour in ends.items()}
        os.environ |= variables
        # Other shells' commands are about the same history.
        state = self.dagster_home.parent
        keep_furnished(state, {**furnished(state), **variables})
        return Settings.from_env()


@contextmanager
def local_deployment(
    state: Path,
    *,
    firehose_interval_seconds: int,
    port: int | None = None,
    keep_state: bool = False,
    fresh: bool = False,
) -> Iterator[LocalDeployment]:
    """A local deployment in ``state``, ended with the ``with`` block.

    Args:
        state: Its folder.
        firehose_interval_seconds: How long Firehose gathers records.
        port: The AWS endpoint's port; a free one by default.
        keep_state: Whether to go on with what an earlier deployment kept there, and to keep this one's state;
            without it, or where nothing is kept, the folder is emptied first.
        fresh: Whether to empty the folder first in any case.

    Raises:
        LocalError: Another cloud is running there, or Dagster's state is about another cloud.
        CloudError: A part did not come up.
    """
    if cloud.is_running(state):
        raise LocalError(
            f"An embedded cloud is running in {state}: end it with"
            f" `retail-analytics down --state-dir {state}`, or give another --state-dir."
        )
    if fresh or not keep_state or not cloud.has_state(state):
        shutil.rmtree(state, ignore_errors=True)
    running = cloud.start(state, port=port, die_with_parent=True, keep_state=keep_state)
    if running.restored is not None:
        _tell(f"{running.restored} --fresh begins anew.")
    names = ("DAGSTER_HOME", "RETAIL_FIRST_HOUR", "RETAIL_LAST_HOUR", _BATCH)
    before = {name: os.environ.get(name) for name in names}
    try:
        with running.applied():
            more = furnish(running, state, firehose_interval_seconds=firehose_interval_seconds)
            keep_furnished(state, more)
            os.environ |= more
            os.environ.setdefault(_BATCH, _BATCH_SIZE)
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
    """Make the product's resources in a cloud that lacks them, and a Dagster home beside it.

    Args:
        running: The cloud; the environment points at it.
        state: Its folder.
        firehose_interval_seconds: How long Firehose gathers records; the feeds' own by default.

    Returns:
        The variables that go with the cloud.

    Raises:
        LocalError: Dagster's state is about another cloud.
    """
    home = dagster_home(running, state)
    settings = Settings.from_env()
    provision(settings, FEEDS, running.id, firehose_interval_seconds=firehose_interval_seconds)
    for feed in FEEDS:
        if feed.search is not None:
            # The handler gives records back rather than write into an index without a template.
            ensure_template(OpenSearchResource.of(settings).client(), feed)
            running.add_function(handler(feed, settings))
    return {"DAGSTER_HOME": str(home.resolve())}


def dagster_home(running: cloud.EmbeddedCloud, state: Path) -> Path:
    """Dagster's home beside a cloud: the one that it had, for a cloud that goes on; else a fresh one.

    Raises:
        LocalError: The home that is there is about another cloud.
    """
    home = state / "dagster"
    identity = home / _IDENTITY_NAME
    if running.restored is None:
        shutil.rmtree(home, ignore_errors=True)
    elif home.exists():
        known = identity.read_text().strip() if identity.exists() else "no cloud"
        if known != running.id:
            raise LocalError(
                f"Dagster's state in {home} is about {known}, but the cloud that is kept beside it is"
                f" {running.id}: start both anew with --fresh."
            )
        if not running.restored.clean:
            _tell(meaning_for_dagster(running.restored, Settings.from_env()))
    home.mkdir(parents=True, exist_ok=True)
    identity.write_text(running.id)
    shutil.copy(_INSTANCE_FILE, home / "dagster.yaml")
    return home


def meaning_for_dagster(restored: cloud.Restored, settings: Settings) -> str:
    """What it means for Dagster that the cloud lost what came after a snapshot, for people.

    Its home is not rolled back: its databases grow with history, so that copying them with each snapshot
    would cost what there has ever been. The lake's identity stays, so that the arrivals sensor goes on; it
    compares digests and reports again what changed. What Dagster alone knows is made again by the schedule
    that compares raw with published, as far as it looks back.
    """
    return (
        f"Dagster's state is kept and may know of hours made after {restored.taken:%H:%M:%S}. Raw hours that"
        f" lost objects are reported again; hours of the last {settings.lookback_hours} that the catalog"
        " lacks are compacted again at the next catch-up (minute 20). If a backfill of older hours was"
        " running, repeat it: `retail-analytics backfill --from … --to …`."
    )


def handler(feed: Feed, settings: Settings) -> FunctionSpec:
    """The upsert handler of a feed, as a function on its stream."""
    return FunctionSpec(
        name=f"UpsertToES-{feed.name}".replace("_", "-"),
        handler=f"{HANDLER_MODULE}.{HANDLER_FUNCTION}",
        stream=feed.stream,
        environment=handler_environment(feed, settings) | {"ES_BULK_DOCUMENTS": str(BULK_DOCUMENTS)},
        batch_size=EVENT_RECORDS,
        batch_window_seconds=1,
        bisect_batch_on_error=True,
        maximum_retry_attempts=10,
        on_failure=f"s3://{settings.bucket}/dead-letters/{feed.name}/unhandled/",
        timeout_seconds=300,
    )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
