"""The map: a row a feed, a column an hour, plain where it is piped."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.batch.overview import FeedView, HourView, Kind
from retail_analytics.cli import main
from retail_analytics.commands import status
from retail_analytics.commands.status import Status, document, lines
from retail_analytics.lake.holds import Hold

HOUR = datetime(2010, 12, 1, 22, tzinfo=UTC)
KINDS: tuple[Kind, ...] = ("before", "open", "empty", "waiting", "held", "compacted", "failed", "errors")


def feed_view(kinds: list[Kind], name: str = "retail_trans", hold: Hold | None = None) -> FeedView:
    hours = tuple(
        HourView(HOUR + place * timedelta(hours=1), kind, "it broke" if kind == "failed" else "", 1, 2)
        for place, kind in enumerate(kinds)
    )
    return FeedView(name, hours, hold, Counter(kinds))


def test_a_map_names_days_hours_and_states() -> None:
    view = feed_view(["before", "empty", "compacted", "compacted", "waiting", "failed", "errors", "open"])
    shown = lines(
        Status([view, feed_view(["held"] * 8, "tracks", Hold("why", "Ada", HOUR))], asked_dagster=True)
    )
    assert shown[:4] == [
        "                2010-12-02",
        "                00",
        "retail_trans   .##w!Eo",
        "tracks        hhhhhhhh",
    ]
    assert shown[4:] == [
        "",
        (
            "# 2 compacted   . 1 empty   o 1 open   w 1 waiting   h 8 waiting, held"
            "   ! 1 failed or stuck   E 1 delivery errors"
        ),
        "retail_trans 2010-12-02-03:00 it broke",
        "`retail-analytics why FEED HOUR` tells all of an hour.",
        "tracks is held since 2010-12-01 22:00 UTC by Ada: why",
    ]


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=100))
def test_every_hour_has_its_column_in_colour_or_without(kinds: list[Kind]) -> None:
    shown = Status([feed_view(kinds)], asked_dagster=True)
    plain, painted = lines(shown), lines(shown, colours=True)
    assert "\x1b" not in "".join(plain)
    assert [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in painted] == plain
    days, ticks, row = plain[:3]
    start = len("retail_trans  ")
    assert row.ljust(start + len(kinds))[start:] == "".join(
        {"before": " ", "open": "o", "empty": ".", "waiting": "w", "held": "h"}.get(
            kind, {"compacted": "#", "failed": "!", "errors": "E"}.get(kind, "")
        )
        for kind in kinds
    )
    for found in re.finditer(r"\d{4}-\d\d-\d\d", days):
        hour = HOUR + (found.start() - start) * timedelta(hours=1)
        assert found[0] == f"{hour:%Y-%m-%d}"
    for found in re.finditer(r"\d\d", ticks):
        assert found[0] == f"{HOUR + (found.start() - start) * timedelta(hours=1):%H}"


def test_what_dagster_was_not_asked_is_said() -> None:
    shown = lines(Status([feed_view(["empty"])], asked_dagster=False))
    assert "DAGSTER_HOME is not set" in shown[-1]


def test_of_many_that_want_somebody_the_newest_are_named() -> None:
    shown = lines(Status([feed_view(["failed"] * 30)], asked_dagster=True))
    named = [line for line in shown if line.endswith("it broke")]
    assert len(named) == 8
    assert named[-1].startswith("retail_trans 2010-12-03-03:00")
    assert "22 earlier hours want somebody, too (--json lists all)." in shown


def test_json_has_every_hour() -> None:
    made = json.loads(json.dumps(document(Status([feed_view(["empty", "failed"])], asked_dagster=True))))
    (feed,) = made["feeds"]
    assert [(each["hour"], each["state"], each["note"]) for each in feed["hours"]] == [
        ("2010-12-01-22:00", "empty", ""),
        ("2010-12-01-23:00", "failed", "it broke"),
    ]
    assert (made["cloud"], feed["held"], feed["counts"]) == (None, None, {"empty": 1, "failed": 1})


@pytest.mark.parametrize("text", ["0", "-1", "x", "100000"])
def test_hours_that_are_none_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["status", "--hours", text])
    assert "is no number of hours from 1 to 744" in capsys.readouterr().err


class Cloud:
    """An embedded cloud that runs, as far as its environment goes."""

    endpoint_url = "http://127.0.0.1:1"

    @contextmanager
    def applied(self) -> Iterator[None]:
        yield


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A state folder with a cloud in it, which is also the folder that is looked at by default."""
    (tmp_path / "dagster").mkdir()
    (tmp_path / "environment.json").write_text('{"RETAIL_BUCKET": "furnished"}')
    monkeypatch.setattr(status.cloud, "is_running", lambda _: True)
    monkeypatch.setattr(status.cloud, "load", lambda _: Cloud())
    monkeypatch.setattr(status, "usual_state", lambda: tmp_path)
    for name in ("AWS_ENDPOINT_URL", "DAGSTER_HOME", "RETAIL_BUCKET"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_without_an_environment_the_cloud_that_runs_is_meant(running: Path) -> None:
    with status.deployment(None) as found:
        assert isinstance(found, Cloud)
        assert os.environ["RETAIL_BUCKET"] == "furnished"
        assert os.environ["DAGSTER_HOME"] == str(running / "dagster")
    assert not {"RETAIL_BUCKET", "DAGSTER_HOME"} & set(os.environ)


@pytest.mark.parametrize(("endpoint", "own"), [("http://127.0.0.1:1", True), ("http://127.0.0.1:2", False)])
def test_an_environment_says_which_deployment_is_meant(
    running: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, own: bool
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with status.deployment(None) as found:
        assert isinstance(found, Cloud) is own
        assert ("RETAIL_BUCKET" in os.environ) is own
    # Whoever names a folder means the cloud in it.
    with status.deployment(running) as found:
        assert isinstance(found, Cloud)


def test_a_named_folder_without_a_cloud_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--state-dir", str(tmp_path)]) == 1
    assert "no embedded cloud runs" in capsys.readouterr().err
