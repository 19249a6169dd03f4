"""A snapshot on disk: one manifest that names its files, replaced in one step.

The files of a snapshot are written and synced before the manifest that names them takes the place of the
one before, and what no manifest names is removed after that. A process that is killed at any point leaves
a whole snapshot. Not here: what is in the files.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

FOLDER_NAME = "snapshot"
MANIFEST_NAME = "snapshot.json"
# To be raised whenever what is kept changes in a way that an older snapshot does not fit.
FORMAT = 1


class SnapshotError(RuntimeError):
    """A snapshot cannot be taken or used; one sentence."""


def versions() -> dict[str, str]:
    """What must be the same for a snapshot to be read: pickled objects are of these modules' making."""
    major, minor, _ = platform.python_version_tuple()
    return {"format": str(FORMAT), "moto": metadata.version("moto"), "Python": f"{major}.{minor}"}


@dataclass(frozen=True)
class Manifest:
    """What a snapshot consists of.

    Attributes:
        cloud_id: The identity of the cloud.
        taken_at: The moment whose state it is, ISO 8601 in UTC.
        clean: Whether the cloud ended right after it, so that nothing came later.
        number: Counts a cloud's snapshots; part of its files' names.
        backends: The file of the services' state.
        packs: The files of objects' bytes, with their sizes in bytes.
        search: The search server's templates and indices; documents are in files that it names.
        addresses: Where the AWS endpoint and the search server listened, ``HOST:PORT`` each.
        versions: What wrote it.
    """

    cloud_id: str
    taken_at: str
    clean: bool
    number: int
    backends: str
    packs: dict[str, int]
    search: dict[str, Any]
    addresses: dict[str, str]
    versions: dict[str, str] = field(default_factory=versions)

    @classmethod
    def empty(cls, cloud_id: str) -> Manifest:
        """That of a cloud of which nothing is kept yet."""
        return cls(
            cloud_id,
            taken_at="",
            clean=False,
            number=0,
            backends="",
            packs={},
            search={},
            addresses={},
        )

    @property
    def taken(self) -> datetime:
        """The moment whose state it is."""
        return datetime.fromisoformat(self.taken_at)

    def files(self) -> set[str]:
        """The names of its files, the manifest's own included."""
        documents = {index["file"] for index in self.search.get("indices", []) if index["file"]}
        return {MANIFEST_NAME, self.backends, *self.packs, *documents}


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a snapshot folder, or None where there is no snapshot.

    Raises:
        SnapshotError: It was written by other versions, or is no manifest.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text())
        found, ours = document.get("versions"), versions()
        if found == ours:
            return Manifest(**document)
    except (ValueError, TypeError, AttributeError) as error:
        raise SnapshotError(
            f"{path} is no snapshot's manifest ({error}); start anew with --fresh."
        ) from error
    raise SnapshotError(
        f"The state in {folder} was kept by {_spelled(found)}, and this is {_spelled(ours)}:"
        " start anew with --fresh, or use the versions that kept it."
    )


def _spelled(named: object) -> str:
    if not isinstance(named, dict):
        return "another program"
    return ", ".join(f"{name} {version}" for name, version in named.items())


def publish(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in the place of the one before, then remove the files that it does not name."""
    scratch = folder / f"{MANIFEST_NAME}.new"
    with scratch.open("w") as file:
        json.dump(asdict(manifest), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(folder / MANIFEST_NAME)
    _sync_folder(folder)
    named = manifest.files()
    for path in folder.iterdir():
        if path.name not in named:
            path.unlink()


def forget(folder: Path) -> None:
    """Remove a snapshot, its manifest first."""
    if not folder.is_dir():
        return
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    for path in folder.iterdir():
        path.unlink()


def _sync_folder(folder: Path) -> None:
    # A rename is on disk when its folder is.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
