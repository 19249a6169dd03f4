"""Retention: the server is asked whether it has ISM; what is put there is what the settings say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest
from opensearchpy.exceptions import AuthorizationException, NotFoundError, TransportError

from retail_analytics.search.checks import kept
from retail_analytics.search.retention import ensure_retention

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

POLICY = "/_plugins/_ism/policies/retail_trans-retention"
INDICES = "retail_trans-*,reindexed-retail_trans-*"


class Ism:
    """The API of Index State Management, as far as a policy's life goes."""

    def __init__(self) -> None:
        self.transport = self
        self.policy: dict[str, Any] | None = None
        self.version = 0
        self.done: list[tuple[str, str, Any]] = []

    def perform_request(self, method: str, url: str, params: Any = None, body: Any = None) -> Any:
        self.done.append((method, url, body))
        if url != POLICY:
            return {"updated_indices": 1, "failures": False}
        if method == "GET":
            if self.policy is None:
                raise NotFoundError(404, "status_exception", {})
            # The server adds fields of its own to what it was given.
            stored = {**self.policy["policy"], "policy_id": "retail_trans-retention", "schema_version": 21}
            return {"_seq_no": self.version, "_primary_term": 1, "policy": stored}
        if method == "PUT":
            expected = {} if self.policy is None else {"if_seq_no": self.version, "if_primary_term": 1}
            assert params == expected
            self.policy, self.version = body, self.version + 1
        else:
            self.policy = None
        return {}

    def writes(self) -> list[tuple[str, str]]:
        made = [(method, url) for method, url, _ in self.done if method != "GET"]
        self.done.clear()
        return made


@pytest.fixture
def ism() -> Any:
    return Ism()


def test_a_server_without_ism_keeps_all_and_says_so(search: OpenSearch, feed: Feed) -> None:
    told = ensure_retention(search, feed, 400)
    assert not told.offered
    assert told.state.startswith("Not there: this server has no Index State Management")
    assert "400 days" in told.state
    assert "400" not in ensure_retention(search, feed, 0).state


def test_a_policy_is_put_renewed_and_removed(feed: Feed, ism: Any) -> None:
    assert ensure_retention(ism, feed, 400).offered
    assert ism.writes() == [("PUT", POLICY), ("POST", f"/_plugins/_ism/add/{INDICES}")]
    assert ism.policy["policy"]["states"][0]["transitions"][0]["conditions"] == {"min_index_age": "400d"}
    assert "as before" in ensure_retention(ism, feed, 400).state
    assert ism.writes() == []
    assert ensure_retention(ism, feed, 30).state == "Months go after 30 days."
    assert ism.writes() == [("PUT", POLICY), ("POST", f"/_plugins/_ism/change_policy/{INDICES}")]
    assert "removed" in ensure_retention(ism, feed, 0).state
    assert ism.writes() == [("POST", f"/_plugins/_ism/remove/{INDICES}"), ("DELETE", POLICY)]
    assert ensure_retention(ism, feed, 0).state == "All months are kept."
    assert ism.writes() == []


def test_a_role_that_may_not_ask_matters_only_where_a_policy_is_wanted(feed: Feed, ism: Any) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AuthorizationException(403, "security_exception", {})

    ism.perform_request = refuse
    assert "may not ask" in ensure_retention(ism, feed, 0).state
    with pytest.raises(AuthorizationException):
        ensure_retention(ism, feed, 30)


def test_a_server_that_fails_is_not_taken_for_one_without_ism(feed: Feed, ism: Any) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise TransportError(503, "unavailable", {})

    ism.perform_request = fail
    with pytest.raises(TransportError):
        ensure_retention(ism, feed, 30)


def test_days_that_retention_may_have_deleted_are_not_missed(settings: Settings) -> None:
    days = [date(2026, 1, day) for day in (1, 2, 3)]
    now = datetime(2026, 1, 12, 12, tzinfo=UTC)
    assert kept(days, settings, now) == days
    assert kept(days, replace(settings, search_retention_days=10), now) == days[1:]
