"""A crash at any remote call loses nothing and needs nobody; readers never see half an hour."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from retail_analytics.batch import compaction, processed
from retail_analytics.batch.staging import Pipeline
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources import athena as athena_module
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import CONFIG
from retail_analytics_tests.integration.lakes import HOUR, later, line

if TYPE_CHECKING:
    from datetime import datetime

    from retail_analytics_tests.integration.lakes import Lake

# How often a query is looked at depends on time, so it is no call to count.
POLLS = ("GetQueryExecution", "GetQueryRuntimeStatistics")


class DeadError(BaseException):
    """The process is gone: nothing that it has in its `finally` runs against the cloud either."""


@dataclass
class Mortal:
    """A process of its own that dies at a given remote call: before it is sent, or before it is answered."""

    dies_at: int = 10**9
    answered: bool = False
    calls: list[str] = field(default_factory=list)
    dead: bool = False

    def session(self, region: str) -> boto3.session.Session:
        made = boto3.session.Session(region_name=region)
        made.events.register_first("before-call.*.*", self._before)
        made.events.register_last("after-call.*.*", self._after)
        return made

    def _before(self, model: Any, **_: Any) -> None:
        if self.dead:
            raise DeadError
        if model.name in POLLS:
            return
        self.calls.append(model.name)
        if len(self.calls) == self.dies_at and not self.answered:
            self.dead = True
            raise DeadError

    def _after(self, model: Any, **_: Any) -> None:
        if len(self.calls) == self.dies_at and model.name not in POLLS and not self.dead:
            self.dead = True
            raise DeadError

    def pipeline(self, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
        """The lake's pipeline, over this process's clients."""
        one = self.session(lake.settings.region)
        monkeypatch.setattr(athena_module, "session", lambda _: one)
        return Pipeline(
            lake.feed,
            lake.settings,
            one.client("s3", config=CONFIG),
            AthenaResource.of(lake.settings),
            Catalog(one.client("glue", config=CONFIG), lake.settings.database),
        )


def calls_of_a_compaction(lake: Lake, monkeypatch: pytest.MonkeyPatch, hour: datetime) -> int:
    living = Mortal()
    with monkeypatch.context() as patch:
        (result,) = compaction.compact(living.pipeline(lake, patch), [hour])
    assert result.state == "published"
    return len(living.calls)


@pytest.mark.parametrize("answered", [False, True], ids=["before the call", "before the answer"])
def test_a_compaction_may_die_at_any_call(lake: Lake, monkeypatch: pytest.MonkeyPatch, *, answered: bool) -> None:
    def first(number: int) -> str:
        return line(10 * number)

    def second(number: int) -> str:
        return line(10 * number + 1)

    def give(number: int, content: list[str]) -> None:
        lake.put(later(number), content)

    # Every call has an hour that dies at it: published with a reject before, changed since.
    most = 40
    for number in range(most):
        give(number, [first(number), f"old {number}"])
    lake.compact(*(later(number) for number in range(most)))
    for number in range(most):
        give(number, [second(number), f"new {number}"])
    calls = calls_of_a_compaction(lake, monkeypatch, later(0))
    assert 10 < calls < most

    for number in range(1, calls + 1):
        mortal = Mortal(dies_at=number, answered=answered)
        with monkeypatch.context() as patch, pytest.raises(DeadError):
            compaction.compact(mortal.pipeline(lake, patch), [later(number)])
        assert mortal.dead
        old, new = [first(number)], [first(number), second(number)]
        seen = lake.compacted_ids(later(number))
        assert seen in ([f"{10 * number + each:032x}" for each in range(len(some))] for some in (old, new)), (
            f"half an hour after {mortal.calls}"
        )
        assert set(lake.rejects(later(number))) in ({f"old {number}"}, {f"old {number}", f"new {number}"})

    these = [later(number) for number in range(1, calls + 1)]
    results = lake.compact(*these)
    assert {result.state for result in results} <= {"published", "unchanged"}
    assert [result.counts for result in results] == [compaction.Counts(4, 2, 2)] * len(these)
    assert len(lake.compacted_ids(*these)) == 2 * len(these)
    assert set(lake.rejects(*these)) == {f"{age} {n}" for n in range(1, calls + 1) for age in ("old", "new")}
    assert {result.state for result in lake.compact(*these)} == {"unchanged"}


@pytest.mark.parametrize("answered", [False, True], ids=["before the call", "before the answer"])
def test_a_refresh_may_die_at_any_call(lake: Lake, monkeypatch: pytest.MonkeyPatch, *, answered: bool) -> None:
    most = 24
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

    number = 0
    died = True
    while died:
        mortal = Mortal(dies_at=number + 1, answered=answered)
        with monkeypatch.context() as patch:
            try:
                processed.refresh(mortal.pipeline(lake, patch), "transactions", [days[number]])
            except DeadError:
                assert seen(number) in (1, 2), f"half a day after {mortal.calls}"
            else:
                died = False  # it had fewer calls than that
        number += 1
        assert number < most
    assert number > 6
    results = processed.refresh(lake.pipeline, "transactions", days)
    assert {result.state for result in results} <= {"published", "unchanged"}
    assert [result.rows for result in results] == [2] * most
    assert [seen(each) for each in (0, number - 1, most - 1)] == [2, 2, 2]
