"""Processed tables: exactly the days that changed hours hold are made again, and they sum to their source."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from retail_analytics.batch import processed, processed_inputs, processed_sql
from retail_analytics.batch.staging import Pipeline
from retail_analytics.lake import hours, tables
from retail_analytics_tests.integration.lakes import HOUR, later, line, record

if TYPE_CHECKING:
    from pathlib import Path

    from retail_analytics.batch.processed import DayResult
    from retail_analytics_tests.integration.lakes import Lake

DAYS = [date(2010, 11, 30), date(2010, 12, 1), date(2010, 12, 2), date(2010, 12, 3)]
ALL = ("transactions", "sales_hourly", "product_daily")  # of which a day is made from its own alone


def at(day: int, time: str = "08:00:00") -> str:
    return f"2010-12-{day:02} {time}"


def refresh(lake: Lake, name: str = "transactions", days: list[date] = DAYS) -> dict[int, DayResult]:
    """Results by day of the month."""
    return {result.day.day: result for result in processed.refresh(lake.pipeline, name, days)}


def states(results: dict[int, DayResult]) -> list[str]:
    return [result.state for result in results.values()]


def test_exactly_the_days_that_changed_are_made_again(lake: Lake) -> None:
    lake.put(HOUR, [line(1, InvoiceDate=at(1)), line(2, InvoiceDate=at(1))])
    lake.put(later(24), [line(3, InvoiceDate=at(2))])
    lake.compact(HOUR, later(24))
    assert states(refresh(lake)) == ["empty", "published", "published", "empty"]
    assert states(refresh(lake)) == ["empty", "unchanged", "unchanged", "empty"]

    # A record of the first day arrives on the third.
    lake.put(later(48), [line(4, InvoiceDate=at(1))])
    (late,) = lake.compact(later(48))
    assert late.changed_days == ("2010-12-01", "2010-12-03")
    written = lake.athena.writes
    # A cancellation of the second day might look for a sale of the first: made again, and the same.
    results = refresh(lake)
    assert states(results) == ["empty", "published", "same", "empty"]
    assert (results[1].rows, results[2].rows) == (3, 1)
    assert lake.athena.writes == written + 1
    assert states(refresh(lake)) == ["empty", "unchanged", "unchanged", "empty"]
    rows = lake.select("transactions", "record_id, event_day", "event_day = DATE '2010-12-01'")
    assert sorted(row["record_id"] for row in rows) == [f"{number:032x}" for number in (1, 2, 4)]


def test_all_days_of_a_range_take_one_query_and_one_audit(lake: Lake) -> None:
    for count in range(4):
        lake.put(later(24 * count), [line(count, InvoiceDate=at(1 + count))])
    lake.compact(*(later(24 * count) for count in range(4)))
    before = lake.athena.writes, lake.athena.reads
    refresh(lake, days=[date(2010, 12, day) for day in (1, 2, 3, 4)])
    assert (lake.athena.writes - before[0], lake.athena.reads - before[1]) == (1, 1)


def test_a_record_that_came_in_two_hours_is_counted_once(lake: Lake) -> None:
    lake.put(HOUR, [line(1), line(2, record_id=...)])
    lake.put(later(1), [line(1), line(2, record_id=...), line(3)])
    lake.compact(HOUR, later(1))
    result = refresh(lake)[1]
    assert (result.state, result.rows, result.repeated) == ("published", 4, 1)
    found = sorted(row["record_id"] or "" for row in lake.select("transactions", "record_id"))
    assert found == ["", "", f"{1:032x}", f"{3:032x}"]


def test_a_day_is_the_same_whatever_days_are_made_with_it(lake: Lake) -> None:
    lake.put(HOUR, [line(1, InvoiceDate=at(1))])
    lake.put(later(24), [line(1, InvoiceDate=at(2))])  # the same id, by a producer's mistake
    lake.compact(HOUR, later(24))
    together = {day: result.rows for day, result in refresh(lake).items()}
    assert together == {30: 0, 1: 1, 2: 1, 3: 0}
    for name in ALL[1:]:
        assert states(refresh(lake, name)) == ["empty", "published", "published", "empty"]


def test_an_emptied_day_goes(lake: Lake) -> None:
    key = lake.put(HOUR, [line(1)])
    lake.put(later(24), [line(2, InvoiceDate=at(2))])
    lake.compact(HOUR, later(24))
    for name in ALL:
        refresh(lake, name)
    lake.delete(key)
    lake.compact(HOUR)
    for name in ALL:
        expected = "same" if name == "transactions" else "unchanged"
        assert states(refresh(lake, name)) == ["empty", "empty", expected, "empty"], name
        assert {row["event_day"] for row in lake.select(name, "event_day")} == {date(2010, 12, 2)}


def test_a_day_that_moves_leaves_no_trace(lake: Lake) -> None:
    key = lake.put(HOUR, [line(1, InvoiceDate=at(2))])
    lake.compact_one()
    assert states(refresh(lake)) == ["empty", "empty", "published", "empty"]
    lake.delete(key)
    lake.put(HOUR, [line(1, InvoiceDate=at(3))])
    assert lake.compact_one().changed_days == ("2010-12-01", "2010-12-02", "2010-12-03")
    assert states(refresh(lake)) == ["empty", "empty", "empty", "published"]
    assert [row["event_day"] for row in lake.select("transactions", "event_day")] == [date(2010, 12, 3)]


def a_days_trade() -> list[dict[str, Any]]:
    """Some of everything: cancellations, returns, free goods, twins, no customer, no description."""
    made = []
    for number in range(60):
        cancelled = number % 7 == 0
        made.append(
            record(
                number,
                Invoice=f"{'C' if cancelled else ''}{536000 + number // 4}",
                Quantity=-2 if cancelled else number % 5 + 1,
                Price=[2.55, 0, 0.0011, 11062.06][number % 4],
                InvoiceDate=at(1 + number % 2, f"{8 + number % 3:02}:{number % 60:02}:00"),
                Description=["A | B", "  ", "", "LONG NAME  "][number % 4],
                Customer_ID=["17850", "", "13047"][number % 3],
                Country=["United Kingdom", "France"][number % 5 == 0],
            )
        )
    return made


def test_tables_hold_what_a_plain_computation_finds(lake: Lake) -> None:
    trade = a_days_trade()
    for count in range(3):
        lake.put(later(count), [line(0, **made) for made in trade[20 * count : 20 * count + 20]])
    lake.compact(*(later(count) for count in range(3)))
    results = {name: refresh(lake, name) for name in ALL}
    for name, found in results.items():
        assert states(found) == ["empty", "published", "published", "empty"], name

    amounts: dict[str, Decimal] = defaultdict(Decimal)
    hourly: dict[tuple[str, str], dict[str, Any]] = {}
    for made in trade:
        amount = made["Quantity"] * Decimal(str(made["Price"]))
        amounts[made["InvoiceDate"][:10]] += amount
        key = made["InvoiceDate"][:13], made["Country"]
        row = hourly.setdefault(
            key, {"orders": set(), "lines": 0, "units": 0, "gross": 0, "cancelled": 0, "customers": set()}
        )
        cancelled = made["Invoice"].startswith("C")
        row["orders"] |= set() if cancelled else {made["Invoice"]}
        row["lines"] += 1
        row["units"] += made["Quantity"]
        row["cancelled" if cancelled else "gross"] += amount
        row["customers"] |= {made["Customer_ID"]} - {""}

    for name in ALL:
        for day, amount in amounts.items():
            measures = dict(results[name][int(day[-2:])].measures)
            assert (name, measures["amount"], measures["lines"]) == (name, amount, 30)
    found = {(f"{row['sales_hour']:%Y-%m-%d %H}", row["country"]): row for row in lake.select("sales_hourly")}
    assert sorted(found) == sorted(hourly)
    for key, wanted in hourly.items():
        row = found[key]
        assert (row["orders"], row["customers"]) == (len(wanted["orders"]), len(wanted["customers"]))
        assert {name: row[name] for name in ("lines", "units", "gross", "cancelled")} == {
            name: wanted[name] for name in ("lines", "units", "gross", "cancelled")
        }
        assert row["net"] == wanted["gross"] + wanted["cancelled"]

    rows = {row["record_id"]: row for row in lake.select("transactions")}
    for made in trade:
        row = rows[made["record_id"]]
        assert row["is_cancellation"] is made["Invoice"].startswith("C")
        assert row["customer_id"] == (made["Customer_ID"] or None)
        assert row["description"] == (made["Description"].strip() or None)
        assert row["line_amount"] == made["Quantity"] * Decimal(str(made["Price"]))


def test_a_day_whose_sums_differ_is_not_published(lake: Lake, tmp_path: Path) -> None:
    lake.put(HOUR, [line(1), line(2)])
    lake.put(later(24), [line(3, InvoiceDate=at(2))])
    lake.compact(HOUR, later(24))
    refresh(lake)
    # A SELECT that loses a record of the first day, as an edit of it might.
    lossy = tmp_path / "transactions.sql"
    declared = lake.feed.processed_table("transactions")
    lossy.write_text(declared.sql.read_text().replace("delivery = 1 OR", f"record_id <> '{2:032x}' OR"))
    feed = dataclasses.replace(lake.feed, processed=(dataclasses.replace(declared, sql=lossy),))
    pipeline = Pipeline(feed, lake.settings, lake.s3, lake.athena, lake.catalog)
    results = {result.day.day: result for result in processed.refresh(pipeline, "transactions", DAYS)}
    assert states(results) == ["empty", "failed", "same", "empty"]
    assert results[1].problem == "lines is 2.0000 in its source, 1.0000 as written"
    assert len(lake.select("transactions", "record_id", "event_day = DATE '2010-12-01'")) == 2


def test_the_index_may_remember_what_an_hour_held_once(lake: Lake) -> None:
    key = lake.put(HOUR, [line(1, InvoiceDate=at(2))])
    lake.compact_one()
    lake.delete(key)
    lake.put(HOUR, [line(1)])
    lake.compact_one()
    index = tables.event_days_table(lake.feed, lake.settings)
    there = lake.catalog.get(index, [("2010-12-02", hours.part(HOUR)), ("2010-12-01", hours.part(HOUR))])
    assert len(there) == 2
    assert list(processed_inputs.hours_of_days(lake.pipeline, DAYS)) == [date(2010, 12, 1)]


def test_every_ddl_makes_the_table_that_is_registered(lake: Lake) -> None:
    database = lake.settings.database
    for declared in tables.all_tables(lake.feed, lake.settings):
        # How a quote is escaped is the unit tests' matter.
        columns = tuple((name, type_, comment.replace("'", "")) for name, type_, comment in declared.columns)
        table = dataclasses.replace(declared, columns=columns)
        lake.glue.update_table(DatabaseName=database, TableInput=table.table_input())
        registered = lake.glue.get_table(DatabaseName=database, Name=table.name)["Table"]
        lake.glue.delete_table(DatabaseName=database, Name=table.name)
        lake.athena.execute(tables.ddl(table, database))
        made = lake.glue.get_table(DatabaseName=database, Name=table.name)["Table"]
        for name in ("PartitionKeys", "TableType"):
            assert made[name] == registered[name], (table.name, name)
        wanted, there = registered["StorageDescriptor"], made["StorageDescriptor"]
        assert there["Columns"] == wanted["Columns"], table.name
        assert there["Location"].rstrip("/") == wanted["Location"].rstrip("/")
        serde = there["SerdeInfo"]
        assert serde["SerializationLibrary"] == wanted["SerdeInfo"]["SerializationLibrary"]
        for name in ("InputFormat", "OutputFormat"):
            assert there[name] == wanted[name], (table.name, name)
        properties = {k: v for k, v in serde["Parameters"].items() if k != "serialization.format"}
        expected = {k: v for k, v in wanted["SerdeInfo"]["Parameters"].items() if k != "serialization.format"}
        assert properties == expected, table.name


@pytest.mark.parametrize("hours_later", [0, 1])
def test_an_hour_that_is_published_between_write_and_audit_starts_its_day_over(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, hours_later: int
) -> None:
    lake.put(HOUR, [line(1, InvoiceDate=at(1))])
    lake.compact_one()
    audit = processed_sql.audit_select
    meanwhile: list[str] = []

    def late(*arguments: Any) -> str:
        if not meanwhile:
            meanwhile.append(lake.put(later(hours_later), [line(2, InvoiceDate=at(1))]))
            lake.compact(later(hours_later))
        return audit(*arguments)

    monkeypatch.setattr(processed_sql, "audit_select", late)
    results = refresh(lake, days=DAYS[1:2])
    assert states(results) == ["published"]
    assert results[1].rows == 2
