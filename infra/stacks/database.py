"""Dagster's database: Postgres for runs, events and schedules.

Its password is made by Secrets Manager and seen by nobody. Not here: who reads it (``orchestration.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration, RemovalPolicy, aws_ec2, aws_rds

if TYPE_CHECKING:
    from aws_cdk import Stack, aws_kms

    from infra.environments import Environment
    from infra.stacks.network import NetworkStack


def make_database(
    stack: Stack, environment: Environment, network: NetworkStack, key: aws_kms.IKey
) -> aws_rds.DatabaseInstance:
    """Make the database, which takes connections of Dagster's tasks alone."""
    sizes = environment.sizes
    group = aws_ec2.SecurityGroup(
        stack, "DatabaseGroup", vpc=network.vpc, description="Database", allow_all_outbound=False
    )
    group.add_ingress_rule(network.pipeline, aws_ec2.Port.tcp(5432), "Postgres from Dagster")
    return aws_rds.DatabaseInstance(
        stack,
        "Database",
        engine=aws_rds.DatabaseInstanceEngine.postgres(version=aws_rds.PostgresEngineVersion.VER_17_9),
        instance_type=aws_ec2.InstanceType(sizes.database_class),
        vpc=network.vpc,
        vpc_subnets=aws_ec2.SubnetSelection(subnet_type=aws_ec2.SubnetType.PRIVATE_ISOLATED),
        security_groups=[group],
        database_name="dagster",
        credentials=aws_rds.Credentials.from_generated_secret("dagster", encryption_key=key),
        multi_az=sizes.database_multi_az,
        allocated_storage=20,
        max_allocated_storage=200,
        storage_type=aws_rds.StorageType.GP3,
        storage_encrypted=True,
        storage_encryption_key=key,
        backup_retention=Duration.days(14 if environment.keeps_data else 1),
        delete_automated_backups=not environment.keeps_data,
        deletion_protection=environment.keeps_data,
        copy_tags_to_snapshot=True,
        auto_minor_version_upgrade=True,
        cloudwatch_logs_exports=["postgresql"],
        # Runs and their events are the history of the lake: prod keeps a last snapshot.
        removal_policy=RemovalPolicy.SNAPSHOT if environment.keeps_data else RemovalPolicy.DESTROY,
    )
