"""Takes the cloud's snapshots, and brings a cloud back from one.

A snapshot is the state of one moment: a forked child writes it while the server goes on, since fork gives
the child the server's memory as it is then. Objects' bodies and search documents are written before, each
once. The functions' positions in their streams are those from before the search server was read, so that
what the index lacks is handed over again (at least once), and the index holds nothing that the rest of the
state does not know. What cannot be kept is an error in the log, and the snapshot before stays.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import signal
import threading
import time
import traceback
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from moto.athena.models import athena_backends
from moto.glue.models import glue_backends

from retail_analytics.embedded import firehose
from retail_analytics.embedded.athena.execution import FINAL
from retail_analytics.embedded.crawler.backend import Crawler
from retail_analytics.embedded.state import bodies, pickling
from retail_analytics.embedded.state.bodies import Packs
from retail_analytics.embedded.state.folder import Manifest, SnapshotError, forget, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from retail_analytics.embedded.consumer import EventSourceMapping
    from retail_analytics.embedded.gate import Gate
    from retail_analytics.embedded.state.search_index import SearchIndex

LOG = logging.getLogger(__name__)
CHILD_SECONDS = 120.0
# Snapshots take at most this share of the time, however much there is to write.
MOST_TIME = 0.05
_FIRST_DESCRIPTOR = 3


@dataclass(frozen=True)
class KeptFunction:
    """A function on a stream, and how far it had come."""

    spec: dict[str, Any]
    positions: dict[str, int] = field(default_factory=dict)


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
        else:
            self.problem = None

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
        return self._gate.changes, self._search.marks(), deliveries, functions, _running()

    def _take(self, *, clean: bool) -> None:
        begun = time.monotonic()
        self._number = number = self._number + 1
        functions = {
            name: KeptFunction(mapping.spec.to_json(), mapping.positions())
            for name, mapping in self._mappings().items()
        }
        search = self._search.keep(number)
        self._packs.keep(f"bodies-{number:06d}.pack", tidy=True)
        path = self._folder / f"backends-{number:06d}.pickle"
        closed = time.monotonic()
        with self._gate.closed():
            self._packs.keep(f"bodies-{number:06d}-late.pack", tidy=False)
            taken_at = _now()
            child = None if clean else os.fork()
            if child == 0:
                _write_and_exit(path, functions)
        open_again = time.monotonic()
        if child is None:
            write_state(path, functions)
        else:
            _await(child)
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


def write_state(path: Path, functions: dict[str, KeptFunction]) -> None:
    """Write the services' state to a file, and see it on disk."""
    with path.open("xb") as file:
        state = {"backends": pickling.backends_in_use(), "functions": functions}
        pickling.StatePickler(file, pickle.HIGHEST_PROTOCOL).dump(state)
        file.flush()
        os.fsync(file.fileno())


def _write_and_exit(path: Path, functions: dict[str, KeptFunction]) -> NoReturn:
    """In the child: write, and end without running anything of the server's."""
    status = 1
    try:
        # What is collected could ask for a lock that a thread held which is not in this process.
        gc.disable()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        # The folder's lock and the search server's standard input live as long as anyone holds them open.
        os.closerange(_FIRST_DESCRIPTOR, os.sysconf("SC_OPEN_MAX"))
        write_state(path, functions)
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, the parent learns of it and this process ends
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _await(child: int) -> None:
    """Wait for the child.

    Raises:
        SnapshotError: It failed, or took too long.
    """
    deadline = time.monotonic() + CHILD_SECONDS
    pause = 0.005
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise SnapshotError(f"writing the services' state took over {CHILD_SECONDS:.0f} s.")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    if status:
        raise SnapshotError("the services' state could not be written; the lines above say why.")
