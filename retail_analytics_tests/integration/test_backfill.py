"""The backfill command: it tells before it does, does what is stale, and goes on where it stopped."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import dagster as dg
import pytest

from retail_analytics.batch import staging
from retail_analytics.commands.backfill import run_backfill
from retail_analytics.resources import athena as athena_module
from retail_analytics.resources.athena import AthenaResource
from retail_analytics_tests.integration.lakes import SLOW, make_dagster_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from retail_analytics_tests.integration.lakes import Deployment

HOURS = 25


class Command:
    """The command over a deployment, with Dagster's memory in a folder of the test's own."""

    def __init__(self, deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
        self.deployment, self._capsys = deployment, capsys
        # The index is the search's matter, and its server is shared.
        self._feed = dataclasses.replace(deployment.lake.feed, search=None)

    def run(self, dry_run: bool = False) -> tuple[int, str]:
        """(exit status, what it said)."""
        self._capsys.readouterr()
        first, last = self.deployment.hour(0), self.deployment.hour(HOURS - 1)
        status = run_backfill(self._feed, first, last, dry_run)
        return status, self._capsys.readouterr().out

    def runs(self) -> list[str]:
        """The status of each run, in order."""
        with dg.DagsterInstance.get() as instance:
            return [run.status.value for run in reversed(instance.get_runs())]

    def transactions(self) -> int:
        """Lines that readers find."""
        return len(self.deployment.lake.select("transactions", "record_id"))


@pytest.fixture
def command(
    deployment: Deployment,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Command:
    make_dagster_home(tmp_path / "dagster", monkeypatch)
    for count in range(HOURS):
        deployment.put(count, count)
    return Command(deployment, capsys)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The CTAS that anybody gives Athena."""
    given: list[str] = []
    honest = AthenaResource.begun

    def begun(self: AthenaResource, sql: str) -> Any:
        given.append(sql)
        return honest(self, sql)

    monkeypatch.setattr(AthenaResource, "begun", begun)
    return given


def test_a_dry_run_tells_and_does_nothing_and_a_run_comes_to_what_was_told(
    command: Command, statements: list[str]
) -> None:
    status, said = command.run(dry_run=True)
    assert status == 0
    assert f"hours     {HOURS} asked for, {HOURS} with objects: {HOURS} to compact" in said
    days = {command.deployment.hour(count).date() for count in range(HOURS)}
    # Customers are judged as of today, too, whether it has had a sale or not.
    apart = datetime.now(UTC).date() not in days
    tables = "transactions, sales_hourly, product_daily" + (
        f": {len(days)}\ndays      customer_rfm: {len(days) + 1}" if apart else f", customer_rfm: {len(days)}"
    )
    runs = 2 + apart
    assert f"days      {tables}\nruns      {runs} of Dagster\n" in said
    assert re.search(r"queries +at most 10 of Athena, 2 of them to compact", said)
    assert re.search(r"cost +about 0\.000\d USD", said)
    assert (statements, command.runs()) == ([], [])

    status, told = command.run()
    assert status == 0
    assert told.startswith(said)
    assert f"{HOURS} hours of retail_trans are compacted" in told
    assert command.runs() == ["SUCCESS"] * runs
    assert len(statements) == 5
    assert command.transactions() == HOURS

    # Once more: nothing is stale.
    status, said = command.run()
    assert status == 0
    assert "0 to compact" in said
    assert "nothing is to be done" in said
    assert (len(command.runs()), len(statements)) == (runs, 5)

    # A late object: its hour, its day, and nothing that does not depend on them.
    command.deployment.put(3, 99)
    status, said = command.run()
    assert status == 0
    assert "1 to compact" in said
    assert command.transactions() == HOURS + 1
    assert "nothing is to be done" in command.run(dry_run=True)[1]


class Interruption:
    """Ctrl-C while one CTAS runs, which takes for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: str, after: int = 0) -> None:
        self.query = ""
        waits = athena_module._Patience.__call__
        honest = AthenaResource.begun
        left = [after]

        def begun(made: AthenaResource, sql: str) -> Any:
            left[0] -= at in sql
            return honest(made, SLOW if at in sql and left[0] == -1 else sql)

        def wait(patience: Any, execution: Any) -> None:
            if execution.query == SLOW and execution.state == "RUNNING" and not self.query:
                self.query = execution.query_id
                os.kill(os.getpid(), signal.SIGINT)
            waits(patience, execution)

        monkeypatch.setattr(AthenaResource, "begun", begun)
        monkeypatch.setattr(athena_module._Patience, "__call__", wait)

    def state(self) -> str:
        """The state of the interrupted query."""
        found: Any = boto3.client("athena").get_query_execution(QueryExecutionId=self.query)
        state: str = found["QueryExecution"]["Status"]["State"]
        return state


@pytest.mark.slow
def test_interrupted_among_the_hours_it_keeps_those_that_are_done_and_goes_on(
    command: Command, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MOST_PARTITIONS", 10)
    interruption = Interruption(monkeypatch, at="compacted/", after=1)
    status, said = command.run()
    assert status == 130, said
    assert interruption.state() == "CANCELLED"
    assert command.runs() == ["CANCELED"]
    assert (
        f"Interrupted; its run is canceled, and so is its query. 10 of {HOURS} hours are up to date" in said
    )
    assert "15 are to be compacted" in said

    del statements[:]
    status, said = command.run()
    assert status == 0
    assert "15 to compact" in said
    assert sum("compacted/" in statement for statement in statements) == 2
    assert command.transactions() == HOURS
    assert "nothing is to be done" in command.run(dry_run=True)[1]


@pytest.mark.slow
def test_interrupted_among_the_days_it_compacts_no_hour_again(
    command: Command, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    interruption = Interruption(monkeypatch, at="/product_daily/")
    status, said = command.run()
    assert (status, interruption.state()) == (130, "CANCELLED")
    assert command.runs() == ["SUCCESS", "CANCELED"]
    assert f"{HOURS} of {HOURS} hours are up to date, 0 are to be compacted" in said
    assert command.transactions() == HOURS

    del statements[:]
    assert command.run()[0] == 0
    written = [re.findall(r"(?:compacted|processed/retail_trans)/(\w+)/", each)[0] for each in statements]
    # Steps go by their names; customers are in a run of their own where today has had no sale.
    left = sorted({*written} - {"customer_rfm"})
    assert left == ["product_daily", "sales_hourly"], "no step began any more"
    assert "nothing is to be done" in command.run(dry_run=True)[1]
