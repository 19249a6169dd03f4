"""The process in which a function runs: one JSON event a line in, one JSON answer a line out.

Started as ``python -m retail_analytics.embedded.lambda_worker HANDLER`` with the function's own environment.
It imports nothing of this package, so that the handler finds what it would find on AWS. What the handler
prints goes to standard error, which is the function's log. It ends when its standard input does.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY_VARIABLE = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
MEBIBYTE = 1024 * 1024
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Context:
    """What a handler is given beside its event, with the names that AWS uses."""

    function_name: str
    aws_request_id: str
    memory_limit_in_mb: str
    invoked_function_arn: str
    deadline: float
    function_version: str = "$LATEST"

    @property
    def log_group_name(self) -> str:
        """The log group that the function would have on AWS."""
        return f"/aws/lambda/{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the call times out."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))


def load_handler(name: str) -> Callable[[Any, Any], Any]:
    """Import ``package.module.function``."""
    module, _, function = name.rpartition(".")
    handler: Callable[[Any, Any], Any] = getattr(importlib.import_module(module), function)
    return handler


def answer(handler: Callable[[Any, Any], Any], request: dict[str, Any]) -> dict[str, Any]:
    """Call the handler; an exception becomes Lambda's error document."""
    context = Context(
        function_name=request["function_name"],
        aws_request_id=request["request_id"],
        memory_limit_in_mb=os.environ.get(MEMORY_VARIABLE, ""),
        invoked_function_arn=request["function_arn"],
        deadline=time.monotonic() + request["timeout_seconds"],
    )
    try:
        return {"result": json.loads(json.dumps(handler(request["event"], context)))}
    except Exception as error:  # noqa: BLE001 - whatever a handler raises is its answer
        return {"error": error_document(error)}


def error_document(error: BaseException) -> dict[str, Any]:
    """An exception as Lambda reports it; its traceback also goes to the log."""
    trace = traceback.format_exception(error)
    sys.stderr.write("".join(trace))
    return {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": trace}


def end_with_parent() -> None:
    """Have the kernel end this process with the thread that started it, were it killed in mid-call."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(handler_name: str) -> int:
    """Serve calls until standard input ends."""
    end_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    limit = int(os.environ.get(MEMORY_VARIABLE, "0")) * MEBIBYTE
    if limit:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        handler = load_handler(handler_name)
    except Exception as error:  # noqa: BLE001 - a module that fails to import is reported, not raised
        started: dict[str, Any] = {"error": error_document(error)}
    else:
        started = {"result": "ready"}
    print(json.dumps(started), file=answers, flush=True)
    if "error" in started:
        return 1
    for line in sys.stdin:
        print(json.dumps(answer(handler, json.loads(line))), file=answers, flush=True)
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
