"""Which worker of pytest-xdist runs what, and in which order.

A file is one worker's, since its tests share what its fixtures start. Tests that need `retail-analytics dev`
are one worker's whatever file they are in: a session takes a minute to have something to show. What takes
longest begins first, so that no worker is left alone with it at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    import pytest

_SESSION = "dev/"
_LONGEST = (_SESSION, "integration/", "embedded/", "commands/", "search/")


class FilesAndSession(LoadFileScheduling):
    """Deals out files, and all files with tests of the session as if they were one."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return _SESSION if _path(file).startswith(_SESSION) else file


def longest_first(items: list[pytest.Item]) -> None:
    """Put the items of folders whose tests take long before the others."""
    items.sort(key=lambda item: _place(item.nodeid))


def _place(nodeid: str) -> int:
    path = _path(nodeid)
    return next((place for place, start in enumerate(_LONGEST) if path.startswith(start)), len(_LONGEST))


def _path(nodeid: str) -> str:
    return nodeid.removeprefix("retail_analytics_tests/")
