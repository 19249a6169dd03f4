from __future__ import annotations

import argparse
import shlex

import boto3
import pytest
from moto import mock_aws

from retail_analytics.ingest.commands import add_commands

pytestmark = pytest.mark.usefixtures("aws")


def run(*arguments):
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(required=True))
    options = parser.parse_args(arguments)
    return options.run(options)


def test_generate_then_load(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RETAIL_BUCKET", "lake")
    path = str(tmp_path / "made.csv")
    assert run("generate", "--output", path, "--records", "300", "--days", "4", "--seed", "7") == 0
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="lake")
        assert run("load", "--input-file", path) == 0
    out = capsys.readouterr().out
    assert "300 records written to" in out
    assert "300 records landed in s3://lake/ as " in out
    assert "RETAIL_FIRST_HOUR=retail_trans=2010-12-20T" in out


def test_generate_makes_the_same_file_for_the_same_options(tmp_path):
    for name in ("a", "b"):
        assert run(*shlex.split(f"generate -O {tmp_path / name} --records 100 --seed 3")) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_errors_are_one_sentence(tmp_path, capsys):
    assert run("load", "-I", str(tmp_path / "nowhere.csv")) == 1
    assert run("generate", "-O", str(tmp_path / "no" / "folder.csv")) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("retail-analytics load: There is no file")
    assert "cannot be written (No such file or directory)" in second
