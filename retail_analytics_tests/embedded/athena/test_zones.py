"""Timestamps with zones of their own: printed with them, read off the wall, compared as instants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from retail_analytics_tests.embedded.coverage import covers, refuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from retail_analytics_tests.embedded.athena.conftest import Answer

KIND = "timestamp with time zone"
TOKYO = "t AT TIME ZONE 'Asia/Tokyo'"
TIMES = "FROM (VALUES TIMESTAMP '2022-10-20 20:10:00', TIMESTAMP '2022-10-21 01:10:00') AS x(t)"


@covers("Queries", "`AT TIME ZONE`, `at_timezone`, `with_timezone`: values print with their zone")
@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (
            "TIMESTAMP '2022-10-20 05:10:00 UTC' AT TIME ZONE 'Asia/Tokyo'",
            "2022-10-20 14:10:00.000 Asia/Tokyo",
        ),
        ("at_timezone(TIMESTAMP '2022-10-20 05:10:00 UTC', '+05:30')", "2022-10-20 10:40:00.000 +05:30"),
        (
            "with_timezone(TIMESTAMP '2022-10-20 05:10:00', 'Asia/Tokyo')",
            "2022-10-20 05:10:00.000 Asia/Tokyo",
        ),
        ("TIMESTAMP '2022-10-20 05:10:00 America/New_York'", "2022-10-20 05:10:00.000 America/New_York"),
        (
            "TIMESTAMP '2022-10-20 05:10:00 America/New_York' AT TIME ZONE 'UTC'",
            "2022-10-20 09:10:00.000 UTC",
        ),
        ("from_unixtime(0, 'Asia/Tokyo')", "1970-01-01 09:00:00.000 Asia/Tokyo"),
        ("from_iso8601_timestamp('2022-10-20T05:10:00+09:00')", "2022-10-20 05:10:00.000 +09:00"),
        ("from_iso8601_timestamp('2022-10-20T05:10:00-0330')", "2022-10-20 05:10:00.000 -03:30"),
        ("from_iso8601_timestamp('2022-10-20T05')", "2022-10-20 05:00:00.000 UTC"),
        ("from_iso8601_timestamp('2022-10-20T05:10:33.125Z')", "2022-10-20 05:10:33.125 UTC"),
        ("try(from_iso8601_timestamp('2022-10-20 05:10:33'))", None),
        (
            "date_trunc('day', TIMESTAMP '2022-10-20 20:10:00 UTC' AT TIME ZONE 'Asia/Tokyo')",
            "2022-10-21 00:00:00.000 Asia/Tokyo",
        ),
        (
            "date_add('day', 1, TIMESTAMP '2022-10-29 12:00:00 Europe/London')",
            "2022-10-30 12:00:00.000 Europe/London",
        ),
        (
            "TIMESTAMP '2022-10-29 12:00:00 Europe/London' + INTERVAL '24' HOUR",
            "2022-10-30 11:00:00.000 Europe/London",
        ),
    ],
)
def test_a_value_prints_with_its_zone(
    evaluate: Callable[..., Answer], expression: str, value: str | None
) -> None:
    answer = evaluate(f"SELECT {expression}")
    assert answer.reason is None
    assert (answer.rows, answer.types) == ([(value,)], [KIND])


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("hour(from_iso8601_timestamp('2022-10-20T23:10:00-05:00'))", "23"),
        ("date(from_iso8601_timestamp('2022-10-20T23:10:00-05:00'))", "2022-10-20"),
        ("EXTRACT(HOUR FROM TIMESTAMP '2022-10-20 20:10:00 UTC' AT TIME ZONE 'Asia/Tokyo')", "5"),
        ("CAST(TIMESTAMP '2022-10-20 20:10:00 UTC' AT TIME ZONE 'Asia/Tokyo' AS date)", "2022-10-21"),
        (
            "CAST(TIMESTAMP '2022-10-20 20:10:00 UTC' AT TIME ZONE 'Asia/Tokyo' AS varchar)",
            "2022-10-21 05:10:00.000 Asia/Tokyo",
        ),
        ("date_format(from_unixtime(0) AT TIME ZONE 'Asia/Tokyo', '%Y-%m-%d %H:%i')", "1970-01-01 09:00"),
        (
            "date_diff('day', from_iso8601_timestamp('2022-10-20T23-05:00'), TIMESTAMP '2022-10-22 06:00')",
            "1",
        ),
        ("date_diff('hour', now() AT TIME ZONE 'Asia/Tokyo', now())", "0"),
        (
            "from_iso8601_timestamp('2022-10-20T05:10:00+09:00') = TIMESTAMP '2022-10-19 20:10:00 UTC'",
            "true",
        ),
    ],
)
def test_what_is_done_with_a_value_heeds_its_zone(
    evaluate: Callable[..., Answer], expression: str, value: str
) -> None:
    answer = evaluate(f"SELECT {expression}")
    assert (answer.reason, answer.rows) == (None, [(value,)])


@pytest.mark.parametrize("group", [f"date_trunc('day', {TOKYO})", "1"])
def test_days_of_a_zone_are_grouped(evaluate: Callable[..., Answer], group: str) -> None:
    answer = evaluate(f"SELECT date_trunc('day', {TOKYO}) AS d, count(*) {TIMES} GROUP BY {group} ORDER BY d")
    assert answer.reason is None
    assert answer.rows == [("2022-10-21 00:00:00.000 Asia/Tokyo", "2")]


def test_the_latest_keeps_its_zone(evaluate: Callable[..., Answer]) -> None:
    assert evaluate(f"SELECT max({TOKYO}) {TIMES}").rows == [("2022-10-21 10:10:00.000 Asia/Tokyo",)]


@refuses("Queries", "a zone other than UTC in a subquery's column, where it would be lost")
def test_a_zone_that_would_be_lost_is_refused(evaluate: Callable[..., Answer]) -> None:
    lost = evaluate(f"WITH e AS (SELECT {TOKYO} AS t {TIMES}) SELECT t FROM e")
    assert (lost.reason or "").startswith("NOT_SUPPORTED: a timestamp with a zone other than UTC")
    texts = (
        "WITH e AS (SELECT from_iso8601_timestamp(s) AS t FROM (VALUES '{}') AS x(s)) SELECT date(t) FROM e"
    )
    assert evaluate(texts.format("2022-10-20T20:10:00Z")).rows == [("2022-10-20",)]
    assert "the zone +02:00 of a timestamp would be lost" in (
        evaluate(texts.format("2022-10-20T20:10:00+02:00")).reason or ""
    )
