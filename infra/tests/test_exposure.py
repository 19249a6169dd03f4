"""What lies open, and what lies in the clear: every stack, without knowing which resource is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.tests.conftest import Synthesised

_ANYWHERE = {"0.0.0.0/0", "::/0"}


def _rules(synthesised: Synthesised) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every rule that lets something in, whether it stands in its group or alone."""
    for part, template in synthesised.templates.items():
        for name, resource in template["Resources"].items():
            properties = resource.get("Properties", {})
            if resource["Type"] == "AWS::EC2::SecurityGroup":
                for rule in properties.get("SecurityGroupIngress", []):
                    yield f"{part}/{name}", rule
            elif resource["Type"] == "AWS::EC2::SecurityGroupIngress":
                yield f"{part}/{name}", properties


def test_nothing_but_the_load_balancer_is_open_to_the_world(either: Synthesised) -> None:
    opened = {
        (where.split("/")[1][:8], rule["FromPort"], rule["ToPort"])
        for where, rule in _rules(either)
        if {rule.get("CidrIp"), rule.get("CidrIpv6")} & _ANYWHERE
    }
    entrance = {("Entrance", 80, 80), ("Entrance", 443, 443)}
    assert opened == (entrance if either.name == "prod" else set())


def test_every_other_rule_names_a_group_and_a_port(either: Synthesised) -> None:
    inner = [(where, rule) for where, rule in _rules(either) if not where.startswith("network/Entrance82")]
    assert len(inner) >= 4
    for where, rule in inner:
        assert "SourceSecurityGroupId" in rule, where
        assert rule["IpProtocol"] == "tcp", where
        assert rule["FromPort"] == rule["ToPort"], where


def test_who_talks_to_whom(prod: Synthesised) -> None:
    """Each port that the code connects to, and no other."""
    ports = sorted(
        (where.split("/")[1].split("from")[0][:8], rule["FromPort"]) for where, rule in _rules(prod)
    )
    assert ports == [
        ("Database", 5432),  # Dagster's tasks
        ("Entrance", 80), ("Entrance", 443),
        ("Pipeline", 3000),  # the load balancer to the web server
        ("Pipeline", 4000),  # web server and daemon to the code server
        ("Search", 443), ("Search", 443),  # tasks, and handlers
    ]  # fmt: skip


def test_the_load_balancer_reaches_cognito(prod: Synthesised) -> None:
    """It asks Cognito's endpoints for the user's token: without this way out every sign-in ends in 561."""
    (group,) = [
        group["Properties"]
        for name, group in prod.resources("network", "AWS::EC2::SecurityGroup").items()
        if name.startswith("Entrance")
    ]
    assert [
        (rule["FromPort"], rule["ToPort"])
        for rule in group["SecurityGroupEgress"]
        if rule["CidrIp"] == "0.0.0.0/0"
    ] == [(443, 443)]


def _encrypted_delivery(properties: dict[str, Any]) -> bool:
    target = properties["ExtendedS3DestinationConfiguration"]
    at_rest = "KMSEncryptionConfig" in target["EncryptionConfiguration"]
    from_stream = "KinesisStreamSourceConfiguration" in properties
    return at_rest and (from_stream or "DeliveryStreamEncryptionConfigurationInput" in properties)


def _encrypted_workgroup(properties: dict[str, Any]) -> bool:
    result = properties["WorkGroupConfiguration"]["ResultConfiguration"]["EncryptionConfiguration"]
    return bool(result["EncryptionOption"] == "SSE_KMS" and result["KmsKey"])


ENCRYPTED: dict[str, Callable[[dict[str, Any]], bool]] = {
    "AWS::Athena::WorkGroup": _encrypted_workgroup,
    "AWS::Kinesis::Stream": lambda p: bool(p["StreamEncryption"]["KeyId"]),
    "AWS::KinesisFirehose::DeliveryStream": _encrypted_delivery,
    "AWS::Lambda::Function": lambda p: bool(p["KmsKeyArn"]),
    "AWS::OpenSearchService::Domain": lambda p: bool(
        p["EncryptionAtRestOptions"]["Enabled"]
        and p["EncryptionAtRestOptions"]["KmsKeyId"]
        and p["NodeToNodeEncryptionOptions"]["Enabled"]
        and p["DomainEndpointOptions"]["EnforceHTTPS"]
    ),
    "AWS::RDS::DBInstance": lambda p: bool(p["StorageEncrypted"] and p["KmsKeyId"]),
    "AWS::S3::Bucket": lambda p: bool(p["BucketEncryption"]["ServerSideEncryptionConfiguration"]),
    "AWS::SNS::Topic": lambda p: bool(p["KmsMasterKeyId"]),
    "AWS::SQS::Queue": lambda p: p["SqsManagedSseEnabled"] is True,
    "AWS::SecretsManager::Secret": lambda p: bool(p["KmsKeyId"]),
}
"""What keeps data, and whether it keeps it encrypted."""

KEEPS_NONE = {
    "AWS::Athena::NamedQuery", "AWS::Budgets::Budget", "AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard",
    "AWS::Cognito::UserPool", "AWS::Cognito::UserPoolClient", "AWS::Cognito::UserPoolDomain", "AWS::EC2::EIP",
    "AWS::EC2::FlowLog", "AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route",
    "AWS::EC2::RouteTable", "AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress", "AWS::EC2::Subnet", "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPC", "AWS::EC2::VPCEndpoint", "AWS::EC2::VPCGatewayAttachment", "AWS::ECS::Cluster",
    "AWS::ECS::Service", "AWS::ECS::TaskDefinition", "AWS::ElasticLoadBalancingV2::Listener",
    "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::ElasticLoadBalancingV2::TargetGroup", "AWS::Glue::Crawler",
    "AWS::Glue::Database", "AWS::Glue::Table", "AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::IAM::Role",
    "AWS::KMS::Alias", "AWS::KMS::Key", "AWS::Lambda::EventSourceMapping", "AWS::Lambda::LayerVersion",
    # CloudWatch encrypts every log; ours hold no records.
    "AWS::Logs::LogGroup", "AWS::Logs::LogStream", "AWS::Logs::ResourcePolicy",
    "AWS::RDS::DBSubnetGroup", "AWS::S3::BucketPolicy", "AWS::SNS::Subscription", "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy", "AWS::SecretsManager::SecretTargetAttachment",
    "AWS::ServiceDiscovery::PrivateDnsNamespace", "AWS::ServiceDiscovery::Service",
}  # fmt: skip
"""Types that keep nothing of ours, or that AWS encrypts whatever one says."""


def test_whatever_keeps_data_keeps_it_encrypted(either: Synthesised) -> None:
    for part, template in either.templates.items():
        for name, resource in template["Resources"].items():
            encrypted = ENCRYPTED.get(resource["Type"])
            if encrypted is None:
                assert resource["Type"] in KEEPS_NONE, f"{part}/{name}: does it keep data? Say so in a table."
                continue
            try:
                assert encrypted(resource["Properties"]), f"{part}/{name}"
            except KeyError as error:
                pytest.fail(f"{part}/{name} says nothing of {error}")
