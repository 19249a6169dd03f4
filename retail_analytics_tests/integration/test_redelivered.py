"""A file that is delivered into two neighbouring hours counts once downstream, its twin lines twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retail_analytics.batch import metadata, processed
from retail_analytics.batch.compaction import Counts
from retail_analytics.ingest.sources import file_records
from retail_analytics_tests.integration.lakes import HOUR, later

if TYPE_CHECKING:
    from pathlib import Path

    from retail_analytics_tests.integration.lakes import Lake

# The second line is scanned twice: a twin, which the producer gives an id of its own.
TWIN = "536365,71053,WHITE METAL LANTERN,6,2010-12-01 08:26:00,3.39,17850,United Kingdom"
FILE = f"""Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country
536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,2010-12-01 08:26:00,2.55,17850,United Kingdom
{TWIN}
{TWIN}
"""


def test_a_file_that_came_in_two_hours_is_counted_shown_and_removed(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_text(FILE)
    with file_records(lake.feed, path) as records:
        body = b"".join(record.data for record in records)
    lake.put(HOUR, body)
    lake.put(later(1), body)
    lake.put(later(1), body)
    first, second = lake.compact(HOUR, later(1))
    # Within an hour redelivery is removed; across hours each keeps what it got, to reconcile with raw.
    assert first.counts == Counts(lines=3, compacted=3)
    assert second.counts == Counts(lines=6, compacted=3, duplicates=3)
    assert metadata.of_hour(second, lake.feed, lake.settings)["duplicates"].value == 3

    (day,) = processed.refresh(lake.pipeline, "transactions", [HOUR.date()])
    assert (day.state, day.rows, day.repeated) == ("published", 3, 3)
    shown = metadata.of_day(day, lake.settings)
    assert (shown["rows"].value, shown["repeated across hours"].value) == (3, 3)
    rows = lake.select("transactions", "stockcode, record_id")
    assert sorted(row["stockcode"] for row in rows) == ["71053", "71053", "85123A"]
    assert len({row["record_id"] for row in rows}) == 3
