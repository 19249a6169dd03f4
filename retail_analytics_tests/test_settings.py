"""Settings are read from the environment once, and what cannot be used is refused by its name."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.settings import (
    Settings,
    SettingsError,
    arrivals_filter,
    format_hours,
    parse_hours,
)

names = st.from_regex(r"[a-z][a-z_]{0,9}", fullmatch=True)
whole_hours = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(minute=0, second=0, microsecond=0)
)


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()


def test_every_setting_is_read() -> None:
    read = Settings.from_env(
        {
            "RETAIL_DEPLOYMENT": "production",
            "AWS_REGION": "eu-west-1",
            "RETAIL_BUCKET": "b",
            "RETAIL_DATABASE": "d",
            "RETAIL_WORKGROUP": "w",
            "RETAIL_OPENSEARCH_URL": "https://search",
            "RETAIL_FIRST_HOUR": "retail_trans=2026-01-31T08",
            "RETAIL_LAST_HOUR": "retail_trans=2026-02-28T17",
            "RETAIL_GRACE_SECONDS": "1",
            "RETAIL_LOOKBACK_HOURS": "2",
            "RETAIL_TARGET_FILE_BYTES": "3",
            "RETAIL_QUERY_TIMEOUT_SECONDS": "4",
            "RETAIL_COMPACTION_TARGET_MINUTES": "5",
            "RETAIL_NOTIFY_TOPIC_ARN": "arn:aws:sns:eu-west-1:123456789012:told",
            "RETAIL_NOTIFY_WEBHOOK": "https://hooks.example/secret",
        }
    )
    assert read == Settings(
        deployment="production",
        region="eu-west-1",
        bucket="b",
        database="d",
        workgroup="w",
        opensearch_url="https://search",
        first_hours={"retail_trans": datetime(2026, 1, 31, 8, tzinfo=UTC)},
        last_hours={"retail_trans": datetime(2026, 2, 28, 17, tzinfo=UTC)},
        grace_seconds=1,
        lookback_hours=2,
        target_file_bytes=3,
        query_timeout_seconds=4,
        compaction_target_minutes=5,
        notify_topic_arn="arn:aws:sns:eu-west-1:123456789012:told",
        notify_webhook="https://hooks.example/secret",
    )


def test_no_variable_of_aws_is_needed_for_the_region() -> None:
    assert Settings.from_env({"AWS_DEFAULT_REGION": "eu-west-1"}).region == "eu-west-1"
    both = {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "us-west-2"}
    assert Settings.from_env(both).region == "us-west-2"


@given(st.dictionaries(names, whole_hours, max_size=4))
def test_hours_of_feeds_survive_the_environment(hours: dict[str, datetime]) -> None:
    assert parse_hours(format_hours(hours), "RETAIL_FIRST_HOUR") == hours


def test_blanks_and_empty_items_of_hours_do_no_harm() -> None:
    hour = datetime(2026, 1, 31, 8, tzinfo=UTC)
    assert parse_hours(" a = 2026-01-31T08 ,, b=2026-01-31T08,", "X") == {"a": hour, "b": hour}


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T08",
        "feed=",
        "feed=2026-01-31",
        "feed=2026-01-31T08:30",
        "feed=2026-13-31T08",
        "=2026-01-31T08",
    ],
)
def test_other_hours_are_refused_with_the_form_that_is_wanted(text: str) -> None:
    with pytest.raises(SettingsError, match="RETAIL_LAST_HOUR.*FEED=YYYY-MM-DDTHH"):
        parse_hours(text, "RETAIL_LAST_HOUR")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RETAIL_GRACE_SECONDS", "2 minutes"),
        ("RETAIL_LOOKBACK_HOURS", "-1"),
        ("RETAIL_TARGET_FILE_BYTES", "0"),
        ("RETAIL_QUERY_TIMEOUT_SECONDS", "0"),
        ("RETAIL_QUERY_TIMEOUT_SECONDS", "1.5"),
        ("RETAIL_COMPACTION_TARGET_MINUTES", "0"),
        ("RETAIL_NOTIFY_TOPIC_ARN", "told"),
        ("RETAIL_NOTIFY_TOPIC_ARN", "arn:aws:sqs:eu-west-1:123456789012:told"),
        ("RETAIL_NOTIFY_WEBHOOK", "hooks.example/secret"),
        ("RETAIL_NOTIFY_WEBHOOK", "http://hooks.example/secret"),
        ("RETAIL_NOTIFY_WEBHOOK", "https://user:secret@hooks.example/"),
        ("RETAIL_NOTIFY_WEBHOOK", "https://hooks.example:port/secret"),
        ("RETAIL_NOTIFY_WEBHOOK", "file:///secret"),
        ("RETAIL_GRACE_SECONDS", "²"),
        ("RETAIL_DATABASE", 'x"; DROP'),
        ("RETAIL_DATABASE", ""),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_env({name: value})


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]:9/x"])
def test_a_webhook_on_the_loopback_needs_no_tls(url: str) -> None:
    assert Settings.from_env({"RETAIL_NOTIFY_WEBHOOK": url}).notify_webhook == url


def test_no_representation_shows_the_webhook() -> None:
    settings = Settings.from_env({"RETAIL_NOTIFY_WEBHOOK": "https://hooks.example/secret"})
    assert "secret" not in repr(settings)
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({"RETAIL_NOTIFY_WEBHOOK": "http://hooks.example/secret"})
    assert "secret" not in str(refused.value)


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().bucket = "other"  # type: ignore[misc]


def test_results_lie_in_the_one_bucket() -> None:
    assert Settings(bucket="b").results_location == "s3://b/athena-results/"


def test_a_queues_filter_compares_with_keys_as_s3_writes_them_into_events() -> None:
    def prefix(raw_root: str) -> object:
        policy: Any = arrivals_filter(raw_root)
        return policy["Records"]["s3"]["object"]["key"][0]["prefix"]

    assert prefix("00-retail-trans/") == "00-retail-trans/"
    assert prefix("caf\u00e9 + co/") == "caf%C3%A9+%2B+co/"
