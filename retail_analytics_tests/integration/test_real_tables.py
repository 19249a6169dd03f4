"""The real month's processed tables, beside the same computed with pandas from the CSV itself."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from retail_analytics.batch import processed
from retail_analytics.ingest.history import load_history
from retail_analytics.lake import hours

if TYPE_CHECKING:
    from retail_analytics_tests.integration.lakes import Lake

MONTH = Path(__file__).parents[3] / "shared/data/online_retail_2010-12.csv"
DAYS = [date(2010, 12, 1) + timedelta(days=number) for number in range(31)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MONTH.is_file(), reason=f"the real month is not there: {MONTH}"),
]


def ten_thousandths(series: pd.Series) -> pd.Series:
    """Money as whole ten-thousandths of a pound: sums of these are exact."""
    return (series.astype(float) * 10_000).round().astype("int64")


@pytest.fixture
def truth() -> pd.DataFrame:
    """The lines of the CSV, typed, with what the tables derive."""
    lines = pd.read_csv(MONTH, dtype={"Invoice": str, "StockCode": str, "Customer ID": "Float64"})
    lines["at"] = pd.to_datetime(lines["InvoiceDate"])
    lines["event_day"] = lines["at"].dt.date
    lines["customer"] = lines["Customer ID"].astype("Int64").astype("string")
    lines["cents"] = ten_thousandths(lines["Price"])
    lines["amount"] = lines["Quantity"] * lines["cents"]
    lines["cancels"] = lines["Invoice"].str.startswith("C")
    return lines


def sums(lines: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """What both tables of sums hold, by these columns."""
    sold = lines[~lines["cancels"]]
    frame = pd.DataFrame(
        {
            "lines": lines.groupby(by).size(),
            "units": lines.groupby(by)["Quantity"].sum(),
            "net": lines.groupby(by)["amount"].sum(),
            "gross": sold.groupby(by)["amount"].sum(),
            "orders": sold.groupby(by)["Invoice"].nunique(),
        }
    ).fillna(0)
    frame["cancelled"] = frame["net"] - frame["gross"]
    return frame.astype("int64")


def originals(lines: pd.DataFrame) -> dict[tuple[str, str, str, int, int, datetime], str]:
    """The invoice of the original of each cancelled line that has one, found by looking at every sale."""
    sales: dict[tuple[str, str, int], list[tuple[datetime, int, str]]] = {}
    for row in lines[~lines["cancels"] & (lines["Quantity"] > 0) & lines["customer"].notna()].itertuples():
        sales.setdefault((row.StockCode, row.customer, row.cents), []).append(
            (row.at, row.Quantity, row.Invoice)
        )
    found = {}
    for row in lines[lines["cancels"] & lines["customer"].notna()].itertuples():
        fitting = [
            (at, -quantity, invoice)
            for at, quantity, invoice in sales.get((row.StockCode, row.customer, row.cents), [])
            if at < row.at and quantity >= -row.Quantity and (row.at.date() - at.date()).days <= 30
        ]
        if fitting:
            key = (row.Invoice, row.StockCode, row.customer, row.cents, row.Quantity, row.at)
            found[key] = max(fitting)[2]
    return found


def rfm(lines: pd.DataFrame, day: date) -> pd.DataFrame:
    """The customers as of a day."""
    named = lines[lines["customer"].notna() & (lines["event_day"] <= day)]
    bought = named[~named["cancels"]]
    frame = pd.DataFrame({"monetary": named.groupby("customer")["amount"].sum()})
    last = bought.groupby("customer")["event_day"].max()
    frame["recency"] = last.map(lambda then: (day - then).days).reindex(frame.index)
    frame["frequency"] = bought.groupby("customer")["Invoice"].nunique().reindex(frame.index).fillna(0)
    worse = {
        "recency_score": frame["recency"].fillna(10_000).map(lambda mine: -mine),
        "frequency_score": frame["frequency"],
        "monetary_score": frame["monetary"],
    }
    for name, values in worse.items():
        frame[name] = [int((values < mine).sum() * 5 // len(values) + 1) for mine in values]
    return frame


def test_the_real_months_tables_are_what_pandas_finds(lake: Lake, truth: pd.DataFrame) -> None:
    loaded = load_history(lake.feed, lake.settings, MONTH, client=lake.s3)
    these = list(hours.hours_between(loaded.first_hour, loaded.last_hour + hours.HOUR))
    lake.compact(*these)
    for table in lake.feed.processed:
        results = processed.refresh(lake.pipeline, table.name, DAYS)
        assert {result.state for result in results} <= {"published", "empty"}

    lines = pd.DataFrame(lake.select("transactions"))
    assert len(lines) == len(truth) == 42_481
    assert ten_thousandths(lines["line_amount"]).sum() == truth["amount"].sum() == 7_489_570_200
    paired = lines[lines["original_invoice"].notna()]
    found = {
        (
            row.invoice,
            row.stockcode,
            row.customer_id,
            int(row.price * 10_000),
            row.quantity,
            row.invoicedate,
        ): row.original_invoice
        for row in paired.itertuples()
    }
    assert found == originals(truth)
    assert len(paired) > 100
    assert paired["is_cancellation"].all()
    ids = lines.set_index("record_id")
    there = ids.loc[paired["original_record_id"]]
    assert (there["invoice"].to_numpy() == paired["original_invoice"].to_numpy()).all()
    assert (there["invoicedate"].to_numpy() < paired["invoicedate"].to_numpy()).all()

    truth["sales_hour"] = truth["at"].dt.floor("h")
    for name, by, keys in (
        ("sales_hourly", ["sales_hour", "Country"], ["sales_hour", "country"]),
        ("product_daily", ["event_day", "StockCode"], ["event_day", "stockcode"]),
    ):
        wanted = sums(truth, by)
        rows = pd.DataFrame(lake.select(name))
        for money in ("gross", "cancelled", "net"):
            rows[money] = ten_thousandths(rows[money])
        made = rows.set_index(keys)[list(wanted.columns)].astype("int64").sort_index()
        pd.testing.assert_frame_equal(made, wanted.sort_index(), check_names=False, check_index_type=False)
    customers = truth.groupby(["sales_hour", "Country"])["customer"].nunique()
    hourly = pd.DataFrame(lake.select("sales_hourly")).set_index(["sales_hour", "country"])["customers"]
    assert hourly.sort_index().tolist() == customers.sort_index().tolist()

    every = pd.DataFrame(lake.select("customer_rfm"))
    assert sorted(every["event_day"].unique()) == DAYS
    every["monetary"] = ten_thousandths(every["monetary"])
    for day in (DAYS[0], DAYS[3], DAYS[15], DAYS[30]):
        wanted = rfm(truth, day)
        made = every[every["event_day"] == day].set_index("customer_id")[list(wanted.columns)]
        pd.testing.assert_frame_equal(
            made.sort_index().astype("float64"),
            wanted.sort_index().astype("float64"),
            check_names=False,
            check_index_type=False,
        )
