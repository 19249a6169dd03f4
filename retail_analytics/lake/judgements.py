"""What the lake's checks say: a verdict, what was examined, and what to do about it.

Functions of what was found, so that each verdict can be tested without a lake. Not here: the looking
(``freshness.py``, ``failed_runs.py``, ``delivery_errors.py``, ``drift.py``) and Dagster's checks
(``checks.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from retail_analytics.lake import delivery_errors, drift, findings, hours

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from retail_analytics.feeds import Feed
    from retail_analytics.lake.delivery_errors import DeliveryErrors
    from retail_analytics.lake.drift import Drift
    from retail_analytics.lake.failed_runs import Attempts
    from retail_analytics.lake.freshness import Arrivals, Overdue
    from retail_analytics.lake.holds import Hold

_SHOWN = 10
_WARN, _ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def of_schema(found: Drift, feed: Feed) -> dg.AssetCheckResult:
    """The result of an examination, by the feed's policy."""
    metadata = findings.of_drift(found)
    if not found.columns:
        return dg.AssetCheckResult(
            passed=False,
            metadata=metadata,
            description="The raw table is not in the catalog: materialise `catalog`.",
        )
    examined = f"{found.columns} columns and {found.records} records examined"
    if not found.changes:
        return dg.AssetCheckResult(
            passed=True, metadata=metadata, description=f"{examined}, all as declared."
        )
    verdict = drift.verdict(found.changes, feed.schema_policy)
    metadata["what to do"] = dg.MetadataValue.text(
        "Declare the new column, or have the producer mend its records. Compaction keeps undeclared keys in"
        " `extra` and rejected records in the rejects table; once the declaration fits, compact those hours"
        " again by force."
    )
    return dg.AssetCheckResult(
        passed=verdict == "ignore",
        severity=_ERROR if verdict == "fail" else _WARN,
        metadata=metadata,
        description=f"{examined}: {findings.summary(found)}.",
    )


def of_arrivals(found: Arrivals, now: datetime) -> dg.AssetCheckResult:
    """The result for what arrived beside what was expected."""
    window, expected = found.window, found.expected
    late = None if window.newest is None else max(0, round((now - window.newest).total_seconds() / 60))
    newest = "no object" if late is None else f"the newest object is {late} min old"
    metadata: dict[str, dg.MetadataValue] = {
        "hours examined": dg.MetadataValue.int(len(window.closed)),
        "hours with objects": dg.MetadataValue.int(sum(bool(raw.objects) for raw in window.closed)),
        "hours expected to hold some": dg.MetadataValue.int(len(expected.hours)),
        "hours with too little history": dg.MetadataValue.int(len(expected.unknown)),
        "expected as": dg.MetadataValue.text(expected.source),
        "missing hours": dg.MetadataValue.int(len(found.missing)),
    }
    if window.newest is not None and late is not None:
        metadata["newest object"] = dg.MetadataValue.timestamp(window.newest)
        metadata["minutes since the newest object"] = dg.MetadataValue.int(late)
    if found.last_hour is not None:
        metadata["nothing is expected after"] = dg.MetadataValue.text(hours.partition_key(found.last_hour))
    if found.missing or found.silent:
        metadata["what to do"] = dg.MetadataValue.text(
            "Look whether the producer runs, then at the stream's and the delivery stream's monitoring, then"
            " at `no_delivery_errors`. Closed on those hours? Declare the feed's expected hours."
        )
    if found.missing:
        named = _named(found.missing)
        metadata["hours without an object"] = dg.MetadataValue.md(
            _listed(map(hours.partition_key, found.missing))
        )
        text = (
            f"{len(found.missing)} of {len(expected.hours)} expected hours hold nothing: {named}; {newest}."
        )
        if found.excusable:
            text += " A day may begin or end with such an hour, and the one beside it did arrive."
        return dg.AssetCheckResult(
            passed=False,
            severity=_WARN if found.excusable else _ERROR,
            metadata=metadata,
            description=text,
        )
    if found.silent:
        text = (
            f"Nothing arrived in {len(window.closed)} hours, and there is too little history to expect any."
        )
        return dg.AssetCheckResult(passed=False, severity=_WARN, metadata=metadata, description=text)
    text = (
        f"{len(window.closed)} hours examined, the {len(expected.hours)} expected ones hold some; {newest}."
    )
    return dg.AssetCheckResult(passed=True, metadata=metadata, description=text)


def of_compaction(
    late: Sequence[Overdue], examined: int, waiting: int, now: datetime, hold: Hold | None = None
) -> dg.AssetCheckResult:
    """The result for hours that compaction does not follow in time.

    A hold passes by itself, since `not_held` warns of it already: one cause, one alarm.
    """
    metadata: dict[str, dg.MetadataValue] = {
        "hours examined": dg.MetadataValue.int(examined),
        "hours not published as they are": dg.MetadataValue.int(waiting),
        "overdue hours": dg.MetadataValue.int(len(late)),
    }
    if not late:
        text = f"{examined} hours examined, none overdue; {waiting} changed a moment ago."
        if hold is not None:
            text = f"{waiting} of {examined} hours wait for the feed's release; it is {hold}."
        return dg.AssetCheckResult(passed=True, metadata=metadata, description=text)
    longest = round(max((now - each.since).total_seconds() for each in late) / 60)
    metadata["longest wait (minutes)"] = dg.MetadataValue.int(longest)
    metadata["which hours"] = dg.MetadataValue.md(
        _listed(
            f"{hours.partition_key(each.hour)}: "
            + ("raw has changed since it was published" if each.published else "not published yet")
            for each in late
        )
    )
    metadata["what to do"] = dg.MetadataValue.text(
        "Look whether the daemon and its `automation` sensor run;"
        " `no_stuck_hours` names hours that were tried. Materialise `catalog` and `compacted` for the hours."
    )
    named = _named([each.hour for each in late])
    text = f"{len(late)} of {examined} hours wait for compaction, up to {longest} min: {named}."
    if hold is not None:
        text += f" They were late before the feed was held; it is {hold}."
    return dg.AssetCheckResult(passed=False, metadata=metadata, description=text)


def of_stuck(stuck: Mapping[datetime, Attempts], failed: int, examined: int) -> dg.AssetCheckResult:
    """The result for hours whose runs failed; one that failed once is tried again by the catch-up."""
    metadata: dict[str, dg.MetadataValue] = {
        "failed runs examined": dg.MetadataValue.int(failed),
        "hours examined": dg.MetadataValue.int(examined),
        "stuck hours": dg.MetadataValue.int(len(stuck)),
    }
    if not stuck:
        text = f"{failed} failed runs of {examined} hours in a week; all of these hours are published since."
        return dg.AssetCheckResult(passed=True, metadata=metadata, description=text)
    worst = max(stuck.values(), key=lambda attempts: attempts.count)
    metadata["most attempts"] = dg.MetadataValue.int(worst.count)
    metadata["which hours"] = dg.MetadataValue.md(
        _listed(
            f"{hours.partition_key(hour)}: {attempts.count} failed, last in run {attempts.failure.run_id}:"
            f" {findings.escaped(attempts.failure.reason[:300])}"
            for hour, attempts in sorted(stuck.items())
        )
    )
    metadata["what to do"] = dg.MetadataValue.text(
        "Read the run that is named, remove its cause, then materialise the hours of `compacted`. Hours"
        " of the look-back window are tried again every hour without you; older ones are not."
    )
    return dg.AssetCheckResult(
        passed=False,
        severity=_ERROR if worst.count > 1 else _WARN,
        metadata=metadata,
        description=f"{len(stuck)} hours failed and are not published: {_named(sorted(stuck))}."
        f" {worst.failure.reason[:300]}",
    )


def of_delivery(found: DeliveryErrors) -> dg.AssetCheckResult:
    """The result for what Firehose could not deliver."""
    metadata: dict[str, dg.MetadataValue] = {
        "keys examined": dg.MetadataValue.int(found.examined),
        "error objects": dg.MetadataValue.int(len(found.found)),
    }
    if not found.complete:
        metadata["left out"] = dg.MetadataValue.text(f"keys behind the first {found.examined}")
    if not found.found:
        text = f"{found.examined} keys under the error prefix examined, none of this feed."
        return dg.AssetCheckResult(passed=found.complete, metadata=metadata, description=text)
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.kinds.items())
    newest = sorted(found.found, key=lambda each: each.modified, reverse=True)
    samples = newest[: delivery_errors.SAMPLES]
    metadata["by kind"] = dg.MetadataValue.text(kinds)
    metadata["newest objects"] = dg.MetadataValue.md(_listed(f"`{each.key}`" for each in samples))
    if found.sample_error:
        metadata["what the newest says"] = dg.MetadataValue.text(found.sample_error)
    metadata["what to do"] = dg.MetadataValue.text(
        "Remove what the error names (permissions, a transformation, a format). The objects hold the records"
        " as base64 in `rawData`: send them to the stream again, then delete the objects."
    )
    said = f" {found.sample_error}" if found.sample_error else ""
    return dg.AssetCheckResult(
        passed=False,
        metadata=metadata,
        description=f"{len(found.found)} objects that could not be delivered ({kinds}).{said}",
    )


def _named(these: Sequence[datetime]) -> str:
    shown = ", ".join(map(hours.partition_key, these[:_SHOWN]))
    return shown + (f" and {len(these) - _SHOWN} more" if len(these) > _SHOWN else "")


def _listed(lines: Iterable[str]) -> str:
    every = [f"- {line}" for line in lines]
    left = len(every) - _SHOWN
    return "\n".join([*every[:_SHOWN], *([f"- … and {left} more"] if left > 0 else [])])
