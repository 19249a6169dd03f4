"""The dashboard of retail transactions: revenue over time, by country, top products, cancellations."""

from __future__ import annotations

from retail_analytics.feeds.dashboard import Dashboard, Metric, Panel, SavedSearch, ScriptedField

_AMOUNT = ScriptedField(
    "line_amount",
    "doc['Quantity'].empty || doc['Price'].empty ? 0.0 : doc['Quantity'].value * doc['Price'].value",
)
_REVENUE = Metric("sum", "Revenue (GBP)", _AMOUNT.name)
_UNITS = Metric("sum", "Units", "Quantity")
_CANCELLED = "Invoice:C*"
_LINE = ("Invoice", "StockCode", "Description", "Quantity", "Price", "Customer_ID", "Country")

DASHBOARD = Dashboard(
    title="Retail transactions",
    description="Revenue over time, by country and by product, and what was cancelled.",
    scripted_fields=(_AMOUNT,),
    panels=(
        Panel(
            "totals",
            "Totals",
            "Revenue less cancellations, invoices, customers and lines.",
            "metric",
            (
                _REVENUE,
                Metric("cardinality", "Invoices", "Invoice"),
                Metric("cardinality", "Customers", "Customer_ID"),
                Metric("count", "Lines"),
            ),
        ),
        Panel(
            "revenue_over_time",
            "Revenue over time",
            "Quantity times price, cancellations deducted.",
            "line",
            (_REVENUE,),
            by="time",
        ),
        Panel(
            "revenue_by_country",
            "Revenue by country",
            "The countries with the highest revenue.",
            "bar",
            (_REVENUE,),
            by="Country",
        ),
        Panel(
            "top_products",
            "Top products",
            "The products with the highest revenue, and the units sold of them.",
            "table",
            (_REVENUE, _UNITS),
            by="Description",
            size=20,
        ),
        Panel(
            "cancellations",
            "Cancellations over time",
            "Lines and amount of invoices whose number begins with C.",
            "bar",
            (_REVENUE, Metric("count", "Lines")),
            by="time",
            query=_CANCELLED,
        ),
        Panel(
            "cancelled_products",
            "Most cancelled products",
            "The products with the most cancelled lines.",
            "table",
            (Metric("count", "Lines"), _UNITS),
            by="Description",
            query=_CANCELLED,
        ),
    ),
    searches=(
        SavedSearch("latest", "Latest transactions", "All lines, the latest first.", "", _LINE),
        SavedSearch("cancelled", "Cancelled lines", "Lines of cancelled invoices.", _CANCELLED, _LINE),
        SavedSearch(
            "anonymous",
            "Lines without a customer",
            "Lines of sales that name no customer.",
            'Customer_ID:""',
            _LINE,
        ),
        SavedSearch(
            "abroad",
            "Sales abroad",
            "Lines of orders from outside of the United Kingdom.",
            'NOT Country:"United Kingdom" AND NOT Invoice:C*',
            _LINE,
        ),
        SavedSearch(
            "large",
            "Large lines",
            "Lines of a thousand units or more, sold or returned.",
            "Quantity:>=1000 OR Quantity:<=-1000",
            _LINE,
        ),
        SavedSearch(
            "hearts",
            "Products by word",
            "An example of searching a product's name by its words.",
            "Description.text:(heart AND holder)",
            _LINE,
        ),
    ),
)
