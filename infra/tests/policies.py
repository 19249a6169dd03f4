"""What a role may do, read from the templates and decided as IAM decides: actions, resources, conditions.

Here: an environment's statements with their references resolved to ARNs, and the decision. Not here: what
anybody should be able to do. Denials of resource policies are not looked at; nothing of ours denies a role.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.tests.conftest import Synthesised

REGION, ACCOUNT = "eu-west-1", "123456789012"
_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::URLSuffix": "amazonaws.com",
}
# The property that names a resource, and the ARN that it then has.
_ARNS = {
    "AWS::ECS::TaskDefinition": ("Family", "ecs", "task-definition/{}:1"),
    "AWS::Kinesis::Stream": ("Name", "kinesis", "stream/{}"),
    "AWS::Logs::LogGroup": ("LogGroupName", "logs", "log-group:{}:*"),
    "AWS::OpenSearchService::Domain": ("DomainName", "es", "domain/{}"),
    "AWS::SNS::Topic": ("TopicName", "sns", "{}"),
    "AWS::SQS::Queue": ("QueueName", "sqs", "{}"),
}


def arn(service: str, resource: str) -> str:
    """An ARN in the account that the templates are read in."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


@dataclass(frozen=True)
class Statement:
    """An allowing statement with nothing left to resolve."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, tuple[str, ...]]]

    def allows(self, action: str, resource: str, context: Mapping[str, str]) -> bool:
        """Whether it allows this, given the request's context keys."""
        return (
            any(_matches(pattern.lower(), action.lower()) for pattern in self.actions)
            and any(_matches(pattern, resource) for pattern in self.resources)
            and all(self._holds(operator, keys, context) for operator, keys in self.conditions.items())
        )

    @staticmethod
    def _holds(operator: str, keys: Mapping[str, tuple[str, ...]], context: Mapping[str, str]) -> bool:
        if operator not in {"StringEquals", "StringLike", "ArnEquals", "ArnLike"}:
            raise ValueError(f"the condition operator {operator} is not known here; add it.")
        exactly = operator == "StringEquals"
        return all(
            key in context
            and any(context[key] == value if exactly else _matches(value, context[key]) for value in values)
            for key, values in keys.items()
        )


@dataclass(frozen=True)
class Policies:
    """Who may do what in an environment."""

    by_role: Mapping[str, tuple[Statement, ...]]

    def role(self, name: str) -> tuple[Statement, ...]:
        """The statements of the role that CDK made of this construct's name."""
        stem = re.sub(r"[^A-Za-z0-9]", "", name)
        found = [role for role in self.by_role if re.fullmatch(rf"{stem}[0-9A-F]{{8}}", role)]
        assert len(found) == 1, (name, sorted(self.by_role))
        return self.by_role[found[0]]

    def allows(self, role: str, action: str, resource: str, **context: str) -> bool:
        """Whether the role may do this; context keys are written ``s3__prefix`` for ``s3:prefix``."""
        keys = {key.replace("__", ":"): value for key, value in context.items()}
        return any(statement.allows(action, resource, keys) for statement in self.role(role))

    def actions(self, role: str) -> set[str]:
        """All that the role may do, on whatever."""
        return {action for statement in self.role(role) for action in statement.actions}


def policies(synthesised: Synthesised) -> Policies:
    """The policies of every role, and of every policy for people, in the environment's templates."""
    resolver = _Resolver(synthesised.templates)
    found: dict[str, list[Statement]] = {}
    for part, template in synthesised.templates.items():
        for name, resource in template["Resources"].items():
            properties = resource.get("Properties", {})
            match resource["Type"]:
                case "AWS::IAM::Role":
                    documents = [each["PolicyDocument"] for each in properties.get("Policies", [])]
                    found.setdefault(name, []).extend(resolver.statements(part, documents))
                case "AWS::IAM::ManagedPolicy":
                    found.setdefault(name, []).extend(
                        resolver.statements(part, [properties["PolicyDocument"]])
                    )
                case "AWS::IAM::Policy":
                    for role in properties["Roles"]:
                        statements = resolver.statements(part, [properties["PolicyDocument"]])
                        found.setdefault(role["Ref"], []).extend(statements)
    return Policies({role: tuple(statements) for role, statements in found.items()})


class _Resolver:
    """References to texts: what is known by name becomes its ARN, everything else a text of its own."""

    def __init__(self, templates: Mapping[str, dict[str, Any]]) -> None:
        self._templates = templates
        self._exports = {
            output["Export"]["Name"]: (part, output["Value"])
            for part, template in templates.items()
            for output in template.get("Outputs", {}).values()
            if "Export" in output
        }

    def statements(self, part: str, documents: list[dict[str, Any]]) -> Iterator[Statement]:
        for document in documents:
            for each in document["Statement"]:
                assert each["Effect"] == "Allow", each
                yield Statement(
                    tuple(_listed(each["Action"])),
                    tuple(self.text(part, one) for one in _listed(each["Resource"])),
                    {
                        operator: {
                            key: tuple(self.text(part, value) for value in _listed(values))
                            for key, values in keys.items()
                        }
                        for operator, keys in each.get("Condition", {}).items()
                    },
                )

    def text(self, part: str, node: Any) -> str:
        if not isinstance(node, dict):
            return str(node)
        ((function, argument),) = node.items()
        match function:
            case "Fn::Join":
                return str(argument[0]).join(self.text(part, one) for one in argument[1])
            case "Fn::Sub":
                return re.sub(r"\$\{([\w:]+)\}", lambda found: _PSEUDO[found.group(1)], argument)
            case "Fn::ImportValue":
                return self.text(*self._exports[argument])
            case "Ref" if argument in _PSEUDO:
                return _PSEUDO[argument]
            case "Ref":
                return self._named(part, argument, "Ref")
            case "Fn::GetAtt":
                return self._named(part, *argument)
        raise ValueError(f"{function} is not known here; add it.")

    def _named(self, part: str, logical: str, attribute: str) -> str:
        resource = self._templates[part]["Resources"][logical]
        naming, service, form = _ARNS.get(resource["Type"], ("", "", ""))
        name = resource.get("Properties", {}).get(naming)
        if attribute in {"Arn", "TopicArn"} or (attribute == "Ref" and resource["Type"] in _REF_IS_ARN):
            return arn(service, form.format(self.text(part, name))) if name else f"<{logical}.Arn>"
        return f"<{logical}>" if attribute == "Ref" else f"<{logical}.{attribute}>"


_REF_IS_ARN = {"AWS::ECS::TaskDefinition", "AWS::SNS::Topic"}


def _matches(pattern: str, text: str) -> bool:
    parts = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
