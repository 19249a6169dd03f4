"""``retail-analytics dev`` as a user starts it, for tests: a process, its GraphQL endpoint, its lake.

Its fixtures are in ``conftest.py``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from retail_analytics.embedded import cloud
from retail_analytics.feeds import get_feed
from retail_analytics.lake import hours
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from retail_analytics.feeds import Feed

ROOT = Path(__file__).resolve().parents[2]
HISTORY_RECORDS = 300
_END_SECONDS = 180.0
# Longer than anything takes on a machine that has much else to do: it is there for what never comes.
_PATIENCE_SECONDS = 600.0
# A session is no child of the terminal: tests that are killed would leave it and its daemon behind. Tests in
# the background of a shell ignore Ctrl-C, which the session would inherit.
_AS_CTRL_C_WHEN_WE_END = """
import ctypes, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
PR_SET_PDEATHSIG = 1
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def lives(process: psutil.Process) -> bool:
    """Whether a process is there and has not ended; another one that got its pid since is not it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass
class DevSession:
    """A running ``retail-analytics dev``."""

    process: subprocess.Popen[bytes]
    port: int
    state: Path
    log: Path
    begun: datetime
    interrupted: bool = False

    @property
    def feed(self) -> Feed:
        return get_feed("retail_trans")

    @cached_property
    def cloud(self) -> cloud.EmbeddedCloud:
        return cloud.load(self.state)

    @cached_property
    def settings(self) -> Settings:
        return Settings.from_env({**self.cloud.environment()})

    @property
    def closed(self) -> datetime:
        """The end of the last hour that was closed when the session began."""
        return hours.closed_until(self.feed, self.settings, self.begun)

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask Dagster's webserver, as its pages do."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_PATIENCE_SECONDS) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Poll with backoff; a session that ended or a deadline that passed fails with its log."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        pause = 0.1
        while not condition():
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                why = (
                    f"dev ended with {self.process.returncode}"
                    if ended
                    else f"not within {_PATIENCE_SECONDS:.0f} s"
                )
                pytest.fail(f"{what}: {why}. {self.log}:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def answers(self) -> bool:
        """Whether the webserver is up and knows the code location."""
        if not listens(self.port):
            return False
        return bool(self.graphql("{ assetNodes { id } }")["assetNodes"])

    def partition_keys(self, asset: str) -> list[str]:
        """The asset's partitions, as the UI lists them."""
        answer = self.graphql(
            "query($key: AssetKeyInput!)"
            " { assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeys } } }",
            key={"path": [self.feed.name, asset]},
        )
        return list(answer["assetNodeOrError"]["partitionKeys"])

    def materializations(self, asset: str, *partitions: str) -> list[dict[str, Any]]:
        """The asset's materialisations, newest first: runId, seconds, partition, metadata by label."""
        answer = self.graphql(
            """query($key: AssetKeyInput!, $partitions: [String!]) {
              assetNodeOrError(assetKey: $key) { ... on AssetNode {
                assetMaterializations(partitions: $partitions, limit: 1000) {
                  runId timestamp partition
                  metadataEntries { label
                    ... on TextMetadataEntry { text }
                    ... on IntMetadataEntry { intValue }
                    ... on MarkdownMetadataEntry { mdStr } } } } } }""",
            key={"path": [self.feed.name, asset]},
            partitions=list(partitions) or None,
        )
        return [
            {
                "runId": each["runId"],
                "seconds": float(each["timestamp"]) / 1000,
                "partition": each["partition"],
                "metadata": {
                    entry["label"]: entry.get("text") or entry.get("mdStr") or entry.get("intValue")
                    for entry in each["metadataEntries"]
                },
            }
            for each in answer["assetNodeOrError"]["assetMaterializations"]
        ]

    def checks(self, asset: str) -> dict[str, bool]:
        """Check name to whether it ran on the latest materialisation and passed."""
        answer = self.graphql(
            """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
              assetChecksOrError { ... on AssetChecks { checks { name
                executionForLatestMaterialization { status evaluation { success } } } } } } } }""",
            key={"path": [self.feed.name, asset]},
        )
        passed = {}
        for check in answer["assetNodeOrError"]["assetChecksOrError"]["checks"]:
            execution = check["executionForLatestMaterialization"] or {}
            evaluation = execution.get("evaluation") or {}
            passed[check["name"]] = execution.get("status") == "SUCCEEDED" and bool(evaluation.get("success"))
        return passed

    def materialized_hours(self, asset: str) -> set[str]:
        """The hours, closed when the session began, of which the asset has a materialisation."""
        closed = hours.partition_key(self.closed)
        return {each["partition"] for each in self.materializations(asset) if each["partition"] < closed}

    def hours(self) -> list[str]:
        """The hours that were closed when the session began."""
        closed = hours.partition_key(self.closed)
        return [key for key in self.partition_keys("raw") if key < closed]

    def processes(self) -> list[psutil.Process]:
        """Everything that the session started and that lives: descendants, and who has its Dagster home."""
        home = str(self.state / "dagster")
        found = {self.process.pid: psutil.Process(self.process.pid)} if self.process.poll() is None else {}
        found |= {each.pid: each for root in list(found.values()) for each in root.children(recursive=True)}
        for each in psutil.process_iter():
            try:
                if each.pid != os.getpid() and each.environ().get("DAGSTER_HOME") == home:
                    found[each.pid] = each
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return list(found.values())

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit status."""
        self.interrupted = True
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(_END_SECONDS)


@contextmanager
def dev_session(state: Path, *, records: int = HISTORY_RECORDS, rate: float = 2) -> Iterator[DevSession]:
    """Start ``retail-analytics dev`` in a session of its own; what is left of it at the end is killed."""
    port, log = free_port(), state.parent / "dev.log"
    hidden = ("AWS_", "RETAIL_", "DAGSTER_HOME")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    begun = datetime.now(UTC)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _AS_CTRL_C_WHEN_WE_END),
                *("-m", "retail_analytics.cli", "dev", "--port", str(port)),
                *("--state-dir", str(state), "--days", "2", "--records", str(records), "--rate", str(rate)),
            ],
            cwd=ROOT,
            env={**environment, "DAGSTER_DISABLE_TELEMETRY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    session = DevSession(process, port, state, log, begun)
    known: list[psutil.Process] = []
    try:
        session.wait_until(session.answers, "the webserver answers")
        known = session.processes()
        yield session
    finally:
        known += session.processes()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for each in known:
            if lives(each):
                each.kill()
