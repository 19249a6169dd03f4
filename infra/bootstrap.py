"""``make bootstrap``: what an account must have before its first deployment, and what CDK's own leaves out.

Some services act by a role that is theirs, one to an account. The console makes it in passing; CloudFormation
does not for OpenSearch, and comes too late with it for ECS. No stack can have it: a second environment would
find it made, and the first one destroyed would take it along.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICES = {
    "opensearchservice.amazonaws.com": "AWSServiceRoleForAmazonOpenSearchService",
    "ecs.amazonaws.com": "AWSServiceRoleForECS",
    "elasticloadbalancing.amazonaws.com": "AWSServiceRoleForElasticLoadBalancing",
    "rds.amazonaws.com": "AWSServiceRoleForRDS",
}
"""Services whose role must be there, and the role's name, which is the service's choice."""


def ensure_roles(iam: Any, say: Callable[[str], None] = print) -> list[str]:
    """Make the services' roles that are missing; returns the services that got one."""
    made = []
    for service, role in SERVICES.items():
        try:
            iam.get_role(RoleName=role)
        except iam.exceptions.NoSuchEntityException:
            iam.create_service_linked_role(AWSServiceName=service)
            say(f"{role} made")
            made.append(service)
        else:
            say(f"{role} is there")
    return made


def main() -> None:
    """Make the roles in the account that the environment's credentials belong to."""
    try:
        ensure_roles(boto3.client("iam"))
    except Exception as error:  # noqa: BLE001 - one sentence for whoever runs it, whatever AWS refused
        sys.exit(f"bootstrap: {error}")


if __name__ == "__main__":
    main()
