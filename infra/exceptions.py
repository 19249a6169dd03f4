"""Where the stacks do not follow a rule of cdk-nag's AwsSolutions pack, and why. Every other rule holds.

An exception stands on the stack that it is about, so that the rule holds in the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Acknowledgment, Validations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import Stack


@dataclass(frozen=True)
class Departure:
    """A rule that a stack does not follow: the part's name, why, and whether in dev alone."""

    part: str
    reason: str
    dev_only: bool = False


EXCEPTIONS: Mapping[str, tuple[Departure, ...]] = {
    "AwsSolutions-KDS3": (
        Departure("ingest", "The deployment's own key, so that one policy decides who reads records."),
    ),
    "AwsSolutions-KDF1": (
        Departure("ingest", "Its source is a stream, whose key encrypts what waits; Firehose keeps nothing."),
    ),
    "AwsSolutions-SQS3": (
        Departure("ingest", "A crawler's queue: the next crawl reads what one left over."),
    ),
    "AwsSolutions-GL1": (
        Departure("catalog", "A crawler's log names folders and types, not records; CloudWatch encrypts it."),
    ),
    "AwsSolutions-OS3": (
        Departure("search", "The domain has no public address; its security group names who may connect."),
    ),
    "AwsSolutions-OS4": (Departure("search", "Dedicated masters pay from about ten data nodes on."),),
    "AwsSolutions-OS7": (
        Departure("search", "The lake can index it again; prod has two zones.", dev_only=True),
    ),
    "AwsSolutions-L1": (
        Departure("search", "The newest Python that the package supports; setup.cfg says which."),
    ),
    "AwsSolutions-SMG4": (
        Departure(
            "orchestration",
            "ECS hands a secret over when a task starts: rotated under running tasks, it would cut them off."
            " docs/deploy.md rotates it by hand, with a restart.",
        ),
    ),
    "AwsSolutions-RDS3": (
        Departure("orchestration", "A standby doubles the price; dev can lose it.", dev_only=True),
    ),
    "AwsSolutions-RDS10": (
        Departure("orchestration", "One command destroys dev; prod is protected.", dev_only=True),
    ),
    "AwsSolutions-RDS11": (
        Departure("orchestration", "Isolated subnets and a security group protect it, not an unusual port."),
    ),
    "AwsSolutions-ECS2": (
        Departure("orchestration", "Names and places are variables; the secret comes from Secrets Manager."),
    ),
    "AwsSolutions-EC23": (
        Departure("network", "People come from anywhere; the load balancer lets nobody pass unsigned."),
    ),
    "AwsSolutions-COG8": (
        Departure("orchestration", "A handful of users made by hand, with a second factor: no plus plan."),
    ),
}

WILDCARDS: Mapping[str, str] = {
    r"arn:<AWS::Partition>:s3:::[^/]+/.+/\*": "Objects below one prefix; their names are not known before.",
    r"arn:.+:table/[a-z_0-9]+/\*": "Tables of one database: a run makes temporary ones.",
    r"arn:.+:domain/[a-z-]+/\*|.+DomainArn.+/\*": "Paths of one search domain: its indices.",
    r"arn:.+:task/<Cluster\w+>/\*": "Tasks of one cluster; ECS chooses their ids.",
    r"arn:.+:task-definition/[a-z-]+:\*": "Revisions of one task definition; ECS numbers them.",
    r"arn:.+:log-group:/aws-glue/crawlers\*": "Glue's own log groups of crawlers.",
    r"\*": "Actions that AWS cannot narrow; access.UNNARROWED has the reason of each.",
}
"""Resource wildcards, as patterns of what cdk-nag (AwsSolutions-IAM5) finds, each with its reason. No action
has a wildcard."""


def acknowledge(stacks: Mapping[str, Stack], *, dev: bool) -> None:
    """Put each exception on its stack.

    Args:
        stacks: The stacks, by the part's name.
        dev: Whether the environment is dev.
    """
    for rule, exceptions in EXCEPTIONS.items():
        for exception in exceptions:
            if dev or not exception.dev_only:
                Validations.of(stacks[exception.part]).acknowledge(
                    Acknowledgment(id=rule, reason=exception.reason)
                )
