"""Who may do what, read from the templates: no test here knows which stack means which role."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from infra import access
from infra.exceptions import WILDCARDS
from infra.tests.conftest import Synthesised

# Where * as a resource means the resource that the policy hangs on.
_OWN_POLICY = {"AWS::KMS::Key"}


def _statements(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        joined = node.get("Fn::Join", [None, []])[1]
        if joined and str(joined[0]).startswith('{"Version"'):  # a policy that is handed over as text
            yield from _statements(json.loads("".join(x if isinstance(x, str) else "TOKEN" for x in joined)))
            return
        if "Effect" in node and ("Action" in node or "NotAction" in node):
            yield node
        for value in node.values():
            yield from _statements(value)
    elif isinstance(node, list):
        for value in node:
            yield from _statements(value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _allowed(synthesised: Synthesised) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for part, template in synthesised.templates.items():
        for name, resource in template["Resources"].items():
            for statement in _statements(resource.get("Properties", {})):
                if statement["Effect"] == "Allow":
                    yield f"{part}/{name}", resource["Type"], statement


def test_no_action_is_a_wildcard(either: Synthesised) -> None:
    actions = [(where, action) for where, _, one in _allowed(either) for action in _listed(one["Action"])]
    assert len(actions) > 100
    assert [pair for pair in actions if "*" in pair[1]] == []
    assert not [where for where, _, one in _allowed(either) if "NotAction" in one or "NotResource" in one]


def test_every_resource_is_named_or_the_action_has_a_reason(either: Synthesised) -> None:
    unexplained = [
        (where, action)
        for where, type_, statement in _allowed(either)
        if type_ not in _OWN_POLICY and "*" in _listed(statement.get("Resource", []))
        for action in _listed(statement["Action"])
        if action not in access.UNNARROWED
    ]
    assert unexplained == []


def test_every_reason_is_still_needed(dev: Synthesised) -> None:
    used = {
        action
        for _, type_, statement in _allowed(dev)
        if type_ not in _OWN_POLICY and "*" in _listed(statement.get("Resource", []))
        for action in _listed(statement["Action"])
    }
    assert used == set(access.UNNARROWED)


def test_star_needs_a_reason() -> None:
    with pytest.raises(ValueError, match=r"access\.UNNARROWED"):
        access.unnarrowed("s3:GetObject")


def test_nobody_outside_the_account_is_let_in(either: Synthesised) -> None:
    for where, _, statement in _allowed(either):
        principal = statement.get("Principal")
        if principal is None:
            continue
        assert principal != "*", where
        assert "*" not in _listed(principal.get("AWS", [])), where
        if (
            "Service" in principal
            and "Action" in statement
            and "sts:AssumeRole" not in _listed(statement["Action"])
        ):
            # Or only where the service writes for this account.
            own = all("/AWSLogs/" in json.dumps(each) for each in _listed(statement["Resource"]))
            assert own or "Condition" in statement, (
                f"{where}: a service is let in for any account's resources"
            )


def test_each_actor_has_a_role_of_its_own(either: Synthesised) -> None:
    roles: dict[str, set[str]] = {}
    for template in either.templates.values():
        for name, resource in template["Resources"].items():
            if resource["Type"] != "AWS::IAM::Role":
                for value in _role_references(resource.get("Properties", {})):
                    roles.setdefault(json.dumps(value, sort_keys=True), set()).add(name)
    assert {role: used for role, used in roles.items() if len(used) > 1} == {}
    assert len(roles) >= 11  # delivery, crawler, handler, flow log, and two for each of four tasks


_ROLE_KEYS = {"RoleARN", "Role", "TaskRoleArn", "ExecutionRoleArn", "DeliverLogsPermissionArn"}


def _role_references(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in _ROLE_KEYS and isinstance(value, dict):
                yield value
            yield from _role_references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _role_references(value)


def test_runs_may_not_touch_raw_objects(either: Synthesised) -> None:
    """The lake's raw hours are Firehose's: nothing of ours writes or deletes them."""
    for where, _, statement in _allowed(either):
        if not set(_listed(statement["Action"])) & {"s3:PutObject", "s3:DeleteObject"}:
            continue
        if "delivery" in where:
            continue
        for resource in _listed(statement["Resource"]):
            text = json.dumps(resource)
            assert "00-retail-trans" not in text, where
            assert "00-error" not in text, where


def test_cdk_nag_finds_nothing_without_a_reason(either: Synthesised) -> None:
    unexplained = []
    for violation in either.violations:
        rule = violation["ruleName"]
        if rule == "W9003":  # CloudFormation's schema calls a number of bytes a string, and takes both
            continue
        wildcard = re.fullmatch(r"AwsSolutions-IAM5\[Resource::(.*)\]", rule)
        if wildcard is None or not any(re.fullmatch(pattern, wildcard.group(1)) for pattern in WILDCARDS):
            unexplained.append((rule, [each["constructPath"] for each in violation["violatingConstructs"]]))
    assert unexplained == []


_SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN|(?i:password|secret|token)[\"']?\s*[:=]\s*[\"'][^\"'{$]+[\"']"
)


def test_no_secret_stands_in_a_template(either: Synthesised) -> None:
    for part, template in either.templates.items():
        assert template.get("Parameters", {}) == {}, f"{part} has a parameter, which may be handed a secret"
        for name, resource in template["Resources"].items():
            assert not _SECRET.search(json.dumps(resource)), f"{part}/{name}"


def test_no_secret_stands_in_a_variable(either: Synthesised) -> None:
    for task in either.resources("orchestration", "AWS::ECS::TaskDefinition").values():
        for container in task["Properties"]["ContainerDefinitions"]:
            names = {each["Name"] for each in container["Environment"]}
            assert not [name for name in names if re.search("PASSWORD|SECRET|TOKEN|WEBHOOK|USERNAME", name)]
            assert {each["Name"] for each in container["Secrets"]} == {
                "DAGSTER_PG_USERNAME",
                "DAGSTER_PG_PASSWORD",
            }
    for function in either.resources("search", "AWS::Lambda::Function").values():
        assert not {"ES_PASSWORD", "ES_USERNAME"} & set(function["Properties"]["Environment"]["Variables"])
