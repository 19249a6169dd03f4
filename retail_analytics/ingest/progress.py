"""Shows how far long work has come, on standard error.

A bar on a terminal; elsewhere (a log, CI) a line every few seconds. Not here: what is being counted.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_BETWEEN_FRAMES = 0.1
_WIDTH = 24  # of the bar, in characters


class Progress:
    """A count on its way to a total.

    Args:
        doing: What is going on, as in ``Loading``.
        total: The expected count; None where there is no telling.
        unit: What is counted.
    """

    def __init__(self, doing: str, total: int | None, unit: str = "records") -> None:
        self._doing = doing
        self._total = total
        self._unit = unit
        self._done = 0
        self._started = self._told = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._terminal and self._done:
            print(f"\r{self._line()}", file=sys.stderr, flush=True)

    def __call__(self, done: int) -> None:
        """Say that so many are done."""
        self._done = done
        now = time.monotonic()
        if now - self._told < (_SECONDS_BETWEEN_FRAMES if self._terminal else _SECONDS_BETWEEN_LINES):
            return
        self._told = now
        if self._terminal:
            print(f"\r{self._line()}", end="", file=sys.stderr, flush=True)
        else:
            print(self._line(), file=sys.stderr, flush=True)

    def _line(self) -> str:
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        count = f"{self._done:,} {self._unit}, {rate:,.0f}/s"
        if not self._total:
            return f"{self._doing}: {count} "
        share = min(self._done / self._total, 1.0)
        bar = ("#" * round(share * _WIDTH)).ljust(_WIDTH, ".")
        return f"{self._doing}: [{bar}] {share:4.0%} {count} "
