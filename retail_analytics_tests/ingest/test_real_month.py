"""The figures of the real month, taken from it independently of this code."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from moto import mock_aws

from retail_analytics.ingest.history import load_history, s3_client
from retail_analytics.ingest.records import BadRows
from retail_analytics.ingest.sources import file_records
from retail_analytics.settings import Settings


def test_every_line_becomes_a_record(feed, real_month):
    bad = BadRows()
    with file_records(feed, real_month, "json", timedelta(weeks=800)) as records:
        documents = [json.loads(one.data, parse_float=Decimal) for one in bad.watch(records)]
    assert len(documents) == 42_481
    assert len({one["record_id"] for one in documents}) == 42_481
    assert len({one["Invoice"] for one in documents}) == 2_025
    assert sum(one["Quantity"] * one["Price"] for one in documents) == Decimal("748957.02")
    assert sum(one["Customer_ID"] == "" for one in documents) == 15_631
    assert not any("." in one["Customer_ID"] for one in documents)
    assert bad.count == 0


@pytest.mark.usefixtures("aws")
def test_it_lands_in_its_190_hours(feed, real_month):
    with mock_aws():
        client = s3_client(Settings(bucket="lake"))
        client.create_bucket(Bucket="lake")
        loaded = load_history(feed, Settings(bucket="lake"), real_month, client=client, shift_to_now=True)
    assert (loaded.records, loaded.hours, loaded.bad_rows) == (42_481, 190, 0)
    assert loaded.first_hour.hour == 8
    assert loaded.last_hour.hour == 17
    assert 2 * 190 <= loaded.objects <= 4 * 190
