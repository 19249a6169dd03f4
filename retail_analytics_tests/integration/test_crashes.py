"""A crash at any remote call loses nothing and needs nobody; readers never see half an hour."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from retail_analytics.batch import compaction, processed
from retail_analytics.batch.staging import Pipeline
from retail_analytics.lake import hours as hours_
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources import athena as athena_module
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import CONFIG
from retail_analytics_tests.integration.lakes import HOUR, later, line
from retail_analytics_tests.integration.lives import deaths

if TYPE_CHECKING:
    from datetime import datetime

    from retail_analytics_tests.integration.lakes import Lake

# How often a query is looked at depends on time, so it is no call to count.
POLLS = ("GetQueryExecution", "GetQueryRuntimeStatistics")
NEVER = 10**9


class DeadError(BaseException):
    """The process is gone: nothing that it has in its `finally` runs against the cloud either."""


class Mortal:
    """A pipeline that dies just before a given remote call is sent.

    Which is, for everybody else, the same as to die before the answer to the call before it.
    """

    def __init__(self, lake: Lake) -> None:
        self.session = boto3.session.Session(region_name=lake.settings.region)
        self.session.events.register_first("before-call.*.*", self._before)
        self.pipeline = Pipeline(
            lake.feed,
            lake.settings,
            self.session.client("s3", config=CONFIG),
            AthenaResource.of(lake.settings),
            Catalog(self.session.client("glue", config=CONFIG), lake.settings.database),
        )
        self.live()

    def live(self, dies_at: int = NEVER) -> None:
        """Live anew, until that call."""
        self.dies_at, self.calls, self.dead = dies_at, list[str](), False

    def _before(self, model: Any, **_: Any) -> None:
        if not self.dead and model.name not in POLLS:
            self.calls.append(model.name)
            self.dead = len(self.calls) == self.dies_at
        if self.dead:
            raise DeadError


@pytest.fixture
def mortal(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Mortal:
    made = Mortal(lake)
    living = athena_module.session
    # Its Athena goes through its own session; readers' goes through theirs.
    monkeypatch.setattr(
        athena_module,
        "session",
        lambda region: living(region) if made.dead or not made.calls else made.session,
    )
    return made


def contents(lake: Lake, hour: datetime) -> tuple[list[str], list[str]]:
    """(record ids, rejected lines) that one look finds in an hour."""
    where = hours_.hours_predicate([hour])
    tables = {
        kind: f'"{lake.settings.database}"."{lake.feed.name}_{kind}"' for kind in ("compacted", "rejects")
    }
    rows = AthenaResource.query(
        lake.athena,
        f"SELECT 'good' AS kind, record_id AS value FROM {tables['compacted']} WHERE {where}"
        f" UNION ALL SELECT 'bad', line FROM {tables['rejects']} WHERE {where}",
    ).rows
    good, bad = (sorted(row["value"] for row in rows if row["kind"] == kind) for kind in ("good", "bad"))
    return good, bad


def test_a_compaction_may_die_at_any_call(lake: Lake, mortal: Mortal) -> None:
    def give(numbers: range, age: str, offset: int) -> None:
        for number in numbers:
            lake.put(later(number), [line(10 * number + offset), f"{age} {number}"])

    def ids(number: int, count: int) -> list[str]:
        return [f"{10 * number + each:032x}" for each in range(count)]

    # One hour shows which calls there are; each death then has an hour of its own.
    for age in ("new", "old"):
        give(range(1), age, int(age == "new"))
        mortal.live()
        (result,) = compaction.compact(mortal.pipeline, [HOUR])
        assert result.state == "published"
    calls = list(mortal.calls)  # other queries go the same way
    assert {"ListObjectsV2", "StartQueryExecution", "BatchUpdatePartition"} <= set(calls)
    every = range(1, len(deaths(calls)) + 1)
    these = [later(number) for number in every]
    give(every, "old", 0)
    lake.compact(*these)
    give(every, "new", 1)

    for number, dies_at in zip(every, deaths(calls), strict=True):
        mortal.live(dies_at)
        with pytest.raises(DeadError):
            compaction.compact(mortal.pipeline, [later(number)])
        good, bad = contents(lake, later(number))
        assert good in (ids(number, 1), ids(number, 2)), f"half an hour after {mortal.calls}"
        assert bad in ([f"old {number}"], [f"new {number}", f"old {number}"])

    results = lake.compact(*these)
    assert {result.state for result in results} <= {"published", "unchanged"}
    assert [result.counts for result in results] == [compaction.Counts(4, 2, 2)] * len(these)
    assert lake.compacted_ids(*these) == [each for number in every for each in ids(number, 2)]
    assert set(lake.rejects(*these)) == {f"{age} {number}" for number in every for age in ("old", "new")}
    assert {result.state for result in lake.compact(*these)} == {"unchanged"}


def test_a_refresh_may_die_at_any_call(lake: Lake, mortal: Mortal) -> None:
    most = 12
    days = [(HOUR + timedelta(days=number)).date() for number in range(most)]
    hours = [HOUR + timedelta(days=number) for number in range(most)]
    for wave in range(2):
        for number, hour in enumerate(hours):
            lake.put(hour, [line(10 * number + wave, InvoiceDate=f"{days[number]} 08:0{wave}:00")])
        lake.compact(*hours)
        if not wave:
            processed.refresh(lake.pipeline, "transactions", days)

    def seen(number: int) -> int:
        return len(lake.select("transactions", "record_id", f"event_day = DATE '{days[number]}'"))

    # The first day shows which calls there are; each death then has a day of its own.
    mortal.live()
    processed.refresh(mortal.pipeline, "transactions", days[:1])
    calls = list(mortal.calls)  # other queries go the same way
    assert {"StartQueryExecution", "BatchUpdatePartition"} <= set(calls)
    assert 3 < len(deaths(calls)) < most
    for number, dies_at in enumerate(deaths(calls), 1):
        mortal.live(dies_at)
        with pytest.raises(DeadError):
            processed.refresh(mortal.pipeline, "transactions", [days[number]])
        assert seen(number) in (1, 2), f"half a day after {mortal.calls}"
    mortal.live()
    results = processed.refresh(lake.pipeline, "transactions", days)
    assert {result.state for result in results} <= {"published", "unchanged"}
    assert [result.rows for result in results] == [2] * most
    assert [seen(each) for each in (0, 1, most - 1)] == [2, 2, 2]
