"""Athena's functions by name, and the DuckDB expression that each becomes.

Belongs here: the list of what is covered; whatever is not in it ends FUNCTION_NOT_FOUND, so that no
function of DuckDB (such as those that read files) can be reached. Does not belong here: semantics that SQL
can say (`macros.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from retail_analytics.embedded.athena.calls import call
from retail_analytics.embedded.athena.errors import QueryFailedError, not_supported
from retail_analytics.embedded.athena.formats import format_parts, joda_pattern, json_path, mysql_pattern
from retail_analytics.embedded.athena.lambdas import map_filter, match, reduce, transform_map, zip_with

if TYPE_CHECKING:
    from collections.abc import Callable

    Arguments = list[exp.Expr]
    Build = Callable[[str, Arguments], exp.Expr]

_MANY = 255


@dataclass(frozen=True)
class Function:
    """A covered function: how many arguments it takes, and how it is built."""

    low: int
    high: int
    build: Build
    aggregate: bool = False


def _text(name: str, what: str, argument: exp.Expr) -> str:
    if isinstance(argument, exp.Literal) and argument.is_string:
        return str(argument.this)
    raise not_supported(f"{name} with a {what} that is not a literal")


def _native(name: str) -> Build:
    return lambda _, arguments: call(name, *arguments)


def _macro(name: str, arguments: Arguments) -> exp.Expr:
    return call(f"athena_{name}", *arguments)


def _cast(value: exp.Expr, kind: str) -> exp.Cast:
    return exp.Cast(this=value, to=exp.DataType.build(kind, dialect="duckdb"))


def _concat(_: str, arguments: Arguments) -> exp.Expr:
    result = arguments[0]
    for argument in arguments[1:]:
        result = exp.DPipe(this=result, expression=argument, safe=False)
    return exp.Paren(this=result)


def _null_if_any_null(name: str, arguments: Arguments) -> exp.Expr:
    missing = exp.or_(*(exp.Is(this=item.copy(), expression=exp.Null()) for item in arguments))
    return exp.Case(ifs=[exp.If(this=missing, true=exp.Null())], default=call(name, *arguments))


def _date(_: str, arguments: Arguments) -> exp.Expr:
    return call("athena_cast_date", arguments[0])


def _date_format(name: str, arguments: Arguments) -> exp.Expr:
    return call(
        "strftime",
        call("athena_stamp", name, arguments[0]),
        mysql_pattern(_text(name, "pattern", arguments[1]), name),
    )


def _date_diff(name: str, arguments: Arguments) -> exp.Expr:
    unit, first, last = arguments
    return call("athena_date_diff", unit, call("athena_stamp", name, first), call("athena_stamp", name, last))


def _date_parse(name: str, arguments: Arguments) -> exp.Expr:
    return call("strptime", arguments[0], mysql_pattern(_text(name, "pattern", arguments[1]), name))


def _format_datetime(name: str, arguments: Arguments) -> exp.Expr:
    return call(
        "strftime",
        call("athena_stamp", name, arguments[0]),
        joda_pattern(_text(name, "pattern", arguments[1]), name),
    )


def _parse_datetime(name: str, arguments: Arguments) -> exp.Expr:
    pattern = joda_pattern(_text(name, "pattern", arguments[1]), name)
    return _cast(call("strptime", arguments[0], pattern), "TIMESTAMPTZ")


def _format(name: str, arguments: Arguments) -> exp.Expr:
    text, kinds = format_parts(_text(name, "format string", arguments[0]))
    values = arguments[1:]
    if len(kinds) > len(values):
        raise QueryFailedError(
            "INVALID_FUNCTION_ARGUMENT", f"Format specifier without an argument in '{text}'"
        )
    typed = [_formatted(kind, value) for kind, value in zip(kinds, values, strict=False)]
    return call("printf", text, *typed)


def _formatted(kind: str, value: exp.Expr) -> exp.Expr:
    cast = {"d": "BIGINT", "x": "BIGINT", "X": "BIGINT", "o": "BIGINT", "s": "VARCHAR", "b": "VARCHAR"}
    if kind.startswith("f"):
        return call("athena_half_up", value, exp.Literal.number(kind[1:]))
    return _cast(value, cast.get(kind, "DOUBLE"))


def _json_path_call(name: str, arguments: Arguments) -> exp.Expr:
    path = json_path(_text(name, "JSON path", arguments[1]))
    if name == "json_extract_scalar" and path == "$":
        return call("athena_json_scalar", arguments[0])
    return call(f"athena_{name}", arguments[0], path)


def _regexp_replace(name: str, arguments: Arguments) -> exp.Expr:
    replacement = _text(name, "replacement", arguments[2]) if len(arguments) == 3 else ""
    escaped = "".join(
        f"\\{part[0]}{part[1:]}" if index and part[:1].isdigit() else ("$" if index else "") + part
        for index, part in enumerate(replacement.replace("\\", "\\\\").split("$"))
    )
    return call("regexp_replace", arguments[0], arguments[1], escaped, "g")


def _replace(_: str, arguments: Arguments) -> exp.Expr:
    return call("replace", *arguments, *([""] if len(arguments) == 2 else []))


def _extreme_by(name: str, arguments: Arguments) -> exp.Expr:
    """min_by(x, y): the x of the least y, NULL or not; min_by(x, y, n): the x of the n least, an array."""
    side = "arg_min" if name == "min_by" else "arg_max"
    return call(f"{side}_null" if len(arguments) == len("xy") else side, *arguments)


def _random(_: str, arguments: Arguments) -> exp.Expr:
    return call("athena_random" if arguments else "random", *arguments)


def _count_if(_: str, arguments: Arguments) -> exp.Expr:
    return call("count", exp.Case(ifs=[exp.If(this=arguments[0], true=exp.Literal.number(1))]))


def _map_agg(_: str, arguments: Arguments) -> exp.Expr:
    entry = exp.Struct(
        expressions=[
            exp.PropertyEQ(this=exp.to_identifier(name), expression=value)
            for name, value in zip(("key", "value"), arguments, strict=True)
        ]
    )
    return call("list", entry)


def _first(name: str) -> Build:
    return lambda _, arguments: call(name, arguments[0])


def _constant(sql: str) -> Build:
    return lambda _, __: exp.maybe_parse(sql, dialect="duckdb")


def _json_cast(value: exp.Expr) -> exp.Expr:
    return call("to_json", value)


def _table(
    build: Build | None, names: str, low: int, high: int | None = None, *, aggregate: bool = False
) -> dict[str, Function]:
    found: dict[str, Function] = {}
    for name in names.split():
        maker = build if build is not None else _native(name)
        found[name] = Function(low, low if high is None else high, maker, aggregate)
    return found


def _renamed(
    pairs: str, low: int, high: int | None = None, *, aggregate: bool = False
) -> dict[str, Function]:
    found: dict[str, Function] = {}
    for pair in pairs.split():
        name, _, target = pair.partition("=")
        found[name] = Function(low, low if high is None else high, _native(target), aggregate)
    return found


FUNCTIONS: dict[str, Function] = {
    # text
    **_table(None, "lower upper reverse length trim ltrim rtrim", 1),
    **_renamed("from_hex=unhex to_hex=hex to_utf8=encode chr=chr", 1),
    **_table(None, "starts_with", 2),
    **_table(_macro, "strpos split", 2, 3),
    **_table(None, "translate lpad rpad", 3),
    **_renamed(
        "levenshtein_distance=levenshtein hamming_distance=hamming regexp_like=regexp_matches",
        2,
    ),
    **_renamed("regexp_split=regexp_split_to_array", 2),
    **_renamed("substr=athena_substr substring=athena_substr regexp_extract_all=regexp_extract_all", 2, 3),
    **_table(_macro, "codepoint", 1),
    **_table(_macro, "regexp_count", 2),
    **_table(_macro, "split_part split_to_map", 3),
    **_table(_macro, "regexp_extract", 2, 3),
    **_table(
        _macro, "url_extract_protocol url_extract_host url_extract_port url_extract_path url_extract_query", 1
    ),
    **_table(_macro, "url_extract_fragment", 1),
    **_table(_macro, "url_extract_parameter", 2),
    **_table(_macro, "url_encode url_decode", 1),
    **_table(_concat, "concat", 2, _MANY),
    **_table(_regexp_replace, "regexp_replace", 2, 3),
    **_table(_replace, "replace", 2, 3),
    **_table(_format, "format", 2, _MANY),
    **_renamed("concat_ws=concat_ws", 2, _MANY),
    # numbers
    **_table(
        None,
        "abs sqrt exp ln log2 log10 sin cos tan asin acos atan sinh cosh tanh degrees radians",
        1,
    ),
    **_renamed("is_nan=isnan is_finite=isfinite is_infinite=isinf ceiling=ceil ceil=ceil floor=floor", 1),
    **_renamed("power=pow pow=pow atan2=atan2", 2),
    **_table(
        _macro,
        "mod log from_base bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift",
        2,
    ),
    **_table(_macro, "cbrt sign bitwise_not", 1),
    **_table(_macro, "round truncate", 1, 2),
    **_table(_null_if_any_null, "greatest least", 1, _MANY),
    **_table(None, "pi", 0),
    **_table(_constant("exp(1e0)"), "e", 0),
    **_table(_constant("CAST('nan' AS DOUBLE)"), "nan", 0),
    **_table(_constant("CAST('inf' AS DOUBLE)"), "infinity", 0),
    **_table(_random, "rand random", 0, 2),
    **_renamed("uuid=uuid", 0),
    # conditions
    **_table(None, "coalesce", 1, _MANY),
    **_table(None, "nullif", 2),
    **_renamed("try=TRY", 1),
    # JSON
    **_table(_macro, "json_parse json_format json_array_length is_json_scalar", 1),
    **_table(_macro, "json_array_get", 2),
    **_table(_json_path_call, "json_extract json_extract_scalar json_size", 2),
    # dates
    **_table(_date_format, "date_format", 2),
    **_table(_date_parse, "date_parse", 2),
    **_table(_format_datetime, "format_datetime", 2),
    **_table(_parse_datetime, "parse_datetime", 2),
    **_table(_macro, "date_add", 3),
    **_table(_date_diff, "date_diff", 3),
    **_table(_macro, "date_trunc with_timezone", 2),
    **_table(
        _macro, "year quarter month week week_of_year day day_of_month day_of_week dow day_of_year doy", 1
    ),
    **_table(_macro, "year_of_week yow hour minute second millisecond last_day_of_month", 1),
    **_table(_macro, "from_unixtime to_unixtime from_iso8601_timestamp from_iso8601_date to_iso8601", 1),
    **_table(_date, "date", 1),
    **_renamed("now=now", 0),
    # arrays and maps
    **_table(_macro, "cardinality array_distinct array_sort", 1),
    **_table(
        _macro, "element_at array_position array_remove array_union array_intersect array_except repeat", 2
    ),
    **_table(_macro, "array_join sequence", 2, 3),
    **_table(_macro, "slice", 3),
    **_renamed(
        "flatten=flatten map_keys=map_keys map_values=map_values map_from_entries=map_from_entries", 1
    ),
    **_table(_macro, "array_max array_min map_entries", 1),
    **_table(_macro, "contains trim_array", 2),
    **_renamed("arrays_overlap=list_has_any transform=list_transform filter=list_filter", 2),
    **_renamed("map=map", 0, 2),
    **_renamed("map_concat=map_concat zip=list_zip", 2, _MANY),
    **_renamed("row=row", 1, _MANY),
    **_table(map_filter, "map_filter", 2),
    **_table(transform_map, "transform_values transform_keys", 2),
    **_table(reduce, "reduce", 4),
    **_table(match, "any_match all_match none_match", 2),
    **_table(zip_with, "zip_with", 3),
    # binary
    **_table(_macro, "md5 sha1 sha256 from_utf8", 1),
    **_renamed("to_base64=to_base64 from_base64=from_base64", 1),
    # aggregates
    **_table(None, "count", 0, 1, aggregate=True),
    **_table(
        None,
        "sum avg stddev stddev_samp stddev_pop variance var_samp var_pop skewness kurtosis",
        1,
        aggregate=True,
    ),
    **_table(None, "bool_and bool_or histogram", 1, aggregate=True),
    **_table(None, "min max", 1, 2, aggregate=True),
    **_table(None, "corr covar_samp covar_pop regr_slope regr_intercept", 2, aggregate=True),
    **_renamed(
        "every=bool_and arbitrary=any_value any_value=any_value array_agg=list geometric_mean=geomean",
        1,
        aggregate=True,
    ),
    **_renamed("bitwise_and_agg=bit_and bitwise_or_agg=bit_or bitwise_xor_agg=bit_xor", 1, aggregate=True),
    **_table(_extreme_by, "max_by min_by", 2, 3, aggregate=True),
    **_renamed("approx_percentile=approx_quantile", 2, aggregate=True),
    **_table(_first("approx_count_distinct"), "approx_distinct", 1, 2, aggregate=True),
    **_table(_count_if, "count_if", 1, aggregate=True),
    **_table(_map_agg, "map_agg multimap_agg", 2, aggregate=True),
    **_table(None, "grouping", 1, _MANY),
    # windows
    **_table(None, "row_number rank dense_rank percent_rank cume_dist", 0),
    **_table(None, "ntile first_value last_value", 1),
    **_table(None, "lag lead", 1, 3),
    **_table(None, "nth_value", 2),
}

# Athena has them, this one does not: they are refused as such, so that nobody looks for a misspelling.
_ELSEWHERE = """
approx_most_frequent approx_set bit_count checksum combinations cosine_similarity crc32
entropy from_big_endian_32 from_big_endian_64 from_unixtime_nanos hmac_md5 hmac_sha1 hmac_sha256
hmac_sha512 human_readable_seconds json_array json_array_contains json_exists json_object json_query
json_value luhn_check map_union map_zip_with multimap_from_entries murmur3 ngrams
normal_cdf normalize numeric_histogram parse_data_size parse_duration qdigest_agg reduce_agg
regexp_position sha512 shuffle soundex split_to_multimap st_area st_astext st_buffer st_contains
st_distance st_geometryfromtext st_intersects st_point st_within tdigest_agg timezone_hour
timezone_minute to_base to_base32 to_base64url to_char to_date to_geometry to_timestamp
typeof version width_bucket word_stem xxhash64
"""
KNOWN_ELSEWHERE = frozenset(_ELSEWHERE.split())
