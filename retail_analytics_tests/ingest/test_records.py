from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.feeds import get_feed
from retail_analytics.ingest.records import BadRows, RecordEncoder
from retail_analytics.ingest.rows import Row, layout
from retail_analytics.ingest.sources import file_records

FEED = get_feed("retail_trans")
HEADER = ("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country")
GOOD = ("536365", "85123A", "HOLDER ", "6", "2010-12-01 08:26:00", "2.55", "17850.0", "United Kingdom")
KEYS = ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer_ID", "Country"]


def encoder(out_format="json", shift=timedelta(0), header=HEADER):
    return RecordEncoder(FEED, layout(FEED, header, "test"), out_format, shift)


def encode(*fields, **kwargs):
    return encoder(**kwargs).encode(Row(7, fields))


def changed(**values):
    return [values.get(key, value) for key, value in zip(KEYS, GOOD, strict=True)]


def test_json_has_the_keys_in_order_and_the_record_id_last():
    record = encode(*GOOD)
    document = json.loads(record.data)
    record_id = document.pop("record_id")
    assert list(document.items()) == [
        ("Invoice", "536365"),
        ("StockCode", "85123A"),
        ("Description", "HOLDER "),
        ("Quantity", 6),
        ("InvoiceDate", "2010-12-01 08:26:00"),
        ("Price", 2.55),
        ("Customer_ID", "17850"),
        ("Country", "United Kingdom"),
    ]
    assert len(record_id) == 32
    assert record.data.endswith(b'"}\n')
    assert (record.line, record.key, record.problems) == (7, "536365", ())
    assert record.event_time == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)


@pytest.mark.parametrize(("out_format", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_delimited_formats_have_the_id_as_last_column(out_format, delimiter):
    fields = changed(Description='A, "B"\tC\nD')
    record = encode(*fields, out_format=out_format)
    assert record.data.count(b"\n") == 1
    (row,) = csv.reader(io.StringIO(record.data.decode()), delimiter=delimiter)
    assert row[:-1] == [*fields[:2], 'A, "B"\tC D', *fields[3:6], "17850", fields[7]]
    assert row[-1] == json.loads(encode(*fields).data)["record_id"]


@pytest.mark.parametrize(
    ("key", "text", "written"),
    [
        ("Quantity", "-9360", "-9360"),
        ("Quantity", "6.0", "6"),
        ("Quantity", "+06", "6"),
        ("Quantity", "1e3", "1000"),
        ("Quantity", "-0", "0"),
        ("Price", "18.0", "18.0"),
        ("Price", "12345678901234.5678", "12345678901234.5678"),
        ("Price", ".5", "0.5"),
        ("Price", "5.", "5"),
        ("Price", " 1.5 ", "1.5"),
        ("Price", "1E-4", "0.0001"),
        ("Price", "-11062.06", "-11062.06"),
    ],
)
def test_numbers_are_written_exactly(key, text, written):
    record = encode(*changed(**{key: text}))
    assert f'"{key}": {written},'.encode() in record.data
    assert record.problems == ()
    json.loads(record.data)


@pytest.mark.parametrize(
    ("key", "text", "problem"),
    [
        ("Quantity", "six", "Quantity is no whole number: 'six'"),
        ("Quantity", "", "Quantity is no whole number: ''"),
        ("Quantity", "1.5", "Quantity is no whole number: '1.5'"),
        ("Quantity", "1_000", "Quantity is no whole number: '1_000'"),
        ("Quantity", "2147483648", "Quantity is out of range: '2147483648'"),
        ("Quantity", "9" * 5000, "Quantity is out of range: '" + "9" * 39 + "…'"),
        ("Price", "1,50", "Price is no number: '1,50'"),
        ("Price", "nan", "Price is no number: 'nan'"),
        ("Price", "1e999", "Price is no number: '1e999'"),
        ("Price", "\u0661", "Price is no number: '\u0661'"),
        ("InvoiceDate", "12/1/10 8:26", "InvoiceDate is no time of the feed's pattern: '12/1/10 8:26'"),
        ("Invoice", "", "Invoice is empty: ''"),
    ],
)
def test_a_bad_value_travels_on_as_it_is_and_is_reported(key, text, problem):
    record = encode(*changed(**{key: text}), shift=timedelta(weeks=3))
    assert record.problems == (problem,)
    assert json.loads(record.data)[key] == text
    assert len(json.loads(record.data)) == 9


def test_nothing_is_wrong_with_a_missing_customer_or_description():
    record = encode(*changed(Description="", Customer_ID=""))
    assert record.problems == ()
    assert json.loads(record.data)["Customer_ID"] == ""


def test_only_an_identifier_loses_its_fraction():
    document = json.loads(encode(*changed(StockCode="15.0", Description="15.0", Customer_ID="15.0")).data)
    assert (document["StockCode"], document["Description"], document["Customer_ID"]) == ("15.0", "15.0", "15")


def test_rows_of_another_width_lose_nothing():
    short = encode(*GOOD[:5])
    assert short.problems == ("has 5 fields where the header has 8",)
    assert list(json.loads(short.data)) == [*KEYS[:5], "record_id"]
    long = encode(*GOOD, "more")
    assert long.problems == ("has 9 fields where the header has 8",)
    assert json.loads(long.data)["column_9"] == "more"


def test_undeclared_columns_travel_under_their_own_name():
    record = encode(*GOOD, "online", "7", header=(*HEADER, "Channel", ""))
    document = json.loads(record.data)
    assert (document["Channel"], document["column_10"]) == ("online", "7")
    assert list(document)[-1] == "record_id"
    assert record.problems == ()


def test_a_shift_moves_the_time_and_keeps_the_id():
    plain, moved = encode(*GOOD), encode(*GOOD, shift=timedelta(weeks=2))
    assert moved.event_time == plain.event_time + timedelta(weeks=2)
    before, after = json.loads(plain.data), json.loads(moved.data)
    assert after["InvoiceDate"] == "2010-12-15 08:26:00"
    assert after["record_id"] == before["record_id"]


def test_a_time_beyond_the_calendar_stays_and_is_reported():
    record = encode(*changed(InvoiceDate="9999-12-31 00:00:00"), shift=timedelta(weeks=1))
    assert record.event_time is None
    assert json.loads(record.data)["InvoiceDate"] == "9999-12-31 00:00:00"


def test_a_record_without_a_key_is_spread_by_its_id():
    record = encode(*changed(Invoice=""))
    assert record.key == json.loads(record.data)["record_id"]
    assert len(encode(*changed(Invoice="9" * 999)).key) == 256


TEXT = st.text(st.characters(codec="utf-8"), max_size=8)


@given(st.lists(st.tuples(*[TEXT] * 8), max_size=20))
def test_json_is_one_line_that_holds_every_text(rows):
    write = encoder()
    for number, fields in enumerate(rows):
        record = write.encode(Row(number, fields))
        assert record.data.isascii()
        assert len(record.data.splitlines()) == 1
        document = json.loads(record.data)
        assert [document[key] for key in KEYS[:3]] == list(fields[:3])
        assert document["Country"] == fields[7]


@given(st.lists(st.tuples(*[st.sampled_from(["", "1", "a", "2010-12-01 08:26:00"])] * 8), max_size=30))
def test_what_is_remembered_of_a_column_changes_nothing(rows):
    write = encoder()
    for fields in rows:
        alone = json.loads(encode(*fields).data)
        together = json.loads(write.encode(Row(1, fields)).data)
        del alone["record_id"], together["record_id"]
        assert together == alone


def test_bad_rows_are_counted_and_the_first_remembered(csv_file):
    path = csv_file(*(f"1,A,B,{quantity},2010-12-01 08:26:00,1,,EIRE" for quantity in ["1", *["x"] * 9]))
    bad = BadRows()
    with file_records(FEED, path) as records:
        assert len(list(bad.watch(records))) == 10
    assert bad.count == 9
    assert bad.examples[0] == "line 3: Quantity is no whole number: 'x'"
    assert len(bad.examples) == 5
