"""``up``, ``status``, ``env`` and ``down``."""

from __future__ import annotations

import argparse
import json
import subprocess
from typing import TYPE_CHECKING

import boto3
import pytest

from retail_analytics.embedded import commands
from retail_analytics.embedded.commands import add_commands

if TYPE_CHECKING:
    from pathlib import Path


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(required=True))
    arguments = parser.parse_args(words)
    status: int = arguments.run(arguments)
    return status


def test_from_up_to_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = ("--state-dir", str(tmp_path / "state"))
    assert run("status", *state) == 1
    assert "no embedded cloud runs" in capsys.readouterr().err
    try:
        assert run("up", *state, "--export") == 0
        exported = capsys.readouterr().out
        shell = subprocess.run(
            ["sh", "-c", exported + "\nprintf %s $AWS_ENDPOINT_URL"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert shell.stdout.startswith("http://127.0.0.1:")
        assert run("env", *state) == 0
        assert f"AWS_ENDPOINT_URL={shell.stdout}" in capsys.readouterr().out
        assert run("status", *state) == 0
        assert shell.stdout in capsys.readouterr().out
        assert run("status", *state, "--json") == 0
        assert json.loads(capsys.readouterr().out)["opensearch"]["alive"] is True
        assert run("up", *state) == 1
        assert "already runs" in capsys.readouterr().err
    finally:
        assert run("down", *state) == 0
    assert "ended" in capsys.readouterr().out
    assert run("down", *state) == 0
    assert "no embedded cloud runs" in capsys.readouterr().out


def test_a_named_folder_keeps_its_state_from_down_to_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = ("--state-dir", str(tmp_path / "state"))

    def up(*options: str) -> None:
        assert run("up", *state, *options) == 0
        printed = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
        for name, value in printed.items():
            monkeypatch.setenv(name, value)

    try:
        up()
        boto3.client("s3").create_bucket(Bucket="lake")
        assert run("down", *state) == 0
        capsys.readouterr()
        assert run("up", *state) == 0
        assert "goes on with the state of" in capsys.readouterr().err
        assert run("status", *state) == 0
        assert "state kept as of" in capsys.readouterr().out
        assert [one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]] == ["lake"]
        assert run("down", *state) == 0
        capsys.readouterr()
        up("--fresh")
        assert boto3.client("s3").list_buckets()["Buckets"] == []
    finally:
        assert run("down", *state) == 0


@pytest.mark.parametrize(
    "text", ["{}", "[", '[{"name": "f"}]', '[{"name": "f", "handler": "x", "stream": "s"}]']
)
def test_functions_that_cannot_be_read_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    functions = tmp_path / "functions.json"
    functions.write_text(text)
    assert run("up", "--state-dir", str(tmp_path / "state"), "--functions", str(functions)) == 1
    assert capsys.readouterr().err.startswith("retail-analytics: ")


def test_the_cloud_that_runs_is_found_wherever_it_was_put(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for here in (".retail", ".retail/dev", ".retail/demo"):
        monkeypatch.setattr(commands.cloud, "is_running", lambda state, here=here: str(state) == here)
        assert str(commands.usual_state()) == here
    monkeypatch.setattr(commands.cloud, "is_running", lambda _: False)
    assert commands.usual_state() == commands.DEFAULT_STATE
