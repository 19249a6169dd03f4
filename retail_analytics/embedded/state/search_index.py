"""The search server's state, through its API: templates, indices and their documents.

The server keeps everything in memory and has no snapshots. An index whose count of writes is what it was is
not read again. Documents come back under their ids, versions and routing. Not here: when (``keeper.py``).
"""

from __future__ import annotations

import gzip
import json
import os
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from retail_analytics.embedded.state.folder import SnapshotError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# As many as a page may hold: each page costs the server a look at the whole index.
PAGE_DOCUMENTS = 10_000
# The server takes many times a bulk's size in memory.
MAX_BULK_BYTES = 4 * 1024 * 1024
_TIMEOUT_SECONDS = 60.0
_KEEP_ALIVE = "5m"
# The last key of a hit.
_SORT = b'"sort":['
# Settings that the server gives an index itself.
_GIVEN = ("creation_date", "provided_name", "uuid", "version")


class SearchGoneError(SnapshotError):
    """The search server does not answer at all."""


class SearchIndex:
    """Reads and writes one search server.

    Attributes:
        known: For each index, what :meth:`marks` said when it was written, and its part of the manifest.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.known: dict[str, tuple[tuple[str, int], dict[str, Any]]] = {}
        self._url = url
        self._folder = folder
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def marks(self) -> dict[str, tuple[str, int]]:
        """For each index its uuid and how many writes it took: what differs when anything was written."""
        stats = self._call("GET", "/_stats/indexing,docs")["indices"]
        return {
            name: (index["uuid"], int(index["primaries"]["indexing"]["index_total"]))
            for name, index in stats.items()
        }

    def keep(self, number: int) -> dict[str, Any]:
        """Write the indices that changed; returns what the manifest says of the search server."""
        marks = self.marks()
        described = self._call("GET", "/_all?expand_wildcards=all") if marks else {}
        indices = []
        for position, name in enumerate(sorted(marks)):
            if name not in described:
                continue
            mark = marks[name]
            before = self.known.get(name)
            if before is not None and before[0] == mark:
                documents = {"file": before[1]["file"]}
            else:
                documents = self._write(name, f"documents-{number:06d}-{position}.jsonl.gz")
            entry = {"name": name, **_description(described[name]), **documents}
            self.known[name] = (mark, entry)
            indices.append(entry)
        self.known = {name: found for name, found in self.known.items() if name in marks}
        return {"templates": self._templates(), "indices": indices}

    def _templates(self) -> dict[str, Any]:
        components = self._call("GET", "/_component_template")["component_templates"]
        composed = self._call("GET", "/_index_template")["index_templates"]
        return {
            "_component_template": {one["name"]: one["component_template"] for one in components},
            "_index_template": {one["name"]: one["index_template"] for one in composed},
            "_template": self._call("GET", "/_template"),
        }

    def _write(self, index: str, name: str) -> dict[str, Any]:
        """Write an index's documents: the server's pages as they come, a line each."""
        with (self._folder / name).open("wb") as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as file:
                for page in self._pages(index):
                    # Taken apart at the restart: here others wait for this process's interpreter.
                    file.write(page.replace(b"\n", b" ") + b"\n")
            raw.flush()
            os.fsync(raw.fileno())
        return {"file": name}

    def _pages(self, index: str) -> Iterator[bytes]:
        """Every document as of one moment, in pages."""
        path = f"/{index}/_search/point_in_time?keep_alive={_KEEP_ALIVE}"
        view = self._call("POST", path)["pit_id"]
        search: dict[str, Any] = {
            "size": PAGE_DOCUMENTS,
            "version": True,
            "query": {"match_all": {}},
            "sort": [{"_shard_doc": "asc"}],
            "pit": {"id": view, "keep_alive": _KEEP_ALIVE},
            "track_total_hits": True,
        }
        try:
            while True:
                page = self._send("POST", "/_search", search)
                last = page.rfind(_SORT)
                if last < 0:
                    return
                yield page
                search["search_after"] = json.loads(page[last + len(_SORT) - 1 : page.index(b"]", last) + 1])
        finally:
            self._call("DELETE", "/_search/point_in_time", {"pit_id": [view]})

    def restore(self, kept: dict[str, Any]) -> int:
        """Put a snapshot's templates and indices into an empty server; returns the documents.

        Raises:
            SnapshotError: The server refused something.
        """
        total = 0
        # Indices come first: a template would add to what they are.
        for entry in kept.get("indices", []):
            body = {key: entry[key] for key in ("settings", "mappings", "aliases")}
            self._call("PUT", f"/{entry['name']}", body)
            total += self._fill(entry)
        for kind, templates in kept.get("templates", {}).items():
            for name, template in templates.items():
                self._call("PUT", f"/{kind}/{name}", template)
        marks = self.marks()
        self.known = {entry["name"]: (marks[entry["name"]], entry) for entry in kept.get("indices", [])}
        return total

    def _fill(self, entry: dict[str, Any]) -> int:
        name, expected = entry["name"], 0
        with gzip.open(self._folder / entry["file"], "rb") as file:
            for line in file:
                hits = json.loads(line)["hits"]
                expected = hits["total"]["value"]
                for chunk in _chunks(hits["hits"]):
                    answer = self._call("POST", f"/{name}/_bulk", chunk)
                    if answer["errors"]:
                        failed = next(item["index"] for item in answer["items"] if "error" in item["index"])
                        raise SnapshotError(f"document {failed['_id']} of {name}: {failed['error']}.")
        self._call("POST", f"/{name}/_refresh")
        count = int(self._call("GET", f"/{name}/_count")["count"])
        if count != expected:
            raise SnapshotError(f"index {name} has {count} of {expected} documents; start anew with --fresh.")
        return count

    def _call(self, method: str, path: str, body: dict[str, Any] | bytes | None = None) -> Any:
        return json.loads(self._send(method, path, body))

    def _send(self, method: str, path: str, body: dict[str, Any] | bytes | None = None) -> bytes:
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            self._url + path, data=data, method=method, headers={"Content-Type": kind}
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                answer: bytes = response.read()
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:500]
            raise SnapshotError(f"the search server refused {method} {path}: {said}") from error
        except OSError as error:
            raise SearchGoneError(f"the search server does not answer {method} {path}: {error}.") from error
        return answer


def _description(index: dict[str, Any]) -> dict[str, Any]:
    settings = {key: value for key, value in index["settings"]["index"].items() if key not in _GIVEN}
    return {"settings": {"index": settings}, "mappings": index["mappings"], "aliases": index["aliases"]}


def _chunks(hits: list[dict[str, Any]]) -> Iterator[bytes]:
    """Documents as bulk requests of a bearable size."""
    chunk: list[bytes] = []
    size = 0
    for hit in hits:
        action = {"_id": hit["_id"], "version": hit["_version"], "version_type": "external_gte"}
        if "_routing" in hit:
            action["routing"] = hit["_routing"]
        lines = f"{json.dumps({'index': action})}\n{json.dumps(hit['_source'])}\n".encode()
        if chunk and size + len(lines) > MAX_BULK_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
        chunk.append(lines)
        size += len(lines)
    if chunk:
        yield b"".join(chunk)
