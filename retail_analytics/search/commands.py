"""The commands of ``retail-analytics`` that are about search.

Options and messages only. Not here: the work (``replay.py``, ``packaging.py``).
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from retail_analytics.feeds import FEEDS, get_feed

if TYPE_CHECKING:
    import argparse

    from retail_analytics.search.replay import Replayed


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register them; each sets ``run``, a function from namespace to exit status."""
    searched = [feed.name for feed in FEEDS if feed.search is not None]
    replay = subparsers.add_parser(
        "replay-dead-letters",
        help="give records that no index took another chance",
        description="Index the dead letters of a feed again, after what refused them was repaired; without "
        "--day the batches that Lambda gave up, too. Each is removed when its documents are in the index. "
        "Exit status 1 if any letter remains.",
    )
    replay.add_argument("--feed", choices=searched, default=searched[0])
    replay.add_argument("--day", type=date.fromisoformat, help="one event day, YYYY-MM-DD (default: all)")
    replay.set_defaults(run=run_replay)

    dashboards = subparsers.add_parser(
        "dashboards",
        help="write the saved objects of OpenSearch Dashboards to a file",
        description="Write a feed's saved objects (index pattern, searches, visualisations, dashboard) as "
        "Dashboards imports them, under Dashboards Management, Saved objects, Import.",
    )
    actions = dashboards.add_subparsers(dest="action", required=True, metavar="ACTION")
    export = actions.add_parser("export", help="write them to a file, as ndjson")
    export.add_argument("file", type=Path, metavar="FILE", help="the file to write")
    export.add_argument("--feed", choices=searched, default=searched[0])
    export.set_defaults(run=run_export)

    package = subparsers.add_parser(
        "package-handler",
        help="make the zips of the upsert handler and its layer",
        description="Write upsert_to_es.zip and es-lib.zip, as Lambda takes them. The same sources and "
        "versions make the same bytes.",
    )
    package.add_argument("-O", "--output", type=Path, required=True, help="the folder to write them to")
    package.set_defaults(run=run_package)


def run_replay(options: argparse.Namespace) -> int:
    """``retail-analytics replay-dead-letters``; its exit status."""
    # They import Dagster, which takes a second that other commands need not wait for.
    from opensearchpy.exceptions import OpenSearchException

    from retail_analytics.resources.clients import s3_client
    from retail_analytics.resources.opensearch import OpenSearchResource
    from retail_analytics.search.bulk import BulkWriter
    from retail_analytics.search.dead_letters import DeadLetterStore
    from retail_analytics.search.environment import dead_letter_prefix
    from retail_analytics.search.history import IndexingError
    from retail_analytics.search.replay import Replayed, replay
    from retail_analytics.search.templates import ensure_template
    from retail_analytics.search.unhandled import replay_unhandled
    from retail_analytics.settings import Settings

    settings, feed = Settings.from_env(), get_feed(options.feed)
    store = DeadLetterStore(s3_client(settings.region), settings.bucket, dead_letter_prefix(feed))
    client = OpenSearchResource(url=settings.opensearch_url, region=settings.region).client()
    client.transport.max_retries = 0
    try:
        ensure_template(client, feed)
        done = replay(feed, BulkWriter(client), store, options.day, _tell)
        batches = Replayed() if options.day else replay_unhandled(feed, BulkWriter(client), store, _tell)
    except (IndexingError, OpenSearchException, ValueError) as error:
        print(f"retail-analytics replay-dead-letters: {error}", file=sys.stderr)
        return 1
    print(f"{done.read} dead letters read, {done.indexed} indexed, {done.dead} remain.")
    if batches.read:
        print(
            f"{batches.read} records of batches that were given up read, {batches.indexed} indexed, "
            f"{batches.dead} set aside as dead letters."
        )
    if done.dead or batches.dead:
        print(f"The first that remains: {done.first_reason or batches.first_reason}")
    return 1 if done.dead or batches.dead else 0


def run_export(options: argparse.Namespace) -> int:
    """``retail-analytics dashboards export``; its exit status."""
    from retail_analytics.search.saved_objects import saved_objects, to_ndjson

    try:
        objects = saved_objects(get_feed(options.feed))
        options.file.write_bytes(to_ndjson(objects))
    except (OSError, ValueError) as error:
        print(f"retail-analytics dashboards export: {error}", file=sys.stderr)
        return 1
    print(f"{options.file}: {len(objects)} saved objects")
    return 0


def run_package(options: argparse.Namespace) -> int:
    """``retail-analytics package-handler``; its exit status."""
    from retail_analytics.search.packaging import PackagingError, package_handler

    try:
        packed = package_handler(options.output)
    except (PackagingError, OSError) as error:
        print(f"retail-analytics package-handler: {error}", file=sys.stderr)
        return 1
    for each in packed:
        print(f"{each.path}: {each.files} files, {each.bytes / 1e6:.1f} MB")
    return 0


def _tell(done: Replayed) -> None:
    print(f"{done.read} read, {done.indexed} indexed, {done.dead} remain …", file=sys.stderr)
