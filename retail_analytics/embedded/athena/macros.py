"""DuckDB macros that give Athena's functions their own semantics.

Belongs here: what can be said in SQL. Does not belong here: functions that need the query's tree, such as
those with lambdas or format strings (`functions.py`).

Overloads by type are to be avoided: DuckDB chooses the wrong one when an argument holds an aggregate. An
error is raised by a cast that fails, because DuckDB's `error()` may not stand inside TRY.
"""

from __future__ import annotations

from retail_analytics.embedded.athena.errors import DIVISION_MARK, SUBSCRIPT_MARK

_UNITS = ("millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year")


def _macro(signature: str, *overloads: str) -> str:
    """`CREATE MACRO athena_NAME`, each overload written as `(parameters) AS expression`."""
    return f"CREATE MACRO athena_{signature} " + ", ".join(overloads)


def _step(unit: str) -> str:
    if unit == "quarter":
        return "to_months(CAST(3 * n AS INTEGER))"
    whole = unit in {"day", "week", "month", "year"}
    return f"to_{unit}s(CAST(n AS {'INTEGER' if whole else 'BIGINT' if unit != 'second' else 'DOUBLE'}))"


_DATE_ADD_STEPS = " ".join(f"WHEN '{unit}' THEN {_step(unit)}" for unit in _UNITS)

ARITHMETIC = (
    # `//` truncates integers; the result has the type of a difference, which is Athena's, too
    _macro(
        "div",
        "(a, b) AS CASE WHEN typeof(a - b) IN ('DOUBLE', 'FLOAT') THEN cast_to_type(a / b, a - b) "
        f"WHEN b = 0 THEN cast_to_type('{DIVISION_MARK}', a - b) ELSE cast_to_type(a // b, a - b) END",
    ),
    _macro(
        "mod",
        "(a, b) AS CASE WHEN b = 0 THEN CASE WHEN typeof(a - b) IN ('DOUBLE', 'FLOAT') "
        f"THEN cast_to_type('nan', a % b) ELSE cast_to_type('{DIVISION_MARK}', a % b) END ELSE a % b END",
    ),
    # a decimal keeps its scale
    _macro("round", "(x) AS round(x)", "(x, n) AS cast_to_type(round(x, n), x - x)"),
    *(
        _macro(
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
    _macro(
        "truncate",
        "(x) AS trunc(x)",
        "(x, n) AS cast_to_type(trunc(x * CAST(pow(10, n) AS BIGINT)) / CAST(pow(10, n) AS BIGINT), x)",
    ),
    _macro("sign", "(x) AS cast_to_type(sign(x), x)"),
    _macro(
        "random",
        "(n) AS cast_to_type(floor(random() * n), n)",
        "(a, b) AS cast_to_type(a + floor(random() * (b - a)), b)",
    ),
    _macro("log", "(b, x) AS ln(x) / ln(b)"),
    _macro(
        "from_base",
        "(s, radix) AS CAST(list_reduce(list_transform(string_split(lower(s), ''), "
        "lambda c: CAST(strpos('0123456789abcdefghijklmnopqrstuvwxyz', c) - 1 AS BIGINT)), "
        "lambda a, d: a * radix + d, CAST(0 AS BIGINT)) AS BIGINT)",
    ),
)

TEXT = (
    # `digits` is a timestamp as DuckDB prints it, with as many digits after the point as there are
    _macro(
        "print_millis",
        "(digits) AS left(digits || CASE WHEN contains(digits, '.') THEN '00' ELSE '.000' END, 23)",
    ),
    _macro(
        "substr",
        # there is no character 0, and none before the first
        "(s, n) AS CASE WHEN n = 0 OR -n > length(s) THEN left(s, 0) ELSE substr(s, n) END",
        "(s, n, size) AS CASE WHEN n = 0 OR -n > length(s) THEN left(s, 0) ELSE substr(s, n, size) END",
    ),
    _macro(
        "split_part",
        "(s, d, n) AS CASE WHEN n < 1 THEN "
        f"CAST(CAST('{SUBSCRIPT_MARK}Index must be greater than zero' AS BIGINT) AS VARCHAR) "
        "ELSE string_split(s, d)[n] END",
    ),
    _macro(
        "split",
        "(s, d) AS string_split(s, d)",
        # what is left beyond the last part stays together
        "(s, d, n) AS CASE WHEN len(string_split(s, d)) <= n THEN string_split(s, d) "
        "ELSE list_append(string_split(s, d)[1:n - 1], array_to_string(string_split(s, d)[n:], d)) END",
    ),
    _macro(
        "strpos",
        "(s, part) AS strpos(s, part)",
        "(s, part, n) AS CASE WHEN n < 1 OR len(string_split(s, part)) <= n THEN CAST(0 AS BIGINT) "
        "ELSE CAST(length(array_to_string(string_split(s, part)[1:n], part)) + 1 AS BIGINT) END",
    ),
    # the encoding of forms, as Java's
    _macro(
        "url_encode",
        "(s) AS replace(replace(replace(url_encode(s), '%20', '+'), '%2A', '*'), '~', '%7E')",
    ),
    _macro("url_decode", "(s) AS url_decode(replace(s, '+', '%20'))"),
    _macro(
        "regexp_extract",
        "(s, p) AS CASE WHEN regexp_matches(s, p) THEN regexp_extract(s, p) END",
        "(s, p, g) AS CASE WHEN regexp_matches(s, p) THEN regexp_extract(s, p, g) END",
    ),
    _macro("regexp_count", "(s, p) AS len(regexp_extract_all(s, p))"),
    _macro("codepoint", "(s) AS CAST(unicode(s) AS INTEGER)"),
    _macro("url_extract_protocol", "(u) AS nullif(regexp_extract(u, '^([A-Za-z][A-Za-z0-9+.-]*):', 1), '')"),
    _macro(
        "url_extract_host", "(u) AS nullif(regexp_extract(u, '^[^:/?#]+://(?:[^/?#@]*@)?([^/?#:]*)', 1), '')"
    ),
    _macro(
        "url_extract_port",
        "(u) AS CAST(nullif(regexp_extract(u, '^[^:/?#]+://[^/?#]*:([0-9]+)', 1), '') AS BIGINT)",
    ),
    _macro("url_extract_path", "(u) AS regexp_extract(u, '^(?:[^:/?#]+:)?(?://[^/?#]*)?([^?#]*)', 1)"),
    _macro("url_extract_query", "(u) AS regexp_extract(u, '^[^?#]*\\?([^#]*)', 1)"),
    _macro("url_extract_fragment", "(u) AS regexp_extract(u, '#(.*)$', 1)"),
    _macro(
        "url_extract_parameter",
        "(u, name) AS CASE WHEN regexp_matches(u, '[?&]' || regexp_escape(name) || '=') "
        "THEN url_decode(regexp_extract(u, '[?&]' || regexp_escape(name) || '=([^&#]*)', 1)) END",
    ),
    _macro(
        "print_exponent",
        # `text` is what DuckDB prints of a finite number without its sign: 1.0, 123456.7, 1e-05, 1.5e+20
        "(text) AS CASE WHEN contains(text, 'e') THEN "
        "regexp_replace(split_part(text, 'e', 1) || CASE WHEN contains(split_part(text, 'e', 1), '.') "
        "THEN '' ELSE '.0' END, '$', '') || 'E' || CAST(CAST(split_part(text, 'e', 2) AS INTEGER) AS "
        "VARCHAR) "
        "WHEN starts_with(text, '0.000') THEN athena_print_mantissa(ltrim(replace(text, '.', ''), '0')) "
        "|| 'E-' || CAST(length(regexp_extract(split_part(text, '.', 2), '^0*')) + 1 AS VARCHAR) "
        "WHEN strpos(text, '.') > 8 THEN athena_print_mantissa(replace(text, '.', '')) "
        "|| 'E' || CAST(strpos(text, '.') - 2 AS VARCHAR) ELSE text END",
    ),
    _macro(
        "print_interval",
        # milliseconds as `2 00:00:00.000`
        "(x) AS CASE WHEN epoch_ms(x) < 0 THEN '-' ELSE '' END || printf('%d %02d:%02d:%02d.%03d', "
        "abs(epoch_ms(x)) // 86400000, abs(epoch_ms(x)) // 3600000 % 24, abs(epoch_ms(x)) // 60000 % 60, "
        "abs(epoch_ms(x)) // 1000 % 60, abs(epoch_ms(x)) % 1000)",
    ),
    _macro(
        "print_double",
        # Java's Double.toString: an exponent from 10^7 on and below 10^-3
        "(x) AS CASE WHEN x IS NULL THEN NULL WHEN isnan(x) THEN 'NaN' WHEN isinf(x) THEN "
        "CASE WHEN x > 0 THEN 'Infinity' ELSE '-Infinity' END "
        "ELSE CASE WHEN starts_with(CAST(x AS VARCHAR), '-') THEN '-' ELSE '' END "
        "|| athena_print_exponent(ltrim(CAST(x AS VARCHAR), '-')) END",
    ),
    _macro(
        "cast_varchar",
        "(x) AS CASE typeof(x) WHEN 'JSON' THEN json_extract_string(to_json(x), '$') "
        "WHEN 'TIMESTAMP' THEN athena_print_millis(CAST(x AS VARCHAR)) "
        "WHEN 'TIMESTAMP WITH TIME ZONE' "
        "THEN athena_print_millis(regexp_replace(CAST(x AS VARCHAR), '[+-][0-9:]+$', '')) || ' UTC' "
        "WHEN 'DOUBLE' THEN athena_print_scientific(CAST(x AS VARCHAR)) "
        "WHEN 'FLOAT' THEN athena_print_scientific(CAST(x AS VARCHAR)) "
        "ELSE CAST(x AS VARCHAR) END",
    ),
)

_SCIENTIFIC = _macro(
    "print_scientific",
    # one digit before the point and an exponent, always; `text` is what DuckDB prints
    "(text) AS CASE WHEN text IS NULL THEN NULL WHEN text IN ('nan', '-nan') THEN 'NaN' WHEN text = 'inf' "
    "THEN 'Infinity' WHEN text = '-inf' THEN '-Infinity' WHEN ltrim(text, '-') IN ('0.0', '0') "
    "THEN replace(replace(text, '0.0', '0'), '0', '0E0') "
    "ELSE CASE WHEN starts_with(text, '-') THEN '-' ELSE '' END || athena_print_digits(ltrim(text, '-')) END",
)
_DIGITS = _macro(
    "print_digits",
    "(text) AS athena_print_mantissa(ltrim(replace(split_part(text, 'e', 1), '.', ''), '0')) || 'E' || "
    "CAST(coalesce(TRY_CAST(nullif(split_part(text, 'e', 2), '') AS INTEGER), 0) + CASE WHEN "
    "starts_with(text, '0.') THEN -1 - length(regexp_extract(split_part(split_part(text, 'e', 1), '.', 2), "
    "'^0*')) ELSE length(split_part(split_part(text, 'e', 1), '.', 1)) - 1 END AS VARCHAR)",
)
_MANTISSA = _macro(
    "print_mantissa",
    "(digits) AS left(digits, 1) || '.' || CASE WHEN rtrim(substr(digits, 2), '0') = '' THEN '0' "
    "ELSE rtrim(substr(digits, 2), '0') END",
)

JSON = (
    _macro("json_parse", "(x) AS json(x)"),
    _macro(
        "to_json",
        # the keys of a map come in order
        "(x) AS CASE WHEN typeof(x) LIKE 'MAP(VARCHAR%' THEN to_json(map_from_entries(list_transform("
        "list_sort(json_keys(to_json(x))), lambda k: {'key': k, 'value': json_extract(to_json(x), "
        "'$.\"' || replace(replace(k, '\\', '\\\\'), '\"', '\\\"') || '\"')}))) ELSE to_json(x) END",
    ),
    _macro("json_format", "(x) AS CAST(json(x) AS VARCHAR)"),
    # What is JSON by its type need not be looked at once more.
    _macro("is_json", "(x) AS typeof(x) = 'JSON' OR json_valid(x)"),
    _macro("json_extract", "(x, p) AS CASE WHEN athena_is_json(x) THEN json_extract(x, p) END"),
    _macro("json_extract_all", "(x, ps) AS CASE WHEN athena_is_json(x) THEN json_extract(x, ps) END"),
    _macro(
        "json_extract_scalar",
        "(x, p) AS CASE WHEN athena_is_json(x) THEN json_extract_string(json_value(x, p), '$') END",
    ),
    _macro(
        "json_array_length",
        "(x) AS CASE WHEN json_valid(x) AND json_type(x) = 'ARRAY' THEN CAST(json_array_length(x) AS "
        "BIGINT) END",
    ),
    _macro("json_array_get", "(x, n) AS CASE WHEN json_valid(x) THEN json_extract(x, '$[' || n || ']') END"),
    _macro(
        "json_size",
        "(x, p) AS CASE WHEN json_valid(x) THEN CAST(CASE json_type(x, p) WHEN 'ARRAY' THEN "
        "json_array_length(x, p) "
        "WHEN 'OBJECT' THEN len(json_keys(x, p)) ELSE 0 END AS BIGINT) END",
    ),
    _macro("is_json_scalar", "(x) AS json_type(x) NOT IN ('OBJECT', 'ARRAY')"),
)

COLLECTIONS = (
    # `len` takes no map: one expression has to bind for both
    _macro(
        "cardinality",
        "(x) AS CASE WHEN x IS NULL THEN NULL WHEN typeof(x) LIKE 'MAP(%' "
        "THEN CAST(len(json_keys(to_json(x))) AS BIGINT) ELSE CAST(json_array_length(to_json(x)) AS "
        "BIGINT) END",
    ),
    _macro(
        "element_at",
        "(x, k) AS x[CASE WHEN typeof(x) LIKE '%[]' AND CAST(k AS VARCHAR) = '0' THEN cast_to_type("
        f"CAST(CAST('{SUBSCRIPT_MARK}SQL array indices start at 1' AS BIGINT) AS VARCHAR), k) ELSE k END]",
    ),
    # NULL among the items is an item that nobody knows
    _macro(
        "contains",
        "(x, e) AS CASE WHEN x IS NULL OR e IS NULL THEN NULL WHEN list_contains(x, e) THEN true "
        "WHEN list_count(x) < len(x) THEN NULL ELSE false END",
    ),
    _macro("array_max", "(x) AS CASE WHEN list_count(x) = len(x) THEN list_max(x) END"),
    _macro("array_min", "(x) AS CASE WHEN list_count(x) = len(x) THEN list_min(x) END"),
    _macro(
        "any_match",
        "(x) AS CASE WHEN list_contains(x, true) THEN true WHEN list_count(x) = len(x) THEN false END",
    ),
    _macro(
        "all_match",
        "(x) AS CASE WHEN list_contains(x, false) THEN false WHEN list_count(x) = len(x) THEN true END",
    ),
    _macro("trim_array", "(x, n) AS list_slice(x, 1, len(x) - n)"),
    _macro("map_entries", "(x) AS list_transform(map_entries(x), lambda e: row(e.key, e.value))"),
    _macro(
        "subscript_error",
        "(x, k) AS CASE WHEN typeof(x) LIKE 'MAP(%)' THEN 'Key not present in map: ' || CAST(k AS VARCHAR) "
        "WHEN starts_with(CAST(k AS VARCHAR), '-') THEN 'Array subscript is negative: ' || "
        "CAST(k AS VARCHAR) "
        "WHEN CAST(k AS VARCHAR) = '0' THEN 'SQL array indices start at 1' "
        "ELSE 'Array subscript must be less than or equal to array length: ' || CAST(k AS VARCHAR) || ' > ' "
        "|| CAST(json_array_length(to_json(x)) AS VARCHAR) END",
    ),
    _macro(
        "subscript",
        # Only where the value is NULL is it asked whether it is there at all, which is costly. Keys of other
        # types than these may look different as JSON, so that nothing can be said of them.
        "(x, k) AS CASE WHEN x IS NOT NULL AND k IS NOT NULL AND CASE "
        "WHEN typeof(x) LIKE 'MAP(%)' THEN x[k] IS NULL AND typeof(k) IN ('VARCHAR', 'INTEGER', 'BIGINT', "
        "'DATE') AND NOT list_contains(json_keys(to_json(x)), CAST(k AS VARCHAR)) "
        "WHEN typeof(x) LIKE '%[]' THEN (x[k] IS NULL OR starts_with(CAST(k AS VARCHAR), '-')) "
        "AND TRY_CAST(CAST(k AS VARCHAR) AS BIGINT) NOT BETWEEN 1 AND json_array_length(to_json(x)) "
        "ELSE false END "
        f"THEN x[cast_to_type(CAST(CAST('{SUBSCRIPT_MARK}' || athena_subscript_error(x, k) AS BIGINT) AS "
        "VARCHAR), k)] ELSE x[k] END",
    ),
    _macro(
        "array_distinct",
        "(x) AS list_filter(x, lambda e, i: coalesce(list_position(list_transform(x, lambda f: f IS NOT "
        "DISTINCT FROM e), true) = i, false))",
    ),
    _macro(
        "array_join",
        "(x, d) AS array_to_string(list_filter(x, lambda e: e IS NOT NULL), d)",
        "(x, d, missing) AS array_to_string(list_transform(x, lambda e: coalesce(CAST(e AS VARCHAR), "
        "missing)), d)",
    ),
    _macro("array_sort", "(x) AS list_sort(x, 'ASC', 'NULLS LAST')"),
    _macro(
        "array_position",
        "(x, e) AS CASE WHEN x IS NULL OR e IS NULL THEN NULL "
        "ELSE CAST(coalesce(list_position(x, e), 0) AS BIGINT) END",
    ),
    _macro("array_remove", "(x, e) AS list_filter(x, lambda i: i <> e)"),
    _macro("array_union", "(x, y) AS athena_array_distinct(list_concat(x, y))"),
    _macro(
        "array_intersect", "(x, y) AS athena_array_distinct(list_filter(x, lambda e: list_contains(y, e)))"
    ),
    _macro(
        "array_except", "(x, y) AS athena_array_distinct(list_filter(x, lambda e: NOT list_contains(y, e)))"
    ),
    _macro(
        "slice",
        "(x, s, n) AS list_slice(x, CASE WHEN s < 0 THEN len(x) + s + 1 WHEN s = 0 THEN "
        f"CAST('{SUBSCRIPT_MARK}SQL array indices start at 1' AS BIGINT) ELSE s END, "
        "CASE WHEN s < 0 THEN len(x) + s ELSE s - 1 END + n)",
    ),
    _macro(
        "sequence",
        "(a BIGINT, b BIGINT) AS generate_series(a, b, CASE WHEN a <= b THEN 1 ELSE -1 END)",
        "(a DATE, b DATE) AS list_transform(generate_series(a, b, INTERVAL 1 DAY), lambda d: CAST(d AS "
        "DATE))",
        "(a, b, s) AS list_transform(generate_series(a, b, s), lambda d: cast_to_type(d, a))",
    ),
    _macro("repeat", "(x, n) AS list_transform(range(n), lambda i: x)"),
    _macro(
        "split_to_map",
        "(s, d, e) AS map_from_entries(list_transform(string_split(s, d), "
        "lambda p: {'key': split_part(p, e, 1), 'value': split_part(p, e, 2)}))",
    ),
    _macro(
        "distinct_entries",
        "(x) AS map_from_entries(list_filter(x, lambda e, i: "
        "list_position(list_transform(x, lambda f: f.key), e.key) = i))",
    ),
    _macro(
        "gathered_entries",
        "(x) AS map_from_entries(list_transform(athena_array_distinct(list_transform(x, lambda f: f.key)), "
        "lambda k: {'key': k, 'value': list_transform(list_filter(x, lambda e: e.key = k), lambda e: "
        "e.value)}))",
    ),
)

DATES = (
    _macro("date_add", f"(u, n, x) AS cast_to_type(x + CASE athena_unit(u, x) {_DATE_ADD_STEPS} END, x)"),
    _macro(
        "date_diff",
        "(u, a, b) AS CAST(date_sub(lower(u), CAST(a AS TIMESTAMP), CAST(b AS TIMESTAMP)) AS BIGINT)",
    ),
    _macro("date_trunc", "(u, x) AS cast_to_type(date_trunc(athena_unit(u, x), x), x)"),
    _macro("last_day_of_month", "(x) AS last_day(x)"),
    _macro("from_unixtime", "(x) AS to_timestamp(CAST(x AS DOUBLE))"),
    _macro("to_unixtime", "(x) AS CAST(epoch(x) AS DOUBLE)"),
    _macro("from_iso8601_timestamp", "(x) AS CAST(x AS TIMESTAMPTZ)"),
    _macro("from_iso8601_date", "(x) AS CAST(x AS DATE)"),
    _macro(
        "to_iso8601",
        "(x) AS CASE typeof(x) WHEN 'DATE' THEN strftime(CAST(x AS TIMESTAMP), '%Y-%m-%d') "
        "WHEN 'TIMESTAMP WITH TIME ZONE' THEN strftime(CAST(x AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%gZ') "
        "ELSE strftime(CAST(x AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%g') END",
    ),
    _macro("with_timezone", "(x, z) AS CAST(x AS TIMESTAMP) AT TIME ZONE z"),
    *(
        _macro(name, f"(x) AS CAST(date_part('{part}', x) AS BIGINT)")
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
    _macro("second", "(x) AS CAST(floor(date_part('second', x)) AS BIGINT)"),
    _macro("millisecond", "(x) AS CAST(date_part('millisecond', x) % 1000 AS BIGINT)"),
)

BINARY = (
    _macro("md5", "(x) AS unhex(md5(x))"),
    _macro("sha1", "(x) AS unhex(sha1(x))"),
    _macro("sha256", "(x) AS unhex(sha256(x))"),
    _macro("from_utf8", "(x) AS decode(x)"),
    _macro("bitwise_and", "(a, b) AS CAST(a AS BIGINT) & CAST(b AS BIGINT)"),
    _macro("bitwise_or", "(a, b) AS CAST(a AS BIGINT) | CAST(b AS BIGINT)"),
    _macro("bitwise_xor", "(a, b) AS xor(CAST(a AS BIGINT), CAST(b AS BIGINT))"),
    _macro("bitwise_not", "(a) AS ~CAST(a AS BIGINT)"),
    _macro("bitwise_left_shift", "(a, b) AS CAST(a AS BIGINT) << CAST(b AS BIGINT)"),
    _macro("bitwise_right_shift", "(a, b) AS CAST(a AS BIGINT) >> CAST(b AS BIGINT)"),
)

MACROS: tuple[str, ...] = (
    _MANTISSA,
    _DIGITS,
    _SCIENTIFIC,
    *ARITHMETIC,
    *TEXT,
    *JSON,
    *COLLECTIONS,
    *DATES,
    *BINARY,
)
