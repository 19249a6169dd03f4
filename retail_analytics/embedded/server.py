"""The embedded cloud's process: moto's server with real behaviour, and what it owns.

Started as ``python -m retail_analytics.embedded.server CONFIGURATION`` by ``cloud.py``. It holds the state
folder's lock while it lives, owns the search server and the functions' processes, and ends all of them when
it ends: on SIGTERM or SIGINT, and, if so configured, when its standard input does. Its first line of output
says that it is ready, or in one sentence why not.
"""

from __future__ import annotations

import faulthandler
import fcntl
import gc
import json
import logging
import os
import resource
import selectors
import signal
import socket
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from retail_analytics.embedded import athena, fast_answers, firehose, glue, s3, sns, sqs, streams
from retail_analytics.embedded.configuration import CloudAddress, CloudConfiguration
from retail_analytics.embedded.consumer import EventSourceMapping
from retail_analytics.embedded.control import Application
from retail_analytics.embedded.functions import FunctionSpec
from retail_analytics.embedded.opensearch import SearchServer, SearchServerError
from retail_analytics.embedded.state import pickling
from retail_analytics.embedded.state.folder import Manifest, SnapshotError
from retail_analytics.embedded.state.restart import Restart

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

    from retail_analytics.embedded.gate import Gate
    from retail_analytics.embedded.state.keeper import Keeper
    from retail_analytics.embedded.state.writing import KeptFunction

LOG = logging.getLogger(__name__)
MEBIBYTE = 1024 * 1024
LOCK_NAME = "cloud.lock"
ADDRESS_NAME = "cloud.json"


class StartError(RuntimeError):
    """The cloud cannot start; the message is the sentence that its user reads."""


class RequestHandler(MotoRequestHandler):
    """Answers without waiting for the client's acknowledgement, and without a log line a request."""

    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: a line a request costs more than many requests."""


class Cloud:
    """Everything that runs, in the order of its start."""

    def __init__(self, configuration: CloudConfiguration) -> None:
        self.configuration = configuration
        self.mappings: dict[str, EventSourceMapping] = {}
        self._positions: dict[str, tuple[str, dict[str, int]]] = {}
        self.search: SearchServer | None = None
        self.address: CloudAddress | None = None
        self._keeper: Keeper | None = None
        self._gate: Gate | None = None
        self._server: BaseWSGIServer | None = None
        self._lock_file = take_lock(configuration.state)

    def start(self) -> CloudAddress:
        """Bring everything up.

        Raises:
            StartError: A part did not come up.
        """
        configuration = self.configuration
        install_backends(configuration)
        try:
            restart = Restart(configuration)
            self._gate = restart.gate
            listener = listen(restart.port("endpoint", configuration.port))
            self.search = SearchServer.start(
                configuration.logs,
                port=restart.port("search", configuration.opensearch_port),
                memory_mebibytes=configuration.opensearch_memory_mebibytes,
            )
            self.address = self._describe(listener, self.search, restart.manifest)
            os.environ.update(self.address.environment())
            kept = restart.take_up(self.address)
        except (SearchServerError, SnapshotError) as error:
            raise StartError(str(error)) from error
        self._serve(listener)
        self._add_functions(kept)
        self._keeper = restart.keep(self.address, lambda: dict(self.mappings))
        self.address.write(configuration.state / ADDRESS_NAME)
        return self.address

    def _describe(
        self, listener: socket.socket, search: SearchServer, manifest: Manifest | None
    ) -> CloudAddress:
        if manifest is not None:
            self.configuration = replace(self.configuration, cloud_id=manifest.cloud_id)
        return CloudAddress(
            id=self.configuration.cloud_id,
            pid=os.getpid(),
            opensearch_pid=search.process.pid,
            endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            opensearch_url=search.url,
            region=self.configuration.region,
            logs=str(self.configuration.logs),
            keeps_state=self.configuration.keep_state,
            state_of=manifest.taken_at if manifest else None,
            state_clean=manifest.clean if manifest else True,
        )

    def _add_functions(self, kept: dict[str, KeptFunction]) -> None:
        """Those of the state that was taken up, where they had come to, and those that are given."""
        specs = {name: FunctionSpec.from_json(function.spec) for name, function in kept.items()}
        self._positions = {name: (spec.stream, kept[name].positions) for name, spec in specs.items()}
        for spec in {**specs, **{spec.name: spec for spec in self.configuration.functions}}.values():
            self.add_function(spec)

    def _serve(self, listener: socket.socket) -> None:
        application = Application(self, self._gate)
        host, port = listener.getsockname()
        self._server = make_server(
            host, port, application, threaded=True, request_handler=RequestHandler, fd=listener.detach()
        )
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        threading.Thread(target=self._server.serve_forever, name="http", daemon=True).start()

    def add_function(self, spec: FunctionSpec) -> None:
        """Put a function on its stream; it goes on where one of the same name and stream had come."""
        assert self.address is not None  # noqa: S101
        before = self.mappings.get(spec.name)
        self.remove_function(spec.name)
        if before is not None:
            self._positions[spec.name] = (before.spec.stream, before.positions())
        stream, positions = self._positions.pop(spec.name, (spec.stream, {}))
        mapping = EventSourceMapping(
            spec,
            self.configuration.region,
            worker_environment(self.address),
            self.configuration.logs,
            positions if stream == spec.stream else {},
        )
        self.mappings[spec.name] = mapping
        mapping.start()

    def remove_function(self, name: str) -> bool:
        """Take a function away; answers whether there was one."""
        mapping = self.mappings.pop(name, None)
        if mapping is not None:
            mapping.stop()
        return mapping is not None

    def keep_now(self) -> bool:
        """Take a snapshot, if anything changed since the last; answers whether.

        Raises:
            SnapshotError: It cannot be taken, or this cloud keeps no state.
        """
        if self._keeper is None:
            raise SnapshotError("this cloud was not started to keep its state.")
        return self._keeper.keep()

    def status(self) -> dict[str, Any]:
        """What runs and how it fares, as plain JSON."""
        return {
            "id": self.configuration.cloud_id,
            "pid": os.getpid(),
            "server_mebibytes": resident_mebibytes(os.getpid()),
            "opensearch": {
                "alive": self.search is not None and self.search.alive,
                "mebibytes": resident_mebibytes(self.search.process.pid) if self.search else 0,
            },
            "delivery_streams": firehose.status(),
            "functions": [mapping.status() for mapping in list(self.mappings.values())],
            "snapshot": self._keeper.status() if self._keeper else None,
        }

    def stop(self) -> None:
        """End everything, in the reverse order; what Firehose buffers is delivered first."""
        if self._server is not None:
            self._server.shutdown()
        if self._keeper is not None:
            self._keeper.stop()
        for mapping in list(self.mappings.values()):
            mapping.stop()
        firehose.stop_all()
        if self._keeper is not None:
            self._keeper.keep_last()
        if self.search is not None:
            self.search.stop()
        (self.configuration.state / ADDRESS_NAME).unlink(missing_ok=True)


def worker_environment(address: CloudAddress) -> dict[str, str]:
    """What every function's process has: this cloud, and where Python and its modules are."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR")
    inherited = {name: os.environ[name] for name in kept if name in os.environ}
    python_path = os.pathsep.join(filter(None, [os.getcwd(), inherited.get("PYTHONPATH")]))  # noqa: PTH109
    return {
        **inherited,
        **address.environment(),
        "PYTHONPATH": python_path,
        "TZ": "UTC",
        "MALLOC_ARENA_MAX": "2",
    }


def take_lock(state: Path) -> Any:
    """Take the state folder's lock, which is held while this process lives.

    Raises:
        StartError: Another cloud runs in this folder.
    """
    lock = (state / LOCK_NAME).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StartError(f"an embedded cloud already runs in {state}; stop it first.") from error
    return lock


def listen(port: int | None) -> socket.socket:
    """Listen on loopback.

    Raises:
        StartError: The port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port or 0))
    except OSError as error:
        raise StartError(f"port {port} on 127.0.0.1 cannot be used: {error.strerror}.") from error
    listener.listen(128)
    return listener


def install_backends(configuration: CloudConfiguration) -> None:
    """Put what is real in place of what moto pretends."""
    s3.install()
    sns.install()
    sqs.install()
    streams.install()
    firehose.install()
    glue.install()
    fast_answers.install()
    athena.install(
        configuration.state / "athena",
        memory_limit=configuration.athena_memory,
        concurrency=configuration.athena_concurrency,
    )
    pickling.install()


def resident_mebibytes(pid: int) -> int:
    """How much memory a process holds; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except FileNotFoundError:
        return 0
    return pages * resource.getpagesize() // MEBIBYTE


def report(document: dict[str, Any]) -> None:
    """Tell who started this process, once, then let standard output go where the log goes."""
    os.write(1, json.dumps(document).encode() + b"\n")
    os.dup2(2, 1)


def hear_signals() -> int:
    """Have whoever reads the returned descriptor hear SIGTERM and SIGINT, and SIGUSR1 tell where threads are.

    A thread that waits for an event is not woken by a signal that the kernel hands to another thread, or that
    comes between its last look and its sleep; a pipe keeps it.
    """
    asked, ask = os.pipe()
    os.set_blocking(ask, False)
    signal.set_wakeup_fd(ask)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    return asked


def await_end(asked: int, configuration: CloudConfiguration) -> None:
    """Block until a signal asks for the end, or the parent is gone."""
    with selectors.DefaultSelector() as selector:
        selector.register(asked, selectors.EVENT_READ)
        if configuration.die_with_parent:
            # The parent writes nothing: its end of the pipe is readable when it is gone.
            selector.register(0, selectors.EVENT_READ)
        selector.select()


def main(path: str) -> int:
    """Run the cloud until it is told to end."""
    configuration = CloudConfiguration.read(Path(path))
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    limit = configuration.server_memory_mebibytes * MEBIBYTE
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    cloud = None
    try:
        cloud = Cloud(configuration)
        address = cloud.start()
    except StartError as error:
        LOG.error("%s", error)  # noqa: TRY400 - the sentence says it all
        if cloud is not None:
            cloud.stop()
        report({"error": str(error)})
        return 1
    except Exception as error:
        LOG.exception("the cloud cannot start")
        if cloud is not None:
            cloud.stop()
        report({"error": f"{type(error).__name__}: {error}."})
        return 1
    LOG.info("cloud %s serves at %s", address.id, address.endpoint_url)
    gc.freeze()  # collections look at what requests make, not again and again at what stays
    asked = hear_signals()  # before anybody knows that there is something to end
    report({"ready": address.id})
    await_end(asked, configuration)
    LOG.info("cloud %s is ending", address.id)
    cloud.stop()
    LOG.info("cloud %s has ended", address.id)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
