"""A mapping change: a month's documents move into a new index, and no reader sees a gap or a double.

Here belongs the move. Not here: finding which indices need it (``templates.py``).

The copy goes on while the stream writes; a short block of writes, which the handler waits out as it waits
out any other, lets a second pass catch up; then one request removes the old index and gives its name and
the readers' alias to the new one. The new index has a name that the template does not match, or it would
join the alias, and every reader see its documents twice, from its first moment on.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from opensearchpy.exceptions import NotFoundError, RequestError

from retail_analytics.search.environment import search_of
from retail_analytics.search.templates import digest_of, index_template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opensearchpy import OpenSearch

    from retail_analytics.feeds.declaration import Feed

REQUEST_SECONDS = 300.0


class ReindexError(RuntimeError):
    """A month was not moved; its old index serves on as before."""


@dataclass(frozen=True)
class Reindexed:
    """A month that moved.

    Attributes:
        month: The name that writers use: ``ALIAS-YYYY.MM``, an alias of the new index now.
        old: The index that held it, removed.
        new: The index that holds it.
        documents: How many moved.
    """

    month: str
    old: str
    new: str
    documents: int


@dataclass(frozen=True)
class Reindexer:
    """Moves months of one feed into indices as declared.

    Attributes:
        client: The search server.
        feed: The feed.
        request_seconds: How long the copy of one event day may take.
    """

    client: OpenSearch
    feed: Feed
    request_seconds: float = REQUEST_SECONDS

    def move(self, old: str) -> Reindexed:
        """Move the month that the index ``old`` holds. An interrupted move goes on where it stopped.

        Raises:
                ReindexError: The new mapping refuses a document, or the copy is not whole.
            OpenSearchException: The server does not answer, or refuses.
        """
        month = self._month(old)
        new = self._make(month)
        self._copy(month, old, new)
        self._block(old, blocked=True)
        try:
            self._copy(month, old, new)
            documents = self._same_count(old, new)
            self._swap(month, old, new)
        except BaseException:
            self._block(old, blocked=False)
            raise
        return Reindexed(month, old, new, documents)

    def _month(self, old: str) -> str:
        prefix = f"{search_of(self.feed).alias}-"
        if old.startswith(prefix):
            return old
        about = self.client.indices.get_alias(index=old)[old]["aliases"]
        names: list[str] = [name for name in about if name.startswith(prefix)]
        if len(names) != 1:
            raise ReindexError(f"{old} holds no month of {self.feed.name}: its aliases are {sorted(about)}.")
        return names[0]

    def _make(self, month: str) -> str:
        body = index_template(self.feed)
        new = f"reindexed-{month}-{digest_of(body)}"
        if not self.client.indices.exists(index=new):
            template = body["template"]
            content = {"settings": template["settings"], "mappings": template["mappings"]}
            self.client.indices.create(index=new, body=content)
        return new

    def _copy(self, month: str, old: str, new: str) -> None:
        """Copy what is not there yet, an event day a request, so that none takes long."""
        self.client.indices.refresh(index=old)
        for query in self._slices(month, old):
            failures = self._failures(old, new, query)
            if failures:
                cause = failures[0].get("cause", {}).get("reason", failures[0])
                self.client.indices.delete(index=new)
                raise ReindexError(
                    f"{len(failures)} documents of {old} do not fit the new mapping: {cause}. "
                    "Readers keep the old index; correct the declaration."
                )

    def _failures(self, old: str, new: str, query: dict[str, Any]) -> list[Any]:
        source, target = {"index": old, "query": query}, {"index": new, "op_type": "create"}
        body = {"conflicts": "proceed", "source": source, "dest": target}
        try:
            answer = self.client.reindex(body=body, request_timeout=self.request_seconds)
        except RequestError as error:
            # A copy that some documents did not fit answers with their status, and the whole account.
            answer = error.info if isinstance(error.info, dict) else {}
            if not answer.get("failures"):
                raise
        return list(answer.get("failures", []))

    def _slices(self, month: str, old: str) -> Iterator[dict[str, Any]]:
        event_time = search_of(self.feed).date_fields[0]
        mapping = self.client.indices.get_mapping(index=old)[old]["mappings"]
        if mapping.get("properties", {}).get(event_time, {}).get("type") != "date":
            yield {"match_all": {}}
            return
        first = datetime.strptime(month[-7:], "%Y.%m").replace(tzinfo=UTC).date()
        for day in range(calendar.monthrange(first.year, first.month)[1]):
            start = first + timedelta(days=day)
            span = {"gte": start.isoformat(), "lt": (start + timedelta(days=1)).isoformat()}
            yield {"range": {event_time: span}}

    def _same_count(self, old: str, new: str) -> int:
        self.client.indices.refresh(index=new)
        before, after = (int(self.client.count(index=name)["count"]) for name in (old, new))
        if before != after:
            raise ReindexError(f"{old} holds {before} documents and its copy {after}; run it again.")
        return after

    def _swap(self, month: str, old: str, new: str) -> None:
        actions: list[dict[str, Any]] = [
            {"remove_index": {"index": old}},
            {"add": {"index": new, "alias": month}},
            {"add": {"index": new, "alias": search_of(self.feed).alias}},
        ]
        self.client.indices.update_aliases(body={"actions": actions})

    def _block(self, index: str, *, blocked: bool) -> None:
        try:
            self.client.indices.put_settings(index=index, body={"index.blocks.write": blocked})
        except NotFoundError:
            # The swap went through although its answer did not arrive: there is nothing to unblock.
            if blocked:
                raise
