"""Watch: alarms, a dashboard and a budget.

Every alarm says what to do first. What is about hours and records (late, missing, not reconciled) is
Dagster's to say, in its checks and freshness; here is what must be seen when Dagster itself is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Aws, Duration, Stack, aws_cloudwatch, aws_cloudwatch_actions, aws_iam
from aws_cdk import aws_sns_subscriptions as subscriptions

from infra.prefixes import errors_metric
from infra.stacks.budget import make_budget
from retail_analytics.feeds import FEEDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Construct

    from infra.environments import Environment
    from infra.stacks.ingest import IngestStack
    from infra.stacks.orchestration import OrchestrationStack
    from infra.stacks.search import SearchStack
    from retail_analytics.feeds import Feed

_Metric = aws_cloudwatch.Metric
_HANDLERS_METRICS = "RetailAnalytics/Search"  # as the handler writes them; a test compares the two
_FIVE_MINUTES = Duration.minutes(5)
_MISSING_IS_FINE = aws_cloudwatch.TreatMissingData.NOT_BREACHING
_MISSING_IS_BAD = aws_cloudwatch.TreatMissingData.BREACHING


class WatchStack(Stack):
    """Alarms, dashboard, budget."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        environment: Environment,
        ingest: IngestStack,
        search: SearchStack,
        orchestration: OrchestrationStack,
        *,
        feeds: Sequence[Feed] = FEEDS,
        **options: Any,
    ) -> None:
        """Make the stack."""
        super().__init__(scope, construct_id, **options)
        self._environment = environment
        self._ingest, self._search, self._orchestration = ingest, search, orchestration
        self._action = aws_cloudwatch_actions.SnsAction(orchestration.notices)
        self._dashboard = aws_cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=environment.settings.deployment
        )
        for feed in feeds:
            alarms = [*self._of_ingest(feed), *self._of_handler(feed)]
            self._show(feed.name, alarms)
        self._show("Dagster", self._of_dagster())
        self._show("Search domain", self._of_domain())
        self._let_in(environment)
        make_budget(self, environment, orchestration.notices)

    def _of_ingest(self, feed: Feed) -> list[aws_cloudwatch.Alarm]:
        queues = self._ingest.queues[feed.name]
        alarms = [
            self._alarm(
                f"{feed.name}-arrivals-dead",
                queues.dead.metric_approximate_number_of_messages_visible(period=_FIVE_MINUTES),
                1,
                "Messages of S3's that nobody could act upon. Read one in the queue; the slow sweep finds its"
                " hour meanwhile.",
            ),
            self._alarm(
                f"{feed.name}-arrivals-old",
                queues.arrivals.metric_approximate_age_of_oldest_message(period=_FIVE_MINUTES),
                1800,
                "The arrivals sensor has read nothing for half an hour. Is it stopped, is the daemon up?",
            ),
            self._alarm(
                f"{feed.name}-delivery-errors",
                _Metric(
                    namespace="AWS/S3",
                    metric_name="PutRequests",
                    dimensions_map={
                        "BucketName": self._environment.settings.bucket,
                        "FilterId": errors_metric(feed),
                    },
                    statistic="Sum",
                    period=_FIVE_MINUTES,
                ),
                1,
                "Firehose wrote below the error prefix what it could not deliver. Read the object there.",
            ),
        ]
        if feed.source in {"kinesis", "direct_put"}:
            freshness = _Metric(
                namespace="AWS/Firehose",
                metric_name="DeliveryToS3.DataFreshness",
                dimensions_map={"DeliveryStreamName": feed.stream},
                statistic="Maximum",
                period=_FIVE_MINUTES,
            )
            patience = 900 + feed.buffer_seconds
            told = "Firehose is late: hours will be compacted before they are whole. See its log."
            alarms.append(self._alarm(f"{feed.name}-delivery-late", freshness, patience, told, periods=2))
        if feed.name in self._ingest.streams:
            stream = self._ingest.streams[feed.name]
            alarms += [
                self._alarm(
                    f"{feed.name}-iterator-age",
                    stream.metric_get_records_iterator_age_milliseconds(
                        period=_FIVE_MINUTES, statistic="Maximum"
                    ),
                    15 * 60 * 1000,
                    "A reader of the stream is a quarter of an hour behind; records are lost when it is"
                    f" {feed.retention_hours} h behind.",
                    periods=2,
                ),
                self._alarm(
                    f"{feed.name}-throttled",
                    stream.metric_write_provisioned_throughput_exceeded(
                        period=_FIVE_MINUTES, statistic="Sum"
                    ),
                    1,
                    "The producer is throttled: more shards, or on demand.",
                    periods=3,
                ),
            ]
        return alarms

    def _of_handler(self, feed: Feed) -> list[aws_cloudwatch.Alarm]:
        handler = self._search.handlers.get(feed.name)
        if handler is None or feed.search is None:
            return []
        function = handler.function
        age = function.metric("IteratorAge", period=_FIVE_MINUTES, statistic="Maximum")
        undelivered = function.metric("DestinationDeliveryFailures", period=_FIVE_MINUTES, statistic="Sum")
        given_up = _Metric(
            namespace="AWS/Lambda",
            metric_name="OnFailureDestinationDeliveredEventCount",
            dimensions_map={"EventSourceMappingUUID": handler.mapping.ref},
            statistic="Sum",
            period=_FIVE_MINUTES,
        )
        dead = _Metric(
            namespace=_HANDLERS_METRICS,
            metric_name="Dead",
            dimensions_map={"Index": feed.search.alias},
            statistic="Sum",
            period=_FIVE_MINUTES,
        )
        return [
            self._alarm(
                f"{feed.name}-handler-errors",
                function.metric_errors(period=_FIVE_MINUTES),
                1,
                "The upsert handler raised. Its log says why; it is tried again, then set aside.",
                periods=3,
            ),
            self._alarm(
                f"{feed.name}-handler-behind",
                age,
                15 * 60 * 1000,
                "The upsert handler is a quarter of an hour behind the stream.",
                periods=2,
            ),
            self._alarm(
                f"{feed.name}-given-up",
                given_up,
                1,
                "Lambda gave up a batch; it lies below aws/lambda/ in the bucket. In a run's task,"
                " `retail-analytics replay-dead-letters` gives its records another chance.",
            ),
            self._alarm(
                f"{feed.name}-set-aside",
                dead,
                1,
                "Records that no index takes lie below dead-letters/ in the bucket, each with its reason."
                " Mend what it speaks of, then `retail-analytics replay-dead-letters` in a run's task.",
            ),
            self._alarm(
                f"{feed.name}-given-up-and-lost",
                undelivered,
                1,
                "Lambda gave up a batch and could not keep it. Re-index the day from the lake.",
            ),
        ]

    def _of_dagster(self) -> list[aws_cloudwatch.Alarm]:
        """A daemon without heartbeat fails its health check, and ECS replaces it: none is running."""
        alarms = []
        for name, service in self._orchestration.services.items():
            running = _Metric(
                namespace="ECS/ContainerInsights",
                metric_name="RunningTaskCount",
                dimensions_map={
                    "ClusterName": self._orchestration.cluster.cluster_name,
                    "ServiceName": service.service_name,
                },
                statistic="Minimum",
                period=_FIVE_MINUTES,
            )
            told = f"Dagster's {name} is not running, or has no heartbeat. Its log group says why."
            alarms.append(
                self._alarm(
                    f"dagster-{name}-down",
                    running,
                    1,
                    told,
                    periods=2,
                    below=True,
                    missing=_MISSING_IS_BAD,
                )
            )
        free = self._orchestration.database.metric_free_storage_space(period=_FIVE_MINUTES)
        told = "Dagster's database has less than 4 GiB left; see the retention in dagster.yaml."
        return [*alarms, self._alarm("dagster-database-full", free, 4 * 1024**3, told, below=True)]

    def _of_domain(self) -> list[aws_cloudwatch.Alarm]:
        def metric(name: str, statistic: str) -> aws_cloudwatch.Metric:
            dimensions = {"DomainName": self._search.domain_name, "ClientId": Aws.ACCOUNT_ID}
            return _Metric(
                namespace="AWS/ES",
                metric_name=name,
                dimensions_map=dimensions,
                statistic=statistic,
                period=_FIVE_MINUTES,
            )

        return [
            self._alarm(
                "search-red", metric("ClusterStatus.red", "Maximum"), 1, "A primary shard is missing."
            ),
            self._alarm(
                "search-full",
                metric("FreeStorageSpace", "Minimum"),
                self._environment.sizes.search_gibibytes * 1024 // 5,
                "Less than a fifth of a search node's disk is free.",
                below=True,
            ),
            self._alarm(
                "search-blocked",
                metric("ClusterIndexWritesBlocked", "Maximum"),
                1,
                "The search domain takes no writes; the handler's records wait in the stream.",
            ),
        ]

    def _alarm(
        self,
        name: str,
        metric: aws_cloudwatch.Metric,
        threshold: float,
        what_to_do: str,
        *,
        periods: int = 1,
        below: bool = False,
        missing: aws_cloudwatch.TreatMissingData = _MISSING_IS_FINE,
    ) -> aws_cloudwatch.Alarm:
        comparison = aws_cloudwatch.ComparisonOperator
        alarm = aws_cloudwatch.Alarm(
            self,
            name,
            alarm_name=f"{self._environment.settings.deployment}-{name}",
            alarm_description=what_to_do,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=(
                comparison.LESS_THAN_THRESHOLD if below else comparison.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
            ),
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)
        return alarm

    def _show(self, title: str, alarms: Sequence[aws_cloudwatch.Alarm]) -> None:
        """A row of the dashboard: how things stand, then each figure with its threshold."""
        self._dashboard.add_widgets(
            aws_cloudwatch.AlarmStatusWidget(title=title, alarms=list(alarms), width=24, height=3)
        )
        self._dashboard.add_widgets(
            *(
                aws_cloudwatch.AlarmWidget(title=alarm.node.id, alarm=alarm, width=6, height=5)
                for alarm in alarms
            )
        )

    def _let_in(self, environment: Environment) -> None:
        if environment.alarm_email:
            self._orchestration.notices.add_subscription(
                subscriptions.EmailSubscription(environment.alarm_email)
            )
        for service in ("cloudwatch.amazonaws.com", "budgets.amazonaws.com"):
            self._orchestration.notices.add_to_resource_policy(
                aws_iam.PolicyStatement(
                    principals=[aws_iam.ServicePrincipal(service)],
                    actions=["sns:Publish"],
                    resources=[self._orchestration.notices.topic_arn],
                    conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
                )
            )
