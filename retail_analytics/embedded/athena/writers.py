"""A query's rows as files: Parquet, JSON or text, one folder a partition.

Belongs here: writing locally, then putting the files into S3 all or none. Does not belong here: the catalog
(`ctas.py`).
"""

# ruff: noqa: S608 - making SQL is what this module does; names go through quoted(), texts through literal()

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote
from uuid import uuid4

from retail_analytics.embedded.athena.errors import QueryFailedError, not_supported
from retail_analytics.embedded.athena.quoting import literal, quoted
from retail_analytics.embedded.athena.scan import NULL_PARTITION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from retail_analytics.embedded.athena.session import Session

MAX_OPEN = 100
_BUCKET = "retail_bucket"
_COMPRESSION = {
    "PARQUET": {"SNAPPY": "snappy", "GZIP": "gzip", "ZSTD": "zstd", "LZ4": "lz4_raw", "NONE": "uncompressed"},
    "JSON": {"GZIP": "gzip", "NONE": "none"},
    "TEXTFILE": {"GZIP": "gzip", "NONE": "none"},
}


@dataclass(frozen=True)
class Output:
    """How rows are written.

    Attributes:
        format: PARQUET, JSON or TEXTFILE.
        compression: as Athena names it; GZIP where nothing was said.
        delimiter: between the fields of a TEXTFILE.
        keys: partition columns, in order.
        buckets: columns and number of buckets.
    """

    format: str
    compression: str
    delimiter: str
    keys: tuple[str, ...]
    buckets: tuple[tuple[str, ...], int] = ((), 1)

    def __post_init__(self) -> None:
        """Refuses what cannot be written."""
        if self.format not in _COMPRESSION:
            raise not_supported(f"the format {self.format}")
        if self.compression not in _COMPRESSION[self.format]:
            raise not_supported(f"the compression {self.compression} of {self.format}")


@dataclass(frozen=True)
class Written:
    """A file that was written, and the values of its partition as the catalog has them."""

    values: tuple[str, ...]
    path: Path


def write_rows(
    session: Session,
    select: str,
    columns: Sequence[str],
    output: Output,
    locate: Callable[[str], object] | None,
) -> tuple[list[Written], int]:
    """Runs a SELECT into local files; returns them and the number of rows.

    Raises:
        QueryFailedError: more than 100 combinations of partition and bucket.
    """
    folder = session.engine.folder / "out" / session.query_id
    folder.mkdir(parents=True)
    names, count = output.buckets
    by = list(output.keys)
    if count > 1:
        hashed = ", ".join(quoted(name) for name in names)
        select = f"SELECT *, hash({hashed}) % {count} AS {_BUCKET} FROM ({select})"
        by.append(_BUCKET)
    options = [*_options(output), "ROW_GROUP_SIZE 100000"] if output.format == "PARQUET" else _options(output)
    if by:
        options.append(f"PARTITION_BY ({', '.join(quoted(name) for name in by)})")
        target = folder
    else:
        target = folder / "data_0"
    if output.format == "TEXTFILE":
        select = _as_text(select, [name for name in columns if name not in output.keys], by)
    cursor = session.run(f"COPY ({select}) TO {literal(str(target))} ({', '.join(options)})", locate)
    row = cursor.fetchone()
    rows = int(row[0]) if row else 0
    if rows == 0:
        return [], 0
    written = [
        Written(_values(path, folder, len(output.keys)), path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    if by and len({path.path.parent for path in written}) > MAX_OPEN:
        raise QueryFailedError(
            "HIVE_TOO_MANY_OPEN_PARTITIONS",
            f"Exceeded limit of {MAX_OPEN} open writers for partitions/buckets. You may need to "
            f"manually clean the data "
            "at the location of the table before retrying. Athena will not delete data in your account.",
        )
    return written, rows


def _options(output: Output) -> list[str]:
    codec = _COMPRESSION[output.format][output.compression]
    if output.format == "PARQUET":
        return ["FORMAT PARQUET", f"COMPRESSION '{codec}'"]
    if output.format == "JSON":
        return ["FORMAT JSON", f"COMPRESSION '{codec}'"]
    delimiter = literal(output.delimiter)
    return [
        "FORMAT CSV",
        "HEADER false",
        f"DELIMITER {delimiter}",
        "QUOTE ''",
        "ESCAPE ''",
        r"NULLSTR '\N'",
        f"COMPRESSION '{codec}'",
    ]


def _as_text(select: str, columns: Sequence[str], by: Sequence[str]) -> str:
    values = [f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}" for name in columns]
    return f"SELECT {', '.join([*values, *map(quoted, by)])} FROM ({select})"


def _values(path: Path, folder: Path, keys: int) -> tuple[str, ...]:
    parts = path.relative_to(folder).parts[:keys]
    values = [part.partition("=")[2] for part in parts]
    return tuple(value if value == NULL_PARTITION else unquote(value) for value in values)


def partition_folder(keys: Sequence[str], values: Sequence[str]) -> str:
    """`year=2010/month=12/`, escaped as Hive does."""
    return "".join(
        f"{key}={quote(value, safe=' -_.~@!$&()+,;')}/" for key, value in zip(keys, values, strict=True)
    )


def put_files(
    session: Session, written: Sequence[Written], output: Output, folders: Mapping[tuple[str, ...], str]
) -> list[str]:
    """Puts the files under their partitions' locations, all or none; returns their URLs.

    Args:
        session: the running query.
        written: the files.
        output: how they were written.
        folders: the location of each partition, `()` for that of an unpartitioned table.
    """
    suffix = ".gz" if output.format != "PARQUET" and output.compression == "GZIP" else ""
    stamp = datetime.now(UTC).strftime("%Y%m%d_%H%M%S")
    tag = "".join(random.choices(string.ascii_lowercase + string.digits, k=5))  # noqa: S311 - a name, no secret
    put: list[str] = []
    try:
        for number, item in enumerate(written):
            session.check()
            url = f"{folders[item.values].rstrip('/')}/{stamp}_{number:05d}_{tag}_{uuid4()}{suffix}"
            session.store.put(session.account, url, item.path.read_bytes())
            put.append(url)
    except BaseException:
        session.store.delete(session.account, put)
        raise
    return put
