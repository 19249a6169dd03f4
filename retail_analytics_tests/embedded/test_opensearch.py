"""The search server beside the cloud: its start, its limit and its end."""

from __future__ import annotations

import json
import logging
import random
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import psutil
import pytest

from retail_analytics.embedded import opensearch
from retail_analytics.embedded.opensearch import SearchServer, SearchServerError
from retail_analytics_tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 64
# The address space of a server that has just started, about.
RESERVED = 1300


def bulk(server: SearchServer, documents: int, seed: int) -> None:
    words = random.Random(seed)
    lines = []
    for number in range(documents):
        text = " ".join(f"{words.getrandbits(40):x}" for _ in range(120))
        lines += ['{"index": {}}', json.dumps({"n": number, "text": text})]
    request = urllib.request.Request(
        f"{server.url}/dense/_bulk",
        data=("\n".join(lines) + "\n").encode(),
        headers={"Content-Type": "application/x-ndjson"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        response.read()


def test_too_much_ends_the_search_server_alone_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opensearch, "_RESERVED_MEBIBYTES", RESERVED)
    monkeypatch.setattr(opensearch, "_SOFT_SHARE", 2.0)
    server = SearchServer.start(tmp_path, port=None, memory_mebibytes=LIMIT)
    process = psutil.Process(server.process.pid)
    most = 0
    try:
        with caplog.at_level(logging.ERROR):
            for seed in range(200):
                try:
                    bulk(server, 1000, seed)
                except (urllib.error.URLError, ConnectionError):
                    break
                most = max(most, process.memory_info().rss >> 20)
            until(lambda: "out of memory" in caplog.text)
        assert not server.alive
        assert most <= LIMIT * 4
    finally:
        server.stop()


def test_a_server_that_ends_at_once_names_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "server"
    script.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(opensearch, "_binary", lambda: script)
    with pytest.raises(SearchServerError, match=r"did not come up.*opensearch\.log"):
        SearchServer.start(tmp_path, port=None, memory_mebibytes=LIMIT)
    assert (tmp_path / "opensearch.log").read_text() == "broken\n"


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "server"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(opensearch, "_binary", lambda: script)
    monkeypatch.setattr(opensearch, "START_TIMEOUT_SECONDS", 0.2)
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        opensearch.subprocess,
        "Popen",
        lambda *args, **kwargs: started.append(popen(*args, **kwargs)) or started[-1],
    )
    with pytest.raises(SearchServerError, match="did not come up"):
        SearchServer.start(tmp_path, port=None, memory_mebibytes=LIMIT)
    assert started[0].poll() is not None
