"""A local deployment over a restart: the cloud and Dagster's home are kept together or fresh together."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest

from retail_analytics.commands import dev
from retail_analytics.commands.local import LocalError, dagster_home, local_deployment, meaning_for_dagster
from retail_analytics.embedded import cloud
from retail_analytics.embedded.configuration import CloudAddress
from retail_analytics.lake.arrivals import lake_identity
from retail_analytics.settings import Settings
from retail_analytics_tests.waiting import until

TAKEN = "2026-11-22T02:14:05+00:00"


def a_cloud(
    state: Path, identity: str, state_of: str | None = None, *, clean: bool = True
) -> cloud.EmbeddedCloud:
    address = CloudAddress(
        id=identity,
        pid=0,
        opensearch_pid=0,
        endpoint_url="http://127.0.0.1:1",
        opensearch_url="http://127.0.0.1:2",
        region="us-east-1",
        logs="",
        keeps_state=True,
        state_of=state_of,
        state_clean=clean,
    )
    return cloud.EmbeddedCloud(state, address)


def test_a_cloud_that_begins_empty_has_a_fresh_home(tmp_path: Path) -> None:
    home = dagster_home(a_cloud(tmp_path, "one"), tmp_path)
    (home / "runs.db").write_text("what was")
    assert dagster_home(a_cloud(tmp_path, "two"), tmp_path) == home
    assert not (home / "runs.db").exists()
    assert (home / "dagster.yaml").exists()


def test_a_cloud_that_goes_on_keeps_its_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = dagster_home(a_cloud(tmp_path, "one"), tmp_path)
    (home / "runs.db").write_text("what was")
    assert dagster_home(a_cloud(tmp_path, "one", TAKEN), tmp_path) == home
    assert (home / "runs.db").read_text() == "what was"
    assert capsys.readouterr().err == ""


def test_after_a_loss_it_is_said_what_dagster_may_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dagster_home(a_cloud(tmp_path, "one"), tmp_path)
    lost = a_cloud(tmp_path, "one", TAKEN, clean=False)
    dagster_home(lost, tmp_path)
    assert lost.restored is not None
    said = capsys.readouterr().err
    assert said.strip() == meaning_for_dagster(lost.restored, Settings.from_env())
    assert "after 02:14:05" in said
    assert f"last {Settings.from_env().lookback_hours} " in said


def test_a_home_of_another_cloud_is_an_error_that_says_so(tmp_path: Path) -> None:
    dagster_home(a_cloud(tmp_path, "one"), tmp_path)
    with pytest.raises(LocalError, match="about one, but the cloud .* is two: start both anew with --fresh"):
        dagster_home(a_cloud(tmp_path, "two", TAKEN), tmp_path)


def test_a_home_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    home = dagster_home(a_cloud(tmp_path, "one", TAKEN), tmp_path)
    assert (home / "dagster.yaml").exists()


def test_a_deployment_goes_on_with_its_lake_and_its_home(tmp_path: Path) -> None:
    state = tmp_path / "dev"
    first_hour = datetime(2026, 11, 1, 5, tzinfo=UTC)
    with local_deployment(state, firehose_interval_seconds=1, keep_state=True) as deployment:
        settings = Settings.from_env()
        assert dev.read_first_hour(settings) is None
        dev.write_first_hour(settings, first_hour)
        identity = lake_identity(boto3.client("s3"), settings.bucket)
        (deployment.dagster_home / "runs.db").write_text("what was")
        functions = [one["function"] for one in deployment.cloud.status()["functions"]]
    with local_deployment(state, firehose_interval_seconds=1, keep_state=True) as deployment:
        settings = Settings.from_env()
        assert lake_identity(boto3.client("s3"), settings.bucket) == identity
        assert dev.read_first_hour(settings) == first_hour
        assert (deployment.dagster_home / "runs.db").read_text() == "what was"
        assert [one["function"] for one in deployment.cloud.status()["functions"]] == functions
        # A kill, after a snapshot.
        deployment.cloud.keep_now()
        os.kill(deployment.cloud.pid, signal.SIGKILL)
        until(lambda: not cloud.is_running(state))
    with local_deployment(state, firehose_interval_seconds=1, keep_state=True) as deployment:
        assert deployment.cloud.restored is not None
        assert not deployment.cloud.restored.clean
        assert lake_identity(boto3.client("s3"), Settings.from_env().bucket) == identity
        assert (deployment.dagster_home / "runs.db").exists()
    with local_deployment(state, firehose_interval_seconds=1, keep_state=True, fresh=True) as deployment:
        assert deployment.cloud.restored is None
        assert lake_identity(boto3.client("s3"), Settings.from_env().bucket) != identity
        assert not (deployment.dagster_home / "runs.db").exists()
