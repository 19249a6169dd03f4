"""The search domain, as an opensearch-py client."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from dagster import ConfigurableResource
from opensearchpy import OpenSearch, Urllib3AWSV4SignerAuth, Urllib3HttpConnection

if TYPE_CHECKING:
    from retail_analytics.settings import Settings


class OpenSearchResource(ConfigurableResource):  # type: ignore[type-arg]
    """The search domain.

    Attributes:
        url: ``http(s)://host[:port]``. A domain of the OpenSearch Service is signed for with the
            caller's AWS credentials; any other server takes ``OPENSEARCH_USERNAME`` and
            ``OPENSEARCH_PASSWORD`` from the environment, where they are set.
        region: The AWS region, for the signature.
        timeout_seconds: How long one request may take.
    """

    url: str
    region: str
    timeout_seconds: float = 30.0

    @classmethod
    def of(cls, settings: Settings) -> OpenSearchResource:
        """The resource of a deployment."""
        return cls(url=settings.opensearch_url, region=settings.region)

    def client(self) -> OpenSearch:
        """A new client; certificates are checked on https."""
        return OpenSearch(
            hosts=[self.url],
            http_auth=self._authentication(),
            connection_class=Urllib3HttpConnection,
            timeout=self.timeout_seconds,
            max_retries=3,
            retry_on_timeout=True,
        )

    def _authentication(self) -> Any:
        if (urlsplit(self.url).hostname or "").endswith(".amazonaws.com"):
            credentials = boto3.session.Session(region_name=self.region).get_credentials()
            return Urllib3AWSV4SignerAuth(credentials, self.region, "es")
        user, password = os.environ.get("OPENSEARCH_USERNAME"), os.environ.get("OPENSEARCH_PASSWORD")
        return (user, password) if user and password else None
