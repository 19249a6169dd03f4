"""Objects' bytes on disk: written once, in packs, and referred to by the snapshots that follow.

A pack is a file of bodies one after another, written by one snapshot; an object's body never changes, so
that a snapshot costs the bytes that are new. A pack of which less than half is still referred to is let go:
its bodies go into the next. Not here: the objects' other attributes (``pickling.py``).
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from moto.s3.models import FakeKey, s3_backends

from retail_analytics.embedded.state.folder import SnapshotError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

# The attribute of moto's keys that holds where their body is.
ATTRIBUTE = "_kept_body"
# A snapshot of little news makes a small pack; beyond this many they are put together.
MOST_PACKS = 32


class Reference(NamedTuple):
    """Where a body is."""

    pack: str
    offset: int
    size: int


def reference(key: FakeKey) -> Reference | None:
    """Where an object's body is; None when it is in no pack yet."""
    found: Reference | None = key.__dict__.get(ATTRIBUTE)
    return found if found is not None and found.size == key.contentsize else None


def all_keys() -> Iterator[FakeKey]:
    """Every version of every object, and the parts of unfinished uploads."""
    for _, _, backend in list(s3_backends.iter_backends()):
        for bucket in list(backend.buckets.values()):  # type: ignore[attr-defined]
            # A copy is made in one step, while others write.
            for versions in list(dict.values(bucket.keys)):
                yield from (key for key in list(versions) if isinstance(key, FakeKey))
            for upload in list(bucket.multiparts.values()):
                yield from list(upload.parts.values())


class Packs:
    """The packs of a snapshot folder.

    Attributes:
        sizes: Each pack's size in bytes.
    """

    def __init__(self, folder: Path, sizes: dict[str, int]) -> None:
        self.sizes = dict(sizes)
        self._folder = folder

    def keep(self, name: str, *, tidy: bool) -> None:
        """Write the bodies that no pack holds yet into a new pack.

        Args:
            name: The new pack's file name; none is written when there is nothing to write.
            tidy: Whether to let go of packs that are mostly dead, and of the smallest of too many.
        """
        if tidy:
            self._let_go()
        missing = [key for key in all_keys() if reference(key) is None]
        if not missing:
            return
        with (self._folder / name).open("xb") as file:
            for key in missing:
                _write(file, name, key)
            file.flush()
            os.fsync(file.fileno())
            self.sizes[name] = file.tell()

    def _let_go(self) -> None:
        """Drop packs, and the references to them, so that what lives in them is written anew."""
        live: Counter[str] = Counter()
        for key in all_keys():
            found = reference(key)
            if found is not None:
                live[found.pack] += found.size
        poor = {name for name, size in self.sizes.items() if live[name] * 2 < size}
        poor |= set(sorted(self.sizes, key=self.sizes.__getitem__, reverse=True)[MOST_PACKS:])
        if poor:
            for key in all_keys():
                found = reference(key)
                if found is not None and found.pack in poor:
                    del key.__dict__[ATTRIBUTE]
            self.sizes = {name: size for name, size in self.sizes.items() if name not in poor}

    def read(self, where: Reference) -> bytes:
        """A body.

        Raises:
            SnapshotError: The pack is gone or cut short.
        """
        path = self._folder / where.pack
        try:
            with path.open("rb") as file:
                file.seek(where.offset)
                body = file.read(where.size)
        except OSError as error:
            raise SnapshotError(f"{path} cannot be read: {error.strerror}.") from error
        if len(body) != where.size:
            raise SnapshotError(f"{path} is cut short.")
        return body


def _write(file: BinaryIO, pack: str, key: FakeKey) -> None:
    try:
        body = key.value
    except ValueError:
        # Deleted since it was listed.
        return
    where = Reference(pack, file.tell(), len(body))
    file.write(body)
    key.__dict__[ATTRIBUTE] = where
