"""The container image without a container: its Dockerfile's instructions, and the context that Docker is given.

Not here: what is asked of them (``test_image.py``), and the programs at work (``test_image_runs.py``).
"""

from __future__ import annotations

import fnmatch
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]


def instructions(dockerfile: Path = ROOT / "Dockerfile") -> list[tuple[str, str]]:
    """The instructions in order, (name, arguments), continued lines joined."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    parted = (line.strip().partition(" ") for line in text.splitlines() if line.strip())
    return [(name.upper(), rest.strip()) for name, _, rest in parted]


def copied() -> list[tuple[list[str], str]]:
    """What is copied into the image: (sources, target)."""
    words = [shlex.split(rest) for name, rest in instructions() if name == "COPY"]
    return [(each[:-1], each[-1]) for each in words]


def environment() -> dict[str, str]:
    """The image's own variables."""
    words = [word for name, rest in instructions() if name == "ENV" for word in shlex.split(rest)]
    return dict(word.split("=", 1) for word in words)


def is_in_context(path: str) -> bool:
    """Whether ``.dockerignore`` leaves a path to Docker: the last line that fits it decides."""
    kept = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().removeprefix("!")
        if pattern and not pattern.startswith("#") and _fits(path, pattern):
            kept = line.strip().startswith("!")
    return kept


def _fits(path: str, pattern: str) -> bool:
    names = path.split("/")
    above = ["/".join(names[:end]) for end in range(1, len(names) + 1)]
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatch(name, pattern[3:]) for name in names)
    return any(fnmatch.fnmatch(each, pattern) for each in above)
