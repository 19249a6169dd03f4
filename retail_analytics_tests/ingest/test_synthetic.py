from __future__ import annotations

import csv
import itertools
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from retail_analytics.ingest.records import BadRows
from retail_analytics.ingest.sources import file_records, live_records
from retail_analytics.ingest.synthetic import HEADER, Generator, write_csv

LAST = date(2010, 12, 23)


def lines(seed=1, records=5000, days=23, last=LAST):
    return [line for invoice in Generator(seed).past(records, days, last) for line in invoice]


def test_the_same_seed_makes_the_same_lines():
    assert lines(seed=1) == lines(seed=1)
    assert lines(seed=1) != lines(seed=2)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 400), st.integers(1, 15), st.integers(0, 6))
def test_there_are_as_many_as_asked_in_order_and_none_on_a_saturday(seed, records, days, back):
    last = LAST - timedelta(days=back)
    made = lines(seed, records, days, last)
    assert len(made) == records
    times = [datetime.fromisoformat(line[4]) for line in made]
    assert times == sorted(times)
    assert all(time.weekday() != 5 and 7 <= time.hour <= 20 for time in times)
    assert max(times).date() <= last


def test_it_has_the_traits_of_the_real_thing():
    made = lines(records=20_000)
    invoices = Counter(line[0] for line in made)
    share = {
        "cancelled": sum(line[0].startswith("C") for line in made),
        "anonymous": sum(line[6] == "" for line in made),
        "twins": len(made) - len(set(made)),
        "free": sum(float(line[5]) == 0 for line in made),
        "undescribed": sum(line[2] == "" for line in made),
        "commas": sum("," in line[2] for line in made),
        "quotes": sum('"' in line[2] for line in made),
        "trailing": sum(line[2].endswith(" ") for line in made),
        "abroad": sum(line[7] != "United Kingdom" for line in made),
        "lettered": sum(line[1][-1].isalpha() for line in made),
    }
    assert all(count > 0 for count in share.values()), share
    assert share["cancelled"] < share["anonymous"] < len(made) / 2
    assert 10 < len(made) / len(invoices) < 30
    assert all(int(line[3]) < 0 for line in made if line[0].startswith("C"))
    assert all(line[6] == "" or line[6].endswith(".0") for line in made)


def test_a_written_file_is_read_back_without_a_bad_row(feed, tmp_path):
    path = tmp_path / "made.csv"
    assert write_csv(path, Generator(3).past(3000, 10, LAST)) == 3000
    with path.open(newline="") as file:
        assert tuple(next(csv.reader(file))) == HEADER
    bad = BadRows()
    with file_records(feed, path) as records:
        ids = [json.loads(record.data)["record_id"] for record in bad.watch(records)]
    assert (len(ids), len(set(ids)), bad.count) == (3000, 3000, 0)


def test_live_records_have_the_time_at_which_they_are_asked_for(feed):
    clock = itertools.count()
    start = datetime(2026, 11, 22, 12, tzinfo=UTC)
    live = live_records(feed, 1, now=lambda: start + timedelta(seconds=next(clock)))
    records = list(itertools.islice(live, 2000))
    times = [record.event_time for record in records]
    assert times == sorted(times)
    assert times[0] > start
    documents = [json.loads(record.data) for record in records]
    assert len({document["record_id"] for document in documents}) == 2000
    by_invoice = {(document["Invoice"].lstrip("C"), document["InvoiceDate"]) for document in documents}
    assert len(by_invoice) == len({invoice for invoice, _ in by_invoice}) > 50
    assert [record.line for record in records] == list(range(1, 2001))
    assert not any(record.problems for record in records)


def test_another_live_run_makes_other_records(feed):
    def ids(start):
        made = itertools.islice(live_records(feed, 1, now=lambda: start), 500)
        return {json.loads(record.data)["record_id"] for record in made}

    start = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert ids(start).isdisjoint(ids(start + timedelta(seconds=1)))
    assert ids(start) == ids(start)
