"""The services' own roles: made where they are missing, left alone where they are."""

from __future__ import annotations

import boto3
from botocore.stub import Stubber

from infra.bootstrap import SERVICES, ensure_roles


def test_missing_roles_are_made_and_others_left_alone() -> None:
    iam = boto3.client("iam", aws_access_key_id="none", aws_secret_access_key="none")
    there, *missing = SERVICES
    role = {
        "Path": "/",
        "RoleName": "xx",
        "RoleId": "x" * 16,
        "Arn": "arn:aws:iam::1:role/x",
        "CreateDate": 0,
    }
    with Stubber(iam) as answers:
        answers.add_response("get_role", {"Role": role}, {"RoleName": SERVICES[there]})
        for service in missing:
            answers.add_client_error(
                "get_role", "NoSuchEntity", expected_params={"RoleName": SERVICES[service]}
            )
            answers.add_response("create_service_linked_role", {"Role": role}, {"AWSServiceName": service})
        assert ensure_roles(iam, say=lambda _: None) == missing
        answers.assert_no_pending_responses()
