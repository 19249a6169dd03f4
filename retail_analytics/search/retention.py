"""Retention: Index State Management deletes old months, on servers that have it.

Here belongs the policy, made from the settings. The server is asked whether it has ISM; where it has not
(osmem-server, OpenSearch without the plugin) nothing is deleted, and the metadata of the asset says so.

ISM counts an index' age from when it was made, not from its month: history that is indexed today stays for
the whole time from today.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opensearchpy.exceptions import AuthorizationException, NotFoundError, RequestError

from retail_analytics.search.environment import search_of

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from retail_analytics.feeds.declaration import Feed

_ISM = "/_plugins/_ism"
_POLICIES = f"{_ISM}/policies"


@dataclass(frozen=True)
class Retention:
    """What became of the policy.

    Attributes:
        offered: Whether the server has ISM.
        state: One sentence for people.
    """

    offered: bool
    state: str


def policy(feed: Feed, days: int) -> dict[str, Any]:
    """The policy that deletes the feed's indices after so many days."""
    gone = {"state_name": "gone", "conditions": {"min_index_age": f"{days}d"}}
    return {
        "policy": {
            "description": f"Months of {feed.name} go {days} days after their index was made.",
            "default_state": "kept",
            "states": [
                {"name": "kept", "actions": [], "transitions": [gone]},
                {"name": "gone", "actions": [{"delete": {}}], "transitions": []},
            ],
            "ism_template": [{"index_patterns": _patterns(feed), "priority": 100}],
        }
    }


def ensure_retention(client: OpenSearch, feed: Feed, days: int) -> Retention:
    """Put, renew or remove the feed's policy.

    Args:
        client: The search server.
        feed: The feed.
        days: After how many days an index goes; 0 keeps all.

    Raises:
        OpenSearchException: The server does not answer, or refuses.
    """
    name = f"{search_of(feed).alias}-retention"
    try:
        found = client.transport.perform_request("GET", f"{_POLICIES}/{name}")
    except (NotFoundError, RequestError) as error:
        if "no handler found" in str(error):
            return _not_there("this server has no Index State Management", days)
        if not isinstance(error, NotFoundError):
            raise
        found = None
    except AuthorizationException:
        if days:
            raise
        return _not_there("the role may not ask for policies", days)
    if not days:
        return (
            _removed(client, feed, name) if found else Retention(offered=True, state="All months are kept.")
        )
    body = policy(feed, days)
    if found is not None and _as_wanted(found["policy"], body["policy"]):
        return Retention(offered=True, state=f"Months go after {days} days, as before.")
    version = {"if_seq_no": found["_seq_no"], "if_primary_term": found["_primary_term"]} if found else {}
    client.transport.perform_request("PUT", f"{_POLICIES}/{name}", params=version, body=body)
    # The template of a policy is for indices to come; those that are there get it, or its new form, now.
    verb = "change_policy" if found else "add"
    change = {"policy_id": name, "state": "kept"} if found else {"policy_id": name}
    client.transport.perform_request("POST", f"{_ISM}/{verb}/{_indices(feed)}", body=change)
    return Retention(offered=True, state=f"Months go after {days} days.")


def _removed(client: OpenSearch, feed: Feed, name: str) -> Retention:
    client.transport.perform_request("POST", f"{_ISM}/remove/{_indices(feed)}")
    client.transport.perform_request("DELETE", f"{_POLICIES}/{name}")
    return Retention(offered=True, state="All months are kept; the policy is removed.")


def _not_there(why: str, days: int) -> Retention:
    wanted = f", although the settings want months to go after {days} days" if days else ""
    return Retention(offered=False, state=f"Not there: {why}; all months are kept{wanted}.")


def _indices(feed: Feed) -> str:
    return ",".join(_patterns(feed))


def _patterns(feed: Feed) -> list[str]:
    """The names of months, as they are made and as a reindexing names them."""
    alias = search_of(feed).alias
    return [f"{alias}-*", f"reindexed-{alias}-*"]


def _as_wanted(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether the policy is the wanted one; the server adds fields of its own, down to each action."""
    if found.get("description") != wanted["description"] or found.get("default_state") != "kept":
        return False
    ages = [
        transition.get("conditions", {}).get("min_index_age")
        for state in found.get("states", [])
        for transition in state.get("transitions", [])
    ]
    patterns = [template.get("index_patterns") for template in found.get("ism_template") or []]
    return (ages, patterns) == (
        [wanted["states"][0]["transitions"][0]["conditions"]["min_index_age"]],
        [template["index_patterns"] for template in wanted["ism_template"]],
    )
