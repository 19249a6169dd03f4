"""What every benchmark does alike: a place of its own, Dagster's daemon, results on disk and on the screen.

Figures are wall-clock times of one machine; what it was and which versions ran are written down beside them.
Not here: what is measured.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES, RunsFilter

from retail_analytics.commands.local_storage import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

RESULTS = Path(__file__).parent / "results"

_PACKAGES = ("dagster", "dagster-aws", "boto3", "moto", "duckdb", "sqlglot", "pyathena", "pyarrow", "pandas")
_GRACE_SECONDS = 30.0
_FIRST_WAIT_SECONDS = 0.02


class BenchmarkError(RuntimeError):
    """Nothing can be measured; the message says why."""


def local_dagster(home: Path) -> dg.DagsterInstance:
    """An instance in that folder, which is made, with the storage that a laptop's has."""
    home.mkdir()
    storage = {
        "module": LocalStorage.__module__,
        "class": LocalStorage.__name__,
        "config": {"base_dir": str(home)},
    }
    return dg.DagsterInstance.local_temp(str(home), overrides={"storage": {"custom": storage}})


def write_results(suite: str, metrics: Mapping[str, float]) -> Path:
    """Write ``results/SUITE.json``: metrics, machine, versions; returns its path."""
    path = RESULTS / f"{suite}.json"
    path.parent.mkdir(exist_ok=True)
    document = {"metrics": dict(metrics), "machine": machine(), "versions": versions()}
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


def machine() -> dict[str, Any]:
    """What the figures were measured on: cores, memory in GiB, system, Python."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """The versions of the packages that the figures depend on."""
    return {name: version(name) for name in _PACKAGES}


def table(rows: Mapping[str, str]) -> str:
    """Names and values as an aligned table."""
    width = max(map(len, rows))
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows.items())


def wait_until(condition: Callable[[], bool], seconds: float, what: str, longest: float = 0.1) -> float:
    """Poll with backoff until the condition holds; returns the seconds that it took.

    Args:
        condition: What to wait for.
        seconds: How long, at the most.
        what: What is waited for, for the message.
        longest: The longest pause between two looks, in seconds: the figure's resolution.

    Raises:
        BenchmarkError: It did not come to hold in time.
    """
    begun = time.monotonic()
    pause = _FIRST_WAIT_SECONDS
    while not condition():
        if time.monotonic() - begun > seconds:
            raise BenchmarkError(f"{what}: not within {seconds:.0f} s.")
        time.sleep(pause)
        pause = min(pause * 1.5, longest)
    return time.monotonic() - begun


def wait_until_quiet(instance: dg.DagsterInstance, still_seconds: float, seconds: float) -> None:
    """Wait until Dagster has had nothing to do for a while.

    Args:
        instance: The Dagster instance that the daemon works on.
        still_seconds: For how long no run and no backfill may have been under way.
        seconds: How long to wait for that, at the most.

    Raises:
        BenchmarkError: There was always something to do.
    """
    still_since = time.monotonic()

    def quiet() -> bool:
        nonlocal still_since
        if _busy(instance):
            still_since = time.monotonic()
        return time.monotonic() - still_since >= still_seconds

    wait_until(quiet, seconds, "Dagster comes to rest", longest=0.5)


def _busy(instance: dg.DagsterInstance) -> bool:
    requested = BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED])
    if instance.get_backfills(filters=requested, limit=1):
        return True
    return instance.get_runs_count(RunsFilter(statuses=NOT_FINISHED_STATUSES)) > 0


@contextmanager
def dagster_daemon(workspace: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon with its code server, in a session of its own that ends with the block.

    Args:
        workspace: The workspace file that it loads.
        log: Where all that it prints goes.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(workspace)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end_session(process)


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End the daemon, and then whatever of its process group is left."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            wait_until(lambda: not _group_lives(process.pid), _GRACE_SECONDS, "the daemon's processes end")
        except ProcessLookupError:
            return
        except BenchmarkError:
            continue  # TERM was not enough


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
