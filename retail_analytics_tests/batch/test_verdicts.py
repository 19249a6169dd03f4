"""What a check says that had nothing to examine, and what it says of problems."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from retail_analytics.batch.verdicts import verdict


def judged(problems: list[str], examined: int, *, in_run: bool) -> dg.AssetCheckResult:
    return verdict(problems, examined=examined, what="rows", advice="Mend them.", in_run=in_run)


def test_hours_of_a_run_may_be_empty() -> None:
    # A shop is closed at night: that is no failure of the run that compacted those hours.
    result = judged([], 0, in_run=True)
    assert result.passed
    assert result.description == "The run's hours or days are empty: there are no rows."


def test_a_check_that_is_run_by_itself_and_finds_nothing_proves_nothing() -> None:
    result = judged([], 0, in_run=False)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "nothing is proven" in (result.description or "")


@pytest.mark.parametrize("in_run", [True, False])
@pytest.mark.parametrize("examined", [0, 3])
def test_a_problem_fails_wherever_it_is_found(examined: int, in_run: bool) -> None:
    result = judged([f"row {number}" for number in range(12)], examined, in_run=in_run)
    assert not result.passed
    shown: Any = result.metadata["what is wrong"].value
    assert shown.splitlines()[-1] == "- … and 2 more"
    assert result.metadata["what to do"].value == "Mend them."
