"""The handle on an embedded cloud: start one, find one that runs, end it.

It starts the server process and speaks to it over HTTP; it never imports what the process runs, so that it
loads quickly. A state folder belongs to one cloud at a time: the process holds the folder's lock while it
lives, which is how a stale ``cloud.json`` is told from a live one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from retail_analytics.embedded.configuration import CloudAddress, CloudConfiguration
from retail_analytics.embedded.state.folder import FOLDER_NAME, MANIFEST_NAME, forget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from retail_analytics.embedded.functions import FunctionSpec

ADDRESS_NAME = "cloud.json"
LOCK_NAME = "cloud.lock"
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 20.0
_STACKS_SECONDS = 0.5
# Reading and writing a large state takes its time: mostly the search server's, some 2,000 documents a second.
STATE_TIMEOUT_SECONDS = 600.0
_HTTP_TIMEOUT_SECONDS = 10.0
# A cloud that is to end with this process watches its end of a pipe, which must therefore not be collected.
_PARENT_PIPES: dict[int, IO[bytes]] = {}


class CloudError(RuntimeError):
    """The cloud cannot be started, found or ended; one sentence that says what to do."""


@dataclass(frozen=True)
class Restored:
    """The state that a cloud began with.

    Attributes:
        taken: The moment whose state it is.
        clean: Whether the cloud before had ended right then; if not, what came later is gone.
    """

    taken: datetime
    clean: bool

    def __str__(self) -> str:
        """What it means, a sentence."""
        moment = f"{self.taken:%Y-%m-%d %H:%M:%S} UTC"
        if self.clean:
            return f"It goes on with the state of {moment}."
        return (
            f"It was not ended but killed: it goes on with its last snapshot, the state of {moment};"
            " what came later is gone. What functions and delivery streams had read since then, they"
            " handle again."
        )


@dataclass(frozen=True)
class EmbeddedCloud:
    """A running embedded cloud."""

    state: Path
    address: CloudAddress

    @property
    def id(self) -> str:
        """Its identity, new for each fresh cloud; one that took up a state has that state's."""
        return self.address.id

    @property
    def pid(self) -> int:
        """The server process, which owns all others."""
        return self.address.pid

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that run as long as the cloud does."""
        return (self.address.pid, self.address.opensearch_pid)

    @property
    def endpoint_url(self) -> str:
        """The AWS endpoint."""
        return self.address.endpoint_url

    @property
    def opensearch_url(self) -> str:
        """The search server."""
        return self.address.opensearch_url

    @property
    def restored(self) -> Restored | None:
        """The state that it began with; None for one that began empty."""
        moment = self.address.state_of
        return Restored(datetime.fromisoformat(moment), self.address.state_clean) if moment else None

    def environment(self) -> dict[str, str]:
        """The variables that point boto3 and this product at this cloud."""
        return self.address.environment()

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Have :meth:`environment` in ``os.environ``, and no AWS profile or session, for a while."""
        hidden = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
        names = [*self.environment(), *hidden]
        before = {name: os.environ.get(name) for name in names}
        for name in hidden:
            os.environ.pop(name, None)
        os.environ.update(self.environment())
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def status(self) -> dict[str, Any]:
        """What runs and how it fares: memory, delivery streams, functions.

        Raises:
            CloudError: It does not answer.
        """
        return self._control("GET", "status")

    def add_function(self, spec: FunctionSpec) -> None:
        """Put a function on a stream; one of the same name is replaced."""
        self._control("POST", "functions", spec.to_json())

    def remove_function(self, name: str) -> None:
        """Take a function away."""
        self._control("DELETE", f"functions/{name}")

    def keep_now(self) -> bool:
        """Have its state kept as it is now; answers whether anything had changed since it last was.

        Raises:
            CloudError: It keeps no state, or cannot.
        """
        return bool(self._control("POST", "snapshot", {}, STATE_TIMEOUT_SECONDS)["taken"])

    def stop(self) -> None:
        """End it and all its processes."""
        end(
            self.state,
            self.pid,
            STATE_TIMEOUT_SECONDS if self.address.keeps_state else STOP_TIMEOUT_SECONDS,
        )
        pipe = _PARENT_PIPES.pop(self.pid, None)
        if pipe is not None:
            pipe.close()

    def _control(
        self,
        method: str,
        page: str,
        document: dict[str, Any] | None = None,
        timeout: float = _HTTP_TIMEOUT_SECONDS,
    ) -> dict[str, Any]:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            f"{self.endpoint_url}/_embedded/{page}",
            data=body,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            raise CloudError(f"the embedded cloud refused: {error.read().decode()}") from error
        except OSError as error:
            raise CloudError(
                f"the embedded cloud at {self.endpoint_url} does not answer: {error}."
            ) from error
        return answer


def start(
    state: Path,
    *,
    port: int | None = None,
    opensearch_port: int | None = None,
    region: str = "us-east-1",
    functions: Sequence[FunctionSpec] = (),
    die_with_parent: bool = False,
    keep_state: bool = False,
    fresh: bool = False,
    **limits: Any,
) -> EmbeddedCloud:
    """Start a cloud and wait until all of it answers.

    Args:
        state: The folder for all it writes; created if need be.
        port: The AWS endpoint's port on 127.0.0.1; None chooses a free one.
        opensearch_port: The search server's port; None chooses a free one.
        region: The region whose streams the functions read.
        functions: Functions on streams; more can be added later.
        die_with_parent: Whether it ends when this process does, however that ends.
        keep_state: Whether to keep its state in the folder and to begin with what is kept there; without
            it, what an earlier cloud kept there is removed, as it is with ``fresh``.
        fresh: Whether to begin empty, whatever is kept.
        **limits: Memory and concurrency, as :class:`CloudConfiguration` names them.

    Raises:
        CloudError: A part did not come up, or the state that is kept was kept by another version; the
            message says which, and which log to read.
    """
    state = state.absolute()
    configuration = CloudConfiguration(
        state=state,
        cloud_id=str(uuid.uuid4()),
        port=port,
        opensearch_port=opensearch_port,
        region=region,
        functions=tuple(functions),
        die_with_parent=die_with_parent,
        keep_state=keep_state,
        **limits,
    )
    configuration.logs.mkdir(parents=True, exist_ok=True)
    if is_running(state):
        raise CloudError(f"an embedded cloud already runs in {state}; `retail-analytics down` ends it.")
    if fresh or not keep_state:
        forget(state / FOLDER_NAME)
    path = state / "configuration.json"
    configuration.write(path)
    with configuration.server_log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "retail_analytics.embedded.server", str(path)],
            stdin=subprocess.PIPE if die_with_parent else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_server_environment(),
            start_new_session=True,
        )
    try:
        _await_ready(process, configuration)
    except BaseException:
        process.terminate()
        process.wait(STOP_TIMEOUT_SECONDS)
        raise
    if process.stdin is not None:
        _PARENT_PIPES[process.pid] = process.stdin
    return EmbeddedCloud(state, CloudAddress.read(state / ADDRESS_NAME))


def _server_environment() -> dict[str, str]:
    # The server finds this package as its parent does, wherever the parent was started.
    root = str(Path(__file__).resolve().parents[2])
    python_path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
    # Two malloc arenas instead of one a thread: threads come and go with every request.
    return {**inherited, "PYTHONPATH": python_path, "TZ": "UTC", "MALLOC_ARENA_MAX": "2"}


def _await_ready(process: subprocess.Popen[bytes], configuration: CloudConfiguration) -> None:
    assert process.stdout is not None  # noqa: S101
    timeout = STATE_TIMEOUT_SECONDS if configuration.keep_state else START_TIMEOUT_SECONDS
    deadline = time.monotonic() + timeout
    said = b""
    with process.stdout, selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while b"\n" not in said:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise CloudError(
                    f"the embedded cloud did not come up in {timeout:.0f} s; see {configuration.server_log}"
                )
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                raise CloudError(f"the embedded cloud's process ended; see {configuration.server_log}")
            said += chunk
    answer = json.loads(said.partition(b"\n")[0])
    if "error" in answer:
        raise CloudError(
            f"the embedded cloud did not start: {answer['error']} Log: {configuration.server_log}"
        )


def has_state(state: Path) -> bool:
    """Whether a cloud kept its state in this folder."""
    return (state / FOLDER_NAME / MANIFEST_NAME).is_file()


def is_running(state: Path) -> bool:
    """Whether a cloud's process lives in this state folder."""
    lock = state / LOCK_NAME
    if not lock.exists():
        return False
    with lock.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def load(state: Path) -> EmbeddedCloud:
    """The cloud that runs in a state folder.

    Raises:
        CloudError: None runs there.
    """
    state = state.absolute()
    address = state / ADDRESS_NAME
    if not is_running(state):
        address.unlink(missing_ok=True)
        raise CloudError(f"no embedded cloud runs in {state}; `retail-analytics up` starts one.")
    if not address.exists():
        raise CloudError(f"the embedded cloud in {state} is starting or ending; try again in a moment.")
    return EmbeddedCloud(state, CloudAddress.read(address))


def stop(state: Path) -> bool:
    """End the cloud of a state folder; answers whether one ran."""
    try:
        cloud = load(state)
    except CloudError:
        return False
    cloud.stop()
    return True


def status(state: Path) -> dict[str, Any]:
    """What runs in a state folder.

    Raises:
        CloudError: Nothing does, or it does not answer.
    """
    return load(state).status()


def end(state: Path, pid: int, patience_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
    """End a server process and wait until its state folder is free.

    Args:
        state: The folder.
        pid: The process.
        patience_seconds: How long it may take before it is killed, and then again.

    Raises:
        CloudError: It did not end, even when killed.
    """
    # One that does not end writes down where it stands before it is killed.
    for number, patience in (
        (signal.SIGTERM, patience_seconds),
        (signal.SIGUSR1, _STACKS_SECONDS),
        (signal.SIGKILL, patience_seconds),
    ):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if _wait(lambda: not is_running(state) and _is_gone(pid), patience):
            return
    raise CloudError(f"process {pid} of the embedded cloud in {state} does not end.")


def _is_gone(pid: int) -> bool:
    """Whether a process has ended, be it our child or not, reaped or not."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        # After the name, which may hold anything, in brackets.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in {"Z", "X"}


def _wait(condition: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    pause = 0.01
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)
    return True
