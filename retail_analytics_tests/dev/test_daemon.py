"""``retail-analytics dev`` through the real daemon: hours arrive, are compacted and checked by themselves."""

from __future__ import annotations

import csv
import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from retail_analytics.lake import hours, objects
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import s3_client
from retail_analytics.resources.opensearch import OpenSearchResource
from retail_analytics_tests.dev.session import HISTORY_RECORDS, DevSession

if TYPE_CHECKING:
    pass

BACKFILL = """mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
RUNS = """query($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs { results {
  runId status assetSelection { path } tags { key value } } } } }"""
STATUS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status } } }"""

BACKFILLED_HOURS = 6
LATE = timedelta(minutes=10)  # into its hour


@dataclass(frozen=True)
class Recompacted:
    """An hour that an object was put into after it had been compacted.

    Attributes:
        key: The hour.
        digest: The digest of what raw then held.
        before: Its materialisation before.
        after: The one that followed.
        others: The other hours that were compacted meanwhile. Those are left out that were backfilled, that
            closed since the session began, or that somebody asked for and that were found as they should be:
            the catch-up at minute 20 may ask for an hour that automation is compacting just then.
    """

    key: str
    digest: str
    before: dict[str, Any]
    after: dict[str, Any]
    others: set[str]


def put_late(dev: DevSession, backfill: str, hour: datetime, records: list[dict[str, Any]]) -> Recompacted:
    """Put an object into a closed hour and wait until somebody has compacted that hour."""
    key = hours.partition_key(hour)
    everything = dev.materializations("compacted")
    before = dev.materializations("compacted", key)[0]
    name = f"{dev.feed.stream}-1-{hour:%Y-%m-%d-%H}-59-59-{uuid.uuid4()}"
    body = "".join(json.dumps(each) + "\n" for each in records).encode()
    with dev.cloud.applied():
        s3 = s3_client(dev.settings.region)
        s3.put_object(Bucket=dev.settings.bucket, Key=hours.prefix(dev.feed, hour) + name, Body=body)
        digest = objects.list_these(s3, dev.settings.bucket, dev.feed, [hour])[hour].digest
    assert digest != before["metadata"]["digest"]

    def compacted_again() -> bool:
        return dev.materializations("compacted", key)[0]["metadata"]["digest"] == digest

    dev.wait_until(compacted_again, f"{key} is compacted again")
    news = [each for each in dev.materializations("compacted") if each not in everything]
    clicked = {run["runId"] for run in runs_of(dev, backfill)}
    others = {
        each["partition"]
        for each in news
        if each["runId"] not in clicked
        and each["partition"] < hours.partition_key(dev.closed)
        and each["metadata"]["state"] != "unchanged"
    }
    return Recompacted(key, digest, before, dev.materializations("compacted", key)[0], others - {key})


def record_at(event: datetime, record_id: str) -> dict[str, Any]:
    return {
        "Invoice": "900001",
        "StockCode": "85123A",
        "Description": "WHITE HANGING HEART T-LIGHT HOLDER",
        "Quantity": 6,
        "InvoiceDate": f"{event:%Y-%m-%d %H:%M:%S}",
        "Price": 2.55,
        "Customer_ID": "",
        "Country": "United Kingdom",
        "record_id": record_id,
    }


def figures(dev: DevSession) -> tuple[int, Decimal, int]:
    """Of events before the session: transactions, their revenue, documents in the index."""
    assert dev.feed.search is not None
    alias = dev.feed.search.alias
    before = {"range": {"InvoiceDate": {"lt": f"{dev.closed:%Y-%m-%dT%H:%M:%S}"}}}
    with dev.cloud.applied():
        result = AthenaResource.of(dev.settings).query(
            "SELECT count(*) AS records, sum(line_amount) AS revenue FROM retail_trans_transactions"
            f" WHERE invoicedate < TIMESTAMP '{dev.closed:%Y-%m-%d %H:%M:%S}'"
        )
        client = OpenSearchResource.of(dev.settings).client()
        client.indices.refresh(index=alias)
        documents = client.count(index=alias, body={"query": before})["count"]
    return result.rows[0]["records"], result.rows[0]["revenue"], documents


def history_revenue(dev: DevSession) -> Decimal:
    """The revenue of the history, from the file that it was loaded from."""
    with (dev.state / "generated.csv").open(newline="") as file:
        return sum((int(row["Quantity"]) * Decimal(row["Price"]) for row in csv.DictReader(file)), Decimal(0))


def runs(dev: DevSession, **wanted: Any) -> list[dict[str, Any]]:
    return list(dev.graphql(RUNS, filter=wanted)["runsOrError"]["results"])


def runs_of(dev: DevSession, backfill: str) -> list[dict[str, Any]]:
    return runs(dev, tags=[{"key": "dagster/backfill", "value": backfill}])


@pytest.fixture(scope="module")
def backfill(compacted: DevSession) -> str:
    """The id of a backfill of some hours of catalog and compacted, launched as the UI's dialog does."""
    keys = compacted.hours()[:BACKFILLED_HOURS]
    answer = compacted.graphql(
        BACKFILL,
        params={
            "partitionsByAssets": [
                {
                    "assetKey": {"path": [compacted.feed.name, asset]},
                    "partitions": {"range": {"start": keys[0], "end": keys[-1]}},
                }
                for asset in ("catalog", "compacted")
            ]
        },
    )["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    return str(answer["backfillId"])


@pytest.fixture(scope="module")
def late(compacted: DevSession, backfill: str) -> Recompacted:
    """An hour into which a record came late."""
    hour = compacted.closed - timedelta(hours=3)
    return put_late(compacted, backfill, hour, [record_at(hour + LATE, "f" * 32)])


@pytest.fixture(scope="module")
def redelivered(compacted: DevSession, backfill: str, late: Recompacted) -> Recompacted:
    """A later hour, into which Firehose delivered that record again, and twice: it does so at least once."""
    event = hours.from_partition_key(late.key) + LATE
    return put_late(
        compacted, backfill, compacted.closed - timedelta(hours=2), [record_at(event, "f" * 32)] * 2
    )


def test_past_hours_arrive_and_are_compacted_and_checked_by_themselves(compacted: DevSession) -> None:
    known = set(compacted.hours())
    assert compacted.materialized_hours("raw") == known
    assert compacted.materialized_hours("catalog") == known
    compacted.wait_until(
        lambda: set(compacted.checks("compacted").values()) == {True}, "compacted is checked"
    )
    names = compacted.checks("compacted").keys()
    assert {"every_record_accounted", "required_fields", "schema_as_declared"} <= names
    # Newest first, so that what stays is each hour as it was compacted at first.
    rows = {each["partition"]: each["metadata"]["rows"] for each in compacted.materializations("compacted")}
    assert sum(rows[key] for key in known) == HISTORY_RECORDS


def test_a_late_object_recompacts_its_hour_and_no_other(late: Recompacted) -> None:
    assert late.after["metadata"]["rows"] == late.before["metadata"]["rows"] + 1
    assert late.after["metadata"]["raw objects"] == late.before["metadata"]["raw objects"] + 1
    assert late.others == set()


def test_a_redelivered_record_is_a_duplicate_in_its_hour(redelivered: Recompacted) -> None:
    assert redelivered.after["metadata"]["raw lines"] == redelivered.before["metadata"]["raw lines"] + 2
    assert redelivered.after["metadata"]["duplicates"] == redelivered.before["metadata"]["duplicates"] + 1
    assert redelivered.others == set()


def test_days_are_made_and_checked_and_a_redelivered_record_changes_no_figure(
    compacted: DevSession, redelivered: Recompacted
) -> None:
    days = {key[:10] for key in compacted.hours()}
    touched = {redelivered.key[:10], f"{compacted.closed - timedelta(hours=3):%Y-%m-%d}"}

    def made() -> bool:
        for asset in ("transactions", "search_index", "sales_hourly", "product_daily"):
            found = compacted.materializations(asset)
            if not days <= {each["partition"] for each in found}:
                return False
            since = [each for each in found if each["seconds"] > redelivered.after["seconds"]]
            if not touched <= {each["partition"] for each in since}:
                return False
        return True

    compacted.wait_until(made, "processed tables and index are made")
    compacted.wait_until(
        lambda: all(
            [*compacted.checks("product_daily").values(), *compacted.checks("search_index").values()]
        ),
        "processed tables and index are checked",
    )
    assert compacted.checks("product_daily") == {"sums_agree": True}
    assert compacted.checks("search_index") == {"documents_reconcile": True}
    revenue = history_revenue(compacted) + 6 * Decimal("2.55")
    assert figures(compacted) == (HISTORY_RECORDS + 1, revenue, HISTORY_RECORDS + 1)


def test_a_click_backfills_a_range_in_one_run(compacted: DevSession, backfill: str) -> None:
    def status() -> str:
        return str(compacted.graphql(STATUS, id=backfill)["partitionBackfillOrError"]["status"])

    compacted.wait_until(lambda: status() not in ("REQUESTED", "CANCELING", "FAILING"), "the backfill ends")
    keys = compacted.hours()[:BACKFILLED_HOURS]
    assert status() == "COMPLETED_SUCCESS"
    (run,) = runs_of(compacted, backfill)
    assert run["status"] == "SUCCESS"
    assert {"/".join(each["path"]) for each in run["assetSelection"]} == {
        "retail_trans/catalog",
        "retail_trans/compacted",
    }
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert tags["dagster/asset_partition_range_start"] == keys[0]
    assert tags["dagster/asset_partition_range_end"] == keys[-1]
    made = compacted.materializations("compacted", *keys)
    assert {each["partition"] for each in made if each["runId"] == run["runId"]} == set(keys)
