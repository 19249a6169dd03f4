"""DuckDB macros that convert: texts into dates and booleans as strictly as Athena, and times between zones.

Belongs here: what CAST and zones need. Does not belong here: functions (`macros.py`).
"""

from __future__ import annotations

from retail_analytics.embedded.athena.errors import ARGUMENT_MARK

_DATE = r"\s*[-+]?\d{4,}-\d{1,2}-\d{1,2}\s*"
_TIME = r"(?: \d{1,2}:\d{1,2}(?::\d{1,2}(?:\.\d+)?)?)?"
_TIMESTAMP = rf"\s*[-+]?\d{{4,}}-\d{{1,2}}-\d{{1,2}}{_TIME}\s*"
_ISO_OFFSET = r"(?:Z|[+-]\d\d(?::?\d\d)?)"
_ISO = rf"\d{{4}}-\d\d-\d\d(?:T(?:\d\d(?::\d\d(?::\d\d(?:[.,]\d+)?)?)?{_ISO_OFFSET}?)?)?"
_BOOLEAN = r"(?i)\s*(?:t|f|true|false|1|0)\s*"


def _strict(name: str, kind: str, pattern: str) -> tuple[str, str]:
    """`athena_cast_NAME` and `athena_try_cast_NAME`: a text that does not match fails, as `<text>`."""
    made = (
        f"CREATE MACRO athena_{prefix}{name}(x) AS CASE WHEN typeof(x) = 'VARCHAR' "
        f"AND NOT regexp_full_match(CAST(x AS VARCHAR), '{pattern}') "
        f"THEN {cast}('<' || CAST(x AS VARCHAR) || '>' AS {kind}) ELSE {cast}(x AS {kind}) END"
        for prefix, cast in (("cast_", "CAST"), ("try_cast_", "TRY_CAST"))
    )
    first, second = made
    return first, second


def _macro(*parts: str) -> str:
    return "CREATE MACRO athena_" + "".join(parts)


CONVERSIONS: tuple[str, ...] = (
    *_strict("date", "DATE", _DATE),
    *_strict("timestamp", "TIMESTAMP", _TIMESTAMP),
    *_strict("boolean", "BOOLEAN", _BOOLEAN),
    # a text is no time, though DuckDB reads it as one: this fails when it is bound
    _macro(
        "stamp(name, x) AS CASE WHEN struct_extract({'~': true}, ",
        "'~' || regexp_extract(name || '~' || typeof(x), '^.*~VARCHAR$')) THEN CAST(x AS TIMESTAMP) END",
    ),
    # a date has no hours
    _macro(
        "unit(u, x) AS CASE WHEN typeof(x) = 'DATE' ",
        "AND lower(u) IN ('millisecond', 'second', 'minute', 'hour') THEN ",
        f"CAST(CAST('{ARGUMENT_MARK}''' || u || ''' is not a valid DATE field' AS BIGINT) AS VARCHAR) ",
        "ELSE lower(u) END",
    ),
    # half away from zero, by the digits that the number is written with, as Java formats
    _macro(
        "half_up(x, n) AS CASE WHEN typeof(x) LIKE 'DECIMAL%' THEN CAST(round(x, n) AS DOUBLE) ",
        "ELSE coalesce(TRY_CAST(CAST(round(TRY_CAST(CAST(x AS VARCHAR) AS DECIMAL(38, 16)), n) AS VARCHAR) ",
        "AS DOUBLE), CAST(x AS DOUBLE)) END",
    ),
    # `+09:00` as minutes
    _macro(
        "offset_minutes(zone) AS CAST(zone[1:3] AS INTEGER) * 60 ",
        "+ CAST(zone[1:1] || zone[5:6] AS INTEGER)",
    ),
    _macro(
        r"is_offset(zone) AS regexp_full_match(zone, '[+-]\d\d:\d\d')",
    ),
    _macro(
        "wall(x, zone) AS CASE WHEN athena_is_offset(zone) ",
        "THEN timezone('UTC', x) + to_minutes(athena_offset_minutes(zone)) ELSE timezone(zone, x) END",
    ),
    _macro(
        "instant(x, zone) AS CASE WHEN athena_is_offset(zone) ",
        "THEN timezone('UTC', x - to_minutes(athena_offset_minutes(zone))) ELSE timezone(zone, x) END",
    ),
    _macro(
        "print_zoned(x, zone) AS ",
        "strftime(athena_wall(x, zone), '%Y-%m-%d %H:%M:%S.%g') || ' ' || zone",
    ),
    # the offset is sought after the T: a date may end like one
    _macro(
        f"iso_offset(s) AS regexp_extract(s, 'T.*?({_ISO_OFFSET})$', 1)",
    ),
    _macro(
        "iso_zone(s) AS CASE WHEN athena_iso_offset(s) IN ('', 'Z', '+00', '+00:00', '+0000',",
        " '-00:00') THEN 'UTC' ELSE athena_iso_offset(s)[1:3] || ':' || ",
        "coalesce(nullif(right(replace(athena_iso_offset(s), ':', '')[4:], 2), ''), '00') END",
    ),
    _macro(
        f"iso_wall(s) AS CASE WHEN NOT regexp_full_match(s, '{_ISO}') THEN ",
        f"CAST(CAST(CAST('{ARGUMENT_MARK}Invalid format: \"' || s || '\"' AS BIGINT) AS VARCHAR) ",
        "AS TIMESTAMP) ELSE CAST(regexp_replace(replace(rtrim(left(s, length(s) - ",
        r"length(athena_iso_offset(s))), 'T'), ',', '.'), 'T(\d\d)$', 'T\1:00') AS TIMESTAMP) END",
    ),
    _macro(
        "utc(x, zone) AS CASE WHEN zone = 'UTC' THEN x ELSE ",
        f"to_timestamp(CAST('{ARGUMENT_MARK}the zone ' || zone || ' of a timestamp would be lost: the ",
        "embedded Athena keeps zones other than UTC in the outermost SELECT only' AS BIGINT)) END",
    ),
)
