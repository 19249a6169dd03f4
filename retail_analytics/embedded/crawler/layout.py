"""Which objects form a table, and where its partitions are, as Glue's crawler decides it.

Folders below an include path whose schemas are alike are partitions of one table; where they are not, each
folder is looked at on its own. Folders named ``key=value`` give partition columns their names; others
become ``partition_0``, ``partition_1`` and so on. Pure functions of keys and schemas.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from retail_analytics.embedded.crawler.schema import Schema

_KEY_VALUE = re.compile(r"([^=]+)=(.*)\Z", re.DOTALL)
_NOT_IN_NAMES = re.compile(r"[^a-z0-9_]")


@dataclass(frozen=True)
class Folder:
    """A folder that holds objects itself.

    Attributes:
        path: Its key prefix, ending with a slash (empty for the bucket's root).
        keys: Its objects.
        schema: What they hold, merged.
    """

    path: str
    keys: tuple[str, ...]
    schema: Schema


@dataclass(frozen=True)
class FoundPartition:
    """A partition that was found."""

    values: tuple[str, ...]
    path: str
    schema: Schema


@dataclass(frozen=True)
class FoundTable:
    """A table that was found.

    Attributes:
        name: Its name, without the crawler's prefix.
        path: Its location's key prefix.
        schema: Its columns, partition columns left out.
        partition_keys: The partition columns' names.
        partitions: Its partitions; none for a table without partition columns.
        objects: How many objects it has.
    """

    name: str
    path: str
    schema: Schema
    partition_keys: tuple[str, ...]
    partitions: tuple[FoundPartition, ...]
    objects: int


def hidden(key: str, root: str) -> bool:
    """Whether a crawler passes an object by: a folder marker, or a name that begins with ``_`` or ``.``."""
    parts = key.removeprefix(root).split("/")
    return not parts[-1] or any(part.startswith(("_", ".")) for part in parts)


def folders(keys: Sequence[str]) -> dict[str, list[str]]:
    """The folders that hold objects themselves, with their keys."""
    found: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        found[key[: key.rfind("/") + 1]].append(key)
    return dict(found)


def tables(root: str, found: Sequence[Folder], *, combine: bool = False) -> Iterator[FoundTable]:
    """The tables below an include path.

    Args:
        root: The include path's key prefix, ending with a slash.
        found: The folders below it that hold objects.
        combine: Whether to make one table of it however the schemas differ, as long as formats agree.
    """
    if not found:
        return
    depths = {_depth(root, folder) for folder in found}
    first = found[0].schema
    alike = all(
        first.like(folder.schema) or (combine and first.format == folder.schema.format) for folder in found
    )
    if len(depths) == 1 and alike:
        yield _table(root, found, depths.pop())
        return
    below: dict[str, list[Folder]] = defaultdict(list)
    for folder in found:
        head, slash, _ = folder.path.removeprefix(root).partition("/")
        below[f"{root}{head}{slash}"].append(folder)
    for path, children in below.items():
        if path == root:
            yield _table(root, children, 0)
        else:
            yield from tables(path, children, combine=combine)


def _depth(root: str, folder: Folder) -> int:
    return folder.path.removeprefix(root).count("/")


def _table(root: str, found: Sequence[Folder], depth: int) -> FoundTable:
    schema = reduce(lambda left, right: left.merged(right), (folder.schema for folder in found))
    names = partition_names(found[0].path.removeprefix(root))
    partitions = tuple(
        FoundPartition(partition_values(folder.path.removeprefix(root)), folder.path, folder.schema)
        for folder in found
    )
    return FoundTable(
        name=table_name(root),
        path=root,
        schema=schema,
        partition_keys=names,
        partitions=partitions if depth else (),
        objects=sum(len(folder.keys) for folder in found),
    )


def partition_names(relative: str) -> tuple[str, ...]:
    """The partition columns of a folder below its table: ``year=2026/x/`` gives year, partition_1."""
    names = []
    for index, part in enumerate(relative.split("/")[:-1]):
        match = _KEY_VALUE.match(part)
        names.append(match.group(1).lower() if match else f"partition_{index}")
    return tuple(names)


def partition_values(relative: str) -> tuple[str, ...]:
    """The partition values of a folder below its table."""
    values = []
    for part in relative.split("/")[:-1]:
        match = _KEY_VALUE.match(part)
        values.append(match.group(2) if match else part)
    return tuple(values)


def table_name(root: str) -> str:
    """A table's name from its location: the last folder, in the letters that names may have."""
    last = root.rstrip("/").rpartition("/")[2]
    return _NOT_IN_NAMES.sub("_", last.lower()) or "table"


def unique_names(found: Sequence[FoundTable], taken: Mapping[str, str]) -> Iterator[tuple[str, FoundTable]]:
    """Each table with a name that no other location has; a clash gets a number at its end.

    Args:
        found: The tables.
        taken: Names in use, with the location that each belongs to.
    """
    used = dict(taken)
    for table in found:
        name, number = table.name, 1
        while used.get(name, table.path) != table.path:
            number += 1
            name = f"{table.name}_{number}"
        used[name] = table.path
        yield name, table
