"""Firehose's prefix expressions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.embedded.prefixes import PrefixError, evaluate, format_time, object_name, validate

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
ERROR = "e/!{firehose:error-output-type}/"


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", "2026/01/02/03/"),
        ("raw", "raw2026/01/02/03/"),
        ("raw/", "raw/2026/01/02/03/"),
        ("y=!{timestamp:yyyy}/m=!{timestamp:MM}/", "y=2026/m=01/"),
        ("!{timestamp:yyyy-MM-dd'T'HH}", "2026-01-02T03"),
        ("!{timestamp:M/d/H/m/s}", "1/2/3/4/5"),
        ("!{timestamp:yy'o''clock'}", "26o'clock"),
        ("!{timestamp:DDD}.!{timestamp:SSS}", "002.678"),
    ],
)
def test_prefixes(prefix: str, expected: str) -> None:
    assert evaluate(prefix, MOMENT) == expected


def test_random_strings_differ_within_one_prefix() -> None:
    first, second = evaluate("!{firehose:random-string}/!{firehose:random-string}", MOMENT).split("/")
    assert re.fullmatch(r"[A-Za-z0-9]{11}", first)
    assert first != second


@pytest.mark.parametrize(
    ("prefix", "error_prefix", "message"),
    [
        ("x/!{timestamp:yyyy}", "", "ErrorOutputPrefix must be given"),
        ("x/!{timestamp:yyyy}", "e/!{timestamp:yyyy}", "must contain !{firehose:error-output-type}"),
        ("x/!{firehose:error-output-type}", ERROR, "must not contain"),
        ("x/!{partitionKeyFromQuery:a}", ERROR, "dynamic partitioning"),
        ("x/!{timestamp:QQ}", ERROR, "'QQ' is not supported"),
        ("x/!{timestamp:yyyy'}", ERROR, "unbalanced quote"),
        ("x/!{nonsense}", ERROR, "no valid expression"),
        ("x" * 1100, "", "longer than"),
    ],
)
def test_rules(prefix: str, error_prefix: str, message: str) -> None:
    with pytest.raises(PrefixError, match=re.escape(message)):
        validate(prefix, error_prefix, MOMENT)


def test_an_error_prefix_without_expressions_is_allowed() -> None:
    validate("x/", "errors", MOMENT)
    validate("x/!{timestamp:yyyy}/", ERROR, MOMENT)


def test_object_names_are_those_of_aws() -> None:
    name = object_name("a-stream", "3", MOMENT, ".gz")
    assert re.fullmatch(r"a-stream-3-2026-01-02-03-04-05-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.gz", name)


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2999, 1, 1)))
def test_the_time_is_written_in_the_zone_that_is_given(naive: datetime) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(hours=9)))
    assert format_time("yyyy-MM-dd-HH", moment) == moment.strftime("%Y-%m-%d-%H").zfill(13)
