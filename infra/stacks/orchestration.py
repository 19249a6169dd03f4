"""Orchestration: Dagster on ECS Fargate, with its database.

Web server, daemon and code server are services; each run is a task of its own. Their image is the
repository's Dockerfile. Not here: the database (``database.py``), the way in for people (``entrance.py``),
what the tasks may do to the lake (``pipeline_access.py``), and Dagster's own configuration
(``dagster/dagster.yaml``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aws_cdk import (
    Duration,
    RemovalPolicy,
    Stack,
    aws_ec2,
    aws_ecr_assets,
    aws_ecs,
    aws_iam,
    aws_kms,
    aws_logs,
    aws_servicediscovery,
    aws_sns,
)

from infra import access, pipeline_access
from infra.environments import variables
from infra.stacks.database import make_database
from infra.stacks.entrance import make_entrance
from retail_analytics.feeds import FEEDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Construct

    from infra.environments import Environment
    from infra.stacks.ingest import IngestStack
    from infra.stacks.network import NetworkStack
    from infra.stacks.search import SearchStack
    from retail_analytics.feeds import Feed

_ROOT = Path(__file__).parents[2]
_CODE_PORT, WEB_PORT = 4000, 3000
_HOME = "/opt/dagster/home"

_CODE = (
    f"dagster code-server start --host 0.0.0.0 --port {_CODE_PORT} --module-name retail_analytics.definitions"
)
_WEB = f"dagster-webserver --host 0.0.0.0 --port {WEB_PORT} --workspace {_HOME}/workspace.yaml"
_DAEMON = f"dagster-daemon run --workspace {_HOME}/workspace.yaml"
_WEB_ANSWERS = (
    f"import urllib.request as r; r.urlopen('http://127.0.0.1:{WEB_PORT}/server_info', timeout=5).read()"
)


class OrchestrationStack(Stack):
    """Dagster on ECS.

    Attributes:
        notices: The topic that alarms and outcomes of runs go to.
        cluster: The cluster.
        services: Web server, daemon and code server, by these names.
        database: The database of runs and events.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        environment: Environment,
        network: NetworkStack,
        ingest: IngestStack,
        search: SearchStack,
        *,
        feeds: Sequence[Feed] = FEEDS,
        **options: Any,
    ) -> None:
        """Make the stack."""
        super().__init__(scope, construct_id, **options)
        self._environment = environment = environment.with_search(search.url)
        self._network, self._ingest = network, ingest
        # By its ARN: CDK would otherwise write roles of this stack into the key's policy in another.
        self._key = aws_kms.Key.from_key_arn(self, "Key", ingest.key.key_arn)
        self.notices = aws_sns.Topic(self, "Notices", master_key=self._key, enforce_ssl=True)
        self.cluster = aws_ecs.Cluster(
            self, "Cluster", vpc=network.vpc, container_insights_v2=aws_ecs.ContainerInsights.ENABLED
        )
        self._names = aws_servicediscovery.PrivateDnsNamespace(
            self, "Names", name=f"{environment.settings.deployment}.internal", vpc=network.vpc
        )
        self.database = make_database(self, environment, network, self._key)
        self._image = aws_ecs.ContainerImage.from_docker_image_asset(
            aws_ecr_assets.DockerImageAsset(
                self, "Image", directory=str(_ROOT), platform=aws_ecr_assets.Platform.LINUX_ARM64
            )
        )
        key, notices = ingest.key.key_arn, self.notices.topic_arn
        run_role = self._role("run", pipeline_access.of_runs(environment, feeds, key, search.domain_arn))
        sizes = environment.sizes
        self._run = self._task("run", run_role, "", sizes.run_cpu, sizes.run_memory)
        code_role = self._role("code", pipeline_access.of_code_server(environment, feeds, key, notices))
        code = self._task(
            "code", code_role, _CODE, 512, 2048,
            port=_CODE_PORT, health=f"dagster api grpc-health-check --port {_CODE_PORT}",
        )  # fmt: skip
        reads = pipeline_access.of_reader_of_logs(environment, key, writes=False)
        web = self._task(
            "web", self._role("web", [*reads, *self._may_stop(), *self._may_be_entered()]),
            _WEB, 512, 1024, port=WEB_PORT, health=f'python -c "{_WEB_ANSWERS}"',
        )  # fmt: skip
        keeps = pipeline_access.of_reader_of_logs(environment, key, writes=True)
        daemon = self._task(
            "daemon", self._role("daemon", [*keeps, *self._may_stop(), *self._may_launch(run_role)]),
            _DAEMON, 512, 1024,
            # It asks the database whether every part of the daemon has given its heartbeat.
            health="dagster-daemon liveness-check",
        )  # fmt: skip
        self.services = {
            "code": self._service("code", code, named=True),
            "web": self._service("web", web),
            "daemon": self._service("daemon", daemon, alone=True),
        }
        for name in ("web", "daemon"):
            self.services[name].node.add_dependency(self.services["code"])
        network_rule = self._network.pipeline.connections
        network_rule.allow_internally(aws_ec2.Port.tcp(_CODE_PORT), "Code server, from web server and daemon")
        if environment.hostname:
            make_entrance(self, environment, network, ingest, self.services["web"], WEB_PORT)

    def _role(self, name: str, statements: list[aws_iam.PolicyStatement]) -> aws_iam.Role:
        return access.actor(
            self,
            f"{name}-role",
            "ecs-tasks.amazonaws.com",
            f"Task {name} of Dagster",
            statements,
            own_account=True,
        )

    def _may_launch(self, run_role: aws_iam.Role) -> list[aws_iam.PolicyStatement]:
        """Start runs: the daemon's alone, since the web server puts them into its queue."""
        in_cluster = {"ArnEquals": {"ecs:cluster": self.cluster.cluster_arn}}
        # Every revision: while a deployment replaces the daemon, the old one launches the revision before.
        revisions = access.arn("ecs", f"task-definition/{self._run.family}:*")
        execution = self._run.obtain_execution_role()
        return [
            access.allow(["ecs:RunTask"], [revisions], **in_cluster),
            access.allow(["ecs:TagResource"], [self._tasks], StringEquals={"ecs:CreateAction": "RunTask"}),
            access.allow(
                ["iam:PassRole"],
                [run_role.role_arn, execution.role_arn],
                StringEquals={"iam:PassedToService": "ecs-tasks.amazonaws.com"},
            ),
            access.unnarrowed("ec2:DescribeNetworkInterfaces"),
            # What a run that died printed last, for the run's page.
            access.allow(["logs:GetLogEvents"], [self._run_log.log_group_arn]),
        ]

    def _may_stop(self) -> list[aws_iam.PolicyStatement]:
        """Look after runs and stop them: the daemon does, and the web server for a person."""
        in_cluster = {"ArnEquals": {"ecs:cluster": self.cluster.cluster_arn}}
        return [
            access.allow(["ecs:DescribeTasks", "ecs:StopTask"], [self._tasks], **in_cluster),
            access.unnarrowed("ecs:DescribeTaskDefinition"),
        ]

    @property
    def _tasks(self) -> str:
        return access.arn("ecs", f"task/{self.cluster.cluster_name}/*")

    @property
    def _entered_by_session(self) -> bool:
        """Without a load balancer, people reach the web server through Session Manager."""
        return self._environment.hostname is None

    def _may_be_entered(self) -> list[aws_iam.PolicyStatement]:
        if not self._entered_by_session:
            return []
        channels = ("CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel")
        return [access.unnarrowed(*(f"ssmmessages:{channel}" for channel in channels))]

    def _task(
        self, name: str, role: aws_iam.Role, command: str, cpu: int, memory: int, *,
        port: int | None = None, health: str | None = None,
    ) -> aws_ecs.FargateTaskDefinition:  # fmt: skip
        log_group = aws_logs.LogGroup(
            self,
            f"{name}-log",
            log_group_name=f"/{self._environment.settings.deployment}/dagster/{name}",
            retention=self._environment.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        if name == "run":
            self._run_log = log_group
        task = aws_ecs.FargateTaskDefinition(
            self,
            f"{name}-task",
            family=f"{self._environment.settings.deployment}-{name}",
            cpu=cpu,
            memory_limit_mib=memory,
            task_role=role,
            execution_role=self._role(f"{name}-start", [access.may_use_key(self._key.key_arn, write=False)]),
            runtime_platform=aws_ecs.RuntimePlatform(
                cpu_architecture=aws_ecs.CpuArchitecture.ARM64,
                operating_system_family=aws_ecs.OperatingSystemFamily.LINUX,
            ),
            volumes=[aws_ecs.Volume(name="tmp")],
        )
        secret = self.database.secret
        if secret is None:
            raise RuntimeError("the database has no generated secret; see database.py.")
        container = task.add_container(
            name,
            container_name=name,
            image=self._image,
            command=command.split() if command else None,
            environment=self._variables(name),
            secrets={
                "DAGSTER_PG_USERNAME": aws_ecs.Secret.from_secrets_manager(secret, "username"),
                "DAGSTER_PG_PASSWORD": aws_ecs.Secret.from_secrets_manager(secret, "password"),
            },
            logging=aws_ecs.LogDrivers.aws_logs(stream_prefix=name, log_group=log_group),
            health_check=aws_ecs.HealthCheck(
                command=["CMD-SHELL", health],
                # Each check starts Python and imports Dagster, which is seconds of half a core.
                interval=Duration.seconds(60),
                timeout=Duration.seconds(30),
                retries=3,
                start_period=Duration.minutes(3),
            )
            if health
            else None,
            port_mappings=[aws_ecs.PortMapping(container_port=port)] if port else None,
            # Session Manager's agent writes beside the program.
            readonly_root_filesystem=name != "web" or not self._entered_by_session,
            # A run that is stopped cancels its query first; the others have nothing to end.
            stop_timeout=Duration.seconds(110 if name == "run" else 30),
            linux_parameters=aws_ecs.LinuxParameters(self, f"{name}-linux", init_process_enabled=True),
        )
        container.add_mount_points(
            aws_ecs.MountPoint(container_path="/tmp", source_volume="tmp", read_only=False)  # noqa: S108
        )
        return task

    def _variables(self, name: str) -> dict[str, str]:
        found = {
            **variables(self._environment.settings),
            "RETAIL_NOTIFY_TOPIC_ARN": self.notices.topic_arn,
            "DAGSTER_PG_HOST": self.database.db_instance_endpoint_address,
            "DAGSTER_CODE_HOST": f"code.{self._names.namespace_name}",
        }
        # A definition cannot name itself; and a run launches no runs.
        if name != "run":
            found["DAGSTER_RUN_TASK_DEFINITION"] = self._run.task_definition_arn
        return found

    def _service(
        self, name: str, task: aws_ecs.FargateTaskDefinition, *, named: bool = False, alone: bool = False
    ) -> aws_ecs.FargateService:
        """A service of one task; ``alone`` stops the old one before the new one starts: two daemons fight."""
        service = aws_ecs.FargateService(
            self,
            f"{name}-service",
            cluster=self.cluster,
            task_definition=task,
            desired_count=1,
            min_healthy_percent=0 if alone else 100,
            max_healthy_percent=100 if alone else 200,
            circuit_breaker=aws_ecs.DeploymentCircuitBreaker(rollback=True),
            vpc_subnets=aws_ec2.SubnetSelection(subnet_type=aws_ec2.SubnetType.PRIVATE_WITH_EGRESS),
            security_groups=[self._network.pipeline],
            propagate_tags=aws_ecs.PropagatedTagSource.SERVICE,
            cloud_map_options=aws_ecs.CloudMapOptions(
                name=name, cloud_map_namespace=self._names, dns_ttl=Duration.seconds(10)
            )
            if named
            else None,
        )
        # Or the first task is started before it may read its secret, and counts as a failed deployment.
        service.node.add_dependency(task.obtain_execution_role())
        if name == "web" and self._entered_by_session:
            cast("aws_ecs.CfnService", service.node.find_child("Service")).enable_execute_command = True
        return service
