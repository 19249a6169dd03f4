from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from moto import mock_aws

from retail_analytics.ingest.errors import InputError, RemoteError
from retail_analytics.ingest.history import load_history, s3_client
from retail_analytics.settings import Settings

pytestmark = pytest.mark.usefixtures("aws")

SETTINGS = Settings(bucket="lake")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WEEK = timedelta(weeks=1)


@pytest.fixture
def client():
    with mock_aws():
        made = s3_client(SETTINGS, workers=2)
        made.create_bucket(Bucket="lake")
        yield made


def sample(csv_file, *extra, name="input.csv"):
    lines = [f"{n},A,B,{n % 7},2010-12-0{1 + n // 40} {8 + n % 3:02}:26:00,1.5,,EIRE" for n in range(100)]
    return csv_file(*lines, *extra, name=name)


def listing(client, prefix="00-retail-trans/"):
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=prefix)
    return {one["Key"]: (one["ETag"], one["Size"]) for page in pages for one in page.get("Contents", ())}


def landed(client):
    for key in listing(client):
        for line in client.get_object(Bucket="lake", Key=key)["Body"].read().splitlines():
            yield key, json.loads(line)


def load(feed, client, path, **kwargs):
    return load_history(feed, SETTINGS, path, client=client, now=NOW, workers=2, **kwargs)


def test_records_land_under_their_hour(feed, client, csv_file):
    told = []
    loaded = load(feed, client, sample(csv_file), progress=told.append)
    found = list(landed(client))
    assert loaded.records == len(found) == told[-1] == 100
    assert loaded.objects == len(listing(client))
    assert loaded.bytes == sum(size for _, size in listing(client).values())
    assert loaded.hours == 9
    assert loaded.first_hour == datetime(2010, 12, 1, 8, tzinfo=UTC)
    assert loaded.last_hour == datetime(2010, 12, 3, 10, tzinfo=UTC)
    assert loaded.bad_rows == 0
    for key, document in found:
        year, month, day, hour = re.search(r"year=(\d+)/month=(\d+)/day=(\d+)/hour=(\d+)/", key).groups()
        assert document["InvoiceDate"][:13] == f"{year}-{month}-{day} {hour}"
    assert len({document["record_id"] for _, document in found}) == 100


def test_loading_again_changes_nothing(feed, client, csv_file):
    path = sample(csv_file)
    first = load(feed, client, path)
    before = listing(client)
    assert load(feed, client, path) == first
    assert listing(client) == before


def test_an_interrupted_load_is_completed_by_the_next(feed, client, csv_file):
    path = sample(csv_file)

    class StopError(Exception):
        pass

    def interrupt(done):
        if done > 30:
            raise StopError

    with pytest.raises(StopError):
        load(feed, client, path, progress=interrupt)
    assert 0 < len(listing(client)) < 36
    load(feed, client, path)
    found = [document["record_id"] for _, document in landed(client)]
    assert len(found) == len(set(found)) == 100


def test_an_unsorted_file_lands_whole_and_again_the_same(feed, client, csv_file):
    from retail_analytics.ingest.hours import ObjectSizes

    path = sample(csv_file)
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *lines[::7], *lines[::-1]]) + "\n")
    sizes = ObjectSizes(objects_per_hour=2, open_hours=2)
    loaded = load(feed, client, path, sizes=sizes)
    before = listing(client)
    assert loaded.records == 115
    assert len({document["record_id"] for _, document in landed(client)}) == 115
    load(feed, client, path, sizes=sizes)
    assert listing(client) == before


def test_bad_rows_land_and_are_counted(feed, client, csv_file):
    bad = ["7,A,B,six,2010-12-03 10:26:00,1,,EIRE", "8,A,B,1,yesterday,1,,EIRE", "9,A"]
    loaded = load(feed, client, sample(csv_file, *bad))
    assert (loaded.records, loaded.bad_rows) == (103, 3)
    assert loaded.examples[0] == "line 102: Quantity is no whole number: 'six'"
    hours = {document["Invoice"]: key for key, document in landed(client) if document["Invoice"] in "8 9"}
    assert all("day=03/hour=09" in key or "day=03/hour=10" in key for key in hours.values())
    assert {document.get("InvoiceDate") for _, document in landed(client)} >= {"yesterday", None}


def test_a_first_row_without_a_time_goes_under_the_loads_hour(feed, client, csv_file):
    loaded = load(feed, client, csv_file("8,A,B,1,yesterday,1,,EIRE"))
    assert loaded.first_hour == loaded.last_hour == NOW
    assert all("year=2026/month=11/day=22/hour=12/" in key for key in listing(client))


def test_shift_moves_by_whole_weeks_and_stays_the_same_for_the_same_file(feed, client, csv_file):
    path = sample(csv_file)
    first = load(feed, client, path, shift_to_now=True)
    before = listing(client)
    assert first.shifted % WEEK == timedelta(0)
    assert NOW - WEEK < first.last_hour <= NOW
    again = load_history(
        feed, SETTINGS, path, client=client, shift_to_now=True, now=NOW + 3 * WEEK, workers=2
    )
    assert again == first
    assert listing(client) == before


def test_another_file_is_moved_on_its_own(feed, client, csv_file):
    load(feed, client, sample(csv_file), shift_to_now=True)
    later = sample(csv_file, "x,A,B,1,2010-12-08 10:26:00,1,,EIRE", name="other.csv")
    loaded = load_history(
        feed, SETTINGS, later, client=client, shift_to_now=True, now=NOW + 3 * WEEK, workers=2
    )
    assert NOW + 2 * WEEK < loaded.last_hour <= NOW + 3 * WEEK


def test_a_bucket_that_is_not_there_is_one_sentence(feed, client, csv_file):
    with pytest.raises(RemoteError, match="There is no bucket elsewhere; create it, or name"):
        load_history(feed, Settings(bucket="elsewhere"), sample(csv_file), client=client, now=NOW)


def test_an_unusable_file_lands_nothing(feed, client, csv_file, tmp_path):
    with pytest.raises(InputError, match="There is no file"):
        load(feed, client, tmp_path / "nowhere.csv", shift_to_now=True)
    with pytest.raises(InputError, match="no record after"):
        load(feed, client, csv_file())
    assert listing(client, "") == {}


def test_nothing_that_answers_is_one_sentence(feed, csv_file, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    made = boto3.client("s3", config=boto3.session.Config(retries={"total_max_attempts": 1}))
    with pytest.raises(RemoteError, match="does not answer"):
        load_history(feed, SETTINGS, sample(csv_file), client=made, now=NOW)
