"""Dagster's production configuration: read by Dagster itself, as far as it goes without Postgres and ECS."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_aws.s3.compute_log_manager import S3ComputeLogManager
from dagster_postgres.utils import get_conn_string
from sqlalchemy import create_engine

from infra.prefixes import COMPUTE_LOGS

_FOLDER = Path(__file__).parents[1] / "dagster"
_VARIABLES = {
    "AWS_REGION": "eu-west-1",
    "DAGSTER_PG_HOST": "127.0.0.1",
    "DAGSTER_PG_USERNAME": "dagster",
    "DAGSTER_PG_PASSWORD": "not-a-secret",
    "DAGSTER_CODE_HOST": "127.0.0.1",
    "DAGSTER_RUN_TASK_DEFINITION": "arn:aws:ecs:eu-west-1:123456789012:task-definition/run:1",
    "RETAIL_BUCKET": "a-bucket",
}


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _VARIABLES.items():
        monkeypatch.setenv(name, value)


def test_dagster_accepts_every_line(tmp_path: Path) -> None:
    """The schema of the whole file, of the run launcher and of the storage: a misspelt key is an error."""
    (tmp_path / "dagster.yaml").write_text((_FOLDER / "dagster.yaml").read_text())
    ref = InstanceRef.from_dir(str(tmp_path))
    assert ref.run_launcher_data is not None
    assert ref.run_launcher_data.class_name == "EcsRunLauncher"
    for data in (ref.run_storage_data, ref.event_storage_data, ref.schedule_storage_data):
        assert data is not None
        assert data.module_name.startswith("dagster_postgres")


def test_all_but_the_storage_comes_up(tmp_path: Path) -> None:
    configuration = yaml.safe_load((_FOLDER / "dagster.yaml").read_text())
    del configuration["storage"]
    configuration["local_artifact_storage"]["config"]["base_dir"] = str(tmp_path / "artifacts")
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(configuration))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        assert instance.run_monitoring_enabled
        assert instance.telemetry_enabled is False
        logs = instance.compute_log_manager
        assert isinstance(logs, S3ComputeLogManager)
        assert f"{logs._s3_prefix}/" == COMPUTE_LOGS


def test_workspace_names_the_code_server() -> None:
    (origin,) = WorkspaceFileTarget([str(_FOLDER / "workspace.yaml")]).create_origins()
    assert origin.location_name == "retail_analytics"


def test_every_line_says_why() -> None:
    """A setting at the end of its path has a comment, or its parent has."""
    unexplained = []
    parents: list[tuple[int, bool]] = []
    for line in (_FOLDER / "dagster.yaml").read_text().splitlines():
        if not line.strip() or line.strip().startswith("#"):
            continue
        depth = len(line) - len(line.lstrip())
        parents = [parent for parent in parents if parent[0] < depth]
        explained = "#" in line or any(known for _, known in parents)
        parents.append((depth, explained))
        if not line.rstrip().endswith(":") and not explained:
            unexplained.append(line.strip())
    assert [line for line in unexplained if not line.startswith(("module:", "class:", "base_dir"))] == []


def test_the_databases_driver_is_the_one_that_is_installed() -> None:
    """SQLAlchemy chooses another for a plain ``postgresql://`` from 2.1 on, and the image has none but this."""
    postgres = yaml.safe_load((_FOLDER / "dagster.yaml").read_text())["storage"]["postgres"]["postgres_db"]
    url = get_conn_string(
        username="dagster", password="-", hostname="127.0.0.1", db_name=postgres["db_name"],
        scheme=postgres["scheme"],
    )  # fmt: skip
    assert create_engine(url).driver == "psycopg2"
    lock = (_FOLDER.parents[1] / "requirements-aws.lock").read_text()
    assert "\npsycopg2-binary==" in lock
