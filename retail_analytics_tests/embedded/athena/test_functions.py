"""Functions that the other tests of the dialect do not call: every function that is covered has a value here
or there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from retail_analytics.embedded.athena.functions import FUNCTIONS, KNOWN_ELSEWHERE
from retail_analytics_tests.embedded.athena.test_dialect import VALUES
from retail_analytics_tests.embedded.athena.test_queries import QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from retail_analytics_tests.embedded.athena.conftest import Answer

CALL = re.compile(r"\b([a-z_0-9]+)\s*\(", re.IGNORECASE)

NUMBERS = [
    ("acos(1e0)", "0.0"), ("asin(0e0)", "0.0"), ("atan(0e0)", "0.0"), ("atan2(0e0, 1e0)", "0.0"),
    ("cos(0e0)", "1.0"), ("cosh(0e0)", "1.0"), ("sin(0e0)", "0.0"), ("sinh(0e0)", "0.0"),
    ("tan(0e0)", "0.0"), ("tanh(0e0)", "0.0"), ("cbrt(27)", "3.0"), ("ceiling(1.2e0)", "2.0"),
    ("floor(-1.2e0)", "-2.0"), ("exp(0e0)", "1.0"), ("ln(1e0)", "0.0"), ("log10(1000e0)", "3.0"),
    ("log2(8e0)", "3.0"), ("round(e(), 5)", "2.71828"), ("round(pi(), 5)", "3.14159"),
    ("degrees(pi())", "180.0"), ("radians(180e0) = pi()", "true"), ("pow(2e0, 3e0)", "8.0"),
    ("infinity()", "Infinity"), ("is_finite(1e0)", "true"), ("is_infinite(infinity())", "true"),
    ("bitwise_or(12, 10)", "14"), ("bitwise_xor(12, 10)", "6"), ("bitwise_not(0)", "-1"),
    ("bitwise_left_shift(1, 4)", "16"), ("bitwise_right_shift(16, 4)", "1"),
    ("truncate(DECIMAL '12.345', 2)", "12.340"), ("truncate(-1.29e0, 1)", "-1.2"), ("sign(-2.5e0)", "-1.0"),
    ("random(10) BETWEEN 0 AND 9", "true"), ("random(3, 4)", "3"),
    ("rand() BETWEEN 0 AND 1", "true"), ("random() BETWEEN 0 AND 1", "true"),
]  # fmt: skip
TEXT = [
    ("lower('A')", "a"), ("ltrim('  x')", "x"), ("rtrim('x  ')", "x"), ("rpad('8', 3, '0')", "800"),
    ("concat_ws('-', 'a', 'b')", "a-b"), ("hamming_distance('abc', 'abd')", "1"),
    ("url_decode('a%20b')", "a b"), ("url_extract_fragment('https://x.org:80/a?b=c#d')", "d"),
    ("url_extract_path('https://x.org:80/a?b=c#d')", "/a"),
    ("url_extract_port('https://x.org:80/a?b=c#d')", "80"),
    ("url_extract_protocol('https://x.org:80/a?b=c#d')", "https"),
    ("url_extract_query('https://x.org:80/a?b=c#d')", "b=c"), ("length(CAST(uuid() AS varchar))", "36"),
    ("to_hex(sha1(to_utf8('a')))", "86F7E437FAA5A7FCE15D1DDCB9EAEAEA377667B8"),
    ("from_utf8(from_base64('YQ=='))", "a"), ("json_array_get('[1, 2]', 0)", "1"),
    ("substr('hello', 0)", ""), ("substr('hello', 0, 2)", ""), ("substr('hello', -9)", ""),
    ("substr(CAST(NULL AS varchar), 0)", None), ("CAST(1e10 AS varchar)", "1.0E10"),
    ("CAST(2.5e0 AS varchar)", "2.5E0"), ("split('a.b.c', '.', 2)", "[a, b.c]"),
    ("split('a', '.', 2)", "[a]"), ("strpos('a-b-c', '-', 2)", "4"), ("strpos('a-b-c', '-', 3)", "0"),
]  # fmt: skip
STAMP = "TIMESTAMP '2010-12-05 08:26:07'"
DATES = [
    (f"day({STAMP})", "5"), (f"day_of_month({STAMP})", "5"), (f"day_of_year({STAMP})", "339"),
    (f"doy({STAMP})", "339"), (f"dow({STAMP})", "7"), (f"hour({STAMP})", "8"), (f"minute({STAMP})", "26"),
    (f"month({STAMP})", "12"), (f"quarter({STAMP})", "4"), (f"week_of_year({STAMP})", "48"),
    ("year_of_week(DATE '2011-01-01')", "2010"), ("yow(DATE '2011-01-01')", "2010"),
    ("now() > TIMESTAMP '2010-12-01 00:00:00'", "true"),
    ("with_timezone(TIMESTAMP '2010-12-01 09:00:00', 'Asia/Tokyo')", "2010-12-01 09:00:00.000 Asia/Tokyo"),
]  # fmt: skip
COLLECTIONS = [
    ("trim_array(ARRAY[1, 2, 3], 1)", "[1, 2]"), ("array_max(ARRAY[1, NULL])", None),
    ("array_min(ARRAY[3, 1])", "1"), ("map_values(map(ARRAY['a'], ARRAY[1]))", "[1]"),
    ("cardinality(map_entries(map(ARRAY['a'], ARRAY[1])))", "1"),
    ("map_from_entries(ARRAY[ROW('a', 1)])", "{a=1}"), ("cardinality(zip(ARRAY[1], ARRAY['a']))", "1"),
    ("ROW(1, 2)[2]", "2"), ("ARRAY[map(ARRAY['a'], ARRAY[1])][1]['a']", "1"),
    ("map(ARRAY[-1], ARRAY[7])[-1]", "7"), ("ARRAY[1, NULL][2]", None), ("try(ARRAY[1][2])", None),
    ("ARRAY['x', 'y'][CAST('2' AS integer)]", "y"), ("transform(ARRAY[ARRAY[1]], x -> x[1])", "[1]"),
]  # fmt: skip
N = "FROM (VALUES (1, 2e0), (2, 4e0), (3, 6e0)) AS t(n, x)"
AGGREGATES = [
    ("any_value(n) > 0", "true"), ("bitwise_and_agg(n)", "0"), ("bitwise_or_agg(n)", "3"),
    ("bitwise_xor_agg(n)", "0"), ("multimap_agg(n % 2, n)", "{1=[1, 3], 0=[2]}"),
    ("corr(x, n)", "1.0"), ("covar_pop(x, x) = var_pop(x)", "true"), ("covar_samp(x, x)", "4.0"),
    ("round(geometric_mean(n), 4)", "1.8171"), ("kurtosis(x)", None), ("skewness(x)", "0.0"),
    ("regr_slope(x, n)", "2.0"), ("regr_intercept(x, n)", "0.0"), ("stddev(x)", "2.0"),
    ("stddev_samp(x)", "2.0"), ("round(stddev_pop(x), 4)", "1.633"), ("variance(x)", "4.0"),
    ("var_samp(x)", "4.0"), ("round(var_pop(x), 4)", "2.6667"),
]  # fmt: skip
WINDOWS = [
    ("rank() OVER (ORDER BY n DESC)", "321"), ("dense_rank() OVER (ORDER BY n)", "123"),
    ("ntile(3) OVER (ORDER BY n)", "123"), ("first_value(n) OVER (ORDER BY n)", "111"),
    ("nth_value(n, 1) OVER (ORDER BY n)", "111"),
    ("CAST(percent_rank() OVER (ORDER BY n) * 2 AS integer)", "012"),
    ("CAST(cume_dist() OVER (ORDER BY n) * 3 AS integer)", "123"),
]  # fmt: skip
SCALARS = [*NUMBERS, *TEXT, *DATES, *COLLECTIONS]


@pytest.mark.parametrize(("expression", "value"), SCALARS, ids=[case[0] for case in SCALARS])
def test_a_function_returns(evaluate: Callable[..., Answer], expression: str, value: str | None) -> None:
    answer = evaluate(f"SELECT {expression}")
    assert answer.reason is None
    assert answer.rows == [(value,)]


@pytest.mark.parametrize(("expression", "value"), AGGREGATES, ids=[case[0] for case in AGGREGATES])
def test_an_aggregate_returns(evaluate: Callable[..., Answer], expression: str, value: str | None) -> None:
    answer = evaluate(f"SELECT {expression} {N}")
    assert answer.reason is None
    assert answer.rows == [(value,)]


@pytest.mark.parametrize(("expression", "values"), WINDOWS, ids=[case[0] for case in WINDOWS])
def test_a_window_function_returns(evaluate: Callable[..., Answer], expression: str, values: str) -> None:
    answer = evaluate(f"SELECT {expression} {N} ORDER BY n")
    assert answer.reason is None
    assert "".join(str(row[0]) for row in answer.rows) == values


def test_grouping_tells_totals(evaluate: Callable[..., Answer]) -> None:
    answer = evaluate(f"SELECT grouping(n), count(*) {N} GROUP BY ROLLUP (n) ORDER BY 1, 2 DESC LIMIT 4")
    assert answer.rows == [("0", "1"), ("0", "1"), ("0", "1"), ("1", "3")]


def called() -> set[str]:
    """The covered functions that a test gives a value."""
    texts = [case[0] for case in (*VALUES, *QUERIES, *SCALARS, *AGGREGATES, *WINDOWS)] + ["grouping(n)"]
    return {name.lower() for text in texts for name in CALL.findall(text)} & set(FUNCTIONS)


def test_every_covered_function_has_a_value() -> None:
    assert set(FUNCTIONS) - called() == set()


@pytest.mark.parametrize("name", sorted(KNOWN_ELSEWHERE))
def test_a_function_of_athena_that_is_not_covered_is_refused_by_name(
    evaluate: Callable[..., Answer], name: str
) -> None:
    reason = evaluate(f"SELECT {name}(1)").reason or ""
    assert reason.startswith("NOT_SUPPORTED: ")
    assert name in reason
