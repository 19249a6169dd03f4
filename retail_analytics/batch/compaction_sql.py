"""The statements of compaction: the files in ``statements/``, filled in from a feed's declaration.

All of them read raw hours line by line and judge each line by the same rules, so that the write, its
audit and the rejects cannot disagree on what a record is. Valid in Athena (engine v3); the embedded Athena
runs the same text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from retail_analytics.lake.hours import hours_predicate, part
from retail_analytics.lake.tables import lines_table
from retail_analytics.resources import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from retail_analytics.feeds import Feed
    from retail_analytics.feeds.declaration import Column
    from retail_analytics.settings import Settings

RULES_VERSION = 1
"""Part of what a published hour was made by: a change of these statements' meaning raises it."""

PREVIEW_ROWS = 3
PREVIEW_ROW_END, PREVIEW_CELL_END = "\x1e", "\x1f"  # what ASCII has for it; lines and bars are data
_PREVIEW_ROW = 500  # characters; the preview is noted on a Glue partition, whose parameters are bounded

_STATEMENTS = Path(__file__).parent / "statements"
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_INTEGERS = ("tinyint", "smallint", "int", "integer", "bigint")
_FLOATS = ("float", "real", "double")
_QUERY_TYPES = {"string": "varchar", "int": "integer", "float": "real"}


def query_type(declared: str) -> str:
    """The name that a type of DDL (Hive's) has in queries (Trino's)."""
    return _QUERY_TYPES.get(declared, declared)


def is_number(declared: str) -> bool:
    """Whether a column of this type is summed by the audit."""
    return declared in _INTEGERS or declared in _FLOATS or declared.startswith("decimal")


def write_select(feed: Feed, settings: Settings, hours: Sequence[datetime]) -> str:
    """The good records of these hours, once each, with the hour as the last column, ``part``."""
    names = [column.name for column in feed.columns]
    columns = [sql.identifier(name) for name in [*names, "record_id", "extra", "event_day", "part"]]
    return _over_ranked("write", feed, settings, hours, columns=", ".join(columns))


def rejects_select(feed: Feed, settings: Settings, hours: Sequence[datetime]) -> str:
    """The rejected records of these hours, with the hour as the last column, ``part``."""
    return _over_ranked("rejects", feed, settings, hours)


def audit_select(feed: Feed, settings: Settings, hours: Sequence[datetime], written: str) -> str:
    """Raw and written side by side, a row an hour; its columns are told in ``statements/audit.sql``."""
    columns = list(enumerate(feed.columns))
    sums = [(index, column) for index, column in columns if is_number(column.stored_type)]
    raw = [f"count_if(kept AND {_q(c)} IS NOT NULL) AS raw_count_{i}" for i, c in columns]
    raw += [f"sum(CASE WHEN kept THEN {_summed(c)} END) AS raw_sum_{i}" for i, c in sums]
    there = [f"count({_q(c)}) AS written_count_{i}" for i, c in columns]
    there += [f"sum({_summed(c)}) AS written_sum_{i}" for i, c in sums]
    compared = [f"raw.raw_count_{i}, written.written_count_{i}" for i, _ in columns]
    compared += [f"raw.raw_sum_{i}, written.written_sum_{i}" for i, _ in sums]
    return _over_ranked(
        "audit",
        feed,
        settings,
        hours,
        raw=_listed(raw),
        there=_listed(there),
        compared=_listed(compared),
        written=written,
        preview_row=_preview_row(feed),
        preview_rows=str(PREVIEW_ROWS),
        preview_length=str(_PREVIEW_ROW),
        preview_row_end=f"chr({ord(PREVIEW_ROW_END)})",
    )


def rejects_audit_select(written: str) -> str:
    """How many rejected records were written, a row an hour; it reads no column."""
    return sql.statement(_STATEMENTS / "rejects_audit.sql", written=written)


def _over_ranked(name: str, feed: Feed, settings: Settings, hours: Sequence[datetime], **places: str) -> str:
    """A statement over ``ranked``; all of them begin with the same words."""
    ranked = sql.statement(
        _STATEMENTS / "ranked.sql",
        source=sql.table(settings.database, lines_table(feed, settings).name),
        hours=hours_predicate(hours),
        parts=_listed(_part(hour) for hour in sorted(set(hours))),
        values=_listed(f"json_extract(doc, {_path(key)}) AS {_j(key)}" for key in _known(feed)),
        record_id=f"nullif({_scalar(feed.record_id)}, '')" if feed.record_id else "CAST(NULL AS varchar)",
        texts=_listed(f"{_scalar(column.source)} AS {_t(column)}" for column in feed.columns),
        typed=_listed(f"{_typed(feed, column)} AS {_q(column)}" for column in feed.columns),
        event_time=_q(feed.event_time_column),
        extra=_extra(feed),
        reason=_reason(feed),
        first_copy=_first_copy(feed),
    )
    return sql.statement(_STATEMENTS / f"{name}.sql", ranked=ranked, **places)


def _part(hour: datetime) -> str:
    """An hour with what its partitions are called: a word that is formatted once, not once a record."""
    return f"({sql.text(part(hour))}, {hour.year}, {hour.month}, {hour.day}, {hour.hour})"


def _listed(parts: Iterable[str]) -> str:
    return ",\n        ".join(parts)


def _first_copy(feed: Feed) -> str:
    """True of the record that stays where several have one id; records without an id all stay."""
    if feed.record_id is None:
        return "true"
    return (
        "record_id IS NULL OR row_number() OVER"
        " (PARTITION BY part, record_id, reason IS NULL ORDER BY source_object, line) = 1"
    )


def _reason(feed: Feed) -> str:
    """Why a record cannot be taken, or NULL: the rules that the search path goes by as well."""
    cases = [
        "WHEN NOT filled THEN NULL",
        "WHEN doc IS NULL THEN 'not JSON'",
        "WHEN NOT is_object THEN 'not a JSON object'",
    ]
    for column in feed.columns:
        name = column.source
        if column.required:
            cases.append(f"WHEN {_j(name)} IS NULL THEN {sql.text(f'{name} is missing')}")
        if not column.nullable:
            cases.append(f"WHEN coalesce({_t(column)}, '') = '' THEN {sql.text(f'{name} is empty')}")
        if column.stored_type != "string":
            cases.append(
                f"WHEN coalesce({_t(column)}, '') <> '' AND {_q(column)} IS NULL"
                f" THEN {sql.text(f'{name} is no {column.stored_type}')}"
            )
    return "CASE " + "\n            ".join(cases) + " END"


def _extra(feed: Feed) -> str:
    """What is under keys that the declaration does not know; looked for only where there are more keys."""
    known = [f"CASE WHEN {_j(key)} IS NULL THEN 0 ELSE 1 END" for key in _known(feed)]
    among = sql.array(_known(feed))
    unknown = f"map_filter(try_cast(doc AS MAP(VARCHAR, JSON)), (k, v) -> NOT contains({among}, k))"
    return (
        f"CASE WHEN is_object AND json_size(doc, '$') > {' + '.join(known)}"
        f" THEN nullif(json_format(CAST({unknown} AS JSON)), '{{}}') END"
    )


def _known(feed: Feed) -> list[str]:
    """The keys of a record that the declaration knows."""
    return [column.source for column in feed.columns] + ([feed.record_id] if feed.record_id else [])


def _path(key: str) -> str:
    if not _PLAIN_KEY.match(key):
        raise ValueError(f"key {key!r} of a record cannot stand in a JSON path; rename it in the producer.")
    return sql.text(f"$.{key}")


def _scalar(key: str) -> str:
    return f"json_extract_scalar({_j(key)}, '$')"


def _typed(feed: Feed, column: Column) -> str:
    declared = column.stored_type
    if column.name == feed.event_time.column:
        parsed = f"try(date_parse({_t(column)}, {sql.text(feed.event_time.format)}))"
        return f"CAST({parsed} AS date)" if declared == "date" else parsed
    if declared == "string":
        return _t(column)
    return f"try_cast({_t(column)} AS {query_type(declared)})"


def _summed(column: Column) -> str:
    """A sum that does not depend on the order of its rows, where the type allows that."""
    wide = "double" if column.stored_type in _FLOATS else "decimal(38, 4)"
    return f"CAST({_q(column)} AS {wide})"


def _preview_row(feed: Feed) -> str:
    """A row as text, its cells between separators."""
    cells = ", ".join(
        f"coalesce({_q(column)}, '')"
        if column.stored_type == "string"
        else f"coalesce(CAST({_q(column)} AS varchar), '')"
        for column in feed.columns
    )
    return f"concat_ws(chr({ord(PREVIEW_CELL_END)}), {cells})"


def _q(column: Column) -> str:
    return sql.identifier(column.name)


def _j(key: str) -> str:
    """The value under a key of the record, as JSON."""
    return sql.identifier(f"{key}_json")


def _t(column: Column) -> str:
    """The column's value as text, before it is typed."""
    return sql.identifier(f"{column.name}_text")
