"""Reads a CSV file into rows: which field stands where, and in which line of the file.

The columns that it looks for are the feed's, by their source names; ``Customer ID``, ``Customer_ID`` and
``CustomerID`` are the same name to it, since exports of one table differ in just that. Here belong opening,
decoding and splitting. Not here: what a field means (``records.py``); a row with a bad number is a row.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from retail_analytics.ingest.errors import InputError

if TYPE_CHECKING:
    from _csv import Reader as CsvReader
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from retail_analytics.feeds import Feed

# Longer than any record may be, so that an oversized field reaches the producer, which reports its line;
# short enough that one quote too many does not read the rest of a large file into memory.
MAX_FIELD_CHARACTERS = 16 * 1024 * 1024

_BAD_BYTES = "retail_analytics.latin1"


def _latin1(error: UnicodeError) -> tuple[str, int]:
    """Read bytes that are no UTF-8 as Latin-1: older exports write a pound sign as one byte."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_BAD_BYTES, _latin1)


class Row(NamedTuple):
    """One row of a CSV file.

    Attributes:
        line: The number of its last line in the file, from 1.
        fields: Its fields as they stand there, nothing stripped.
    """

    line: int
    fields: Sequence[str]


@dataclass(frozen=True)
class Layout:
    """Where the fields of a feed's records stand in a row.

    Attributes:
        positions: For each column of the feed, in its order, the index in the row.
        extras: (index, name) of columns that the feed does not declare; they travel under their own name.
        width: How many fields a row has.
    """

    positions: tuple[int, ...]
    extras: tuple[tuple[int, str], ...]
    width: int


def layout(feed: Feed, header: Sequence[str], source: str) -> Layout:
    """Find the feed's columns in a header.

    Args:
        feed: Whose columns to look for.
        header: The first row of the file.
        source: What to call the file in messages.

    Raises:
        InputError: A column is missing or there twice, or one bears the name of the record id.
    """
    found: dict[str, int] = {}
    for index, name in enumerate(header):
        key = _canonical(name)
        if key and key in found:
            raise InputError(f"{source} has the column {name!r} twice; rename or remove one of them.")
        found[key] = index
    if feed.record_id is not None and _canonical(feed.record_id) in found:
        raise InputError(
            f"{source} has a column {feed.record_id!r}, which ingest writes itself; rename or remove it."
        )
    missing = [column.source for column in feed.columns if _canonical(column.source) not in found]
    if missing:
        raise InputError(
            f"{source} lacks the columns {', '.join(missing)}; feed {feed.name} needs a first line with "
            f"{_names(feed)}, and it has {_shorten(','.join(header))!r}."
        )
    positions = tuple(found[_canonical(column.source)] for column in feed.columns)
    extras = tuple(
        (index, name.strip() or surplus_name(index))
        for index, name in enumerate(header)
        if index not in positions
    )
    return Layout(positions, extras, len(header))


def surplus_name(index: int) -> str:
    """The key of a field for which the header has no name."""
    return f"column_{index + 1}"


@contextmanager
def open_rows(feed: Feed, path: Path) -> Iterator[tuple[Layout, Iterator[Row]]]:
    """Open a CSV file: its layout, and its rows as a stream.

    Raises:
        InputError: The file is missing, cannot be read, is empty or lacks columns; while iterating: it holds
            no row, or a field beyond :data:`MAX_FIELD_CHARACTERS`.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD_CHARACTERS))
    try:
        file = path.open(encoding="utf-8-sig", errors=_BAD_BYTES, newline="")
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; give the path of a CSV file.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; give the path of a CSV file.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    with file:
        reader = csv.reader(file)
        header = _header(feed, reader, path)
        yield layout(feed, header, str(path)), _rows(reader, path)


def count_lines(path: Path) -> int:
    """About how many rows the file has: its lines but the header (a quoted line break counts as one)."""
    with path.open("rb") as file:
        breaks = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return max(breaks - 1, 0)


def digest(path: Path) -> str:
    """SHA-256 of the file's bytes, in hex: what tells two inputs apart."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _header(feed: Feed, reader: CsvReader, path: Path) -> list[str]:
    try:
        header = next((row for row in reader if row), None)
    except csv.Error as error:
        raise InputError(f"{path} is no CSV file ({error}); give one with a first line of names.") from error
    if header is None:
        raise InputError(
            f"{path} is empty; feed {feed.name} needs a CSV file whose first line is {_names(feed)}."
        )
    return header


def _rows(reader: CsvReader, path: Path) -> Iterator[Row]:
    empty = True
    try:
        for fields in reader:
            if len(fields) > 1 or (fields and fields[0].strip()):  # a blank line is no record
                empty = False
                yield Row(reader.line_num, fields)
    except csv.Error as error:
        raise InputError(
            f"{path} cannot be read beyond line {reader.line_num} ({error}); "
            "look for a quote without its pair."
        ) from error
    if empty:
        raise InputError(f"{path} holds no record after its header; give a file with at least one.")


def _names(feed: Feed) -> str:
    return ",".join(column.source for column in feed.columns)


def _canonical(name: str) -> str:
    return re.sub(r"[\s_]", "", name).casefold()


def _shorten(text: str, width: int = 120) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
