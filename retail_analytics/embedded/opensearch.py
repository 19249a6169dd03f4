"""The OpenSearch-compatible server that runs beside the AWS endpoints.

A child process of the server; it ends when its standard input does, so that it never outlives the server,
whatever ends that. Its memory has a hard limit: a bulk of dense text can make it ask for many gigabytes, and
it is the one that must go then. It keeps everything in memory; what was indexed is gone when it stops.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import selectors
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

LOG = logging.getLogger(__name__)
START_TIMEOUT_SECONDS = 15.0
STOP_TIMEOUT_SECONDS = 5.0
BULK_DOCUMENTS = 2_000
"""How many documents to send it at a time: its cost is by bulk, where a real server's is by document."""

MEBIBYTE = 1024 * 1024
# Go reserves this much address space before it uses any of it.
_RESERVED_MEBIBYTES = 1536
# Where Go starts to collect garbage hard, as a share of the limit.
_SOFT_SHARE = 0.8


class SearchServerError(RuntimeError):
    """The search server did not come up; the message says why and which log to read."""


@dataclass(frozen=True)
class SearchServer:
    """A running search server."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @classmethod
    def start(cls, log_dir: Path, *, port: int | None, memory_mebibytes: int) -> SearchServer:
        """Start a server and wait until it answers.

        Args:
            log_dir: Where ``opensearch.log`` goes.
            port: The port on 127.0.0.1, or None for a free one.
            memory_mebibytes: How much it may allocate before it is ended.

        Raises:
            SearchServerError: It did not come up.
        """
        log = log_dir / "opensearch.log"
        environment = {**os.environ, "GOMEMLIMIT": f"{int(memory_mebibytes * _SOFT_SHARE)}MiB"}
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [str(_binary()), "-addr", f"127.0.0.1:{port or 0}", "-no-ja"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
            )
        limit = (memory_mebibytes + _RESERVED_MEBIBYTES) * MEBIBYTE
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
        line = _first_line(process)
        if line is None:
            process.kill()
            process.wait()
            taken = f" (is port {port} taken?)" if port else ""
            raise SearchServerError(f"the search server did not come up{taken}; see {log}")
        server = cls(process, str(json.loads(line)["url"]), log)
        threading.Thread(target=server._watch, name="opensearch-watch", daemon=True).start()
        return server

    def _watch(self) -> None:
        status = self.process.wait()
        if status not in {0, -15, -2}:
            LOG.error("the search server ended with status %d (out of memory?); see %s", status, self.log)

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """End the server."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _binary() -> Path:
    try:
        import osmem_server
    except ImportError as error:
        raise SearchServerError("osmem-server is not installed; install the extra `embedded`.") from error
    return Path(osmem_server.resolve_binary())


def _first_line(process: subprocess.Popen[bytes]) -> bytes | None:
    assert process.stdout is not None  # noqa: S101
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    read = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while b"\n" not in read:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return None
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                return None
            read += chunk
    return read.partition(b"\n")[0]
