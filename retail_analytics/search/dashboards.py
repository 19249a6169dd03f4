"""Importing saved objects into OpenSearch Dashboards, through its API.

Not here: what is imported (``saved_objects.py``).
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import urllib3
from opensearchpy import Urllib3AWSV4SignerAuth
from urllib3.filepost import encode_multipart_formdata

from retail_analytics.search.saved_objects import to_ndjson

if TYPE_CHECKING:
    from retail_analytics.search.saved_objects import SavedObject

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_TIMEOUT = urllib3.Timeout(connect=5.0, read=60.0)
_PATH = "/api/saved_objects/_import?overwrite=true"


class DashboardsError(RuntimeError):
    """Dashboards did not take the saved objects; the message says why."""


def import_objects(url: str, region: str, objects: list[SavedObject]) -> int:
    """Import saved objects, over those of the same ids; returns how many.

    Args:
        url: Dashboards' URL with its base path: ``https://DOMAIN/_dashboards``. Plain http is taken for
            loopback alone.
        region: The AWS region, for signing. A domain of the OpenSearch Service is signed for; any other
            server takes ``OPENSEARCH_USERNAME`` and ``OPENSEARCH_PASSWORD``, where they are set.
        objects: The saved objects.

    Raises:
        DashboardsError: It was not reached, refused, or did not take all of them.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DashboardsError(f"RETAIL_DASHBOARDS_URL={url!r} is no http(s) URL.")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise DashboardsError(f"RETAIL_DASHBOARDS_URL={url!r} is plain http; outside of loopback use https.")
    file = ("saved-objects.ndjson", to_ndjson(objects), "application/ndjson")
    body, content_type = encode_multipart_formdata({"file": file})
    target = f"{url.rstrip('/')}{_PATH}"
    headers = {"osd-xsrf": "true", "content-type": content_type}
    try:
        answer = urllib3.PoolManager(timeout=_TIMEOUT, retries=False).request(
            "POST", target, body=body, headers=headers | _authentication(target, parts.hostname, region, body)
        )
    except urllib3.exceptions.HTTPError as error:
        raise DashboardsError(f"OpenSearch Dashboards at {url} was not reached: {error}") from error
    return _imported(answer.status, answer.data, len(objects))


def _authentication(target: str, host: str, region: str, body: bytes) -> dict[str, str]:
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        credentials = boto3.Session(region_name=region).get_credentials()
        if credentials is None:
            raise DashboardsError("no AWS credentials were found to sign for OpenSearch Dashboards with.")
        return dict(Urllib3AWSV4SignerAuth(credentials, region, "es")("POST", target, body))
    user, password = os.environ.get("OPENSEARCH_USERNAME"), os.environ.get("OPENSEARCH_PASSWORD")
    return dict(urllib3.make_headers(basic_auth=f"{user}:{password}")) if user and password else {}


def _imported(status: int, data: bytes, sent: int) -> int:
    try:
        said: Any = json.loads(data)
    except ValueError:
        said = None
    if status != 200 or not isinstance(said, dict):
        raise DashboardsError(
            f"OpenSearch Dashboards answered {status}: {data[:300].decode('utf-8', 'replace')}"
        )
    count = int(said.get("successCount", 0))
    if not said.get("success") or count != sent:
        errors = "; ".join(
            f"{each.get('type')} {each.get('id')}: {each.get('error', {}).get('type')}"
            for each in said.get("errors", [])[:5]
        )
        raise DashboardsError(f"OpenSearch Dashboards took {count} of {sent} saved objects: {errors}")
    return count
