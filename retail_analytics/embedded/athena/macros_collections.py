"""DuckDB macros of Athena's functions on arrays and maps; see `macros.py` for what holds for all macros."""

from __future__ import annotations

from retail_analytics.embedded.athena.errors import SUBSCRIPT_MARK
from retail_analytics.embedded.athena.quoting import macro

COLLECTIONS = (
    # `len` takes no map: one expression has to bind for both
    macro(
        "cardinality",
        "(x) AS CASE WHEN x IS NULL THEN NULL WHEN typeof(x) LIKE 'MAP(%' "
        "THEN CAST(len(json_keys(to_json(x))) AS BIGINT) ELSE CAST(json_array_length(to_json(x)) AS "
        "BIGINT) END",
    ),
    macro(
        "element_at",
        "(x, k) AS x[CASE WHEN typeof(x) LIKE '%[]' AND CAST(k AS VARCHAR) = '0' THEN cast_to_type("
        f"CAST(CAST('{SUBSCRIPT_MARK}SQL array indices start at 1' AS BIGINT) AS VARCHAR), k) ELSE k END]",
    ),
    # NULL among the items is an item that nobody knows
    macro(
        "contains",
        "(x, e) AS CASE WHEN x IS NULL OR e IS NULL THEN NULL WHEN list_contains(x, e) THEN true "
        "WHEN list_count(x) < len(x) THEN NULL ELSE false END",
    ),
    macro("array_max", "(x) AS CASE WHEN list_count(x) = len(x) THEN list_max(x) END"),
    macro("array_min", "(x) AS CASE WHEN list_count(x) = len(x) THEN list_min(x) END"),
    macro(
        "any_match",
        "(x) AS CASE WHEN list_contains(x, true) THEN true WHEN list_count(x) = len(x) THEN false END",
    ),
    macro(
        "all_match",
        "(x) AS CASE WHEN list_contains(x, false) THEN false WHEN list_count(x) = len(x) THEN true END",
    ),
    macro("trim_array", "(x, n) AS list_slice(x, 1, len(x) - n)"),
    macro("map_entries", "(x) AS list_transform(map_entries(x), lambda e: row(e.key, e.value))"),
    macro(
        "subscript_error",
        "(x, k) AS CASE WHEN typeof(x) LIKE 'MAP(%)' THEN 'Key not present in map: ' || CAST(k AS VARCHAR) "
        "WHEN starts_with(CAST(k AS VARCHAR), '-') THEN 'Array subscript is negative: ' || "
        "CAST(k AS VARCHAR) "
        "WHEN CAST(k AS VARCHAR) = '0' THEN 'SQL array indices start at 1' "
        "ELSE 'Array subscript must be less than or equal to array length: ' || CAST(k AS VARCHAR) || ' > ' "
        "|| CAST(json_array_length(to_json(x)) AS VARCHAR) END",
    ),
    macro(
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
    macro(
        "array_distinct",
        "(x) AS list_filter(x, lambda e, i: coalesce(list_position(list_transform(x, lambda f: f IS NOT "
        "DISTINCT FROM e), true) = i, false))",
    ),
    macro(
        "array_join",
        "(x, d) AS array_to_string(list_filter(x, lambda e: e IS NOT NULL), d)",
        "(x, d, missing) AS array_to_string(list_transform(x, lambda e: coalesce(CAST(e AS VARCHAR), "
        "missing)), d)",
    ),
    macro("array_sort", "(x) AS list_sort(x, 'ASC', 'NULLS LAST')"),
    macro(
        "array_position",
        "(x, e) AS CASE WHEN x IS NULL OR e IS NULL THEN NULL "
        "ELSE CAST(coalesce(list_position(x, e), 0) AS BIGINT) END",
    ),
    macro("array_remove", "(x, e) AS list_filter(x, lambda i: i <> e)"),
    macro("array_union", "(x, y) AS athena_array_distinct(list_concat(x, y))"),
    macro(
        "array_intersect", "(x, y) AS athena_array_distinct(list_filter(x, lambda e: list_contains(y, e)))"
    ),
    macro(
        "array_except", "(x, y) AS athena_array_distinct(list_filter(x, lambda e: NOT list_contains(y, e)))"
    ),
    macro(
        "slice",
        "(x, s, n) AS list_slice(x, CASE WHEN s < 0 THEN len(x) + s + 1 WHEN s = 0 THEN "
        f"CAST('{SUBSCRIPT_MARK}SQL array indices start at 1' AS BIGINT) ELSE s END, "
        "CASE WHEN s < 0 THEN len(x) + s ELSE s - 1 END + n)",
    ),
    macro(
        "sequence",
        "(a BIGINT, b BIGINT) AS generate_series(a, b, CASE WHEN a <= b THEN 1 ELSE -1 END)",
        "(a DATE, b DATE) AS list_transform(generate_series(a, b, INTERVAL 1 DAY), lambda d: CAST(d AS "
        "DATE))",
        "(a, b, s) AS list_transform(generate_series(a, b, s), lambda d: cast_to_type(d, a))",
    ),
    macro("repeat", "(x, n) AS list_transform(range(n), lambda i: x)"),
    macro(
        "split_to_map",
        "(s, d, e) AS map_from_entries(list_transform(string_split(s, d), "
        "lambda p: {'key': split_part(p, e, 1), 'value': split_part(p, e, 2)}))",
    ),
    macro(
        "distinct_entries",
        "(x) AS map_from_entries(list_filter(x, lambda e, i: "
        "list_position(list_transform(x, lambda f: f.key), e.key) = i))",
    ),
    macro(
        "gathered_entries",
        "(x) AS map_from_entries(list_transform(athena_array_distinct(list_transform(x, lambda f: f.key)), "
        "lambda k: {'key': k, 'value': list_transform(list_filter(x, lambda e: e.key = k), lambda e: "
        "e.value)}))",
    ),
)
