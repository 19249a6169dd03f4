from __future__ import annotations

import csv

import pytest

from retail_analytics.ingest.errors import InputError
from retail_analytics.ingest.rows import count_lines, open_rows

LINE = "536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"


def read(feed, path):
    with open_rows(feed, path) as (layout, rows):
        return layout, list(rows)


def test_fields_are_kept_as_they_stand(feed, csv_file):
    path = csv_file('1,A,"LIGHT, ""BIG"" ",6,2010-12-01 08:26:00,2.55,,EIRE', "", "   ", LINE)
    _, rows = read(feed, path)
    assert [row.line for row in rows] == [2, 5]
    assert rows[0].fields[2] == 'LIGHT, "BIG" '
    assert rows[0].fields[6] == ""


def test_columns_are_found_in_any_order_and_spelling(feed, csv_file):
    path = csv_file(
        "x,EIRE,17850,2.55,2010-12-01 08:26:00,6,HOLDER,85123A,536365",
        header="note,country,CustomerID,price,Invoice_Date,quantity,description,Stock Code,INVOICE",
    )
    layout, _ = read(feed, path)
    assert layout.positions == (8, 7, 6, 5, 4, 3, 2, 1)
    assert layout.extras == ((0, "note"),)


def test_byte_order_mark_and_latin1_are_read(feed, tmp_path, csv_file):
    header = csv_file().read_text().strip()
    path = tmp_path / "old.csv"
    path.write_bytes(b"\xef\xbb\xbf" + header.encode() + b"\r\n1,A,\xa35 BOX \xc3\xa9,1,x,1,,EIRE\r\n")
    _, rows = read(feed, path)
    assert rows[0].fields[2] == "£5 BOX é"


def test_a_missing_column_is_named(feed, csv_file):
    with pytest.raises(InputError, match=r"lacks the columns Price, Country; .*'Invoice,StockCode"):
        read(feed, csv_file(header="Invoice,StockCode,Description,Quantity,InvoiceDate,Customer ID"))


def test_a_column_that_is_there_twice_is_refused(feed, csv_file):
    header = csv_file().read_text().strip() + ",customer_id"
    with pytest.raises(InputError, match="'customer_id' twice"):
        read(feed, csv_file(LINE + ",1", header=header))


def test_a_column_named_like_the_record_id_is_refused(feed, csv_file):
    header = csv_file().read_text().strip() + ",record_id"
    with pytest.raises(InputError, match="record_id"):
        read(feed, csv_file(LINE + ",1", header=header))


def test_missing_folder_empty_and_header_only_are_one_sentence_each(feed, tmp_path, csv_file):
    with pytest.raises(InputError, match="There is no file"):
        read(feed, tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="is a folder"):
        read(feed, tmp_path)
    empty = tmp_path / "empty.csv"
    empty.touch()
    with pytest.raises(InputError, match="is empty"):
        read(feed, empty)
    with pytest.raises(InputError, match="no record after its header"):
        read(feed, csv_file())


def test_an_endless_field_names_the_line_that_cannot_be_read(feed, csv_file, monkeypatch):
    path = csv_file(LINE, '1,A,"' + "x" * 200_000)
    monkeypatch.setattr("retail_analytics.ingest.rows.MAX_FIELD_CHARACTERS", 131_072)
    before = csv.field_size_limit(131_072)
    try:
        with pytest.raises(InputError, match=r"beyond line 3 .*quote"):
            read(feed, path)
    finally:
        csv.field_size_limit(before)


def test_count_lines_leaves_the_header_out(csv_file):
    assert count_lines(csv_file(LINE, LINE)) == 2
