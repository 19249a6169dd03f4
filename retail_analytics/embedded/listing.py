"""Bucket listings that cost what they return, not what the bucket holds.

moto looks at every key of a bucket for every page of every listing. Here belongs the index beside a bucket's
keys (its names in order) and the walk over it, by prefix, delimiter and start. Not here: S3's wire side.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING, Any

from moto.s3.utils import _VersionedKeyStore

if TYPE_CHECKING:
    from collections.abc import Iterator

# No key sorts after a prefix followed by this.
_LAST = chr(0x10FFFF)
# New names are sorted in one by one up to this many, all at once beyond.
_FEW = 16


class SortedKeys(_VersionedKeyStore):
    """moto's key store with its names in order."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._names: list[str] = []
        self._new: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        """All versions of all keys; the index is made anew. Takes no lock."""
        return _from_versions, (dict(self),)

    def __setitem__(self, key: str, value: Any) -> None:
        """Add a version of a key."""
        with self._lock:
            self._note(key)
            super().__setitem__(key, value)

    def setlist(self, key: str, list_: Any) -> None:
        """Set all versions of a key."""
        with self._lock:
            self._note(key)
            super().setlist(key, list_)

    def pop(self, key: str) -> None:  # type: ignore[override]
        """Remove a key and all its versions."""
        with self._lock:
            super().pop(key)
            self._forget(key)

    def __delitem__(self, key: str) -> None:
        """Remove a key."""
        with self._lock:
            super().__delitem__(key)
            self._forget(key)

    def _note(self, key: str) -> None:
        if key not in self:
            self._new.add(key)

    def _forget(self, key: str) -> None:
        if key in self._new:
            self._new.remove(key)
            return
        index = bisect_left(self._names, key)
        if index < len(self._names) and self._names[index] == key:
            del self._names[index]

    def names(self) -> list[str]:
        """The names in order; the list is not to be changed."""
        with self._lock:
            if len(self._new) <= _FEW:
                for name in self._new:
                    insort(self._names, name)
            else:
                self._names = sorted([*self._names, *self._new])
            self._new.clear()
            return self._names

    def walk(self, prefix: str, delimiter: str, after: str) -> Iterator[str]:
        """Names and common prefixes in order.

        Args:
            prefix: What they begin with.
            delimiter: What ends a common prefix; empty for none.
            after: What they come after; a common prefix stands for all it begins.
        """
        with self._lock:
            names = self.names()
            index = bisect_left(names, prefix)
            if after:
                folder = delimiter and after.endswith(delimiter)
                index = max(
                    index, bisect_left(names, after + _LAST) if folder else bisect_right(names, after)
                )
            # A page is walked over a copy, since others go on writing.
            end = bisect_right(names, prefix + _LAST, lo=index) if prefix else len(names)
            names = names[index:end]
        position = 0
        while position < len(names):
            name = names[position]
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                yield name
                position += 1
            else:
                common = name[: cut + len(delimiter)]
                yield common
                position = bisect_left(names, common + _LAST, lo=position)


def _from_versions(versions: dict[str, list[Any]]) -> SortedKeys:
    keys = SortedKeys()
    for name, found in versions.items():
        keys.setlist(name, found)
    return keys
