"""The upsert handler as Lambda takes it: a zip of the function, and a zip of its layer ``es-lib``.

Here belongs making the two files, the same bytes from the same sources and versions. Not here: deploying
them (``infra/``). boto3 is not packed: the Lambda runtime has it. Compiled parts are left out, since every
package in the layer works without them; so the files fit any architecture.
"""

from __future__ import annotations

import importlib.metadata
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import retail_analytics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FUNCTION_ZIP = "upsert_to_es.zip"
LAYER_ZIP = "es-lib.zip"

# What the handler imports of this package; a test runs the zip with nothing else on the path.
_MODULES = (
    "__init__",
    "search/__init__",
    "search/bulk",
    "search/connection",
    "search/counts",
    "search/dead_letters",
    "search/documents",
    "search/handler_settings",
    "search/letters",
    "search/rules",
    "search/upsert_to_es",
    "search/values",
)
# opensearch-py's client for gRPC, which the handler does not use; 20 MB of compiled code.
_LEFT_OUT = frozenset({"grpcio", "opensearch-protobufs", "protobuf", "typing-extensions"})
_COMPILED = (".so", ".pyd", ".dylib", ".pyc")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say
_MODE = 0o100644 << 16


class PackagingError(RuntimeError):
    """The handler cannot be packed from what is installed here."""


@dataclass(frozen=True)
class Packed:
    """A zip that was written.

    Attributes:
        path: Where.
        files: Its files.
        bytes: Its size.
    """

    path: Path
    files: int
    bytes: int


def package_handler(output: Path) -> tuple[Packed, Packed]:
    """Write the function's zip and the layer's zip into a folder, which is made if need be.

    Raises:
        PackagingError: A package of the layer is not installed, or not as files.
    """
    output.mkdir(parents=True, exist_ok=True)
    root = Path(retail_analytics.__file__).parent
    function = {f"retail_analytics/{module}.py": root / f"{module}.py" for module in _MODULES}
    layer = {f"python/{name}": path for name, path in _layer_files()}
    return _write(output / FUNCTION_ZIP, function), _write(output / LAYER_ZIP, layer)


def _write(target: Path, files: Mapping[str, Path]) -> Packed:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            about = zipfile.ZipInfo(name, _EPOCH)
            about.external_attr = _MODE
            about.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(about, files[name].read_bytes())
    return Packed(target, len(files), target.stat().st_size)


def _layer_files() -> Iterator[tuple[str, Path]]:
    for name in sorted(_requirements("opensearch-py", set())):
        files = importlib.metadata.files(name)
        if not files:
            raise PackagingError(f"{name} is not installed as files; install it from a wheel.")
        for file in files:
            inside = not file.is_absolute() and ".." not in file.parts and "__pycache__" not in file.parts
            # What an installer adds differs from machine to machine.
            added = file.name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
            if inside and not added and file.suffix not in _COMPILED:
                yield file.as_posix(), Path(str(file.locate()))


def _requirements(name: str, seen: set[str]) -> set[str]:
    """The package and all that it needs at run time, by normalised name."""
    seen.add(name)
    try:
        requires = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise PackagingError(f"{name} is not installed; install this package with its needs.") from error
    for requirement in requires:
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        needed = re.sub(r"[-_.]+", "-", match.group()).lower() if match else ""
        optional = "extra ==" in requirement
        if needed and not optional and needed not in seen | _LEFT_OUT:
            _requirements(needed, seen)
    return seen
