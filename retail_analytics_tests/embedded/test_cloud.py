"""The cloud's life: start, find, end, and what it leaves behind (nothing)."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError

from retail_analytics.embedded import cloud
from retail_analytics.embedded.cloud import CloudError, EmbeddedCloud
from retail_analytics.embedded.functions import FunctionSpec
from retail_analytics_tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

HANDLERS = "retail_analytics_tests.embedded.handlers"


def ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state"
    yield folder
    cloud.stop(folder)


def test_start_find_and_end(state: Path) -> None:
    running = cloud.start(state)
    found = cloud.load(state)
    assert (found.id, found.pid, found.endpoint_url) == (running.id, running.pid, running.endpoint_url)
    assert cloud.status(state)["opensearch"]["alive"] is True
    assert running.environment()["AWS_ENDPOINT_URL"] == running.endpoint_url
    pids = running.pids
    assert cloud.stop(state) is True
    assert all(ended(pid) for pid in pids)
    assert not (state / cloud.ADDRESS_NAME).exists()
    assert cloud.stop(state) is False


def test_a_second_cloud_in_the_same_folder_is_refused(state: Path) -> None:
    cloud.start(state)
    with pytest.raises(CloudError, match="already runs in"):
        cloud.start(state)


def test_a_taken_port_is_named(state: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CloudError, match=f"port {port} .*Address already in use.*server.log"):
            cloud.start(state, port=port)
        with pytest.raises(CloudError, match=f"is port {port} taken.*opensearch.log"):
            cloud.start(state, opensearch_port=port)
    assert not cloud.is_running(state)


def test_given_ports_are_used(state: Path) -> None:
    with socket.socket() as free, socket.socket() as other:
        for sock in (free, other):
            sock.bind(("127.0.0.1", 0))
        ports = free.getsockname()[1], other.getsockname()[1]
    running = cloud.start(state, port=ports[0], opensearch_port=ports[1])
    assert running.endpoint_url == f"http://127.0.0.1:{ports[0]}"
    assert running.opensearch_url == f"http://127.0.0.1:{ports[1]}"


def test_a_killed_server_takes_everything_with_it_and_leaves_no_lock(state: Path) -> None:
    running = cloud.start(state)
    with running.applied():
        boto3.client("kinesis").create_stream(StreamName="s", ShardCount=1)
        running.add_function(FunctionSpec(name="slow", handler=f"{HANDLERS}.slow", stream="s"))
        boto3.client("kinesis").put_record(StreamName="s", Data=b"1", PartitionKey="k")
    server = psutil.Process(running.pid)
    until(lambda: len(server.children()) == 2)
    children = [child.pid for child in server.children()]
    os.kill(running.pid, signal.SIGKILL)
    until(lambda: all(ended(pid) for pid in children))
    until(lambda: not cloud.is_running(state))
    with pytest.raises(CloudError, match="no embedded cloud runs"):
        cloud.load(state)
    again = cloud.start(state)
    assert again.id != running.id


@pytest.mark.skipif(sys.platform != "linux", reason="signals are sent to one thread through Linux's tgkill")
def test_it_ends_on_a_signal_that_another_thread_takes(state: Path) -> None:
    running = cloud.start(state)
    running.status()  # by now its main thread waits
    libc = ctypes.CDLL(None, use_errno=True)
    # The youngest that still lives is one of Python's; the libraries' own threads take no signals.
    threads = sorted((one.id for one in psutil.Process(running.pid).threads()), reverse=True)
    assert any(libc.tgkill(running.pid, one, int(signal.SIGTERM)) == 0 for one in threads)

    until(lambda: not cloud.is_running(state))


def test_it_ends_with_its_parent_if_asked_to(state: Path) -> None:
    script = (
        "import sys, os; from pathlib import Path; from retail_analytics.embedded import cloud;"
        "running = cloud.start(Path(sys.argv[1]), die_with_parent=True);"
        "print(*running.pids, flush=True); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[2]
    parent = subprocess.run(
        [sys.executable, "-c", script, str(state)], cwd=root, capture_output=True, text=True, check=False
    )
    pids = [int(text) for text in parent.stdout.split()]
    assert len(pids) == 2
    until(lambda: all(ended(pid) for pid in pids))


def test_everything_listens_on_loopback_only(shared_cloud: EmbeddedCloud) -> None:
    for pid in shared_cloud.pids:
        listening = [c for c in psutil.Process(pid).net_connections() if c.status == psutil.CONN_LISTEN]
        assert listening
        assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


@pytest.mark.parametrize("service", ["dynamodb", "ec2", "lambda"])
def test_services_that_are_not_covered_are_refused_by_name(
    embedded_cloud: EmbeddedCloud, service: str
) -> None:
    calls = {"dynamodb": "list_tables", "ec2": "describe_instances", "lambda": "list_functions"}
    with pytest.raises(ClientError, match=r"not part of the embedded cloud|501"):
        getattr(boto3.client(service), calls[service])()


def test_status_is_plain_json(shared_cloud: EmbeddedCloud) -> None:
    document = shared_cloud.status()
    assert document["id"] == shared_cloud.id
    assert json.loads(json.dumps(document)) == document
    assert 0 < document["server_mebibytes"] < 1000


def test_the_environment_is_put_back(shared_cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with shared_cloud.applied():
        assert "AWS_PROFILE" not in os.environ
        assert os.environ["AWS_ENDPOINT_URL"] == shared_cloud.endpoint_url
    assert os.environ["AWS_PROFILE"] == "mine"
    assert "AWS_ENDPOINT_URL" not in os.environ
