"""Network: where the search domain, the handler, Dagster and its database live.

Public subnets hold nothing but the load balancer and the ways out; private ones reach AWS through these;
isolated ones reach nothing. S3 goes by a gateway of its own, since it carries the data and costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import RemovalPolicy, Stack, aws_ec2, aws_logs

from infra import access

if TYPE_CHECKING:
    from constructs import Construct

    from infra.environments import Environment


class NetworkStack(Stack):
    """The VPC and the security groups of those who talk to the search domain.

    Attributes:
        vpc: The VPC, over two zones.
        pipeline: The security group of all of Dagster's tasks.
        handler: That of the upsert handlers.
        entrance: That of the load balancer, if there is one.
        search: That of the search domain, which takes https from these two alone.
    """

    def __init__(self, scope: Construct, construct_id: str, environment: Environment, **options: Any) -> None:
        """Make the stack."""
        super().__init__(scope, construct_id, **options)
        subnet = aws_ec2.SubnetConfiguration
        self.vpc = aws_ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=aws_ec2.IpAddresses.cidr("10.40.0.0/16"),
            max_azs=2,
            nat_gateways=environment.sizes.nat_gateways,
            subnet_configuration=[
                subnet(
                    name="public",
                    subnet_type=aws_ec2.SubnetType.PUBLIC,
                    cidr_mask=24,
                    map_public_ip_on_launch=False,
                ),
                subnet(name="private", subnet_type=aws_ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=20),
                subnet(name="isolated", subnet_type=aws_ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24),
            ],
            gateway_endpoints={
                "S3": aws_ec2.GatewayVpcEndpointOptions(service=aws_ec2.GatewayVpcEndpointAwsService.S3)
            },
        )
        self._flow_log(environment)
        self.pipeline = self._group("Pipeline", "Tasks of Dagster", outbound=True)
        self.handler = self._group("Handler", "The upsert handlers", outbound=True)
        self.entrance = self._group("Entrance", "Load balancer", outbound=False)
        self.search = self._group("Search", "The search domain", outbound=False)
        for peer, who in ((self.pipeline, "Dagster"), (self.handler, "the upsert handlers")):
            self.search.add_ingress_rule(peer, aws_ec2.Port.tcp(443), f"https from {who}")

    def _group(self, name: str, description: str, *, outbound: bool) -> aws_ec2.SecurityGroup:
        return aws_ec2.SecurityGroup(
            self, name, vpc=self.vpc, description=description, allow_all_outbound=outbound
        )

    def _flow_log(self, environment: Environment) -> None:
        """Who talked to whom, and was refused."""
        group = aws_logs.LogGroup(
            self,
            "FlowLog",
            retention=environment.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        role = access.actor(
            self,
            "FlowLogRole",
            "vpc-flow-logs.amazonaws.com",
            "Writes the VPC's flow log",
            [
                access.allow(
                    ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                    [group.log_group_arn],
                )
            ],
            own_account=True,
        )
        aws_ec2.CfnFlowLog(
            self,
            "Flow",
            resource_id=self.vpc.vpc_id,
            resource_type="VPC",
            traffic_type="REJECT",
            log_destination_type="cloud-watch-logs",
            log_group_name=group.log_group_name,
            deliver_logs_permission_arn=role.role_arn,
        )
