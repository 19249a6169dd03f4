"""Waiting for what another thread or process does, with one patience that no busy machine exhausts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE_SECONDS = 120.0
_LONGEST_PAUSE_SECONDS = 0.5


def until(look: Callable[[], T], reached: Callable[[T], object] = bool) -> T:
    """Look again and again, less and less often, until what is seen will do; return that.

    Raises:
        AssertionError: It did not within ``PATIENCE_SECONDS``; says what was seen last.
    """
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, 0.005
    while not reached(seen := look()):
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:.0f} s; last seen: {seen!r}"
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
    return seen
