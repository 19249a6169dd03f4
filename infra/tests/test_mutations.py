"""The tests can fail: each mistake, made in a copy of the templates, is found by the test that is for it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from infra.tests import test_access, test_calls, test_exposure, test_metrics, test_privileges, test_stacks
from infra.tests.conftest import Synthesised
from infra.tests.policies import policies

Mutation = Callable[[Synthesised], None]


def _find(synthesised: Synthesised, part: str, type_: str, name: str = "") -> dict[str, Any]:
    """The properties of the first resource of a type whose name begins so."""
    found = synthesised.resources(part, type_)
    properties: dict[str, Any] = next(
        each["Properties"] for logical, each in sorted(found.items()) if logical.startswith(name)
    )
    return properties


def _statements(synthesised: Synthesised, part: str, role: str) -> list[dict[str, Any]]:
    policies_ = _find(synthesised, part, "AWS::IAM::Role", role)["Policies"]
    statements: list[dict[str, Any]] = policies_[0]["PolicyDocument"]["Statement"]
    return statements


def _wildcard_action(one: Synthesised) -> None:
    _statements(one, "orchestration", "runrole")[0]["Action"] = "s3:*"


def _star_resource(one: Synthesised) -> None:
    _statements(one, "catalog", "retailtranscrawlerrole")[0]["Resource"] = "*"


def _stranger(one: Synthesised) -> None:
    policy = _find(one, "ingest", "AWS::SQS::QueuePolicy", "retailtransarrivals")
    policy["PolicyDocument"]["Statement"].append(
        {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sqs:SendMessage", "Resource": "x"}
    )


def _any_accounts(one: Synthesised) -> None:
    for statement in _find(one, "ingest", "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]:
        if statement["Effect"] == "Allow":
            del statement["Condition"]


def _raw_written(one: Synthesised) -> None:
    _statements(one, "orchestration", "coderole").append(
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::lake/00-retail-trans/*"}
    )


def _taken_back(action: str, part: str, role: str) -> Mutation:
    def mutate(one: Synthesised) -> None:
        for statement in _statements(one, part, role):
            actions = statement["Action"]
            if isinstance(actions, list) and action in actions:
                actions.remove(action)
            elif actions == action:
                statement["Action"] = "s3:GetBucketLocation"

    return mutate


def _log_of_a_log(one: Synthesised) -> None:
    """As it once was: ``…:*:log-stream:*``, which is no ARN of a stream."""
    for statement in _statements(one, "orchestration", "daemonrole"):
        if statement["Action"] == "logs:GetLogEvents":
            statement["Resource"] = {"Fn::Join": ["", [statement["Resource"], ":log-stream:*"]]}


def _open_database(one: Synthesised) -> None:
    rule = _find(one, "orchestration", "AWS::EC2::SecurityGroupIngress", "DatabaseGroup")
    del rule["SourceSecurityGroupId"]
    rule["CidrIp"] = "0.0.0.0/0"


def _open_group(one: Synthesised) -> None:
    group = _find(one, "network", "AWS::EC2::SecurityGroup", "Search")
    group["SecurityGroupIngress"] = [
        {"CidrIpv6": "::/0", "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    ]


def _every_port(one: Synthesised) -> None:
    _find(one, "network", "AWS::EC2::SecurityGroupIngress", "Pipeline")["ToPort"] = 65535


def _in_the_clear(part: str, type_: str, *path: str) -> Mutation:
    def mutate(one: Synthesised) -> None:
        at = _find(one, part, type_)
        for key in path[:-1]:
            at = at[key]
        del at[path[-1]]

    return mutate


def _public(one: Synthesised) -> None:
    _find(one, "ingest", "AWS::S3::Bucket", "Lake")["PublicAccessBlockConfiguration"]["BlockPublicAcls"] = (
        False
    )


def _expires_data(one: Synthesised) -> None:
    rules = _find(one, "ingest", "AWS::S3::Bucket", "Lake")["LifecycleConfiguration"]["Rules"]
    rules.append({"Status": "Enabled", "Prefix": "compacted/", "ExpirationInDays": 30})


def _enforces(one: Synthesised) -> None:
    for group in one.resources("catalog", "AWS::Athena::WorkGroup").values():
        group["Properties"]["WorkGroupConfiguration"]["EnforceWorkGroupConfiguration"] = True


def _secret(one: Synthesised) -> None:
    _find(one, "search", "AWS::Lambda::Function")["Environment"]["Variables"]["ES_PASSWORD"] = (
        "hunter2hunter2"
    )


def _two_daemons(one: Synthesised) -> None:
    _find(one, "orchestration", "AWS::ECS::Service", "daemon")["DeploymentConfiguration"][
        "MaximumPercent"
    ] = 200


def _unwritten_metric(one: Synthesised) -> None:
    """As it once was: a name that Lambda never wrote."""
    alarm = _find(one, "watch", "AWS::CloudWatch::Alarm", "retailtransgivenup")
    alarm["MetricName"] = "OnFailureDestinationDeliveries"


def _uncounted(one: Synthesised) -> None:
    del _find(one, "search", "AWS::Lambda::EventSourceMapping")["MetricsConfig"]


def _kept(one: Synthesised) -> None:
    (queue, *_) = one.resources("ingest", "AWS::SQS::Queue").values()
    queue["DeletionPolicy"] = "Retain"


def _may(*case: str) -> Callable[[Synthesised], None]:
    return lambda one: test_access.test_may(policies(one), case[0], case[1], case[2])


def _calls(one: Synthesised) -> None:
    test_calls.test_whoever_makes_a_call_may(policies(one))


def _services(one: Synthesised) -> None:
    test_calls.test_services_get_what_they_ask_for_besides(policies(one))


CASES: dict[str, tuple[Mutation, Callable[[Synthesised], None]]] = {
    "an action is a wildcard": (_wildcard_action, test_privileges.test_no_action_is_a_wildcard),
    "a resource is a star": (_star_resource, test_privileges.test_every_resource_is_named_or_the_action_has_a_reason),
    "a stranger is let in": (_stranger, test_privileges.test_nobody_outside_the_account_is_let_in),
    "any account's bucket may tell": (_any_accounts, test_privileges.test_nobody_outside_the_account_is_let_in),
    "raw objects may be written": (_raw_written, test_privileges.test_runs_may_not_touch_raw_objects),
    "a secret is a variable": (_secret, test_privileges.test_no_secret_stands_in_a_variable),
    "a secret is in the template": (_secret, test_privileges.test_no_secret_stands_in_a_template),
    "a call is not allowed": (_taken_back("glue:ListCrawls", "orchestration", "runrole"), _calls),
    "the queue cannot be read": (_taken_back("sqs:ReceiveMessage", "orchestration", "coderole"), _calls),
    "a run cannot be started": (_taken_back("ecs:RunTask", "orchestration", "daemonrole"), _calls),
    "a role cannot be handed over": (_taken_back("iam:PassRole", "orchestration", "daemonrole"), _services),
    "Firehose cannot encrypt": (_taken_back("kms:GenerateDataKey", "ingest", "retailtransdelivery"), _services),
    "an ARN has the wrong form": (_log_of_a_log, _may("daemon", "logs:GetLogEvents", test_access.RUN_LOG)),
    "the database is open": (_open_database, test_exposure.test_nothing_but_the_load_balancer_is_open_to_the_world),
    "a group is open by IPv6": (_open_group, test_exposure.test_nothing_but_the_load_balancer_is_open_to_the_world),
    "every port is open": (_every_port, test_exposure.test_every_other_rule_names_a_group_and_a_port),
    "the database is in the clear": (
        _in_the_clear("orchestration", "AWS::RDS::DBInstance", "StorageEncrypted"),
        test_exposure.test_whatever_keeps_data_keeps_it_encrypted,
    ),
    "a queue is in the clear": (
        _in_the_clear("ingest", "AWS::SQS::Queue", "SqsManagedSseEnabled"),
        test_exposure.test_whatever_keeps_data_keeps_it_encrypted,
    ),
    "the stream is in the clear": (
        _in_the_clear("ingest", "AWS::Kinesis::Stream", "StreamEncryption"),
        test_exposure.test_whatever_keeps_data_keeps_it_encrypted,
    ),
    "results are in the clear": (
        _in_the_clear("catalog", "AWS::Athena::WorkGroup", "WorkGroupConfiguration", "ResultConfiguration",
                      "EncryptionConfiguration"),
        test_exposure.test_whatever_keeps_data_keeps_it_encrypted,
    ),
    "the lake is public": (_public, test_stacks.test_every_bucket_is_private_encrypted_and_takes_tls_alone),
    "data expires": (_expires_data, test_stacks.test_lake_is_under_the_deployments_key_and_no_rule_expires_data),
    "the pipeline's workgroup enforces": (_enforces, test_stacks.test_the_pipelines_workgroup_leaves_locations_to_ctas),
    "two daemons at a time": (_two_daemons, test_stacks.test_one_daemon_at_a_time),
    "dev leaves something": (_kept, test_stacks.test_dev_leaves_nothing),
    "a metric that nobody writes": (_unwritten_metric, test_metrics.test_every_alarm_is_on_a_metric_that_is_written),
    "a metric that nobody asked for": (
        _uncounted, test_metrics.test_metrics_that_aws_writes_on_request_are_asked_for,
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", CASES)
def test_a_mistake_is_found(dev: Synthesised, mistake: str) -> None:
    mutate, test = CASES[mistake]
    mutant = replace(dev, templates=copy.deepcopy(dev.templates))
    mutate(mutant)
    with pytest.raises((AssertionError, KeyError, pytest.fail.Exception)):
        test(mutant)


@pytest.mark.parametrize("test", [test for _, test in CASES.values()])
def test_without_a_mistake_none_is_found(dev: Synthesised, test: Callable[[Synthesised], None]) -> None:
    test(dev)
