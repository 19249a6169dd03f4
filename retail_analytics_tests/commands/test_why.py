"""What a person reads of one hour."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

from retail_analytics.batch.objects_noted import Difference
from retail_analytics.batch.results import Counts, HourResult
from retail_analytics.batch.why import Explanation
from retail_analytics.commands.why import document, lines
from retail_analytics.lake.objects import RawHour, RawObject

HOUR = datetime(2010, 12, 1, 8, tzinfo=UTC)
RAW = RawHour(HOUR, tuple(RawObject(f"x/hour=08/{name}", name, 7, HOUR) for name in ("new", "same")))
STALE = Explanation(
    feed="retail_trans",
    kind="waiting",
    raw=RAW,
    published=HourResult(
        HOUR, "published", "older", Counts(3, 2, 1, 0, 0), run_id="the-run", published_at=HOUR
    ),
    older_rules=False,
    difference=Difference(("new",), (), ("gone\x1b[31m",)),
    reported=True,
    hold=None,
    attempts=None,
    next="It is made.",
)


def test_a_stale_hour_is_told_with_both_digests_and_what_differs() -> None:
    assert lines(STALE) == [
        "retail_trans 2010-12-01-08:00: waiting",
        "",
        f"  raw        2 objects, 14 bytes, the last at 2010-12-01 08:00:00; digest {RAW.digest}",
        (
            "  published  from digest older at 2010-12-01 08:00:00 by run the-run: 3 lines = 2 compacted"
            " + 1 rejected + 0 duplicates"
        ),
        "  differs    objects: 1 added, 0 rewritten, 1 removed",
        "             + new  7 bytes, 2010-12-01 08:00:00",
        r"             - 'gone\x1b[31m'",
        "  Dagster    knows of what raw holds",
        "  next       It is made.",
    ]


def test_what_is_not_known_is_said() -> None:
    told = lines(replace(STALE, difference=None, published=None, reported=None))
    assert "  published  never" in told
    assert any("were not noted" in line for line in told)
    assert not any(line.startswith("  Dagster") for line in told)


def test_of_many_objects_the_first_are_named() -> None:
    many = Difference(tuple(f"{number:03}" for number in range(100)))
    told = lines(replace(STALE, difference=many))
    assert sum(line.startswith("             + ") for line in told) == 20
    assert "             … and 80 more (--json lists all)" in told
    assert len(document(replace(STALE, difference=many))["differs"]["added"]) == 100


def test_json_holds_the_same() -> None:
    made = json.loads(json.dumps(document(STALE)))
    assert (made["state"], made["raw"]["digest"]) == ("waiting", RAW.digest)
    assert (made["published"]["digest"], made["published"]["run"]) == ("older", "the-run")
    assert made["differs"]["removed"] == ["gone\x1b[31m"]
