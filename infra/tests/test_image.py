"""The Dockerfile, as far as it can be told without Docker: what it copies, who it runs as, what it starts."""

from __future__ import annotations

import ast
import configparser
import re
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from infra.tests.conftest import Synthesised
from infra.tests.image import ROOT, copied, environment, instructions, is_in_context

_LOCK = (ROOT / "requirements-aws.lock").read_text()


def _containers(synthesised: Synthesised) -> dict[str, dict[str, Any]]:
    tasks = synthesised.resources("orchestration", "AWS::ECS::TaskDefinition").values()
    containers = [each for task in tasks for each in task["Properties"]["ContainerDefinitions"]]
    return {each["Name"]: each for each in containers}


def test_all_that_is_copied_is_there_and_in_the_context() -> None:
    sources = [source for sources, _ in copied() for source in sources]
    assert len(sources) >= 7
    for source in sources:
        assert (ROOT / source).exists(), source
        assert is_in_context(source), f".dockerignore keeps {source} from Docker"


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("retail_analytics/feeds/retail_trans/feed.py", True),
        ("retail_analytics/__pycache__/cli.cpython-312.pyc", False),
        ("infra/dagster/dagster.yaml", True),
        ("infra/app.py", False),
        (".venv-infra/bin/python", False),
        (".git/config", False),
        (".retail/state", False),
    ],
)
def test_the_context_holds_the_product_alone(path: str, kept: bool) -> None:
    """What else lies about would make another image of the same product, and go along with it."""
    assert is_in_context(path) is kept


def test_it_runs_as_nobody_in_particular() -> None:
    users = [rest for name, rest in instructions() if name == "USER"]
    assert users
    assert users[-1].isdecimal()
    assert int(users[-1]) > 0
    after = [name for name, _ in instructions()][[name for name, _ in instructions()].index("USER") :]
    assert "RUN" not in after
    assert "COPY" not in after


def test_whoever_it_is_may_write_where_the_tasks_mount_a_volume(dev: Synthesised) -> None:
    """Fargate gives a volume the image's owner and mode where the image declares it, else root's alone."""
    declared = {path for name, rest in instructions() if name == "VOLUME" for path in ast.literal_eval(rest)}
    for name, container in _containers(dev).items():
        mounted = {each["ContainerPath"] for each in container["MountPoints"] if not each["ReadOnly"]}
        assert mounted == {"/tmp"}, name
        assert mounted <= declared, name
    assert environment()["HOME"] in declared


def test_it_is_told_whether_each_service_is_well(dev: Synthesised) -> None:
    """ECS reads the task definition's health check and no HEALTHCHECK of the image; a run has an end instead."""
    unchecked = {name for name, container in _containers(dev).items() if "HealthCheck" not in container}
    assert unchecked == {"run"}
    for name, container in _containers(dev).items():
        check = container.get("HealthCheck", {"Interval": 60, "Timeout": 1})
        assert check["Timeout"] < check["Interval"], name


def test_python_is_one_that_the_package_supports() -> None:
    ((_, base),) = [each for each in instructions() if each[0] == "FROM"]
    version = re.match(r"python:(\d+\.\d+)-slim", base)
    assert version is not None
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert Version(version.group(1)) in SpecifierSet(setup["options"]["python_requires"])


def test_every_package_has_a_hash() -> None:
    pinned = re.findall(r"^([a-z0-9][a-z0-9._-]*)==\S+", _LOCK, re.MULTILINE | re.IGNORECASE)
    assert len(pinned) > 60
    entries = re.split(r"^(?=[a-z0-9][a-z0-9._-]*==)", _LOCK, flags=re.MULTILINE | re.IGNORECASE)
    assert [entry.splitlines()[0] for entry in entries[1:] if "--hash=sha256:" not in entry] == []


def test_what_the_tasks_start_is_installed(dev: Synthesised) -> None:
    """The first word of each command and health check is a program of a locked package."""
    programs = {
        "dagster": "dagster", "dagster-daemon": "dagster", "dagster-webserver": "dagster-webserver", "python": "",
    }  # fmt: skip
    for name, container in _containers(dev).items():
        commands = [container.get("Command", ["dagster"])[0]]
        if "HealthCheck" in container:
            kind, text = container["HealthCheck"]["Command"]
            assert kind == "CMD-SHELL"
            commands.append(text.split()[0])
        for command in commands:
            package = programs[command]
            assert not package or f"\n{package}==" in f"\n{_LOCK}", (name, command)


def test_fargate_has_these_sizes(either: Synthesised) -> None:
    """A task's CPU decides which memory there is for it; anything else is refused when it is registered."""
    offered = {
        256: {512, 1024, 2048},
        512: set(range(1024, 4097, 1024)),
        1024: set(range(2048, 8193, 1024)),
        2048: set(range(4096, 16385, 1024)),
        4096: set(range(8192, 30721, 1024)),
    }
    for task in either.resources("orchestration", "AWS::ECS::TaskDefinition").values():
        properties = task["Properties"]
        assert int(properties["Memory"]) in offered[int(properties["Cpu"])], properties["Family"]
        for container in properties["ContainerDefinitions"]:
            assert container["StopTimeout"] <= 120
            assert container["ReadonlyRootFilesystem"] is (
                container["Name"] != "web" or either.name == "prod"
            )
