"""``python -m retail_analytics_tests.integration.mortals``: processes that die or stop at a remote call.

A warmed process without a thread forks one child an order, so that a life costs a fork and not the imports.
A child compacts hours or refreshes days, counts the remote calls that it makes, and acts out its script:
``kill`` itself (SIGKILL) before the call of that number, or when it is ``sent`` but not yet answered; or
``stop`` itself before it, until it is told to go on. It may also dawdle before each call. Polls are no calls
to count: how many there are depends on time. ``lives.py`` gives the orders.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
import traceback
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from retail_analytics.batch import compaction, processed
from retail_analytics.batch.staging import Pipeline
from retail_analytics.feeds import get_feed
from retail_analytics.lake.partitions import Catalog
from retail_analytics.resources.athena import AthenaResource
from retail_analytics.resources.clients import glue_client, s3_client, session
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest

POLLS = ("GetQueryExecution", "GetQueryRuntimeStatistics")
LONGEST_LIFE_SECONDS = 180


class Script:
    """What a child does at which of its remote calls."""

    def __init__(self) -> None:
        self.order: dict[str, Any] = {"script": {}}
        self.calls = 0
        self.log = -1

    def begin(self, order: dict[str, Any]) -> None:
        """Live by this order from now on."""
        self.order = order
        self.chance = random.Random(order.get("seed"))
        self.log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, what: str) -> None:
        """Write a line at once: nothing is flushed by a killed process."""
        os.write(self.log, f"{what}\n".encode())

    def before_call(self, model: Any, **_: Any) -> None:
        """A call is about to be made."""
        if model.name in POLLS:
            return
        self.calls += 1
        self.note(model.name)
        if self.due("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.due("stop"):
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(self.chance.uniform(0, self.order.get("dawdle_seconds", 0)))

    def before_send(self, request: AWSPreparedRequest, event_name: str, **_: Any) -> None:
        """A request is ready to be sent."""
        if self.due("sent") and event_name.rsplit(".", 1)[-1] not in POLLS:
            _send(request)
            os.kill(os.getpid(), signal.SIGKILL)

    def due(self, action: str) -> bool:
        """Whether that is to be done at the present call."""
        return bool(self.order["script"].get(str(self.calls)) == action)


def _send(request: AWSPreparedRequest) -> None:
    """Put the whole request on the wire, and wait for nothing."""
    url = urlsplit(request.url)
    assert url.hostname
    assert url.port
    body = request.body or b""
    if not isinstance(body, bytes):
        body = body.encode() if isinstance(body, str) else body.read()
    headers = {"Host": url.netloc, **dict(request.headers.items()), "Content-Length": str(len(body))}
    target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    lines = [f"{request.method} {target} HTTP/1.1"]
    for name, value in headers.items():
        lines.append(f"{name}: {value.decode() if isinstance(value, bytes) else value}")
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)


def live(script: Script) -> None:
    """A child's life: its work, and what came of it as the last line of its log."""
    order = script.order
    os.environ.update(order["environment"])
    settings, feed = Settings.from_env(), get_feed(order["feed"])
    pipeline = Pipeline(
        feed,
        settings,
        s3_client(settings.region),
        AthenaResource.of(settings),
        Catalog(glue_client(settings.region), settings.database),
    )
    if "days" in order:
        days = [date.fromisoformat(day) for day in order["days"]]
        made = [processed.refresh(pipeline, name, days) for name in order["tables"]]
        script.note("done " + json.dumps([result.state for each in made for result in each]))
    else:
        hours = [datetime.fromisoformat(hour) for hour in order["hours"]]
        results = compaction.compact(pipeline, hours)
        script.note("done " + json.dumps([f"{r.state} {r.problem}".strip() for r in results]))


def fork(script: Script, order: dict[str, Any]) -> int:
    """Begin a life; returns its process id."""
    child = os.fork()
    if child:
        return child
    try:
        signal.alarm(LONGEST_LIFE_SECONDS)
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)  # answers are the parent's alone
        script.begin(order)
        live(script)
        os._exit(0)
    except BaseException:  # noqa: BLE001 - nothing of a child may reach the parent's loop
        script.note("raised " + json.dumps(traceback.format_exc()[-3000:]))
        os._exit(1)


def wait(child: int) -> str:
    """Wait until a child was killed, has stopped or has ended; says which."""
    _, status = os.waitpid(child, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return "stopped"
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit {os.WEXITSTATUS(status)}"


def main() -> None:
    """Carry out orders, a line of JSON each, until there are no more."""
    script = Script()
    aws = session(Settings.from_env().region)
    aws.events.register_first("before-call.*.*", script.before_call)
    aws.events.register_first("before-send.*.*", script.before_send)
    for name in ("s3", "glue", "athena"):
        aws.client(name)  # loads what every life would load
    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise RuntimeError("Forking a process with threads may hang its children; a warmed module made some.")
    for line in sys.stdin:
        order = json.loads(line)
        answer = wait(order["wait"]) if "wait" in order else fork(script, order)
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
