"""Writing the services' state: in this process, or in a child that fork gives the memory of one moment.

The child takes no lock and runs nothing of the server's: whichever thread held which lock is not in it. Not
here: when (``keeper.py``), and how an object is written (``pickling.py``).
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from retail_analytics.embedded.state import pickling
from retail_analytics.embedded.state.folder import SnapshotError

if TYPE_CHECKING:
    from pathlib import Path

CHILD_SECONDS = 120.0
_FIRST_DESCRIPTOR = 3


@dataclass(frozen=True)
class KeptFunction:
    """A function on a stream, and how far it had come."""

    spec: dict[str, Any]
    positions: dict[str, int] = field(default_factory=dict)


def write_state(path: Path, functions: dict[str, KeptFunction]) -> None:
    """Write the services' state to a file, and see it on disk."""
    with path.open("xb") as file:
        state = {"backends": pickling.backends_in_use(), "functions": functions}
        pickling.StatePickler(file, pickle.HIGHEST_PROTOCOL).dump(state)
        file.flush()
        os.fsync(file.fileno())


def fork_writer(path: Path, functions: dict[str, KeptFunction]) -> int:
    """Have a child write the state as it is now; returns the child's process id."""
    child = os.fork()
    if child == 0:
        _write_and_exit(path, functions)
    return child


def _write_and_exit(path: Path, functions: dict[str, KeptFunction]) -> NoReturn:
    """In the child: write, and end without running anything of the server's."""
    status = 1
    try:
        # What is collected could ask for a lock that a thread held which is not in this process.
        gc.disable()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        # The folder's lock and the search server's standard input live as long as anyone holds them open.
        os.closerange(_FIRST_DESCRIPTOR, os.sysconf("SC_OPEN_MAX"))
        write_state(path, functions)
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, the parent learns of it and this process ends
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def await_child(child: int) -> None:
    """Wait for the child.

    Raises:
        SnapshotError: It failed, or took too long.
    """
    deadline = time.monotonic() + CHILD_SECONDS
    pause = 0.005
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise SnapshotError(f"writing the services' state took over {CHILD_SECONDS:.0f} s.")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    if status:
        raise SnapshotError("the services' state could not be written; the lines above say why.")
