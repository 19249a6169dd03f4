"""What the stacks make, read from the templates, and that it is what feeds and settings say."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from infra.app import Platform
from infra.environments import ContextError, environment, settings_of, variables
from infra.stacks.catalog import CatalogStack
from infra.stacks.ingest import IngestStack
from infra.teardown import PARTS
from infra.tests.conftest import CERTIFICATE, Synthesised
from retail_analytics.feeds import FEEDS
from retail_analytics.lake.tables import all_tables
from retail_analytics.search.environment import handler_environment
from retail_analytics.settings import Settings, arrivals_filter

_DATA = {
    "AWS::Glue::Database": "catalog",
    "AWS::Glue::Table": "catalog",
    "AWS::KMS::Key": "ingest",
    "AWS::Kinesis::Stream": "ingest",
    "AWS::OpenSearchService::Domain": "search",
    "AWS::S3::Bucket": "ingest",
}


def _texts(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def test_every_bucket_is_private_encrypted_and_takes_tls_alone(either: Synthesised) -> None:
    buckets = either.resources("ingest", "AWS::S3::Bucket")
    policies = either.resources("ingest", "AWS::S3::BucketPolicy").values()
    refused = {
        policy["Properties"]["Bucket"]["Ref"]
        for policy in policies
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Principal"] == {"AWS": "*"}
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    assert refused == set(buckets)
    for bucket in buckets.values():
        properties = bucket["Properties"]
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]


def test_lake_is_under_the_deployments_key_and_no_rule_expires_data(either: Synthesised) -> None:
    buckets = either.resources("ingest", "AWS::S3::Bucket").values()
    (lake,) = [each["Properties"] for each in buckets if "NotificationConfiguration" in each["Properties"]]
    (rule,) = lake["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert rule["BucketKeyEnabled"] is True
    expired = {
        each.get("Prefix") for each in lake["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in each
    }
    kept = {"compacted/", "processed/", "rejects/", *(feed.raw_root for feed in FEEDS)}
    assert not expired & {None, "", *kept}
    assert lake.get("VersioningConfiguration") == ({"Status": "Enabled"} if either.name == "prod" else None)


def test_data_is_kept_in_prod_and_goes_with_dev(dev: Synthesised, prod: Synthesised) -> None:
    for type_, part in _DATA.items():
        for name, resource in dev.resources(part, type_).items():
            assert resource.get("DeletionPolicy", "Delete") == "Delete", name
        for name, resource in prod.resources(part, type_).items():
            assert resource.get("DeletionPolicy") == "Retain", name
    (database,) = prod.resources("orchestration", "AWS::RDS::DBInstance").values()
    assert database["DeletionPolicy"] == "Snapshot"
    assert database["Properties"]["DeletionProtection"] is True


def test_dev_leaves_nothing(dev: Synthesised) -> None:
    leftovers = [
        (part, name)
        for part, template in dev.templates.items()
        for name, resource in template["Resources"].items()
        if resource.get("DeletionPolicy", "Delete") != "Delete"
    ]
    assert leftovers == []


def test_news_goes_from_the_bucket_over_one_topic_to_each_feeds_queues(either: Synthesised) -> None:
    settings = settings_of(either.name, {})
    assert either.one("ingest", "AWS::SNS::Topic")["TopicName"] == settings.arrivals_topic
    names = {
        each["Properties"]["QueueName"] for each in either.resources("ingest", "AWS::SQS::Queue").values()
    }
    assert names == {
        name
        for feed in FEEDS
        for name in (
            settings.arrivals_queue(feed.name),
            settings.dead_arrivals_queue(feed.name),
            settings.crawler_queue(feed.name),
        )
    }
    subscriptions = [
        each["Properties"] for each in either.resources("ingest", "AWS::SNS::Subscription").values()
    ]
    assert len(subscriptions) == 2 * len(FEEDS)
    policies = [each["FilterPolicy"] for each in subscriptions]
    assert sorted(map(_texts, policies)) == sorted(
        _texts(arrivals_filter(feed.raw_root)) for feed in FEEDS for _ in "ab"
    )
    assert {each["FilterPolicyScope"] for each in subscriptions} == {"MessageBody"}
    lake = [b for b in either.resources("ingest", "AWS::S3::Bucket").values() if "DependsOn" in b]
    assert [
        each["Type"] for b in lake for each in [either.templates["ingest"]["Resources"][b["DependsOn"][0]]]
    ] == ["AWS::SNS::TopicPolicy"], "S3 refuses a topic that does not let it in yet"


def test_streams_and_deliveries_are_the_feeds(either: Synthesised) -> None:
    for feed in FEEDS:
        if feed.source == "files":
            continue
        found = either.resources("ingest", "AWS::KinesisFirehose::DeliveryStream").values()
        (delivery,) = [d["Properties"] for d in found if d["Properties"]["DeliveryStreamName"] == feed.stream]
        target = delivery["ExtendedS3DestinationConfiguration"]
        assert target["Prefix"] == feed.prefix
        assert target["ErrorOutputPrefix"] == feed.error_prefix
        assert target["BufferingHints"] == {
            "IntervalInSeconds": feed.buffer_seconds,
            "SizeInMBs": feed.buffer_mebibytes,
        }
        assert target["CompressionFormat"] == "UNCOMPRESSED"
    stream = either.one("ingest", "AWS::Kinesis::Stream")
    assert stream["StreamEncryption"]["EncryptionType"] == "KMS"
    assert stream["StreamModeDetails"]["StreamMode"] == (
        "PROVISIONED" if either.name == "dev" else "ON_DEMAND"
    )


def test_tables_are_those_that_the_pipeline_ensures(either: Synthesised) -> None:
    found = {
        each["Properties"]["TableInput"]["Name"]: each["Properties"]["TableInput"]
        for each in either.resources("catalog", "AWS::Glue::Table").values()
    }
    wanted = {table.name: table for feed in FEEDS for table in all_tables(feed, Settings(bucket="BUCKET"))}
    assert set(found) == set(wanted)
    for name, table in wanted.items():
        mine = dict(table.table_input())
        theirs = dict(found[name])
        location = theirs["StorageDescriptor"] | {"Location": None}
        assert location == dict(mine["StorageDescriptor"]) | {"Location": None}  # type: ignore[call-overload]
        assert theirs["PartitionKeys"] == mine["PartitionKeys"]
        assert theirs.get("Description") == mine["Description"]
        suffix = str(table.location).removeprefix("s3://BUCKET")
        assert _texts(theirs["StorageDescriptor"]["Location"]).rstrip('"]}').endswith(suffix)


def test_crawlers_report_and_own_nothing(either: Synthesised) -> None:
    crawler = either.one("catalog", "AWS::Glue::Crawler")
    assert crawler["SchemaChangePolicy"] == {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"}
    assert crawler["RecrawlPolicy"] == {"RecrawlBehavior": "CRAWL_EVENT_MODE"}
    assert "EventQueueArn" in crawler["Targets"]["CatalogTargets"][0]


def test_the_pipelines_workgroup_leaves_locations_to_ctas(either: Synthesised) -> None:
    groups = {
        each["Properties"]["Name"]: each["Properties"]
        for each in either.resources("catalog", "AWS::Athena::WorkGroup").values()
    }
    pipeline, analysts = groups["retail-analytics"], groups["retail-analytics-analysts"]
    assert pipeline["WorkGroupConfiguration"]["EnforceWorkGroupConfiguration"] is False
    assert analysts["WorkGroupConfiguration"]["EnforceWorkGroupConfiguration"] is True
    for group in (pipeline, analysts):
        configuration = group["WorkGroupConfiguration"]
        assert configuration["BytesScannedCutoffPerQuery"] > 0
        assert (
            configuration["ResultConfiguration"]["EncryptionConfiguration"]["EncryptionOption"] == "SSE_KMS"
        )
        assert {"Key": "cost", "Value": group["Name"]} in group["Tags"]


def test_queries_of_a_feed_are_saved_for_the_analysts(tmp_path: Path) -> None:
    folder = tmp_path / FEEDS[0].name / "queries"
    folder.mkdir(parents=True)
    (folder / "yesterday.sql").write_text("-- What yesterday sold.\nSELECT 1\n")
    app = App()
    where = environment(lambda _: None)
    ingest = IngestStack(app, "ingest", where)
    stack = CatalogStack(app, "catalog", where, ingest, query_folders=tmp_path)
    template = app.synth().get_stack_by_name(stack.stack_name).template
    (query,) = [
        r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::Athena::NamedQuery"
    ]
    assert query["Name"] == f"{FEEDS[0].name}: yesterday"
    assert query["Description"] == "What yesterday sold."
    assert query["WorkGroup"] == "retail-analytics-analysts"


def test_search_domain_is_closed(either: Synthesised) -> None:
    domain = either.one("search", "AWS::OpenSearchService::Domain")
    assert domain["DomainEndpointOptions"]["EnforceHTTPS"] is True
    assert domain["DomainEndpointOptions"]["TLSSecurityPolicy"].startswith("Policy-Min-TLS-1-2")
    assert domain["EncryptionAtRestOptions"]["Enabled"] is True
    assert domain["NodeToNodeEncryptionOptions"] == {"Enabled": True}
    assert len(domain["VPCOptions"]["SubnetIds"]) == (2 if either.name == "prod" else 1)
    assert set(domain["LogPublishingOptions"]) == {
        "SEARCH_SLOW_LOGS",
        "INDEX_SLOW_LOGS",
        "ES_APPLICATION_LOGS",
    }
    rules = either.resources("network", "AWS::EC2::SecurityGroupIngress").values()
    groups = [group for name, group in either.resources("network", "AWS::EC2::SecurityGroup").items()]
    to_search = [r["Properties"] for r in rules if "Search" in _texts(r["Properties"]["GroupId"])]
    assert len(to_search) == 2
    assert {(rule["FromPort"], rule["ToPort"]) for rule in to_search} == {(443, 443)}
    opened = [g for g in groups if "0.0.0.0/0" in _texts(g["Properties"].get("SecurityGroupIngress", []))]
    assert len(opened) == (1 if either.name == "prod" else 0), "only the load balancer is open to the world"


def test_handler_has_the_feeds_environment_and_its_mapping_has_limits(either: Synthesised) -> None:
    function = either.one("search", "AWS::Lambda::Function")
    found = function["Environment"]["Variables"]
    wanted = handler_environment(FEEDS[0], Settings())
    assert set(found) == set(wanted)
    placed = {"ES_HOST", "REGION_NAME", "DEAD_LETTER_BUCKET"}
    assert {k: v for k, v in found.items() if k not in placed} == {
        k: v for k, v in wanted.items() if k not in placed
    }
    mapping = either.one("search", "AWS::Lambda::EventSourceMapping")
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["MaximumRetryAttempts"] >= 0
    assert mapping["MaximumRecordAgeInSeconds"] == FEEDS[0].retention_hours * 3600
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert "Lake" in _texts(mapping["DestinationConfig"]["OnFailure"]["Destination"])


def test_one_daemon_at_a_time(either: Synthesised) -> None:
    for name, service in either.resources("orchestration", "AWS::ECS::Service").items():
        configuration = service["Properties"]["DeploymentConfiguration"]
        limits = (configuration["MinimumHealthyPercent"], configuration["MaximumPercent"])
        assert limits == ((0, 100) if name.startswith("daemon") else (100, 200)), name


def test_tasks_get_the_settings_variables(either: Synthesised) -> None:
    tasks = either.resources("orchestration", "AWS::ECS::TaskDefinition")
    assert len(tasks) == 4
    for name, task in tasks.items():
        (container,) = task["Properties"]["ContainerDefinitions"]
        names = {each["Name"] for each in container["Environment"]}
        assert names >= set(variables(Settings())), name
        assert ("DAGSTER_RUN_TASK_DEFINITION" in names) != name.startswith("run")


def test_people_sign_in_before_they_reach_the_web_server(prod: Synthesised) -> None:
    listeners = [
        r["Properties"]
        for r in prod.resources("orchestration", "AWS::ElasticLoadBalancingV2::Listener").values()
    ]
    for listener in listeners:
        first = min(listener["DefaultActions"], key=lambda action: action.get("Order", 0))
        assert first["Type"] in {"authenticate-cognito", "redirect"}
    pool = prod.one("orchestration", "AWS::Cognito::UserPool")
    assert pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
    assert pool["MfaConfiguration"] == "ON"


def test_without_a_name_nothing_is_open(dev: Synthesised) -> None:
    assert dev.resources("orchestration", "AWS::ElasticLoadBalancingV2::LoadBalancer") == {}
    services = dev.resources("orchestration", "AWS::ECS::Service")
    entered = [name for name, one in services.items() if one["Properties"].get("EnableExecuteCommand")]
    assert len(entered) == 1
    assert entered[0].startswith("web")


def test_alarms_say_what_to_do_and_tell_somebody(either: Synthesised) -> None:
    alarms = [each["Properties"] for each in either.resources("watch", "AWS::CloudWatch::Alarm").values()]
    metrics = {alarm["MetricName"] for alarm in alarms}
    assert metrics >= {
        "GetRecords.IteratorAgeMilliseconds", "DeliveryToS3.DataFreshness", "PutRequests", "Errors", "IteratorAge",
        "ApproximateNumberOfMessagesVisible", "RunningTaskCount", "DestinationDeliveryFailures",
    }  # fmt: skip
    for alarm in alarms:
        assert len(alarm["AlarmDescription"]) > 20
        assert alarm["AlarmActions"]
    down = [alarm for alarm in alarms if alarm["MetricName"] == "RunningTaskCount"]
    assert {alarm["TreatMissingData"] for alarm in down} == {"breaching"}
    assert either.one("watch", "AWS::Budgets::Budget")["NotificationsWithSubscribers"]
    mails = list(either.resources("orchestration", "AWS::SNS::Subscription").values())
    mails += list(either.resources("watch", "AWS::SNS::Subscription").values())
    assert len(mails) == (1 if either.name == "prod" else 0)


def test_variables_are_read_back_as_the_same_settings() -> None:
    settings = Settings.from_env(
        {
            "RETAIL_FIRST_HOUR": "retail_trans=2026-01-31T08",
            "RETAIL_LAST_HOUR": "retail_trans=2026-02-28T17",
            "RETAIL_GRACE_SECONDS": "7",
            "RETAIL_NOTIFICATIONS": "off",
        }
    )
    assert Settings.from_env(variables(settings)) == settings


def test_every_setting_has_its_variable() -> None:
    """A setting that joins later must reach the tasks; those that are not variables are named here."""
    changed = {"usd_per_tebibyte", "notify_topic_arn", "notify_webhook"}
    assert len(variables(Settings())) == len([f for f in fields(Settings) if f.name not in changed])


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"env": "test"}, "there are: dev, prod"),
        ({"hostname": "dagster.example.com"}, "go together"),
        ({"certificateArn": CERTIFICATE}, "go together"),
    ],
)
def test_context_that_cannot_be_used_is_refused(context: dict[str, str], message: str) -> None:
    with pytest.raises(ContextError, match=message):
        environment(context.get)


def test_teardown_knows_every_stack_in_order() -> None:
    assert tuple(field.name for field in fields(Platform)) == PARTS


def test_stacks_stay_below_cloudformations_limits(either: Synthesised) -> None:
    for part, template in either.templates.items():
        assert len(template["Resources"]) < 400, part
        assert len(json.dumps(template)) < 900_000, part
