"""What the demo says at its end: for people a table, for machines JSON. Figures are asked of the servers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from retail_analytics.batch.processed_sql import days_predicate
from retail_analytics.batch.state import hour_states
from retail_analytics.commands.checks import FAILED, named, verdict
from retail_analytics.lake import hours as hours_
from retail_analytics.lake import tables
from retail_analytics.resources import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    import dagster as dg

    from retail_analytics.batch.staging import Pipeline

_IS_FILLED = "regexp_like(coalesce(line, 'N'), '\\S')"


@dataclass(frozen=True)
class History:
    """The history, stage by stage, as records, objects and bytes."""

    sent: int
    raw: int
    raw_hours: int
    compacted: int
    rejected: int
    duplicates: int
    transactions: int
    indexed: int
    invoices: int
    revenue: Decimal
    raw_objects: int
    raw_bytes: int
    compacted_objects: int
    compacted_bytes: int


@dataclass(frozen=True)
class Live:
    """The live slice."""

    sent: int
    delivered: int
    indexed: int
    seconds_to_s3: float
    seconds_to_index: float


@dataclass(frozen=True)
class Report:
    """All of it.

    Attributes:
        feed: The feed's name.
        history: The loaded records.
        live: The streamed ones.
        checks: Check name to its verdict: ``passed``, ``warning`` or ``FAILED``.
        problems: Sentences on what went wrong; empty for a success.
        warnings: Sentences of checks that warn.
        seconds: Stage to seconds.
    """

    feed: str
    history: History
    live: Live
    checks: Mapping[str, str]
    problems: Sequence[str]
    warnings: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every record is where it belongs, and checks were made of which none failed."""
        return not self.problems and bool(self.checks) and FAILED not in self.checks.values()

    def document(self) -> dict[str, Any]:
        """For ``--report``."""
        history = asdict(self.history)
        history["revenue"] = float(round(self.history.revenue, 2))
        return {
            self.feed: history,
            "live": asdict(self.live),
            "checks": {name: outcome != FAILED for name, outcome in self.checks.items()},
            "seconds": {stage: round(seconds, 2) for stage, seconds in self.seconds.items()},
            "problems": list(self.problems),
            "warnings": list(self.warnings),
        }


def measure_history(pipeline: Pipeline, sent: int, indexed: int, start: datetime, end: datetime) -> History:
    """Ask the lake for what it holds of the hours ``[start, end)``."""
    feed, settings = pipeline.feed, pipeline.settings
    states = hour_states(pipeline.s3, pipeline.catalog, feed, settings, start, end)
    published = [state.published for state in states if state.published]
    hours = [state.raw.hour for state in states if state.raw.objects]
    days = sorted({hour.date() for hour in hours_.hours_between(start, end)})
    where = hours_.hours_predicate(hours)
    one = _Counter(pipeline)
    made = pipeline.athena.query(
        "SELECT count(*) AS lines, count(DISTINCT invoice) AS invoices, sum(line_amount) AS revenue"
        f" FROM {one.table(tables.processed_table(feed, settings, feed.processed[0].name))}"
        f" WHERE {days_predicate(days)}"
    ).rows[0]
    return History(
        sent=sent,
        # A line of \N reads as NULL, and is a line all the same.
        raw=one.count(tables.lines_table(feed, settings), f"{where} AND {_IS_FILLED}"),
        raw_hours=len(hours),
        compacted=one.count(tables.compacted_table(feed, settings), where),
        rejected=one.count(tables.rejects_table(feed, settings), where),
        duplicates=sum(result.counts.duplicates for result in published),
        transactions=made["lines"],
        indexed=indexed,
        invoices=made["invoices"],
        revenue=made["revenue"] or Decimal(0),
        raw_objects=sum(len(state.raw.objects) for state in states),
        raw_bytes=sum(state.raw.size for state in states),
        compacted_objects=sum(result.objects for result in published),
        compacted_bytes=sum(result.bytes for result in published),
    )


@dataclass(frozen=True)
class _Counter:
    pipeline: Pipeline

    def table(self, table: tables.Table) -> str:
        return sql.table(self.pipeline.settings.database, table.name)

    def count(self, table: tables.Table, where: str) -> int:
        query = f"SELECT count(*) AS records FROM {self.table(table)} WHERE {where}"
        records: int = self.pipeline.athena.query(query).rows[0]["records"]
        return records


def find_problems(history: History, live: Live) -> list[str]:
    """Sentences on records that are not where they belong."""
    accounted = history.compacted + history.rejected + history.duplicates
    problems = []
    if history.raw != history.sent:
        problems.append(f"{history.sent} records were sent, {history.raw} are in raw.")
    if accounted != history.raw:
        problems.append(f"{history.raw} records are in raw, {accounted} are accounted for.")
    if history.transactions != history.compacted:
        problems.append(
            f"{history.compacted} records are compacted, {history.transactions} are in transactions."
        )
    if history.indexed != history.compacted:
        problems.append(f"{history.compacted} records are compacted, {history.indexed} are in the index.")
    if live.delivered != live.sent:
        problems.append(f"{live.sent} live records were sent, {live.delivered} are in S3.")
    if live.indexed != live.sent:
        problems.append(f"{live.sent} live records were sent, {live.indexed} are in the index.")
    return problems


def outcomes(evaluations: Iterable[dg.AssetCheckEvaluation]) -> dict[str, str]:
    """Each check's name, with its asset's, to its verdict."""
    return {named(evaluation): verdict(evaluation) for evaluation in evaluations}


def said(evaluations: Iterable[dg.AssetCheckEvaluation], outcome: str) -> list[str]:
    """What the checks of that verdict say."""
    return [f"{named(each)}: {each.description}" for each in evaluations if verdict(each) == outcome]


def render(report: Report) -> str:
    """The table for people."""
    h, live = report.history, report.live
    rows: list[tuple[str, str, str, str]] = [
        ("stage", "records in", "records out", ""),
        ("load to raw hours", f"{h.sent:,}", f"{h.raw:,}", f"{h.raw_hours:,} hours"),
        (
            "compact",
            f"{h.raw:,}",
            f"{h.compacted:,}",
            f"{h.rejected:,} rejected, {h.duplicates:,} duplicates",
        ),
        ("transactions", f"{h.compacted:,}", f"{h.transactions:,}", f"{h.invoices:,} invoices"),
        ("search index", f"{h.compacted:,}", f"{h.indexed:,}", ""),
        ("live: stream to S3", f"{live.sent:,}", f"{live.delivered:,}", f"{live.seconds_to_s3:.1f} s"),
        ("live: stream to index", f"{live.sent:,}", f"{live.indexed:,}", f"{live.seconds_to_index:.1f} s"),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"  {a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in rows]
    lines.insert(1, "  " + "  ".join("-" * width for width in widths))
    broadest = max(map(len, report.checks.values()), default=0)
    ratio = h.raw_bytes / h.compacted_bytes if h.compacted_bytes else 0.0
    lines += [
        "",
        f"  objects  {h.raw_objects:,} raw, {h.compacted_objects:,} compacted",
        f"  bytes    {h.raw_bytes:,} raw, {h.compacted_bytes:,} compacted ({ratio:.1f} times smaller)",
        f"  revenue  {h.revenue:,.2f} (sum of Quantity x Price)",
        "",
        *(f"  {outcome:<{broadest}}  {name}" for name, outcome in sorted(report.checks.items())),
        "",
        "  seconds  " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in report.seconds.items()),
        *(f"  WARNING  {warning}" for warning in report.warnings),
        *(f"  PROBLEM  {problem}" for problem in report.problems),
    ]
    return "\n".join(lines)
