"""The templates of both environments, synthesised once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from infra.app import build
from infra.environments import environment

CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/0f0f0f0f-0000-4000-8000-000000000000"
CONTEXTS = {
    "dev": {"env": "dev"},
    "prod": {
        "env": "prod",
        "hostname": "dagster.example.com",
        "certificateArn": CERTIFICATE,
        "alarmEmail": "data@example.com",
    },
}


@dataclass(frozen=True)
class Synthesised:
    """An environment's templates by part, where they lie, and what cdk-nag said of them."""

    name: str
    folder: Path
    templates: dict[str, dict[str, Any]]
    violations: list[dict[str, Any]]

    def resources(self, part: str, type_: str) -> dict[str, dict[str, Any]]:
        """A part's resources of a type."""
        found = self.templates[part]["Resources"]
        return {name: each for name, each in found.items() if each["Type"] == type_}

    def one(self, part: str, type_: str) -> dict[str, Any]:
        """The properties of a part's only resource of a type."""
        found = self.resources(part, type_)
        assert len(found) == 1, (part, type_, sorted(found))
        properties: dict[str, Any] = next(iter(found.values()))["Properties"]
        return properties


def synthesise(context: dict[str, str], folder: Path) -> Synthesised:
    app = App(outdir=str(folder), context=context, stack_traces=False, analytics_reporting=False)
    build(app, environment(app.node.try_get_context))
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    try:
        app.synth()
    except RuntimeError as error:  # the templates are written before cdk-nag fails the synthesis
        if "ValidationFailed" not in str(error):
            raise
    report = json.loads((folder / "validation-report.json").read_text())
    prefix = f"retail-analytics-{context['env']}-"
    return Synthesised(
        context["env"],
        folder,
        {
            file.name.removesuffix(".template.json").removeprefix(prefix): json.loads(file.read_text())
            for file in folder.glob("*.template.json")
        },
        [violation for plugin in report["pluginReports"] for violation in plugin["violations"]],
    )


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    return synthesise(CONTEXTS["dev"], tmp_path_factory.mktemp("dev"))


@pytest.fixture(scope="session")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    return synthesise(CONTEXTS["prod"], tmp_path_factory.mktemp("prod"))


@pytest.fixture(params=["dev", "prod"])
def either(request: pytest.FixtureRequest) -> Synthesised:
    found: Synthesised = request.getfixturevalue(request.param)
    return found
