"""The handler's client of the search domain: where it is, and how it authenticates.

Here belongs what turns a host and an authentication into a client. Not here: Dagster's resource
(``resources/``), which reads the settings; the handler's zip has neither. opensearch-py and boto3 only.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

import boto3
from opensearchpy import OpenSearch, Urllib3AWSV4SignerAuth, Urllib3HttpConnection

Auth = Literal["sigv4", "basic", "none"]

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Domain:
    """A search domain.

    Attributes:
        host: A host name, reached by https, or a URL. Plain http is taken for loopback alone.
        region: The AWS region, for signing.
        auth: ``sigv4`` signs with the caller's AWS credentials, ``basic`` sends a user and password,
            ``none`` sends nothing; empty means ``sigv4`` for AWS's hosts and ``none`` for loopback.
        username: For ``basic``.
        password: For ``basic``.
        secret_id: For ``basic``, instead of the two: a Secrets Manager secret of the form
            ``{"username": …, "password": …}``.
    """

    host: str
    region: str
    auth: Auth | Literal[""] = ""
    username: str = ""
    password: str = field(default="", repr=False)
    secret_id: str = ""

    @property
    def url(self) -> str:
        """The URL with its scheme."""
        return self.host if "://" in self.host else f"https://{self.host}"

    @property
    def effective_auth(self) -> Auth:
        """How to authenticate, where the setting leaves it open.

        Raises:
            ValueError: It cannot be told from the host.
        """
        if self.auth:
            return self.auth
        name = urlsplit(self.url).hostname or ""
        if name.endswith((".amazonaws.com", ".amazonaws.com.cn")):
            return "sigv4"
        if name in _LOOPBACK:
            return "none"
        raise ValueError(f"ES_AUTH is not set and cannot be told from {name!r}: set sigv4, basic or none.")

    def check(self) -> None:
        """Refuse what would not reach a domain, or would tell a password to everyone on the way.

        Raises:
            ValueError: With one sentence.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"ES_HOST={self.host!r} is neither a host name nor an http(s) URL.")
        if parts.username or parts.password:
            raise ValueError("ES_HOST must hold no credentials: set ES_AUTH=basic and ES_SECRET_ID.")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ValueError(f"ES_HOST={self.host!r} is plain http; outside of loopback use https.")
        if self.effective_auth == "basic" and not (self.secret_id or (self.username and self.password)):
            raise ValueError("ES_AUTH=basic needs ES_SECRET_ID, or ES_USERNAME and ES_PASSWORD.")


def connect(domain: Domain) -> OpenSearch:
    """A client of the domain; opens no connection yet. It does not retry: the bulk writer does.

    Raises:
        ValueError: The domain is not usable as it is described.
    """
    domain.check()
    # It logs a traceback for every request that fails; the bulk writer says why, once.
    logging.getLogger("opensearch").setLevel(logging.ERROR)
    parts = urlsplit(domain.url)
    secure = parts.scheme == "https"
    return OpenSearch(
        hosts=[{"host": parts.hostname, "port": parts.port or (443 if secure else 80)}],
        url_prefix=parts.path.strip("/"),
        use_ssl=secure,
        verify_certs=secure,
        http_auth=_credentials(domain),
        connection_class=Urllib3HttpConnection,
        max_retries=0,
        retry_on_timeout=False,
        timeout=30,
        pool_maxsize=8,
    )


def _credentials(domain: Domain) -> Urllib3AWSV4SignerAuth | tuple[str, str] | None:
    match domain.effective_auth:
        case "none":
            return None
        case "sigv4":
            found = boto3.Session(region_name=domain.region).get_credentials()
            if found is None:
                raise ValueError("ES_AUTH=sigv4 found no AWS credentials; give the function a role.")
            return Urllib3AWSV4SignerAuth(found, domain.region, "es")
        case "basic":
            if not domain.secret_id:
                return domain.username, domain.password
            secrets = boto3.client("secretsmanager", region_name=domain.region)
            secret = json.loads(secrets.get_secret_value(SecretId=domain.secret_id)["SecretString"])
            return secret["username"], secret["password"]
