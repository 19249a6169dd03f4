"""``retail-analytics status``: the last hours of every feed as a map, and the embedded cloud if one runs.

It is about the deployment that the environment names; where that names none, about the embedded cloud of the
state folder.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentTypeError
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retail_analytics.embedded import cloud
from retail_analytics.embedded.commands import DEFAULT_STATE, describe, furnished, usual_state
from retail_analytics.feeds import FEEDS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from retail_analytics.batch.overview import FeedView, HourView, Kind

HOURS = 48
_MOST_HOURS = 24 * 31
_TICK = 6  # hours between labels
_NOTES = 8

_ENDPOINT, _HOME = "AWS_ENDPOINT_URL", "DAGSTER_HOME"

_LEGEND: Mapping[Kind, tuple[str, str, str]] = {
    # state: (character, ANSI colour, words)
    "compacted": ("#", "32", "compacted"),
    "empty": (".", "2", "empty"),
    "open": ("o", "36", "open"),
    "waiting": ("w", "33", "waiting"),
    "held": ("h", "35", "waiting, held"),
    "failed": ("!", "1;31", "failed or stuck"),
    "errors": ("E", "31", "delivery errors"),
    "before": (" ", "", ""),
}


@dataclass(frozen=True)
class Status:
    """What is shown.

    Attributes:
        feeds: The hours of each feed.
        asked_dagster: Whether Dagster's memory was there to ask.
        running: The embedded cloud that this is about, if it is about one.
        fares: How that cloud fares.
    """

    feeds: Sequence[FeedView]
    asked_dagster: bool
    running: cloud.EmbeddedCloud | None = None
    fares: dict[str, Any] | None = None


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Register ``status``."""
    parser = commands.add_parser(
        "status",
        help="show the last hours of every feed as a map, and how the embedded cloud fares",
        description="Show the last hours of every feed, a character an hour: of the deployment that the"
        " environment names, or else of the embedded cloud in the state folder.",
    )
    parser.add_argument(
        "--hours", type=_hours, default=HOURS, help="how many, the open one included (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--state-dir", type=Path, help=f"the folder of the embedded cloud's state (default: {DEFAULT_STATE})"
    )
    parser.set_defaults(run=_status)


def _hours(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _MOST_HOURS:
        raise ArgumentTypeError(f"{text} is no number of hours from 1 to {_MOST_HOURS}")
    return int(text)


def _status(arguments: argparse.Namespace) -> int:
    with deployment(arguments.state_dir) as running:
        status = look(arguments.hours, running)
    if arguments.json:
        print(json.dumps(document(status), indent=2))
    else:
        colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        print("\n".join(lines(status, colours=colours)))
    return 0


@contextmanager
def deployment(state: Path | None) -> Iterator[cloud.EmbeddedCloud | None]:
    """The environment of what is asked about: the embedded cloud that it is, or None for another.

    Raises:
        CloudError: A state folder is named, and no cloud runs there.
    """
    folder = state or usual_state()
    if state is None and not cloud.is_running(folder):
        yield None
        return
    running = cloud.load(folder)
    if state is None and os.environ.get(_ENDPOINT, running.endpoint_url) != running.endpoint_url:
        yield None  # the environment names another deployment
        return
    more = furnished(folder)
    if (folder / "dagster").is_dir():
        more.setdefault(_HOME, str((folder / "dagster").resolve()))
    before = {name: os.environ.get(name) for name in more}
    with running.applied():
        os.environ.update(more)
        try:
            yield running
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def look(hours: int, running: cloud.EmbeddedCloud | None = None) -> Status:
    """The status of the deployment that the environment names."""
    from retail_analytics.batch import overview
    from retail_analytics.commands.instances import instance_if_any
    from retail_analytics.lake.partitions import Catalog
    from retail_analytics.resources.clients import s3_client
    from retail_analytics.settings import Settings

    settings = Settings.from_env()
    s3 = s3_client(settings.region)
    catalog = Catalog.of(settings)
    now = datetime.now(UTC)
    with instance_if_any() as instance:
        feeds = [overview.look(s3, catalog, feed, settings, now, hours, instance) for feed in FEEDS]
    return Status(feeds, instance is not None, running, running.status() if running else None)


def lines(status: Status, *, colours: bool = False) -> list[str]:
    """The status for people."""
    told = describe(status.running, status.fares) if status.running and status.fares else []
    told += [""] if told else []
    width = max(len(view.feed) for view in status.feeds)
    told += [f"{'':{width}}  {label}".rstrip() for label in _labels(status.feeds[0].hours)]
    for view in status.feeds:
        row = "".join(_painted(each.kind, colours=colours) for each in view.hours)
        told.append(f"{view.feed:{width}}  {row}".rstrip())
    told += ["", _legend(status.feeds, colours=colours), *_notes(status.feeds)]
    told += [f"{view.feed} is {view.hold}" for view in status.feeds if view.hold]
    if not status.asked_dagster:
        told.append("DAGSTER_HOME is not set: which hours failed, and what is held, is Dagster's to tell.")
    return told


def _labels(hours: Sequence[HourView]) -> list[str]:
    """Two lines above the map: the days where they begin, and every sixth hour."""
    days = ticks = ""
    for place, each in enumerate(hours):
        if each.hour.hour == 0 and len(days) <= place:
            days = f"{days:{place}}{each.hour:%Y-%m-%d}"
        if each.hour.hour % _TICK == 0 and len(ticks) <= place:
            ticks = f"{ticks:{place}}{each.hour:%H}"
    first = f"{hours[0].hour:%Y-%m-%d}"
    # The first day has its label too, where there is room for it.
    if not days[: len(first) + 1].strip():
        days = first + days[len(first) :]
    return [days.rstrip(), ticks.rstrip()]


def _painted(kind: Kind, *, colours: bool) -> str:
    char, colour, _ = _LEGEND[kind]
    return f"\x1b[{colour}m{char}\x1b[0m" if colours and colour else char


def _legend(feeds: Sequence[FeedView], *, colours: bool) -> str:
    words = [
        f"{_painted(kind, colours=colours)} {sum(view.counts.get(kind, 0) for view in feeds)} {text}"
        for kind, (_, _, text) in _LEGEND.items()
        if text
    ]
    return "   ".join(words)


def _notes(feeds: Sequence[FeedView]) -> list[str]:
    from retail_analytics.lake import hours

    noted = [(view.feed, each) for view in feeds for each in view.hours if each.note]
    told = [f"{feed} {hours.partition_key(each.hour)} {each.note}" for feed, each in noted[-_NOTES:]]
    if len(noted) > _NOTES:
        told.insert(0, f"{len(noted) - _NOTES} earlier hours want somebody, too (--json lists all).")
    if any(each.kind == "failed" for _, each in noted):
        told.append("`retail-analytics why FEED HOUR` tells all of an hour.")
    return told


def document(status: Status) -> dict[str, Any]:
    """The status as JSON."""
    from retail_analytics.lake import hours

    return {
        "cloud": status.fares,
        "dagster": status.asked_dagster,
        "feeds": [
            {
                "feed": view.feed,
                "held": view.hold
                and {"reason": view.hold.reason, "by": view.hold.by, "since": view.hold.since.isoformat()},
                "counts": dict(view.counts),
                "hours": [
                    {
                        "hour": hours.partition_key(each.hour),
                        "state": each.kind,
                        "objects": each.objects,
                        "bytes": each.bytes,
                        "delivery_errors": each.errors,
                        "note": each.note,
                    }
                    for each in view.hours
                ],
            }
            for view in status.feeds
        ],
    }
