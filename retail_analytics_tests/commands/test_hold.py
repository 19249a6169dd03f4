"""Holds from a shell: a reason and Dagster's memory are needed."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from retail_analytics.cli import main
from retail_analytics.feeds import get_feed
from retail_analytics.lake.holds import read_hold


def test_a_hold_is_remembered_until_its_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    feed = get_feed("retail_trans")
    assert main(["release", feed.name]) == 0
    assert capsys.readouterr().out == "retail_trans was not held.\n"
    assert main(["hold", feed.name, "--reason", " prices are wrong ", "--by", "Ada"]) == 0
    assert "by Ada: prices are wrong." in capsys.readouterr().out
    with dg.DagsterInstance.get() as another:
        found = read_hold(another, feed)
    assert found is not None
    assert (found.reason, found.by) == ("prices are wrong", "Ada")
    assert main(["release", feed.name]) == 0
    assert "is released" in capsys.readouterr().out
    with dg.DagsterInstance.get() as another:
        assert read_hold(another, feed) is None


@pytest.mark.parametrize("words", [["hold", "retail_trans", "--reason", "x"], ["release", "retail_trans"]])
def test_dagsters_home_is_needed(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert main(words) == 1
    assert "DAGSTER_HOME is not set, and a hold is Dagster's to remember" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["hold", "retail_trans"], ["hold", "retail_trans", "--reason", " "]])
def test_a_reason_is_needed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert "reason" in capsys.readouterr().err
