"""``retail-analytics hold`` and ``release``: a feed of which nothing is compacted by itself for a while."""

from __future__ import annotations

import getpass
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any

from retail_analytics.feeds import FEEDS, get_feed

if TYPE_CHECKING:
    import argparse


def add_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Register ``hold`` and ``release``."""
    names = [feed.name for feed in FEEDS]
    parser = commands.add_parser(
        "hold",
        help="compact nothing of a feed by itself until it is released",
        description="Compact nothing of a feed by itself until it is released. Arrivals are reported all the"
        " while, runs that a person starts are not stopped, and what came meanwhile is made at the release.",
    )
    parser.add_argument("feed", choices=names)
    parser.add_argument("--reason", required=True, type=_sentence, help="why, for everybody who looks")
    parser.add_argument("--by", default=_user(), help="who holds it (default: %(default)s)")
    parser.set_defaults(run=_hold)
    parser = commands.add_parser("release", help="end a hold; what came meanwhile is made")
    parser.add_argument("feed", choices=names)
    parser.add_argument("--by", default=_user(), help="who releases it (default: %(default)s)")
    parser.set_defaults(run=_release)


def _sentence(text: str) -> str:
    if not text.strip():
        raise ArgumentTypeError("a hold wants a reason")
    return text.strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user database
        return "somebody"


def _hold(arguments: argparse.Namespace) -> int:
    from retail_analytics.batch import holds
    from retail_analytics.batch.assets import compacted_key
    from retail_analytics.commands.instances import instance_for

    feed = get_feed(arguments.feed)
    with instance_for("a hold") as instance:
        made = holds.hold(instance, feed, compacted_key(feed), arguments.reason, arguments.by)
    print(f"{feed.name} is {made}.")
    print(f"Nothing of it is compacted by itself until `retail-analytics release {feed.name}`.")
    return 0


def _release(arguments: argparse.Namespace) -> int:
    from retail_analytics.batch import holds
    from retail_analytics.batch.assets import compacted_key
    from retail_analytics.commands.instances import instance_for

    feed = get_feed(arguments.feed)
    with instance_for("a hold") as instance:
        before = holds.release(instance, feed, compacted_key(feed), arguments.by)
    if before is None:
        print(f"{feed.name} was not held.")
    else:
        print(f"{feed.name} is released; what came meanwhile is made now, if Dagster's daemon runs.")
    return 0
