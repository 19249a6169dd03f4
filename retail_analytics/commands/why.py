"""``retail-analytics why``: why an hour is stale, or is not, and what happens next."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from retail_analytics.commands.arguments import parse_hour
from retail_analytics.commands.status import deployment
from retail_analytics.feeds import FEEDS, get_feed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from retail_analytics.batch.why import Explanation
    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

_SHOWN = 20


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Register ``why``."""
    parser = commands.add_parser(
        "why",
        help="say why an hour is stale, which objects differ, and what happens next",
        description="Say what an hour was made from, what raw holds now, which objects differ, which run"
        " published it, and what happens next.",
    )
    parser.add_argument("feed", choices=[feed.name for feed in FEEDS])
    parser.add_argument("hour", type=parse_hour, help="2010-12-01T08 or 2010-12-01-08:00, UTC")
    parser.add_argument("--json", action="store_true", help="as JSON, with every object that differs")
    parser.set_defaults(run=_why)


def _why(arguments: argparse.Namespace) -> int:
    from retail_analytics.settings import Settings

    with deployment(None):
        explanation = look(get_feed(arguments.feed), Settings.from_env(), arguments.hour)
    if arguments.json:
        print(json.dumps(document(explanation), indent=2))
    else:
        print("\n".join(lines(explanation)))
    return 0


def look(feed: Feed, settings: Settings, hour: datetime) -> Explanation:
    """Explain an hour of the deployment that the environment names."""
    from retail_analytics.batch.why import explain
    from retail_analytics.commands.instances import instance_if_any
    from retail_analytics.lake.partitions import Catalog
    from retail_analytics.resources.clients import s3_client

    catalog = Catalog.of(settings)
    with instance_if_any() as instance:
        now = datetime.now(UTC)
        return explain(s3_client(settings.region), catalog, feed, settings, hour, now, instance)


def lines(explanation: Explanation) -> list[str]:
    """The explanation for people."""
    from retail_analytics.lake import hours

    raw, made = explanation.raw, explanation.published
    arrived = f", the last at {_time(raw.last_arrival)}" if raw.last_arrival else ""
    told = [
        f"{explanation.feed} {hours.partition_key(raw.hour)}: {explanation.kind}",
        "",
        f"  raw        {len(raw.objects)} objects, {raw.size:,} bytes{arrived}; digest {raw.digest}",
        f"  published  {_publication(explanation)}",
    ]
    if made is not None and explanation.older_rules:
        told.append("  rules      it was made by older ones than today's")
    told += [f"  {'' if place else 'differs':11}{line}" for place, line in enumerate(_differs(explanation))]
    if explanation.reported is not None:
        told.append(
            f"  Dagster    {'knows of' if explanation.reported else 'was not told of'} what raw holds"
        )
    if explanation.attempts is not None and explanation.kind == "failed":
        failure = explanation.attempts.failure
        told.append(f"  failed     {explanation.attempts.count} time(s), last in run {failure.run_id}:")
        told.append(f"             {failure.reason}")
    if explanation.hold is not None:
        told.append(f"  hold       {explanation.hold}")
    return [*told, f"  next       {explanation.next}"]


def _publication(explanation: Explanation) -> str:
    made = explanation.published
    if made is None:
        return "never"
    by = f" by run {made.run_id}" if made.run_id else ""
    at = f" at {_time(made.published_at)}" if made.published_at else ""
    counts = made.counts
    return (
        f"from digest {made.digest}{at}{by}: {counts.lines:,} lines = {counts.compacted:,} compacted"
        f" + {counts.rejected:,} rejected + {counts.duplicates:,} duplicates"
    )


def _differs(explanation: Explanation) -> Iterator[str]:
    from retail_analytics.lake import hours

    difference = explanation.difference
    if difference is None:
        yield "unknown: the objects that it was made from were not noted, or are swept"
        return
    if not (difference.added or difference.rewritten or difference.removed):
        yield "nothing"
        return
    yield str(difference.changes)
    listed = {hours.name_in_hour(item.key): item for item in explanation.raw.objects}
    marked = [("+", name) for name in difference.added]
    marked += [("~", name) for name in difference.rewritten]
    marked += [("-", name) for name in difference.removed]
    for mark, name in marked[:_SHOWN]:
        now = listed.get(name)
        known = f"  {now.size:,} bytes, {_time(now.modified)}" if now else ""
        # A key may hold anything, and a terminal obeys some of it.
        yield f"{mark} {name if name.isprintable() else ascii(name)}{known}"
    if len(marked) > _SHOWN:
        yield f"… and {len(marked) - _SHOWN} more (--json lists all)"


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else ""


def document(explanation: Explanation) -> dict[str, Any]:
    """The explanation as JSON."""
    from retail_analytics.lake import hours

    made, difference = explanation.published, explanation.difference
    return {
        "feed": explanation.feed,
        "hour": hours.partition_key(explanation.raw.hour),
        "state": explanation.kind,
        "raw": {
            "digest": explanation.raw.digest,
            "objects": len(explanation.raw.objects),
            "bytes": explanation.raw.size,
        },
        "published": made
        and {
            "digest": made.digest,
            "at": made.published_at.isoformat() if made.published_at else None,
            "run": made.run_id or None,
            "query": made.query_id or None,
            "older_rules": explanation.older_rules,
        },
        "differs": difference
        and {
            "added": list(difference.added),
            "rewritten": list(difference.rewritten),
            "removed": list(difference.removed),
        },
        "reported": explanation.reported,
        "held": str(explanation.hold) if explanation.hold else None,
        "failures": explanation.attempts.count if explanation.attempts else 0,
        "next": explanation.next,
    }
