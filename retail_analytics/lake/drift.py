"""Schema drift: how the records and the catalog differ from what the feed declares.

Two witnesses. The catalog's raw table, which a crawler or a person may have changed; and the records of the
look-back window, as compaction judged every one of them: keys that it kept in ``extra``, values and keys for
whose sake it rejected records. A crawler with the LOG policy changes no table and tells of differences in its
log alone, in no documented form, which is why the records themselves are asked. Costs two queries of the
window's partitions. Not here: the other tables' schemas, which are ours (``batch/checks.py``).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from retail_analytics.lake import tables
from retail_analytics.lake.hours import hours_predicate
from retail_analytics.resources import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from mypy_boto3_glue import GlueClient

    from retail_analytics.feeds import Feed
    from retail_analytics.feeds.declaration import SchemaPolicy, Verdict
    from retail_analytics.resources.athena import AthenaResource
    from retail_analytics.settings import Settings

Kind = Literal["added", "changed", "removed"]

NOTHING = "none"
"""The version of no drift at all."""


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        column: The column or key.
        declared: Its declared type; empty where none is declared.
        found: The type that was found; empty where none was.
        kind: ``added``, ``changed`` or ``removed``.
        where: ``catalog`` or ``records``.
        records: Records of the window that differ so; 0 for a difference of the catalog.
    """

    column: str
    declared: str
    found: str
    kind: Kind
    where: Literal["catalog", "records"]
    records: int = 0


@dataclass(frozen=True)
class Drift:
    """What an examination found.

    Attributes:
        changes: The differences.
        columns: Columns of the catalog's table that were compared; 0 where there is no table yet.
        records: Records of the window that were examined.
    """

    changes: tuple[Change, ...]
    columns: int
    records: int

    @property
    def version(self) -> str:
        """Changes with the differences, and with nothing else: not with how many records differ."""
        told = sorted((c.column, c.declared, c.found, c.kind, c.where) for c in self.changes)
        return hashlib.blake2b(json.dumps(told).encode(), digest_size=8).hexdigest() if told else NOTHING


def examine(
    glue: GlueClient, athena: AthenaResource, feed: Feed, settings: Settings, hours: Sequence[datetime]
) -> Drift:
    """Compare catalog and records of these hours with the declaration.

    Raises:
        AthenaError: A query failed.
    """
    try:
        there = catalog_columns(glue, feed, settings)
    except glue.exceptions.EntityNotFoundException:
        return Drift((), columns=0, records=0)
    records, added = added_keys(athena, feed, settings, hours)
    changes = [*catalog_changes(feed, settings, there), *added]
    changes += rejected_changes(athena, feed, settings, hours, records)
    return Drift(tuple(changes), len(there), records)


def catalog_columns(glue: GlueClient, feed: Feed, settings: Settings) -> dict[str, str]:
    """Column name to type of the raw table as the catalog has it.

    Raises:
        EntityNotFoundException: Glue's, where it has none.
    """
    name = tables.raw_table(feed, settings).name
    table = glue.get_table(DatabaseName=settings.database, Name=name)["Table"]
    return {column["Name"]: column.get("Type", "") for column in table["StorageDescriptor"]["Columns"]}


def catalog_changes(feed: Feed, settings: Settings, there: dict[str, str]) -> list[Change]:
    """How the catalog's columns differ from the declared ones."""
    declared = {name: type_ for name, type_, _ in tables.raw_table(feed, settings).columns}
    changes = [
        Change(name, type_, "", "removed", "catalog") for name, type_ in declared.items() if name not in there
    ]
    changes += [
        Change(name, declared.get(name, ""), type_, "changed" if name in declared else "added", "catalog")
        for name, type_ in there.items()
        if declared.get(name) != type_
    ]
    return changes


def added_keys(
    athena: AthenaResource, feed: Feed, settings: Settings, hours: Iterable[datetime]
) -> tuple[int, list[Change]]:
    """The compacted records of these hours, and the keys that compaction kept for want of a column."""
    table = sql.table(settings.database, tables.compacted_table(feed, settings).name)
    names = "array_join(map_keys(CAST(json_parse(extra) AS MAP(VARCHAR, JSON))), chr(10))"
    rows = athena.query(
        f"SELECT CASE WHEN extra IS NOT NULL THEN {names} END AS names, count(*) AS records,"  # noqa: S608
        f" min(extra) AS sample FROM {table} WHERE {hours_predicate(hours)} GROUP BY 1"
    ).rows
    counts: dict[str, int] = {}
    types: dict[str, set[str]] = {}
    for row in rows:
        sample = _object(row["sample"])
        for name in (row["names"] or "").splitlines():
            counts[name] = counts.get(name, 0) + row["records"]
            types.setdefault(name, set()).add(json_type(sample.get(name)))
    changes = [
        Change(name, "", " or ".join(sorted(types[name])), "added", "records", count)
        for name, count in sorted(counts.items())
    ]
    return sum(row["records"] for row in rows), changes


def rejected_changes(
    athena: AthenaResource, feed: Feed, settings: Settings, hours: Iterable[datetime], records: int
) -> list[Change]:
    """Columns for whose sake more of the records were rejected than the feed tolerates.

    Args:
        athena: Athena.
        feed: The feed.
        settings: Where it flows.
        hours: The hours.
        records: How many records of these hours compaction took.
    """
    table = sql.table(settings.database, tables.rejects_table(feed, settings).name)
    rows = athena.query(
        "SELECT reason, count(*) AS records, min(line) AS sample"  # noqa: S608
        f" FROM {table} WHERE {hours_predicate(hours)} GROUP BY reason"
    ).rows
    examined = records + sum(row["records"] for row in rows)
    reasons = _reasons(feed)
    changes = []
    for row in rows:
        if row["reason"] in reasons and row["records"] > feed.schema_policy.tolerated_share * examined:
            source, declared, kind = reasons[row["reason"]]
            value = _object(row["sample"]).get(source)
            found = "" if kind == "removed" else _described(value)
            changes.append(Change(source, declared, found, kind, "records", row["records"]))
    return sorted(changes, key=lambda change: change.column)


def _reasons(feed: Feed) -> dict[str, tuple[str, str, Kind]]:
    """The reasons of compaction that a schema may be the cause of, in its words: (key, type, kind)."""
    reasons: dict[str, tuple[str, str, Kind]] = {}
    for column in feed.columns:
        reasons[f"{column.source} is missing"] = (column.source, column.stored_type, "removed")
        reasons[f"{column.source} is no {column.stored_type}"] = (
            column.source,
            column.stored_type,
            "changed",
        )
    return reasons


def json_type(value: Any) -> str:
    """What a JSON value is, in a person's words."""
    if isinstance(value, bool):
        return "boolean"
    named = ((int, "number"), (float, "number"), (str, "string"), (list, "array"), (dict, "object"))
    return next((name for kind, name in named if isinstance(value, kind)), "null")


def _described(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return f"{json_type(value)}, as in {shown if len(shown) <= 40 else shown[:40] + '…'}"


def _object(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def verdict(changes: Iterable[Change], policy: SchemaPolicy) -> Verdict:
    """The hardest verdict that the policy has for any of these changes."""
    by_kind: dict[Kind, Verdict] = {
        "added": policy.added,
        "changed": policy.changed,
        "removed": policy.removed,
    }
    given = {by_kind[change.kind] for change in changes}
    return "fail" if "fail" in given else "warn" if "warn" in given else "ignore"
