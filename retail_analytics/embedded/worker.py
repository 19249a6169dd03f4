"""The server's side of a function's process: start it, call it, end it.

A worker is started at its first call and again after it died, timed out or was ended. Not here: what is
handed to it and when (``consumer.py``), and what runs inside it (``lambda_worker.py``).
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

from retail_analytics.embedded.lambda_worker import MEMORY_VARIABLE
from retail_analytics.embedded.moto_backends import ACCOUNT_ID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from retail_analytics.embedded.functions import FunctionSpec

LOG = logging.getLogger(__name__)
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 3.0


class FunctionError(RuntimeError):
    """A call failed: the handler raised, timed out, or its process died."""


class Worker:
    """One process of one function; not to be called by two threads at once."""

    def __init__(
        self, spec: FunctionSpec, region: str, environment: Mapping[str, str], log_dir: Path
    ) -> None:
        """Describe a worker; no process runs before the first call.

        Args:
            spec: The function.
            region: The region, part of the function's ARN.
            environment: What every function has beside its own variables.
            log_dir: Where ``function-NAME.log`` goes.
        """
        self._spec = spec
        self._arn = f"arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{spec.name}"
        self._log = log_dir / f"function-{spec.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._environment = {
            **environment,
            **spec.environment,
            MEMORY_VARIABLE: str(spec.memory_mebibytes),
            "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        }

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def invoke(self, event: dict[str, Any]) -> Any:
        """Call the handler.

        Raises:
            FunctionError: The handler raised, timed out, or its process died.
        """
        process = self._running()
        request = {
            "event": event,
            "function_name": self._spec.name,
            "function_arn": self._arn,
            "request_id": str(uuid.uuid4()),
            "timeout_seconds": self._spec.timeout_seconds,
        }
        assert process.stdin is not None  # noqa: S101
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except OSError as error:
            self.stop()
            raise FunctionError(f"function {self._spec.name}'s process is gone; see {self._log}") from error
        return self._answer(self._spec.timeout_seconds)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.stop()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "retail_analytics.embedded.lambda_worker", self._spec.handler],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
            )
        self._answer(START_TIMEOUT_SECONDS)
        return self._process

    def _answer(self, timeout: float) -> Any:
        line = self._read_line(timeout)
        answer = json.loads(line)
        if "error" in answer:
            error = answer["error"]
            raise FunctionError(f"{error['errorType']}: {error['errorMessage']}")
        return answer["result"]

    def _read_line(self, timeout: float) -> bytes:
        assert self._process is not None and self._process.stdout is not None  # noqa: PT018, S101
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self.stop()
                    raise FunctionError(f"Task timed out after {timeout:.2f} seconds")
                chunk = os.read(descriptor, 1 << 20)
                if not chunk:
                    status = self.stop()
                    raise FunctionError(f"Runtime exited with status {status}; see {self._log}")
                self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def stop(self) -> int | None:
        """End the process, if any; answers its exit status."""
        process, self._process, self._unread = self._process, None, b""
        if process is None:
            return None
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    LOG.debug("function %s was gone before its input was closed", self._spec.name)
        try:
            return process.wait(0.2)
        except subprocess.TimeoutExpired:
            process.terminate()
        try:
            return process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
