"""Tables that look back: cancellations find their originals, customers are judged by a year, exactly."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from retail_analytics.batch import processed
from retail_analytics_tests.integration.lakes import line

if TYPE_CHECKING:
    from retail_analytics_tests.integration.lakes import Lake

TODAY = date(2011, 12, 5)


def ago(days: int, time: str = "09:00:00") -> str:
    return f"{TODAY - timedelta(days=days)} {time}"


def put(lake: Lake, number: int, at: str, **changes: Any) -> None:
    """One sale of six of one product to one customer, unless told otherwise, in the hour of its event."""
    hour = datetime.strptime(at[:13], "%Y-%m-%d %H").replace(tzinfo=UTC)
    made = {"StockCode": "85123A", "Quantity": 6, "Customer_ID": "17850", "Invoice": f"{500000 + number}"}
    lake.put(hour, [line(number, **{**made, "InvoiceDate": at, **changes})])


def compact(lake: Lake) -> None:
    """Compact every hour of the days that the tests write to."""
    found = lake.s3.list_objects_v2(Bucket=lake.settings.bucket, Prefix=lake.feed.raw_root)["Contents"]
    values = {item["Key"].removeprefix(lake.feed.raw_root).rsplit("/", 1)[0] for item in found}
    lake.compact(
        *(datetime.strptime(v, "year=%Y/month=%m/day=%d/hour=%H").replace(tzinfo=UTC) for v in values)
    )


def refresh(lake: Lake, name: str, *ages: int) -> dict[int, str]:
    """State by age in days."""
    days = [TODAY - timedelta(days=age) for age in ages]
    return {(TODAY - made.day).days: made.state for made in processed.refresh(lake.pipeline, name, days)}


def cancel(lake: Lake, number: int, at: str = ago(0, "12:00:00"), **changes: Any) -> None:
    put(lake, number, at, **{"Invoice": f"C{500000 + number}", "Quantity": -2, **changes})


def originals(lake: Lake) -> dict[str, str | None]:
    rows = lake.select("transactions", "invoice, original_invoice", "is_cancellation")
    return {row["invoice"]: row["original_invoice"] for row in rows}


def test_a_cancellation_names_the_latest_earlier_sale_that_it_can_be_of(lake: Lake) -> None:
    put(lake, 1, ago(31))  # too long ago
    put(lake, 2, ago(30), StockCode="A")  # just in time
    put(lake, 3, ago(3))
    put(lake, 4, ago(2))  # the one
    put(lake, 5, ago(1), Quantity=1)  # too few
    put(lake, 6, ago(1), Price=2.54)
    put(lake, 7, ago(1), Customer_ID="13047")
    put(lake, 8, ago(1), Customer_ID="")
    put(lake, 9, ago(0, "12:00:00"))  # not earlier
    put(lake, 10, ago(0, "13:00:00"))
    put(lake, 11, ago(31), StockCode="B")
    cancel(lake, 20)
    cancel(lake, 21, StockCode="A")
    cancel(lake, 22, StockCode="B")
    cancel(lake, 23, Customer_ID="")
    cancel(lake, 24, Quantity=-7)
    cancel(lake, 25, ago(0, "12:30:00"), record_id=...)  # without an id, and after one more sale
    cancel(lake, 26, ago(2, "10:00:00"))  # the same day's
    compact(lake)
    assert refresh(lake, "transactions", 2, 0) == {2: "published", 0: "published"}
    assert originals(lake) == {
        "C500020": "500004",
        "C500021": "500002",
        "C500022": None,
        "C500023": None,
        "C500024": None,
        "C500025": "500009",
        "C500026": "500004",
    }
    (row,) = lake.select("transactions", "*", "invoice = 'C500020'")
    assert row["original_record_id"] == f"{4:032x}"
    assert f"{row['original_invoicedate']:%Y-%m-%d %H:%M:%S}" == ago(2)
    assert len(lake.select("transactions", "record_id", f"event_day = DATE '{TODAY}'")) == 8


def test_twins_are_paired_each_and_none_is_doubled(lake: Lake) -> None:
    for number in (1, 2):
        put(lake, number, ago(1), Invoice="500001")
    for number in (3, 4):
        cancel(lake, number, Invoice="C500003")
    compact(lake)
    refresh(lake, "transactions", 1, 0)
    rows = lake.select("transactions", "record_id, original_record_id", "is_cancellation")
    assert sorted(row["record_id"] for row in rows) == [f"{number:032x}" for number in (3, 4)]
    assert {row["original_record_id"] for row in rows} == {f"{1:032x}"}


def test_a_late_sale_makes_the_days_that_look_back_at_it_and_those_that_changed_go_on(lake: Lake) -> None:
    put(lake, 1, ago(40))
    put(lake, 2, ago(5), StockCode="A")
    cancel(lake, 3)
    cancel(lake, 4, ago(5, "14:00:00"), StockCode="A")
    compact(lake)
    ages = (40, 10, 5, 0)
    everything = {40: "published", 10: "empty", 5: "published", 0: "published"}
    assert refresh(lake, "transactions", *ages) == refresh(lake, "product_daily", *ages) == everything
    assert originals(lake) == {"C500003": None, "C500004": "500002"}

    put(lake, 5, ago(10))
    compact(lake)
    assert refresh(lake, "transactions", *ages) == {
        40: "unchanged",
        10: "published",
        5: "same",
        0: "published",
    }
    assert originals(lake) == {"C500003": "500005", "C500004": "500002"}
    # What came out as it was is no news to what reads it.
    assert refresh(lake, "product_daily", *ages) == {
        40: "unchanged",
        10: "published",
        5: "unchanged",
        0: "same",
    }
    again = dict.fromkeys(ages, "unchanged")
    assert refresh(lake, "transactions", *ages) == refresh(lake, "product_daily", *ages) == again


def customers(lake: Lake) -> dict[str, tuple[Any, ...]]:
    """(recency, frequency, monetary, and the three scores) by customer, as of today."""
    rows = lake.select("customer_rfm", "*", f"event_day = DATE '{TODAY}'")
    names = ("recency", "frequency", "monetary", "recency_score", "frequency_score", "monetary_score")
    return {
        row["customer_id"]: tuple(float(row[n]) if row[n] is not None else None for n in names)
        for row in rows
    }


def test_a_customer_is_judged_by_a_year_and_like_customers_alike(lake: Lake) -> None:
    put(lake, 1, ago(365), Price=100, Customer_ID="a")  # a day too long ago
    put(lake, 2, ago(364), Price=1, Customer_ID="a")
    put(lake, 3, ago(9), Price=1, Customer_ID="b", Invoice="600001")
    put(lake, 4, ago(9), Price=1, Customer_ID="b", Invoice="600001")  # two lines, one purchase
    put(lake, 5, ago(3), Price=1, Customer_ID="b")
    put(lake, 6, ago(3), Price=2, Customer_ID="c")
    cancel(lake, 7, ago(1), Price=2, Customer_ID="c")
    cancel(lake, 8, ago(1), Price=5, Customer_ID="d")  # of a sale that is none of this year's
    put(lake, 9, ago(0), Price=1, Customer_ID="e", Quantity=0)
    put(lake, 10, ago(0), Price=50, Customer_ID="")
    compact(lake)
    ages = (365, 364, 9, 3, 1, 0)
    refresh(lake, "transactions", *ages)
    assert set(refresh(lake, "customer_rfm", *ages).values()) == {"published"}
    assert customers(lake) == {
        "a": (364, 1, 6, 2, 2, 3),
        "b": (9 - 6, 2, 18, 3, 5, 5),
        "c": (3, 1, 8, 3, 2, 4),
        "d": (None, 0, -10, 1, 1, 1),
        "e": (0, 1, 0, 5, 2, 2),
    }
    # The day that leaves the window tomorrow is one that tomorrow does not depend on.
    put(lake, 11, ago(365), Price=1, Customer_ID="a")
    compact(lake)
    refresh(lake, "transactions", *ages)
    expected = {365: "published", 364: "published", 9: "published", 3: "published", 1: "published"}
    assert refresh(lake, "customer_rfm", *ages) == {**expected, 0: "unchanged"}


def test_a_day_without_a_sale_is_judged_by_those_before_it_and_one_without_any_is_none(lake: Lake) -> None:
    put(lake, 1, ago(5))
    compact(lake)
    refresh(lake, "transactions", 6, 5, 0)
    assert refresh(lake, "customer_rfm", 6, 5, 0) == {6: "empty", 5: "published", 0: "published"}
    assert customers(lake)["17850"][:2] == (5, 1)
