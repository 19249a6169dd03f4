"""Retail transactions: one record a line of an invoice."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from retail_analytics.feeds.declaration import (
    Column,
    EventTime,
    Feed,
    Measure,
    ProcessedTable,
    SearchIndex,
)
from retail_analytics.feeds.retail_trans.dashboard import DASHBOARD

_HOUR = "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/"
_PROCESSED = Path(__file__).parent / "processed"

_COLUMNS = (
    Column("invoice", "string", "Invoice number", "Invoice"),
    Column("stockcode", "string", "Product (item) code", "StockCode"),
    Column("description", "string", "Product (item) name", "Description", nullable=True),
    Column(
        "quantity",
        "int",
        "The quantities of each product (item) per transaction",
        "Quantity",
    ),
    Column("invoicedate", "string", "Invoice date and time", "InvoiceDate", stored="timestamp"),
    Column("price", "float", "Unit price", "Price", stored="decimal(18,4)"),
    Column("customer_id", "string", "Customer number", "Customer_ID", nullable=True),
    Column("country", "string", "Country name", "Country"),
)

_RETURNS = 30  # days; later than that, hardly anything is returned
_YEAR = 365

# Columns that the tables of sums have in common.
_SALES = {
    "orders": ("invoice", "is_cancellation"),
    "lines": (),
    "units": ("quantity",),
    "gross": ("line_amount", "is_cancellation"),
    "cancelled": ("line_amount", "is_cancellation"),
    "net": ("line_amount",),
}

_TRANSACTIONS = ProcessedTable(
    name="transactions",
    description="One line of an invoice, once, typed, with its amount; a cancelled one with its original.",
    sql=_PROCESSED / "transactions.sql",
    columns=(
        ("record_id", "string", "The producer's id of the line"),
        ("invoice", "string", "Invoice number, with a leading C for a cancellation"),
        ("stockcode", "string", "Product (item) code"),
        ("description", "string", "Product (item) name, without surrounding blanks; NULL where empty"),
        ("quantity", "int", "Units; negative where goods came back or were written off"),
        ("invoicedate", "timestamp", "Invoice date and time, UTC"),
        ("price", "decimal(18,4)", "Unit price in pounds sterling"),
        ("line_amount", "decimal(18,4)", "quantity times price"),
        ("is_cancellation", "boolean", "Whether the invoice cancels another (its number begins with C)"),
        ("customer_id", "string", "Customer number; NULL where the sale names none"),
        ("country", "string", "Country name"),
        ("original_invoice", "string", "The invoice of the line that this one cancels; NULL where none is"),
        ("original_invoicedate", "timestamp", "Date and time of that invoice, UTC"),
        ("original_record_id", "string", "The producer's id of the cancelled line"),
    ),
    made_from={
        **{name: (name,) for name in ("record_id", "invoice", "stockcode", "description", "quantity")},
        **{name: (name,) for name in ("invoicedate", "price", "customer_id", "country")},
        "line_amount": ("quantity", "price"),
        "is_cancellation": ("invoice",),
        "original_invoice": ("invoice",),
        "original_invoicedate": ("invoicedate",),
        "original_record_id": ("record_id",),
    },
    lookback_days=_RETURNS,
    measures=(
        Measure("lines", "1", "1"),
        Measure("quantity", "quantity", "quantity"),
        Measure("amount", "quantity * price", "line_amount"),
    ),
)

_SALES_HOURLY = ProcessedTable(
    name="sales_hourly",
    description="The sales of one hour in one country.",
    sql=_PROCESSED / "sales_hourly.sql",
    source="transactions",
    columns=(
        ("sales_hour", "timestamp", "Start of the hour, UTC"),
        ("country", "string", "Country name"),
        ("orders", "bigint", "Invoices that are no cancellations"),
        ("lines", "bigint", "Lines of all invoices"),
        ("units", "bigint", "Units sold less units returned"),
        ("gross", "decimal(18,4)", "Amount of lines that are no cancellations"),
        ("cancelled", "decimal(18,4)", "Amount of cancellation lines, negative"),
        ("net", "decimal(18,4)", "gross plus cancelled"),
        ("customers", "bigint", "Distinct customers that the lines name"),
    ),
    made_from={
        "sales_hour": ("invoicedate",),
        "country": ("country",),
        **_SALES,
        "customers": ("customer_id",),
    },
    measures=(Measure("lines", "1", "lines"), Measure("amount", "line_amount", "net")),
)

_PRODUCT_DAILY = ProcessedTable(
    name="product_daily",
    description="The sales of one product on one day.",
    sql=_PROCESSED / "product_daily.sql",
    source="transactions",
    columns=(
        ("stockcode", "string", "Product (item) code"),
        ("description", "string", "The product's name on most of the day's lines"),
        ("orders", "bigint", "Invoices that are no cancellations"),
        ("lines", "bigint", "Lines of all invoices"),
        ("units", "bigint", "Units sold less units returned"),
        ("gross", "decimal(18,4)", "Amount of lines that are no cancellations"),
        ("cancelled", "decimal(18,4)", "Amount of cancellation lines, negative"),
        ("net", "decimal(18,4)", "gross plus cancelled"),
    ),
    made_from={"stockcode": ("stockcode",), "description": ("description",), **_SALES},
    measures=(Measure("lines", "1", "lines"), Measure("amount", "line_amount", "net")),
)

_CUSTOMER_RFM = ProcessedTable(
    name="customer_rfm",
    description="A customer as of a day, by the year that ends with it: recency, frequency, monetary.",
    sql=_PROCESSED / "customer_rfm.sql",
    source="transactions",
    columns=(
        ("customer_id", "string", "Customer number"),
        (
            "last_purchase",
            "date",
            "Day of the last invoice that is no cancellation; NULL without one",
        ),
        ("recency", "bigint", "Days from the last purchase to the day"),
        ("frequency", "bigint", "Invoices that are no cancellations"),
        ("monetary", "decimal(18,4)", "Amount of all lines, cancellations subtracted, in pounds sterling"),
        (
            "recency_score",
            "bigint",
            "Fifth of the day's customers by recency: 5 the latest, 1 the earliest",
        ),
        (
            "frequency_score",
            "bigint",
            "Fifth of the day's customers by frequency: 5 the highest, 1 the lowest",
        ),
        ("monetary_score", "bigint", "Fifth of the day's customers by monetary: 5 the highest, 1 the lowest"),
    ),
    made_from={
        "customer_id": ("customer_id",),
        "last_purchase": ("event_day", "is_cancellation"),
        "recency": ("event_day", "is_cancellation"),
        "frequency": ("invoice", "is_cancellation"),
        "monetary": ("line_amount",),
        "recency_score": ("event_day", "is_cancellation"),
        "frequency_score": ("invoice", "is_cancellation"),
        "monetary_score": ("line_amount",),
    },
    lookback_days=_YEAR - 1,
    of_window=True,
    measures=(Measure("amount", "CASE WHEN customer_id IS NOT NULL THEN line_amount END", "monetary"),),
)

RETAIL_TRANS = Feed(
    name="retail_trans",
    description="Transactions of an online retailer: one record a line of an invoice.",
    source="kinesis",
    stream="uk-online-retail-trans",
    prefix=f"00-retail-trans/{_HOUR}",
    error_prefix=f"00-error/{_HOUR}!{{firehose:error-output-type}}",
    columns=_COLUMNS,
    event_time=EventTime(column="invoicedate", format="%Y-%m-%d %H:%i:%s"),
    record_id="record_id",
    # The deployment says when its history begins (RETAIL_FIRST_HOUR); this is the data set's own.
    first_hour=datetime(2009, 12, 1, tzinfo=UTC),
    processed=(_TRANSACTIONS, _SALES_HOURLY, _PRODUCT_DAILY, _CUSTOMER_RFM),
    search=SearchIndex(
        alias="retail_trans",
        date_fields=("InvoiceDate",),
        text_fields=("Description",),
        dashboard=DASHBOARD,
    ),
)
