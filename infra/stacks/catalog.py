"""Catalog: the database, the feeds' tables and crawlers, and the workgroups that query them.

The tables are those that the pipeline itself ensures, from the same generator, so that neither changes what
the other made. Not here: partitions, which are the pipeline's alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_cdk import Aws, CfnResource, Stack, Tags, aws_athena, aws_glue

from infra import access
from infra.prefixes import RESULTS
from retail_analytics import feeds as feeds_package
from retail_analytics.feeds import FEEDS
from retail_analytics.lake.tables import all_tables, raw_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_iam
    from constructs import Construct

    from infra.environments import Environment
    from infra.stacks.ingest import IngestStack
    from retail_analytics.feeds import Feed

_FOLDERS = Path(feeds_package.__file__).parent


class CatalogStack(Stack):
    """Database, tables, crawlers, workgroups, named queries.

    Attributes:
        analysts: The name of the analysts' workgroup.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        environment: Environment,
        ingest: IngestStack,
        *,
        feeds: Sequence[Feed] = FEEDS,
        query_folders: Path = _FOLDERS,
        **options: Any,
    ) -> None:
        """Make the stack; named queries are the files ``QUERY_FOLDERS/FEED/queries/*.sql``."""
        super().__init__(scope, construct_id, **options)
        self._environment = environment
        self._settings = environment.settings
        self._ingest = ingest
        self.analysts = f"{self._settings.workgroup}-analysts"
        self._database = aws_glue.CfnDatabase(
            self,
            "Database",
            catalog_id=Aws.ACCOUNT_ID,
            database_input=aws_glue.CfnDatabase.DatabaseInputProperty(
                name=self._settings.database, description="The feeds' tables, raw, compacted and processed"
            ),
        )
        self._database.apply_removal_policy(environment.data_removal)
        self._workgroup("Pipeline", self._settings.workgroup, for_pipeline=True)
        analysts = self._workgroup("Analysts", self.analysts, for_pipeline=False)
        for feed in feeds:
            self._tables(feed)
            self._crawler(feed)
            for file in sorted((query_folders / feed.name / "queries").glob("*.sql")):
                self._named_query(feed, file, analysts)

        access.of_people(
            self,
            "AnalystsMay",
            f"{self._settings.deployment}-analysts",
            "Query the feeds' tables in the analysts' workgroup; for a group or a permission set",
            self._analysts_may(feeds),
        )

    def _analysts_may(self, feeds: Sequence[Feed]) -> list[aws_iam.PolicyStatement]:
        """Reads what tables are made of, and writes results of its own; never the pipeline's."""
        settings = self._settings
        own = f"{RESULTS}analysts/"
        reads = (*(feed.raw_root for feed in feeds), "compacted/", "processed/", "rejects/", own)
        return [
            access.may_query(self.analysts),
            access.allow(
                ["athena:ListNamedQueries", "athena:BatchGetNamedQuery", "athena:GetNamedQuery"],
                [access.arn("athena", f"workgroup/{self.analysts}")],
            ),
            *access.may_begin_queries(),
            access.allow(
                access.READ_CATALOG,
                catalog_arns(self._environment, "*"),
            ),
            access.may_list(settings, *reads),
            access.may_read(settings, *reads),
            access.may_write(settings, own),
            access.allow(
                ["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"], [access.bucket_arn(settings)]
            ),
            access.may_use_key(self._ingest.key.key_arn, write=True),
        ]

    def _tables(self, feed: Feed) -> None:
        for table in all_tables(feed, self._settings):
            made = CfnResource(
                self,
                f"table-{table.name}",
                type="AWS::Glue::Table",
                properties={
                    "CatalogId": Aws.ACCOUNT_ID,
                    "DatabaseName": self._settings.database,
                    "TableInput": table.table_input(),
                },
            )
            # A table's partitions say which objects are published; prod keeps them with the objects.
            made.apply_removal_policy(self._environment.data_removal)
            made.add_resource_dependency(self._database)

    def _crawler(self, feed: Feed) -> None:
        """It reports what the declaration does not know; it owns no schema, and looks where S3 says."""
        table = raw_table(feed, self._settings)
        queues = self._ingest.queues[feed.name]
        role = access.actor(
            self,
            f"{feed.name}-crawler-role",
            "glue.amazonaws.com",
            f"Looks at the raw hours of {feed.name}",
            [
                access.may_read(self._settings, feed.raw_root),
                # A crawler also lists the folder by its name, without the slash.
                access.may_list(self._settings, feed.raw_root.rstrip("/")),
                access.allow(["s3:GetBucketLocation"], [access.bucket_arn(self._settings)]),
                access.may_use_key(self._ingest.key.key_arn, write=False),
                access.allow(
                    [
                        "glue:BatchCreatePartition",
                        "glue:BatchGetPartition",
                        "glue:CreatePartition",
                        "glue:GetDatabase",
                        "glue:GetPartition",
                        "glue:GetPartitions",
                        "glue:GetTable",
                        "glue:GetTables",
                        "glue:UpdatePartition",
                        "glue:UpdateTable",
                    ],
                    catalog_arns(self._environment, table.name),
                ),
                access.allow(
                    [
                        "sqs:DeleteMessage",
                        "sqs:GetQueueAttributes",
                        "sqs:GetQueueUrl",
                        "sqs:ListDeadLetterSourceQueues",
                        "sqs:ListQueueTags",
                        "sqs:PurgeQueue",
                        "sqs:ReceiveMessage",
                        "sqs:SetQueueAttributes",
                    ],
                    [queues.crawler.queue_arn],
                ),
                access.allow(
                    ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                    [access.arn("logs", "log-group:/aws-glue/crawlers*")],
                ),
            ],
        )
        glue = aws_glue.CfnCrawler
        crawler = glue(
            self,
            f"{feed.name}-crawler",
            name=self._settings.crawler(feed.name),
            role=role.role_arn,
            targets=glue.TargetsProperty(
                catalog_targets=[
                    glue.CatalogTargetProperty(
                        database_name=self._settings.database,
                        tables=[table.name],
                        event_queue_arn=queues.crawler.queue_arn,
                    )
                ]
            ),
            recrawl_policy=glue.RecrawlPolicyProperty(recrawl_behavior="CRAWL_EVENT_MODE"),
            schema_change_policy=glue.SchemaChangePolicyProperty(
                update_behavior="LOG", delete_behavior="LOG"
            ),
        )
        crawler.node.add_dependency(self.node.find_child(f"table-{table.name}"))

    def _workgroup(self, name: str, workgroup: str, *, for_pipeline: bool) -> aws_athena.CfnWorkGroup:
        """A workgroup; the analysts' enforces its settings.

        The pipeline's must not: Athena then refuses ``external_location`` to CTAS. Its client names the
        result location itself, and the bucket encrypts by default.
        """
        sizes = self._environment.sizes
        athena = aws_athena.CfnWorkGroup
        encryption = athena.EncryptionConfigurationProperty(
            encryption_option="SSE_KMS", kms_key=self._ingest.key.key_arn
        )
        location = self._settings.results_location + ("" if for_pipeline else "analysts/")
        made = athena(
            self,
            name,
            name=workgroup,
            description="Compaction and processed tables" if for_pipeline else "People's queries",
            recursive_delete_option=not self._environment.keeps_data,
            work_group_configuration=athena.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=not for_pipeline,
                publish_cloud_watch_metrics_enabled=True,
                bytes_scanned_cutoff_per_query=(
                    sizes.pipeline_cutoff_bytes if for_pipeline else sizes.scan_cutoff_bytes
                ),
                engine_version=athena.EngineVersionProperty(
                    selected_engine_version="Athena engine version 3"
                ),
                result_configuration=athena.ResultConfigurationProperty(
                    output_location=location, encryption_configuration=encryption
                ),
            ),
        )
        Tags.of(made).add("cost", workgroup)
        return made

    def _named_query(self, feed: Feed, file: Path, workgroup: aws_athena.CfnWorkGroup) -> None:
        """A query of people's, saved under its file's name; its first comment line is its description."""
        text = file.read_text()
        first = text.splitlines()[0] if text else ""
        query = aws_athena.CfnNamedQuery(
            self,
            f"query-{feed.name}-{file.stem}",
            name=f"{feed.name}: {file.stem}",
            description=first.removeprefix("--").strip() if first.startswith("--") else None,
            database=self._settings.database,
            query_string=text,
            work_group=workgroup.name,
        )
        query.add_resource_dependency(workgroup)


def catalog_arns(environment: Environment, *tables: str) -> list[str]:
    """The catalog, the database and these tables of it: Glue asks for all three."""
    database = environment.settings.database
    return [
        access.arn("glue", "catalog"),
        access.arn("glue", f"database/{database}"),
        *(access.arn("glue", f"table/{database}/{table}") for table in tables),
    ]
