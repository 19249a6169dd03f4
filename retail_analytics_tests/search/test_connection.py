"""Hosts, schemes and credentials of the handler's domain."""

from __future__ import annotations

from typing import Any

import pytest

from retail_analytics.search.connection import Domain, connect
from retail_analytics.search.handler_settings import HandlerSettings, parse_field

REGION = "us-east-1"
NEEDED = {"ES_HOST": "h.example.org", "REQUIRED_FIELDS": "a", "REGION_NAME": REGION, "DATE_TYPE_FIELDS": "d"}


@pytest.mark.parametrize(
    ("domain", "auth"),
    [
        (Domain("vpc-retail-x.us-east-1.es.amazonaws.com", REGION), "sigv4"),
        (Domain("http://127.0.0.1:9200", REGION), "none"),
        (Domain("https://search.example.org", REGION, "basic", "u", "p"), "basic"),
        (Domain("https://vpc-x.us-east-1.es.amazonaws.com", REGION, "none"), "none"),
    ],
)
def test_authentication_follows_from_the_host(domain: Domain, auth: str) -> None:
    domain.check()
    assert domain.effective_auth == auth


@pytest.mark.parametrize(
    ("domain", "says"),
    [
        (Domain("search.example.org", REGION), "ES_AUTH"),
        (Domain("http://search.example.org", REGION, "none"), "plain http"),
        (Domain("http://127.0.0.1.example.org", REGION, "none"), "plain http"),
        (Domain("https://u:p@search.example.org", REGION, "none"), "no credentials"),
        (Domain("ftp://127.0.0.1", REGION), "neither"),
        (Domain("https://search.example.org", REGION, "basic"), "ES_SECRET_ID"),
    ],
)
def test_what_would_not_be_safe_is_refused(domain: Domain, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        connect(domain)


def test_a_host_is_reached_by_https_with_its_certificate_checked() -> None:
    client = connect(Domain("search.example.org", REGION, "none"))
    (connection,) = client.transport.connection_pool.connections
    assert connection.host == "https://search.example.org:443"
    assert connection.pool.cert_reqs == "CERT_REQUIRED"


def test_a_request_is_signed(s3: Any) -> None:
    client = connect(Domain("vpc-x.us-east-1.es.amazonaws.com", REGION))
    (connection,) = client.transport.connection_pool.connections
    headers = connection.http_auth("POST", "https://vpc-x.us-east-1.es.amazonaws.com/_bulk", b"{}", {})
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256")


def test_a_password_comes_from_a_secret(s3: Any) -> None:
    import boto3

    secrets = boto3.client("secretsmanager", region_name=REGION)
    secrets.create_secret(Name="search", SecretString='{"username": "writer", "password": "pass"}')
    client = connect(Domain("search.example.org", REGION, "basic", secret_id="search"))
    (connection,) = client.transport.connection_pool.connections
    assert connection.headers["authorization"].startswith("Basic ")


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in repr(Domain("h", REGION, "basic", "u", "hunter2"))


@pytest.mark.parametrize(
    "text", ["", "a", "a:", "a:money", "a:decimal", "a:decimal:18", "a:decimal:x:4", ":text"]
)
def test_a_field_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="FIELDS"):
        parse_field(text)


def test_variables_have_defaults() -> None:
    read = HandlerSettings.from_env(NEEDED)
    assert read.rules.index == "retail"
    assert read.dead_letter_prefix == "dead-letters/retail/"
    assert HandlerSettings.from_env({**NEEDED, "DATE_FORMAT": "%d.%m.%Y"}).rules.date_formats == ("%d.%m.%Y",)
    prefix = {**NEEDED, "DEAD_LETTER_PREFIX": "x"}
    assert HandlerSettings.from_env(prefix).dead_letter_prefix == "x/"


def test_an_unknown_authentication_is_told() -> None:
    with pytest.raises(ValueError, match="ES_AUTH"):
        HandlerSettings.from_env({**NEEDED, "ES_AUTH": "kerberos"})
