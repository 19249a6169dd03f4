"""Lives of processes that compact or refresh beside a test, and end as the test says (see ``mortals.py``)."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from retail_analytics_tests.integration.mortals import LONGEST_LIFE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date, datetime

    from retail_analytics_tests.integration.lakes import Lake

Action = str
"""``kill``, ``sent`` or ``stop``."""


# All others may change something.
READS = ("BatchGet", "Get", "Head", "List")


def deaths(calls: Sequence[str]) -> list[int]:
    """Before which calls to die: the first, and each after a write. Elsewhere it leaves the same behind."""
    return [1, *(number for number, before in enumerate(calls[:-1], 2) if not before.startswith(READS))]


@dataclass(frozen=True)
class Life:
    """A process under way, or past."""

    pid: int
    log: Path

    @property
    def _lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def calls(self) -> list[str]:
        """The remote calls that it has begun so far, in order."""
        return [line for line in self._lines if not line.startswith(("done ", "raised "))]

    @property
    def states(self) -> list[str]:
        """The states of its results; it must have come to its end."""
        assert self.last_words.startswith("done "), self.last_words
        return list(json.loads(self.last_words.removeprefix("done ")))

    @property
    def last_words(self) -> str:
        """The last that it noted: a call, its results, or what it raised."""
        return self._lines[-1].replace("\\n", "\n") if self._lines else "it made no call"


class Mortals:
    """Begins lives in a lake and waits for what becomes of them."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process, self._folder, self._count = process, folder, 0

    def compact(self, lake: Lake, hours: Sequence[datetime], **order: Any) -> Life:
        """A process that compacts these hours."""
        return self._begin(lake, hours=[hour.isoformat() for hour in hours], **order)

    def refresh(self, lake: Lake, tables: Sequence[str], days: Sequence[date], **order: Any) -> Life:
        """A process that refreshes these days of these tables."""
        return self._begin(lake, tables=list(tables), days=[day.isoformat() for day in days], **order)

    def ended(self, life: Life) -> list[str]:
        """Wait until a life has come to its end; the states of its results."""
        assert self.wait(life) == "exit 0"
        return life.states

    def wait(self, life: Life) -> str:
        """Wait for ``SIGKILL``, ``stopped`` or ``exit 0``; a life that raised fails the test."""
        found = str(self._ask({"wait": life.pid}))
        assert found in ("SIGKILL", "stopped", "exit 0"), life.last_words
        return found

    @staticmethod
    def go_on(life: Life) -> None:
        """Let a stopped life go on."""
        os.kill(life.pid, signal.SIGCONT)

    def _begin(self, lake: Lake, script: Mapping[int, Action] | None = None, **order: Any) -> Life:
        self._count += 1
        log = self._folder / f"{self._count}.log"
        environment = {
            "RETAIL_BUCKET": lake.settings.bucket,
            "RETAIL_DATABASE": lake.settings.database,
            "RETAIL_TARGET_FILE_BYTES": str(lake.settings.target_file_bytes),
        }
        made = {
            "feed": lake.feed.name,
            "environment": environment,
            "log": str(log),
            "script": script or {},
            **order,
        }
        return Life(self._ask(made), log)

    def _ask(self, order: Mapping[str, Any]) -> Any:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return _answer(self._process, LONGEST_LIFE_SECONDS + 10)


@contextmanager
def mortals_in(folder: Path) -> Iterator[Mortals]:
    """The process that forks lives, over the cloud that the environment names now."""
    errors = folder / "mortals.err"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "retail_analytics_tests.integration.mortals"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # numpy's threads would come before the forks
        )
    try:
        yield Mortals(process, folder)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # and whatever it has forked; stopped ones too
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream
            stream.close()


def _answer(process: subprocess.Popen[bytes], seconds: float) -> Any:
    assert process.stdout
    line = _readline(process.stdout, seconds)
    assert line, f"the process that forks ended: {process.poll()}"
    return json.loads(line)


def _readline(stream: IO[bytes], seconds: float) -> bytes:
    # One answer an order, each a line: nothing is left in the buffer behind it.
    with selectors.DefaultSelector() as ready:
        ready.register(stream, selectors.EVENT_READ)
        assert ready.select(seconds), f"no answer within {seconds:.0f} s"
    return stream.readline()
