"""What a message of S3's says, whatever its wrapping; and what is none."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.feeds import get_feed
from retail_analytics.lake import hours
from retail_analytics.lake.notifications import UnreadableMessageError, hinted_hours

FEED = get_feed("retail_trans")
HOUR = datetime(2010, 12, 1, 8, tzinfo=UTC)


def event(*keys: str, bucket: str = "lake") -> str:
    return json.dumps(
        {
            "Records": [
                {
                    "eventName": "ObjectCreated:Put",
                    "s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/")}},
                }
                for key in keys
            ]
        }
    )


def key(hour: datetime = HOUR, name: str = "uk-1-a") -> str:
    return hours.prefix(FEED, hour) + name


@pytest.mark.parametrize("wrap", [lambda body: body, lambda body: json.dumps({"Message": body})])
def test_a_message_names_hours_with_and_without_the_topic_s_envelope(wrap: object) -> None:
    later = HOUR.replace(hour=9)
    body = wrap(event(key(), key(name="b"), key(later)))  # type: ignore[operator]
    assert hinted_hours(body, FEED, "lake") == {HOUR, later}


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)), st.text("aZ0 +%&=/ü~", min_size=1))
def test_any_key_of_an_hour_names_it_however_s3_writes_it(moment: datetime, name: str) -> None:
    hour = hours.floor_hour(moment.replace(tzinfo=UTC))
    found = hinted_hours(event(key(hour, name)), FEED, "lake")
    # A folder is no object, and what lies in one is the hour's.
    assert found == (set() if name.endswith("/") else {hour})


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "lake"}),
        json.dumps({"Message": json.dumps({"Event": "s3:TestEvent"})}),
        event("elsewhere/year=2010/month=12/day=01/hour=08/a"),
        event(key(), bucket="another"),
        event(FEED.raw_root + "year=2010/month=13/day=01/hour=08/a"),
        event(key(name="_temporary")),
        event(),
    ],
)
def test_what_is_about_nothing_of_the_feed_s_names_no_hour(body: str) -> None:
    assert hinted_hours(body, FEED, "lake") == set()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        "3",
        json.dumps({"Message": "nonsense"}),
        json.dumps({"Records": [{"s3": 1}]}),
    ],
)
def test_what_is_no_event_is_said_to_be_none(body: str) -> None:
    with pytest.raises(UnreadableMessageError, match="no event of S3's"):
        hinted_hours(body, FEED, "lake")
