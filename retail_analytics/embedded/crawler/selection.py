"""Which objects a crawler looks at, and at which level their tables begin, as its configuration says.

Belongs here: exclude patterns and table levels. Does not belong here: what tables the folders make
(`layout.py`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING

from retail_analytics.embedded.crawler import layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# `**` crosses folders, `*` and `?` do not; braces hold alternatives, brackets a class.
_PARTS = re.compile(r"(\*\*)|(\*)|(\?)|\[(!?)([^\]]+)\]|\{([^}]*)\}|\\(.)|(.)", re.DOTALL)


def excluded(relative: str, patterns: Sequence[str]) -> bool:
    """Whether an exclude pattern names an object, by its key below the include path."""
    return any(_compiled(pattern).fullmatch(relative) for pattern in patterns)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(_translated(pattern), re.DOTALL)


def _translated(pattern: str) -> str:
    out = []
    for found in _PARTS.finditer(pattern):
        across, within, one, negated, members, choices, escaped, plain = found.groups()
        if across or within or one:
            out.append(".*" if across else "[^/]*" if within else "[^/]")
        elif members:
            out.append(f"[{'^' if negated else ''}{members}]")
        elif choices is not None:
            out.append(f"(?:{'|'.join(_translated(choice) for choice in choices.split(','))})")
        else:
            out.append(re.escape(escaped or plain))
    return "".join(out)


def tables_at(
    root: str, found: Sequence[layout.Folder], *, level: int | None, combine: bool
) -> Iterator[layout.FoundTable]:
    """The tables below an include path, from the level on that the configuration names.

    Args:
        root: the include path, `s3://bucket/folder/`.
        found: the folders below it that hold objects.
        level: how many folders, the bucket among them, a table's location has; or None.
        combine: as in `layout.tables`.
    """
    if level is None:
        yield from layout.tables(root, found, combine=combine)
        return
    below: dict[str, list[layout.Folder]] = defaultdict(list)
    for folder in found:
        parts = folder.path.removeprefix("s3://").split("/")[:-1]
        below[f"s3://{'/'.join(parts[:level])}/"].append(folder)
    for path, folders in below.items():
        yield from layout.tables(path, folders, combine=combine)
