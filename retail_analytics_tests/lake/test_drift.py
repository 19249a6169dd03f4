"""Schema drift: differences, their verdict, and how they are shown."""

from __future__ import annotations

import dataclasses
import json

import dagster as dg
import pytest

from retail_analytics.batch import compaction_sql
from retail_analytics.feeds import get_feed
from retail_analytics.feeds.declaration import SchemaPolicy
from retail_analytics.lake import crawlers, drift, findings, judgements, tables
from retail_analytics.lake.drift import Change, Drift
from retail_analytics.settings import Settings

FEED = get_feed("retail_trans")
SETTINGS = Settings()
ADDED = Change("channel", "", "string", "added", "records", 3)
CHANGED = Change("price", "float", "double", "changed", "catalog")
REMOVED = Change("Country", "string", "", "removed", "records", 2)


def declared() -> dict[str, str]:
    return {name: type_ for name, type_, _ in tables.raw_table(FEED, SETTINGS).columns}


def test_a_table_as_declared_differs_in_nothing() -> None:
    assert drift.catalog_changes(FEED, SETTINGS, declared()) == []


def test_columns_added_changed_and_removed_are_told_apart() -> None:
    there = {**declared(), "price": "double", "channel": "string"}
    del there["country"]
    assert drift.catalog_changes(FEED, SETTINGS, there) == [
        Change("country", "string", "", "removed", "catalog"),
        CHANGED,
        Change("channel", "", "string", "added", "catalog"),
    ]


def test_the_reasons_are_those_that_compaction_gives() -> None:
    words = compaction_sql._reason(FEED)
    reasons = drift._reasons(FEED)
    given = [reason for reason in reasons if f"'{reason}'" in words]
    # Text is never of a wrong type; every other reason must be one that compaction can give.
    text = [f"{column.source} is no string" for column in FEED.columns if column.stored_type == "string"]
    assert set(reasons) - set(given) == set(text)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ((), "ignore"),
        ((ADDED,), "warn"),
        ((CHANGED,), "fail"),
        ((REMOVED,), "fail"),
        ((ADDED, REMOVED), "fail"),
    ],
)
def test_an_added_column_warns_and_the_rest_fails(changes: tuple[Change, ...], verdict: str) -> None:
    assert drift.verdict(changes, SchemaPolicy()) == verdict


def test_the_feeds_policy_decides() -> None:
    loose = dataclasses.replace(FEED, schema_policy=SchemaPolicy(added="ignore", changed="warn"))
    assert judgements.of_schema(Drift((ADDED,), 8, 9), loose).passed
    result = judgements.of_schema(Drift((ADDED, CHANGED), 8, 9), loose)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    strict = dataclasses.replace(FEED, schema_policy=SchemaPolicy(added="fail"))
    assert judgements.of_schema(Drift((ADDED,), 8, 9), strict).severity == dg.AssetCheckSeverity.ERROR


def test_no_table_is_no_proof() -> None:
    assert not judgements.of_schema(Drift((), 0, 0), FEED).passed


def test_the_version_changes_with_the_differences_and_not_with_their_number() -> None:
    version = Drift((ADDED, CHANGED), 8, 100).version
    more = dataclasses.replace(ADDED, records=4)
    assert Drift((CHANGED, more), 8, 101).version == version
    assert Drift((ADDED,), 8, 100).version != version
    assert Drift((), 8, 100).version == Drift((), 0, 0).version == drift.NOTHING


def test_the_table_holds_its_form_whatever_a_key_is_called() -> None:
    odd = Change("a|b\n`c`<i>", "", "string", "added", "records", 1)
    text = findings.markdown([odd, CHANGED])
    assert [line.count("|") for line in text.splitlines()] == [6] * 4
    assert "<i>" not in text
    assert "`" not in text
    assert "| price | float | double | changed | catalog |" in text


def test_a_long_table_says_what_it_leaves_out() -> None:
    assert findings.markdown([CHANGED] * 25).endswith("… and 5 more")


@pytest.mark.parametrize(
    ("text", "tables_added", "partitions"),
    [
        (
            json.dumps({"TABLE": {"ADD": {"Details": {"names": ["t"]}}}, "PARTITION": {"ADD": {"Count": 7}}}),
            ("t",),
            7,
        ),
        # As AWS nests it: JSON in strings.
        (
            json.dumps(
                {
                    "TABLE": json.dumps({"ADD": {"Details": {"names": ["t"]}}}),
                    "PARTITION": json.dumps({"ADD": {"Count": 7}}),
                }
            ),
            ("t",),
            7,
        ),
        ('{"PARTITION": {}}', (), 0),
    ],
)
def test_a_crawls_summary_is_read_in_either_form(
    text: str, tables_added: tuple[str, ...], partitions: int
) -> None:
    found = crawlers.read_summary(text)
    assert found is not None
    assert found.tables.get("ADD", ()) == tables_added
    assert found.partitions.get("ADD", 0) == partitions


def test_a_summary_that_says_nothing_is_told_as_such() -> None:
    assert crawlers.read_summary("") is None
    assert crawlers.read_summary("Completed") is None
    metadata = findings.of_crawl(crawlers.Crawl("c", "SUCCEEDED", 1.0, None, ()))
    assert metadata["found"].value == "no summary of this crawl; it wants glue:ListCrawls"
