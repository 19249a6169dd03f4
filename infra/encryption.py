"""The key of a deployment, and who may use it.

The account's IAM policies decide who uses it (the first statement); the others let in AWS services that
act without a role of ours. No statement has a wildcard action. Not here: which role uses the key for what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, Duration, aws_iam, aws_kms

if TYPE_CHECKING:
    from constructs import Construct

    from infra.environments import Environment

_ADMINISTRATION = (
    "CancelKeyDeletion CreateAlias CreateGrant DeleteAlias DescribeKey DisableKey DisableKeyRotation"
    " EnableKey EnableKeyRotation GetKeyPolicy GetKeyRotationStatus ListGrants ListKeyPolicies"
    " ListKeyRotations ListResourceTags PutKeyPolicy RetireGrant RevokeGrant ScheduleKeyDeletion TagResource"
    " UntagResource UpdateAlias UpdateKeyDescription"
)
_USE = "Decrypt Encrypt GenerateDataKey GenerateDataKeyWithoutPlaintext ReEncryptFrom ReEncryptTo"


def deployment_key(scope: Construct, environment: Environment) -> aws_kms.Key:
    """The deployment's key, rotated once a year."""
    return aws_kms.Key(
        scope,
        "Key",
        alias=f"alias/{environment.settings.deployment}",
        description=f"Data of {environment.settings.deployment} at rest",
        enable_key_rotation=True,
        pending_window=Duration.days(30 if environment.keeps_data else 7),
        removal_policy=environment.data_removal,
        policy=aws_iam.PolicyDocument(statements=_statements()),
    )


def _statements() -> list[aws_iam.PolicyStatement]:
    """The key's policy; in one, resource ``*`` means this key and nothing else."""
    own_account = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
    return [
        aws_iam.PolicyStatement(
            sid="IamPoliciesOfTheAccountDecide",
            principals=[aws_iam.AccountRootPrincipal()],
            actions=[f"kms:{action}" for action in f"{_ADMINISTRATION} {_USE}".split()],
            resources=["*"],
        ),
        aws_iam.PolicyStatement(
            sid="ServicesThatPublishToTopics",
            principals=[
                aws_iam.ServicePrincipal("s3.amazonaws.com"),
                aws_iam.ServicePrincipal("cloudwatch.amazonaws.com"),
                aws_iam.ServicePrincipal("budgets.amazonaws.com"),
            ],
            actions=["kms:Decrypt", "kms:GenerateDataKey"],
            resources=["*"],
            conditions=own_account,
        ),
    ]
