"""Which hours ``backfill`` is told to make."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from retail_analytics.cli import main
from retail_analytics.commands import backfill

EIGHT = datetime(2010, 12, 1, 8, tzinfo=UTC)
NINE = datetime(2010, 12, 1, 9, tzinfo=UTC)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What backfill was asked for: first, last, dry run, force."""
    calls: list[Any] = []

    def run_backfill(_: Any, *arguments: Any) -> int:
        calls.extend(arguments)
        return 0

    monkeypatch.setattr(backfill, "run_backfill", run_backfill)
    return calls


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("--from 2010-12-01T08 --to 2010-12-01T09", [EIGHT, NINE, False, False]),
        ("--from 2010-12-01T08", [EIGHT, None, False, False]),
        ("--hour 2010-12-01T08 --force", [EIGHT, EIGHT, False, True]),
        ("--all --dry-run --force", [None, None, True, True]),
    ],
)
def test_an_hour_a_stretch_and_all_of_a_feed(words: str, asked: list[Any], given: list[Any]) -> None:
    assert main(["backfill", *words.split()]) == 0
    assert given == asked


@pytest.mark.parametrize(
    "words", ["", "--to 2010-12-01T08", "--all --hour 2010-12-01T08", "--all --from 2010-12-01T08"]
)
def test_hours_must_be_named_in_one_way(words: str, given: list[Any]) -> None:
    with pytest.raises(SystemExit):
        main(["backfill", *words.split()])
    assert given == []


@pytest.mark.parametrize("words", ["--all", "--hour 2010-12-01T08"])
def test_an_end_without_a_beginning_is_refused(
    words: str, given: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backfill", *words.split(), "--to", "2010-12-01T08"]) == 1
    assert "--to goes with --from" in capsys.readouterr().err
    assert given == []
