"""Records and rows become documents: the same bytes whichever way they come."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.feeds import get_feed
from retail_analytics.search.documents import Document, DocumentMaker, Invalid, Origin
from retail_analytics.search.environment import document_rules
from retail_analytics.search.rules import DocumentRules, Field
from retail_analytics_tests.search.records import record

MAKER = DocumentMaker(document_rules(get_feed("retail_trans")))


def made(content: dict[str, Any], maker: DocumentMaker = MAKER) -> Document | Invalid:
    return maker.from_line(Origin("shard:1", json.dumps(content).encode()))


def document(content: dict[str, Any], maker: DocumentMaker = MAKER) -> dict[str, Any]:
    result = made(content, maker)
    assert isinstance(result, Document), result
    return dict(json.loads(result.source))


def test_the_declaration_decides_which_fields_and_their_order() -> None:
    turned = dict(reversed(record(1, Extra="x").items()))
    result = made(turned)
    assert isinstance(result, Document)
    assert list(json.loads(result.source)) == [
        "Invoice",
        "StockCode",
        "Description",
        "Quantity",
        "InvoiceDate",
        "Price",
        "Customer_ID",
        "Country",
        "record_id",
    ]
    assert result.unknown_fields == 1


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_customer_is_indexed_as_empty(empty: str | None) -> None:
    assert document(record(Customer_ID=empty))["Customer_ID"] == ""


@pytest.mark.parametrize(
    ("written", "indexed"),
    [
        ("2010-12-01 08:26:00", "2010-12-01T08:26:00Z"),
        ("0999-12-01 08:26:00", "0999-12-01T08:26:00Z"),
    ],
)
def test_dates_are_iso_8601_in_utc(written: str, indexed: str) -> None:
    assert document(record(InvoiceDate=written))["InvoiceDate"] == indexed


def test_a_date_with_an_offset_moves_to_its_month_in_utc() -> None:
    rules = DocumentRules("t", ("at",), ("at", "seen"), date_formats=("%Y-%m-%dT%H:%M:%S%z", "%d.%m.%Y"))
    maker = DocumentMaker(rules)
    result = made({"at": "2011-01-01T00:30:00+0100", "seen": "24.12.2010", "kept": [1.5]}, maker)
    assert isinstance(result, Document)
    assert (result.index, result.day, result.id) == ("t-2010.12", "2010-12-31", "shard:1")
    assert json.loads(result.source) == {
        "at": "2010-12-31T23:30:00Z",
        "seen": "2010-12-24T00:00:00Z",
        "kept": [1.5],
    }


def test_a_second_date_may_be_missing_and_may_not_be_wrong() -> None:
    rules = DocumentRules("t", (), ("at", "seen"), date_formats=("iso8601",))
    maker = DocumentMaker(rules)
    assert document({"at": "2010-12-31"}, maker) == {"at": "2010-12-31T00:00:00Z", "seen": None}
    wrong = made({"at": "2010-12-31", "seen": "yesterday"}, maker)
    assert isinstance(wrong, Invalid)
    assert (wrong.kind, wrong.day) == ("bad_date", "2010-12-31")


@pytest.mark.parametrize(
    ("price", "indexed"),
    [
        (2.55, "2.55"),
        ("2.55", "2.55"),
        (3, "3.0"),
        ("3.0000", "3.0"),
        (2.55005, "2.5501"),
        (-2.55005, "-2.5501"),
        (0.1 + 0.2, "0.3"),
        (-0.0, "0.0"),
        (0, "0.0"),
        ("12345678901234.5678", '"12345678901234.5678"'),
    ],
)
def test_prices_are_exact(price: Any, indexed: str) -> None:
    result = made(record(Price=price))
    assert isinstance(result, Document), result
    assert f'"Price":{indexed},' in result.source.decode()


@pytest.mark.parametrize("price", ["1_000", "٣", " 1", "1 ", "0x10", "1e", "--1", "1e999999999", True, [1]])
def test_what_is_no_price_is_refused(price: Any) -> None:
    result = made(record(Price=price))
    assert isinstance(result, Invalid)
    assert result.kind == "bad_value"
    assert result.day == "2010-12-01"
    assert result.record_id == "0" * 32


def test_reasons_do_not_repeat_the_record() -> None:
    result = made(record(Price="secret-secret"))
    assert isinstance(result, Invalid)
    assert "secret" not in result.reason


def test_kinds_of_fields() -> None:
    fields = (
        Field("at", "date"),
        Field("flag", "boolean"),
        Field("big", "long"),
        Field("ratio", "double"),
        Field("name", "text"),
    )
    maker = DocumentMaker(DocumentRules("t", ("at",), ("at",), date_formats=("iso8601",), fields=fields))
    content = {"at": "2010-12-31", "flag": "true", "big": 2**40, "ratio": 1e-7, "name": True}
    assert document(content, maker) == {
        "at": "2010-12-31T00:00:00Z",
        "flag": True,
        "big": 2**40,
        "ratio": 1e-7,
        "name": "true",
    }
    nothing = document({"at": "2010-12-31"}, maker)
    assert nothing == {"at": "2010-12-31T00:00:00Z", "flag": None, "big": None, "ratio": None, "name": ""}
    assert isinstance(made({"at": "2010-12-31", "flag": "maybe"}, maker), Invalid)
    assert isinstance(made({"at": "2010-12-31", "big": 2**63}, maker), Invalid)


def test_rules_need_a_date() -> None:
    with pytest.raises(ValueError, match="date"):
        DocumentRules("t", ("a",), ())


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(microsecond=0))


@given(
    invoice=TEXT,
    description=st.one_of(st.just(""), TEXT),
    quantity=st.integers(-(2**31), 2**31 - 1),
    at=MOMENTS,
    price=st.decimals(-(10**9), 10**9, places=4),
    customer=st.one_of(st.just(""), TEXT),
    record_id=st.one_of(st.none(), TEXT),
)
def test_a_row_of_the_lake_makes_the_bytes_that_its_line_made(
    invoice: str,
    description: str,
    quantity: int,
    at: datetime,
    price: Decimal,
    customer: str,
    record_id: str | None,
) -> None:
    shared = {"Invoice": invoice, "StockCode": "1", "Description": description, "Quantity": quantity}
    rest = {"Country": "France", "record_id": record_id}
    line = {
        **shared,
        "InvoiceDate": f"{at:%Y-%m-%d %H:%M:%S}",
        "Price": float(price),
        "Customer_ID": customer,
    }
    # The lake holds nothing as NULL, decimals with four places, and times without a zone.
    row = {**shared, "InvoiceDate": at, "Price": price, "Customer_ID": customer or None}
    from_line = made({**line, **rest})
    from_row = MAKER.from_record({**row, **rest}, Origin("shard:1", record={**row, **rest}))
    assert isinstance(from_line, Document)
    assert isinstance(from_row, Document)
    assert from_line.source == from_row.source
    assert (from_line.id, from_line.index, from_line.day) == (from_row.id, from_row.index, from_row.day)
    # And set aside, the row is a line again that makes the same document.
    again = MAKER.from_line(Origin("shard:1", MAKER.raw(from_row.origin)))
    assert isinstance(again, Document)
    assert again.source == from_line.source


@given(TEXT, st.integers(-(2**31), 2**31 - 1), st.decimals(-(10**9), 10**9, places=4), TEXT)
def test_a_document_is_what_json_would_write(text: str, quantity: int, price: Decimal, name: str) -> None:
    """Documents are put together field by field, for speed; a reader must not see it."""
    content = record(Invoice=text, Description=name, Quantity=quantity, Price=float(price))
    result = made(content)
    assert isinstance(result, Document)
    expected = {**content, "InvoiceDate": "2010-12-01T08:26:00Z", "Price": float(price) + 0.0}
    assert result.source == json.dumps(expected, ensure_ascii=False, separators=(",", ":")).encode()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_have_a_reason(data: bytes) -> None:
    result = MAKER.from_line(Origin("shard:1", data))
    assert isinstance(result, Document) or result.reason


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.sampled_from([*record()]), JSON)
def test_any_value_in_any_field_is_a_document_or_has_a_reason(name: str, value: Any) -> None:
    line = json.dumps({**record(), name: value}).encode()
    result = MAKER.from_line(Origin("shard:1", line))
    if isinstance(result, Document):
        json.loads(result.source.decode("utf-8"))
    else:
        assert result.reason.endswith((".", "number")) or result.kind == "not_json"


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**13), max_value=10**13))
def test_a_number_in_the_index_reads_back_as_the_lakes(number: Decimal) -> None:
    expected = number.quantize(Decimal("0.0001"), ROUND_HALF_UP)
    assert Decimal(str(document(record(Price=str(number)))["Price"])) == expected


def test_history_may_bring_aware_times_and_dates() -> None:
    zone = timezone(timedelta(hours=1))
    for value in (datetime(2011, 1, 1, 0, 30, tzinfo=zone), datetime(2010, 12, 31, 23, 30, tzinfo=UTC)):
        content = record(InvoiceDate=value)
        result = MAKER.from_record(content, Origin("x", record=content))
        assert isinstance(result, Document)
        assert result.index == "retail_trans-2010.12"
        assert b"2010-12-31T23:30:00Z" in result.source
    content = record(InvoiceDate=date(2010, 12, 31))
    result = MAKER.from_record(content, Origin("x", record=content))
    assert isinstance(result, Document)
    assert b'"2010-12-31T00:00:00Z"' in result.source
