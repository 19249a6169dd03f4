"""What people type: an hour in either form, numbers that make sense, and one sentence for anything else."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

import pytest

from retail_analytics import cli
from retail_analytics.commands.arguments import parse_hour, port


@pytest.mark.parametrize("text", ["2010-12-01-08:00", "2010-12-01T08"])
def test_an_hour_is_read_in_either_form(text: str) -> None:
    assert parse_hour(text) == datetime(2010, 12, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["2010-12-01", "2010-12-01-08:30", "2010-12-01T25", "2010-12-01-25:00", "yesterday", "08", ""]
)
def test_another_hour_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no whole hour; write it as 2010-12-01T08"):
        parse_hour(text)


@pytest.mark.parametrize("text", ["0", "65536", "-1", "3000.5", "web"])
def test_another_port_is_refused(text: str) -> None:
    assert port("65535") == 65535
    with pytest.raises(argparse.ArgumentTypeError, match="is no port from 1 to 65535"):
        port(text)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("demo --live -5", "argument --live: '-5' is no whole number of at least 1"),
        ("dev --port 99999", "argument --port: 99999 is no port"),
        ("dev --days 0", "argument --days: '0' is no whole number of at least 1"),
        ("dev --rate 0", "argument --rate: '0' is no number above 0"),
        ("backfill --from 2010-13-01T00", "argument --from: 2010-13-01T00 is no whole hour"),
        ("why retail_trans 2010", "argument hour: 2010 is no whole hour"),
        ("why nothing 2010-12-01T08", "argument feed: invalid choice: 'nothing'"),
        ("hold retail_trans", "the following arguments are required: --reason"),
        ("hold retail_trans --reason  ", "argument --reason"),
        ("status --hours 0", "0 is no number of hours"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_begun(
    command: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(command.split(" "))
    assert end.value.code == 2
    assert said in capsys.readouterr().err
