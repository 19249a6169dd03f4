"""The statements of compaction, made from a feed's declaration.

All of them read raw hours line by line and judge each line by the same rules, so that the write, its
audit and the rejects cannot disagree on what a record is. Valid in Athena (engine v3); the embedded Athena
runs the same text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from retail_analytics.lake.hours import hours_predicate
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
    columns = ", ".join(sql.identifier(name) for name in [*names, "record_id", "extra", "event_day", "part"])
    return f"{_ranked(feed, settings, hours)}\nSELECT {columns} FROM ranked WHERE kept"


def rejects_select(feed: Feed, settings: Settings, hours: Sequence[datetime]) -> str:
    """The rejected records of these hours, with the hour as the last column, ``part``."""
    return (
        f"{_ranked(feed, settings, hours)}\n"
        "SELECT line, source_object, reason, part FROM ranked WHERE reason IS NOT NULL"
    )


def audit_select(feed: Feed, settings: Settings, hours: Sequence[datetime], written: str) -> str:
    """Raw and written side by side, a row an hour.

    Columns: ``part``; ``lines``, ``rejected``, ``duplicates``, ``without_id`` of raw; ``compacted``,
    ``event_days`` (comma separated) and ``preview`` (cells and rows between the separators) of what was
    written; and for each column of the feed ``raw_count_i``/``written_count_i`` (values that are not NULL)
    and, for numbers, ``raw_sum_i``/``written_sum_i``, in the order of its columns.
    """
    compared_columns = list(enumerate(feed.columns))
    sums = [(index, column) for index, column in compared_columns if is_number(column.stored_type)]
    raw = [f"count_if(kept AND {_q(c)} IS NOT NULL) AS raw_count_{i}" for i, c in compared_columns]
    raw += [f"sum(CASE WHEN kept THEN {_summed(c)} END) AS raw_sum_{i}" for i, c in sums]
    there = [f"count({_q(c)}) AS written_count_{i}" for i, c in compared_columns]
    there += [f"sum({_summed(c)}) AS written_sum_{i}" for i, c in sums]
    picked = [f"raw.raw_count_{i}, written.written_count_{i}" for i, _ in compared_columns]
    picked += [f"raw.raw_sum_{i}, written.written_sum_{i}" for i, _ in sums]
    return f"""{_ranked(feed, settings, hours)},
raw AS (
    SELECT part, count_if(filled) AS lines,
        count_if(reason IS NOT NULL) AS rejected,
        count_if(filled AND reason IS NULL AND NOT kept) AS duplicates,
        count_if(kept AND record_id IS NULL) AS without_id,
        {", ".join(raw)}
    FROM ranked GROUP BY part
),
written AS (
    SELECT part, count(*) AS compacted,
        array_join(array_sort(array_agg(DISTINCT CAST(event_day AS varchar))), ',') AS event_days,
        array_join(
            min_by({_preview_row(feed)}, coalesce(record_id, ''), {PREVIEW_ROWS}), chr({ord(PREVIEW_ROW_END)})
        ) AS preview,
        {", ".join(there)}
    FROM {written} GROUP BY part
)
SELECT raw.part, raw.lines, raw.rejected, raw.duplicates, raw.without_id,
    coalesce(written.compacted, 0) AS compacted, written.event_days, written.preview,
    {", ".join(picked)}
FROM raw LEFT JOIN written ON written.part = raw.part
ORDER BY raw.part"""


def _ranked(feed: Feed, settings: Settings, hours: Iterable[datetime]) -> str:
    """CTEs that end in ``ranked``: every line of the hours, typed, judged, and kept or not.

    Blank lines are no records, but they are among the rows: an hour that the audit does not see at all is
    then one that has no byte, or a fault.
    """
    source = sql.table(settings.database, lines_table(feed, settings).name)
    texts = ",\n        ".join(f"{_text(column.source)} AS {_t(column)}" for column in feed.columns)
    typed = ",\n        ".join(f"{_typed(feed, column)} AS {_q(column)}" for column in feed.columns)
    record_id = f"nullif({_text(feed.record_id)}, '')" if feed.record_id else "CAST(NULL AS varchar)"
    return f"""WITH lines AS (
    SELECT coalesce(line, '\\N') AS line, "$path" AS source_object,
        format('%04d-%02d-%02d-%02d', year, month, day, hour) AS part
    FROM {source}
    WHERE {hours_predicate(hours)}
),
parsed AS (
    SELECT part, source_object, line, regexp_like(line, '\\S') AS filled, try(json_parse(line)) AS doc
    FROM lines
),
opened AS (
    SELECT part, source_object, line, filled, doc, try_cast(doc AS MAP(VARCHAR, JSON)) AS object,
        {record_id} AS record_id,
        {texts}
    FROM parsed
),
typed AS (
    SELECT part, source_object, line, filled, doc, object, record_id,
        {", ".join(_t(column) for column in feed.columns)},
        {typed}
    FROM opened
),
judged AS (
    SELECT *,
        CAST({_q(feed.event_time_column)} AS date) AS event_day,
        {_extra(feed)} AS extra,
        {_reason(feed)} AS reason
    FROM typed
),
ranked AS (
    SELECT *, filled AND reason IS NULL AND ({_first_copy(feed)}) AS kept
    FROM judged
)"""


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
        "WHEN object IS NULL THEN 'not a JSON object'",
    ]
    for column in feed.columns:
        name = column.source
        if column.required:
            cases.append(
                f"WHEN NOT contains(map_keys(object), {sql.text(name)}) THEN {sql.text(f'{name} is missing')}"
            )
        if not column.nullable:
            cases.append(f"WHEN coalesce({_t(column)}, '') = '' THEN {sql.text(f'{name} is empty')}")
        if column.stored_type != "string":
            cases.append(
                f"WHEN coalesce({_t(column)}, '') <> '' AND {_q(column)} IS NULL"
                f" THEN {sql.text(f'{name} is no {column.stored_type}')}"
            )
    return "CASE " + "\n            ".join(cases) + " END"


def _extra(feed: Feed) -> str:
    known = [column.source for column in feed.columns] + ([feed.record_id] if feed.record_id else [])
    unknown = f"map_filter(object, (k, v) -> NOT contains({sql.array(known)}, k))"
    return f"CASE WHEN cardinality({unknown}) > 0 THEN json_format(CAST({unknown} AS JSON)) END"


def _text(source: str) -> str:
    if not _PLAIN_KEY.match(source):
        raise ValueError(
            f"key {source!r} of a record cannot stand in a JSON path; rename it in the producer."
        )
    return f"json_extract_scalar(doc, '$.{source}')"


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
    """The beginning of a row, its cells between separators; computed for each row, so it is kept cheap."""
    cells = ", ".join(
        f"coalesce({_q(column)}, '')"
        if column.stored_type == "string"
        else f"coalesce(CAST({_q(column)} AS varchar), '')"
        for column in feed.columns
    )
    return f"substr(concat_ws(chr({ord(PREVIEW_CELL_END)}), {cells}), 1, {_PREVIEW_ROW})"


def _q(column: Column) -> str:
    return sql.identifier(column.name)


def _t(column: Column) -> str:
    """The column's value as text, before it is typed."""
    return sql.identifier(f"{column.name}_text")
