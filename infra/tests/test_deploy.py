"""The stacks on an emulator: deployed, looked at through boto3, deployed again, destroyed.

It proves that the templates deploy in order and make what they say; not that AWS's own checks pass.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from infra.environments import settings_of
from infra.teardown import teardown
from infra.tests.conftest import Synthesised
from infra.tests.emulator import ACCOUNT, REFUSED, REGION, Emulator, pruned, running
from retail_analytics.feeds import FEEDS
from retail_analytics.lake.tables import all_tables
from retail_analytics.settings import Settings

pytestmark = pytest.mark.skipif(
    "MINISTACK_PYTHON" not in os.environ,
    reason="MINISTACK_PYTHON names no interpreter; `make test-infra-deploy` does",
)

PARTS = ("network", "ingest", "catalog", "search")
FEED = FEEDS[0]


def _settings() -> Settings:
    """The settings of dev, with the emulator's account and region in place of tokens."""
    found = settings_of("dev", {})
    bucket = f"{found.deployment}-{ACCOUNT}-{REGION}"
    return Settings(deployment=found.deployment, bucket=bucket, region=REGION)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running(tmp_path_factory.mktemp("emulator")) as found:
        yield found


@pytest.fixture(scope="module")
def templates(dev: Synthesised) -> dict[str, dict[str, Any]]:
    return {part: pruned(copy.deepcopy(dev.templates[part]))[0] for part in PARTS}


@pytest.fixture(scope="module")
def before(emulator: Emulator) -> dict[str, list[str]]:
    return inventory(emulator)


@pytest.fixture(scope="module")
def deployed(
    emulator: Emulator, before: dict[str, list[str]], dev: Synthesised, templates: dict[str, dict[str, Any]]
) -> Emulator:
    emulator.upload_assets(dev.folder)
    for part in PARTS:
        assert emulator.deploy(f"{_settings().deployment}-{part}", templates[part]), part
    return emulator


def inventory(emulator: Emulator) -> dict[str, list[str]]:
    """What there is, by kind; the bootstrap's asset bucket aside."""
    listed = {
        "buckets": [
            b["Name"] for b in emulator.client("s3").list_buckets()["Buckets"] if "cdk-" not in b["Name"]
        ],
        "topics": [t["TopicArn"] for t in emulator.client("sns").list_topics()["Topics"]],
        "queues": emulator.client("sqs").list_queues().get("QueueUrls", []),
        "streams": emulator.client("kinesis").list_streams()["StreamNames"],
        "deliveries": emulator.client("firehose").list_delivery_streams()["DeliveryStreamNames"],
        "databases": [d["Name"] for d in emulator.client("glue").get_databases()["DatabaseList"]],
        "crawlers": [c["Name"] for c in emulator.client("glue").get_crawlers()["Crawlers"]],
        "workgroups": [w["Name"] for w in emulator.client("athena").list_work_groups()["WorkGroups"]],
        "functions": [f["FunctionName"] for f in emulator.client("lambda").list_functions()["Functions"]],
        "domains": [
            d["DomainName"] for d in emulator.client("opensearch").list_domain_names()["DomainNames"]
        ],
        "roles": [r["RoleName"] for r in emulator.client("iam").list_roles()["Roles"]],
        "log groups": [g["logGroupName"] for g in emulator.client("logs").describe_log_groups()["logGroups"]],
        "vpcs": [v["VpcId"] for v in emulator.client("ec2").describe_vpcs()["Vpcs"]],
    }
    return {kind: sorted(names) for kind, names in listed.items()}


def test_what_is_left_out_is_what_the_emulator_refuses(dev: Synthesised) -> None:
    """Ingest, catalog and search deploy whole; of the network, ways out and rules between groups do not."""
    gone = {part: pruned(copy.deepcopy(dev.templates[part]))[1] for part in PARTS}
    assert {part: types for part, types in gone.items() if types and part != "network"} == {}
    assert set(gone["network"].values()) == {*REFUSED, "AWS::EC2::Route"}
    assert not [name for name in gone["network"] if "IGW" in name]


def test_refused_types_are_refused(emulator: Emulator) -> None:
    """The list is no longer than need be: an emulator that learns a type makes this fail."""
    for number, type_ in enumerate(sorted(REFUSED)):
        name = f"refused-{number}"
        with pytest.raises(Exception, match=r"Waiter|Unsupported|not supported|Unknown|Unrecognized"):
            emulator.deploy(name, {"Resources": {"One": {"Type": type_, "Properties": {}}}})
        emulator.client("cloudformation").delete_stack(StackName=name)


def test_bucket_tells_the_topic(deployed: Emulator) -> None:
    s3 = deployed.client("s3")
    found = s3.get_bucket_notification_configuration(Bucket=_settings().bucket)["TopicConfigurations"]
    assert {each["TopicArn"].rsplit(":", 1)[1] for each in found} == {_settings().arrivals_topic}
    assert len(found) == 2 * len(FEEDS)
    block = s3.get_public_access_block(Bucket=_settings().bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}


def test_an_object_reaches_both_queues(deployed: Emulator) -> None:
    """The emulator's filter on message bodies sees no list (`Records` is one), so it is taken off for this.

    The bucket's own prefixes stay: what lies elsewhere is told to nobody.
    """
    sns = deployed.client("sns")
    for each in sns.list_subscriptions()["Subscriptions"]:
        sns.set_subscription_attributes(
            SubscriptionArn=each["SubscriptionArn"], AttributeName="FilterPolicy", AttributeValue="{}"
        )
    key = f"{FEED.raw_root}year=2026/month=01/day=31/hour=08/object"
    deployed.client("s3").put_object(Bucket=_settings().bucket, Key=key, Body=b"{}\n")
    deployed.client("s3").put_object(Bucket=_settings().bucket, Key="compacted/elsewhere", Body=b"-")
    sqs = deployed.client("sqs")
    for name in (_settings().arrivals_queue(FEED.name), _settings().crawler_queue(FEED.name)):
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        keys = []
        for _ in range(5):
            for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10).get(
                "Messages", []
            ):
                records = json.loads(message["Body"]).get("Records", [])
                keys += [record["s3"]["object"]["key"] for record in records]
        assert {re.sub("%3D", "=", each) for each in keys} == {key}


def test_streams_and_deliveries(deployed: Emulator) -> None:
    stream = deployed.client("kinesis").describe_stream_summary(StreamName=FEED.stream)[
        "StreamDescriptionSummary"
    ]
    assert stream["OpenShardCount"] == 1
    delivery = deployed.client("firehose").describe_delivery_stream(DeliveryStreamName=FEED.stream)
    described = delivery["DeliveryStreamDescription"]
    assert described["DeliveryStreamType"] == "KinesisStreamAsSource"
    target = described["Destinations"][0]["ExtendedS3DestinationDescription"]
    assert target["Prefix"] == FEED.prefix


def test_tables_and_crawler(deployed: Emulator) -> None:
    glue = deployed.client("glue")
    found = {
        table["Name"]: table for table in glue.get_tables(DatabaseName=_settings().database)["TableList"]
    }
    wanted = {table.name: table for feed in FEEDS for table in all_tables(feed, _settings())}
    assert set(found) == set(wanted)
    for name, table in wanted.items():
        made = found[name]["StorageDescriptor"]
        assert made["Location"] == table.location
        assert [(c["Name"], c["Type"], c.get("Comment")) for c in made["Columns"]] == list(table.columns)
    crawler = glue.get_crawler(Name=f"{FEED.name}-raw")["Crawler"]
    assert crawler["Targets"]["CatalogTargets"][0]["Tables"] == [FEED.name]


def test_workgroups(deployed: Emulator) -> None:
    athena = deployed.client("athena")
    pipeline = athena.get_work_group(WorkGroup=_settings().workgroup)["WorkGroup"]["Configuration"]
    assert pipeline["ResultConfiguration"]["OutputLocation"] == _settings().results_location
    assert pipeline["EnforceWorkGroupConfiguration"] is False


def test_handler_on_its_stream(deployed: Emulator) -> None:
    client = deployed.client("lambda")
    (function,) = client.list_functions()["Functions"]
    variables = function["Environment"]["Variables"]
    assert variables["DEAD_LETTER_BUCKET"] == _settings().bucket
    assert variables["ES_HOST"].startswith("https://")
    (mapping,) = client.list_event_source_mappings(FunctionName=function["FunctionName"])[
        "EventSourceMappings"
    ]
    assert mapping["EventSourceArn"].endswith(f"stream/{FEED.stream}")
    assert mapping["BisectBatchOnFunctionError"] is True


def test_second_deploy_changes_nothing(deployed: Emulator, templates: dict[str, dict[str, Any]]) -> None:
    there = inventory(deployed)
    changed = [part for part in PARTS if deployed.deploy(f"{_settings().deployment}-{part}", templates[part])]
    assert changed == []
    assert inventory(deployed) == there


def test_destroy_leaves_nothing(deployed: Emulator, before: dict[str, list[str]]) -> None:
    deployed.client("s3").put_object(Bucket=_settings().bucket, Key="compacted/late", Body=b"-")
    clients = deployed.client("cloudformation"), deployed.client("s3"), deployed.client("logs")
    gone = teardown(_settings().deployment, *clients, say=lambda _: None)
    assert gone == [f"{_settings().deployment}-{part}" for part in reversed(PARTS)]
    assert inventory(deployed) == before
    assert teardown(_settings().deployment, *clients, say=lambda _: None) == []
