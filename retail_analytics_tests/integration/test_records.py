"""Every record is accounted for: what is taken, what is rejected and why, what is a duplicate."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retail_analytics.batch.compaction_sql import PREVIEW_CELL_END, PREVIEW_ROW_END
from retail_analytics.batch.results import Counts
from retail_analytics.lake import hours
from retail_analytics_tests.integration.lakes import HOUR, body, later, line, record

if TYPE_CHECKING:
    from retail_analytics.batch.results import HourResult
    from retail_analytics_tests.integration.lakes import Lake

REJECTED: dict[str, str] = {
    "not json at all": "not JSON",
    '{"Invoice": "536365"': "not JSON",
    line(1) + line(2): "not JSON",  # a producer that forgot the line's end
    "\\N": "not JSON",  # Hive's NULL
    "7": "not a JSON object",
    '"text"': "not a JSON object",
    "null": "not a JSON object",
    f"[{line(3)}]": "not a JSON object",
    line(4, Invoice=...): "Invoice is missing",
    line(5, Customer_ID=...): "Customer_ID is missing",
    line(6, Invoice=""): "Invoice is empty",
    line(7, Invoice=None): "Invoice is empty",
    line(8, Quantity=""): "Quantity is empty",
    line(9, Quantity="6.0"): "Quantity is no int",
    line(10, Quantity="abc"): "Quantity is no int",
    line(11, Quantity=2**31): "Quantity is no int",
    line(12, Quantity=6.5): "Quantity is no int",
    line(13, Price="two"): "Price is no decimal(18,4)",
    line(14, Price=10**15): "Price is no decimal(18,4)",
    line(15, InvoiceDate="01/12/2010 08:26"): "InvoiceDate is no timestamp",
    line(16, InvoiceDate="2010-02-30 08:26:00"): "InvoiceDate is no timestamp",
    line(17, InvoiceDate=""): "InvoiceDate is empty",
    line(18, Country=...): "Country is missing",
    "{}": "Invoice is missing",
}
GOOD = [
    line(100),
    line(101, Quantity=-3, Invoice="C536379"),
    line(102, Price=0),
    line(103, Price=-11062.06, Invoice="A563185"),
    line(104, Quantity="7", Price="2.55"),  # numbers as text, as CSV tools write them
    line(105, Description="", Customer_ID=""),
    line(106, Description=None, Customer_ID=None),
    line(107, Description='12" RULER, "RED"\\ | é £ 日本 \u2028 😀'),
    line(108, Description="two\nlines\tand a tab"),
    line(109, Quantity=2**31 - 1),
    "  " + line(110) + "  ",
]


def counts(result: HourResult) -> tuple[int, int, int, int]:
    assert not result.problem
    found = result.counts
    assert found.lines == found.compacted + found.rejected + found.duplicates
    return found.lines, found.compacted, found.rejected, found.duplicates


def test_each_kind_of_bad_line_is_kept_with_its_reason(lake: Lake) -> None:
    key = lake.put(HOUR, list(REJECTED))
    lake.put(HOUR, GOOD)
    result = lake.compact_one()
    assert counts(result) == (len(GOOD) + len(REJECTED), len(GOOD), len(REJECTED), 0)
    assert lake.rejects() == REJECTED
    sources = {row["source_object"] for row in lake.select("rejects", "source_object")}
    assert sources == {f"s3://{lake.settings.bucket}/{key}"}


def test_good_records_come_through_as_they_were(lake: Lake) -> None:
    lake.put(HOUR, GOOD)
    lake.compact_one()
    rows = {row["record_id"]: row for row in lake.select("compacted")}
    wanted = [json.loads(each) for each in GOOD]
    assert sorted(rows) == [made["record_id"] for made in wanted]
    for made in wanted:
        row = rows[made["record_id"]]
        assert row["description"] == made["Description"]
        assert row["customer_id"] == made["Customer_ID"]
        assert row["quantity"] == int(made["Quantity"])
        assert row["price"] == Decimal(str(made["Price"]))
        assert row["invoicedate"] == datetime.fromisoformat(made["InvoiceDate"])
        assert row["event_day"] == date(2010, 12, 1)
        assert row["extra"] is None
        assert (row["year"], row["month"], row["day"], row["hour"]) == (2010, 12, 1, 8)


def test_twins_stay_and_redelivered_records_go(lake: Lake) -> None:
    twins = [line(1), line(2, **{key: record(1)[key] for key in record(1) if key != "record_id"})]
    lake.put(HOUR, [*twins, line(3)], "a")
    lake.put(HOUR, [line(3), line(3), line(4)], "b")
    rejected_twice = line(5, Quantity="x")
    lake.put(HOUR, [rejected_twice, rejected_twice], "c")
    result = lake.compact_one()
    # A rejected record is kept as often as it came: that it came twice is a fact about it.
    assert counts(result) == (8, 4, 2, 2)
    assert lake.compacted_ids() == [f"{number:032x}" for number in (1, 2, 3, 4)]


def test_of_copies_that_differ_the_first_stays(lake: Lake) -> None:
    lake.put(HOUR, [line(1, Quantity=1)], "a")
    lake.put(HOUR, [line(1, Quantity=2)], "b")
    lake.put(HOUR, [line(1, Quantity="bad")], "0")
    assert counts(lake.compact_one()) == (3, 1, 1, 1)
    assert [row["quantity"] for row in lake.select("compacted", "quantity")] == [1]


def test_records_without_an_id_are_kept_and_counted(lake: Lake) -> None:
    bare = line(1, record_id=...)
    lake.put(HOUR, [bare, bare, line(2, record_id=""), line(3, record_id=None), line(4)])
    result = lake.compact_one()
    assert counts(result) == (5, 5, 0, 0)
    assert result.counts.without_id == 4
    assert lake.compacted_ids() == ["", "", "", "", f"{4:032x}"]


def test_unknown_keys_are_kept_in_extra(lake: Lake) -> None:
    lake.put(HOUR, [line(1, Channel="web", Basket={"size": [1, 2]}, nothing=None), line(2)])
    lake.compact_one()
    rows = {row["record_id"]: row["extra"] for row in lake.select("compacted")}
    assert json.loads(rows[f"{1:032x}"]) == {"Channel": "web", "Basket": {"size": [1, 2]}, "nothing": None}
    assert rows[f"{2:032x}"] is None


def test_lines_end_in_any_way_and_blank_ones_are_none(lake: Lake) -> None:
    contents = {
        "windows": (line(1) + "\r\n" + line(2) + "\r\n").encode(),
        "unfinished": (line(3) + "\n" + line(4)).encode(),
        "blank": f"\n\n   \n\t\n{line(5)}\n\n".encode(),
        "only blank": b"\n \n\r\n",
        "no bytes": b"",
        "packed.gz": gzip.compress(body([line(6), "bad"])),
        "a single line's end": b"\n",
    }
    for number, content in enumerate(contents.values()):
        lake.put(later(number), content, "x.gz" if content[:2] == b"\x1f\x8b" else None)
    results = lake.compact(*(later(number) for number in range(len(contents))))
    assert dict(zip(contents, map(counts, results), strict=True)) == {
        "windows": (2, 2, 0, 0),
        "unfinished": (2, 2, 0, 0),
        "blank": (1, 1, 0, 0),
        "only blank": (0, 0, 0, 0),
        "no bytes": (0, 0, 0, 0),
        "packed.gz": (2, 1, 1, 0),
        "a single line's end": (0, 0, 0, 0),
    }
    assert {result.state for result in results} == {"published"}
    assert lake.compacted_ids(*(result.hour for result in results)) == [
        f"{number:032x}" for number in range(1, 7)
    ]
    # All of them are settled: nothing asks for them again.
    asked = len(lake.athena.statements)
    assert {result.state for result in lake.compact(*(later(n) for n in range(len(contents))))} == {
        "unchanged"
    }
    assert len(lake.athena.statements) == asked


def test_an_hour_of_rejects_alone_is_published_with_none(lake: Lake) -> None:
    lake.put(HOUR, ["bad", "worse"])
    lake.put(later(1), [line(1)])
    only_bad, good = lake.compact(HOUR, later(1))
    assert counts(only_bad) == (2, 0, 2, 0)
    assert only_bad.state == "published"
    assert (only_bad.objects, only_bad.preview, only_bad.event_days) == (0, "", ())
    assert counts(good) == (1, 1, 0, 0)
    assert lake.compacted_ids(HOUR) == []
    assert lake.rejects(HOUR) == {"bad": "not JSON", "worse": "not JSON"}
    assert lake.rejects(later(1)) == {}


def test_the_preview_survives_any_description(lake: Lake) -> None:
    awkward = ["a|b", "two\nlines", "x" * 600_000, "left out"]
    lake.put(HOUR, [line(number, Description=text) for number, text in enumerate(awkward)])
    result = lake.compact_one()
    shown = [row.split(PREVIEW_CELL_END) for row in result.preview.split(PREVIEW_ROW_END)]
    assert [len(row) for row in shown] == [8, 8, 3]
    assert [row[2][:10] for row in shown] == ["a|b", "two\nlines", "x" * 10]
    assert len(result.preview) < 2000
    assert lake.compact_one().preview == result.preview


# A plain oracle: the rules once more, in Python, over lines whose kinds are known.
GOOD_VALUES: dict[str, list[Any]] = {
    "Invoice": ["536365", "C536379"],
    "Quantity": [6, -1, "12", 0],
    "Price": [2.55, 0, "-3.1234"],
    "InvoiceDate": ["2010-12-01 08:26:00", "2010-11-30 23:59:59"],
    "Description": ["A", "", None],
    "Customer_ID": ["", "17850"],
    "Country": ["France"],
}
BAD_VALUES: dict[str, list[Any]] = {
    "Invoice": ["", None, ...],
    "Quantity": ["6.0", "x", "", ...],
    "Price": ["x", "", None],
    "InvoiceDate": ["2010-13-01 00:00:00", "soon", ...],
    "Country": ["", ...],
    "Description": [...],
}
TYPES = {"Quantity": "int", "Price": "decimal(18,4)", "InvoiceDate": "timestamp"}
NOTHING = [None, "", ...]


@st.composite
def lines(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["good"] * 5 + ["bad"] * 3 + ["blank", "junk", "array"]))
    if kind in ("blank", "junk", "array"):
        return {"blank": draw(st.sampled_from(["", "  ", "\t"])), "junk": "{oops", "array": "[1]"}[kind]
    values = {key: draw(st.sampled_from(choices)) for key, choices in GOOD_VALUES.items()}
    if kind == "bad":
        broken = draw(st.lists(st.sampled_from(sorted(BAD_VALUES)), min_size=1, max_size=2, unique=True))
        values |= {key: draw(st.sampled_from(BAD_VALUES[key])) for key in broken}
    ids = st.one_of(st.just(...), st.just(""), st.integers(0, 6).map(lambda number: f"{number:032x}"))
    return line(draw(st.integers(0, 5)), **values, record_id=draw(ids))


def reason(text: str) -> str | None:
    """Why the line is rejected; None for a good one. The first rule that it breaks, in the columns' order."""
    if text in ("{oops", "[1]"):
        return "not JSON" if text == "{oops" else "not a JSON object"
    made = json.loads(text)
    for key in record(0):
        if key == "record_id":
            continue
        value = made.get(key, ...)
        if value is ...:
            return f"{key} is missing"
        if key in ("Description", "Customer_ID") or (value in GOOD_VALUES.get(key, [value]) and value != ""):
            continue
        return f"{key} is empty" if value in NOTHING else f"{key} is no {TYPES[key]}"
    return None


@dataclass
class Expected:
    counts: Counts
    rejects: Counter[tuple[str, str]]
    ids: list[str]
    amount: Decimal
    days: tuple[str, ...]


def expected(contents: dict[str, list[str]]) -> Expected:
    found = sorted((name, text) for name, texts in contents.items() for text in texts if text.strip())
    rejects = Counter((text, why) for _, text in found if (why := reason(text)))
    kept: list[dict[str, Any]] = []
    seen: set[str] = set()
    good = [json.loads(text) for _, text in found if not reason(text)]
    for made in good:
        identity = made.get("record_id") or ""
        if not identity or identity not in seen:
            kept.append(made)
            seen.add(identity)
    without_id = sum(not made.get("record_id") for made in kept)
    return Expected(
        Counts(len(found), len(kept), rejects.total(), len(good) - len(kept), without_id),
        rejects,
        sorted(made.get("record_id") or "" for made in kept),
        sum((int(made["Quantity"]) * Decimal(str(made["Price"])) for made in kept), Decimal(0)),
        tuple(sorted({made["InvoiceDate"][:10] for made in kept})),
    )


@settings(max_examples=4, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(st.lists(lines(), max_size=25), max_size=3), min_size=6, max_size=6))
def test_any_mix_of_lines_adds_up_as_a_plain_computation_says(lake: Lake, mix: list[list[list[str]]]) -> None:
    # A day for each mix, an hour for each of its parts: all of it in one compaction.
    start = hours.floor_hour(HOUR) + len(lake.athena.statements) * hours.DAY
    contents: dict[datetime, dict[str, list[str]]] = {}
    for number, objects in enumerate(mix):
        hour = start + number * hours.HOUR
        contents[hour] = {f"object-{index}": texts for index, texts in enumerate(objects)}
        for name, texts in contents[hour].items():
            lake.put(hour, texts, name)
    results = lake.compact(*contents)
    where = hours.hours_predicate(contents)
    rows = lake.select("compacted", "hour, record_id, quantity * price AS amount", where)
    rejects = lake.select("rejects", "hour, line, reason", where)
    for result in results:
        wanted = expected(contents[result.hour])
        assert result.state == ("published" if contents[result.hour] else "empty")
        assert result.counts == wanted.counts
        assert result.event_days == wanted.days
        there = [row for row in rows if row["hour"] == result.hour.hour]
        assert sorted(row["record_id"] or "" for row in there) == wanted.ids
        assert sum((row["amount"] for row in there), Decimal(0)) == wanted.amount
        kept = [(row["line"], row["reason"]) for row in rejects if row["hour"] == result.hour.hour]
        assert Counter(kept) == wanted.rejects
