"""DuckDB macros that give Athena's functions their own semantics.

Belongs here: what can be said in SQL. Does not belong here: functions that need the query's tree, such as
those with lambdas or format strings (`functions.py`).

Overloads by type are to be avoided: DuckDB chooses the wrong one when an argument holds an aggregate. An
error is raised by a cast that fails, because DuckDB's `error()` may not stand inside TRY.
"""

from __future__ import annotations

from retail_analytics.embedded.athena.errors import DIVISION_MARK, SUBSCRIPT_MARK
from retail_analytics.embedded.athena.macros_collections import COLLECTIONS
from retail_analytics.embedded.athena.macros_printing import PRINTING
from retail_analytics.embedded.athena.quoting import macro

_UNITS = ("millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year")


def _step(unit: str) -> str:
    if unit == "quarter":
        return "to_months(CAST(3 * n AS INTEGER))"
    whole = unit in {"day", "week", "month", "year"}
    return f"to_{unit}s(CAST(n AS {'INTEGER' if whole else 'BIGINT' if unit != 'second' else 'DOUBLE'}))"


_DATE_ADD_STEPS = " ".join(f"WHEN '{unit}' THEN {_step(unit)}" for unit in _UNITS)

ARITHMETIC = (
    # `//` truncates integers; the result has the type of a difference, which is Athena's, too
    macro(
        "div",
        "(a, b) AS CASE WHEN typeof(a - b) IN ('DOUBLE', 'FLOAT') THEN cast_to_type(a / b, a - b) "
        f"WHEN b = 0 THEN cast_to_type('{DIVISION_MARK}', a - b) ELSE cast_to_type(a // b, a - b) END",
    ),
    macro(
        "mod",
        "(a, b) AS CASE WHEN b = 0 THEN CASE WHEN typeof(a - b) IN ('DOUBLE', 'FLOAT') "
        f"THEN cast_to_type('nan', a % b) ELSE cast_to_type('{DIVISION_MARK}', a % b) END ELSE a % b END",
    ),
    # a decimal keeps its scale
    macro("round", "(x) AS round(x)", "(x, n) AS cast_to_type(round(x, n), x - x)"),
    *(
        macro(
            f"{prefix}{kind.lower()}",
            # DuckDB reads '6.5' and ' 6 ' as integers, where Athena refuses them
            "(x) AS CASE WHEN typeof(x) IN ('VARCHAR', 'JSON') "
            "AND NOT regexp_full_match(CAST(x AS VARCHAR), '\"?[+-]?[0-9]+\"?') "
            f"THEN {cast}('<' || CAST(x AS VARCHAR) || '>' AS {kind}) "
            # ... and rounds 2.5 to 2
            f"WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN {cast}(round(TRY_CAST(x AS DOUBLE)) AS {kind}) "
            f"ELSE {cast}(x AS {kind}) END",
        )
        for kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
        for prefix, cast in (("cast_", "CAST"), ("try_cast_", "TRY_CAST"))
    ),
    macro(
        "truncate",
        "(x) AS trunc(x)",
        "(x, n) AS cast_to_type(trunc(x * CAST(pow(10, n) AS BIGINT)) / CAST(pow(10, n) AS BIGINT), x)",
    ),
    macro("sign", "(x) AS cast_to_type(sign(x), x)"),
    macro(
        "random",
        "(n) AS cast_to_type(floor(random() * n), n)",
        "(a, b) AS cast_to_type(a + floor(random() * (b - a)), b)",
    ),
    macro("log", "(b, x) AS ln(x) / ln(b)"),
    # the root of a cube is exact
    macro("cbrt", "(x) AS CASE WHEN pow(round(cbrt(x)), 3) = x THEN round(cbrt(x)) ELSE cbrt(x) END"),
    macro(
        "from_base",
        "(s, radix) AS CAST(list_reduce(list_transform(string_split(lower(s), ''), "
        "lambda c: CAST(strpos('0123456789abcdefghijklmnopqrstuvwxyz', c) - 1 AS BIGINT)), "
        "lambda a, d: a * radix + d, CAST(0 AS BIGINT)) AS BIGINT)",
    ),
)

TEXT = (
    macro(
        "substr",
        # there is no character 0, and none before the first
        "(s, n) AS CASE WHEN n = 0 OR -n > length(s) THEN left(s, 0) ELSE substr(s, n) END",
        "(s, n, size) AS CASE WHEN n = 0 OR -n > length(s) THEN left(s, 0) ELSE substr(s, n, size) END",
    ),
    macro(
        "split_part",
        "(s, d, n) AS CASE WHEN n < 1 THEN "
        f"CAST(CAST('{SUBSCRIPT_MARK}Index must be greater than zero' AS BIGINT) AS VARCHAR) "
        "ELSE string_split(s, d)[n] END",
    ),
    macro(
        "split",
        "(s, d) AS string_split(s, d)",
        # what is left beyond the last part stays together
        "(s, d, n) AS CASE WHEN len(string_split(s, d)) <= n THEN string_split(s, d) "
        "ELSE list_append(string_split(s, d)[1:n - 1], array_to_string(string_split(s, d)[n:], d)) END",
    ),
    macro(
        "strpos",
        "(s, part) AS strpos(s, part)",
        "(s, part, n) AS CASE WHEN n < 1 OR len(string_split(s, part)) <= n THEN CAST(0 AS BIGINT) "
        "ELSE CAST(length(array_to_string(string_split(s, part)[1:n], part)) + 1 AS BIGINT) END",
    ),
    # the encoding of forms, as Java's
    macro(
        "url_encode",
        "(s) AS replace(replace(replace(url_encode(s), '%20', '+'), '%2A', '*'), '~', '%7E')",
    ),
    macro("url_decode", "(s) AS url_decode(replace(s, '+', '%20'))"),
    macro(
        "regexp_extract",
        "(s, p) AS CASE WHEN regexp_matches(s, p) THEN regexp_extract(s, p) END",
        "(s, p, g) AS CASE WHEN regexp_matches(s, p) THEN regexp_extract(s, p, g) END",
    ),
    macro("regexp_count", "(s, p) AS len(regexp_extract_all(s, p))"),
    macro("codepoint", "(s) AS CAST(unicode(s) AS INTEGER)"),
    macro("url_extract_protocol", "(u) AS nullif(regexp_extract(u, '^([A-Za-z][A-Za-z0-9+.-]*):', 1), '')"),
    macro(
        "url_extract_host", "(u) AS nullif(regexp_extract(u, '^[^:/?#]+://(?:[^/?#@]*@)?([^/?#:]*)', 1), '')"
    ),
    macro(
        "url_extract_port",
        "(u) AS CAST(nullif(regexp_extract(u, '^[^:/?#]+://[^/?#]*:([0-9]+)', 1), '') AS BIGINT)",
    ),
    macro("url_extract_path", "(u) AS regexp_extract(u, '^(?:[^:/?#]+:)?(?://[^/?#]*)?([^?#]*)', 1)"),
    macro("url_extract_query", "(u) AS regexp_extract(u, '^[^?#]*\\?([^#]*)', 1)"),
    macro("url_extract_fragment", "(u) AS regexp_extract(u, '#(.*)$', 1)"),
    macro(
        "url_extract_parameter",
        "(u, name) AS CASE WHEN regexp_matches(u, '[?&]' || regexp_escape(name) || '=') "
        "THEN url_decode(regexp_extract(u, '[?&]' || regexp_escape(name) || '=([^&#]*)', 1)) END",
    ),
)

JSON = (
    macro("json_parse", "(x) AS json(x)"),
    macro(
        "to_json",
        # the keys of a map come in order
        "(x) AS CASE WHEN typeof(x) LIKE 'MAP(VARCHAR%' THEN to_json(map_from_entries(list_transform("
        "list_sort(json_keys(to_json(x))), lambda k: {'key': k, 'value': json_extract(to_json(x), "
        "'$.\"' || replace(replace(k, '\\', '\\\\'), '\"', '\\\"') || '\"')}))) ELSE to_json(x) END",
    ),
    macro("json_format", "(x) AS CAST(json(x) AS VARCHAR)"),
    # What is JSON by its type need not be looked at once more.
    macro("is_json", "(x) AS typeof(x) = 'JSON' OR json_valid(x)"),
    macro("json_extract", "(x, p) AS CASE WHEN athena_is_json(x) THEN json_extract(x, p) END"),
    macro("json_extract_all", "(x, ps) AS CASE WHEN athena_is_json(x) THEN json_extract(x, ps) END"),
    macro(
        "json_extract_scalar",
        "(x, p) AS CASE WHEN athena_is_json(x) THEN json_extract_string(json_value(x, p), '$') END",
    ),
    macro(
        # the whole document; values of DuckDB's JSON begin without blanks, so that one look tells their kind
        "json_scalar",
        "(x) AS CASE WHEN typeof(x) <> 'JSON' THEN athena_json_extract_scalar(x, '$') "
        f"WHEN ascii(CAST(x AS VARCHAR)) NOT IN ({ord('[')}, {ord('{')}) "
        "THEN json_extract_string(x, '$') END",
    ),
    macro(
        "json_array_length",
        "(x) AS CASE WHEN json_valid(x) AND json_type(x) = 'ARRAY' THEN CAST(json_array_length(x) AS "
        "BIGINT) END",
    ),
    macro("json_array_get", "(x, n) AS CASE WHEN json_valid(x) THEN json_extract(x, '$[' || n || ']') END"),
    macro(
        "json_size",
        "(x, p) AS CASE WHEN athena_is_json(x) "
        "THEN CAST(coalesce(nullif(len(json_keys(x, p)), 0), json_array_length(x, p)) AS BIGINT) END",
    ),
    macro("is_json_scalar", "(x) AS json_type(x) NOT IN ('OBJECT', 'ARRAY')"),
)

DATES = (
    macro("date_add", f"(u, n, x) AS cast_to_type(x + CASE athena_unit(u, x) {_DATE_ADD_STEPS} END, x)"),
    macro(
        "date_diff",
        "(u, a, b) AS CAST(date_sub(lower(u), CAST(a AS TIMESTAMP), CAST(b AS TIMESTAMP)) AS BIGINT)",
    ),
    macro("date_trunc", "(u, x) AS cast_to_type(date_trunc(athena_unit(u, x), x), x)"),
    macro("last_day_of_month", "(x) AS last_day(x)"),
    macro("from_unixtime", "(x) AS to_timestamp(CAST(x AS DOUBLE))"),
    macro("to_unixtime", "(x) AS CAST(epoch(x) AS DOUBLE)"),
    macro("from_iso8601_timestamp", "(x) AS CAST(x AS TIMESTAMPTZ)"),
    macro("from_iso8601_date", "(x) AS CAST(x AS DATE)"),
    macro(
        "to_iso8601",
        "(x) AS CASE typeof(x) WHEN 'DATE' THEN strftime(CAST(x AS TIMESTAMP), '%Y-%m-%d') "
        "WHEN 'TIMESTAMP WITH TIME ZONE' THEN strftime(CAST(x AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%gZ') "
        "ELSE strftime(CAST(x AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%g') END",
    ),
    macro("with_timezone", "(x, z) AS CAST(x AS TIMESTAMP) AT TIME ZONE z"),
    *(
        macro(name, f"(x) AS CAST(date_part('{part}', x) AS BIGINT)")
        for name, part in {
            "year": "year",
            "quarter": "quarter",
            "month": "month",
            "week": "week",
            "week_of_year": "week",
            "day": "day",
            "day_of_month": "day",
            "hour": "hour",
            "minute": "minute",
            "day_of_week": "isodow",
            "dow": "isodow",
            "day_of_year": "doy",
            "doy": "doy",
            "year_of_week": "isoyear",
            "yow": "isoyear",
        }.items()
    ),
    macro("second", "(x) AS CAST(floor(date_part('second', x)) AS BIGINT)"),
    macro("millisecond", "(x) AS CAST(date_part('millisecond', x) % 1000 AS BIGINT)"),
)

BINARY = (
    macro("md5", "(x) AS unhex(md5(x))"),
    macro("sha1", "(x) AS unhex(sha1(x))"),
    macro("sha256", "(x) AS unhex(sha256(x))"),
    macro("from_utf8", "(x) AS decode(x)"),
    macro("bitwise_and", "(a, b) AS CAST(a AS BIGINT) & CAST(b AS BIGINT)"),
    macro("bitwise_or", "(a, b) AS CAST(a AS BIGINT) | CAST(b AS BIGINT)"),
    macro("bitwise_xor", "(a, b) AS xor(CAST(a AS BIGINT), CAST(b AS BIGINT))"),
    macro("bitwise_not", "(a) AS ~CAST(a AS BIGINT)"),
    macro("bitwise_left_shift", "(a, b) AS CAST(a AS BIGINT) << CAST(b AS BIGINT)"),
    macro("bitwise_right_shift", "(a, b) AS CAST(a AS BIGINT) >> CAST(b AS BIGINT)"),
)

MACROS: tuple[str, ...] = (
    *PRINTING,
    *ARITHMETIC,
    *TEXT,
    *JSON,
    *COLLECTIONS,
    *DATES,
    *BINARY,
)
