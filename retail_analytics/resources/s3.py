"""dagster-aws' S3 resource, with the product's own client behind it.

Its own ``get_client`` makes a boto3 session each time, which takes a third of a second, and Dagster calls it
for every step and every tick besides ours; nor has its client the timeouts that every remote call of the
product has. Not here: clients for code without Dagster (``clients.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster_aws.s3 import S3Resource

from retail_analytics.resources.clients import kept_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from retail_analytics.settings import Settings


class LakeS3Resource(S3Resource):
    """S3 where the lake is; endpoint and credentials come from the environment, as for every client.

    Attributes:
        region_name: The AWS region.
    """

    region_name: str

    @classmethod
    def of(cls, settings: Settings) -> LakeS3Resource:
        """The resource of a deployment."""
        return cls(region_name=settings.region)

    def get_client(self) -> S3Client:
        """This thread's client."""
        client: S3Client = kept_client("s3", self.region_name)
        return client
