"""Takes the cloud's snapshots, and brings a cloud back from one.

A snapshot is the state of one moment: a forked child writes it while the server goes on, since fork gives
the child the server's memory as it is then. Objects' bodies and search documents are written before, each
once. The functions' positions in their streams are those from before the search server was read, so that
what the index lacks is handed over again (at least once), and the index holds nothing that the rest of the
state does not know. What cannot be kept is an error in the log, and the snapshot before stays.
"""

from __future__ import annotations

import logging
import pickle
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.athena.models import athena_backends
from moto.glue.models import glue_backends

from retail_analytics.embedded import firehose
from retail_analytics.embedded.athena.execution import FINAL
from retail_analytics.embedded.crawler.backend import Crawler
from retail_analytics.embedded.state import bodies, pickling
from retail_analytics.embedded.state.bodies import Packs
from retail_analytics.embedded.state.folder import Manifest, SnapshotError, forget, publish
from retail_analytics.embedded.state.search_index import SearchGoneError
from retail_analytics.embedded.state.writing import (
    CHILD_SECONDS,
    KeptFunction,
    await_child,
    fork_writer,
    write_state,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from retail_analytics.embedded.consumer import EventSourceMapping
    from retail_analytics.embedded.gate import Gate
    from retail_analytics.embedded.state.search_index import SearchIndex

LOG = logging.getLogger(__name__)
# Snapshots take at most this share of the time, however much there is to write.
MOST_TIME = 0.05


def load(
    folder: Path, manifest: Manifest, search: SearchIndex
) -> tuple[dict[str, KeptFunction], dict[str, int]]:
    """Put a snapshot's state into moto's registries and the search server, before either serves.

    Returns:
        The functions by name, and figures for the log.

    Raises:
        SnapshotError: It cannot be read.
    """
    path = folder / manifest.backends
    try:
        with path.open("rb") as file:
            state = pickling.StateUnpickler(file, Packs(folder, manifest.packs)).load()
    except (OSError, pickle.UnpicklingError, EOFError, AttributeError, ImportError) as error:
        raise SnapshotError(
            f"the state in {path} cannot be read ({type(error).__name__}: {error}); start anew with --fresh."
        ) from error
    pickling.put_back(state["backends"])
    _end_crawls()
    documents = search.restore(manifest.search)
    return state["functions"], {"objects": sum(1 for _ in bodies.all_keys()), "documents": documents}


def _end_crawls() -> None:
    """A crawl that the state's moment met has ended with its process."""
    for _, _, backend in glue_backends.iter_backends():
        for crawler in backend.crawlers.values():  # type: ignore[attr-defined]
            if isinstance(crawler, Crawler) and crawler.status != "READY":
                crawl = crawler.crawls[-1]
                crawl.error = "Internal Service Exception: the server ended during the crawl."
                crawl.end_time = datetime.now(UTC)
                crawl.status = "FAILED"


class Keeper:
    """Keeps a running cloud's state in its folder."""

    def __init__(
        self,
        folder: Path,
        interval_seconds: float,
        gate: Gate,
        search: SearchIndex,
        mappings: Callable[[], Mapping[str, EventSourceMapping]],
        manifest: Manifest,
    ) -> None:
        """Describe a keeper; it works after :meth:`start`.

        Args:
            folder: The snapshot folder.
            interval_seconds: How often it looks whether something changed.
            gate: What requests pass.
            search: The search server, as the snapshot before left it.
            mappings: Answers the functions on streams.
            manifest: The snapshot that the cloud came from, or one that names nothing.
        """
        self._folder = folder
        self._interval = interval_seconds
        self._gate = gate
        self._search = search
        self._mappings = mappings
        self._manifest = manifest
        self._packs = Packs(folder, manifest.packs)
        # Of snapshots that fail, too: what they leave behind is not written over.
        self._number = manifest.number
        self._marks: Any = None
        self._functions: dict[str, KeptFunction] = {}
        self.problem: str | None = None
        self._stop = threading.Event()
        self._taking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    @property
    def taken_at(self) -> str | None:
        """When the last snapshot was taken; None when there is none."""
        return self._manifest.taken_at if self._manifest.number else None

    def start(self) -> None:
        """Begin to look for changes. From now on the state on disk may be behind."""
        if not self._manifest.number:
            forget(self._folder)
        else:
            self._manifest = replace(self._manifest, clean=False)
            publish(self._folder, self._manifest)
            self._functions = self._current_functions()
            self._marks = self._current_marks()
        self._thread.start()

    def stop(self) -> None:
        """End; what is under way is finished first."""
        self._stop.set()
        self._thread.join(CHILD_SECONDS)

    def status(self) -> dict[str, Any]:
        """When the last snapshot was taken, and what kept a later one from being taken."""
        return {"number": self._manifest.number, "taken_at": self.taken_at, "problem": self.problem}

    def _run(self) -> None:
        pause = self._interval
        while not self._stop.wait(pause):
            begun = time.monotonic()
            self._attempt(self.keep)
            pause = max(self._interval, (time.monotonic() - begun) / MOST_TIME)

    def _attempt(self, keep: Callable[[], object]) -> None:
        try:
            keep()
        except Exception as error:
            self.problem = str(error)
            LOG.error(  # noqa: TRY400 - a sentence says it all, unless the fault is ours
                "no snapshot was taken, that of %s stays: %s",
                self.taken_at,
                error,
                exc_info=not isinstance(error, SnapshotError),
            )

    def keep(self) -> bool:
        """Take a snapshot if anything changed since the last; answers whether.

        Raises:
            SnapshotError: It cannot be written.
        """
        with self._taking:
            marks = self._current_marks()
            if marks == self._marks:
                return False
            self._take(clean=False)
            self._marks = marks
            return True

    def keep_last(self) -> None:
        """Take the last snapshot, in this process: nothing serves any more."""
        self._attempt(self._keep_last)

    def _keep_last(self) -> None:
        with self._taking:
            if self._manifest.number and self._current_marks() == self._marks:
                self._manifest = replace(self._manifest, clean=True, taken_at=_now())
                publish(self._folder, self._manifest)
            else:
                self._take(clean=True)

    def _current_marks(self) -> Any:
        """What differs whenever there is something to keep."""
        deliveries = [(one["name"], one["objects"], one["failures"]) for one in firehose.status()]
        functions = {name: vars(one.counters).copy() for name, one in self._mappings().items()}
        try:
            documents = self._search.marks()
        except SearchGoneError:
            documents = {}
        return self._gate.changes, documents, deliveries, functions, _running()

    def _current_functions(self) -> dict[str, KeptFunction]:
        return {
            name: KeptFunction(mapping.spec.to_json(), mapping.positions())
            for name, mapping in self._mappings().items()
        }

    def _keep_search(self, number: int) -> dict[str, Any]:
        """Have the index written, with the functions' positions from before; what was, if its server is gone.

        Then the positions stay what they were too: the records since are handed over again at the next start.
        """
        functions = self._current_functions()
        try:
            kept = self._search.keep(number)
        except SearchGoneError as error:
            if not self._manifest.number:
                raise
            self.problem = f"{error} The index is kept as it was."
            LOG.error("%s", self.problem)  # noqa: TRY400 - the sentence says it all
            known = {name: function.positions for name, function in self._functions.items()}
            self._functions = {
                name: replace(function, positions=known.get(name, {})) for name, function in functions.items()
            }
            return self._manifest.search
        self.problem = None
        self._functions = functions
        return kept

    def _take(self, *, clean: bool) -> None:
        begun = time.monotonic()
        self._number = number = self._number + 1
        search = self._keep_search(number)
        functions = self._functions
        self._packs.keep(f"bodies-{number:06d}.pack", tidy=True)
        path = self._folder / f"backends-{number:06d}.pickle"
        closed = time.monotonic()
        with self._gate.closed():
            self._packs.keep(f"bodies-{number:06d}-late.pack", tidy=False)
            taken_at = _now()
            child = None if clean else fork_writer(path, functions)
        open_again = time.monotonic()
        if child is None:
            write_state(path, functions)
        else:
            await_child(child)
        manifest = replace(
            self._manifest,
            taken_at=taken_at,
            clean=clean,
            number=number,
            backends=path.name,
            packs=dict(self._packs.sizes),
            search=search,
        )
        publish(self._folder, manifest)
        self._manifest = manifest
        LOG.info(
            "snapshot %d of %s: %.2f s, requests waited %.3f s, %d bytes of services' state",
            number,
            taken_at,
            time.monotonic() - begun,
            open_again - closed,
            path.stat().st_size,
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _running() -> tuple[str, ...]:
    """The queries and crawls that have not ended: what they write comes with no request."""
    queries = (
        run.id
        for _, _, backend in list(athena_backends.iter_backends())
        for run in list(getattr(backend, "runs", {}).values())
        if run.state not in FINAL
    )
    crawls = (
        crawler.name
        for _, _, backend in list(glue_backends.iter_backends())
        for crawler in list(backend.crawlers.values())  # type: ignore[attr-defined]
        if isinstance(crawler, Crawler) and crawler.status != "READY"
    )
    return (*queries, *crawls)
