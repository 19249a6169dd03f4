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

_TRANSACTIONS = ProcessedTable(
    name="transactions",
    description="One line of an invoice, once, typed, with its amount.",
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
    ),
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
    measures=(Measure("lines", "1", "lines"), Measure("amount", "line_amount", "net")),
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
    processed=(_TRANSACTIONS, _SALES_HOURLY, _PRODUCT_DAILY),
    search=SearchIndex(alias="retail_trans", date_fields=("InvoiceDate",), text_fields=("Description",)),
)
