"""Search: the domain, and for each feed with an index the handler that keeps it up to date.

The domain stands in the VPC, and who may talk to it is IAM's: requests are signed. Fine-grained access would
need users mapped by calls after the deployment, and its master's password; so it is left out. Snapshots are
the service's own, every hour, kept for fourteen days.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_cdk import (
    Aws,
    Duration,
    RemovalPolicy,
    Stack,
    aws_ec2,
    aws_iam,
    aws_lambda,
    aws_logs,
    aws_opensearchservice,
)

from infra import access
from infra.prefixes import UNHANDLED
from retail_analytics.feeds import FEEDS
from retail_analytics.search.environment import (
    EVENT_RECORDS,
    HANDLER_FUNCTION,
    HANDLER_MODULE,
    dead_letter_prefix,
    handler_environment,
    handler_name,
)
from retail_analytics.search.packaging import package_handler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Construct

    from infra.environments import Environment
    from infra.stacks.ingest import IngestStack
    from infra.stacks.network import NetworkStack
    from retail_analytics.feeds import Feed

ENGINE = "OpenSearch_2.19"
HTTP_ACTIONS = ("es:ESHttpDelete", "es:ESHttpGet", "es:ESHttpHead", "es:ESHttpPost", "es:ESHttpPut")
_PACKAGES = Path(__file__).parents[2] / "build" / "handler"
_LONGEST_HOURS = 168  # Lambda forgets a record after a week, whatever the stream keeps
_RUNTIME = aws_lambda.Runtime.PYTHON_3_13


@dataclass(frozen=True)
class Handler:
    """A feed's upsert handler, and what hands it the records of the feed's stream."""

    function: aws_lambda.Function
    mapping: aws_lambda.CfnEventSourceMapping


class SearchStack(Stack):
    """The search domain and the upsert handlers.

    Attributes:
        domain_arn: The domain.
        url: Where it is reached, by https.
        handlers: Each searched feed's handler, by the feed's name.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        environment: Environment,
        network: NetworkStack,
        ingest: IngestStack,
        *,
        feeds: Sequence[Feed] = FEEDS,
        **options: Any,
    ) -> None:
        """Make the stack."""
        super().__init__(scope, construct_id, **options)
        self._network = network
        self._ingest = ingest
        # A domain's name has at most 28 characters.
        self.domain_name = f"retail-search-{environment.name}"
        domain = self._domain(environment)
        self.domain_arn = domain.attr_arn
        self.url = f"https://{domain.attr_domain_endpoint}"
        self._environment = environment.with_search(self.url)
        self.handlers: dict[str, Handler] = {}
        searched = [feed for feed in feeds if feed.search is not None and feed.source == "kinesis"]
        if searched:
            function, layer = package_handler(_PACKAGES)
            code = aws_lambda.Code.from_asset(str(function.path))
            libraries = aws_lambda.LayerVersion(
                self,
                "Libraries",
                code=aws_lambda.Code.from_asset(str(layer.path)),
                compatible_runtimes=[_RUNTIME],
                description="opensearch-py and what it needs",
            )
            for feed in searched:
                self.handlers[feed.name] = self._handler(feed, code, libraries)

    def _domain(self, environment: Environment) -> aws_opensearchservice.CfnDomain:
        sizes = environment.sizes
        service = aws_opensearchservice.CfnDomain
        slow = {kind: self._log(environment, kind) for kind in ("search-slow", "index-slow", "application")}
        policy = aws_logs.CfnResourcePolicy(
            self,
            "DomainMayLog",
            policy_name=f"{self.domain_name}-logs",
            policy_document=self.to_json_string(_log_policy(self.domain_name)),
        )
        several = sizes.search_nodes > 1
        subnets = self._network.vpc.select_subnets(subnet_type=aws_ec2.SubnetType.PRIVATE_ISOLATED).subnet_ids
        domain = service(
            self,
            "Domain",
            domain_name=self.domain_name,
            engine_version=ENGINE,
            cluster_config=service.ClusterConfigProperty(
                instance_type=sizes.search_instance,
                instance_count=sizes.search_nodes,
                zone_awareness_enabled=several,
                zone_awareness_config=service.ZoneAwarenessConfigProperty(availability_zone_count=2)
                if several
                else None,
            ),
            ebs_options=service.EBSOptionsProperty(
                ebs_enabled=True, volume_type="gp3", volume_size=sizes.search_gibibytes
            ),
            vpc_options=service.VPCOptionsProperty(
                subnet_ids=subnets if several else subnets[:1],
                security_group_ids=[self._network.search.security_group_id],
            ),
            domain_endpoint_options=service.DomainEndpointOptionsProperty(
                enforce_https=True, tls_security_policy="Policy-Min-TLS-1-2-PFS-2023-10"
            ),
            encryption_at_rest_options=service.EncryptionAtRestOptionsProperty(
                enabled=True, kms_key_id=self._ingest.key.key_id
            ),
            node_to_node_encryption_options=service.NodeToNodeEncryptionOptionsProperty(enabled=True),
            access_policies=self._domain_policy(),
            log_publishing_options={
                name: service.LogPublishingOptionProperty(
                    cloud_watch_logs_log_group_arn=slow[kind].log_group_arn, enabled=True
                )
                for name, kind in (
                    ("SEARCH_SLOW_LOGS", "search-slow"),
                    ("INDEX_SLOW_LOGS", "index-slow"),
                    ("ES_APPLICATION_LOGS", "application"),
                )
            },
            off_peak_window_options=service.OffPeakWindowOptionsProperty(enabled=True),
            software_update_options=service.SoftwareUpdateOptionsProperty(auto_software_update_enabled=True),
        )
        domain.add_resource_dependency(policy)
        domain.apply_removal_policy(environment.data_removal)
        return domain

    def _domain_policy(self) -> dict[str, object]:
        """Whom of this account the domain lets in is what the roles' own policies say; nobody else."""
        return {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:root"},
                    "Action": list(HTTP_ACTIONS),
                    "Resource": access.arn("es", f"domain/{self.domain_name}/*"),
                }
            ],
        }

    def _log(self, environment: Environment, kind: str) -> aws_logs.LogGroup:
        return aws_logs.LogGroup(
            self,
            f"{kind}-log",
            log_group_name=f"/aws/opensearch/{self.domain_name}/{kind}",
            retention=environment.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _handler(self, feed: Feed, code: aws_lambda.Code, libraries: aws_lambda.LayerVersion) -> Handler:
        settings = self._environment.settings
        # Known beforehand, so that the role can be narrowed to the log group before both exist.
        name = handler_name(feed, settings)
        log_group = aws_logs.LogGroup(
            self,
            f"{feed.name}-handler-log",
            log_group_name=f"/aws/lambda/{name}",
            retention=self._environment.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        role = self._handler_role(feed, log_group)
        function = aws_lambda.Function(
            self,
            f"{feed.name}-handler",
            function_name=name,
            description=f"Writes {feed.name} from its stream into the search index",
            runtime=_RUNTIME,
            architecture=aws_lambda.Architecture.ARM_64,
            handler=f"{HANDLER_MODULE}.{HANDLER_FUNCTION}",
            code=code,
            layers=[libraries],
            role=role,
            environment=handler_environment(feed, settings),
            environment_encryption=self._ingest.key,
            memory_size=512,
            timeout=Duration.minutes(5),
            log_group=log_group,
            vpc=self._network.vpc,
            vpc_subnets=aws_ec2.SubnetSelection(subnet_type=aws_ec2.SubnetType.PRIVATE_WITH_EGRESS),
            security_groups=[self._network.handler],
        )
        return Handler(function, self._mapping(feed, function))

    def _handler_role(self, feed: Feed, log_group: aws_logs.LogGroup) -> aws_iam.Role:
        settings = self._environment.settings
        return access.actor(
            self,
            f"{feed.name}-handler-role",
            "lambda.amazonaws.com",
            f"Writes {feed.name} into the search index",
            [
                access.allow(
                    [
                        "kinesis:DescribeStream",
                        "kinesis:DescribeStreamSummary",
                        "kinesis:GetRecords",
                        "kinesis:GetShardIterator",
                        "kinesis:ListShards",
                    ],
                    [self._ingest.streams[feed.name].stream_arn],
                ),
                access.allow(HTTP_ACTIONS, [access.arn("es", f"domain/{self.domain_name}/*")]),
                access.may_write(settings, dead_letter_prefix(feed), UNHANDLED),
                # Lambda asks for it before it takes a bucket as a destination.
                access.may_list(settings),
                access.may_use_key(self._ingest.key.key_arn, write=True),
                access.allow(["logs:CreateLogStream", "logs:PutLogEvents"], [log_group.log_group_arn]),
                access.unnarrowed(
                    "ec2:AssignPrivateIpAddresses",
                    "ec2:CreateNetworkInterface",
                    "ec2:DeleteNetworkInterface",
                    "ec2:DescribeNetworkInterfaces",
                    "ec2:DescribeSecurityGroups",
                    "ec2:DescribeSubnets",
                    "ec2:UnassignPrivateIpAddresses",
                ),
            ],
        )

    def _mapping(self, feed: Feed, function: aws_lambda.Function) -> aws_lambda.CfnEventSourceMapping:
        """The stream to the handler. Without limits, one poison record would stall its shard for days."""
        source = aws_lambda.CfnEventSourceMapping
        return source(
            self,
            f"{feed.name}-mapping",
            function_name=function.function_name,
            event_source_arn=self._ingest.streams[feed.name].stream_arn,
            starting_position="TRIM_HORIZON",
            batch_size=EVENT_RECORDS,
            maximum_batching_window_in_seconds=1,
            parallelization_factor=1,  # a key's records stay in order
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=10,
            maximum_record_age_in_seconds=min(feed.retention_hours, _LONGEST_HOURS) * 3600,
            function_response_types=["ReportBatchItemFailures"],
            # Lambda counts what it gives up only where it is asked to.
            metrics_config=source.MetricsConfigProperty(metrics=["EventCount"]),
            # S3 alone receives the records; a queue would be told their sequence numbers.
            destination_config=source.DestinationConfigProperty(
                on_failure=source.OnFailureProperty(destination=self._ingest.bucket.bucket_arn)
            ),
        )


def _log_policy(domain_name: str) -> dict[str, object]:
    """Lets the domain write its logs; CloudWatch takes no other form of this permission."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "es.amazonaws.com"},
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents", "logs:PutLogEventsBatch"],
                "Resource": access.arn("logs", f"log-group:/aws/opensearch/{domain_name}/*"),
                "Condition": {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            }
        ],
    }
