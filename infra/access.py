"""Who may do what: roles with explicit statements, and the few actions that AWS cannot narrow.

Every role of the stacks is made here, so that one test can hold them to the rule: no wildcard action, and
resource ``*`` only for an action that :data:`UNNARROWED` gives a reason for. The grants of CDK's own
constructs are not used: they hand out ``s3:GetObject*`` and the like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, aws_iam
from aws_cdk.aws_iam import PolicyStatement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from constructs import Construct

    from retail_analytics.settings import Settings

UNNARROWED: Mapping[str, str] = {
    # Lambda in a VPC makes its network interfaces with the function's role, before it knows their ids; its
    # own check of the role refuses anything narrower.
    "ec2:CreateNetworkInterface": "Lambda checks the role for * before it makes an interface in the VPC.",
    "ec2:DeleteNetworkInterface": "The interface's id is Lambda's to choose; see CreateNetworkInterface.",
    "ec2:DescribeNetworkInterfaces": "EC2's Describe calls take no resource.",
    "ec2:DescribeSubnets": "EC2's Describe calls take no resource.",
    "ec2:DescribeSecurityGroups": "EC2's Describe calls take no resource.",
    "ec2:AssignPrivateIpAddresses": "Lambda checks the role for *; see CreateNetworkInterface.",
    "ec2:UnassignPrivateIpAddresses": "Lambda checks the role for *; see CreateNetworkInterface.",
    "cloudwatch:GetMetricStatistics": "It takes no resource; the index' health reads the handler's lag.",
    "ecr:GetAuthorizationToken": "It answers with a token for the registry; it takes no resource.",
    "ecs:DescribeTaskDefinition": "It takes no resource; the run launcher reads the definition.",
    "ssmmessages:CreateControlChannel": "Session Manager's channels take no resource.",
    "ssmmessages:CreateDataChannel": "Session Manager's channels take no resource.",
    "ssmmessages:OpenControlChannel": "Session Manager's channels take no resource.",
    "ssmmessages:OpenDataChannel": "Session Manager's channels take no resource.",
}
"""Actions that may stand on resource ``*``, each with the reason why AWS has no narrower form."""

READ_CATALOG = (
    "glue:BatchGetPartition",
    "glue:GetDatabase",
    "glue:GetPartition",
    "glue:GetPartitions",
    "glue:GetTable",
    "glue:GetTables",
)
"""What it takes to read tables through Athena or by name; the resources say which."""


def actor(
    scope: Construct,
    name: str,
    service: str,
    description: str,
    statements: Iterable[PolicyStatement],
    *,
    own_account: bool = False,
) -> aws_iam.Role:
    """A role for one actor, with nothing but these statements.

    Args:
        scope: The stack.
        name: The construct's id.
        service: The service that takes the role, ``firehose.amazonaws.com``.
        description: What it is for.
        statements: What it may do.
        own_account: Whether only this account's resources of the service may take it; for services that
            send ``aws:SourceAccount`` when they do.
    """
    conditions = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}} if own_account else {}
    return aws_iam.Role(
        scope,
        name,
        assumed_by=aws_iam.ServicePrincipal(service, conditions=conditions),
        description=description,
        inline_policies={"Allowed": aws_iam.PolicyDocument(statements=list(statements))},
    )


def of_people(
    scope: Construct, construct_id: str, name: str, description: str, statements: Iterable[PolicyStatement]
) -> aws_iam.ManagedPolicy:
    """A policy for people; it stands alone until somebody attaches it to a group or a permission set."""
    return aws_iam.ManagedPolicy(
        scope,
        construct_id,
        managed_policy_name=name,
        description=description,
        document=aws_iam.PolicyDocument(statements=list(statements)),
    )


def allow(actions: Sequence[str], resources: Sequence[str], **conditions: object) -> PolicyStatement:
    """A statement that allows these actions on these resources; keywords are condition operators."""
    return PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions or None)


def unnarrowed(*actions: str, **conditions: object) -> PolicyStatement:
    """A statement on resource ``*``, for actions of :data:`UNNARROWED` only.

    Raises:
        ValueError: An action has no reason to be on ``*``.
    """
    unknown = [action for action in actions if action not in UNNARROWED]
    if unknown:
        raise ValueError(f"{unknown} would stand on *; narrow them, or give access.UNNARROWED the reason.")
    return PolicyStatement(actions=list(actions), resources=["*"], conditions=conditions or None)


def arn(service: str, resource: str) -> str:
    """The ARN of a resource of this account and region, by its name."""
    return f"arn:{Aws.PARTITION}:{service}:{Aws.REGION}:{Aws.ACCOUNT_ID}:{resource}"


def bucket_arn(settings: Settings) -> str:
    """The lake's bucket."""
    return f"arn:{Aws.PARTITION}:s3:::{settings.bucket}"


def objects(settings: Settings, *prefixes: str) -> list[str]:
    """The lake's objects below these prefixes."""
    return [f"{bucket_arn(settings)}/{prefix}*" for prefix in prefixes]


def may_list(settings: Settings, *prefixes: str) -> PolicyStatement:
    """May list the lake below these prefixes; without a prefix, all of it."""
    narrowed = {"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}} if prefixes else {}
    return allow(["s3:ListBucket"], [bucket_arn(settings)], **narrowed)


def may_read(settings: Settings, *prefixes: str) -> PolicyStatement:
    """May read the lake's objects below these prefixes."""
    return allow(["s3:GetObject"], objects(settings, *prefixes))


def may_write(settings: Settings, *prefixes: str) -> PolicyStatement:
    """May write the lake's objects below these prefixes, large ones in parts."""
    return allow(
        ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
        objects(settings, *prefixes),
    )


def may_query(*workgroups: str) -> PolicyStatement:
    """May run and stop queries in these workgroups."""
    return allow(
        [
            "athena:GetQueryExecution",
            "athena:GetQueryResults",
            "athena:GetWorkGroup",
            "athena:StartQueryExecution",
            "athena:StopQueryExecution",
        ],
        [arn("athena", f"workgroup/{workgroup}") for workgroup in workgroups],
    )


def may_begin_queries() -> list[PolicyStatement]:
    """What Athena asks for with every query: the catalog by its name, and the database ``default``."""
    return [
        allow(["athena:GetDataCatalog"], [arn("athena", "datacatalog/AwsDataCatalog")]),
        allow(["glue:GetDatabase"], [arn("glue", "catalog"), arn("glue", "database/default")]),
    ]


def may_use_key(key_arn: str, *, write: bool) -> PolicyStatement:
    """May read, or read and write, what the key encrypts."""
    return allow(["kms:Decrypt", *(["kms:GenerateDataKey"] if write else [])], [key_arn])
